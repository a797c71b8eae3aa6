//! Optimizers that own their state and count their steps.
//!
//! One mechanism serves them all: an [`Optimizer`] keeps the arrays that its configuration (a
//! [`Rule`]) asks for, lends them to the kernels and splits them over threads.

mod layer;
mod rule;
mod settings;
mod trial;

use std::ops::Range;

use pergrad_core::{
    AdamConfig, Element, Isa, LayerStep, MomentumConfig, NonFinite, Part, RmspropConfig,
    SecondMoment,
};

pub use layer::LayerOptimizer;
use rule::SLOTS;
pub use rule::{Adaptive, Rule};
use trial::Trial;

use crate::batch::Checked;
use crate::parallel::{self, BLOCK, TILE_ROWS, columns, outputs_of, split};
use crate::scratch::with_scratch;
use crate::{Error, Tensor, isa};

/// Gradient descent with momentum, or plain: see [`MomentumConfig`] for the formula.
pub type Momentum<T> = Optimizer<T, MomentumConfig>;
/// RMSProp: see [`RmspropConfig`] for the formula.
pub type Rmsprop<T> = Optimizer<T, RmspropConfig>;
/// Adam, AdamW, AMSGrad, NAdam: see [`AdamConfig`] for the formula.
pub type Adam<T> = Optimizer<T, AdamConfig>;

/// An optimizer of one tensor of parameters: its configuration, its state and its step count.
///
/// For a whole layer, and for steps straight from the batch, see [`LayerOptimizer`].
///
/// A step that is refused changes nothing: neither parameters nor state nor the count.
///
/// ```
/// use pergrad::{Adam, AdamConfig, Tensor};
/// let mut params = Tensor::from_slice(&[2], &[1.0f32, 1.0])?;
/// let mut adam = Adam::new(AdamConfig::torch(0.5)?, params.shape())?;
/// adam.step(&mut params, &Tensor::from_slice(&[2], &[3.0, -3.0])?)?;
/// assert_eq!(params.as_slice(), [0.5, 1.5]); // the first step of Adam goes by the sign
/// assert_eq!(adam.steps(), 1);
///
/// assert!(adam.step(&mut params, &Tensor::zeros(&[3])?).is_err());
/// assert_eq!(adam.steps(), 1);
/// # Ok::<(), pergrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Optimizer<T, R> {
    config: R,
    shape: Box<[usize]>,
    steps: u64,
    state: [Tensor<T>; SLOTS],
    non_finite: NonFinite,
}

impl<T: Element, R: Rule> Optimizer<T, R> {
    /// For parameters of this shape, before the first step.
    ///
    /// `config` is that of a step; use its `at_batch_size` if it is stated per example. The state is
    /// zeros, RMSProp's `exp_avg_sq` its
    /// [`initial_exp_avg_sq`](RmspropConfig::initial_exp_avg_sq).
    ///
    /// # Errors
    /// [`Error::Core`] for hyper-parameters that make no sense; as [`Tensor::zeros`].
    pub fn new(config: R, shape: &[usize]) -> Result<Self, Error> {
        config.coeffs::<T>(1)?;
        let none = || Tensor::zeros(&[0]);
        let mut state = [none()?, none()?, none()?];
        for (tensor, slot) in state.iter_mut().zip(config.slots()) {
            match slot.initial {
                Some(0.0) => *tensor = Tensor::zeros(shape)?,
                Some(value) => *tensor = Tensor::filled(shape, T::from_f64(value))?,
                None => {}
            }
        }
        let (shape, non_finite) = (shape.into(), NonFinite::Propagate);
        Ok(Optimizer { config, shape, steps: 0, state, non_finite })
    }

