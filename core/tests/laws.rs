//! Laws of the statistics, to the bit, on every instruction set: kernels against each other, where
//! the other tests hold them against the plain loops.

mod support;

use pergrad_core::{
    AdamState, Batch, Dims, Error, Fold, Isa, LayerStep, NonFinite, Part, RmspropState,
    SecondMoment, Start, bias_grad, bias_moments, bias_sq_norms, grad, moments, per_example_grad,
    reduce, sq_norms,
};
use proptest::prelude::*;
use support::case::cases;
use support::compare::{Place, assert_bits};
use support::isas::for_each_isa;
use support::optimizers::{Config, configs};
use support::values::{Real, Rng};
use support::{draws, for_both_types};

/// Two outputs.
type Pair<T> = [Vec<T>; 2];

/// Two outputs that both hold `value`.
fn pair<T: Real>(value: &[T]) -> Pair<T> {
    [value.to_vec(), value.to_vec()]
}

/// The kernels that fold over the batch into one or two outputs (the second is left alone by those
/// that have one).
#[derive(Debug, Clone, Copy)]
enum Folding {
    Grad,
    Moments,
    BiasGrad,
    BiasMoments,
}

impl Folding {
    const ALL: [Folding; 4] =
        [Folding::Grad, Folding::Moments, Folding::BiasGrad, Folding::BiasMoments];

    fn len(self, dims: Dims) -> usize {
        match self {
            Folding::Grad | Folding::Moments => dims.outputs * dims.inputs,
            Folding::BiasGrad | Folding::BiasMoments => dims.outputs,
        }
    }

    fn run<T: Real>(self, isa: Isa, batch: &Batch<'_, T>, fold: Fold, [g, sq]: &mut Pair<T>) {
        match self {
            Folding::Grad => grad(isa, batch, fold, g, &mut []),
            Folding::Moments => moments(isa, batch, fold, g, sq, &mut []),
            Folding::BiasGrad => bias_grad(isa, batch, fold, g),
            Folding::BiasMoments => bias_moments(isa, batch, fold, g, sq),
        }
        .expect("lengths fit");
    }
}

/// Examples `from .. to` of a batch.
fn micro_batch<'a, T: Real>(batch: &Batch<'a, T>, from: usize, to: usize) -> Batch<'a, T> {
    let Dims { steps, outputs, inputs, .. } = batch.dims;
    let rows = |all: &'a [T], width: usize| &all[from * steps * width..to * steps * width];
    let (x, dy) = (rows(batch.x, inputs), rows(batch.dy, outputs));
    let part = Batch::new(Dims { batch: to - from, ..batch.dims }, x, dy);
    match batch.example_weights {
        Some(c) => part.with_example_weights(&c[from..to]),
        None => part,
    }
}

/// The ends of up to four micro-batches, some of them perhaps empty, and the fold of each.
fn cut(rng: &mut Rng, batch: usize, whole: Fold) -> Vec<(usize, usize, Fold)> {
    let mut ends: Vec<usize> = (0..rng.below(4)).map(|_| rng.below(batch + 1)).collect();
    ends.extend([0, batch]);
    ends.sort_unstable();
    let last = ends.len() - 2;
    (0..=last)
        .map(|k| {
            let start = if k == 0 { whole.start } else { Start::Resume };
            let scale = if k == last { whole.scale } else { None };
            (ends[k], ends[k + 1], Fold { start, scale })
        })
        .collect()
}

/// One batch is its micro-batches, resumed in order, however they are cut.
fn micro_batches<T: Real>() {
    proptest!(draws(256), |(case in cases())| {
        let inputs = case.inputs::<T>();
        let (batch, rng) = (inputs.batch(), &mut case.rng(50));
        for kernel in Folding::ALL {
            let before = rng.values(case.kind, kernel.len(case.dims));
            let parts = cut(rng, case.dims.batch, case.fold);
            for_each_isa(|isa| {
                let (mut whole, mut sum) = (pair::<T>(&before), pair::<T>(&before));
                kernel.run(isa, &batch, case.fold, &mut whole);
                for &(from, to, fold) in &parts {
                    kernel.run(isa, &micro_batch(&batch, from, to), fold, &mut sum);
                }
                let case = (kernel, &case, &parts);
                let place = Place { kernel: "micro-batches", isa: isa.name(), case: &case };
                assert_bits(place, "sum", &sum[0], &whole[0]);
                assert_bits(place, "sum_sq", &sum[1], &whole[1]);
            });
        }
    });
}

