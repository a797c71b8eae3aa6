//! What a sweep reckons with: the sizes of caches, what is copied for them and when, and how often sums rest in memory.
//! Why, is told in [`super::sweep`].

use super::few::FEW;
use super::shape::Shape;
use super::tile::Source;
use crate::{Dims, Element, Isa};

/// Whether to think of caches: where there are no vectors there are hardly any. Nothing is packed then, and
/// tiles are as large as they can be however small the batch.
pub(super) const CACHES: bool = cfg!(portable_vectors);

/// Bytes of a cache line.
pub(super) const LINE: usize = 64;

/// Bytes from one row to the next from which rows are far apart: packing pays, and prefetching.
pub(super) const PAGE: usize = 4 << 10;

/// The same for panels of a single line of the cache, which bear less.
pub(super) const NEAR: usize = PAGE / 4;

/// Bytes of an output that a second-level cache has no trouble to hold.
pub(super) const SMALL: usize = FAR / 4;

/// Bytes of parameters, or of `x`, that a second-level cache hardly holds beside the rest.
pub(super) const FAR: usize = 1 << 20;

/// Bytes of parameters from which on hardly any cache keeps them and their state.
pub(super) const BEYOND: usize = 6 << 20;

/// Bytes of packed `x`: half of a small second-level cache, and no more, since the outputs pass through it too.
pub(super) const PACKED_BYTES: usize = 256 << 10;

/// The same for single rows, which read all of it for each: what a first-level cache just holds.
pub(super) const SINGLE_BYTES: usize = 32 << 10;

/// Bytes of packed `dy` that are worth having where it is read for several groups of columns.
const DY_BYTES: usize = 1 << 20;

/// Most rows in a tile, of any kernel and ISA; for fewer rows of output nothing is packed.
pub(super) const MAX_ROWS: usize = 12;

/// Widest panel of any ISA and type.
pub(super) const MAX_PANEL: usize = 32;

/// Rows of `dy` that are packed at a time, at least.
pub(super) const DY_ROWS: usize = 4 * MAX_ROWS;

/// From so many rows on whose `dy` lies side by side packing pays from nearer, however wide the panels.
const MANY: usize = 256;

/// The same for short sequences, of a part of the rows whose `dy` lies side by side.
const PART: usize = 48;

/// Most steps of short sequences, of which tiles go through two examples at a time whether they are copied or not: longer
/// ones lie far apart, and want the panel to the right fetched.
pub(super) const FEW_STEPS: usize = 32;

/// Up to so many rows never pay for a copy of rows that lie apart, on Intel's CPUs.
const NEVER_COPIED: usize = 64;

/// The same of a copy of rows whose vectors lie across lines of the cache, for which there are so many `(b, t)` at least.
const UNSPLIT: usize = 36;
const UNSPLIT_DEPTH: usize = 32;

/// The same with 16 registers, whose panels are a line of the cache; and the bytes beyond which rows are long enough.
const UNSPLIT_NARROW: usize = 48;
const UNSPLIT_NARROW_DEPTH: usize = 192;
const UNSPLIT_NARROW_BYTES: usize = 4 * LINE;

/// From so many `(b, t)` on copies pay whose only reason is that rows share a few sets of a cache; and those of `dy` for
/// columns of so many bytes.
const COLLIDING: usize = 16;
const COLLIDING_BYTES: usize = 512;

/// Up to so many rows, if their panels are wide, read a small `x` where it is.
const UNCOPIED: usize = 128;

/// Up to so many rows of an input gradient in narrow tiles do not pay for a copy, however rows of `W` lie.
const FEW_APART: usize = 16;

/// From so many rows of it, and so many bytes of a row, on, short rows are gone through in short blocks, too.
const SHORT_ROWS: usize = 48;
const SHORT_BYTES: usize = 6 * LINE;

/// `(b, t)` between two visits of the sums in memory.
pub(super) const BLOCK: usize = 256;

/// The same if they rest often: so many where tiles are tall, whose next `x` is fetched meanwhile. Else as many as there are
/// rows, but not less than these.
pub(super) const SHALLOW: usize = 128;
pub(super) const SHALLOWEST: usize = 8;

/// The most rows whose sums do so, for panels of a single line of the cache; twice as many where they fetch the next one.
const NARROW_RESTS: usize = 32;

/// From so many `(b, t)` on `x` may come from so far away that tall tiles fetch the next panel.
pub(super) const LATE: usize = 48;

/// Rows of up to so many columns are short.
pub(super) const SHORT: usize = 256;

/// The most `(b, t)` whose rows of output are walked one by one. (What else is done for a short row would take longer.)
pub(super) const fn few(columns: usize) -> usize {
    if columns > SHORT { FEW } else { 0 }
}

