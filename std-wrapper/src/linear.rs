//! A linear layer: forward, backward, and the statistics of its gradients.

use pergrad_core::{Element, Fold, Start};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::batch::{Checked, dims_of, with_last};
use crate::parallel::{self, FORWARD_ROWS, TILE_ROWS, columns, examples_of, outputs_of, split};
use crate::scratch::with_scratch;
use crate::{Error, LayerBatch, Moments, Params, Tensor, isa};

/// `y = W x + b`, with `W` as `[J, I]` (`nn.Linear.weight`) and `b` as `[J]`.
///
/// Inputs are `[B, I]`, or `[B, T, I]` where each example uses the weights in `T` steps (a sequence, an
/// unfolded convolution). Functions that end in `_into` overwrite tensors of the caller's, which a loop
/// can so reuse; the others allocate.
///
/// ```
/// use pergrad::{LayerBatch, Linear, Tensor};
/// let weight = Tensor::from_slice(&[1, 2], &[3.0f32, 4.0])?;
/// let bias = Tensor::from_slice(&[1], &[0.5])?;
/// let layer = Linear::new(weight, Some(bias))?;
/// let x = Tensor::from_slice(&[2, 2], &[1.0, 2.0, 3.0, 4.0])?; // two examples
/// assert_eq!(layer.forward(&x)?.as_slice(), [11.5, 25.5]);
///
/// let dy = Tensor::from_slice(&[2, 1], &[1.0, -1.0])?; // per example
/// assert_eq!(layer.input_grad(&dy)?.as_slice(), [3.0, 4.0, -3.0, -4.0]);
/// let moments = layer.moments(LayerBatch::new(&x, &dy))?;
/// assert_eq!(moments.grad.weight.as_slice(), [-1.0, -1.0]); //     the examples disagree:
/// assert_eq!(moments.grad_sq.weight.as_slice(), [5.0, 10.0]); //   the mean has forgotten how much
/// # Ok::<(), pergrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Linear<T> {
    pub(crate) params: Params<T>,
}

impl<T: Element> Linear<T> {
    /// A layer of these parameters: `weight` `[J, I]`, `bias` `[J]`.
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub fn new(weight: Tensor<T>, bias: Option<Tensor<T>>) -> Result<Self, Error> {
        let [outputs, _] = *weight.shape() else {
            let (got, need) = (weight.shape().to_vec(), "[J, I]".into());
            return Err(Error::Shape { arg: "weight", got, need });
        };
        if let Some(bias) = &bias {
            bias.check_shape("bias", &[outputs])?;
        }
        Ok(Linear { params: Params { weight, bias } })
    }