/// Rows that come in groups reduce to what all of them reduce to.
fn groups_of_rows<T: Real>() {
    proptest!(draws(256), |(case in cases())| {
        let Dims { batch, inputs: n, .. } = case.dims;
        let rows = case.guarded::<T>("rows", batch * n);
        let rows = rows.slice();
        let rng = &mut case.rng(51);
        let before = rng.values::<T>(case.kind, n);
        let parts = cut(rng, batch, case.fold);
        for_each_isa(|isa| {
            let ([mut sum, mut sum_sq], [mut all, mut all_sq]) = (pair(&before), pair(&before));
            reduce(isa, rows, batch, case.fold, &mut all, &mut all_sq).expect("lengths fit");
            for &(from, to, fold) in &parts {
                reduce(isa, &rows[from * n..to * n], to - from, fold, &mut sum, &mut sum_sq)
                    .expect("lengths fit");
            }
            let case = (&case, &parts);
            let place = Place { kernel: "groups of rows", isa: isa.name(), case: &case };
            assert_bits(place, "sum", &sum, &all);
            assert_bits(place, "sum_sq", &sum_sq, &all_sq);
        });
    });
}

/// Moments are what materialising the per-example gradients and reducing them gives.
fn moments_are_reduced_gradients<T: Real>() {
    proptest!(draws(256), |(case in cases())| {
        let inputs = case.inputs::<T>();
        let (batch, n, examples) = (inputs.batch(), case.weight_len(), case.dims.batch);
        let before = case.rng(52).values::<T>(case.kind, n);
        for_each_isa(|isa| {
            let ([mut g, mut sq], [mut sum, mut sum_sq]) = (pair(&before), pair(&before));
            moments(isa, &batch, case.fold, &mut g, &mut sq, &mut []).expect("lengths fit");
            let mut rows = vec![T::nan(); examples * n];
            per_example_grad(isa, &batch, &mut rows).expect("lengths fit");
            reduce(isa, &rows, examples, case.fold, &mut sum, &mut sum_sq).expect("lengths fit");
            let place = Place { kernel: "moments", isa: isa.name(), case: &case };
            assert_bits(place, "grad", &g, &sum);
            assert_bits(place, "grad_sq", &sq, &sum_sq);
        });
    });
}

/// A layer step is moments (or gradient), then update.
fn layer_step_is_moments_then_update<T: Real>() {
    let select = proptest::sample::select::<Config>;
    let seconds = prop_oneof![Just(SecondMoment::GradSq), Just(SecondMoment::SquaredGrad)];
    let parts = prop_oneof![Just(Part::Weight), Just(Part::Bias)];
    let switches = (select(configs()), 1..=50u64, parts, seconds, any::<bool>());
    proptest!(draws(1024), |(case in cases(), switches in switches)| {
        let (config, t, part, second, refuse) = switches;
        let non_finite = if refuse { NonFinite::Refuse } else { NonFinite::Propagate };
        let inputs = case.inputs::<T>();
        let layer = LayerStep { batch: inputs.batch(), scale: case.fold.scale, second, non_finite };
        let on_grad_sq = config.steps_on_grad_sq(&layer);
        let kernel = match (part, on_grad_sq) {
            (Part::Weight, true) => Folding::Moments,
            (Part::Weight, false) => Folding::Grad,
            (Part::Bias, true) => Folding::BiasMoments,
            (Part::Bias, false) => Folding::BiasGrad,
        };
        let n = kernel.len(case.dims);
        let state = config.state::<T>(&mut case.rng(53), case.kind, n);
        for_each_isa(|isa| {
            let start = || state.each_ref().map(|output| output.before.clone());
            let (mut fused, mut apart) = (start(), start());
            let arrays = fused.each_mut().map(Vec::as_mut_slice);
            let stepped = config.step(isa, t, &layer, part, arrays, &mut []);

            let mut sums = pair(&vec![T::nan(); n]);
            let fold = Fold { start: Start::Fresh, scale: case.fold.scale };
            kernel.run(isa, &layer.batch, fold, &mut sums);
            let arrays = apart.each_mut().map(Vec::as_mut_slice);
            let second = on_grad_sq.then_some(sums[1].as_slice());
            let updated = config.update(isa, t, &sums[0], second, arrays, non_finite);

            let case = (&case, switches);
            let place = Place { kernel: "layer step", isa: isa.name(), case: &case };
            assert_eq!(index_of(stepped), index_of(updated), "{place:?}");
            for (k, output) in state.iter().enumerate() {
                assert_bits(place, output.name, &fused[k], &apart[k]);
            }
        });
    });
}

/// The index that a checked step refused, if it did. (What they name beside it differs.)
fn index_of(done: Result<(), Error>) -> Option<usize> {
    match done {
        Ok(()) => None,
        Err(Error::NonFinite { index, .. }) => Some(index),
        Err(other) => panic!("{other}"),
    }
}

