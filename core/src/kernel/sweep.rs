//! Walks rows of register tiles over a `[rows, columns]` output, so that what they read comes from
//! near by. Plain code, compiled once for all ISAs; the tiles and the packing are dispatched.
//!
//! Plan:
//!
//! * A tile reads a panel of columns of every `(b, t)`. Rows of `x` are `I` elements apart, and strides of a page
//!   put them all into the same few cache sets, and vectors of rows that are not whole lines of the cache lie
//!   across two of them; so `x` is *packed* into panels of the tile's width, `[panel][b, t][columns]`, as many
//!   columns at a time as fit the scratch and the second-level cache, and `dy` (times the example weights) as
//!   `[b, t][rows]` for some rows of tiles at a time, since a line of the cache holds more of it than one row of tiles
//!   wants. Where that goes for several groups of columns, `dy` of as many rows as there is room for is packed
//!   first, and once.
//! * An output that is kept in memory is resumed every [`BLOCK`] `(b, t)`, so that panels stay in cache
//!   however large the batch is.
//! * For fewer rows of output the time goes into the copy of `x`. Where sums can be resumed they are, after some
//!   `(b, t)`, whose `x` stays in cache as it is. So are those of input gradients in narrow tiles, whose `dy` is not copied,
//!   unless rows of `x` share a few sets of the caches; then what will be copied next is fetched before.
//! * Single rows, of which a layer step of some examples likes to take one after the other, read all of `x` each time:
//!   it is copied as it lies, as many columns at a time as a first-level cache holds.
//! * For a few `(b, t)` the time goes into the output, not into `x`: one row of it at a time, if that is long enough
//!   ([`super::plan::few`]), from one end to the other ([`super::few`]), nothing packed. An output of a single row goes
//!   that way too, whatever the `(b, t)`: what counts is to read `x`.
//! * Of small layers the time goes into whatever is done beside the sums: for them nothing of this is considered, and the
//!   smallest are done in one call ([`super::narrow`]).
//! * Without scratch, or need of it, the same tiles read `x` and `dy` where they are. But example weights multiply `dy` once
//!   for each few rows of tiles, on the stack, and `dy` whose lines share a set of the first-level cache is copied there.

use core::mem::MaybeUninit;
use core::num::NonZeroUsize;

use super::few::FEW;
use super::narrow::MOST_ROWS;
use super::pack::TILES;
use super::plan::{
    self, BLOCK, CACHES, DY_ROWS, MAX_PANEL, MAX_ROWS, NEAR, PACKED_BYTES, PAGE, SHALLOW,
    SHALLOWEST, SHORT, SINGLE_BYTES, block_of, bytes, deepest, dy_collides, evenly, fetching_pays,
    is_far, packing_pays, packs_dy, rests, short_rest, single_packing_pays, splitting_costs, wide,
};
use super::row::Row;
use super::shape::{Rows, Shape};
use super::tile::Source;
use crate::{Element, Isa};

/// Elements of `c dy` on the stack: at least a row of tiles, for one block of the batch.
const WEIGHTED: usize = if CACHES { BLOCK * MAX_ROWS } else { 0 };

/// How an output is gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// In tiles, as tall as there are rows for.
    Tiles,
    /// The same, from copies of `x` and `dy`.
    Packed,
    /// Row by row: there is little to do for each, or there is but one.
    Few,
    /// All at once: there is little to do at all.
    Narrow,
}

/// What is done for each row of tiles of an output.
pub(crate) trait RowKernel<T: Element> {
    /// Whether the output is memory in which sums can rest between blocks of the batch: 0 if not, or else how many
    /// rows of them rather do so every few `(b, t)` than that `x` is copied.
    const RESTS: usize;

    /// Bytes of `x` from which on an output of a single row goes the way of a few `(b, t)`, however many there are.
    const SINGLE_FROM: usize = usize::MAX;

