//! Register tiles of the `moments` of sequences, whose gradient of an example is a sum over its steps.
//!
//! ```text
//! g      = fold_t fma(c dy[t], x[t], g)      for each example, from its rounded first product
//! sum    = sum + g
//! sum_sq = fma(g, g, sum_sq)
//! ```
//!
//! Plan: where registers hold `g` and both sums, they do; with 32 of them those of ten rows of one vector, which is how
//! short sequences are gone through. Tiles for which they are too few hold `g` alone, as the matrix product would, and the
//! sums *wait* in memory meanwhile. What takes time then are their loads and stores, of as many vectors at once: half of
//! them are left where a tile of half the rows holds `g` of two examples. It reads `x` twice as often for it. (With 16
//! registers these are the halves of a tall tile, one after the other.)

use core::mem::MaybeUninit;

use super::shape::{LOW, PAIRED, Room};
use super::tile::{Ends, Out, Source, Sums, run_loop};
use super::vectors::load;
use crate::simd::Simd;
use crate::{Element, Start};

/// `g` of the first `N` examples of `src`.
///
/// # Safety
/// As [`sequence_tile`].
#[cfg_attr(optimized, inline(always))]
unsafe fn examples<
    T,
    S,
    const N: usize,
    const ROWS: usize,
    const VECS: usize,
    const TAIL: bool,
    const WEIGHTED: bool,
>(
    s: S,
    src: Source<T>,
    n: usize,
) -> [Sums<S::V, ROWS, VECS>; N]
where
    T: Element,
    S: Simd<T>,
{
    let mut g = s.zeros::<N, ROWS, VECS>();
    // (With 16 registers none are late, which is known when this is compiled: to ask takes a tenth of the time.)
    let late = S::REGISTERS > 16 && src.late;
    let src = Source { late, ..src };
    // SAFETY: by contract; the loops stay inside examples, steps, rows and columns.
    unsafe {
        let mut at = [src; N];
        let mut weights = [T::ONE; N];
        for e in 0..N {
            weights[e] = src.weight::<S, WEIGHTED>(e);
            at[e] = src.examples(e, 1);
        }
        for t in 0..src.steps {
            if const { N == 1 && S::LOOPS.is_some() } && t == 1 {
                // From here on it is the loop of `grad`.
                let rest = Source { steps: src.steps - 1, ..at[0] };
                let (loops, sq) = (S::LOOPS.map(|loops| loops.grad), core::ptr::null_mut());
                if run_loop::<T, S, ROWS, VECS, WEIGHTED>(loops, &rest, &mut g[0], sq) {
                    break;
                }
            }
            for e in 0..N {
                let Source { x, dy, .. } = at[e];
                let xs = load::<T, S, VECS, TAIL>(s, x, n);
                src.fetch_soon::<S, ROWS, VECS>(s, x, dy);
                for r in 0..ROWS {
                    let d = src.dy::<S, WEIGHTED>(s, dy, r, weights[e]);
                    for v in 0..VECS {
                        let g = &mut g[e][r][v];
                        *g = if t == 0 { s.mul(d, xs[v]) } else { s.fma(d, xs[v], *g) };
                    }
                }
                at[e].x = x.wrapping_add(src.x_stride);
                at[e].dy = dy.wrapping_add(src.dy_stride);
            }
        }
    }
    g
}

/// Both sums of each vector of a tile, in memory.
type Waiting<V, const ROWS: usize, const VECS: usize> = Sums<[V; 2], ROWS, VECS>;

/// Adds `g` of some examples to sums that wait, or to the outputs if they are the `FIRST`; the results wait, or are the
/// outputs if they are the `LAST`. Where they wait is not to be mistaken for the place of the examples before, or else the
/// compiler holds on to the sums, and spills them across lines of the cache.
///
/// # Safety
/// As [`sequence_tile`], for whole vectors; both sums of each vector lie at `waiting` unless the examples are the `FIRST`.
#[cfg_attr(optimized, inline(always))]
unsafe fn add<
    T,
    S,
    const N: usize,
    const ROWS: usize,
    const VECS: usize,
    const FIRST: bool,
    const LAST: bool,
>(
    s: S,
    waiting: &mut *mut Waiting<S::V, ROWS, VECS>,
    g: [Sums<S::V, ROWS, VECS>; N],
    [out, out_sq]: [Out<T>; 2],
) where
    T: Element,
    S: Simd<T>,
{
    *waiting = s.opaque(waiting.cast()).cast_mut().cast();
    for r in 0..ROWS {
        for v in 0..VECS {
            // SAFETY: by contract.
            unsafe {
                let at = [out.at(r, v * S::LANES).p, out_sq.at(r, v * S::LANES).p];
                let wait = &raw mut (**waiting)[r][v];
                let [mut sum, mut sum_sq] =
                    if FIRST { [s.load(at[0]), s.load(at[1])] } else { *wait };
                for g in &g {
                    sum = s.add(sum, g[r][v]);
                    sum_sq = s.fma(g[r][v], g[r][v], sum_sq);
                }
                if LAST {
                    s.store(at[0], sum);
                    s.store(at[1], sum_sq);
                } else {
                    *wait = [sum, sum_sq];
                }
            }
        }
    }
}

