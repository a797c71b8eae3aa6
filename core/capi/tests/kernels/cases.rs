//! The functions with their arguments, in C and in Rust.

use std::mem::MaybeUninit;

use pergrad_capi::pergrad_non_finite::*;
use pergrad_capi::pergrad_part::*;
use pergrad_capi::pergrad_second_moment::*;
use pergrad_capi::pergrad_start::*;
use pergrad_capi::*;
use pergrad_core as core;

use super::{Arg, Case, Pointers};

/// Distinct extents, none a multiple of a vector.
const DIMS: core::Dims = core::Dims { batch: 3, steps: 2, outputs: 5, inputs: 37 };
const X: usize = 3 * 2 * 37;
const DY: usize = 3 * 2 * 5;
const WEIGHT: usize = 5 * 37;

fn c_dims() -> pergrad_dims {
    let core::Dims { batch, steps, outputs, inputs } = DIMS;
    pergrad_dims { batch, steps, outputs, inputs }
}

/// The first three arrays as a batch.
fn c_batch<T>(p: &Pointers<T>) -> pergrad_batch<T> {
    pergrad_batch {
        dims: c_dims(),
        x: p[0].0,
        x_len: p[0].1,
        dy: p[1].0,
        dy_len: p[1].1,
        example_weights: p[2].0,
        example_weights_len: p[2].1,
    }
}

/// The first two as the batch that the bias sees.
fn c_bias_batch<T>(p: &Pointers<T>) -> pergrad_batch<T> {
    let x = (std::ptr::null_mut(), 77); // not looked at
    c_batch(&[x, p[0], p[1]])
}

fn c_layer<T>(batch: pergrad_batch<T>) -> pergrad_layer_step<T> {
    pergrad_layer_step {
        batch,
        scale: 0.25,
        second_moment: MaybeUninit::new(PERGRAD_SECOND_MOMENT_GRAD_SQ),
        non_finite: MaybeUninit::new(PERGRAD_NON_FINITE_REFUSE),
    }
}

fn c_rmsprop<T>(p: &Pointers<T>) -> pergrad_rmsprop_state<T> {
    pergrad_rmsprop_state {
        exp_avg_sq: p[0].0,
        exp_avg_sq_len: p[0].1,
        exp_avg: p[1].0,
        exp_avg_len: p[1].1,
        momentum_buffer: p[2].0,
        momentum_buffer_len: p[2].1,
    }
}

fn c_adam<T>(p: &Pointers<T>) -> pergrad_adam_state<T> {
    pergrad_adam_state {
        exp_avg: p[0].0,
        exp_avg_len: p[0].1,
        exp_avg_sq: p[1].0,
        exp_avg_sq_len: p[1].1,
        max_exp_avg_sq: p[2].0,
        max_exp_avg_sq_len: p[2].1,
    }
}

fn layer<'a, T: core::Element>(batch: core::Batch<'a, T>) -> core::LayerStep<'a, T> {
    core::LayerStep {
        scale: Some(0.25),
        non_finite: core::NonFinite::Refuse,
        ..core::LayerStep::mean(batch)
    }
}

fn batch<'a, T: core::Element>(x: &'a [T], dy: &'a [T], c: &'a [T]) -> core::Batch<'a, T> {
    core::Batch::new(DIMS, x, dy).with_example_weights(c)
}

/// Configurations with all the state that there is, the same on both sides.
fn rmsprop() -> (pergrad_rmsprop_config, core::RmspropConfig) {
    let mut c = MaybeUninit::uninit();
    // SAFETY: a place for it.
    let code = unsafe { pergrad_rmsprop_torch(0.01, c.as_mut_ptr(), std::ptr::null_mut()) };
    assert_eq!(code, pergrad_error::PERGRAD_OK);
    // SAFETY: filled.
    let mut c = unsafe { c.assume_init() };
    let by = MaybeUninit::new(pergrad_window_by::PERGRAD_WINDOW_BETA);
    (c.centered, c.has_momentum) = (MaybeUninit::new(true), MaybeUninit::new(true));
    c.momentum = pergrad_window { by, value: 0.9 };
    let mut rust = core::RmspropConfig::torch(0.01).expect("a preset");
    (rust.centered, rust.momentum) = (true, core::Window::from_beta(0.9).ok());
    (c, rust)
}

