//! A network that learns to read digits, in memory that one can count: the program of the firmware,
//! also compiled for the host by `core/tests/firmware.rs`, which must arrive at the same bits.
//!
//! 64 pixels, [`HIDDEN`] rectified units, 10 outputs with softmax and cross-entropy. Each layer takes its
//! Adam step on `grad_sq` straight from the batch: there is no gradient buffer.

use pergrad_core::{
    AdamConfig, AdamState, Batch, Dims, Error, Isa, LayerStep, Part, Start, Window, forward,
    input_grad, step_adam,
};
use sha2::{Digest, Sha256};

/// Pixels of an image.
pub const PIXELS: usize = 64;
/// Kinds of digits.
pub const DIGITS: usize = 10;
/// Hidden units.
pub const HIDDEN: usize = 40;
/// Examples in a batch.
pub const BATCH: usize = 16;
/// Times that every example is seen.
pub const EPOCHS: u32 = 8;
/// Bytes of an example: its pixels from 0 to 16, then the digit.
pub const RECORD: usize = PIXELS + 1;
/// Every so many examples one is held out of the training.
const HELD_OUT: usize = 7;

/// A fully connected layer with the state of its optimizer.
struct Layer<const WEIGHTS: usize, const OUTPUTS: usize> {
    weight: [f32; WEIGHTS],
    bias: [f32; OUTPUTS],
    weight_state: [[f32; WEIGHTS]; 2],
    bias_state: [[f32; OUTPUTS]; 2],
}

impl<const WEIGHTS: usize, const OUTPUTS: usize> Layer<WEIGHTS, OUTPUTS> {
    const INPUTS: usize = WEIGHTS / OUTPUTS;
    const DIMS: Dims = Dims::new(BATCH, OUTPUTS, Self::INPUTS);

    const fn new() -> Self {
        Layer {
            weight: [0.0; WEIGHTS],
            bias: [0.0; OUTPUTS],
            weight_state: [[0.0; WEIGHTS]; 2],
            bias_state: [[0.0; OUTPUTS]; 2],
        }
    }

    /// Uniform weights between -1 and 1 over the root of the inputs; everything else 0.
    fn init(&mut self, random: &mut u32) {
        *self = Self::new();
        let bound = 1.0 / pergrad_core::Element::sqrt(Self::INPUTS as f32);
        for weight in &mut self.weight {
            *random ^= *random << 13;
            *random ^= *random >> 17;
            *random ^= *random << 5;
            *weight = ((*random >> 8) as f32 / 8_388_608.0 - 1.0) * bound;
        }
    }

    fn forward(&self, isa: Isa, x: &[f32], y: &mut [f32]) -> Result<(), Error> {
        forward(isa, Self::DIMS, x, &self.weight, Some(&self.bias), Start::Fresh, y)
    }

    fn step(
        &mut self,
        isa: Isa,
        adam: &AdamConfig,
        t: u64,
        x: &[f32],
        dy: &[f32],
    ) -> Result<(), Error> {
        let c = adam.step_coeffs(t)?;
        let layer = LayerStep::mean(Batch::new(Self::DIMS, x, dy));
        let [m, v] = &mut self.weight_state;
        step_adam(isa, &layer, Part::Weight, &c, &mut self.weight, AdamState::new(m, v), &mut [])?;
        let [m, v] = &mut self.bias_state;
        step_adam(isa, &layer, Part::Bias, &c, &mut self.bias, AdamState::new(m, v), &mut [])
    }

    fn hash(&self, hash: &mut Sha256) {
        for value in self.weight.iter().chain(&self.bias) {
            hash.update(value.to_bits().to_le_bytes());
        }
    }
}

/// Everything that training needs besides the data: parameters, optimizer state, one batch.
pub struct Trainer {
    hidden: Layer<{ HIDDEN * PIXELS }, HIDDEN>,
    output: Layer<{ DIGITS * HIDDEN }, DIGITS>,
    x: [f32; BATCH * PIXELS],
    h: [f32; BATCH * HIDDEN],
    dh: [f32; BATCH * HIDDEN],
    y: [f32; BATCH * DIGITS],
    labels: [u8; BATCH],
}

/// What an epoch gave.
pub struct Epoch {
    /// From 1 on.
    pub number: u32,
    /// Mean cross-entropy of the training examples as they were seen.
    pub loss: f32,
    /// Held-out examples that are read correctly, of how many.
    pub correct: (u32, u32),
}

impl Trainer {
    /// Zeros. (A static that holds other things too starts from whatever it held: `train` sets all.)
    #[allow(dead_code)]
    pub const fn new() -> Self {
        Trainer {
            hidden: Layer::new(),
            output: Layer::new(),
            x: [0.0; BATCH * PIXELS],
            h: [0.0; BATCH * HIDDEN],
            dh: [0.0; BATCH * HIDDEN],
            y: [0.0; BATCH * DIGITS],
            labels: [0; BATCH],
        }
    }

