//! Adam, AdamW, AMSGrad, NAdam.

use core::mem::MaybeUninit;

use pergrad_core::{AdamConfig, AmsGrad};

use crate::args::Args;
use crate::coeffs::Holds;
use crate::error::Refused;
use crate::{pergrad_adam_coeffs, pergrad_decay, pergrad_epsilon, pergrad_warm_up, pergrad_window};

c_enum! {
    /// Whether Adam's denominator follows the largest second moment so far, and of which average the
    /// maximum is taken.
    pergrad_amsgrad {
        /// No.
        PERGRAD_AMSGRAD_OFF = 0,
        /// The maximum of the average as it is, corrected afterwards (PyTorch, Keras).
        PERGRAD_AMSGRAD_UNCORRECTED = 1,
        /// The maximum of the corrected average (optax).
        PERGRAD_AMSGRAD_CORRECTED = 2,
    }
}

/// Hyper-parameters of Adam, of AdamW (by PERGRAD_DECAY_DECOUPLED), AMSGrad and NAdam. With g the gradient
/// (its sign turned by `maximize`, coupled decay added) and s the second moment, g^2 or an array of the
/// caller's:
///
/// ```text
/// exp_avg    += alpha1_t (g - exp_avg)
/// exp_avg_sq += alpha2_t (s - exp_avg_sq)
/// param      -= lr m^ / denominator
/// ```
///
/// where m^ follows from `warm_up` and the denominator from `epsilon` and `amsgrad`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct pergrad_adam_config {
    /// Learning rate.
    pub lr: f64,
    /// Window of `exp_avg`.
    pub window: pergrad_window,
    /// Window of `exp_avg_sq`.
    pub window_sq: pergrad_window,
    /// Warm-up of both averages.
    pub warm_up: MaybeUninit<pergrad_warm_up>,
    /// Follow the largest second moment.
    pub amsgrad: MaybeUninit<pergrad_amsgrad>,
    /// Where epsilon stands, and its value.
    pub epsilon: pergrad_epsilon,
    /// Weight decay.
    pub decay: pergrad_decay,
    /// Look ahead by one step in the average of the gradient.
    pub nesterov: MaybeUninit<bool>,
    /// Ascend instead of descend.
    pub maximize: MaybeUninit<bool>,
    /// 0: rate and windows are per step. Otherwise they are per example, and steps are of so many
    /// examples: lr * B, windows N / B (never under 1).
    pub at_batch_size: usize,
}

impl pergrad_adam_config {
    /// From a preset; its windows are stated by beta.
    fn of(config: AdamConfig) -> Self {
        pergrad_adam_config {
            lr: config.lr,
            window: pergrad_window::beta(config.window),
            window_sq: pergrad_window::beta(config.window_sq),
            warm_up: pergrad_warm_up::of(config.warm_up),
            amsgrad: MaybeUninit::new(match config.amsgrad {
                AmsGrad::Off => pergrad_amsgrad::PERGRAD_AMSGRAD_OFF,
                AmsGrad::Uncorrected => pergrad_amsgrad::PERGRAD_AMSGRAD_UNCORRECTED,
                AmsGrad::Corrected => pergrad_amsgrad::PERGRAD_AMSGRAD_CORRECTED,
            }),
            epsilon: pergrad_epsilon::of(config.epsilon),
            decay: pergrad_decay::of(config.decay),
            nesterov: MaybeUninit::new(config.nesterov),
            maximize: MaybeUninit::new(config.maximize),
            at_batch_size: 0,
        }
    }
}

