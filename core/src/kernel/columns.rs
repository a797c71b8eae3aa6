//! The forward product with outputs side by side in vectors.
//!
//! ```text
//! g[l] = fold_k fma(W[j, 16 k + l], x[16 k + l], g[l])       for 16 lanes l
//! y[j] += ((g[0] + g[8]) + (g[4] + g[12]) + ..) + bias[j]
//! ```
//!
//! Plan: some rows of `W` are copied, column by column, so that each lane of the sum is a vector of as many outputs, and
//! nothing is added up across a vector. The copy has the lanes in the order in which they are added: `l` and `l + 8` are
//! summed together, and what waits for more lanes, waits in memory. (Those of short rows are added in registers; on
//! Intel's CPUs twice as many outputs of longer rows are summed lane by lane.) It pays where `W` is seen by many rows of
//! `x`, and as long as the copy stays in the first-level cache, or close to it; with 16 registers, whose dot products read
//! more for each `fma`, in the second. Outputs that do not fill a vector are rather dot products as elsewhere if they are
//! few.

use super::forward::{Forward, X_BYTES, fit};
use super::plan::CACHES;
use super::shape::by_room;
use super::tile::Sums;
use super::unroll::unroll;
use super::vectors::advance;
use crate::simd::{REDUCTION_LANES, Simd};
use crate::{Dims, Element, Isa, Start};

/// The most columns of rows that are short.
const SHORT: usize = 64;

/// Bytes of the copy of a vector of outputs, and of a row of `x`, which is not to fill a first-level cache alone. With 16
/// registers a vector of outputs has twice as many, since dot products have few sums there for what they read.
const VECTOR_BYTES: usize = 16 << 10;
const ROW_BYTES: usize = 8000;

/// Bytes of the copy, of which it takes half with 32 registers on other CPUs than Intel's.
const COPY_BYTES: usize = WIDEST * VECTOR_BYTES;

/// Bytes of sums that wait for others: four tiles at most.
const WAITING_BYTES: usize = 4 * 24 * 64;

/// Bytes of memory: the copy, and then what waits. (Beside other things on the stack, the sums are more often at such a
/// distance from the copy that loads wait for their stores.)
pub(super) const ROOM: usize = if CACHES { COPY_BYTES + WAITING_BYTES } else { 0 };

/// Vectors of outputs side by side, if there are so many.
const WIDE: usize = 2;

/// The same on Intel's CPUs, which are short of broadcasts, one of `x` for four products; and the least columns for which
/// that is worth twice as many sums that wait.
const WIDEST: usize = 4;
const LONG: usize = 81;

/// Rows of `x` that go by in whole tiles, whatever the tiles.
const MULTIPLE: usize = 12;

/// Fewer outputs in all are not worth thinking about.
const LEAST: usize = 128;

/// What it takes to begin with, in quarters of a cycle.
const CALL: usize = 600;

/// What it takes to go through a row of `x` once more, in quarters of a cycle.
const TURN: usize = 32;

/// How many outputs are rather side by side: all, all but those that do not fill a vector, or none; whichever saves most
/// of the time that it takes to add up the lanes of each output. A copy of `W` costs some of it.
pub(super) fn side_by_side<T: Element>(isa: Isa, dims: Dims, y: &[T]) -> usize {
    let Dims { outputs, inputs, .. } = dims;
    if !CACHES || inputs == 0 || y.len() < LEAST {
        return 0;
    }
    // SAFETY: it has no conditions.
    let shape = unsafe { T::shape(isa) };
    let lanes = shape.lanes();
    let most = if shape.registers == 16 { 2 * VECTOR_BYTES } else { VECTOR_BYTES };
    let fits = inputs <= (most / lanes).min(ROW_BYTES) / size_of::<T>();
    if !shape.holds_sums() || !fits {
        return 0;
    }
    // For each row of `x`, in quarters of a cycle, as measured: those of short rows on Zen 5, where both ways take less than
    // on Intel's CPU. (Shifts: divisions take longer than small products.)
    let groups = REDUCTION_LANES >> lanes.trailing_zeros();
    let (output, vector) = match (inputs <= SHORT, groups) {
        (true, 1) => (8 + inputs / 10, 8 + 2 * inputs),
        (true, _) => (10 + inputs / 13, 16 + inputs * 5 / 2),
        (false, 1) => (7 + inputs.next_multiple_of(REDUCTION_LANES) / 6, 64 + inputs * 5 / 2),
        (false, _) => (3 + inputs.next_multiple_of(REDUCTION_LANES) / 6, 16 + inputs * 5 / 2),
    };
    // (A vector that has none beside it takes a quarter as long again, or half.)
    let alone = if inputs <= SHORT { 1 } else { 2 };
    // What so many outputs save, by so many vectors; of `outputs` times all rows.
    let saved = |n: usize, vectors: usize| {
        let dots = n.saturating_mul(groups * output);
        let sums = (4 * vectors + vectors % WIDE * alone).saturating_mul(vector) / 4;
        let sums = if n < outputs { sums.saturating_add(TURN) } else { sums };
        let copy = vectors.saturating_mul(3 * lanes * inputs).saturating_add(CALL);
        dots.saturating_sub(sums)
            .saturating_mul(y.len())
            .saturating_sub(copy.saturating_mul(outputs))
    };
    let (whole, rest) = (outputs >> lanes.trailing_zeros(), outputs & (lanes - 1));
    let by_all = saved(outputs, whole + usize::from(rest > 0));
    let by_whole = saved(outputs - rest, whole);
    match by_all.max(by_whole) {
        0 => 0,
        most if most == by_all => outputs,
        _ => outputs - rest,
    }
}

