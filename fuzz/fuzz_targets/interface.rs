//! The std interface: any shapes and lengths give an error or a valid object, whatever was refused
//! left parameters alone, and 1 to 4 threads give the same bits.
#![no_main]
use std::sync::OnceLock;

use pergrad::{
    Adam, Error, LayerBatch, Linear, MomentsSum, Momentum, Rmsprop, Rule, Scale, Tensor,
};
use pergrad_fuzz::Source;
use pergrad_fuzz::support::optimizers::Config;
use pergrad_fuzz::support::values::Real;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Extents multiply to more than this only in shapes that must be refused or hold nothing.
const MOST: usize = 1 << 12;

fn pools() -> &'static [ThreadPool] {
    static POOLS: OnceLock<Vec<ThreadPool>> = OnceLock::new();
    POOLS.get_or_init(|| {
        let pool = |n| ThreadPoolBuilder::new().num_threads(n).build().expect("threads");
        (1..=4).map(pool).collect()
    })
}

fn same<T: Real>(a: &Tensor<T>, b: &Tensor<T>) {
    assert_eq!(a.shape(), b.shape());
    assert!(a.as_slice().iter().zip(b.as_slice()).all(|(a, b)| a.same(*b)), "bits differ");
}

/// Up to four extents: small ones, or any `usize`.
fn shape(s: &mut Source<'_>) -> Vec<usize> {
    (0..s.upto(4)).map(|_| if s.upto(7) == 7 { s.any() } else { s.upto(9) }).collect()
}

/// Elements, if the product fits.
fn elements(shape: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1usize, |n, &extent| n.checked_mul(extent))
}

/// Constructors with values of any length, and what may be asked of the tensor.
fn tensors<T: Real>(s: &mut Source<'_>) {
    let shape_of = shape(s);
    let need = elements(&shape_of);
    let len = match need {
        Some(n) if n <= MOST && s.flag() => n,
        _ => s.upto(99),
    };
    let values = s.values::<T>(len);
    let made = Tensor::from_slice(&shape_of, &values);
    if made.is_ok() {
        assert_eq!(need, Some(len), "{shape_of:?}");
    }
    let Ok(mut tensor) = made else { return };
    assert_eq!((tensor.shape(), tensor.len()), (&*shape_of, len));
    let indices: Vec<usize> = (0..s.upto(5)).map(|_| s.upto(11)).collect();
    if let Ok(rows) = tensor.select_rows(&indices) {
        for (&from, row) in indices.iter().zip(0..) {
            let bits =
                |row: Option<&[T]>| row.map(|r| r.iter().map(|v| v.bits()).collect::<Vec<_>>());
            assert_eq!(bits(tensor.row(from)), bits(rows.row(row)));
        }
    }
    let other = shape(s);
    let reshaped = tensor.reshape(&other).is_ok();
    assert_eq!(tensor.shape(), if reshaped { &*other } else { &*shape_of });
    assert_eq!(elements(tensor.shape()), Some(tensor.len()));
    // (Any number of rows of nothing may become more outputs than there is memory.)
    let rows = tensor.shape().split_last().and_then(|(_, rows)| elements(rows));
    if rows.is_some_and(|rows| rows > MOST) {
        return;
    }
    if let Ok(y) = Linear::init(s.upto(9), s.upto(9), s.flag(), 1).and_then(|l| l.forward(&tensor))
    {
        assert_eq!(elements(y.shape()), Some(y.len()));
    }
}

/// A tensor of this shape, or now and then of another.
fn tensor<T: Real>(s: &mut Source<'_>, wanted: &[usize]) -> Result<Tensor<T>, Error> {
    let mut wanted = wanted.to_vec();
    if s.upto(15) == 15 {
        wanted = (0..s.upto(4)).map(|_| s.upto(9)).collect();
    }
    let len = wanted.iter().product();
    Tensor::from_slice(&wanted, &s.values::<T>(len))
}

