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

use super::row::{GradTile, MomentsTile, Row, Tile, of_rows, tiles_of};
use super::shape::{Room, TILE_VECS};
use super::tile::{Ends, Source};
use super::unroll::unroll;
use crate::simd::Simd;
use crate::{Element, Start};

/// The most `(b, t)` that are few.
pub(crate) const FEW: usize = 4;

/// `(b, t)` between two visits of sums that rest in memory.
const SOME: usize = 8;

/// Rows of `grad`.
///
/// # Safety
/// `src` of the row is readable and its output is writable for all its tiles; there are 1 to [`FEW`] `(b, t)`, or
/// there is one row; panels lie side by side.
#[inline(always)]
pub(crate) unsafe fn grad_few<T: Element, S: Simd<T>>(s: S, row: &Row<T>) {
    // SAFETY: by contract.
    unsafe { rows::<T, S, GradTile>(s, row) }
}

/// Rows of `moments` with one step.
///
/// # Safety
/// As [`grad_few`], for both outputs.
#[inline(always)]
pub(crate) unsafe fn moments_few<T: Element, S: Simd<T>>(s: S, row: &Row<T>) {
    // SAFETY: by contract.
    unsafe { rows::<T, S, MomentsTile<false>>(s, row) }
}

/// All rows, however few the `(b, t)`. Of more than [`FEW`] the sums rest in memory every [`SOME`].
///
/// # Safety
/// As [`grad_few`].
#[inline(always)]
unsafe fn rows<T: Element, S: Simd<T>, K: Tile<T>>(s: S, row: &Row<T>) {
    if matches!(Room::of::<T, S>(), Room::Emulated) {
        // SAFETY: by contract.
        return unsafe { of_rows::<T, S, K, 1, TILE_VECS>(s, row) };
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
                SOME => rows_of::<T, S, K, SOME>(s, row, ends, k),
                FEW => rows_of::<T, S, K, FEW>(s, row, ends, k),
                3 => rows_of::<T, S, K, 3>(s, row, ends, k),
                2 => rows_of::<T, S, K, 2>(s, row, ends, k),
                _ => rows_of::<T, S, K, 1>(s, row, ends, k),
            }
        }
        k += n;
    }
    if S::LANES > 1 && row.ends.past {
        s.fence();
    }
}

/// All rows of `DEPTH` `(b, t)` from `first` on, with these ends.
///
/// # Safety
/// As [`grad_few`].
#[inline(always)]
unsafe fn rows_of<T, S, K, const DEPTH: usize>(s: S, row: &Row<T>, ends: Ends<T>, first: usize)
where
    T: Element,
    S: Simd<T>,
    K: Tile<T>,
{
    // What is known of all such rows, for the compiler.
    let (panel_stride, ahead) = (TILE_VECS * S::LANES, [core::ptr::null(); 3]);
    let mut tile = Row { panel_stride, ahead, ..*row };
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
        let src = Source {
            batch: DEPTH,
            steps: 1,
            x: src.x.wrapping_add(first * src.x_stride),
            dy: dy.as_ptr(),
            dy_stride: 1,
            dy_row: 1,
            weights: core::ptr::null(),
            ..src
        };
        // (What starts from -0 are sequences, of several products.)
        let negative = DEPTH > 1 && ends.negative;
        let fresh = ends.start == Start::Fresh && ends.negative == negative;
        // SAFETY: by contract.
        unsafe {
            if fresh && !ends.past {
                tile.ends = Ends { start: Start::Fresh, negative, past: false, ..ends };
                tiles_of::<T, S, K, 1, TILE_VECS, false>(s, &tile, src, r);
            } else {
                tile.ends = ends;
                tiles_of::<T, S, K, 1, TILE_VECS, false>(s, &tile, src, r);
            }
        }
    }
}
