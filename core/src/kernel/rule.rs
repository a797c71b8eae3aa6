//! How one vector of parameters is updated: what the rules of the optimizers ([`super::momentum`], [`super::rmsprop`],
//! [`super::adam`]) have in common, and the loop that drives them.
//!
//! The formulas stand operation by operation in [`crate::reference`]. What differs between conventions
//! (epsilon, warm-up, bias correction) is in the coefficients; what is left is a handful of switches
//! that hold for a whole call.

use super::adam::{Adam, AdamArrays};
use super::momentum::{Momentum, MomentumArrays};
use super::plan::{CACHES, FAR};
use super::rmsprop::{Rmsprop, RmspropArrays};
use super::stages::{pays, together};
use crate::optim::DecayCoeff;
use crate::simd::Simd;
use crate::{AdamCoeffs, Element, MomentumCoeffs, RmspropCoeffs};

/// What all rules have: the parameters, how far they go, their decay.
pub(crate) struct Common<T> {
    pub(super) params: *mut T,
    pub(super) step: T,
    pub(super) maximize: bool,
    pub(super) decay: DecayCoeff<T>,
    /// What is added inside the root, and outside; not looked at without a second moment.
    pub(super) epsilon: [T; 2],
}

impl<T: Element> Common<T> {
    /// The parameter with its decay, and the gradient with its sign and decay.
    #[inline(always)]
    pub(super) fn decayed<S: Simd<T>>(&self, s: S, p: S::V, g: S::V) -> (S::V, S::V) {
        let g = if self.maximize { s.neg(g) } else { g };
        match self.decay {
            DecayCoeff::None => (p, g),
            DecayCoeff::Coupled(d) => (p, s.fma(s.splat(d), p, g)),
            DecayCoeff::Decoupled(d) => (s.fma(s.splat(-d), p, p), g),
        }
    }
}

/// What a rule divides, and what it takes the root of (without epsilon).
pub(super) type Ratio<V> = (V, V);

/// How parameters are updated, in three stages: what comes before the root; the parameters go by
/// `numerator / (sqrt(radicand + inside) + outside)` (or by the numerator, without a second moment); what comes after.
pub(crate) trait Rule<T: Element>: Copy {
    /// Whether it takes a second moment at all.
    const SECOND: bool = true;

    /// What all rules have.
    fn common(self) -> Common<T>;

    /// Updates the state of the parameters `at .. at + n` by their decayed gradients and their second moments (the
    /// squares of the gradients unless `SECOND`). Stores only if `WRITE`; else returns as well the lanes in which the new
    /// state is finite.
    ///
    /// # Safety
    /// The elements are inside the arrays; `n` is `LANES`, or less if `TAIL`.
    unsafe fn begin<S: Simd<T>, const TAIL: bool, const WRITE: bool, const SECOND: bool>(
        self,
        s: S,
        at: usize,
        n: usize,
        g: S::V,
        second: S::V,
    ) -> (Ratio<S::V>, u32);

    /// The direction in which the parameters `at .. at + n` go by their quotient, and updates the state that does, too.
    /// Stores and returns as [`Self::begin`].
    ///
    /// # Safety
    /// As [`Self::begin`].
    #[inline(always)]
    unsafe fn direction<S: Simd<T>, const TAIL: bool, const WRITE: bool>(
        self,
        _s: S,
        _at: usize,
        _n: usize,
        quotient: S::V,
    ) -> (S::V, u32) {
        (quotient, u32::MAX)
    }

    /// Updates and stores parameters `at .. at + n` by a loop of the backend's (`second` may be null), if it has one for
    /// this rule; tells whether it did.
    ///
    /// # Safety
    /// The elements are inside the arrays, and their gradients readable.
    #[inline(always)]
    unsafe fn by_loop<S: Simd<T>>(
        self,
        _at: usize,
        _n: usize,
        _grad: *const T,
        _second: *const T,
    ) -> bool {
        false
    }

    /// All stages of one vector. `ALONE` if nothing but the divider is busy.
    ///
    /// # Safety
    /// As [`Self::begin`].
    #[cfg_attr(optimized, inline(always))]
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
        let common = self.common();
        let [inside, outside] = common.epsilon;
        // SAFETY: by contract.
        unsafe {
            let p = load::<T, S, TAIL>(s, common.params.add(at), n);
            let (p, g) = common.decayed(s, p, grad);
            let ((mut quotient, radicand), finite) =
                self.begin::<S, TAIL, WRITE, SECOND>(s, at, n, g, second);
            if Self::SECOND {
                let radicand = s.add(radicand, s.splat(inside));
                let root = if ALONE { s.sqrt_by_products(radicand) } else { s.sqrt(radicand) };
                quotient = s.div(quotient, s.add(root, s.splat(outside)));
            }
            finite & self.finish::<S, TAIL, WRITE>(s, at, n, p, quotient)
        }
    }

    /// Updates the parameters `at .. at + n`, which are `p` with their decay, by their quotient. Stores and returns as
    /// [`Self::begin`].
    ///
    /// # Safety
    /// As [`Self::begin`].
    #[inline(always)]
    unsafe fn finish<S: Simd<T>, const TAIL: bool, const WRITE: bool>(
        self,
        s: S,
        at: usize,
        n: usize,
        p: S::V,
        quotient: S::V,
    ) -> u32 {
        let Common { params, step, .. } = self.common();
        // SAFETY: by contract.
        unsafe {
            let (direction, finite) = self.direction::<S, TAIL, WRITE>(s, at, n, quotient);
            let p = s.fma(s.splat(-step), direction, p);
            finite & put::<T, S, TAIL, WRITE>(s, params.add(at), n, p)
        }
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
                let second = if SECOND { second } else { core::ptr::null() };
                if rule.by_loop::<S>(at, run.n, grad, second) {
                    continue;
                }
                if LONG && R::SECOND && pays::<T, S>(s, run.n) {
                    k = together::<T, S, R, SECOND>(s, rule, at, run.n, grad, second);
                }
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
pub(super) unsafe fn put<T: Element, S: Simd<T>, const TAIL: bool, const WRITE: bool>(
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

/// `avg = fma(alpha, x - avg, avg)`, or `x` where `alpha = 1`.
#[inline(always)]
pub(super) fn average<T: Element, S: Simd<T>>(s: S, alpha: T, x: S::V, avg: S::V) -> S::V {
    if alpha == T::ONE { x } else { s.fma(s.splat(alpha), s.sub(x, avg), avg) }
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
