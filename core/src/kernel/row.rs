//! A row of register tiles: what [`super::sweep`] hands over at a time.
//!
//! Plan: full tiles first, each reading its panel of `x`; then what is left of the columns in single vectors, the last
//! one masked. A row of tiles has as many rows as its kind and ISA like ([`super::shape`]), or as are left over below;
//! if those are one to three (with one sum an element: six) its tiles are wider, for as many sums at a time.

use super::plan::{CACHES, FAR, LINE, SMALL, wide};
use super::sequence::{has_paired_halves, paired_halves_pay, sequence_tile};
use super::shape::{HALF, LOW, PAIRED, Room, Rows, SLIM, TILE_VECS, by_room};
use super::tile::{Ends, Out, Source, grad_tile, moments_tile};
use crate::simd::Simd;
use crate::{Element, Isa, Start};

/// A row of tiles.
#[derive(Clone, Copy)]
pub struct Row<T> {
    /// What its first tile reads.
    pub(crate) src: Source<T>,
    /// Its rows.
    pub(crate) rows: Rows,
    /// Columns; the last tiles may be narrower than a panel.
    pub(crate) columns: usize,
    /// How the sums start and end.
    pub(crate) ends: Ends<T>,
    /// Where the sums go.
    pub(crate) out: Out<T>,
    /// Where the sums of squares go; not looked at by `grad`.
    pub(crate) out_sq: Out<T>,
    /// Arrays that will be needed next, as `out` is laid out, but for the row stride; from the first null on
    /// there are none. (The outputs too: a store that misses the cache holds up those behind it.)
    pub(crate) ahead: [*const T; 3],
    /// Their row stride.
    pub(crate) ahead_stride: usize,
}

/// One kind of tile.
pub(super) trait Tile<T: Element> {
    /// Whether elements of `dy` may lie apart, as they do for the input gradient.
    const APART: bool;

    /// Whether there is one sum an element, so that 16 registers hold a row of 8 vectors, and 32 six rows of 4.
    const WIDE: bool;

    /// The tile at that row and column.
    ///
    /// # Safety
    /// The tile is inside the row; there are weights if `WEIGHTED`.
    unsafe fn tile<
        S,
        const ROWS: usize,
        const VECS: usize,
        const TAIL: bool,
        const WEIGHTED: bool,
    >(
        s: S,
        src: Source<T>,
        n: usize,
        row: &Row<T>,
        at: (usize, usize),
    ) where
        S: Simd<T>;
}

/// The tiles of `ROWS` rows from `r` and of columns from `c` on, `VECS` vectors wide, as many as fit; the first column
/// behind them.
///
/// # Safety
/// As [`tiles_of`]; panels lie side by side.
#[inline(always)]
unsafe fn wide_tiles<T, S, K, const ROWS: usize, const VECS: usize, const WEIGHTED: bool>(
    s: S,
    row: &Row<T>,
    src: Source<T>,
    (r, mut c): (usize, usize),
) -> usize
where
    T: Element,
    S: Simd<T>,
    K: Tile<T>,
{
    let width = VECS * S::LANES;
    // SAFETY: c + width <= columns.
    unsafe {
        while c + width <= row.columns {
            row.fetch_ahead::<S, ROWS>(s, (r, c), width);
            K::tile::<S, ROWS, VECS, false, WEIGHTED>(s, src.columns(c), width, row, (r, c));
            c += width;
        }
    }
    c
}

/// The tiles of `ROWS` rows from `r` on, [`HALF`] as tall and two panels wide, as long as more than a panel is left of the
/// columns; the first column behind them. (Intel's CPUs take longer for a broadcast than for a vector.)
///
/// # Safety
/// As [`tiles_of`].
#[inline(always)]
unsafe fn halves<T, S, K, const ROWS: usize, const WEIGHTED: bool>(
    s: S,
    row: &Row<T>,
    mut src: Source<T>,
    r: usize,
) -> usize
where
    T: Element,
    S: Simd<T>,
    K: Tile<T>,
{
    let panel = TILE_VECS * S::LANES;
    let mut c = 0;
    while c + panel < row.columns {
        let n = (row.columns - c).min(2 * panel);
        row.fetch_ahead::<S, ROWS>(s, (r, c), n);
        for half in (0..ROWS).step_by(HALF) {
            let (src, at) = (src.row(half), (r + half, c));
            // SAFETY: n columns and HALF rows are inside.
            unsafe {
                if n == 2 * panel {
                    K::tile::<S, HALF, 4, false, WEIGHTED>(s, src, n, row, at);
                } else if n > 3 * S::LANES {
                    K::tile::<S, HALF, 4, true, WEIGHTED>(s, src, n, row, at);
                } else {
                    K::tile::<S, HALF, 3, true, WEIGHTED>(s, src, n, row, at);
                }
            }
        }
        src = src.columns(2 * src.panel_stride);
        c += n;
    }
    c
}

