//! Configurations as C fills them, by presets and by hand, with garbage between, and the coefficients of a
//! step, beside those of Rust.

use std::mem::MaybeUninit;

use pergrad_capi::*;
use pergrad_core::{
    AdamCoeffs, AdamConfig, AmsGrad, Decay, Epsilon, Error, LrPlacement, MomentumCoeffs,
    MomentumConfig, MomentumForm, RmspropCoeffs, RmspropConfig, WarmUp, Window,
};
use pergrad_fuzz::support::values::Real;

use super::caller::Caller;

const WARM_UPS: [WarmUp; 3] = [WarmUp::None, WarmUp::ExactMean, WarmUp::Debias];
const PLACEMENTS: [LrPlacement; 2] = [LrPlacement::Outside, LrPlacement::Inside];

/// What C and Rust know of one step of an optimizer.
pub struct Step<Config, C, Rust> {
    pub config: Config,
    pub c: C,
    pub rust: Rust,
}

/// A window that C states by length or beta; most often one that is allowed.
fn window(c: &mut Caller<'_, '_>) -> (pergrad_window, Window) {
    let (by, make) = c.choice(&[Window::new as fn(f64) -> _, Window::from_beta]);
    let mut value = c.source.real();
    if make(value).is_err() {
        if c.odd(1) != 0 {
            c.refusals.push(pergrad_error::PERGRAD_ERROR_HYPER);
        } else {
            value = if make(7.0).is_ok() { 7.0 } else { 0.75 };
        }
    }
    (pergrad_window { by, value }, make(value).unwrap_or(Window::new(1.0).expect("1 is enough")))
}

fn epsilon(c: &mut Caller<'_, '_>) -> (pergrad_epsilon, Epsilon) {
    let (hat, is_hat) = c.truth();
    let inside = if c.source.flag() { c.source.real() } else { 0.0 };
    let outside = c.source.real();
    if is_hat && inside != 0.0 {
        c.refusals.push(pergrad_error::PERGRAD_ERROR_CONFLICT);
    }
    let both = Epsilon::Both { inside, outside };
    (pergrad_epsilon { inside, outside, hat }, if is_hat { Epsilon::Hat(outside) } else { both })
}

fn decay(c: &mut Caller<'_, '_>) -> (pergrad_decay, Decay) {
    let (kind, make) =
        c.choice(&[(|_| Decay::None) as fn(f64) -> _, Decay::Coupled, Decay::Decoupled]);
    let value = c.source.real();
    (pergrad_decay { kind, value }, make(value))
}

/// The number of a step, and the batch size that hyper-parameters per example are for.
fn step_and_batch(c: &mut Caller<'_, '_>) -> (u64, usize) {
    let t = if c.source.flag() { c.source.any() } else { 1 + c.source.any::<u8>() as u64 };
    let batch = c.source.any::<u8>().into();
    (t, if c.source.flag() { 0 } else { c.source.pick(&[1, batch, usize::MAX]) })
}

/// A call that fills a place, in C and in Rust.
fn filled<C: Copy, R>(
    c: &mut Caller<'_, '_>,
    call: impl FnOnce(*mut C, *mut pergrad_error_info) -> pergrad_error,
    rust: impl FnOnce() -> Result<R, Error>,
) -> Option<(C, R)> {
    let (place, info) = (c.place(), c.info());
    let code = call(place.cast(), info);
    c.filled(code, place, rust)
}

type Fill<C> = unsafe extern "C" fn(f64, *mut C, *mut pergrad_error_info) -> pergrad_error;
type Fill2<C> = unsafe extern "C" fn(f64, f64, *mut C, *mut pergrad_error_info) -> pergrad_error;
type Preset<R> = fn(f64) -> Result<R, Error>;
type Preset2<R> = fn(f64, f64) -> Result<R, Error>;

