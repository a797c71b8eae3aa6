//! Hyper-parameters as plain structures, filled by the presets or by hand, checked when the
//! coefficients of a step are made.

use core::mem::MaybeUninit;

use pergrad_core::{Decay, Epsilon, LrPlacement, WarmUp, Window};

use crate::args::Args;
use crate::error::{Refused, named};

pub(crate) mod adam;
pub(crate) mod momentum;
pub(crate) mod rmsprop;
#[cfg(test)]
mod tests;

c_enum! {
    /// How the length of a running average is stated.
    pergrad_window_by {
        /// By its number of samples, N >= 1.
        PERGRAD_WINDOW_LENGTH = 0,
        /// By what the average keeps of itself, beta = 1 - 1/N, 0 <= beta < 1: `momentum`, `rho`,
        /// `decay`, the `betas` of other libraries.
        PERGRAD_WINDOW_BETA = 1,
    }
}

/// The length of a running average, in samples.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct pergrad_window {
    /// What `value` is.
    pub by: MaybeUninit<pergrad_window_by>,
    /// N or beta.
    pub value: f64,
}

c_enum! {
    /// What a running average does while it has seen fewer samples than its window is long.
    pergrad_warm_up {
        /// Nothing: a new sample weighs 1/N from the start.
        PERGRAD_WARM_UP_NONE = 0,
        /// It weighs 1 / min(t, N): the exact mean of all samples until the window fills.
        PERGRAD_WARM_UP_EXACT_MEAN = 1,
        /// It weighs 1/N, and the average is divided by 1 - beta^t where it is used (Adam's).
        PERGRAD_WARM_UP_DEBIAS = 2,
    }
}

c_enum! {
    /// Where the learning rate stands in a momentum buffer. It matters when the rate changes.
    pergrad_lr_placement {
        /// The buffer sums gradients, the rate multiplies the buffer (PyTorch, optax' sgd).
        PERGRAD_LR_PLACEMENT_OUTSIDE = 0,
        /// The buffer sums steps that were already multiplied (Keras; optax' rmsprop).
        PERGRAD_LR_PLACEMENT_INSIDE = 1,
    }
}

/// Where epsilon stands in the denominator: sqrt(v^ + inside) + outside, where v is the second moment
/// and v^ = v / (1 - beta^t) the corrected one (the same without PERGRAD_WARM_UP_DEBIAS).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct pergrad_epsilon {
    /// Added under the root (optax' eps_root; Keras' and optax' RMSProp).
    pub inside: f64,
    /// Added to the root (PyTorch, optax' eps).
    pub outside: f64,
    /// sqrt(v) + outside, the corrections moved to the learning rate: the "epsilon hat" of Kingma and
    /// Ba (Keras' Adam). `inside` must then be 0.
    pub hat: MaybeUninit<bool>,
}

c_enum! {
    /// The kind of weight decay.
    pergrad_decay_kind {
        /// None.
        PERGRAD_DECAY_NONE = 0,
        /// grad += decay * param before anything else (PyTorch's weight_decay in SGD, RMSprop, Adam).
        PERGRAD_DECAY_COUPLED = 1,
        /// param -= lr * decay * param beside the step (AdamW; Keras' weight_decay).
        PERGRAD_DECAY_DECOUPLED = 2,
    }
}

/// Weight decay.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct pergrad_decay {
    /// Which kind.
    pub kind: MaybeUninit<pergrad_decay_kind>,
    /// The decay, >= 0; not looked at where there is none.
    pub value: f64,
}

face! {
    /// `*length` becomes N of a window in steps of `at_batch_size` examples, where it is stated in
    /// examples: N / B, never under 1. `at_batch_size` 0 leaves it as stated. The state y of momentum in
    /// the sum form and the state mu of the average form convert by y = N mu.
    ///
    /// Errors: PERGRAD_ERROR_HYPER unless N >= 1 and finite, or 0 <= beta < 1.
    fn pergrad_window_length(
        window: pergrad_window,
        at_batch_size: usize,
        length: *mut f64,
    ) |args| {
        let length = args.place("length", length)?;
        let stated = args.window("window", window)?;
        length.write(match at_batch_size {
            0 => stated.length(),
            batch => stated.at_batch_size(batch).length(),
        });
    }
}

impl pergrad_window {
    pub(crate) fn length(value: f64) -> Self {
        let by = MaybeUninit::new(pergrad_window_by::PERGRAD_WINDOW_LENGTH);
        pergrad_window { by, value }
    }

    /// For the windows of presets, all stated by their beta: 1 - (1 - beta) is beta again, to the bit.
    pub(crate) fn beta(window: Window) -> Self {
        let by = MaybeUninit::new(pergrad_window_by::PERGRAD_WINDOW_BETA);
        pergrad_window { by, value: window.beta() }
    }
}

