//! Laws of running averages, on every instruction set.

mod support;

use pergrad_core::{
    AdamConfig, Epsilon, Isa, MomentumConfig, MomentumForm, NonFinite, RmspropConfig, WarmUp,
    Window,
};
use proptest::prelude::*;
use support::compare::{Place, assert_bits};
use support::isas::for_each_isa;
use support::optimizers::Config;
use support::values::{Kind, Real, Rng};
use support::{draws, for_both_types};

const LEN: usize = 19;

fn window(length: f64) -> Window {
    Window::new(length).expect("at least 1")
}

/// One step, in place.
fn step<T: Real>(
    config: &Config,
    isa: Isa,
    t: u64,
    grad: &[T],
    second: Option<&[T]>,
    arrays: &mut [Vec<T>; 4],
) {
    let arrays = arrays.each_mut().map(Vec::as_mut_slice);
    config.update(isa, t, grad, second, arrays, NonFinite::Propagate).expect("lengths fit");
}

/// All arrays of `config` as zeros.
fn zeros<T: Real>(config: &Config) -> [Vec<T>; 4] {
    config.arrays().map(|(_, used)| vec![T::ZERO; if used { LEN } else { 0 }])
}

/// `y_t = beta y_{t-1} + x_t` is `N mu_t`.
///
/// Not to the bit. With `u` half an ulp of 1 and `M` the largest `|x|`, `|y| <= N M` and
/// `|mu| <= M`. A step of `y` rounds once, and beta was rounded: `2 u N M`. A step of `mu` rounds the
/// difference (`2 u M alpha`), the sum (`u M`), and alpha was rounded (`2 u M alpha`): at most
/// `5 u M`, hence `5 u N M` after the multiplication by `N`. Such errors are carried on with `beta`,
/// so that at most `min(t, N)` of them add up; 8 instead of 7 takes in the terms of second order.
fn sum_form_is_n_times_the_average<T: Real>() {
    let strategy = (1.0..200.0f64, 1..100u64, any::<u64>());
    proptest!(draws(64), |((length, steps, seed) in strategy)| {
        let mut config = MomentumConfig::new(0.5, window(length));
        config.warm_up = WarmUp::None;
        let (average, sum) = (Config::Momentum(config), Config::Momentum(config.to_sum_form()));
        for_each_isa(|isa| {
            let (mut mu, mut y) = (zeros::<T>(&average), zeros::<T>(&sum));
            let rng = &mut Rng::new(seed);
            let mut largest = 0.0f64;
            for t in 1..=steps {
                let x: Vec<T> = rng.values(Kind::Ordinary, LEN);
                largest = x.iter().fold(largest, |m, x| m.max(x.to_f64().abs()));
                step(&average, isa, t, &x, None, &mut mu);
                step(&sum, isa, t, &x, None, &mut y);
                let unit = T::EPSILON / 2.0;
                let bound = 8.0 * unit * length * largest * length.min(t as f64);
                for (mu, y) in mu[1].iter().zip(&y[1]) {
                    let off = (y.to_f64() - config.window.sum_state(mu.to_f64())).abs();
                    assert_on(isa, off <= bound, || format!("t = {t}: {off} > {bound}"));
                }
            }
        });
    });
}

#[track_caller]
fn assert_on(isa: Isa, holds: bool, what: impl FnOnce() -> String) {
    assert!(holds, "{}: {}", isa.name(), what());
}

/// Configurations with all the averages that there are, of one warm-up.
fn averaging(warm_up: WarmUp, length: f64) -> [Config; 3] {
    let mut momentum = MomentumConfig::new(0.5, window(length));
    let mut rmsprop = RmspropConfig::new(0.5, window(length));
    let mut adam = AdamConfig::new(0.5, window(length), window(3.0 * length));
    (momentum.warm_up, rmsprop.warm_up, adam.warm_up) = (warm_up, warm_up, warm_up);
    rmsprop.centered = true;
    [Config::Momentum(momentum), Config::Rmsprop(rmsprop), Config::Adam(adam)]
}

