//! Rows of tiles whose sums go straight to the optimizer, for the layer step where there are vectors.
//!
//! Plan: the multipliers sum a tile while the divider of the CPU is idle, and wait for it when the optimizer
//! takes roots and divides. So the sums of a finished tile are *held* on the stack, and one vector of them
//! updates its parameters after each of the first examples of the next tile: on Zen 4 a root and a division
//! of 16 lanes take 16 cycles of the divider, but only 4 of the multipliers. The parameters that the next tile
//! will update are fetched there, too, a vector at a time: all at once they would keep its own loads waiting. (With both
//! sums and not too many examples those of the next row of tiles are, in runs along its rows, which come faster from afar.)
//! With fewer examples than a tile has vectors rows are single, and their parameters are updated as soon as they are
//! summed; with some more, too, if parameters come from memory, which likes long runs: there the next row's are fetched.
//!
//! Only the [`plain`](AdamCoeffs::plain) configurations are compiled here, and no weights; the rest takes the
//! longer way round in [`super::step`], to the same bits.

use core::mem::MaybeUninit;

use super::adam::{Adam, AdamArrays};
use super::momentum::{Momentum, MomentumArrays};
use super::rmsprop::{Rmsprop, RmspropArrays};
use super::row::Row;
use super::rule::Rule;
use super::shape::{HALF, Room, Rows, TILE_VECS, by_room};
use super::tile::{BothSums, Source, Sums, grad_sums, moments_sums, scaled};
use crate::optim::DecayCoeff;
use crate::simd::Simd;
use crate::{AdamCoeffs, Element, MomentumCoeffs, RmspropCoeffs};

/// The most examples for which parameters are fetched in runs; with more, what was fetched so early is gone again.
const LONG_RUNS: usize = 64;

/// Tiles one above the other in a row of tiles: those of several rows that are two panels wide are halves of tall ones.
const fn stacked(rows: usize, vecs: usize) -> usize {
    if rows > 1 && vecs > TILE_VECS { 2 } else { 1 }
}

/// A row of tiles and the parameters that it is for.
#[derive(Clone, Copy)]
pub struct FusedRow<'a, T> {
    /// Its outputs are not looked at.
    pub(crate) row: &'a Row<T>,
    /// The first parameter.
    pub(crate) at: usize,
    /// Elements from one row of parameters to the next.
    pub(crate) stride: usize,
    /// Whether the second moment is `grad_sq`, not the square of the average.
    pub(crate) second: bool,
}

/// The sums, continued over `src`; those of the squares only if `SECOND`.
///
/// # Safety
/// As [`moments_sums`].
#[cfg_attr(optimized, inline(always))]
unsafe fn fold<T, S, const ROWS: usize, const VECS: usize, const TAIL: bool, const SECOND: bool>(
    s: S,
    src: Source<T>,
    n: usize,
    sums: BothSums<S::V, ROWS, VECS>,
) -> BothSums<S::V, ROWS, VECS>
where
    T: Element,
    S: Simd<T>,
{
    // SAFETY: by contract.
    unsafe {
        if SECOND {
            moments_sums::<T, S, ROWS, VECS, TAIL, false>(s, src, n, sums)
        } else {
            (grad_sums::<T, S, ROWS, VECS, TAIL, false>(s, src, n, sums.0), sums.1)
        }
    }
}

/// The finished sums, multiplied by the factor at the end.
#[inline(always)]
fn finished<T: Element, S: Simd<T>, const ROWS: usize, const VECS: usize>(
    s: S,
    fused: &FusedRow<'_, T>,
    sums: BothSums<S::V, ROWS, VECS>,
) -> BothSums<S::V, ROWS, VECS> {
    let scale = fused.row.ends.scale;
    (scaled(s, scale, sums.0), scaled(s, scale, sums.1))
}

