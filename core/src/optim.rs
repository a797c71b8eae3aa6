//! Configurations of the optimizers, the conventions of other libraries as presets, and the
//! coefficients of one step.
//!
//! A configuration ([`MomentumConfig`], [`RmspropConfig`], [`AdamConfig`]) holds hyper-parameters as
//! `f64`. `step_coeffs(t)` checks them and computes everything that depends only on them and on the
//! step number `t >= 1` once, in `f64`, rounded once to the element type: the *step coefficients*,
//! which the kernels take.
//!
//! # Per step or per example
//! The presets state learning rate and windows *per step*, as the libraries do. A configuration may
//! instead state them *per example*; `at_batch_size(B)` then gives the one of a step of `B` examples:
//! learning rate times `B`, windows divided by `B` (never under 1). With the second moment taken from
//! `grad_sq`, runs at different batch sizes then follow one curve over examples seen.

mod adam;
mod momentum;
mod rmsprop;

pub use adam::{AdamCoeffs, AdamConfig, AmsGrad};
pub use momentum::{MomentumCoeffs, MomentumConfig, MomentumForm};
pub use rmsprop::{RmspropCoeffs, RmspropConfig};

use crate::{Element, Error};

/// Weight decay.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Decay {
    /// None.
    #[default]
    None,
    /// `grad += decay * param` before anything else, so that the averages see it (PyTorch's
    /// `weight_decay` in SGD, RMSprop and Adam). A second moment given as a slice does not see it.
    Coupled(f64),
    /// `param -= lr * decay * param` beside the step (AdamW; Loshchilov and Hutter, "Decoupled weight
    /// decay regularization", 2019; Keras' `weight_decay` everywhere).
    Decoupled(f64),
}

/// Where epsilon stands in the denominator. `v` is the second moment, `v^ = v / (1 - beta^t)` the
/// corrected one (the same without [`WarmUp::Debias`](crate::WarmUp::Debias)).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Epsilon {
    /// `sqrt(v^) + eps` (PyTorch, optax `eps`).
    Outside(f64),
    /// `sqrt(v) + eps`, the corrections moved to the learning rate: the "epsilon hat" of Kingma and
    /// Ba, section 2 (Keras' Adam).
    Hat(f64),
    /// `sqrt(v^ + eps)` (optax `eps_root`; Keras' and optax' RMSProp).
    Inside(f64),
    /// `sqrt(v^ + inside) + outside` (optax, both given).
    Both {
        /// Added under the root.
        inside: f64,
        /// Added to the root.
        outside: f64,
    },
}

impl Epsilon {
    /// `(inside, outside)`, checked: finite, not negative, and not rounded to 0 in `T` unless 0.
    fn rounded<T: Element>(self) -> Result<(T, T), Error> {
        let (inside, outside) = match self {
            Epsilon::Outside(e) | Epsilon::Hat(e) => (0.0, e),
            Epsilon::Inside(e) => (e, 0.0),
            Epsilon::Both { inside, outside } => (inside, outside),
        };
        let one = |e: f64| {
            let rounded: T = non_negative("epsilon", e)?;
            if rounded == T::ZERO && e != 0.0 {
                let need = "representable in the element type: it rounds to 0 there";
                return Err(Error::Hyper { arg: "epsilon", got: e, need });
            }
            Ok(rounded)
        };
        Ok((one(inside)?, one(outside)?))
    }
}

/// Where the learning rate stands in a momentum buffer. It matters when the rate changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LrPlacement {
    /// The buffer sums gradients, the rate multiplies the buffer (PyTorch, burn, optax' `sgd`).
    #[default]
    Outside,
    /// The buffer sums steps that were already multiplied (Keras; optax' `rmsprop`).
    Inside,
}

/// Decay as the kernels see it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum DecayCoeff<T> {
    None,
    /// `g = fma(coefficient, p, g)`
    Coupled(T),
    /// `p = fma(-coefficient, p, p)`
    Decoupled(T),
}

impl Decay {
    fn rounded<T: Element>(self, lr: f64) -> Result<DecayCoeff<T>, Error> {
        Ok(match self {
            Decay::None => DecayCoeff::None,
            Decay::Coupled(d) => DecayCoeff::Coupled(non_negative("weight_decay", d)?),
            Decay::Decoupled(d) => {
                non_negative::<T>("weight_decay", d)?;
                DecayCoeff::Decoupled(finite("lr * weight_decay", lr * d)?)
            }
        })
    }
}

/// Rounds to the element type; refused unless finite before and after.
fn finite<T: Element>(arg: &'static str, value: f64) -> Result<T, Error> {
    let rounded = T::from_f64(value);
    if rounded.is_finite() {
        Ok(rounded)
    } else {
        Err(Error::Hyper { arg, got: value, need: "finite in the element type" })
    }
}

/// The same, and not negative.
fn non_negative<T: Element>(arg: &'static str, value: f64) -> Result<T, Error> {
    if value < 0.0 {
        return Err(Error::Hyper { arg, got: value, need: "at least 0" });
    }
    finite(arg, value)
}

/// Steps are counted from 1.
fn check_step(t: u64) -> Result<(), Error> {
    if t >= 1 { Ok(()) } else { Err(Error::Hyper { arg: "t", got: 0.0, need: "at least 1" }) }
}
