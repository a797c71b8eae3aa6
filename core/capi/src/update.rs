//! The optimizers in place over arrays, and the state that they keep.

use core::mem::MaybeUninit;

use pergrad_core::{AdamState, RmspropState, update_adam, update_momentum, update_rmsprop};

use crate::args::Args;
use crate::error::Refused;
use crate::{
    pergrad_adam_coeffs, pergrad_isa, pergrad_momentum_coeffs, pergrad_non_finite,
    pergrad_rmsprop_coeffs,
};

/// What RMSProp keeps between steps: arrays like the parameters, updated in place. They start as zeros,
/// exp_avg_sq as `initial_exp_avg_sq` of the configuration.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct pergrad_rmsprop_state<T> {
    /// Running average of the second moment.
    pub exp_avg_sq: *mut T,
    /// Elements of `exp_avg_sq`.
    pub exp_avg_sq_len: usize,
    /// Running average of the gradient if centered, else NULL.
    pub exp_avg: *mut T,
    /// Elements of `exp_avg`, or 0.
    pub exp_avg_len: usize,
    /// The momentum buffer if there is momentum, else NULL.
    pub momentum_buffer: *mut T,
    /// Elements of `momentum_buffer`, or 0.
    pub momentum_buffer_len: usize,
}

/// What Adam keeps between steps: arrays like the parameters, updated in place. They start as zeros.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct pergrad_adam_state<T> {
    /// Running average of the gradient.
    pub exp_avg: *mut T,
    /// Elements of `exp_avg`.
    pub exp_avg_len: usize,
    /// Running average of the second moment.
    pub exp_avg_sq: *mut T,
    /// Elements of `exp_avg_sq`.
    pub exp_avg_sq_len: usize,
    /// Its maximum so far with AMSGrad, else NULL.
    pub max_exp_avg_sq: *mut T,
    /// Elements of `max_exp_avg_sq`, or 0.
    pub max_exp_avg_sq_len: usize,
}

impl<'a> Args<'a> {
    pub(crate) fn rmsprop_state<T>(
        &mut self,
        state: *const pergrad_rmsprop_state<T>,
    ) -> Result<RmspropState<'a, T>, Refused>
    where
        T: Copy,
    {
        let c = self.structure("state", state)?;
        let buffer = (c.momentum_buffer, c.momentum_buffer_len);
        Ok(RmspropState {
            exp_avg_sq: self.output("exp_avg_sq", c.exp_avg_sq, c.exp_avg_sq_len)?,
            exp_avg: self.output("exp_avg", c.exp_avg, c.exp_avg_len)?,
            momentum_buffer: self.output("momentum_buffer", buffer.0, buffer.1)?,
        })
    }

    pub(crate) fn adam_state<T>(
        &mut self,
        state: *const pergrad_adam_state<T>,
    ) -> Result<AdamState<'a, T>, Refused>
    where
        T: Copy,
    {
        let c = self.structure("state", state)?;
        let max = (c.max_exp_avg_sq, c.max_exp_avg_sq_len);
        Ok(AdamState {
            exp_avg: self.output("exp_avg", c.exp_avg, c.exp_avg_len)?,
            exp_avg_sq: self.output("exp_avg_sq", c.exp_avg_sq, c.exp_avg_sq_len)?,
            max_exp_avg_sq: self.output("max_exp_avg_sq", max.0, max.1)?,
        })
    }
}

both! {
    ($T)
    /// One step of momentum, in place, from a gradient in memory; pergrad_momentum_config has the formula.
    ///
    /// params, momentum_buffer [n]: updated in place; the buffer is NULL for the plain form. grad [n]: the
    /// averaged gradient.
    fn pergrad_update_momentum_f32, pergrad_update_momentum_f64(
        isa: MaybeUninit<pergrad_isa>,
        coeffs: *const pergrad_momentum_coeffs<$T>,
        params: *mut $T,
        params_len: usize,
        grad: *const $T,
        grad_len: usize,
        momentum_buffer: *mut $T,
        momentum_buffer_len: usize,
        non_finite: MaybeUninit<pergrad_non_finite>,
    ) |args| {
        let coeffs = args.coeffs(coeffs)?;
        let params = args.output("params", params, params_len)?;
        let grad = args.input("grad", grad, grad_len)?;
        let buffer = args.output("momentum_buffer", momentum_buffer, momentum_buffer_len)?;
        let non_finite = args.non_finite(non_finite)?;
        update_momentum(args.isa(isa)?, &coeffs, params, grad, buffer, non_finite)?;
    }
}

both! {
    ($T)
    /// One step of RMSProp, in place, from a gradient in memory; pergrad_rmsprop_config has the formula.
    ///
    /// params and state [n]: updated in place. grad [n]: the averaged gradient. second_moment [n]: grad_sq,
    /// a variance, or NULL for the square of grad.
    fn pergrad_update_rmsprop_f32, pergrad_update_rmsprop_f64(
        isa: MaybeUninit<pergrad_isa>,
        coeffs: *const pergrad_rmsprop_coeffs<$T>,
        params: *mut $T,
        params_len: usize,
        grad: *const $T,
        grad_len: usize,
        second_moment: *const $T,
        second_moment_len: usize,
        state: *const pergrad_rmsprop_state<$T>,
        non_finite: MaybeUninit<pergrad_non_finite>,
    ) |args| {
        let coeffs = args.coeffs(coeffs)?;
        let params = args.output("params", params, params_len)?;
        let grad = args.input("grad", grad, grad_len)?;
        let second = args.optional("second_moment", second_moment, second_moment_len)?;
        let state = args.rmsprop_state(state)?;
        let non_finite = args.non_finite(non_finite)?;
        update_rmsprop(args.isa(isa)?, &coeffs, params, grad, second, state, non_finite)?;
    }
}

both! {
    ($T)
    /// One step of Adam or AdamW, in place, from a gradient in memory; pergrad_adam_config has the formula.
    ///
    /// The arguments are those of pergrad_update_rmsprop_f32(), with Adam's state.
    fn pergrad_update_adam_f32, pergrad_update_adam_f64(
        isa: MaybeUninit<pergrad_isa>,
        coeffs: *const pergrad_adam_coeffs<$T>,
        params: *mut $T,
        params_len: usize,
        grad: *const $T,
        grad_len: usize,
        second_moment: *const $T,
        second_moment_len: usize,
        state: *const pergrad_adam_state<$T>,
        non_finite: MaybeUninit<pergrad_non_finite>,
    ) |args| {
        let coeffs = args.coeffs(coeffs)?;
        let params = args.output("params", params, params_len)?;
        let grad = args.input("grad", grad, grad_len)?;
        let second = args.optional("second_moment", second_moment, second_moment_len)?;
        let state = args.adam_state(state)?;
        let non_finite = args.non_finite(non_finite)?;
        update_adam(args.isa(isa)?, &coeffs, params, grad, second, state, non_finite)?;
    }
}
