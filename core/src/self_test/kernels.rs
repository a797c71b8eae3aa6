//! The kernels, each on all shapes and folds.

use sha2::{Digest, Sha256};

use super::{BATCH, DY, Values, WEIGHT, X};
use crate::*;

/// The first `n` elements.
fn first<T>(array: &mut [T], n: usize) -> &mut [T] {
    array.get_mut(..n).unwrap_or_default()
}

/// Cuts off the first `n` elements.
fn take<'a, T>(memory: &mut &'a mut [T], n: usize) -> &'a mut [T] {
    memory.split_off_mut(..n).unwrap_or_default()
}

/// Extents around tiles and lanes.
const SHAPES: [Dims; 6] = [
    Dims::new(5, 7, 35),
    Dims::new(3, 4, 19).with_steps(2),
    Dims::new(2, 5, 9).with_steps(3),
    Dims::new(9, 3, 21),
    Dims::new(1, 2, 67),
    Dims::new(33, 1, 5),
];

/// One kernel's run.
pub(super) struct Test<'m, T> {
    pub(super) isa: Isa,
    pub(super) values: Values,
    pub(super) memory: &'m mut [T],
    pub(super) hash: Sha256,
}

/// Adds what a call wrote to the digest; see [`super::sha256`].
pub(super) fn digest<T: Element>(hash: &mut Sha256, written: &[T]) {
    for &value in written {
        if size_of::<T>() == 4 {
            let value = value.to_f64() as f32;
            let bits = if value.is_nan() { 0x7fc0_0000 } else { value.to_bits() };
            hash.update(bits.to_le_bytes());
        } else {
            let value = value.to_f64();
            let bits = if value.is_nan() { 0x7ff8 << 48 } else { value.to_bits() };
            hash.update(bits.to_le_bytes());
        }
    }
}

/// How a fold starts and ends, and whether there are example weights.
const FOLDS: [(Fold, bool); 3] =
    [(Fold::mean(5), false), (Fold::resume(), true), (Fold::fresh(), true)];

