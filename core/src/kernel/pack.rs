//! Copies of `x` and `dy` in the order in which tiles read them. Why, is told in [`super::sweep`].

use super::tile::Source;
use crate::Element;
use crate::simd::Simd;

/// Copies columns `i .. i + n` of `x` as `[panel][b, t][panel columns]`; the last panel is filled up
/// with `+0`.
///
/// # Safety
/// `src` is readable; `to` is writable for `depth` times `n` rounded up to whole panels of two vectors.
#[inline(always)]
pub(crate) unsafe fn x<T: Element, S: Simd<T>>(
    s: S,
    src: &Source<T>,
    i: usize,
    n: usize,
    to: *mut T,
) {
    let depth = src.depth();
    let panel = 2 * S::LANES;
    for k in 0..depth {
        // SAFETY: columns i .. i + n are inside row k of x; the panel of column c starts at
        // c * depth, and its row k at k * panel, inside `to`.
        unsafe {
            let from = src.x.add(k * src.x_stride + i);
            let to = to.add(k * panel);
            let mut c = 0;
            while c + panel <= n {
                let to = to.add(c * depth);
                s.store(to, s.load(from.add(c)));
                s.store(to.add(S::LANES), s.load(from.add(c + S::LANES)));
                c += panel;
            }
            if c < n {
                let first = S::LANES.min(n - c);
                let second = n - c - first;
                let to = to.add(c * depth);
                s.store(to, s.load_first(from.add(c), first, T::ZERO));
                s.store(to.add(S::LANES), s.load_first(from.add(c + first), second, T::ZERO));
            }
        }
    }
}

/// Copies `c[b] dy` of `tiles` times `rows` rows from `j` on, as `[tile][b, t][rows]`.
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
    let mut from = src.dy.wrapping_add(j * src.dy_row);
    let (mut to, tile) = (to, src.depth() * rows);
    for b in 0..src.batch {
        // SAFETY: b < batch; tiles * rows elements of each (b, t) are inside dy and `to`.
        unsafe {
            let weight = if src.weights.is_null() { None } else { Some(*src.weights.add(b)) };
            for _ in 0..src.steps {
                if src.dy_row == 1 && rows <= S::LANES {
                    for k in 0..tiles {
                        let mut dy = s.load_first(from.add(k * rows), rows, T::ZERO);
                        if let Some(c) = weight {
                            dy = s.mul(s.splat(c), dy);
                        }
                        s.store_first(to.add(k * tile), rows, dy);
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
                to = to.wrapping_add(rows);
            }
        }
    }
}
