//! Per-example squared norms: every instruction set has the bits of the plain loops.

mod support;

use pergrad_core::{Dims, bias_sq_norms, reference, sq_norms};
use proptest::prelude::*;
use support::case::{Case, cases, sweep};
use support::compare::agree;
use support::values::Real;
use support::{LARGE, draws, for_both_types};

fn weight_agrees<T: Real>(case: Case) {
    let (inputs, from) = (case.inputs::<T>(), case.fold.start);
    let batch = inputs.batch();
    agree(
        "sq_norms",
        (&case, case.seed),
        [case.output::<T>("sq_norms", case.dims.batch)],
        from,
        0,
        |[norms]| reference::sq_norms(&batch, from, norms),
        |isa, [norms], _| sq_norms(isa, &batch, from, norms),
    );
}

fn bias_agrees<T: Real>(case: Case) {
    let (inputs, from) = (case.inputs::<T>(), case.fold.start);
    let batch = inputs.batch();
    agree(
        "bias_sq_norms",
        (&case, case.seed),
        [case.output::<T>("sq_norms", case.dims.batch)],
        from,
        0,
        |[norms]| reference::bias_sq_norms(&batch, from, norms),
        |isa, [norms], _| bias_sq_norms(isa, &batch, from, norms),
    );
}

fn weight_swept<T: Real>() {
    sweep(weight_agrees::<T>);
}

fn bias_swept<T: Real>() {
    sweep(bias_agrees::<T>);
}

fn drawn<T: Real>() {
    proptest!(draws(256), |(case in cases())| {
        weight_agrees::<T>(case);
        bias_agrees::<T>(case);
    });
}

/// Long sequences whose rows of `dy` lie half a page apart, which share a few sets of a cache: they may be copied.
fn colliding<T: Real>() {
    let half = 2048 / size_of::<T>();
    if LARGE {
        weight_agrees::<T>(Case::ordinary(Dims::new(2, half, 130).with_steps(33), 1));
    }
}

for_both_types!(colliding, weight_swept, bias_swept, drawn);
