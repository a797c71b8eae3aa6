//! What a layer saw of a batch, and tensors that come one to a parameter.

use pergrad_core::{Dims, Element};

use crate::{Error, Tensor};

/// The inputs of a layer and the gradients of its outputs, over a batch.
///
/// `x` is `[B, I]`, or `[B, T, I]` where each example uses the weights in `T` steps; `dy` is the same
/// with `J` outputs last. `dy` is **per example**: the gradient of each example's own loss (that of the
/// loss summed, not averaged, over the batch).
///
/// ```
/// use pergrad::{LayerBatch, Linear, Scale, Tensor};
/// let layer = Linear::<f32>::init(1, 2, true, 0)?;
/// let x = Tensor::from_slice(&[2, 2], &[1.0, 2.0, 3.0, 4.0])?;
/// let dy = Tensor::from_slice(&[2, 1], &[1.0, -1.0])?;
/// let batch = LayerBatch::new(&x, &dy);
/// assert_eq!(layer.grad(batch)?.weight.as_slice(), [-1.0, -1.0]);
/// let sum = LayerBatch { scale: Scale::Sum, ..batch };
/// assert_eq!(layer.grad(sum)?.weight.as_slice(), [-2.0, -2.0]);
/// let masked = LayerBatch { example_weights: Some(&[1.0, 0.0]), ..sum };
/// assert_eq!(layer.grad(masked)?.weight.as_slice(), [1.0, 2.0]);
/// # Ok::<(), pergrad::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct LayerBatch<'a, T> {
    /// Layer input, `[B, I]` or `[B, T, I]`.
    pub x: &'a Tensor<T>,
    /// Gradient of the layer's output per example, `[B, J]` or `[B, T, J]`.
    pub dy: &'a Tensor<T>,
    /// A factor for each example's `dy`, `B` of them: clipping, importance, a mask. It is part of the
    /// example's gradient: squares see its square.
    pub example_weights: Option<&'a [T]>,
    /// What sums over the batch are multiplied with.
    pub scale: Scale,
}

/// The factor of a sum over the batch, applied once, at the end. Gradients and squared gradients take
/// the same one.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Scale {
    /// `1/B`: the mean over the batch.
    #[default]
    Mean,
    /// None: the sum.
    Sum,
    /// A factor of the caller's. A differentially private user divides by the expected batch.
    By(f64),
}

impl Scale {
    /// The factor for `batch` examples; none for the sum.
    ///
    /// ```
    /// use pergrad::Scale;
    /// let factors = [Scale::Mean, Scale::Sum, Scale::By(0.1)].map(|s| s.factor(4));
    /// assert_eq!(factors, [Some(0.25), None, Some(0.1)]);
    /// ```
    pub fn factor(self, batch: usize) -> Option<f64> {
        match self {
            Scale::Mean => Some(1.0 / batch as f64),
            Scale::Sum => None,
            Scale::By(factor) => Some(factor),
        }
    }
}

impl<'a, T: Element> LayerBatch<'a, T> {
    /// Every example with weight one, averaged. Shapes are checked by whoever takes the batch.
    pub fn new(x: &'a Tensor<T>, dy: &'a Tensor<T>) -> Self {
        LayerBatch { x, dy, example_weights: None, scale: Scale::Mean }
    }

    /// Checks everything against a layer's extents.
    pub(crate) fn check(&self, outputs: usize, inputs: usize) -> Result<Checked<'a, T>, Error> {
        let dims = dims_of(self.x, "x", outputs, inputs, inputs)?;
        self.dy.check_shape("dy", &with_last(self.x.shape(), outputs))?;
        if let Some(c) = self.example_weights
            && c.len() != dims.batch
        {
            let (arg, got, need) = ("example_weights", c.len(), dims.batch);
            return Err(pergrad_core::Error::Length { arg, got, need }.into());
        }
        let (x, dy) = (self.x.as_slice(), self.dy.as_slice());
        let batch = pergrad_core::Batch { dims, x, dy, example_weights: self.example_weights };
        Ok(Checked { batch, factor: self.scale.factor(dims.batch) })
    }
}

/// A batch that fits its layer.
#[derive(Clone, Copy)]
pub(crate) struct Checked<'a, T> {
    pub(crate) batch: pergrad_core::Batch<'a, T>,
    /// The factor of sums over the batch.
    pub(crate) factor: Option<f64>,
}

/// The extents from the shape `[B, last]` or `[B, T, last]` of `arg`.
pub(crate) fn dims_of<T>(
    tensor: &Tensor<T>,
    arg: &'static str,
    outputs: usize,
    inputs: usize,
    last: usize,
) -> Result<Dims, Error> {
    match *tensor.shape() {
        [batch, n] if n == last => Ok(Dims::new(batch, outputs, inputs)),
        [batch, steps, n] if n == last => Ok(Dims::new(batch, outputs, inputs).with_steps(steps)),
        _ => {
            let (got, need) = (tensor.shape().to_vec(), format!("[B, {last}] or [B, T, {last}]"));
            Err(Error::Shape { arg, got, need })
        }
    }
}

/// A shape with another last extent.
pub(crate) fn with_last(shape: &[usize], last: usize) -> Vec<usize> {
    let mut shape = shape.to_vec();
    if let Some(n) = shape.last_mut() {
        *n = last;
    }
    shape
}

/// One tensor for each parameter of a layer: its gradients, their squares, an optimizer's second
/// moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Params<T> {
    /// That of the weight: `[J, I]`, or `[B, J, I]` per example.
    pub weight: Tensor<T>,
    /// That of the bias, if there is one: `[J]`, or `[B, J]` per example.
    pub bias: Option<Tensor<T>>,
}

impl<T: Element> Params<T> {
    /// Zeros for a layer of `outputs` and `inputs`.
    ///
    /// # Errors
    /// As [`Tensor::zeros`].
    ///
    /// ```
    /// let zeros = pergrad::Params::<f32>::zeros(3, 2, false)?;
    /// assert_eq!(zeros.weight.shape(), [3, 2]);
    /// assert!(zeros.bias.is_none());
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn zeros(outputs: usize, inputs: usize, bias: bool) -> Result<Self, Error> {
        let weight = Tensor::zeros(&[outputs, inputs])?;
        let bias = if bias { Some(Tensor::zeros(&[outputs])?) } else { None };
        Ok(Params { weight, bias })
    }

    /// Refuses anything but `weight_shape` and, if `bias`, `bias_shape`.
    pub(crate) fn check(
        &self,
        names: [&'static str; 2],
        weight_shape: &[usize],
        bias_shape: Option<&[usize]>,
    ) -> Result<(), Error> {
        self.weight.check_shape(names[0], weight_shape)?;
        match (&self.bias, bias_shape) {
            (Some(bias), Some(shape)) => bias.check_shape(names[1], shape),
            (None, None) => Ok(()),
            (None, Some(_)) => {
                Err(Error::Presence { arg: names[1], what: "missing, the layer has a bias" })
            }
            (Some(_), None) => {
                Err(Error::Presence { arg: names[1], what: "given, but the layer has no bias" })
            }
        }
    }
}
