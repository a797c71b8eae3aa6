//! The layer: against finite differences, and against the core's plain loops to the bit.

mod common;

use common::{assert_bits, assert_params_bits, tensor};
use pergrad::core::{Batch, reference};
use pergrad::{
    Dims, Element, Error, Fold, LayerBatch, Linear, Moments, MomentsSum, Params, Scale, Start,
    Tensor, population_variance, sample_variance,
};

/// Shapes of `x` around the tiles, with and without steps, and numbers of outputs.
const SHAPES: [(&[usize], usize); 7] = [
    (&[1, 1], 1),
    (&[5, 7], 3),
    (&[4, 33], 17),
    (&[3, 4, 20], 9),
    (&[0, 4], 2),
    (&[2, 0, 4], 2),
    (&[2, 3, 0], 2),
];

fn layer<T: Element>(outputs: usize, inputs: usize, bias: bool) -> Linear<T> {
    let bias = bias.then(|| tensor(&[outputs], 2));
    Linear::new(tensor(&[outputs, inputs], 1), bias).unwrap()
}

fn dims(x: &[usize], outputs: usize) -> Dims {
    match *x {
        [b, i] => Dims::new(b, outputs, i),
        [b, t, i] => Dims::new(b, outputs, i).with_steps(t),
        _ => unreachable!(),
    }
}

fn replaced(shape: &[usize], last: usize) -> Vec<usize> {
    [&shape[..shape.len() - 1], &[last]].concat()
}

fn equals_the_reference<T: Element>() {
    for (x_shape, outputs) in SHAPES {
        let dims = dims(x_shape, outputs);
        let (x, dy) = (tensor::<T>(x_shape, 3), tensor::<T>(&replaced(x_shape, outputs), 4));
        let weights = tensor::<T>(&[dims.batch], 5);
        for bias in [false, true] {
            let layer = layer::<T>(outputs, dims.inputs, bias);
            let (w, b) = (layer.weight().as_slice(), layer.bias().map(Tensor::as_slice));

            let mut y = dy.clone();
            reference::forward(dims, x.as_slice(), w, b, Start::Fresh, y.as_mut_slice()).unwrap();
            assert_bits("y", layer.forward(&x).unwrap().as_slice(), y.as_slice());

            let mut dx = x.clone();
            reference::input_grad(dims, dy.as_slice(), w, Start::Fresh, dx.as_mut_slice()).unwrap();
            let got = layer.input_grad(&dy).unwrap();
            assert_eq!(got.shape(), x_shape);
            assert_bits("dx", got.as_slice(), dx.as_slice());

            for example_weights in [None, Some(weights.as_slice())] {
                let plain = Batch { dims, x: x.as_slice(), dy: dy.as_slice(), example_weights };
                for scale in [Scale::Mean, Scale::Sum, Scale::By(0.3)] {
                    let batch = LayerBatch { example_weights, scale, ..LayerBatch::new(&x, &dy) };
                    let fold = Fold { start: Start::Fresh, scale: scale.factor(dims.batch) };
                    if dims.batch == 0 && scale == Scale::Mean {
                        continue; // the mean of nothing is NaN
                    }
                    statistics(&layer, batch, &plain, fold);
                }
            }
        }
    }
}

