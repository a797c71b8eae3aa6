//! Where kernels become functions: one entry a kernel, element type and instruction set.
//!
//! Kernels are `#[inline(always)]` and generic over the token of a backend. `dispatch!` stamps a
//! function for each of them, told which CPU features it may use; the token, which only exists where
//! the CPU has them, is what makes calling it sound. This is the only place that names CPU features,
//! and the list at the end is all the kernels there are.

use crate::kernel::update::{AdamArrays, MomentumArrays, RmspropArrays};
use crate::kernel::{self, step::Part};
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
use crate::simd::{Avx2, Avx512};
use crate::{
    AdamCoeffs, Batch, Dims, Fold, Isa, LayerStep, MomentumCoeffs, NonFinite, RmspropCoeffs, Start,
    simd::Portable,
};

/// Stamps the trait `Kernels<T>` and its implementations from a list of
/// `fn name(arg: Type, ..) -> Type = path::to::generic_kernel;`, where types may name `T`.
macro_rules! dispatch {
    (@trait $(fn $name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = $kernel:path;)*) => {
        /// The kernels of one element type, lengths already checked. Sealed, by [`crate::Element`].
        #[doc(hidden)]
        #[allow(missing_docs, clippy::too_many_arguments)]
        pub trait Kernels<T>: Sized {
            $(fn $name(isa: Isa, $($arg: $ty),*) $(-> $ret)?;)*
        }
    };
    (@impl $module:ident $T:ident $(fn $name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = $kernel:path;)*) => {
        mod $module {
            use super::*;

            type T = $T;

            $(
                mod $name {
                    use super::*;

                    #[inline(never)]
                    #[allow(clippy::too_many_arguments)]
                    pub(super) fn portable(token: Portable, $($arg: $ty),*) $(-> $ret)? {
                        $kernel(token, $($arg),*)
                    }

                    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
                    #[inline(never)]
                    #[allow(clippy::too_many_arguments)]
                    #[target_feature(enable = "avx2,fma")]
                    pub(super) fn avx2(token: Avx2, $($arg: $ty),*) $(-> $ret)? {
                        $kernel(token, $($arg),*)
                    }

                    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
                    #[inline(never)]
                    #[allow(clippy::too_many_arguments)]
                    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
                    pub(super) fn avx512(token: Avx512, $($arg: $ty),*) $(-> $ret)? {
                        $kernel(token, $($arg),*)
                    }
                }
            )*

            impl Kernels<T> for T {
                $(
                    #[inline]
                    fn $name(isa: Isa, $($arg: $ty),*) $(-> $ret)? {
                        match isa {
                            Isa::Portable(token) => $name::portable(token, $($arg),*),
                            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
                            // SAFETY: the token proves that the CPU has these features.
                            Isa::Avx2(token) => unsafe { $name::avx2(token, $($arg),*) },
                            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
                            // SAFETY: the token proves that the CPU has these features.
                            Isa::Avx512(token) => unsafe { $name::avx512(token, $($arg),*) },
                        }
                    }
                )*
            }
        }
    };
    ($($entries:tt)*) => {
        dispatch!(@trait $($entries)*);
        dispatch!(@impl single f32 $($entries)*);
        dispatch!(@impl double f64 $($entries)*);
    };
}

dispatch! {
    fn forward(dims: Dims, x: &[T], weight: &[T], bias: Option<&[T]>, from: Start, y: &mut [T])
        = kernel::linear::run_forward;
    fn input_grad(dims: Dims, dy: &[T], weight: &[T], from: Start, dx: &mut [T])
        = kernel::linear::run_input_grad;
    fn per_example_grad(batch: &Batch<'_, T>, out: &mut [T])
        = kernel::outer::run_per_example_grad;
    fn reduce(rows: &[T], batch: usize, fold: Fold, sum: &mut [T], sum_sq: &mut [T])
        = kernel::reduce::run_reduce;
    fn grad(batch: &Batch<'_, T>, fold: Fold, grad: &mut [T], scratch: &mut [T])
        = kernel::moments::run_grad;
    fn moments(batch: &Batch<'_, T>, fold: Fold, grad: &mut [T], grad_sq: &mut [T], scratch: &mut [T])
        = kernel::moments::run_moments;
    fn bias_grad(batch: &Batch<'_, T>, fold: Fold, grad: &mut [T])
        = kernel::moments::run_bias_grad;
    fn bias_moments(batch: &Batch<'_, T>, fold: Fold, grad: &mut [T], grad_sq: &mut [T])
        = kernel::moments::run_bias_moments;
    fn sq_norms(batch: &Batch<'_, T>, from: Start, norms: &mut [T])
        = kernel::norms::run_sq_norms;
    fn bias_sq_norms(batch: &Batch<'_, T>, from: Start, norms: &mut [T])
        = kernel::norms::run_bias_sq_norms;
    fn update_momentum(c: &MomentumCoeffs<T>, arrays: MomentumArrays<T>, grad: &[T], non_finite: NonFinite) -> Result<(), usize>
        = kernel::update::run_momentum;
    fn update_rmsprop(c: &RmspropCoeffs<T>, arrays: RmspropArrays<T>, grad: &[T], second: Option<&[T]>, non_finite: NonFinite) -> Result<(), usize>
        = kernel::update::run_rmsprop;
    fn update_adam(c: &AdamCoeffs<T>, arrays: AdamArrays<T>, grad: &[T], second: Option<&[T]>, non_finite: NonFinite) -> Result<(), usize>
        = kernel::update::run_adam;
    fn step_momentum(layer: &LayerStep<'_, T>, part: Part, c: &MomentumCoeffs<T>, arrays: MomentumArrays<T>, scratch: &mut [T]) -> Result<(), usize>
        = kernel::step::run_momentum;
    fn step_rmsprop(layer: &LayerStep<'_, T>, part: Part, c: &RmspropCoeffs<T>, arrays: RmspropArrays<T>, scratch: &mut [T]) -> Result<(), usize>
        = kernel::step::run_rmsprop;
    fn step_adam(layer: &LayerStep<'_, T>, part: Part, c: &AdamCoeffs<T>, arrays: AdamArrays<T>, scratch: &mut [T]) -> Result<(), usize>
        = kernel::step::run_adam;
}
