//! Where kernels become functions: one entry a kernel, element type and instruction set.
//!
//! Kernels are `#[inline(always)]` and generic over the token of a backend. `dispatch!` stamps a
//! function for each of them, told which CPU features it may use; the token, which only exists where
//! the CPU has them, is what makes calling it sound. This is the only place that names CPU features,
//! and the list at the end is all the kernels there are.

use crate::kernel;
use crate::kernel::adam::AdamArrays;
use crate::kernel::forward::Forward;
use crate::kernel::fused::FusedRow;
use crate::kernel::momentum::MomentumArrays;
use crate::kernel::rmsprop::RmspropArrays;
use crate::kernel::row::Row;
use crate::kernel::rule::Run;
use crate::kernel::shape::Shape;
use crate::kernel::tile::{Ends, Source};
use crate::simd::REDUCTION_LANES;
#[cfg(x86_simd)]
use crate::simd::{Avx2, Avx512};
use crate::{AdamCoeffs, Batch, Dims, Isa, MomentumCoeffs, RmspropCoeffs, Start, simd::Portable};

/// Stamps the trait `Kernels<T>` and its implementations from a list of
/// `unsafe fn name(arg: Type, ..) -> Type = path::to::generic_kernel;`, where types may name `T`.
macro_rules! dispatch {
    (@trait $(unsafe fn $name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = $($kernel:ident)::+;)*) => {
        /// The kernels of one element type, lengths already checked; each has the obligations of the
        /// generic kernel that it is stamped from. Sealed, by [`crate::Element`].
        #[doc(hidden)]
        #[allow(missing_docs, clippy::too_many_arguments, clippy::missing_safety_doc)]
        pub trait Kernels<T>: Sized {
            $(unsafe fn $name(isa: Isa, $($arg: $ty),*) $(-> $ret)?;)*
        }
    };
    (@impl $module:ident $T:ident $(unsafe fn $name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = $($kernel:ident)::+;)*) => {
        mod $module {
            use super::*;

            type T = $T;

            $(
                mod $name {
                    use super::*;

                    #[inline(never)]
                    #[allow(clippy::too_many_arguments)]
                    pub(super) unsafe fn portable(token: Portable, $($arg: $ty),*) $(-> $ret)? {
                        // SAFETY: the obligations are the kernel's, passed on to the caller.
                        unsafe { $($kernel)::+::<T, _>(token, $($arg),*) }
                    }

                    #[cfg(x86_simd)]
                    #[inline(never)]
                    #[allow(clippy::too_many_arguments)]
                    #[target_feature(enable = "avx2,fma")]
                    pub(super) unsafe fn avx2(token: Avx2, $($arg: $ty),*) $(-> $ret)? {
                        crate::simd::align_frame();
                        // SAFETY: the obligations are the kernel's, passed on to the caller.
                        unsafe { $($kernel)::+::<T, _>(token, $($arg),*) }
                    }

                    #[cfg(x86_simd)]
                    #[inline(never)]
                    #[allow(clippy::too_many_arguments)]
                    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
                    pub(super) unsafe fn avx512(token: Avx512, $($arg: $ty),*) $(-> $ret)? {
                        crate::simd::align_frame();
                        // SAFETY: the obligations are the kernel's, passed on to the caller.
                        unsafe { $($kernel)::+::<T, _>(token, $($arg),*) }
                    }
                }
            )*

            impl Kernels<T> for T {
                $(
                    #[inline]
                    unsafe fn $name(isa: Isa, $($arg: $ty),*) $(-> $ret)? {
                        // SAFETY: the token proves that the CPU has the features; the kernel's own
                        // obligations are passed on to the caller.
                        unsafe {
                            match isa {
                                Isa::Portable(token) => $name::portable(token, $($arg),*),
                                #[cfg(x86_simd)]
                                Isa::Avx2(token) => $name::avx2(token, $($arg),*),
                                #[cfg(x86_simd)]
                                Isa::Avx512(token) => $name::avx512(token, $($arg),*),
                            }
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
    unsafe fn shape() -> Shape
        = kernel::shape::shape;
    unsafe fn pack_x(src: &Source<T>, i: usize, n: usize, panel: usize, to: *mut T)
        = kernel::pack::x;
    unsafe fn fetch_x(src: &Source<T>, i: usize, n: usize)
        = kernel::pack::fetch_x;
    unsafe fn pack_dy(src: &Source<T>, j: usize, rows: usize, tiles: usize, to: *mut T)
        = kernel::pack::dy;
    unsafe fn grad_row(row: &Row<T>)
        = kernel::row::grad_row;
    unsafe fn moments_row(row: &Row<T>)
        = kernel::row::moments_row;
    unsafe fn sequence_row(row: &Row<T>)
        = kernel::row::sequence_row;
    unsafe fn grad_few(row: &Row<T>)
        = kernel::few::grad_few;
    unsafe fn moments_few(row: &Row<T>)
        = kernel::few::moments_few;
    unsafe fn grad_narrow(row: &Row<T>)
        = kernel::narrow::grad_narrow;
    unsafe fn moments_narrow(row: &Row<T>)
        = kernel::narrow::moments_narrow;
    unsafe fn run_momentum(c: &MomentumCoeffs<T>, arrays: MomentumArrays<T>, run: &Run<T>) -> Result<(), usize>
        = kernel::rule::run_momentum;
    unsafe fn run_rmsprop(c: &RmspropCoeffs<T>, arrays: RmspropArrays<T>, run: &Run<T>) -> Result<(), usize>
        = kernel::rule::run_rmsprop;
    unsafe fn run_adam(c: &AdamCoeffs<T>, arrays: AdamArrays<T>, run: &Run<T>) -> Result<(), usize>
        = kernel::rule::run_adam;
    unsafe fn momentum_row(c: &MomentumCoeffs<T>, arrays: MomentumArrays<T>, row: &FusedRow<'_, T>)
        = kernel::fused::momentum_row;
    unsafe fn rmsprop_row(c: &RmspropCoeffs<T>, arrays: RmspropArrays<T>, row: &FusedRow<'_, T>)
        = kernel::fused::rmsprop_row;
    unsafe fn adam_row(c: &AdamCoeffs<T>, arrays: AdamArrays<T>, row: &FusedRow<'_, T>)
        = kernel::fused::adam_row;
    unsafe fn bias_grad(batch: &Batch<'_, T>, j: usize, n: usize, ends: Ends<T>, out: *mut T)
        = kernel::bias::run_grad;
    unsafe fn bias_moments(batch: &Batch<'_, T>, j: usize, n: usize, ends: Ends<T>, out: *mut T, out_sq: *mut T)
        = kernel::bias::run_moments;
    unsafe fn forward(dims: Dims, x: &[T], weight: &[T], bias: Option<&[T]>, from: Start, y: &mut [T], memory: *mut T, first: usize)
        = kernel::forward::run_forward;
    unsafe fn forward_columns(job: &Forward<'_, T>, rows: usize, n: usize)
        = kernel::columns::run_forward_columns;
    unsafe fn per_example_grad(batch: &Batch<'_, T>, out: &mut [T])
        = kernel::outer::run_per_example_grad;
    unsafe fn reduce(rows: &[T], batch: usize, ends: Ends<T>, sum: &mut [T], sum_sq: &mut [T])
        = kernel::reduce::run_reduce;
    unsafe fn sq_norms(batch: &Batch<'_, T>, from: Start, norms: &mut [T])
        = kernel::norms::run_sq_norms;
    unsafe fn add_squares(row: &Row<T>, lanes: &mut [T; REDUCTION_LANES]) -> T
        = kernel::squares::run_add_squares;
    unsafe fn bias_sq_norms(batch: &Batch<'_, T>, from: Start, norms: &mut [T])
        = kernel::norms::run_bias_sq_norms;
}
