//! A recorded trajectory, followed on every instruction set.

use std::fmt::Display;

use pergrad_core::{Decay, Epsilon, Isa, NonFinite, WarmUp, Window};

use super::file::{Object, list, numbers, string};
use super::settings::Settings;
use super::tolerance::Tolerance;
use crate::support::isas::for_each_isa;
use crate::support::optimizers::Config;
use crate::support::values::Real;

/// From an algorithm and its arguments to a configuration.
pub type Mapping = fn(&str, &mut Settings) -> Result<Config, String>;

/// The configuration of a case; every key of it must be understood.
pub fn config(mapping: Mapping, case: &Object) -> Result<Config, String> {
    let given =
        case.get("config").and_then(|c| c.as_object()).ok_or("`config` is not an object")?;
    let mut settings = Settings::new(given);
    let config = mapping(string(case, "algorithm")?, &mut settings)?;
    settings.finish()?;
    Ok(config)
}

/// What a case recorded.
#[derive(Debug, Clone)]
pub struct Trajectory<T> {
    start: Vec<T>,
    grads: Vec<Vec<T>>,
    params: Vec<Vec<T>>,
    /// By the library's names.
    state: Vec<(String, Vec<T>)>,
}

impl<T: Real> Trajectory<T> {
    /// Reads a case and checks that all has the same length.
    pub fn read(case: &Object) -> Result<Self, String> {
        let start: Vec<T> = numbers("params0", case.get("params0"))?;
        let of_len = |what: &str, values: Vec<T>| match values.len() {
            n if n == start.len() => Ok(values),
            n => Err(format!("`{what}` has {n} elements, `params0` has {}", start.len())),
        };
        let rows = |key: &str| {
            let row = |(t, row)| {
                let what = format!("{key}[{t}]");
                of_len(&what, numbers(&what, Some(row))?)
            };
            list(key, case.get(key))?.iter().enumerate().map(row).collect::<Result<Vec<_>, _>>()
        };
        let (grads, params) = (rows("grads")?, rows("params")?);
        if grads.is_empty() || grads.len() != params.len() || start.is_empty() {
            let (n, g, p) = (start.len(), grads.len(), params.len());
            return Err(format!("there are {n} `params0`, {g} `grads` and {p} `params`"));
        }
        let mut state = Vec::new();
        if let Some(recorded) = case.get("final_state").filter(|s| !s.is_null()) {
            for (name, value) in recorded.as_object().ok_or("`final_state` is not an object")? {
                let what = format!("final_state.{name}");
                state.push((name.clone(), of_len(&what, numbers(&what, Some(value))?)?));
            }
        }
        Ok(Trajectory { start, grads, params, state })
    }

    /// Makes the same steps on every instruction set. The largest error, as a part of what is
    /// tolerated; or where it is more than that.
    pub fn follow(&self, config: &Config, tolerance: &Tolerance) -> Result<f64, String> {
        let mut result = Ok(0.0f64);
        for_each_isa(|isa| {
            if let Ok(worst) = result {
                let here = self.follow_at(isa, config, tolerance);
                result = here.map(|w| worst.max(w)).map_err(|e| format!("{}: {e}", isa.name()));
            }
        });
        result
    }

