//! The averaged gradient and the mean of the squared per-example gradients, in one sweep.
//!
//! ```text
//! G[b,j,i]     = fold_t c[b] dy[b,t,j] x[b,t,i]
//! grad[j,i]    = scale * fold_b (grad + G)
//! grad_sq[j,i] = scale * fold_b fma(G, G, grad_sq)
//! ```
//!
//! Plan: register tiles of both sums ([`super::tile`]), so that `G` is made, added and squared in
//! registers and never stored. `grad` alone is the ordinary matrix product on the same tiles.

use super::parts;
use super::plan;
use super::row::{Row, ahead_from};
use super::shape::{Rows, Shape};
use super::sweep::{RowKernel, Way, sweep};
use super::tile::{Ends, Out, Source};
use crate::dims::check;
use crate::{Batch, Dims, Element, Error, Fold, Isa};

/// The averaged gradient alone: `grad[j,i] = scale * fold_{b,t} fma(c[b] dy[b,t,j], x[b,t,i], grad)`.
///
/// * `batch`: `x [B, T, I]`, `dy [B, T, J]` per example, example weights `c [B]` or none.
/// * `fold`: whether `grad` is overwritten or continued, and the factor at the end
///   ([`Fold::mean`] for the average).
/// * `grad`: *out* `[J, I]`; never read with [`Start::Fresh`](crate::Start::Fresh).
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
    run_grad(isa, batch, fold, grad, scratch);
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
/// * `grad`, `grad_sq`: *out* `[J, I]`; never read with [`Start::Fresh`](crate::Start::Fresh).
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
    run_moments(isa, batch, fold, grad, grad_sq, scratch);
    Ok(())
}

/// The scratch memory, in elements, with which [`grad`], [`moments`] and the layer steps on `dims` run
/// at full speed; 0 where there is nothing to gain: rows of `x` are short and of whole lines of the cache (64 bytes), or
/// those of the output few, the batch is not long, and the layer not large. Less works, and so does none.
///
/// ```
/// use pergrad_core::{Dims, scratch_len};
/// const LEN: usize = scratch_len(Dims::new(32, 100, 1024));
/// static SCRATCH: [f32; LEN] = [0.0; LEN]; // on a board: a static, sized at compile time
/// # let _ = SCRATCH;
/// ```
pub const fn scratch_len(dims: Dims) -> usize {
    plan::scratch_len(dims).saturating_add(parts::sums_len(dims))
}

/// What tiles of a whole layer read.
pub(crate) fn source<T: Element>(batch: &Batch<'_, T>) -> Source<T> {
    Source {
        batch: batch.dims.folded(),
        steps: batch.dims.steps,
        x: batch.x.as_ptr(),
        x_stride: batch.dims.inputs,
        panel_stride: 0,
        dy: batch.dy.as_ptr(),
        dy_stride: batch.dims.outputs,
        dy_row: 1,
        weights: batch.example_weights.map_or(core::ptr::null(), <[T]>::as_ptr),
        late: false,
    }
}

/// The matrix product into memory.
pub(crate) struct GradKernel<T> {
    /// Of the whole fold.
    whole: Ends<T>,
    /// Of this block of the batch.
    ends: Ends<T>,
    out: Out<T>,
    /// The least `(b, t)` of a block for which the output is prefetched.
    ahead_from: usize,
    /// Whether the output is more than a second-level cache holds.
    pub(super) far: bool,
}

impl<T: Copy> GradKernel<T> {
    pub(crate) fn new(whole: Ends<T>, out: Out<T>, ahead_from: usize) -> Self {
        GradKernel { whole, ends: whole, out, ahead_from, far: false }
    }
}

impl<T: Element> RowKernel<T> for GradKernel<T> {
    const RESTS: usize = 256;
    const SINGLE_FROM: usize = 0;

    fn few(&self, shape: &Shape, src: &Source<T>, columns: usize) -> usize {
        plan::few_sums(shape, src, columns, false)
    }

    fn rows(&self, shape: &Shape, src: &Source<T>, way: Way, left: usize) -> Rows {
        match way {
            Way::Few => shape.few_rows(left),
            Way::Narrow => Rows::Narrow(left),
            Way::Tiles | Way::Packed if self.far => shape.far_rows(src.depth(), left),
            Way::Tiles | Way::Packed if src.dy_row != 1 => shape.apart_rows(left),
            Way::Tiles | Way::Packed => shape.grad_rows(left),
        }
    }

    fn most_columns(&self, _rows: usize) -> usize {
        usize::MAX
    }

    fn block(&mut self, first: bool, last: bool) {
        self.ends = self.whole.of_block(first, last);
    }

    unsafe fn row(&mut self, isa: Isa, row: &mut Row<T>, j: usize, i: usize) {
        // SAFETY: the row is inside the output, whose length was checked.
        unsafe {
            let out = self.out.at(j, i);
            let p = if self.ends.past { core::ptr::null() } else { out.p.cast_const() };
            let ahead = [p, core::ptr::null(), core::ptr::null()];
            (row.ends, row.out) = (self.ends, out);
            row.set_ahead(ahead, out.stride, self.ahead_from);
            row.grad(isa);
        }
    }
}

