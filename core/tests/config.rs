//! Windows, warm-ups, conversions, hyper-parameters per example, and what configurations refuse.

use pergrad_core::{
    AdamConfig, AmsGrad, Decay, Element, Epsilon, Error, LrPlacement, MomentumConfig, MomentumForm,
    RmspropConfig, WarmUp, Window,
};

const NOT_FINITE: [f64; 3] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];

fn window(length: f64) -> Window {
    Window::new(length).expect("at least 1 and finite")
}

/// The argument that an error names.
fn refused<C>(result: Result<C, Error>) -> &'static str {
    match result {
        Err(Error::Hyper { arg, .. }) => arg,
        Err(Error::Conflict { .. }) => "conflict",
        Err(other) => panic!("{other}"),
        Ok(_) => "nothing",
    }
}

/// Both differ by less than a few units in the last place.
#[track_caller]
fn assert_near(got: f64, want: f64) {
    assert!((got - want).abs() <= 4.0 * f64::EPSILON * want.abs(), "{got} is not near {want}");
}

#[test]
fn windows_are_at_least_one_sample() {
    for length in [1.0, 1.5, 2048.0, 1e300] {
        let w = window(length);
        assert_near(w.length(), length);
        assert_eq!((w.alpha(), w.beta()), (1.0 / length, 1.0 - 1.0 / length));
    }
    for length in [0.999_999, 0.0, -0.0, -4.0].into_iter().chain(NOT_FINITE) {
        assert_eq!(refused(Window::new(length)), "window", "{length}");
    }
    let need = "at least 1 and finite";
    assert_eq!(Window::new(0.5), Err(Error::Hyper { arg: "window", got: 0.5, need }));
}

#[test]
fn windows_from_beta() {
    for (beta, length) in [(0.0, 1.0), (0.5, 2.0), (0.875, 8.0), (0.9, 10.0), (0.999, 1000.0)] {
        let w = Window::from_beta(beta).expect("between 0 and 1");
        assert!((w.length() / length - 1.0).abs() < 1e-12, "{beta}");
        assert_eq!(w.alpha(), 1.0 - beta);
    }
    for beta in [1.0, 1.5, -1e-9].into_iter().chain(NOT_FINITE) {
        assert_eq!(refused(Window::from_beta(beta)), "beta", "{beta}");
    }
}

#[test]
fn windows_at_a_batch_size() {
    let examples = window(2048.0);
    for (batch, steps) in [(1, 2048.0), (2, 1024.0), (3, 2048.0 / 3.0), (2048, 1.0), (5000, 1.0)] {
        assert_near(examples.at_batch_size(batch).length(), steps);
    }
    assert_eq!(examples.at_batch_size(1), examples);
}

#[test]
fn states_and_rates_convert_there_and_back() {
    let w = window(8.0);
    assert_eq!((w.lr_average(0.25), w.lr_sum(2.0)), (2.0, 0.25));
    assert_eq!((w.sum_state(0.25), w.average_state(2.0)), (2.0, 0.25));
    // A step of the sum form is the step of the average form.
    assert_eq!(w.lr_sum(0.5) * w.sum_state(3.0), 0.5 * 3.0);
}

/// `1 - beta^t`, also where `beta` is so near to 1 that the power cannot be told from 1.
#[test]
fn corrections() {
    for length in [1.0, 2.0, 10.0, 1000.0] {
        let w = window(length);
        for t in [1, 2, 3, 10, 100] {
            let want = 1.0 - w.beta().powi(t as i32);
            assert!((w.correction(t) - want).abs() <= 1e-14, "{length} {t}");
            assert_eq!(WarmUp::Debias.correction(w, t), w.correction(t));
            assert_eq!(WarmUp::None.correction(w, t), 1.0);
            assert_eq!(WarmUp::ExactMean.correction(w, t), 1.0);
        }
        assert_near(w.correction(1), w.alpha());
        assert_eq!(w.correction(u64::MAX), 1.0);
    }
    for length in [1e12, 1e17, 1e200] {
        assert_near(window(length).correction(1), 1.0 / length);
        // 1 - (1 - a)^3 = 3 a (1 - a + a^2 / 3)
        let a = 1.0 / length;
        assert_near(window(length).correction(3), 3.0 * a * (1.0 - a));
    }
}