/// Updates `n` parameters of row `r`, column `c` by their gradient and second moment.
///
/// # Safety
/// They are inside the rule's arrays; `n` is `LANES`, or less if `TAIL`.
#[cfg_attr(optimized, inline(always))]
unsafe fn update<T, S, R, const TAIL: bool, const SECOND: bool>(
    s: S,
    rule: R,
    fused: &FusedRow<'_, T>,
    (r, c): (usize, usize),
    n: usize,
    [grad, second]: [S::V; 2],
) where
    T: Element,
    S: Simd<T>,
    R: Rule<T>,
{
    let at = fused.at + r * fused.stride + c;
    // SAFETY: by contract.
    unsafe { rule.vector::<S, TAIL, true, SECOND, false>(s, at, n, grad, second) };
}

/// Tiles whose parameters are updated while the next one is summed. Returns the column after the last.
///
/// # Safety
/// As [`tiles`]; there are at least as many examples as vectors in a tile (as rows, unless `SECOND`).
#[cfg_attr(optimized, inline(always))]
unsafe fn overlapped<T, S, R, const ROWS: usize, const VECS: usize, const SECOND: bool>(
    s: S,
    rule: R,
    fused: &FusedRow<'_, T>,
) -> usize
where
    T: Element,
    S: Simd<T>,
    R: Rule<T>,
{
    let (row, tile) = (fused.row, VECS * S::LANES);
    let [sum, sum_sq] = s.zeros::<2, ROWS, VECS>();
    let zeros = (sum, sum_sq);
    // Gradients, each with its square behind it if that is wanted.
    let of_each = if SECOND { 2 } else { 1 };
    let mut held = MaybeUninit::<[Sums<S::V, ROWS, VECS>; 2]>::uninit();
    let held: *mut S::V = held.as_mut_ptr().cast();
    let held_at = |k| {
        // SAFETY: only called for vectors of a tile that was held, which `k` numbers.
        unsafe {
            let at = held.add(k * of_each);
            [*at, *at.add(of_each - 1)]
        }
    };
    // (Known when this is compiled. Late or not, only parameters are fetched: to ask takes a sixth of the time.)
    let src = Source { dy_row: 1, late: false, ..row.src };
    let ahead = !row.ahead[0].is_null();
    // An example for each update, or for each two if there are fewer.
    let each = SECOND || src.batch >= ROWS * VECS;
    let runs = SECOND && src.batch <= LONG_RUNS;
    let mut soon = (ROWS, 0); // what is fetched next if so
    let columns = row.columns / tile;
    let tiles = columns * stacked(ROWS, VECS);
    // The first row and column of each, those above each other first.
    let place = |k: usize| (k % stacked(ROWS, VECS) * ROWS, k / stacked(ROWS, VECS) * tile);
    // SAFETY: c + tile <= columns; sums are held before they are updated with; an example is taken off `rest`
    // for each vector of a tile.
    unsafe {
        for k in 0..tiles {
            let (first, c) = place(k);
            let panels = c / (TILE_VECS * S::LANES) * row.src.panel_stride;
            let (mut sums, mut rest) = (zeros, src.row(first).columns(panels));
            if k == 0 {
                row.fetch_ahead::<S, ROWS>(s, (first, c), tile);
            } else {
                let (held_first, held_c) = place(k - 1);
                for r in 0..ROWS {
                    for v in 0..VECS {
                        let right = v * S::LANES;
                        if each || v == 0 {
                            let one = rest.examples(0, 1);
                            sums = fold::<T, S, ROWS, VECS, false, SECOND>(s, one, tile, sums);
                            rest = rest.examples(1, rest.batch - 1);
                        }
                        if ahead && runs {
                            row.fetch_ahead::<S, 1>(s, soon, S::LANES);
                            soon.1 += S::LANES;
                            if soon.1 >= row.columns {
                                soon = (soon.0 + 1, 0);
                            }
                        } else if ahead {
                            row.fetch_ahead::<S, 1>(s, (first + r, c + right), S::LANES);
                        }
                        let (at, sums) = ((held_first + r, held_c + right), held_at(r * VECS + v));
                        update::<T, S, R, false, SECOND>(s, rule, fused, at, S::LANES, sums);
                    }
                }
            }
            sums = fold::<T, S, ROWS, VECS, false, SECOND>(s, rest, tile, sums);
            let (sum, sum_sq) = finished(s, fused, sums);
            for r in 0..ROWS {
                for v in 0..VECS {
                    let at = held.add((r * VECS + v) * of_each);
                    *at = sum[r][v];
                    if SECOND {
                        *at.add(1) = sum_sq[r][v];
                    }
                }
            }
        }
        let (first, c) = place(tiles.saturating_sub(1));
        for r in 0..if tiles > 0 { ROWS } else { 0 } {
            for v in 0..VECS {
                let (at, sums) = ((first + r, c + v * S::LANES), held_at(r * VECS + v));
                update::<T, S, R, false, SECOND>(s, rule, fused, at, S::LANES, sums);
            }
        }
    }
    columns * tile
}