/// [`sequence_tile`] of a few examples into outputs that are resumed: the first are added to the outputs where they are, and
/// the last are stored there, so that only those between wait.
///
/// # Safety
/// As [`sequence_tile`]; there are examples.
#[cfg_attr(optimized, inline(always))]
unsafe fn few_examples<T, S, const ROWS: usize, const VECS: usize, const WEIGHTED: bool>(
    s: S,
    src: Source<T>,
    n: usize,
    ends: Ends<T>,
    outs: [Out<T>; 2],
) where
    T: Element,
    S: Simd<T>,
{
    let mut waiting = MaybeUninit::<Waiting<S::V, ROWS, VECS>>::uninit();
    let to = &mut waiting.as_mut_ptr();
    // SAFETY: by contract; example b is one of the batch.
    unsafe {
        for b in 0..src.batch {
            let g = examples::<T, S, 1, ROWS, VECS, false, WEIGHTED>(s, src.examples(b, 1), n);
            match (b == 0, b + 1 == src.batch) {
                (true, true) => add::<T, S, 1, ROWS, VECS, true, true>(s, to, g, outs),
                (true, false) => add::<T, S, 1, ROWS, VECS, true, false>(s, to, g, outs),
                (false, true) => add::<T, S, 1, ROWS, VECS, false, true>(s, to, g, outs),
                (false, false) => add::<T, S, 1, ROWS, VECS, false, false>(s, to, g, outs),
            }
        }
        if ends.scale.is_some() {
            for out in outs {
                let sums = out.start::<S, ROWS, VECS, false>(s, n, ends);
                out.finish::<S, ROWS, VECS, false>(s, n, ends, sums);
            }
        }
    }
}

/// Whether registers hold `g` alone, so that both sums wait.
const fn waits<T: Element, S: Simd<T>>(rows: usize, vecs: usize) -> bool {
    S::LANES > 1 && 3 * rows * vecs + vecs >= S::REGISTERS
}

/// Whether it holds that of two examples.
const fn pairs<T: Element, S: Simd<T>>(rows: usize, vecs: usize) -> bool {
    let paired = rows == PAIRED || rows == LOW && S::REGISTERS == 16;
    paired && waits::<T, S>(rows, vecs) && 2 * rows * vecs + vecs < S::REGISTERS
}

/// Whether a tile of so many rows may as well be two of half the rows, each of which [pairs] examples.
pub(super) const fn has_paired_halves<T: Element, S: Simd<T>>(rows: usize, vecs: usize) -> bool {
    rows == 2 * LOW && S::REGISTERS == 16 && pairs::<T, S>(LOW, vecs)
}

/// The most steps for which these take less time than the whole: there are many stores for what is summed.
const MOST_PAIRED: usize = 24;

/// Whether they do: the second one finds `x` in the first-level cache if it is a copy.
pub(super) fn paired_halves_pay<T: Element>(src: &Source<T>, panel: usize) -> bool {
    src.x_stride == panel && src.steps <= MOST_PAIRED && src.batch > 1
}

/// Up to so many examples of tall tiles go by [`few_examples`].
const FEW_EXAMPLES: usize = 4;

/// The tile of both moments; `TAIL` as in [`super::tile::grad_tile`].
///
/// # Safety
/// `src` is readable for the tile's rows and columns, the outputs are writable (and readable to resume); there are
/// weights if `WEIGHTED`.
#[cfg_attr(optimized, inline(always))]
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
        let few = (1..=FEW_EXAMPLES).contains(&src.batch) && ends.start == Start::Resume;
        if const { S::LANES > 1 && !TAIL && Room::of::<T, S>().is_tall(ROWS) } && few {
            return few_examples::<T, S, ROWS, VECS, WEIGHTED>(s, src, n, ends, [out, out_sq]);
        }
        let mut sum = out.start::<S, ROWS, VECS, TAIL>(s, n, ends);
        let mut sum_sq = out_sq.start::<S, ROWS, VECS, TAIL>(s, n, ends);
        let mut waiting = MaybeUninit::<Waiting<S::V, ROWS, VECS>>::uninit();
        let to = &mut waiting.as_mut_ptr();
        let outs = [out, out_sq];
        if const { waits::<T, S>(ROWS, VECS) } {
            for r in 0..ROWS {
                for v in 0..VECS {
                    (**to)[r][v] = [sum[r][v], sum_sq[r][v]];
                }
            }
        }
        let mut b = 0;
        while const { pairs::<T, S>(ROWS, VECS) } && b + 2 <= src.batch {
            let g = examples::<T, S, 2, ROWS, VECS, TAIL, WEIGHTED>(s, src.examples(b, 2), n);
            add::<T, S, 2, ROWS, VECS, false, false>(s, to, g, outs);
            b += 2;
        }
        while b < src.batch {
            let g = examples::<T, S, 1, ROWS, VECS, TAIL, WEIGHTED>(s, src.examples(b, 1), n);
            if const { waits::<T, S>(ROWS, VECS) } {
                add::<T, S, 1, ROWS, VECS, false, false>(s, to, g, outs);
            } else {
                for r in 0..ROWS {
                    for v in 0..VECS {
                        let g = g[0][r][v];
                        sum[r][v] = s.add(sum[r][v], g);
                        sum_sq[r][v] = s.fma(g, g, sum_sq[r][v]);
                    }
                }
            }
            b += 1;
        }
        let waiting: *mut Waiting<S::V, ROWS, VECS> = s.opaque(to.cast()).cast_mut().cast();
        if const { waits::<T, S>(ROWS, VECS) } {
            for r in 0..ROWS {
                for v in 0..VECS {
                    [sum[r][v], sum_sq[r][v]] = (*waiting)[r][v];
                }
            }
        }
        out.finish::<S, ROWS, VECS, TAIL>(s, n, ends, sum);
        out_sq.finish::<S, ROWS, VECS, TAIL>(s, n, ends, sum_sq);
    }
}
