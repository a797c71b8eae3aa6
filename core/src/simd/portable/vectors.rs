//! Vectors of `wide`: SSE2, NEON or wasm SIMD, whatever the compilation target has.
//!
//! `wide` fuses `mul_add` only if the crate is compiled for a CPU with FMA (or for AArch64); elsewhere
//! the lanes go through [`fma`], so that the bits are the same.

use super::Portable;
use crate::simd::{Simd, fma};
use wide::{f32x8, f64x4};

const FUSED: bool = cfg!(any(
    all(target_feature = "avx", target_feature = "fma"),
    all(target_arch = "aarch64", target_feature = "neon")
));

macro_rules! portable {
    ($T:ident, $V:ident, $lanes:literal, $lanewise:ident, $fma:path) => {
        /// The software `fma` on each lane. A function of its own: it is long, and kernels are full
        /// of it.
        #[inline(never)]
        fn $lanewise(a: &[$T; $lanes], b: &[$T; $lanes], c: &[$T; $lanes]) -> [$T; $lanes] {
            let mut out = *c;
            for l in 0..$lanes {
                out[l] = $fma(a[l], b[l], c[l]);
            }
            out
        }

        // SAFETY: there is no CPU feature to prove; `wide` computes lane by lane, and the memory
        // operations below copy the elements that they name; its vectors are arrays of elements, whose
        // zero bytes are +0.
        unsafe impl Simd<$T> for Portable {
            type V = $V;
            const LANES: usize = $lanes;
            // (A call leaves nothing in them.)
            const REGISTERS: usize = if FUSED { 16 } else { 1 };

            #[inline(always)]
            fn splat(self, x: $T) -> $V {
                $V::splat(x)
            }
            #[inline(always)]
            unsafe fn load(self, p: *const $T) -> $V {
                // SAFETY: readable for LANES elements by contract; arrays of floats need only the
                // alignment of one float, which a pointer into a slice has.
                $V::new(unsafe { *p.cast::<[$T; $lanes]>() })
            }
            #[inline(always)]
            unsafe fn load_first(self, p: *const $T, n: usize, fill: $T) -> $V {
                let mut lanes = [fill; $lanes];
                for (l, lane) in lanes.iter_mut().enumerate() {
                    if l < n {
                        // SAFETY: l < n, and n elements are readable by contract.
                        *lane = unsafe { *p.add(l) };
                    }
                }
                $V::new(lanes)
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $T, v: $V) {
                // SAFETY: writable for LANES elements by contract, alignment as in `load`.
                unsafe { *p.cast::<[$T; $lanes]>() = v.to_array() }
            }
            #[inline(always)]
            unsafe fn store_first(self, p: *mut $T, n: usize, v: $V) {
                for (l, lane) in v.to_array().into_iter().enumerate() {
                    if l < n {
                        // SAFETY: l < n, and n elements are writable by contract.
                        unsafe { *p.add(l) = lane }
                    }
                }
            }
            #[inline(always)]
            fn add(self, a: $V, b: $V) -> $V {
                a + b
            }
            #[inline(always)]
            fn sub(self, a: $V, b: $V) -> $V {
                a - b
            }
            #[inline(always)]
            fn mul(self, a: $V, b: $V) -> $V {
                a * b
            }
            #[inline(always)]
            fn div(self, a: $V, b: $V) -> $V {
                a / b
            }
            #[inline(always)]
            fn sqrt(self, a: $V) -> $V {
                a.sqrt()
            }
            #[inline(always)]
            fn fma(self, a: $V, b: $V, c: $V) -> $V {
                if FUSED {
                    return a.mul_add(b, c);
                }
                $V::new($lanewise(&a.to_array(), &b.to_array(), &c.to_array()))
            }
            #[inline(always)]
            fn neg(self, a: $V) -> $V {
                -a
            }
            #[inline(always)]
            fn max_or(self, a: $V, b: $V) -> $V {
                a.simd_gt(b).bitselect(a, b)
            }
            #[inline(always)]
            fn finite(self, a: $V) -> u32 {
                a.is_finite().to_bitmask() & ((1 << $lanes) - 1)
            }
        }
    };
}

portable!(f32, f32x8, 8, lanewise_fma_f32, fma::fma_f32);
portable!(f64, f64x4, 4, lanewise_fma_f64, fma::fma_f64);