/// The state arrays that average the gradient, and those that average the second moment.
fn averages(config: &Config) -> (&'static [usize], &'static [usize]) {
    match config {
        Config::Momentum(_) => (&[1], &[]),
        Config::Rmsprop(_) => (&[2], &[1]),
        Config::Adam(_) => (&[1], &[2]),
    }
}

/// Finite values of any size. Not -0, which differs from the +0 that `x - x` adds to it only in sign.
fn finite<T: Real>(rng: &mut Rng) -> Vec<T> {
    let mut one = || loop {
        let value: T = rng.value(Kind::Bits);
        if value.is_finite() && value.bits() != T::NEG_ZERO.bits() {
            return value;
        }
    };
    (0..LEN).map(|_| one()).collect()
}

fn assert_averages<T: Real>(
    (config, t, isa, seed): (&Config, u64, Isa, u64),
    state: &[Vec<T>; 4],
    grad: &[T],
    second: &[T],
) {
    let case = (config, t, seed);
    let place = Place { kernel: "average", isa: isa.name(), case: &case };
    let (of_grad, of_second) = averages(config);
    for &k in of_grad {
        assert_bits(place, "of gradients", &state[k], grad);
    }
    for &k in of_second {
        assert_bits(place, "of second moments", &state[k], second);
    }
}

/// An average that has reached a constant input stays there, to the bit, whatever the window.
fn a_constant_is_a_fixed_point<T: Real>() {
    let strategy = (1.0..1e6f64, 1..1_000_000u64, any::<u64>());
    proptest!(draws(256), |((length, t, seed) in strategy)| {
        for warm_up in [WarmUp::None, WarmUp::ExactMean, WarmUp::Debias] {
            for config in averaging(warm_up, length) {
                for_each_isa(|isa| {
                    let rng = &mut Rng::new(seed);
                    let (grad, second) = (finite::<T>(rng), finite::<T>(rng));
                    let second: Vec<T> = second.into_iter().map(Real::magnitude).collect();
                    let mut state = zeros::<T>(&config);
                    let (of_grad, of_second) = averages(&config);
                    of_grad.iter().for_each(|&k| state[k].copy_from_slice(&grad));
                    of_second.iter().for_each(|&k| state[k].copy_from_slice(&second));
                    for t in t..t + 3 {
                        step(&config, isa, t, &grad, Some(&second), &mut state);
                        assert_averages((&config, t, isa, seed), &state, &grad, &second);
                    }
                });
            }
        }
    });
}

/// With the exact mean as warm-up, the average of a constant is that constant at every step from the
/// first.
fn exact_mean_of_a_constant<T: Real>() {
    proptest!(draws(64), |((length, seed) in (1.0..100.0f64, any::<u64>()))| {
        for config in averaging(WarmUp::ExactMean, length) {
            for_each_isa(|isa| {
                let rng = &mut Rng::new(seed);
                let grad = finite::<T>(rng);
                let second: Vec<T> = finite(rng).into_iter().map(Real::magnitude).collect();
                let mut state = zeros::<T>(&config);
                for t in 1..=150 {
                    step(&config, isa, t, &grad, Some(&second), &mut state);
                    assert_averages((&config, t, isa, seed), &state, &grad, &second);
                }
            });
        }
    });
}

/// An average over a window of one, which `at_batch_size` gives to batches longer than the window, is
/// its input, whatever came before: nothing of a small gradient is lost after a large one.
fn a_window_of_one_forgets<T: Real>() {
    proptest!(draws(64), |(seed in any::<u64>())| {
        for warm_up in [WarmUp::None, WarmUp::ExactMean, WarmUp::Debias] {
            for mut config in averaging(warm_up, 1.0) {
                if let Config::Adam(adam) = &mut config {
                    adam.window_sq = window(1.0);
                }
                for_each_isa(|isa| {
                    let rng = &mut Rng::new(seed);
                    let mut state = zeros::<T>(&config);
                    for t in 1..=10 {
                        let grad = finite::<T>(rng);
                        let second: Vec<T> = finite(rng).into_iter().map(Real::magnitude).collect();
                        step(&config, isa, t, &grad, Some(&second), &mut state);
                        assert_averages((&config, t, isa, seed), &state, &grad, &second);
                    }
                });
            }
        }
    });
}

