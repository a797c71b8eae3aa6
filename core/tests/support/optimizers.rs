//! Every consistent configuration of the optimizers, behind one face.

use pergrad_core::{
    AdamConfig, AdamState, AmsGrad, Decay, Epsilon, Error, Fold, Isa, LayerStep, LrPlacement,
    MomentumConfig, MomentumForm, NonFinite, Part, RmspropConfig, RmspropState, SecondMoment,
    Start, WarmUp, Window, reference, step_adam, step_momentum, step_rmsprop, update_adam,
    update_momentum, update_rmsprop,
};

use super::compare::Output;
use super::values::{Kind, Real, Rng};

/// The arrays that a step changes: the parameters, then up to three of state; those that a
/// configuration does without are empty.
pub type Arrays<'a, T> = [&'a mut [T]; 4];

/// A configuration of any optimizer.
#[derive(Debug, Clone, Copy)]
pub enum Config {
    Momentum(MomentumConfig),
    Rmsprop(RmspropConfig),
    Adam(AdamConfig),
}

impl Config {
    /// Names of the arrays, and whether this configuration has them.
    pub fn arrays(&self) -> [(&'static str, bool); 4] {
        let params = ("params", true);
        match self {
            Config::Momentum(c) => {
                [params, ("momentum_buffer", c.has_buffer()), ("", false), ("", false)]
            }
            Config::Rmsprop(c) => [
                params,
                ("exp_avg_sq", true),
                ("exp_avg", c.centered),
                ("momentum_buffer", c.momentum.is_some()),
            ],
            Config::Adam(c) => [
                params,
                ("exp_avg", true),
                ("exp_avg_sq", true),
                ("max_exp_avg_sq", c.amsgrad != AmsGrad::Off),
            ],
        }
    }

    /// Whether it divides by a second moment.
    pub fn has_second(&self) -> bool {
        !matches!(self, Config::Momentum(_))
    }

    /// The arrays for `n` parameters, with values of `kind`; averages of squares are not negative.
    pub fn state<T: Real>(&self, rng: &mut Rng, kind: Kind, n: usize) -> [Output<T>; 4] {
        self.arrays().map(|(name, used)| {
            let n = if used { n } else { 0 };
            let before =
                if name.ends_with("_sq") { rng.squares(kind, n) } else { rng.values(kind, n) };
            Output { name, before }
        })
    }

    /// Whether the coefficients of step `t` can be had.
    pub fn is_consistent<T: Real>(&self, t: u64) -> bool {
        match self {
            Config::Momentum(c) => c.step_coeffs::<T>(t).is_ok(),
            Config::Rmsprop(c) => c.step_coeffs::<T>(t).is_ok(),
            Config::Adam(c) => c.step_coeffs::<T>(t).is_ok(),
        }
    }

    /// Step `t` by the plain loops.
    pub fn reference<T: Real>(
        &self,
        t: u64,
        grad: &[T],
        second: Option<&[T]>,
        [params, a, b, c]: Arrays<'_, T>,
    ) -> Result<(), Error> {
        match self {
            Config::Momentum(config) => {
                reference::update_momentum(&config.step_coeffs(t)?, params, grad, a)
            }
            Config::Rmsprop(config) => {
                let state = RmspropState { exp_avg_sq: a, exp_avg: b, momentum_buffer: c };
                reference::update_rmsprop(&config.step_coeffs(t)?, params, grad, second, state)
            }
            Config::Adam(config) => {
                let state = AdamState { exp_avg: a, exp_avg_sq: b, max_exp_avg_sq: c };
                reference::update_adam(&config.step_coeffs(t)?, params, grad, second, state)
            }
        }
    }

    /// Step `t` by the kernels over slices.
    pub fn update<T: Real>(
        &self,
        isa: Isa,
        t: u64,
        grad: &[T],
        second: Option<&[T]>,
        [params, a, b, c]: Arrays<'_, T>,
        non_finite: NonFinite,
    ) -> Result<(), Error> {
        match self {
            Config::Momentum(config) => {
                let coeffs = config.step_coeffs(t)?;
                update_momentum(isa, &coeffs, params, grad, a, non_finite)
            }
            Config::Rmsprop(config) => {
                let coeffs = config.step_coeffs(t)?;
                let state = RmspropState { exp_avg_sq: a, exp_avg: b, momentum_buffer: c };
                update_rmsprop(isa, &coeffs, params, grad, second, state, non_finite)
            }
            Config::Adam(config) => {
                let coeffs = config.step_coeffs(t)?;
                let state = AdamState { exp_avg: a, exp_avg_sq: b, max_exp_avg_sq: c };
                update_adam(isa, &coeffs, params, grad, second, state, non_finite)
            }
        }
    }

    /// Step `t` by the fused layer step.
    pub fn step<T: Real>(
        &self,
        isa: Isa,
        t: u64,
        layer: &LayerStep<'_, T>,
        part: Part,
        [params, a, b, c]: Arrays<'_, T>,
        scratch: &mut [T],
    ) -> Result<(), Error> {
        match self {
            Config::Momentum(config) => {
                let coeffs = config.step_coeffs(t)?;
                step_momentum(isa, layer, part, &coeffs, params, a, scratch)
            }
            Config::Rmsprop(config) => {
                let coeffs = config.step_coeffs(t)?;
                let state = RmspropState { exp_avg_sq: a, exp_avg: b, momentum_buffer: c };
                step_rmsprop(isa, layer, part, &coeffs, params, state, scratch)
            }
            Config::Adam(config) => {
                let coeffs = config.step_coeffs(t)?;
                let state = AdamState { exp_avg: a, exp_avg_sq: b, max_exp_avg_sq: c };
                step_adam(isa, layer, part, &coeffs, params, state, scratch)
            }
        }
    }

    /// Whether a layer step takes its second moment from `grad_sq`, hence from the moments.
    pub fn steps_on_grad_sq<T>(&self, layer: &LayerStep<'_, T>) -> bool {
        self.has_second() && layer.second == SecondMoment::GradSq
    }
}

/// What a checked step must do: `update`, unless that leaves something not finite; then nothing, and
/// the error is `refusal` of the first index.
pub fn checked<T: Real>(
    mut arrays: Arrays<'_, T>,
    update: impl FnOnce(Arrays<'_, T>) -> Result<(), Error>,
    refusal: impl FnOnce(usize) -> Error,
) -> Result<(), Error> {
    let before = arrays.each_ref().map(|array| array.to_vec());
    update(arrays.each_mut().map(|array| &mut **array))?;
    let first_bad = |array: &&mut [T]| array.iter().position(|v| !v.is_finite());
    match arrays.iter().filter_map(first_bad).min() {
        None => Ok(()),
        Some(index) => {
            for (array, before) in arrays.iter_mut().zip(before) {
                array.copy_from_slice(&before);
            }
            Err(refusal(index))
        }
    }
}

/// The product of all switches, by nested loops over `name in values`.
macro_rules! product {
    ($($name:ident in $values:expr),+ => $config:expr) => {{
        let mut all = Vec::new();
        product!(@loops all, $config, $($name in $values),+);
        all
    }};
    (@loops $all:ident, $config:expr, $name:ident in $values:expr $(, $rest:ident in $others:expr)*) => {
        for $name in $values {
            product!(@loops $all, $config $(, $rest in $others)*);
        }
    };
    (@loops $all:ident, $config:expr $(,)?) => {
        $all.push($config);
    };
}

const BOOLS: [bool; 2] = [false, true];
const WARM_UPS: [WarmUp; 3] = [WarmUp::None, WarmUp::ExactMean, WarmUp::Debias];
const DECAYS: [Decay; 3] = [Decay::None, Decay::Coupled(0.03), Decay::Decoupled(0.3)];
const PLACEMENTS: [LrPlacement; 2] = [LrPlacement::Outside, LrPlacement::Inside];
const EPSILONS: [Epsilon; 5] = [
    Epsilon::Outside(1e-3),
    Epsilon::Outside(0.0),
    Epsilon::Hat(1e-2),
    Epsilon::Inside(1e-3),
    Epsilon::Both { inside: 1e-2, outside: 1e-1 },
];

fn window(length: f64) -> Window {
    Window::new(length).expect("a window of one sample or more")
}

/// Whether the configuration means something: what `config.rs` finds refused is left out.
fn consistent(config: &Config) -> bool {
    config.is_consistent::<f32>(1) && config.is_consistent::<f64>(1)
}

/// Momentum in every consistent combination of its switches.
pub fn momentum_configs() -> Vec<Config> {
    let forms = [MomentumForm::Plain, MomentumForm::Sum, MomentumForm::Average];
    let mut all = product!(
        form in forms, warm_up in WARM_UPS, nesterov in BOOLS, dampening in [0.0, 0.3],
        lr_placement in PLACEMENTS, decay in DECAYS, maximize in BOOLS => {
            let mut c = MomentumConfig::new(0.07, window(7.0));
            (c.form, c.warm_up, c.nesterov, c.dampening) = (form, warm_up, nesterov, dampening);
            (c.lr_placement, c.decay, c.maximize) = (lr_placement, decay, maximize);
            Config::Momentum(c)
        }
    );
    all.retain(consistent);
    // 6 of decay and sign, times: plain 3 warm-ups and 2 placements (both without effect), sum
    // (nesterov or dampening or neither) and 2 placements, average 3 warm-ups with or without
    // nesterov.
    assert_eq!(all.len(), 6 * (3 * 2 + 3 * 2 + 3 * 2));
    all
}

/// RMSProp in every consistent combination of its switches.
pub fn rmsprop_configs() -> Vec<Config> {
    let mut all = product!(
        warm_up in WARM_UPS, epsilon in EPSILONS, centered in BOOLS,
        momentum in [None, Some(window(5.0))], nesterov in BOOLS, lr_placement in PLACEMENTS,
        decay in DECAYS, maximize in BOOLS => {
            let mut c = RmspropConfig::new(0.07, window(7.0));
            (c.warm_up, c.epsilon, c.centered, c.momentum) = (warm_up, epsilon, centered, momentum);
            (c.nesterov, c.lr_placement) = (nesterov, lr_placement);
            (c.decay, c.maximize) = (decay, maximize);
            Config::Rmsprop(c)
        }
    );
    all.retain(consistent);
    // 12 of placement, decay and sign, times 3 of momentum and nesterov, times what is left of
    // 3 warm-ups, 5 epsilons, centered or not, without the hat form of a corrected variance.
    assert_eq!(all.len(), 12 * 3 * (3 * 5 * 2 - 1));
    all
}

/// Adam in every consistent combination of its switches.
pub fn adam_configs() -> Vec<Config> {
    let amsgrads = [AmsGrad::Off, AmsGrad::Uncorrected, AmsGrad::Corrected];
    let mut all = product!(
        warm_up in WARM_UPS, epsilon in EPSILONS, amsgrad in amsgrads, nesterov in BOOLS,
        decay in DECAYS, maximize in BOOLS => {
            let mut c = AdamConfig::new(0.07, window(4.0), window(30.0));
            (c.warm_up, c.epsilon, c.amsgrad) = (warm_up, epsilon, amsgrad);
            (c.nesterov, c.decay, c.maximize) = (nesterov, decay, maximize);
            Config::Adam(c)
        }
    );
    all.retain(consistent);
    // 12 of nesterov, decay and sign, times 3 warm-ups, 5 epsilons and 3 of AMSGrad, without the
    // hat form of a corrected maximum.
    assert_eq!(all.len(), 12 * 3 * (5 * 3 - 1));
    all
}

/// All of them.
pub fn configs() -> Vec<Config> {
    [momentum_configs(), rmsprop_configs(), adam_configs()].concat()
}

/// Makes one element, of any of the arrays, infinite or NaN.
pub fn poison<T: Real>(rng: &mut Rng, arrays: &mut [&mut [T]]) {
    let array = rng.below(arrays.len());
    let array = &mut *arrays[array];
    if !array.is_empty() {
        array[rng.below(array.len())] = rng.pick(&[T::nan(), T::infinity(), -T::infinity()]);
    }
}

/// The bits that a layer step must leave: the plain loops of moments or gradient, then of the update.
pub fn reference_step<T: Real>(
    config: &Config,
    t: u64,
    layer: &LayerStep<'_, T>,
    part: Part,
    arrays: Arrays<'_, T>,
) -> Result<(), Error> {
    let n = arrays[0].len();
    let (mut grad, mut grad_sq) = (vec![T::ZERO; n], vec![T::ZERO; n]);
    let fold = Fold { start: Start::Fresh, scale: layer.scale };
    let on_grad_sq = config.steps_on_grad_sq(layer);
    let batch = &layer.batch;
    match (part, on_grad_sq) {
        (Part::Weight, true) => reference::moments(batch, fold, &mut grad, &mut grad_sq)?,
        (Part::Weight, false) => reference::grad(batch, fold, &mut grad)?,
        (Part::Bias, true) => reference::bias_moments(batch, fold, &mut grad, &mut grad_sq)?,
        (Part::Bias, false) => reference::bias_grad(batch, fold, &mut grad)?,
    }
    config.reference(t, &grad, on_grad_sq.then_some(&grad_sq), arrays)
}
