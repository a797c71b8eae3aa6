//! The vector vocabulary that kernels are written in: one small trait, one file a backend.
//!
//! A *token* ([`Portable`], and on x86 `Avx2` and `Avx512`) is a small value whose possession
//! proves that the CPU has the instructions; only a check of the CPU makes one. Kernels are generic
//! over the token, `#[inline(always)]`, and become real functions only in `dispatch.rs`, where
//! the compiler is told which instructions it may use. One lost `#[inline(always)]` on the way turns
//! every operation into a call through memory.
//!
//! Every operation rounds once, like the scalar operation of the same name on each lane.

use crate::Element;

#[cfg(x86_simd)]
pub(crate) mod avx2;
#[cfg(x86_simd)]
pub(crate) mod avx512;
pub(crate) mod fma;
mod loops;
pub(crate) mod portable;
#[cfg(arm_vfp)]
mod vfp;

#[cfg(x86_simd)]
pub use avx2::Avx2;
#[cfg(x86_simd)]
pub use avx512::Avx512;
pub(crate) use loops::{AdamLoop, Loops, TileLoop};
pub use portable::Portable;

/// Lanes of the reductions along a contiguous axis, on every ISA and for both types.
pub(crate) const REDUCTION_LANES: usize = 16;

/// Vectors of `T` and what kernels do with them.
///
/// # Safety
/// An implementor promises that holding the token proves the CPU's features, that each operation has
/// the bits of the scalar one on every lane, that the memory operations touch exactly the
/// elements that they name, and that a vector of zero bytes is one of `+0`.
pub(crate) unsafe trait Simd<T: Element>: Copy {
    /// A vector of [`Self::LANES`] elements.
    type V: Copy;
    /// Elements in a vector; divides [`REDUCTION_LANES`].
    const LANES: usize;
    /// Vector registers of the architecture, from which kernels choose their tiles; 1 if [`Self::fma`] is a call.
    const REGISTERS: usize;
    /// Whether [`Self::sqrt_by_products`] is something else than [`Self::sqrt`].
    const ROOTS: bool = false;
    /// Whether it pays to [`hold`](Self::hold) roots and quotients.
    const HOLDS: bool = false;
    /// Inner loops in assembly, where the compiler cannot be told to use the instructions.
    const LOOPS: Option<Loops<T>> = None;

    /// Whether the CPU is of Intel's, where that makes a difference to what is fast.
    #[inline(always)]
    fn intel(self) -> bool {
        false
    }

    /// `x` in every lane.
    fn splat(self, x: T) -> Self::V;

    /// Vectors of `+0`. (`[s.splat(T::ZERO); N]` is a loop, and the compiler would have thousands of them to see through.)
    #[inline(always)]
    fn zeros<const A: usize, const B: usize, const C: usize>(self) -> [[[Self::V; C]; B]; A] {
        // SAFETY: zero bytes are vectors of +0, by the trait's contract.
        unsafe { core::mem::zeroed() }
    }

    /// # Safety
    /// `p` is readable for `LANES` elements; no alignment is needed.
    unsafe fn load(self, p: *const T) -> Self::V;

    /// The first `n` lanes from memory, `fill` in the others.
    ///
    /// # Safety
    /// `n <= LANES`, and `p` is readable for `n` elements; no others are touched.
    unsafe fn load_first(self, p: *const T, n: usize, fill: T) -> Self::V;

    /// # Safety
    /// `p` is writable for `LANES` elements; no alignment is needed.
    unsafe fn store(self, p: *mut T, v: Self::V);

    /// The first `n` lanes to memory.
    ///
    /// # Safety
    /// `n <= LANES`, and `p` is writable for `n` elements; no others are touched.
    unsafe fn store_first(self, p: *mut T, n: usize, v: Self::V);

    /// A store that passes the caches by, where there is such a thing; [`Self::fence`] ends a run.
    ///
    /// # Safety
    /// As [`Self::store`], and `p` is aligned to the vector.
    #[inline(always)]
    unsafe fn stream(self, p: *mut T, v: Self::V) {
        // SAFETY: the caller's obligations include those of a plain store.
        unsafe { self.store(p, v) }
    }

    /// Orders streamed stores before whatever follows.
    #[inline(always)]
    fn fence(self) {}

    /// `p`, which the compiler can no longer compute from something else.
    #[inline(always)]
    fn opaque(self, p: *const T) -> *const T {
        p
    }

    /// `v`, which the compiler has to have computed before whatever is held next.
    #[inline(always)]
    fn hold(self, v: Self::V) -> Self::V {
        v
    }

    /// Asks for the cache line at `p`, which may be any address.
    #[inline(always)]
    fn prefetch(self, p: *const T) {
        let _ = p;
    }

