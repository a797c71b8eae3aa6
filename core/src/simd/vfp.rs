//! The single-precision unit of Cortex-M4F, M33 and M7, in assembly: the compiler cannot be told on
//! stable Rust to use its fused multiply-add.
//!
//! Two instructions as functions, for whatever is not hot; and the inner loops of the kernels in which a
//! training step spends its time. Registers are those of the ARM procedure call standard: `s0`..`s15`
//! are free, `s16`..`s31` are saved. Every loop is tested like any other backend, on an ARM Linux with the
//! same instructions and, by the self-test, on the microcontroller.

use core::arch::naked_asm;

use super::{AdamLoop, Loops, TileLoop};

/// Tells the assembler, which looks at the target's CPU only.
macro_rules! fpu {
    () => {
        ".fpu fpv4-sp-d16"
    };
}

/// `a * b + c`, rounded once.
#[unsafe(naked)]
pub(crate) extern "C" fn fma(a: f32, b: f32, c: f32) -> f32 {
    naked_asm!(fpu!(), "vfma.f32 s2, s0, s1", "vmov.f32 s0, s2", "bx lr")
}

/// The correctly rounded square root.
#[unsafe(naked)]
pub(crate) extern "C" fn sqrt(x: f32) -> f32 {
    naked_asm!(fpu!(), "vsqrt.f32 s0, s0", "bx lr")
}

/// All of them.
pub(super) const LOOPS: Loops<f32> =
    Loops { grad: [grad_1x4, grad_2x4], moments: [moments_1x4, moments_2x4], dot, adam };

