//! The optimizers of a layer's weight and bias, as one.

use pergrad_core::{Element, NonFinite, Part, SecondMoment};

use super::{Adaptive, Optimizer, Rule};
use crate::{Error, LayerBatch, Linear, Params, Tensor};

/// An optimizer of a whole [`Linear`]: its weight and its bias step together, or not at all.
///
/// [`step_layer`](Self::step_layer) steps straight from a batch: each tile's gradient is made, used and
/// forgotten in registers. Its bits are those of [`Linear::moments`] followed by
/// [`step_with`](Self::step_with) (or, on [`SecondMoment::SquaredGrad`] and for momentum, of
/// [`Linear::grad`] followed by [`step`](Self::step)).
///
/// ```
/// use pergrad::{AdamConfig, LayerBatch, LayerOptimizer, Linear, SecondMoment, Tensor};
/// let x = Tensor::from_fn(&[8, 3], |k| (k % 5) as f32)?;
/// let dy = Tensor::from_fn(&[8, 2], |k| (k % 3) as f32 - 1.0)?;
/// let batch = LayerBatch::new(&x, &dy);
/// let mut fused = Linear::init(2, 3, true, 0)?;
/// let mut unfused = fused.clone();
/// let mut adam = LayerOptimizer::new(AdamConfig::torch(0.01)?, &fused)?;
/// let mut adam2 = adam.clone();
///
/// adam.step_layer(&mut fused, batch)?;
/// let moments = unfused.moments(batch)?;
/// adam2.step_with(&mut unfused, &moments.grad, &moments.grad_sq)?;
/// assert_eq!(fused, unfused); // to the bit
///
/// adam.set_second(SecondMoment::SquaredGrad); // what other libraries do
/// adam.step_layer(&mut fused, batch)?;
/// # Ok::<(), pergrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LayerOptimizer<T, R> {
    weight: Optimizer<T, R>,
    bias: Option<Optimizer<T, R>>,
    second: SecondMoment,
}

impl<T: Element, R: Rule> LayerOptimizer<T, R> {
    /// For layers of the shape of `layer`, before the first step; weight and bias with the same
    /// configuration.
    ///
    /// The fused step takes the second moment from `grad_sq`, and results that are not finite
    /// propagate; [`set_second`](Self::set_second) and [`set_non_finite`](Self::set_non_finite) change
    /// that.
    ///
    /// # Errors
    /// As [`Optimizer::new`].
    pub fn new(config: R, layer: &Linear<T>) -> Result<Self, Error> {
        let weight = Optimizer::new(config, layer.weight().shape())?;
        let bias = match layer.bias() {
            Some(bias) => Some(Optimizer::new(config, bias.shape())?),
            None => None,
        };
        Ok(LayerOptimizer { weight, bias, second: SecondMoment::GradSq })
    }

    /// Of these optimizers of one weight and one bias.
    #[cfg(feature = "checkpoint")]
    pub(crate) fn of_parts(
        weight: Optimizer<T, R>,
        bias: Option<Optimizer<T, R>>,
        second: SecondMoment,
    ) -> Self {
        LayerOptimizer { weight, bias, second }
    }

    /// Where [`step_layer`](Self::step_layer) takes the second moment from. (Momentum has none.)
    pub fn set_second(&mut self, second: SecondMoment) {
        self.second = second;
    }

    /// Where [`step_layer`](Self::step_layer) takes the second moment from.
    pub fn second(&self) -> SecondMoment {
        self.second
    }

    /// What steps do about results that are not finite: see [`Optimizer::set_non_finite`].
    pub fn set_non_finite(&mut self, non_finite: NonFinite) {
        self.weight.set_non_finite(non_finite);
        if let Some(bias) = &mut self.bias {
            bias.set_non_finite(non_finite);
        }
    }

    /// The configuration.
    pub fn config(&self) -> &R {
        self.weight.config()
    }

    /// Goes on with another configuration: see [`Optimizer::set_config`].
    ///
    /// # Errors
    /// As [`Optimizer::set_config`].
    ///
    /// ```
    /// use pergrad::{LayerOptimizer, Linear, MomentumConfig, Window};
    /// let layer = Linear::<f32>::init(2, 3, true, 0)?;
    /// let per_example = MomentumConfig::new(1e-3, Window::new(2048.0)?);
    /// let mut momentum = LayerOptimizer::new(per_example.at_batch_size(32), &layer)?;
    /// momentum.set_config(per_example.at_batch_size(16))?; // a short batch at the end
    /// assert_eq!(momentum.config().lr, 0.016);
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn set_config(&mut self, config: R) -> Result<(), Error> {
        self.weight.check_config(&config)?;
        if let Some(bias) = &mut self.bias {
            bias.set_config(config)?;
        }
        self.weight.set_config(config)
    }

    /// The optimizer of the weight.
    pub fn weight(&self) -> &Optimizer<T, R> {
        &self.weight
    }

    /// The optimizer of the weight, to restore its state.
    pub fn weight_mut(&mut self) -> &mut Optimizer<T, R> {
        &mut self.weight
    }