    /// The sums of accumulators of 16 lanes in `G` vectors each: lanes `l` and `l + 8` are added, then `+ 4`, `+ 2`,
    /// `+ 1`.
    #[inline(always)]
    fn sum_lanes<const R: usize, const C: usize, const G: usize>(
        self,
        lanes: &[[[Self::V; G]; C]; R],
    ) -> [[T; C]; R] {
        let mut sums = [[T::ZERO; C]; R];
        for (sum, lanes) in sums.as_flattened_mut().iter_mut().zip(lanes.as_flattened()) {
            let mut a = [T::ZERO; REDUCTION_LANES];
            for (g, v) in lanes.iter().enumerate() {
                // SAFETY: G * LANES = 16, the length of the array.
                unsafe { self.store(a.as_mut_ptr().add(g * Self::LANES), *v) }
            }
            add_half::<T, 8>(&mut a);
            add_half::<T, 4>(&mut a);
            add_half::<T, 2>(&mut a);
            *sum = a[0] + a[1];
        }
        sums
    }

    /// Copies rows and columns, each at most as many as a vector has lanes, column by column: each column as a vector, to
    /// `at` elements after the next of the places `to`. Rows are `row` elements apart, and those past the last are +0.
    ///
    /// # Safety
    /// So many rows are readable for so many columns, and as many places writable for `at + LANES` elements.
    #[inline(always)]
    unsafe fn transpose(
        self,
        from: *const T,
        row: usize,
        (rows, columns): (usize, usize),
        to: *const *mut T,
        at: usize,
    ) {
        for l in 0..columns {
            for r in 0..Self::LANES {
                // SAFETY: by contract.
                unsafe {
                    let v = if r < rows { *from.add(r * row + l) } else { T::ZERO };
                    (*to.add(l)).add(at + r).write(v);
                }
            }
        }
    }

    /// `a + b`
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b`
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`, correctly rounded
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// The correctly rounded square root.
    fn sqrt(self, a: Self::V) -> Self::V;
    /// The same, for loops in which the divider of the CPU is busier than its multipliers.
    #[inline(always)]
    fn sqrt_by_products(self, a: Self::V) -> Self::V {
        self.sqrt(a)
    }
    /// `a * b + c`, rounded once
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `-a`
    fn neg(self, a: Self::V) -> Self::V;
    /// `if a > b { a } else { b }`
    fn max_or(self, a: Self::V, b: Self::V) -> Self::V;
    /// Bit `l` is set where lane `l` is finite.
    fn finite(self, a: Self::V) -> u32;
}

/// Adds lanes `H .. 2 H` to lanes `.. H`. (Constant bounds: no check that could panic is left.)
#[inline(always)]
fn add_half<T: Element, const H: usize>(a: &mut [T; REDUCTION_LANES]) {
    for l in 0..H {
        a[l] = a[l] + a[l + H];
    }
}

/// Defines the sums of eight accumulators as those of four and four.
#[cfg(x86_simd)]
macro_rules! sums_by_fours {
    ($name:ident, $four:ident, $V:ident, $T:ident) => {
        /// Eight accumulators of 16 lanes.
        ///
        /// # Safety
        /// As of four.
        #[inline(always)]
        unsafe fn $name<const G: usize>(lanes: &[[$V; G]; 8]) -> [$T; 8] {
            let [a, b, c, d, e, f, g, h] = *lanes;
            let (low, high) = ([a, b, c, d], [e, f, g, h]);
            // SAFETY: by contract.
            let ([a, b, c, d], [e, f, g, h]) = unsafe { ($four(&low), $four(&high)) };
            [a, b, c, d, e, f, g, h]
        }
    };
}
#[cfg(x86_simd)]
use sums_by_fours;

/// Defines `transpose`: in each of as many turns as `LANES` has bits, the lanes of vectors that are half of them apart
/// go in turns into two that are neighbours. That rotates the bits of the place of each element, row and lane, by one.
#[cfg(x86_simd)]
macro_rules! transpose {
    ($T:ident, $V:ident, $lanes:literal, $zip:ident) => {
        #[inline(always)]
        unsafe fn transpose(
            self,
            from: *const $T,
            row: usize,
            (rows, columns): (usize, usize),
            to: *const *mut $T,
            at: usize,
        ) {
            const HALF: usize = $lanes / 2;
            let mut vectors: [$V; $lanes] = [<Self as Simd<$T>>::splat(self, 0.0); $lanes];
            // SAFETY: readable and writable by contract; the token proves the CPU's features.
            unsafe {
                for (r, v) in vectors.iter_mut().enumerate() {
                    let from = from.wrapping_add(r * row);
                    *v = match rows + columns {
                        n if n == 2 * $lanes => self.load(from),
                        _ => self.load_first(from, if r < rows { columns } else { 0 }, 0.0),
                    };
                }
                for _ in 0..($lanes as u32).trailing_zeros() {
                    let before = vectors;
                    for k in 0..HALF {
                        [vectors[2 * k], vectors[2 * k + 1]] = $zip(before[k], before[k + HALF]);
                    }
                }
                for (l, v) in vectors.into_iter().enumerate() {
                    if l < columns {
                        self.store((*to.add(l)).add(at), v);
                    }
                }
            }
        }
    };
}
#[cfg(x86_simd)]
use transpose;

