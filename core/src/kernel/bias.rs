//! The gradient and the moments of the bias: those of a layer with `x = 1`.
//!
//! ```text
//! G[b,j]     = sum_t c[b] dy[b,t,j]                plain additions
//! grad[j]    = scale * fold_b (grad + G)           (bias_grad: over (b, t))
//! grad_sq[j] = scale * fold_b fma(G, G, grad_sq)
//! ```
//!
//! Plan: a vector of `j` at a time, its sums in registers while the batch goes by.

use super::tile::Ends;
use crate::dims::check;
use crate::simd::Simd;
use crate::{Batch, Element, Error, Fold, Isa, Start};

/// The averaged gradient of the bias alone: `grad[j] = scale * fold_{b,t} (grad + c[b] dy[b,t,j])`.
///
/// `batch.x` is not looked at and may be empty. `grad` is *out* `[J]`; never read with
/// [`Start::Fresh`].
///
/// # Errors
/// [`Error::Length`] and [`Error::Overflow`]; nothing is written then.
///
/// ```
/// use pergrad_core::{Batch, Dims, Fold, Isa, bias_grad};
/// let batch = Batch::new(Dims::new(2, 1, 2), &[], &[3.0f32, -1.0]);
/// let mut g = [0.0];
/// bias_grad(Isa::detect(), &batch, Fold::mean(2), &mut g)?;
/// assert_eq!(g, [1.0]);
/// # Ok::<(), pergrad_core::Error>(())
/// ```
pub fn bias_grad<T: Element>(
    isa: Isa,
    batch: &Batch<'_, T>,
    fold: Fold,
    grad: &mut [T],
) -> Result<(), Error> {
    batch.check_dy()?;
    check("grad", grad.len(), batch.dims.outputs)?;
    let n = grad.len();
    // SAFETY: the lengths of dy, the weights and grad were checked.
    unsafe { T::bias_grad(isa, batch, 0, n, Ends::of(fold), grad.as_mut_ptr()) }
    Ok(())
}

/// The moments of the bias: as [`moments`](crate::moments()) with `G[b,j] = sum_t c[b] dy[b,t,j]` (plain additions).
///
/// `batch.x` is not looked at and may be empty. `grad` and `grad_sq` are *out* `[J]`; never read with
/// [`Start::Fresh`].
///
/// # Errors
/// [`Error::Length`] and [`Error::Overflow`]; nothing is written then.
///
/// ```
/// use pergrad_core::{Batch, Dims, Fold, Isa, bias_moments};
/// let batch = Batch::new(Dims::new(2, 1, 2), &[], &[3.0f32, -1.0]);
/// let (mut g, mut g_sq) = ([0.0], [0.0]);
/// bias_moments(Isa::detect(), &batch, Fold::mean(2), &mut g, &mut g_sq)?;
/// assert_eq!((g, g_sq), ([1.0], [5.0]));
/// # Ok::<(), pergrad_core::Error>(())
/// ```
pub fn bias_moments<T: Element>(
    isa: Isa,
    batch: &Batch<'_, T>,
    fold: Fold,
    grad: &mut [T],
    grad_sq: &mut [T],
) -> Result<(), Error> {
    batch.check_dy()?;
    check("grad", grad.len(), batch.dims.outputs)?;
    check("grad_sq", grad_sq.len(), batch.dims.outputs)?;
    let (n, out, out_sq) = (grad.len(), grad.as_mut_ptr(), grad_sq.as_mut_ptr());
    // SAFETY: the lengths of dy, the weights, grad and grad_sq were checked.
    unsafe { T::bias_moments(isa, batch, 0, n, Ends::of(fold), out, out_sq) }
    Ok(())
}

/// One vector of `c[b] dy[b, t, j ..]`.
///
/// # Safety
/// `(b, t)` and `n <= LANES` lanes from `j` are inside.
#[inline(always)]
unsafe fn dy<T: Element, S: Simd<T>>(
    s: S,
    batch: &Batch<'_, T>,
    (b, t): (usize, usize),
    j: usize,
    n: usize,
) -> S::V {
    // SAFETY: by contract; the weights are as long as the batch.
    unsafe {
        let row = b * batch.dims.steps + t;
        let dy = batch.dy.as_ptr().add(row * batch.dims.outputs + j);
        let dy = if n == S::LANES { s.load(dy) } else { s.load_first(dy, n, T::ZERO) };
        match batch.example_weights {
            Some(c) => s.mul(s.splat(*c.get_unchecked(b)), dy),
            None => dy,
        }
    }
}

/// The gradient alone of `n` outputs from `j` on: additions over `(b, t)`.
///
/// # Safety
/// They are inside `[J]`; `out` is writable for them.
#[inline(always)]
pub(crate) unsafe fn run_grad<T: Element, S: Simd<T>>(
    s: S,
    batch: &Batch<'_, T>,
    j: usize,
    n: usize,
    ends: Ends<T>,
    out: *mut T,
) {
    let mut k = 0;
    while k < n {
        let lanes = S::LANES.min(n - k);
        // SAFETY: lanes from j + k are inside.
        unsafe {
            let out = out.add(k);
            let mut sum = s.splat(T::ZERO);
            if ends.start == Start::Resume {
                sum = s.load_first(out, lanes, T::ZERO);
            }
            for b in 0..batch.dims.folded() {
                for t in 0..batch.dims.steps {
                    sum = s.add(sum, dy(s, batch, (b, t), j + k, lanes));
                }
            }
            if let Some(scale) = ends.scale {
                sum = s.mul(sum, s.splat(scale));
            }
            s.store_first(out, lanes, sum);
        }
        k += lanes;
    }
}

/// The moments of `n` outputs from `j` on.
///
/// # Safety
/// They are inside `[J]`; `out` and `out_sq` are writable for them.
#[inline(always)]
pub(crate) unsafe fn run_moments<T: Element, S: Simd<T>>(
    s: S,
    batch: &Batch<'_, T>,
    j: usize,
    n: usize,
    ends: Ends<T>,
    out: *mut T,
    out_sq: *mut T,
) {
    let mut k = 0;
    while k < n {
        let lanes = S::LANES.min(n - k);
        // SAFETY: lanes from j + k are inside.
        unsafe {
            let (out, out_sq) = (out.add(k), out_sq.add(k));
            let (mut sum, mut sum_sq) = (s.splat(T::ZERO), s.splat(T::ZERO));
            if ends.start == Start::Resume {
                sum = s.load_first(out, lanes, T::ZERO);
                sum_sq = s.load_first(out_sq, lanes, T::ZERO);
            }
            for b in 0..batch.dims.folded() {
                let mut g = s.splat(T::ZERO);
                for t in 0..batch.dims.steps {
                    let dy = dy(s, batch, (b, t), j + k, lanes);
                    g = if t == 0 { dy } else { s.add(g, dy) };
                }
                sum = s.add(sum, g);
                sum_sq = s.fma(g, g, sum_sq);
            }
            if let Some(scale) = ends.scale {
                sum = s.mul(sum, s.splat(scale));
                sum_sq = s.mul(sum_sq, s.splat(scale));
            }
            s.store_first(out, lanes, sum);
            s.store_first(out_sq, lanes, sum_sq);
        }
        k += lanes;
    }
}
