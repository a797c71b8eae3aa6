//! Whatever is not understood is an error that names it.

use pergrad_core::{AdamConfig, AmsGrad, Decay, Epsilon, MomentumForm};
use serde_json::{Value, json};

use super::file::{built_in, cases, parse};
use super::follow::{Mapping, config};
use super::{keras, optax, torch};
use crate::support::optimizers::Config;

fn map(mapping: Mapping, algorithm: &str, given: Value) -> Result<Config, String> {
    let case = json!({ "algorithm": algorithm, "config": given });
    config(mapping, case.as_object().expect("an object"))
}

fn adam(mapping: Mapping, algorithm: &str, given: Value) -> AdamConfig {
    match map(mapping, algorithm, given) {
        Ok(Config::Adam(c)) => c,
        other => panic!("{algorithm}: {other:?}"),
    }
}

#[track_caller]
fn refuses(mapping: Mapping, algorithm: &str, given: Value, key: &str) {
    let error = map(mapping, algorithm, given.clone()).expect_err("it was understood");
    assert!(error.contains(&format!("`{key}`")), "{algorithm} {given}: {error}");
}

#[test]
fn unknown_algorithms_are_refused() {
    for (mapping, name) in [
        (torch::config as Mapping, "NAdam"),
        (torch::config, "adam"),
        (optax::config, "Adam"),
        (optax::config, "lion"),
        (keras::config, "Nadam"),
        (keras::config, "adam"),
    ] {
        refuses(mapping, name, json!({ "lr": 0.1, "learning_rate": 0.1 }), name);
    }
}

#[test]
fn unknown_keys_are_refused() {
    let torch = ["SGD", "Adam", "AdamW", "RMSprop"];
    let keras = ["SGD", "Adam", "AdamW", "RMSprop"];
    let optax = ["sgd", "adam", "adamw", "nadam", "nadamw", "amsgrad", "rmsprop"];
    for name in torch {
        refuses(torch::config, name, json!({ "lr": 0.1, "warmth": 1 }), "warmth");
        refuses(torch::config, name, json!({ "learning_rate": 0.1 }), "learning_rate");
    }
    for name in optax {
        let given = json!({ "learning_rate": 0.1, "lr": 0.1 });
        refuses(optax::config, name, given, "lr");
        refuses(optax::config, name, json!({}), "learning_rate");
    }
    for name in keras {
        refuses(keras::config, name, json!({ "eps": 1e-7 }), "eps");
    }
    // Keys of another algorithm of the same library.
    refuses(torch::config, "SGD", json!({ "betas": [0.9, 0.99] }), "betas");
    refuses(torch::config, "Adam", json!({ "momentum": 0.9 }), "momentum");
    refuses(
        optax::config,
        "adam",
        json!({ "learning_rate": 1, "weight_decay": 0 }),
        "weight_decay",
    );
    refuses(optax::config, "amsgrad", json!({ "learning_rate": 1, "nesterov": true }), "nesterov");
    refuses(keras::config, "SGD", json!({ "epsilon": 1e-7 }), "epsilon");
}

#[test]
fn unknown_values_are_refused() {
    refuses(torch::config, "Adam", json!({ "lr": "fast" }), "lr");
    refuses(torch::config, "Adam", json!({ "betas": [0.9] }), "betas");
    refuses(torch::config, "Adam", json!({ "amsgrad": 1 }), "amsgrad");
    refuses(torch::config, "Adam", json!({ "foreach": "yes" }), "foreach");
    let coupled = json!({ "decoupled_weight_decay": false });
    refuses(torch::config, "AdamW", coupled, "decoupled_weight_decay");
    let given = json!({ "learning_rate": 0.1, "mu_dtype": "bfloat16" });
    refuses(optax::config, "adam", given, "mu_dtype");
    let given = json!({ "learning_rate": 0.1, "bias_correction_mu": false });
    refuses(optax::config, "amsgrad", given, "bias_correction_nu");
    refuses(keras::config, "Adam", json!({ "clipnorm": 1.0 }), "clipnorm");
    refuses(keras::config, "SGD", json!({ "use_ema": true }), "use_ema");
    // Understood, and refused by the configuration itself.
    refuses(torch::config, "SGD", json!({ "momentum": 1.5 }), "beta");
}

#[test]
fn keys_without_effect_are_accepted_at_rest() {
    let given = json!({ "foreach": null, "fused": false, "capturable": false,
        "differentiable": false, "decoupled_weight_decay": false });
    assert_eq!(adam(torch::config, "Adam", given), adam(torch::config, "Adam", json!({})));
    let given = json!({ "name": "adam", "weight_decay": null, "clipnorm": null,
        "use_ema": false, "ema_momentum": 0.99 });
    assert_eq!(adam(keras::config, "Adam", given), adam(keras::config, "Adam", json!({})));
}

#[test]
fn absent_keys_have_the_defaults_of_the_library() {
    let decay = |c: AdamConfig| c.decay;
    assert_eq!(decay(adam(torch::config, "Adam", json!({}))), Decay::None);
    assert_eq!(decay(adam(torch::config, "AdamW", json!({}))), Decay::Decoupled(0.01));
    assert_eq!(decay(adam(keras::config, "Adam", json!({}))), Decay::None);
    assert_eq!(decay(adam(keras::config, "AdamW", json!({}))), Decay::Decoupled(0.004));
    let rate = json!({ "learning_rate": 0.1 });
    assert_eq!(decay(adam(optax::config, "adamw", rate)), Decay::Decoupled(1e-4));
    let Ok(Config::Momentum(c)) = map(torch::config, "SGD", json!({ "dampening": 0.5 })) else {
        panic!("SGD without arguments");
    };
    assert_eq!((c.lr, c.form, c.dampening), (1e-3, MomentumForm::Plain, 0.0));
}

#[test]
fn the_conventions_are_those_of_the_library() {
    let amsgrad = json!({ "amsgrad": true });
    let rate = json!({ "learning_rate": 0.1 });
    assert_eq!(adam(torch::config, "Adam", amsgrad.clone()).amsgrad, AmsGrad::Uncorrected);
    assert_eq!(adam(keras::config, "Adam", amsgrad).amsgrad, AmsGrad::Uncorrected);
    assert_eq!(adam(optax::config, "amsgrad", rate.clone()).amsgrad, AmsGrad::Corrected);
    assert!(adam(optax::config, "nadam", rate.clone()).nesterov);
    assert!(!adam(optax::config, "adam", rate).nesterov);
    let decay = json!({ "weight_decay": 0.1 });
    assert_eq!(adam(keras::config, "Adam", decay.clone()).decay, Decay::Decoupled(0.1));
    assert_eq!(adam(torch::config, "Adam", decay).decay, Decay::Coupled(0.1));
    let keras = adam(keras::config, "Adam", json!({ "epsilon": 1e-3 }));
    assert_eq!(keras.epsilon, Epsilon::Hat(1e-3));
}

#[test]
fn files_that_are_missing_or_hold_nothing_are_refused() {
    let error = cases(&built_in(), "burn.json").expect_err("there is no such file");
    assert!(error.contains("burn.json"), "{error}");
    for text in ["", "{}", r#"{"cases": []}"#, r#"{"cases": {}}"#, r#"{"cases": [1]}"#] {
        assert!(parse(text).is_err(), "{text}");
    }
}
