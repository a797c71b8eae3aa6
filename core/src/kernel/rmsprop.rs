//! The rule of RMSProp: see [`RmspropConfig`](crate::RmspropConfig).

use super::rule::{Common, Ratio, Rule, average, load, put};
use crate::simd::Simd;
use crate::state::RmspropState;
use crate::{Element, RmspropCoeffs};

/// The arrays of RMSProp.
#[derive(Clone, Copy)]
pub struct RmspropArrays<T> {
    pub(crate) params: *mut T,
    pub(crate) exp_avg_sq: *mut T,
    pub(crate) exp_avg: *mut T,
    momentum_buffer: *mut T,
}

impl<T> RmspropArrays<T> {
    pub(crate) fn new(params: &mut [T], state: RmspropState<'_, T>) -> Self {
        RmspropArrays {
            params: params.as_mut_ptr(),
            exp_avg_sq: state.exp_avg_sq.as_mut_ptr(),
            exp_avg: state.exp_avg.as_mut_ptr(),
            momentum_buffer: state.momentum_buffer.as_mut_ptr(),
        }
    }
}

/// One step of RMSProp.
#[derive(Clone, Copy)]
pub(crate) struct Rmsprop<'a, T>(pub(crate) &'a RmspropCoeffs<T>, pub(crate) RmspropArrays<T>);

impl<T: Element> Rule<T> for Rmsprop<'_, T> {
    #[inline(always)]
    fn common(self) -> Common<T> {
        let Rmsprop(c, arrays) = self;
        Common {
            params: arrays.params,
            step: c.step,
            maximize: c.maximize,
            decay: c.decay,
            epsilon: [c.eps_inside, c.eps_outside],
        }
    }

    #[inline(always)]
    unsafe fn begin<S: Simd<T>, const TAIL: bool, const WRITE: bool, const SECOND: bool>(
        self,
        s: S,
        at: usize,
        n: usize,
        g: S::V,
        second: S::V,
    ) -> (Ratio<S::V>, u32) {
        let Rmsprop(c, arrays) = self;
        // SAFETY: at .. at + n is inside the arrays by contract; `exp_avg` is as long as the parameters if
        // it is used.
        unsafe {
            let sq = if SECOND { second } else { s.mul(g, g) };
            let sq_at = arrays.exp_avg_sq.add(at);
            let exp_avg_sq = average(s, c.alpha, sq, load::<T, S, TAIL>(s, sq_at, n));
            let mut finite = put::<T, S, TAIL, WRITE>(s, sq_at, n, exp_avg_sq);
            let mut v = s.mul(exp_avg_sq, s.splat(c.scale));
            if c.centered {
                let avg_at = arrays.exp_avg.add(at);
                let exp_avg = average(s, c.alpha, g, load::<T, S, TAIL>(s, avg_at, n));
                finite &= put::<T, S, TAIL, WRITE>(s, avg_at, n, exp_avg);
                let a = s.mul(exp_avg, s.splat(c.scale));
                v = s.max_or(s.splat(T::ZERO), s.fma(s.neg(a), a, v));
            }
            ((g, v), finite)
        }
    }

    #[inline(always)]
    unsafe fn direction<S: Simd<T>, const TAIL: bool, const WRITE: bool>(
        self,
        s: S,
        at: usize,
        n: usize,
        quotient: S::V,
    ) -> (S::V, u32) {
        let Rmsprop(c, arrays) = self;
        // SAFETY: at .. at + n is inside the arrays by contract; the momentum buffer is as long as the
        // parameters if it is used.
        unsafe {
            let mut finite = u32::MAX;
            let mut direction = s.mul(s.splat(c.gain), quotient);
            if c.momentum {
                let buffer_at = arrays.momentum_buffer.add(at);
                let beta = s.splat(c.beta);
                let buffer = s.fma(beta, load::<T, S, TAIL>(s, buffer_at, n), direction);
                finite = put::<T, S, TAIL, WRITE>(s, buffer_at, n, buffer);
                direction = if c.nesterov { s.fma(beta, buffer, direction) } else { buffer };
            }
            (direction, finite)
        }
    }
}