    /// What steps do about results that are not finite; [`NonFinite::Propagate`] unless set.
    ///
    /// [`NonFinite::Refuse`] computes everything twice: once on copies, a block at a time, and only if
    /// all parameters and all of the state would be finite a second time in place. The error names the
    /// first bad index, whatever the number of threads.
    ///
    /// ```
    /// use pergrad::{Momentum, MomentumConfig, NonFinite, Tensor};
    /// let mut sgd = Momentum::new(MomentumConfig::torch(0.1, 0.9)?, &[2])?;
    /// sgd.set_non_finite(NonFinite::Refuse);
    /// let mut params = Tensor::filled(&[2], 1.0f32)?;
    /// let refused = sgd.step(&mut params, &Tensor::from_slice(&[2], &[0.5, f32::NAN])?);
    /// assert!(refused.unwrap_err().to_string().starts_with("`grad[1]` is not finite"));
    /// assert_eq!(params.as_slice(), [1.0, 1.0]);
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn set_non_finite(&mut self, non_finite: NonFinite) {
        self.non_finite = non_finite;
    }

    /// What steps do about results that are not finite.
    pub fn non_finite(&self) -> NonFinite {
        self.non_finite
    }

    /// One step along `grad`, the averaged gradient, in place. The second moment, where there is one,
    /// is the square of `grad`.
    ///
    /// # Errors
    /// [`Error::Shape`]; [`Error::Core`] for a gradient that is not finite if asked to refuse, or for
    /// hyper-parameters that make no sense at this step; as [`isa`].
    pub fn step(&mut self, params: &mut Tensor<T>, grad: &Tensor<T>) -> Result<(), Error> {
        params.check_shape("params", &self.shape)?;
        grad.check_shape("grad", &self.shape)?;
        self.try_update(params, grad, None, NAMES)?;
        self.update(params, grad, None)
    }

    /// One step along `grad` with `second` as the second moment: `grad_sq`, a variance, a debiased one.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    ///
    /// ```
    /// use pergrad::{Rmsprop, RmspropConfig, Tensor, Window};
    /// let config = RmspropConfig::new(0.5, Window::new(10.0)?);
    /// let mut rmsprop = Rmsprop::new(config, &[1])?;
    /// let mut params = Tensor::filled(&[1], 1.0f32)?;
    /// let (grad, grad_sq) = (Tensor::filled(&[1], 1.0)?, Tensor::filled(&[1], 4.0)?);
    /// rmsprop.step_with(&mut params, &grad, &grad_sq)?;
    /// assert_eq!(params.as_slice(), [0.75]);
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn step_with(
        &mut self,
        params: &mut Tensor<T>,
        grad: &Tensor<T>,
        second: &Tensor<T>,
    ) -> Result<(), Error>
    where
        R: Adaptive,
    {
        params.check_shape("params", &self.shape)?;
        grad.check_shape("grad", &self.shape)?;
        second.check_shape("second_moment", &self.shape)?;
        self.try_update(params, grad, Some(second), NAMES)?;
        self.update(params, grad, Some(second))
    }

    /// The configuration.
    pub fn config(&self) -> &R {
        &self.config
    }

    /// Goes on with another configuration, the state and the step count as they are: a schedule, or
    /// another batch size.
    ///
    /// # Errors
    /// [`Error::Core`] if its hyper-parameters make no sense; [`Error::Presence`] if it keeps other
    /// arrays than this one.
    ///
    /// ```
    /// use pergrad::{Adam, AdamConfig, AmsGrad};
    /// let per_example = AdamConfig::torch(1e-4)?;
    /// let mut adam = Adam::<f32>::new(per_example.at_batch_size(32), &[10])?;
    /// adam.set_config(per_example.at_batch_size(16))?; // a short batch at the end
    /// assert_eq!(adam.lr(), 1.6e-3);
    /// let mut other = per_example;
    /// other.amsgrad = AmsGrad::Uncorrected;
    /// assert!(adam.set_config(other).is_err());
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn set_config(&mut self, config: R) -> Result<(), Error> {
        self.check_config(&config)?;
        self.config = config;
        Ok(())
    }

    /// The checks of [`set_config`](Self::set_config).
    fn check_config(&self, config: &R) -> Result<(), Error> {
        config.coeffs::<T>(self.next_step())?;
        for (old, new) in self.config.slots().into_iter().zip(config.slots()) {
            if old.initial.is_some() != new.initial.is_some() {
                let what = "kept by only one of the two configurations";
                return Err(Error::Presence { arg: old.name, what });
            }
        }
        Ok(())
    }