fn adam() -> (pergrad_adam_config, core::AdamConfig) {
    let mut c = MaybeUninit::uninit();
    // SAFETY: a place for it.
    let code = unsafe { pergrad_adam_torch(0.01, c.as_mut_ptr(), std::ptr::null_mut()) };
    assert_eq!(code, pergrad_error::PERGRAD_OK);
    // SAFETY: filled.
    let mut c = unsafe { c.assume_init() };
    c.amsgrad = MaybeUninit::new(pergrad_amsgrad::PERGRAD_AMSGRAD_UNCORRECTED);
    let mut rust = core::AdamConfig::torch(0.01).expect("a preset");
    rust.amsgrad = core::AmsGrad::Uncorrected;
    (c, rust)
}

fn momentum() -> (pergrad_momentum_config, core::MomentumConfig) {
    let mut c = MaybeUninit::uninit();
    // SAFETY: a place for it.
    let code = unsafe { pergrad_momentum_torch(0.01, 0.9, c.as_mut_ptr(), std::ptr::null_mut()) };
    assert_eq!(code, pergrad_error::PERGRAD_OK);
    // SAFETY: filled.
    (unsafe { c.assume_init() }, core::MomentumConfig::torch(0.01, 0.9).expect("a preset"))
}

fn read(name: &'static str, len: usize) -> Arg {
    Arg { name, len, written: false, optional: false }
}

fn optional(name: &'static str, len: usize) -> Arg {
    Arg { name, len, written: false, optional: true }
}

fn written(name: &'static str, len: usize) -> Arg {
    Arg { name, len, written: true, optional: false }
}

fn of_batch(others: impl IntoIterator<Item = Arg>) -> Vec<Arg> {
    let batch = [read("x", X), read("dy", DY), optional("example_weights", DIMS.batch)];
    batch.into_iter().chain(others).collect()
}

fn of_bias(others: impl IntoIterator<Item = Arg>) -> Vec<Arg> {
    let batch = [read("dy", DY), optional("example_weights", DIMS.batch)];
    batch.into_iter().chain(others).collect()
}

/// A call of a C function.
macro_rules! call {
    ($($call:tt)*) => {
        // SAFETY: arrays of the lengths that are told, or pointers and lengths that the function must
        // refuse before it touches them.
        unsafe { $($call)* }
    };
}

