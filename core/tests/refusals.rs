//! Refused calls: for every wrong length of every argument, and for extents that overflow, the error
//! names the argument and nothing is written, on every instruction set.

mod support;

use pergrad_core::{
    AdamConfig, AdamState, AmsGrad, Batch, Dims, Error, Fold, Isa, LayerStep, MomentumConfig,
    NonFinite, Part, RmspropConfig, RmspropState, Start, Window, bias_grad, bias_moments,
    bias_sq_norms, forward, grad, input_grad, moments, per_example_grad, reduce, sq_norms,
    step_adam, step_momentum, step_rmsprop, update_adam, update_momentum, update_rmsprop,
};
use support::compare::{Place, assert_untouched};
use support::for_both_types;
use support::guard::Guarded;
use support::isas::for_each_isa;
use support::values::{Kind, Real, Rng};

/// Distinct extents, so that no length is right by accident.
const DIMS: Dims = Dims { batch: 3, steps: 2, outputs: 5, inputs: 37 };
const X: usize = 3 * 2 * 37;
const DY: usize = 3 * 2 * 5;
const WEIGHT: usize = 5 * 37;

/// An argument: its name in errors and the length it needs.
type Arg = (&'static str, usize);

/// The length of an argument that is not looked at.
const ANY: usize = usize::MAX;

/// Calls with each argument in turn too short, empty and too long.
fn refuses<T: Real, const N: usize>(
    kernel: &str,
    args: [Arg; N],
    call: impl Fn(Isa, [&mut [T]; N]) -> Result<(), Error>,
) {
    let called_with = |isa: Isa, lens: [usize; N], expected: Result<(), Error>| {
        let rng = &mut Rng::new(11);
        let before = lens.map(|len| rng.values::<T>(Kind::Ordinary, len));
        let mut slices = before.each_ref().map(|values| Guarded::new(rng, values));
        let result = call(isa, slices.each_mut().map(Guarded::slice_mut));
        let place = Place { kernel, isa: isa.name(), case: &lens };
        assert_eq!(result, expected, "{place:?}");
        for k in 0..N {
            slices[k].assert_intact(|| format!("{place:?} {}", args[k].0));
            if result.is_err() {
                assert_untouched(place, args[k].0, slices[k].slice(), &before[k]);
            }
        }
    };
    let needed = args.map(|(_, need)| if need == ANY { 0 } else { need });
    for_each_isa(|isa| {
        called_with(isa, needed, Ok(()));
        for k in 0..N {
            let (arg, need) = (args[k].0, needed[k]);
            for got in [0, need.saturating_sub(1), need, need + 1, 2 * need + 1] {
                let mut lens = needed;
                lens[k] = got;
                let right = got == need || args[k].1 == ANY;
                let refused = Err(Error::Length { arg, got, need });
                called_with(isa, lens, if right { Ok(()) } else { refused });
            }
        }
    });
}

const BATCH: [Arg; 3] = [("x", X), ("dy", DY), ("example_weights", DIMS.batch)];

/// The arguments of a batch, then the others.
fn batch_and<const M: usize, const N: usize>(others: [Arg; M]) -> [Arg; N] {
    let all: Vec<Arg> = BATCH.into_iter().chain(others).collect();
    all.try_into().expect("three more than the others")
}

fn batch<'a, T: Real>(x: &'a [T], dy: &'a [T], c: &'a [T]) -> Batch<'a, T> {
    Batch::new(DIMS, x, dy).with_example_weights(c)
}

fn linear<T: Real>() {
    let args = [("x", X), ("weight", WEIGHT), ("bias", 5), ("y", DY)];
    refuses::<T, 4>("forward", args, |isa, [x, w, bias, y]| {
        forward(isa, DIMS, x, w, Some(bias), Start::Fresh, y)
    });
    let args = [("dy", DY), ("weight", WEIGHT), ("dx", X)];
    refuses::<T, 3>("input_grad", args, |isa, [dy, w, dx]| {
        input_grad(isa, DIMS, dy, w, Start::Fresh, dx)
    });
}

