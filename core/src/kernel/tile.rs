//! Register tiles: the inner loops that `grad`, `moments`, the layer step and the input gradient
//! share.
//!
//! A tile is `ROWS` rows of `VECS` vectors of a `[J, I]` output. Its sums live in registers while the
//! batch goes by; each step of it loads `VECS` vectors of `x` and broadcasts `ROWS` elements of `dy`.
//! Lanes are output elements, so every sum is a fold in index order whatever the tile's size.
//!
//! Sizes: with 32 registers 6 x 2 moments (two sums each: 24 accumulators, 2 `x`, 1 `dy`, the
//! products), with 16 registers 3 x 2; a sequence holds `g` as well, so 4 x 2 and 2 x 2. One row of
//! the same width serves what is left over.

use crate::simd::Simd;
use crate::{Element, Start};

/// Most elements in a tile, of any ISA and type: 6 rows of 2 vectors of 16.
pub(crate) const MAX_TILE: usize = 6 * 2 * 16;

/// What a tile reads: `x[b, t, i]` and `dy[b, t, j]`, from its first row and column on.
#[derive(Clone, Copy)]
pub(crate) struct Source<T> {
    pub(crate) batch: usize,
    pub(crate) steps: usize,
    pub(crate) x: *const T,
    /// Elements from one `(b, t)` of `x` to the next.
    pub(crate) x_stride: usize,
    pub(crate) dy: *const T,
    /// Elements from one `(b, t)` of `dy` to the next.
    pub(crate) dy_stride: usize,
    /// Elements from one row's `dy` to the next row's.
    pub(crate) dy_row: usize,
    /// `c[b]`, or null.
    pub(crate) weights: *const T,
}

impl<T: Element> Source<T> {
    /// The same, `j` rows and `i` columns further.
    ///
    /// # Safety
    /// `j` and `i` are inside (or one past) the rows and columns.
    #[inline(always)]
    unsafe fn at(self, j: usize, i: usize) -> Self {
        // SAFETY: by contract.
        unsafe { Source { x: self.x.add(i), dy: self.dy.add(j * self.dy_row), ..self } }
    }

    /// The weight of example `b`, in every lane; 1 where there are none.
    ///
    /// # Safety
    /// `b < batch`.
    #[inline(always)]
    unsafe fn weight(&self, b: usize) -> T {
        // SAFETY: b < batch elements by contract.
        if self.weights.is_null() { T::ONE } else { unsafe { *self.weights.add(b) } }
    }

    /// `c[b] dy[.., row]` in every lane, for the `(b, t)` that `dy` points to.
    ///
    /// # Safety
    /// `row` is inside the tile.
    #[inline(always)]
    unsafe fn dy<S: Simd<T>>(&self, s: S, dy: *const T, row: usize, weight: T) -> S::V {
        // SAFETY: by contract.
        let dy = unsafe { *dy.add(row * self.dy_row) };
        // Multiplying by 1 is exact (but for NaN payloads, which are nobody's business).
        s.splat(if self.weights.is_null() { dy } else { weight * dy })
    }
}

/// Where a tile's sums start, what they are multiplied with at the end.
#[derive(Clone, Copy)]
pub(crate) struct Ends<T> {
    pub(crate) start: Start,
    pub(crate) scale: Option<T>,
}

/// `VECS` vectors from memory; the last one has `n - (VECS - 1) LANES` lanes if `TAIL`, others `+0`.
///
/// # Safety
/// `p` is readable for `VECS * LANES` elements, or for `n` if `TAIL`.
#[inline(always)]
pub(crate) unsafe fn load<T, S, const VECS: usize, const TAIL: bool>(
    s: S,
    p: *const T,
    n: usize,
) -> [S::V; VECS]
where
    T: Element,
    S: Simd<T>,
{
    let mut out = [s.splat(T::ZERO); VECS];
    for (v, out) in out.iter_mut().enumerate() {
        // SAFETY: inside the elements promised by contract.
        *out = unsafe {
            if TAIL && v == VECS - 1 {
                s.load_first(p.add(v * S::LANES), n - v * S::LANES, T::ZERO)
            } else {
                s.load(p.add(v * S::LANES))
            }
        };
    }
    out
}

/// The counterpart of [`load`].
///
/// # Safety
/// As [`load`], writable.
#[inline(always)]
pub(crate) unsafe fn store<T, S, const VECS: usize, const TAIL: bool>(
    s: S,
    p: *mut T,
    n: usize,
    values: [S::V; VECS],
) where
    T: Element,
    S: Simd<T>,
{
    for (v, value) in values.into_iter().enumerate() {
        // SAFETY: inside the elements promised by contract.
        unsafe {
            if TAIL && v == VECS - 1 {
                s.store_first(p.add(v * S::LANES), n - v * S::LANES, value);
            } else {
                s.store(p.add(v * S::LANES), value);
            }
        }
    }
}

