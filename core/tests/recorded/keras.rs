//! `keras.optimizers`.

use pergrad_core::{AdamConfig, AmsGrad, Decay, Epsilon, MomentumConfig, RmspropConfig, Window};

use super::settings::{Settings, refused, unknown};
use crate::support::optimizers::Config;

/// The file.
pub const FILE: &str = "keras.json";

/// The configuration of an algorithm with these arguments.
pub fn config(algorithm: &str, s: &mut Settings) -> Result<Config, String> {
    let config = match algorithm {
        "SGD" => sgd(s)?,
        "RMSprop" => rmsprop(s)?,
        "Adam" => adam(s, None)?,
        "AdamW" => adam(s, Some(0.004))?,
        _ => return unknown(algorithm),
    };
    s.off(&["clipnorm", "clipvalue", "global_clipnorm", "use_ema"])?;
    s.off(&["loss_scale_factor", "gradient_accumulation_steps"])?;
    s.ignore(&["name", "ema_momentum", "ema_overwrite_frequency"]); // the latter two: of `use_ema`
    Ok(config)
}

fn sgd(s: &mut Settings) -> Result<Config, String> {
    let (lr, momentum) = (learning_rate(s, 0.01)?, s.number("momentum", 0.0)?);
    let mut c = MomentumConfig::keras(lr, momentum).map_err(refused)?;
    // Without a momentum Keras does not look at `nesterov`.
    c.nesterov = s.flag("nesterov", false)? && c.has_buffer();
    c.decay = decay(s, None)?;
    Ok(Config::Momentum(c))
}

fn rmsprop(s: &mut Settings) -> Result<Config, String> {
    let mut c = RmspropConfig::keras(learning_rate(s, 1e-3)?).map_err(refused)?;
    c.window = Window::from_beta(s.number("rho", 0.9)?).map_err(refused)?;
    c.epsilon = Epsilon::Inside(s.number("epsilon", 1e-7)?);
    c.momentum = match s.number("momentum", 0.0)? {
        0.0 => None,
        momentum => Some(Window::from_beta(momentum).map_err(refused)?),
    };
    c.centered = s.flag("centered", false)?;
    c.decay = decay(s, None)?;
    Ok(Config::Rmsprop(c))
}

fn adam(s: &mut Settings, weight_decay: Option<f64>) -> Result<Config, String> {
    let mut c = AdamConfig::keras(learning_rate(s, 1e-3)?).map_err(refused)?;
    c.window = Window::from_beta(s.number("beta_1", 0.9)?).map_err(refused)?;
    c.window_sq = Window::from_beta(s.number("beta_2", 0.999)?).map_err(refused)?;
    c.epsilon = Epsilon::Hat(s.number("epsilon", 1e-7)?);
    if s.flag("amsgrad", false)? {
        c.amsgrad = AmsGrad::Uncorrected;
    }
    c.decay = decay(s, weight_decay)?;
    Ok(Config::Adam(c))
}

/// Keras keeps the learning rate, and it alone, in a variable of its `floatx`: an f32, whatever the
/// type of the parameters.
fn learning_rate(s: &mut Settings, default: f64) -> Result<f64, String> {
    Ok(f64::from(s.number("learning_rate", default)? as f32))
}

/// Keras' decay is decoupled everywhere.
fn decay(s: &mut Settings, default: Option<f64>) -> Result<Decay, String> {
    let given = if s.has("weight_decay") { s.optional("weight_decay")? } else { default };
    Ok(given.map_or(Decay::None, Decay::Decoupled))
}
