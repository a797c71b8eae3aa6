//! The forward product of short rows: outputs side by side in vectors.
//!
//! ```text
//! g[l] = fold_k fma(W[j, 16 k + l], x[16 k + l], g[l])       for 16 lanes l
//! y[j] += ((g[0] + g[8]) + (g[4] + g[12]) + ..) + bias[j]
//! ```
//!
//! Plan: to add up the lanes of a dot product in a vector takes as long as the products of 48 columns. Where rows are
//! not much longer, some rows of `W` are copied, column by column, and each lane is a vector of as many outputs; lanes
//! are added as soon as they are there, in the order of the sum, in which the copy has them.

use core::mem::MaybeUninit;

use super::forward::Forward;
use super::shape::Room;
use super::sweep::CACHES;
use super::tile::Sums;
use crate::simd::{REDUCTION_LANES, Simd};
use crate::{Dims, Element, Isa, Start};

/// The most columns of rows that are short.
pub(super) const COLUMNS: usize = 64;

/// Most outputs side by side, of any ISA and type.
const WIDTH: usize = 32;

/// Elements of a copy of so many rows of `W`.
const ROOM: usize = if CACHES { COLUMNS * WIDTH } else { 0 };

/// Fewer outputs in all are not worth thinking about.
const LEAST: usize = 128;

/// What it takes to begin with, in quarters of a cycle.
const CALL: usize = 600;

/// Whether outputs are rather side by side: if that takes less time than to add up the lanes of each output, by more
/// than a copy of `W` takes. (In quarters of a cycle, as measured; a vector that has none beside it takes half as long
/// again.)
pub(super) fn pays<T: Element>(isa: Isa, dims: Dims, y: &[T]) -> bool {
    let Dims { outputs, inputs, .. } = dims;
    if ROOM == 0 || inputs > COLUMNS || y.len() < LEAST {
        return false;
    }
    // SAFETY: it has no conditions.
    let shape = unsafe { T::shape(isa) };
    // (Shifts: divisions take longer than small products.)
    let lanes = shape.lanes();
    let vectors = (outputs + lanes - 1) >> lanes.trailing_zeros();
    let groups = REDUCTION_LANES >> lanes.trailing_zeros();
    let (output, columns) = if groups == 1 { (11, 3 * inputs) } else { (8, inputs * 9 / 4) };
    let dots = outputs.saturating_mul(groups * (output + inputs / 13));
    let side_by_side = (2 * vectors + vectors % 2).saturating_mul(16 + columns) / 2;
    let copy = vectors.saturating_mul(3 * lanes * inputs).saturating_add(CALL);
    let gain = dots.saturating_sub(side_by_side).saturating_mul(y.len());
    shape.holds_sums() && gain > copy.saturating_mul(outputs)
}

/// A copy of some rows of `W`, aligned to cache lines.
#[repr(align(64))]
struct Columns<T>([MaybeUninit<T>; ROOM]);

/// The forward product with room for copies. (Not inlined: others need not touch so much of the stack.)
///
/// # Safety
/// The lengths were checked.
#[inline(never)]
pub(super) unsafe fn with_columns<T: Element>(
    isa: Isa,
    dims: Dims,
    x: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    from: Start,
    y: &mut [T],
) {
    let mut columns = Columns([const { MaybeUninit::<T>::uninit() }; ROOM]);
    let memory = columns.0.as_mut_ptr().cast();
    if let Some((job, rows)) = Forward::new(dims, x, weight, bias, from, y, memory) {
        // SAFETY: by contract; there is room.
        unsafe { T::forward_short(isa, &job, rows) }
    }
}

/// Some rows of `x` against a copy of `W`.
struct Lanes<'a, T> {
    job: &'a Forward<'a, T>,
    /// The first of the rows of `x`.
    x: *const T,
    /// What comes next of the copy.
    w: *const T,
}

/// Defines the sum of some lanes from that of half of them.
macro_rules! add_lanes {
    ($name:ident, $half:ident, $step:literal) => {
        #[inline(always)]
        unsafe fn $name<S, const R: usize, const C: usize>(
            &mut self,
            s: S,
            l: usize,
        ) -> Sums<S::V, C, R>
        where
            S: Simd<T>,
        {
            // SAFETY: by contract of `lane`.
            unsafe {
                let mut sum = self.$half::<S, R, C>(s, l);
                // (Lanes without columns are +0, which changes no sum but -0: `columns_tile` sees to that.)
                if l + $step < self.job.inputs {
                    let more = self.$half::<S, R, C>(s, l + $step);
                    for (sum, more) in sum.iter_mut().zip(more) {
                        for (sum, more) in sum.iter_mut().zip(more) {
                            *sum = s.add(*sum, more);
                        }
                    }
                }
                sum
            }
        }
    };
}

