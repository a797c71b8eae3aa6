//! SIMD kernels for per-example gradient statistics and the optimizers that use them, from a
//! Cortex-M4 to an AVX-512 server, with the same bits on all of them.
//!
//! A gradient averaged over a batch has forgotten how much the examples disagreed. For a linear layer
//! `y[b,j] += W[j,i] x[b,i]` this crate computes, in one sweep over `x` and the output gradients `dy` of
//! each example, both the averaged gradient and the mean of the *squared per-example gradients*, and
//! can apply momentum, RMSProp or Adam to each tile of weights while its gradients are still in cache.
//! No allocation, no panics, no standard library. (The `pergrad` crate wraps it with owning tensors for
//! people on an operating system.)
//!
//! # A step of training
//!
//! ```
//! use pergrad_core::*;
//!
//! let isa = Isa::detect(); // once
//! let dims = Dims::new(4, 2, 3); // B examples, J outputs, I inputs
//! let x = [1.0f32, 0.0, 2.0, 0.5, 1.0, 1.0, -1.0, 2.0, 0.0, 1.0, 1.0, 1.0]; // [B, I]
//! let (mut weight, mut exp_avg, mut exp_avg_sq) = ([0.1; 6], [0.0; 6], [0.0; 6]); // [J, I]
//!
//! // Hyper-parameters per example: the same curve whatever the batch size.
//! let adam = AdamConfig::new(1e-2, Window::new(64.0)?, Window::new(640.0)?).at_batch_size(4);
//! let mut y = [0.0; 8]; // [B, J]
//! for t in 1..=100 {
//!     forward(isa, dims, &x, &weight, None, Start::Fresh, &mut y)?;
//!     let dy = y.map(|y| y - 1.0); // of sum (y - 1)^2 / 2, per example: not divided by B
//!     let layer = LayerStep::mean(Batch::new(dims, &x, &dy));
//!     let state = AdamState::new(&mut exp_avg, &mut exp_avg_sq);
//!     step_adam(isa, &layer, Part::Weight, &adam.step_coeffs(t)?, &mut weight, state, &mut [])?;
//! }
//! assert!(y.iter().all(|y| (y - 1.0).abs() < 0.3));
//! # Ok::<(), Error>(())
//! ```
//!
//! # Words and layouts
//!
//! | word | meaning | layout |
//! | --- | --- | --- |
//! | `batch` B, `steps` T, `outputs` J, `inputs` I | the extents, [`Dims`]; T = 1 unless weights are shared over time or space | |
//! | `x` | layer input | `[B, T, I]`, row-major |
//! | `y`, `dy` | layer output, and its gradient *per example* (loss summed, not averaged, over the batch) | `[B, T, J]` |
//! | `weight` | `W[j, i]`, as `nn.Linear.weight` | `[J, I]` |
//! | `per_example_grad` | `G[b,j,i] = sum_t dy[b,t,j] x[b,t,i]` | `[B, J, I]` |
//! | `grad`, `grad_sq` | `sum_b G` and `sum_b G^2`, each times a `scale` of the caller's (1/B by convention) | `[J, I]` |
//! | `exp_avg`, `exp_avg_sq` | running averages of the gradient and of the second moment | as the parameters |
//! | window `N` | length of a running average in samples; `beta = 1 - 1/N`, [`Window`] | |
//!
//! # A map
//!
//! | to compute | call |
//! | --- | --- |
//! | the layer's output; the gradient of its input | [`forward`], [`input_grad`] |
//! | gradient statistics in one sweep; the gradient alone | [`moments()`], [`grad()`]; of the bias [`bias_moments`], [`bias_grad`] |
//! | per-example gradients in memory; their sums | [`per_example_grad`], [`reduce()`] |
//! | per-example norms, for clipping | [`sq_norms`], [`bias_sq_norms`] |
//! | an optimizer step from a gradient in memory | [`update_momentum`], [`update_rmsprop`], [`update_adam`] |
//! | statistics and step in one sweep | [`step_momentum`], [`step_rmsprop`], [`step_adam`] |
//! | what any of these must give, in plain loops | [`mod@reference`] |
//!
//! Every function checks its lengths first and returns a [`Result`]; on an error nothing has been
//! written. Outputs marked *out* are overwritten and never read. Kernels that gain from it take
//! `scratch` memory of any length; [`scratch_len`] tells how much is worth giving, and none works.
//!
//! # One arithmetic
//!
//! Every backend, tile size and way of cutting a batch gives the same bits, except that a NaN is only
//! promised to be a NaN. The plain loops of [`mod@reference`] are the specification:
//!
//! 1. Elements are `f32` or `f64`, IEEE 754, rounded to nearest even, subnormals kept. Division and
//!    square root are correctly rounded. The floating-point environment is never touched (and must be
//!    the default one).
//! 2. `fma(a, b, c)` rounds once, on every target. Where the hardware has no such instruction (SSE2,
//!    wasm, no FPU) it is computed exactly in software: correct first, slow there.
//! 3. Sums over the batch and over steps are folds in index order, per output element:
//!    `g` is the rounded product `dy[b,0,j] x[b,0,i]`, then `g = fma(dy[b,t,j], x[b,t,i], g)` (`+0`
//!    where T = 0); `sum = sum + g` and `sum_sq = fma(g, g, sum_sq)` with `b` ascending, from `+0` or
//!    from what the output holds, so that micro-batches continue one fold. Example weights multiply `dy`
//!    first, rounded. The final `scale` multiplies once. [`grad()`] alone is the ordinary matrix product,
//!    `fma(dy, x, sum)` over `b` and `t`; its last bits differ from those of [`moments()`].
//! 4. Reductions along a contiguous axis (the forward product, norms) use 16 virtual lanes: lane `l`
//!    folds with `fma` the elements `k` with `k mod 16 = l`; then lanes `l` and `l + 8` are added, `+ 4`,
//!    `+ 2`, `+ 1`. The same 16 on every instruction set and for both types.
//! 5. Running averages move by difference: `avg = fma(alpha, x - avg, avg)`, or `avg = x` where
//!    `alpha = 1`. A constant input is a fixed point to the bit; an average of squares never turns
//!    negative.
//! 6. Hyper-parameters are `f64`. What depends only on them and on the step number is computed once in
//!    `f64` and rounded once (`step_coeffs`); `expm1` and `log1p` come from `libm` on every platform.
//!
//! # Speed
//!
//! [`Isa::detect`] picks the fastest instruction set that the CPU has; on x86-64 those are AVX2 with FMA
//! and AVX-512, whatever the crate was compiled for. Elsewhere the portable backend is NEON, wasm SIMD
//! or scalars, by the compilation target. On x86-64 without FMA the portable backend is slow.
#![no_std]

mod average;
mod dims;
mod dispatch;
mod element;
mod error;
mod isa;
mod kernel;
mod optim;
pub mod reference;
#[cfg(feature = "self-test")]
pub mod self_test;
pub mod simd;
mod state;

pub use average::{WarmUp, Window};
pub use dims::{Batch, Dims, Fold, Start};
pub use element::Element;
pub use error::Error;
pub use isa::Isa;
pub use kernel::bias::{bias_grad, bias_moments};
pub use kernel::linear::{forward, input_grad};
pub use kernel::moments::{grad, moments, scratch_len};
pub use kernel::norms::{bias_sq_norms, sq_norms};
pub use kernel::outer::per_example_grad;
pub use kernel::reduce::reduce;
pub use kernel::step::{LayerStep, Part, step_adam, step_momentum, step_rmsprop};
pub use kernel::update::{NonFinite, update_adam, update_momentum, update_rmsprop};
pub use optim::{
    AdamCoeffs, AdamConfig, AmsGrad, Decay, Epsilon, LrPlacement, MomentumCoeffs, MomentumConfig,
    MomentumForm, RmspropCoeffs, RmspropConfig,
};
pub use state::{AdamState, RmspropState, SecondMoment};
