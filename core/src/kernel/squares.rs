//! Squared norms of long sequences, and the sums of squares that norms are made of.
//!
//! Plan: a few rows of `G` at a time are made on the stack by the tiles of the matrix product ([`super::row`]), and
//! squared in their order, lane by lane as [`super::norms`] says.

use core::mem::MaybeUninit;

use super::moments::source;
use super::plan::CACHES;
use super::row::Row;
use super::shape::{Rows, Shape};
use super::sweep::{RowKernel, Way, sweep};
use super::tile::{Out, Source};
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

/// A sweep that squares each row of tiles as soon as it is made.
struct SquaresKernel<T> {
    /// Where it is made; [`ROOM`] elements.
    out: Out<T>,
    lanes: [T; REDUCTION_LANES],
    /// The sum of the lanes.
    square: T,
}

impl<T: Element> RowKernel<T> for SquaresKernel<T> {
    const RESTS: usize = 0;

    fn rows(&self, shape: &Shape, _src: &Source<T>, _way: Way, left: usize) -> Rows {
        shape.grad_rows(left.min(ROOM / self.out.stride.max(1)))
    }

    fn most_columns(&self, _rows: usize) -> usize {
        usize::MAX
    }

    fn block(&mut self, _first: bool, _last: bool) {}

    unsafe fn row(&mut self, isa: Isa, row: &mut Row<T>, _j: usize, _i: usize) {
        row.out = self.out;
        // SAFETY: the rows fit the room, and are written before they are read.
        unsafe {
            T::grad_row(isa, row);
            self.square = T::add_squares(isa, row, &mut self.lanes);
        }
    }
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
    let mut room = [const { MaybeUninit::<T>::uninit() }; ROOM];
    // Whole vectors from row to row.
    let out = Out { p: room.as_mut_ptr().cast(), stride: inputs.next_multiple_of(REDUCTION_LANES) };
    for (b, norm) in norms.iter_mut().enumerate() {
        let lanes = [T::ZERO; REDUCTION_LANES];
        let mut kernel = SquaresKernel { out, lanes, square: T::ZERO };
        // SAFETY: example b is inside x, dy and the weights: the lengths were checked.
        unsafe {
            let src = source(batch).examples(b, 1);
            sweep(isa, src, outputs, inputs, &mut [], &mut kernel);
        }
        *norm = if from == Start::Resume { *norm } else { T::ZERO } + kernel.square;
    }
}

/// Squares the rows of an output that [`super::row::grad_row`] has written, one after the other, into the lanes;
/// tells their sum.
///
/// # Safety
/// The output is readable.
#[inline(always)]
pub(crate) unsafe fn run_add_squares<T: Element, S: Simd<T>>(
    s: S,
    row: &Row<T>,
    lanes: &mut [T; REDUCTION_LANES],
) -> T {
    // SAFETY: by contract, and each arm has the number of vectors it names.
    unsafe {
        match REDUCTION_LANES / S::LANES {
            1 => add_squares::<T, S, 1>(s, row, lanes),
            2 => add_squares::<T, S, 2>(s, row, lanes),
            4 => add_squares::<T, S, 4>(s, row, lanes),
            _ => add_squares::<T, S, REDUCTION_LANES>(s, row, lanes),
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
    row: &Row<T>,
    lanes: &mut [T; REDUCTION_LANES],
) -> T {
    let [mut sums] = s.zeros::<1, 1, G>();
    // SAFETY: by contract; G vectors are 16 lanes.
    unsafe {
        for v in 0..G {
            sums[0][v] = s.load(lanes.as_ptr().add(v * S::LANES));
        }
        for r in 0..row.rows.count() {
            sums = square_rows::<T, S, 1, G>(s, row.out.at(r, 0).p, 0, row.columns, sums);
        }
        for v in 0..G {
            s.store(lanes.as_mut_ptr().add(v * S::LANES), sums[0][v]);
        }
    }
    let [[sum]] = s.sum_lanes(&[sums]);
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