/// The tiles of `ROWS` rows from `r` on, in panels of `VECS` vectors; they read `src`, not the row's.
///
/// # Safety
/// `src` is readable and the outputs of the row are writable for all its tiles from `r` on.
#[inline(always)]
unsafe fn tiles_of<T, S, K, const ROWS: usize, const VECS: usize, const WEIGHTED: bool>(
    s: S,
    row: &Row<T>,
    mut src: Source<T>,
    r: usize,
) where
    T: Element,
    S: Simd<T>,
    K: Tile<T>,
{
    let panel = VECS * S::LANES;
    let mut c = 0;
    // SAFETY: c + the columns of each tile <= columns.
    unsafe {
        if const { K::WIDE && VECS == TILE_VECS && Room::of::<T, S>().has_halves(ROWS) }
            && s.intel()
        {
            c = halves::<T, S, K, ROWS, WEIGHTED>(s, row, src, r);
            src = src.columns(c / panel * src.panel_stride);
        } else if const { (ROWS <= LOW || K::WIDE) && VECS == TILE_VECS }
            && src.panel_stride == panel
        {
            // Panels lie side by side: a few rows are wide instead, for more sums at a time. (A vector of a whole
            // line of the cache takes as long to load as two products.)
            if const { ROWS == 1 && K::WIDE && S::LANES * size_of::<T>() < LINE && S::REGISTERS > 8 }
            {
                c = wide_tiles::<T, S, K, ROWS, 8, WEIGHTED>(s, row, src, (r, c));
            }
            if const { ROWS == 1 || ROWS * 4 + 4 < S::REGISTERS } {
                c = wide_tiles::<T, S, K, ROWS, 4, WEIGHTED>(s, row, src, (r, c));
            }
            src = src.columns(c);
        }
        // Sums that are resumed are wanted at once: those of the next tile are fetched.
        let next = if row.ends.start == Start::Resume { panel } else { 0 };
        while c + panel <= row.columns {
            row.fetch_ahead::<S, ROWS>(s, (r, c + next), panel);
            K::tile::<S, ROWS, VECS, false, WEIGHTED>(s, src, panel, row, (r, c));
            src = src.columns(row.src.panel_stride);
            c += panel;
        }
        if c < row.columns {
            row.fetch_ahead::<S, ROWS>(s, (r, c), row.columns - c);
        }
        while const { VECS > 1 } && c + S::LANES <= row.columns {
            K::tile::<S, ROWS, 1, false, WEIGHTED>(s, src, S::LANES, row, (r, c));
            src = src.columns(S::LANES);
            c += S::LANES;
        }
        if const { S::LANES > 1 } && c < row.columns {
            K::tile::<S, ROWS, 1, true, WEIGHTED>(s, src, row.columns - c, row, (r, c));
        }
    }
}

/// The tiles of `ROWS` rows, or of all rows one by one, in panels of `VECS` vectors; `UNIT` if the elements of `dy`
/// lie side by side, which saves the instructions that find them.
///
/// # Safety
/// `src` of the row is readable and its outputs are writable for all its tiles; elements of `dy` lie side by side if
/// there are weights.
#[inline(always)]
unsafe fn tiles<
    T,
    S,
    K,
    const ROWS: usize,
    const VECS: usize,
    const WEIGHTED: bool,
    const UNIT: bool,