/// With the exact mean as warm-up, the average within the window is the mean of what came.
fn exact_mean_is_the_mean<T: Real>() {
    proptest!(draws(64), |(seed in any::<u64>())| {
        let config = averaging(WarmUp::ExactMean, 1000.0)[0];
        for_each_isa(|isa| {
            let rng = &mut Rng::new(seed);
            let (mut state, mut sums) = (zeros::<T>(&config), [0.0f64; LEN]);
            for t in 1..=100 {
                let x: Vec<T> = rng.values(Kind::Ordinary, LEN);
                step(&config, isa, t, &x, None, &mut state);
                for k in 0..LEN {
                    sums[k] += x[k].to_f64();
                    let off = (state[1][k].to_f64() - sums[k] / t as f64).abs();
                    // Values are below 16, and each step adds at most 5 half units of them.
                    let bound = 16.0 * 5.0 * T::EPSILON / 2.0 * t as f64;
                    assert_on(isa, off <= bound, || format!("t = {t}: {off} > {bound}"));
                }
            }
        });
    });
}

/// Averages of squares never turn negative, however large the jumps, and a centered variance is
/// never the root of a negative number.
fn averages_of_squares_are_not_negative<T: Real>() {
    let strategy = (1.0..50.0f64, any::<u64>());
    proptest!(draws(256), |((length, seed) in strategy)| {
        for warm_up in [WarmUp::None, WarmUp::ExactMean, WarmUp::Debias] {
            let mut configs = averaging(warm_up, length);
            if let Config::Rmsprop(c) = &mut configs[1] {
                c.epsilon = pergrad_core::Epsilon::Outside(1e-3);
            }
            for config in configs {
                for_each_isa(|isa| {
                    let rng = &mut Rng::new(seed);
                    let mut state = zeros::<T>(&config);
                    for t in 1..=20 {
                        // Zeros, subnormals and the largest numbers by turns.
                        let kind = rng.pick(&[Kind::Zeros, Kind::Tiny, Kind::Huge, Kind::Ordinary]);
                        let second: Vec<T> = rng.squares(kind, LEN);
                        let grad: Vec<T> = second.iter().map(|s| s.sqrt()).collect();
                        step(&config, isa, t, &grad, Some(&second), &mut state);
                        for &k in averages(&config).1 {
                            let negative = state[k].iter().position(|v| v.is_negative());
                            assert_on(isa, negative.is_none(), || {
                                format!("{config:?} t = {t}: {negative:?} of {:?}", state[k])
                            });
                        }
                        let nan = state[0].iter().position(|p| p.is_nan());
                        assert_on(isa, nan.is_none(), || format!("{config:?} t = {t}: {nan:?}"));
                    }
                });
            }
        }
    });
}

/// Twelve steps on one gradient after the other; `change` recomputes in `f64` what step `t` takes off the
/// parameters for gradient `g`.
fn assert_follows<T: Real>(
    isa: Isa,
    config: &Config,
    what: &str,
    mut change: impl FnMut(u64, f64) -> f64,
) {
    let (mut state, mut p) = (zeros::<T>(config), 0.0);
    let rng = &mut Rng::new(5);
    for t in 1..=12 {
        let g: T = rng.value(Kind::Ordinary);
        step(config, isa, t, &[g; LEN], None, &mut state);
        p -= change(t, g.to_f64());
        let off = (state[0][0].to_f64() - p).abs();
        assert_on(isa, off < 100.0 * T::EPSILON, || {
            format!("{what}, step {t}: {:?}, not {p}", state[0][0])
        });
    }
}