    fn follow_at(&self, isa: Isa, config: &Config, tol: &Tolerance) -> Result<f64, String> {
        let n = self.start.len();
        let names = config.arrays();
        let mut arrays = names.map(|(name, used)| {
            let initial = match config {
                Config::Rmsprop(c) if name == "exp_avg_sq" => T::from_f64(c.initial_exp_avg_sq),
                _ => T::ZERO,
            };
            vec![initial; if used { n } else { 0 }]
        });
        arrays[0].copy_from_slice(&self.start);
        let mut elements: Vec<Bounds> =
            self.start.iter().map(|p| Bounds::new(p.to_f64())).collect();
        let mut worst = 0.0f64;
        let mut before = &self.start;
        let steps = self.grads.len() as u64;
        for (t, (grad, params)) in (1..).zip(self.grads.iter().zip(&self.params)) {
            let lent = arrays.each_mut().map(Vec::as_mut_slice);
            config
                .update(isa, t, grad, None, lent, NonFinite::Propagate)
                .map_err(|e| format!("step {t}: {e}"))?;
            let correction = tol.correction * correction_error(config, t);
            for (k, bounds) in elements.iter_mut().enumerate() {
                let held = [0, 1, 2, 3].map(|a| arrays[a].get(k).map_or(0.0, |v| v.to_f64()));
                let [from, grad, to] = [before[k], grad[k], params[k]].map(T::to_f64);
                bounds.gradient(config, from, grad);
                bounds.variance(config, t, &held);
                bounds.step(from * kept(config), to, &held, tol.update, correction);
                let place = || format!("step {t}: params[{k}]");
                let allowed = bounds.of_param(t, tol);
                worst = worst.max(close(place, held[0], to, allowed)?);
            }
            before = params;
        }
        for (name, recorded) in &self.state {
            let ours = our_name(config, name);
            let Some(a) = (1..4).find(|&a| names[a].1 && ours == Some(names[a].0)) else {
                return Err(format!("`final_state.{name}` has no counterpart"));
            };
            for (k, want) in recorded.iter().enumerate() {
                let place = || format!("final_state.{name}[{k}]");
                let allowed = elements[k].of_state(config, a, steps, tol);
                worst = worst.max(close(place, arrays[a][k].to_f64(), want.to_f64(), allowed)?);
            }
        }
        Ok(worst)
    }
}

/// The error as a part of what is allowed.
pub fn close<P: Display>(
    place: impl FnOnce() -> P,
    got: f64,
    want: f64,
    allowed: f64,
) -> Result<f64, String> {
    let error = (got - want).abs();
    if error == 0.0 {
        Ok(0.0)
    } else if error <= allowed && allowed.is_finite() {
        Ok(error / allowed)
    } else {
        let place = place();
        Err(format!("{place} is {got:e}, recorded {want:e}: {error:.2e} off, not {allowed:.2e}"))
    }
}

/// PyTorch's names of what is kept, as ours.
fn our_name(config: &Config, name: &str) -> Option<&'static str> {
    Some(match (config, name) {
        (Config::Momentum(_) | Config::Rmsprop(_), "momentum_buffer") => "momentum_buffer",
        (Config::Rmsprop(_), "square_avg") => "exp_avg_sq",
        (Config::Rmsprop(_), "grad_avg") => "exp_avg",
        (Config::Adam(_), "exp_avg") => "exp_avg",
        (Config::Adam(_), "exp_avg_sq") => "exp_avg_sq",
        (Config::Adam(_), "max_exp_avg_sq") => "max_exp_avg_sq",
        _ => return None,
    })
}

/// What the errors of one parameter are measured against.
#[derive(Debug, Clone)]
struct Bounds {
    /// The largest so far: parameter and update, as recorded; each array, as ours; then the second
    /// moment before this step.
    param: f64,
    update: f64,
    arrays: [f64; 4],
    before: f64,
    /// The largest so far: `|g| + |decay p|` and `|g + decay p|`.
    terms: f64,
    gradient: f64,
    /// By how much the second moment has amplified relative errors, at most.
    variance: f64,
    /// Sum over the steps of what was tolerated of each update.
    updates: f64,
}

impl Bounds {
    fn new(start: f64) -> Self {
        Bounds {
            param: start.abs(),
            update: 0.0,
            arrays: [0.0; 4],
            before: 0.0,
            terms: 0.0,
            gradient: 0.0,
            variance: 1.0,
            updates: 0.0,
        }
    }