/// Everything of a layer, on each number of threads.
fn layer<T: Real>(s: &mut Source<'_>) -> Result<(), Error> {
    // Large ones are split over threads.
    let most = s.pick(&[[5, 9, 9], [64, 40, 400]]);
    let [b, j, i] = most.map(|most| s.upto(most));
    let weight = tensor::<T>(s, &[j, i])?;
    let bias = if s.flag() { Some(tensor(s, &[j])?) } else { None };
    let layer = Linear::new(weight, bias)?;
    let (x, dy) = (tensor::<T>(s, &[b, i])?, tensor::<T>(s, &[b, j])?);
    let n = if s.upto(7) == 7 { s.upto(9) } else { b };
    let weights = s.values::<T>(n);
    let mut batch = LayerBatch::new(&x, &dy);
    batch.example_weights = s.flag().then_some(&weights);
    batch.scale = if s.flag() { Scale::By(s.real()) } else { Scale::Mean };
    let on = |k: usize| {
        pools()[k].install(|| {
            let mut out = Vec::new();
            out.extend(layer.forward(&x).ok());
            out.extend(layer.input_grad(&dy).ok());
            out.extend(layer.sq_norms(batch).ok());
            let mut params = Vec::new();
            params.extend(layer.grad(batch).ok());
            params.extend(layer.moments(batch).ok().into_iter().flat_map(|m| [m.grad, m.grad_sq]));
            let mut sum = MomentsSum::new(j, i, layer.bias().is_some())?;
            if sum.add(batch).is_ok() {
                let m = sum.finish(batch.scale);
                params.extend([m.grad, m.grad_sq]);
            }
            for p in params {
                out.extend([Some(p.weight), p.bias].into_iter().flatten());
            }
            Ok::<_, Error>(out)
        })
    };
    let one = on(0)?;
    for k in 1..pools().len() {
        let more = on(k)?;
        assert_eq!(one.len(), more.len());
        one.iter().zip(&more).for_each(|(a, b)| same(a, b));
    }
    Ok(())
}

/// Any configuration, parameters and gradients of shapes that may not fit.
fn optimizer<T: Real>(s: &mut Source<'_>) -> Result<(), Error> {
    fn run<T: Real, R: Rule>(
        s: &mut Source<'_>,
        made: Result<pergrad::Optimizer<T, R>, Error>,
        shape: &[usize],
    ) -> Result<(), Error> {
        let mut optimizer = made?;
        assert_eq!(optimizer.shape(), shape);
        let (mut params, grad) = (tensor::<T>(s, shape)?, tensor::<T>(s, shape)?);
        let before = params.clone();
        if optimizer.step(&mut params, &grad).is_err() {
            same(&before, &params);
            assert_eq!(optimizer.steps(), 0);
        }
        let _ = optimizer.set_lr(s.real());
        let state = [("exp_avg", tensor(s, shape)?), ("exp_avg_sq", tensor(s, shape)?)];
        let _ = optimizer.restore(s.any(), &state[..s.upto(2)]);
        let _ = optimizer.step(&mut params, &grad);
        Ok(())
    }
    let shape: Vec<usize> = (0..s.upto(3)).map(|_| s.upto(9)).collect();
    match s.config().0 {
        Config::Momentum(c) => run(s, Momentum::<T>::new(c, &shape), &shape),
        Config::Rmsprop(c) => run(s, Rmsprop::<T>::new(c, &shape), &shape),
        Config::Adam(c) => run(s, Adam::<T>::new(c, &shape), &shape),
    }
}

fn check<T: Real>(s: &mut Source<'_>) {
    match s.upto(2) {
        0 => tensors::<T>(s),
        // That something was refused is an answer like any other.
        1 => drop(layer::<T>(s)),
        _ => drop(optimizer::<T>(s)),
    }
}
pergrad_fuzz::fuzz_both_types!(check);