    /// The most `(b, t)` whose rows are walked one by one.
    fn few(&self, _shape: &Shape, _src: &Source<T>, columns: usize) -> usize {
        plan::few(columns)
    }

    /// Rows of the next row of tiles, with so many left.
    fn rows(&self, shape: &Shape, src: &Source<T>, way: Way, left: usize) -> Rows;

    /// Most columns of a row of tiles of `rows` rows.
    fn most_columns(&self, rows: usize) -> usize;

    /// Called before each block of the batch: whether it is the first, and the last.
    fn block(&mut self, first: bool, last: bool);

    /// Computes `row`, which lies at row `j`, column `i`; its outputs and ends, and what is ahead, are for the kernel to
    /// fill in. (In place: what was just written is slow to copy.)
    ///
    /// # Safety
    /// The row is inside the output, and its `src` is readable.
    unsafe fn row(&mut self, isa: Isa, row: &mut Row<T>, j: usize, i: usize);
}

/// Calls `kernel` for all of a `[rows, columns]` output. Nothing is read of `scratch` that was not written, so
/// it need not be initialised.
///
/// # Safety
/// `src` is readable for all rows and columns; `kernel` may be called for all of them; `scratch` is writable
/// and readable.
pub(crate) unsafe fn sweep<T: Element, K: RowKernel<T>>(
    isa: Isa,
    src: Source<T>,
    rows: usize,
    columns: usize,
    scratch: *mut [T],
    kernel: &mut K,
) {
    if rows == 0 || columns == 0 {
        // Extents that multiply to nothing may be as large as they like.
        return;
    }
    let depth = src.depth();
    let single = rows == 1 && columns > SHORT && bytes(&src) >= K::SINGLE_FROM;
    // SAFETY: it has no conditions.
    let shape = unsafe { T::shape(isa) };
    let src = Source { panel_stride: shape.panel.get(), ..src };
    let few = CACHES && depth > 0 && (single || depth <= kernel.few(&shape, &src, columns));
    let near = src.x_stride * size_of::<T>() < NEAR || depth <= FEW;
    let plain = near && depth <= BLOCK && src.weights.is_null();
    let simple = few
        || plain
            && (shape.intel || !splitting_costs(shape, &src, rows))
            && !dy_collides(shape, &src, columns);
    if !(CACHES && simple) {
        let fetches = fetching_pays(shape, &src);
        let walk = Walk { isa, shape, src, rows, columns, packs: false, single: false, fetches };
        // SAFETY: by contract.
        return unsafe { walk.blocks(scratch, kernel) };
    }
    // Nothing to think about, which may take longer than what there is to do. (Small targets have one way for all.)
    let narrow = rows <= MOST_ROWS && columns <= shape.lanes() && shape.holds_sums();
    let way = match few {
        true => Way::Few,
        false if narrow => Way::Narrow,
        false => Way::Tiles,
    };
    kernel.block(true, true);
    let mut row = Row::of(src);
    let mut j = 0;
    while j < rows {
        row.rows = kernel.rows(&shape, &src, way, rows - j);
        // SAFETY: rows j .. j + count are inside.
        unsafe { cut(isa, &mut row, shape.panel, columns, (j, 0), kernel) };
        j += row.rows.count();
        row.src = src.row(j);
    }
}

/// Calls `kernel` for `columns` columns of some rows, from row `j` and column `i` on, cut as it likes them.
///
/// # Safety
/// As [`sweep`], for these; `row` is what the first of them reads.
#[inline(always)]
unsafe fn cut<T: Element, K: RowKernel<T>>(
    isa: Isa,
    row: &mut Row<T>,
    panel: NonZeroUsize,
    columns: usize,
    (j, i): (usize, usize),
    kernel: &mut K,
) {
    let most = kernel.most_columns(row.rows.count());
    let most = if most < columns { most / panel * panel.get() } else { columns };
    let mut c = 0;
    loop {
        row.columns = most.min(columns - c);
        // SAFETY: by contract.
        unsafe { kernel.row(isa, row, j, i + c) }
        c += row.columns;
        if c >= columns {
            return;
        }
        row.src.x = row.src.x.wrapping_add(most / panel * row.src.panel_stride);
    }
}