/// One output array of a tile: its first element and the distance of its rows.
#[derive(Clone, Copy)]
pub(crate) struct Out<T> {
    pub(crate) p: *mut T,
    pub(crate) stride: usize,
}

impl<T: Element> Out<T> {
    /// The tile at row `j`, column `i`.
    ///
    /// # Safety
    /// It is inside the array.
    #[inline(always)]
    pub(crate) unsafe fn at(self, j: usize, i: usize) -> Self {
        // SAFETY: by contract.
        Out { p: unsafe { self.p.add(j * self.stride + i) }, ..self }
    }

    /// The sums that a tile starts from.
    ///
    /// # Safety
    /// The tile's elements are readable if the fold resumes.
    #[inline(always)]
    unsafe fn start<S, const ROWS: usize, const VECS: usize, const TAIL: bool>(
        self,
        s: S,
        n: usize,
        start: Start,
    ) -> [[S::V; VECS]; ROWS]
    where
        S: Simd<T>,
    {
        let mut sums = [[s.splat(T::ZERO); VECS]; ROWS];
        if start == Start::Resume {
            for (r, row) in sums.iter_mut().enumerate() {
                // SAFETY: by contract.
                *row = unsafe { load::<T, S, VECS, TAIL>(s, self.p.add(r * self.stride), n) };
            }
        }
        sums
    }

    /// Stores the finished sums.
    ///
    /// # Safety
    /// The tile's elements are writable.
    #[inline(always)]
    unsafe fn finish<S, const ROWS: usize, const VECS: usize, const TAIL: bool>(
        self,
        s: S,
        n: usize,
        scale: Option<T>,
        mut sums: [[S::V; VECS]; ROWS],
    ) where
        S: Simd<T>,
    {
        for (r, row) in sums.iter_mut().enumerate() {
            if let Some(scale) = scale {
                for v in row.iter_mut() {
                    *v = s.mul(*v, s.splat(scale));
                }
            }
            // SAFETY: by contract.
            unsafe { store::<T, S, VECS, TAIL>(s, self.p.add(r * self.stride), n, *row) }
        }
    }
}

/// `sum[r][i] = fold_{b,t} fma(c[b] dy[b,t,r], x[b,t,i], sum)`, the matrix product.
///
/// # Safety
/// `src` is readable for the tile's rows and columns, `out` writable (and readable to resume); with
/// `TAIL` the last vector has `n - (VECS - 1) LANES` columns.
#[inline(always)]
pub(crate) unsafe fn grad<T, S, const ROWS: usize, const VECS: usize, const TAIL: bool>(
    s: S,
    src: Source<T>,
    n: usize,
    ends: Ends<T>,
    out: Out<T>,
) where
    T: Element,
    S: Simd<T>,
{
    // SAFETY: by contract; the loops stay inside batch, steps, rows and columns.
    unsafe {
        let mut sum = out.start::<S, ROWS, VECS, TAIL>(s, n, ends.start);
        let (mut x, mut dy) = (src.x, src.dy);
        for b in 0..src.batch {
            let weight = src.weight(b);
            for _ in 0..src.steps {
                let xs = load::<T, S, VECS, TAIL>(s, x, n);
                for r in 0..ROWS {
                    let d = src.dy(s, dy, r, weight);
                    for v in 0..VECS {
                        sum[r][v] = s.fma(d, xs[v], sum[r][v]);
                    }
                }
                (x, dy) = (x.wrapping_add(src.x_stride), dy.wrapping_add(src.dy_stride));
            }
        }
        out.finish::<S, ROWS, VECS, TAIL>(s, n, ends.scale, sum);
    }
}

/// `g = fold_t`, then `sum = sum + g` and `sum_sq = fma(g, g, sum_sq)` over `b`.
///
/// `SEQUENCE` is false for `T = 1`, where `g` is one product.
///
/// # Safety
/// As [`grad`], with two outputs.
#[inline(always)]
pub(crate) unsafe fn moments<
    T,
    S,
    const ROWS: usize,
    const VECS: usize,
    const TAIL: bool,
    const SEQUENCE: bool,
