//! RMSProp.

use core::mem::MaybeUninit;

use pergrad_core::RmspropConfig;

use crate::args::Args;
use crate::coeffs::Holds;
use crate::error::Refused;
use crate::{
    pergrad_decay, pergrad_epsilon, pergrad_lr_placement, pergrad_rmsprop_coeffs, pergrad_warm_up,
    pergrad_window,
};

/// Hyper-parameters of RMSProp. With g the gradient (its sign turned by `maximize`, coupled decay added)
/// and s the second moment, g^2 or an array of the caller's:
///
/// ```text
/// exp_avg_sq += alpha_t (s - exp_avg_sq)
/// exp_avg    += alpha_t (g - exp_avg)                      if centered
/// v           = exp_avg_sq, or max(exp_avg_sq - exp_avg^2, 0) if centered
/// q           = g / denominator(v)                         by `epsilon`
/// buf         = beta buf + q, d = buf or (nesterov) beta buf + q; without momentum d = q
/// param      -= lr d
/// ```
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct pergrad_rmsprop_config {
    /// Learning rate.
    pub lr: f64,
    /// Window of the averages.
    pub window: pergrad_window,
    /// Window of the momentum over the divided gradients; not looked at unless `has_momentum`.
    pub momentum: pergrad_window,
    /// Warm-up of the averages.
    pub warm_up: MaybeUninit<pergrad_warm_up>,
    /// Where the learning rate stands in the momentum buffer.
    pub lr_placement: MaybeUninit<pergrad_lr_placement>,
    /// Where epsilon stands, and its value.
    pub epsilon: pergrad_epsilon,
    /// Weight decay.
    pub decay: pergrad_decay,
    /// What whoever allocates `exp_avg_sq` fills it with (optax' initial_scale).
    pub initial_exp_avg_sq: f64,
    /// Subtract the square of the average gradient.
    pub centered: MaybeUninit<bool>,
    /// Momentum (sum form) over the divided gradients.
    pub has_momentum: MaybeUninit<bool>,
    /// Look ahead by one step; needs momentum.
    pub nesterov: MaybeUninit<bool>,
    /// Ascend instead of descend.
    pub maximize: MaybeUninit<bool>,
    /// 0: rate and windows are per step. Otherwise they are per example, and steps are of so many
    /// examples: lr * B, windows N / B (never under 1); with momentum, whose buffer is a sum,
    /// lr * B * N / N' of the momentum's windows, so that the distance travelled per example stays.
    pub at_batch_size: usize,
}

impl pergrad_rmsprop_config {
    /// From a preset; its window is stated by beta, and it has no momentum.
    fn of(config: RmspropConfig) -> Self {
        pergrad_rmsprop_config {
            lr: config.lr,
            window: pergrad_window::beta(config.window),
            momentum: pergrad_window::length(1.0),
            warm_up: pergrad_warm_up::of(config.warm_up),
            lr_placement: pergrad_lr_placement::of(config.lr_placement),
            epsilon: pergrad_epsilon::of(config.epsilon),
            decay: pergrad_decay::of(config.decay),
            initial_exp_avg_sq: config.initial_exp_avg_sq,
            centered: MaybeUninit::new(config.centered),
            has_momentum: MaybeUninit::new(false),
            nesterov: MaybeUninit::new(config.nesterov),
            maximize: MaybeUninit::new(config.maximize),
            at_batch_size: 0,
        }
    }
}

impl Args<'_> {
    fn rmsprop(&mut self, config: *const pergrad_rmsprop_config) -> Result<RmspropConfig, Refused> {
        let c = self.structure("config", config)?;
        let mut config = RmspropConfig::new(c.lr, self.window("window", c.window)?);
        if self.truth("has_momentum", c.has_momentum)? {
            config.momentum = Some(self.window("momentum", c.momentum)?);
        }
        config.warm_up = self.warm_up(c.warm_up)?;
        config.lr_placement = self.lr_placement(c.lr_placement)?;
        config.epsilon = self.epsilon(c.epsilon)?;
        config.decay = self.decay(c.decay)?;
        config.initial_exp_avg_sq = c.initial_exp_avg_sq;
        config.centered = self.truth("centered", c.centered)?;
        config.nesterov = self.truth("nesterov", c.nesterov)?;
        config.maximize = self.truth("maximize", c.maximize)?;
        Ok(match c.at_batch_size {
            0 => config,
            batch => config.at_batch_size(batch),
        })
    }
}

face! {
    /// pergrad's own convention: the exact mean as warm-up, epsilon 1e-8 outside the root. `window` is a
    /// length N; set `at_batch_size` if it and `lr` are stated per example.
    ///
    /// Errors: PERGRAD_ERROR_HYPER for a window that is not at least 1 and finite.
    fn pergrad_rmsprop_new(
        lr: f64,
        window: f64,
        config: *mut pergrad_rmsprop_config,
    ) |args| {
        let config = args.place("config", config)?;
        let window = pergrad_window::length(window);
        let own = RmspropConfig::new(lr, args.window("window", window)?);
        config.write(pergrad_rmsprop_config { window, ..pergrad_rmsprop_config::of(own) });
    }
}

face! {
    /// torch.optim.RMSprop(lr): alpha 0.99, epsilon 1e-8 outside. The rate is checked when coefficients
    /// are made.
    fn pergrad_rmsprop_torch(lr: f64, config: *mut pergrad_rmsprop_config) |args| {
        args.place("config", config)?.write(pergrad_rmsprop_config::of(RmspropConfig::torch(lr)?));
    }
}

face! {
    /// keras.optimizers.RMSprop(learning_rate): rho 0.9, epsilon 1e-7 inside the root, the rate inside the
    /// momentum buffer.
    fn pergrad_rmsprop_keras(lr: f64, config: *mut pergrad_rmsprop_config) |args| {
        args.place("config", config)?.write(pergrad_rmsprop_config::of(RmspropConfig::keras(lr)?));
    }
}

face! {
    /// optax.rmsprop(learning_rate): decay 0.9, epsilon 1e-8 inside the root, the rate inside the momentum
    /// buffer.
    fn pergrad_rmsprop_optax(lr: f64, config: *mut pergrad_rmsprop_config) |args| {
        args.place("config", config)?.write(pergrad_rmsprop_config::of(RmspropConfig::optax(lr)?));
    }
}

both! {
    ($T)
    /// The coefficients of step `t` >= 1, computed once in double precision and rounded once.
    ///
    /// Errors: as pergrad_adam_step_coeffs_f32().
    fn pergrad_rmsprop_step_coeffs_f32, pergrad_rmsprop_step_coeffs_f64(
        config: *const pergrad_rmsprop_config,
        t: u64,
        coeffs: *mut pergrad_rmsprop_coeffs<$T>,
    ) |args| {
        let coeffs = args.place("coeffs", coeffs)?;
        coeffs.write(Holds::new(args.rmsprop(config)?.step_coeffs(t)?));
    }
}
