//! Gradient descent with momentum.

use core::mem::MaybeUninit;

use pergrad_core::{MomentumConfig, MomentumForm};

use crate::args::Args;
use crate::coeffs::Holds;
use crate::error::{Refused, named};
use crate::{
    pergrad_decay, pergrad_lr_placement, pergrad_momentum_coeffs, pergrad_warm_up, pergrad_window,
};

c_enum! {
    /// Which running quantity the steps of momentum follow.
    pergrad_momentum_form {
        /// None: plain gradient descent, param -= lr * grad. No buffer.
        PERGRAD_MOMENTUM_FORM_PLAIN = 0,
        /// buf = beta buf + (1 - dampening) grad, param -= lr * buf: every library's `momentum`.
        PERGRAD_MOMENTUM_FORM_SUM = 1,
        /// buf = buf + alpha_t (grad - buf), param -= lr * buf: a running average, with any warm-up. The
        /// learning rate is N times the sum form's.
        PERGRAD_MOMENTUM_FORM_AVERAGE = 2,
    }
}

/// Hyper-parameters of momentum. With g the gradient (its sign turned by `maximize`, coupled decay added),
/// each step does buf = ... by `form`, d = buf, or with `nesterov` d = beta buf + g (sum form) or
/// d = buf + alpha_t (g - buf) (average form), and param -= lr d.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct pergrad_momentum_config {
    /// Learning rate.
    pub lr: f64,
    /// Window of the running sum or average.
    pub window: pergrad_window,
    /// Sum, average or plain.
    pub form: MaybeUninit<pergrad_momentum_form>,
    /// Warm-up of the average form. (The sum form has none.)
    pub warm_up: MaybeUninit<pergrad_warm_up>,
    /// Of the sum form: the gradient enters times 1 - dampening, but whole at t = 1 (PyTorch).
    pub dampening: f64,
    /// Where the learning rate stands, of the sum form.
    pub lr_placement: MaybeUninit<pergrad_lr_placement>,
    /// Look ahead by one step.
    pub nesterov: MaybeUninit<bool>,
    /// Ascend instead of descend.
    pub maximize: MaybeUninit<bool>,
    /// Weight decay.
    pub decay: pergrad_decay,
    /// 0: rate and window are per step. Otherwise they are per example, and steps are of so many
    /// examples: lr * B, window N / B (never under 1); in the sum form, whose buffer grows with the
    /// window, lr * B * N / N'.
    pub at_batch_size: usize,
}

impl pergrad_momentum_config {
    /// From a preset; its window is stated by beta.
    fn of(config: MomentumConfig) -> Self {
        pergrad_momentum_config {
            lr: config.lr,
            window: pergrad_window::beta(config.window),
            form: Self::form(config.form),
            warm_up: pergrad_warm_up::of(config.warm_up),
            dampening: config.dampening,
            lr_placement: pergrad_lr_placement::of(config.lr_placement),
            nesterov: MaybeUninit::new(config.nesterov),
            maximize: MaybeUninit::new(config.maximize),
            decay: pergrad_decay::of(config.decay),
            at_batch_size: 0,
        }
    }

    fn form(form: MomentumForm) -> MaybeUninit<pergrad_momentum_form> {
        MaybeUninit::new(match form {
            MomentumForm::Plain => pergrad_momentum_form::PERGRAD_MOMENTUM_FORM_PLAIN,
            MomentumForm::Sum => pergrad_momentum_form::PERGRAD_MOMENTUM_FORM_SUM,
            MomentumForm::Average => pergrad_momentum_form::PERGRAD_MOMENTUM_FORM_AVERAGE,
        })
    }

    /// With the rate, form and warm-up of another configuration; how the rest is stated stays.
    fn with_form_of(self, config: MomentumConfig) -> Self {
        pergrad_momentum_config {
            lr: config.lr,
            form: Self::form(config.form),
            warm_up: pergrad_warm_up::of(config.warm_up),
            ..self
        }
    }
}

impl Args<'_> {
    /// As it is stated, whatever the batch size.
    fn momentum_as_stated(
        &mut self,
        c: &pergrad_momentum_config,
    ) -> Result<MomentumConfig, Refused> {
        let mut config = MomentumConfig::new(c.lr, self.window("window", c.window)?);
        config.form = match self.one_of("form", c.form)? {
            pergrad_momentum_form::PERGRAD_MOMENTUM_FORM_PLAIN => MomentumForm::Plain,
            pergrad_momentum_form::PERGRAD_MOMENTUM_FORM_SUM => MomentumForm::Sum,
            pergrad_momentum_form::PERGRAD_MOMENTUM_FORM_AVERAGE => MomentumForm::Average,
        };
        config.warm_up = self.warm_up(c.warm_up)?;
        config.dampening = c.dampening;
        config.lr_placement = self.lr_placement(c.lr_placement)?;
        config.nesterov = self.truth("nesterov", c.nesterov)?;
        config.maximize = self.truth("maximize", c.maximize)?;
        config.decay = self.decay(c.decay)?;
        Ok(config)
    }

    fn momentum(
        &mut self,
        config: *const pergrad_momentum_config,
    ) -> Result<MomentumConfig, Refused> {
        let c = self.structure("config", config)?;
        let config = self.momentum_as_stated(&c)?;
        Ok(match c.at_batch_size {
            0 => config,
            batch => config.at_batch_size(batch),
        })
    }
}

