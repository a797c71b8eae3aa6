//! Forward product and input gradient: every instruction set has the bits of the plain loops.

mod support;

use pergrad_core::{Dims, Start, forward, input_grad, reference};
use proptest::prelude::*;
use support::case::{Case, cases, sweep};
use support::compare::{Place, agree, assert_bits};
use support::isas::for_each_isa;
use support::values::Real;
use support::{draws, for_both_types};

/// `x [B, T, I]`, weight and bias; the switch for example weights stands for the bias.
fn forward_agrees<T: Real>(case: Case) {
    let (inputs, dims) = (case.inputs::<T>(), case.dims);
    let weight = case.guarded::<T>("weight", case.weight_len());
    let bias = case.weighted.then(|| case.guarded::<T>("bias", dims.outputs));
    let bias = bias.as_ref().map(|bias| bias.slice());
    let (x, weight, from) = (inputs.x.slice(), weight.slice(), case.fold.start);
    agree(
        "forward",
        (&case, case.seed),
        [case.output::<T>("y", inputs.dy.slice().len())],
        from,
        0,
        |[y]| reference::forward(dims, x, weight, bias, from, y),
        |isa, [y], _| forward(isa, dims, x, weight, bias, from, y),
    );
}

fn input_grad_agrees<T: Real>(case: Case) {
    let (inputs, dims) = (case.inputs::<T>(), case.dims);
    let weight = case.guarded::<T>("weight", case.weight_len());
    let (dy, weight, from) = (inputs.dy.slice(), weight.slice(), case.fold.start);
    agree(
        "input_grad",
        (&case, case.seed),
        [case.output::<T>("dx", inputs.x.slice().len())],
        from,
        0,
        |[dx]| reference::input_grad(dims, dy, weight, from, dx),
        |isa, [dx], _| input_grad(isa, dims, dy, weight, from, dx),
    );
}

fn forward_swept<T: Real>() {
    sweep(forward_agrees::<T>);
}

fn input_grad_swept<T: Real>() {
    sweep(input_grad_agrees::<T>);
}

fn linear_drawn<T: Real>() {
    proptest!(draws(256), |(case in cases())| {
        forward_agrees::<T>(case);
        input_grad_agrees::<T>(case);
    });
}

/// Rows of `x` against rows of `W` in tiles: more of both than any tile has.
fn forward_tiles<T: Real>() {
    let like = Case::ordinary(Dims::new(0, 0, 0), 1);
    for batch in 0..=9 {
        for outputs in 0..=14 {
            for inputs in [5, 16, 21, 40] {
                forward_agrees::<T>(Case { dims: Dims::new(batch, outputs, inputs), ..like });
            }
        }
    }
}

/// Long rows, gone through some columns at a time, for fewer and more tiles than are at once.
fn forward_long_rows<T: Real>() {
    if cfg!(miri) {
        return;
    }
    for (batch, outputs, inputs) in [(5, 9, 2047), (6, 9, 2048), (17, 19, 3100), (60, 9, 4099)] {
        for weighted in [false, true] {
            let like = Case::ordinary(Dims::new(batch, outputs, inputs), inputs as u64);
            forward_agrees::<T>(Case { weighted, ..like });
        }
    }
}

/// Products that vanish leave -0 in every lane, and lanes beyond the last input must not make it +0:
/// added to a -0, the sum shows it.
fn vanishing_products_keep_their_sign<T: Real>() {
    let (x, weight) = (T::from_bits(1), -T::from_bits(1));
    for inputs in 16..=50 {
        let dims = Dims::new(2, 7, inputs);
        let (x, weight) = (vec![x; 2 * inputs], vec![weight; 7 * inputs]);
        let mut want = [T::NEG_ZERO; 14];
        reference::forward(dims, &x, &weight, None, Start::Resume, &mut want).expect("lengths fit");
        assert!(want.iter().all(|y| y.same(T::NEG_ZERO)), "the plain loops keep it: {want:?}");
        for_each_isa(|isa| {
            let mut got = [T::NEG_ZERO; 14];
            forward(isa, dims, &x, &weight, None, Start::Resume, &mut got).expect("lengths fit");
            let place = Place { kernel: "forward", isa: isa.name(), case: &dims };
            assert_bits(place, "y", &got, &want);
        });
    }
}

for_both_types!(
    forward_swept,
    input_grad_swept,
    linear_drawn,
    forward_tiles,
    forward_long_rows,
    vanishing_products_keep_their_sign
);