fn statistics<T: Real>() {
    let args = batch_and([("per_example_grad", 3 * WEIGHT)]);
    refuses::<T, 4>("per_example_grad", args, |isa, [x, dy, c, out]| {
        per_example_grad(isa, &batch(x, dy, c), out)
    });
    let args = batch_and([("grad", WEIGHT)]);
    refuses::<T, 4>("grad", args, |isa, [x, dy, c, g]| {
        grad(isa, &batch(x, dy, c), Fold::fresh(), g, &mut [])
    });
    let args = batch_and([("grad", WEIGHT), ("grad_sq", WEIGHT)]);
    refuses::<T, 5>("moments", args, |isa, [x, dy, c, g, sq]| {
        moments(isa, &batch(x, dy, c), Fold::fresh(), g, sq, &mut [])
    });
    let args = batch_and([("sq_norms", 3)]);
    refuses::<T, 4>("sq_norms", args, |isa, [x, dy, c, norms]| {
        sq_norms(isa, &batch(x, dy, c), Start::Fresh, norms)
    });
    // The number of columns is the length of `sum`.
    let args = [("rows", 3 * 37), ("sum_sq", 37)];
    refuses::<T, 2>("reduce", args, |isa, [rows, sum_sq]| {
        let mut sum = [T::ONE; 37];
        let result = reduce(isa, rows, 3, Fold::fresh(), &mut sum, sum_sq);
        assert!(result.is_ok() || sum == [T::ONE; 37]);
        result
    });
}

/// The bias' kernels do not look at `x`.
fn bias<T: Real>() {
    let [_, dy, c] = BATCH;
    let x = ("x", ANY);
    refuses::<T, 4>("bias_grad", [x, dy, c, ("grad", 5)], |isa, [x, dy, c, g]| {
        bias_grad(isa, &batch(x, dy, c), Fold::fresh(), g)
    });
    let args = [x, dy, c, ("grad", 5), ("grad_sq", 5)];
    refuses::<T, 5>("bias_moments", args, |isa, [x, dy, c, g, sq]| {
        bias_moments(isa, &batch(x, dy, c), Fold::fresh(), g, sq)
    });
    refuses::<T, 4>("bias_sq_norms", [x, dy, c, ("sq_norms", 3)], |isa, [x, dy, c, norms]| {
        bias_sq_norms(isa, &batch(x, dy, c), Start::Fresh, norms)
    });
}

fn window() -> Window {
    Window::new(9.0).expect("at least 1")
}

/// Configurations with all the state that there is.
fn rmsprop() -> RmspropConfig {
    let mut config = RmspropConfig::new(0.1, window());
    (config.centered, config.momentum) = (true, Some(window()));
    config
}

fn adam() -> AdamConfig {
    let mut config = AdamConfig::new(0.1, window(), window());
    config.amsgrad = AmsGrad::Uncorrected;
    config
}

/// The number of parameters is the length of `params`: what differs from it is named.
fn updates<T: Real>() {
    const N: usize = 37;
    let c = MomentumConfig::new(0.1, window()).step_coeffs(1).expect("consistent");
    let args = [("grad", N), ("momentum_buffer", N)];
    refuses::<T, 2>("update_momentum", args, |isa, [g, buffer]| {
        update_momentum(isa, &c, &mut [T::ONE; N], g, buffer, NonFinite::Propagate)
    });
    let c = rmsprop().step_coeffs(1).expect("consistent");
    let state = [("exp_avg_sq", N), ("exp_avg", N), ("momentum_buffer", N)];
    let args = [("grad", N), ("second_moment", N), state[0], state[1], state[2]];
    refuses::<T, 5>("update_rmsprop", args, |isa, [g, s, exp_avg_sq, exp_avg, momentum_buffer]| {
        let state = RmspropState { exp_avg_sq, exp_avg, momentum_buffer };
        update_rmsprop(isa, &c, &mut [T::ONE; N], g, Some(s), state, NonFinite::Refuse)
    });
    let c = adam().step_coeffs(1).expect("consistent");
    let state = [("exp_avg", N), ("exp_avg_sq", N), ("max_exp_avg_sq", N)];
    let args = [("grad", N), ("second_moment", N), state[0], state[1], state[2]];
    refuses::<T, 5>("update_adam", args, |isa, [g, s, exp_avg, exp_avg_sq, max_exp_avg_sq]| {
        let state = AdamState { exp_avg, exp_avg_sq, max_exp_avg_sq };
        update_adam(isa, &c, &mut [T::ONE; N], g, Some(s), state, NonFinite::Propagate)
    });
}

