//! The extents of a layer, what a layer saw of a batch, and every length check there is.

use crate::{Element, Error};

/// The four extents of a linear layer as the kernels see it.
///
/// `steps` is 1 unless weights are shared over time or space (sequences, unfolded convolutions).
/// Any extent may be 0.
///
/// ```
/// use pergrad_core::Dims;
/// let dims = Dims::new(32, 10, 64); // B, J, I
/// assert_eq!(dims.x_len()?, 32 * 64);
/// assert_eq!(dims.with_steps(5).y_len()?, 32 * 5 * 10);
/// # Ok::<(), pergrad_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Dims {
    /// Examples, `B`.
    pub batch: usize,
    /// Uses of the weights in each example, `T`.
    pub steps: usize,
    /// Outputs of the layer, `J`.
    pub outputs: usize,
    /// Inputs of the layer, `I`.
    pub inputs: usize,
}

impl Dims {
    /// A layer used once per example: `B`, `J`, `I`, and `T = 1`.
    pub const fn new(batch: usize, outputs: usize, inputs: usize) -> Self {
        Dims { batch, steps: 1, outputs, inputs }
    }

    /// The same with `T` steps.
    pub const fn with_steps(self, steps: usize) -> Self {
        Dims { steps, ..self }
    }

    /// Examples that a fold over the batch goes through. Those without steps add `+0` each, and one of
    /// them is as good as all: the length checks do not bound their number.
    pub(crate) const fn folded(&self) -> usize {
        if self.steps == 0 && self.batch > 1 { 1 } else { self.batch }
    }

    /// Outputs whose per-example gradients are not all `+0` for want of steps; see [`Self::folded`].
    pub(crate) const fn used_outputs(&self) -> usize {
        if self.steps == 0 { 0 } else { self.outputs }
    }

    /// Elements of `x`, `[B, T, I]`.
    ///
    /// # Errors
    /// [`Error::Overflow`] if the product does not fit.
    #[inline]
    pub const fn x_len(&self) -> Result<usize, Error> {
        product("x", [self.batch, self.steps, self.inputs])
    }

    /// Elements of `y` and of `dy`, `[B, T, J]`.
    ///
    /// # Errors
    /// [`Error::Overflow`] if the product does not fit.
    #[inline]
    pub const fn y_len(&self) -> Result<usize, Error> {
        product("dy", [self.batch, self.steps, self.outputs])
    }

    /// Elements of `weight`, `grad` and `grad_sq`, `[J, I]`.
    ///
    /// # Errors
    /// [`Error::Overflow`] if the product does not fit.
    #[inline]
    pub const fn weight_len(&self) -> Result<usize, Error> {
        product("weight", [self.outputs, self.inputs, 1])
    }

    /// Elements of `per_example_grad`, `[B, J, I]`.
    ///
    /// # Errors
    /// [`Error::Overflow`] if the product does not fit.
    #[inline]
    pub const fn per_example_grad_len(&self) -> Result<usize, Error> {
        product("per_example_grad", [self.batch, self.outputs, self.inputs])
    }
}

/// The product of three extents, refused if the *bytes* of such an array would pass `isize::MAX`
/// even in `f64`, so that no pointer arithmetic behind it can overflow. A zero extent does not
/// hide an overflow of the others.
#[inline]
const fn product(arg: &'static str, extents: [usize; 3]) -> Result<usize, Error> {
    // Of what has a third of the bits, no product is too large.
    let small = 1 << ((usize::BITS - 4) / 3);
    let [a, b, c] = extents;
    if (a | b | c) < small { Ok(a * b * c) } else { large_product(arg, extents) }
}

/// [`product`] of extents that are not all small.
#[inline(never)]
const fn large_product(arg: &'static str, extents: [usize; 3]) -> Result<usize, Error> {
    let most = isize::MAX as usize / 8;
    let (mut all, mut nonzero, mut i) = (1usize, 1usize, 0);
    while i < 3 {
        let n = extents[i];
        nonzero = match nonzero.checked_mul(if n == 0 { 1 } else { n }) {
            Some(p) if p <= most => p,
            _ => return Err(Error::Overflow { arg }),
        };
        all = if n == 0 { 0 } else { all * n };
        i += 1;
    }
    // `all` is either 0 or equal to `nonzero`: once 0 it stays 0.
    Ok(all)
}

