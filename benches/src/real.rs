//! The element types as pergrad and all peers see them.

use pergrad_core::Element;

/// `f32` or `f64`, with what the peers need of them.
pub trait Real: Element + faer::traits::ComplexField + ndarray::LinalgScalar {
    /// How far a peer's result may be from ours, relative to the largest element.
    const TOLERANCE: f64;

    /// The standard library's `mul_add`: one instruction where the caller is compiled for one.
    fn std_mul_add(self, b: Self, c: Self) -> Self;
    /// The standard library's `sqrt`, one instruction.
    fn std_sqrt(self) -> Self;

    /// `sgemm` or `dgemm` of `matrixmultiply`: `c = alpha a b + beta c`.
    ///
    /// # Safety
    /// As those: all elements that extents and strides name are readable, in `c` writable.
    #[allow(clippy::too_many_arguments)]
    unsafe fn matrixmultiply(
        mkn: [usize; 3],
        alpha: Self,
        a: *const Self,
        a_strides: [isize; 2],
        b: *const Self,
        b_strides: [isize; 2],
        beta: Self,
        c: *mut Self,
        c_strides: [isize; 2],
    );
}

macro_rules! real {
    ($T:ident, $tolerance:literal, $gemm:path) => {
        impl Real for $T {
            const TOLERANCE: f64 = $tolerance;

            #[inline(always)]
            fn std_mul_add(self, b: Self, c: Self) -> Self {
                self.mul_add(b, c)
            }

            #[inline(always)]
            fn std_sqrt(self) -> Self {
                $T::sqrt(self)
            }

            unsafe fn matrixmultiply(
                [m, k, n]: [usize; 3],
                alpha: Self,
                a: *const Self,
                [rsa, csa]: [isize; 2],
                b: *const Self,
                [rsb, csb]: [isize; 2],
                beta: Self,
                c: *mut Self,
                [rsc, csc]: [isize; 2],
            ) {
                // SAFETY: by contract.
                unsafe { $gemm(m, k, n, alpha, a, rsa, csa, b, rsb, csb, beta, c, rsc, csc) }
            }
        }
    };
}

real!(f32, 1e-4, matrixmultiply::sgemm);
real!(f64, 1e-12, matrixmultiply::dgemm);