/// State that a configuration does without must be empty.
fn superfluous_state<T: Real>() {
    const N: usize = 4;
    let c = MomentumConfig::torch(0.1, 0.0).and_then(|c| c.step_coeffs(1)).expect("consistent");
    let args = [("grad", N), ("momentum_buffer", 0)];
    refuses::<T, 2>("update_momentum", args, |isa, [g, buffer]| {
        update_momentum(isa, &c, &mut [T::ONE; N], g, buffer, NonFinite::Propagate)
    });
    let c = RmspropConfig::new(0.1, window()).step_coeffs(1).expect("consistent");
    let args = [("exp_avg_sq", N), ("exp_avg", 0), ("momentum_buffer", 0)];
    refuses::<T, 3>("update_rmsprop", args, |isa, [exp_avg_sq, exp_avg, momentum_buffer]| {
        let state = RmspropState { exp_avg_sq, exp_avg, momentum_buffer };
        update_rmsprop(isa, &c, &mut [T::ONE; N], &[T::ONE; N], None, state, NonFinite::Propagate)
    });
    let c = AdamConfig::torch(0.1).and_then(|c| c.step_coeffs(1)).expect("consistent");
    let args = [("exp_avg", N), ("exp_avg_sq", N), ("max_exp_avg_sq", 0)];
    refuses::<T, 3>("update_adam", args, |isa, [exp_avg, exp_avg_sq, max_exp_avg_sq]| {
        let state = AdamState { exp_avg, exp_avg_sq, max_exp_avg_sq };
        update_adam(isa, &c, &mut [T::ONE; N], &[T::ONE; N], None, state, NonFinite::Propagate)
    });
}

/// Layer steps, of the weight and of the bias, which does not look at `x`.
fn steps<T: Real>() {
    let momentum = MomentumConfig::new(0.1, window()).step_coeffs(1).expect("consistent");
    let rmsprop = rmsprop().step_coeffs(1).expect("consistent");
    let adam = adam().step_coeffs(1).expect("consistent");
    for (part, x_len, name, n) in
        [(Part::Weight, X, "weight", WEIGHT), (Part::Bias, ANY, "bias", 5)]
    {
        let args = [("x", x_len), BATCH[1], BATCH[2], (name, n), ("momentum_buffer", n)];
        refuses::<T, 5>("step_momentum", args, |isa, [x, dy, c, w, buffer]| {
            let layer = LayerStep::mean(batch(x, dy, c));
            step_momentum(isa, &layer, part, &momentum, w, buffer, &mut [])
        });
        let state = [("exp_avg_sq", n), ("exp_avg", n), ("momentum_buffer", n)];
        let args = [("x", x_len), BATCH[1], BATCH[2], (name, n), state[0], state[1], state[2]];
        refuses::<T, 7>("step_rmsprop", args, |isa, [x, dy, c, w, sq, avg, momentum_buffer]| {
            let layer = LayerStep::mean(batch(x, dy, c));
            let state = RmspropState { exp_avg_sq: sq, exp_avg: avg, momentum_buffer };
            step_rmsprop(isa, &layer, part, &rmsprop, w, state, &mut [])
        });
        let state = [("exp_avg", n), ("exp_avg_sq", n), ("max_exp_avg_sq", n)];
        let args = [("x", x_len), BATCH[1], BATCH[2], (name, n), state[0], state[1], state[2]];
        refuses::<T, 7>("step_adam", args, |isa, [x, dy, c, w, avg, sq, max_exp_avg_sq]| {
            let layer = LayerStep::mean(batch(x, dy, c));
            let state = AdamState { exp_avg: avg, exp_avg_sq: sq, max_exp_avg_sq };
            step_adam(isa, &layer, part, &adam, w, state, &mut [])
        });
    }
}

