//! Forward product and input gradient, whole and in micro-batches.
#![no_main]
use pergrad_core::{forward, input_grad, reference};
use pergrad_fuzz::support::{compare::agree, values::Real};
use pergrad_fuzz::{Source, part};

fn check<T: Real>(s: &mut Source<'_>) {
    let case = s.case::<T>();
    let (dims, from, label) = (case.dims, case.fold.start, case.label());
    let (x, dy) = (case.x.slice(), case.dy.slice());
    let weight = s.guarded::<T>(case.weight_len());
    let weight = weight.slice();
    let bias = s.flag().then(|| s.guarded::<T>(dims.outputs));
    let bias = bias.as_ref().map(|bias| bias.slice());
    agree(
        "forward",
        (&label, case.seed),
        [s.output("y", dy.len())],
        from,
        0,
        |[y]| reference::forward(dims, x, weight, bias, from, y),
        |isa, [y], _| {
            case.parts().try_for_each(|(b, at)| {
                let y = part(y, dims.steps * dims.outputs, at);
                forward(isa, b.dims, b.x, weight, bias, from, y)
            })
        },
    );
    agree(
        "input_grad",
        (&label, case.seed),
        [s.output("dx", x.len())],
        from,
        0,
        |[dx]| reference::input_grad(dims, dy, weight, from, dx),
        |isa, [dx], _| {
            case.parts().try_for_each(|(b, at)| {
                let dx = part(dx, dims.steps * dims.inputs, at);
                input_grad(isa, b.dims, b.dy, weight, from, dx)
            })
        },
    );
}
pergrad_fuzz::fuzz_both_types!(check);
