//! The averaged gradient and the mean of the squared per-example gradients, in one sweep.
//!
//! ```text
//! G[b,j,i]     = fold_t c[b] dy[b,t,j] x[b,t,i]
//! grad[j,i]    = scale * fold_b (grad + G)
//! grad_sq[j,i] = scale * fold_b fma(G, G, grad_sq)
//! ```
//!
//! Plan: register tiles of both sums ([`super::tile`]), so that `G` is made, added and squared in
//! registers and never stored. `grad` alone is the ordinary matrix product on the same tiles. The
//! bias' moments are the same folds with `x = 1`, vectorised over `j`.

use super::tile::{self, Ends, Out, Source, TileKernel, sweep};
use crate::dims::check;
use crate::simd::Simd;
use crate::{Batch, Dims, Element, Error, Fold, Isa, Start};

/// The averaged gradient alone: `grad[j,i] = scale * fold_{b,t} fma(c[b] dy[b,t,j], x[b,t,i], grad)`.
///
/// * `batch`: `x [B, T, I]`, `dy [B, T, J]` per example, example weights `c [B]` or none.
/// * `fold`: whether `grad` is overwritten or continued, and the factor at the end
///   ([`Fold::mean`] for the average).
/// * `grad`: *out* `[J, I]`; never read with [`Start::Fresh`].
/// * `scratch`: any length, may be empty; see [`scratch_len`].
///
/// This is the ordinary matrix product. It rounds once a term where [`moments`] rounds the product
/// and the sum, so its last bits differ from that `grad`.
///
/// # Errors
/// [`Error::Length`] and [`Error::Overflow`]; nothing is written then.
///
/// ```
/// use pergrad_core::{Batch, Dims, Fold, Isa, grad};
/// let (x, dy) = ([1.0f32, 2.0, 3.0, 4.0], [1.0f32, -1.0]);
/// let mut g = [0.0; 2]; // B = 2, J = 1, I = 2
/// grad(Isa::detect(), &Batch::new(Dims::new(2, 1, 2), &x, &dy), Fold::mean(2), &mut g, &mut [])?;
/// assert_eq!(g, [-1.0, -1.0]);
/// # Ok::<(), pergrad_core::Error>(())
/// ```
pub fn grad<T: Element>(
    isa: Isa,
    batch: &Batch<'_, T>,
    fold: Fold,
    grad: &mut [T],
    scratch: &mut [T],
) -> Result<(), Error> {
    check("grad", grad.len(), batch.check()?)?;
    T::grad(isa, batch, fold, grad, scratch);
    Ok(())
}

/// The averaged gradient and the mean of the squared per-example gradients, in one sweep over `dy`
/// and `x`: `G` as in [`per_example_grad`](crate::per_example_grad),
/// `grad = scale * fold_b (grad + G)`, `grad_sq = scale * fold_b fma(G, G, grad_sq)`.
///
/// * `batch`: `x [B, T, I]`, `dy [B, T, J]` per example (loss summed, not averaged), example weights
///   `c [B]` or none.
/// * `fold`: whether the outputs are overwritten or continued, and the factor at the end. Micro-batches
///   resumed in order give the bits of the whole batch.
/// * `grad`, `grad_sq`: *out* `[J, I]`; never read with [`Start::Fresh`].
/// * `scratch`: any length, may be empty; see [`scratch_len`].
///
/// The bits are those of [`per_example_grad`](crate::per_example_grad) followed by
/// [`reduce`](crate::reduce()). The statistic is BackPACK's `sum_grad_squared` (Dangel, Kunstner and
/// Hennig, "BackPACK: Packing more into backprop", 2020) times `scale`.
///
/// # Errors
/// [`Error::Length`] and [`Error::Overflow`]; nothing is written then.
///
/// ```
/// use pergrad_core::{Batch, Dims, Fold, Isa, moments};
/// let (x, dy) = ([1.0f32, 2.0, 3.0, 4.0], [1.0f32, -1.0]);
/// let batch = Batch::new(Dims::new(2, 1, 2), &x, &dy); // B = 2, J = 1, I = 2
/// let (mut g, mut g_sq) = ([0.0; 2], [0.0; 2]);
/// moments(Isa::detect(), &batch, Fold::mean(2), &mut g, &mut g_sq, &mut [])?;
/// assert_eq!(g, [-1.0, -1.0]); //   the examples disagree:
/// assert_eq!(g_sq, [5.0, 10.0]); // the average has forgotten how much
/// # Ok::<(), pergrad_core::Error>(())
/// ```
pub fn moments<T: Element>(
    isa: Isa,
    batch: &Batch<'_, T>,
    fold: Fold,
    grad: &mut [T],
    grad_sq: &mut [T],
    scratch: &mut [T],
) -> Result<(), Error> {
    let n = batch.check()?;
    check("grad", grad.len(), n)?;
    check("grad_sq", grad_sq.len(), n)?;
    T::moments(isa, batch, fold, grad, grad_sq, scratch);
    Ok(())
}

