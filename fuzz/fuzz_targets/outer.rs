//! Per-example gradients, whole and in micro-batches.
#![no_main]
use pergrad_core::{Start, per_example_grad, reference};
use pergrad_fuzz::support::{compare::agree, values::Real};
use pergrad_fuzz::{Source, part};

fn check<T: Real>(s: &mut Source<'_>) {
    let case = s.case::<T>();
    let batch = case.batch();
    agree(
        "per_example_grad",
        (&case.label(), case.seed),
        [s.output("per_example_grad", case.dims.batch * case.weight_len())],
        Start::Fresh,
        0,
        |[out]| reference::per_example_grad(&batch, out),
        |isa, [out], _| {
            let width = case.weight_len();
            case.parts().try_for_each(|(b, at)| per_example_grad(isa, &b, part(out, width, at)))
        },
    );
}
pergrad_fuzz::fuzz_both_types!(check);