/// Both moments into memory.
pub(crate) struct MomentsKernel<T, const SEQUENCE: bool> {
    /// Of the whole fold.
    whole: Ends<T>,
    /// Of this block of the batch.
    ends: Ends<T>,
    out: Out<T>,
    out_sq: Out<T>,
    /// The least `(b, t)` of a block for which the outputs are prefetched.
    ahead_from: usize,
}

impl<T: Copy, const SEQUENCE: bool> MomentsKernel<T, SEQUENCE> {
    pub(crate) fn new(whole: Ends<T>, [out, out_sq]: [Out<T>; 2], ahead_from: usize) -> Self {
        MomentsKernel { whole, ends: whole, out, out_sq, ahead_from }
    }
}

impl<T: Element, const SEQUENCE: bool> RowKernel<T> for MomentsKernel<T, SEQUENCE> {
    const RESTS: usize = 32;
    const SINGLE_FROM: usize = if SEQUENCE { usize::MAX } else { plan::FAR };

    fn few(&self, shape: &Shape, src: &Source<T>, columns: usize) -> usize {
        match SEQUENCE {
            true => plan::few(columns),
            false => plan::few_sums(shape, src, columns, true),
        }
    }

    fn rows(&self, shape: &Shape, src: &Source<T>, way: Way, left: usize) -> Rows {
        match (SEQUENCE, way) {
            (true, Way::Few) => Rows::Single(left),
            (true, _) => shape.sequence_rows(src, way == Way::Packed, left),
            (false, Way::Few) => shape.few_rows(left),
            (false, Way::Narrow) => Rows::Narrow(left),
            (false, Way::Tiles | Way::Packed) => shape.moments_rows(left),
        }
    }

    fn most_columns(&self, _rows: usize) -> usize {
        usize::MAX
    }

    fn block(&mut self, first: bool, last: bool) {
        self.ends = self.whole.of_block(first, last);
    }

    unsafe fn row(&mut self, isa: Isa, row: &mut Row<T>, j: usize, i: usize) {
        // SAFETY: the row is inside the outputs, whose lengths were checked.
        unsafe {
            let (out, out_sq) = (self.out.at(j, i), self.out_sq.at(j, i));
            let ahead = [out.p.cast_const(), out_sq.p.cast_const(), core::ptr::null()];
            (row.ends, row.out, row.out_sq) = (self.ends, out, out_sq);
            row.set_ahead(ahead, out.stride, self.ahead_from);
            row.moments::<SEQUENCE>(isa);
        }
    }
}

/// `(b, t)` in all. (If there are no columns there may be as many as one likes.)
fn depth(dims: Dims) -> usize {
    dims.batch.saturating_mul(dims.steps)
}

/// [`grad`], lengths checked.
fn run_grad<T: Element>(
    isa: Isa,
    batch: &Batch<'_, T>,
    fold: Fold,
    grad: &mut [T],
    scratch: &mut [T],
) {
    let (rows, columns) = (batch.dims.outputs, batch.dims.inputs);
    let out = Out { p: grad.as_mut_ptr(), stride: columns };
    let ahead_from = ahead_from::<T>(isa, size_of_val(grad), depth(batch.dims), 1);
    let mut kernel = GradKernel::new(Ends::of(fold), out, ahead_from);
    kernel.far = size_of_val(grad) > plan::FAR;
    // SAFETY: the lengths of x, dy, weights and grad were checked against the extents.
    unsafe { sweep(isa, source(batch), rows, columns, scratch, &mut kernel) }
}

/// [`moments`], lengths checked.
fn run_moments<T: Element>(
    isa: Isa,
    batch: &Batch<'_, T>,
    fold: Fold,
    grad: &mut [T],
    grad_sq: &mut [T],
    scratch: &mut [T],
) {
    let (rows, columns) = (batch.dims.outputs, batch.dims.inputs);
    let src = source(batch);
    let out = Out { p: grad.as_mut_ptr(), stride: columns };
    let out_sq = Out { p: grad_sq.as_mut_ptr(), stride: columns };
    let ends = Ends::of(fold);
    let ahead_from = ahead_from::<T>(isa, size_of_val(grad), depth(batch.dims), 2);
    // SAFETY: the lengths of x, dy, weights and the outputs were checked against the extents.
    unsafe {
        if batch.dims.steps == 1 {
            let mut kernel = MomentsKernel::<T, false>::new(ends, [out, out_sq], ahead_from);
            sweep(isa, src, rows, columns, scratch, &mut kernel);
        } else {
            let mut kernel = MomentsKernel::<T, true>::new(ends, [out, out_sq], ahead_from);
            sweep(isa, src, rows, columns, scratch, &mut kernel);
        }
    }
}