fn statistics<T: Element>(
    layer: &Linear<T>,
    batch: LayerBatch<'_, T>,
    plain: &Batch<'_, T>,
    fold: Fold,
) {
    let Dims { batch: b, outputs: j, inputs: i, .. } = plain.dims;
    let bias = layer.bias().is_some();

    let mut want = Params::zeros(j, i, bias).unwrap();
    reference::grad(plain, fold, want.weight.as_mut_slice()).unwrap();
    if let Some(bias) = &mut want.bias {
        reference::bias_grad(plain, fold, bias.as_mut_slice()).unwrap();
    }
    assert_params_bits("grad", &layer.grad(batch).unwrap(), &want);

    let mut want = Moments::zeros(j, i, bias).unwrap();
    let (grad, grad_sq) = (&mut want.grad, &mut want.grad_sq);
    let (w, w_sq) = (grad.weight.as_mut_slice(), grad_sq.weight.as_mut_slice());
    reference::moments(plain, fold, w, w_sq).unwrap();
    if let (Some(g), Some(g_sq)) = (&mut grad.bias, &mut grad_sq.bias) {
        reference::bias_moments(plain, fold, g.as_mut_slice(), g_sq.as_mut_slice()).unwrap();
    }
    let got = layer.moments(batch).unwrap();
    assert_params_bits("moments.grad", &got.grad, &want.grad);
    assert_params_bits("moments.grad_sq", &got.grad_sq, &want.grad_sq);

    let mut want = tensor(&[b, j, i], 6);
    reference::per_example_grad(plain, want.as_mut_slice()).unwrap();
    let got = layer.per_example_grad(batch).unwrap();
    assert_eq!(got.weight.shape(), [b, j, i]);
    assert_bits("per_example_grad", got.weight.as_slice(), want.as_slice());
    if let Some(got) = &got.bias {
        // Reducing it must give the moments of the bias.
        let (mut sum, mut sum_sq) = (tensor(&[j], 7), tensor(&[j], 8));
        let (rows, sums) = (got.as_slice(), (sum.as_mut_slice(), sum_sq.as_mut_slice()));
        reference::reduce(rows, b, fold, sums.0, sums.1).unwrap();
        let moments = layer.moments(batch).unwrap();
        assert_bits("bias", sum.as_slice(), moments.grad.bias.unwrap().as_slice());
        assert_bits("bias", sum_sq.as_slice(), moments.grad_sq.bias.unwrap().as_slice());
    }

    let mut want = tensor(&[b], 9);
    reference::sq_norms(plain, Start::Fresh, want.as_mut_slice()).unwrap();
    if bias {
        reference::bias_sq_norms(plain, Start::Resume, want.as_mut_slice()).unwrap();
    }
    assert_bits("sq_norms", layer.sq_norms(batch).unwrap().as_slice(), want.as_slice());
}

#[test]
fn equals_the_reference_f32() {
    equals_the_reference::<f32>();
}

#[test]
fn equals_the_reference_f64() {
    equals_the_reference::<f64>();
}

/// The loss of each example: half the sum of `y^2`, whose gradient by `y` is `y`.
fn example_losses(layer: &Linear<f64>, x: &Tensor<f64>) -> Vec<f64> {
    let y = layer.forward(x).unwrap();
    y.rows().map(|row| row.iter().map(|y| 0.5 * y * y).sum()).collect()
}

#[test]
fn gradients_are_finite_differences() {
    const H: f64 = 1e-5;
    for shape in [&[3, 4][..], &[2, 3, 4]] {
        let (layer, x) = (layer::<f64>(2, 4, true), tensor::<f64>(shape, 3));
        let dy = layer.forward(&x).unwrap();
        let per_example = layer.per_example_grad(LayerBatch::new(&x, &dy)).unwrap();
        let check = |what: &str, up: Vec<f64>, down: Vec<f64>, got: &dyn Fn(usize) -> f64| {
            for b in 0..up.len() {
                let want = (up[b] - down[b]) / (2.0 * H);
                assert!((got(b) - want).abs() < 1e-8, "{what} {b}: {} is not {want}", got(b));
            }
        };
        for k in 0..8 {
            let moved = |h: f64| {
                let mut layer = layer.clone();
                layer.weight_mut()[k] += h;
                example_losses(&layer, &x)
            };
            check("weight", moved(H), moved(-H), &|b| per_example.weight.row(b).unwrap()[k]);
        }
        for k in 0..2 {
            let moved = |h: f64| {
                let mut layer = layer.clone();
                layer.bias_mut().unwrap()[k] += h;
                example_losses(&layer, &x)
            };
            let bias = per_example.bias.as_ref().unwrap();
            check("bias", moved(H), moved(-H), &|b| bias.row(b).unwrap()[k]);
        }
        let dx = layer.input_grad(&dy).unwrap();
        for k in 0..x.len() {
            let moved = |h: f64| {
                let mut x = x.clone();
                x.as_mut_slice()[k] += h;
                vec![example_losses(&layer, &x).iter().sum()]
            };
            check("x", moved(H), moved(-H), &|_| dx.as_slice()[k]);
        }
    }
}

