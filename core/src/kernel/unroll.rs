//! Loops over a constant number of things, written out one by one.
//!
//! The compiler would unroll them anyway, but the kernels have thousands, and most of the time that it takes to compile
//! them went into finding that out. What is not there is not even handed to it. Where flash is short, they stay loops if it
//! thinks so.

/// `unroll!(for i in 0..N { .. })`, where `N` is a constant parameter of at most 12; or, over the `N` elements of an
/// array, by mutable reference, `unroll!(for (i, row) in rows: N { .. })`. (One inside another is written out 144 times:
/// what is done for each row of vectors is a function of its own.)
#[cfg(portable_vectors)]
macro_rules! unroll {
    (for ($i:ident, $row:ident) in $rows:ident: $n:ident $body:block) => {
        $crate::kernel::unroll::unroll!(for $i in 0..$n {
            let $row = &mut $rows[$i];
            $body
        });
    };
    (for $i:ident in 0..$n:ident $body:block) => {{
        const { assert!($n <= 12) }
        $crate::kernel::unroll::unroll!(@ $i $n $body 0 1 2 3 4 5 6 7 8 9 10 11);
    }};
    (@ $i:ident $n:ident $body:block $($k:literal)*) => {
        $(
            if const { $k < $n } {
                let $i: usize = $k;
                $body
            }
        )*
    };
}

/// As it stands. (By index, rows would be copied.)
#[cfg(not(portable_vectors))]
macro_rules! unroll {
    (for ($i:ident, $row:ident) in $rows:ident: $n:ident $body:block) => {
        for ($i, $row) in $rows.iter_mut().enumerate() $body
    };
    ($($loop:tt)*) => {
        $($loop)*
    };
}

pub(super) use unroll;
