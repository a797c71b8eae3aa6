//! A row of register tiles: what [`super::sweep`] hands over at a time.
//!
//! Plan: full tiles first, each reading its panel of `x`; then what is left of the columns in single
//! vectors, the last one masked. A row of tiles has as many rows as its kind and ISA like ([`Shape`]), or
//! one, for what is left over below and for small batches.

use core::num::NonZeroUsize;

use super::sequence::sequence_tile;
use super::sweep::{CACHES, FAR};
use super::tile::{Ends, Out, Source, grad_tile, moments_tile};
use crate::simd::Simd;
use crate::{Element, Isa, Start};

/// The sizes that a sweep needs to know of the tiles of an ISA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Columns of a panel: the width of a tile.
    pub panel: NonZeroUsize,
    /// Rows of a tile of `grad`, and of lower ones for what is left over.
    pub grad: [usize; 3],
    /// Rows of a tile of `moments`.
    pub moments: usize,
    /// Rows of a tile of the `moments` of sequences, of long ones first.
    pub sequence: [usize; 2],
    /// Steps from which on sequences are long: all of the sums in memory can wait while an example is gone through.
    pub long: usize,
    /// Registers that hold a vector.
    pub registers: usize,
}

/// Vectors side by side in a tile, where there are vectors.
pub(crate) const TILE_VECS: usize = 2;

/// The sizes of the tiles of `S`.
///
/// # Safety
/// None; dispatched functions are unsafe all alike.
#[inline(always)]
pub(crate) unsafe fn shape<T: Element, S: Simd<T>>(_: S) -> Shape {
    let (vecs, grad, moments, sequence, long) = match Room::of::<T, S>() {
        Room::Vectors32 => (TILE_VECS, [12, 6, 4], 6, [12, 4], 16),
        Room::Vectors16 => (TILE_VECS, [6, 6, 4], 3, [6, 4], 0),
        Room::Emulated => (TILE_VECS, [1, 1, 1], 1, [1, 1], 0),
        Room::Scalars32 => (4, [2, 2, 1], 2, [2, 2], 0),
        Room::Software => (1, [1, 1, 1], 1, [1, 1], 0),
    };
    let panel = NonZeroUsize::new(vecs * S::LANES).unwrap_or(NonZeroUsize::MIN);
    Shape { panel, grad, moments, sequence, long, registers: S::REGISTERS }
}

/// How many rows the next row of tiles has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// Those of one tile, as many as [`Shape`] says.
    Tile(usize),
    /// One after the other.
    Single(usize),
    /// The same, of at most [`FEW`](super::few::FEW) `(b, t)`, whose `x` is where it was.
    Few(usize),
    /// All of a small layer, of no more columns than a vector has.
    Narrow(usize),
}

impl Rows {
    /// `rows` in a tile if so many are left, or what is left one by one.
    fn of(rows: usize, left: usize) -> Self {
        if left < rows { Rows::Single(left) } else { Rows::Tile(rows) }
    }

    /// How many.
    pub(crate) fn count(self) -> usize {
        match self {
            Rows::Tile(n) | Rows::Single(n) | Rows::Few(n) | Rows::Narrow(n) => n,
        }
    }
}

/// Single rows that are gone through at a time, where it is for the kernel to say.
const SINGLES: usize = 4;

impl Shape {
    /// Rows of `grad`, with so many left.
    pub(crate) fn grad_rows(&self, left: usize) -> Rows {
        let [tall, rows, rest] = self.grad;
        match left {
            _ if left >= tall => Rows::Tile(tall),
            _ if left >= rows && left != 2 * rest => Rows::Tile(rows),
            _ => Rows::of(rest, left),
        }
    }

    /// Rows of `moments`, with so many left.
    pub(crate) fn moments_rows(&self, left: usize) -> Rows {
        Rows::of(self.moments, left)
    }

    /// Rows of the `moments` of sequences of so many steps, with so many left.
    pub(crate) fn sequence_rows(&self, steps: usize, left: usize) -> Rows {
        let [tall, rows] = self.sequence;
        // (Lower tiles if they leave fewer rows over.)
        let over = |left: usize| left % rows.max(1);
        let lower = left < 2 * tall && over(left) < over(left.wrapping_sub(tall));
        if steps >= self.long && left >= tall && !lower {
            Rows::Tile(tall)
        } else {
            Rows::of(rows, left)
        }
    }

