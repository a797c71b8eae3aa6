//! How one vector of parameters is updated: the rules of the optimizers, and the loop that drives them.
//!
//! The formulas stand operation by operation in [`crate::reference`]. What differs between conventions
//! (epsilon, warm-up, bias correction) is in the coefficients; what is left is a handful of switches
//! that hold for a whole call.

use super::plan::{CACHES, FAR};
use super::stages::{self, Ratio, Staged};
use crate::optim::DecayCoeff;
use crate::simd::{AdamLoop, Simd};
use crate::state::{AdamState, RmspropState};
use crate::{AdamCoeffs, AmsGrad, Element, MomentumCoeffs, MomentumForm, RmspropCoeffs};

/// How one vector of parameters is updated.
pub(crate) trait Rule<T: Element>: Copy {
    /// Whether it takes a second moment at all.
    const SECOND: bool = true;

    /// Updates parameters `at .. at + n` by their gradient and second moment (the square of the
    /// gradient unless `SECOND`). Stores only if `WRITE`; else returns the lanes in which all
    /// results are finite. `ALONE` if nothing but the divider is busy.
    ///
    /// # Safety
    /// The elements are inside the arrays; `n` is `LANES`, or less if `TAIL`.
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
        second: S::V,
    ) -> u32;

    /// Updates and stores parameters `at .. at + n`, as many as go in one go, and tells how many: by a loop of the
    /// backend's, or, if the run is `LONG` and the coefficients plain, several vectors at a time.
    ///
    /// # Safety
    /// The elements are inside the arrays, their gradients readable, and their second moments if `SECOND`.
    #[inline(always)]
    unsafe fn stretch<S: Simd<T>, const SECOND: bool, const LONG: bool>(
        self,
        _s: S,
        _at: usize,
        _n: usize,
        _grad: *const T,
        _second: *const T,
    ) -> usize {
        0
    }
}

/// Parameters to update: `rows` stretches of `n`, `stride` apart, from `at` on.
#[derive(Clone, Copy)]
pub struct Run<T> {
    pub(crate) at: usize,
    pub(crate) stride: usize,
    pub(crate) rows: usize,
    pub(crate) n: usize,
    /// Their gradients, the rows `grad_stride` apart.
    pub(crate) grad: *const T,
    /// Their second moments, laid out like `grad`; null for the square of the gradient.
    pub(crate) second: *const T,
    pub(crate) grad_stride: usize,
    /// Whether to store. Else the lowest index with a result that is not finite is the error.
    pub(crate) write: bool,
}

/// Updates what `run` says; `LONG` if it is and the coefficients are plain.
///
/// # Safety
/// The parameters are inside the rule's arrays, and their gradients readable.
#[inline(always)]
unsafe fn run_rows<T: Element, S: Simd<T>, R: Rule<T>, const LONG: bool>(
    s: S,
    rule: R,
    run: &Run<T>,
) -> Result<(), usize> {
    // SAFETY: by contract.
    unsafe {
        // From afar it is the loads that count: fewer instructions between them, and more are on their way.
        let near = run.rows.saturating_mul(run.n) < FAR / size_of::<T>();
        // (A root and a quotient of 16 lanes take 22 cycles of Intel's divider, 16 of Zen 4's and 7 of Zen 5's.)
        let alone = S::ROOTS && s.intel() && R::SECOND && near;
        match (run.write, run.second.is_null()) {
            (true, true) if alone => rows::<T, S, R, true, false, true, LONG>(s, rule, run),
            (true, false) if alone => rows::<T, S, R, true, true, true, LONG>(s, rule, run),
            (true, true) => rows::<T, S, R, true, false, false, LONG>(s, rule, run),
            (true, false) => rows::<T, S, R, true, true, false, LONG>(s, rule, run),
            (false, true) => rows::<T, S, R, false, false, false, LONG>(s, rule, run),
            (false, false) => rows::<T, S, R, false, true, false, LONG>(s, rule, run),
        }
    }
}

/// The loops of [`run_rows`]: `ALONE` if nothing but the divider is busy, `LONG` if runs are and coefficients are plain.
///
/// # Safety
/// As [`run_rows`]; there is a second moment if `SECOND`.
#[inline(always)]
unsafe fn rows<
    T,
    S,
    R,
    const WRITE: bool,
    const SECOND: bool,
    const ALONE: bool,
    const LONG: bool,
