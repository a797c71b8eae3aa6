//! Per-example gradients: every instruction set has the bits of the plain loops.

mod support;

use pergrad_core::{Dims, per_example_grad, reference};
use proptest::prelude::*;
use support::case::{Case, cases, sweep};
use support::compare::{Place, agree, assert_bits};
use support::guard::{Guarded, LANES};
use support::isas::for_each_isa;
use support::values::Real;
use support::{draws, for_both_types};

fn agrees<T: Real>(case: Case) {
    let inputs = case.inputs::<T>();
    let batch = inputs.batch();
    agree(
        "per_example_grad",
        (&case, case.seed),
        [case.output::<T>("per_example_grad", case.dims.batch * case.weight_len())],
        pergrad_core::Start::Fresh,
        0,
        |[out]| reference::per_example_grad(&batch, out),
        |isa, [out], _| per_example_grad(isa, &batch, out),
    );
}

fn swept<T: Real>() {
    sweep(agrees::<T>);
}

fn drawn<T: Real>() {
    proptest!(draws(256), |(case in cases())| agrees::<T>(case));
}

/// Outputs of more than 32 MiB are streamed past the caches, which needs aligned stores: rows that
/// begin anywhere, shorter than a vector and longer, at every offset.
fn streamed<T: Real>() {
    let elements = (32 << 20) / size_of::<T>() + 1;
    for inputs in [3, 37, 1031] {
        let batch = elements.div_ceil(7 * inputs);
        let case = Case::ordinary(Dims::new(batch, 7, inputs), inputs as u64);
        let read = case.inputs::<T>();
        let mut want = vec![T::ZERO; batch * 7 * inputs];
        reference::per_example_grad(&read.batch(), &mut want).expect("lengths fit");
        for offset in [0, 1, 7, LANES] {
            for_each_isa(|isa| {
                let case = (case, offset);
                let place = Place { kernel: "per_example_grad", isa: isa.name(), case: &case };
                let mut got = Guarded::at(offset, &vec![T::nan(); want.len()]);
                per_example_grad(isa, &read.batch(), got.slice_mut()).expect("lengths fit");
                got.assert_intact(|| format!("{place:?}"));
                assert_bits(place, "per_example_grad", got.slice(), &want);
            });
        }
    }
}

for_both_types!(swept, drawn, streamed);