/// The averaged gradient of the bias alone: `grad[j] = scale * fold_{b,t} (grad + c[b] dy[b,t,j])`.
///
/// `batch.x` is not looked at and may be empty. `grad` is *out* `[J]`; never read with
/// [`Start::Fresh`].
///
/// # Errors
/// [`Error::Length`] and [`Error::Overflow`]; nothing is written then.
///
/// ```
/// use pergrad_core::{Batch, Dims, Fold, Isa, bias_grad};
/// let batch = Batch::new(Dims::new(2, 1, 2), &[], &[3.0f32, -1.0]);
/// let mut g = [0.0];
/// bias_grad(Isa::detect(), &batch, Fold::mean(2), &mut g)?;
/// assert_eq!(g, [1.0]);
/// # Ok::<(), pergrad_core::Error>(())
/// ```
pub fn bias_grad<T: Element>(
    isa: Isa,
    batch: &Batch<'_, T>,
    fold: Fold,
    grad: &mut [T],
) -> Result<(), Error> {
    batch.check_dy()?;
    check("grad", grad.len(), batch.dims.outputs)?;
    T::bias_grad(isa, batch, fold, grad);
    Ok(())
}

/// The moments of the bias: as [`moments`] with `G[b,j] = sum_t c[b] dy[b,t,j]` (plain additions).
///
/// `batch.x` is not looked at and may be empty. `grad` and `grad_sq` are *out* `[J]`; never read with
/// [`Start::Fresh`].
///
/// # Errors
/// [`Error::Length`] and [`Error::Overflow`]; nothing is written then.
///
/// ```
/// use pergrad_core::{Batch, Dims, Fold, Isa, bias_moments};
/// let batch = Batch::new(Dims::new(2, 1, 2), &[], &[3.0f32, -1.0]);
/// let (mut g, mut g_sq) = ([0.0], [0.0]);
/// bias_moments(Isa::detect(), &batch, Fold::mean(2), &mut g, &mut g_sq)?;
/// assert_eq!((g, g_sq), ([1.0], [5.0]));
/// # Ok::<(), pergrad_core::Error>(())
/// ```
pub fn bias_moments<T: Element>(
    isa: Isa,
    batch: &Batch<'_, T>,
    fold: Fold,
    grad: &mut [T],
    grad_sq: &mut [T],
) -> Result<(), Error> {
    batch.check_dy()?;
    check("grad", grad.len(), batch.dims.outputs)?;
    check("grad_sq", grad_sq.len(), batch.dims.outputs)?;
    T::bias_moments(isa, batch, fold, grad, grad_sq);
    Ok(())
}

/// The scratch memory, in elements, with which [`grad`], [`moments`] and the layer steps on `dims` run
/// at full speed. Less works, and so does none.
///
/// ```
/// use pergrad_core::{Dims, scratch_len};
/// const LEN: usize = scratch_len(Dims::new(32, 10, 64));
/// static SCRATCH: [f32; LEN] = [0.0; LEN]; // on a board: a static, sized at compile time
/// # let _ = SCRATCH;
/// ```
pub const fn scratch_len(dims: Dims) -> usize {
    let _ = dims;
    0
}

/// What tiles of a whole layer read.
pub(crate) fn source<T: Element>(batch: &Batch<'_, T>) -> Source<T> {
    Source {
        batch: batch.dims.batch,
        steps: batch.dims.steps,
        x: batch.x.as_ptr(),
        x_stride: batch.dims.inputs,
        dy: batch.dy.as_ptr(),
        dy_stride: batch.dims.outputs,
        dy_row: 1,
        weights: batch.example_weights.map_or(core::ptr::null(), <[T]>::as_ptr),
    }
}