>(
    s: S,
    rule: R,
    run: &Run<T>,
) -> Result<(), usize>
where
    T: Element,
    S: Simd<T>,
    R: Rule<T>,
{
    for r in 0..run.rows {
        let at = run.at + r * run.stride;
        // SAFETY: k + LANES <= n, then the rest.
        unsafe {
            let grad = run.grad.add(r * run.grad_stride);
            let second = run.second.wrapping_add(r * run.grad_stride);
            let mut k = 0;
            if WRITE && !ALONE {
                k = rule.stretch::<S, SECOND, LONG>(s, at, run.n, grad, second);
            }
            while k + S::LANES <= run.n {
                let g = s.load(grad.add(k));
                let sq = if SECOND { s.load(second.add(k)) } else { g };
                let finite =
                    rule.vector::<S, false, WRITE, SECOND, ALONE>(s, at + k, S::LANES, g, sq);
                if !WRITE && finite.trailing_ones() < S::LANES as u32 {
                    return Err(at + k + finite.trailing_ones() as usize);
                }
                k += S::LANES;
            }
            if k < run.n {
                let rest = run.n - k;
                let g = s.load_first(grad.add(k), rest, T::ZERO);
                let sq = if SECOND { s.load_first(second.add(k), rest, T::ZERO) } else { g };
                let finite = rule.vector::<S, true, WRITE, SECOND, ALONE>(s, at + k, rest, g, sq);
                if !WRITE && finite.trailing_ones() < rest as u32 {
                    return Err(at + k + finite.trailing_ones() as usize);
                }
            }
        }
    }
    Ok(())
}

/// # Safety
/// `n` elements of `p` are readable; `n` is `LANES`, or less if `TAIL`.
#[inline(always)]
pub(super) unsafe fn load<T: Element, S: Simd<T>, const TAIL: bool>(
    s: S,
    p: *const T,
    n: usize,
) -> S::V {
    // SAFETY: by contract.
    unsafe { if TAIL { s.load_first(p, n, T::ZERO) } else { s.load(p) } }
}

/// Stores if `WRITE`; else tells in which lanes the value is finite.
///
/// # Safety
/// `n` elements of `p` are writable; `n` is `LANES`, or less if `TAIL`.
#[inline(always)]
unsafe fn put<T: Element, S: Simd<T>, const TAIL: bool, const WRITE: bool>(
    s: S,
    p: *mut T,
    n: usize,
    v: S::V,
) -> u32 {
    if !WRITE {
        return s.finite(v);
    }
    // SAFETY: by contract.
    unsafe { if TAIL { s.store_first(p, n, v) } else { s.store(p, v) } }
    u32::MAX
}

/// The parameter with its decay, and the gradient with its sign and decay.
#[inline(always)]
fn decayed<T: Element, S: Simd<T>>(
    s: S,
    maximize: bool,
    decay: DecayCoeff<T>,
    p: S::V,
    g: S::V,
) -> (S::V, S::V) {
    let g = if maximize { s.neg(g) } else { g };
    match decay {
        DecayCoeff::None => (p, g),
        DecayCoeff::Coupled(d) => (p, s.fma(s.splat(d), p, g)),
        DecayCoeff::Decoupled(d) => (s.fma(s.splat(-d), p, p), g),
    }
}

/// `avg = fma(alpha, x - avg, avg)`, or `x` where `alpha = 1`.
#[inline(always)]
fn average<T: Element, S: Simd<T>>(s: S, alpha: T, x: S::V, avg: S::V) -> S::V {
    if alpha == T::ONE { x } else { s.fma(s.splat(alpha), s.sub(x, avg), avg) }
}

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
        second: S::V,
    ) -> u32 {
        // SAFETY: by contract.
        unsafe { stages::one::<T, S, _, TAIL, WRITE, SECOND, ALONE>(s, self, at, n, grad, second) }
    }

    #[inline(always)]
    unsafe fn stretch<S: Simd<T>, const SECOND: bool, const LONG: bool>(
        self,
        s: S,
        at: usize,
        n: usize,
        grad: *const T,
        second: *const T,
    ) -> usize {
        // SAFETY: by contract.
        unsafe { stages::together::<T, S, _, SECOND, LONG>(s, self, at, n, grad, second) }
    }
}