>(
    s: S,
    src: Source<T>,
    n: usize,
    ends: Ends<T>,
    out: Out<T>,
    out_sq: Out<T>,
) where
    T: Element,
    S: Simd<T>,
{
    // SAFETY: by contract; the loops stay inside batch, steps, rows and columns.
    unsafe {
        let mut sum = out.start::<S, ROWS, VECS, TAIL>(s, n, ends.start);
        let mut sum_sq = out_sq.start::<S, ROWS, VECS, TAIL>(s, n, ends.start);
        let (mut x, mut dy) = (src.x, src.dy);
        for b in 0..src.batch {
            let weight = src.weight(b);
            if SEQUENCE {
                let mut g = [[s.splat(T::ZERO); VECS]; ROWS];
                for t in 0..src.steps {
                    let xs = load::<T, S, VECS, TAIL>(s, x, n);
                    for r in 0..ROWS {
                        let d = src.dy(s, dy, r, weight);
                        for v in 0..VECS {
                            g[r][v] =
                                if t == 0 { s.mul(d, xs[v]) } else { s.fma(d, xs[v], g[r][v]) };
                        }
                    }
                    (x, dy) = (x.wrapping_add(src.x_stride), dy.wrapping_add(src.dy_stride));
                }
                for r in 0..ROWS {
                    for v in 0..VECS {
                        sum[r][v] = s.add(sum[r][v], g[r][v]);
                        sum_sq[r][v] = s.fma(g[r][v], g[r][v], sum_sq[r][v]);
                    }
                }
            } else {
                let xs = load::<T, S, VECS, TAIL>(s, x, n);
                for r in 0..ROWS {
                    let d = src.dy(s, dy, r, weight);
                    for v in 0..VECS {
                        let g = s.mul(d, xs[v]);
                        sum[r][v] = s.add(sum[r][v], g);
                        sum_sq[r][v] = s.fma(g, g, sum_sq[r][v]);
                    }
                }
                (x, dy) = (x.wrapping_add(src.x_stride), dy.wrapping_add(src.dy_stride));
            }
        }
        out.finish::<S, ROWS, VECS, TAIL>(s, n, ends.scale, sum);
        out_sq.finish::<S, ROWS, VECS, TAIL>(s, n, ends.scale, sum_sq);
    }
}

/// [`moments`] for any `T`.
///
/// # Safety
/// As [`moments`].
#[inline(always)]
pub(crate) unsafe fn any_moments<T, S, const ROWS: usize, const VECS: usize, const TAIL: bool>(
    s: S,
    src: Source<T>,
    n: usize,
    ends: Ends<T>,
    out: Out<T>,
    out_sq: Out<T>,
) where
    T: Element,
    S: Simd<T>,
{
    // SAFETY: by contract.
    unsafe {
        if src.steps == 1 {
            moments::<T, S, ROWS, VECS, TAIL, false>(s, src, n, ends, out, out_sq);
        } else {
            moments::<T, S, ROWS, VECS, TAIL, true>(s, src, n, ends, out, out_sq);
        }
    }
}

/// What is done for each tile of a `[J, I]` output.
pub(crate) trait TileKernel<T: Element> {
    /// The tile at row `j`, column `i`: `ROWS` rows, `n` columns in `VECS` vectors.
    ///
    /// # Safety
    /// The tile lies inside the output; `S`'s token is real.
    unsafe fn tile<S, const ROWS: usize, const VECS: usize, const TAIL: bool>(
        &mut self,
        s: S,
        src: Source<T>,
        j: usize,
        i: usize,
        n: usize,
    ) where
        S: Simd<T>;
}

/// Walks a `[rows, columns]` output in tiles of `ROWS` rows, then the rows left over one by one.
///
/// # Safety
/// `src` is readable for all rows and columns; `kernel` may be called for all tiles.
#[inline(always)]
pub(crate) unsafe fn sweep<T, S, K, const ROWS: usize>(
    s: S,
    src: Source<T>,
    rows: usize,
    columns: usize,
    kernel: &mut K,
) where
    T: Element,
    S: Simd<T>,
    K: TileKernel<T>,
{
    // Without columns there may be any number of rows: no walk past all of them.
    let rows = if columns == 0 { 0 } else { rows };
    let mut j = 0;
    while j + ROWS <= rows {
        // SAFETY: rows j .. j + ROWS are inside.
        unsafe { sweep_row::<T, S, K, ROWS>(s, src, j, columns, kernel) }
        j += ROWS;
    }
    while j < rows {
        // SAFETY: row j is inside.
        unsafe { sweep_row::<T, S, K, 1>(s, src, j, columns, kernel) }
        j += 1;
    }
}

/// One row of tiles.
///
/// # Safety
/// As [`sweep`], for rows `j .. j + ROWS`.
#[inline(always)]
unsafe fn sweep_row<T, S, K, const ROWS: usize>(
    s: S,
    src: Source<T>,
    j: usize,
    columns: usize,
    kernel: &mut K,
) where
    T: Element,
    S: Simd<T>,
    K: TileKernel<T>,
{
    let mut i = 0;
    // SAFETY: i + the columns of each tile <= columns.
    unsafe {
        while i + 2 * S::LANES <= columns {
            kernel.tile::<S, ROWS, 2, false>(s, src.at(j, i), j, i, 2 * S::LANES);
            i += 2 * S::LANES;
        }
        if i + S::LANES <= columns {
            kernel.tile::<S, ROWS, 1, false>(s, src.at(j, i), j, i, S::LANES);
            i += S::LANES;
        }
        if i < columns {
            kernel.tile::<S, ROWS, 1, true>(s, src.at(j, i), j, i, columns - i);
        }
    }
}