pub fn momentum<T: Real>(
    c: &mut Caller<'_, '_>,
) -> Option<Step<MomentumConfig, pergrad_momentum_coeffs<T>, MomentumCoeffs<T>>> {
    let own = |lr, n| Ok(MomentumConfig::new(lr, Window::new(n)?));
    let presets: [(Fill2<_>, Preset2<_>); 4] = [
        (pergrad_momentum_new, own),
        (pergrad_momentum_torch, MomentumConfig::torch),
        (pergrad_momentum_keras, MomentumConfig::keras),
        (pergrad_momentum_optax, MomentumConfig::optax),
    ];
    let (fill, preset) = c.source.pick(&presets);
    let (lr, of) = (c.source.real(), c.source.real());
    let (mut config, mut rust) =
        filled(c, |to, info| call!(fill(lr, of, to, info)), || preset(lr, of))?;
    if c.source.flag() {
        let forms = [MomentumForm::Plain, MomentumForm::Sum, MomentumForm::Average];
        (config.window, rust.window) = window(c);
        (config.form, rust.form) = c.choice(&forms);
        (config.warm_up, rust.warm_up) = c.choice(&WARM_UPS);
        config.dampening = if c.source.flag() { c.source.real() } else { 0.0 };
        rust.dampening = config.dampening;
        (config.lr_placement, rust.lr_placement) = c.choice(&PLACEMENTS);
        (config.nesterov, rust.nesterov) = c.truth();
        (config.maximize, rust.maximize) = c.truth();
        (config.decay, rust.decay) = decay(c);
    }
    let forms: [(unsafe extern "C" fn(_, _) -> _, fn(MomentumConfig) -> _); 2] = [
        (pergrad_momentum_to_sum_form, MomentumConfig::to_sum_form),
        (pergrad_momentum_to_average_form, MomentumConfig::to_average_form),
    ];
    if c.source.flag() {
        let (turn, turn_rust) = c.source.pick(&forms);
        let (place, info) = (c.lend(MaybeUninit::new(config)), c.info());
        let code = call!(turn(place.cast(), info));
        (config, rust) = c.filled(code, place, || Ok(turn_rust(rust)))?;
    }
    let (t, batch) = step_and_batch(c);
    config.at_batch_size = batch;
    let rust = if batch == 0 { rust } else { rust.at_batch_size(batch) };
    let config = c.lend(config).cast_const();
    let make = |to: *mut pergrad_momentum_coeffs<T>, info| call!(T: pergrad_momentum_step_coeffs_f32 | pergrad_momentum_step_coeffs_f64(config, t, to.cast(), info));
    let (c, coeffs) = filled(c, make, || rust.step_coeffs(t))?;
    Some(Step { config: rust, c, rust: coeffs })
}

pub fn rmsprop<T: Real>(
    c: &mut Caller<'_, '_>,
) -> Option<Step<RmspropConfig, pergrad_rmsprop_coeffs<T>, RmspropCoeffs<T>>> {
    let presets: [(Fill<_>, Preset<_>); 3] = [
        (pergrad_rmsprop_torch, RmspropConfig::torch),
        (pergrad_rmsprop_keras, RmspropConfig::keras),
        (pergrad_rmsprop_optax, RmspropConfig::optax),
    ];
    let (lr, n) = (c.source.real(), c.source.real());
    let (mut config, mut rust) = if c.source.flag() {
        let own = || Ok(RmspropConfig::new(lr, Window::new(n)?));
        filled(c, |to, info| call!(pergrad_rmsprop_new(lr, n, to, info)), own)?
    } else {
        let (fill, preset) = c.source.pick(&presets);
        filled(c, |to, info| call!(fill(lr, to, info)), || preset(lr))?
    };
    if c.source.flag() {
        (config.window, rust.window) = window(c);
        (config.warm_up, rust.warm_up) = c.choice(&WARM_UPS);
        (config.lr_placement, rust.lr_placement) = c.choice(&PLACEMENTS);
        (config.epsilon, rust.epsilon) = epsilon(c);
        (config.decay, rust.decay) = decay(c);
        config.initial_exp_avg_sq = if c.source.flag() { c.source.real() } else { 0.0 };
        rust.initial_exp_avg_sq = config.initial_exp_avg_sq;
        (config.centered, rust.centered) = c.truth();
        (config.nesterov, rust.nesterov) = c.truth();
        (config.maximize, rust.maximize) = c.truth();
        let (has_momentum, has) = c.truth();
        config.has_momentum = has_momentum;
        if has {
            let (stated, momentum) = window(c);
            (config.momentum, rust.momentum) = (stated, Some(momentum));
        } else {
            config.momentum.value = f64::NAN;
            rust.momentum = None;
        }
    }
    let (t, batch) = step_and_batch(c);
    config.at_batch_size = batch;
    let rust = if batch == 0 { rust } else { rust.at_batch_size(batch) };
    let config = c.lend(config).cast_const();
    let make = |to: *mut pergrad_rmsprop_coeffs<T>, info| call!(T: pergrad_rmsprop_step_coeffs_f32 | pergrad_rmsprop_step_coeffs_f64(config, t, to.cast(), info));
    let (c, coeffs) = filled(c, make, || rust.step_coeffs(t))?;
    Some(Step { config: rust, c, rust: coeffs })
}

