//! RMSProp.

use super::{Decay, DecayCoeff, Epsilon, LrPlacement, check_step, finite, non_negative};
use crate::{Element, Error, WarmUp, Window};

/// Hyper-parameters of RMSProp (Tieleman and Hinton 2012; centered: Graves 2013).
///
/// With `g` the gradient (its sign turned by `maximize`, coupled decay added) and `s` the second
/// moment, `g^2` or a slice of the caller's:
///
/// ```text
/// exp_avg_sq += alpha_t (s - exp_avg_sq)
/// exp_avg    += alpha_t (g - exp_avg)                      if centered
/// v           = exp_avg_sq, or max(exp_avg_sq - exp_avg^2, 0) if centered
/// q           = g / denominator(v)                          by Epsilon
/// buf         = beta buf + q, d = buf or (nesterov) beta buf + q; without momentum d = q
/// param      -= lr d
/// ```
///
/// ```
/// use pergrad_core::{Epsilon, RmspropConfig};
/// let torch = RmspropConfig::torch(0.01)?;
/// assert_eq!(torch.epsilon, Epsilon::Outside(1e-8));
/// assert!(torch.step_coeffs::<f64>(1).is_ok());
/// // An epsilon that vanishes in the element type is refused.
/// let mut tiny = torch;
/// tiny.epsilon = Epsilon::Inside(1e-60);
/// assert!(tiny.step_coeffs::<f64>(1).is_ok());
/// assert!(tiny.step_coeffs::<f32>(1).is_err());
/// # Ok::<(), pergrad_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RmspropConfig {
    /// Learning rate.
    pub lr: f64,
    /// Window of the averages.
    pub window: Window,
    /// Warm-up of the averages.
    pub warm_up: WarmUp,
    /// Subtract the square of the average gradient.
    pub centered: bool,
    /// Momentum (sum form) over the divided gradients.
    pub momentum: Option<Window>,
    /// Look ahead by one step; needs momentum.
    pub nesterov: bool,
    /// Where the learning rate stands in the momentum buffer.
    pub lr_placement: LrPlacement,
    /// Where epsilon stands, and its value.
    pub epsilon: Epsilon,
    /// Weight decay.
    pub decay: Decay,
    /// Ascend instead of descend.
    pub maximize: bool,
    /// What `exp_avg_sq` is before the first step (optax' `initial_scale`). The kernels take the
    /// state as they find it; whoever allocates it fills it with this.
    pub initial_exp_avg_sq: f64,
}

impl RmspropConfig {
    /// The exact mean as warm-up, epsilon 1e-8 outside: pergrad's own convention.
    pub const fn new(lr: f64, window: Window) -> Self {
        RmspropConfig {
            lr,
            window,
            warm_up: WarmUp::ExactMean,
            centered: false,
            momentum: None,
            nesterov: false,
            lr_placement: LrPlacement::Outside,
            epsilon: Epsilon::Outside(1e-8),
            decay: Decay::None,
            maximize: false,
            initial_exp_avg_sq: 0.0,
        }
    }

    /// `torch.optim.RMSprop(lr)`: `alpha` 0.99, epsilon 1e-8 outside.
    ///
    /// # Errors
    /// None for these constants; the signature is that of all presets.
    pub fn torch(lr: f64) -> Result<Self, Error> {
        let window = Window::from_beta(0.99)?;
        Ok(RmspropConfig { warm_up: WarmUp::None, ..Self::new(lr, window) })
    }

    /// `keras.optimizers.RMSprop(learning_rate)`: `rho` 0.9, epsilon 1e-7 inside the root, the rate
    /// inside the momentum buffer.
    ///
    /// # Errors
    /// As [`RmspropConfig::torch`].
    pub fn keras(lr: f64) -> Result<Self, Error> {
        Ok(RmspropConfig {
            window: Window::from_beta(0.9)?,
            epsilon: Epsilon::Inside(1e-7),
            lr_placement: LrPlacement::Inside,
            ..Self::torch(lr)?
        })
    }

    /// `optax.rmsprop(learning_rate)`: `decay` 0.9, epsilon 1e-8 inside the root, the rate inside the
    /// momentum buffer.
    ///
    /// # Errors
    /// As [`RmspropConfig::torch`].
    pub fn optax(lr: f64) -> Result<Self, Error> {
        Ok(RmspropConfig { epsilon: Epsilon::Inside(1e-8), ..Self::keras(lr)? })
    }

