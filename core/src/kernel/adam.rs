//! The rule of Adam and its kin: see [`AdamConfig`](crate::AdamConfig).

use super::rule::{Common, Ratio, Rule, average, load, put};
use crate::optim::DecayCoeff;
use crate::simd::{AdamLoop, Simd};
use crate::state::AdamState;
use crate::{AdamCoeffs, AmsGrad, Element};

/// The arrays of Adam.
#[derive(Clone, Copy)]
pub struct AdamArrays<T> {
    pub(crate) params: *mut T,
    pub(crate) exp_avg: *mut T,
    pub(crate) exp_avg_sq: *mut T,
    max_exp_avg_sq: *mut T,
}

impl<T> AdamArrays<T> {
    pub(crate) fn new(params: &mut [T], state: AdamState<'_, T>) -> Self {
        AdamArrays {
            params: params.as_mut_ptr(),
            exp_avg: state.exp_avg.as_mut_ptr(),
            exp_avg_sq: state.exp_avg_sq.as_mut_ptr(),
            max_exp_avg_sq: state.max_exp_avg_sq.as_mut_ptr(),
        }
    }
}

/// One step of Adam.
#[derive(Clone, Copy)]
pub(crate) struct Adam<'a, T>(pub(crate) &'a AdamCoeffs<T>, pub(crate) AdamArrays<T>);

impl<T: Element> Rule<T> for Adam<'_, T> {
    #[inline(always)]
    fn common(self) -> Common<T> {
        let Adam(c, arrays) = self;
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
        let Adam(c, arrays) = self;
        // SAFETY: at .. at + n is inside the arrays by contract; `max_exp_avg_sq` is as long as the
        // parameters with AMSGrad.
        unsafe {
            let sq = if SECOND { second } else { s.mul(g, g) };
            let avg_at = arrays.exp_avg.add(at);
            let exp_avg = average(s, c.alpha, g, load::<T, S, TAIL>(s, avg_at, n));
            let mut finite = put::<T, S, TAIL, WRITE>(s, avg_at, n, exp_avg);
            let sq_at = arrays.exp_avg_sq.add(at);
            let exp_avg_sq = average(s, c.alpha_sq, sq, load::<T, S, TAIL>(s, sq_at, n));
            finite &= put::<T, S, TAIL, WRITE>(s, sq_at, n, exp_avg_sq);
            let scale = s.splat(c.scale_sq);
            let v = if c.amsgrad == AmsGrad::Off {
                s.mul(exp_avg_sq, scale)
            } else {
                let max_at = arrays.max_exp_avg_sq.add(at);
                let max = load::<T, S, TAIL>(s, max_at, n);
                let corrected = c.amsgrad == AmsGrad::Corrected;
                let candidate = if corrected { s.mul(exp_avg_sq, scale) } else { exp_avg_sq };
                let max = s.max_or(max, candidate);
                finite &= put::<T, S, TAIL, WRITE>(s, max_at, n, max);
                if corrected { max } else { s.mul(max, scale) }
            };
            let direction = if c.nesterov {
                s.fma(s.splat(c.gain_avg), exp_avg, s.mul(s.splat(c.gain_grad), g))
            } else {
                exp_avg
            };
            ((direction, v), finite)
        }
    }

    #[inline(always)]
    unsafe fn by_loop<S: Simd<T>>(
        self,
        at: usize,
        n: usize,
        grad: *const T,
        second: *const T,
    ) -> bool {
        let Adam(c, arrays) = self;
        let (Some(loops), Some(c)) = (S::LOOPS, c.plain()) else { return false };
        let (decayed, minus_decay) = match c.decay {
            DecayCoeff::Decoupled(d) => (1, -d),
            _ => (0, T::ZERO), // plain: not coupled
        };
        // SAFETY: at .. at + n is inside the arrays by contract.
        unsafe {
            (loops.adam)(&AdamLoop {
                n,
                params: arrays.params.add(at),
                exp_avg: arrays.exp_avg.add(at),
                exp_avg_sq: arrays.exp_avg_sq.add(at),
                grad,
                second,
                decayed,
                alpha: c.alpha,
                alpha_sq: c.alpha_sq,
                scale_sq: c.scale_sq,
                eps_inside: c.eps_inside,
                eps_outside: c.eps_outside,
                minus_step: -c.step,
                minus_decay,
            });
        }
        true
    }
}