>(
    s: S,
    row: &Row<T>,
) where
    T: Element,
    S: Simd<T>,
    K: Tile<T>,
{
    for r in 0..if ROWS == 1 { row.rows.count() } else { 1 } {
        let mut src = row.src.row(r);
        // (Where vectors are multiplied with weights, `dy` is that of a batch.)
        if const { UNIT || WEIGHTED && S::LANES > 1 } {
            src.dy_row = 1;
        }
        // SAFETY: by contract.
        unsafe { tiles_of::<T, S, K, ROWS, VECS, WEIGHTED>(s, row, src, r) }
    }
}

/// Prefetching all lines of a tile at once pays from so many `(b, t)` on, wherever they come from.
pub(super) const DEEP: usize = 32;

/// The least `(b, t)` for which a tile's lines of an output are prefetched, which is one of `arrays` of so many bytes,
/// for a fold over `depth`. From afar they take longer than the products of a few `(b, t)`: of both moments, of panels
/// of more than a line of the cache, or of very few.
pub(crate) fn ahead_from<T: Element>(isa: Isa, bytes: usize, depth: usize, arrays: usize) -> usize {
    if !CACHES || depth >= DEEP || bytes < SMALL {
        return DEEP;
    }
    // SAFETY: it has no conditions.
    let shape = unsafe { T::shape(isa) };
    let far = match arrays {
        _ if wide::<T>(shape) => SMALL,
        1 if depth > 6 => return DEEP,
        1 => 2 * FAR,
        _ => FAR,
    };
    if bytes >= far { 0 } else { DEEP }
}

impl<T: Element> Row<T> {
    /// The first of what reads `src`; the rest is to be filled in.
    #[inline(always)]
    pub(crate) fn of(src: Source<T>) -> Self {
        let nowhere = Out { p: core::ptr::null_mut(), stride: 0 };
        Row {
            src,
            rows: Rows::Single(0),
            columns: 0,
            ends: Ends::FRESH,
            out: nowhere,
            out_sq: nowhere,
            ahead: [core::ptr::null(); 3],
            ahead_stride: 0,
        }
    }

    /// Sets `arrays` to prefetch, if there are at least `least` `(b, t)`.
    pub(crate) fn set_ahead(&mut self, arrays: [*const T; 3], stride: usize, least: usize) {
        let deep = self.src.depth() >= least;
        self.ahead = if deep { arrays } else { [core::ptr::null(); 3] };
        self.ahead_stride = stride;
    }

    /// Sums `grad` into the output. (Nothing that is for caches is linked where there are none.)
    ///
    /// # Safety
    /// As [`grad_row`].
    #[inline]
    pub(crate) unsafe fn grad(&self, isa: Isa) {
        // SAFETY: by contract.
        unsafe {
            match self.rows {
                Rows::Few(_) if CACHES => T::grad_few(isa, self),
                Rows::Narrow(_) if CACHES => T::grad_narrow(isa, self),
                _ => T::grad_row(isa, self),
            }
        }
    }

    /// Sums `moments` into both outputs.
    ///
    /// # Safety
    /// As [`moments_row`]; examples have one step unless it is a `SEQUENCE`.
    #[inline]
    pub(crate) unsafe fn moments<const SEQUENCE: bool>(&self, isa: Isa) {
        // SAFETY: by contract.
        unsafe {
            match self.rows {
                _ if SEQUENCE => T::sequence_row(isa, self),
                Rows::Few(_) if CACHES => T::moments_few(isa, self),
                Rows::Narrow(_) if CACHES => T::moments_narrow(isa, self),
                _ => T::moments_row(isa, self),
            }
        }
    }

    /// Prefetches what will be needed after the tile at row `r` and column `c`.
    #[inline(always)]
    pub(crate) fn fetch_ahead<S: Simd<T>, const ROWS: usize>(
        &self,
        s: S,
        (r, c): (usize, usize),
        n: usize,
    ) {
        for k in 0..self.ahead.len() {
            let array = self.ahead[k];
            if array.is_null() {
                break;
            }
            for r in r..r + ROWS {
                fetch_lines(s, array.wrapping_add(r * self.ahead_stride + c), n);
            }
        }
    }
}