/// Columns that are gone through together, and where their `x` is.
#[derive(Clone, Copy)]
struct Panels<T> {
    x: *const T,
    /// Elements from one `(b, t)` to the next.
    x_stride: usize,
    /// Elements from one panel to the next.
    panel_stride: usize,
    /// The first column.
    i: usize,
    /// How many there are.
    n: usize,
}

/// One block of the batch over a whole output.
#[derive(Clone, Copy)]
struct Walk<T> {
    isa: Isa,
    shape: Shape,
    src: Source<T>,
    rows: usize,
    columns: usize,
    /// Whether to pack, if there is room.
    packs: bool,
    /// Whether the rows are single, so that `x` of all columns should be near by.
    single: bool,
    /// Whether what will be packed next, if anything is, is fetched.
    fetches: bool,
}

impl<T: Element> Walk<T> {
    /// A block of the batch after the other, each packed or not.
    ///
    /// # Safety
    /// As [`sweep`].
    #[cfg_attr(portable_vectors, inline(never))]
    unsafe fn blocks<K: RowKernel<T>>(mut self, scratch: *mut [T], kernel: &mut K) {
        let Walk { shape, src, rows, columns, .. } = self;
        self.single = matches!(kernel.rows(&shape, &src, Way::Packed, rows), Rows::Single(_));
        let pays = match self.single {
            true => single_packing_pays(&src, (rows, columns)),
            false => packing_pays(shape, &src, rows),
        };
        let far = columns > SHORT && (pays || is_far(&src));
        let shallow = rests(shape, &src, rows, K::RESTS) && (far || short_rest(shape, &src, rows));
        self.packs = !shallow && pays && scratch.len() > 0;
        // (Where sums rest often it hardly counts. Sequences stay longer with what they read: of these only vectors of a
        // line come late, from rows that lie apart.)
        let apart = wide::<T>(shape) && src.x_stride * size_of::<T>() >= PAGE / 2;
        let late = is_far(&src) && (src.steps == 1 || apart);
        let late = CACHES && late && !shallow && src.dy_row == 1;
        let depth = match rows {
            _ if !shallow => BLOCK,
            _ if wide::<T>(shape) && self.tiled(kernel) => SHALLOW,
            _ => rows.clamp(SHALLOWEST, deepest(&src)),
        };
        let most = if K::RESTS > 0 { block_of(depth, src.steps) } else { src.batch };
        let mut b = 0;
        loop {
            let block = most.min(src.batch - b);
            kernel.block(b == 0, b + block == src.batch);
            // SAFETY: examples b .. b + block are inside.
            unsafe {
                let mut walk = Walk { src: src.examples(b, block), ..self };
                let width = walk.width(scratch.len());
                walk.packs = width > 0;
                walk.src.late = late && !walk.packs;
                if width > 0 {
                    walk.packed(width, scratch, kernel);
                } else if walk.copies_dy() {
                    walk.with_dy(kernel);
                } else {
                    walk.all(None, None, kernel);
                }
            }
            b += block;
            if b >= src.batch {
                return;
            }
        }
    }

    /// Whether the first tiles are tall, or tiles of several rows leave none over: single rows read `x` as often, but
    /// with less to do meanwhile.
    fn tiled<K: RowKernel<T>>(&self, kernel: &K) -> bool {
        let mut left = self.rows;
        while left > 0 {
            match kernel.rows(&self.shape, &self.src, Way::Tiles, left) {
                Rows::Tile(n) if n >= self.shape.grad[0] => return true,
                Rows::Tile(n) if n > 0 => left = left.saturating_sub(n),
                _ => return false,
            }
        }
        true
    }

