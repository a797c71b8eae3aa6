//! The kernels of a layer, and the reduction of rows.

use pergrad_capi::*;
use pergrad_core::Part;
use pergrad_fuzz::support::values::Real;

use super::arrays::Use::{Optional, Read, Written};
use super::caller::Caller;
use super::layer::*;

pub fn forward<T: Real>(c: &mut Caller<'_, '_>) {
    let ((isa, rust), e, (start, from)) = (c.isa(), Extents::draw(c), c.choice(&STARTS));
    let bias = (Optional, e.0.outputs as u128);
    let a = c.arrays::<T, _>([(Read, e.x()), (Read, e.weight()), bias, (Written, e.y())]);
    let ([x, w, b, y], dims, info) = (a.c, c.lend(e.c()), c.info());
    let code = call!(T: pergrad_forward_f32 | pergrad_forward_f64(
        isa, dims, x.0.cast(), x.1, w.0.cast(), w.1, b.0.cast(), b.1, start, y.0.cast(), y.1, info
    ));
    c.judge(code, &a, |[x, w, b, y]| {
        pergrad_core::forward(rust, e.0, of(x), of(w), b.as_deref(), from, to(y))
    });
}

pub fn input_grad<T: Real>(c: &mut Caller<'_, '_>) {
    let ((isa, rust), e, (start, from)) = (c.isa(), Extents::draw(c), c.choice(&STARTS));
    let a = c.arrays::<T, _>([(Read, e.y()), (Read, e.weight()), (Written, e.x())]);
    let ([dy, w, dx], dims, info) = (a.c, c.lend(e.c()), c.info());
    let code = call!(T: pergrad_input_grad_f32 | pergrad_input_grad_f64(
        isa, dims, dy.0.cast(), dy.1, w.0.cast(), w.1, start, dx.0.cast(), dx.1, info
    ));
    c.judge(code, &a, |[dy, w, dx]| {
        pergrad_core::input_grad(rust, e.0, of(dy), of(w), from, to(dx))
    });
}

pub fn per_example_grad<T: Real>(c: &mut Caller<'_, '_>) {
    let ((isa, rust), e) = (c.isa(), Extents::draw(c));
    let [x, dy, weights] = seen(&e, Part::Weight);
    let need = product([e.0.batch, e.0.outputs, e.0.inputs]);
    let a = c.arrays::<T, _>([x, dy, weights, (Written, need)]);
    let b = batch(c, &e, Part::Weight, &a.c);
    let (b, info, [.., g]) = (c.lend(b), c.info(), a.c);
    let code = call!(T: pergrad_per_example_grad_f32 | pergrad_per_example_grad_f64(
        isa, b.cast(), g.0.cast(), g.1, info
    ));
    c.judge(code, &a, |[x, dy, w, g]| {
        pergrad_core::per_example_grad(rust, &batch_of(e.0, x, dy, w), to(g))
    });
}

pub fn reduce<T: Real>(c: &mut Caller<'_, '_>) {
    let ((isa, rust), e, (start, scale, fold)) = (c.isa(), Extents::draw(c), fold(c));
    let (n, rows) = (e.0.inputs as u128, product([e.0.batch, e.0.inputs]));
    let a = c.arrays::<T, _>([(Read, rows), (Written, n), (Written, n)]);
    let ([r, s, q], info) = (a.c, c.info());
    // So many rows are right for a sum of another length, and nobody has them.
    if a.huge == Some(0) && r.1 as u128 == product([e.0.batch, s.1]) {
        return;
    }
    let code = call!(T: pergrad_reduce_f32 | pergrad_reduce_f64(
        isa, r.0.cast(), r.1, e.0.batch, start, scale, s.0.cast(), s.1, q.0.cast(), q.1, info
    ));
    c.judge(code, &a, |[r, s, q]| pergrad_core::reduce(rust, of(r), e.0.batch, fold, to(s), to(q)));
}