#[test]
fn micro_batches_give_the_bits_of_one_batch() {
    for shape in [&[11, 6][..], &[11, 3, 6]] {
        let layer = layer::<f32>(5, 6, true);
        let (x, dy) = (tensor(shape, 3), tensor(&replaced(shape, 5), 4));
        let whole = layer.moments(LayerBatch::new(&x, &dy)).unwrap();
        for cut in [1, 2, 3, 7, 11] {
            let mut sum = MomentsSum::new(5, 6, true).unwrap();
            let all: Vec<usize> = (0..11).collect();
            for piece in all.chunks(cut) {
                let (x, dy) = (x.select_rows(piece).unwrap(), dy.select_rows(piece).unwrap());
                sum.add(LayerBatch::new(&x, &dy)).unwrap();
            }
            assert_eq!(sum.examples(), 11);
            let got = sum.finish(Scale::Mean);
            assert_params_bits("grad", &got.grad, &whole.grad);
            assert_params_bits("grad_sq", &got.grad_sq, &whole.grad_sq);
        }
    }
}

#[test]
fn variance() {
    let layer = layer::<f64>(3, 4, true);
    let (x, dy) = (tensor(&[9, 4], 3), tensor(&[9, 3], 4));
    let batch = LayerBatch::new(&x, &dy);
    let Moments { grad, grad_sq } = layer.moments(batch).unwrap();
    let rows = layer.per_example_grad(batch).unwrap().weight;
    let population = population_variance(&grad.weight, &grad_sq.weight).unwrap();
    let sample = sample_variance(&grad.weight, &grad_sq.weight, 9).unwrap();
    for k in 0..12 {
        let mean = rows.rows().map(|g| g[k]).sum::<f64>() / 9.0;
        let squares = rows.rows().map(|g| (g[k] - mean).powi(2)).sum::<f64>();
        assert!((population.as_slice()[k] - squares / 9.0).abs() < 1e-14);
        assert!((sample.as_slice()[k] - squares / 8.0).abs() < 1e-14);
    }

    // A batch of one has none, exactly; equal examples never get a negative one; NaN stays.
    let one = layer
        .moments(LayerBatch::new(&x.select_rows(&[0]).unwrap(), &dy.select_rows(&[0]).unwrap()));
    let Moments { grad, grad_sq } = one.unwrap();
    let none = population_variance(&grad.weight, &grad_sq.weight).unwrap();
    assert!(none.as_slice().iter().all(|&v| v == 0.0));
    let (x, dy) = (x.select_rows(&[1; 7]).unwrap(), dy.select_rows(&[1; 7]).unwrap());
    let Moments { grad, grad_sq } = layer.moments(LayerBatch::new(&x, &dy)).unwrap();
    let none = population_variance(&grad.weight, &grad_sq.weight).unwrap();
    assert!(none.as_slice().iter().all(|&v| (0.0..1e-15).contains(&v)));
    let nan = Tensor::filled(&[1], f64::NAN).unwrap();
    assert!(population_variance(&nan, &nan).unwrap().as_slice()[0].is_nan());
    assert!(population_variance(&grad.weight, &nan).is_err());
}

