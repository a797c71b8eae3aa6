//! Gradient descent with momentum.

use super::{Decay, DecayCoeff, LrPlacement, check_step, finite, non_negative};
use crate::{Element, Error, WarmUp, Window};

/// Which running quantity the steps follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MomentumForm {
    /// None: plain gradient descent, `param -= lr * grad`. No state.
    Plain,
    /// `buf = beta buf + (1 - dampening) grad`, `param -= lr * buf`: every library's `momentum`.
    Sum,
    /// `buf = buf + alpha_t (grad - buf)`, `param -= lr * buf`: a running average, with any warm-up.
    /// The learning rate is `N` times the sum form's ([`Window::lr_average`]).
    #[default]
    Average,
}

/// Hyper-parameters of momentum (Polyak 1964; Nesterov 1983 as in Sutskever et al. 2013).
///
/// With `g` the gradient (its sign turned by `maximize`, coupled decay added), each step does
/// `buf = ...` by [`MomentumForm`], `d = buf`, or with `nesterov` `d = beta buf + g` (sum form) or
/// `d = buf + alpha_t (g - buf)` (average form), and `param -= lr d`.
///
/// ```
/// use pergrad_core::{MomentumConfig, MomentumForm};
/// let torch = MomentumConfig::torch(0.01, 0.9)?;
/// assert_eq!(torch.form, MomentumForm::Sum);
/// // The same steps, as a running average:
/// let average = torch.to_average_form();
/// assert!((average.lr - 0.1).abs() < 1e-15);
/// assert!(average.step_coeffs::<f32>(1).is_ok());
/// # Ok::<(), pergrad_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct MomentumConfig {
    /// Learning rate.
    pub lr: f64,
    /// Window of the running sum or average.
    pub window: Window,
    /// Sum, average or plain.
    pub form: MomentumForm,
    /// Warm-up of the average form. (The sum form has none.)
    pub warm_up: WarmUp,
    /// Look ahead by one step.
    pub nesterov: bool,
    /// Of the sum form: the gradient enters times `1 - dampening`, but whole at `t = 1` (PyTorch).
    pub dampening: f64,
    /// Where the learning rate stands, of the sum form.
    pub lr_placement: LrPlacement,
    /// Weight decay.
    pub decay: Decay,
    /// Ascend instead of descend.
    pub maximize: bool,
}

impl MomentumConfig {
    /// The average form with the exact mean as warm-up: pergrad's own convention.
    pub const fn new(lr: f64, window: Window) -> Self {
        MomentumConfig {
            lr,
            window,
            form: MomentumForm::Average,
            warm_up: WarmUp::ExactMean,
            nesterov: false,
            dampening: 0.0,
            lr_placement: LrPlacement::Outside,
            decay: Decay::None,
            maximize: false,
        }
    }

    /// `torch.optim.SGD(lr, momentum)`; plain gradient descent where `momentum` is 0.
    ///
    /// # Errors
    /// [`Error::Hyper`] unless `0 <= momentum < 1`.
    pub fn torch(lr: f64, momentum: f64) -> Result<Self, Error> {
        let form = if momentum == 0.0 { MomentumForm::Plain } else { MomentumForm::Sum };
        let window = Window::from_beta(momentum)?;
        Ok(MomentumConfig { form, warm_up: WarmUp::None, ..Self::new(lr, window) })
    }

    /// `keras.optimizers.SGD(learning_rate, momentum)`: the rate inside the buffer.
    ///
    /// # Errors
    /// As [`MomentumConfig::torch`].
    pub fn keras(lr: f64, momentum: f64) -> Result<Self, Error> {
        Ok(MomentumConfig { lr_placement: LrPlacement::Inside, ..Self::torch(lr, momentum)? })
    }

    /// `optax.sgd(learning_rate, momentum)`.
    ///
    /// # Errors
    /// As [`MomentumConfig::torch`].
    pub fn optax(lr: f64, momentum: f64) -> Result<Self, Error> {
        Self::torch(lr, momentum)
    }

    /// The average form that makes the same steps: `lr` times `N`. Only without dampening is it the
    /// same at every step; state converts by [`Window::average_state`].
    pub fn to_average_form(self) -> Self {
        match self.form {
            MomentumForm::Sum => MomentumConfig {
                lr: self.window.lr_average(self.lr),
                form: MomentumForm::Average,
                ..self
            },
            _ => self,
        }
    }

    /// The sum form that makes the same steps: `lr` divided by `N`. It has no warm-up; state
    /// converts by [`Window::sum_state`].
    pub fn to_sum_form(self) -> Self {
        match self.form {
            MomentumForm::Average => MomentumConfig {
                lr: self.window.lr_sum(self.lr),
                form: MomentumForm::Sum,
                warm_up: WarmUp::None,
                ..self
            },
            _ => self,
        }
    }

