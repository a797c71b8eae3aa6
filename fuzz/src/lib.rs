//! Decoding of fuzz inputs into calls of the kernels; guards and comparison are those of the core's
//! own tests.

#[path = "../../core/tests/support/mod.rs"]
pub mod support;

use std::ops::Range;

use arbitrary::{Arbitrary, Unstructured};
use pergrad_core::{
    AdamConfig, AmsGrad, Batch, Decay, Dims, Epsilon, Fold, LrPlacement, MomentumConfig,
    MomentumForm, RmspropConfig, Start, WarmUp, Window, scratch_len,
};
use support::compare::Output;
use support::guard::{Guarded, LANES};
use support::optimizers::Config;
use support::values::{Kind, Real, Rng};

/// Decides by the first byte between `f32` and `f64`, then hands the rest to a generic function.
#[macro_export]
macro_rules! fuzz_both_types {
    ($check:ident) => {
        libfuzzer_sys::fuzz_target!(|data: &[u8]| {
            let mut source = $crate::Source::new(data);
            if source.flag() { $check::<f32>(&mut source) } else { $check::<f64>(&mut source) }
        });
    };
}

/// The bytes of a fuzz input. When they end, numbers are 0 and switches off.
pub struct Source<'a>(Unstructured<'a>);

/// A batch: extents, inputs at any offset, how it is folded and cut.
pub struct Case<T> {
    pub dims: Dims,
    pub x: Guarded<T>,
    pub dy: Guarded<T>,
    pub weights: Option<Guarded<T>>,
    pub fold: Fold,
    /// Elements of scratch memory.
    pub scratch: usize,
    /// Consecutive ranges of examples that make up the batch; some may be empty.
    pub cuts: Vec<Range<usize>>,
    pub seed: u64,
}

impl<'a> Source<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Source(Unstructured::new(data))
    }

    pub fn any<V: Arbitrary<'a> + Default>(&mut self) -> V {
        V::arbitrary(&mut self.0).unwrap_or_default()
    }

    /// All that is left, as it is.
    pub fn rest(&mut self) -> &'a [u8] {
        self.0.bytes(self.0.len()).expect("so many are left")
    }

    pub fn flag(&mut self) -> bool {
        self.any::<u8>() & 1 == 1
    }

    /// A number up to `most`, which is at most 65535.
    pub fn upto(&mut self, most: usize) -> usize {
        let n: usize = if most < 256 { self.any::<u8>().into() } else { self.any::<u16>().into() };
        n % (most + 1)
    }

    pub fn pick<V: Copy>(&mut self, items: &[V]) -> V {
        items[self.upto(items.len() - 1)]
    }

    /// Any `f64`, or one that means something as a hyper-parameter.
    pub fn real(&mut self) -> f64 {
        let usual = [0.0, 1e-3, 0.1, 0.5, 0.9, 0.999, 1.0, 2.0, 100.0, 1e-8, 1e-30, 1e-300];
        match self.upto(usual.len()) {
            k if k < usual.len() => usual[k],
            _ => f64::from_bits(self.any()),
        }
    }

    /// `n` values: any bits from the input, or of one kind from a seed.
    pub fn values<T: Real>(&mut self, n: usize) -> Vec<T> {
        match self.upto(Kind::ALL.len()) {
            k if k < Kind::ALL.len() => Rng::new(self.any()).values(Kind::ALL[k], n),
            _ => (0..n).map(|_| T::from_bits(self.any())).collect(),
        }
    }

    /// An input of a kernel, at any offset.
    pub fn guarded<T: Real>(&mut self, n: usize) -> Guarded<T> {
        let offset = self.upto(LANES);
        Guarded::at(offset, &self.values(n))
    }

    /// An output of a kernel, with something to resume from.
    pub fn output<T: Real>(&mut self, name: &'static str, n: usize) -> Output<T> {
        Output { name, before: self.values(n) }
    }

    /// Extents from 0; where one is large the others are small, so that a run stays short.
    pub fn dims(&mut self) -> Dims {
        let most = self.pick(&[
            [9, 4, 14, 70],
            [3, 2, 5, 700],
            [300, 1, 7, 20],
            [2, 90, 5, 20],
            [12, 2, 13, 1100],
        ]);
        let [batch, steps, outputs, inputs] = most.map(|most| self.upto(most));
        Dims { batch, steps, outputs, inputs }
    }

    pub fn case<T: Real>(&mut self) -> Case<T> {
        let dims = self.dims();
        let len = "the extents are bounded";
        let x = self.guarded(dims.x_len().expect(len));
        let dy = self.guarded(dims.y_len().expect(len));
        let weights = self.flag().then(|| self.guarded(dims.batch));
        let start = self.pick(&[Start::Fresh, Start::Resume]);
        let scale = self.flag().then(|| self.real());
        let scratch = match self.upto(3) {
            0 => 0,
            1 => scratch_len(dims),
            _ => self.upto(4096).min(scratch_len(dims) + 16),
        };
        let mut cuts = Vec::new();
        let mut from = 0;
        for _ in 0..self.upto(3) {
            let to = from + self.upto(dims.batch - from);
            cuts.push(from..to);
            from = to;
        }
        cuts.push(from..dims.batch);
        let fold = Fold { start, scale };
        Case { dims, x, dy, weights, fold, scratch, cuts, seed: self.any() }
    }

    fn window(&mut self) -> Window {
        let length = self.real();
        let drawn = if self.flag() { Window::from_beta(length) } else { Window::new(length) };
        drawn.unwrap_or(Window::new(7.0).expect("more than a sample"))
    }

    fn decay(&mut self) -> Decay {
        match self.upto(2) {
            0 => Decay::None,
            1 => Decay::Coupled(self.real()),
            _ => Decay::Decoupled(self.real()),
        }
    }

    fn epsilon(&mut self) -> Epsilon {
        match self.upto(3) {
            0 => Epsilon::Outside(self.real()),
            1 => Epsilon::Hat(self.real()),
            2 => Epsilon::Inside(self.real()),
            _ => Epsilon::Both { inside: self.real(), outside: self.real() },
        }
    }

    /// Any configuration, and the number of a step; most often those that coefficients can be had of.
    pub fn config(&mut self) -> (Config, u64) {
        let warm_up = self.pick(&[WarmUp::None, WarmUp::ExactMean, WarmUp::Debias]);
        let placement = self.pick(&[LrPlacement::Outside, LrPlacement::Inside]);
        let (lr, window, decay) = (self.real(), self.window(), self.decay());
        let (nesterov, maximize) = (self.flag(), self.flag());
        let config = match self.upto(2) {
            0 => {
                let forms = [MomentumForm::Plain, MomentumForm::Sum, MomentumForm::Average];
                let mut c = MomentumConfig::new(lr, window);
                (c.form, c.warm_up, c.nesterov) = (self.pick(&forms), warm_up, nesterov);
                (c.lr_placement, c.decay, c.maximize) = (placement, decay, maximize);
                c.dampening = if self.flag() { self.real() } else { 0.0 };
                Config::Momentum(c)
            }
            1 => {
                let mut c = RmspropConfig::new(lr, window);
                (c.warm_up, c.centered, c.nesterov) = (warm_up, self.flag(), nesterov);
                (c.lr_placement, c.decay, c.maximize) = (placement, decay, maximize);
                c.epsilon = self.epsilon();
                c.momentum = self.flag().then(|| self.window());
                Config::Rmsprop(c)
            }
            _ => {
                let amsgrads = [AmsGrad::Off, AmsGrad::Uncorrected, AmsGrad::Corrected];
                let mut c = AdamConfig::new(lr, window, self.window());
                (c.warm_up, c.amsgrad, c.nesterov) = (warm_up, self.pick(&amsgrads), nesterov);
                (c.decay, c.maximize, c.epsilon) = (decay, maximize, self.epsilon());
                Config::Adam(c)
            }
        };
        let t = if self.flag() { self.any() } else { 1 + self.any::<u8>() as u64 };
        (config, t)
    }

    /// The parameters and the state of an optimizer.
    pub fn state<T: Real>(&mut self, config: &Config, n: usize) -> [Output<T>; 4] {
        config.arrays().map(|(name, used)| self.output(name, if used { n } else { 0 }))
    }
}

