//! Register tiles: the inner loops that `grad`, `moments`, the layer step and the input gradient
//! share. [`super::row`] strings them together.
//!
//! A tile is `ROWS` rows of `VECS` vectors of a `[J, I]` output. Its sums live in registers while the
//! batch goes by; each step of it loads `VECS` vectors of `x` and broadcasts `ROWS` elements of `dy`.
//! Lanes are output elements, so every sum is a fold in index order whatever the tile's size.
//!
//! Sizes: with 32 vector registers `grad` 12 x 2 (24 accumulators, 2 `x`, 1 `dy`), on Intel's CPUs 6 x 4, where each
//! broadcast is for four products, and moments 6 x 2 (two sums each, and the products), with 16 registers 6 x 2 and
//! 3 x 2; of rows left over fewer, and wider; a sequence ([`super::sequence`]) holds `g` as well, so 10 x 1 or 4 x 2, or
//! 12 x 2, or 6 x 2 of two examples, if it is long enough that both sums can wait in memory meanwhile (with 16 registers
//! they always do, and 6 x 2 of one example it is, or 3 x 2 of two: twelve products at a time keep the multipliers busy, four
//! do not).
//! With 32 registers of one element, 2 x 4 of everything; the backend may bring that loop in assembly ([`Loops`]). Where a
//! vector takes one slot of two multipliers, as on Intel's CPUs, every instruction beside them may take one from them:
//! what is known when the loop is compiled need not be added up.

use super::plan::{CACHES, LATE, LINE};
use super::shape::{HALF, Room, TILE_VECS};
use super::unroll::unroll;
use super::vectors::{
    advance, fma_row, load, load_panels, moments_row, scale_row, splat_row, store, stream,
};
use crate::simd::{Loops, Simd, TileLoop};
use crate::{Element, Fold, Start};

/// How many `(b, t)` ahead a copy is fetched.
pub(super) const SOON: usize = 8;

/// What a tile reads: `x[b, t, i]` and `dy[b, t, j]`, from its first row and column on.
#[derive(Clone, Copy)]
pub struct Source<T> {
    pub(crate) batch: usize,
    pub(crate) steps: usize,
    pub(crate) x: *const T,
    /// Elements from one `(b, t)` of `x` to the next.
    pub(crate) x_stride: usize,
    /// Elements of `x` from one panel to the next; [`super::sweep`] says.
    pub(crate) panel_stride: usize,
    pub(crate) dy: *const T,
    /// Elements from one `(b, t)` of `dy` to the next.
    pub(crate) dy_stride: usize,
    /// Elements from one row's `dy` to the next row's.
    pub(crate) dy_row: usize,
    /// `c[b]`; null unless the tile is compiled for weights.
    pub(crate) weights: *const T,
    /// Whether all of it comes from afar, so that tiles fetch the panel to the right, and `dy` of the next row of tiles.
    pub(crate) late: bool,
}

impl<T: Element> Source<T> {
    /// The same, `i` elements of `x` further (which may be past the last).
    #[inline(always)]
    pub(crate) fn columns(self, i: usize) -> Self {
        Source { x: self.x.wrapping_add(i), ..self }
    }

    /// The same, `r` rows further.
    #[inline(always)]
    pub(crate) fn row(self, r: usize) -> Self {
        Source { dy: self.dy.wrapping_add(r * self.dy_row), ..self }
    }

    /// The weight of example `b`; not looked at unless `WEIGHTED`. With loops in assembly, which multiply
    /// anyway, there are no tiles without: no weight is 1.
    ///
    /// # Safety
    /// `b < batch`, and there are weights if `WEIGHTED`.
    #[inline(always)]
    pub(crate) unsafe fn weight<S: Simd<T>, const WEIGHTED: bool>(&self, b: usize) -> T {
        if !WEIGHTED || S::LOOPS.is_some() && self.weights.is_null() {
            return T::ONE;
        }
        // SAFETY: b < batch elements by contract.
        unsafe { *self.weights.add(b) }
    }

