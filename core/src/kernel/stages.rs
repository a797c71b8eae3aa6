//! Rules that divide by a root, in three stages: what comes before the root, root and quotient, what comes after.
//!
//! Plan: a single vector goes from stage to stage by itself. Of long runs several go together, roots in a row and then
//! quotients: CPUs that have two dividers give them work as it comes, and if roots and quotients come in turns, what is
//! computed between them decides by a cycle whether one of the two has to wait. The compiler would put each root next to
//! its quotient again if it were not told to hold them.

use super::plan::BEYOND;
use super::rule::{Rule, load};
use crate::Element;
use crate::simd::Simd;

/// Vectors that go together: an even number, of which 16 registers hold two each and a few more.
const TOGETHER: usize = 6;

/// Groups from which on it pays, since the last vectors wait for themselves. (Up to [`BEYOND`]: from memory the loads of one
/// vector after the other are more on their way.)
const LEAST: usize = 5;

/// What is divided, and what the root is taken of (without epsilon).
pub(super) type Ratio<V> = (V, V);

/// A rule whose parameters go by `numerator / (sqrt(radicand + inside) + outside)`.
pub(super) trait Staged<T: Element>: Rule<T> {
    /// The parameters.
    fn params(self) -> *mut T;

    /// What is added inside the root, and outside.
    fn epsilon(self) -> (T, T);

    /// Parameters and their gradients with decay, and the latter with their sign.
    fn decayed<S: Simd<T>>(self, s: S, p: S::V, grad: S::V) -> (S::V, S::V);

    /// Updates the state of the parameters `at .. at + n` by their decayed gradients. Returns as well what
    /// [`Rule::vector`] does.
    ///
    /// # Safety
    /// As [`Rule::vector`].
    unsafe fn begin<S: Simd<T>, const TAIL: bool, const WRITE: bool, const SECOND: bool>(
        self,
        s: S,
        at: usize,
        n: usize,
        g: S::V,
        second: S::V,
    ) -> (Ratio<S::V>, u32);

    /// Updates the parameters `at .. at + n` themselves, which are `p` with their decay.
    ///
    /// # Safety
    /// As [`Rule::vector`].
    unsafe fn finish<S: Simd<T>, const TAIL: bool, const WRITE: bool>(
        self,
        s: S,
        at: usize,
        n: usize,
        p: S::V,
        quotient: S::V,
    ) -> u32;
}

/// All stages of one vector.
///
/// # Safety
/// As [`Rule::vector`].
#[inline(always)]
pub(super) unsafe fn one<
    T,
    S,
    R,
    const TAIL: bool,
    const WRITE: bool,
    const SECOND: bool,
    const ALONE: bool,
>(
    s: S,
    rule: R,
    at: usize,
    n: usize,
    grad: S::V,
    second: S::V,
) -> u32
where
    T: Element,
    S: Simd<T>,
    R: Staged<T>,
{
    let (inside, outside) = rule.epsilon();
    // SAFETY: by contract.
    unsafe {
        let p = load::<T, S, TAIL>(s, rule.params().add(at), n);
        let (p, g) = rule.decayed(s, p, grad);
        let ((numerator, radicand), finite) =
            rule.begin::<S, TAIL, WRITE, SECOND>(s, at, n, g, second);
        let radicand = s.add(radicand, s.splat(inside));
        let root = if ALONE { s.sqrt_by_products(radicand) } else { s.sqrt(radicand) };
        let quotient = s.div(numerator, s.add(root, s.splat(outside)));
        finite & rule.finish::<S, TAIL, WRITE>(s, at, n, p, quotient)
    }
}

/// Updates whole groups of vectors from `at` on, if that is of use for such runs, and tells how many of the `n` parameters
/// are in them.
///
/// # Safety
/// As [`Rule::stretch`].
#[inline(always)]
pub(super) unsafe fn together<T, S, R, const SECOND: bool, const LONG: bool>(
    s: S,
    rule: R,
    at: usize,
    n: usize,
    grad: *const T,
    second: *const T,
) -> usize
where
    T: Element,
    S: Simd<T>,
    R: Staged<T>,
{
    // (Intel's CPUs, whose one divider takes longer, have not been timed with it.)
    let least = LEAST * TOGETHER * S::LANES;
    if !LONG || !S::HOLDS || s.intel() || !(least..BEYOND / size_of::<T>()).contains(&n) {
        return 0;
    }
    let (inside, outside) = rule.epsilon();
    let (inside, outside) = (s.splat(inside), s.splat(outside));
    let mut k = 0;
    while k + TOGETHER * S::LANES <= n {
        let mut numerators = [inside; TOGETHER];
        let mut others = [inside; TOGETHER];
        // SAFETY: k + TOGETHER * LANES <= n.
        unsafe {
            for (i, (numerator, other)) in numerators.iter_mut().zip(&mut others).enumerate() {
                let k = k + i * S::LANES;
                let grad = s.load(grad.add(k));
                let (_, g) = rule.decayed(s, s.load(rule.params().add(at + k)), grad);
                let sq = if SECOND { s.load(second.add(k)) } else { g };
                let (ratio, _) = rule.begin::<S, false, true, SECOND>(s, at + k, S::LANES, g, sq);
                (*numerator, *other) = (ratio.0, s.hold(s.add(ratio.1, inside)));
            }
            for v in &mut others {
                *v = s.hold(s.sqrt(*v));
            }
            for v in &mut others {
                *v = s.hold(s.add(*v, outside));
            }
            for (numerator, v) in numerators.iter_mut().zip(&others) {
                *numerator = s.hold(s.div(*numerator, *v));
            }
            for (i, quotient) in numerators.iter().enumerate() {
                let at = at + k + i * S::LANES;
                let (p, _) = rule.decayed(s, s.load(rule.params().add(at)), outside);
                rule.finish::<S, false, true>(s, at, S::LANES, p, *quotient);
            }
        }
        k += TOGETHER * S::LANES;
    }
    k
}