/// A place in the frame of the function that it is inlined into, which aligns that to lines of the cache: vectors for
/// which there is no register lie across lines else, or pages, as the callers' stack happens to be.
#[cfg(x86_simd)]
#[inline(always)]
#[allow(clippy::pointers_in_nomem_asm_block)] // nothing is read or written through it
pub(crate) fn align_frame() {
    #[repr(align(64))]
    struct Line(core::mem::MaybeUninit<u8>);
    let line = Line(core::mem::MaybeUninit::uninit());
    // (Miri knows no assembly.)
    if !cfg!(miri) {
        // SAFETY: no instruction at all.
        unsafe {
            core::arch::asm!("/* {0} */", in(reg) &line.0, options(nomem, nostack, preserves_flags));
        }
    }
}

/// [`Simd::opaque`] where there is assembly.
#[cfg(x86_simd)]
#[inline(always)]
#[allow(clippy::pointers_in_nomem_asm_block)] // nothing is read or written through it
fn opaque<T>(mut p: *const T) -> *const T {
    // (Miri knows no assembly.)
    if !cfg!(miri) {
        // SAFETY: no instruction at all.
        unsafe {
            core::arch::asm!("/* {0} */", inout(reg) p, options(pure, nomem, nostack, preserves_flags));
        }
    }
    p
}

/// Defines `hold` for vectors that are in registers of this class.
#[cfg(x86_simd)]
macro_rules! hold {
    ($V:ident, $feature:literal, $class:ident) => {
        #[inline(always)]
        fn hold(self, v: $V) -> $V {
            #[target_feature(enable = $feature)]
            #[inline]
            fn hold(mut v: $V) -> $V {
                // (Miri knows no assembly.)
                if !cfg!(miri) {
                    // SAFETY: no instruction at all.
                    unsafe {
                        core::arch::asm!("/* {0} */", inout($class) v, options(nomem, nostack, preserves_flags));
                    }
                }
                v
            }
            // SAFETY: the token proves the CPU's features.
            unsafe { hold(v) }
        }
    };
}
#[cfg(x86_simd)]
use hold;

/// Defines `sum_lanes` by the sums of four and of eight.
#[cfg(x86_simd)]
macro_rules! sum_lanes {
    ($V:ident, $T:ident, $sums:ident, $sums_of_8:ident) => {
        #[inline(always)]
        fn sum_lanes<const R: usize, const C: usize, const G: usize>(
            self,
            lanes: &[[[$V; G]; C]; R],
        ) -> [[$T; C]; R] {
            const { assert!(R * C <= 24) }
            let mut sums = [[0.0; C]; R];
            let (all, sums_of) = (lanes.as_flattened(), sums.as_flattened_mut());
            // (No loop: the compiler would take accumulators from memory.)
            // SAFETY: the token proves the CPU's features.
            unsafe {
                sum_some!($sums, $sums_of_8, all, sums_of, R * C, 0);
                sum_some!($sums, $sums_of_8, all, sums_of, R * C, 8);
                sum_some!($sums, $sums_of_8, all, sums_of, R * C, 16);
            }
            sums
        }
    };
}
#[cfg(x86_simd)]
use sum_lanes;

/// Of `n` accumulators those from `at` on, as many as eight.
#[cfg(x86_simd)]
macro_rules! sum_some {
    ($sums:ident, $sums_of_8:ident, $lanes:ident, $to:ident, $n:expr, $at:literal) => {
        if const { $at + 4 < $n } {
            sum_some!(@ $sums_of_8, $lanes, $to, $n, $at, 0 1 2 3 4 5 6 7);
        } else if const { $at < $n } {
            sum_some!(@ $sums, $lanes, $to, $n, $at, 0 1 2 3);
        }
    };
    // (Backends add up several at a time: those past the last are copies, computed for nothing.)
    (@ $sums:ident, $lanes:ident, $to:ident, $n:expr, $at:literal, $($k:literal)*) => {
        let sums = $sums(&[$($lanes[if $at + $k < $n { $at + $k } else { $at }]),*]);
        $(
            if const { $at + $k < $n } {
                $to[$at + $k] = sums[$k];
            }
        )*
    };
}
#[cfg(x86_simd)]
use sum_some;
