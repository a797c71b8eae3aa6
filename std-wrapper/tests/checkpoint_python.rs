//! A file that Python wrote, and one for Python to check: `interop/interop.py` is the other half.
//!
//! With `PERGRAD_INTEROP=folder` the file that Python has just written there, `python.safetensors`, is read
//! in place of the one that is checked in, and `rust.safetensors` is left there.
#![cfg(feature = "checkpoint")]

use std::path::{Path, PathBuf};

use pergrad::{
    AdamConfig, Checkpoint, Decay, Element, Error, LayerOptimizer, Linear, Momentum,
    MomentumConfig, NonFinite, Tensor, Window,
};

fn ramp<T: Element>(shape: &[usize]) -> Tensor<T> {
    Tensor::from_fn(shape, |k| T::from_f64((k as f64 - 2.0) / 4.0)).unwrap()
}

/// What the file holds: a layer, its Adam, a tensor, its momentum.
type Contents = (Linear<f32>, LayerOptimizer<f32, AdamConfig>, Tensor<f64>, Momentum<f64>);

fn contents() -> Contents {
    let layer = Linear::new(ramp(&[2, 3]), Some(ramp(&[2]))).unwrap();
    let mut adam = LayerOptimizer::new(AdamConfig::torch(0.1).unwrap(), &layer).unwrap();
    let state = |shape: &[usize]| [("exp_avg", ramp(shape)), ("exp_avg_sq", ramp(shape))];
    adam.weight_mut().restore(7, &state(&[2, 3])).unwrap();
    adam.bias_mut().unwrap().restore(7, &state(&[2])).unwrap();

    let mut config = MomentumConfig::torch(1.0 / 3.0, 0.875).unwrap();
    (config.dampening, config.decay) = (0.5, Decay::Coupled(0.01));
    let t = ramp(&[2, 1, 2]);
    let mut momentum = Momentum::new(config, t.shape()).unwrap();
    momentum.set_non_finite(NonFinite::Refuse);
    momentum.restore(9, &[("momentum_buffer", ramp(&[2, 1, 2]))]).unwrap();
    (layer, adam, t, momentum)
}

fn interop() -> Option<PathBuf> {
    std::env::var_os("PERGRAD_INTEROP").map(PathBuf::from)
}

#[test]
fn from_python() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
    let path = interop().unwrap_or(here).join("python.safetensors");
    let loaded = Checkpoint::load(path).unwrap();
    assert_eq!(loaded.metadata("epoch"), Some("3 \u{e9}"));

    let (layer, adam, t, momentum) = contents();
    assert_eq!(loaded.read_layer("layer1").unwrap(), layer);
    assert_eq!(loaded.read_tensor("t").unwrap(), t);
    // Its configuration is in the file.
    assert_eq!(loaded.read_optimizer::<Momentum<f64>>("t", &t).unwrap(), momentum);
    // That of Adam is not.
    let e = loaded.read_optimizer::<LayerOptimizer<f32, AdamConfig>>("layer1", &layer);
    assert!(matches!(e, Err(Error::Entry { name, .. }) if name == "optimizer.layer1.weight.kind"));
    let mut mine = LayerOptimizer::new(*adam.config(), &layer).unwrap();
    loaded.restore().optimizer("layer1", &mut mine).apply().unwrap();
    assert_eq!(mine, adam);
}

#[test]
fn for_python() {
    let (layer, adam, t, momentum) = contents();
    let checkpoint = Checkpoint::new()
        .layer("layer1", &layer)
        .and_then(|c| c.optimizer("layer1", &adam)?.tensor("t", &t)?.optimizer("t", &momentum))
        .and_then(|c| c.note("epoch", "3 \u{e9}"))
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = interop().unwrap_or(folder.path().into()).join("rust.safetensors");
    checkpoint.save(&path).unwrap();
    assert_eq!(Checkpoint::load(&path).unwrap(), checkpoint);
    // A window of 8 in the words of the script.
    assert_eq!(momentum.config().window, Window::new(8.0).unwrap());
    assert_eq!(checkpoint.metadata("optimizer.t.alpha"), Some("0.125"));
}
