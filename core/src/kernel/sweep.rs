//! Walks rows of register tiles over a `[rows, columns]` output, so that what they read comes from
//! near by. Plain code, compiled once for all ISAs; the tiles and the packing are dispatched.
//!
//! Plan:
//!
//! * A tile reads a panel of columns of every `(b, t)`. Rows of `x` are `I` elements apart, and strides
//!   of a page put them all into the same few cache sets; so `x` is *packed* into panels of the tile's
//!   width, `[panel][b, t][columns]`, as many columns at a time as fit the scratch and the second-level
//!   cache, and `dy` (times the example weights) as `[b, t][rows]` for some rows of tiles at a time, since a
//!   line of the cache holds more of it than one row of tiles wants. Where that goes for several groups of columns,
//!   `dy` of as many rows as there is room for is packed first, and once.
//! * An output that is kept in memory is resumed every [`BLOCK`] `(b, t)`, so that panels stay in cache
//!   however large the batch is.
//! * For fewer rows of output the time goes into the copy of `x`. Where sums can be resumed they are, after every
//!   few `(b, t)`, whose `x` stays in cache as it is.
//! * For a few `(b, t)` and long rows the time goes into the output, not into `x`: one row of it at a time, in
//!   long runs, nothing packed.
//! * Without scratch the same tiles read `x` and `dy` where they are; example weights multiply `dy` once for
//!   each row of tiles, on the stack.

use core::mem::MaybeUninit;

use super::row::{LINE, Row, Rows, Shape};
use super::tile::{Ends, Out, Source};
use crate::{Dims, Element, Isa};

/// `(b, t)` between two visits of the sums in memory.
const BLOCK: usize = 256;

/// Bytes of packed `x`: half of a small second-level cache, and no more, since the outputs pass through it too.
const PACKED_BYTES: usize = 256 << 10;

/// Bytes from one row to the next from which rows are far apart: packing pays, and prefetching.
pub(crate) const PAGE: usize = 4 << 10;

/// Bytes of parameters, or of `x`, that a second-level cache hardly holds beside the rest.
pub(crate) const FAR: usize = 1 << 20;

/// The same as [`PAGE`] for panels of a single line of the cache, which bear less.
const NEAR: usize = PAGE / 4;

/// `(b, t)` between two visits of the sums in memory if they rest often: as many as there are rows, but not less or
/// more.
const SHALLOWEST: usize = 8;
const SHALLOW: usize = 64;

/// The most rows whose sums do so, for panels of a single line of the cache.
const NARROW_RESTS: usize = 32;

/// From so many rows on whose `dy` lies side by side packing pays from nearer, however wide the panels.
const MANY: usize = 256;

/// Up to so many `(b, t)` the output is walked row by row.
const FEW: usize = 4;

/// But not rows of up to so many columns: calling for each would take longer than what is done for it.
const SHORT: usize = 256;

/// Whether to think of caches: where there are no vectors there are hardly any. Nothing is packed then, and
/// tiles are as large as they can be however small the batch.
pub(crate) const CACHES: bool = cfg!(portable_vectors);

/// Most rows in a tile, of any kernel and ISA; for fewer rows of output nothing is packed.
const MAX_ROWS: usize = 12;

/// Rows of `dy` that are packed at a time, at least.
const DY_ROWS: usize = 4 * MAX_ROWS;

/// Bytes of packed `dy` that are worth having where it is read for several groups of columns.
const DY_BYTES: usize = 1 << 20;

/// Elements of `c dy` on the stack: a row of tiles, for one block of the batch.
const WEIGHTED: usize = if CACHES { BLOCK * MAX_ROWS } else { 0 };

/// Widest panel of any ISA and type.
const MAX_PANEL: usize = 32;

/// The elements of scratch with which a sweep over an output of `dims` runs at full speed.
pub(crate) const fn scratch_len(dims: Dims) -> usize {
    let Dims { batch, steps, outputs: rows, inputs: columns } = dims;
    let all = batch.saturating_mul(steps);
    if !may_pack(columns.saturating_mul(size_of::<f32>()), rows) || all <= FEW {
        return 0;
    }
    let block = if all < BLOCK || steps >= all { all } else { block_of(BLOCK, steps) * steps };
    let fits = PACKED_BYTES / 4 / block;
    let padded = columns.saturating_add(MAX_PANEL - 1) / MAX_PANEL * MAX_PANEL;
    let width = if padded < fits { padded } else { fits };
    let width = if width < MAX_PANEL { MAX_PANEL } else { width };
    let most = DY_BYTES / 4 / block;
    let dy_rows = match rows < most {
        _ if width >= columns => DY_ROWS,
        true => rows,
        false => most,
    };
    block.saturating_mul(width + if dy_rows < DY_ROWS { DY_ROWS } else { dy_rows })
}

