//! Optimizers: against the core's plain loops, fused against unfused, refused steps.

mod common;

use common::{adam_configs, assert_bits, momentum_configs, rmsprop_configs, tensor};
use pergrad::core::{AdamState, RmspropState, reference};
use pergrad::{
    Adam, AdamConfig, Adaptive, AmsGrad, Element, Epsilon, Error, LayerBatch, LayerOptimizer,
    Linear, Momentum, MomentumConfig, NonFinite, Optimizer, Params, RmspropConfig, Rule, Scale,
    SecondMoment, Tensor,
};

const SHAPE: [usize; 2] = [7, 19];

/// What a step by the plain loops sees. `state` holds the arrays that the configuration keeps, in the
/// order of [`Optimizer::state`].
struct Seen<'a, T> {
    t: u64,
    params: &'a mut [T],
    grad: &'a [T],
    second: Option<&'a [T]>,
    state: &'a mut [Tensor<T>],
}

/// One step by the plain loops.
trait Oracle: Rule {
    fn reference<T: Element>(&self, seen: Seen<'_, T>);
}

impl Oracle for MomentumConfig {
    fn reference<T: Element>(&self, seen: Seen<'_, T>) {
        let buffer = seen.state.first_mut().map_or(&mut [][..], Tensor::as_mut_slice);
        let c = self.step_coeffs(seen.t).unwrap();
        reference::update_momentum(&c, seen.params, seen.grad, buffer).unwrap();
    }
}

impl Oracle for RmspropConfig {
    fn reference<T: Element>(&self, seen: Seen<'_, T>) {
        let mut state = seen.state.iter_mut().map(Tensor::as_mut_slice);
        let mut arrays = RmspropState::new(state.next().unwrap());
        if self.centered {
            arrays.exp_avg = state.next().unwrap();
        }
        if self.momentum.is_some() {
            arrays.momentum_buffer = state.next().unwrap();
        }
        let c = self.step_coeffs(seen.t).unwrap();
        reference::update_rmsprop(&c, seen.params, seen.grad, seen.second, arrays).unwrap();
    }
}

impl Oracle for AdamConfig {
    fn reference<T: Element>(&self, seen: Seen<'_, T>) {
        let mut state = seen.state.iter_mut().map(Tensor::as_mut_slice);
        let mut arrays = AdamState::new(state.next().unwrap(), state.next().unwrap());
        if self.amsgrad != AmsGrad::Off {
            arrays.max_exp_avg_sq = state.next().unwrap();
        }
        let c = self.step_coeffs(seen.t).unwrap();
        reference::update_adam(&c, seen.params, seen.grad, seen.second, arrays).unwrap();
    }
}

/// Follows `step` and the plain loops for some steps.
fn follow<T: Element, R: Oracle>(
    config: R,
    second: bool,
    step: impl Fn(&mut Optimizer<T, R>, &mut Tensor<T>, &Tensor<T>, &Tensor<T>),
) {
    let mut optimizer = Optimizer::<T, R>::new(config, &SHAPE).unwrap();
    let mut params = tensor::<T>(&SHAPE, 1);
    let mut want = params.clone();
    let mut state: Vec<_> = optimizer.state().map(|(_, tensor)| tensor.clone()).collect();
    for t in 1..=5 {
        let grad = tensor::<T>(&SHAPE, 10 + t);
        let sq = Tensor::from_fn(&SHAPE, |k| grad.as_slice()[k] * grad.as_slice()[k] + T::ONE);
        let sq = sq.unwrap();
        step(&mut optimizer, &mut params, &grad, &sq);
        let second = second.then_some(sq.as_slice());
        config.reference(Seen {
            t,
            params: want.as_mut_slice(),
            grad: grad.as_slice(),
            second,
            state: &mut state,
        });
        assert_eq!(optimizer.steps(), t);
        assert_bits("params", params.as_slice(), want.as_slice());
        for ((name, got), want) in optimizer.state().zip(&state) {
            assert_bits(name, got.as_slice(), want.as_slice());
        }
    }
}

fn follow_adaptive<R: Oracle + Adaptive>(config: R) {
    follow::<f32, R>(config, false, |o, p, g, _| o.step(p, g).unwrap());
    follow::<f64, R>(config, false, |o, p, g, _| o.step(p, g).unwrap());
    follow::<f32, R>(config, true, |o, p, g, sq| o.step_with(p, g, sq).unwrap());
    follow::<f64, R>(config, true, |o, p, g, sq| o.step_with(p, g, sq).unwrap());
}

#[test]
fn steps_are_those_of_the_reference() {
    for config in momentum_configs() {
        follow::<f32, _>(config, false, |o, p, g, _| o.step(p, g).unwrap());
        follow::<f64, _>(config, false, |o, p, g, _| o.step(p, g).unwrap());
    }
    rmsprop_configs().into_iter().for_each(follow_adaptive);
    adam_configs().into_iter().for_each(follow_adaptive);
}

#[test]
fn state_starts_as_configured() {
    for config in rmsprop_configs() {
        let rmsprop = Optimizer::<f32, _>::new(config, &SHAPE).unwrap();
        let initial = config.initial_exp_avg_sq as f32;
        assert!(rmsprop.exp_avg_sq().as_slice().iter().all(|&v| v == initial));
        assert_eq!(rmsprop.exp_avg().is_some(), config.centered);
        assert_eq!(rmsprop.momentum_buffer().is_some(), config.momentum.is_some());
        assert!(rmsprop.momentum_buffer().is_none_or(|b| b.as_slice() == [0.0; 7 * 19]));
    }
    for config in adam_configs() {
        let adam = Adam::<f64>::new(config, &SHAPE).unwrap();
        assert_eq!(adam.max_exp_avg_sq().is_some(), config.amsgrad != AmsGrad::Off);
        assert!(adam.state().all(|(_, tensor)| tensor.shape() == SHAPE));
    }
    for config in momentum_configs() {
        let momentum = Momentum::<f32>::new(config, &SHAPE).unwrap();
        assert_eq!(momentum.momentum_buffer().is_some(), config.has_buffer());
    }
}

/// What a fused step must equal.
type Unfused<T, R> = fn(&mut LayerOptimizer<T, R>, &mut Linear<T>, LayerBatch<'_, T>);

fn from_grad<T: Element, R: Rule>(
    optimizer: &mut LayerOptimizer<T, R>,
    layer: &mut Linear<T>,
    batch: LayerBatch<'_, T>,
) {
    let grad = layer.grad(batch).unwrap();
    optimizer.step(layer, &grad).unwrap();
}

fn from_moments<T: Element, R: Adaptive>(
    optimizer: &mut LayerOptimizer<T, R>,
    layer: &mut Linear<T>,
    batch: LayerBatch<'_, T>,
) {
    let moments = layer.moments(batch).unwrap();
    optimizer.step_with(layer, &moments.grad, &moments.grad_sq).unwrap();
}

fn fused_equals<T: Element, R: Rule>(config: R, second: SecondMoment, unfused: Unfused<T, R>) {
    let weights = tensor::<T>(&[6], 5);
    for shape in [&[6, 19][..], &[6, 3, 19]] {
        for bias in [false, true] {
            for non_finite in [NonFinite::Propagate, NonFinite::Refuse] {
                let mut layer = Linear::<T>::init(7, 19, bias, 3).unwrap();
                let mut other = layer.clone();
                let mut optimizer = LayerOptimizer::new(config, &layer).unwrap();
                optimizer.set_second(second);
                optimizer.set_non_finite(non_finite);
                let mut reference = optimizer.clone();
                for step in 0..4 {
                    let x = tensor(shape, 20 + step);
                    let dy = tensor(&[&shape[..shape.len() - 1], &[7]].concat(), 30 + step);
                    let mut batch = LayerBatch::new(&x, &dy);
                    match step {
                        1 => batch.example_weights = Some(weights.as_slice()),
                        2 => batch.scale = Scale::Sum,
                        3 => batch.scale = Scale::By(0.01),
                        _ => {}
                    }
                    optimizer.step_layer(&mut layer, batch).unwrap();
                    unfused(&mut reference, &mut other, batch);
                    assert_eq!(layer, other);
                    assert_eq!(optimizer, reference);
                    assert_eq!(optimizer.weight().steps(), step + 1);
                }
            }
        }
    }
}

#[test]
fn fused_steps_are_unfused_steps() {
    use SecondMoment::{GradSq, SquaredGrad};
    for config in momentum_configs() {
        fused_equals::<f32, _>(config, GradSq, from_grad);
        fused_equals::<f64, _>(config, SquaredGrad, from_grad);
    }
    for config in rmsprop_configs() {
        fused_equals::<f32, _>(config, GradSq, from_moments);
        fused_equals::<f64, _>(config, SquaredGrad, from_grad);
    }
    for config in adam_configs() {
        fused_equals::<f32, _>(config, GradSq, from_moments);
        fused_equals::<f64, _>(config, GradSq, from_moments);
        fused_equals::<f32, _>(config, SquaredGrad, from_grad);
    }
}

#[test]
fn refused_steps_change_nothing() {
    let mut optimizer = Adam::<f32>::new(AdamConfig::torch(0.1).unwrap(), &[2, 2]).unwrap();
    optimizer.set_non_finite(NonFinite::Refuse);
    let mut params = tensor(&[2, 2], 1);
    optimizer.step(&mut params, &tensor(&[2, 2], 2)).unwrap();
    let before = (optimizer.clone(), params.clone());

    let good = tensor(&[2, 2], 3);
    let nan = Tensor::from_slice(&[2, 2], &[1.0, 2.0, f32::NAN, 0.0]).unwrap();
    let flat = tensor(&[4], 4);
    assert!(optimizer.step(&mut params, &flat).is_err());
    assert!(optimizer.step_with(&mut params, &good, &flat).is_err());
    assert!(optimizer.step(&mut flat.clone(), &good).is_err());
    let e = optimizer.step(&mut params, &nan).unwrap_err();
    assert_eq!(e, Error::Core(pergrad::core::Error::NonFinite { arg: "grad", index: 2 }));
    let e = optimizer.step_with(&mut params, &good, &nan).unwrap_err();
    assert_eq!(e, Error::Core(pergrad::core::Error::NonFinite { arg: "second_moment", index: 2 }));
    assert!(optimizer.set_lr(-1.0).is_err());
    let mut vanishing = *optimizer.config();
    vanishing.epsilon = Epsilon::Outside(1e-60);
    assert!(optimizer.set_config(vanishing).is_err());
    assert!(optimizer.restore(3, &[("exp_avg", good.clone())]).is_err());
    assert!(
        optimizer.restore(3, &[("exp_avg_sq", good.clone()), ("exp_avg", good.clone())]).is_err()
    );
    let one_too_many = ["exp_avg", "exp_avg_sq", "more"].map(|name| (name, good.clone()));
    assert!(optimizer.restore(3, &one_too_many).is_err());
    assert!(optimizer.restore(3, &[("exp_avg", good.clone()), ("exp_avg_sq", flat)]).is_err());
    assert_eq!((optimizer, params), before);
}

#[test]
fn a_layer_steps_whole_or_not_at_all() {
    for config in adam_configs() {
        let mut layer = Linear::<f32>::init(2, 3, true, 0).unwrap();
        let mut optimizer = LayerOptimizer::new(config, &layer).unwrap();
        optimizer.set_non_finite(NonFinite::Refuse);
        let (mut x, dy) = (tensor(&[4, 3], 1), tensor(&[4, 2], 2));
        optimizer.step_layer(&mut layer, LayerBatch::new(&x, &dy)).unwrap();
        let before = (layer.clone(), optimizer.clone());

        // The bias sees only `dy`, which is finite; the weight sees `x` too.
        x.as_mut_slice()[4] = f32::INFINITY;
        let batch = LayerBatch::new(&x, &dy);
        assert!(optimizer.step_layer(&mut layer, batch).is_err());
        let grad = layer.grad(batch).unwrap();
        assert!(optimizer.step(&mut layer, &grad).is_err());
        assert!(optimizer.step_with(&mut layer, &grad, &grad).is_err());
        // A gradient of another layer, and another layer.
        let no_bias = Params { bias: None, ..layer.grad(LayerBatch::new(&x, &dy)).unwrap() };
        assert!(optimizer.step(&mut layer, &no_bias).is_err());
        let mut other = Linear::<f32>::init(3, 2, true, 0).unwrap();
        assert!(optimizer.step_layer(&mut other, LayerBatch::new(&x, &dy)).is_err());
        assert!(optimizer.set_config(config.with_lr(f64::NAN)).is_err());
        assert_eq!((layer, optimizer), before);
    }
}

#[test]
fn step_count_stops_and_does_not_wrap() {
    for config in adam_configs() {
        let mut adam = Adam::<f64>::new(config, &[3]).unwrap();
        let state: Vec<_> = adam.state().map(|(name, t)| (name, t.clone())).collect();
        adam.restore(u64::MAX - 1, &state).unwrap();
        let mut params = tensor(&[3], 1);
        for _ in 0..3 {
            adam.step(&mut params, &tensor(&[3], 2)).unwrap();
            assert_eq!(adam.steps(), u64::MAX);
        }
        assert!(params.as_slice().iter().all(|v| v.is_finite()));
    }
}

#[test]
fn a_restored_optimizer_goes_on() {
    for config in adam_configs() {
        let mut params = tensor::<f32>(&SHAPE, 1);
        let mut adam = Adam::new(config, &SHAPE).unwrap();
        adam.step(&mut params, &tensor(&SHAPE, 2)).unwrap();
        let state: Vec<_> = adam.state().map(|(name, t)| (name, t.clone())).collect();
        let mut restored = Adam::new(config, &SHAPE).unwrap();
        restored.restore(adam.steps(), &state).unwrap();
        let mut again = params.clone();
        adam.step(&mut params, &tensor(&SHAPE, 3)).unwrap();
        restored.step(&mut again, &tensor(&SHAPE, 3)).unwrap();
        assert_bits("params", again.as_slice(), params.as_slice());
        assert_eq!(restored, adam);
    }
}

#[test]
fn senseless_configurations_are_refused() {
    let mut config = AdamConfig::torch(f64::NAN).unwrap();
    assert!(Adam::<f32>::new(config, &[1]).is_err());
    config.lr = 1e300;
    assert!(Adam::<f64>::new(config, &[1]).is_ok());
    assert!(Adam::<f32>::new(config, &[1]).is_err());
    assert!(Adam::<f32>::new(AdamConfig::torch(0.1).unwrap(), &[usize::MAX, 2]).is_err());
}