    /// Vectors of `x` for the `(b, t)` that `x` points to: of two panels, if it is [half](HALF) a tall tile and wide.
    ///
    /// # Safety
    /// As [`load_panels`].
    #[inline(always)]
    unsafe fn x<S: Simd<T>, const ROWS: usize, const VECS: usize, const TAIL: bool>(
        &self,
        s: S,
        x: *const T,
        n: usize,
    ) -> [S::V; VECS] {
        // SAFETY: by contract.
        unsafe {
            if const { ROWS == HALF && VECS > TILE_VECS && Room::of::<T, S>().has_halves(ROWS) } {
                load_panels::<T, S, VECS, TAIL>(s, x, self.panel_stride, n)
            } else {
                load::<T, S, VECS, TAIL>(s, x, n)
            }
        }
    }

    /// Fetches what a tall tile will read soon, or what the next tiles will if it is [late](Source::late): of a copy of
    /// `x` what is some steps ahead, in the second-level cache; of `x` where it is the panel to the right, which may come
    /// from far away; and of `dy`. (Not its rows that lie apart: a line holds more of each than one step wants. Nor, in
    /// vectors of a line each, that panel for few `(b, t)`, whose `x` is near.)
    #[inline(always)]
    pub(crate) fn fetch_soon<S: Simd<T>, const ROWS: usize, const VECS: usize>(
        &self,
        s: S,
        x: *const T,
        dy: *const T,
    ) {
        if const { !Room::of::<T, S>().is_tall(ROWS) } {
            return;
        }
        if self.late {
            return self.fetch_late::<S, ROWS, VECS>(s, x, dy);
        }
        let panel = VECS * S::LANES;
        let soon = match self.x_stride > panel {
            false => SOON * self.x_stride,
            true if self.depth() < LATE && S::LANES * size_of::<T>() >= LINE => 0,
            true => panel,
        };
        unroll!(for v in 0..VECS {
            s.prefetch(x.wrapping_add(soon + v * S::LANES));
        });
        if self.dy_row == 1 {
            let dy = dy.wrapping_add(SOON * self.dy_stride);
            s.prefetch(dy);
            s.prefetch(dy.wrapping_add(ROWS - 1));
        }
    }

    /// Fetches what the next tiles will read, if it is [late](Source::late).
    #[inline(always)]
    pub(crate) fn fetch_late<S: Simd<T>, const ROWS: usize, const VECS: usize>(
        &self,
        s: S,
        x: *const T,
        dy: *const T,
    ) {
        unroll!(for v in 0..VECS {
            s.prefetch(x.wrapping_add((VECS + v) * S::LANES));
        });
        s.prefetch(dy.wrapping_add(2 * ROWS - 1));
    }

    /// `(b, t)` in all.
    #[inline(always)]
    pub(crate) fn depth(&self) -> usize {
        self.batch * self.steps
    }

    /// Examples `b .. b + n` only.
    ///
    /// # Safety
    /// They are inside.
    #[inline(always)]
    pub(crate) unsafe fn examples(self, b: usize, n: usize) -> Self {
        // SAFETY: by contract.
        unsafe {
            Source {
                batch: n,
                x: self.x.add(b * self.steps * self.x_stride),
                dy: self.dy.add(b * self.steps * self.dy_stride),
                weights: self.weights.wrapping_add(if self.weights.is_null() { 0 } else { b }),
                ..self
            }
        }
    }

    /// `c[b] dy[.., row]` in every lane, for the `(b, t)` that `dy` points to.
    ///
    /// # Safety
    /// `row` is inside the tile.
    #[inline(always)]
    pub(crate) unsafe fn dy<S: Simd<T>, const WEIGHTED: bool>(
        &self,
        s: S,
        dy: *const T,
        row: usize,
        weight: T,
    ) -> S::V {
        // SAFETY: by contract.
        let dy = unsafe { *dy.add(row * self.dy_row) };
        s.splat(if WEIGHTED { weight * dy } else { dy })
    }
}

/// How a tile's sums start, and what they are multiplied with at the end.
#[derive(Clone, Copy)]
pub struct Ends<T> {
    pub(crate) start: Start,
    /// Whether a fresh sum starts from -0, from which the first `fma` is the rounded product, its sign of zero
    /// included, or from +0. (Not the number: the compiler may load a whole vector to get it, around which other
    /// fields have just been stored, and wait for them.)
    pub(crate) negative: bool,
    pub(crate) scale: Option<T>,
    /// Whether the sums pass the caches by: all rows of the output are aligned to cache lines then.
    pub(crate) past: bool,
}

impl<T: Element> Ends<T> {
    /// A plain sum.
    pub(crate) const FRESH: Self =
        Ends { start: Start::Fresh, negative: false, scale: None, past: false };

