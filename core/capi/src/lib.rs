//! pergrad: SIMD kernels for per-example gradient statistics of linear layers, and the optimizers that
//! use them. No allocation, no global state, no thread of its own; the same bits on every target.
//!
//! Words and layouts. All arrays are row-major and dense.
//!
//! ```text
//! batch B, steps T, outputs J, inputs I   the extents; T = 1 unless weights are shared over time
//!                                         or space
//! x                 [B, T, I]   layer input
//! y, dy             [B, T, J]   layer output, and its gradient PER EXAMPLE: of the loss summed,
//!                               not averaged, over the batch
//! weight            [J, I]      y[b,t,j] = sum_i weight[j,i] x[b,t,i]
//! per_example_grad  [B, J, I]   G[b,j,i] = sum_t dy[b,t,j] x[b,t,i]
//! grad, grad_sq     [J, I]      sum_b G and sum_b G^2, each times a scale of the caller's, 1/B by
//!                               convention
//! window N                      length of a running average; beta = 1 - 1/N
//! ```
//!
//! Arrays. Every array is a pointer and its number of elements, so that a wrong size is an error with
//! a name and not a stray write, also where the extents would tell the size. NULL with length 0 is an
//! empty array; where an array is optional, it is none. A NULL with another length, a pointer that is
//! not aligned to its type, and an array that is written and overlaps another are refused. What cannot
//! be checked is the caller's duty: that so many elements are there (initialised, except those of
//! arrays marked "out"), that nothing else writes to them during the call, and that structures lent as
//! pointers are as they were filled.
//!
//! Errors. A function that can fail returns a pergrad_error, PERGRAD_OK on success. Everything is
//! checked first: on an error nothing was written, but to *info. `info` may be NULL; otherwise an error
//! fills it with the argument's name, what it was and what was needed. On success it is left alone.
//! Functions on arrays fail with PERGRAD_ERROR_NULL, _MISALIGNED, _LENGTH, _OVERFLOW, _OVERLAP, _ENUM, _ISA
//! and, for a scale of 0, _HYPER; updates and steps also with _COEFFS and, if asked to, _NON_FINITE.
//! Other errors are told at the functions.
//!
//! Fresh and resumed. With PERGRAD_START_FRESH outputs are overwritten and never read, so they may
//! hold anything. With PERGRAD_START_RESUME the fold goes on from what they hold: micro-batches, in
//! order, give the bits of one batch.
//!
//! Scale. The finished sums are multiplied once by `scale`: 1 for the sum, 1.0 / B for the average. 0
//! is refused, since it is what a forgotten field holds.
//!
//! Scratch. Kernels that gain from it take scratch memory of any length; pergrad_scratch_len() tells
//! how much is worth giving, and NULL with 0 works. What it holds after a call means nothing, and it
//! is written only where the call succeeds or, in a checked step, ends with PERGRAD_ERROR_NON_FINITE.
//!
//! Arithmetic. Multiply-adds are fused, sums are folds in index order, division and square root are
//! correctly rounded, subnormals are kept: every instruction set gives the same bits. The
//! floating-point environment must be the default one.
//!
//! Threads. Functions may be called from any thread at once, on arrays of their own.
#![cfg_attr(target_os = "none", no_std)]
// Names are as C programs see them, the one safety contract stands above, and [J] is a shape.
#![allow(non_camel_case_types, clippy::missing_safety_doc, rustdoc::broken_intra_doc_links)]

#[macro_use]
mod stamp;

mod args;
mod coeffs;
mod config;
mod error;
mod isa;
mod layer;
mod linear;
mod moments;
mod norms;
mod self_test;
mod step;
mod update;

pub use coeffs::*;
pub use config::adam::*;
pub use config::momentum::*;
pub use config::rmsprop::*;
pub use config::*;
pub use error::*;
pub use isa::*;
pub use layer::*;
pub use linear::*;
pub use moments::*;
pub use norms::*;
pub use self_test::*;
pub use step::*;
pub use update::*;

/// Bare metal has nobody to tell. The kernels do not panic, and the linker drops this.
#[cfg(all(target_os = "none", not(test)))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
