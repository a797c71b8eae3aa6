//! The network: 64 inputs, 64 hidden units with ReLU, 10 outputs with softmax and cross-entropy.

use pergrad::{LayerBatch, LayerOptimizer, Linear, NonFinite, Rule, SecondMoment, Tensor};

use crate::Result;
use crate::data::{CLASSES, Digits, PIXELS};

const HIDDEN: usize = 64;

/// Two layers.
#[derive(Clone, PartialEq)]
pub struct Network {
    hidden: Linear<f32>,
    output: Linear<f32>,
}

/// How a network did on some digits.
pub struct Score {
    /// Cross-entropy, averaged over the digits.
    pub loss: f64,
    /// The fraction it got right.
    pub accuracy: f64,
}

impl Network {
    /// With random weights; the same for the same seed.
    pub fn new(seed: u64) -> Result<Self> {
        let seed = seed.wrapping_mul(2);
        Ok(Network {
            hidden: Linear::init(HIDDEN, PIXELS, true, seed)?,
            output: Linear::init(CLASSES, HIDDEN, true, seed.wrapping_add(1))?,
        })
    }

    /// The hidden units after ReLU, and the outputs before softmax.
    fn forward(&self, images: &Tensor<f32>) -> Result<(Tensor<f32>, Tensor<f32>)> {
        let mut hidden = self.hidden.forward(images)?;
        for h in hidden.as_mut_slice() {
            *h = h.max(0.0);
        }
        let outputs = self.output.forward(&hidden)?;
        Ok((hidden, outputs))
    }

    /// Loss and accuracy.
    pub fn score(&self, digits: &Digits) -> Result<Score> {
        let (_, outputs) = self.forward(&digits.images)?;
        let (mut loss, mut right) = (0.0, 0);
        for (outputs, &label) in outputs.rows().zip(&digits.labels) {
            let p = softmax(outputs);
            loss -= libm::log(p[label]);
            right += usize::from(p.iter().all(|&other| other <= p[label]));
        }
        let n = digits.len() as f64;
        Ok(Score { loss: loss / n, accuracy: right as f64 / n })
    }
}

/// What turns the gradients of a batch into a step, one optimizer a layer.
#[derive(Clone, PartialEq)]
pub struct Trainer<R> {
    /// What is trained.
    pub network: Network,
    per_example: R,
    hidden: LayerOptimizer<f32, R>,
    output: LayerOptimizer<f32, R>,
}

impl<R: Rule> Trainer<R> {
    /// Trains `network` with hyper-parameters stated per example.
    pub fn new(network: Network, per_example: R, second: SecondMoment) -> Result<Self> {
        let mut hidden = LayerOptimizer::new(per_example, &network.hidden)?;
        let mut output = LayerOptimizer::new(per_example, &network.output)?;
        hidden.set_second(second);
        output.set_second(second);
        Ok(Trainer { network, per_example, hidden, output })
    }

    /// Refuses steps after which anything would not be finite.
    pub fn refuse_non_finite(&mut self) {
        self.hidden.set_non_finite(NonFinite::Refuse);
        self.output.set_non_finite(NonFinite::Refuse);
    }

    /// One step on a batch of any size, which settles the learning rate and the windows.
    pub fn step(&mut self, batch: &Digits) -> Result<()> {
        let config = self.per_example.at_batch_size(batch.len());
        self.hidden.set_config(config)?;
        self.output.set_config(config)?;

        let (hidden, mut outputs) = self.network.forward(&batch.images)?;
        // The gradient of each example's own loss: the probabilities, less 1 where the label is.
        for (k, &label) in batch.labels.iter().enumerate() {
            let outputs = outputs.row_mut(k).ok_or("fewer outputs than labels")?;
            for (digit, p) in softmax(outputs).into_iter().enumerate() {
                outputs[digit] = (p - f64::from(u8::from(digit == label))) as f32;
            }
        }
        let d_outputs = outputs;
        let mut d_hidden = self.network.output.input_grad(&d_outputs)?;
        for (d, &h) in d_hidden.as_mut_slice().iter_mut().zip(hidden.as_slice()) {
            if h == 0.0 {
                *d = 0.0;
            }
        }
        let Network { hidden: hidden_layer, output: output_layer } = &mut self.network;
        // The hidden layer first: it sees what is not finite in the images, and in all that follows.
        self.hidden.step_layer(hidden_layer, LayerBatch::new(&batch.images, &d_hidden))?;
        self.output.step_layer(output_layer, LayerBatch::new(&hidden, &d_outputs))?;
        Ok(())
    }
}

/// Probabilities. `exp` comes from `libm`, as `log` does, so that every platform has the same bits.
fn softmax(outputs: &[f32]) -> [f64; CLASSES] {
    let most = outputs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut p = [0.0; CLASSES];
    for (p, &output) in p.iter_mut().zip(outputs) {
        *p = libm::exp(f64::from(output) - f64::from(most));
    }
    let sum: f64 = p.iter().sum();
    p.map(|p| p / sum)
}