/// Of a batch of one, `grad_sq` is the square of `grad`.
fn one_example<T: Real>() {
    proptest!(draws(256), |(mut case in cases())| {
        case.dims.batch = 1;
        let inputs = case.inputs::<T>();
        for_each_isa(|isa| {
            for kernel in [Folding::Moments, Folding::BiasMoments] {
                let mut sums = pair(&vec![T::nan(); kernel.len(case.dims)]);
                kernel.run(isa, &inputs.batch(), Fold::fresh(), &mut sums);
                let squares: Vec<T> = sums[0].iter().map(|&g| g * g).collect();
                let place = Place { kernel: "one example", isa: isa.name(), case: &case };
                assert_bits(place, "grad_sq", &sums[1], &squares);
            }
        });
    });
}

/// Weights of one are no weights.
fn weights_of_one<T: Real>() {
    proptest!(draws(256), |(mut case in cases())| {
        case.weighted = false;
        let inputs = case.inputs::<T>();
        let (plain, ones) = (inputs.batch(), vec![T::ONE; case.dims.batch]);
        let weighted = plain.with_example_weights(&ones);
        let (n, examples) = (case.weight_len(), case.dims.batch);
        for_each_isa(|isa| {
            let place = Place { kernel: "weights of one", isa: isa.name(), case: &case };
            let both = |len: usize, run: &dyn Fn(&Batch<'_, T>, &mut Pair<T>)| {
                let before = case.rng(54).values::<T>(case.kind, len);
                let (mut a, mut b) = (pair(&before), pair(&before));
                run(&plain, &mut a);
                run(&weighted, &mut b);
                assert_bits(place, "first", &b[0], &a[0]);
                assert_bits(place, "second", &b[1], &a[1]);
            };
            for kernel in Folding::ALL {
                both(kernel.len(case.dims), &|batch, out| {
                    kernel.run(isa, batch, case.fold, out);
                });
            }
            both(examples * n, &|batch, [out, _]| {
                per_example_grad(isa, batch, out).expect("lengths fit");
            });
            both(examples, &|batch, [norms, bias_norms]| {
                sq_norms(isa, batch, case.fold.start, norms).expect("lengths fit");
                bias_sq_norms(isa, batch, case.fold.start, bias_norms).expect("lengths fit");
            });
        });
    });
}

/// Squared norms see one example at a time: those of a batch are those of its examples.
fn norms_of_each_example<T: Real>() {
    proptest!(draws(256), |(case in cases())| {
        let inputs = case.inputs::<T>();
        let (batch, from, examples) = (inputs.batch(), case.fold.start, case.dims.batch);
        let before = case.rng(55).values::<T>(case.kind, examples);
        for_each_isa(|isa| {
            let ([mut all, mut bias_all], [mut each, mut bias_each]) = (pair(&before), pair(&before));
            sq_norms(isa, &batch, from, &mut all).expect("lengths fit");
            bias_sq_norms(isa, &batch, from, &mut bias_all).expect("lengths fit");
            for b in 0..examples {
                let one = micro_batch(&batch, b, b + 1);
                sq_norms(isa, &one, from, &mut each[b..=b]).expect("lengths fit");
                bias_sq_norms(isa, &one, from, &mut bias_each[b..=b]).expect("lengths fit");
            }
            let place = Place { kernel: "norms", isa: isa.name(), case: &case };
            assert_bits(place, "sq_norms", &each, &all);
            assert_bits(place, "bias sq_norms", &bias_each, &bias_all);
        });
    });
}

/// `[rows, columns]`, with row `j` from row `rows_of[j]` and column `i` from column `columns_of[i]`.
fn permuted<T: Real>(all: &[T], rows_of: &[usize], columns_of: &[usize]) -> Vec<T> {
    let width = columns_of.len();
    rows_of.iter().flat_map(|&j| columns_of.iter().map(move |&i| all[j * width + i])).collect()
}

/// A random order of `0 .. n`.
fn order(rng: &mut Rng, n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    (1..n).for_each(|k| order.swap(k, rng.below(k + 1)));
    order
}