    /// The learning rate.
    pub fn lr(&self) -> f64 {
        self.config.lr()
    }

    /// Sets the learning rate.
    ///
    /// # Errors
    /// [`Error::Core`] if it is negative or not finite.
    ///
    /// ```
    /// use pergrad::{Adam, AdamConfig};
    /// let mut adam = Adam::<f32>::new(AdamConfig::torch(1e-3)?, &[10])?;
    /// adam.set_lr(1e-4)?;
    /// assert!(adam.set_lr(f64::NAN).is_err());
    /// assert_eq!(adam.lr(), 1e-4);
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn set_lr(&mut self, lr: f64) -> Result<(), Error> {
        self.set_config(self.config.with_lr(lr))
    }

    /// The shape of the parameters.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Steps taken so far. It stops at `u64::MAX`, where every warm-up has long ended.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The arrays kept between steps, by name, each like the parameters.
    ///
    /// ```
    /// use pergrad::{Adam, AdamConfig};
    /// let adam = Adam::<f32>::new(AdamConfig::torch(1e-3)?, &[10])?;
    /// let names: Vec<_> = adam.state().map(|(name, _)| name).collect();
    /// assert_eq!(names, ["exp_avg", "exp_avg_sq"]);
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn state(&self) -> impl Iterator<Item = (&'static str, &Tensor<T>)> {
        let slots = self.config.slots().into_iter().zip(&self.state);
        slots.filter_map(|(slot, tensor)| slot.initial.map(|_| (slot.name, tensor)))
    }

    /// Takes up a state and a step count that were kept elsewhere, in place of its own.
    ///
    /// # Errors
    /// [`Error::Presence`] unless there is exactly one tensor for each array of
    /// [`state`](Self::state), in that order; [`Error::Shape`]. Nothing is changed then.
    ///
    /// ```
    /// use pergrad::{Adam, AdamConfig, Tensor};
    /// let config = AdamConfig::torch(1e-3)?;
    /// let (mut params, grad) = (Tensor::filled(&[2], 1.0f32)?, Tensor::filled(&[2], 0.1)?);
    /// let mut adam = Adam::new(config, &[2])?;
    /// adam.step(&mut params, &grad)?;
    ///
    /// let kept: Vec<_> = adam.state().map(|(name, tensor)| (name, tensor.clone())).collect();
    /// let mut other = Adam::new(config, &[2])?;
    /// other.restore(adam.steps(), &kept)?;
    /// assert_eq!(other, adam);
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn restore(&mut self, steps: u64, state: &[(&str, Tensor<T>)]) -> Result<(), Error> {
        let need: Vec<_> = self.state().map(|(name, _)| name).collect();
        for (k, &name) in need.iter().enumerate() {
            match state.get(k) {
                Some((given, tensor)) if *given == name => tensor.check_shape(name, &self.shape)?,
                _ => {
                    let what = "missing from the state, or not in its place";
                    return Err(Error::Presence { arg: name, what });
                }
            }
        }
        if state.len() > need.len() {
            let what = "holds more arrays than the configuration keeps";
            return Err(Error::Presence { arg: "state", what });
        }
        let kept = self.config.slots().map(|slot| slot.initial.is_some());
        let mine = self.state.iter_mut().zip(kept).filter_map(|(t, kept)| kept.then_some(t));
        for (tensor, (_, given)) in mine.zip(state) {
            tensor.as_mut_slice().copy_from_slice(given.as_slice());
        }
        self.steps = steps;
        Ok(())
    }

    /// The number of the next step, from 1.
    fn next_step(&self) -> u64 {
        self.steps.saturating_add(1)
    }

