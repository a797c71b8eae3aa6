//! What the tests share.
#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

use pergrad::{
    AdamConfig, AmsGrad, Decay, Element, Epsilon, LrPlacement, MomentumConfig, Params,
    RmspropConfig, Tensor, Window,
};

/// Whether emulators usually run the tests, which then take fewer turns.
pub const EMULATED: bool = !cfg!(target_arch = "x86_64");

/// Numbers between -1 and 1 that look random.
pub fn tensor<T: Element>(shape: &[usize], seed: u64) -> Tensor<T> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    Tensor::from_fn(shape, |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        T::from_f64((state >> 11) as f64 / (1u64 << 52) as f64 - 1.0)
    })
    .unwrap()
}

/// The same bits: `f64` holds every `f32`, so its bits tell those apart too.
#[track_caller]
pub fn assert_bits<T: Element>(what: &str, got: &[T], want: &[T]) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    for (k, (got, want)) in got.iter().zip(want).enumerate() {
        let (got, want) = (got.to_f64(), want.to_f64());
        assert_eq!(got.to_bits(), want.to_bits(), "{what}[{k}]: {got} is not {want}");
    }
}

/// The same bits in weight and bias.
#[track_caller]
pub fn assert_params_bits<T: Element>(what: &str, got: &Params<T>, want: &Params<T>) {
    assert_bits(what, got.weight.as_slice(), want.weight.as_slice());
    assert_eq!(got.bias.is_some(), want.bias.is_some(), "{what}: bias");
    if let (Some(got), Some(want)) = (&got.bias, &want.bias) {
        assert_bits(what, got.as_slice(), want.as_slice());
    }
}

/// Momentum in all its forms.
pub fn momentum_configs() -> Vec<MomentumConfig> {
    let mut nesterov = MomentumConfig::torch(0.05, 0.9).unwrap();
    nesterov.nesterov = true;
    nesterov.decay = Decay::Coupled(0.1);
    let mut inside = MomentumConfig::keras(0.05, 0.9).unwrap();
    inside.lr_placement = LrPlacement::Inside;
    inside.maximize = true;
    vec![
        MomentumConfig::new(0.1, Window::new(3.0).unwrap()),
        MomentumConfig::torch(0.1, 0.0).unwrap(),
        nesterov,
        inside,
    ]
}

/// RMSProp with and without each array.
pub fn rmsprop_configs() -> Vec<RmspropConfig> {
    let mut centered = RmspropConfig::torch(0.01).unwrap();
    centered.centered = true;
    centered.epsilon = Epsilon::Inside(1e-4);
    let mut momentum = RmspropConfig::keras(0.01).unwrap();
    momentum.momentum = Some(Window::new(4.0).unwrap());
    momentum.initial_exp_avg_sq = 0.5;
    let mut all = centered;
    all.momentum = momentum.momentum;
    all.decay = Decay::Decoupled(0.1);
    vec![RmspropConfig::torch(0.01).unwrap(), centered, momentum, all]
}

/// Adam with and without its third array.
pub fn adam_configs() -> Vec<AdamConfig> {
    let mut amsgrad = AdamConfig::torch(0.01).unwrap();
    amsgrad.amsgrad = AmsGrad::Uncorrected;
    amsgrad.decay = Decay::Decoupled(0.1);
    let mut nesterov = AdamConfig::keras(0.01).unwrap();
    nesterov.nesterov = true;
    let (window, window_sq) = (Window::new(5.0).unwrap(), Window::new(50.0).unwrap());
    vec![AdamConfig::new(0.01, window, window_sq), amsgrad, nesterov]
}
