//! Checked steps: all or nothing over a layer and over all threads, and the error names the lowest bad
//! index.

mod common;

use common::{EMULATED, adam_configs, momentum_configs, rmsprop_configs, tensor};
use pergrad::core::Error::NonFinite as Refused;
use pergrad::{
    Adam, AdamConfig, Error, LayerBatch, LayerOptimizer, Linear, NonFinite, Optimizer, Params,
    Rule, Tensor,
};

/// Runs `f` on 1 to 4 threads, under emulators on 4.
fn on_threads(f: impl Fn() + Sync) {
    #[cfg(feature = "rayon")]
    for threads in if EMULATED { 4..=4 } else { 1..=4 } {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(&f);
    }
    f();
}

fn refused(arg: &'static str, index: usize) -> Result<(), Error> {
    Err(Error::Core(Refused { arg, index }))
}

// Enough for four threads, and many blocks for each.
const BATCH: usize = 70;
const OUTPUTS: usize = 151;
const INPUTS: usize = 451;
const LEN: usize = 4 * 300_001;

fn checked<R: Rule>(config: R, layer: &Linear<f32>) -> LayerOptimizer<f32, R> {
    let mut optimizer = LayerOptimizer::new(config, layer).unwrap();
    optimizer.set_non_finite(NonFinite::Refuse);
    optimizer
}

#[test]
fn the_lowest_index_of_a_tensor() {
    fn check<R: Rule>(config: R) {
        on_threads(|| {
            let mut params = tensor::<f32>(&[4, LEN / 4], 1);
            let mut optimizer = Optimizer::new(config, params.shape()).unwrap();
            optimizer.set_non_finite(NonFinite::Refuse);
            let mut grad = tensor(&[4, LEN / 4], 2);
            optimizer.step(&mut params, &grad).unwrap();
            let before = (params.clone(), optimizer.clone());
            // From the last on, so that each is found where every thread but one finds another.
            for index in [LEN - 1, LEN / 2 + 1, LEN / 4, 16_384, 16_383, 0] {
                grad.as_mut_slice()[index] = f32::NAN;
                assert_eq!(optimizer.step(&mut params, &grad), refused("grad", index));
                assert!((&params, &optimizer) == (&before.0, &before.1));
            }
        });
    }
    check(momentum_configs()[0]);
    check(rmsprop_configs()[3]);
    check(adam_configs()[1]);
}

/// What is refused is a result; the error then has the name of what will not stay finite.
#[test]
fn finite_gradients_can_overflow() {
    on_threads(|| {
        let mut params = Tensor::filled(&[LEN], 0.0f32).unwrap();
        let mut adam = Adam::new(AdamConfig::torch(0.1).unwrap(), &[LEN]).unwrap();
        adam.set_non_finite(NonFinite::Refuse);
        let (mut grad, mut second) = (params.clone(), params.clone());
        grad.as_mut_slice()[LEN - 2] = 1e30; // its square
        assert_eq!(adam.step(&mut params, &grad), refused("params", LEN - 2));
        // Another array is bad from another index on.
        let mut worse = grad.clone();
        worse.as_mut_slice()[LEN - 1] = f32::NAN;
        assert_eq!(adam.step(&mut params, &worse), refused("params", LEN - 2));
        assert_eq!(adam.step_with(&mut params, &grad, &second), Ok(()));
        second.as_mut_slice()[LEN - 3] = f32::INFINITY;
        let e = adam.step_with(&mut params, &grad, &second);
        assert_eq!(e, refused("second_moment", LEN - 3));
        assert_eq!(adam.steps(), 1);
    });
}

/// A checked step that goes through has the bits of an unchecked one.
#[test]
fn checked_steps_are_steps() {
    fn check<R: Rule>(config: R) {
        let (x, dy) = (tensor(&[BATCH, INPUTS], 1), tensor(&[BATCH, OUTPUTS], 2));
        on_threads(|| {
            let mut layer = Linear::init(OUTPUTS, INPUTS, true, 0).unwrap();
            let mut optimizer = checked(config, &layer);
            let mut other = layer.clone();
            let mut unchecked = LayerOptimizer::new(config, &other).unwrap();
            for _ in 0..2 {
                optimizer.step_layer(&mut layer, LayerBatch::new(&x, &dy)).unwrap();
                unchecked.step_layer(&mut other, LayerBatch::new(&x, &dy)).unwrap();
                let grad = layer.grad(LayerBatch::new(&x, &dy)).unwrap();
                optimizer.step(&mut layer, &grad).unwrap();
                unchecked.step(&mut other, &grad).unwrap();
            }
            optimizer.set_non_finite(NonFinite::Propagate);
            assert!((&layer, &optimizer) == (&other, &unchecked));
        });
    }
    momentum_configs().into_iter().for_each(check);
    rmsprop_configs().into_iter().for_each(check);
    adam_configs().into_iter().for_each(check);
}

#[test]
fn a_layer_is_refused_whole() {
    fn check<R: Rule>(config: R) {
        let (x, dy) = (tensor(&[BATCH, INPUTS], 1), tensor(&[BATCH, OUTPUTS], 2));
        on_threads(|| {
            let mut layer = Linear::<f32>::init(OUTPUTS, INPUTS, true, 0).unwrap();
            let mut optimizer = checked(config, &layer);
            optimizer.step_layer(&mut layer, LayerBatch::new(&x, &dy)).unwrap();
            let before = (layer.clone(), optimizer.clone());

            // An output of one example: a row of the weight, and an element of the bias.
            let mut bad_dy = dy.clone();
            bad_dy.as_mut_slice()[3 * OUTPUTS + 140] = f32::INFINITY;
            let batch = LayerBatch::new(&x, &bad_dy);
            let e = optimizer.step_layer(&mut layer, batch);
            assert_eq!(e, refused("layer.weight", 140 * INPUTS));
            let grad = layer.grad(batch).unwrap();
            assert_eq!(optimizer.step(&mut layer, &grad), refused("grad.weight", 140 * INPUTS));
            // An input of one example: a column of the weight. The bias does not see it.
            let mut bad_x = x.clone();
            bad_x.as_mut_slice()[5 * INPUTS + 17] = f32::NAN;
            let e = optimizer.step_layer(&mut layer, LayerBatch::new(&bad_x, &dy));
            assert_eq!(e, refused("layer.weight", 17));
            // The bias alone.
            let good = layer.grad(LayerBatch::new(&x, &dy)).unwrap();
            let grad = Params { bias: grad.bias, ..good };
            assert_eq!(optimizer.step(&mut layer, &grad), refused("grad.bias", 140));
            assert!((&layer, &optimizer) == (&before.0, &before.1));
        });
    }
    check(momentum_configs()[0]);
    check(momentum_configs()[1]);
    check(rmsprop_configs()[1]);
    check(adam_configs()[1]);
}

/// Finite in every weight, too much for the bias: the fused step refuses for the bias alone.
#[test]
fn a_bias_refuses_for_its_weight() {
    let layer = Linear::<f32>::init(2, 3, true, 0).unwrap();
    let mut adam = checked(AdamConfig::torch(0.1).unwrap(), &layer);
    let (x, mut dy) = (Tensor::filled(&[4, 3], 1e-30f32).unwrap(), tensor(&[4, 2], 2));
    let mut stepped = layer.clone();
    dy.as_mut_slice()[1] = 1e30;
    let before = adam.clone();
    let e = adam.step_layer(&mut stepped, LayerBatch::new(&x, &dy));
    assert_eq!(e, refused("layer.bias", 1));
    assert!((stepped, adam) == (layer, before));
}