    /// As a fold says; a factor of one is none.
    pub(crate) fn of(fold: Fold) -> Self {
        let scale = fold.factor().filter(|&factor| factor != T::ONE);
        Ends { start: fold.start, scale, ..Self::FRESH }
    }

    /// Those of one block of a batch: only the first starts, only the last is scaled.
    #[inline(always)]
    pub(crate) fn of_block(self, first: bool, last: bool) -> Self {
        Ends {
            start: if first { self.start } else { Start::Resume },
            negative: self.negative,
            scale: if last { self.scale } else { None },
            past: last && self.past,
        }
    }
}

/// A register tile: the sums of `ROWS` rows of `VECS` vectors.
pub(crate) type Sums<V, const ROWS: usize, const VECS: usize> = [[V; VECS]; ROWS];

/// Gradients and their squares.
pub(crate) type BothSums<V, const ROWS: usize, const VECS: usize> =
    (Sums<V, ROWS, VECS>, Sums<V, ROWS, VECS>);

/// One output array of a tile: its first element and the distance of its rows.
#[derive(Clone, Copy)]
pub(crate) struct Out<T> {
    pub(crate) p: *mut T,
    pub(crate) stride: usize,
}

impl<T: Element> Out<T> {
    /// Row `j`, column `i` and on.
    ///
    /// # Safety
    /// It is inside the array.
    #[inline(always)]
    pub(crate) unsafe fn at(self, j: usize, i: usize) -> Self {
        // SAFETY: by contract.
        Out { p: unsafe { self.p.add(j * self.stride + i) }, ..self }
    }

    /// The sums that a tile starts from.
    ///
    /// # Safety
    /// The tile's elements are readable if the fold resumes.
    #[inline(always)]
    pub(crate) unsafe fn start<S, const ROWS: usize, const VECS: usize, const TAIL: bool>(
        self,
        s: S,
        n: usize,
        ends: Ends<T>,
    ) -> Sums<S::V, ROWS, VECS>
    where
        S: Simd<T>,
    {
        let [mut sums] = s.zeros();
        if !CACHES {
            // (One choice is the shortest where nothing is stored beside products.)
            let zero = if ends.negative { T::NEG_ZERO } else { T::ZERO };
            sums = [[s.splat(zero); VECS]; ROWS];
        }
        if ends.start == Start::Resume {
            unroll!(for (r, row) in sums: ROWS {
                // SAFETY: by contract.
                *row = unsafe { load::<T, S, VECS, TAIL>(s, self.p.add(r * self.stride), n) };
            });
        } else if CACHES && ends.negative {
            // Volatile, so that it stays a branch of its own, and the others' sums are known to start from +0: on Zen 5 an
            // `fma` of three registers and a store cannot be in the same cycle, unless one is known to be zero.
            // SAFETY: a constant.
            let zero = unsafe { core::ptr::read_volatile(&T::NEG_ZERO) };
            unroll!(for (_r, row) in sums: ROWS {
                *row = splat_row(s, zero);
            });
        }
        sums
    }

    /// Stores the finished sums.
    ///
    /// # Safety
    /// The tile's elements are writable.
    #[inline(always)]
    pub(crate) unsafe fn finish<S, const ROWS: usize, const VECS: usize, const TAIL: bool>(
        self,
        s: S,
        n: usize,
        ends: Ends<T>,
        sums: Sums<S::V, ROWS, VECS>,
    ) where
        S: Simd<T>,
    {
        let mut sums = scaled(s, ends.scale, sums);
        unroll!(for (r, row) in sums: ROWS {
            // SAFETY: by contract; vectors of rows that are aligned to cache lines are aligned.
            unsafe {
                let p = self.p.add(r * self.stride);
                if const { S::LANES > 1 && !TAIL } && ends.past {
                    stream(s, p, row);
                } else {
                    store::<T, S, VECS, TAIL>(s, p, n, row);
                }
            }
        });
    }
}

/// The factor at the end.
#[inline(always)]
pub(crate) fn scaled<T, S, const ROWS: usize, const VECS: usize>(
    s: S,
    scale: Option<T>,
    mut sums: Sums<S::V, ROWS, VECS>,
) -> Sums<S::V, ROWS, VECS>
where
    T: Element,
    S: Simd<T>,
{
    if let Some(scale) = scale {
        unroll!(for (_r, row) in sums: ROWS {
            scale_row(s, scale, row);
        });
    }
    sums
}