    /// Trains on `data`, records of [`RECORD`] bytes, from new weights. Returns the SHA-256 of the
    /// weights and biases.
    pub fn train(
        &mut self,
        isa: Isa,
        data: &[u8],
        mut report: impl FnMut(Epoch),
    ) -> Result<[u8; 32], Error> {
        let mut random = 2_463_534_242;
        self.hidden.init(&mut random);
        self.output.init(&mut random);
        let adam =
            AdamConfig::new(5e-4, Window::new(256.0)?, Window::new(2560.0)?).at_batch_size(BATCH);
        let examples = data.len() / RECORD;
        let (mut t, mut position) = (0, 0);
        for number in 1..=EPOCHS {
            let (mut loss, mut batches) = (0.0, 0);
            let mut left = examples - examples.div_ceil(HELD_OUT);
            while left >= BATCH {
                self.load(data, || {
                    // A stride with no factor in common goes through all of them out of order.
                    loop {
                        position = (position + 1009) % examples.max(1);
                        if position % HELD_OUT != 0 {
                            return position;
                        }
                    }
                });
                self.forward(isa)?;
                loss += self.loss();
                t += 1;
                self.backward(isa, &adam, t)?;
                batches += 1;
                left -= BATCH;
            }
            let loss = loss / (batches * BATCH as u32) as f32;
            report(Epoch { number, loss, correct: self.held_out(isa, data)? });
        }
        let mut hash = Sha256::new();
        self.hidden.hash(&mut hash);
        self.output.hash(&mut hash);
        Ok(hash.finalize().into())
    }

    /// Loads a batch of the examples that `next` names.
    fn load(&mut self, data: &[u8], mut next: impl FnMut() -> usize) {
        for (x, label) in self.x.chunks_exact_mut(PIXELS).zip(&mut self.labels) {
            let mut record = data.iter().skip(next() * RECORD);
            for (x, &pixel) in x.iter_mut().zip(&mut record) {
                *x = pixel as f32 / 16.0;
            }
            *label = record.next().copied().unwrap_or_default();
        }
    }

    fn forward(&mut self, isa: Isa) -> Result<(), Error> {
        self.hidden.forward(isa, &self.x, &mut self.h)?;
        for h in &mut self.h {
            *h = if *h > 0.0 { *h } else { 0.0 };
        }
        self.output.forward(isa, &self.h, &mut self.y)
    }

    /// The sum of the examples' losses; `y` becomes its gradient, per example.
    fn loss(&mut self) -> f32 {
        let mut loss = 0.0;
        for (y, &label) in self.y.chunks_exact_mut(DIGITS).zip(&self.labels) {
            let most = y.iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
            let mut sum = 0.0;
            for y in y.iter_mut() {
                *y = libm::expf(*y - most);
                sum += *y;
            }
            for (digit, y) in (0u8..).zip(y) {
                *y /= sum;
                if digit == label {
                    loss -= libm::logf(*y);
                    *y -= 1.0;
                }
            }
        }
        loss
    }

    fn backward(&mut self, isa: Isa, adam: &AdamConfig, t: u64) -> Result<(), Error> {
        let dims = Dims::new(BATCH, DIGITS, HIDDEN);
        input_grad(isa, dims, &self.y, &self.output.weight, Start::Fresh, &mut self.dh)?;
        for (dh, h) in self.dh.iter_mut().zip(&self.h) {
            if *h == 0.0 {
                *dh = 0.0;
            }
        }
        self.output.step(isa, adam, t, &self.h, &self.y)?;
        self.hidden.step(isa, adam, t, &self.x, &self.dh)
    }

    /// Held-out examples that are read correctly, and how many there are.
    fn held_out(&mut self, isa: Isa, data: &[u8]) -> Result<(u32, u32), Error> {
        let total = (data.len() / RECORD).div_ceil(HELD_OUT);
        let (mut correct, mut seen, mut next) = (0, 0, 0);
        while seen < total {
            self.load(data, || {
                next += HELD_OUT;
                next - HELD_OUT
            });
            self.forward(isa)?;
            for (y, &label) in self.y.chunks_exact(DIGITS).zip(&self.labels).take(total - seen) {
                let (mut best, mut most) = (0, f32::NEG_INFINITY);
                for (digit, &y) in (0u8..).zip(y) {
                    if y > most {
                        (best, most) = (digit, y);
                    }
                }
                correct += (best == label) as u32;
            }
            seen += BATCH;
        }
        Ok((correct, total as u32))
    }
}
