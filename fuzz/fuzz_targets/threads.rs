//! The std crate's layers and optimizers on 1 to 4 threads, against the core in one piece: the same bits,
//! and the same refusals.
#![no_main]
use std::sync::OnceLock;

use pergrad::{
    LayerBatch, LayerOptimizer, Linear, NonFinite, Params, Rule, Scale, SecondMoment, Tensor,
};
use pergrad_core::{
    Batch, Dims, Error, Fold, Isa, LayerStep, Part, Start, bias_grad, bias_moments, bias_sq_norms,
    forward, grad, input_grad, moments, per_example_grad, sq_norms,
};
use pergrad_fuzz::Source;
use pergrad_fuzz::support::optimizers::Config;
use pergrad_fuzz::support::values::Real;
use rayon::{ThreadPool, ThreadPoolBuilder};

fn pools() -> &'static [ThreadPool] {
    static POOLS: OnceLock<Vec<ThreadPool>> = OnceLock::new();
    POOLS.get_or_init(|| {
        let pool = |n| ThreadPoolBuilder::new().num_threads(n).build().expect("threads");
        (1..=4).map(pool).collect()
    })
}

fn same<T: Real>(what: &str, got: &[T], want: &[T]) {
    assert_eq!(got.len(), want.len(), "{what}");
    let differs = |k: &usize| !got[*k].same(want[*k]);
    if let Some(k) = (0..got.len()).find(differs) {
        panic!("{what}[{k}] is {:?}, not {:?}", got[k], want[k]);
    }
}

/// What a layer sees, and the same as the core takes it.
struct Seen<T> {
    layer: Linear<T>,
    dims: Dims,
    x: Tensor<T>,
    dy: Tensor<T>,
    weights: Option<Vec<T>>,
    scale: Scale,
}

impl<T: Real> Seen<T> {
    /// Large enough, most often, for several threads of what fuzzing has as a thread's least work.
    fn draw(s: &mut Source<'_>) -> Self {
        let most = s.pick(&[
            [9, 1, 70, 40],
            [5, 3, 70, 20],
            [70, 1, 30, 9],
            [3, 1, 30, 1100],
            [3, 2, 9, 9],
        ]);
        // Near the most, so that there is work; or anything.
        let [batch, steps, outputs, inputs] = match s.flag() {
            true => most.map(|most| most - s.upto(most / 4)),
            false => most.map(|most| s.upto(most)),
        };
        let shape = |last| match steps {
            1 => vec![batch, last],
            _ => vec![batch, steps, last],
        };
        let mut tensor = |shape: &[usize]| {
            let values = s.values(shape.iter().product());
            Tensor::from_vec(shape, values).expect("the length is that of the shape")
        };
        let (x, dy) = (tensor(&shape(inputs)), tensor(&shape(outputs)));
        let (weight, bias) = (tensor(&[outputs, inputs]), tensor(&[outputs]));
        let bias = s.flag().then_some(bias);
        let layer = Linear::new(weight, bias).expect("a layer");
        let weights = s.flag().then(|| s.values(batch));
        let scale = if s.flag() { Scale::By(s.real()) } else { Scale::Mean };
        let dims = Dims { batch, steps, outputs, inputs };
        Seen { layer, dims, x, dy, weights, scale }
    }