/// The loop over the batch in assembly, if `loops` has it for tiles of this size; tells whether it was run.
///
/// # Safety
/// `src` is readable for the tile; the sums, row by row, are readable and writable.
#[inline(always)]
pub(crate) unsafe fn run_loop<T, S, const ROWS: usize, const VECS: usize, const WEIGHTED: bool>(
    loops: Option<[unsafe extern "C" fn(&TileLoop<T>); 2]>,
    src: &Source<T>,
    sum: &mut Sums<S::V, ROWS, VECS>,
    sum_sq: *mut T,
) -> bool
where
    T: Element,
    S: Simd<T>,
{
    let Some(run) = loops.as_ref().and_then(|loops| loops.get(ROWS - 1)) else { return false };
    if VECS * S::LANES != Loops::<T>::COLUMNS {
        return false;
    }
    let bytes = |elements: usize| elements * size_of::<T>();
    let mut tile = TileLoop {
        x: src.x,
        x_stride: bytes(src.x_stride),
        dy: src.dy,
        dy_stride: bytes(src.dy_stride),
        dy_row: bytes(src.dy_row),
        depth: src.depth(),
        sum: sum.as_mut_ptr().cast(),
        sum_sq,
        weight: T::ONE,
    };
    // SAFETY: by contract, for the whole batch or one example after the other.
    unsafe {
        if WEIGHTED && !src.weights.is_null() {
            tile.depth = src.steps;
            for b in 0..src.batch {
                tile.weight = src.weight::<S, true>(b);
                run(&tile);
                tile.x = tile.x.wrapping_add(src.steps * src.x_stride);
                tile.dy = tile.dy.wrapping_add(src.steps * src.dy_stride);
            }
        } else {
            run(&tile);
        }
    }
    true
}

/// `sum[r][i] = fold_{b,t} fma(c[b] dy[b,t,r], x[b,t,i], sum)`, the matrix product.
///
/// # Safety
/// `src` is readable for the tile's rows and columns, `out` writable (and readable to resume); with
/// `TAIL` the last vector has `n - (VECS - 1) LANES` columns.
#[cfg_attr(optimized, inline(always))]
pub(crate) unsafe fn grad_tile<
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
) where
    T: Element,
    S: Simd<T>,
{
    // SAFETY: by contract.
    unsafe {
        let sum = out.start::<S, ROWS, VECS, TAIL>(s, n, ends);
        let sum = grad_sums::<T, S, ROWS, VECS, TAIL, WEIGHTED>(s, src, n, sum);
        out.finish::<S, ROWS, VECS, TAIL>(s, n, ends, sum);
    }
}

/// The sums of [`grad_tile`], continued.
///
/// # Safety
/// As [`grad_tile`], of `src`.
#[inline(always)]
pub(crate) unsafe fn grad_sums<
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
    mut sum: Sums<S::V, ROWS, VECS>,
) -> Sums<S::V, ROWS, VECS>
where
    T: Element,
    S: Simd<T>,
{
    // SAFETY: by contract; the loops stay inside batch, steps, rows and columns.
    unsafe {
        if const { S::LOOPS.is_some() } {
            let (loops, nowhere) = (S::LOOPS.map(|loops| loops.grad), core::ptr::null_mut());
            if run_loop::<T, S, ROWS, VECS, WEIGHTED>(loops, &src, &mut sum, nowhere) {
                return sum;
            }
        }
        let mut at = GradAt::of(&src);
        if WEIGHTED {
            for b in 0..src.batch {
                let weight = src.weight::<S, WEIGHTED>(b);
                at.go::<S, ROWS, VECS, TAIL, WEIGHTED>(s, &src, n, src.steps, weight, &mut sum);
            }
        } else {
            // It is all one loop.
            at.go::<S, ROWS, VECS, TAIL, WEIGHTED>(s, &src, n, src.depth(), T::ONE, &mut sum);
        }
        sum
    }
}

/// Where the product is.
struct GradAt<T> {
    x: *const T,
    dy: *const T,
    /// `dy` of rows that are not side by side: they are found from three pointers, four from each.
    rows: [*const T; 3],
}

