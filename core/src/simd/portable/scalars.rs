//! One element at a time, for targets without vectors: microcontrollers, and whatever is not known.
//!
//! Small by design: a vector of one lane has no tails, and where floating point is computed in software
//! tiles are of one element, since more would cost flash and win nothing.

use super::Portable;
use crate::simd::{Loops, Simd, fma};

/// Registers of a hardware floating-point unit, or as good as none.
const fn registers(hardware: bool) -> usize {
    if hardware { 32 } else { 1 }
}

macro_rules! scalar {
    ($T:ident, $fma:ident, $registers:expr, $loops:expr) => {
        /// Where it is computed in software `fma` is long, and kernels are full of it.
        #[cfg_attr(not(any(arm_vfp, riscv_f)), inline(never))]
        #[cfg_attr(any(arm_vfp, riscv_f), inline(always))]
        fn $fma(a: $T, b: $T, c: $T) -> $T {
            fma::$fma(a, b, c)
        }

        // SAFETY: there is no CPU feature to prove; a vector is one element, and the memory operations
        // touch it or nothing; zero bytes are +0.
        unsafe impl Simd<$T> for Portable {
            type V = $T;
            const LANES: usize = 1;
            const REGISTERS: usize = $registers;
            const LOOPS: Option<Loops<$T>> = $loops;

            #[inline(always)]
            fn splat(self, x: $T) -> $T {
                x
            }
            #[inline(always)]
            unsafe fn load(self, p: *const $T) -> $T {
                // SAFETY: readable by contract.
                unsafe { *p }
            }
            #[inline(always)]
            unsafe fn load_first(self, p: *const $T, n: usize, fill: $T) -> $T {
                // SAFETY: readable by contract if n = 1.
                if n == 0 { fill } else { unsafe { *p } }
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $T, v: $T) {
                // SAFETY: writable by contract.
                unsafe { *p = v }
            }
            #[inline(always)]
            unsafe fn store_first(self, p: *mut $T, n: usize, v: $T) {
                if n != 0 {
                    // SAFETY: writable by contract if n = 1.
                    unsafe { *p = v }
                }
            }
            #[inline(always)]
            fn add(self, a: $T, b: $T) -> $T {
                a + b
            }
            #[inline(always)]
            fn sub(self, a: $T, b: $T) -> $T {
                a - b
            }
            #[inline(always)]
            fn mul(self, a: $T, b: $T) -> $T {
                a * b
            }
            #[inline(always)]
            fn div(self, a: $T, b: $T) -> $T {
                a / b
            }
            #[inline(always)]
            fn sqrt(self, a: $T) -> $T {
                crate::Element::sqrt(a)
            }
            #[inline(always)]
            fn fma(self, a: $T, b: $T, c: $T) -> $T {
                $fma(a, b, c)
            }
            #[inline(always)]
            fn neg(self, a: $T) -> $T {
                -a
            }
            #[inline(always)]
            fn max_or(self, a: $T, b: $T) -> $T {
                if a > b { a } else { b }
            }
            #[inline(always)]
            fn finite(self, a: $T) -> u32 {
                a.is_finite() as u32
            }
        }
    };
}

#[cfg(arm_vfp)]
scalar!(f32, fma_f32, registers(true), Some(crate::simd::vfp::LOOPS));
#[cfg(not(arm_vfp))]
scalar!(f32, fma_f32, registers(cfg!(riscv_f)), None);
scalar!(f64, fma_f64, registers(cfg!(riscv_d)), None);
