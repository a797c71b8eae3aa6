//! The two element types.

use core::fmt::{Debug, Display};
use core::ops::{Add, Div, Mul, Neg, Sub};

use crate::dispatch::Kernels;
use crate::simd::fma;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// `f32` or `f64`. Sealed: the arithmetic is defined for these two.
///
/// ```
/// use pergrad_core::Element;
/// fn third<T: Element>() -> T { T::ONE / T::from_f64(3.0) }
/// assert_eq!(third::<f32>(), 1.0f32 / 3.0);
/// // One rounding, on every target:
/// assert_eq!(Element::fma(0.1f64, 10.0, -1.0), 5.551115123125783e-17);
/// ```
pub trait Element:
    sealed::Sealed
    + Kernels<Self>
    + bytemuck::Pod
    + Default
    + Debug
    + Display
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// `+0`.
    const ZERO: Self;
    /// `1`.
    const ONE: Self;
    /// `-0`, the neutral element of addition.
    const NEG_ZERO: Self;
    /// The type's name, `"f32"` or `"f64"`.
    const NAME: &'static str;

    /// Rounds to the nearest, ties to even.
    fn from_f64(value: f64) -> Self;
    /// Exact.
    fn to_f64(self) -> f64;
    /// `self * b + c` with one rounding, also where the hardware has no such instruction.
    fn fma(self, b: Self, c: Self) -> Self;
    /// The correctly rounded square root.
    fn sqrt(self) -> Self;
    /// Neither infinite nor NaN.
    fn is_finite(self) -> bool;
    /// The larger of the two: `if self > other { self } else { other }`. A NaN in `other` is kept.
    fn max_or(self, other: Self) -> Self {
        if self > other { self } else { other }
    }
}

macro_rules! element {
    ($T:ident, $name:literal, $fma:path, $sqrt:path) => {
        impl Element for $T {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const NEG_ZERO: Self = -0.0;
            const NAME: &'static str = $name;
            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                value as $T
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn fma(self, b: Self, c: Self) -> Self {
                $fma(self, b, c)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                $sqrt(self)
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                <$T>::is_finite(self)
            }
        }
    };
}

element!(f32, "f32", fma::fma_f32, fma::sqrt_f32);
element!(f64, "f64", fma::fma_f64, fma::sqrt_f64);