/// What a fold does at its ends.
pub(crate) fn ends<T: Element>(fold: Fold) -> Ends<T> {
    Ends { start: fold.start, scale: fold.factor() }
}

struct GradKernel<T> {
    ends: Ends<T>,
    out: Out<T>,
}

impl<T: Element> TileKernel<T> for GradKernel<T> {
    #[inline(always)]
    unsafe fn tile<S, const ROWS: usize, const VECS: usize, const TAIL: bool>(
        &mut self,
        s: S,
        src: Source<T>,
        j: usize,
        i: usize,
        n: usize,
    ) where
        S: Simd<T>,
    {
        // SAFETY: the tile is inside the output, whose length was checked.
        unsafe {
            let out = self.out.at(j, i);
            tile::grad::<T, S, ROWS, VECS, TAIL>(s, src, n, self.ends, out);
        }
    }
}

struct MomentsKernel<T> {
    ends: Ends<T>,
    out: Out<T>,
    out_sq: Out<T>,
}

impl<T: Element> TileKernel<T> for MomentsKernel<T> {
    #[inline(always)]
    unsafe fn tile<S, const ROWS: usize, const VECS: usize, const TAIL: bool>(
        &mut self,
        s: S,
        src: Source<T>,
        j: usize,
        i: usize,
        n: usize,
    ) where
        S: Simd<T>,
    {
        // SAFETY: the tile is inside the outputs, whose lengths were checked.
        unsafe {
            let (out, out_sq) = (self.out.at(j, i), self.out_sq.at(j, i));
            tile::any_moments::<T, S, ROWS, VECS, TAIL>(s, src, n, self.ends, out, out_sq);
        }
    }
}

/// The loops of [`grad`]; lengths were checked.
#[inline(always)]
pub(crate) fn run_grad<T: Element, S: Simd<T>>(
    s: S,
    batch: &Batch<'_, T>,
    fold: Fold,
    grad: &mut [T],
    _scratch: &mut [T],
) {
    let (rows, columns) = (batch.dims.outputs, batch.dims.inputs);
    let out = Out { p: grad.as_mut_ptr(), stride: columns };
    let mut kernel = GradKernel { ends: ends(fold), out };
    // SAFETY: the lengths of x, dy, weights and grad were checked against the extents.
    unsafe {
        if S::REGISTERS >= 32 {
            sweep::<T, S, _, 6>(s, source(batch), rows, columns, &mut kernel);
        } else {
            sweep::<T, S, _, 4>(s, source(batch), rows, columns, &mut kernel);
        }
    }
}

/// The loops of [`moments`]; lengths were checked.
#[inline(always)]
pub(crate) fn run_moments<T: Element, S: Simd<T>>(
    s: S,
    batch: &Batch<'_, T>,
    fold: Fold,
    grad: &mut [T],
    grad_sq: &mut [T],
    _scratch: &mut [T],
) {
    let (rows, columns) = (batch.dims.outputs, batch.dims.inputs);
    let out = Out { p: grad.as_mut_ptr(), stride: columns };
    let out_sq = Out { p: grad_sq.as_mut_ptr(), stride: columns };
    let mut kernel = MomentsKernel { ends: ends(fold), out, out_sq };
    // SAFETY: the lengths of x, dy, weights and the outputs were checked against the extents.
    unsafe {
        if S::REGISTERS >= 32 {
            sweep::<T, S, _, 6>(s, source(batch), rows, columns, &mut kernel);
        } else {
            sweep::<T, S, _, 3>(s, source(batch), rows, columns, &mut kernel);
        }
    }
}

/// `G` of the bias for one vector of `j`, of example `b`.
///
/// # Safety
/// `dy` points at the vector's first `j` of `(b, 0)`, `n` lanes of it are inside.
#[inline(always)]
unsafe fn bias_example<T: Element, S: Simd<T>>(
    s: S,
    batch: &Batch<'_, T>,
    b: usize,
    j: usize,
    n: usize,
) -> S::V {
    let mut g = s.splat(T::ZERO);
    for t in 0..batch.dims.steps {
        // SAFETY: n lanes from j of row (b, t) are inside dy by contract.
        let mut d = unsafe {
            let dy = batch.dy.as_ptr().add((b * batch.dims.steps + t) * batch.dims.outputs + j);
            s.load_first(dy, n, T::ZERO)
        };
        if let Some(c) = batch.example_weights {
            // SAFETY: b < batch, the length of the weights.
            d = s.mul(s.splat(unsafe { *c.get_unchecked(b) }), d);
        }
        g = if t == 0 { d } else { s.add(g, d) };
    }
    g
}

