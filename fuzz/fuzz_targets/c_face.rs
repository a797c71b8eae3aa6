//! The C face: every function with whatever C can pass. A call returns an error that it has a reason for and
//! writes nothing, or gives the bits of the Rust function; no access is beside what was lent.
#![no_main]

use std::ffi::{CStr, c_void};
use std::mem::MaybeUninit;
use std::ptr::without_provenance_mut;

use pergrad_capi::*;
use pergrad_core::{
    AdamConfig, AdamState, AmsGrad, Batch, Dims, Fold, LayerStep, NonFinite, Part, RmspropConfig,
    RmspropState, SecondMoment, Start, self_test,
};
use pergrad_fuzz::Source;
use pergrad_fuzz::support::values::Real;

/// A call of a C function, or of one of two by the element type.
macro_rules! call {
    ($T:ident: $single:ident | $double:ident $args:tt) => {
        if size_of::<$T>() == size_of::<f32>() { call!($single $args) } else { call!($double $args) }
    };
    ($function:ident($($arg:expr),* $(,)?)) => {
        // SAFETY: what is lent has the sizes that are told, or must be refused before it is touched.
        unsafe { $function($($arg),*) }
    };
}

/// Coefficients as they were made, or memory that holds none: any bits, or those of others.
macro_rules! lend_coeffs {
    ($c:ident, $T:ident, $coeffs:ident) => {{
        let mut coeffs = $coeffs;
        if $c.odd(1) != 0 {
            coeffs.opaque =
                std::array::from_fn(|_| MaybeUninit::new($T::from_bits($c.source.any())));
            let flipped = coeffs.made ^ (4 ^ 8) as u32; // of the other element type
            let of_others = [*b"\x91mom", *b"\x92rms", *b"\x93ada"];
            let of_other = u32::from_be_bytes($c.source.pick(&of_others)) ^ size_of::<$T>() as u32;
            let any = $c.source.any();
            let made = $c.source.pick(&[flipped, of_other, 0, u32::MAX, any]);
            // What says that it was made, but was not, is the caller's fault.
            coeffs.made = if made == coeffs.made { !made } else { made };
            $c.refusals.push(pergrad_error::PERGRAD_ERROR_COEFFS);
        }
        $c.lend(coeffs)
    }};
}

#[path = "c_face/caller.rs"]
mod caller;
#[path = "c_face/config.rs"]
mod config;
#[path = "c_face/optimizers.rs"]
mod optimizers;
use caller::Caller;
use caller::Use::{self, Optional, Read, Scratch, Unseen, Written};

const STARTS: [Start; 2] = [Start::Fresh, Start::Resume];
const NON_FINITE: [NonFinite; 2] = [NonFinite::Propagate, NonFinite::Refuse];

/// Extents as they come, or with some that no memory holds.
struct Extents(Dims);

impl Extents {
    fn draw(c: &mut Caller<'_, '_>) -> Self {
        let mut extents = [5, 2, 9, 40].map(|most| c.source.upto(most));
        let huge = [1 << 31, 1 << 32, 1 << 61, isize::MAX as usize, usize::MAX, c.source.any()];
        for extent in &mut extents {
            if c.wrong && c.source.upto(7) == 1 {
                *extent = c.source.pick(&huge);
            }
        }
        let [batch, steps, outputs, inputs] = extents;
        Extents(Dims { batch, steps, outputs, inputs })
    }

    fn c(&self) -> pergrad_dims {
        let Dims { batch, steps, outputs, inputs } = self.0;
        pergrad_dims { batch, steps, outputs, inputs }
    }

    fn x(&self) -> u128 {
        product([self.0.batch, self.0.steps, self.0.inputs])
    }

    fn y(&self) -> u128 {
        product([self.0.batch, self.0.steps, self.0.outputs])
    }

    fn batch(&self) -> u128 {
        self.0.batch as u128
    }

    fn weight(&self) -> u128 {
        product([self.0.outputs, self.0.inputs])
    }
}

fn product<const N: usize>(extents: [usize; N]) -> u128 {
    extents.into_iter().fold(1, |all, n| all.saturating_mul(n as u128))
}

/// What a layer saw: x, dy and example weights.
fn seen(e: &Extents, part: Part) -> [(Use, u128); 3] {
    let x = if part == Part::Bias { Unseen } else { Read };
    [(x, e.x()), (Read, e.y()), (Optional, e.batch())]
}

/// The same as a structure; where x is not looked at, it points to nothing.
fn batch<T>(
    c: &mut Caller<'_, '_>,
    e: &Extents,
    part: Part,
    a: &[(*mut T, usize)],
) -> pergrad_batch<T> {
    let nowhere = (without_provenance_mut(c.source.any()), c.source.any());
    let x = if part == Part::Bias { nowhere } else { a[0] };
    pergrad_batch {
        dims: e.c(),
        x: x.0,
        x_len: x.1,
        dy: a[1].0,
        dy_len: a[1].1,
        example_weights: a[2].0,
        example_weights_len: a[2].1,
    }
}