    /// A coupled decay can cancel the gradient.
    fn gradient(&mut self, config: &Config, param: f64, grad: f64) {
        let (decay, maximize) = match config {
            Config::Momentum(c) => (c.decay, c.maximize),
            Config::Rmsprop(c) => (c.decay, c.maximize),
            Config::Adam(c) => (c.decay, c.maximize),
        };
        let pull = if let Decay::Coupled(decay) = decay { decay * param } else { 0.0 };
        let grad = if maximize { -grad } else { grad };
        self.terms = self.terms.max(grad.abs() + pull.abs());
        self.gradient = self.gradient.max((grad + pull).abs());
    }

    /// A second moment whose window is near 1 can fall far in one step; moved by difference, it keeps
    /// the rounding of what it was. And `exp_avg_sq - exp_avg^2` can cancel.
    fn variance(&mut self, config: &Config, t: u64, held: &[f64; 4]) {
        let sq = match config {
            Config::Momentum(_) => return,
            Config::Rmsprop(_) => held[1],
            Config::Adam(_) => held[2],
        };
        let mut amplified = if sq > 0.0 { self.before / sq } else { 1.0 };
        self.before = sq;
        if let Config::Rmsprop(c) = config
            && c.centered
        {
            let correction = c.warm_up.correction(c.window, t);
            let (sq, avg) = (sq / correction, held[2] / correction);
            let eps = match c.epsilon {
                Epsilon::Inside(e) => e,
                Epsilon::Outside(e) | Epsilon::Hat(e) => e * e,
                Epsilon::Both { inside, outside } => inside + outside * outside,
            };
            amplified = amplified.max(sq / ((sq - avg * avg).max(0.0) + eps));
        }
        // Not where it is 0 / 0.
        if amplified > self.variance {
            self.variance = amplified;
        }
    }

    fn step(&mut self, from: f64, to: f64, held: &[f64; 4], rounding: f64, correction: f64) {
        self.param = self.param.max(to.abs());
        self.update = self.update.max((to - from).abs());
        for (most, held) in self.arrays.iter_mut().zip(held) {
            *most = most.max(held.abs());
        }
        let amplified = rounding * self.variance * self.cancellation();
        self.updates += self.update * (amplified + correction);
    }

    /// What a coupled decay amplifies errors of the gradient by.
    fn cancellation(&self) -> f64 {
        if self.gradient > 0.0 { self.terms / self.gradient } else { 1.0 }
    }

    fn of_param(&self, t: u64, tolerance: &Tolerance) -> f64 {
        t as f64 * tolerance.param * self.param + self.updates
    }

    fn of_state(&self, config: &Config, array: usize, t: u64, tolerance: &Tolerance) -> f64 {
        // RMSProp's buffer sums what was divided by the root of the variance.
        let buffer = config.arrays()[array].0 == "momentum_buffer";
        let amplified = self.cancellation() * if buffer { self.variance } else { 1.0 };
        t as f64 * tolerance.state * amplified * self.arrays[array]
    }
}

/// What a decoupled decay leaves of a parameter: the rest of its change is the update.
fn kept(config: &Config) -> f64 {
    let (decay, lr) = match config {
        Config::Momentum(c) => (c.decay, c.lr),
        Config::Rmsprop(c) => (c.decay, c.lr),
        Config::Adam(c) => (c.decay, c.lr),
    };
    if let Decay::Decoupled(decay) = decay { 1.0 - lr * decay } else { 1.0 }
}

/// The relative error of an update if `beta^t` has a relative one of 1: that of `1 - beta^t`, a half
/// under a root. A rounded beta makes `t` times its own error, the power about one of its own.
fn correction_error(config: &Config, t: u64) -> f64 {
    let one = |warm_up: WarmUp, window: Window| match warm_up {
        WarmUp::Debias => {
            let correction = window.correction(t);
            (0.5 * t as f64 + 1.0) * (1.0 - correction) / correction
        }
        _ => 0.0,
    };
    match config {
        Config::Momentum(_) => 0.0,
        Config::Rmsprop(c) => one(c.warm_up, c.window),
        Config::Adam(c) => one(c.warm_up, c.window) + 0.5 * one(c.warm_up, c.window_sq),
    }
}
