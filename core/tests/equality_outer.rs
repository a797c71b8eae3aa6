//! Per-example gradients: every instruction set has the bits of the plain loops.

mod support;

use pergrad_core::{Dims, per_example_grad, reference};
use proptest::prelude::*;
use support::case::{Case, cases, sweep};
use support::compare::{Place, agree, assert_bits};
use support::guard::{Guarded, LANES};
use support::isas::for_each_isa;
use support::values::Real;
use support::{LARGE, draws, for_both_types};

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
        let dims = Dims::new(elements.div_ceil(7 * inputs), 7, inputs);
        streams_at::<T>(Case::ordinary(dims, inputs as u64), &[0, 1, 7, LANES]);
    }
}

/// The same of more than 64 MiB for sequences, if rows are whole cache lines.
fn streamed_sequences<T: Real>() {
    let elements = (64 << 20) / size_of::<T>() + 1;
    // A tall tile and a row; panels and a vector.
    let (outputs, inputs) = (13, 1040);
    let dims = Dims::new(elements.div_ceil(outputs * inputs), outputs, inputs).with_steps(2);
    streams_at::<T>(Case::ordinary(dims, 1), &[0, 1, LANES]);
}

/// Sequences whose rows lie a quarter of a page apart, which share a few sets of a cache: they may be copied on the stack,
/// all columns at once, or some with some of the rows of `dy`.
fn copied_sequences<T: Real>() {
    if !LARGE {
        return;
    }
    let quarter = 1024 / size_of::<T>();
    for (seed, dims) in [
        Dims::new(2, 259, quarter).with_steps(16),
        Dims::new(2, 261, 2 * quarter).with_steps(40),
        Dims::new(1, 2 * quarter, 3 * quarter).with_steps(65),
    ]
    .into_iter()
    .enumerate()
    {
        for weighted in [false, true] {
            agrees::<T>(Case { weighted, ..Case::ordinary(dims, seed as u64) });
        }
    }
}

fn streams_at<T: Real>(case: Case, offsets: &[usize]) {
    let read = case.inputs::<T>();
    let mut want = vec![T::ZERO; case.dims.batch * case.weight_len()];
    reference::per_example_grad(&read.batch(), &mut want).expect("lengths fit");
    for &offset in offsets {
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

for_both_types!(swept, drawn, copied_sequences, streamed, streamed_sequences);
