//! Per-example squared norms, whole and in micro-batches.
#![no_main]
use pergrad_core::{bias_sq_norms, reference, sq_norms};
use pergrad_fuzz::support::{compare::agree, values::Real};
use pergrad_fuzz::{Source, part};

fn check<T: Real>(s: &mut Source<'_>) {
    let case = s.case::<T>();
    let (batch, from, label) = (case.batch(), case.fold.start, case.label());
    agree(
        "sq_norms",
        (&label, case.seed),
        [s.output("sq_norms", case.dims.batch)],
        from,
        0,
        |[norms]| reference::sq_norms(&batch, from, norms),
        |isa, [norms], _| {
            case.parts().try_for_each(|(b, at)| sq_norms(isa, &b, from, part(norms, 1, at)))
        },
    );
    agree(
        "bias_sq_norms",
        (&label, case.seed),
        [s.output("sq_norms", case.dims.batch)],
        from,
        0,
        |[norms]| reference::bias_sq_norms(&batch, from, norms),
        |isa, [norms], _| {
            case.parts().try_for_each(|(b, at)| bias_sq_norms(isa, &b, from, part(norms, 1, at)))
        },
    );
}
pergrad_fuzz::fuzz_both_types!(check);