/// Extents whose product passes the address space; a zero among them hides nothing.
fn overflowing_extents<T: Real>() {
    const MAX: usize = usize::MAX;
    /// Two of these overflow.
    const ROOT: usize = 1 << (usize::BITS / 2 + 1);
    let all = [
        // B, T, J, I, and the argument of: kernels on batches, of the bias, forward, input gradient.
        ([ROOT, ROOT, 0, 0], ["x", "dy", "x", "dy"]),
        ([ROOT, 1, 0, ROOT], ["x", "", "x", "dx"]),
        ([ROOT, 1, ROOT, 0], ["dy", "dy", "y", "dy"]),
        ([0, 1, ROOT, ROOT], ["weight", "", "weight", "weight"]),
        ([0, 1, 0, MAX], ["x", "", "x", "weight"]),
        ([0, 1, MAX, 0], ["dy", "dy", "weight", "dy"]),
        ([0, MAX, 0, 0], ["x", "dy", "x", "dy"]),
        ([MAX, 1, 0, 0], ["x", "dy", "x", "dy"]),
        ([MAX, MAX, MAX, MAX], ["x", "dy", "x", "dy"]),
    ];
    let momentum = MomentumConfig::new(0.1, window()).step_coeffs(1).expect("consistent");
    for_each_isa(|isa| {
        for ([batch, steps, outputs, inputs], args) in all {
            let dims = Dims { batch, steps, outputs, inputs };
            let case = format!("{} {dims:?}", isa.name());
            let [of_batch, of_bias, of_forward, of_input_grad] = args;
            let refused = |result: Result<(), Error>, arg| {
                assert_eq!(result, Err(Error::Overflow { arg }), "{case}");
            };
            let none: &[T] = &[];
            let batch = Batch::new(dims, none, none);
            let layer = LayerStep::mean(batch);
            let step =
                |part| step_momentum(isa, &layer, part, &momentum, &mut [], &mut [], &mut []);
            let fold = Fold::fresh();
            refused(per_example_grad(isa, &batch, &mut []), of_batch);
            refused(grad(isa, &batch, fold, &mut [], &mut []), of_batch);
            refused(moments(isa, &batch, fold, &mut [], &mut [], &mut []), of_batch);
            refused(sq_norms(isa, &batch, Start::Fresh, &mut []), of_batch);
            refused(step(Part::Weight), of_batch);
            if !of_bias.is_empty() {
                refused(bias_grad(isa, &batch, fold, &mut []), of_bias);
                refused(bias_moments(isa, &batch, fold, &mut [], &mut []), of_bias);
                refused(bias_sq_norms(isa, &batch, Start::Fresh, &mut []), of_bias);
                refused(step(Part::Bias), of_bias);
            }
            let y = forward(isa, dims, none, none, None, Start::Fresh, &mut []);
            refused(y, of_forward);
            refused(input_grad(isa, dims, none, none, Start::Fresh, &mut []), of_input_grad);
        }

        // Three extents that only together are too many.
        let cube = 1 << (usize::BITS / 3 + 1);
        let dims = Dims::new(cube, cube, cube).with_steps(0);
        let result = per_example_grad(isa, &Batch::new(dims, &[] as &[T], &[]), &mut []);
        assert_eq!(result, Err(Error::Overflow { arg: "per_example_grad" }));
        let (sum, sum_sq) = (&mut [T::ONE; 2], &mut [T::ONE; 2]);
        let result = reduce(isa, &[T::ONE], MAX / 2 + 1, Fold::fresh(), sum, sum_sq);
        assert_eq!(result, Err(Error::Overflow { arg: "rows" }));
        assert_eq!((*sum, *sum_sq), ([T::ONE; 2], [T::ONE; 2]));
    });
}