/// The part of an output with `width` elements an example that belongs to some examples.
pub fn part<'a, T>(output: &'a mut [T], width: usize, examples: &Range<usize>) -> &'a mut [T] {
    &mut output[examples.start * width..examples.end * width]
}

impl<T: Real> Case<T> {
    pub fn batch(&self) -> Batch<'_, T> {
        let batch = Batch::new(self.dims, self.x.slice(), self.dy.slice());
        match &self.weights {
            Some(c) => batch.with_example_weights(c.slice()),
            None => batch,
        }
    }

    /// The micro-batches, each with the fold that continues the one before; the last one scales.
    pub fn pieces(&self) -> impl Iterator<Item = (Batch<'_, T>, Fold)> {
        self.cuts.iter().enumerate().map(|(k, cut)| {
            let Dims { steps, outputs, inputs, .. } = self.dims;
            let rows = cut.start * steps..cut.end * steps;
            let mut piece = self.batch();
            piece.dims.batch = cut.len();
            piece.x = &piece.x[rows.start * inputs..rows.end * inputs];
            piece.dy = &piece.dy[rows.start * outputs..rows.end * outputs];
            piece.example_weights = piece.example_weights.map(|c| &c[cut.clone()]);
            let start = if k == 0 { self.fold.start } else { Start::Resume };
            let scale = self.fold.scale.filter(|_| k + 1 == self.cuts.len());
            (piece, Fold { start, scale })
        })
    }

    /// The same with the examples of each, for outputs that have an example's own part.
    pub fn parts(&self) -> impl Iterator<Item = (Batch<'_, T>, &Range<usize>)> {
        self.pieces().map(|(piece, _)| piece).zip(&self.cuts)
    }

    /// What a failure prints.
    pub fn label(&self) -> String {
        format!("{:?} {:?} scratch {} cuts {:?}", self.dims, self.fold, self.scratch, self.cuts)
    }

    pub fn weight_len(&self) -> usize {
        self.dims.outputs * self.dims.inputs
    }
}