/// All lanes at once: so many are summed in registers.
const ALL: usize = REDUCTION_LANES;

/// Lane number `n` in the order in which lanes are added.
#[inline(always)]
fn lane(n: usize) -> usize {
    const ORDER: [usize; REDUCTION_LANES] = [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15];
    ORDER[n % REDUCTION_LANES]
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
                    add(s, &mut sum, &more);
                }
                sum
            }
        }
    };
}

/// `sums += more`, both of them finished.
#[inline(always)]
fn add<T: Element, S: Simd<T>, const R: usize, const C: usize>(
    s: S,
    sums: &mut Sums<S::V, C, R>,
    more: &Sums<S::V, C, R>,
) {
    for (sums, more) in sums.iter_mut().zip(more) {
        unroll!(for r in 0..R {
            sums[r] = s.add(sums[r], more[r]);
        });
    }
}

impl<T: Element> Lanes<'_, T> {
    /// From `x` on, its first rows and those after the third.
    #[inline(always)]
    fn thirds(&self, x: *const T) -> [*const T; 2] {
        [x, x.wrapping_add(3 * self.job.inputs)]
    }

    /// The products of one column, of `R` rows of `x` and `C` vectors of outputs.
    ///
    /// # Safety
    /// `x` is where [`Self::thirds`] has that column, `w` where the copy has it.
    #[inline(always)]
    unsafe fn products<S, const R: usize, const C: usize>(
        &self,
        s: S,
        x: [*const T; 2],
        w: *const T,
        sums: &mut Sums<S::V, C, R>,
    ) where
        S: Simd<T>,
    {
        let [[mut ws]] = s.zeros::<1, 1, C>();
        // SAFETY: by contract.
        unsafe {
            unroll!(for c in 0..C {
                ws[c] = s.load(w.add(c * S::LANES));
            });
            for r in 0..R {
                let x = s.splat(*x[r / 3].add(r % 3 * self.job.inputs));
                for c in 0..C {
                    sums[c][r] = s.fma(ws[c], x, sums[c][r]);
                }
            }
        }
    }

    /// Lane `l` of `R` rows of `x` and `C` vectors of outputs.
    ///
    /// # Safety
    /// The rows are inside; the copy goes on with columns `l`, `l + 16` and so on.
    #[cfg_attr(optimized, inline(always))]
    unsafe fn lane<S, const R: usize, const C: usize>(&mut self, s: S, l: usize) -> Sums<S::V, C, R>
    where
        S: Simd<T>,
    {
        let [mut sums] = s.zeros::<1, C, R>();
        let mut i = l;
        while i < self.job.inputs {
            // SAFETY: by contract; i < inputs.
            unsafe {
                let x = self.thirds(self.x.add(i));
                self.products::<S, R, C>(s, x, self.w, &mut sums);
                self.w = self.w.add(C * S::LANES);
            }
            i += REDUCTION_LANES;
        }
        sums
    }

    add_lanes!(two_lanes, lane, 8);
    add_lanes!(four_lanes, two_lanes, 4);
    add_lanes!(eight_lanes, four_lanes, 2);
    add_lanes!(all_lanes, eight_lanes, 1);

    /// Lanes `l` and `l + 8`, which have a column at least.
    ///
    /// # Safety
    /// As [`Self::lane`]; after the columns of lane `l` the copy has those of `l + 8`.
    #[cfg_attr(optimized, inline(always))]
    unsafe fn pair<S, const R: usize, const C: usize>(&mut self, s: S, l: usize) -> Sums<S::V, C, R>
    where
        S: Simd<T>,
    {
        let [mut low] = s.zeros::<1, C, R>();
        let mut high = low;
        let (columns, both) = (self.job.lane_columns(l), self.job.lane_columns(l + 8));
        // SAFETY: lane l has as many columns as l + 8, or one more; by contract.
        unsafe {
            let mut x = self.thirds(self.x.add(l));
            let mut w = self.w;
            let mut w_high = w.add(columns * C * S::LANES);
            for _ in 0..both {
                self.products::<S, R, C>(s, x, w, &mut low);
                let [a, b] = x;
                let x_high = [a.wrapping_add(8), b.wrapping_add(8)];
                self.products::<S, R, C>(s, x_high, w_high, &mut high);
                advance(s, &mut x, REDUCTION_LANES);
                (w, w_high) = (w.add(C * S::LANES), w_high.add(C * S::LANES));
            }
            if both < columns {
                self.products::<S, R, C>(s, x, w, &mut low);
            }
            self.w = w_high;
        }
        add(s, &mut low, &high);
        low
    }

    /// All lanes, as [`Self::all_lanes`], of rows that have a column for each: `AT_ONCE` of them, one or two, are summed
    /// in registers.
    ///
    /// # Safety
    /// As [`Self::pair`], for all of them; there is room for the sums that wait.
    #[inline(always)]
    unsafe fn waiting_lanes<S, const R: usize, const C: usize, const AT_ONCE: usize>(
        &mut self,
        s: S,
    ) -> Sums<S::V, C, R>
    where
        S: Simd<T>,
    {
        // Of 16 lanes 4 wait at most, of 8 pairs 3.
        let most = const { (REDUCTION_LANES / AT_ONCE).ilog2() as usize };
        const { assert!(size_of::<[Sums<S::V, C, R>; 4]>() <= WAITING_BYTES) }
        // (Aligned, as the memory and the copy's length are.)
        let waiting = self.job.memory.wrapping_byte_add(COPY_BYTES).cast::<Sums<S::V, C, R>>();
        let mut k = 0;
        loop {
            // SAFETY: by contract; there are no more sums that wait, and those that `k` has a bit for.
            unsafe {
                let mut sums = match AT_ONCE {
                    1 => self.lane::<S, R, C>(s, lane(k)),
                    _ => self.pair::<S, R, C>(s, lane(2 * k)),
                };
                let ready = k.trailing_ones() as usize;
                for at in 0..ready {
                    let mut earlier = waiting.add(at).read();
                    add(s, &mut earlier, &sums);
                    sums = earlier;
                }
                if ready == most {
                    return sums;
                }
                k += 1;
                waiting.add(ready).write(sums);
            }
        }
    }
}