/// A tile whose parameters are updated at once, at row `first` and column `c`.
///
/// # Safety
/// As [`tiles`]; the tile has `n` columns, `VECS * LANES` unless `TAIL`.
#[cfg_attr(optimized, inline(always))]
unsafe fn direct<
    T,
    S,
    R,
    const ROWS: usize,
    const VECS: usize,
    const TAIL: bool,
    const SECOND: bool,
>(
    s: S,
    rule: R,
    fused: &FusedRow<'_, T>,
    src: Source<T>,
    (first, c): (usize, usize),
    n: usize,
) where
    T: Element,
    S: Simd<T>,
    R: Rule<T>,
{
    let [sum, sum_sq] = s.zeros::<2, ROWS, VECS>();
    let zeros = (sum, sum_sq);
    // SAFETY: by contract.
    unsafe {
        let sums = fold::<T, S, ROWS, VECS, TAIL, SECOND>(s, src, n, zeros);
        let (sum, sum_sq) = finished(s, fused, sums);
        for r in 0..ROWS {
            for v in 0..VECS {
                let at = (first + r, c + v * S::LANES);
                let sums = [sum[r][v], sum_sq[r][v]];
                update::<T, S, R, TAIL, SECOND>(s, rule, fused, at, n - v * S::LANES, sums);
            }
        }
    }
}

/// The tiles of `ROWS` rows, or of twice as many if they are [stacked], or of row `r` if it is one.
///
/// # Safety
/// `src` of the row is readable and its parameters are inside the rule's arrays, for all its tiles; there are
/// no weights and one step; with `ROWS` > 1 there are as many examples as [`overlapped`] asks for.
#[inline(always)]
unsafe fn tiles<T, S, R, const ROWS: usize, const VECS: usize, const SECOND: bool>(
    s: S,
    rule: R,
    fused: &FusedRow<'_, T>,
    r: usize,
) where
    T: Element,
    S: Simd<T>,
    R: Rule<T>,
{
    let (row, tile, panel) = (fused.row, VECS * S::LANES, TILE_VECS * S::LANES);
    let mut src = Source { dy_row: 1, late: false, ..row.src };
    let mut c = 0;
    // SAFETY: c + the columns of each tile <= columns.
    unsafe {
        if const { ROWS > 1 } {
            c = overlapped::<T, S, R, ROWS, VECS, SECOND>(s, rule, fused);
            src = src.columns(c / panel * row.src.panel_stride);
        }
        for r in (r..r + stacked(ROWS, VECS) * ROWS).step_by(ROWS) {
            let (mut src, mut c) = (src.row(r), c);
            while const { ROWS == 1 } && c + tile <= row.columns {
                row.fetch_ahead::<S, 1>(s, (r + 1, c), tile);
                direct::<T, S, R, ROWS, VECS, false, SECOND>(s, rule, fused, src, (r, c), tile);
                src = src.columns(if VECS == TILE_VECS { row.src.panel_stride } else { tile });
                c += tile;
            }
            if const { stacked(ROWS, VECS) > 1 } && c + panel <= row.columns {
                let n = panel;
                direct::<T, S, R, ROWS, TILE_VECS, false, SECOND>(s, rule, fused, src, (r, c), n);
                src = src.columns(row.src.panel_stride);
                c += n;
            }
            while c + S::LANES <= row.columns {
                direct::<T, S, R, ROWS, 1, false, SECOND>(s, rule, fused, src, (r, c), S::LANES);
                src = src.columns(S::LANES);
                c += S::LANES;
            }
            if c < row.columns {
                let n = row.columns - c;
                direct::<T, S, R, ROWS, 1, true, SECOND>(s, rule, fused, src, (r, c), n);
            }
        }
    }
}