impl<T: Element> Test<'_, T> {
    /// Calls `kernel` for all shapes and folds, on fresh values; it gets the batch and the rest of memory.
    fn batches(
        &mut self,
        mut kernel: impl FnMut(Isa, Batch<'_, T>, Fold, Outputs<'_, T>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for dims in SHAPES {
            for (fold, weighted) in FOLDS {
                let mut memory = &mut *self.memory;
                let x = first(take(&mut memory, X), dims.x_len()?);
                let dy = first(take(&mut memory, DY), dims.y_len()?);
                let example_weights = first(take(&mut memory, BATCH), dims.batch);
                let mut outputs = Outputs {
                    params: take(&mut memory, WEIGHT),
                    grad: take(&mut memory, WEIGHT),
                    grad_sq: take(&mut memory, WEIGHT),
                    exp_avg: take(&mut memory, WEIGHT),
                    exp_avg_sq: take(&mut memory, WEIGHT),
                    max: take(&mut memory, WEIGHT),
                    hash: &mut self.hash,
                };
                for array in [&mut *x, &mut *dy, &mut *example_weights] {
                    self.values.fill(array);
                }
                outputs.fill(&mut self.values);
                let mut batch = Batch::new(dims, x, dy);
                if weighted {
                    batch = batch.with_example_weights(example_weights);
                }
                kernel(self.isa, batch, fold, outputs)?;
            }
        }
        Ok(())
    }

    pub(super) fn forward(&mut self) -> Result<(), Error> {
        self.batches(|isa, batch, fold, out| {
            let weight = first(out.params, batch.dims.weight_len()?);
            let bias = batch.example_weights.map(|_| first(out.exp_avg, batch.dims.outputs));
            let y = first(out.grad, batch.dims.y_len()?);
            forward(isa, batch.dims, batch.x, weight, bias.as_deref(), fold.start, y)?;
            digest(out.hash, y);
            Ok(())
        })
    }

    pub(super) fn input_grad(&mut self) -> Result<(), Error> {
        self.batches(|isa, batch, fold, out| {
            let weight = first(out.params, batch.dims.weight_len()?);
            let dx = first(out.grad, batch.dims.x_len()?);
            input_grad(isa, batch.dims, batch.dy, weight, fold.start, dx)?;
            digest(out.hash, dx);
            Ok(())
        })
    }

    pub(super) fn per_example_grad(&mut self) -> Result<(), Error> {
        self.batches(|isa, batch, _, out| {
            let n = batch.dims.per_example_grad_len()?;
            if n <= WEIGHT {
                let g = first(out.grad, n);
                per_example_grad(isa, &batch, g)?;
                digest(out.hash, g);
            }
            Ok(())
        })
    }

    pub(super) fn reduce(&mut self) -> Result<(), Error> {
        self.batches(|isa, batch, fold, out| {
            let (rows, n) = (batch.dims.batch, batch.dims.inputs * batch.dims.steps);
            let (sum, sum_sq) = (first(out.grad, n), first(out.grad_sq, n));
            reduce(isa, batch.x, rows, fold, sum, sum_sq)?;
            digest(out.hash, sum);
            digest(out.hash, sum_sq);
            Ok(())
        })
    }

    pub(super) fn grad(&mut self) -> Result<(), Error> {
        self.batches(|isa, batch, fold, out| {
            let g = first(out.grad, batch.dims.weight_len()?);
            grad(isa, &batch, fold, g, &mut [])?;
            digest(out.hash, g);
            Ok(())
        })
    }

    pub(super) fn moments(&mut self) -> Result<(), Error> {
        self.batches(|isa, batch, fold, out| {
            let n = batch.dims.weight_len()?;
            let (g, sq) = (first(out.grad, n), first(out.grad_sq, n));
            moments(isa, &batch, fold, g, sq, &mut [])?;
            digest(out.hash, g);
            digest(out.hash, sq);
            Ok(())
        })
    }

    pub(super) fn bias_grad(&mut self) -> Result<(), Error> {
        self.batches(|isa, batch, fold, out| {
            let g = first(out.grad, batch.dims.outputs);
            bias_grad(isa, &batch, fold, g)?;
            digest(out.hash, g);
            Ok(())
        })
    }

    pub(super) fn bias_moments(&mut self) -> Result<(), Error> {
        self.batches(|isa, batch, fold, out| {
            let n = batch.dims.outputs;
            let (g, sq) = (first(out.grad, n), first(out.grad_sq, n));
            bias_moments(isa, &batch, fold, g, sq)?;
            digest(out.hash, g);
            digest(out.hash, sq);
            Ok(())
        })
    }

    pub(super) fn sq_norms(&mut self) -> Result<(), Error> {
        self.batches(|isa, batch, fold, out| {
            let norms = first(out.grad_sq, batch.dims.batch);
            sq_norms(isa, &batch, fold.start, norms)?;
            digest(out.hash, norms);
            Ok(())
        })
    }

    pub(super) fn bias_sq_norms(&mut self) -> Result<(), Error> {
        self.batches(|isa, batch, fold, out| {
            let norms = first(out.grad_sq, batch.dims.batch);
            bias_sq_norms(isa, &batch, fold.start, norms)?;
            digest(out.hash, norms);
            Ok(())
        })
    }

    pub(super) fn update_momentum(&mut self) -> Result<(), Error> {
        for config in momentum_configs()? {
            self.batches(|isa, batch, _, mut out| {
                let c = config.step_coeffs(batch.dims.batch as u64)?;
                let n = batch.dims.weight_len()?;
                let grad = first(out.grad, n);
                let buffer = first(out.exp_avg, if config.has_buffer() { n } else { 0 });
                let params = first(out.params, n);
                update_momentum(isa, &c, params, grad, buffer, NonFinite::Propagate)?;
                out.digest_state(n);
                Ok(())
            })?;
        }
        Ok(())
    }

    pub(super) fn update_rmsprop(&mut self) -> Result<(), Error> {
        for config in rmsprop_configs()? {
            self.batches(|isa, batch, fold, mut out| {
                let c = config.step_coeffs(batch.dims.batch as u64)?;
                let n = batch.dims.weight_len()?;
                let (params, state, grad, grad_sq) = out.rmsprop(&config, n);
                let second = (fold.scale.is_some()).then_some(grad_sq);
                update_rmsprop(isa, &c, params, grad, second, state, NonFinite::Propagate)?;
                out.digest_state(n);
                Ok(())
            })?;
        }
        Ok(())
    }

    pub(super) fn update_adam(&mut self) -> Result<(), Error> {
        for config in adam_configs()? {
            self.batches(|isa, batch, fold, mut out| {
                let c = config.step_coeffs(batch.dims.batch as u64)?;
                let n = batch.dims.weight_len()?;
                let (params, state, grad, grad_sq) = out.adam(&config, n);
                let second = (fold.scale.is_some()).then_some(grad_sq);
                update_adam(isa, &c, params, grad, second, state, NonFinite::Propagate)?;
                out.digest_state(n);
                Ok(())
            })?;
        }
        Ok(())
    }

    pub(super) fn step_momentum(&mut self) -> Result<(), Error> {
        for config in momentum_configs()? {
            self.batches(|isa, batch, fold, mut out| {
                let c = config.step_coeffs(batch.dims.batch as u64)?;
                let (layer, part, n) = layer_step(batch, fold)?;
                let buffer = first(out.exp_avg, if config.has_buffer() { n } else { 0 });
                let params = first(out.params, n);
                step_momentum(isa, &layer, part, &c, params, buffer, &mut [])?;
                out.digest_state(n);
                Ok(())
            })?;
        }
        Ok(())
    }

    pub(super) fn step_rmsprop(&mut self) -> Result<(), Error> {
        for config in rmsprop_configs()? {
            self.batches(|isa, batch, fold, mut out| {
                let c = config.step_coeffs(batch.dims.batch as u64)?;
                let (layer, part, n) = layer_step(batch, fold)?;
                let (params, state, ..) = out.rmsprop(&config, n);
                step_rmsprop(isa, &layer, part, &c, params, state, &mut [])?;
                out.digest_state(n);
                Ok(())
            })?;
        }
        Ok(())
    }

    pub(super) fn step_adam(&mut self) -> Result<(), Error> {
        for config in adam_configs()? {
            self.batches(|isa, batch, fold, mut out| {
                let c = config.step_coeffs(batch.dims.batch as u64)?;
                let (layer, part, n) = layer_step(batch, fold)?;
                let (params, state, ..) = out.adam(&config, n);
                step_adam(isa, &layer, part, &c, params, state, &mut [])?;
                out.digest_state(n);
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// What a kernel may write, filled with values.
struct Outputs<'a, T> {
    params: &'a mut [T],
    grad: &'a mut [T],
    grad_sq: &'a mut [T],
    exp_avg: &'a mut [T],
    exp_avg_sq: &'a mut [T],
    max: &'a mut [T],
    hash: &'a mut Sha256,
}

impl<T: Element> Outputs<'_, T> {
    fn fill(&mut self, values: &mut Values) {
        for array in [&mut *self.params, &mut *self.grad] {
            values.fill(array);
        }
        values.fill_squares(self.grad_sq);
        values.fill(self.exp_avg);
        for array in [&mut *self.exp_avg_sq, &mut *self.max] {
            values.fill_squares(array);
        }
    }

    /// Parameters, state, gradient and second moment of `n` parameters.
    #[allow(clippy::type_complexity)]
    fn adam(&mut self, config: &AdamConfig, n: usize) -> (&mut [T], AdamState<'_, T>, &[T], &[T]) {
        let mut state = AdamState::new(first(self.exp_avg, n), first(self.exp_avg_sq, n));
        if config.amsgrad != AmsGrad::Off {
            state.max_exp_avg_sq = first(self.max, n);
        }
        (first(self.params, n), state, first(self.grad, n), first(self.grad_sq, n))
    }

    /// The same for RMSProp.
    #[allow(clippy::type_complexity)]
    fn rmsprop(
        &mut self,
        config: &RmspropConfig,
        n: usize,
    ) -> (&mut [T], RmspropState<'_, T>, &[T], &[T]) {
        let mut state = RmspropState::new(first(self.exp_avg_sq, n));
        if config.centered {
            state.exp_avg = first(self.exp_avg, n);
        }
        if config.momentum.is_some() {
            state.momentum_buffer = first(self.max, n);
        }
        (first(self.params, n), state, first(self.grad, n), first(self.grad_sq, n))
    }

    /// Parameters and state, used or not.
    fn digest_state(&mut self, n: usize) {
        for array in [&mut *self.params, &mut *self.exp_avg, &mut *self.exp_avg_sq, &mut *self.max]
        {
            digest(self.hash, first(array, n));
        }
    }
}

/// The weight on `grad_sq`, the weight on the squared average, or the bias, by the fold.
fn layer_step<'a, T: Element>(
    batch: Batch<'a, T>,
    fold: Fold,
) -> Result<(LayerStep<'a, T>, Part, usize), Error> {
    let mut layer = LayerStep { scale: fold.scale, ..LayerStep::mean(batch) };
    if fold == Fold::resume() {
        layer.second = SecondMoment::SquaredGrad;
    }
    Ok(if fold == Fold::fresh() {
        (layer, Part::Bias, batch.dims.outputs)
    } else {
        (layer, Part::Weight, batch.dims.weight_len()?)
    })
}

/// Every form and switch of momentum.
fn momentum_configs() -> Result<[MomentumConfig; 5], Error> {
    let torch = MomentumConfig::torch(0.1, 0.9)?;
    let mut decayed = MomentumConfig::keras(0.1, 0.8)?;
    (decayed.decay, decayed.maximize) = (Decay::Coupled(0.01), true);
    let mut looking = MomentumConfig::new(0.1, Window::new(4.0)?);
    (looking.nesterov, looking.decay) = (true, Decay::Decoupled(0.01));
    Ok([
        torch,
        decayed,
        looking,
        MomentumConfig { nesterov: true, ..torch },
        MomentumConfig { form: MomentumForm::Plain, ..torch },
    ])
}

/// Every switch of RMSProp.
fn rmsprop_configs() -> Result<[RmspropConfig; 4], Error> {
    let torch = RmspropConfig::torch(0.01)?;
    let mut centered = RmspropConfig { centered: true, ..torch };
    centered.decay = Decay::Coupled(0.01);
    let momentum = Some(Window::new(5.0)?);
    let keras = RmspropConfig { momentum, ..RmspropConfig::keras(0.01)? };
    let mut all = RmspropConfig::new(0.01, Window::new(4.0)?);
    (all.centered, all.momentum, all.nesterov, all.maximize) = (true, momentum, true, true);
    all.decay = Decay::Decoupled(0.01);
    Ok([torch, centered, keras, all])
}

/// Every switch of Adam.
fn adam_configs() -> Result<[AdamConfig; 7], Error> {
    let torch = AdamConfig::torch(0.01)?;
    let exact = AdamConfig::new(0.01, Window::new(4.0)?, Window::new(16.0)?);
    Ok([
        torch,
        exact,
        AdamConfig { decay: Decay::Decoupled(0.01), ..torch },
        AdamConfig { decay: Decay::Coupled(0.01), maximize: true, ..AdamConfig::keras(0.01)? },
        AdamConfig { amsgrad: AmsGrad::Uncorrected, ..torch },
        AdamConfig { amsgrad: AmsGrad::Corrected, ..AdamConfig::optax(0.01)? },
        AdamConfig { nesterov: true, epsilon: Epsilon::Inside(1e-9), ..exact },
    ])
}