/// The same where nothing but sums is wanted, with squares or without: that pays for short rows as well. But each row
/// reads `x` again, which takes twice as long where a vector of a whole line of the cache lies across two: nowhere if rows
/// of `x` are `lines`, every other row if they are `halves`.
pub(super) fn few_sums<T>(shape: &Shape, src: &Source<T>, columns: usize, squares: bool) -> usize {
    let panel = shape.panel.get();
    let at = src.x.addr() | (src.x_stride * size_of::<T>());
    let (lines, halves) = (at.is_multiple_of(LINE), at.is_multiple_of(LINE / 2));
    match (wide::<T>(*shape), squares) {
        (false, _) if columns >= panel => FEW,
        (true, true) if lines && columns >= panel => FEW,
        (true, false) if lines && columns >= panel => FEW / 2,
        (true, true) if halves && columns >= 2 * panel => FEW - 1,
        (true, true) if columns > SHORT => 2,
        (true, _) if columns >= 2 * panel => 1,
        _ => 0,
    }
}

/// The elements of scratch with which a sweep over an output of `dims` runs at full speed.
pub(super) const fn scratch_len(dims: Dims) -> usize {
    let Dims { batch, steps, outputs: rows, inputs: columns } = dims;
    let all = batch.saturating_mul(steps);
    let stride = columns.saturating_mul(size_of::<f32>());
    if !(may_pack(stride, rows) || is_split(stride, rows, all)) || all <= FEW {
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
pub(super) const fn one_panel() -> usize {
    if CACHES { BLOCK * MAX_PANEL } else { 0 }
}

/// Whether there are an ISA, scratch and a batch with which `x` would be packed, whose rows are so many bytes
/// apart, for so many rows of output.
pub(super) const fn may_pack(stride: usize, rows: usize) -> bool {
    CACHES && stride >= NEAR && rows >= MAX_ROWS
}

/// How many of `n` go together if they go at most so many at a time, and about as many each time.
pub(super) fn evenly(n: usize, most: usize) -> usize {
    n.div_ceil(n.div_ceil(most.max(1)).max(1))
}

/// Examples in a block of `depth` `(b, t)`.
pub(super) const fn block_of(depth: usize, steps: usize) -> usize {
    let n = depth / if steps == 0 { 1 } else { steps };
    if n == 0 { 1 } else { n }
}

/// Whether panels are wider than a line of the cache.
pub(super) const fn wide<T>(shape: Shape) -> bool {
    shape.panel.get() * size_of::<T>() > LINE
}

/// Whether sums of so many rows of output rather rest in memory every few `(b, t)` than that `x` is copied.
///
/// `most` of them do if panels are wider than a line of the cache.
pub(super) fn rests<T: Element>(shape: Shape, src: &Source<T>, rows: usize, most: usize) -> bool {
    if is_apart::<T>(shape, src) {
        // A copy is for rows that share a few sets of the caches.
        let collide = collides(src.x_stride * size_of::<T>(), NEAR);
        return CACHES && most > 0 && (rows <= FEW_APART || !collide);
    }
    let apart = shape.intel && src.dy_row == 1 && src.x_stride * size_of::<T>() > PAGE;
    let most = match wide::<T>(shape) {
        _ if apart || splitting_costs(shape, src, rows) => most.min(NEVER_COPIED),
        false if shape.registers == 16 && src.depth() >= LATE => most.min(2 * NARROW_RESTS),
        false => most.min(NARROW_RESTS),
        true => most,
    };
    CACHES && rows <= most
}

/// Whether that pays for short rows that are near by, too: those of an input gradient in narrow tiles.
pub(super) fn short_rest<T: Element>(shape: Shape, src: &Source<T>, rows: usize) -> bool {
    let long = src.x_stride * size_of::<T>() >= SHORT_BYTES;
    CACHES && long && rows >= SHORT_ROWS && is_apart(shape, src)
}

/// The most `(b, t)` between two visits of sums that rest often, where tiles are not tall: fewer of long rows.
pub(super) fn deepest<T: Element>(src: &Source<T>) -> usize {
    if src.x_stride * size_of::<T>() > 3 * NEAR { 48 } else { 64 }
}

/// Whether panels that are packed are fetched before they are: those of an input gradient in narrow tiles.
pub(super) fn fetching_pays<T: Element>(shape: Shape, src: &Source<T>) -> bool {
    CACHES && is_apart(shape, src) && bytes(src) > 2 * FAR
}

/// Whether `x` is more than a second-level cache holds.
pub(super) fn is_far<T: Element>(src: &Source<T>) -> bool {
    bytes(src) >= FAR
}

/// Bytes from the first of `x` to the last.
pub(super) fn bytes<T: Element>(src: &Source<T>) -> usize {
    src.depth().saturating_mul(src.x_stride * size_of::<T>())
}

/// Whether so little of `x` is read, once for each row of tiles, that it stays near by as it is. (Rows that are four
/// pages apart share the few sets of the second-level cache, too.)
fn is_small<T: Element>(src: &Source<T>) -> bool {
    let few = src.steps == 1 && src.depth() <= SHALLOW;
    few && bytes(src) <= FAR / 2 && src.x_stride * size_of::<T>() < 4 * PAGE
}

/// Whether vectors of `x` lie across two lines of the cache each, or panels of a line do, and a copy of it pays for that
/// alone.
#[inline(always)]
pub(super) fn splitting_costs<T: Element>(shape: Shape, src: &Source<T>, rows: usize) -> bool {
    let (depth, stride) = (src.depth(), src.x_stride * size_of::<T>());
    let narrow = depth >= UNSPLIT_NARROW_DEPTH
        && stride > UNSPLIT_NARROW_BYTES
        && rows >= UNSPLIT_NARROW
        && is_narrow::<T>(shape);
    (shape.intel || narrow) && src.dy_row == 1 && is_split(stride, rows, depth)
}

/// Whether vectors of rows that are so many bytes apart do, of enough `(b, t)` and for enough rows of output that a copy
/// pays on Intel's CPUs.
const fn is_split(stride: usize, rows: usize, depth: usize) -> bool {
    let split = stride > 2 * LINE && !stride.is_multiple_of(LINE);
    CACHES && split && rows > UNSPLIT && depth >= UNSPLIT_DEPTH
}

/// Whether rows so many bytes apart are a multiple of `least`: their lines share a set of the caches with many others.
const fn collides(stride: usize, least: usize) -> bool {
    CACHES && stride > 0 && stride.is_multiple_of(least)
}

/// Whether it is an input gradient in narrow tiles.
fn is_apart<T: Element>(shape: Shape, src: &Source<T>) -> bool {
    src.dy_row != 1 && is_narrow::<T>(shape)
}

/// Whether there are 16 registers, and panels are a line of the cache.
pub(super) fn is_narrow<T>(shape: Shape) -> bool {
    shape.registers == 16 && !wide::<T>(shape)
}

/// Whether `dy` is rather copied for a few rows of tiles at a time where `x` is not, since its lines share one or two sets
/// of the first-level cache.
#[inline(always)]
pub(super) fn dy_collides<T: Element>(shape: Shape, src: &Source<T>, columns: usize) -> bool {
    let collides = src.dy_row == 1 && collides(src.dy_stride * size_of::<T>(), PAGE / 2);
    let pays = src.depth() >= COLLIDING && columns * size_of::<T>() >= COLLIDING_BYTES;
    collides && pays && is_narrow::<T>(shape)
}

/// Whether to copy `x` pays, for so many rows of output.
pub(super) fn packing_pays<T: Element>(shape: Shape, src: &Source<T>, rows: usize) -> bool {
    let [stride, dy] = [src.x_stride, src.dy_stride].map(|stride| stride * size_of::<T>());
    if splitting_costs(shape, src, rows) {
        return true;
    }
    let part =
        (PART..MANY).contains(&rows) && src.dy_row == 1 && (2..=FEW_STEPS).contains(&src.steps);
    let far = match wide::<T>(shape) {
        false => NEAR,
        true if rows <= UNCOPIED && is_small(src) => return false,
        true if part && dy >= PAGE / 2 => PAGE / 2,
        true if rows < MANY || src.dy_row != 1 => PAGE,
        true if !shape.intel && src.steps == 1 && dy < PAGE => PAGE,
        // What is saved is the walk through `dy` as well.
        true if dy >= PAGE / 2 => PAGE / 4,
        true => PAGE / 2,
    };
    stride >= far && may_pack(stride, rows)
}

/// Whether copies on the stack pay for the examples of `dims`, where no scratch is given: rows of `x` that are a quarter
/// of a page or more apart share a few sets of the first-level cache.
pub(super) fn stack_pays<T: Element>(isa: Isa, dims: Dims) -> bool {
    let collides = collides(dims.inputs.saturating_mul(size_of::<T>()), NEAR);
    let enough = dims.outputs >= MANY && dims.steps >= COLLIDING;
    // SAFETY: it has no conditions.
    collides && enough && is_narrow::<T>(unsafe { T::shape(isa) })
}

/// The same for single rows: whether their `x` is more than a first-level cache holds.
pub(super) fn single_packing_pays<T: Element>(
    src: &Source<T>,
    (rows, columns): (usize, usize),
) -> bool {
    let far = src.depth().saturating_mul(columns) > SINGLE_BYTES / size_of::<T>();
    far && may_pack(src.x_stride * size_of::<T>(), rows)
}

/// Whether `dy` is packed beside `width` columns of `x`: for a single panel it would be copied as often as it is read.
pub(super) const fn packs_dy(width: usize) -> bool {
    width > MAX_PANEL
}