/// [`tiles`] of `TALL` or `ROWS` rows, as [`super::row`] has them for these sums; or one row after the other,
/// which are wide where panels lie side by side.
///
/// # Safety
/// As [`tiles`].
#[inline(always)]
unsafe fn any_tiles<T, S, R, const TALL: usize, const ROWS: usize, const SECOND: bool>(
    s: S,
    rule: R,
    fused: &FusedRow<'_, T>,
) where
    T: Element,
    S: Simd<T>,
    R: Rule<T>,
{
    // SAFETY: by contract.
    unsafe {
        match fused.row.rows {
            Rows::Tile(n)
                if const { !SECOND && Room::of::<T, S>().has_halves(TALL) }
                    && n == TALL
                    && s.intel() =>
            {
                tiles::<T, S, R, HALF, 4, SECOND>(s, rule, fused, 0);
            }
            Rows::Tile(n) if n == TALL => {
                tiles::<T, S, R, TALL, TILE_VECS, SECOND>(s, rule, fused, 0);
            }
            Rows::Tile(n) if const { ROWS < TALL } && n == ROWS => {
                tiles::<T, S, R, ROWS, TILE_VECS, SECOND>(s, rule, fused, 0);
            }
            rows => {
                let wide = fused.row.src.panel_stride == TILE_VECS * S::LANES;
                for r in 0..rows.count() {
                    if wide {
                        tiles::<T, S, R, 1, 4, SECOND>(s, rule, fused, r);
                    } else {
                        tiles::<T, S, R, 1, TILE_VECS, SECOND>(s, rule, fused, r);
                    }
                }
            }
        }
    }
}

/// A row of tiles with any rule.
///
/// # Safety
/// As [`tiles`].
#[inline(always)]
unsafe fn any_row<T: Element, S: Simd<T>, R: Rule<T>>(s: S, rule: R, fused: &FusedRow<'_, T>) {
    // SAFETY: by contract.
    unsafe {
        by_room!(T, S, {
            Vectors32 => if const { R::SECOND } && fused.second {
                any_tiles::<T, S, R, 6, 6, true>(s, rule, fused);
            } else {
                any_tiles::<T, S, R, 12, 6, false>(s, rule, fused);
            },
            Vectors16 => if const { R::SECOND } && fused.second {
                any_tiles::<T, S, R, 3, 3, true>(s, rule, fused);
            } else {
                any_tiles::<T, S, R, 6, 6, false>(s, rule, fused);
            },
            // The step does not come here without registers full of vectors.
            Emulated | Scalars32 | Software => {},
        });
    }
}

/// Stamps the rows of a rule, one without decay and one with whatever decay there is.
macro_rules! row_of {
    ($name:ident, $Rule:ident, $Coeffs:ident, $Arrays:ident) => {
        /// A row of tiles with this rule.
        ///
        /// # Safety
        /// As [`tiles`]; the coefficients are plain.
        #[inline(always)]
        pub(crate) unsafe fn $name<T: Element, S: Simd<T>>(
            s: S,
            c: &$Coeffs<T>,
            arrays: $Arrays<T>,
            fused: &FusedRow<'_, T>,
        ) {
            let Some(c) = c.plain() else { return };
            // SAFETY: by contract.
            unsafe {
                if c.decay == DecayCoeff::None {
                    let c = $Coeffs { decay: DecayCoeff::None, ..c };
                    any_row(s, $Rule(&c, arrays), fused);
                } else {
                    any_row(s, $Rule(&c, arrays), fused);
                }
            }
        }
    };
}

row_of!(momentum_row, Momentum, MomentumCoeffs, MomentumArrays);
row_of!(rmsprop_row, Rmsprop, RmspropCoeffs, RmspropArrays);
row_of!(adam_row, Adam, AdamCoeffs, AdamArrays);