    /// Weight and bias uniform between `-1/sqrt(I)` and `1/sqrt(I)`, PyTorch's default for
    /// `nn.Linear`. (Zeros for a layer without inputs.)
    ///
    /// The numbers are ChaCha8's for this seed, the weight's first, so a seed gives the same bits on
    /// every platform; those of `f32` are those of `f64`, rounded. Give each layer a seed of its own.
    ///
    /// # Errors
    /// As [`Tensor::zeros`].
    ///
    /// ```
    /// use pergrad::Linear;
    /// let layer = Linear::<f32>::init(10, 64, true, 1)?;
    /// assert!(layer.weight().as_slice().iter().all(|w| w.abs() <= 0.125));
    /// assert_eq!(layer, Linear::init(10, 64, true, 1)?);
    /// assert_ne!(layer, Linear::init(10, 64, true, 2)?);
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn init(outputs: usize, inputs: usize, bias: bool, seed: u64) -> Result<Self, Error> {
        // The seed is laid out by hand: how a library stretches one is its own affair.
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(bytes);
        let bound = if inputs == 0 { 0.0 } else { 1.0 / (inputs as f64).sqrt() };
        let mut uniform = |_| {
            let unit = (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64; // [0, 1)
            T::from_f64(bound * (2.0 * unit - 1.0))
        };
        let weight = Tensor::from_fn(&[outputs, inputs], &mut uniform)?;
        let bias = if bias { Some(Tensor::from_fn(&[outputs], &mut uniform)?) } else { None };
        Ok(Linear { params: Params { weight, bias } })
    }

    /// `J`.
    pub fn outputs(&self) -> usize {
        self.params.weight.shape()[0]
    }

    /// `I`.
    pub fn inputs(&self) -> usize {
        self.params.weight.shape()[1]
    }

    /// The weight, `[J, I]`.
    pub fn weight(&self) -> &Tensor<T> {
        &self.params.weight
    }

    /// The elements of the weight.
    pub fn weight_mut(&mut self) -> &mut [T] {
        self.params.weight.as_mut_slice()
    }

    /// The bias, `[J]`, if there is one.
    pub fn bias(&self) -> Option<&Tensor<T>> {
        self.params.bias.as_ref()
    }

    /// The elements of the bias, if there is one.
    pub fn bias_mut(&mut self) -> Option<&mut [T]> {
        self.params.bias.as_mut().map(Tensor::as_mut_slice)
    }

    /// The parameters, out of the layer.
    ///
    /// ```
    /// let params = pergrad::Linear::<f32>::init(3, 2, false, 1)?.into_params();
    /// assert_eq!((params.weight.shape(), params.bias), (&[3, 2][..], None));
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn into_params(self) -> Params<T> {
        self.params
    }

    /// `y[b,t,j] = sum_i W[j,i] x[b,t,i] + bias[j]`, shaped as `x` with `J` last.
    ///
    /// # Errors
    /// [`Error::Shape`]; as [`Tensor::zeros`]; as [`isa`].
    pub fn forward(&self, x: &Tensor<T>) -> Result<Tensor<T>, Error> {
        dims_of(x, "x", self.outputs(), self.inputs(), self.inputs())?;
        let mut y = Tensor::zeros(&with_last(x.shape(), self.outputs()))?;
        self.forward_into(x, &mut y)?;
        Ok(y)
    }

    /// [`forward`](Self::forward) into `y`, overwritten.
    ///
    /// # Errors
    /// [`Error::Shape`]; as [`isa`].
    ///
    /// ```
    /// use pergrad::{Linear, Tensor};
    /// let layer = Linear::<f32>::init(10, 64, true, 0)?;
    /// let (x, mut y) = (Tensor::filled(&[5, 64], 1.0)?, Tensor::zeros(&[5, 10])?);
    /// layer.forward_into(&x, &mut y)?;
    /// assert_eq!(y, layer.forward(&x)?);
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn forward_into(&self, x: &Tensor<T>, y: &mut Tensor<T>) -> Result<(), Error> {
        let dims = dims_of(x, "x", self.outputs(), self.inputs(), self.inputs())?;
        y.check_shape("y", &with_last(x.shape(), self.outputs()))?;
        let isa = isa()?;
        let (weight, bias) = (self.params.weight.as_slice(), self.params.bias.as_ref());
        let rows = dims.batch.saturating_mul(dims.steps);
        let work = y.len().saturating_mul(dims.inputs);
        let x = x.as_slice();
        split(rows, work, FORWARD_ROWS, [y.as_mut_slice()], |range, [y]| {
            let part = pergrad_core::Dims::new(range.len(), dims.outputs, dims.inputs);
            let x = &x[range.start * dims.inputs..range.end * dims.inputs];
            pergrad_core::forward(isa, part, x, weight, bias.map(Tensor::as_slice), Start::Fresh, y)
        })
    }

    /// The gradient of the input, per example: `dx[b,t,i] = sum_j W[j,i] dy[b,t,j]`, shaped as `dy`
    /// with `I` last.
    ///
    /// # Errors
    /// [`Error::Shape`]; as [`Tensor::zeros`]; as [`isa`].
    pub fn input_grad(&self, dy: &Tensor<T>) -> Result<Tensor<T>, Error> {
        dims_of(dy, "dy", self.outputs(), self.inputs(), self.outputs())?;
        let mut dx = Tensor::zeros(&with_last(dy.shape(), self.inputs()))?;
        self.input_grad_into(dy, &mut dx)?;
        Ok(dx)
    }

    /// [`input_grad`](Self::input_grad) into `dx`, overwritten.
    ///
    /// # Errors
    /// [`Error::Shape`]; as [`isa`].
    ///
    /// ```
    /// use pergrad::{Linear, Tensor};
    /// let layer = Linear::<f32>::init(10, 64, true, 0)?;
    /// let (dy, mut dx) = (Tensor::filled(&[5, 10], 1.0)?, Tensor::zeros(&[5, 64])?);
    /// layer.input_grad_into(&dy, &mut dx)?;
    /// assert_eq!(dx, layer.input_grad(&dy)?);
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn input_grad_into(&self, dy: &Tensor<T>, dx: &mut Tensor<T>) -> Result<(), Error> {
        let dims = dims_of(dy, "dy", self.outputs(), self.inputs(), self.outputs())?;
        dx.check_shape("dx", &with_last(dy.shape(), self.inputs()))?;
        let isa = isa()?;
        let rows = dims.batch.saturating_mul(dims.steps);
        let work = dy.len().saturating_mul(dims.inputs);
        let (weight, dy) = (self.params.weight.as_slice(), dy.as_slice());
        split(rows, work, TILE_ROWS, [dx.as_mut_slice()], |range, [dx]| {
            let part = pergrad_core::Dims::new(range.len(), dims.outputs, dims.inputs);
            let dy = &dy[range.start * dims.outputs..range.end * dims.outputs];
            pergrad_core::input_grad(isa, part, dy, weight, Start::Fresh, dx)
        })
    }

    /// The gradient alone, times the batch's [`Scale`](crate::Scale): the ordinary matrix product
    /// `sum_{b,t} dy[b,t,j] x[b,t,i]`, and for the bias `sum_{b,t} dy[b,t,j]`.
    ///
    /// It rounds once a term where [`moments`](Self::moments) rounds the product and the sum, so its
    /// last bits differ from that `grad`.
    ///
    /// # Errors
    /// [`Error::Shape`]; [`Error::Core`] for example weights of the wrong number; as
    /// [`Tensor::zeros`]; as [`isa`].
    pub fn grad(&self, batch: LayerBatch<'_, T>) -> Result<Params<T>, Error> {
        batch.check(self.outputs(), self.inputs())?;
        let mut grad = self.zeros_like()?;
        self.grad_into(batch, &mut grad)?;
        Ok(grad)
    }

    /// [`grad`](Self::grad) into `grad`, overwritten.
    ///
    /// # Errors
    /// As [`grad`](Self::grad); [`Error::Presence`] if only one of layer and `grad` has a bias.
    ///
    /// ```
    /// use pergrad::{LayerBatch, Linear, Params, Tensor};
    /// let layer = Linear::<f64>::init(3, 2, true, 0)?;
    /// let (x, dy) = (Tensor::filled(&[5, 2], 1.0)?, Tensor::filled(&[5, 3], 2.0)?);
    /// let mut grad = Params::zeros(3, 2, true)?;
    /// layer.grad_into(LayerBatch::new(&x, &dy), &mut grad)?;
    /// assert_eq!(grad.weight.as_slice(), [2.0; 6]);
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn grad_into(&self, batch: LayerBatch<'_, T>, grad: &mut Params<T>) -> Result<(), Error> {
        let Checked { batch, factor } = batch.check(self.outputs(), self.inputs())?;
        self.check_like(["grad.weight", "grad.bias"], grad)?;
        let isa = isa()?;
        let fold = Fold { start: Start::Fresh, scale: factor };
        let out = [grad.weight.as_mut_slice()];
        split(self.outputs(), parallel::work(&batch), TILE_ROWS, out, |range, [grad]| {
            let dy = columns(&batch, &range);
            let part = outputs_of(&batch, &range, &dy);
            with_scratch(part.dims, |scratch| pergrad_core::grad(isa, &part, fold, grad, scratch))
        })?;
        match &mut grad.bias {
            Some(grad) => Ok(pergrad_core::bias_grad(isa, &batch, fold, grad.as_mut_slice())?),
            None => Ok(()),
        }
    }

    /// The gradient and the sum of the squared per-example gradients, each times the batch's
    /// [`Scale`](crate::Scale), in one sweep: `sum_b G[b]` and `sum_b G[b]^2` with `G` as in
    /// [`per_example_grad`](Self::per_example_grad), which is never stored.
    ///
    /// # Errors
    /// As [`grad`](Self::grad).
    pub fn moments(&self, batch: LayerBatch<'_, T>) -> Result<Moments<T>, Error> {
        batch.check(self.outputs(), self.inputs())?;
        let mut moments = Moments { grad: self.zeros_like()?, grad_sq: self.zeros_like()? };
        self.moments_into(batch, &mut moments)?;
        Ok(moments)
    }

    /// [`moments`](Self::moments) into `moments`, overwritten.
    ///
    /// # Errors
    /// As [`grad_into`](Self::grad_into).
    ///
    /// ```
    /// use pergrad::{LayerBatch, Linear, Moments, Tensor};
    /// let layer = Linear::<f64>::init(3, 2, true, 0)?;
    /// let (x, dy) = (Tensor::filled(&[5, 2], 1.0)?, Tensor::filled(&[5, 3], 2.0)?);
    /// let mut moments = Moments::zeros(3, 2, true)?;
    /// layer.moments_into(LayerBatch::new(&x, &dy), &mut moments)?;
    /// assert_eq!(moments.grad_sq.weight.as_slice(), [4.0; 6]);
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn moments_into(
        &self,
        batch: LayerBatch<'_, T>,
        moments: &mut Moments<T>,
    ) -> Result<(), Error> {
        let checked = batch.check(self.outputs(), self.inputs())?;
        self.check_like(["grad.weight", "grad.bias"], &moments.grad)?;
        self.check_like(["grad_sq.weight", "grad_sq.bias"], &moments.grad_sq)?;
        moments.fold(&checked.batch, Fold { start: Start::Fresh, scale: checked.factor })
    }

    /// The gradient of each example alone: `G[b,j,i] = sum_t dy[b,t,j] x[b,t,i]` as `[B, J, I]`, and
    /// `sum_t dy[b,t,j]` as `[B, J]` for the bias. Example weights multiply; the batch's scale does
    /// not.
    ///
    /// # Errors
    /// As [`grad`](Self::grad).
    ///
    /// ```
    /// use pergrad::{LayerBatch, Linear, Tensor};
    /// let layer = Linear::<f32>::init(1, 2, true, 0)?;
    /// let x = Tensor::from_slice(&[2, 2], &[1.0, 2.0, 3.0, 4.0])?;
    /// let dy = Tensor::from_slice(&[2, 1], &[1.0, -1.0])?;
    /// let g = layer.per_example_grad(LayerBatch::new(&x, &dy))?;
    /// assert_eq!(g.weight, Tensor::from_slice(&[2, 1, 2], &[1.0, 2.0, -3.0, -4.0])?);
    /// assert_eq!(g.bias, Some(Tensor::from_slice(&[2, 1], &[1.0, -1.0])?));
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn per_example_grad(&self, batch: LayerBatch<'_, T>) -> Result<Params<T>, Error> {
        let (outputs, inputs) = (self.outputs(), self.inputs());
        let examples = batch.check(outputs, inputs)?.batch.dims.batch;
        let bias = match self.params.bias {
            Some(_) => Some(Tensor::zeros(&[examples, outputs])?),
            None => None,
        };
        let mut out = Params { weight: Tensor::zeros(&[examples, outputs, inputs])?, bias };
        self.per_example_grad_into(batch, &mut out)?;
        Ok(out)
    }

    /// [`per_example_grad`](Self::per_example_grad) into `out`, overwritten: fresh memory costs a page
    /// fault every few kilobytes, more than the gradients.
    ///
    /// # Errors
    /// As [`grad_into`](Self::grad_into).
    ///
    /// ```
    /// use pergrad::{LayerBatch, Linear, Tensor};
    /// let layer = Linear::<f32>::init(1, 2, true, 0)?;
    /// let (x, dy) = (Tensor::filled(&[4, 2], 3.0)?, Tensor::filled(&[4, 1], 2.0)?);
    /// let mut g = layer.per_example_grad(LayerBatch::new(&x, &dy))?;
    /// layer.per_example_grad_into(LayerBatch::new(&x, &dy), &mut g)?; // the next batch
    /// assert_eq!(g.weight.as_slice(), [6.0; 8]);
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn per_example_grad_into(
        &self,
        batch: LayerBatch<'_, T>,
        out: &mut Params<T>,
    ) -> Result<(), Error> {
        let (outputs, inputs) = (self.outputs(), self.inputs());
        let Checked { batch, .. } = batch.check(outputs, inputs)?;
        let examples = batch.dims.batch;
        let names = ["per_example_grad.weight", "per_example_grad.bias"];
        let bias_shape = [examples, outputs];
        let bias_shape = self.params.bias.is_some().then_some(&bias_shape[..]);
        out.check(names, &[examples, outputs, inputs], bias_shape)?;
        let isa = isa()?;
        let work = out.weight.len().max(parallel::work(&batch));
        split(examples, work, 1, [out.weight.as_mut_slice()], |range, [out]| {
            pergrad_core::per_example_grad(isa, &examples_of(&batch, &range), out)
        })?;
        // An empty one may have any number of examples.
        let Some(out) = out.bias.as_mut().filter(|out| !out.is_empty()) else {
            return Ok(());
        };
        // The gradient of a bias is that of a weight whose input is always 1.
        let ones = vec![T::ONE; examples * batch.dims.steps];
        let mut bias = pergrad_core::Batch { x: &ones, ..batch };
        bias.dims.inputs = 1;
        Ok(pergrad_core::per_example_grad(isa, &bias, out.as_mut_slice())?)
    }

    /// The squared norm of each example's gradient, weight and bias together, as `[B]`: the first step
    /// of clipping. Nothing is materialised. Example weights multiply; the batch's scale does not.
    ///
    /// # Errors
    /// As [`grad`](Self::grad).
    ///
    /// ```
    /// use pergrad::{LayerBatch, Linear, Tensor};
    /// let layer = Linear::<f32>::init(1, 2, true, 0)?;
    /// let x = Tensor::from_slice(&[2, 2], &[1.0, 2.0, 3.0, 4.0])?;
    /// let dy = Tensor::from_slice(&[2, 1], &[1.0, -2.0])?;
    /// let norms = layer.sq_norms(LayerBatch::new(&x, &dy))?;
    /// assert_eq!(norms.as_slice(), [5.0 + 1.0, 100.0 + 4.0]);
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn sq_norms(&self, batch: LayerBatch<'_, T>) -> Result<Tensor<T>, Error> {
        let Checked { batch, .. } = batch.check(self.outputs(), self.inputs())?;
        let isa = isa()?;
        let examples = batch.dims.batch;
        let mut norms = Tensor::zeros(&[examples])?;
        let work = match batch.dims.steps {
            1 => batch.x.len().saturating_add(batch.dy.len()),
            _ => parallel::work(&batch),
        };
        split(examples, work, 1, [norms.as_mut_slice()], |range, [norms]| {
            let part = examples_of(&batch, &range);
            pergrad_core::sq_norms(isa, &part, Start::Fresh, norms)?;
            match self.params.bias {
                Some(_) => pergrad_core::bias_sq_norms(isa, &part, Start::Resume, norms),
                None => Ok(()),
            }
        })?;
        Ok(norms)
    }

    /// Zeros like the parameters.
    pub(crate) fn zeros_like(&self) -> Result<Params<T>, Error> {
        Params::zeros(self.outputs(), self.inputs(), self.params.bias.is_some())
    }

    /// Refuses tensors that are not like the parameters.
    pub(crate) fn check_like(
        &self,
        names: [&'static str; 2],
        tensors: &Params<T>,
    ) -> Result<(), Error> {
        let bias = self.params.bias.as_ref().map(Tensor::shape);
        tensors.check(names, self.params.weight.shape(), bias)
    }
}
