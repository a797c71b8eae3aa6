//! Any number of threads gives the same bits.
#![cfg(feature = "rayon")]

mod common;

use common::{
    EMULATED, adam_configs, assert_bits, assert_params_bits, momentum_configs, rmsprop_configs,
    tensor,
};
use pergrad::{LayerBatch, LayerOptimizer, Linear, NonFinite, Optimizer, Rule, Scale, Tensor};

/// Runs `f` on pools of different sizes and hands each result, with the one of a single thread, to
/// `compare`.
fn on_pools<R: Send>(f: impl Fn() -> R + Sync, compare: impl Fn(&R, &R)) {
    let on =
        |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(&f);
    let single = on(1);
    for &threads in if EMULATED { &[3][..] } else { &[2, 3, 16] } {
        compare(&on(threads), &single);
    }
}

// Enough work for every thread to get some, and no extent that divides evenly.
const BATCH: usize = 70;
const OUTPUTS: usize = 151;
const INPUTS: usize = 451;

fn shapes() -> [(Vec<usize>, Vec<usize>); 2] {
    [
        (vec![BATCH, INPUTS], vec![BATCH, OUTPUTS]),
        (vec![BATCH / 2, 2, INPUTS], vec![BATCH / 2, 2, OUTPUTS]),
    ]
}

#[test]
fn forward_and_backward() {
    for (x_shape, dy_shape) in shapes() {
        let layer = Linear::<f32>::init(OUTPUTS, INPUTS, true, 0).unwrap();
        let (x, dy) = (tensor(&x_shape, 1), tensor(&dy_shape, 2));
        let run = || (layer.forward(&x).unwrap(), layer.input_grad(&dy).unwrap());
        on_pools(run, |got, want| {
            assert_bits("y", got.0.as_slice(), want.0.as_slice());
            assert_bits("dx", got.1.as_slice(), want.1.as_slice());
        });
    }
}

#[test]
fn statistics() {
    for (x_shape, dy_shape) in shapes() {
        let layer = Linear::<f32>::init(OUTPUTS, INPUTS, true, 0).unwrap();
        let (x, dy) = (tensor(&x_shape, 1), tensor(&dy_shape, 2));
        let weights = tensor(&[x_shape[0]], 3);
        for example_weights in [None, Some(weights.as_slice())] {
            let batch = LayerBatch { example_weights, ..LayerBatch::new(&x, &dy) };
            let run = || {
                (
                    layer.grad(batch).unwrap(),
                    layer.moments(LayerBatch { scale: Scale::Sum, ..batch }).unwrap(),
                    layer.per_example_grad(batch).unwrap(),
                    layer.sq_norms(batch).unwrap(),
                )
            };
            on_pools(run, |got, want| {
                assert_params_bits("grad", &got.0, &want.0);
                assert_params_bits("moments.grad", &got.1.grad, &want.1.grad);
                assert_params_bits("moments.grad_sq", &got.1.grad_sq, &want.1.grad_sq);
                assert_params_bits("per_example_grad", &got.2, &want.2);
                assert_bits("sq_norms", got.3.as_slice(), want.3.as_slice());
            });
        }
    }
}

#[test]
fn fused_steps() {
    fn check<R: Rule>(config: R) {
        let (x, dy) = (tensor(&[BATCH, INPUTS], 1), tensor(&[BATCH, OUTPUTS], 2));
        let weights = tensor(&[BATCH], 3);
        let run = || {
            let mut layer = Linear::<f32>::init(OUTPUTS, INPUTS, true, 0).unwrap();
            let mut optimizer = LayerOptimizer::new(config, &layer).unwrap();
            let mut batch = LayerBatch::new(&x, &dy);
            optimizer.step_layer(&mut layer, batch).unwrap();
            batch.example_weights = Some(weights.as_slice());
            optimizer.step_layer(&mut layer, batch).unwrap();
            (layer.into_params(), optimizer)
        };
        on_pools(run, |got, want| {
            assert_params_bits("params", &got.0, &want.0);
            assert_eq!(got.1, want.1);
        });
    }
    momentum_configs().into_iter().for_each(check);
    rmsprop_configs().into_iter().for_each(check);
    adam_configs().into_iter().for_each(check);
}

#[test]
fn updates() {
    fn check<R: Rule>(config: R) {
        let shape = [3, 400_003];
        let grad = tensor::<f32>(&shape, 1);
        let run = || {
            let mut params: Tensor<f32> = tensor(&shape, 2);
            let mut optimizer = Optimizer::new(config, &shape).unwrap();
            optimizer.step(&mut params, &grad).unwrap();
            optimizer.step(&mut params, &grad).unwrap();
            (params, optimizer)
        };
        on_pools(run, |got, want| {
            assert_bits("params", got.0.as_slice(), want.0.as_slice());
            assert_eq!(got.1, want.1);
        });
    }
    check(momentum_configs()[0]);
    check(rmsprop_configs()[3]);
    check(adam_configs()[1]);
}

/// A step that refuses at its last element must not have begun at its first.
#[test]
fn refused_steps() {
    for config in adam_configs() {
        let shape = [4, 200_001];
        let (x, mut dy) = (tensor::<f32>(&[BATCH, INPUTS], 1), tensor(&[BATCH, OUTPUTS], 2));
        dy.as_mut_slice()[OUTPUTS - 1] = f32::INFINITY;
        let mut grad = tensor::<f32>(&shape, 3);
        grad.as_mut_slice()[4 * 200_001 - 1] = f32::NAN;
        let run = || {
            let mut params: Tensor<f32> = tensor(&shape, 4);
            let mut optimizer = Optimizer::new(config, &shape).unwrap();
            optimizer.set_non_finite(NonFinite::Refuse);
            let before = (params.clone(), optimizer.clone());
            assert!(optimizer.step(&mut params, &grad).is_err());
            assert!((params, optimizer) == before);

            // Without a bias, which would refuse first.
            let mut layer = Linear::<f32>::init(OUTPUTS, INPUTS, false, 0).unwrap();
            let mut optimizer = LayerOptimizer::new(config, &layer).unwrap();
            optimizer.set_non_finite(NonFinite::Refuse);
            let before = (layer.clone(), optimizer.clone());
            assert!(optimizer.step_layer(&mut layer, LayerBatch::new(&x, &dy)).is_err());
            assert!((layer, optimizer) == before);
        };
        on_pools(run, |(), ()| {});
    }
}