/// The moments of one vector of the bias.
///
/// # Safety
/// `n` lanes from `j` are inside `[J]`; `out` and `out_sq` are writable for them.
#[inline(always)]
pub(crate) unsafe fn bias_vector<T: Element, S: Simd<T>>(
    s: S,
    batch: &Batch<'_, T>,
    j: usize,
    n: usize,
    ends: Ends<T>,
    out: *mut T,
    out_sq: *mut T,
) {
    // SAFETY: by contract.
    unsafe {
        let (mut sum, mut sum_sq) = (s.splat(T::ZERO), s.splat(T::ZERO));
        if ends.start == Start::Resume {
            sum = s.load_first(out, n, T::ZERO);
            sum_sq = s.load_first(out_sq, n, T::ZERO);
        }
        for b in 0..batch.dims.batch {
            let g = bias_example(s, batch, b, j, n);
            sum = s.add(sum, g);
            sum_sq = s.fma(g, g, sum_sq);
        }
        if let Some(scale) = ends.scale {
            sum = s.mul(sum, s.splat(scale));
            sum_sq = s.mul(sum_sq, s.splat(scale));
        }
        s.store_first(out, n, sum);
        s.store_first(out_sq, n, sum_sq);
    }
}

/// The gradient alone of one vector of the bias: additions over `(b, t)`.
///
/// # Safety
/// As [`bias_vector`].
#[inline(always)]
pub(crate) unsafe fn bias_grad_vector<T: Element, S: Simd<T>>(
    s: S,
    batch: &Batch<'_, T>,
    j: usize,
    n: usize,
    ends: Ends<T>,
    out: *mut T,
) {
    // SAFETY: by contract.
    unsafe {
        let mut sum = match ends.start {
            Start::Fresh => s.splat(T::ZERO),
            Start::Resume => s.load_first(out, n, T::ZERO),
        };
        for b in 0..batch.dims.batch {
            for t in 0..batch.dims.steps {
                let row = b * batch.dims.steps + t;
                let dy = batch.dy.as_ptr().add(row * batch.dims.outputs + j);
                let mut d = s.load_first(dy, n, T::ZERO);
                if let Some(c) = batch.example_weights {
                    d = s.mul(s.splat(*c.get_unchecked(b)), d);
                }
                sum = s.add(sum, d);
            }
        }
        if let Some(scale) = ends.scale {
            sum = s.mul(sum, s.splat(scale));
        }
        s.store_first(out, n, sum);
    }
}

/// The loops of [`bias_grad`]; lengths were checked.
#[inline(always)]
pub(crate) fn run_bias_grad<T: Element, S: Simd<T>>(
    s: S,
    batch: &Batch<'_, T>,
    fold: Fold,
    grad: &mut [T],
) {
    let outputs = batch.dims.outputs;
    let mut j = 0;
    while j < outputs {
        let n = S::LANES.min(outputs - j);
        // SAFETY: j + n <= J, the length of the output.
        unsafe { bias_grad_vector(s, batch, j, n, ends(fold), grad.as_mut_ptr().add(j)) }
        j += n;
    }
}

/// The loops of [`bias_moments`]; lengths were checked.
#[inline(always)]
pub(crate) fn run_bias_moments<T: Element, S: Simd<T>>(
    s: S,
    batch: &Batch<'_, T>,
    fold: Fold,
    grad: &mut [T],
    grad_sq: &mut [T],
) {
    let outputs = batch.dims.outputs;
    let mut j = 0;
    while j < outputs {
        let n = S::LANES.min(outputs - j);
        // SAFETY: j + n <= J, the length of the outputs.
        unsafe {
            let (out, out_sq) = (grad.as_mut_ptr().add(j), grad_sq.as_mut_ptr().add(j));
            bias_vector(s, batch, j, n, ends(fold), out, out_sq);
        }
        j += n;
    }
}
