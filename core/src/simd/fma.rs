//! The exactly rounded scalar `fma` and `sqrt` for each target.
//!
//! Where the compilation target has the instructions they are used; everywhere else `fma` is
//! computed exactly in software:
//!
//! * `f32`: the product of two `f32` is exact in `f64`. The sum with the addend is rounded *to odd*
//!   in `f64` (truncated, with the last bit set if anything was lost), and a value rounded to odd
//!   with at least two spare bits can be rounded again without harm (Boldo and Melquiond, "Emulation
//!   of FMA and correctly rounded sums: proved algorithms using rounding to odd", 2008). Subnormal
//!   results have more spare bits, not fewer.
//! * `f64`: [`libm::fma`], which works on integers.
//!
//! (`libm::fmaf` 0.2 is not used: it is wrong for some subnormal results.)

/// `a * b + c` in software, one rounding; branch-free, so that a loop over lanes vectorises.
#[inline(always)]
#[cfg_attr(
    any(target_feature = "fma", target_arch = "aarch64", arm_vfp, riscv_f),
    allow(dead_code)
)]
pub(crate) fn soft_fma_f32(a: f32, b: f32, c: f32) -> f32 {
    let (product, c) = (a as f64 * b as f64, c as f64);
    let sum = product + c;
    // Knuth's two-sum: `sum + lost` is exactly `product + c` (NaN where `sum` is not finite).
    let rest = sum - product;
    let lost = (product - (sum - rest)) + (c - rest);
    let bits = sum.to_bits();
    // `lost` is compared, not tested for being nonzero, so that a NaN leaves `sum` as it is.
    let inexact = ((lost > 0.0) | (lost < 0.0)) & (bits & 1 == 0);
    let outwards = (lost > 0.0) == (sum > 0.0);
    let step = if outwards { 1 } else { u64::MAX };
    f64::from_bits(bits.wrapping_add(if inexact { step } else { 0 })) as f32
}

/// Compiled with FMA instructions for x86.
#[cfg(all(any(target_arch = "x86", target_arch = "x86_64"), target_feature = "fma"))]
mod target {
    #[cfg(target_arch = "x86")]
    use core::arch::x86::*;
    #[cfg(target_arch = "x86_64")]
    use core::arch::x86_64::*;

    #[inline(always)]
    pub(crate) fn fma_f32(a: f32, b: f32, c: f32) -> f32 {
        // SAFETY: the whole crate is compiled for CPUs with FMA.
        unsafe { _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(a), _mm_set_ss(b), _mm_set_ss(c))) }
    }

    #[inline(always)]
    pub(crate) fn fma_f64(a: f64, b: f64, c: f64) -> f64 {
        // SAFETY: the whole crate is compiled for CPUs with FMA.
        unsafe { _mm_cvtsd_f64(_mm_fmadd_sd(_mm_set_sd(a), _mm_set_sd(b), _mm_set_sd(c))) }
    }
}

/// AArch64 always has it.
#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
mod target {
    use core::arch::aarch64::*;

    #[inline(always)]
    pub(crate) fn fma_f32(a: f32, b: f32, c: f32) -> f32 {
        // SAFETY: the whole crate is compiled for CPUs with NEON.
        unsafe { vget_lane_f32::<0>(vfma_f32(vdup_n_f32(c), vdup_n_f32(a), vdup_n_f32(b))) }
    }

    #[inline(always)]
    pub(crate) fn fma_f64(a: f64, b: f64, c: f64) -> f64 {
        // SAFETY: the whole crate is compiled for CPUs with NEON.
        unsafe { vget_lane_f64::<0>(vfma_f64(vdup_n_f64(c), vdup_n_f64(a), vdup_n_f64(b))) }
    }
}

/// By the functions of [`super::vfp`]; `f64` in software.
#[cfg(arm_vfp)]
mod target {
    pub(crate) use super::super::vfp::{fma as fma_f32, sqrt as sqrt_f32};
    pub(crate) use libm::{fma as fma_f64, sqrt as sqrt_f64};
}

/// RISC-V, whose instructions are allowed in `asm!`.
#[cfg(riscv_f)]
mod target {
    use core::arch::asm;

    macro_rules! instructions {
        ($T:ident, $fma:ident = $fma_text:literal, $sqrt:ident = $sqrt_text:literal) => {
            #[inline(always)]
            pub(crate) fn $fma(a: $T, b: $T, c: $T) -> $T {
                let sum;
                // SAFETY: the target has the instruction; it touches only these registers (and the
                // sticky flags, which nobody reads).
                unsafe {
                    asm!($fma_text, out(freg) sum, in(freg) a, in(freg) b, in(freg) c,
                        options(pure, nomem, nostack));
                }
                sum
            }

            #[inline(always)]
            pub(crate) fn $sqrt(x: $T) -> $T {
                let root;
                // SAFETY: as above.
                unsafe {
                    asm!($sqrt_text, out(freg) root, in(freg) x, options(pure, nomem, nostack));
                }
                root
            }
        };
    }

    instructions!(f32, fma_f32 = "fmadd.s {}, {}, {}, {}", sqrt_f32 = "fsqrt.s {}, {}");
    #[cfg(riscv_d)]
    instructions!(f64, fma_f64 = "fmadd.d {}, {}, {}, {}", sqrt_f64 = "fsqrt.d {}, {}");
    #[cfg(not(riscv_d))]
    pub(crate) use libm::{fma as fma_f64, sqrt as sqrt_f64};
}

#[cfg(not(any(
    arm_vfp,
    riscv_f,
    all(any(target_arch = "x86", target_arch = "x86_64"), target_feature = "fma"),
    all(target_arch = "aarch64", target_feature = "neon")
)))]
mod target {
    #[inline(always)]
    pub(crate) fn fma_f32(a: f32, b: f32, c: f32) -> f32 {
        super::soft_fma_f32(a, b, c)
    }

    #[inline(always)]
    pub(crate) fn fma_f64(a: f64, b: f64, c: f64) -> f64 {
        libm::fma(a, b, c)
    }
}

pub(crate) use target::{fma_f32, fma_f64};

#[cfg(not(any(arm_vfp, riscv_f)))]
pub(crate) use root::{sqrt_f32, sqrt_f64};
#[cfg(any(arm_vfp, riscv_f))]
pub(crate) use target::{sqrt_f32, sqrt_f64};

/// The correctly rounded square root, by the instruction where `core` names it.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
mod root {
    use core::arch::x86_64::*;

    #[inline(always)]
    pub(crate) fn sqrt_f32(x: f32) -> f32 {
        // SAFETY: the whole crate is compiled for CPUs with SSE2.
        unsafe { _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))) }
    }

    #[inline(always)]
    pub(crate) fn sqrt_f64(x: f64) -> f64 {
        // SAFETY: the whole crate is compiled for CPUs with SSE2.
        unsafe { _mm_cvtsd_f64(_mm_sqrt_sd(_mm_setzero_pd(), _mm_set_sd(x))) }
    }
}

/// In software. (Vectors of `wide` have their own.)
#[cfg(not(any(arm_vfp, riscv_f, all(target_arch = "x86_64", target_feature = "sse2"))))]
mod root {
    pub(crate) use libm::{sqrt as sqrt_f64, sqrtf as sqrt_f32};
}
