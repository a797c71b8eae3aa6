//! Sums over materialised rows: every instruction set has the bits of the plain loops.

mod support;

use pergrad_core::{Dims, reduce, reference};
use proptest::prelude::*;
use support::case::{Case, cases, sweep};
use support::compare::agree;
use support::values::Real;
use support::{draws, for_both_types};

/// Reduces `[B, n]` rows, `n` being the inputs.
fn agrees<T: Real>(case: Case) {
    let Dims { batch, inputs: n, .. } = case.dims;
    let (rows, fold) = (case.guarded::<T>("rows", batch * n), case.fold);
    let rows = rows.slice();
    agree(
        "reduce",
        (&case, case.seed),
        [case.output::<T>("sum", n), case.output::<T>("sum_sq", n)],
        fold.start,
        0,
        |[sum, sum_sq]| reference::reduce(rows, batch, fold, sum, sum_sq),
        |isa, [sum, sum_sq], _| reduce(isa, rows, batch, fold, sum, sum_sq),
    );
}

fn swept<T: Real>() {
    sweep(agrees::<T>);
}

fn drawn<T: Real>() {
    proptest!(draws(512), |(case in cases())| agrees::<T>(case));
}

/// Columns are walked in blocks of some kilobytes: rows around one and two blocks, and beyond.
fn blocks<T: Real>() {
    let block = (4 << 10) / size_of::<T>();
    for n in [block - 1, block, block + 1, 2 * block + 13, 5 * block - 3] {
        for batch in [0, 1, 6] {
            agrees::<T>(Case::ordinary(Dims::new(batch, 1, n), n as u64));
        }
    }
    // More than 8 MiB: wide blocks, eight rows at a time, then four, then one.
    agrees::<T>(Case::ordinary(Dims::new(13, 1, (5 << 17) / size_of::<T>() + 3), 13));
}

for_both_types!(swept, drawn, blocks);