    fn batch(&self) -> LayerBatch<'_, T> {
        let mut batch = LayerBatch::new(&self.x, &self.dy);
        (batch.example_weights, batch.scale) = (self.weights.as_deref(), self.scale);
        batch
    }

    fn core(&self) -> Batch<'_, T> {
        let batch = Batch::new(self.dims, self.x.as_slice(), self.dy.as_slice());
        match &self.weights {
            Some(c) => batch.with_example_weights(c),
            None => batch,
        }
    }

    /// All of the layer, by the core: outputs in the order of `by_std`.
    fn by_core(&self, isa: Isa) -> Result<Vec<Vec<T>>, Error> {
        let (dims, batch, fresh) = (self.dims, self.core(), Start::Fresh);
        let Dims { batch: examples, outputs, inputs, .. } = dims;
        let fold = Fold { start: fresh, scale: self.scale.factor(examples) };
        let zeros = |n: usize| vec![T::ZERO; n];
        let (mut y, mut dx) = (zeros(self.dy.len()), zeros(self.x.len()));
        let (x, dy, weight) = (batch.x, batch.dy, self.layer.weight().as_slice());
        let bias = self.layer.bias();
        forward(isa, dims, x, weight, bias.map(Tensor::as_slice), fresh, &mut y)?;
        input_grad(isa, dims, dy, weight, fresh, &mut dx)?;
        let mut norms = zeros(examples);
        sq_norms(isa, &batch, fresh, &mut norms)?;
        if bias.is_some() {
            bias_sq_norms(isa, &batch, Start::Resume, &mut norms)?;
        }
        let n = outputs * inputs;
        let (mut g, mut m, mut sq) = (zeros(n), zeros(n), zeros(n));
        let mut each = zeros(examples * n);
        grad(isa, &batch, fold, &mut g, &mut [])?;
        moments(isa, &batch, fold, &mut m, &mut sq, &mut [])?;
        per_example_grad(isa, &batch, &mut each)?;
        let mut all = vec![y, dx, norms, g, m, sq, each];
        if bias.is_some() {
            let (mut g, mut m, mut sq) = (zeros(outputs), zeros(outputs), zeros(outputs));
            bias_grad(isa, &batch, fold, &mut g)?;
            bias_moments(isa, &batch, fold, &mut m, &mut sq)?;
            all.extend([g, m, sq]);
        }
        Ok(all)
    }

    fn by_std(&self) -> Result<Vec<Tensor<T>>, pergrad::Error> {
        let (layer, batch) = (&self.layer, self.batch());
        let (grad, moments) = (layer.grad(batch)?, layer.moments(batch)?);
        let each = layer.per_example_grad(batch)?;
        let Params { weight, bias } = grad;
        let (m, sq) = (moments.grad, moments.grad_sq);
        let mut all = vec![layer.forward(&self.x)?, layer.input_grad(&self.dy)?];
        all.extend([layer.sq_norms(batch)?, weight, m.weight, sq.weight, each.weight]);
        all.extend([bias, m.bias, sq.bias].into_iter().flatten());
        Ok(all)
    }
}

fn statistics<T: Real>(s: &mut Source<'_>) {
    let seen = Seen::<T>::draw(s);
    let want = seen.by_core(Isa::detect()).expect("lengths that fit");
    for pool in pools() {
        let got = pool.install(|| seen.by_std()).expect("shapes that fit");
        assert_eq!(got.len(), want.len());
        for (k, (got, want)) in got.iter().zip(&want).enumerate() {
            let what =
                format!("output {k} of {:?} on {} threads", seen.dims, pool.current_num_threads());
            same(&what, got.as_slice(), want);
        }
    }
}

/// One part of a layer in a step: its parameters and state.
type Arrays<T> = [Vec<T>; 4];

