//! What a configuration means here is what it means in the core: the same coefficients, to the bit.

use core::ffi::{CStr, c_char};
use core::mem::MaybeUninit;
use core::ptr::null_mut;

use pergrad_core::{
    AdamConfig, AmsGrad, Decay, Epsilon, Error, LrPlacement, MomentumConfig, MomentumForm,
    RmspropConfig, WarmUp, Window,
};

use crate::coeffs::Holds;
use crate::error::Refused;
use crate::pergrad_error::*;
use crate::*;

/// What a C function writes to a place.
fn filled<C>(fill: impl FnOnce(*mut C) -> pergrad_error) -> C {
    let mut place = MaybeUninit::uninit();
    assert_eq!(fill(place.as_mut_ptr()), PERGRAD_OK);
    // SAFETY: filled, as the code says.
    unsafe { place.assume_init() }
}

/// A C function on places and values that are there.
macro_rules! call {
    ($($call:tt)*) => {
        // SAFETY: the arguments are references, or places of `filled`, or null where that is allowed.
        unsafe { $($call)* }
    };
}

/// The C and the Rust coefficients of a step are the same, or are refused for the same reason, told whole.
fn same<T: PartialEq + core::fmt::Debug>(
    c: Result<T, (pergrad_error, Box<pergrad_error_info>)>,
    rust: Result<T, Error>,
) {
    match (c, rust) {
        (Ok(c), Ok(rust)) => assert_eq!(c, rust),
        (Err((code, info)), Err(error)) => {
            assert_eq!(code, Refused::from(error).code());
            let (arg, needed) = match error {
                Error::Hyper { arg, need, .. } => (arg, need),
                Error::Conflict { what } => ("", what),
                other => panic!("{other}"),
            };
            // SAFETY: of an error, whose texts end with NUL.
            let text = |text: &[c_char]| unsafe { CStr::from_ptr(text.as_ptr()) }.to_owned();
            assert_eq!(text(&info.arg).to_str(), Ok(arg));
            assert_eq!(text(&info.needed).to_str(), Ok(needed));
        }
        (c, rust) => panic!("{c:?} {rust:?}"),
    }
}

/// Makes coefficients, in C.
fn made<T, C: Holds<T>>(
    make: impl FnOnce(*mut C, *mut pergrad_error_info) -> pergrad_error,
) -> Result<C::Coeffs, (pergrad_error, Box<pergrad_error_info>)> {
    let (mut coeffs, mut info) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    match make(coeffs.as_mut_ptr(), info.as_mut_ptr()) {
        // SAFETY: filled, as the code says.
        PERGRAD_OK => Ok(unsafe { coeffs.assume_init() }.get().expect("made")),
        // SAFETY: likewise.
        code => Err((code, Box::new(unsafe { info.assume_init() }))),
    }
}

/// The same at several steps, for both types.
macro_rules! same {
    ($c:expr, $rust:expr, $single:ident, $double:ident) => {
        for t in [0, 1, 2, 10, 1000, u64::MAX] {
            same(made(|to, info| call! { $single(&$c, t, to, info) }), $rust.step_coeffs::<f32>(t));
            same(made(|to, info| call! { $double(&$c, t, to, info) }), $rust.step_coeffs::<f64>(t));
        }
    };
}

fn same_adam(c: pergrad_adam_config, rust: AdamConfig) {
    same!(c, rust, pergrad_adam_step_coeffs_f32, pergrad_adam_step_coeffs_f64);
}

fn same_rmsprop(c: pergrad_rmsprop_config, rust: RmspropConfig) {
    same!(c, rust, pergrad_rmsprop_step_coeffs_f32, pergrad_rmsprop_step_coeffs_f64);
}

fn same_momentum(c: pergrad_momentum_config, rust: MomentumConfig) {
    same!(c, rust, pergrad_momentum_step_coeffs_f32, pergrad_momentum_step_coeffs_f64);
}

fn window(length: f64) -> Window {
    Window::new(length).expect("a length")
}

const WARM_UPS: [(pergrad_warm_up, WarmUp); 3] = [
    (pergrad_warm_up::PERGRAD_WARM_UP_NONE, WarmUp::None),
    (pergrad_warm_up::PERGRAD_WARM_UP_EXACT_MEAN, WarmUp::ExactMean),
    (pergrad_warm_up::PERGRAD_WARM_UP_DEBIAS, WarmUp::Debias),
];

const LR_PLACEMENTS: [(pergrad_lr_placement, LrPlacement); 2] = [
    (pergrad_lr_placement::PERGRAD_LR_PLACEMENT_OUTSIDE, LrPlacement::Outside),
    (pergrad_lr_placement::PERGRAD_LR_PLACEMENT_INSIDE, LrPlacement::Inside),
];

