//! `torch.optim`.

use pergrad_core::{AdamConfig, AmsGrad, Decay, Epsilon, MomentumConfig, RmspropConfig, Window};

use super::settings::{Settings, refused, unknown};
use crate::support::optimizers::Config;

/// The file.
pub const FILE: &str = "torch_optim.json";

/// The configuration of an algorithm with these arguments.
pub fn config(algorithm: &str, s: &mut Settings) -> Result<Config, String> {
    let config = match algorithm {
        "SGD" => sgd(s)?,
        "RMSprop" => rmsprop(s)?,
        "Adam" => adam(s, 0.0, false)?,
        "AdamW" => adam(s, 0.01, true)?,
        _ => return unknown(algorithm),
    };
    s.implementation(&["foreach", "fused", "capturable", "differentiable"])?;
    Ok(config)
}

fn sgd(s: &mut Settings) -> Result<Config, String> {
    let (lr, momentum) = (s.number("lr", 1e-3)?, s.number("momentum", 0.0)?);
    let mut c = MomentumConfig::torch(lr, momentum).map_err(refused)?;
    let (dampening, nesterov) = (s.number("dampening", 0.0)?, s.flag("nesterov", false)?);
    // Without a momentum PyTorch has no use for the dampening, and refuses `nesterov`, as we do.
    c.dampening = if c.has_buffer() { dampening } else { 0.0 };
    c.nesterov = nesterov;
    c.decay = coupled(s.number("weight_decay", 0.0)?);
    c.maximize = s.flag("maximize", false)?;
    Ok(Config::Momentum(c))
}

fn rmsprop(s: &mut Settings) -> Result<Config, String> {
    let mut c = RmspropConfig::torch(s.number("lr", 1e-2)?).map_err(refused)?;
    c.window = Window::from_beta(s.number("alpha", 0.99)?).map_err(refused)?;
    c.epsilon = Epsilon::Outside(s.number("eps", 1e-8)?);
    c.momentum = match s.number("momentum", 0.0)? {
        0.0 => None,
        momentum => Some(Window::from_beta(momentum).map_err(refused)?),
    };
    c.centered = s.flag("centered", false)?;
    c.decay = coupled(s.number("weight_decay", 0.0)?);
    c.maximize = s.flag("maximize", false)?;
    Ok(Config::Rmsprop(c))
}

fn adam(s: &mut Settings, weight_decay: f64, decoupled: bool) -> Result<Config, String> {
    let mut c = AdamConfig::torch(s.number("lr", 1e-3)?).map_err(refused)?;
    let [beta1, beta2] = s.pair("betas", [0.9, 0.999])?;
    c.window = Window::from_beta(beta1).map_err(refused)?;
    c.window_sq = Window::from_beta(beta2).map_err(refused)?;
    c.epsilon = Epsilon::Outside(s.number("eps", 1e-8)?);
    if s.flag("amsgrad", false)? {
        c.amsgrad = AmsGrad::Uncorrected;
    }
    let weight_decay = s.number("weight_decay", weight_decay)?;
    let given = s.flag("decoupled_weight_decay", decoupled)?;
    if decoupled && !given {
        return Err("config key `decoupled_weight_decay` is false, AdamW has no other".into());
    }
    c.decay = if given { Decay::Decoupled(weight_decay) } else { coupled(weight_decay) };
    c.maximize = s.flag("maximize", false)?;
    Ok(Config::Adam(c))
}

fn coupled(weight_decay: f64) -> Decay {
    if weight_decay == 0.0 { Decay::None } else { Decay::Coupled(weight_decay) }
}