#[test]
fn warm_up_of_the_exact_mean() {
    let w = window(4.5);
    let alphas = [1, 2, 3, 4, 5, 6, u64::MAX].map(|t| WarmUp::ExactMean.alpha(w, t));
    let full = 1.0 / 4.5;
    assert_eq!(alphas, [1.0, 0.5, 1.0 / 3.0, 0.25, full, full, full]);
    for t in [1, 2, 100] {
        assert_eq!(WarmUp::None.alpha(w, t), full);
        assert_eq!(WarmUp::Debias.alpha(w, t), full);
    }
}

#[test]
fn momentum_at_a_batch_size() {
    let per_example = MomentumConfig::new(1e-3, window(2048.0));
    let step = per_example.at_batch_size(32);
    assert_eq!((step.lr, step.window), (0.032, window(64.0)));
    // The forms commute with the batch size.
    let sum = per_example.to_sum_form();
    assert_eq!(sum.at_batch_size(32), step.to_sum_form());
    assert_eq!(sum.at_batch_size(32).to_average_form(), {
        let mut average = step;
        average.warm_up = WarmUp::None;
        average
    });
    // Past the window the sum form sums nothing, but still travels as far per example.
    let long = sum.at_batch_size(4096);
    assert_near(long.lr, 4.096);
    assert_eq!(long.window, window(1.0));
    let mut plain = per_example;
    plain.form = MomentumForm::Plain;
    assert_eq!(plain.at_batch_size(32).lr, 0.032);
    assert_eq!(plain.to_sum_form(), plain);
    assert_eq!(plain.to_average_form(), plain);
    assert!(!plain.has_buffer() && sum.has_buffer() && per_example.has_buffer());
}

#[test]
fn rmsprop_and_adam_at_a_batch_size() {
    let rmsprop = RmspropConfig::new(1e-4, window(20_480.0));
    let step = rmsprop.at_batch_size(32);
    assert_eq!((step.lr, step.window, step.momentum), (0.0032, window(640.0), None));
    // The distance that one divided gradient makes in all, lr times the momentum's window, is B
    // times that of one example.
    let mut with_momentum = rmsprop;
    with_momentum.momentum = Some(window(2048.0));
    for batch in [1, 32, 4096] {
        let step = with_momentum.at_batch_size(batch);
        let momentum = step.momentum.expect("as before");
        assert_eq!(momentum, window(2048.0).at_batch_size(batch));
        assert_near(momentum.lr_average(step.lr), 1e-4 * 2048.0 * batch as f64);
    }

    let adam = AdamConfig::new(1e-4, window(2048.0), window(20_480.0)).at_batch_size(4096);
    assert_eq!((adam.window, adam.window_sq), (window(1.0), window(5.0)));
    assert_near(adam.lr, 0.4096);
}

#[test]
fn presets() {
    let [torch, keras, optax] =
        [MomentumConfig::torch, MomentumConfig::keras, MomentumConfig::optax]
            .map(|preset| preset(0.1, 0.9).expect("0.9 is a momentum"));
    for c in [torch, keras, optax] {
        assert_eq!((c.lr, c.form, c.warm_up), (0.1, MomentumForm::Sum, WarmUp::None));
        assert_near(c.window.beta(), 0.9);
    }
    let placements = [torch, keras, optax].map(|c| c.lr_placement);
    assert_eq!(placements, [LrPlacement::Outside, LrPlacement::Inside, LrPlacement::Outside]);
    assert_eq!(MomentumConfig::torch(0.1, 0.0).map(|c| c.form), Ok(MomentumForm::Plain));
    assert_eq!(refused(MomentumConfig::torch(0.1, 1.0)), "beta");
    assert_eq!(refused(MomentumConfig::keras(0.1, -0.1)), "beta");

    let [torch, keras, optax] = [RmspropConfig::torch, RmspropConfig::keras, RmspropConfig::optax]
        .map(|preset| preset(0.1).expect("constants"));
    let epsilons = [torch, keras, optax].map(|c| c.epsilon);
    let expected = [Epsilon::Outside(1e-8), Epsilon::Inside(1e-7), Epsilon::Inside(1e-8)];
    assert_eq!(epsilons, expected);
    let placements = [torch, keras, optax].map(|c| c.lr_placement);
    assert_eq!(placements, [LrPlacement::Outside, LrPlacement::Inside, LrPlacement::Inside]);
    assert_eq!([torch, keras, optax].map(|c| c.window.beta()), [0.99, 0.9, 0.9]);

    let [torch, keras, optax] = [AdamConfig::torch, AdamConfig::keras, AdamConfig::optax]
        .map(|preset| preset(0.1).expect("constants"));
    let epsilons = [torch, keras, optax].map(|c| c.epsilon);
    let expected = [Epsilon::Outside(1e-8), Epsilon::Hat(1e-7), Epsilon::Outside(1e-8)];
    assert_eq!(epsilons, expected);
    for c in [torch, keras, optax] {
        assert_eq!((c.window.beta(), c.window_sq.beta()), (0.9, 0.999));
        assert_eq!(c.warm_up, WarmUp::Debias);
    }
}

