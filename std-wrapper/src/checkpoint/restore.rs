//! Restoring objects that are there already.

use pergrad_core::Element;

use super::{Checkpoint, Stateful, join};
use crate::{Error, Linear, Tensor};

/// Objects to be restored from a [`Checkpoint`], all of them or none: see [`Checkpoint::restore`].
///
/// Each is read and checked when it is named; only [`apply`](Self::apply) changes anything.
///
/// ```
/// use pergrad::{AdamConfig, Checkpoint, LayerOptimizer, Linear};
/// let layer = Linear::<f32>::init(2, 3, true, 0)?;
/// let checkpoint = Checkpoint::new().layer("layer1", &layer)?;
///
/// let mut other = Linear::init(2, 3, true, 1)?;
/// let mut adam = LayerOptimizer::new(AdamConfig::torch(0.01)?, &other)?;
/// let both = checkpoint.restore().layer("layer1", &mut other).optimizer("layer1", &mut adam);
/// assert!(both.apply().is_err()); // there is no optimizer in it
/// assert_ne!(other, layer); //       so the layer is as it was
/// checkpoint.restore().layer("layer1", &mut other).apply()?;
/// assert_eq!(other, layer);
/// # Ok::<(), pergrad::Error>(())
/// ```
#[must_use = "nothing is restored before `apply`"]
pub struct Restore<'c, 'o> {
    checkpoint: &'c Checkpoint,
    /// What is left to do if nothing fails.
    changes: Vec<Box<dyn FnOnce() + 'o>>,
    /// The first thing that failed.
    error: Option<Error>,
}

impl<'c, 'o> Restore<'c, 'o> {
    pub(super) fn of(checkpoint: &'c Checkpoint) -> Self {
        Restore { checkpoint, changes: Vec::new(), error: None }
    }

    /// A tensor, of the same shape.
    pub fn tensor<T: Element>(self, name: &str, tensor: &'o mut Tensor<T>) -> Self {
        let read = self.checkpoint.read_shaped(name, tensor.shape());
        self.then(read, tensor)
    }

    /// A layer, of the same shape, with or without a bias as the checkpoint has it.
    pub fn layer<T: Element>(self, name: &str, layer: &'o mut Linear<T>) -> Self {
        let read = self.read_layer(name, layer);
        self.then(read, layer)
    }

    /// An optimizer of the same kind, for parameters of the same shape: its state, its step count, and
    /// its configuration, if the checkpoint has it.
    pub fn optimizer<O: Stateful + 'o>(self, name: &str, optimizer: &'o mut O) -> Self {
        let read = optimizer.reread(self.checkpoint, &join("optimizer", name));
        self.then(read, optimizer)
    }

    /// Restores all that was named.
    ///
    /// # Errors
    /// The first that came up: [`Error::Entry`] for what is missing or of another shape, type or kind,
    /// [`Error::Checkpoint`] for hyper-parameters that make no sense, [`Error::Memory`]. Then nothing is
    /// changed.
    pub fn apply(self) -> Result<(), Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.changes.into_iter().for_each(|change| change());
        Ok(())
    }

    fn read_layer<T: Element>(&self, name: &str, layer: &Linear<T>) -> Result<Linear<T>, Error> {
        let (weight, bias) = (join(name, "weight"), join(name, "bias"));
        let weight = self.checkpoint.read_shaped(&weight, layer.weight().shape())?;
        let bias = match layer.bias() {
            Some(mine) => Some(self.checkpoint.read_shaped(&bias, mine.shape())?),
            None => {
                self.checkpoint.refuse(bias, "the layer has no bias")?;
                None
            }
        };
        Linear::new(weight, bias)
    }

    /// Notes what was read for `object`, or that it could not be.
    fn then<V: 'o>(mut self, read: Result<V, Error>, object: &'o mut V) -> Self {
        match read {
            Ok(new) => self.changes.push(Box::new(move || *object = new)),
            Err(e) => self.error = self.error.or(Some(e)),
        }
        self
    }
}