/// Inputs and outputs in another order give the results in that order and change nothing else: no
/// sum depends on the place of its element in a vector or tile.
fn other_orders<T: Real>() {
    proptest!(draws(256), |(mut case in cases())| {
        case.fold.start = Start::Fresh;
        let inputs = case.inputs::<T>();
        let (batch, rng, dims) = (inputs.batch(), &mut case.rng(56), case.dims);
        let (js, is) = (order(rng, dims.outputs), order(rng, dims.inputs));
        let rows: Vec<usize> = (0..dims.batch * dims.steps).collect();
        let (x, dy) = (permuted(batch.x, &rows, &is), permuted(batch.dy, &rows, &js));
        let other = Batch { x: &x, dy: &dy, ..batch };
        for_each_isa(|isa| {
            for kernel in Folding::ALL {
                let out = vec![T::nan(); kernel.len(dims)];
                let (mut want, mut got) = (pair(&out), pair(&out));
                kernel.run(isa, &batch, case.fold, &mut want);
                kernel.run(isa, &other, case.fold, &mut got);
                let bias = matches!(kernel, Folding::BiasGrad | Folding::BiasMoments);
                let columns = if bias { &[0][..] } else { &is };
                let case = (&case, kernel);
                let place = Place { kernel: "other orders", isa: isa.name(), case: &case };
                for k in 0..2 {
                    assert_bits(place, "sums", &got[k], &permuted(&want[k], &js, columns));
                }
            }
        });
    });
}

/// Weights of zero take an example out of a batch of finite values.
fn weights_of_zero<T: Real>() {
    proptest!(draws(256), |(mut case in cases())| {
        case.kind = support::values::Kind::Ordinary;
        case.dims.batch = case.dims.batch.max(1);
        let inputs = case.inputs::<T>();
        let batch = inputs.batch();
        let last = case.dims.batch - 1;
        let mut c = batch.example_weights.map_or(vec![T::ONE; last + 1], <[T]>::to_vec);
        c[last] = T::ZERO;
        let (masked, less) = (batch.with_example_weights(&c), micro_batch(&batch, 0, last));
        for_each_isa(|isa| {
            for kernel in Folding::ALL {
                let out = vec![T::ONE; kernel.len(case.dims)];
                let (mut want, mut got) = (pair(&out), pair(&out));
                kernel.run(isa, &less, case.fold, &mut want);
                kernel.run(isa, &masked, case.fold, &mut got);
                // Adding a zero may turn -0 to +0: equal as numbers.
                assert_eq!(got, want, "{kernel:?} {} {case:?}", isa.name());
            }
        });
    });
}

for_both_types!(
    micro_batches,
    groups_of_rows,
    moments_are_reduced_gradients,
    layer_step_is_moments_then_update,
    one_example,
    weights_of_one,
    weights_of_zero,
    norms_of_each_example,
    other_orders,
);

/// The factor of a fold multiplies the finished sums, however the fold starts.
#[test]
fn factors_multiply_finished_sums() {
    let rows = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0];
    for_each_isa(|isa| {
        for (fold, want) in [
            (Fold::fresh(), [[9.0, 12.0], [35.0, 56.0]]),
            (Fold::fresh().scaled(0.5), [[4.5, 6.0], [17.5, 28.0]]),
            (Fold::resume(), [[10.0, 13.0], [36.0, 57.0]]),
            (Fold::resume().scaled(2.0), [[20.0, 26.0], [72.0, 114.0]]),
            (Fold::mean(4), [[2.25, 3.0], [8.75, 14.0]]),
        ] {
            let [mut sum, mut sum_sq] = [[1.0; 2]; 2];
            reduce(isa, &rows, 3, fold, &mut sum, &mut sum_sq).expect("lengths fit");
            assert_eq!([sum, sum_sq], want, "{} {fold:?}", isa.name());
        }
    });
}

/// A state lent for one call is the state, whatever it holds.
#[test]
fn lent_states_are_the_states() {
    let [mut a, mut b, mut c] = [[1.0f32], [2.0], [3.0]];
    let mut state = RmspropState { exp_avg_sq: &mut a, exp_avg: &mut b, momentum_buffer: &mut c };
    let lent = state.reborrow();
    assert_eq!(
        (&*lent.exp_avg_sq, &*lent.exp_avg, &*lent.momentum_buffer),
        (&[1.0][..], &[2.0][..], &[3.0][..])
    );
    let mut state = AdamState { exp_avg: &mut a, exp_avg_sq: &mut b, max_exp_avg_sq: &mut c };
    let lent = state.reborrow();
    assert_eq!(
        (&*lent.exp_avg, &*lent.exp_avg_sq, &*lent.max_exp_avg_sq),
        (&[1.0][..], &[2.0][..], &[3.0][..])
    );
}

/// A layer step averages, unless told otherwise.
#[test]
fn layer_steps_average() {
    for n in [1, 2, 5] {
        let x = vec![1.0f64; n];
        let layer = LayerStep::mean(Batch::new(Dims::new(n, 1, 1), &x, &x));
        assert_eq!(layer.scale, Fold::mean(n).scale);
        assert_eq!(layer.scale.map(|scale| scale * n as f64), Some(1.0));
        assert_eq!(layer.second, SecondMoment::GradSq);
        assert_eq!(layer.non_finite, NonFinite::Propagate);
    }
}
