//! Sum and sum of squares over the batch, of materialised rows of any origin.
//!
//! ```text
//! sum[k]    = scale * fold_b (sum + rows[b,k])
//! sum_sq[k] = scale * fold_b fma(rows[b,k], rows[b,k], sum_sq)
//! ```
//!
//! Plan: one pass. A block of columns sees all rows before the next block does, a few rows at a time. Where
//! the rows come from memory the block is as wide as the second-level cache allows, since memory likes long runs,
//! and many rows are folded between a load and a store of the sums; where they come from a cache, the
//! sums stay in the first level.

use super::plan::CACHES;
use super::tile::Ends;
use crate::dims::check;
use crate::simd::Simd;
use crate::{Element, Error, Fold, Isa, Start};

/// Bytes of a block of columns, of one of the two sums, where the rows are in a cache.
const NEAR_BLOCK: usize = 4 << 10;

/// The same where the rows come from memory.
const FAR_BLOCK: usize = 128 << 10;

/// Bytes of all rows from which they come from memory: more than a core's share of most third-level caches.
const FAR_BYTES: usize = 8 << 20;

/// Bytes by which columns from memory are fetched ahead.
const AHEAD: usize = 256;

/// Sum and sum of squares over the rows: `sum = scale * fold_b (sum + rows[b])`,
/// `sum_sq = scale * fold_b fma(rows[b], rows[b], sum_sq)`.
///
/// * `rows`: `[B, n]`, row-major: per-example gradients of any layer.
/// * `fold`: whether the outputs are overwritten or continued, and the factor at the end.
/// * `sum`, `sum_sq`: *out* `[n]`; never read with [`Start::Fresh`].
///
/// # Errors
/// [`Error::Length`] and [`Error::Overflow`]; nothing is written then.
///
/// ```
/// use pergrad_core::{Fold, Isa, reduce};
/// let rows = [1.0f64, 2.0, -3.0, -4.0]; // two rows of two
/// let (mut sum, mut sum_sq) = ([0.0; 2], [0.0; 2]);
/// reduce(Isa::detect(), &rows, 2, Fold::mean(2), &mut sum, &mut sum_sq)?;
/// assert_eq!((sum, sum_sq), ([-1.0, -1.0], [5.0, 10.0]));
/// # Ok::<(), pergrad_core::Error>(())
/// ```
pub fn reduce<T: Element>(
    isa: Isa,
    rows: &[T],
    batch: usize,
    fold: Fold,
    sum: &mut [T],
    sum_sq: &mut [T],
) -> Result<(), Error> {
    check_reduce(rows, batch, sum, sum_sq)?;
    // SAFETY: the lengths were checked.
    unsafe { T::reduce(isa, rows, batch, Ends::of(fold), sum, sum_sq) }
    Ok(())
}

/// The checks of [`reduce`].
pub(crate) fn check_reduce<T>(
    rows: &[T],
    batch: usize,
    sum: &[T],
    sum_sq: &[T],
) -> Result<(), Error> {
    check("sum_sq", sum_sq.len(), sum.len())?;
    let need = batch.checked_mul(sum.len()).ok_or(Error::Overflow { arg: "rows" })?;
    check("rows", rows.len(), need)
}

/// One block of columns.
struct Block<T> {
    rows: *const T,
    stride: usize,
    sum: *mut T,
    sum_sq: *mut T,
}

impl<T: Element> Block<T> {
    /// Folds `R` rows, from row `b` on, into columns `k .. k + n`; if `FAR`, fetches what follows in them.
    ///
    /// # Safety
    /// The rows and columns are inside; `n` is `LANES`, or less if `TAIL`.
    #[inline(always)]
    unsafe fn fold<S: Simd<T>, const R: usize, const TAIL: bool, const FAR: bool>(
        &self,
        s: S,
        b: usize,
        k: usize,
        n: usize,
    ) {
        // SAFETY: by contract.
        unsafe {
            let load = |p: *const T| if TAIL { s.load_first(p, n, T::ZERO) } else { s.load(p) };
            let mut sum = load(self.sum.add(k));
            let mut sum_sq = load(self.sum_sq.add(k));
            for r in 0..R {
                let row = self.rows.add((b + r) * self.stride + k);
                if FAR {
                    s.prefetch(row.wrapping_byte_add(AHEAD));
                }
                let g = load(row);
                sum = s.add(sum, g);
                sum_sq = s.fma(g, g, sum_sq);
            }
            if TAIL {
                s.store_first(self.sum.add(k), n, sum);
                s.store_first(self.sum_sq.add(k), n, sum_sq);
            } else {
                s.store(self.sum.add(k), sum);
                s.store(self.sum_sq.add(k), sum_sq);
            }
        }
    }

    /// Folds rows into all columns of the block, `R` at a time while there are as many, and returns the first
    /// of `first .. batch` that is left.
    ///
    /// # Safety
    /// They are inside.
    #[inline(always)]
    unsafe fn rows<S: Simd<T>, const R: usize, const FAR: bool>(
        &self,
        s: S,
        (first, batch): (usize, usize),
        columns: usize,
    ) -> usize {
        let mut b = first;
        while b + R <= batch {
            let mut k = 0;
            // SAFETY: k + LANES <= columns, then the rest.
            unsafe {
                while k + S::LANES <= columns {
                    self.fold::<S, R, false, FAR>(s, b, k, S::LANES);
                    k += S::LANES;
                }
                if k < columns {
                    self.fold::<S, R, true, FAR>(s, b, k, columns - k);
                }
            }
            b += R;
        }
        b
    }
}

/// The loops of [`reduce`].
///
/// # Safety
/// Its lengths were checked.
#[inline(always)]
pub(crate) unsafe fn run_reduce<T: Element, S: Simd<T>>(
    s: S,
    rows: &[T],
    batch: usize,
    ends: Ends<T>,
    sum: &mut [T],
    sum_sq: &mut [T],
) {
    let n = sum.len();
    let far = CACHES && size_of_val(rows) >= FAR_BYTES;
    let most = if far { FAR_BLOCK } else { NEAR_BLOCK } / size_of::<T>();
    let mut k = 0;
    while k < n {
        let columns = most.min(n - k);
        // SAFETY: columns k .. k + columns of batch rows are inside: the lengths were checked.
        unsafe {
            let (sum, sum_sq) = (sum.as_mut_ptr().add(k), sum_sq.as_mut_ptr().add(k));
            let block = Block { rows: rows.as_ptr().wrapping_add(k), stride: n, sum, sum_sq };
            if ends.start == Start::Fresh {
                sum.write_bytes(0, columns);
                sum_sq.write_bytes(0, columns);
            }
            let mut b = 0;
            if far {
                b = block.rows::<S, 8, true>(s, (b, batch), columns);
                b = block.rows::<S, 4, true>(s, (b, batch), columns);
            } else {
                b = block.rows::<S, 4, false>(s, (b, batch), columns);
            }
            block.rows::<S, 1, false>(s, (b, batch), columns);
            if let Some(scale) = ends.scale {
                for c in 0..columns {
                    *sum.add(c) = *sum.add(c) * scale;
                    *sum_sq.add(c) = *sum_sq.add(c) * scale;
                }
            }
        }
        k += columns;
    }
}
