//! What the optimizers differ in: the arrays they keep, and which kernels they call.

use std::fmt::Debug;

use pergrad_core::{
    AdamCoeffs, AdamConfig, AdamState, AmsGrad, Element, Error, Isa, LayerStep, MomentumCoeffs,
    MomentumConfig, NonFinite, Part, RmspropCoeffs, RmspropConfig, RmspropState,
};

use super::settings::Settings;

/// The most arrays that an optimizer keeps.
pub(crate) const SLOTS: usize = 3;

/// One array of an optimizer's state.
#[derive(Debug, Clone, Copy, PartialEq)]
#[doc(hidden)]
pub struct Slot {
    /// Its name, as in checkpoints.
    pub name: &'static str,
    /// What it is filled with before the first step; none if the configuration does not keep it.
    pub initial: Option<f64>,
}

/// The mutable part of a step: the parameters and the state, which is empty where it is not kept.
type Arrays<'a, T> = (&'a mut [T], [&'a mut [T]; SLOTS]);

/// A configuration that an [`Optimizer`](super::Optimizer) can follow: [`MomentumConfig`],
/// [`RmspropConfig`] or [`AdamConfig`]. Sealed.
///
/// ```
/// use pergrad::{AdamConfig, Optimizer, Rule};
/// fn for_batch<R: Rule>(per_example: R, batch: usize) -> Result<Optimizer<f32, R>, pergrad::Error> {
///     Optimizer::new(Rule::at_batch_size(per_example, batch), &[10, 64])
/// }
/// assert_eq!(for_batch(AdamConfig::torch(1e-4)?, 8)?.lr(), 8e-4);
/// # Ok::<(), pergrad::Error>(())
/// ```
pub trait Rule: Copy + PartialEq + Debug + Send + Sync + Settings + 'static {
    /// The coefficients of one step.
    #[doc(hidden)]
    type Coeffs<T: Element>: Sync;

    /// The configuration of a step of `batch` examples, of one stated per example.
    fn at_batch_size(self, batch: usize) -> Self;

    /// The learning rate.
    fn lr(&self) -> f64;

    /// The same with another learning rate.
    fn with_lr(self, lr: f64) -> Self;

    #[doc(hidden)]
    fn slots(&self) -> [Slot; SLOTS];

    #[doc(hidden)]
    fn coeffs<T: Element>(&self, t: u64) -> Result<Self::Coeffs<T>, Error>;

    #[doc(hidden)]
    fn update<T: Element>(
        isa: Isa,
        c: &Self::Coeffs<T>,
        arrays: Arrays<'_, T>,
        grad: &[T],
        second: Option<&[T]>,
        non_finite: NonFinite,
    ) -> Result<(), Error>;

    #[doc(hidden)]
    fn step<T: Element>(
        isa: Isa,
        layer: &LayerStep<'_, T>,
        part: Part,
        c: &Self::Coeffs<T>,
        arrays: Arrays<'_, T>,
        scratch: &mut [T],
    ) -> Result<(), Error>;
}

/// A [`Rule`] with a second moment, which can be given: RMSProp and Adam. Sealed.
///
/// ```
/// fn second_moment_is_mine<R: pergrad::Adaptive>(_: R) {}
/// second_moment_is_mine(pergrad::AdamConfig::torch(1e-3)?);
/// # Ok::<(), pergrad::Error>(())
/// ```
pub trait Adaptive: Rule {}

impl Adaptive for RmspropConfig {}
impl Adaptive for AdamConfig {}

/// An array that starts as zeros, if it is kept.
fn zeros(name: &'static str, kept: bool) -> Slot {
    Slot { name, initial: kept.then_some(0.0) }
}

/// The parts of [`Rule`] that read the same for every configuration.
macro_rules! common {
    ($Coeffs:ident) => {
        type Coeffs<T: Element> = $Coeffs<T>;

        fn at_batch_size(self, batch: usize) -> Self {
            self.at_batch_size(batch)
        }

        fn lr(&self) -> f64 {
            self.lr
        }

        fn with_lr(mut self, lr: f64) -> Self {
            self.lr = lr;
            self
        }

        fn coeffs<T: Element>(&self, t: u64) -> Result<Self::Coeffs<T>, Error> {
            self.step_coeffs(t)
        }
    };
}

/// The kernels of a [`Rule`] with a second moment, whose arrays `$state` puts in order.
macro_rules! adaptive {
    ($update:path, $step:path, $state:path) => {
        fn update<T: Element>(
            isa: Isa,
            c: &Self::Coeffs<T>,
            (params, state): Arrays<'_, T>,
            grad: &[T],
            second: Option<&[T]>,
            non_finite: NonFinite,
        ) -> Result<(), Error> {
            $update(isa, c, params, grad, second, $state(state), non_finite)
        }

        fn step<T: Element>(
            isa: Isa,
            layer: &LayerStep<'_, T>,
            part: Part,
            c: &Self::Coeffs<T>,
            (params, state): Arrays<'_, T>,
            scratch: &mut [T],
        ) -> Result<(), Error> {
            $step(isa, layer, part, c, params, $state(state), scratch)
        }
    };
}

impl Rule for MomentumConfig {
    common!(MomentumCoeffs);

    fn slots(&self) -> [Slot; SLOTS] {
        [zeros("momentum_buffer", self.has_buffer()), zeros("", false), zeros("", false)]
    }

    fn update<T: Element>(
        isa: Isa,
        c: &Self::Coeffs<T>,
        (params, [buffer, ..]): Arrays<'_, T>,
        grad: &[T],
        _second: Option<&[T]>,
        non_finite: NonFinite,
    ) -> Result<(), Error> {
        pergrad_core::update_momentum(isa, c, params, grad, buffer, non_finite)
    }

    fn step<T: Element>(
        isa: Isa,
        layer: &LayerStep<'_, T>,
        part: Part,
        c: &Self::Coeffs<T>,
        (params, [buffer, ..]): Arrays<'_, T>,
        scratch: &mut [T],
    ) -> Result<(), Error> {
        pergrad_core::step_momentum(isa, layer, part, c, params, buffer, scratch)
    }
}

/// RMSProp's arrays in the order of its slots.
fn rmsprop_state<T>(state: [&mut [T]; SLOTS]) -> RmspropState<'_, T> {
    let [exp_avg_sq, exp_avg, momentum_buffer] = state;
    RmspropState { exp_avg_sq, exp_avg, momentum_buffer }
}

impl Rule for RmspropConfig {
    common!(RmspropCoeffs);
    adaptive!(pergrad_core::update_rmsprop, pergrad_core::step_rmsprop, rmsprop_state);

    fn slots(&self) -> [Slot; SLOTS] {
        [
            Slot { name: "exp_avg_sq", initial: Some(self.initial_exp_avg_sq) },
            zeros("exp_avg", self.centered),
            zeros("momentum_buffer", self.momentum.is_some()),
        ]
    }
}

/// Adam's arrays in the order of its slots.
fn adam_state<T>(state: [&mut [T]; SLOTS]) -> AdamState<'_, T> {
    let [exp_avg, exp_avg_sq, max_exp_avg_sq] = state;
    AdamState { exp_avg, exp_avg_sq, max_exp_avg_sq }
}

impl Rule for AdamConfig {
    common!(AdamCoeffs);
    adaptive!(pergrad_core::update_adam, pergrad_core::step_adam, adam_state);

    fn slots(&self) -> [Slot; SLOTS] {
        [
            zeros("exp_avg", true),
            zeros("exp_avg_sq", true),
            zeros("max_exp_avg_sq", self.amsgrad != AmsGrad::Off),
        ]
    }
}