pub fn adam<T: Real>(
    c: &mut Caller<'_, '_>,
) -> Option<Step<AdamConfig, pergrad_adam_coeffs<T>, AdamCoeffs<T>>> {
    let presets: [(Fill<_>, Preset<_>); 3] = [
        (pergrad_adam_torch, AdamConfig::torch),
        (pergrad_adam_keras, AdamConfig::keras),
        (pergrad_adam_optax, AdamConfig::optax),
    ];
    let (lr, n, m) = (c.source.real(), c.source.real(), c.source.real());
    let (mut config, mut rust) = if c.source.flag() {
        let own = || Ok(AdamConfig::new(lr, Window::new(n)?, Window::new(m)?));
        filled(c, |to, info| call!(pergrad_adam_new(lr, n, m, to, info)), own)?
    } else {
        let (fill, preset) = c.source.pick(&presets);
        filled(c, |to, info| call!(fill(lr, to, info)), || preset(lr))?
    };
    if c.source.flag() {
        let amsgrads = [AmsGrad::Off, AmsGrad::Uncorrected, AmsGrad::Corrected];
        (config.window, rust.window) = window(c);
        (config.window_sq, rust.window_sq) = window(c);
        (config.warm_up, rust.warm_up) = c.choice(&WARM_UPS);
        (config.amsgrad, rust.amsgrad) = c.choice(&amsgrads);
        (config.epsilon, rust.epsilon) = epsilon(c);
        (config.decay, rust.decay) = decay(c);
        (config.nesterov, rust.nesterov) = c.truth();
        (config.maximize, rust.maximize) = c.truth();
    }
    let (t, batch) = step_and_batch(c);
    config.at_batch_size = batch;
    let rust = if batch == 0 { rust } else { rust.at_batch_size(batch) };
    let config = c.lend(config).cast_const();
    let make = |to: *mut pergrad_adam_coeffs<T>, info| call!(T: pergrad_adam_step_coeffs_f32 | pergrad_adam_step_coeffs_f64(config, t, to.cast(), info));
    let (c, coeffs) = filled(c, make, || rust.step_coeffs(t))?;
    Some(Step { config: rust, c, rust: coeffs })
}

/// The length of a window.
pub fn length(c: &mut Caller<'_, '_>) {
    let (stated, rust) = window(c);
    let batch = step_and_batch(c).1;
    let rust = if batch == 0 { rust } else { rust.at_batch_size(batch) };
    let call = |to, info| call!(pergrad_window_length(stated, batch, to, info));
    if let Some((length, want)) = filled(c, call, || Ok(rust.length())) {
        assert_eq!(f64::to_bits(length), want.to_bits());
    }
}
