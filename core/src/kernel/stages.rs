//! Updates of long runs, several vectors at a time from stage to stage of a rule that divides by a root.
//!
//! Plan: what comes before the roots, roots in a row and then quotients, what comes after. CPUs that have two dividers give
//! them work as it comes, and if roots and quotients come in turns, what is computed between them decides by a cycle whether
//! one of the two has to wait. The compiler would put each root next to its quotient again if it were not told to hold them.

use super::plan::BEYOND;
use super::rule::Rule;
use crate::Element;
use crate::simd::Simd;

/// Vectors that go together: an even number, of which 16 registers hold two each and a few more.
const TOGETHER: usize = 6;

/// Groups from which on it pays, since the last vectors wait for themselves. (Up to [`BEYOND`]: from memory the loads of one
/// vector after the other are more on their way.)
const LEAST: usize = 5;

/// Whether it pays for runs of `n` parameters, whose coefficients are plain.
#[inline(always)]
pub(super) fn pays<T: Element, S: Simd<T>>(s: S, n: usize) -> bool {
    let least = LEAST * TOGETHER * S::LANES;
    // (Intel's CPUs, whose one divider takes longer, have not been timed with it.)
    S::HOLDS && !s.intel() && (least..BEYOND / size_of::<T>()).contains(&n)
}

/// Updates whole groups of vectors from `at` on, and tells how many of the `n` parameters are in them.
///
/// # Safety
/// They are inside the rule's arrays, their gradients readable, and their second moments if `SECOND`.
#[cfg_attr(optimized, inline(always))]
pub(super) unsafe fn together<T, S, R, const SECOND: bool>(
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
    R: Rule<T>,
{
    let common = rule.common();
    let [inside, outside] = common.epsilon.map(|epsilon| s.splat(epsilon));
    let mut k = 0;
    while k + TOGETHER * S::LANES <= n {
        let mut numerators = [inside; TOGETHER];
        let mut others = [inside; TOGETHER];
        // SAFETY: k + TOGETHER * LANES <= n.
        unsafe {
            for (i, (numerator, other)) in numerators.iter_mut().zip(&mut others).enumerate() {
                let k = k + i * S::LANES;
                let grad = s.load(grad.add(k));
                let (_, g) = common.decayed(s, s.load(common.params.add(at + k)), grad);
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
                let (p, _) = common.decayed(s, s.load(common.params.add(at)), outside);
                rule.finish::<S, false, true>(s, at, S::LANES, p, *quotient);
            }
        }
        k += TOGETHER * S::LANES;
    }
    k
}
