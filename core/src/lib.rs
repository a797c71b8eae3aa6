//! SIMD kernels for per-example gradient statistics and the optimizers that use them.
#![no_std]

#[cfg(test)]
extern crate std;

mod average;
mod dims;
mod dispatch;
mod element;
mod error;
mod isa;
mod kernel;
mod optim;
pub mod reference;
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