    /// The configuration of a step of `batch` examples, of one stated per example: `lr * B` and
    /// `N / B` (never under 1). The sum form's rate is converted through the average form's, since
    /// its buffer grows with the window: it becomes `lr * B * N / N'`.
    ///
    /// ```
    /// use pergrad_core::{MomentumConfig, Window};
    /// let per_example = MomentumConfig::new(1e-3, Window::new(2048.0)?);
    /// let step = per_example.at_batch_size(32);
    /// assert_eq!((step.lr, step.window.length()), (0.032, 64.0));
    /// assert_eq!(per_example.to_sum_form().at_batch_size(32), step.to_sum_form());
    /// # Ok::<(), pergrad_core::Error>(())
    /// ```
    pub fn at_batch_size(self, batch: usize) -> Self {
        let window = self.window.at_batch_size(batch);
        let lr = match self.form {
            MomentumForm::Sum => window.lr_sum(self.window.lr_average(self.lr) * batch as f64),
            _ => self.lr * batch as f64,
        };
        MomentumConfig { lr, window, ..self }
    }

    /// Whether steps keep a buffer.
    pub fn has_buffer(&self) -> bool {
        self.form != MomentumForm::Plain
    }

    /// The coefficients of step `t`, counted from 1.
    ///
    /// # Errors
    /// [`Error::Hyper`] for a learning rate, dampening or decay that is negative or not finite in `T`,
    /// or for `t = 0`; [`Error::Conflict`] for settings that exclude each other.
    pub fn step_coeffs<T: Element>(&self, t: u64) -> Result<MomentumCoeffs<T>, Error> {
        check_step(t)?;
        non_negative::<T>("lr", self.lr)?;
        let sum = self.form == MomentumForm::Sum;
        if !(0.0..=1.0).contains(&self.dampening) {
            let (got, need) = (self.dampening, "between 0 and 1");
            return Err(Error::Hyper { arg: "dampening", got, need });
        }
        if self.nesterov && self.form == MomentumForm::Plain {
            return Err(Error::Conflict { what: "`nesterov` needs a momentum" });
        }
        if self.dampening != 0.0 && (self.nesterov || !sum) {
            let what = "`dampening` belongs to the sum form without `nesterov`";
            return Err(Error::Conflict { what });
        }
        if self.lr_placement == LrPlacement::Inside && self.form == MomentumForm::Average {
            let what = "a learning rate inside the buffer belongs to the sum form";
            return Err(Error::Conflict { what });
        }
        if sum && self.warm_up != WarmUp::None {
            let what = "the sum form has no warm-up; use the average form";
            return Err(Error::Conflict { what });
        }
        let inside = sum && self.lr_placement == LrPlacement::Inside;
        let unit = if inside { self.lr } else { 1.0 };
        let whole = if t == 1 { 1.0 } else { 1.0 - self.dampening };
        let correction = match self.form {
            MomentumForm::Average => self.warm_up.correction(self.window, t),
            _ => 1.0,
        };
        Ok(MomentumCoeffs {
            form: self.form,
            nesterov: self.nesterov,
            maximize: self.maximize,
            decay: self.decay.rounded(self.lr)?,
            alpha: finite("alpha", self.warm_up.alpha(self.window, t))?,
            beta: finite("beta", self.window.beta())?,
            gain: finite("lr", unit * whole)?,
            look_ahead: finite("lr", unit)?,
            step: finite("lr", if inside { 1.0 } else { self.lr / correction })?,
        })
    }
}

/// The coefficients of one step of momentum, from [`MomentumConfig::step_coeffs`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MomentumCoeffs<T> {
    pub(crate) form: MomentumForm,
    pub(crate) nesterov: bool,
    pub(crate) maximize: bool,
    pub(crate) decay: DecayCoeff<T>,
    /// Average form: weight of the new gradient.
    pub(crate) alpha: T,
    /// Sum form: what the buffer keeps.
    pub(crate) beta: T,
    /// Sum form: factor of the gradient on its way into the buffer.
    pub(crate) gain: T,
    /// Sum form with Nesterov: factor of the gradient beside the buffer.
    pub(crate) look_ahead: T,
    /// Factor of the direction.
    pub(crate) step: T,
}

impl<T: Element> MomentumCoeffs<T> {
    /// The same, the rarer switches seen by the compiler to be off: if they are, and an average has begun.
    #[inline(always)]
    pub(crate) fn plain(&self) -> Option<Self> {
        let plain = MomentumCoeffs { nesterov: false, maximize: false, ..*self };
        let averages = self.form != MomentumForm::Average || self.alpha != T::ONE;
        (averages && *self == plain).then_some(plain)
    }
}

impl<T> MomentumCoeffs<T> {
    /// Elements of the buffer for `n` parameters.
    pub(crate) fn buffer_len(&self, n: usize) -> usize {
        if self.form == MomentumForm::Plain { 0 } else { n }
    }
}
