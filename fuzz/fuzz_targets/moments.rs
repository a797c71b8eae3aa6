//! Gradients and moments of weight and bias, whole and in micro-batches.
#![no_main]
use pergrad_core::{bias_grad, bias_moments, grad, moments, reference};
use pergrad_fuzz::Source;
use pergrad_fuzz::support::{compare::agree, values::Real};

fn check<T: Real>(s: &mut Source<'_>) {
    let case = s.case::<T>();
    let (batch, fold, label) = (case.batch(), case.fold, case.label());
    let at = (&label as &dyn std::fmt::Debug, case.seed);
    let (n, outputs) = (case.weight_len(), case.dims.outputs);
    agree(
        "grad",
        at,
        [s.output("grad", n)],
        fold.start,
        case.scratch,
        |[g]| reference::grad(&batch, fold, g),
        |isa, [g], scratch| case.pieces().try_for_each(|(b, fold)| grad(isa, &b, fold, g, scratch)),
    );
    agree(
        "moments",
        at,
        [s.output("grad", n), s.output("grad_sq", n)],
        fold.start,
        case.scratch,
        |[g, sq]| reference::moments(&batch, fold, g, sq),
        |isa, [g, sq], scratch| {
            case.pieces().try_for_each(|(b, fold)| moments(isa, &b, fold, g, sq, scratch))
        },
    );
    agree(
        "bias_grad",
        at,
        [s.output("grad", outputs)],
        fold.start,
        0,
        |[g]| reference::bias_grad(&batch, fold, g),
        |isa, [g], _| case.pieces().try_for_each(|(b, fold)| bias_grad(isa, &b, fold, g)),
    );
    agree(
        "bias_moments",
        at,
        [s.output("grad", outputs), s.output("grad_sq", outputs)],
        fold.start,
        0,
        |[g, sq]| reference::bias_moments(&batch, fold, g, sq),
        |isa, [g, sq], _| {
            case.pieces().try_for_each(|(b, fold)| bias_moments(isa, &b, fold, g, sq))
        },
    );
}
pergrad_fuzz::fuzz_both_types!(check);