/// The elements of scratch with which the widest panel of a block can be packed.
pub(crate) const fn one_panel() -> usize {
    if CACHES { BLOCK * MAX_PANEL } else { 0 }
}

/// Whether there are an ISA, scratch and a batch with which `x` would be packed, whose rows are so many bytes
/// apart, for so many rows of output.
pub(crate) const fn may_pack(stride: usize, rows: usize) -> bool {
    CACHES && stride >= NEAR && rows >= MAX_ROWS
}

/// Examples in a block of `depth` `(b, t)`.
const fn block_of(depth: usize, steps: usize) -> usize {
    let n = depth / if steps == 0 { 1 } else { steps };
    if n == 0 { 1 } else { n }
}

/// What is done for each row of tiles of an output.
pub(crate) trait RowKernel<T: Element> {
    /// Whether the output is memory in which sums can rest between blocks of the batch: 0 if not, or else how many
    /// rows of them rather do so every few `(b, t)` than that `x` is copied.
    const RESTS: usize;

    /// Rows of the next row of tiles, with so many left; single ones if there is little to do for each (`few`).
    fn rows(&self, shape: Shape, src: &Source<T>, few: bool, left: usize) -> Rows;

    /// Most columns of a row of tiles of `rows` rows.
    fn most_columns(&self, rows: usize) -> usize;

    /// Called before each block of the batch: whether it is the first, and the last.
    fn block(&mut self, first: bool, last: bool);

    /// Computes `row`, which lies at row `j`, column `i`; its outputs and ends are for the kernel to
    /// fill in.
    ///
    /// # Safety
    /// The row is inside the output, and its `src` is readable.
    unsafe fn row(&mut self, isa: Isa, row: Row<T>, j: usize, i: usize);
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
    let few = CACHES && columns > SHORT && src.batch.saturating_mul(src.steps) <= FEW;
    // SAFETY: it has no conditions.
    let shape = unsafe { T::shape(isa) };
    let pays = packing_pays(shape, &src, rows);
    let far = src.depth().saturating_mul(src.x_stride * size_of::<T>()) >= FAR;
    let shallow = rests::<T, K>(shape, &src, rows) && columns > SHORT && (pays || far);
    let packs = !few && !shallow && pays && scratch.len() > 0;
    let whole = Walk { isa, shape, src, rows, columns, packs };
    let depth = match rows {
        _ if !shallow => BLOCK,
        1 => 2 * SHALLOWEST,
        _ => rows.clamp(SHALLOWEST, SHALLOW),
    };
    let most = if K::RESTS > 0 { block_of(depth, src.steps) } else { src.batch };
    let mut b = 0;
    loop {
        let block = most.min(src.batch - b);
        kernel.block(b == 0, b + block == src.batch);
        // SAFETY: examples b .. b + block are inside.
        unsafe {
            let walk = Walk { src: src.examples(b, block), ..whole };
            let width = walk.width(scratch.len());
            if width > 0 {
                walk.packed(width, scratch, kernel);
            } else if walk.weights_pay(few) {
                walk.weighted(kernel);
            } else {
                walk.all(None, None, few, kernel);
            }
        }
        b += block;
        if b >= src.batch {
            return;
        }
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
}

/// Whether sums of so many rows of output rather rest in memory every few `(b, t)` than that `x` is copied.
fn rests<T: Element, K: RowKernel<T>>(shape: Shape, src: &Source<T>, rows: usize) -> bool {
    let most = match shape.panel.get() * size_of::<T>() <= LINE {
        true => K::RESTS.min(NARROW_RESTS),
        // Elements of `dy` that lie apart cannot be copied where `x` is.
        false if src.dy_row != 1 => 2 * K::RESTS,
        false => K::RESTS,
    };
    CACHES && rows <= most
}

/// Whether to copy `x` pays, for so many rows of output.
fn packing_pays<T: Element>(shape: Shape, src: &Source<T>, rows: usize) -> bool {
    let stride = src.x_stride * size_of::<T>();
    let far = match shape.panel.get() * size_of::<T>() <= LINE {
        true => NEAR,
        false if rows < MANY || src.dy_row != 1 => PAGE,
        // What is saved is the walk through `dy` as well.
        false if src.dy_stride * size_of::<T>() >= PAGE / 2 => PAGE / 4,
        false => PAGE / 2,
    };
    stride >= far && may_pack(stride, rows)
}

/// Whether `dy` is packed beside `width` columns of `x`: for a single panel it would be copied as often as it is read.
const fn packs_dy(width: usize) -> bool {
    width > MAX_PANEL
}

impl<T: Element> Walk<T> {
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
        let fits = if packs_dy(beside_dy) { beside_dy } else { room.min(MAX_PANEL) };
        let near = (PACKED_BYTES / size_of::<T>() / depth).max(panel.get());
        let all = self.columns.saturating_add(panel.get() - 1) / panel * panel.get();
        fits.min(near).min(all) / panel * panel.get()
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
        few: bool,
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
                    let mut panels = Panels {
                        x: self.src.x,
                        x_stride: self.src.x_stride,
                        panel_stride: panel,
                        i,
                        n,
                    };
                    if let Some((x, _)) = x {
                        if packed != i {
                            T::pack_x(self.isa, &self.src, i, n, x);
                            packed = i;
                        }
                        panels = Panels { x, x_stride: panel, panel_stride: depth * panel, i, n };
                    }
                    self.rows(panels, dy.map(|(dy, _)| dy.cast_const()), (j, end), few, kernel);
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
        while j < self.rows {
            let left = self.rows - j;
            let rows = kernel.rows(self.shape, &self.src, false, left).count();
            // Tiles of so many rows as the first.
            let tiles = room.min(left) / rows.max(1);
            if tiles == 0 {
                break;
            }
            // SAFETY: the rows are inside, and they fit.
            unsafe { T::pack_dy(self.isa, &self.src, j, rows, tiles, dy) };
            (j, room) = (j + tiles * rows, room - tiles * rows);
            dy = dy.wrapping_add(tiles * rows * self.src.depth());
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
        few: bool,
        kernel: &mut K,
    ) {
        let mut packed = dy;
        while j < end {
            let next = kernel.rows(self.shape, &self.src, few, self.rows - j);
            let rows = next.count();
            let mut src = Source { x: panels.x, x_stride: panels.x_stride, ..self.src }.row(j);
            if let Some(dy) = packed {
                (src.dy, src.dy_stride, src.dy_row) = (dy, rows, 1);
                src.weights = core::ptr::null();
                packed = Some(dy.wrapping_add(rows * src.depth()));
            }
            // SAFETY: rows j .. j + rows are inside.
            unsafe { self.row(src, panels.panel_stride, next, panels.n, j, panels.i, kernel) };
            j += rows;
        }
    }

