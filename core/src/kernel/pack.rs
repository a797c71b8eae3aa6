//! Copies of `x` and `dy` in the order in which tiles read them. Why, is told in [`super::sweep`].

use super::row::fetch_lines;
use super::shape::TILE_VECS;
use super::tile::{SOON, Source};
use crate::Element;
use crate::simd::Simd;

/// Copies columns `i .. i + n` of `x` as `[panel][b, t][panel columns]`, where a panel is as wide as a tile, or holds all
/// of the columns; the last tile is filled up with `+0`.
///
/// # Safety
/// `src` is readable; `to` is writable for `depth` times `n` rounded up to whole panels.
#[inline(always)]
pub(crate) unsafe fn x<T: Element, S: Simd<T>>(
    s: S,
    src: &Source<T>,
    i: usize,
    n: usize,
    panel: usize,
    to: *mut T,
) {
    let depth = src.depth();
    let tile = TILE_VECS * S::LANES;
    // Elements from a column to where the next one would be, were they not in the same tile.
    let apart = if panel == tile { depth } else { 1 };
    for k in 0..depth {
        // SAFETY: columns i .. i + n are inside row k of x; the tile of column c starts at
        // c * apart, and its row k at k * panel, inside `to`.
        unsafe {
            let from = src.x.add(k * src.x_stride + i);
            let to = to.add(k * panel);
            let mut c = 0;
            while c + tile <= n {
                let to = to.add(c * apart);
                s.store(to, s.load(from.add(c)));
                s.store(to.add(S::LANES), s.load(from.add(c + S::LANES)));
                c += tile;
            }
            if c < n {
                let first = S::LANES.min(n - c);
                let second = n - c - first;
                let to = to.add(c * apart);
                s.store(to, s.load_first(from.add(c), first, T::ZERO));
                s.store(to.add(S::LANES), s.load_first(from.add(c + first), second, T::ZERO));
            }
        }
    }
}

/// Fetches columns `i .. i + n` of `x`.
///
/// # Safety
/// None is asked for.
#[inline(always)]
pub(crate) unsafe fn fetch_x<T: Element, S: Simd<T>>(s: S, src: &Source<T>, i: usize, n: usize) {
    for k in 0..src.depth() {
        fetch_lines(s, src.x.wrapping_add(k * src.x_stride + i), n);
    }
}

/// Tiles whose `dy` is rather copied at a time. Their lines lie whole tiles apart, often in the same few sets of the
/// first-level cache, where they are to stay until they are full.
pub(super) const TILES: usize = 16;

/// Copies `c[b] dy` of `tiles` times `rows` rows from `j` on, as `[tile][b, t][rows]`.
///
/// Whole vectors are loaded and stored where they stay inside: what they hold past a tile's `rows` is overwritten
/// by the next `(b, t)`. (Masks cost more than the rest of it.) Lines that come soon are fetched, those that are written
/// too: both arrays are larger than the second-level cache likes.
///
/// # Safety
/// `src` is readable, and the rows are inside; `to` is writable for `tiles * depth * rows` elements.
#[inline(always)]
pub(crate) unsafe fn dy<T: Element, S: Simd<T>>(
    s: S,
    src: &Source<T>,
    j: usize,
    rows: usize,
    tiles: usize,
    to: *mut T,
) {
    let (all, tile) = (tiles * rows, src.depth() * rows);
    let vectors = src.dy_row == 1 && S::LANES > 1;
    // Where the rows of a tile begin that are no whole vector, and for how many tiles one is inside `dy`.
    let partial = if vectors { rows / S::LANES * S::LANES } else { 0 };
    let inside = (all + rows).saturating_sub(partial + S::LANES) / rows.max(1);
    let (mut from, mut at) = (src.dy.wrapping_add(j * src.dy_row), 0);
    for b in 0..src.batch {
        // SAFETY: b < batch; tiles * rows elements of each (b, t) are inside dy and `to`, and whole vectors
        // end before them.
        unsafe {
            let weight = if src.weights.is_null() { None } else { Some(*src.weights.add(b)) };
            let scaled = |dy| if let Some(c) = weight { s.mul(s.splat(c), dy) } else { dy };
            for _ in 0..src.steps {
                let to = to.add(at);
                if vectors {
                    fetch_lines(s, from.wrapping_add(SOON * src.dy_stride), all);
                    for k in 0..tiles {
                        for r in (0..partial).step_by(S::LANES) {
                            s.store(to.add(k * tile + r), scaled(s.load(from.add(k * rows + r))));
                        }
                    }
                    let whole = if at + partial + S::LANES <= tile { inside } else { 0 };
                    let (from, to, n) = (from.add(partial), to.add(partial), rows - partial);
                    for k in 0..if n > 0 { tiles } else { 0 } {
                        let (from, to) = (from.add(k * rows), to.add(k * tile));
                        s.prefetch(to.wrapping_add(SOON * rows));
                        if k < whole {
                            s.store(to, scaled(s.load(from)));
                        } else {
                            s.store_first(to, n, scaled(s.load_first(from, n, T::ZERO)));
                        }
                    }
                } else {
                    for k in 0..tiles {
                        for r in 0..rows {
                            let dy = *from.add((k * rows + r) * src.dy_row);
                            *to.add(k * tile + r) = if let Some(c) = weight { c * dy } else { dy };
                        }
                    }
                }
                from = from.wrapping_add(src.dy_stride);
                at += rows;
            }
        }
    }
}