/// Fetches the lines of `n` elements from `p` on.
#[inline(always)]
pub(super) fn fetch_lines<T: Element, S: Simd<T>>(s: S, p: *const T, n: usize) {
    let mut k = 0;
    while k < n {
        s.prefetch(p.wrapping_add(k));
        k += LINE / size_of::<T>();
    }
}

/// The tiles of `ROWS` rows, or of all rows one by one, whatever their weights.
///
/// # Safety
/// As [`tiles`].
#[inline(always)]
unsafe fn of_rows<T, S, K, const ROWS: usize, const VECS: usize>(s: S, row: &Row<T>)
where
    T: Element,
    S: Simd<T>,
    K: Tile<T>,
{
    let weighted = const { S::LOOPS.is_some() } || !row.src.weights.is_null();
    // SAFETY: by contract.
    unsafe {
        if weighted {
            tiles::<T, S, K, ROWS, VECS, true, false>(s, row);
        } else if const { S::LANES == 1 || ROWS == 1 } {
            tiles::<T, S, K, ROWS, VECS, false, false>(s, row);
        } else if const { !K::APART } || row.src.dy_row == 1 {
            tiles::<T, S, K, ROWS, VECS, false, true>(s, row);
        } else {
            tiles::<T, S, K, ROWS, VECS, false, false>(s, row);
        }
    }
}

/// All tiles of a row, whatever its number of rows.
///
/// # Safety
/// As [`tiles`].
#[inline(always)]
unsafe fn any_tiles<
    T,
    S,
    K,
    const TALL: usize,
    const ROWS: usize,
    const REST: usize,
    const VECS: usize,
>(
    s: S,
    row: &Row<T>,
) where
    T: Element,
    S: Simd<T>,
    K: Tile<T>,
{
    // SAFETY: by contract.
    unsafe {
        match row.rows {
            Rows::Tile(n) if const { TALL > 1 } && n == TALL => {
                of_rows::<T, S, K, TALL, VECS>(s, row)
            }
            Rows::Tile(n) if const { ROWS < TALL } && n == ROWS => {
                of_rows::<T, S, K, ROWS, VECS>(s, row)
            }
            Rows::Tile(n) if const { REST > 1 } && n == REST => {
                of_rows::<T, S, K, REST, VECS>(s, row)
            }
            Rows::Tile(3) if const { REST > LOW } => of_rows::<T, S, K, 3, VECS>(s, row),
            Rows::Tile(2) if const { REST > LOW } => of_rows::<T, S, K, 2, VECS>(s, row),
            _ => of_rows::<T, S, K, 1, VECS>(s, row),
        }
    }
}

/// Of the matrix product.
pub(super) struct GradTile;

impl<T: Element> Tile<T> for GradTile {
    const APART: bool = true;
    const WIDE: bool = true;

    #[inline(always)]
    unsafe fn tile<
        S,
        const ROWS: usize,
        const VECS: usize,
        const TAIL: bool,
        const WEIGHTED: bool,
    >(
        s: S,
        src: Source<T>,
        n: usize,
        row: &Row<T>,
        (r, c): (usize, usize),
    ) where
        S: Simd<T>,
    {
        // SAFETY: by contract.
        unsafe {
            let out = row.out.at(r, c);
            grad_tile::<T, S, ROWS, VECS, TAIL, WEIGHTED>(s, src, n, row.ends, out);
        }
    }
}

/// Of gradients and their squares.
pub(super) struct MomentsTile<const SEQUENCE: bool>;

impl<T: Element, const SEQUENCE: bool> Tile<T> for MomentsTile<SEQUENCE> {
    const APART: bool = false;
    const WIDE: bool = false;