    /// The configuration of a step of `batch` examples, of one stated per example: `lr * B`, windows
    /// `N / B` (never under 1); with momentum, whose buffer is a sum, `lr * B * N / N'`, so that the
    /// distance travelled per example stays.
    ///
    /// ```
    /// use pergrad_core::{RmspropConfig, Window};
    /// let step = RmspropConfig::new(1e-4, Window::new(20_480.0)?).at_batch_size(32);
    /// assert_eq!((step.lr, step.window.length()), (0.0032, 640.0));
    /// # Ok::<(), pergrad_core::Error>(())
    /// ```
    pub fn at_batch_size(self, batch: usize) -> Self {
        let momentum = self.momentum.map(|m| m.at_batch_size(batch));
        let lr = match (self.momentum, momentum) {
            (Some(examples), Some(steps)) => steps.lr_sum(examples.lr_average(self.lr)),
            _ => self.lr,
        };
        let window = self.window.at_batch_size(batch);
        RmspropConfig { lr: lr * batch as f64, window, momentum, ..self }
    }

    /// The coefficients of step `t`, counted from 1.
    ///
    /// # Errors
    /// [`Error::Hyper`] for a learning rate, epsilon or decay that is negative or not finite in `T`,
    /// for an epsilon that rounds to 0 in `T` unless 0 was asked for, or for `t = 0`;
    /// [`Error::Conflict`] for settings that exclude each other.
    pub fn step_coeffs<T: Element>(&self, t: u64) -> Result<RmspropCoeffs<T>, Error> {
        check_step(t)?;
        non_negative::<T>("lr", self.lr)?;
        non_negative::<T>("initial_exp_avg_sq", self.initial_exp_avg_sq)?;
        if self.nesterov && self.momentum.is_none() {
            return Err(Error::Conflict { what: "`nesterov` needs a momentum" });
        }
        let (eps_inside, eps_outside) = self.epsilon.rounded()?;
        let correction = self.warm_up.correction(self.window, t);
        let (scale, hat) = match self.epsilon {
            Epsilon::Hat(_) if self.centered && self.warm_up == WarmUp::Debias => {
                let what = "an uncorrected epsilon has no meaning for a corrected variance";
                return Err(Error::Conflict { what });
            }
            Epsilon::Hat(_) => (1.0, libm::sqrt(correction)),
            _ => (1.0 / correction, 1.0),
        };
        let lr = self.lr * hat;
        let inside = self.momentum.is_some() && self.lr_placement == LrPlacement::Inside;
        Ok(RmspropCoeffs {
            centered: self.centered,
            momentum: self.momentum.is_some(),
            nesterov: self.nesterov,
            maximize: self.maximize,
            decay: self.decay.rounded(self.lr)?,
            alpha: finite("alpha", self.warm_up.alpha(self.window, t))?,
            scale: finite("1 / (1 - beta^t)", scale)?,
            eps_inside,
            eps_outside,
            beta: finite("momentum", self.momentum.map_or(0.0, Window::beta))?,
            gain: finite("lr", if inside { lr } else { 1.0 })?,
            step: finite("lr", if inside { 1.0 } else { lr })?,
        })
    }
}

/// The coefficients of one step of RMSProp, from [`RmspropConfig::step_coeffs`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RmspropCoeffs<T> {
    pub(crate) centered: bool,
    pub(crate) momentum: bool,
    pub(crate) nesterov: bool,
    pub(crate) maximize: bool,
    pub(crate) decay: DecayCoeff<T>,
    /// Weight of the new sample in both averages.
    pub(crate) alpha: T,
    /// Bias correction of both averages.
    pub(crate) scale: T,
    pub(crate) eps_inside: T,
    pub(crate) eps_outside: T,
    /// What the momentum buffer keeps.
    pub(crate) beta: T,
    /// Factor of the divided gradient on its way into the buffer and beside it.
    pub(crate) gain: T,
    /// Factor of the direction.
    pub(crate) step: T,
}

impl<T: Element> RmspropCoeffs<T> {
    /// The same, the rarer switches seen by the compiler to be off: if they are, and the average has begun.
    #[inline(always)]
    pub(crate) fn plain(&self) -> Option<Self> {
        let plain = RmspropCoeffs {
            centered: false,
            momentum: false,
            nesterov: false,
            maximize: false,
            gain: T::ONE, // as it is without momentum
            ..*self
        };
        let coupled = matches!(self.decay, DecayCoeff::Coupled(_));
        (self.alpha != T::ONE && !coupled && *self == plain).then_some(plain)
    }
}