/// The three optimizers, each changed by the same closure where they have the same field.
macro_rules! each_optimizer {
    ($T:ty, $t:expr, $change:ident => $body:block) => {
        [
            {
                let mut $change = MomentumConfig::new(0.1, window(10.0));
                $body
                refused($change.step_coeffs::<$T>($t))
            },
            {
                let mut $change = RmspropConfig::new(0.1, window(10.0));
                $body
                refused($change.step_coeffs::<$T>($t))
            },
            {
                let mut $change = AdamConfig::new(0.1, window(10.0), window(10.0));
                $body
                refused($change.step_coeffs::<$T>($t))
            },
        ]
    };
}

fn refuses_everywhere<T: Element>() {
    assert_eq!(each_optimizer!(T, 0, c => { c.maximize = true; }), ["t"; 3]);
    assert_eq!(each_optimizer!(T, 1, c => { c.maximize = true; }), ["nothing"; 3]);
    assert_eq!(each_optimizer!(T, u64::MAX, c => { c.maximize = true; }), ["nothing"; 3]);
    assert_eq!(each_optimizer!(T, 1, c => { c.lr = 0.0; }), ["nothing"; 3]);
    for bad in [-1e-9, -1.0].into_iter().chain(NOT_FINITE) {
        assert_eq!(each_optimizer!(T, 1, c => { c.lr = bad; }), ["lr"; 3], "{bad}");
        for decay in [Decay::Coupled(bad), Decay::Decoupled(bad)] {
            let refused = each_optimizer!(T, 1, c => { c.decay = decay; });
            assert_eq!(refused, ["weight_decay"; 3], "{decay:?}");
        }
    }
    // Each is finite, but not their product.
    let largest = if T::NAME == "f32" { f32::MAX.into() } else { f64::MAX };
    let refused = each_optimizer!(T, 1, c => {
        (c.lr, c.decay) = (1e10, Decay::Decoupled(largest));
    });
    assert_eq!(refused, ["lr * weight_decay"; 3]);
}

#[test]
fn refused_hyper_parameters() {
    refuses_everywhere::<f32>();
    refuses_everywhere::<f64>();
    // Finite in one type, not in the other.
    assert_eq!(each_optimizer!(f32, 1, c => { c.lr = 1e39; }), ["lr"; 3]);
    assert_eq!(each_optimizer!(f64, 1, c => { c.lr = 1e39; }), ["nothing"; 3]);
    let mut c = RmspropConfig::new(0.1, window(10.0));
    for bad in [-1.0, f64::NAN, f64::INFINITY] {
        c.initial_exp_avg_sq = bad;
        assert_eq!(refused(c.step_coeffs::<f64>(1)), "initial_exp_avg_sq");
    }
    let mut c = MomentumConfig::torch(0.1, 0.9).expect("0.9 is a momentum");
    for bad in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        c.dampening = bad;
        assert_eq!(refused(c.step_coeffs::<f64>(1)), "dampening");
    }
    c.dampening = 1.0;
    assert_eq!(refused(c.step_coeffs::<f64>(1)), "nothing");
}

/// What RMSProp and Adam say to an epsilon.
fn epsilon<T: Element>(epsilon: Epsilon) -> [&'static str; 2] {
    let mut rmsprop = RmspropConfig::new(0.1, window(10.0));
    let mut adam = AdamConfig::new(0.1, window(10.0), window(10.0));
    (rmsprop.epsilon, adam.epsilon) = (epsilon, epsilon);
    [refused(rmsprop.step_coeffs::<T>(1)), refused(adam.step_coeffs::<T>(1))]
}

/// An epsilon at each of the places where one can stand.
fn places(e: f64) -> [Epsilon; 5] {
    let (a, b) =
        (Epsilon::Both { inside: e, outside: 0.1 }, Epsilon::Both { inside: 0.1, outside: e });
    [Epsilon::Outside(e), Epsilon::Hat(e), Epsilon::Inside(e), a, b]
}

