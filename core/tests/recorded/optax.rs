//! `optax`.

use pergrad_core::{
    AdamConfig, AmsGrad, Decay, Epsilon, MomentumConfig, RmspropConfig, WarmUp, Window,
};

use super::settings::{Settings, refused, unknown};
use crate::support::optimizers::Config;

/// The file.
pub const FILE: &str = "optax.json";

/// What `golden/record_optax.py` adds to it.
pub const MORE: &str = "optax_more.json";

/// The configuration of an algorithm with these arguments.
pub fn config(algorithm: &str, s: &mut Settings) -> Result<Config, String> {
    match algorithm {
        "sgd" => sgd(s),
        "rmsprop" => rmsprop(s),
        "adam" => Ok(Config::Adam(adam(s, false)?)),
        "nadam" => Ok(Config::Adam(adam(s, true)?)),
        "adamw" => adamw(s, false),
        "nadamw" => adamw(s, true),
        "amsgrad" => {
            let mut c = basic_adam(s)?;
            c.amsgrad = AmsGrad::Corrected;
            let mu = s.flag("bias_correction_mu", true)?;
            let nu = s.flag("bias_correction_nu", true)?;
            if mu != nu {
                let key = "bias_correction_nu";
                return Err(format!("config key `{key}` is {nu}: both are corrected or none"));
            }
            c.warm_up = if mu { WarmUp::Debias } else { WarmUp::None };
            Ok(Config::Adam(c))
        }
        _ => unknown(algorithm),
    }
}

fn sgd(s: &mut Settings) -> Result<Config, String> {
    let momentum = s.optional("momentum")?.unwrap_or(0.0);
    let mut c = MomentumConfig::optax(s.required("learning_rate")?, momentum).map_err(refused)?;
    // Without a momentum optax looks ahead by nothing.
    c.nesterov = s.flag("nesterov", false)? && c.has_buffer();
    s.off(&["accumulator_dtype"])?;
    Ok(Config::Momentum(c))
}

fn rmsprop(s: &mut Settings) -> Result<Config, String> {
    let mut c = RmspropConfig::optax(s.required("learning_rate")?).map_err(refused)?;
    c.window = Window::from_beta(s.number("decay", 0.9)?).map_err(refused)?;
    let eps = s.number("eps", 1e-8)?;
    let inside = s.flag("eps_in_sqrt", true)?;
    c.epsilon = if inside { Epsilon::Inside(eps) } else { Epsilon::Outside(eps) };
    c.initial_exp_avg_sq = s.number("initial_scale", 0.0)?;
    c.centered = s.flag("centered", false)?;
    c.momentum = match s.optional("momentum")? {
        None | Some(0.0) => None,
        Some(momentum) => Some(Window::from_beta(momentum).map_err(refused)?),
    };
    c.nesterov = s.flag("nesterov", false)? && c.momentum.is_some();
    if s.flag("bias_correction", false)? {
        c.warm_up = WarmUp::Debias;
    }
    Ok(Config::Rmsprop(c))
}

/// What `adam` and `amsgrad` share.
fn basic_adam(s: &mut Settings) -> Result<AdamConfig, String> {
    let mut c = AdamConfig::optax(s.required("learning_rate")?).map_err(refused)?;
    c.window = Window::from_beta(s.number("b1", 0.9)?).map_err(refused)?;
    c.window_sq = Window::from_beta(s.number("b2", 0.999)?).map_err(refused)?;
    let (outside, inside) = (s.number("eps", 1e-8)?, s.number("eps_root", 0.0)?);
    c.epsilon = Epsilon::Both { inside, outside };
    s.off(&["mu_dtype"])?;
    Ok(c)
}

fn adam(s: &mut Settings, nesterov: bool) -> Result<AdamConfig, String> {
    let mut c = basic_adam(s)?;
    c.nesterov = s.flag("nesterov", nesterov)?;
    Ok(c)
}

fn adamw(s: &mut Settings, nesterov: bool) -> Result<Config, String> {
    let mut c = adam(s, nesterov)?;
    c.decay = Decay::Decoupled(s.number("weight_decay", 1e-4)?);
    s.off(&["mask"])?;
    Ok(Config::Adam(c))
}