    /// Rows of [`super::fused`], for a fold over `depth` `(b, t)`: there is an example for each update that runs
    /// beside its sums (or for each two without `second`), or else they are single.
    pub(crate) fn fused_rows(&self, second: bool, depth: usize, left: usize) -> Rows {
        let [tall, rows, _] = self.grad;
        match second {
            true if depth < TILE_VECS * self.moments => Rows::Single(left.min(SINGLES)),
            true => Rows::of(self.moments, left),
            false if depth < tall => Rows::Single(left.min(SINGLES)),
            false if left >= tall && depth >= TILE_VECS * tall => Rows::Tile(tall),
            false => Rows::of(rows, left),
        }
    }
}

/// What there is room for in registers. [`shape`], the `_row` functions below and [`super::fused`] say the
/// sizes of tiles for each.
pub(super) enum Room {
    Vectors32,
    Vectors16,
    /// Vectors whose fused multiply-add is a call, which leaves nothing in registers.
    Emulated,
    /// One element a register, as on a Cortex-M4F.
    Scalars32,
    /// Floating point in software: larger tiles would only be larger.
    Software,
}

impl Room {
    #[inline(always)]
    pub(super) const fn of<T: Element, S: Simd<T>>() -> Self {
        match (S::LANES, S::REGISTERS) {
            (1, 32) => Room::Scalars32,
            (1, _) => Room::Software,
            (_, 32) => Room::Vectors32,
            (_, 1) => Room::Emulated,
            _ => Room::Vectors16,
        }
    }
}

/// A row of tiles.
#[derive(Clone, Copy)]
pub struct Row<T> {
    /// What its first tile reads.
    pub(crate) src: Source<T>,
    /// Elements of `x` from one panel to the next.
    pub(crate) panel_stride: usize,
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

/// The tiles of row `r`, four vectors wide, as many as fit; how many columns they are.
///
/// # Safety
/// As [`tiles_of`]; panels lie side by side.
#[inline(always)]
unsafe fn wide_tiles<T, S, K, const WEIGHTED: bool>(
    s: S,
    row: &Row<T>,
    src: Source<T>,
    r: usize,
) -> usize
where
    T: Element,
    S: Simd<T>,
    K: Tile<T>,
{
    let width = 4 * S::LANES;
    let mut c = 0;
    // SAFETY: c + width <= columns.
    unsafe {
        while c + width <= row.columns {
            row.fetch_ahead::<S, 1>(s, (r, c), width);
            K::tile::<S, 1, 4, false, WEIGHTED>(s, src.columns(c), width, row, (r, c));
            c += width;
        }
    }
    c
}

/// The tiles of `ROWS` rows from `r` on, in panels of `VECS` vectors; they read `src`, not the row's.
///
/// # Safety
/// `src` is readable and the outputs of the row are writable for all its tiles from `r` on.
#[inline(always)]
pub(super) unsafe fn tiles_of<T, S, K, const ROWS: usize, const VECS: usize, const WEIGHTED: bool>(
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
        if ROWS == 1 && VECS == 2 && row.panel_stride == panel {
            // Panels lie side by side: a single row is wide instead.
            c = wide_tiles::<T, S, K, WEIGHTED>(s, row, src, r);
            src = src.columns(c);
        }
        // Sums that are resumed are wanted at once: those of the next tile are fetched.
        let next = if row.ends.start == Start::Resume { panel } else { 0 };
        while c + panel <= row.columns {
            row.fetch_ahead::<S, ROWS>(s, (r, c + next), panel);
            K::tile::<S, ROWS, VECS, false, WEIGHTED>(s, src, panel, row, (r, c));
            src = src.columns(row.panel_stride);
            c += panel;
        }
        if c < row.columns {
            row.fetch_ahead::<S, ROWS>(s, (r, c), row.columns - c);
        }
        while VECS > 1 && c + S::LANES <= row.columns {
            K::tile::<S, ROWS, 1, false, WEIGHTED>(s, src, S::LANES, row, (r, c));
            src = src.columns(S::LANES);
            c += S::LANES;
        }
        if S::LANES > 1 && c < row.columns {
            K::tile::<S, ROWS, 1, true, WEIGHTED>(s, src, row.columns - c, row, (r, c));
        }
    }
}

/// The tiles of `ROWS` rows, or of all rows one by one, in panels of `VECS` vectors; `UNIT` if the elements of `dy`
/// lie side by side, which saves the instructions that find them.
///
/// # Safety
/// `src` of the row is readable and its outputs are writable for all its tiles.
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
        if UNIT {
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
    if !CACHES || depth >= DEEP || bytes < NEAR {
        return DEEP;
    }
    // SAFETY: it has no conditions.
    let wide = unsafe { T::shape(isa) }.panel.get() * size_of::<T>() > LINE;
    let far = match arrays {
        _ if wide => NEAR,
        1 if depth > 6 => return DEEP,
        1 => 2 * FAR,
        _ => FAR,
    };
    if bytes >= far { 0 } else { DEEP }
}