/// The gradient alone, of the weight or the bias.
pub fn grad<T: Real>(c: &mut Caller<'_, '_>) {
    let ((isa, rust), e, (start, scale, fold)) = (c.isa(), Extents::draw(c), fold(c));
    let (part, n) = part(c, &e);
    let [x, dy, weights] = seen(&e, part);
    let a = c.arrays::<T, _>([x, dy, weights, (Written, n), scratch(&e, part)]);
    let b = batch(c, &e, part, &a.c);
    let (b, info, [.., g, s]) = (c.lend(b), c.info(), a.c);
    let code = match part {
        Part::Weight => call!(T: pergrad_grad_f32 | pergrad_grad_f64(
            isa, b.cast(), start, scale, g.0.cast(), g.1, s.0.cast(), s.1, info
        )),
        Part::Bias => call!(T: pergrad_bias_grad_f32 | pergrad_bias_grad_f64(
            isa, b.cast(), start, scale, g.0.cast(), g.1, info
        )),
    };
    c.judge(code, &a, |[x, dy, w, g, s]| {
        let batch = batch_of(e.0, x, dy, w);
        match part {
            Part::Weight => pergrad_core::grad(rust, &batch, fold, to(g), to(s)),
            Part::Bias => pergrad_core::bias_grad(rust, &batch, fold, to(g)),
        }
    });
}

/// The moments, of the weight or the bias.
pub fn moments<T: Real>(c: &mut Caller<'_, '_>) {
    let ((isa, rust), e, (start, scale, fold)) = (c.isa(), Extents::draw(c), fold(c));
    let (part, n) = part(c, &e);
    let [x, dy, weights] = seen(&e, part);
    let a = c.arrays::<T, _>([x, dy, weights, (Written, n), (Written, n), scratch(&e, part)]);
    let b = batch(c, &e, part, &a.c);
    let (b, info, [.., g, q, s]) = (c.lend(b), c.info(), a.c);
    let code = match part {
        Part::Weight => call!(T: pergrad_moments_f32 | pergrad_moments_f64(
            isa, b.cast(), start, scale, g.0.cast(), g.1, q.0.cast(), q.1, s.0.cast(), s.1, info
        )),
        Part::Bias => call!(T: pergrad_bias_moments_f32 | pergrad_bias_moments_f64(
            isa, b.cast(), start, scale, g.0.cast(), g.1, q.0.cast(), q.1, info
        )),
    };
    c.judge(code, &a, |[x, dy, w, g, q, s]| {
        let batch = batch_of(e.0, x, dy, w);
        match part {
            Part::Weight => pergrad_core::moments(rust, &batch, fold, to(g), to(q), to(s)),
            Part::Bias => pergrad_core::bias_moments(rust, &batch, fold, to(g), to(q)),
        }
    });
}

/// The squared norms, of the weight or the bias.
pub fn sq_norms<T: Real>(c: &mut Caller<'_, '_>) {
    let ((isa, rust), e, (start, from)) = (c.isa(), Extents::draw(c), c.choice(&STARTS));
    let part = part(c, &e).0;
    let [x, dy, weights] = seen(&e, part);
    let a = c.arrays::<T, _>([x, dy, weights, (Written, e.batch())]);
    let b = batch(c, &e, part, &a.c);
    let (b, info, [.., n]) = (c.lend(b), c.info(), a.c);
    let code = match part {
        Part::Weight => call!(T: pergrad_sq_norms_f32 | pergrad_sq_norms_f64(
            isa, b.cast(), start, n.0.cast(), n.1, info
        )),
        Part::Bias => call!(T: pergrad_bias_sq_norms_f32 | pergrad_bias_sq_norms_f64(
            isa, b.cast(), start, n.0.cast(), n.1, info
        )),
    };
    c.judge(code, &a, |[x, dy, w, n]| {
        let batch = batch_of(e.0, x, dy, w);
        match part {
            Part::Weight => pergrad_core::sq_norms(rust, &batch, from, to(n)),
            Part::Bias => pergrad_core::bias_sq_norms(rust, &batch, from, to(n)),
        }
    });
}
