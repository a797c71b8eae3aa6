//! The forward product of a linear layer.
//!
//! ```text
//! y[b,t,j] += sum_i W[j,i] x[b,t,i] + bias[j]     the sum in 16 lanes over i
//! ```
//!
//! Plan: tiles of dot products, `R` rows of `x` against `C` rows of `W`, each with its 16 lanes in one, two or four
//! vectors; the lanes are added up once at the end of the row. What is left over of `W` goes in tiles of fewer rows, and
//! of more of `x`. Rows of `W` whose vectors lie across two lines of the cache are copied first, if there are many rows
//! of `x`. Short rows go another way ([`super::columns`]), and so do longer ones that many rows of `x` see.

use core::mem::MaybeUninit;

use super::columns;
use super::plan::{CACHES, FAR, evenly};
use super::row::fetch_lines;
use super::stack::{COPY_BYTES, with_room};
use super::vectors::advance;
use crate::dims::check;
use crate::simd::{REDUCTION_LANES, Simd};
use crate::{Dims, Element, Error, Isa, Start};

/// The forward product: `y[b,t,j] = y[b,t,j] + (sum_i W[j,i] x[b,t,i] + bias[j])`.
///
/// * `x [B, T, I]`, `weight [J, I]` (as `nn.Linear.weight`), `bias [J]` or none.
/// * `y`: `[B, T, J]`; added to with [`Start::Resume`], overwritten as if it held `+0` and never read
///   with [`Start::Fresh`].
///
/// Fastest if rows of `weight` are aligned to vectors (64 bytes); if they are not, targets with vectors take 64 KiB of
/// stack to copy some of them, for 48 rows of `y` and more. Rows of up to 256 columns (AVX2: 1024) are copied for many
/// rows of `y` wherever they lie, to 70 KiB.
///
/// # Errors
/// [`Error::Length`] and [`Error::Overflow`]; nothing is written then.
///
/// ```
/// use pergrad_core::{Dims, Isa, Start, forward};
/// let (x, w) = ([1.0f32, 2.0], [3.0, 4.0, 5.0, 6.0]);
/// let mut y = [0.0; 2]; // B = 1, J = 2, I = 2
/// forward(Isa::detect(), Dims::new(1, 2, 2), &x, &w, Some(&[0.5, -1.0]), Start::Fresh, &mut y)?;
/// assert_eq!(y, [11.5, 16.0]);
/// # Ok::<(), pergrad_core::Error>(())
/// ```
pub fn forward<T: Element>(
    isa: Isa,
    dims: Dims,
    x: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    from: Start,
    y: &mut [T],
) -> Result<(), Error> {
    check_forward(dims, x, weight, bias, y)?;
    // (Closures that move: what others refer to would go through memory for small products, too, which takes 10 ns.)
    // SAFETY: the lengths were checked.
    unsafe {
        let n = columns::side_by_side::<T>(isa, dims, y);
        if n > 0 {
            with_room::<T, { columns::ROOM }>(move |memory| {
                columns::forward_side_by_side(isa, dims, x, weight, bias, from, y, memory, n);
            });
        } else if copying_pays(isa, dims, weight, y) {
            with_room::<T, COPY_BYTES>(move |memory| {
                T::forward(isa, dims, x, weight, bias, from, y, memory, 0);
            });
        } else {
            T::forward(isa, dims, x, weight, bias, from, y, core::ptr::null_mut(), 0);
        }
    }
    Ok(())
}

/// The checks of [`forward`].
pub(crate) fn check_forward<T>(
    dims: Dims,
    x: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    y: &[T],
) -> Result<(), Error> {
    check("x", x.len(), dims.x_len()?)?;
    check("weight", weight.len(), dims.weight_len()?)?;
    if let Some(bias) = bias {
        check("bias", bias.len(), dims.outputs)?;
    }
    check("y", y.len(), dims.y_len().map_err(|_| Error::Overflow { arg: "y" })?)
}

/// What the forward product reads and writes.
#[derive(Clone, Copy)]
pub struct Forward<'a, T> {
    pub(super) x: *const T,
    pub(super) weight: *const T,
    pub(super) bias: Option<&'a [T]>,
    pub(super) from: Start,
    pub(super) y: *mut T,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// Room for a copy of a few rows of `W`, or null.
    pub(super) memory: *mut T,
    /// One row of `x` against more rows of `W` than the second-level cache holds: they are fetched ahead.
    far: bool,
    /// Where some of the rows of `x` begin that come after these, and how many elements of them are fetched for each of
    /// these.
    next: (*const T, usize),
}