/// Extents beyond counting beside one of 0: nothing to do, and done at once.
fn boundless_but_empty<T: Real>() {
    const MANY: usize = isize::MAX as usize / 8;
    let momentum = MomentumConfig::new(0.1, window()).step_coeffs(1).expect("consistent");
    for_each_isa(|isa| {
        for [batch, outputs, inputs] in [[0, MANY, 0], [0, 0, MANY], [MANY, 0, 0]] {
            let dims = Dims::new(batch, outputs, inputs);
            let none: &[T] = &[];
            let batch = Batch::new(dims, none, none);
            let layer = LayerStep::mean(batch);
            let (part, fold, from) = (Part::Weight, Fold::mean(1), Start::Resume);
            let all = [
                per_example_grad(isa, &batch, &mut []),
                grad(isa, &batch, fold, &mut [], &mut []),
                moments(isa, &batch, fold, &mut [], &mut [], &mut []),
                step_momentum(isa, &layer, part, &momentum, &mut [], &mut [], &mut []),
                forward(isa, dims, none, none, None, from, &mut []),
                input_grad(isa, dims, none, none, from, &mut []),
                reduce(isa, none, MANY, fold, &mut [], &mut []),
            ];
            assert_eq!(all, [Ok(()); 7], "{} {dims:?}", isa.name());
        }
    });
}

/// Without steps the lengths say nothing about the batch, and every example adds the same `+0`.
fn boundless_without_steps<T: Real>() {
    const MANY: usize = isize::MAX as usize / 8;
    for_each_isa(|isa| {
        let none: &[T] = &[];
        let batch = Batch::new(Dims::new(MANY, 1, 1).with_steps(0), none, none);
        let (mut g, mut sq) = ([T::NEG_ZERO], [T::ONE]);
        assert_eq!(moments(isa, &batch, Fold::resume(), &mut g, &mut sq, &mut []), Ok(()));
        assert_eq!((g[0].bits(), sq[0]), (T::ZERO.bits(), T::ONE), "{}", isa.name());
        assert_eq!(bias_moments(isa, &batch, Fold::fresh(), &mut g, &mut sq), Ok(()));
        assert_eq!(bias_grad(isa, &batch, Fold::fresh(), &mut g), Ok(()));
        assert_eq!(grad(isa, &batch, Fold::fresh(), &mut g, &mut []), Ok(()));
        let wide = Batch::new(Dims::new(1, MANY, 1).with_steps(0), none, none);
        assert_eq!(sq_norms(isa, &wide, Start::Fresh, &mut g), Ok(()));
        assert_eq!(bias_sq_norms(isa, &wide, Start::Fresh, &mut g), Ok(()));
        assert_eq!(g[0].bits(), T::ZERO.bits(), "{}", isa.name());
    });
}

for_both_types!(
    linear,
    statistics,
    bias,
    updates,
    superfluous_state,
    steps,
    overflowing_extents,
    boundless_but_empty,
    boundless_without_steps
);

/// Every length is the product of its extents, or refused where `f64`s of so many would pass `isize::MAX` bytes, be
/// they small, large, or at the edge of either.
#[test]
fn lengths_are_products() {
    let most = isize::MAX as u128 / 8;
    let third = usize::BITS / 3;
    let extents: Vec<usize> = [0, 1, 2, 3, 1000, most as usize, usize::MAX]
        .into_iter()
        .chain((third - 2..third + 2).flat_map(|k| [(1 << k) - 1, 1 << k, (1 << k) + 1]))
        .collect();
    for &a in &extents {
        for &b in &extents {
            for &c in &extents {
                let dims = Dims { batch: a, steps: b, outputs: c, inputs: c };
                let or_one = [a, b, c].map(|n| n.max(1) as u128);
                // (The first product fits; a zero hides nothing.)
                let fits =
                    (or_one[0] * or_one[1]).checked_mul(or_one[2]).is_some_and(|n| n <= most);
                let expected = |arg| {
                    if fits {
                        Ok(a.wrapping_mul(b).wrapping_mul(c))
                    } else {
                        Err(Error::Overflow { arg })
                    }
                };
                assert_eq!(dims.x_len(), expected("x"), "{dims:?}");
                assert_eq!(dims.y_len(), expected("dy"), "{dims:?}");
            }
        }
    }
}