impl pergrad_epsilon {
    pub(crate) fn of(epsilon: Epsilon) -> Self {
        let (inside, outside) = match epsilon {
            Epsilon::Outside(e) | Epsilon::Hat(e) => (0.0, e),
            Epsilon::Inside(e) => (e, 0.0),
            Epsilon::Both { inside, outside } => (inside, outside),
        };
        let hat = MaybeUninit::new(matches!(epsilon, Epsilon::Hat(_)));
        pergrad_epsilon { inside, outside, hat }
    }
}

impl pergrad_decay {
    pub(crate) fn of(decay: Decay) -> Self {
        let (kind, value) = match decay {
            Decay::None => (pergrad_decay_kind::PERGRAD_DECAY_NONE, 0.0),
            Decay::Coupled(value) => (pergrad_decay_kind::PERGRAD_DECAY_COUPLED, value),
            Decay::Decoupled(value) => (pergrad_decay_kind::PERGRAD_DECAY_DECOUPLED, value),
        };
        pergrad_decay { kind: MaybeUninit::new(kind), value }
    }
}

impl pergrad_warm_up {
    pub(crate) fn of(warm_up: WarmUp) -> MaybeUninit<Self> {
        MaybeUninit::new(match warm_up {
            WarmUp::None => Self::PERGRAD_WARM_UP_NONE,
            WarmUp::ExactMean => Self::PERGRAD_WARM_UP_EXACT_MEAN,
            WarmUp::Debias => Self::PERGRAD_WARM_UP_DEBIAS,
        })
    }
}

impl pergrad_lr_placement {
    pub(crate) fn of(lr_placement: LrPlacement) -> MaybeUninit<Self> {
        MaybeUninit::new(match lr_placement {
            LrPlacement::Outside => Self::PERGRAD_LR_PLACEMENT_OUTSIDE,
            LrPlacement::Inside => Self::PERGRAD_LR_PLACEMENT_INSIDE,
        })
    }
}

impl Args<'_> {
    pub(crate) fn window(
        &mut self,
        arg: &'static str,
        window: pergrad_window,
    ) -> Result<Window, Refused> {
        let made = match self.one_of(arg, window.by)? {
            pergrad_window_by::PERGRAD_WINDOW_LENGTH => Window::new(window.value),
            pergrad_window_by::PERGRAD_WINDOW_BETA => Window::from_beta(window.value),
        };
        Ok(made.map_err(named(arg))?)
    }

    pub(crate) fn warm_up(
        &mut self,
        warm_up: MaybeUninit<pergrad_warm_up>,
    ) -> Result<WarmUp, Refused> {
        Ok(match self.one_of("warm_up", warm_up)? {
            pergrad_warm_up::PERGRAD_WARM_UP_NONE => WarmUp::None,
            pergrad_warm_up::PERGRAD_WARM_UP_EXACT_MEAN => WarmUp::ExactMean,
            pergrad_warm_up::PERGRAD_WARM_UP_DEBIAS => WarmUp::Debias,
        })
    }

    pub(crate) fn lr_placement(
        &mut self,
        lr_placement: MaybeUninit<pergrad_lr_placement>,
    ) -> Result<LrPlacement, Refused> {
        Ok(match self.one_of("lr_placement", lr_placement)? {
            pergrad_lr_placement::PERGRAD_LR_PLACEMENT_OUTSIDE => LrPlacement::Outside,
            pergrad_lr_placement::PERGRAD_LR_PLACEMENT_INSIDE => LrPlacement::Inside,
        })
    }

    pub(crate) fn epsilon(&mut self, epsilon: pergrad_epsilon) -> Result<Epsilon, Refused> {
        let pergrad_epsilon { inside, outside, hat } = epsilon;
        if !self.truth("epsilon.hat", hat)? {
            return Ok(Epsilon::Both { inside, outside });
        }
        if inside != 0.0 {
            let what = "the hat form of epsilon has no place for one inside the root";
            return Err(pergrad_core::Error::Conflict { what }.into());
        }
        Ok(Epsilon::Hat(outside))
    }

    pub(crate) fn decay(&mut self, decay: pergrad_decay) -> Result<Decay, Refused> {
        Ok(match self.one_of("decay.kind", decay.kind)? {
            pergrad_decay_kind::PERGRAD_DECAY_NONE => Decay::None,
            pergrad_decay_kind::PERGRAD_DECAY_COUPLED => Decay::Coupled(decay.value),
            pergrad_decay_kind::PERGRAD_DECAY_DECOUPLED => Decay::Decoupled(decay.value),
        })
    }
}