impl<'a, T: Element> Forward<'a, T> {
    /// What is read and written, lengths checked, and how many rows of `x` there are.
    pub(super) fn new(
        dims: Dims,
        x: &'a [T],
        weight: &'a [T],
        bias: Option<&'a [T]>,
        from: Start,
        y: &mut [T],
        memory: *mut T,
    ) -> Option<(Self, usize)> {
        let Dims { outputs, inputs, .. } = dims;
        let rows = y.len().checked_div(outputs)?;
        let far = CACHES && rows == 1 && size_of_val(weight) >= FAR;
        let (x, weight, y) = (x.as_ptr(), weight.as_ptr(), y.as_mut_ptr());
        Some((
            Forward { x, weight, bias, from, y, inputs, outputs, memory, far, next: (x, 0) },
            rows,
        ))
    }

    /// Columns `i .. to` of the dot products of `R` rows of `x`, from `row` on, with `C` rows of `W`, from `j` on.
    /// Their sums come from `held` if there are columns before, and go there if more are to come; so they do only if this is
    /// a `PART` of the columns, or may be.
    ///
    /// # Safety
    /// `R` rows of `x` and `y` and `C` rows of `W` are inside, and as many columns; `held` is readable and writable
    /// where it is used. `i` and the number of columns are multiples of 16, but for the last.
    #[cfg_attr(optimized, inline(always))]
    unsafe fn tile<
        S,
        const R: usize,
        const C: usize,
        const G: usize,
        const COPIED: bool,
        const PART: bool,
    >(
        self,
        s: S,
        (row, j): (usize, usize),
        (mut i, to): (usize, usize),
        held: *mut [[[S::V; G]; C]; R],
    ) where
        S: Simd<T>,
    {
        // SAFETY: by contract; i + 16 <= to in the body, and the tail touches `rest` elements.
        unsafe {
            if const { R > 1 && C > 1 } && to == self.inputs {
                // Those of the next tile: stores that miss hold up those behind them.
                for r in row + R..row + 2 * R {
                    s.prefetch(self.y.wrapping_add(r * self.outputs + j));
                }
            }
            let x = self.x.add(row * self.inputs);
            let (w, w_row) = match COPIED {
                true => (self.memory.cast_const(), REDUCTION_LANES),
                false => (self.weight.add(j * self.inputs), self.inputs),
            };
            let w_step = if COPIED { C * REDUCTION_LANES } else { REDUCTION_LANES };
            let mut sums = s.zeros::<R, C, G>();
            if i > 0 {
                sums = held.read();
            }
            if let Some(loops) = const { if R == 1 && C == 1 { S::LOOPS } else { None } } {
                let blocks = self.inputs / REDUCTION_LANES;
                (loops.dot)(x, w, blocks, sums.as_mut_ptr().cast());
                i = blocks * REDUCTION_LANES;
            }
            // Rows that no index finds from their first elements: each of three pointers finds four of `W`.
            // (Of copied rows all columns are gone through at once.)
            let mut x_at = x.add(i);
            let mut w_at = [w.add(i), w.wrapping_add(i + 4 * w_row), w.wrapping_add(i + 8 * w_row)];
            while i + REDUCTION_LANES <= to {
                // (Rows past the end of this one's are those of the next tile.)
                let past = if i + AHEAD < self.inputs { 0 } else { (C - 1) * self.inputs };
                for g in 0..G {
                    let [[mut xs]] = s.zeros::<1, 1, R>();
                    for (r, xs) in xs.iter_mut().enumerate() {
                        let x = if const { C > 4 } { x_at } else { x.add(i) };
                        if const { PART && R > 1 && S::REGISTERS == 16 } && g == 0 {
                            s.prefetch(x.wrapping_add(r * self.inputs + X_AHEAD / size_of::<T>()));
                        }
                        *xs = s.load(x.add(r * self.inputs + g * S::LANES));
                    }
                    for c in 0..C {
                        let (w, row) = match COPIED {
                            true => (w_at[0], c),
                            false if const { C > 4 } => (w_at[c / 4], c % 4),
                            false => (w.add(i), c),
                        };
                        let w = w.add(row * w_row + g * S::LANES);
                        if const { R == 1 } && self.far {
                            s.prefetch(w.wrapping_add(AHEAD + past));
                        }
                        let ws = s.load(w);
                        for r in 0..R {
                            sums[r][c][g] = s.fma(ws, xs[r], sums[r][c][g]);
                        }
                    }
                }
                i += REDUCTION_LANES;
                x_at = s.opaque(x_at.wrapping_add(REDUCTION_LANES));
                advance(s, &mut w_at, w_step);
            }
            if to < self.inputs {
                return held.write(sums);
            }
            for g in 0..G {
                let at = i + g * S::LANES;
                if at >= self.inputs {
                    break;
                }
                // Lanes without an element multiply -0 and 0, which adds nothing to any sum.
                let n = S::LANES.min(self.inputs - at);
                let [[mut xs]] = s.zeros::<1, 1, R>();
                for (r, xs) in xs.iter_mut().enumerate() {
                    *xs = s.load_first(x.add(r * self.inputs + at), n, T::ZERO);
                }
                for c in 0..C {
                    let ws = match COPIED {
                        true => s.load(w_at[0].add(c * w_row + g * S::LANES)),
                        false => s.load_first(w.add(c * self.inputs + at), n, T::NEG_ZERO),
                    };
                    for r in 0..R {
                        sums[r][c][g] = s.fma(ws, xs[r], sums[r][c][g]);
                    }
                }
            }
            for (r, sums) in s.sum_lanes(&sums).into_iter().enumerate() {
                self.finish(row + r, j, sums);
            }
        }
    }

