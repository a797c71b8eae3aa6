//! The runs: three methods, each at four batch sizes.

use pergrad::{AdamConfig, MomentumConfig, Rule, SecondMoment, Window};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::Result;
use crate::data::Digits;
use crate::network::{Network, Score, Trainer};

/// The batch sizes of each method.
pub const BATCH_SIZES: [usize; 4] = [8, 32, 128, 512];

/// Windows of the running averages of the gradient and of the second moment, in examples.
const WINDOW: f64 = 2048.0;
const WINDOW_SQ: f64 = 20_480.0;

/// The pixel that is not a number in a poisoned image.
const POISONED_PIXEL: usize = 27;

/// The ways to make a step from the gradients of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Momentum.
    Momentum,
    /// Adam as everyone has it: the second moment is the square of the batch's average gradient.
    AdamOnSquaredAverage,
    /// Adam with the mean of the squares of the per-example gradients.
    AdamOnGradSq,
}

impl Method {
    /// All three.
    pub const ALL: [Method; 3] =
        [Method::Momentum, Method::AdamOnSquaredAverage, Method::AdamOnGradSq];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Method::Momentum => "Momentum",
            Method::AdamOnSquaredAverage => "Adam on the squared average",
            Method::AdamOnGradSq => "Adam on grad_sq",
        }
    }

    /// The learning rate per example, unless another one is given.
    pub fn default_lr(self) -> f64 {
        match self {
            Method::Momentum => 3e-3,
            Method::AdamOnSquaredAverage | Method::AdamOnGradSq => 1e-4,
        }
    }
}

/// What all runs share.
pub struct Setup {
    /// What they learn from.
    pub train: Digits,
    /// What they are tested on at the end.
    pub test: Digits,
    /// Passes over the training digits.
    pub epochs: usize,
    /// Of the initial weights and of the order of examples.
    pub seed: u64,
    /// Poison one image of the second batch, and refuse steps that would not leave all finite.
    pub poison: bool,
}

/// What came of a run.
pub struct Outcome {
    /// The loss over all training digits: before the first step, then after each epoch.
    pub losses: Vec<f64>,
    /// On the digits held out, at the end.
    pub test: Score,
    /// Why a step was refused, if one was.
    pub refused: Option<String>,
}

impl Setup {
    /// One run. The learning rate is per example. `progress` is told the examples of each step.
    pub fn run(
        &self,
        method: Method,
        lr: f64,
        batch_size: usize,
        progress: impl Fn(usize),
    ) -> Result<Outcome> {
        let (window, window_sq) = (Window::new(WINDOW)?, Window::new(WINDOW_SQ)?);
        // `new` warms up by the exact mean.
        let adam = AdamConfig::new(lr, window, window_sq);
        let momentum = MomentumConfig::new(lr, window);
        match method {
            Method::Momentum => {
                // It has no second moment; either will do.
                self.run_rule(momentum, SecondMoment::GradSq, batch_size, progress)
            }
            Method::AdamOnSquaredAverage => {
                self.run_rule(adam, SecondMoment::SquaredGrad, batch_size, progress)
            }
            Method::AdamOnGradSq => self.run_rule(adam, SecondMoment::GradSq, batch_size, progress),
        }
    }

    fn run_rule<R: Rule>(
        &self,
        per_example: R,
        second: SecondMoment,
        batch_size: usize,
        progress: impl Fn(usize),
    ) -> Result<Outcome> {
        let mut trainer = Trainer::new(Network::new(self.seed)?, per_example, second)?;
        let mut order = Order::new(self.seed, self.train.len());
        let mut losses = vec![trainer.network.score(&self.train)?.loss];
        let mut refused = None;
        if self.poison {
            trainer.refuse_non_finite();
        }
        for epoch in 0..self.epochs {
            // The last batch of an epoch is short; its step is that of its size.
            for (k, batch) in order.shuffle().chunks(batch_size).enumerate() {
                let mut digits = self.train.pick(batch)?;
                if self.poison && (epoch, k) == (0, 1) {
                    digits.images.as_mut_slice()[POISONED_PIXEL] = f32::NAN;
                    refused = Some(refused_step(&mut trainer, &digits)?);
                } else {
                    trainer.step(&digits)?;
                }
                progress(batch.len());
            }
            losses.push(trainer.network.score(&self.train)?.loss);
        }
        Ok(Outcome { losses, test: trainer.network.score(&self.test)?, refused })
    }
}

/// Why the step is refused; an error if it is not, or if it leaves anything changed.
fn refused_step<R: Rule>(trainer: &mut Trainer<R>, batch: &Digits) -> Result<String> {
    let before = trainer.clone();
    match trainer.step(batch) {
        Ok(()) => Err("a poisoned step went through".into()),
        Err(_) if *trainer != before => Err("a refused step changed something".into()),
        Err(why) => Ok(why.to_string()),
    }
}

/// The order in which examples come: a new one each epoch, the same for every run.
struct Order {
    rng: ChaCha8Rng,
    indices: Vec<usize>,
}

impl Order {
    fn new(seed: u64, n: usize) -> Self {
        let mut bytes = [b'o'; 32]; // not the seed of any layer
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Order { rng: ChaCha8Rng::from_seed(bytes), indices: (0..n).collect() }
    }

    /// Shuffles once more (Fisher and Yates).
    fn shuffle(&mut self) -> &[usize] {
        for k in (1..self.indices.len()).rev() {
            let below = (u128::from(self.rng.next_u64()) * (k as u128 + 1)) >> 64;
            self.indices.swap(k, below as usize);
        }
        &self.indices
    }
}

/// How far the losses of several runs are apart: the largest over the smallest, at the epoch where that
/// is worst. At the end of an epoch all runs have seen the same examples.
pub fn spread(runs: &[&Outcome]) -> f64 {
    let epochs = runs.iter().map(|run| run.losses.len()).min().unwrap_or(0);
    (0..epochs)
        .map(|epoch| {
            let losses = runs.iter().map(|run| run.losses[epoch]);
            let most = losses.clone().fold(f64::NEG_INFINITY, f64::max);
            most / losses.fold(f64::INFINITY, f64::min)
        })
        .fold(1.0, f64::max)
}
