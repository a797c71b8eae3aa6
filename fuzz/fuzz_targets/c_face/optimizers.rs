//! Updates and layer steps, with coefficients that were made, or not.

use std::mem::MaybeUninit;

use pergrad_capi::*;
use pergrad_core::{
    AdamConfig, AdamState, AmsGrad, LayerStep, NonFinite, Part, RmspropConfig, RmspropState,
    SecondMoment,
};
use pergrad_fuzz::support::values::Real;

use super::arrays::Use::{self, Optional, Read, Scratch, Written};
use super::caller::Caller;
use super::config;
use super::layer::*;

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

/// The two functions of an optimizer: with the gradient in memory, or with a layer.
pub fn momentum<T: Real>(c: &mut Caller<'_, '_>) {
    let Some(made) = config::momentum::<T>(c) else { return };
    let used = |n: u128| if made.config.has_buffer() { n } else { 0 };
    let coeffs = made.c;
    if c.source.flag() {
        let ((isa, rust), n, (on, non_finite)) = (c.isa(), length(c), c.choice(&NON_FINITE));
        let a = c.arrays::<T, _>([(Written, n), (Read, n), (Written, used(n))]);
        let coeffs = lend_coeffs!(c, T, coeffs);
        let ([p, g, b], info) = (a.c, c.info());
        let code = call!(T: pergrad_update_momentum_f32 | pergrad_update_momentum_f64(
            isa, coeffs.cast(), p.0.cast(), p.1, g.0.cast(), g.1, b.0.cast(), b.1, on, info
        ));
        return c.judge(code, &a, |[p, g, b]| {
            pergrad_core::update_momentum(rust, &made.rust, to(p), of(g), to(b), non_finite)
        });
    }
    let (isa, rust) = c.isa();
    let l = Layer::draw(c);
    let [x, dy, w] = seen(&l.extents, l.part);
    let a = c.arrays::<T, _>([x, dy, w, (Written, l.n), (Written, used(l.n)), l.scratch()]);
    let (layer, coeffs) = (l.lend(c, &a.c), lend_coeffs!(c, T, coeffs));
    let ([.., p, b, s], info) = (a.c, c.info());
    let code = call!(T: pergrad_step_momentum_f32 | pergrad_step_momentum_f64(
        isa, layer.cast(), l.c_part, coeffs.cast(), p.0.cast(), p.1, b.0.cast(), b.1, s.0.cast(), s.1, info
    ));
    c.judge(code, &a, |[x, dy, w, p, b, s]| {
        let layer = l.of(x, dy, w);
        pergrad_core::step_momentum(rust, &layer, l.part, &made.rust, to(p), to(b), to(s))
    });
}

/// The rest of an optimizer with a state of three arrays: its two functions in C, in Rust.
macro_rules! optimizer {
    (
        $name:ident, $uses:expr, $c_state:ident, $state:ident { $($field:ident, $len:ident: $k:literal,)* },
        $update:ident, $update_single:ident, $update_double:ident,
        $step:ident, $step_single:ident, $step_double:ident
    ) => {
        pub fn $name<T: Real>(c: &mut Caller<'_, '_>) {
            let Some(made) = config::$name::<T>(c) else { return };
            let uses: [bool; 3] = $uses(&made.config);
            let state = |n| uses.map(|used| (Written, if used { n } else { 0 }));
            let coeffs = made.c;
            let c_state = |a: &[(*mut T, usize)]| $c_state { $($field: a[$k].0, $len: a[$k].1,)* };
            if c.source.flag() {
                let ((isa, rust), n, (on, non_finite)) = (c.isa(), length(c), c.choice(&NON_FINITE));
                let [k, l, m] = state(n);
                let a = c.arrays::<T, _>([(Written, n), (Read, n), (Optional, n), k, l, m]);
                let (coeffs, state) = (lend_coeffs!(c, T, coeffs), c.lend(c_state(&a.c[3..])));
                let ([p, g, s, ..], info) = (a.c, c.info());
                let code = call!(T: $update_single | $update_double(
                    isa, coeffs.cast(), p.0.cast(), p.1, g.0.cast(), g.1, s.0.cast(), s.1, state.cast(),
                    on, info
                ));
                return c.judge(code, &a, |[p, g, s, state @ ..]| {
                    let [$($field),*] = state.each_mut().map(to);
                    let state = $state { $($field),* };
                    let second = s.as_deref();
                    pergrad_core::$update(rust, &made.rust, to(p), of(g), second, state, non_finite)
                });
            }
            let (isa, rust) = c.isa();
            let layer = Layer::draw(c);
            let ([x, dy, w], [k, l, m]) = (seen(&layer.extents, layer.part), state(layer.n));
            let a = c.arrays::<T, _>([x, dy, w, (Written, layer.n), k, l, m, layer.scratch()]);
            let c_layer = layer.lend(c, &a.c);
            let (coeffs, state) = (lend_coeffs!(c, T, coeffs), c.lend(c_state(&a.c[4..])));
            let ([_, _, _, p, .., s], info) = (a.c, c.info());
            let code = call!(T: $step_single | $step_double(
                isa, c_layer.cast(), layer.c_part, coeffs.cast(), p.0.cast(), p.1, state.cast(),
                s.0.cast(), s.1, info
            ));
            c.judge(code, &a, |[x, dy, w, p, state @ .., s]| {
                let [$($field),*] = state.each_mut().map(to);
                let (lent, state) = (layer.of(x, dy, w), $state { $($field),* });
                pergrad_core::$step(rust, &lent, layer.part, &made.rust, to(p), state, to(s))
            });
        }
    };
}