#[test]
fn initial_values() {
    let layer = Linear::<f64>::init(50, 40, true, 9).unwrap();
    let bound = 1.0 / 40f64.sqrt();
    let values = || layer.weight().as_slice().iter().chain(layer.bias().unwrap().as_slice());
    assert!(values().all(|v| v.abs() <= bound));
    let n = values().count() as f64;
    let (mean, square) = (values().sum::<f64>() / n, values().map(|v| v * v).sum::<f64>() / n);
    assert!(mean.abs() < 0.1 * bound && (square / (bound * bound) - 1.0 / 3.0).abs() < 0.03);
    // f32 rounds the same numbers.
    let single = Linear::<f32>::init(50, 40, true, 9).unwrap();
    let pairs = layer.weight().as_slice().iter().zip(single.weight().as_slice());
    assert!(pairs.into_iter().all(|(&d, &s)| d as f32 == s));
    assert!(Linear::<f32>::init(3, 0, true, 0).unwrap().bias().unwrap().as_slice() == [0.0; 3]);
    // The published keystream of ChaCha8 for a key and nonce of zeros begins with these bytes.
    let word = u64::from_le_bytes([0x3e, 0x00, 0xef, 0x2f, 0x89, 0x5f, 0x40, 0xd6]);
    let want = 2.0 * ((word >> 11) as f64 / (1u64 << 53) as f64) - 1.0;
    assert_eq!(Linear::<f64>::init(1, 1, false, 0).unwrap().weight().as_slice(), [want]);
}

#[test]
fn refused_calls_name_the_argument_and_write_nothing() {
    let layer = layer::<f32>(3, 4, true);
    let (x, dy) = (tensor::<f32>(&[2, 4], 3), tensor::<f32>(&[2, 3], 4));
    let batch = LayerBatch::new(&x, &dy);
    let text = |e: Error| e.to_string();

    let bad = tensor(&[2, 5], 1);
    let e = text(layer.forward(&bad).unwrap_err());
    assert_eq!(e, "`x` has shape [2, 5], it needs [B, 4] or [B, T, 4]");
    let e = text(layer.input_grad(&bad).unwrap_err());
    assert_eq!(e, "`dy` has shape [2, 5], it needs [B, 3] or [B, T, 3]");
    let e = text(layer.grad(LayerBatch::new(&x, &bad)).unwrap_err());
    assert_eq!(e, "`dy` has shape [2, 5], it needs [2, 3]");
    let masked = LayerBatch { example_weights: Some(&[1.0]), ..batch };
    let e = text(layer.sq_norms(masked).unwrap_err());
    assert_eq!(e, "`example_weights` has 1 elements, 2 are needed");
    let e = text(Linear::new(tensor::<f32>(&[4], 0), None).unwrap_err());
    assert_eq!(e, "`weight` has shape [4], it needs [J, I]");
    let e = text(Linear::new(tensor::<f32>(&[4, 2], 0), Some(tensor(&[2], 0))).unwrap_err());
    assert_eq!(e, "`bias` has shape [2], it needs [4]");

    let mut y = tensor::<f32>(&[3, 3], 5);
    let before = y.clone();
    assert!(layer.forward_into(&x, &mut y).is_err());
    assert!(layer.input_grad_into(&dy, &mut y).is_err());
    assert_eq!(y, before);

    let mut params = Params { weight: tensor(&[3, 4], 6), bias: None };
    let before = params.clone();
    let e = text(layer.grad_into(batch, &mut params).unwrap_err());
    assert_eq!(e, "`grad.bias`: missing, the layer has a bias");
    assert!(layer.per_example_grad_into(batch, &mut params).is_err());
    assert_eq!(params, before);

    let mut moments = Moments { grad: layer.grad(batch).unwrap(), grad_sq: before.clone() };
    let before = moments.clone();
    assert!(layer.moments_into(batch, &mut moments).is_err());
    assert_eq!(moments, before);

    let mut sum = MomentsSum::new(3, 4, true).unwrap();
    sum.add(batch).unwrap();
    assert!(sum.add(masked).is_err());
    assert_eq!(sum.finish(Scale::Mean), layer.moments(batch).unwrap());
}

#[test]
fn empty_layers_take_any_number_of_examples() {
    let layer = Linear::<f32>::init(0, 0, true, 0).unwrap();
    let many = Tensor::zeros(&[1 << 58, 0]).unwrap();
    let batch = LayerBatch::new(&many, &many);
    assert_eq!(layer.forward(&many).unwrap(), many);
    assert_eq!(layer.input_grad(&many).unwrap(), many);
    assert!(layer.per_example_grad(batch).unwrap().weight.is_empty());
    assert!(layer.moments(batch).unwrap().grad.weight.is_empty());
}