/// A layer step on each pool against `want`, or against the index at which it must be refused.
fn step_std<T: Real, R: Rule>(
    seen: &Seen<T>,
    config: R,
    (t, second, non_finite): (u64, SecondMoment, NonFinite),
    names: [(&'static str, bool); 4],
    before: &[Arrays<T>; 2],
    want: &Result<[Arrays<T>; 2], Error>,
) {
    let Dims { outputs, inputs, .. } = seen.dims;
    let tensor = |shape: &[usize], v: &[T]| Tensor::from_slice(shape, v).expect("of that shape");
    let shapes = [&[outputs, inputs][..], &[outputs]];
    let [weight, bias] = [0, 1].map(|part| tensor(shapes[part], &before[part][0]));
    let layer = Linear::new(weight, seen.layer.bias().map(|_| bias)).expect("a layer");
    let mut optimizer = LayerOptimizer::new(config, &layer).expect("consistent");
    optimizer.set_second(second);
    optimizer.set_non_finite(non_finite);
    let state = |part: usize| {
        let kept = (1..4).filter(|&k| names[k].1);
        kept.map(|k| (names[k].0, tensor(shapes[part], &before[part][k]))).collect::<Vec<_>>()
    };
    optimizer.weight_mut().restore(t - 1, &state(0)).expect("its state");
    if let Some(bias) = optimizer.bias_mut() {
        bias.restore(t - 1, &state(1)).expect("its state");
    }
    for pool in pools() {
        let (mut layer, mut optimizer) = (layer.clone(), optimizer.clone());
        let result = pool.install(|| optimizer.step_layer(&mut layer, seen.batch()));
        assert_eq!(result, want.as_ref().map(|_| ()).map_err(|e| (*e).into()));
        let arrays = want.as_ref().unwrap_or(before);
        let of = |part: usize, params: &Tensor<T>, o: &pergrad::Optimizer<T, R>| {
            let what = format!("{:?} {config:?} on {}", seen.dims, pool.current_num_threads());
            same(&what, params.as_slice(), &arrays[part][0]);
            for (name, got) in o.state() {
                let k = names.iter().position(|(n, _)| *n == name).expect("a name of its own");
                same(&format!("{name} {what}"), got.as_slice(), &arrays[part][k]);
            }
            assert_eq!(o.steps(), if want.is_ok() { t } else { t - 1 });
        };
        of(0, layer.weight(), optimizer.weight());
        if let (Some(bias), Some(o)) = (layer.bias(), optimizer.bias()) {
            of(1, bias, o);
        }
    }
}

fn steps<T: Real>(s: &mut Source<'_>) {
    let (config, t) = s.config();
    if !config.is_consistent::<T>(t) || !config.is_consistent::<T>(1) {
        return;
    }
    let second = s.pick(&[SecondMoment::GradSq, SecondMoment::SquaredGrad]);
    let non_finite = s.pick(&[NonFinite::Refuse, NonFinite::Propagate]);
    let seen = Seen::<T>::draw(s);
    let Dims { batch, outputs, inputs, .. } = seen.dims;
    let mut state = |n| s.state::<T>(&config, n).map(|output| output.before);
    let before = [state(outputs * inputs), state(outputs)];

    let scale = seen.scale.factor(batch);
    let layer = LayerStep { batch: seen.core(), scale, second, non_finite };
    let one = |part, name, before: &Arrays<T>| {
        let mut arrays = before.clone();
        let lent = arrays.each_mut().map(Vec::as_mut_slice);
        let done = config.step(Isa::detect(), t, &layer, part, lent, &mut []);
        // The core knows no layer.
        done.map(|()| arrays).map_err(|e| match e {
            Error::NonFinite { index, .. } => Error::NonFinite { arg: name, index },
            other => other,
        })
    };
    let want = one(Part::Weight, "layer.weight", &before[0]).and_then(|weight| {
        let bias = match seen.layer.bias() {
            Some(_) => one(Part::Bias, "layer.bias", &before[1])?,
            None => before[1].clone(),
        };
        Ok([weight, bias])
    });
    let (how, names) = ((t, second, non_finite), config.arrays());
    match config {
        Config::Momentum(c) => step_std(&seen, c, how, names, &before, &want),
        Config::Rmsprop(c) => step_std(&seen, c, how, names, &before, &want),
        Config::Adam(c) => step_std(&seen, c, how, names, &before, &want),
    }
}

fn check<T: Real>(s: &mut Source<'_>) {
    if s.flag() { steps::<T>(s) } else { statistics::<T>(s) }
}
pergrad_fuzz::fuzz_both_types!(check);