    /// Refuses what [`update`](Self::update) would have to refuse; shapes were checked. `names` are
    /// those of gradient, second moment and parameters in errors.
    fn try_update(
        &self,
        params: &Tensor<T>,
        grad: &Tensor<T>,
        second: Option<&Tensor<T>>,
        names: [&'static str; 3],
    ) -> Result<(), Error> {
        let (isa, c) = (isa()?, self.config.coeffs::<T>(self.next_step())?);
        if self.non_finite == NonFinite::Propagate {
            return Ok(());
        }
        let (grad, second) = (grad.as_slice(), second.map(Tensor::as_slice));
        let [of_grad, of_second, of_params] = names;
        let name = |index: usize| match second {
            _ if !grad[index].is_finite() => of_grad,
            Some(second) if !second[index].is_finite() => of_second,
            _ => of_params,
        };
        let trial = Trial { rows: params.len(), work: params.len(), granule: BLOCK };
        trial.run(self.arrays(params), name, |range, [params, state @ ..]| {
            let second = second.map(|second| &second[range.clone()]);
            R::update(isa, &c, (params, state), &grad[range], second, NonFinite::Propagate)
        })
    }

    /// One step; shapes were checked, and all that can be refused.
    fn update(
        &mut self,
        params: &mut Tensor<T>,
        grad: &Tensor<T>,
        second: Option<&Tensor<T>>,
    ) -> Result<(), Error> {
        let (isa, t) = (isa()?, self.next_step());
        let c = self.config.coeffs::<T>(t)?;
        let n = params.len();
        let (grad, second) = (grad.as_slice(), second.map(Tensor::as_slice));
        split(
            n,
            n,
            BLOCK,
            self.arrays_mut(params),
            |range: Range<usize>, [params, state @ ..]| {
                let second = second.map(|second| &second[range.clone()]);
                R::update(isa, &c, (params, state), &grad[range], second, NonFinite::Propagate)
            },
        )?;
        self.steps = t;
        Ok(())
    }

    /// Refuses what [`step_part`](Self::step_part) would have to refuse; shapes were checked. `name` is
    /// that of the parameters in errors.
    fn try_part(
        &self,
        params: &Tensor<T>,
        part: Part,
        seen: &Checked<'_, T>,
        second: SecondMoment,
        name: &'static str,
    ) -> Result<(), Error> {
        let (isa, c) = (isa()?, self.config.coeffs::<T>(self.next_step())?);
        if self.non_finite == NonFinite::Propagate {
            return Ok(());
        }
        let (rows, work) = (seen.batch.dims.outputs, part_work(part, seen, params));
        let trial = Trial { rows, work, granule: TILE_ROWS };
        trial.run(
            self.arrays(params),
            |_| name,
            |range, arrays| step_rows::<T, R>(isa, &c, part, seen, second, range, arrays),
        )
    }

    /// One step of a part of a layer, straight from the batch; shapes were checked, and all that can be
    /// refused.
    fn step_part(
        &mut self,
        params: &mut Tensor<T>,
        part: Part,
        seen: &Checked<'_, T>,
        second: SecondMoment,
    ) -> Result<(), Error> {
        let (isa, t) = (isa()?, self.next_step());
        let c = self.config.coeffs::<T>(t)?;
        let (rows, work) = (seen.batch.dims.outputs, part_work(part, seen, params));
        split(rows, work, TILE_ROWS, self.arrays_mut(params), |range, arrays| {
            step_rows::<T, R>(isa, &c, part, seen, second, range, arrays)
        })?;
        self.steps = t;
        Ok(())
    }

    /// The parameters and the state.
    fn arrays<'a>(&'a self, params: &'a Tensor<T>) -> [&'a [T]; 1 + SLOTS] {
        let [a, b, c] = self.state.each_ref().map(Tensor::as_slice);
        [params.as_slice(), a, b, c]
    }

    /// The parameters and the state, as the kernels and threads take them.
    fn arrays_mut<'a>(&'a mut self, params: &'a mut Tensor<T>) -> [&'a mut [T]; 1 + SLOTS] {
        let [a, b, c] = self.state.each_mut().map(Tensor::as_mut_slice);
        [params.as_mut_slice(), a, b, c]
    }

    /// The array of this name; none if the configuration does not keep it.
    fn slot(&self, name: &str) -> Option<&Tensor<T>> {
        self.state().find_map(|(slot, tensor)| (slot == name).then_some(tensor))
    }
}

