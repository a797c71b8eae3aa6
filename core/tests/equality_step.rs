//! Layer steps: every instruction set has the bits of the plain loops of moments (or gradient) and
//! update; checked steps commit them or nothing.

mod support;

use pergrad_core::{
    AdamConfig, Decay, Dims, Error, Fold, LayerStep, MomentumConfig, NonFinite, Part,
    RmspropConfig, SecondMoment, Start,
};
use proptest::prelude::*;
use support::case::{Case, Scratch, cases, sweep};
use support::compare::agree;
use support::optimizers::{
    Config, adam_configs, checked, configs, momentum_configs, poison, reference_step,
    rmsprop_configs,
};
use support::values::{Kind, Real};
use support::{EMULATED, LARGE, VECTORS, draws, for_both_types};

/// What a step is asked besides its batch.
#[derive(Debug, Clone, Copy)]
struct Step {
    config: Config,
    t: u64,
    part: Part,
    second: SecondMoment,
    non_finite: NonFinite,
    /// How many elements, anywhere, are made infinite or NaN.
    poisoned: usize,
}

fn agrees<T: Real>(case: Case, step: Step) {
    let Step { config, t, part, second, non_finite, .. } = step;
    let mut inputs = case.inputs::<T>();
    let rng = &mut case.rng(1000);
    let (name, n) = match part {
        Part::Weight => ("weight", case.weight_len()),
        Part::Bias => ("bias", case.dims.outputs),
    };
    let mut state = config.state::<T>(rng, case.kind, n);
    for _ in 0..step.poisoned {
        let [a, b, c, d] = state.each_mut().map(|output| output.before.as_mut_slice());
        poison(rng, &mut [inputs.x.slice_mut(), inputs.dy.slice_mut(), a, b, c, d]);
    }
    let layer = LayerStep { batch: inputs.batch(), scale: case.fold.scale, second, non_finite };
    agree(
        "step",
        (&(case, step), case.seed),
        state,
        Start::Resume,
        case.scratch_len(),
        |arrays| match non_finite {
            NonFinite::Propagate => reference_step(&config, t, &layer, part, arrays),
            NonFinite::Refuse => checked(
                arrays,
                |arrays| reference_step(&config, t, &layer, part, arrays),
                |index| Error::NonFinite { arg: name, index },
            ),
        },
        |isa, arrays, scratch| config.step(isa, t, &layer, part, arrays, scratch),
    );
}

const PARTS: [Part; 2] = [Part::Weight, Part::Bias];
const SECONDS: [SecondMoment; 2] = [SecondMoment::GradSq, SecondMoment::SquaredGrad];
const NON_FINITE: [NonFinite; 2] = [NonFinite::Propagate, NonFinite::Refuse];

/// Every shape, with a configuration of each optimizer.
fn swept<T: Real>() {
    let all = [momentum_configs(), rmsprop_configs(), adam_configs()];
    sweep(|case| {
        let rng = &mut case.rng(2000);
        for configs in &all {
            let (config, t) = (rng.pick(configs), 1 + case.seed % 5);
            let (part, second) = (rng.pick(&PARTS), rng.pick(&SECONDS));
            let non_finite = rng.pick(&NON_FINITE);
            agrees::<T>(case, Step { config, t, part, second, non_finite, poisoned: 0 });
        }
    });
}

