//! Moments over micro-batches, and the variance of the per-example gradients.

use pergrad_core::{Batch, Element, Fold};

use crate::parallel::{self, TILE_ROWS, columns, outputs_of, split};
use crate::scratch::with_scratch;
use crate::{Error, LayerBatch, Params, Scale, Tensor, isa};

/// The gradient and the squares of the per-example gradients, summed over a batch and times the same
/// factor: from [`Linear::moments`](crate::Linear::moments).
#[derive(Debug, Clone, PartialEq)]
pub struct Moments<T> {
    /// `scale * sum_b G[b]`.
    pub grad: Params<T>,
    /// `scale * sum_b G[b]^2`.
    pub grad_sq: Params<T>,
}

impl<T: Element> Moments<T> {
    /// Zeros for a layer of `outputs` and `inputs`.
    ///
    /// # Errors
    /// As [`Tensor::zeros`].
    ///
    /// ```
    /// let zeros = pergrad::Moments::<f32>::zeros(3, 2, true)?;
    /// assert_eq!(zeros.grad.weight.shape(), [3, 2]);
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn zeros(outputs: usize, inputs: usize, bias: bool) -> Result<Self, Error> {
        let grad = Params::zeros(outputs, inputs, bias)?;
        Ok(Moments { grad_sq: grad.clone(), grad })
    }

    /// Folds a batch in. It and both tensors were checked against the same layer.
    pub(crate) fn fold(&mut self, batch: &Batch<'_, T>, fold: Fold) -> Result<(), Error> {
        let isa = isa()?;
        let (rows, work) = (batch.dims.outputs, parallel::work(batch));
        let out = [self.grad.weight.as_mut_slice(), self.grad_sq.weight.as_mut_slice()];
        split(rows, work, TILE_ROWS, out, |range, [grad, grad_sq]| {
            let dy = columns(batch, &range);
            let part = outputs_of(batch, &range, &dy);
            with_scratch(part.dims, |scratch| {
                pergrad_core::moments(isa, &part, fold, grad, grad_sq, scratch)
            })
        })?;
        if let (Some(grad), Some(grad_sq)) = (&mut self.grad.bias, &mut self.grad_sq.bias) {
            let (grad, grad_sq) = (grad.as_mut_slice(), grad_sq.as_mut_slice());
            pergrad_core::bias_moments(isa, batch, fold, grad, grad_sq)?;
        }
        Ok(())
    }
}

/// Moments of a batch that comes in pieces: the bits are those of the whole batch, however it is cut.
///
/// ```
/// use pergrad::{LayerBatch, Linear, MomentsSum, Scale, Tensor};
/// let layer = Linear::<f32>::init(1, 2, true, 0)?;
/// let (x, dy) = (Tensor::from_fn(&[3, 2], |k| k as f32)?, Tensor::filled(&[3, 1], 0.1)?);
/// let mut sum = MomentsSum::new(1, 2, true)?;
/// for piece in [&[0, 1][..], &[2]] {
///     let (x, dy) = (x.select_rows(piece)?, dy.select_rows(piece)?);
///     sum.add(LayerBatch::new(&x, &dy))?;
/// }
/// assert_eq!(sum.examples(), 3);
/// assert_eq!(sum.finish(Scale::Mean), layer.moments(LayerBatch::new(&x, &dy))?);
/// # Ok::<(), pergrad::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct MomentsSum<T> {
    sums: Moments<T>,
    examples: usize,
}

impl<T: Element> MomentsSum<T> {
    /// Of nothing yet, for a layer of `outputs` and `inputs`.
    ///
    /// # Errors
    /// As [`Tensor::zeros`].
    pub fn new(outputs: usize, inputs: usize, bias: bool) -> Result<Self, Error> {
        Ok(MomentsSum { sums: Moments::zeros(outputs, inputs, bias)?, examples: 0 })
    }

