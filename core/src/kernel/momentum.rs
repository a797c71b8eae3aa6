//! The rule of momentum, in its forms: see [`MomentumConfig`](crate::MomentumConfig).

use super::rule::{Common, Ratio, Rule, average, load, put};
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
    fn common(self) -> Common<T> {
        let Momentum(c, arrays) = self;
        Common {
            params: arrays.params,
            step: c.step,
            maximize: c.maximize,
            decay: c.decay,
            epsilon: [T::ZERO; 2],
        }
    }

    #[inline(always)]
    unsafe fn begin<S: Simd<T>, const TAIL: bool, const WRITE: bool, const SECOND: bool>(
        self,
        s: S,
        at: usize,
        n: usize,
        g: S::V,
        _second: S::V,
    ) -> (Ratio<S::V>, u32) {
        let Momentum(c, arrays) = self;
        if c.form == MomentumForm::Plain {
            return ((g, g), u32::MAX);
        }
        // SAFETY: at .. at + n is inside the arrays by contract; the buffer is as long as the
        // parameters wherever the form has one.
        let (buffer, finite) = unsafe {
            let buffer_at = arrays.buffer.add(at);
            let buffer = load::<T, S, TAIL>(s, buffer_at, n);
            let buffer = if c.form == MomentumForm::Sum {
                s.fma(s.splat(c.beta), buffer, s.mul(s.splat(c.gain), g))
            } else {
                average(s, c.alpha, g, buffer)
            };
            (buffer, put::<T, S, TAIL, WRITE>(s, buffer_at, n, buffer))
        };
        let direction = match (c.nesterov, c.form == MomentumForm::Sum) {
            (false, _) => buffer,
            (true, true) => s.fma(s.splat(c.beta), buffer, s.mul(s.splat(c.look_ahead), g)),
            (true, false) => average(s, c.alpha, g, buffer),
        };
        ((direction, direction), finite)
    }
}
