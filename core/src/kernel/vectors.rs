//! What is done with `VECS` vectors side by side, one row of a tile, and with the pointers to them.

use super::shape::TILE_VECS;
use super::unroll::unroll;
use crate::Element;
use crate::simd::Simd;

/// Sets pointers `by` elements further, each on its own: the compiler does not compute one from another.
#[inline(always)]
pub(super) fn advance<T, S, const N: usize>(s: S, at: &mut [*const T; N], by: usize)
where
    T: Element,
    S: Simd<T>,
{
    unroll!(for (_k, p) in at: N {
        *p = s.opaque(p.wrapping_add(by));
    });
}

/// `VECS` vectors from memory; the last one has `n - (VECS - 1) LANES` lanes if `TAIL`, others `+0`.
///
/// # Safety
/// `p` is readable for `VECS * LANES` elements, or for `n` if `TAIL`.
#[inline(always)]
pub(super) unsafe fn load<T, S, const VECS: usize, const TAIL: bool>(
    s: S,
    p: *const T,
    n: usize,
) -> [S::V; VECS]
where
    T: Element,
    S: Simd<T>,
{
    // SAFETY: by contract.
    unsafe { load_panels::<T, S, VECS, TAIL>(s, p, TILE_VECS * S::LANES, n) }
}

/// The same of panels of [`TILE_VECS`] vectors that are `panel_stride` elements apart.
///
/// # Safety
/// As [`load`], of each panel.
#[inline(always)]
pub(super) unsafe fn load_panels<T, S, const VECS: usize, const TAIL: bool>(
    s: S,
    p: *const T,
    panel_stride: usize,
    n: usize,
) -> [S::V; VECS]
where
    T: Element,
    S: Simd<T>,
{
    let [[mut out]] = s.zeros();
    unroll!(for v in 0..VECS {
        // SAFETY: inside the elements promised by contract.
        out[v] = unsafe {
            let p = p.add(v / TILE_VECS * panel_stride + v % TILE_VECS * S::LANES);
            if TAIL && v == VECS - 1 {
                s.load_first(p, n - v * S::LANES, T::ZERO)
            } else {
                s.load(p)
            }
        };
    });
    out
}

/// `x` in all lanes.
#[inline(always)]
pub(super) fn splat_row<T, S, const VECS: usize>(s: S, x: T) -> [S::V; VECS]
where
    T: Element,
    S: Simd<T>,
{
    let [[mut out]] = s.zeros();
    unroll!(for v in 0..VECS {
        out[v] = s.splat(x);
    });
    out
}

/// The counterpart of [`load`].
///
/// # Safety
/// As [`load`], writable.
#[inline(always)]
pub(super) unsafe fn store<T, S, const VECS: usize, const TAIL: bool>(
    s: S,
    p: *mut T,
    n: usize,
    values: &[S::V; VECS],
) where
    T: Element,
    S: Simd<T>,
{
    unroll!(for v in 0..VECS {
        // SAFETY: inside the elements promised by contract.
        unsafe {
            if TAIL && v == VECS - 1 {
                s.store_first(p.add(v * S::LANES), n - v * S::LANES, values[v]);
            } else {
                s.store(p.add(v * S::LANES), values[v]);
            }
        }
    });
}

/// A store of a row that passes the caches by.
///
/// # Safety
/// `p` is writable for `VECS * LANES` elements, and aligned to a vector.
#[inline(always)]
pub(super) unsafe fn stream<T, S, const VECS: usize>(s: S, p: *mut T, values: &[S::V; VECS])
where
    T: Element,
    S: Simd<T>,
{
    unroll!(for v in 0..VECS {
        // SAFETY: inside the elements promised by contract.
        unsafe { s.stream(p.add(v * S::LANES), values[v]) }
    });
}

/// `sums = fma(d, xs, sums)`
#[inline(always)]
pub(super) fn fma_row<T, S, const VECS: usize>(
    s: S,
    d: S::V,
    xs: &[S::V; VECS],
    sums: &mut [S::V; VECS],
) where
    T: Element,
    S: Simd<T>,
{
    unroll!(for v in 0..VECS {
        sums[v] = s.fma(d, xs[v], sums[v]);
    });
}

/// `g = d * xs`, then `sum = sum + g` and `sum_sq = fma(g, g, sum_sq)`
#[inline(always)]
pub(super) fn moments_row<T, S, const VECS: usize>(
    s: S,
    d: S::V,
    xs: &[S::V; VECS],
    sum: &mut [S::V; VECS],
    sum_sq: &mut [S::V; VECS],
) where
    T: Element,
    S: Simd<T>,
{
    unroll!(for v in 0..VECS {
        let g = s.mul(d, xs[v]);
        sum[v] = s.add(sum[v], g);
        sum_sq[v] = s.fma(g, g, sum_sq[v]);
    });
}

/// `sums * scale`
#[inline(always)]
pub(super) fn scale_row<T, S, const VECS: usize>(s: S, scale: T, sums: &mut [S::V; VECS])
where
    T: Element,
    S: Simd<T>,
{
    unroll!(for v in 0..VECS {
        sums[v] = s.mul(sums[v], s.splat(scale));
    });
}