/// NAdam looks ahead as optax does: `beta m / (1 - beta^(t + 1)) + (1 - beta) g / (1 - beta^t)`, and, with the
/// exact mean, with the next step's share of the gradient. By other formulas.
fn nadam_looks_ahead<T: Real>() {
    let (n, n_sq, lr, epsilon) = (4.0, 30.0, 0.1, 1e-3);
    for warm_up in [WarmUp::Debias, WarmUp::ExactMean] {
        let mut adam = AdamConfig::new(lr, window(n), window(n_sq));
        (adam.warm_up, adam.epsilon, adam.nesterov) = (warm_up, Epsilon::Outside(epsilon), true);
        for_each_isa(|isa| {
            let (mut m, mut v) = (0.0, 0.0);
            assert_follows::<T>(isa, &Config::Adam(adam), &format!("{warm_up:?}"), |t, g| {
                let steps = t as f64;
                let (mean, root) = if warm_up == WarmUp::Debias {
                    let (beta, beta_sq): (f64, f64) = (1.0 - 1.0 / n, 1.0 - 1.0 / n_sq);
                    m = beta * m + (1.0 - beta) * g;
                    v = beta_sq * v + (1.0 - beta_sq) * g * g;
                    let ahead = beta * m / (1.0 - beta.powf(steps + 1.0));
                    let mean = ahead + (1.0 - beta) * g / (1.0 - beta.powf(steps));
                    (mean, (v / (1.0 - beta_sq.powf(steps))).sqrt())
                } else {
                    m += (g - m) / n.min(steps);
                    v += (g * g - v) / n_sq.min(steps);
                    (m + (g - m) / n.min(steps + 1.0), v.sqrt())
                };
                lr * mean / (root + epsilon)
            });
        });
    }
}

/// Momentum and RMSProp divide by `1 - beta^t` where they use their averages, and with [`Epsilon::Hat`] multiply
/// the learning rate instead.
fn debiasing<T: Real>() {
    let (n, lr, epsilon) = (4.0, 0.1, 1e-2);
    let mut momentum = MomentumConfig::new(lr, window(n));
    let mut rmsprop = RmspropConfig::new(lr, window(n));
    (momentum.warm_up, rmsprop.warm_up) = (WarmUp::Debias, WarmUp::Debias);
    let average = Config::Momentum(momentum);
    let [outside, hat] = [Epsilon::Outside(epsilon), Epsilon::Hat(epsilon)].map(|epsilon| {
        rmsprop.epsilon = epsilon;
        Config::Rmsprop(rmsprop)
    });
    for (config, what) in [(average, "average"), (outside, "outside"), (hat, "hat")] {
        for_each_isa(|isa| {
            let (mut m, mut v, mut beta_t) = (0.0, 0.0, 1.0);
            assert_follows::<T>(isa, &config, what, |_, g| {
                let beta = 1.0 - 1.0 / n;
                m = beta * m + (1.0 - beta) * g;
                v = beta * v + (1.0 - beta) * g * g;
                beta_t *= beta;
                let correction: f64 = 1.0 - beta_t;
                match what {
                    "average" => lr * m / correction,
                    "outside" => lr * g / ((v / correction).sqrt() + epsilon),
                    _ => lr * correction.sqrt() * g / (v.sqrt() + epsilon),
                }
            });
        });
    }
}

for_both_types!(
    nadam_looks_ahead,
    debiasing,
    sum_form_is_n_times_the_average,
    a_constant_is_a_fixed_point,
    exact_mean_of_a_constant,
    a_window_of_one_forgets,
    exact_mean_is_the_mean,
    averages_of_squares_are_not_negative,
);

#[test]
fn forms_convert_there_and_back() {
    let sum = MomentumConfig::torch(0.01, 0.75).expect("0.75 is a momentum");
    let there = sum.to_average_form();
    assert_eq!((there.form, there.lr), (MomentumForm::Average, 0.04));
    assert_eq!(there.to_sum_form(), sum);
}

#[test]
fn corrections_end_at_one() {
    for length in [1.0, 1.5, 2.0, 10.0, 1000.0, 12_345.6, 1e9] {
        let w = window(length);
        for t in [30.0, 36.0, 37.0, 37.5, 37.9, 38.0, 38.1, 39.0, 100.0] {
            let t = (t * length) as u64;
            let formula = -libm::expm1(t as f64 * libm::log1p(-w.alpha()));
            assert_eq!(w.correction(t), formula, "N = {length}, t = {t}");
        }
        assert!(length == 1.0 || w.correction((30.0 * length / 2.0) as u64) < 1.0);
    }
}