/// The table for one type, in a module of its own: `$c` names the C functions of that type.
macro_rules! cases {
    ($module:ident $T:ident $($c:ident = $function:ident,)*) => {
        pub(super) mod $module {
            use super::*;
            $(use pergrad_capi::$function as $c;)*

            type T = $T;

            fn case<const N: usize>(
                name: &'static str,
                args: Vec<Arg>,
                c: impl Fn(
                    MaybeUninit<pergrad_isa>,
                    [(*mut T, usize); N],
                    &Pointers<T>,
                    *mut pergrad_error_info,
                ) -> pergrad_error + 'static,
                rust: impl Fn(core::Isa, &mut [Vec<T>; N]) -> Result<(), core::Error> + 'static,
            ) -> Case<T> {
                assert_eq!(args.len(), N);
                Case {
                    name,
                    args,
                    c: Box::new(move |isa, p, info| c(isa, p.try_into().expect("N arrays"), p, info)),
                    rust: Box::new(move |isa, arrays| {
                        rust(isa, arrays.try_into().expect("N arrays")).expect("valid arguments");
                    }),
                }
            }

            /// The coefficients of step 3, by C and by Rust.
            macro_rules! coeffs {
                ($make:ident, $configs:expr) => {{
                    let (c, rust) = $configs;
                    let mut made = MaybeUninit::uninit();
                    // SAFETY: a configuration, and a place for the coefficients.
                    let code = unsafe { $make(&c, 3, made.as_mut_ptr(), std::ptr::null_mut()) };
                    assert_eq!(code, pergrad_error::PERGRAD_OK);
                    // SAFETY: filled.
                    (unsafe { made.assume_init() }, rust.step_coeffs::<T>(3).expect("consistent"))
                }};
            }

            pub(crate) fn all() -> Vec<Case<T>> {
                statistics().into_iter().chain(optimizers()).collect()
            }

            fn statistics() -> Vec<Case<T>> {
                let fresh = MaybeUninit::new(PERGRAD_START_FRESH);
                let resume = MaybeUninit::new(PERGRAD_START_RESUME);
                let fold = core::Fold::resume().scaled(0.5);
                vec![
                    case(
                        "forward",
                        vec![read("x", X), read("weight", WEIGHT), optional("bias", 5), written("y", DY)],
                        move |isa, [x, w, b, y], _, info| call! {
                            forward(isa, &c_dims(), x.0, x.1, w.0, w.1, b.0, b.1, resume, y.0, y.1, info)
                        },
                        |isa, [x, w, b, y]| {
                            core::forward(isa, DIMS, x, w, Some(b), core::Start::Resume, y)
                        },
                    ),
                    case(
                        "input_grad",
                        vec![read("dy", DY), read("weight", WEIGHT), written("dx", X)],
                        move |isa, [dy, w, dx], _, info| call! {
                            input_grad(isa, &c_dims(), dy.0, dy.1, w.0, w.1, resume, dx.0, dx.1, info)
                        },
                        |isa, [dy, w, dx]| core::input_grad(isa, DIMS, dy, w, core::Start::Resume, dx),
                    ),
                    case(
                        "per_example_grad",
                        of_batch([written("per_example_grad", 3 * WEIGHT)]),
                        |isa, [_, _, _, out], p, info| call! {
                            per_example_grad(isa, &c_batch(p), out.0, out.1, info)
                        },
                        |isa, [x, dy, c, out]| core::per_example_grad(isa, &batch(x, dy, c), out),
                    ),
                    case(
                        "reduce",
                        vec![read("rows", 3 * 37), written("sum", 37), written("sum_sq", 37)],
                        move |isa, [r, s, q], _, info| call! {
                            reduce(isa, r.0, r.1, 3, resume, 0.5, s.0, s.1, q.0, q.1, info)
                        },
                        move |isa, [r, s, q]| core::reduce(isa, r, 3, fold, s, q),
                    ),
                    case(
                        "grad",
                        of_batch([written("grad", WEIGHT), written("scratch", 4 * X)]),
                        move |isa, [_, _, _, g, s], p, info| call! {
                            grad(isa, &c_batch(p), resume, 0.5, g.0, g.1, s.0, s.1, info)
                        },
                        move |isa, [x, dy, c, g, s]| core::grad(isa, &batch(x, dy, c), fold, g, s),
                    ),
                    case(
                        "moments",
                        of_batch([
                            written("grad", WEIGHT),
                            written("grad_sq", WEIGHT),
                            written("scratch", 4 * X),
                        ]),
                        move |isa, [_, _, _, g, q, s], p, info| call! {
                            moments(isa, &c_batch(p), fresh, 1.0, g.0, g.1, q.0, q.1, s.0, s.1, info)
                        },
                        |isa, [x, dy, c, g, q, s]| {
                            core::moments(isa, &batch(x, dy, c), core::Fold::fresh(), g, q, s)
                        },
                    ),
                    case(
                        "bias_grad",
                        of_bias([written("grad", 5)]),
                        move |isa, [_, _, g], p, info| call! {
                            bias_grad(isa, &c_bias_batch(p), resume, 0.5, g.0, g.1, info)
                        },
                        move |isa, [dy, c, g]| core::bias_grad(isa, &batch(&[], dy, c), fold, g),
                    ),
                    case(
                        "bias_moments",
                        of_bias([written("grad", 5), written("grad_sq", 5)]),
                        move |isa, [_, _, g, q], p, info| call! {
                            bias_moments(isa, &c_bias_batch(p), resume, 0.5, g.0, g.1, q.0, q.1, info)
                        },
                        move |isa, [dy, c, g, q]| {
                            core::bias_moments(isa, &batch(&[], dy, c), fold, g, q)
                        },
                    ),
                    case(
                        "sq_norms",
                        of_batch([written("sq_norms", 3)]),
                        move |isa, [_, _, _, n], p, info| call! {
                            sq_norms(isa, &c_batch(p), resume, n.0, n.1, info)
                        },
                        |isa, [x, dy, c, n]| {
                            core::sq_norms(isa, &batch(x, dy, c), core::Start::Resume, n)
                        },
                    ),
                    case(
                        "bias_sq_norms",
                        of_bias([written("sq_norms", 3)]),
                        move |isa, [_, _, n], p, info| call! {
                            bias_sq_norms(isa, &c_bias_batch(p), fresh, n.0, n.1, info)
                        },
                        |isa, [dy, c, n]| {
                            core::bias_sq_norms(isa, &batch(&[], dy, c), core::Start::Fresh, n)
                        },
                    ),
                ]
            }

            fn optimizers() -> Vec<Case<T>> {
                const N: usize = 37;
                let (weight, bias) =
                    (MaybeUninit::new(PERGRAD_PART_WEIGHT), MaybeUninit::new(PERGRAD_PART_BIAS));
                let propagate = MaybeUninit::new(PERGRAD_NON_FINITE_PROPAGATE);
                let ignored = core::NonFinite::Propagate;
                let (m, m_rust) = coeffs!(momentum_coeffs, momentum());
                let (r, r_rust) = coeffs!(rmsprop_coeffs, rmsprop());
                let (a, a_rust) = coeffs!(adam_coeffs, adam());
                let buffer = |n| [written("momentum_buffer", n)];
                let of_rmsprop = |n| {
                    ["exp_avg_sq", "exp_avg", "momentum_buffer"].map(|name| written(name, n))
                };
                let of_adam =
                    |n| ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"].map(|name| written(name, n));
                let of_update = || [written("params", N), read("grad", N), optional("second_moment", N)];
                let scratch = || [written("scratch", 4 * X)];
                let of_step = || of_batch([written("weight", WEIGHT)]).into_iter();
                vec![
                    case(
                        "update_momentum",
                        [written("params", N), read("grad", N)].into_iter().chain(buffer(N)).collect(),
                        move |isa, [p, g, b], _, info| call! {
                            update_momentum(isa, &m, p.0, p.1, g.0, g.1, b.0, b.1, propagate, info)
                        },
                        move |isa, [p, g, b]| core::update_momentum(isa, &m_rust, p, g, b, ignored),
                    ),
                    case(
                        "update_rmsprop",
                        of_update().into_iter().chain(of_rmsprop(N)).collect(),
                        move |isa, [p, g, s, ..]: [_; 6], all, info| call! {
                            let state = c_rmsprop(&all[3..]);
                            update_rmsprop(
                                isa, &r, p.0, p.1, g.0, g.1, s.0, s.1, &state, propagate, info)
                        },
                        move |isa, [p, g, s, exp_avg_sq, exp_avg, momentum_buffer]| {
                            let state = core::RmspropState { exp_avg_sq, exp_avg, momentum_buffer };
                            core::update_rmsprop(isa, &r_rust, p, g, Some(s), state, ignored)
                        },
                    ),
                    case(
                        "update_adam",
                        of_update().into_iter().chain(of_adam(N)).collect(),
                        move |isa, [p, g, s, ..]: [_; 6], all, info| call! {
                            let state = c_adam(&all[3..]);
                            update_adam(isa, &a, p.0, p.1, g.0, g.1, s.0, s.1, &state, propagate, info)
                        },
                        move |isa, [p, g, s, exp_avg, exp_avg_sq, max_exp_avg_sq]| {
                            let state = core::AdamState { exp_avg, exp_avg_sq, max_exp_avg_sq };
                            core::update_adam(isa, &a_rust, p, g, Some(s), state, ignored)
                        },
                    ),
                    case(
                        "step_momentum",
                        of_step().chain(buffer(WEIGHT)).chain(scratch()).collect(),
                        move |isa, [_, _, _, p, b, s], all, info| call! {
                            let layer = c_layer(c_batch(all));
                            step_momentum(isa, &layer, weight, &m, p.0, p.1, b.0, b.1, s.0, s.1, info)
                        },
                        move |isa, [x, dy, c, p, b, s]| {
                            let layer = layer(batch(x, dy, c));
                            core::step_momentum(isa, &layer, core::Part::Weight, &m_rust, p, b, s)
                        },
                    ),
                    case(
                        "step_rmsprop",
                        of_step().chain(of_rmsprop(WEIGHT)).chain(scratch()).collect(),
                        move |isa, [_, _, _, p, _, _, _, s], all, info| call! {
                            let (layer, state) = (c_layer(c_batch(all)), c_rmsprop(&all[4..]));
                            step_rmsprop(isa, &layer, weight, &r, p.0, p.1, &state, s.0, s.1, info)
                        },
                        move |isa, [x, dy, c, p, exp_avg_sq, exp_avg, momentum_buffer, s]| {
                            let state = core::RmspropState { exp_avg_sq, exp_avg, momentum_buffer };
                            let layer = layer(batch(x, dy, c));
                            core::step_rmsprop(isa, &layer, core::Part::Weight, &r_rust, p, state, s)
                        },
                    ),
                    case(
                        "step_adam",
                        of_step().chain(of_adam(WEIGHT)).chain(scratch()).collect(),
                        move |isa, [_, _, _, p, _, _, _, s], all, info| call! {
                            let (layer, state) = (c_layer(c_batch(all)), c_adam(&all[4..]));
                            step_adam(isa, &layer, weight, &a, p.0, p.1, &state, s.0, s.1, info)
                        },
                        move |isa, [x, dy, c, p, exp_avg, exp_avg_sq, max_exp_avg_sq, s]| {
                            let state = core::AdamState { exp_avg, exp_avg_sq, max_exp_avg_sq };
                            let layer = layer(batch(x, dy, c));
                            core::step_adam(isa, &layer, core::Part::Weight, &a_rust, p, state, s)
                        },
                    ),
                    case(
                        "step_adam",
                        of_bias([written("bias", 5)]).into_iter().chain(of_adam(5)).collect(),
                        move |isa, [_, _, p, ..]: [_; 6], all, info| call! {
                            let (layer, state) = (c_layer(c_bias_batch(all)), c_adam(&all[3..]));
                            step_adam(
                                isa, &layer, bias, &a, p.0, p.1, &state, std::ptr::null_mut(), 0, info)
                        },
                        move |isa, [dy, c, p, exp_avg, exp_avg_sq, max_exp_avg_sq]| {
                            let state = core::AdamState { exp_avg, exp_avg_sq, max_exp_avg_sq };
                            let layer = layer(batch(&[], dy, c));
                            core::step_adam(isa, &layer, core::Part::Bias, &a_rust, p, state, &mut [])
                        },
                    ),
                ]
            }
        }
    };
}