impl<T: Element> GradAt<T> {
    /// At the first `(b, t)`.
    #[inline(always)]
    fn of(src: &Source<T>) -> Self {
        let (x, dy) = (src.x, src.dy);
        let rows = [dy, dy.wrapping_add(4 * src.dy_row), dy.wrapping_add(8 * src.dy_row)];
        GradAt { x, dy, rows }
    }

    /// Goes on by some steps, all with this weight.
    ///
    /// # Safety
    /// As [`grad_tile`], of `src`; so many steps are left.
    #[inline(always)]
    unsafe fn go<S, const ROWS: usize, const VECS: usize, const TAIL: bool, const WEIGHTED: bool>(
        &mut self,
        s: S,
        src: &Source<T>,
        n: usize,
        steps: usize,
        weight: T,
        sum: &mut Sums<S::V, ROWS, VECS>,
    ) where
        S: Simd<T>,
    {
        let GradAt { mut x, mut dy, mut rows } = *self;
        // SAFETY: by contract; the loop stays inside steps, rows and columns.
        unsafe {
            for _ in 0..steps {
                let xs = src.x::<S, ROWS, VECS, TAIL>(s, x, n);
                src.fetch_soon::<S, ROWS, VECS>(s, x, dy);
                unroll!(for r in 0..ROWS {
                    let d = if const { S::LANES == 1 || ROWS == 1 } || src.dy_row == 1 {
                        src.dy::<S, WEIGHTED>(s, dy, r, weight)
                    } else {
                        src.dy::<S, WEIGHTED>(s, rows[r / 4], r % 4, weight)
                    };
                    fma_row(s, d, &xs, &mut sum[r]);
                });
                (x, dy) = (x.wrapping_add(src.x_stride), dy.wrapping_add(src.dy_stride));
                advance(s, &mut rows, src.dy_stride);
            }
        }
        *self = GradAt { x, dy, rows };
    }
}

/// `g = c[b] dy x`, then `sum = sum + g` and `sum_sq = fma(g, g, sum_sq)` over `b`, for examples of one step.
///
/// # Safety
/// As [`grad_tile`], with two outputs.
#[cfg_attr(optimized, inline(always))]
pub(crate) unsafe fn moments_tile<
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
    // SAFETY: by contract.
    unsafe {
        let sums = (
            out.start::<S, ROWS, VECS, TAIL>(s, n, ends),
            out_sq.start::<S, ROWS, VECS, TAIL>(s, n, ends),
        );
        let (sum, sum_sq) = moments_sums::<T, S, ROWS, VECS, TAIL, WEIGHTED>(s, src, n, sums);
        out.finish::<S, ROWS, VECS, TAIL>(s, n, ends, sum);
        out_sq.finish::<S, ROWS, VECS, TAIL>(s, n, ends, sum_sq);
    }
}

/// The sums of [`moments_tile`], continued.
///
/// # Safety
/// As [`moments_tile`], of `src`.
#[inline(always)]
pub(crate) unsafe fn moments_sums<
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
    (mut sum, mut sum_sq): BothSums<S::V, ROWS, VECS>,
) -> BothSums<S::V, ROWS, VECS>
where
    T: Element,
    S: Simd<T>,
{
    // SAFETY: by contract; the loops stay inside batch, rows and columns.
    unsafe {
        let (mut x, mut dy) = (src.x, src.dy);
        if const { S::LOOPS.is_some() } {
            let (loops, sq) = (S::LOOPS.map(|loops| loops.moments), sum_sq.as_mut_ptr().cast());
            if run_loop::<T, S, ROWS, VECS, WEIGHTED>(loops, &src, &mut sum, sq) {
                return (sum, sum_sq);
            }
        }
        for b in 0..src.batch {
            let weight = src.weight::<S, WEIGHTED>(b);
            let xs = load::<T, S, VECS, TAIL>(s, x, n);
            if const { ROWS > 1 } && src.late {
                src.fetch_late::<S, ROWS, VECS>(s, x, dy);
            }
            unroll!(for r in 0..ROWS {
                let d = src.dy::<S, WEIGHTED>(s, dy, r, weight);
                moments_row(s, d, &xs, &mut sum[r], &mut sum_sq[r]);
            });
            (x, dy) = (x.wrapping_add(src.x_stride), dy.wrapping_add(src.dy_stride));
        }
        (sum, sum_sq)
    }
}