    /// Adds finished sums to `y[row, j ..]`, together: they are stored when all are read.
    ///
    /// # Safety
    /// They are inside.
    #[inline(always)]
    unsafe fn finish<const C: usize>(&self, row: usize, j: usize, mut sums: [T; C]) {
        // SAFETY: by contract; the bias is as long as `W` has rows. An array of `T` is aligned as `T` is.
        unsafe {
            if let Some(bias) = self.bias {
                let bias = bias.as_ptr().add(j).cast::<[T; C]>().read();
                for (sum, bias) in sums.iter_mut().zip(bias) {
                    *sum = *sum + bias;
                }
            }
            let y = self.y.add(row * self.outputs + j).cast::<[T; C]>();
            let from = if self.from == Start::Resume { y.read() } else { [T::ZERO; C] };
            for (sum, y) in sums.iter_mut().zip(from) {
                *sum = y + *sum;
            }
            y.write(sums);
        }
    }

    /// Copies rows `j .. j + C` of `W` as `[k][c][16]`; the last columns are filled up with `-0`.
    ///
    /// # Safety
    /// They are inside, and there is room for them.
    #[cfg_attr(optimized, inline(always))]
    unsafe fn copy<S, const C: usize, const G: usize>(self, s: S, j: usize)
    where
        S: Simd<T>,
    {
        let (mut i, mut to) = (0, self.memory);
        while i < self.inputs {
            for c in 0..C {
                for g in 0..G {
                    let at = i + g * S::LANES;
                    let n = S::LANES.min(self.inputs.saturating_sub(at));
                    // SAFETY: columns at .. at + n are inside; there is room for whole vectors.
                    unsafe {
                        let w = self.weight.wrapping_add((j + c) * self.inputs + at);
                        s.store(
                            to,
                            if n < S::LANES { s.load_first(w, n, T::NEG_ZERO) } else { s.load(w) },
                        );
                        to = to.add(S::LANES);
                    }
                }
            }
            i += REDUCTION_LANES;
        }
    }

    /// Tiles of `R` rows of `x`, from `row` on, with `n` times `C` rows of `W`, from `j` on.
    ///
    /// # Safety
    /// As [`Self::tile`], for all of them; copies lie one after the other.
    #[inline(always)]
    unsafe fn tiles<S, const R: usize, const C: usize, const G: usize, const COPIED: bool>(
        self,
        s: S,
        row: usize,
        (j, n): (usize, usize),
    ) where
        S: Simd<T>,
    {
        let (all, nowhere) = ((0, self.inputs), core::ptr::null_mut());
        // SAFETY: by contract.
        unsafe {
            for k in 0..n {
                let job = if COPIED { self.at_copy(k * C) } else { self };
                job.tile::<S, R, C, G, COPIED, false>(s, (row, j + k * C), all, nowhere);
            }
        }
    }

