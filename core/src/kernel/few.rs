//! Outputs of a few examples, row by row; and a single row of any number of them.
//!
//! ```text
//! grad[j,i] = fold_{b,t} fma(c[b] dy[b,t,j], x[b,t,i], grad)
//! moments:    g = c[b] dy[b,j] x[b,i];  grad = grad + g,  grad_sq = fma(g, g, grad_sq)
//! ```
//!
//! Plan: the time goes into the output, which is as long as a row can be walked in one run. A row's few `dy` are in
//! registers, where no store can change them; how many there are is a constant, since the loops over them would take
//! longer than what is in them, and so is what the sums start from. Of a single row the time goes into `x`: eight `(b, t)`
//! at a time are read from one end to the other, as memory likes it, and the sums, which a first-level cache holds,
//! resumed.

use super::plan::LINE;
use super::row::Row;
use super::shape::{Room, TILE_VECS};
use super::tile::{Ends, Out};
use super::unroll::unroll;
use super::vectors::{fma_row, load, moments_row};
use crate::simd::Simd;
use crate::{Element, Start};

/// The most `(b, t)` that are few.
pub(crate) const FEW: usize = 4;

/// `(b, t)` between two visits of sums that rest in memory.
const SOME: usize = 8;

/// Rows of `grad`.
///
/// # Safety
/// `src` of the row is readable and its output is writable; there are 1 to [`FEW`] `(b, t)`, or there is one row; columns
/// of `x` lie side by side. Registers hold several vectors.
#[inline(always)]
pub(crate) unsafe fn grad_few<T: Element, S: Simd<T>>(s: S, row: &Row<T>) {
    // SAFETY: by contract.
    unsafe { rows::<T, S, false>(s, row) }
}

/// Rows of `moments` with one step.
///
/// # Safety
/// As [`grad_few`], for both outputs.
#[inline(always)]
pub(crate) unsafe fn moments_few<T: Element, S: Simd<T>>(s: S, row: &Row<T>) {
    // SAFETY: by contract.
    unsafe { rows::<T, S, true>(s, row) }
}

/// All rows, however few the `(b, t)`. Of more than [`FEW`] the sums rest in memory every [`SOME`].
///
/// # Safety
/// As [`grad_few`].
#[inline(always)]
unsafe fn rows<T: Element, S: Simd<T>, const MOMENTS: bool>(s: S, row: &Row<T>) {
    if const { !matches!(Room::of::<T, S>(), Room::Vectors32 | Room::Vectors16) } {
        return; // where rows are walked one by one; the sweep does not come here
    }
    let depth = row.src.depth();
    let mut k = 0;
    while k < depth {
        let left = depth - k;
        let n = match left {
            SOME.. => SOME,
            FEW.. => FEW,
            _ => left,
        };
        let ends = row.ends.of_block(k == 0, n == left);
        // SAFETY: (b, t) k .. k + n are inside; each arm has the number that it names.
        unsafe {
            match n {
                SOME => rows_of::<T, S, MOMENTS, SOME>(s, row, ends, k),
                FEW => rows_of::<T, S, MOMENTS, FEW>(s, row, ends, k),
                3 => rows_of::<T, S, MOMENTS, 3>(s, row, ends, k),
                2 => rows_of::<T, S, MOMENTS, 2>(s, row, ends, k),
                _ => rows_of::<T, S, MOMENTS, 1>(s, row, ends, k),
            }
        }
        k += n;
    }
    if row.ends.past {
        s.fence();
    }
}