impl<T: Element> Forward<'_, T> {
    /// Columns of lane `l`.
    #[inline(always)]
    fn lane_columns(&self, l: usize) -> usize {
        (self.inputs + REDUCTION_LANES - 1 - l) / REDUCTION_LANES
    }

    /// Copies `C` vectors of rows of `W`, from `j` on, lane by lane in the order in which they are added:
    /// `[column][row]`. Rows past the last are +0.
    ///
    /// # Safety
    /// There is room for them.
    #[cfg_attr(optimized, inline(always))]
    unsafe fn copy_columns<S: Simd<T>, const C: usize>(&self, s: S, j: usize) {
        let Forward { inputs, outputs, .. } = *self;
        let width = C * S::LANES;
        let mut lanes = [self.memory; REDUCTION_LANES];
        let mut to = self.memory;
        for n in 0..REDUCTION_LANES {
            let l = lane(n);
            lanes[l] = to;
            to = to.wrapping_add(self.lane_columns(l) * width);
        }
        for r in (0..width).step_by(S::LANES) {
            let rows = outputs.saturating_sub(j + r).min(S::LANES);
            let w = self.weight.wrapping_add((j + r) * inputs);
            for i in (0..inputs).step_by(S::LANES) {
                let columns = S::LANES.min(inputs - i);
                let lanes = lanes.as_ptr().wrapping_add(i % REDUCTION_LANES);
                let at = i / REDUCTION_LANES * width + r;
                // SAFETY: so many rows and columns of W are inside; there is room for their lanes.
                unsafe { s.transpose(w.wrapping_add(i), inputs, (rows, columns), lanes, at) }
            }
        }
    }

    /// `R` rows of `x`, from `row` on, against the copy of `C` vectors of rows of `W`, from `j` on.
    ///
    /// # Safety
    /// They are inside, but for the end of the last vector.
    #[cfg_attr(optimized, inline(always))]
    unsafe fn columns_tile<S, const R: usize, const C: usize, const AT_ONCE: usize>(
        &self,
        s: S,
        (row, j): (usize, usize),
    ) where
        S: Simd<T>,
    {
        // SAFETY: by contract; vectors are whole, or masked at the last output.
        unsafe {
            let x = self.x.add(row * self.inputs);
            let mut lanes = Lanes { job: self, x, w: self.memory };
            let sums = if const { AT_ONCE == ALL } {
                lanes.all_lanes::<S, R, C>(s, 0)
            } else {
                lanes.waiting_lanes::<S, R, C, AT_ONCE>(s)
            };
            let absent = const { AT_ONCE == ALL } && self.inputs < REDUCTION_LANES;
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

    /// Rows `first .. end` of `x` against `C` vectors of rows of `W`, from `j` on. Returns how many.
    ///
    /// # Safety
    /// As [`run_forward_columns`].
    #[inline(always)]
    unsafe fn columns<S, const R: usize, const C: usize, const AT_ONCE: usize>(
        &self,
        s: S,
        (first, end): (usize, usize),
        j: usize,
    ) -> usize
    where
        S: Simd<T>,
    {
        let mut row = first;
        // SAFETY: row + R <= end, then row < end.
        unsafe {
            self.copy_columns::<S, C>(s, j);
            while row + R <= end {
                self.columns_tile::<S, R, C, AT_ONCE>(s, (row, j));
                row += R;
            }
            while R > 3 && row + 3 <= end {
                self.columns_tile::<S, 3, C, AT_ONCE>(s, (row, j));
                row += 3;
            }
            while row < end {
                self.columns_tile::<S, 1, C, AT_ONCE>(s, (row, j));
                row += 1;
            }
        }
        C
    }
}

/// The forward product with `n` outputs side by side, what is left of them as dot products: as many rows of `x` as stay
/// in the second-level cache see all of `W`.
///
/// # Safety
/// The lengths were checked; `n` is of [`side_by_side`]; `memory` has [`ROOM`] bytes.
#[allow(clippy::too_many_arguments)]
pub(super) unsafe fn forward_side_by_side<T: Element>(
    isa: Isa,
    dims: Dims,
    x: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    from: Start,
    y: &mut [T],
    memory: *mut T,
    n: usize,
) {
    let Dims { inputs, outputs, .. } = dims;
    let rows = fit::<T>(X_BYTES, y.len() / outputs.max(1), inputs, MULTIPLE).max(MULTIPLE);
    let xs = x.chunks((rows * inputs).max(1));
    for (x, y) in xs.zip(y.chunks_mut((rows * outputs).max(1))) {
        // SAFETY: by contract; so many rows of both.
        unsafe {
            if let Some((job, rows)) = Forward::new(dims, x, weight, bias, from, y, memory) {
                T::forward_columns(isa, &job, rows, n);
            }
            if n < outputs {
                T::forward(isa, dims, x, weight, bias, from, y, core::ptr::null_mut(), n);
            }
        }
    }
}

/// The first `n` outputs of `rows` rows, side by side.
///
/// # Safety
/// As [`forward_side_by_side`].
#[inline(always)]
pub(crate) unsafe fn run_forward_columns<T: Element, S: Simd<T>>(
    s: S,
    job: &Forward<'_, T>,
    rows: usize,
    n: usize,
) {
    let rows = (0, rows);
    let (short, long) = (job.inputs <= SHORT, s.intel() && job.inputs >= LONG);
    let mut j = 0;
    while j < n {
        let vectors = (n - j).div_ceil(S::LANES);
        // SAFETY: by contract; so many vectors begin before the last output.
        unsafe {
            by_room!(T, S, {
                Vectors32 => j += S::LANES * match vectors {
                    WIDEST.. if long => job.columns::<S, 6, WIDEST, 1>(s, rows, j),
                    3 if long => job.columns::<S, 6, 3, 1>(s, rows, j),
                    WIDE.. if short => job.columns::<S, 4, WIDE, ALL>(s, rows, j),
                    WIDE.. => job.columns::<S, 6, WIDE, 2>(s, rows, j),
                    _ if short => job.columns::<S, 4, 1, ALL>(s, rows, j),
                    _ => job.columns::<S, 6, 1, 2>(s, rows, j),
                },
                Vectors16 => j += S::LANES * match vectors {
                    WIDE.. if short => job.columns::<S, 2, WIDE, ALL>(s, rows, j),
                    WIDE.. => job.columns::<S, 3, WIDE, 2>(s, rows, j),
                    _ if short => job.columns::<S, 4, 1, ALL>(s, rows, j),
                    _ => job.columns::<S, 3, 1, 2>(s, rows, j),
                },
                // It has no outputs side by side.
                Emulated | Scalars32 | Software => return,
            });
        }
    }
}