/// Bytes of an output that a second-level cache has no trouble to hold.
const NEAR: usize = FAR / 4;

impl<T: Element> Row<T> {
    /// The first of what reads `src`; the rest is to be filled in.
    #[inline(always)]
    pub(crate) fn of(src: Source<T>, panel_stride: usize) -> Self {
        let nowhere = Out { p: core::ptr::null_mut(), stride: 0 };
        Row {
            src,
            panel_stride,
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
        for array in self.ahead {
            if array.is_null() {
                break;
            }
            for r in r..r + ROWS {
                let mut k = 0;
                while k < n {
                    s.prefetch(array.wrapping_add(r * self.ahead_stride + c + k));
                    k += LINE / size_of::<T>();
                }
            }
        }
    }
}

/// Bytes of a cache line.
pub(crate) const LINE: usize = 64;

/// The tiles of `ROWS` rows, or of all rows one by one, whatever their weights.
///
/// # Safety
/// As [`tiles`].
#[inline(always)]
pub(super) unsafe fn of_rows<T, S, K, const ROWS: usize, const VECS: usize>(s: S, row: &Row<T>)
where
    T: Element,
    S: Simd<T>,
    K: Tile<T>,
{
    let plain = row.src.weights.is_null() && S::LOOPS.is_none();
    let unit = S::LANES > 1 && ROWS > 1 && (!K::APART || row.src.dy_row == 1);
    // SAFETY: by contract.
    unsafe {
        match (plain, unit) {
            (true, true) => tiles::<T, S, K, ROWS, VECS, false, true>(s, row),
            (true, false) => tiles::<T, S, K, ROWS, VECS, false, false>(s, row),
            (false, _) => tiles::<T, S, K, ROWS, VECS, true, false>(s, row),
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
            Rows::Tile(n) if TALL > 1 && n == TALL => of_rows::<T, S, K, TALL, VECS>(s, row),
            Rows::Tile(n) if ROWS < TALL && n == ROWS => of_rows::<T, S, K, ROWS, VECS>(s, row),
            Rows::Tile(n) if REST > 1 && n == REST => of_rows::<T, S, K, REST, VECS>(s, row),
            _ => of_rows::<T, S, K, 1, VECS>(s, row),
        }
    }
}

/// Of the matrix product.
pub(super) struct GradTile;

impl<T: Element> Tile<T> for GradTile {
    const APART: bool = true;

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
            if SEQUENCE {
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
        match Room::of::<T, S>() {
            Room::Vectors32 => any_tiles::<T, S, GradTile, 12, 6, 4, 2>(s, row),
            Room::Vectors16 => any_tiles::<T, S, GradTile, 6, 6, 4, 2>(s, row),
            Room::Emulated => any_tiles::<T, S, GradTile, 1, 1, 1, 2>(s, row),
            Room::Scalars32 => any_tiles::<T, S, GradTile, 2, 2, 1, 4>(s, row),
            Room::Software => any_tiles::<T, S, GradTile, 1, 1, 1, 1>(s, row),
        }
        if S::LANES > 1 && row.ends.past {
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
        match Room::of::<T, S>() {
            Room::Vectors32 => any_tiles::<T, S, MomentsTile<false>, 6, 6, 1, 2>(s, row),
            Room::Vectors16 => any_tiles::<T, S, MomentsTile<false>, 3, 3, 1, 2>(s, row),
            Room::Emulated => any_tiles::<T, S, MomentsTile<false>, 1, 1, 1, 2>(s, row),
            Room::Scalars32 => any_tiles::<T, S, MomentsTile<false>, 2, 2, 1, 4>(s, row),
            Room::Software => any_tiles::<T, S, MomentsTile<false>, 1, 1, 1, 1>(s, row),
        }
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
        match Room::of::<T, S>() {
            Room::Vectors32 => any_tiles::<T, S, MomentsTile<true>, 12, 4, 1, 2>(s, row),
            Room::Vectors16 => any_tiles::<T, S, MomentsTile<true>, 6, 4, 1, 2>(s, row),
            Room::Emulated => any_tiles::<T, S, MomentsTile<true>, 1, 1, 1, 2>(s, row),
            Room::Scalars32 => any_tiles::<T, S, MomentsTile<true>, 2, 2, 1, 4>(s, row),
            Room::Software => any_tiles::<T, S, MomentsTile<true>, 1, 1, 1, 1>(s, row),
        }
    }
}