/// All rows of `DEPTH` `(b, t)` from `first` on, with these ends.
///
/// # Safety
/// As [`grad_few`].
#[inline(always)]
unsafe fn rows_of<T, S, const MOMENTS: bool, const DEPTH: usize>(
    s: S,
    row: &Row<T>,
    ends: Ends<T>,
    first: usize,
) where
    T: Element,
    S: Simd<T>,
{
    for r in 0..row.rows.count() {
        let src = row.src.row(r);
        let mut dy = [T::ZERO; DEPTH];
        unroll!(for k in 0..DEPTH {
            // SAFETY: (b, t) k is inside, and so is its example's weight.
            unsafe {
                dy[k] = *src.dy.add((first + k) * src.dy_stride);
                if !src.weights.is_null() {
                    dy[k] = *src.weights.add((first + k) / src.steps.max(1)) * dy[k];
                }
            }
        });
        let x = src.x.wrapping_add(first * src.x_stride);
        let run = Run { dy, x, x_stride: src.x_stride, columns: row.columns };
        // (What starts from -0 are sequences, of several products.)
        let negative = DEPTH > 1 && ends.negative;
        let fresh = ends.start == Start::Fresh && ends.negative == negative;
        // SAFETY: by contract.
        unsafe {
            let outs = [row.out.at(r, 0), if MOMENTS { row.out_sq.at(r, 0) } else { row.out }];
            if fresh && !ends.past {
                let ends = Ends { start: Start::Fresh, negative, past: false, ..ends };
                run.all::<S, MOMENTS>(s, ends, outs);
            } else {
                run.all::<S, MOMENTS>(s, ends, outs);
            }
        }
    }
}

/// What one row of the output reads.
#[derive(Clone, Copy)]
struct Run<T, const DEPTH: usize> {
    /// `c[b] dy[b,t,j]`
    dy: [T; DEPTH],
    x: *const T,
    /// Elements from one `(b, t)` to the next.
    x_stride: usize,
    columns: usize,
}

impl<T: Element, const DEPTH: usize> Run<T, DEPTH> {
    /// All columns, in as many vectors at a time as are left.
    ///
    /// # Safety
    /// `x` is readable and the outputs are writable for them (and readable to resume).
    #[inline(always)]
    unsafe fn all<S: Simd<T>, const MOMENTS: bool>(self, s: S, ends: Ends<T>, outs: [Out<T>; 2]) {
        let mut c = 0;
        // SAFETY: by contract; c + the columns of each run <= columns.
        unsafe {
            // (A vector of a whole line of the cache takes as long to load as two products.)
            if const { !MOMENTS && S::LANES * size_of::<T>() < LINE } {
                while c + 8 * S::LANES <= self.columns {
                    self.vectors::<S, MOMENTS, 8, false>(s, ends, outs, c);
                    c += 8 * S::LANES;
                }
            }
            while c + 4 * S::LANES <= self.columns {
                self.vectors::<S, MOMENTS, 4, false>(s, ends, outs, c);
                c += 4 * S::LANES;
            }
            if c + TILE_VECS * S::LANES <= self.columns {
                self.vectors::<S, MOMENTS, TILE_VECS, false>(s, ends, outs, c);
                c += TILE_VECS * S::LANES;
            }
            if c + S::LANES <= self.columns {
                self.vectors::<S, MOMENTS, 1, false>(s, ends, outs, c);
                c += S::LANES;
            }
            if c < self.columns {
                self.vectors::<S, MOMENTS, 1, true>(s, ends, outs, c);
            }
        }
    }

    /// `VECS` vectors from column `c` on; the last has what is left if `TAIL`.
    ///
    /// # Safety
    /// As [`Self::all`], for these.
    #[cfg_attr(optimized, inline(always))]
    unsafe fn vectors<S, const MOMENTS: bool, const VECS: usize, const TAIL: bool>(
        &self,
        s: S,
        ends: Ends<T>,
        [out, out_sq]: [Out<T>; 2],
        c: usize,
    ) where
        S: Simd<T>,
    {
        let n = self.columns - c;
        // SAFETY: by contract.
        unsafe {
            let out = out.at(0, c);
            let [mut sum] = out.start::<S, 1, VECS, TAIL>(s, n, ends);
            let [[mut sum_sq]] = s.zeros();
            if MOMENTS {
                [sum_sq] = out_sq.at(0, c).start::<S, 1, VECS, TAIL>(s, n, ends);
            }
            unroll!(for k in 0..DEPTH {
                let xs = load::<T, S, VECS, TAIL>(s, self.x.add(k * self.x_stride + c), n);
                let d = s.splat(self.dy[k]);
                match MOMENTS {
                    true => moments_row(s, d, &xs, &mut sum, &mut sum_sq),
                    false => fma_row(s, d, &xs, &mut sum),
                }
            });
            out.finish::<S, 1, VECS, TAIL>(s, n, ends, [sum]);
            if MOMENTS {
                out_sq.at(0, c).finish::<S, 1, VECS, TAIL>(s, n, ends, [sum_sq]);
            }
        }
    }
}