/// Refuses a slice whose length is not `need`.
#[inline]
pub(crate) const fn check(arg: &'static str, got: usize, need: usize) -> Result<(), Error> {
    if got == need { Ok(()) } else { Err(Error::Length { arg, got, need }) }
}

/// What a linear layer saw of a batch: its inputs and the gradients of its outputs.
///
/// ```
/// use pergrad_core::{Batch, Dims};
/// let dims = Dims::new(2, 1, 3);
/// let x = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0];
/// let dy = [0.5f32, -0.5];
/// let batch = Batch::new(dims, &x, &dy).with_example_weights(&[1.0, 0.25]);
/// assert_eq!(batch.dims.batch, 2);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a, T> {
    /// The extents.
    pub dims: Dims,
    /// Layer input, `[B, T, I]`.
    pub x: &'a [T],
    /// Gradient of the layer's output **per example** (loss summed, not averaged), `[B, T, J]`.
    pub dy: &'a [T],
    /// A factor `c[b]` for each example's `dy`, `[B]`: clipping, importance weights, a mask.
    pub example_weights: Option<&'a [T]>,
}

impl<'a, T: Element> Batch<'a, T> {
    /// Inputs and output gradients, every example with weight one. Lengths are checked by the
    /// kernels.
    pub const fn new(dims: Dims, x: &'a [T], dy: &'a [T]) -> Self {
        Batch { dims, x, dy, example_weights: None }
    }

    /// The same with a weight per example, which multiplies `dy` first (rounded once).
    pub const fn with_example_weights(self, weights: &'a [T]) -> Self {
        Batch { example_weights: Some(weights), ..self }
    }

    /// Checks `x`, `dy` and the weights; returns the number of weights `J * I` of the layer.
    pub(crate) fn check(&self) -> Result<usize, Error> {
        check("x", self.x.len(), self.dims.x_len()?)?;
        self.check_dy()?;
        self.dims.weight_len()
    }

    /// Checks only what the bias sees: `dy` and the weights.
    pub(crate) fn check_dy(&self) -> Result<(), Error> {
        check("dy", self.dy.len(), self.dims.y_len()?)?;
        match self.example_weights {
            Some(c) => check("example_weights", c.len(), self.dims.batch),
            None => Ok(()),
        }
    }
}

/// Where a sum over the batch starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Start {
    /// From `+0`; the output is overwritten and never read.
    Fresh,
    /// From what the output holds: micro-batches, in order, give the bits of one batch.
    Resume,
}

/// How a sum over the batch starts, and the factor it is multiplied with at the end.
///
/// ```
/// use pergrad_core::{Fold, Start};
/// // One batch of 32, averaged:
/// assert_eq!(Fold::mean(32), Fold::fresh().scaled(1.0 / 32.0));
/// // The same batch in two halves: sum the first, resume with the second, scale at the end.
/// let (first, second) = (Fold::fresh(), Fold::resume().scaled(1.0 / 32.0));
/// assert_eq!(second.start, Start::Resume);
/// # let _ = first;
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fold {
    /// Where the sums start.
    pub start: Start,
    /// Multiplies the finished sums, once, after rounding to the element type; `None` leaves them.
    pub scale: Option<f64>,
}

impl Fold {
    /// A plain sum.
    pub const fn fresh() -> Self {
        Fold { start: Start::Fresh, scale: None }
    }

    /// A sum that goes on from what the output holds.
    pub const fn resume() -> Self {
        Fold { start: Start::Resume, scale: None }
    }

    /// The average over `batch` examples. (Of none it is NaN, as the mean of nothing.)
    pub const fn mean(batch: usize) -> Self {
        Fold { start: Start::Fresh, scale: Some(1.0 / batch as f64) }
    }

    /// The same with a factor at the end. A differentially private user divides by the expected
    /// batch; ranks that reduce their sums first scale afterwards.
    pub const fn scaled(self, scale: f64) -> Self {
        Fold { scale: Some(scale), ..self }
    }

    /// The factor in the element type.
    pub(crate) fn factor<T: Element>(&self) -> Option<T> {
        self.scale.map(T::from_f64)
    }
}
