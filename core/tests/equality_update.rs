//! Optimizers over slices: every instruction set has the bits of the plain loops, checked steps
//! commit them or nothing.

mod support;

use pergrad_core::{Error, NonFinite};
use proptest::prelude::*;
use support::compare::agree;
use support::guard::Guarded;
use support::optimizers::{
    Config, adam_configs, checked, configs, momentum_configs, poison, rmsprop_configs,
};
use support::values::{Kind, Real, Rng, kinds};
use support::{draws, for_both_types};

/// One call of an update.
#[derive(Debug, Clone, Copy)]
struct Case {
    config: Config,
    t: u64,
    n: usize,
    kind: Kind,
    /// Whether the second moment is given.
    second: bool,
    /// Whether the step is checked.
    refuse: bool,
    /// How many elements, anywhere, are made infinite or NaN.
    poisoned: usize,
    seed: u64,
}

fn agrees<T: Real>(case: Case) {
    let Case { config, t, n, kind, .. } = case;
    let rng = &mut Rng::new(case.seed);
    let mut grad: Vec<T> = rng.values(kind, n);
    let mut second: Vec<T> = rng.squares(kind, n);
    let mut state = config.state::<T>(rng, kind, n);
    for _ in 0..case.poisoned {
        let [a, b, c, d] = state.each_mut().map(|output| output.before.as_mut_slice());
        poison(rng, &mut [&mut grad, &mut second, a, b, c, d]);
    }
    let (grad, second) = (Guarded::new(rng, &grad), Guarded::new(rng, &second));
    let grad = grad.slice();
    let second = (case.second && config.has_second()).then_some(second.slice());
    let refusal = |index: usize| {
        let arg = match second {
            _ if !grad[index].is_finite() => "grad",
            Some(second) if !second[index].is_finite() => "second_moment",
            _ => "params",
        };
        Error::NonFinite { arg, index }
    };
    let non_finite = if case.refuse { NonFinite::Refuse } else { NonFinite::Propagate };
    agree(
        "update",
        (&case, case.seed),
        state,
        pergrad_core::Start::Resume,
        0,
        |arrays| match non_finite {
            NonFinite::Propagate => config.reference(t, grad, second, arrays),
            NonFinite::Refuse => {
                checked(arrays, |arrays| config.reference(t, grad, second, arrays), refusal)
            }
        },
        |isa, arrays, _| config.update(isa, t, grad, second, arrays, non_finite),
    );
}

/// Every combination of switches, at the first step and later ones, on all kinds of values by turns, short and long.
fn all_switches<T: Real>(configs: Vec<Config>) {
    let mut seed = 0;
    for config in configs {
        for t in [1, 2, 1000] {
            for second in [false, true] {
                let other = Kind::ALL[1 + seed as usize % (Kind::ALL.len() - 1)];
                for kind in [Kind::Ordinary, other] {
                    let (refuse, poisoned) = (seed % 3 == 0, seed as usize / 3 % 3 / 2);
                    let n = if seed / 2 % 4 > 0 { 37 } else { 250 + seed as usize % 23 };
                    agrees::<T>(Case { config, t, n, kind, second, refuse, poisoned, seed });
                    seed += 1;
                }
            }
        }
    }
}

fn momentum_switches<T: Real>() {
    all_switches::<T>(momentum_configs());
}

fn rmsprop_switches<T: Real>() {
    all_switches::<T>(rmsprop_configs());
}

fn adam_switches<T: Real>() {
    all_switches::<T>(adam_configs());
}

/// Every length around the vectors of any instruction set, checked and not.
fn lengths<T: Real>() {
    let configs = configs();
    let mut rng = Rng::new(7);
    // Under Miri, a few of them.
    let (step, times) = if cfg!(miri) { (13, 3) } else { (1, 40) };
    for n in (0..=70).step_by(step) {
        for _ in 0..times {
            let (config, kind, seed) = (rng.pick(&configs), rng.pick(&Kind::ALL), rng.bits());
            for refuse in [false, true] {
                let (t, second, poisoned) = (3, n % 2 == 0, 0);
                agrees::<T>(Case { config, t, n, kind, second, refuse, poisoned, seed });
            }
        }
    }
}

/// A checked step names the first bad element wherever it and others stand.
fn first_bad_index<T: Real>() {
    let mut rng = Rng::new(8);
    for configs in [momentum_configs(), rmsprop_configs(), adam_configs()] {
        for round in 0..500 {
            let (config, seed) = (rng.pick(&configs), rng.bits());
            let (kind, refuse, poisoned) = (Kind::Ordinary, true, 1 + round % 3);
            let (t, n, second) = (5, 1 + round % 70, round % 2 == 0);
            agrees::<T>(Case { config, t, n, kind, second, refuse, poisoned, seed });
        }
    }
}

fn drawn<T: Real>() {
    let cases = (
        proptest::sample::select(configs()),
        prop_oneof![1..=4u64, 1..=100_000u64],
        (0..=70usize, kinds(), any::<bool>()),
        (any::<bool>(), 0..=2usize, any::<u64>()),
    )
        .prop_map(|(config, t, (n, kind, second), (refuse, poisoned, seed))| Case {
            config,
            t,
            n,
            kind,
            second,
            refuse,
            poisoned,
            seed,
        });
    proptest!(draws(1024), |(case in cases)| agrees::<T>(case));
}

for_both_types!(
    momentum_switches,
    rmsprop_switches,
    adam_switches,
    lengths,
    first_bad_index,
    drawn,
);
