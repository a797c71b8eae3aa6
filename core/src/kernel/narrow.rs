//! Layers of a few rows that fit a vector each, all in one call.
//!
//! Plan: the time goes into what is done beside the sums. The tiles are those of [`super::tile`], as many rows as
//! there are, up to six, and a single vector, masked; there is nothing around them to find out.

use super::row::{GradTile, MomentsTile, Row, Tile};
use super::shape::by_room;
use super::tile::Source;
use crate::Element;
use crate::simd::Simd;

/// The most rows; more are rather summed in taller tiles.
pub(crate) const MOST_ROWS: usize = 11;

/// Rows of `grad`.
///
/// # Safety
/// `src` of the row is readable and its output is writable; it has no more columns than a vector, and no weights.
/// Registers hold several vectors.
#[inline(always)]
pub(crate) unsafe fn grad_narrow<T: Element, S: Simd<T>>(s: S, row: &Row<T>) {
    // SAFETY: by contract.
    unsafe { rows::<T, S, GradTile>(s, row) }
}

/// Rows of `moments` with one step.
///
/// # Safety
/// As [`grad_narrow`], for both outputs.
#[inline(always)]
pub(crate) unsafe fn moments_narrow<T: Element, S: Simd<T>>(s: S, row: &Row<T>) {
    // SAFETY: by contract.
    unsafe { rows::<T, S, MomentsTile<false>>(s, row) }
}

/// All rows.
///
/// # Safety
/// As [`grad_narrow`].
#[inline(always)]
unsafe fn rows<T: Element, S: Simd<T>, K: Tile<T>>(s: S, row: &Row<T>) {
    // SAFETY: by contract.
    unsafe {
        by_room!(T, S, {
            Vectors32 | Vectors16 => if const { K::APART } && row.src.dy_row != 1 {
                tiles::<T, S, K, false>(s, row);
            } else {
                tiles::<T, S, K, true>(s, row);
            },
            // Where rows are walked one by one; the sweep does not come here.
            Emulated | Scalars32 | Software => {},
        });
    }
}

/// All rows; `UNIT` if elements of `dy` lie side by side.
///
/// # Safety
/// As [`grad_narrow`].
#[inline(always)]
unsafe fn tiles<T, S, K, const UNIT: bool>(s: S, row: &Row<T>)
where
    T: Element,
    S: Simd<T>,
    K: Tile<T>,
{
    let (rows, n) = (row.rows.count(), row.columns);
    let mut src = row.src;
    if UNIT {
        src.dy_row = 1;
    }
    let mut r = 0;
    while r < rows {
        let (src, at) = (src.row(r), (r, 0));
        // SAFETY: as many rows as there are left, or fewer, are inside.
        r += unsafe {
            match rows - r {
                1 => tile::<T, S, K, 1>(s, src, n, row, at),
                2 => tile::<T, S, K, 2>(s, src, n, row, at),
                3 => tile::<T, S, K, 3>(s, src, n, row, at),
                4 | 7 | 8 => tile::<T, S, K, 4>(s, src, n, row, at),
                5 => tile::<T, S, K, 5>(s, src, n, row, at),
                _ => tile::<T, S, K, 6>(s, src, n, row, at),
            }
        }
    }
}

/// One tile of `n` columns; its number of rows.
///
/// # Safety
/// As [`Tile::tile`].
#[inline(always)]
unsafe fn tile<T, S, K, const ROWS: usize>(
    s: S,
    src: Source<T>,
    n: usize,
    row: &Row<T>,
    at: (usize, usize),
) -> usize
where
    T: Element,
    S: Simd<T>,
    K: Tile<T>,
{
    // SAFETY: by contract.
    unsafe { K::tile::<S, ROWS, 1, true, false>(s, src, n, row, at) };
    ROWS
}