impl<T: Element> Staged<T> for Rmsprop<'_, T> {
    #[inline(always)]
    fn params(self) -> *mut T {
        self.1.params
    }

    #[inline(always)]
    fn epsilon(self) -> (T, T) {
        (self.0.eps_inside, self.0.eps_outside)
    }

    #[inline(always)]
    fn decayed<S: Simd<T>>(self, s: S, p: S::V, grad: S::V) -> (S::V, S::V) {
        decayed(s, self.0.maximize, self.0.decay, p, grad)
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
    unsafe fn finish<S: Simd<T>, const TAIL: bool, const WRITE: bool>(
        self,
        s: S,
        at: usize,
        n: usize,
        p: S::V,
        quotient: S::V,
    ) -> u32 {
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
            let p = s.fma(s.splat(-c.step), direction, p);
            finite & put::<T, S, TAIL, WRITE>(s, arrays.params.add(at), n, p)
        }
    }
}

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
        second: S::V,
    ) -> u32 {
        // SAFETY: by contract.
        unsafe { stages::one::<T, S, _, TAIL, WRITE, SECOND, ALONE>(s, self, at, n, grad, second) }
    }

    #[inline(always)]
    unsafe fn stretch<S: Simd<T>, const SECOND: bool, const LONG: bool>(
        self,
        s: S,
        at: usize,
        n: usize,
        grad: *const T,
        second: *const T,
    ) -> usize {
        let Adam(c, arrays) = self;
        let (Some(loops), Some(c)) = (S::LOOPS, c.plain()) else {
            // SAFETY: by contract.
            return unsafe {
                stages::together::<T, S, _, SECOND, LONG>(s, self, at, n, grad, second)
            };
        };
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
                second: if SECOND { second } else { core::ptr::null() },
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
        n
    }
}

impl<T: Element> Staged<T> for Adam<'_, T> {
    #[inline(always)]
    fn params(self) -> *mut T {
        self.1.params
    }

    #[inline(always)]
    fn epsilon(self) -> (T, T) {
        (self.0.eps_inside, self.0.eps_outside)
    }

    #[inline(always)]
    fn decayed<S: Simd<T>>(self, s: S, p: S::V, grad: S::V) -> (S::V, S::V) {
        decayed(s, self.0.maximize, self.0.decay, p, grad)
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
    unsafe fn finish<S: Simd<T>, const TAIL: bool, const WRITE: bool>(
        self,
        s: S,
        at: usize,
        n: usize,
        p: S::V,
        quotient: S::V,
    ) -> u32 {
        let Adam(c, arrays) = self;
        let p = s.fma(s.splat(-c.step), quotient, p);
        // SAFETY: at .. at + n is inside the arrays by contract.
        unsafe { put::<T, S, TAIL, WRITE>(s, arrays.params.add(at), n, p) }
    }
}

/// Vectors of a run from which on it is worth asking which loop is for it.
const LONG: usize = 16;

/// Stamps the runs of a rule. Long ones with plain coefficients have a loop of their own where there are vectors: the
/// fewer instructions a vector takes, the more vectors are on their way while the CPU divides or waits for memory.
macro_rules! run_of {
    ($name:ident, $Rule:ident, $Coeffs:ident, $Arrays:ident) => {
        /// Runs of this rule.
        ///
        /// # Safety
        /// The parameters are inside the arrays, and their gradients readable.
        #[inline(always)]
        pub(crate) unsafe fn $name<T: Element, S: Simd<T>>(
            s: S,
            c: &$Coeffs<T>,
            arrays: $Arrays<T>,
            run: &Run<T>,
        ) -> Result<(), usize> {
            let long = CACHES && run.write && run.n >= LONG * S::LANES;
            let plain = if long { c.plain() } else { None };
            // SAFETY: by contract.
            unsafe {
                match plain {
                    Some(c) => run_rows::<T, S, _, true>(
                        s,
                        $Rule(&c, arrays),
                        &Run { write: true, ..*run },
                    ),
                    None => run_rows::<T, S, _, false>(s, $Rule(c, arrays), run),
                }
            }
        }
    };
}

run_of!(run_momentum, Momentum, MomentumCoeffs, MomentumArrays);
run_of!(run_rmsprop, Rmsprop, RmspropCoeffs, RmspropArrays);
run_of!(run_adam, Adam, AdamCoeffs, AdamArrays);