impl Args<'_> {
    fn adam(&mut self, config: *const pergrad_adam_config) -> Result<AdamConfig, Refused> {
        let c = self.structure("config", config)?;
        let (window, window_sq) =
            (self.window("window", c.window)?, self.window("window_sq", c.window_sq)?);
        let mut config = AdamConfig::new(c.lr, window, window_sq);
        config.warm_up = self.warm_up(c.warm_up)?;
        config.amsgrad = match self.one_of("amsgrad", c.amsgrad)? {
            pergrad_amsgrad::PERGRAD_AMSGRAD_OFF => AmsGrad::Off,
            pergrad_amsgrad::PERGRAD_AMSGRAD_UNCORRECTED => AmsGrad::Uncorrected,
            pergrad_amsgrad::PERGRAD_AMSGRAD_CORRECTED => AmsGrad::Corrected,
        };
        config.epsilon = self.epsilon(c.epsilon)?;
        config.decay = self.decay(c.decay)?;
        config.nesterov = self.truth("nesterov", c.nesterov)?;
        config.maximize = self.truth("maximize", c.maximize)?;
        Ok(match c.at_batch_size {
            0 => config,
            batch => config.at_batch_size(batch),
        })
    }
}

face! {
    /// pergrad's own convention: the exact mean as warm-up, epsilon 1e-8 outside the root. `window` and
    /// `window_sq` are lengths N; set `at_batch_size` if they and `lr` are stated per example.
    ///
    /// Errors: PERGRAD_ERROR_HYPER for a window that is not at least 1 and finite.
    fn pergrad_adam_new(
        lr: f64,
        window: f64,
        window_sq: f64,
        config: *mut pergrad_adam_config,
    ) |args| {
        let config = args.place("config", config)?;
        let (window, window_sq) = (pergrad_window::length(window), pergrad_window::length(window_sq));
        let of_each = (args.window("window", window)?, args.window("window_sq", window_sq)?);
        let own = pergrad_adam_config::of(AdamConfig::new(lr, of_each.0, of_each.1));
        config.write(pergrad_adam_config { window, window_sq, ..own });
    }
}

face! {
    /// torch.optim.Adam(lr): betas 0.9 and 0.999, epsilon 1e-8 outside. Its amsgrad is
    /// PERGRAD_AMSGRAD_UNCORRECTED. The rate is checked when coefficients are made.
    fn pergrad_adam_torch(lr: f64, config: *mut pergrad_adam_config) |args| {
        args.place("config", config)?.write(pergrad_adam_config::of(AdamConfig::torch(lr)?));
    }
}

face! {
    /// keras.optimizers.Adam(learning_rate): epsilon 1e-7 in the hat form. Its amsgrad is
    /// PERGRAD_AMSGRAD_UNCORRECTED, its weight_decay PERGRAD_DECAY_DECOUPLED.
    fn pergrad_adam_keras(lr: f64, config: *mut pergrad_adam_config) |args| {
        args.place("config", config)?.write(pergrad_adam_config::of(AdamConfig::keras(lr)?));
    }
}

face! {
    /// optax.adam(learning_rate): epsilon 1e-8 outside. Its amsgrad is PERGRAD_AMSGRAD_CORRECTED.
    fn pergrad_adam_optax(lr: f64, config: *mut pergrad_adam_config) |args| {
        args.place("config", config)?.write(pergrad_adam_config::of(AdamConfig::optax(lr)?));
    }
}

both! {
    ($T)
    /// The coefficients of step `t` >= 1, computed once in double precision and rounded once.
    ///
    /// Errors: PERGRAD_ERROR_HYPER for a window outside of its range, for a learning rate, epsilon or
    /// decay that is negative or not finite in the element type, for an epsilon that rounds to 0 there
    /// unless it is 0, or for t = 0; PERGRAD_ERROR_CONFLICT for settings that exclude each other;
    /// PERGRAD_ERROR_ENUM.
    fn pergrad_adam_step_coeffs_f32, pergrad_adam_step_coeffs_f64(
        config: *const pergrad_adam_config,
        t: u64,
        coeffs: *mut pergrad_adam_coeffs<$T>,
    ) |args| {
        let coeffs = args.place("coeffs", coeffs)?;
        coeffs.write(Holds::new(args.adam(config)?.step_coeffs(t)?));
    }
}
