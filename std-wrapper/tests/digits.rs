//! The example's own modules, for a few epochs: it learns, and the batch size does not matter.
#![allow(dead_code, unreachable_pub, reason = "the example's modules, of which this is a part")]

#[path = "../examples/digits/data.rs"]
mod data;
#[path = "../examples/digits/network.rs"]
mod network;
#[path = "../examples/digits/train.rs"]
mod train;

use train::{Method, Setup, spread};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn setup(epochs: usize) -> Setup {
    let (train, test) = data::load().unwrap();
    Setup { train, test, epochs, seed: 0, poison: false }
}

#[test]
fn the_data_are_whole() {
    let Setup { train, test, .. } = setup(0);
    assert_eq!((train.len(), test.len()), (1540, 257));
    for digits in [&train, &test] {
        assert_eq!(digits.images.shape(), [digits.len(), 64]);
        assert!(digits.images.as_slice().iter().all(|p| (0.0..=1.0).contains(p)));
        for digit in 0..10 {
            let n = digits.labels.iter().filter(|&&label| label == digit).count();
            assert!((0.08..0.13).contains(&(n as f64 / digits.len() as f64)), "{digit}: {n}");
        }
    }
}

#[test]
fn every_method_learns() {
    let setup = setup(10);
    for method in Method::ALL {
        let outcome = setup.run(method, method.default_lr(), 32, |_| {}).unwrap();
        let (first, last) = (outcome.losses[0], outcome.losses[setup.epochs]);
        assert!((2.2..2.4).contains(&first), "{method:?}: an untrained network guesses, {first}");
        assert!(last < 0.2 * first, "{method:?}: {first} to {last}");
        assert!(outcome.test.accuracy > 0.9, "{method:?}: {}", outcome.test.accuracy);
    }
}

#[test]
fn a_poisoned_step_is_refused_and_learning_goes_on() {
    let setup = Setup { poison: true, ..setup(5) };
    for method in Method::ALL {
        let outcome = setup.run(method, method.default_lr(), 32, |_| {}).unwrap();
        // The pixel is the column of the weight.
        let why = outcome.refused.unwrap();
        assert!(why.contains("`layer.weight[27]`") && why.contains("nothing was changed"), "{why}");
        assert!(outcome.test.accuracy > 0.9, "{method:?}: {}", outcome.test.accuracy);
    }
}

#[test]
fn only_on_grad_sq_does_adam_follow_one_curve() {
    let setup = setup(5);
    let spread_of = |method: Method| {
        let runs =
            [8, 128].map(|batch| setup.run(method, method.default_lr(), batch, |_| {}).unwrap());
        spread(&runs.each_ref())
    };
    let (apart, together) =
        (spread_of(Method::AdamOnSquaredAverage), spread_of(Method::AdamOnGradSq));
    assert!(together < 1.1, "a factor of {together} apart");
    assert!(apart > 1.5, "a factor of {apart} apart");
}
