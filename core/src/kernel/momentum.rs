//! The rule of momentum, in its forms: see [`MomentumConfig`](crate::MomentumConfig).

use super::rule::{Rule, average, decayed, load, put};
use crate::simd::Simd;
use crate::{Element, MomentumCoeffs, MomentumForm};

/// The arrays of momentum.
#[derive(Clone, Copy)]
pub struct MomentumArrays<T> {
    pub(crate) params: *mut T,
    pub(crate) buffer: *mut T,
}

impl<T> MomentumArrays<T> {
    pub(crate) fn new(params: &mut [T], buffer: &mut [T]) -> Self {
        MomentumArrays { params: params.as_mut_ptr(), buffer: buffer.as_mut_ptr() }
    }
}

/// One step of momentum.
#[derive(Clone, Copy)]
pub(crate) struct Momentum<'a, T>(pub(crate) &'a MomentumCoeffs<T>, pub(crate) MomentumArrays<T>);

impl<T: Element> Rule<T> for Momentum<'_, T> {
    const SECOND: bool = false;

    #[inline(always)]
    unsafe fn vector<
        S: Simd<T>,
        const TAIL: bool,
        const WRITE: bool,
        const SECOND: bool,
        const ALONE: bool,
    >(
        self,
        s: S,
        at: usize,
        n: usize,
        grad: S::V,
        _second: S::V,
    ) -> u32 {
        let Momentum(c, arrays) = self;
        // SAFETY: at .. at + n is inside the arrays by contract; the buffer is as long as the
        // parameters wherever the form has one.
        unsafe {
            let p_at = arrays.params.add(at);
            let (p, g) = decayed(s, c.maximize, c.decay, load::<T, S, TAIL>(s, p_at, n), grad);
            let mut finite = u32::MAX;
            let direction = if c.form == MomentumForm::Plain {
                g
            } else {
                let buffer_at = arrays.buffer.add(at);
                let mut buffer = load::<T, S, TAIL>(s, buffer_at, n);
                let sum = c.form == MomentumForm::Sum;
                buffer = if sum {
                    s.fma(s.splat(c.beta), buffer, s.mul(s.splat(c.gain), g))
                } else {
                    average(s, c.alpha, g, buffer)
                };
                finite &= put::<T, S, TAIL, WRITE>(s, buffer_at, n, buffer);
                match (c.nesterov, sum) {
                    (false, _) => buffer,
                    (true, true) => s.fma(s.splat(c.beta), buffer, s.mul(s.splat(c.look_ahead), g)),
                    (true, false) => average(s, c.alpha, g, buffer),
                }
            };
            let p = s.fma(s.splat(-c.step), direction, p);
            finite & put::<T, S, TAIL, WRITE>(s, p_at, n, p)
        }
    }
}
