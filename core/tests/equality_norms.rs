//! Per-example squared norms: every instruction set has the bits of the plain loops.

mod support;

use pergrad_core::{bias_sq_norms, reference, sq_norms};
use proptest::prelude::*;
use support::case::{Case, cases, sweep};
use support::compare::agree;
use support::values::Real;
use support::{draws, for_both_types};

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

for_both_types!(weight_swept, bias_swept, drawn);