/// Loads a [`TileLoop`]: r1 `x`, r2 its stride, r3 `dy`, r4 its stride, r5 `dy` of the second row, r6 the
/// depth, r7 and r8 the sums, s6 the weight.
macro_rules! enter_tile {
    () => {
        "push {{r4, r5, r6, r7, r8, lr}}
         vpush {{s16-s31}}
         ldm r0, {{r1, r2, r3, r4, r5, r6, r7, r8}}
         vldr s6, [r0, #32]
         add r5, r3, r5"
    };
}

macro_rules! leave_tile {
    () => {
        "vpop {{s16-s31}}
         pop {{r4, r5, r6, r7, r8, pc}}"
    };
}

/// The next `x[0..4]` to s0 to s3, and `c dy` of the first row to s4.
macro_rules! next_row {
    () => {
        "vldm r1, {{s0-s3}}
         add r1, r1, r2
         vldr s4, [r3]
         add r3, r3, r4
         vmul.f32 s4, s6, s4"
    };
}

/// `c dy` of the second row to s5.
macro_rules! next_second_row {
    () => {
        "vldr s5, [r5]
         add r5, r5, r4
         vmul.f32 s5, s6, s5"
    };
}

/// `sum = fma(dy, x, sum)`, one row of four.
#[unsafe(naked)]
unsafe extern "C" fn grad_1x4(job: &TileLoop<f32>) {
    naked_asm!(
        fpu!(),
        enter_tile!(),
        "vldm r7, {{s8-s11}}
         cbz r6, 3f
         2:",
        next_row!(),
        "vfma.f32 s8, s4, s0
         vfma.f32 s9, s4, s1
         vfma.f32 s10, s4, s2
         vfma.f32 s11, s4, s3
         subs r6, r6, #1
         bne 2b
         3:
         vstm r7, {{s8-s11}}",
        leave_tile!(),
    )
}

/// The same, two rows of four.
#[unsafe(naked)]
unsafe extern "C" fn grad_2x4(job: &TileLoop<f32>) {
    naked_asm!(
        fpu!(),
        enter_tile!(),
        "vldm r7, {{s8-s15}}
         cbz r6, 3f
         2:",
        next_row!(),
        next_second_row!(),
        "vfma.f32 s8, s4, s0
         vfma.f32 s9, s4, s1
         vfma.f32 s10, s4, s2
         vfma.f32 s11, s4, s3
         vfma.f32 s12, s5, s0
         vfma.f32 s13, s5, s1
         vfma.f32 s14, s5, s2
         vfma.f32 s15, s5, s3
         subs r6, r6, #1
         bne 2b
         3:
         vstm r7, {{s8-s15}}",
        leave_tile!(),
    )
}

/// `g = dy x`, `sum = sum + g`, `sum_sq = fma(g, g, sum_sq)`, one row of four.
#[unsafe(naked)]
unsafe extern "C" fn moments_1x4(job: &TileLoop<f32>) {
    naked_asm!(
        fpu!(),
        enter_tile!(),
        "vldm r7, {{s8-s11}}
         vldm r8, {{s16-s19}}
         cbz r6, 3f
         2:",
        next_row!(),
        "vmul.f32 s24, s4, s0
         vmul.f32 s25, s4, s1
         vmul.f32 s26, s4, s2
         vmul.f32 s27, s4, s3
         vadd.f32 s8, s8, s24
         vadd.f32 s9, s9, s25
         vadd.f32 s10, s10, s26
         vadd.f32 s11, s11, s27
         vfma.f32 s16, s24, s24
         vfma.f32 s17, s25, s25
         vfma.f32 s18, s26, s26
         vfma.f32 s19, s27, s27
         subs r6, r6, #1
         bne 2b
         3:
         vstm r7, {{s8-s11}}
         vstm r8, {{s16-s19}}",
        leave_tile!(),
    )
}

/// The same, two rows of four.
#[unsafe(naked)]
unsafe extern "C" fn moments_2x4(job: &TileLoop<f32>) {
    naked_asm!(
        fpu!(),
        enter_tile!(),
        "vldm r7, {{s8-s15}}
         vldm r8, {{s16-s23}}
         cbz r6, 3f
         2:",
        next_row!(),
        next_second_row!(),
        "vmul.f32 s24, s4, s0
         vmul.f32 s25, s4, s1
         vmul.f32 s26, s4, s2
         vmul.f32 s27, s4, s3
         vmul.f32 s28, s5, s0
         vmul.f32 s29, s5, s1
         vmul.f32 s30, s5, s2
         vmul.f32 s31, s5, s3
         vadd.f32 s8, s8, s24
         vadd.f32 s9, s9, s25
         vadd.f32 s10, s10, s26
         vadd.f32 s11, s11, s27
         vadd.f32 s12, s12, s28
         vadd.f32 s13, s13, s29
         vadd.f32 s14, s14, s30
         vadd.f32 s15, s15, s31
         vfma.f32 s16, s24, s24
         vfma.f32 s17, s25, s25
         vfma.f32 s18, s26, s26
         vfma.f32 s19, s27, s27
         vfma.f32 s20, s28, s28
         vfma.f32 s21, s29, s29
         vfma.f32 s22, s30, s30
         vfma.f32 s23, s31, s31
         subs r6, r6, #1
         bne 2b
         3:
         vstm r7, {{s8-s15}}
         vstm r8, {{s16-s23}}",
        leave_tile!(),
    )
}

/// `lane[l] = fma(w[k], x[k], lane[l])` for 16 lanes and `16 n` elements.
#[unsafe(naked)]
unsafe extern "C" fn dot(x: *const f32, w: *const f32, n: usize, lanes: *mut f32) {
    naked_asm!(
        fpu!(),
        "vpush {{s16-s31}}
         vldm r3, {{s16-s31}}
         cbz r2, 3f
         2:
         vldmia r0!, {{s0-s7}}
         vldmia r1!, {{s8-s15}}
         vfma.f32 s16, s8, s0
         vfma.f32 s17, s9, s1
         vfma.f32 s18, s10, s2
         vfma.f32 s19, s11, s3
         vfma.f32 s20, s12, s4
         vfma.f32 s21, s13, s5
         vfma.f32 s22, s14, s6
         vfma.f32 s23, s15, s7
         vldmia r0!, {{s0-s7}}
         vldmia r1!, {{s8-s15}}
         vfma.f32 s24, s8, s0
         vfma.f32 s25, s9, s1
         vfma.f32 s26, s10, s2
         vfma.f32 s27, s11, s3
         vfma.f32 s28, s12, s4
         vfma.f32 s29, s13, s5
         vfma.f32 s30, s14, s6
         vfma.f32 s31, s15, s7
         subs r2, r2, #1
         bne 2b
         3:
         vstm r3, {{s16-s31}}
         vpop {{s16-s31}}
         bx lr"
    )
}

/// Adam without AMSGrad, Nesterov and coupled decay: r1 parameters left, r2 the parameters, r3 `exp_avg`,
/// r4 `exp_avg_sq`, r5 the gradient, r6 the second moment or null, r7 whether there is decay; s0 to s6 the
/// coefficients.
#[unsafe(naked)]
unsafe extern "C" fn adam(job: &AdamLoop<f32>) {
    naked_asm!(
        fpu!(),
        "push {{r4, r5, r6, r7, lr}}
         ldmia r0!, {{r1, r2, r3, r4, r5, r6, r7}}
         vldm r0, {{s0-s6}}
         cbz r1, 6f
         2:
         vldr s8, [r2]
         vldmia r5!, {{s9}}
         cbz r6, 3f
         vldmia r6!, {{s10}}
         b 4f
         3:
         vmul.f32 s10, s9, s9
         4:
         cbz r7, 5f
         vfma.f32 s8, s6, s8
         5:
         vldr s11, [r3]
         vsub.f32 s12, s9, s11
         vfma.f32 s11, s0, s12
         vstmia r3!, {{s11}}
         vldr s12, [r4]
         vsub.f32 s13, s10, s12
         vfma.f32 s12, s1, s13
         vstmia r4!, {{s12}}
         vmul.f32 s12, s12, s2
         vadd.f32 s12, s12, s3
         vsqrt.f32 s12, s12
         vadd.f32 s12, s12, s4
         vdiv.f32 s11, s11, s12
         vfma.f32 s8, s5, s11
         vstmia r2!, {{s8}}
         subs r1, r1, #1
         bne 2b
         6:
         pop {{r4, r5, r6, r7, pc}}"
    )
}
