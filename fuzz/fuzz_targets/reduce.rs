//! Sums over materialised rows, whole and in micro-batches.
#![no_main]
use pergrad_core::{reduce, reference};
use pergrad_fuzz::Source;
use pergrad_fuzz::support::{compare::agree, values::Real};

fn check<T: Real>(s: &mut Source<'_>) {
    // `x` with one step are the rows.
    let case = s.case::<T>();
    let n = case.dims.inputs * case.dims.steps;
    let rows = case.x.slice();
    agree(
        "reduce",
        (&case.label(), case.seed),
        [s.output("sum", n), s.output("sum_sq", n)],
        case.fold.start,
        0,
        |[sum, sq]| reference::reduce(rows, case.dims.batch, case.fold, sum, sq),
        |isa, [sum, sq], _| {
            case.pieces()
                .try_for_each(|(piece, fold)| reduce(isa, piece.x, piece.dims.batch, fold, sum, sq))
        },
    );
}
pergrad_fuzz::fuzz_both_types!(check);