fn epsilons() -> [(pergrad_epsilon, Epsilon); 5] {
    let c = |inside, outside, hat| pergrad_epsilon { inside, outside, hat: MaybeUninit::new(hat) };
    [
        (c(0.0, 1e-8, false), Epsilon::Outside(1e-8)),
        (c(0.0, 1e-7, true), Epsilon::Hat(1e-7)),
        (c(1e-6, 0.0, false), Epsilon::Inside(1e-6)),
        (c(1e-6, 1e-60, false), Epsilon::Both { inside: 1e-6, outside: 1e-60 }),
        (c(0.0, -1.0, true), Epsilon::Hat(-1.0)),
    ]
}

fn decays() -> [(pergrad_decay, Decay); 4] {
    let c = |kind, value| pergrad_decay { kind: MaybeUninit::new(kind), value };
    [
        (c(pergrad_decay_kind::PERGRAD_DECAY_NONE, f64::NAN), Decay::None),
        (c(pergrad_decay_kind::PERGRAD_DECAY_COUPLED, 0.01), Decay::Coupled(0.01)),
        (c(pergrad_decay_kind::PERGRAD_DECAY_DECOUPLED, 0.1), Decay::Decoupled(0.1)),
        (
            c(pergrad_decay_kind::PERGRAD_DECAY_DECOUPLED, f64::INFINITY),
            Decay::Decoupled(f64::INFINITY),
        ),
    ]
}

#[test]
fn presets() {
    for lr in [1e-3, 0.1, -1.0, f64::NAN] {
        let adam = |fill: unsafe extern "C" fn(_, _, _) -> _| {
            filled(|config| call! { fill(lr, config, null_mut()) })
        };
        same_adam(adam(pergrad_adam_torch), AdamConfig::torch(lr).expect("a preset"));
        same_adam(adam(pergrad_adam_keras), AdamConfig::keras(lr).expect("a preset"));
        same_adam(adam(pergrad_adam_optax), AdamConfig::optax(lr).expect("a preset"));
        let rmsprop = |fill: unsafe extern "C" fn(_, _, _) -> _| {
            filled(|config| call! { fill(lr, config, null_mut()) })
        };
        same_rmsprop(rmsprop(pergrad_rmsprop_torch), RmspropConfig::torch(lr).expect("a preset"));
        same_rmsprop(rmsprop(pergrad_rmsprop_keras), RmspropConfig::keras(lr).expect("a preset"));
        same_rmsprop(rmsprop(pergrad_rmsprop_optax), RmspropConfig::optax(lr).expect("a preset"));
        for beta in [0.0, 0.3, 0.9, 0.999] {
            let momentum = |fill: unsafe extern "C" fn(_, _, _, _) -> _| {
                filled(|config| call! { fill(lr, beta, config, null_mut()) })
            };
            let torch = MomentumConfig::torch(lr, beta).expect("a preset");
            same_momentum(momentum(pergrad_momentum_torch), torch);
            let keras = MomentumConfig::keras(lr, beta).expect("a preset");
            same_momentum(momentum(pergrad_momentum_keras), keras);
            let optax = MomentumConfig::optax(lr, beta).expect("a preset");
            same_momentum(momentum(pergrad_momentum_optax), optax);
        }
    }
}

#[test]
fn every_setting_of_adam() {
    let amsgrads = [
        (pergrad_amsgrad::PERGRAD_AMSGRAD_OFF, AmsGrad::Off),
        (pergrad_amsgrad::PERGRAD_AMSGRAD_UNCORRECTED, AmsGrad::Uncorrected),
        (pergrad_amsgrad::PERGRAD_AMSGRAD_CORRECTED, AmsGrad::Corrected),
    ];
    let (mut c, mut rust) = (
        filled(|config| call! { pergrad_adam_new(1e-3, 70.3, 901.7, config, null_mut()) }),
        AdamConfig::new(1e-3, window(70.3), window(901.7)),
    );
    same_adam(c, rust);
    for (warm_up, rust_warm_up) in WARM_UPS {
        for (epsilon, rust_epsilon) in epsilons() {
            for (decay, rust_decay) in decays() {
                for (amsgrad, rust_amsgrad) in amsgrads {
                    (c.epsilon, rust.epsilon) = (epsilon, rust_epsilon);
                    (c.decay, rust.decay) = (decay, rust_decay);
                    (c.warm_up, rust.warm_up) = (MaybeUninit::new(warm_up), rust_warm_up);
                    (c.amsgrad, rust.amsgrad) = (MaybeUninit::new(amsgrad), rust_amsgrad);
                    for flags in 0..4 {
                        (rust.nesterov, rust.maximize) = (flags & 1 != 0, flags & 2 != 0);
                        c.nesterov = MaybeUninit::new(rust.nesterov);
                        c.maximize = MaybeUninit::new(rust.maximize);
                        same_adam(c, rust);
                    }
                    for batch in [1, 7, 32, 5000] {
                        c.at_batch_size = batch;
                        same_adam(c, rust.at_batch_size(batch));
                    }
                    c.at_batch_size = 0;
                }
            }
        }
    }
}