optimizer!(
    rmsprop,
    |c: &RmspropConfig| [true, c.centered, c.momentum.is_some()],
    pergrad_rmsprop_state,
    RmspropState {
        exp_avg_sq,
        exp_avg_sq_len: 0,
        exp_avg,
        exp_avg_len: 1,
        momentum_buffer,
        momentum_buffer_len: 2,
    },
    update_rmsprop,
    pergrad_update_rmsprop_f32,
    pergrad_update_rmsprop_f64,
    step_rmsprop,
    pergrad_step_rmsprop_f32,
    pergrad_step_rmsprop_f64
);
optimizer!(
    adam,
    |c: &AdamConfig| [true, true, c.amsgrad != AmsGrad::Off],
    pergrad_adam_state,
    AdamState {
        exp_avg,
        exp_avg_len: 0,
        exp_avg_sq,
        exp_avg_sq_len: 1,
        max_exp_avg_sq,
        max_exp_avg_sq_len: 2,
    },
    update_adam,
    pergrad_update_adam_f32,
    pergrad_update_adam_f64,
    step_adam,
    pergrad_step_adam_f32,
    pergrad_step_adam_f64
);

fn length(c: &mut Caller<'_, '_>) -> u128 {
    let most = c.source.pick(&[40, 700]);
    c.source.upto(most) as u128
}

/// What a layer step steps on.
struct Layer {
    extents: Extents,
    part: Part,
    c_part: MaybeUninit<pergrad_part>,
    /// Parameters of the part.
    n: u128,
    scale: f64,
    second: (MaybeUninit<pergrad_second_moment>, SecondMoment),
    non_finite: (MaybeUninit<pergrad_non_finite>, NonFinite),
}

impl Layer {
    fn draw(c: &mut Caller<'_, '_>) -> Self {
        let extents = Extents::draw(c);
        let (c_part, part) = c.choice(&[Part::Weight, Part::Bias]);
        let n = if part == Part::Bias { extents.0.outputs as u128 } else { extents.weight() };
        let second = c.choice(&[SecondMoment::GradSq, SecondMoment::SquaredGrad]);
        let (scale, non_finite) = (scale(c), c.choice(&NON_FINITE));
        Layer { extents, part, c_part, n, scale, second, non_finite }
    }

    fn scratch(&self) -> (Use, u128) {
        (Scratch, pergrad_core::scratch_len(self.extents.0) as u128)
    }

    fn lend<T>(&self, c: &mut Caller<'_, '_>, a: &[(*mut T, usize)]) -> *mut pergrad_layer_step<T> {
        let batch = batch(c, &self.extents, self.part, a);
        let (second_moment, non_finite) = (self.second.0, self.non_finite.0);
        c.lend(pergrad_layer_step { batch, scale: self.scale, second_moment, non_finite })
    }

    fn of<'a, T: Real>(&self, x: &'a Own<T>, dy: &'a Own<T>, w: &'a Own<T>) -> LayerStep<'a, T> {
        let batch = batch_of(self.extents.0, x, dy, w);
        let scale = Some(self.scale);
        LayerStep { batch, scale, second: self.second.1, non_finite: self.non_finite.1 }
    }
}