    /// How it is gone through.
    fn way(&self) -> Way {
        if self.packs { Way::Packed } else { Way::Tiles }
    }

    /// The columns that are packed at a time: whole panels, or 0 where packing cannot be done or does
    /// not pay.
    fn width(&self, scratch: usize) -> usize {
        let panel = self.shape.panel;
        let depth = self.src.depth();
        if !CACHES || depth == 0 || !self.packs {
            return 0;
        }
        let room = scratch / depth;
        let beside_dy = room.saturating_sub(DY_ROWS);
        let bytes = if self.single { SINGLE_BYTES } else { PACKED_BYTES };
        let near = (bytes / size_of::<T>() / depth).max(panel.get());
        let all = self.columns.div_ceil(panel.get());
        let fits = match packs_dy(beside_dy) {
            false => room.min(MAX_PANEL),
            true if beside_dy >= near.min(self.columns) => beside_dy,
            // Where there is little room, the more `dy` it holds, the fewer times `x` is copied.
            true => beside_dy.min(room / 2),
        };
        let mut panels = (fits.min(near) / panel).min(all);
        if self.single && panels > 0 {
            // All runs about as long.
            panels = evenly(all, panels);
        }
        panels * panel.get()
    }

    /// All rows of tiles over all columns.
    ///
    /// `x` is read where it is, or copied into memory for so many columns at a time; and `dy`, times the example
    /// weights, for so many rows.
    ///
    /// # Safety
    /// As [`sweep`]; the memory has room for whole panels, and for rows: at least [`MAX_ROWS`].
    unsafe fn all<K: RowKernel<T>>(
        &self,
        x: Option<(*mut T, usize)>,
        dy: Option<(*mut T, usize)>,
        kernel: &mut K,
    ) {
        let (depth, panel) = (self.src.depth(), self.shape.panel.get());
        let width = x.map_or(self.columns, |(_, width)| width).max(1);
        let mut packed = usize::MAX; // the first column that is
        let mut j = 0;
        while j < self.rows {
            // SAFETY: rows j .. end and columns i .. i + n are inside, and those that are packed fit.
            unsafe {
                let end = match dy {
                    Some(dy) => self.pack_dy(j, dy, kernel),
                    None => self.rows,
                };
                for i in (0..self.columns).step_by(width) {
                    let n = width.min(self.columns - i);
                    let Source { x: near, x_stride, panel_stride, .. } = self.src;
                    let mut panels = Panels { x: near, x_stride, panel_stride, i, n };
                    if let Some((x, _)) = x {
                        // Of single rows the panels lie side by side.
                        let (x_stride, panel_stride) = match self.single {
                            true => (width, panel),
                            false => (panel, depth * panel),
                        };
                        if packed != i {
                            T::pack_x(self.isa, &self.src, i, n, x_stride, x);
                            packed = i;
                        }
                        panels = Panels { x, x_stride, panel_stride, i, n };
                    }
                    self.rows(panels, dy.map(|(dy, _)| dy.cast_const()), (j, end), kernel);
                }
                j = end;
            }
        }
    }

    /// Copies `dy` of rows from `j` on, as [`Walk::rows`] will want it, as much as there is room for; tells the
    /// first row that is not.
    ///
    /// # Safety
    /// As [`Walk::all`].
    unsafe fn pack_dy<K: RowKernel<T>>(
        &self,
        mut j: usize,
        (mut dy, mut room): (*mut T, usize),
        kernel: &K,
    ) -> usize {
        let tile = |j| kernel.rows(&self.shape, &self.src, self.way(), self.rows - j).count();
        while j < self.rows {
            let rows = tile(j);
            // As many tiles of so many rows as follow each other, and fit, but not too many at a time.
            let (mut n, most) = (0, room.min(TILES * rows));
            while n + rows <= most && j + n < self.rows && tile(j + n) == rows {
                n += rows;
            }
            if n == 0 {
                break;
            }
            // SAFETY: the rows are inside, and they fit.
            unsafe { T::pack_dy(self.isa, &self.src, j, rows, n / rows.max(1), dy) };
            (j, room) = (j + n, room - n);
            dy = dy.wrapping_add(n * self.src.depth());
        }
        j
    }