face! {
    /// pergrad's own convention: the average form with the exact mean as warm-up. `window` is a length N;
    /// set `at_batch_size` if it and `lr` are stated per example.
    ///
    /// Errors: PERGRAD_ERROR_HYPER for a window that is not at least 1 and finite.
    fn pergrad_momentum_new(
        lr: f64,
        window: f64,
        config: *mut pergrad_momentum_config,
    ) |args| {
        let config = args.place("config", config)?;
        let window = pergrad_window::length(window);
        let own = MomentumConfig::new(lr, args.window("window", window)?);
        config.write(pergrad_momentum_config { window, ..pergrad_momentum_config::of(own) });
    }
}

face! {
    /// torch.optim.SGD(lr, momentum); plain gradient descent where `momentum` is 0.
    ///
    /// Errors: PERGRAD_ERROR_HYPER unless 0 <= momentum < 1. The rate is checked when coefficients are
    /// made.
    fn pergrad_momentum_torch(
        lr: f64,
        momentum: f64,
        config: *mut pergrad_momentum_config,
    ) |args| {
        let config = args.place("config", config)?;
        let preset = MomentumConfig::torch(lr, momentum).map_err(named("momentum"))?;
        config.write(pergrad_momentum_config::of(preset));
    }
}

face! {
    /// keras.optimizers.SGD(learning_rate, momentum): the rate inside the buffer.
    ///
    /// Errors: as pergrad_momentum_torch().
    fn pergrad_momentum_keras(
        lr: f64,
        momentum: f64,
        config: *mut pergrad_momentum_config,
    ) |args| {
        let config = args.place("config", config)?;
        let preset = MomentumConfig::keras(lr, momentum).map_err(named("momentum"))?;
        config.write(pergrad_momentum_config::of(preset));
    }
}

face! {
    /// optax.sgd(learning_rate, momentum).
    ///
    /// Errors: as pergrad_momentum_torch().
    fn pergrad_momentum_optax(
        lr: f64,
        momentum: f64,
        config: *mut pergrad_momentum_config,
    ) |args| {
        let config = args.place("config", config)?;
        let preset = MomentumConfig::optax(lr, momentum).map_err(named("momentum"))?;
        config.write(pergrad_momentum_config::of(preset));
    }
}

face! {
    /// Turns the sum form, in place, into the average form that makes the same steps: lr times N. Only
    /// without dampening is it the same at every step. Other forms stay.
    ///
    /// Errors: PERGRAD_ERROR_HYPER for the window, PERGRAD_ERROR_ENUM.
    fn pergrad_momentum_to_average_form(config: *mut pergrad_momentum_config) |args| {
        let c = args.structure("config", config)?;
        let place = args.place("config", config)?;
        place.write(c.with_form_of(args.momentum_as_stated(&c)?.to_average_form()));
    }
}

face! {
    /// Turns the average form, in place, into the sum form that makes the same steps: lr divided by N. It
    /// has no warm-up. Other forms stay.
    ///
    /// Errors: PERGRAD_ERROR_HYPER for the window, PERGRAD_ERROR_ENUM.
    fn pergrad_momentum_to_sum_form(config: *mut pergrad_momentum_config) |args| {
        let c = args.structure("config", config)?;
        let place = args.place("config", config)?;
        place.write(c.with_form_of(args.momentum_as_stated(&c)?.to_sum_form()));
    }
}

both! {
    ($T)
    /// The coefficients of step `t` >= 1, computed once in double precision and rounded once.
    ///
    /// Errors: PERGRAD_ERROR_HYPER for a window outside of its range, for a learning rate, dampening or
    /// decay that is negative or not finite in the element type, or for t = 0; PERGRAD_ERROR_CONFLICT for
    /// settings that exclude each other; PERGRAD_ERROR_ENUM.
    fn pergrad_momentum_step_coeffs_f32, pergrad_momentum_step_coeffs_f64(
        config: *const pergrad_momentum_config,
        t: u64,
        coeffs: *mut pergrad_momentum_coeffs<$T>,
    ) |args| {
        let coeffs = args.place("coeffs", coeffs)?;
        coeffs.write(Holds::new(args.momentum(config)?.step_coeffs(t)?));
    }
}
