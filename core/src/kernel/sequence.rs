//! Register tiles of the `moments` of sequences, whose gradient of an example is a sum over its steps.
//!
//! ```text
//! g      = fold_t fma(c dy[t], x[t], g)      for each example, from its rounded first product
//! sum    = sum + g
//! sum_sq = fma(g, g, sum_sq)
//! ```
//!
//! Plan: where registers hold `g` and both sums, they do; with 32 of them those of ten rows of one vector, which is how
//! short sequences are gone through. Tiles for which they are too few hold `g` alone, as the matrix product would; the
//! sums *wait* in memory while an example is gone through, which is to be long then: that many stores at once take more
//! time than the additions.

use core::mem::MaybeUninit;

use super::tile::{Ends, Out, Source, Sums, load, run_loop};
use crate::Element;
use crate::simd::Simd;

/// `g` of the first example of `src`.
///
/// # Safety
/// As [`sequence_tile`].
#[inline(always)]
unsafe fn example<
    T,
    S,
    const ROWS: usize,
    const VECS: usize,
    const TAIL: bool,
    const WEIGHTED: bool,
>(
    s: S,
    src: &Source<T>,
    n: usize,
) -> Sums<S::V, ROWS, VECS>
where
    T: Element,
    S: Simd<T>,
{
    let mut g = [[s.splat(T::ZERO); VECS]; ROWS];
    let (mut x, mut dy) = (src.x, src.dy);
    // SAFETY: by contract; the loops stay inside steps, rows and columns.
    unsafe {
        let weight = src.weight::<S, WEIGHTED>(0);
        for t in 0..src.steps {
            if S::LOOPS.is_some() && t == 1 {
                // From here on it is the loop of `grad`.
                let rest = Source { x, dy, batch: 1, steps: src.steps - 1, ..*src };
                let (loops, sq) = (S::LOOPS.map(|loops| loops.grad), core::ptr::null_mut());
                if run_loop::<T, S, ROWS, VECS, WEIGHTED>(loops, &rest, &mut g, sq) {
                    break;
                }
            }
            let xs = load::<T, S, VECS, TAIL>(s, x, n);
            src.fetch_soon::<S, ROWS, VECS>(s, x, dy);
            for r in 0..ROWS {
                let d = src.dy::<S, WEIGHTED>(s, dy, r, weight);
                for v in 0..VECS {
                    g[r][v] = if t == 0 { s.mul(d, xs[v]) } else { s.fma(d, xs[v], g[r][v]) };
                }
            }
            (x, dy) = (x.wrapping_add(src.x_stride), dy.wrapping_add(src.dy_stride));
        }
    }
    g
}

/// The tile of both moments; `TAIL` as in [`super::tile::grad_tile`].
///
/// # Safety
/// `src` is readable for the tile's rows and columns, the outputs are writable (and readable to resume); there are
/// weights if `WEIGHTED`.
#[inline(always)]
pub(crate) unsafe fn sequence_tile<
    T,
    S,
    const ROWS: usize,
    const VECS: usize,
    const TAIL: bool,
    const WEIGHTED: bool,
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
    // SAFETY: by contract; example b is one of the batch.
    unsafe {
        let mut sum = out.start::<S, ROWS, VECS, TAIL>(s, n, ends);
        let mut sum_sq = out_sq.start::<S, ROWS, VECS, TAIL>(s, n, ends);
        let waits = S::LANES > 1 && 3 * ROWS * VECS + VECS >= S::REGISTERS;
        let mut waiting = MaybeUninit::<Sums<[S::V; 2], ROWS, VECS>>::uninit();
        let mut waiting = waiting.as_mut_ptr().cast::<S::V>();
        let place = |waiting: *mut S::V, r, v| waiting.add(2 * (r * VECS + v));
        for r in 0..if waits { ROWS } else { 0 } {
            for v in 0..VECS {
                place(waiting, r, v).write(sum[r][v]);
                place(waiting, r, v).add(1).write(sum_sq[r][v]);
            }
        }
        for b in 0..src.batch {
            let g = example::<T, S, ROWS, VECS, TAIL, WEIGHTED>(s, &src.examples(b, 1), n);
            // Not to be mistaken for the place of the last example, or else the compiler holds on to the sums, and
            // spills them across lines of the cache.
            waiting = s.opaque(waiting.cast()).cast_mut().cast::<S::V>();
            for r in 0..ROWS {
                for v in 0..VECS {
                    let g = g[r][v];
                    if waits {
                        let (p, q) = (place(waiting, r, v), place(waiting, r, v).add(1));
                        p.write(s.add(p.read(), g));
                        q.write(s.fma(g, g, q.read()));
                    } else {
                        sum[r][v] = s.add(sum[r][v], g);
                        sum_sq[r][v] = s.fma(g, g, sum_sq[r][v]);
                    }
                }
            }
        }
        waiting = s.opaque(waiting.cast()).cast_mut().cast::<S::V>();
        for r in 0..if waits { ROWS } else { 0 } {
            for v in 0..VECS {
                sum[r][v] = place(waiting, r, v).read();
                sum_sq[r][v] = place(waiting, r, v).add(1).read();
            }
        }
        out.finish::<S, ROWS, VECS, TAIL>(s, n, ends, sum);
        out_sq.finish::<S, ROWS, VECS, TAIL>(s, n, ends, sum_sq);
    }
}