    /// The same, where the copies of so many rows of `W` end.
    #[inline(always)]
    fn at_copy(self, rows: usize) -> Self {
        Forward { memory: self.memory.wrapping_add(self.copy_len(rows)), ..self }
    }

    /// Elements of a copy of so many rows of `W`.
    fn copy_len(&self, rows: usize) -> usize {
        rows * self.inputs.next_multiple_of(REDUCTION_LANES)
    }

    /// Rows of `W` from `j` on, `n` times `C`, against rows `first .. end` of `x`. Of long rows, those of a few tiles see
    /// some columns of `W` at a time, which stay in the first-level cache.
    ///
    /// # Safety
    /// They are inside.
    #[cfg_attr(optimized, inline(always))]
    unsafe fn rows<S, const R: usize, const C: usize, const G: usize, const COPIES: bool>(
        self,
        s: S,
        (first, end): (usize, usize),
        (j, n): (usize, usize),
    ) where
        S: Simd<T>,
    {
        let mut row = first;
        // SAFETY: row + R <= end, then row < end; there is a place for the sums of each tile, and for the copies.
        unsafe {
            let room = self.copy_len(n * C) <= COPY_BYTES / size_of::<T>();
            let copied = COPIES && room && !self.memory.is_null() && end - first >= MANY;
            for k in 0..if copied { n } else { 0 } {
                self.at_copy(k * C).copy::<S, C, G>(s, j + k * C);
            }
            let mut held = MaybeUninit::<[[[[S::V; G]; C]; R]; HELD]>::uninit();
            let held = held.as_mut_ptr().cast::<[[[S::V; G]; C]; R]>();
            let (most, least) = const { part::<T>(R, C, G) };
            let long = !copied && n == 1 && self.inputs >= least;
            let columns = if long { evenly(self.inputs, most) } else { 0 };
            let columns = columns.next_multiple_of(REDUCTION_LANES);
            while const { part::<T>(R, C, G).0 > 0 } && long && row + 2 * R <= end {
                let tiles = HELD.min((end - row) / R);
                let mut i = 0;
                while i < self.inputs {
                    let to = self.inputs.min(i + columns);
                    for k in 0..tiles {
                        let at = (row + k * R, j);
                        self.tile::<S, R, C, G, false, true>(s, at, (i, to), held.add(k));
                    }
                    i = to;
                }
                self.fetch_next(s, row - first, tiles * R);
                row += tiles * R;
            }
            while row + R <= end {
                self.fetch_next(s, row - first, R);
                // (A constant first, so that what is not copied is not compiled.)
                if COPIES && copied {
                    self.tiles::<S, R, C, G, true>(s, row, (j, n));
                } else {
                    self.tiles::<S, R, C, G, false>(s, row, (j, n));
                }
                row += R;
            }
            while const { R > 2 } && row + 2 <= end {
                self.tiles::<S, 2, C, G, false>(s, row, (j, n));
                row += 2;
            }
            while row < end {
                self.tiles::<S, 1, C, G, false>(s, row, (j, n));
                row += 1;
            }
        }
    }

    /// What is to be done when there are so many passes to go, this one among them, until rows `row .. end` of `x` are
    /// left for those after them: each of the last passes fetches its part of these.
    #[inline(always)]
    fn ahead(self, passes: usize, (row, end): (usize, usize)) -> Self {
        if passes > PASSES {
            return self;
        }
        let each = self.inputs / PASSES;
        let at = end * self.inputs + passes.saturating_sub(1) * (end - row) * each;
        Forward { next: (self.x.wrapping_add(at), each), ..self }
    }

    /// Fetches what is to be fetched for `n` rows, after as many as were `done`.
    #[inline(always)]
    fn fetch_next<S: Simd<T>>(&self, s: S, done: usize, n: usize) {
        let (next, each) = self.next;
        if CACHES {
            fetch_lines(s, next.wrapping_add(done * each), n * each);
        }
    }