    /// Adds the examples of a micro-batch, after those that came before. The batch's own scale is not
    /// looked at: [`finish`](Self::finish) has one for all.
    ///
    /// # Errors
    /// As [`Linear::grad`](crate::Linear::grad); the sums are then as they were.
    pub fn add(&mut self, batch: LayerBatch<'_, T>) -> Result<(), Error> {
        let [outputs, inputs] = *self.sums.grad.weight.shape() else {
            unreachable!("made with two extents")
        };
        let batch = batch.check(outputs, inputs)?.batch;
        self.sums.fold(&batch, Fold::resume())?;
        self.examples += batch.dims.batch;
        Ok(())
    }

    /// Examples added so far.
    pub fn examples(&self) -> usize {
        self.examples
    }

    /// The moments: the sums times the factor of `scale` for all examples added.
    pub fn finish(mut self, scale: Scale) -> Moments<T> {
        if let Some(factor) = scale.factor(self.examples).map(T::from_f64) {
            for params in [&mut self.sums.grad, &mut self.sums.grad_sq] {
                for tensor in [Some(&mut params.weight), params.bias.as_mut()].into_iter().flatten()
                {
                    tensor.as_mut_slice().iter_mut().for_each(|v| *v = *v * factor);
                }
            }
        }
        self.sums
    }
}

/// The variance of the per-example gradients within the batch, element by element, from their means:
/// `max(grad_sq - grad^2, 0)`, where `grad = 1/B sum_b G` and `grad_sq = 1/B sum_b G^2`
/// ([`Scale::Mean`]).
///
/// Both operations round, so where the examples agree nearly all digits cancel, and what remains is
/// noise of about `grad^2` times the precision of the type; a negative remainder is set to 0. A batch of
/// one gives exactly 0. Example weights enter as part of the gradients.
///
/// # Errors
/// [`Error::Shape`] if the two differ; as [`Tensor::zeros`].
///
/// ```
/// use pergrad::{Tensor, population_variance};
/// // Of the gradients 1 and 5: mean 3, mean square 13.
/// let (grad, grad_sq) = (Tensor::filled(&[1], 3.0f32)?, Tensor::filled(&[1], 13.0)?);
/// assert_eq!(population_variance(&grad, &grad_sq)?.as_slice(), [4.0]);
/// # Ok::<(), pergrad::Error>(())
/// ```
pub fn population_variance<T: Element>(
    grad: &Tensor<T>,
    grad_sq: &Tensor<T>,
) -> Result<Tensor<T>, Error> {
    grad_sq.check_shape("grad_sq", grad.shape())?;
    let (g, sq) = (grad.as_slice(), grad_sq.as_slice());
    // `max_or` keeps a NaN.
    Tensor::from_fn(grad.shape(), |k| T::ZERO.max_or(sq[k] - g[k] * g[k]))
}

/// The variance of the gradient of one example, as estimated without bias from a batch of `batch`:
/// [`population_variance`] times `B / (B - 1)`. The variance of the batch's mean is this divided by
/// `B`.
///
/// # Errors
/// As [`population_variance`]; [`Error::Core`] unless `batch >= 2`.
///
/// ```
/// use pergrad::{Tensor, sample_variance};
/// // Of the gradients 1 and 5.
/// let (grad, grad_sq) = (Tensor::filled(&[1], 3.0f32)?, Tensor::filled(&[1], 13.0)?);
/// assert_eq!(sample_variance(&grad, &grad_sq, 2)?.as_slice(), [8.0]);
/// assert!(sample_variance(&grad, &grad_sq, 1).is_err());
/// # Ok::<(), pergrad::Error>(())
/// ```
pub fn sample_variance<T: Element>(
    grad: &Tensor<T>,
    grad_sq: &Tensor<T>,
    batch: usize,
) -> Result<Tensor<T>, Error> {
    if batch < 2 {
        let (arg, got, need) = ("batch", batch as f64, "at least 2");
        return Err(pergrad_core::Error::Hyper { arg, got, need }.into());
    }
    let factor = T::from_f64(batch as f64 / (batch - 1) as f64);
    let mut variance = population_variance(grad, grad_sq)?;
    variance.as_mut_slice().iter_mut().for_each(|v| *v = *v * factor);
    Ok(variance)
}