/// Gradient, second moment and parameters in errors.
const NAMES: [&str; 3] = ["grad", "second_moment", "params"];

/// Multiply-adds, or elements, of a step straight from the batch.
fn part_work<T: Element>(part: Part, seen: &Checked<'_, T>, params: &Tensor<T>) -> usize {
    match part {
        Part::Weight => parallel::work(&seen.batch).max(params.len()),
        Part::Bias => 0,
    }
}

/// A step straight from the batch of outputs `range`, whose parameters and state are `arrays`.
fn step_rows<T: Element, R: Rule>(
    isa: Isa,
    c: &R::Coeffs<T>,
    part: Part,
    seen: &Checked<'_, T>,
    second: SecondMoment,
    range: Range<usize>,
    [params, state @ ..]: [&mut [T]; 1 + SLOTS],
) -> Result<(), pergrad_core::Error> {
    let dy = columns(&seen.batch, &range);
    let batch = outputs_of(&seen.batch, &range, &dy);
    let step = LayerStep { batch, scale: seen.factor, second, non_finite: NonFinite::Propagate };
    with_scratch(batch.dims, |scratch| R::step(isa, &step, part, c, (params, state), scratch))
}

impl<T: Element> Momentum<T> {
    /// The momentum buffer, a sum or an average by the
    /// [`MomentumForm`](pergrad_core::MomentumForm); none for plain gradient descent.
    ///
    /// ```
    /// use pergrad::{Momentum, MomentumConfig};
    /// let plain = Momentum::<f32>::new(MomentumConfig::torch(0.1, 0.0)?, &[3])?;
    /// assert_eq!(plain.momentum_buffer(), None);
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn momentum_buffer(&self) -> Option<&Tensor<T>> {
        self.slot("momentum_buffer")
    }
}

impl<T: Element> Rmsprop<T> {
    /// Running average of the second moment.
    ///
    /// ```
    /// use pergrad::{Rmsprop, RmspropConfig};
    /// let mut config = RmspropConfig::torch(0.01)?;
    /// config.initial_exp_avg_sq = 1.0;
    /// let rmsprop = Rmsprop::<f32>::new(config, &[3])?;
    /// assert_eq!(rmsprop.exp_avg_sq().as_slice(), [1.0; 3]);
    /// assert!(rmsprop.exp_avg().is_none() && rmsprop.momentum_buffer().is_none());
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn exp_avg_sq(&self) -> &Tensor<T> {
        &self.state[0]
    }

    /// Running average of the gradient, if centered.
    pub fn exp_avg(&self) -> Option<&Tensor<T>> {
        self.slot("exp_avg")
    }

    /// The momentum buffer, if there is momentum.
    pub fn momentum_buffer(&self) -> Option<&Tensor<T>> {
        self.slot("momentum_buffer")
    }
}

impl<T: Element> Adam<T> {
    /// Running average of the gradient.
    ///
    /// ```
    /// use pergrad::{Adam, AdamConfig};
    /// let adam = Adam::<f32>::new(AdamConfig::torch(0.01)?, &[3])?;
    /// assert_eq!(adam.exp_avg().as_slice(), [0.0; 3]);
    /// assert_eq!(adam.exp_avg_sq().as_slice(), [0.0; 3]);
    /// assert!(adam.max_exp_avg_sq().is_none());
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn exp_avg(&self) -> &Tensor<T> {
        &self.state[0]
    }

    /// Running average of the second moment.
    pub fn exp_avg_sq(&self) -> &Tensor<T> {
        &self.state[1]
    }

    /// Its maximum so far, with AMSGrad.
    pub fn max_exp_avg_sq(&self) -> Option<&Tensor<T>> {
        self.slot("max_exp_avg_sq")
    }
}