#[test]
fn every_setting_of_rmsprop() {
    let (mut c, mut rust) = (
        filled(|config| call! { pergrad_rmsprop_new(1e-3, 70.3, config, null_mut()) }),
        RmspropConfig::new(1e-3, window(70.3)),
    );
    same_rmsprop(c, rust);
    c.momentum = pergrad_window::length(33.3);
    for (warm_up, rust_warm_up) in WARM_UPS {
        for (epsilon, rust_epsilon) in epsilons() {
            for (decay, rust_decay) in decays() {
                for (lr_placement, rust_lr_placement) in LR_PLACEMENTS {
                    (c.epsilon, rust.epsilon) = (epsilon, rust_epsilon);
                    (c.decay, rust.decay) = (decay, rust_decay);
                    (c.warm_up, rust.warm_up) = (MaybeUninit::new(warm_up), rust_warm_up);
                    c.lr_placement = MaybeUninit::new(lr_placement);
                    rust.lr_placement = rust_lr_placement;
                    for flags in 0..16 {
                        let flag = |k: i32| flags & (1 << k) != 0;
                        (rust.centered, rust.nesterov, rust.maximize) = (flag(0), flag(1), flag(2));
                        rust.momentum = flag(3).then(|| window(33.3));
                        c.centered = MaybeUninit::new(flag(0));
                        c.nesterov = MaybeUninit::new(flag(1));
                        c.maximize = MaybeUninit::new(flag(2));
                        c.has_momentum = MaybeUninit::new(flag(3));
                        same_rmsprop(c, rust);
                        c.at_batch_size = 7;
                        same_rmsprop(c, rust.at_batch_size(7));
                        c.at_batch_size = 0;
                    }
                }
            }
        }
    }
    (c.initial_exp_avg_sq, rust.initial_exp_avg_sq) = (-1.0, -1.0);
    same_rmsprop(c, rust);
}

#[test]
fn every_setting_of_momentum() {
    let forms = [
        (pergrad_momentum_form::PERGRAD_MOMENTUM_FORM_PLAIN, MomentumForm::Plain),
        (pergrad_momentum_form::PERGRAD_MOMENTUM_FORM_SUM, MomentumForm::Sum),
        (pergrad_momentum_form::PERGRAD_MOMENTUM_FORM_AVERAGE, MomentumForm::Average),
    ];
    let (mut c, mut rust) = (
        filled(|config| call! { pergrad_momentum_new(1e-3, 70.3, config, null_mut()) }),
        MomentumConfig::new(1e-3, window(70.3)),
    );
    same_momentum(c, rust);
    for (form, rust_form) in forms {
        for (warm_up, rust_warm_up) in WARM_UPS {
            for (lr_placement, rust_lr_placement) in LR_PLACEMENTS {
                for (decay, rust_decay) in decays() {
                    for dampening in [0.0, 0.25, 2.0] {
                        (c.form, rust.form) = (MaybeUninit::new(form), rust_form);
                        (c.warm_up, rust.warm_up) = (MaybeUninit::new(warm_up), rust_warm_up);
                        c.lr_placement = MaybeUninit::new(lr_placement);
                        rust.lr_placement = rust_lr_placement;
                        (c.decay, rust.decay) = (decay, rust_decay);
                        (c.dampening, rust.dampening) = (dampening, dampening);
                        for flags in 0..4 {
                            (rust.nesterov, rust.maximize) = (flags & 1 != 0, flags & 2 != 0);
                            c.nesterov = MaybeUninit::new(rust.nesterov);
                            c.maximize = MaybeUninit::new(rust.maximize);
                            same_momentum(c, rust);
                        }
                        c.at_batch_size = 7;
                        same_momentum(c, rust.at_batch_size(7));
                        c.at_batch_size = 0;
                        let (mut sum, mut average) = (c, c);
                        let codes = call! {
                            (pergrad_momentum_to_sum_form(&mut sum, null_mut()),
                                pergrad_momentum_to_average_form(&mut average, null_mut()))
                        };
                        assert_eq!(codes, (PERGRAD_OK, PERGRAD_OK));
                        same_momentum(sum, rust.to_sum_form());
                        same_momentum(average, rust.to_average_form());
                    }
                }
            }
        }
    }
}

/// The window of a preset comes back as it was; presets state theirs by beta.
#[test]
fn beta_of_beta() {
    let mut beta = 0.0;
    while beta < 1.0 {
        let window = Window::from_beta(beta).expect("less than 1");
        assert_eq!(Window::from_beta(window.beta()), Ok(window), "{beta}");
        beta += 1.0 / 1234.5;
    }
}