cases! {
    single f32
    forward = pergrad_forward_f32,
    input_grad = pergrad_input_grad_f32,
    per_example_grad = pergrad_per_example_grad_f32,
    reduce = pergrad_reduce_f32,
    grad = pergrad_grad_f32,
    moments = pergrad_moments_f32,
    bias_grad = pergrad_bias_grad_f32,
    bias_moments = pergrad_bias_moments_f32,
    sq_norms = pergrad_sq_norms_f32,
    bias_sq_norms = pergrad_bias_sq_norms_f32,
    momentum_coeffs = pergrad_momentum_step_coeffs_f32,
    rmsprop_coeffs = pergrad_rmsprop_step_coeffs_f32,
    adam_coeffs = pergrad_adam_step_coeffs_f32,
    update_momentum = pergrad_update_momentum_f32,
    update_rmsprop = pergrad_update_rmsprop_f32,
    update_adam = pergrad_update_adam_f32,
    step_momentum = pergrad_step_momentum_f32,
    step_rmsprop = pergrad_step_rmsprop_f32,
    step_adam = pergrad_step_adam_f32,
}

cases! {
    double f64
    forward = pergrad_forward_f64,
    input_grad = pergrad_input_grad_f64,
    per_example_grad = pergrad_per_example_grad_f64,
    reduce = pergrad_reduce_f64,
    grad = pergrad_grad_f64,
    moments = pergrad_moments_f64,
    bias_grad = pergrad_bias_grad_f64,
    bias_moments = pergrad_bias_moments_f64,
    sq_norms = pergrad_sq_norms_f64,
    bias_sq_norms = pergrad_bias_sq_norms_f64,
    momentum_coeffs = pergrad_momentum_step_coeffs_f64,
    rmsprop_coeffs = pergrad_rmsprop_step_coeffs_f64,
    adam_coeffs = pergrad_adam_step_coeffs_f64,
    update_momentum = pergrad_update_momentum_f64,
    update_rmsprop = pergrad_update_rmsprop_f64,
    update_adam = pergrad_update_adam_f64,
    step_momentum = pergrad_step_momentum_f64,
    step_rmsprop = pergrad_step_rmsprop_f64,
    step_adam = pergrad_step_adam_f64,
}