    /// Whether to multiply `dy` by the example weights once for each row of tiles, rather than in each tile.
    fn weights_pay(&self, few: bool) -> bool {
        let fits = self.src.depth() * MAX_ROWS <= WEIGHTED;
        CACHES
            && !few
            && fits
            && !self.src.weights.is_null()
            && self.columns > self.shape.panel.get()
    }

    /// `c dy` packed on the stack for each row of tiles, `x` read where it is.
    ///
    /// # Safety
    /// As [`sweep`]; there are weights, and `depth` rows of `dy` fit.
    #[inline(never)]
    unsafe fn weighted<K: RowKernel<T>>(&self, kernel: &mut K) {
        let mut dy = [const { MaybeUninit::<T>::uninit() }; WEIGHTED];
        let room = WEIGHTED / self.src.depth().max(1);
        // SAFETY: by contract.
        unsafe { self.all(None, Some((dy.as_mut_ptr().cast(), room)), false, kernel) }
    }

    /// Everything packed, `width` columns at a time.
    ///
    /// # Safety
    /// As [`sweep`]; `scratch` holds `depth * width` elements, and `depth * DY_ROWS` more if [`packs_dy`].
    unsafe fn packed<K: RowKernel<T>>(&self, width: usize, scratch: *mut [T], kernel: &mut K) {
        let depth = self.src.depth();
        let x: *mut T = scratch.cast();
        let room = scratch.len() / depth - width;
        let room = if width >= self.columns { room.min(DY_ROWS) } else { room };
        let dy = packs_dy(width).then_some((x.wrapping_add(depth * width), room));
        // SAFETY: by contract; dy is behind x.
        unsafe { self.all(Some((x, width)), dy, false, kernel) }
    }

    /// Columns `i .. i + columns` of some rows, cut as the kernel likes them.
    ///
    /// # Safety
    /// As [`sweep`], for these.
    #[allow(clippy::too_many_arguments)]
    unsafe fn row<K: RowKernel<T>>(
        &self,
        src: Source<T>,
        panel_stride: usize,
        rows: Rows,
        columns: usize,
        j: usize,
        i: usize,
        kernel: &mut K,
    ) {
        let panel = self.shape.panel;
        let most = kernel.most_columns(rows.count());
        let most = if most < columns { most / panel * panel.get() } else { columns };
        let nowhere = Out { p: core::ptr::null_mut(), stride: 0 };
        let mut x = src.x;
        let mut c = 0;
        while c < columns {
            let row = Row {
                src: Source { x, ..src },
                panel_stride,
                rows,
                columns: most.min(columns - c),
                ends: Ends::FRESH,
                out: nowhere,
                out_sq: nowhere,
                ahead: [core::ptr::null(); 3],
                ahead_stride: 0,
            };
            // SAFETY: by contract.
            unsafe { kernel.row(self.isa, row, j, i + c) }
            c += row.columns;
            if c < columns {
                x = x.wrapping_add(most / panel * panel_stride);
            }
        }
    }
}
