//! The tolerances are tight: a wrong convention, or one wrong number, is noticed.

use std::collections::BTreeMap;

use pergrad_core::{AmsGrad, Decay, Epsilon, WarmUp};
use serde_json::{Value, json};

use super::file::{Object, built_in, cases};
use super::follow::{Mapping, Trajectory, config};
use super::tolerance::Tolerance;
use super::{backpack, keras, optax, torch};
use crate::support::for_both_types;
use crate::support::optimizers::Config;
use crate::support::values::Real;

const LIBRARIES: [(&str, Mapping, bool); 4] = [
    (torch::FILE, torch::config, false),
    (optax::FILE, optax::config, true),
    (optax::MORE, optax::config, true),
    (keras::FILE, keras::config, true),
];

fn of_type<T: Real>(file: &str) -> Vec<Object> {
    let dtype = if T::NAME == "f32" { "float32" } else { "float64" };
    let mut all = cases(&built_in(), file).expect("the recordings of the project");
    all.retain(|case| case["dtype"] == dtype);
    assert!(!all.is_empty(), "{file}: no {dtype}");
    all
}

/// All ways in which one convention of the configuration can be another.
fn wrong(config: Config) -> Vec<(&'static str, Config)> {
    let mut all = Vec::new();
    let decay = |decay| match decay {
        Decay::Coupled(d) => Decay::Decoupled(d),
        Decay::Decoupled(d) => Decay::Coupled(d),
        Decay::None => Decay::Coupled(0.1),
    };
    let epsilons = |epsilon| {
        let eps = match epsilon {
            Epsilon::Outside(e) | Epsilon::Hat(e) | Epsilon::Inside(e) => e,
            Epsilon::Both { inside, outside } => inside + outside,
        };
        [Epsilon::Outside(eps), Epsilon::Hat(eps), Epsilon::Inside(eps)]
    };
    // `Both` with one of them 0 is one of the others.
    let plain = |epsilon| match epsilon {
        Epsilon::Both { inside: 0.0, outside } => Epsilon::Outside(outside),
        Epsilon::Both { inside, outside: 0.0 } => Epsilon::Inside(inside),
        other => other,
    };
    match config {
        Config::Momentum(c) => {
            let [mut a, mut b, mut d] = [c; 3];
            (a.nesterov, a.dampening) = (!a.nesterov, 0.0);
            b.decay = decay(b.decay);
            d.maximize = !d.maximize;
            if a.has_buffer() {
                all.push(("nesterov", Config::Momentum(a)));
            }
            all.push(("decay", Config::Momentum(b)));
            all.push(("maximize", Config::Momentum(d)));
        }
        Config::Rmsprop(c) => {
            for epsilon in epsilons(c.epsilon) {
                // Without a correction the hat form is the ordinary one.
                if epsilon != plain(c.epsilon) && !matches!(epsilon, Epsilon::Hat(_)) {
                    let mut c = c;
                    c.epsilon = epsilon;
                    all.push(("epsilon", Config::Rmsprop(c)));
                }
            }
            let [mut a, mut b, mut d, mut e] = [c; 4];
            a.warm_up = if c.warm_up == WarmUp::Debias { WarmUp::None } else { WarmUp::Debias };
            b.decay = decay(b.decay);
            d.centered = !d.centered;
            e.nesterov = !e.nesterov;
            all.push(("correction", Config::Rmsprop(a)));
            all.push(("decay", Config::Rmsprop(b)));
            all.push(("centered", Config::Rmsprop(d)));
            if e.momentum.is_some() {
                all.push(("nesterov", Config::Rmsprop(e)));
            }
        }
        Config::Adam(c) => {
            for epsilon in epsilons(c.epsilon) {
                let conflict =
                    matches!(epsilon, Epsilon::Hat(_)) && c.amsgrad == AmsGrad::Corrected;
                if epsilon != plain(c.epsilon) && !conflict {
                    let mut c = c;
                    c.epsilon = epsilon;
                    all.push(("epsilon", Config::Adam(c)));
                }
            }
            for amsgrad in [AmsGrad::Off, AmsGrad::Uncorrected, AmsGrad::Corrected] {
                let hat = matches!(c.epsilon, Epsilon::Hat(_));
                if amsgrad != c.amsgrad && !(hat && amsgrad == AmsGrad::Corrected) {
                    let mut c = c;
                    c.amsgrad = amsgrad;
                    all.push(("amsgrad", Config::Adam(c)));
                }
            }
            let [mut a, mut b, mut d] = [c; 3];
            a.warm_up = WarmUp::None;
            b.decay = decay(b.decay);
            d.nesterov = !d.nesterov;
            all.push(("correction", Config::Adam(a)));
            all.push(("decay", Config::Adam(b)));
            all.push(("nesterov", Config::Adam(d)));
        }
    }
    all
}

