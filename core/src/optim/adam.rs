//! Adam, AdamW and their relatives.

use super::{Decay, DecayCoeff, Epsilon, check_step, finite, non_negative};
use crate::{Element, Error, WarmUp, Window};

/// Whether the denominator follows the largest second moment so far (Reddi, Kale and Kumar, "On the
/// convergence of Adam and beyond", 2018), and of which average the maximum is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AmsGrad {
    /// No.
    #[default]
    Off,
    /// The maximum of the average as it is, corrected afterwards (PyTorch, Keras).
    Uncorrected,
    /// The maximum of the corrected average (optax).
    Corrected,
}

/// Hyper-parameters of Adam (Kingma and Ba 2015), AdamW (by [`Decay::Decoupled`]), AMSGrad and NAdam
/// (Dozat 2016, as optax' `nesterov`).
///
/// With `g` the gradient (its sign turned by `maximize`, coupled decay added) and `s` the second
/// moment, `g^2` or a slice of the caller's (`grad_sq`, say):
///
/// ```text
/// exp_avg    += alpha1_t (g - exp_avg)
/// exp_avg_sq += alpha2_t (s - exp_avg_sq)
/// param      -= lr m^ / denominator          m^ by WarmUp, denominator by Epsilon and AmsGrad
/// ```
///
/// ```
/// use pergrad_core::{AdamConfig, Decay, Epsilon, WarmUp};
/// let keras = AdamConfig::keras(1e-3)?;
/// assert_eq!(keras.epsilon, Epsilon::Hat(1e-7));
/// let mut adamw = AdamConfig::torch(1e-3)?;
/// adamw.decay = Decay::Decoupled(0.01);
/// assert_eq!(adamw.warm_up, WarmUp::Debias);
/// assert!(adamw.step_coeffs::<f32>(0).is_err()); // steps are counted from 1
/// # Ok::<(), pergrad_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct AdamConfig {
    /// Learning rate.
    pub lr: f64,
    /// Window of `exp_avg`.
    pub window: Window,
    /// Window of `exp_avg_sq`.
    pub window_sq: Window,
    /// Warm-up of both averages.
    pub warm_up: WarmUp,
    /// Where epsilon stands, and its value.
    pub epsilon: Epsilon,
    /// Follow the largest second moment.
    pub amsgrad: AmsGrad,
    /// Look ahead by one step in the average of the gradient.
    pub nesterov: bool,
    /// Weight decay.
    pub decay: Decay,
    /// Ascend instead of descend.
    pub maximize: bool,
}

impl AdamConfig {
    /// The exact mean as warm-up, epsilon 1e-8 outside: pergrad's own convention.
    pub const fn new(lr: f64, window: Window, window_sq: Window) -> Self {
        AdamConfig {
            lr,
            window,
            window_sq,
            warm_up: WarmUp::ExactMean,
            epsilon: Epsilon::Outside(1e-8),
            amsgrad: AmsGrad::Off,
            nesterov: false,
            decay: Decay::None,
            maximize: false,
        }
    }

    /// `torch.optim.Adam(lr)`: betas 0.9 and 0.999, epsilon 1e-8 outside. With `amsgrad` set it takes
    /// [`AmsGrad::Uncorrected`].
    ///
    /// # Errors
    /// None for these constants; the signature is that of all presets.
    pub fn torch(lr: f64) -> Result<Self, Error> {
        let (window, window_sq) = (Window::from_beta(0.9)?, Window::from_beta(0.999)?);
        Ok(AdamConfig { warm_up: WarmUp::Debias, ..Self::new(lr, window, window_sq) })
    }

    /// `keras.optimizers.Adam(learning_rate)`: epsilon 1e-7 in the hat form. With `amsgrad` set it
    /// takes [`AmsGrad::Uncorrected`], and its `weight_decay` is decoupled.
    ///
    /// # Errors
    /// As [`AdamConfig::torch`].
    pub fn keras(lr: f64) -> Result<Self, Error> {
        Ok(AdamConfig { epsilon: Epsilon::Hat(1e-7), ..Self::torch(lr)? })
    }

    /// `optax.adam(learning_rate)`: epsilon 1e-8 outside. optax' `amsgrad` takes
    /// [`AmsGrad::Corrected`].
    ///
    /// # Errors
    /// As [`AdamConfig::torch`].
    pub fn optax(lr: f64) -> Result<Self, Error> {
        Self::torch(lr)
    }