    /// The optimizer of the bias, if there is one.
    pub fn bias(&self) -> Option<&Optimizer<T, R>> {
        self.bias.as_ref()
    }

    /// The optimizer of the bias, to restore its state.
    pub fn bias_mut(&mut self) -> Option<&mut Optimizer<T, R>> {
        self.bias.as_mut()
    }

    /// One step along the averaged gradients, the second moment their squares.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Presence`] if only one has a bias, and as [`Optimizer::step`]; then
    /// neither weight nor bias nor anything here has changed.
    ///
    /// ```
    /// use pergrad::{LayerBatch, LayerOptimizer, Linear, MomentumConfig, Tensor};
    /// let mut layer = Linear::<f32>::init(2, 3, false, 0)?;
    /// let mut sgd = LayerOptimizer::new(MomentumConfig::torch(0.1, 0.9)?, &layer)?;
    /// let (x, dy) = (Tensor::filled(&[4, 3], 1.0)?, Tensor::filled(&[4, 2], 0.5)?);
    /// let before = layer.weight().as_slice()[0];
    /// let grad = layer.grad(LayerBatch::new(&x, &dy))?;
    /// sgd.step(&mut layer, &grad)?;
    /// assert_eq!(layer.weight().as_slice()[0], 0.1f32.mul_add(-0.5, before));
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn step(&mut self, layer: &mut Linear<T>, grad: &Params<T>) -> Result<(), Error> {
        self.check_layer(layer)?;
        layer.check_like(["grad.weight", "grad.bias"], grad)?;
        self.both(
            layer,
            |optimizer, params, part| {
                optimizer.try_update(params, pick(grad, part)?, None, names(part))
            },
            |optimizer, params, part| optimizer.update(params, pick(grad, part)?, None),
        )
    }

    /// One step along the averaged gradients, with a second moment of the caller's for each parameter.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn step_with(
        &mut self,
        layer: &mut Linear<T>,
        grad: &Params<T>,
        second: &Params<T>,
    ) -> Result<(), Error>
    where
        R: Adaptive,
    {
        self.check_layer(layer)?;
        layer.check_like(["grad.weight", "grad.bias"], grad)?;
        layer.check_like(["second_moment.weight", "second_moment.bias"], second)?;
        self.both(
            layer,
            |optimizer, params, part| {
                let (grad, second) = (pick(grad, part)?, pick(second, part)?);
                optimizer.try_update(params, grad, Some(second), names(part))
            },
            |optimizer, params, part| {
                optimizer.update(params, pick(grad, part)?, Some(pick(second, part)?))
            },
        )
    }

    /// One step straight from a batch, no gradient stored: see the type's description.
    ///
    /// # Errors
    /// [`Error::Shape`]; [`Error::Core`] for example weights of the wrong number; as
    /// [`step`](Self::step).
    pub fn step_layer(
        &mut self,
        layer: &mut Linear<T>,
        batch: LayerBatch<'_, T>,
    ) -> Result<(), Error> {
        self.check_layer(layer)?;
        let seen = batch.check(layer.outputs(), layer.inputs())?;
        let second = self.second;
        self.both(
            layer,
            |optimizer, params, part| {
                let [.., name] = names(part);
                optimizer.try_part(params, part, &seen, second, name)
            },
            |optimizer, params, part| optimizer.step_part(params, part, &seen, second),
        )
    }

    /// Refuses a layer of another shape than the one this was made for.
    fn check_layer(&self, layer: &Linear<T>) -> Result<(), Error> {
        let bias = self.bias.as_ref().map(|bias| &bias.shape[..]);
        layer.params.check(["layer.weight", "layer.bias"], &self.weight.shape, bias)
    }

    /// Tries the weight and the bias, then steps both: what can be refused is refused before anything
    /// is written.
    fn both(
        &mut self,
        layer: &mut Linear<T>,
        attempt: impl Fn(&Optimizer<T, R>, &Tensor<T>, Part) -> Result<(), Error>,
        step: impl Fn(&mut Optimizer<T, R>, &mut Tensor<T>, Part) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Params { weight, bias } = &mut layer.params;
        attempt(&self.weight, weight, Part::Weight)?;
        if let (Some(optimizer), Some(bias)) = (&mut self.bias, bias) {
            attempt(optimizer, bias, Part::Bias)?;
            step(optimizer, bias, Part::Bias)?;
        }
        step(&mut self.weight, weight, Part::Weight)
    }
}

/// Gradient, second moment and parameters of a part in errors.
fn names(part: Part) -> [&'static str; 3] {
    match part {
        Part::Weight => ["grad.weight", "second_moment.weight", "layer.weight"],
        Part::Bias => ["grad.bias", "second_moment.bias", "layer.bias"],
    }
}

/// The tensor of a part, which was checked to be there.
fn pick<T>(params: &Params<T>, part: Part) -> Result<&Tensor<T>, Error> {
    match (part, &params.bias) {
        (Part::Weight, _) => Ok(&params.weight),
        (Part::Bias, Some(bias)) => Ok(bias),
        (Part::Bias, None) => Err(Error::Presence { arg: "bias", what: "missing" }),
    }
}