/// In `f64` every case notices; in `f32`, where an epsilon or a maximum may drown in the rounding, at
/// least one of each file does.
fn wrong_conventions_are_noticed<T: Real>() {
    let mut missed = Vec::new();
    for (file, mapping, in_type) in LIBRARIES {
        let tolerance = Tolerance::new::<T>(in_type);
        let mut noticed = BTreeMap::new();
        for (k, case) in of_type::<T>(file).iter().enumerate() {
            let right = config(mapping, case).expect("a case of the project");
            let trajectory = Trajectory::<T>::read(case).expect("a case of the project");
            for (what, wrong) in wrong(right) {
                let notices = trajectory.follow(&wrong, &tolerance).is_err();
                *noticed.entry(what).or_insert(0) += u32::from(notices);
                if !notices && T::NAME == "f64" {
                    missed.push(format!("{file} {k}: {what}, {wrong:?}"));
                }
            }
        }
        assert!(!noticed.is_empty(), "{file}: nothing tried");
        missed
            .extend(noticed.iter().filter(|(_, n)| **n == 0).map(|(w, _)| format!("{file}: {w}")));
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// One number of the case, larger by 1 in 10 000: the largest of an array, of which lists of lists
/// spoil the middle one.
fn spoil(value: &mut Value) {
    match value {
        Value::Array(list) if list.iter().all(Value::is_array) => {
            let middle = list.len() / 2;
            spoil(&mut list[middle]);
        }
        Value::Array(list) => {
            let size = |v: &&mut Value| v.as_f64().expect("a number").abs();
            let most = list.iter_mut().max_by(|a, b| size(a).total_cmp(&size(b)));
            spoil(most.expect("an array that is not empty"));
        }
        number => {
            let spoiled = number.as_f64().expect("a number") * 1.0001;
            *number = json!(spoiled as f32); // a number of either type
        }
    }
}

fn one_wrong_number_is_noticed<T: Real>() {
    let check = |place: &str, case: &Object, key: &str, check: &dyn Fn(&Object) -> bool| {
        let mut case = case.clone();
        assert!(check(&case), "{place}: not even as it is");
        spoil(&mut case[key]);
        assert!(!check(&case), "{place}: a wrong `{key}` passes");
    };
    for (file, mapping, in_type) in LIBRARIES {
        let tolerance = Tolerance::new::<T>(in_type);
        for (k, case) in of_type::<T>(file).iter().enumerate() {
            let follows = |case: &Object| {
                let config = config(mapping, case).expect("a case of the project");
                let trajectory = Trajectory::<T>::read(case).expect("still of its form");
                trajectory.follow(&config, &tolerance).is_ok()
            };
            check(&format!("{file} {k}"), case, "params0", &follows);
            check(&format!("{file} {k}"), case, "params", &follows);
            let state = case.get("final_state").and_then(Value::as_object);
            for name in state.into_iter().flat_map(|state| state.keys()) {
                let mut case = case.clone();
                spoil(&mut case["final_state"][name]);
                assert!(!follows(&case), "{file} {k}: a wrong `{name}` passes");
            }
        }
    }
    let arrays = [
        "x",
        "dy",
        "weight",
        "bias",
        "y",
        "sum_grad",
        "sum_grad_squared",
        "per_example_grad",
        "per_example_l2_squared",
        "variance",
        "bias_sum_grad",
        "bias_sum_grad_squared",
    ];
    for (k, case) in of_type::<T>(backpack::FILE).iter().enumerate() {
        for key in arrays {
            let zero = |v: &Value| v.as_f64() == Some(0.0);
            // The variance of one example is 0, and 0 larger by any factor is right.
            if !case[key].as_array().expect("an array").iter().all(zero) {
                let agrees = |case: &Object| backpack::check::<T>(case).is_ok();
                check(&format!("{} {k}", backpack::FILE), case, key, &agrees);
            }
        }
    }
}

for_both_types!(wrong_conventions_are_noticed, one_wrong_number_is_noticed);