/// Every combination of switches, on a layer whose tiles leave rows and columns over.
fn all_switches<T: Real>(configs: Vec<Config>) {
    let mut seed = 0;
    for config in configs {
        for part in PARTS {
            for second in SECONDS {
                for t in [1, 9] {
                    let dims = Dims::new(2, 7, if seed % 2 == 0 { 37 } else { 9 });
                    let other = Kind::ALL[1 + seed as usize % (Kind::ALL.len() - 1)];
                    let kind = if seed % 3 == 0 { other } else { Kind::Ordinary };
                    let (fold, scratch) = (Fold::mean(2), Scratch::Some);
                    let weighted = seed % 5 == 0;
                    let case = Case { dims, kind, weighted, fold, scratch, seed };
                    let non_finite = NON_FINITE[seed as usize / 2 % 2];
                    agrees::<T>(case, Step { config, t, part, second, non_finite, poisoned: 0 });
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

/// A checked step names the first bad element in the order of the parameters, which is not that of
/// the tiles.
fn first_bad_index<T: Real>() {
    for configs in [momentum_configs(), rmsprop_configs(), adam_configs()] {
        for seed in 0..400 {
            let mut case = Case::ordinary(Dims::new(2, 1 + seed as usize % 14, 70), seed);
            case.weighted = seed % 7 == 0;
            let rng = &mut case.rng(3000);
            let (config, part) = (rng.pick(&configs), rng.pick(&PARTS));
            let (t, second, non_finite) = (3, rng.pick(&SECONDS), NonFinite::Refuse);
            let poisoned = 1 + rng.below(4);
            agrees::<T>(case, Step { config, t, part, second, non_finite, poisoned });
        }
    }
}

/// Long batches, and a few examples of larger layers, whose sums are kept in scratch for a part of the layer at a time:
/// one, two and more parts, of rows and of columns, of sequences too; with too little scratch for it, and with results
/// that are refused.
fn in_parts<T: Real>() {
    if !LARGE {
        return;
    }
    let dims = [
        Dims::new(383, 2, 9),
        Dims::new(384, 3, 20),
        Dims::new(40, 5, 30).with_steps(10),
        Dims::new(385, 121, 16),
        Dims::new(400, 241, 7),
        Dims::new(390, 5, 513),
        Dims::new(384, 125, 530),
        Dims::new(8, 331, 397),
        Dims::new(12, 33, 4112),
    ];
    // (The largest last.)
    let last = if EMULATED { dims.len() - 3 } else { dims.len() };
    for (seed, dims) in (0..).zip(dims.into_iter().take(last)) {
        for (k, second) in (0..).zip(SECONDS) {
            let configs = [momentum_configs(), rmsprop_configs(), adam_configs()];
            let config = configs[(seed + k) as usize % 3][5 * seed as usize % 7];
            for (scratch, non_finite) in [
                (Scratch::Full, NonFinite::Propagate),
                (Scratch::Full, NonFinite::Refuse),
                (Scratch::Some, NonFinite::Propagate),
            ] {
                let mut case = Case::ordinary(dims, 100 + seed);
                (case.fold, case.scratch) = (Fold::mean(dims.batch), scratch);
                case.weighted = seed % 3 == 2;
                let poisoned = usize::from(non_finite == NonFinite::Refuse && seed % 2 == 0);
                let (part, t) = (Part::Weight, 1 + seed % 4);
                agrees::<T>(case, Step { config, t, part, second, non_finite, poisoned });
            }
        }
    }
}

/// The usual configurations without weights, whose updates run beside the sums of the next tile: batches
/// around the number of vectors in a tile, rows and columns left over, packed and not.
fn fused<T: Real>() {
    let decays = [Decay::None, Decay::Decoupled(0.1), Decay::Coupled(0.1)];
    let mut seed = 0;
    let mut step = |dims: Dims| {
        let decay = decays[seed as usize / 3 % 3];
        let mut adam = AdamConfig::torch(0.07).unwrap();
        let mut rmsprop = RmspropConfig::torch(0.07).unwrap();
        let mut momentum = MomentumConfig::torch(0.07, 0.8).unwrap();
        (adam.decay, rmsprop.decay, momentum.decay) = (decay, decay, decay);
        let config = match seed % 3 {
            0 => Config::Adam(adam),
            1 => Config::Rmsprop(rmsprop),
            _ => Config::Momentum(momentum),
        };
        for second in SECONDS {
            let mut case = Case::ordinary(dims, seed);
            case.fold = Fold { start: Start::Fresh, scale: (seed % 4 > 0).then_some(0.3) };
            case.scratch = [Scratch::Empty, Scratch::Some, Scratch::Full][seed as usize % 3];
            let (part, non_finite, t) = (Part::Weight, NonFinite::Propagate, 2 + seed % 5);
            agrees::<T>(case, Step { config, t, part, second, non_finite, poisoned: 0 });
        }
        seed += 1;
    };
    let small = if cfg!(miri) { 1 } else { 14 };
    let all = if VECTORS { &[15, 35, 64, 75, 135, 200][..] } else { &[1, 15, 35] };
    for outputs in 1..=small {
        for batch in [1, 2, 3, 5, 6, 7, 11, 12, 13, 29] {
            for &inputs in all {
                step(Dims::new(batch, outputs, inputs));
            }
        }
    }
    if !LARGE {
        return step(Dims::new(13, 7, 35));
    }
    for seed in 0..9 {
        step(Dims::new(13 + seed % 2, 14 + seed, 1041 + seed));
        step(Dims::new(7, 14 + seed, 2048 + seed)); // single rows, from copies of x
    }
    step(Dims::new(13, 256, 1030)); // parameters from afar
    step(Dims::new(6, 40, 1030)); // and nearer, of more examples than 16 registers fuse
    for seed in 0..3 {
        step(Dims::new(33 + seed, 2048 / size_of::<T>(), 130)); // dy that may be copied where x is not
    }
    if !EMULATED {
        step(Dims::new(13, 14, 112_399)); // and from farther
    }
}

fn drawn<T: Real>() {
    let select = proptest::sample::select::<Config>;
    let steps = (
        prop_oneof![select(momentum_configs()), select(configs())],
        prop_oneof![1..=4u64, 1..=100_000u64],
        proptest::sample::select(&PARTS[..]),
        proptest::sample::select(&SECONDS[..]),
        proptest::sample::select(&NON_FINITE[..]),
        0..=2usize,
    )
        .prop_map(|(config, t, part, second, non_finite, poisoned)| Step {
            config,
            t,
            part,
            second,
            non_finite,
            poisoned,
        });
    proptest!(draws(1024), |(case in cases(), step in steps)| agrees::<T>(case, step));
}

for_both_types!(
    swept,
    momentum_switches,
    rmsprop_switches,
    adam_switches,
    first_bad_index,
    fused,
    in_parts,
    drawn,
);
