//! Gradients and moments of weight and bias: every instruction set has the bits of the plain loops.

mod support;

use pergrad_core::{bias_grad, bias_moments, grad, moments, reference};
use proptest::prelude::*;
use support::case::{Case, cases, sweep};
use support::compare::agree;
use support::values::Real;
use support::{draws, for_both_types};

fn grad_agrees<T: Real>(case: Case) {
    let (inputs, fold) = (case.inputs::<T>(), case.fold);
    let batch = inputs.batch();
    agree(
        "grad",
        (&case, case.seed),
        [case.output::<T>("grad", case.weight_len())],
        fold.start,
        case.scratch_len(),
        |[g]| reference::grad(&batch, fold, g),
        |isa, [g], scratch| grad(isa, &batch, fold, g, scratch),
    );
}

fn moments_agree<T: Real>(case: Case) {
    let (inputs, fold) = (case.inputs::<T>(), case.fold);
    let (batch, n) = (inputs.batch(), case.weight_len());
    agree(
        "moments",
        (&case, case.seed),
        [case.output::<T>("grad", n), case.output::<T>("grad_sq", n)],
        fold.start,
        case.scratch_len(),
        |[g, sq]| reference::moments(&batch, fold, g, sq),
        |isa, [g, sq], scratch| moments(isa, &batch, fold, g, sq, scratch),
    );
}

fn bias_grad_agrees<T: Real>(case: Case) {
    let (inputs, fold) = (case.inputs::<T>(), case.fold);
    let batch = inputs.batch();
    agree(
        "bias_grad",
        (&case, case.seed),
        [case.output::<T>("grad", case.dims.outputs)],
        fold.start,
        0,
        |[g]| reference::bias_grad(&batch, fold, g),
        |isa, [g], _| bias_grad(isa, &batch, fold, g),
    );
}

fn bias_moments_agree<T: Real>(case: Case) {
    let (inputs, fold) = (case.inputs::<T>(), case.fold);
    let (batch, n) = (inputs.batch(), case.dims.outputs);
    agree(
        "bias_moments",
        (&case, case.seed),
        [case.output::<T>("grad", n), case.output::<T>("grad_sq", n)],
        fold.start,
        0,
        |[g, sq]| reference::bias_moments(&batch, fold, g, sq),
        |isa, [g, sq], _| bias_moments(isa, &batch, fold, g, sq),
    );
}

fn grad_swept<T: Real>() {
    sweep(grad_agrees::<T>);
}

fn moments_swept<T: Real>() {
    sweep(moments_agree::<T>);
}

fn bias_swept<T: Real>() {
    sweep(|case| {
        bias_grad_agrees::<T>(case);
        bias_moments_agree::<T>(case);
    });
}

fn drawn<T: Real>() {
    proptest!(draws(256), |(case in cases())| {
        grad_agrees::<T>(case);
        moments_agree::<T>(case);
        bias_grad_agrees::<T>(case);
        bias_moments_agree::<T>(case);
    });
}

for_both_types!(grad_swept, moments_swept, bias_swept, drawn);
