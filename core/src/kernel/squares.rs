//! Squared norms of long sequences, and the sums of squares that norms are made of.
//!
//! Plan: a few rows of `G` at a time are made on the stack by the tiles of the matrix product ([`super::row`]), and
//! squared in their order, lane by lane as [`super::norms`] says.

use core::mem::MaybeUninit;
use core::ptr;

use super::moments::source;
use super::row::Row;
use super::sweep::CACHES;
use super::tile::{Ends, Out};
use crate::simd::{REDUCTION_LANES, Simd};
use crate::{Batch, Dims, Element, Isa, Start};

/// From so many steps on, rows of `G` are made in tiles. (For fewer, their squares, a chain of additions in each
/// lane, would take as long by themselves.)
const LONG: usize = 32;

/// Elements of `G` on the stack: 12 rows of 512 columns.
const ROOM: usize = if CACHES { 12 * 512 } else { 0 };

/// Whether the norms of `dims` are for [`long_norms`].
pub(super) fn is_long(dims: Dims) -> bool {
    CACHES && dims.steps >= LONG && dims.inputs <= ROOM / 4
}

/// The norms of long sequences whose rows are not.
///
/// # Safety
/// Lengths were checked; the norms are for it.
#[inline(never)]
pub(super) unsafe fn long_norms<T: Element>(
    isa: Isa,
    batch: &Batch<'_, T>,
    from: Start,
    norms: &mut [T],
) {
    let Dims { outputs, inputs, .. } = batch.dims;
    // SAFETY: it has no conditions.
    let shape = unsafe { T::shape(isa) };
    let mut room = [const { MaybeUninit::<T>::uninit() }; ROOM];
    let g: *mut T = room.as_mut_ptr().cast();
    // Whole vectors from row to row.
    let stride = inputs.next_multiple_of(REDUCTION_LANES).max(1);
    for (b, norm) in norms.iter_mut().enumerate() {
        let mut lanes = [T::ZERO; REDUCTION_LANES];
        let mut square = T::ZERO;
        let mut j = 0;
        while j < if inputs == 0 { 0 } else { outputs } {
            let rows = shape.grad_rows((ROOM / stride).min(outputs - j));
            // SAFETY: example b and its rows from j on are inside; they fit the room, and are written before
            // they are read.
            unsafe {
                let row = Row {
                    src: source(batch).examples(b, 1).row(j),
                    panel_stride: shape.panel.get(),
                    rows,
                    columns: inputs,
                    ends: Ends::FRESH,
                    out: Out { p: g, stride },
                    out_sq: Out { p: ptr::null_mut(), stride: 0 },
                    ahead: [ptr::null(); 3],
                    ahead_stride: 0,
                };
                T::grad_row(isa, &row);
                square = T::add_squares(isa, g, rows.count(), stride, inputs, &mut lanes);
            }
            j += rows.count();
        }
        *norm = if from == Start::Resume { *norm } else { T::ZERO } + square;
    }
}

/// Squares `rows` rows of `columns` elements, `stride` apart, one after the other into the lanes; tells their sum.
///
/// # Safety
/// The rows are readable.
#[inline(always)]
pub(crate) unsafe fn run_add_squares<T: Element, S: Simd<T>>(
    s: S,
    first: *const T,
    rows: usize,
    stride: usize,
    columns: usize,
    lanes: &mut [T; REDUCTION_LANES],
) -> T {
    // SAFETY: by contract, and each arm has the number of vectors it names.
    unsafe {
        match REDUCTION_LANES / S::LANES {
            1 => add_squares::<T, S, 1>(s, first, rows, stride, columns, lanes),
            2 => add_squares::<T, S, 2>(s, first, rows, stride, columns, lanes),
            4 => add_squares::<T, S, 4>(s, first, rows, stride, columns, lanes),
            _ => add_squares::<T, S, REDUCTION_LANES>(s, first, rows, stride, columns, lanes),
        }
    }
}

/// [`run_add_squares`] with `G` vectors of lanes.
///
/// # Safety
/// As it; `G * LANES` is 16.
#[inline(always)]
unsafe fn add_squares<T: Element, S: Simd<T>, const G: usize>(
    s: S,
    first: *const T,
    rows: usize,
    stride: usize,
    columns: usize,
    lanes: &mut [T; REDUCTION_LANES],
) -> T {
    let mut sums = [[s.splat(T::ZERO); G]];
    // SAFETY: by contract; G vectors are 16 lanes.
    unsafe {
        for v in 0..G {
            sums[0][v] = s.load(lanes.as_ptr().add(v * S::LANES));
        }
        for r in 0..rows {
            sums = square_rows::<T, S, 1, G>(s, first.add(r * stride), 0, columns, sums);
        }
        for v in 0..G {
            s.store(lanes.as_mut_ptr().add(v * S::LANES), sums[0][v]);
        }
    }
    let [sum] = s.sum_lanes(&sums);
    sum
}

/// Squares `N` rows of `columns` elements, `stride` apart, each into its lanes.
///
/// # Safety
/// They are readable; `G * LANES` is 16.
#[inline(always)]
pub(super) unsafe fn square_rows<T: Element, S: Simd<T>, const N: usize, const G: usize>(
    s: S,
    rows: *const T,
    stride: usize,
    columns: usize,
    mut lanes: [[S::V; G]; N],
) -> [[S::V; G]; N] {
    let mut k = 0;
    // SAFETY: by contract; lanes without an element multiply -0 and 0, which adds nothing to any sum.
    unsafe {
        while k + REDUCTION_LANES <= columns {
            for n in 0..N {
                for v in 0..G {
                    let x = s.load(rows.add(n * stride + k + v * S::LANES));
                    lanes[n][v] = s.fma(x, x, lanes[n][v]);
                }
            }
            k += REDUCTION_LANES;
        }
        for v in 0..G {
            let at = k + v * S::LANES;
            if at >= columns {
                break;
            }
            let rest = S::LANES.min(columns - at);
            for n in 0..N {
                let row = rows.add(n * stride + at);
                let (a, b) =
                    (s.load_first(row, rest, T::ZERO), s.load_first(row, rest, T::NEG_ZERO));
                lanes[n][v] = s.fma(a, b, lanes[n][v]);
            }
        }
    }
    lanes
}
