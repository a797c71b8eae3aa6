//! Statistics and update of one layer in one sweep.

use core::mem::MaybeUninit;

use pergrad_core::{step_adam, step_momentum, step_rmsprop};

use crate::{
    pergrad_adam_coeffs, pergrad_adam_state, pergrad_isa, pergrad_layer_step,
    pergrad_momentum_coeffs, pergrad_part, pergrad_rmsprop_coeffs, pergrad_rmsprop_state,
};

both! {
    ($T)
    /// One step of momentum on a layer, its gradient never stored: the bits of pergrad_grad_f32() (or
    /// pergrad_bias_grad_f32()) followed by pergrad_update_momentum_f32().
    ///
    /// params: the weight [J, I] or the bias [J], by part, updated in place like the buffer, which is NULL
    /// for the plain form.
    fn pergrad_step_momentum_f32, pergrad_step_momentum_f64(
        isa: MaybeUninit<pergrad_isa>,
        layer: *const pergrad_layer_step<$T>,
        part: MaybeUninit<pergrad_part>,
        coeffs: *const pergrad_momentum_coeffs<$T>,
        params: *mut $T,
        params_len: usize,
        momentum_buffer: *mut $T,
        momentum_buffer_len: usize,
        scratch: *mut $T,
        scratch_len: usize,
    ) |args| {
        let part = args.part(part)?;
        let layer = args.layer(layer, part)?;
        let coeffs = args.coeffs(coeffs)?;
        let params = args.params(part, params, params_len)?;
        let buffer = args.output("momentum_buffer", momentum_buffer, momentum_buffer_len)?;
        let scratch = args.output("scratch", scratch, scratch_len)?;
        step_momentum(args.isa(isa)?, &layer, part, &coeffs, params, buffer, scratch)?;
    }
}

both! {
    ($T)
    /// One step of RMSProp on a layer, its gradients never stored: the bits of pergrad_moments_f32() (or, on
    /// the squared average, pergrad_grad_f32(); or their bias forms) followed by
    /// pergrad_update_rmsprop_f32().
    ///
    /// params: the weight [J, I] or the bias [J], by part, updated in place like the state.
    fn pergrad_step_rmsprop_f32, pergrad_step_rmsprop_f64(
        isa: MaybeUninit<pergrad_isa>,
        layer: *const pergrad_layer_step<$T>,
        part: MaybeUninit<pergrad_part>,
        coeffs: *const pergrad_rmsprop_coeffs<$T>,
        params: *mut $T,
        params_len: usize,
        state: *const pergrad_rmsprop_state<$T>,
        scratch: *mut $T,
        scratch_len: usize,
    ) |args| {
        let part = args.part(part)?;
        let layer = args.layer(layer, part)?;
        let coeffs = args.coeffs(coeffs)?;
        let params = args.params(part, params, params_len)?;
        let state = args.rmsprop_state(state)?;
        let scratch = args.output("scratch", scratch, scratch_len)?;
        step_rmsprop(args.isa(isa)?, &layer, part, &coeffs, params, state, scratch)?;
    }
}

both! {
    ($T)
    /// One step of Adam or AdamW on a layer, its gradients never stored: the bits of pergrad_moments_f32()
    /// (or, on the squared average, pergrad_grad_f32(); or their bias forms) followed by
    /// pergrad_update_adam_f32().
    ///
    /// params: the weight [J, I] or the bias [J], by part, updated in place like the state.
    fn pergrad_step_adam_f32, pergrad_step_adam_f64(
        isa: MaybeUninit<pergrad_isa>,
        layer: *const pergrad_layer_step<$T>,
        part: MaybeUninit<pergrad_part>,
        coeffs: *const pergrad_adam_coeffs<$T>,
        params: *mut $T,
        params_len: usize,
        state: *const pergrad_adam_state<$T>,
        scratch: *mut $T,
        scratch_len: usize,
    ) |args| {
        let part = args.part(part)?;
        let layer = args.layer(layer, part)?;
        let coeffs = args.coeffs(coeffs)?;
        let params = args.params(part, params, params_len)?;
        let state = args.adam_state(state)?;
        let scratch = args.output("scratch", scratch, scratch_len)?;
        step_adam(args.isa(isa)?, &layer, part, &coeffs, params, state, scratch)?;
    }
}
