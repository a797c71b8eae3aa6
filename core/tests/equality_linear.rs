//! Forward product and input gradient: every instruction set has the bits of the plain loops.

mod support;

use pergrad_core::{Dims, forward, input_grad, reference};
use proptest::prelude::*;
use support::case::{Case, cases, sweep};
use support::compare::agree;
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

for_both_types!(forward_swept, input_grad_swept, linear_drawn, forward_tiles);
