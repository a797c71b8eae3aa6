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
//! | whether a machine of yours gives it | `self_test`, with the feature `self-test` |
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
//! # Error bounds
//!
//! Unless something overflows, every element of every sum is as near to its exact value as
//!
//! ```text
//! |computed - exact| <= gamma_n M + (1 + gamma_n) E        gamma_n = n u / (1 - n u)
//! ```
//!
//! where `u` is `2^-24` for `f32` and `2^-53` for `f64`, `n` counts the roundings on the longest way from
//! an input to the result, `M` is the sum of the magnitudes of all terms, and `E` gathers what is lost by
//! products that underflow: at most `h` each, half the smallest subnormal number (`2^-150`, `2^-1075`).
//! `E` hardly counts unless products are subnormal. (`n u < 1` is needed.)
//!
//! | result | `n` | `M` | `E` |
//! | --- | --- | --- | --- |
//! | [`per_example_grad`] | `T + w` | `m` | `e` |
//! | [`grad()`] | `B T + w + s` | `sum_b m` | `sum_b e` |
//! | [`moments()`]: `grad` | `T + B - 1 + r + w + s` | `sum_b m` | `sum_b e` |
//! | [`moments()`]: `grad_sq` | `2 T + B + 2 w + s` | `sum_b m^2` | `sum_b q` |
//! | [`bias_grad`] | `B T - 1 + r + w + s` | `sum_b m` | `sum_b e` |
//! | [`bias_moments`]: `grad` | `T + B - 2 + r + w + s` | `sum_b m` | `sum_b e` |
//! | [`bias_moments`]: `grad_sq` | `2 (T - 1) + B + 2 w + s` | `sum_b m^2` | `sum_b q` |
//! | [`reduce()`]: `sum` | `B - 1 + r + s` | `sum_b \|rows\|` | 0 |
//! | [`reduce()`]: `sum_sq` | `B + s` | `sum_b rows^2` | `B h` |
//! | [`sq_norms`], `T = 1` | `ceil(J/16) + ceil(I/16) + 9 + 2 w + r` | `D X` | `D I h + D_e X + D_e I h + h` |
//! | [`sq_norms`], else | `J ceil(I/16) + 4 + 2 T + 2 w + r` | `sum_ji m^2` | `sum_ji q` |
//! | [`bias_sq_norms`] | `ceil(J/16) + 4 + 2 (T - 1) + 2 w + r` | `sum_j m^2` | `sum_j q` |
//! | [`forward`] | `ceil(I/16) + 4 + r`, 1 more with a bias | `\|bias\| + sum_i \|W x\|` | `I h` |
//! | [`input_grad`] | `J` | `sum_j \|W dy\|` | `J h` |
//!
//! * `w` is 1 with example weights, `s` is 1 with a `scale` (as rounded to the element type), `r` is 1
//!   where the sum resumes from what the output holds; otherwise they are 0. Negative `n` count as 0.
//! * `m = sum_t |c dy x|` and `e = T h + w h sum_t |x|`, for the bias `m = sum_t |c dy|` and `e = w T h`;
//!   `q = 2 m e + e^2 + h` is the `E` of a square. `D = sum_j (c dy)^2`, `X = sum_i x^2`, `D_e = sum_j q`
//!   of the bias.
//! * Where the sum resumes, the magnitude of what the output held is one more term of `M`. A `scale`
//!   multiplies `M` and `E`, and adds `h` to `E`.
//!
//! Why: an operation whose result is rounded once gives the exact one times `1 + d`, `|d| <= u`, plus at
//! most `h` if it underflows, which additions alone never do; so a term that passes through `n`
//! operations ends up multiplied by `1 + theta`, `|theta| <= gamma_n`. A fold of `fma` rounds once a
//! term, so its first passes through as many as there are terms; an addition to `+0` is exact; in a sum
//! of 16 lanes a term passes through those of its lane and the four of the tree. Squaring doubles what
//! the root has seen. (N. J. Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd edition, 2002,
//! sections 2.2, 3.1 and 4.2.)
//!
//! `grad_sq`, `sum_sq` and the norms sum squares, so with `T = 1` (and nothing to resume but what is not
//! negative) `M` is the exact result itself and the bound is relative: the sum of 256 squares in `f32` is
//! right to `gamma_258`, 1.54e-5, whatever the gradients. In sums with signs, cancellation makes
//! the exact result much smaller than `M`. The bounds are tested on every instruction set against exact
//! arithmetic; sums of `1` and then `u`, again and again, take up more than three quarters of them.
//!
//! # Speed
//!
//! [`Isa::detect`] picks the fastest instruction set that the CPU has; on x86-64 those are AVX2 with FMA
//! and AVX-512, whatever the crate was compiled for. Elsewhere the portable backend is NEON, wasm SIMD
//! or one element at a time, by the compilation target; on Cortex-M4F, M33, M7 and RISC-V with the FPU's fused
//! multiply-add. Where there is none (x86-64 without FMA, wasm, no FPU) it is computed in software, and slow.
//!
//! Cargo does not optimise dependencies in debug builds: kernels take 30 to 80 times as long then, and with
//! AVX-512 up to 512 KiB of stack instead of 128. This in the `Cargo.toml` of your workspace has them
//! optimised, for a few minutes of compilation, once:
//!
//! ```toml
//! [profile.dev.package.pergrad-core]
//! opt-level = 3
//! ```
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
pub use kernel::forward::forward;
pub use kernel::input_grad::input_grad;
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