type Own<T> = Option<Vec<T>>;

fn batch_of<'a, T: Real>(dims: Dims, x: &'a Own<T>, dy: &'a Own<T>, c: &'a Own<T>) -> Batch<'a, T> {
    Batch { example_weights: c.as_deref(), ..Batch::new(dims, of(x), of(dy)) }
}

fn of<T>(array: &Own<T>) -> &[T] {
    array.as_deref().expect("not left out")
}

fn to<T>(array: &mut Own<T>) -> &mut [T] {
    array.as_deref_mut().expect("not left out")
}

fn fold(c: &mut Caller<'_, '_>) -> (MaybeUninit<pergrad_start>, f64, Fold) {
    let (c_start, start) = c.choice(&STARTS);
    let scale = scale(c);
    (c_start, scale, Fold { start, scale: Some(scale) })
}

fn scale(c: &mut Caller<'_, '_>) -> f64 {
    let scale = c.source.real();
    if scale == 0.0 {
        c.refusals.push(pergrad_error::PERGRAD_ERROR_HYPER);
    }
    scale
}

fn forward<T: Real>(c: &mut Caller<'_, '_>) {
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

fn input_grad<T: Real>(c: &mut Caller<'_, '_>) {
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

fn per_example_grad<T: Real>(c: &mut Caller<'_, '_>) {
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

fn reduce<T: Real>(c: &mut Caller<'_, '_>) {
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
fn grad<T: Real>(c: &mut Caller<'_, '_>) {
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
fn moments<T: Real>(c: &mut Caller<'_, '_>) {
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
fn sq_norms<T: Real>(c: &mut Caller<'_, '_>) {
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

/// A part of a layer, and how many parameters it has.
fn part(c: &mut Caller<'_, '_>, e: &Extents) -> (Part, u128) {
    match c.source.flag() {
        false => (Part::Weight, e.weight()),
        true => (Part::Bias, e.0.outputs as u128),
    }
}

/// Functions on the bias alone take none.
fn scratch(e: &Extents, part: Part) -> (Use, u128) {
    if part == Part::Bias { (Unseen, 0) } else { (Scratch, pergrad_core::scratch_len(e.0) as u128) }
}

/// What needs no arrays, and the self-test.
fn others<T: Real>(c: &mut Caller<'_, '_>) {
    let (isa, rust) = c.isa();
    let e = Extents::draw(c);
    assert_eq!(pergrad_scratch_len(e.c()), pergrad_core::scratch_len(e.0));
    let known = c.refusals.is_empty();
    assert_eq!(pergrad_isa_available(isa), known);
    let (code, _) = c.choice(&[(); 14]);
    for text in [pergrad_isa_name(isa), pergrad_error_message(code), pergrad_version()] {
        // SAFETY: never NULL, and ends with NUL.
        assert!(!unsafe { CStr::from_ptr(text) }.is_empty());
    }
    c.refusals.clear();
    if c.source.upto(9) != 9 {
        return config::length(c);
    }
    let (isa, rust) = if known { (isa, rust) } else { c.isa() };
    let a = c.arrays::<T, 1>([(Written, PERGRAD_SELF_TEST_MEMORY as u128)]);
    if a.huge.is_some() {
        return; // More than it needs is right, and nobody has it.
    }
    let ([memory], info, mut reports) = (a.c, c.info(), 0usize);
    let context = (&raw mut reports).cast::<c_void>();
    let code = call!(T: pergrad_self_test_f32 | pergrad_self_test_f64(
        isa, memory.0.cast(), memory.1, Some(count), context, info
    ));
    let mut checks = 0;
    c.judge(code, &a, |[memory]| {
        self_test::self_test(rust, to(memory), |check| {
            assert!(check.passed());
            checks += 1;
        })
        .map(|_| ())
    });
    assert_eq!(reports, checks);
}

unsafe extern "C" fn count(_: *const pergrad_check, context: *mut c_void) {
    // SAFETY: it is the counter's.
    unsafe { *context.cast::<usize>() += 1 }
}

fn check<T: Real>(source: &mut Source<'_>) {
    let functions: [fn(&mut Caller<'_, '_>); 11] = [
        forward::<T>,
        input_grad::<T>,
        per_example_grad::<T>,
        reduce::<T>,
        grad::<T>,
        moments::<T>,
        sq_norms::<T>,
        others::<T>,
        optimizers::momentum::<T>,
        optimizers::rmsprop::<T>,
        optimizers::adam::<T>,
    ];
    source.pick(&functions)(&mut Caller::new(source));
}
pergrad_fuzz::fuzz_both_types!(check);
