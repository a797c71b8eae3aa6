//! Every element of every sum is as near to its exact value as the crate's documentation says, on every
//! instruction set; and the bounds are sharp: some inputs all but reach them, and a lost fusion or a
//! lost term passes them.

mod bounds;
mod exact;
mod support;

use bounds::Bounded;
use bounds::formulas::bounds;
use bounds::problem::{Hard, Kernel, Problem};
use pergrad_core::{Dims, Fold, Start};
use support::isas::for_each_isa;
use support::values::{Real, Rng};
use support::{EMULATED, for_both_types};

const fn dims(batch: usize, steps: usize, outputs: usize, inputs: usize) -> Dims {
    Dims { batch, steps, outputs, inputs }
}

/// The largest part of its bound that an element takes up; panics if one takes up more than all.
#[track_caller]
fn most_taken<T: Real>(what: &str, all: &[Vec<Bounded>], computed: &[Vec<T>]) -> f64 {
    let mut most: f64 = 0.0;
    for (output, (bounds, computed)) in all.iter().zip(computed).enumerate() {
        assert_eq!(bounds.len(), computed.len(), "{what}");
        for (k, (bound, &value)) in bounds.iter().zip(computed).enumerate() {
            let taken = bound.taken(value);
            assert!(bound.holds(value), "{what}: output {output}[{k}], {taken} of its bound");
            most = most.max(taken);
        }
    }
    most
}

/// Every kernel, on every kind of inputs, with and without weights, starts and factors by turns.
fn errors_are_within_their_bounds<T: Real>() {
    let shapes = [
        dims(1, 1, 1, 1),
        dims(7, 1, 5, 19),
        dims(4, 3, 3, 17),
        dims(2, 2, 18, 5),
        dims(33, 1, 2, 3),
        dims(1, 1, 2, 67),
        dims(0, 1, 3, 4),
        dims(2, 0, 3, 4),
    ];
    let turns = if EMULATED { 2 } else { 4 };
    let mut seed = 0;
    for kernel in Kernel::ALL {
        let mut most = [0.0f64; Hard::ALL.len()];
        for shape in shapes.repeat(turns) {
            for (hard, most) in Hard::ALL.into_iter().zip(&mut most) {
                for weighted in [false, true] {
                    seed += 1;
                    let start = [Start::Fresh, Start::Resume][seed as usize / 2 % 2];
                    let scale = [None, Some(1.0 / 3.0), Some(-1.0 / 32.0)][seed as usize % 3];
                    let fold = Fold { start, scale };
                    let problem = Problem::<T>::new(kernel, hard, shape, weighted, fold, seed);
                    let all = bounds(kernel, &problem);
                    let what = format!("{kernel:?} {} {hard:?} {shape:?} {fold:?}", T::NAME);
                    *most = most.max(most_taken(&what, &all, &problem.run(kernel, None)));
                    for_each_isa(|isa| {
                        let what = format!("{} {what} weighted: {weighted}", isa.name());
                        most_taken(&what, &all, &problem.run(kernel, Some(isa)));
                    });
                }
            }
        }
        let parts = Hard::ALL.iter().zip(most).map(|(hard, most)| format!("{hard:?} {most:.2}"));
        let parts = parts.collect::<Vec<_>>().join(", ");
        println!("{} {kernel:?}, most of the bound taken up: {parts}", T::NAME);
    }
}

/// The shape whose sums are long enough for the terms that are few beside them not to count.
fn long(kernel: Kernel) -> Dims {
    match kernel {
        Kernel::PerExampleGrad => dims(1, 64, 1, 1),
        Kernel::SqNorms | Kernel::Forward => dims(1, 1, 1, 1024),
        Kernel::BiasSqNorms => dims(1, 1, 1024, 1),
        Kernel::InputGrad => dims(1, 1, 64, 1),
        _ => dims(64, 1, 1, 1),
    }
}

/// A 1 to which half a unit in its last place is added again and again: every kernel comes to more than
/// three quarters of its bound, so the bounds cannot be much smaller.
fn some_inputs_all_but_reach_the_bounds<T: Real>() {
    for kernel in Kernel::ALL {
        let shape = long(kernel);
        let problem = Problem::<T>::new(kernel, Hard::Stagnating, shape, false, Fold::fresh(), 1);
        let all = bounds(kernel, &problem);
        for_each_isa(|isa| {
            let what = format!("{kernel:?} {} {}", isa.name(), T::NAME);
            let most = most_taken(&what, &all, &problem.run(kernel, Some(isa)));
            println!("{what}: {most:.3} of the bound");
            assert!(most > 0.75, "{what}: {most} of the bound");
        });
    }
}

/// Without one of its terms, all of one magnitude, a sum is far outside.
fn a_lost_term_is_outside<T: Real>() {
    for kernel in Kernel::ALL {
        let shape = dims(6, 2, 7, 21);
        let problem = Problem::<T>::new(kernel, Hard::Huge, shape, false, Fold::mean(6), 3);
        let mut tampered = problem.clone();
        // The last output or input of the second row.
        match kernel {
            Kernel::BiasGrad | Kernel::BiasMoments | Kernel::BiasSqNorms | Kernel::InputGrad => {
                tampered.dy[2 * shape.outputs - 1] = T::ZERO;
            }
            _ => tampered.x[2 * shape.inputs - 1] = T::ZERO,
        }
        for (bounds, computed) in bounds(kernel, &problem).iter().zip(tampered.run(kernel, None)) {
            let outside = bounds.iter().zip(computed).any(|(bound, value)| !bound.holds(value));
            assert!(outside, "{kernel:?} {}: a lost term goes unseen", T::NAME);
        }
    }
}

/// A product rounded on its own, then a sum: two roundings where the kernels have one. Where the sum
/// begins with just what the product loses, both are lost: near to twice what the bound allows for.
fn a_lost_fusion_is_outside<T: Real>() {
    let rng = &mut Rng::new(11);
    for kernel in [Kernel::Grad, Kernel::InputGrad, Kernel::Reduce] {
        let mut outside = 0;
        for _ in 0..500 {
            let [a, b] = [(); 2].map(|()| rng.with_exponent::<T>(0, 0).magnitude());
            let b = if kernel == Kernel::Reduce { a } else { b };
            let before = a.fma(b, -(a * b)).magnitude();
            let one = dims(1, 1, 1, 1);
            let mut problem = Problem::new(kernel, Hard::Spread, one, false, Fold::resume(), 1);
            (problem.x, problem.dy, problem.weight) = (vec![a], vec![b], vec![a]);
            problem.before.fill(vec![before]);
            let all = bounds(kernel, &problem);
            for_each_isa(|isa| {
                let what = format!("{kernel:?} {}: {before:?} + {a:?} * {b:?}", isa.name());
                most_taken(&what, &all, &problem.run(kernel, Some(isa)));
            });
            let bound = all.last().expect("an output");
            outside += usize::from(!bound[0].holds(before + a * b));
        }
        println!("{kernel:?} {}: {outside} of 500 unfused results are outside", T::NAME);
        assert!(outside > 0, "{kernel:?} {}", T::NAME);
    }
}

for_both_types!(
    errors_are_within_their_bounds,
    some_inputs_all_but_reach_the_bounds,
    a_lost_term_is_outside,
    a_lost_fusion_is_outside,
);