    /// The last rows of `W`, `j` and those after it, in one tile of all of them for as many rows of `x` as there is room
    /// for: these are read once, not for each few rows of `W`.
    ///
    /// # Safety
    /// As [`Self::rows`]; 1 to 7 are left, or 9 to [`REST`].
    #[inline(always)]
    unsafe fn rest<S, const G: usize>(self, s: S, rows: (usize, usize), j: usize)
    where
        S: Simd<T>,
    {
        // SAFETY: by contract.
        unsafe {
            match self.outputs - j {
                1 => self.rows::<S, 6, 1, G, false>(s, rows, (j, 1)),
                2 => self.rows::<S, 6, 2, G, false>(s, rows, (j, 1)),
                3 => self.rows::<S, 6, 3, G, false>(s, rows, (j, 1)),
                4 => self.rows::<S, 4, 4, G, false>(s, rows, (j, 1)),
                5 => self.rows::<S, 4, 5, G, false>(s, rows, (j, 1)),
                6 => self.rows::<S, 4, 6, G, false>(s, rows, (j, 1)),
                7 => self.rows::<S, 3, 7, G, false>(s, rows, (j, 1)),
                9 => self.rows::<S, 2, 9, G, false>(s, rows, (j, 1)),
                10 => self.rows::<S, 2, 10, G, false>(s, rows, (j, 1)),
                _ => self.rows::<S, 2, 11, G, false>(s, rows, (j, 1)),
            }
        }
    }

    /// Bytes of `x` that stay in the second-level cache: less of it for long rows where tiles are low, which read more of it
    /// (unless so few rows would be left that `W` comes from afar too often).
    #[inline(always)]
    fn x_bytes<S: Simd<T>>(&self) -> usize {
        let long = self.inputs > LONG && self.inputs <= LONGEST / size_of::<T>();
        if const { S::REGISTERS == 16 } && long { X_BYTES / 2 } else { X_BYTES }
    }

    /// All rows, and the outputs from `first` on: as many rows of `x` as stay in the second-level cache see all of `W`,
    /// as many of its rows at a time as stay in the first. Tiles are `R` by `C`; what is left over of `W` goes in
    /// [`Self::rest`] if it is `WHOLE`, else `R` by `HALF`, then `R` by one.
    ///
    /// # Safety
    /// The lengths were checked against the extents.
    #[inline(always)]
    unsafe fn all<
        S,
        const R: usize,
        const C: usize,
        const HALF: usize,
        const G: usize,
        const WHOLE: bool,
        const COPIES: bool,
    >(
        self,
        s: S,
        rows: usize,
        first: usize,
    ) where
        S: Simd<T>,
    {
        let most = fit::<T>(self.x_bytes::<S>(), rows, self.inputs, R).max(2 * R);
        let tiles =
            if CACHES { (fit::<T>(W_BYTES, self.outputs, self.inputs, C) / C).max(1) } else { 1 };
        // (Copied rows stay together.)
        let rest = if WHOLE && self.memory.is_null() { REST } else { C - 1 };
        let mut row = 0;
        while row < rows {
            let end = row + most.min(rows - row);
            let mut j = first;
            // SAFETY: end <= rows; j + n * C <= outputs, then j < outputs.
            unsafe {
                while j + C == self.outputs || j + rest < self.outputs {
                    let n = if CACHES { tiles.min((self.outputs - j) / C) } else { 1 };
                    let mut job = self;
                    if CACHES && end < rows {
                        job = self.ahead((self.outputs - j) / C / n.max(1), (row, end));
                    }
                    job.rows::<S, R, C, G, COPIES>(s, (row, end), (j, n));
                    j += n * C;
                }
                if WHOLE && j < self.outputs {
                    self.rest::<S, G>(s, (row, end), j);
                    j = self.outputs;
                }
                if const { HALF > 1 } && j + HALF <= self.outputs {
                    self.rows::<S, R, HALF, G, false>(s, (row, end), (j, 1));
                    j += HALF;
                }
                while const { C > 1 } && j < self.outputs {
                    self.rows::<S, R, 1, G, false>(s, (row, end), (j, 1));
                    j += 1;
                }
            }
            row = end;
        }
    }
}

/// The most rows of `W` that are left over for a tile of their own.
const REST: usize = 11;

/// Bytes of `x` that are gone through for each few rows of `W`.
pub(super) const X_BYTES: usize = 512 << 10;

