//! Loops over a constant number of things, written out one by one.
//!
//! The compiler would unroll them anyway, but the kernels have thousands, and most of the time that it takes to compile
//! them went into finding that out. Where flash is short, they stay loops if it thinks so.

/// `unroll!(for i in 0..N { .. })`, where `N` is a constant parameter of at most 12. (One inside another is written out
/// 144 times: what is done for each row of vectors is a function of its own.)
#[cfg(portable_vectors)]
macro_rules! unroll {
    (for $i:ident in 0..$n:ident $body:block) => {{
        const { assert!($n <= 12) }
        $crate::kernel::unroll::unroll!(@ $i $n $body 0 1 2 3 4 5 6 7 8 9 10 11);
    }};
    (@ $i:ident $n:ident $body:block $($k:literal)*) => {
        $(
            if $crate::kernel::unroll::Less::<$k, $n>::HOLDS {
                let $i: usize = $k;
                $body
            }
        )*
    };
}

/// As it stands.
#[cfg(not(portable_vectors))]
macro_rules! unroll {
    ($($loop:tt)*) => {
        $($loop)*
    };
}

pub(super) use unroll;

/// Whether one constant is less than another: a constant itself, so that what is not there is not even handed to LLVM.
#[cfg(portable_vectors)]
pub(super) struct Less<const K: usize, const N: usize>;

#[cfg(portable_vectors)]
impl<const K: usize, const N: usize> Less<K, N> {
    pub(super) const HOLDS: bool = K < N;
}