    #[inline(always)]
    unsafe fn tile<
        S,
        const ROWS: usize,
        const VECS: usize,
        const TAIL: bool,
        const WEIGHTED: bool,
    >(
        s: S,
        src: Source<T>,
        n: usize,
        row: &Row<T>,
        (r, c): (usize, usize),
    ) where
        S: Simd<T>,
    {
        // SAFETY: by contract.
        unsafe {
            let (out, out_sq) = (row.out.at(r, c), row.out_sq.at(r, c));
            if const { SEQUENCE && ROWS == SLIM && VECS == TILE_VECS } {
                for v in 0..VECS {
                    let c = v * S::LANES;
                    let (src, n) = (src.columns(c), S::LANES);
                    let (out, out_sq) = (out.at(0, c), out_sq.at(0, c));
                    sequence_tile::<T, S, ROWS, 1, false, WEIGHTED>(
                        s, src, n, row.ends, out, out_sq,
                    );
                }
            } else if const { SEQUENCE && has_paired_halves::<T, S>(ROWS, VECS) }
                && paired_halves_pay(&src, VECS * S::LANES)
            {
                for r in (0..ROWS).step_by(LOW) {
                    let (src, out, out_sq) = (src.row(r), out.at(r, 0), out_sq.at(r, 0));
                    sequence_tile::<T, S, LOW, VECS, TAIL, WEIGHTED>(
                        s, src, n, row.ends, out, out_sq,
                    );
                }
            } else if SEQUENCE {
                sequence_tile::<T, S, ROWS, VECS, TAIL, WEIGHTED>(s, src, n, row.ends, out, out_sq);
            } else {
                moments_tile::<T, S, ROWS, VECS, TAIL, WEIGHTED>(s, src, n, row.ends, out, out_sq);
            }
        }
    }
}

/// A row of tiles of `grad`.
///
/// # Safety
/// `src` of the row is readable and its output is writable for all its tiles.
#[inline(always)]
pub(crate) unsafe fn grad_row<T: Element, S: Simd<T>>(s: S, row: &Row<T>) {
    // SAFETY: by contract.
    unsafe {
        by_room!(T, S, {
            Vectors32 => any_tiles::<T, S, GradTile, 12, 6, 4, 2>(s, row),
            Vectors16 => any_tiles::<T, S, GradTile, 6, 6, 4, 2>(s, row),
            Emulated => any_tiles::<T, S, GradTile, 1, 1, 1, 2>(s, row),
            Scalars32 => any_tiles::<T, S, GradTile, 2, 2, 1, 4>(s, row),
            Software => any_tiles::<T, S, GradTile, 1, 1, 1, 1>(s, row),
        });
        if const { S::LANES > 1 } && row.ends.past {
            s.fence();
        }
    }
}

/// A row of tiles of `moments` with one step.
///
/// # Safety
/// As [`grad_row`], for both outputs.
#[inline(always)]
pub(crate) unsafe fn moments_row<T: Element, S: Simd<T>>(s: S, row: &Row<T>) {
    // SAFETY: by contract.
    unsafe {
        by_room!(T, S, {
            Vectors32 => any_tiles::<T, S, MomentsTile<false>, 6, 6, 1, 2>(s, row),
            Vectors16 => any_tiles::<T, S, MomentsTile<false>, 3, 3, 1, 2>(s, row),
            Emulated => any_tiles::<T, S, MomentsTile<false>, 1, 1, 1, 2>(s, row),
            Scalars32 => any_tiles::<T, S, MomentsTile<false>, 2, 2, 1, 4>(s, row),
            Software => any_tiles::<T, S, MomentsTile<false>, 1, 1, 1, 1>(s, row),
        });
    }
}

/// A row of tiles of a sequence's `moments`.
///
/// # Safety
/// As [`moments_row`].
#[inline(always)]
pub(crate) unsafe fn sequence_row<T: Element, S: Simd<T>>(s: S, row: &Row<T>) {
    // SAFETY: by contract.
    unsafe {
        by_room!(T, S, {
            Vectors32 => match row.rows {
                Rows::Tile(PAIRED) => of_rows::<T, S, MomentsTile<true>, PAIRED, 2>(s, row),
                _ => any_tiles::<T, S, MomentsTile<true>, 12, SLIM, 4, 2>(s, row),
            },
            Vectors16 => any_tiles::<T, S, MomentsTile<true>, 6, 6, 4, 2>(s, row),
            Emulated => any_tiles::<T, S, MomentsTile<true>, 1, 1, 1, 2>(s, row),
            Scalars32 => any_tiles::<T, S, MomentsTile<true>, 2, 2, 1, 4>(s, row),
            Software => any_tiles::<T, S, MomentsTile<true>, 1, 1, 1, 1>(s, row),
        });
    }
}