impl<T: Element> Lanes<'_, T> {
    /// Lane `l` of `R` rows of `x` and `C` vectors of outputs.
    ///
    /// # Safety
    /// The rows are inside; the copy goes on with columns `l`, `l + 16` and so on.
    #[inline(always)]
    unsafe fn lane<S, const R: usize, const C: usize>(&mut self, s: S, l: usize) -> Sums<S::V, C, R>
    where
        S: Simd<T>,
    {
        let mut sums = [[s.splat(T::ZERO); R]; C];
        let mut i = l;
        while i < self.job.inputs {
            // SAFETY: by contract; i < inputs.
            unsafe {
                let x = self.x.add(i);
                let mut xs = [s.splat(T::ZERO); R];
                for (r, xs) in xs.iter_mut().enumerate() {
                    *xs = s.splat(*x.add(r * self.job.inputs));
                }
                for sums in sums.iter_mut() {
                    let w = s.load(self.w);
                    for (sum, &x) in sums.iter_mut().zip(&xs) {
                        *sum = s.fma(w, x, *sum);
                    }
                    self.w = self.w.add(S::LANES);
                }
            }
            i += REDUCTION_LANES;
        }
        sums
    }

    add_lanes!(two_lanes, lane, 8);
    add_lanes!(four_lanes, two_lanes, 4);
    add_lanes!(eight_lanes, four_lanes, 2);
    add_lanes!(all_lanes, eight_lanes, 1);
}

impl<T: Element> Forward<'_, T> {
    /// Copies `C` vectors of rows of `W`, from `j` on, as lanes are added: `[column][row]`. Rows past the last are
    /// +0.
    ///
    /// # Safety
    /// There is room for them.
    #[inline(always)]
    unsafe fn copy_columns<S: Simd<T>, const C: usize>(&self, _: S, j: usize) {
        let width = C * S::LANES;
        let rows = width.min(self.outputs - j);
        let mut to = self.memory;
        for n in 0..REDUCTION_LANES as u8 {
            let first = usize::from(n.reverse_bits() >> 4);
            for i in (first..self.inputs).step_by(REDUCTION_LANES) {
                for r in 0..width {
                    // SAFETY: row j + r of W is inside if r < rows; there is room for all of them.
                    unsafe {
                        let inside = r < rows;
                        let w = self.weight.wrapping_add((j + r) * self.inputs + i);
                        to.add(r).write(if inside { *w } else { T::ZERO });
                    }
                }
                to = to.wrapping_add(width);
            }
        }
    }

    /// `R` rows of `x`, from `row` on, against the copy of `C` vectors of rows of `W`, from `j` on.
    ///
    /// # Safety
    /// They are inside, but for the end of the last vector.
    #[inline(always)]
    unsafe fn columns_tile<S, const R: usize, const C: usize>(&self, s: S, row: usize, j: usize)
    where
        S: Simd<T>,
    {
        // SAFETY: by contract; vectors are whole, or masked at the last output.
        unsafe {
            let x = self.x.add(row * self.inputs);
            let sums = Lanes { job: self, x, w: self.memory }.all_lanes::<S, R, C>(s, 0);
            let absent = self.inputs < REDUCTION_LANES;
            for (c, sums) in sums.into_iter().enumerate() {
                let j = j + c * S::LANES;
                let n = S::LANES.min(self.outputs - j);
                let bias = self.bias.map(|bias| s.load_first(bias.as_ptr().add(j), n, T::ZERO));
                for (r, mut sum) in sums.into_iter().enumerate() {
                    if absent {
                        sum = s.add(sum, s.splat(T::ZERO));
                    }
                    if let Some(bias) = bias {
                        sum = s.add(sum, bias);
                    }
                    let y = self.y.add((row + r) * self.outputs + j);
                    let from = match self.from {
                        Start::Resume => s.load_first(y, n, T::ZERO),
                        Start::Fresh => s.splat(T::ZERO),
                    };
                    s.store_first(y, n, s.add(from, sum));
                }
            }
        }
    }

    /// All rows of `x` against `C` vectors of rows of `W`, from `j` on.
    ///
    /// # Safety
    /// As [`run_forward_short`].
    #[inline(always)]
    unsafe fn columns<S, const R: usize, const C: usize>(&self, s: S, rows: usize, j: usize)
    where
        S: Simd<T>,
    {
        let mut row = 0;
        // SAFETY: row + R <= rows, then row < rows.
        unsafe {
            self.copy_columns::<S, C>(s, j);
            while row + R <= rows {
                self.columns_tile::<S, R, C>(s, row, j);
                row += R;
            }
            while row < rows {
                self.columns_tile::<S, 1, C>(s, row, j);
                row += 1;
            }
        }
    }
}

/// The loops of [`crate::forward()`] for short rows.
///
/// # Safety
/// The lengths were checked, and [`pays`] was asked; there is room for copies of [`ROOM`] elements.
#[inline(always)]
pub(crate) unsafe fn run_forward_short<T: Element, S: Simd<T>>(
    s: S,
    job: &Forward<'_, T>,
    rows: usize,
) {
    let mut j = 0;
    while j < job.outputs {
        let left = job.outputs - j;
        // SAFETY: by contract; j < outputs, for two vectors also j + LANES.
        unsafe {
            match Room::of::<T, S>() {
                Room::Vectors32 if left > S::LANES => job.columns::<S, 4, 2>(s, rows, j),
                Room::Vectors32 => job.columns::<S, 4, 1>(s, rows, j),
                Room::Vectors16 if left > S::LANES => job.columns::<S, 2, 2>(s, rows, j),
                Room::Vectors16 => job.columns::<S, 4, 1>(s, rows, j),
                _ => return,
            }
        }
        j += 2 * S::LANES;
    }
}