    /// The configuration of a step of `batch` examples, of one stated per example: `lr * B`, windows
    /// `N / B` (never under 1).
    ///
    /// ```
    /// use pergrad_core::{AdamConfig, Window};
    /// let per_example = AdamConfig::new(1e-4, Window::new(2048.0)?, Window::new(20_480.0)?);
    /// let step = per_example.at_batch_size(32);
    /// assert_eq!((step.lr, step.window.length(), step.window_sq.length()), (0.0032, 64.0, 640.0));
    /// # Ok::<(), pergrad_core::Error>(())
    /// ```
    pub fn at_batch_size(self, batch: usize) -> Self {
        AdamConfig {
            lr: self.lr * batch as f64,
            window: self.window.at_batch_size(batch),
            window_sq: self.window_sq.at_batch_size(batch),
            ..self
        }
    }

    /// The coefficients of step `t`, counted from 1.
    ///
    /// # Errors
    /// [`Error::Hyper`] for a learning rate, epsilon or decay that is negative or not finite in `T`,
    /// for an epsilon that rounds to 0 in `T` unless 0 was asked for, or for `t = 0`;
    /// [`Error::Conflict`] for settings that exclude each other.
    pub fn step_coeffs<T: Element>(&self, t: u64) -> Result<AdamCoeffs<T>, Error> {
        check_step(t)?;
        non_negative::<T>("lr", self.lr)?;
        let (eps_inside, eps_outside) = self.epsilon.rounded()?;
        let correction = self.warm_up.correction(self.window, t);
        let correction_sq = self.warm_up.correction(self.window_sq, t);
        let (scale_sq, hat) = match self.epsilon {
            Epsilon::Hat(_) if self.amsgrad == AmsGrad::Corrected => {
                let what = "an uncorrected epsilon has no meaning for a corrected AMSGrad";
                return Err(Error::Conflict { what });
            }
            Epsilon::Hat(_) => (1.0, libm::sqrt(correction_sq)),
            _ => (1.0 / correction_sq, 1.0),
        };
        let alpha = self.warm_up.alpha(self.window, t);
        // NAdam looks ahead with the next step's average, corrected by the next step's correction.
        let (gain_avg, gain_grad) = if self.nesterov {
            let next = t.saturating_add(1);
            let next_alpha = self.warm_up.alpha(self.window, next);
            let next_correction = self.warm_up.correction(self.window, next);
            ((1.0 - next_alpha) * correction / next_correction, next_alpha)
        } else {
            (0.0, 0.0)
        };
        Ok(AdamCoeffs {
            amsgrad: self.amsgrad,
            nesterov: self.nesterov,
            maximize: self.maximize,
            decay: self.decay.rounded(self.lr)?,
            alpha: finite("alpha", alpha)?,
            alpha_sq: finite("alpha", self.warm_up.alpha(self.window_sq, t))?,
            scale_sq: finite("1 / (1 - beta^t)", scale_sq)?,
            eps_inside,
            eps_outside,
            gain_avg: finite("beta", gain_avg)?,
            gain_grad: finite("alpha", gain_grad)?,
            step: finite("lr", self.lr * hat / correction)?,
        })
    }
}

/// The coefficients of one step of Adam, from [`AdamConfig::step_coeffs`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamCoeffs<T> {
    pub(crate) amsgrad: AmsGrad,
    pub(crate) nesterov: bool,
    pub(crate) maximize: bool,
    pub(crate) decay: DecayCoeff<T>,
    /// Weight of the new gradient in `exp_avg`.
    pub(crate) alpha: T,
    /// Weight of the new second moment in `exp_avg_sq`.
    pub(crate) alpha_sq: T,
    /// Bias correction of the second moment.
    pub(crate) scale_sq: T,
    pub(crate) eps_inside: T,
    pub(crate) eps_outside: T,
    /// Nesterov (else 0): factor of the average in the direction.
    pub(crate) gain_avg: T,
    /// Nesterov (else 0): factor of the gradient in the direction.
    pub(crate) gain_grad: T,
    /// Factor of `direction / denominator`.
    pub(crate) step: T,
}

impl<T: Element> AdamCoeffs<T> {
    /// The same, the rarer switches seen by the compiler to be off: if they are, and both averages have begun.
    #[inline(always)]
    pub(crate) fn plain(&self) -> Option<Self> {
        let plain = AdamCoeffs { amsgrad: AmsGrad::Off, nesterov: false, maximize: false, ..*self };
        let averages = self.alpha != T::ONE && self.alpha_sq != T::ONE;
        let coupled = matches!(self.decay, DecayCoeff::Coupled(_));
        (averages && !coupled && *self == plain).then_some(plain)
    }
}

impl<T> AdamCoeffs<T> {
    /// Elements of `max_exp_avg_sq` for `n` parameters.
    pub(crate) fn max_len(&self, n: usize) -> usize {
        if self.amsgrad == AmsGrad::Off { 0 } else { n }
    }
}