#[test]
fn epsilons() {
    let (refused, taken) = (["epsilon"; 2], ["nothing"; 2]);
    for bad in [-1e-8].into_iter().chain(NOT_FINITE) {
        for e in places(bad) {
            assert_eq!((epsilon::<f32>(e), epsilon::<f64>(e)), (refused, refused), "{e:?}");
        }
    }
    // Nothing was asked for, and the smallest that there is.
    for e in [0.0, f32::from_bits(1).into()].into_iter().flat_map(places) {
        assert_eq!((epsilon::<f32>(e), epsilon::<f64>(e)), (taken, taken), "{e:?}");
    }
    // Half of the smallest f32 is a tie that rounds to 0; anything above rounds up.
    let half = f64::from(f32::from_bits(1)) / 2.0;
    for e in [half, 1e-60].into_iter().flat_map(places) {
        assert_eq!((epsilon::<f32>(e), epsilon::<f64>(e)), (refused, taken), "{e:?}");
    }
    for e in places(half * (1.0 + f64::EPSILON)) {
        assert_eq!(epsilon::<f32>(e), taken, "{e:?}");
    }
    // What overflows the element type is no epsilon either.
    for e in places(1e39) {
        assert_eq!((epsilon::<f32>(e), epsilon::<f64>(e)), (refused, taken), "{e:?}");
    }
}

#[test]
fn conflicts() {
    let conflict = |c: &MomentumConfig| refused(c.step_coeffs::<f32>(1)) == "conflict";
    let average = MomentumConfig::new(0.1, window(10.0));
    let sum = average.to_sum_form();
    let mut plain = average;
    plain.form = MomentumForm::Plain;
    assert!(!conflict(&average) && !conflict(&sum) && !conflict(&plain));
    let changed = |mut c: MomentumConfig, change: fn(&mut MomentumConfig)| {
        change(&mut c);
        conflict(&c)
    };
    let nesterov = |c: &mut MomentumConfig| c.nesterov = true;
    assert_eq!([plain, sum, average].map(|c| changed(c, nesterov)), [true, false, false]);
    let dampening = |c: &mut MomentumConfig| c.dampening = 0.5;
    assert_eq!([plain, sum, average].map(|c| changed(c, dampening)), [true, false, true]);
    assert!(changed(sum, |c| (c.nesterov, c.dampening) = (true, 0.5)));
    let inside = |c: &mut MomentumConfig| c.lr_placement = LrPlacement::Inside;
    assert_eq!([plain, sum, average].map(|c| changed(c, inside)), [false, false, true]);
    assert!(changed(sum, |c| c.warm_up = WarmUp::ExactMean));
    assert!(changed(sum, |c| c.warm_up = WarmUp::Debias));

    let mut c = RmspropConfig::new(0.1, window(10.0));
    c.nesterov = true;
    assert_eq!(refused(c.step_coeffs::<f32>(1)), "conflict");
    c.momentum = Some(window(10.0));
    assert_eq!(refused(c.step_coeffs::<f32>(1)), "nothing");
    (c.centered, c.epsilon, c.warm_up) = (true, Epsilon::Hat(1e-7), WarmUp::Debias);
    assert_eq!(refused(c.step_coeffs::<f32>(1)), "conflict");
    c.centered = false;
    assert_eq!(refused(c.step_coeffs::<f32>(1)), "nothing");

    let mut c = AdamConfig::keras(0.1).expect("constants");
    c.amsgrad = AmsGrad::Corrected;
    assert_eq!(refused(c.step_coeffs::<f32>(1)), "conflict");
    c.amsgrad = AmsGrad::Uncorrected;
    assert_eq!(refused(c.step_coeffs::<f32>(1)), "nothing");
}

/// A bias correction that cannot be expressed is refused, not infinite.
#[test]
fn corrections_that_overflow() {
    let mut c = AdamConfig::torch(0.1).expect("constants");
    c.window_sq = window(1e60);
    assert_eq!(refused(c.step_coeffs::<f32>(1)), "1 / (1 - beta^t)");
    assert_eq!(refused(c.step_coeffs::<f64>(1)), "nothing");
}

#[test]
fn messages_name_what_was_and_what_is_needed() {
    let error = Window::new(0.5).expect_err("under 1");
    assert_eq!(error.to_string(), "`window` is 0.5, it must be at least 1 and finite");
    let error =
        AdamConfig::torch(-1.0).and_then(|c| c.step_coeffs::<f32>(1)).expect_err("negative");
    assert_eq!(error.to_string(), "`lr` is -1, it must be at least 0");
    let error = AdamConfig::torch(1.0).and_then(|c| c.step_coeffs::<f32>(0)).expect_err("from 1");
    assert_eq!(error.to_string(), "`t` is 0, it must be at least 1");
}
