//! Per-example gradient statistics and the optimizers that use them.
//!
//! A gradient averaged over a batch has forgotten how much the examples disagreed. Adam and RMSProp
//! square that average, so their second moment shrinks as the batch grows, and a tuned run falls apart
//! at another batch size. pergrad computes the mean of the *squares of the per-example gradients*,
//! `grad_sq`, in the same sweep as the gradient, and can apply the optimizer in that sweep too.
//!
//! ```
//! use pergrad::{AdamConfig, LayerBatch, LayerOptimizer, Linear, Tensor, Window};
//!
//! let mut layer = Linear::<f32>::init(1, 2, true, 7)?; // 2 inputs, 1 output, a bias, a seed
//! // Hyper-parameters per example; `at_batch_size` turns them into those of a step.
//! let config = AdamConfig::new(5e-3, Window::new(100.0)?, Window::new(1000.0)?);
//! let mut adam = LayerOptimizer::new(config.at_batch_size(4), &layer)?;
//!
//! let x = Tensor::from_slice(&[4, 2], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.5, 0.5])?;
//! let target = [1.0, -1.0, 0.0, 0.0];
//! let loss = |y: &Tensor<f32>| y.as_slice().iter().zip(target).map(|(y, t)| (y - t).powi(2)).sum::<f32>();
//! let before = loss(&layer.forward(&x)?);
//! for _ in 0..200 {
//!     let y = layer.forward(&x)?;
//!     // The gradient of each example's own loss, neither summed nor averaged over the batch.
//!     let dy = Tensor::from_fn(y.shape(), |b| 2.0 * (y.as_slice()[b] - target[b]))?;
//!     adam.step_layer(&mut layer, LayerBatch::new(&x, &dy))?;
//! }
//! assert!(loss(&layer.forward(&x)?) < 0.1 * before);
//! # Ok::<(), pergrad::Error>(())
//! ```
//!
//! # The parts
//! * [`Tensor`]: an owning array with checked shapes.
//! * [`Linear`]: a layer, its forward and backward pass, and all statistics of its gradients over a
//!   [`LayerBatch`]: [`grad`](Linear::grad), [`moments`](Linear::moments),
//!   [`per_example_grad`](Linear::per_example_grad), [`sq_norms`](Linear::sq_norms).
//! * [`MomentsSum`] folds micro-batches, [`population_variance`] and [`sample_variance`] turn moments
//!   into the variance of the per-example gradients.
//! * [`Momentum`], [`Rmsprop`], [`Adam`] step one tensor; [`LayerOptimizer`] steps a whole layer, from
//!   gradients or straight from the batch.
//! * `Checkpoint` (with the feature `checkpoint`, on by default) saves and restores all of these, in the
//!   safetensors format.
//! * [`self_test()`]: whether this machine gives the promised bits.
//! * [`core`]: the kernels over slices, for those who bring their own memory.
//!
//! # Same bits everywhere
//! Results depend on the inputs alone: not on the instruction set ([`isa`]), the number of threads, or
//! how a batch is cut into micro-batches. With the feature `rayon` (on by default) large work is split
//! by rows of the weights over the current thread pool; small work stays on the calling thread.
//!
//! # Debug builds
//! Cargo optimises no dependency in them, and kernels are slow then, unless the `Cargo.toml` of your workspace has
//! `pergrad-core` optimised: see "Speed" in [`core`].
//!
//! # Units
//! `dy` is always the gradient of each example's own loss. What divides by the batch is the
//! [`Scale`] of a [`LayerBatch`], [`Scale::Mean`] unless set otherwise.
#![deny(unsafe_code)]

mod batch;
#[cfg(feature = "checkpoint")]
mod checkpoint;
mod error;
mod isa;
mod linear;
#[allow(unsafe_code, reason = "the allocation behind a tensor, and nothing else")]
mod memory;
#[cfg(feature = "ndarray")]
mod ndarray;
mod optimizer;
mod parallel;
mod scratch;
mod self_test;
mod statistics;
mod tensor;

pub use batch::{LayerBatch, Params, Scale};
#[cfg(feature = "checkpoint")]
pub use checkpoint::{Checkpoint, Restore, Stateful};
pub use error::Error;
pub use isa::isa;
pub use linear::Linear;
pub use optimizer::{Adam, Adaptive, LayerOptimizer, Momentum, Optimizer, Rmsprop, Rule};
pub use self_test::{Check, self_test};
pub use statistics::{Moments, MomentsSum, population_variance, sample_variance};
pub use tensor::Tensor;

/// The kernels over slices: `pergrad-core`.
pub use pergrad_core as core;
pub use pergrad_core::{
    AdamConfig, AmsGrad, Decay, Dims, Element, Epsilon, Fold, Isa, LrPlacement, MomentumConfig,
    MomentumForm, NonFinite, RmspropConfig, SecondMoment, Start, WarmUp, Window,
};

// Everything can be moved to and shared between threads.
const _: () = {
    const fn send_sync<T: Send + Sync>() {}
    send_sync::<Error>();
    send_sync::<Tensor<f32>>();
    send_sync::<Linear<f64>>();
    send_sync::<LayerBatch<'_, f32>>();
    send_sync::<Params<f32>>();
    send_sync::<Moments<f32>>();
    send_sync::<MomentsSum<f64>>();
    send_sync::<Momentum<f32>>();
    send_sync::<Rmsprop<f64>>();
    send_sync::<LayerOptimizer<f32, AdamConfig>>();
};