    /// Rows `j .. end` over some columns; their `dy` was packed, or is where it is.
    ///
    /// # Safety
    /// As [`sweep`], for these.
    unsafe fn rows<K: RowKernel<T>>(
        &self,
        panels: Panels<T>,
        dy: Option<*const T>,
        (mut j, end): (usize, usize),
        kernel: &mut K,
    ) {
        let mut packed = dy;
        let (first, mut fetched) = (j, 0);
        while j < end {
            let Panels { x, x_stride, panel_stride, .. } = panels;
            let mut src = Source { x, x_stride, panel_stride, ..self.src }.row(j);
            let next = kernel.rows(&self.shape, &self.src, self.way(), self.rows - j);
            let rows = next.count();
            if let Some(dy) = packed {
                (src.dy, src.dy_stride, src.dy_row) = (dy, rows, 1);
                src.weights = core::ptr::null();
                packed = Some(dy.wrapping_add(rows * src.depth()));
            }
            let mut row = Row { rows: next, ..Row::of(src) };
            let behind = panels.i + panels.n;
            if CACHES && self.packs && self.fetches && behind < self.columns {
                // As much of the columns behind these for each row of tiles.
                let to = self.src.batch * (j + rows - first) / (end - first).max(1);
                // SAFETY: examples fetched .. to are inside.
                unsafe {
                    let src = self.src.examples(fetched, to - fetched);
                    T::fetch_x(self.isa, &src, behind, panels.n.min(self.columns - behind));
                }
                fetched = to;
            }
            // SAFETY: rows j .. j + rows are inside.
            unsafe { cut(self.isa, &mut row, self.shape.panel, panels.n, (j, panels.i), kernel) };
            j += rows;
        }
    }

    /// Whether to copy `dy` for each few rows of tiles, where `x` is not: since it is multiplied by the example weights,
    /// once and not in each tile, or since it is far apart.
    fn copies_dy(&self) -> bool {
        let fits = self.src.depth() * MAX_ROWS <= WEIGHTED;
        let weighted = !self.src.weights.is_null() && self.columns > self.shape.panel.get();
        CACHES && fits && (weighted || dy_collides(self.shape, &self.src, self.columns))
    }

    /// `c dy` packed on the stack for each few rows of tiles, `x` read where it is.
    ///
    /// # Safety
    /// As [`sweep`]; `depth` rows of `dy` fit.
    #[inline(never)]
    unsafe fn with_dy<K: RowKernel<T>>(&self, kernel: &mut K) {
        let mut dy = [const { MaybeUninit::<T>::uninit() }; WEIGHTED];
        let room = WEIGHTED / self.src.depth().max(1);
        // SAFETY: by contract.
        unsafe { self.all(None, Some((dy.as_mut_ptr().cast(), room)), kernel) }
    }

    /// Everything packed, `width` columns at a time.
    ///
    /// # Safety
    /// As [`sweep`]; `scratch` holds `depth * width` elements, and `depth * DY_ROWS` more if [`packs_dy`].
    unsafe fn packed<K: RowKernel<T>>(&self, width: usize, scratch: *mut [T], kernel: &mut K) {
        let depth = self.src.depth();
        let x: *mut T = scratch.cast();
        let room = scratch.len() / depth - width;
        let some = if width >= self.columns { DY_ROWS } else { evenly(self.rows, room) + MAX_ROWS };
        let room = room.min(some);
        let dy = packs_dy(width).then_some((x.wrapping_add(depth * width), room));
        // SAFETY: by contract; dy is behind x.
        unsafe { self.all(Some((x, width)), dy, kernel) }
    }
}