/// The last passes over them in which those that follow are fetched.
const PASSES: usize = 8;

/// Bytes of these rows of `W`: most of a first-level cache.
const W_BYTES: usize = 24 << 10;

/// Tiles whose sums are held between some columns and the next.
const HELD: usize = if CACHES { 8 } else { 1 };

/// The most columns of long rows that `R` rows of `x` go through at a time with `C` of `W`, which fit a first-level cache
/// then, and the least of a row that is long; 0 for all.
const fn part<T>(r: usize, c: usize, groups: usize) -> (usize, usize) {
    match (r, groups) {
        _ if !CACHES || c == 1 => (0, 0),
        (1, 4) if size_of::<T>() == 8 => (680, 1088),
        (1, _) => (0, 0),
        (2, 2) => (1024, 1600),
        _ => (1024, 2048),
    }
}

/// Columns of rows that are longer than short, and bytes of those that are not longer still, where there are 16 registers.
const LONG: usize = 1024;
const LONGEST: usize = 16 << 10;

/// Bytes of a row of `x` that are fetched ahead there.
const X_AHEAD: usize = 256;

/// Elements of a row of `W` that are fetched ahead.
const AHEAD: usize = 256;

/// Rows of `x` from which on a few rows of `W` are copied.
const MANY: usize = 48;

/// How many of `rows` fit so many bytes: all of them, or a multiple of so many. (Small products are spared the division.)
#[inline(always)]
pub(super) fn fit<T>(bytes: usize, rows: usize, inputs: usize, multiple: usize) -> usize {
    let room = bytes / size_of::<T>();
    let all = rows * inputs <= room;
    if all { rows } else { room / inputs.max(1) / multiple * multiple }
}

/// Whether `W` is rather read from copies of its rows, whose vectors do not lie across two lines of the cache.
fn copying_pays<T: Element>(isa: Isa, dims: Dims, weight: &[T], y: &[T]) -> bool {
    if !CACHES || y.len() / MANY < dims.outputs || dims.inputs <= REDUCTION_LANES {
        return false;
    }
    // SAFETY: it has no conditions.
    let shape = unsafe { T::shape(isa) };
    let vector = shape.lanes() * size_of::<T>();
    let row = dims.inputs * size_of::<T>();
    let aligned = row.is_multiple_of(vector) && weight.as_ptr().addr().is_multiple_of(vector);
    shape.holds_sums() && !aligned
}

/// The loops of [`forward`], for the outputs from `first` on.
///
/// # Safety
/// Its lengths were checked; `memory` is null, or writable for [`COPY_BYTES`] bytes; `first` is at most `outputs`.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub(crate) unsafe fn run_forward<T: Element, S: Simd<T>>(
    s: S,
    dims: Dims,
    x: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    from: Start,
    y: &mut [T],
    memory: *mut T,
    first: usize,
) {
    let Some((job, rows)) = Forward::new(dims, x, weight, bias, from, y, memory) else { return };
    // SAFETY: the lengths of x, weight, bias and y were checked against the extents.
    unsafe {
        // (Constants, so that only what is for `S` is compiled.)
        if const { S::REGISTERS == 32 && S::LANES == REDUCTION_LANES } {
            if job.far {
                // Fewer rows at once are read faster from afar.
                job.all::<S, 1, 4, 1, 1, false, false>(s, rows, first);
            } else {
                job.all::<S, 3, 8, 1, 1, true, CACHES>(s, rows, first);
            }
        } else if const { S::REGISTERS == 32 && 2 * S::LANES == REDUCTION_LANES } {
            job.all::<S, 3, 4, 2, 2, false, CACHES>(s, rows, first);
        } else if const { S::LANES == REDUCTION_LANES } {
            job.all::<S, 3, 4, 1, 1, false, CACHES>(s, rows, first);
        } else if const { 2 * S::LANES == REDUCTION_LANES } {
            job.all::<S, 2, 3, 1, 2, false, CACHES>(s, rows, first);
        } else if const { 4 * S::LANES == REDUCTION_LANES } {
            job.all::<S, 1, 3, 1, 4, false, false>(s, rows, first);
        } else {
            job.all::<S, 1, 1, 1, REDUCTION_LANES, false, false>(s, rows, first);
        }
    }
}
