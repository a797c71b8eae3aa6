//! Per-example squared norms.
#![no_main]
use pergrad_core::{bias_sq_norms, reference, sq_norms};
use pergrad_fuzz::Source;
use pergrad_fuzz::support::{compare::agree, values::Real};

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
        |isa, [norms], _| sq_norms(isa, &batch, from, norms),
    );
    agree(
        "bias_sq_norms",
        (&label, case.seed),
        [s.output("sq_norms", case.dims.batch)],
        from,
        0,
        |[norms]| reference::bias_sq_norms(&batch, from, norms),
        |isa, [norms], _| bias_sq_norms(isa, &batch, from, norms),
    );
}
pergrad_fuzz::fuzz_both_types!(check);
