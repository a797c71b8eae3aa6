//! The optimizers over slices: parameters, gradient, state.

use pergrad_core::{
    AdamConfig, AdamState, Isa, MomentumConfig, NonFinite, RmspropConfig, RmspropState,
    update_adam, update_momentum, update_rmsprop,
};

use crate::buf::{Buf, check_close};
use crate::case::{Case, Group, Work, elements, isas};
use crate::limits::Limits;
use crate::plain;

/// The learning rate of all of them: large beside the parameters, so that a wrong step is seen.
pub const LR: f64 = 0.01;

/// The step that is timed.
pub const STEP: u64 = 10;

/// Parameters in the benches lie between plus and minus this.
pub const PARAMS: f64 = 0.01;

/// Which optimizer, and where its second moment comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Adam on the squared gradient.
    Adam,
    /// Adam on `grad_sq`, given as a slice.
    AdamGradSq,
    /// RMSProp on the squared gradient.
    Rmsprop,
    /// Momentum as a running sum.
    Momentum,
}

impl Rule {
    /// The name of its group.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Adam => "adam",
            Rule::AdamGradSq => "adam_grad_sq",
            Rule::Rmsprop => "rmsprop",
            Rule::Momentum => "momentum",
        }
    }

    fn second<T>(self, grad_sq: &[T]) -> Option<&[T]> {
        (self == Rule::AdamGradSq).then_some(grad_sq)
    }
}

/// Parameters and the state of the optimizers, whose slices are empty where a rule has none.
pub struct Params<T> {
    rule: Rule,
    /// What is updated.
    pub params: Buf<T>,
    /// Adam's average of the gradient, or the momentum buffer.
    pub exp_avg: Buf<T>,
    /// Adam's and RMSProp's average of the second moment.
    pub exp_avg_sq: Buf<T>,
    want: Vec<Buf<T>>,
}

impl<T: Limits> Params<T> {
    /// `n` parameters; `step` is pergrad's step from the start, whose results are expected of others.
    pub fn new(rule: Rule, n: usize, step: impl FnOnce(&mut Self)) -> Self {
        let mut all = Params {
            rule,
            params: Buf::zeros(n),
            exp_avg: Buf::zeros(if rule == Rule::Rmsprop { 0 } else { n }),
            exp_avg_sq: Buf::zeros(if rule == Rule::Momentum { 0 } else { n }),
            want: Vec::new(),
        };
        all.reset();
        step(&mut all);
        for got in [&all.params, &all.exp_avg, &all.exp_avg_sq] {
            let mut want = Buf::zeros(got.len());
            want.copy_from_slice(got);
            all.want.push(want);
        }
        all
    }

    /// pergrad's update.
    pub fn ours(&mut self, isa: Isa, grad: &[T], grad_sq: &[T]) {
        let Params { rule, params, exp_avg, exp_avg_sq, .. } = self;
        let propagate = NonFinite::Propagate;
        match rule {
            Rule::Adam | Rule::AdamGradSq => {
                let c = adam_config().step_coeffs(STEP).expect("valid");
                let state = AdamState::new(exp_avg, exp_avg_sq);
                update_adam(isa, &c, params, grad, rule.second(grad_sq), state, propagate)
            }
            Rule::Rmsprop => {
                let c = RmspropConfig::torch(LR).and_then(|c| c.step_coeffs(STEP));
                let state = RmspropState::new(exp_avg_sq);
                update_rmsprop(isa, &c.expect("valid"), params, grad, None, state, propagate)
            }
            Rule::Momentum => {
                let c = MomentumConfig::torch(LR, 0.9).and_then(|c| c.step_coeffs(STEP));
                update_momentum(isa, &c.expect("valid"), params, grad, exp_avg, propagate)
            }
        }
        .expect("lengths fit");
    }

    /// Plain loops, one pass.
    pub fn loops(&mut self, grad: &[T], grad_sq: &[T]) {
        let Params { rule, params, exp_avg, exp_avg_sq, .. } = self;
        match rule {
            Rule::Adam | Rule::AdamGradSq => {
                let c = plain::Adam::torch(LR, STEP as i32);
                plain::adam(c, params, grad, rule.second(grad_sq), exp_avg, exp_avg_sq);
            }
            Rule::Rmsprop => {
                plain::rmsprop(plain::Adam::torch_rmsprop(LR), params, grad, exp_avg_sq);
            }
            Rule::Momentum => {
                let (beta, lr) = (T::from_f64(0.9), T::from_f64(LR));
                plain::momentum(beta, lr, params, grad, exp_avg);
            }
        }
    }

    /// Adam by hand in three passes, as from array operations.
    ///
    /// # Panics
    /// For the other rules.
    pub fn three_passes(&mut self, grad: &[T], grad_sq: &[T]) {
        let Params { rule, params, exp_avg, exp_avg_sq, .. } = self;
        assert!(matches!(rule, Rule::Adam | Rule::AdamGradSq));
        let c = plain::Adam::torch(LR, STEP as i32);
        plain::adam_three_passes(c, params, grad, rule.second(grad_sq), exp_avg, exp_avg_sq);
    }
}

impl<T: Limits> Work for Params<T> {
    fn reset(&mut self) {
        self.params.randomize(3, -PARAMS, PARAMS);
        self.exp_avg.randomize(4, -1.0, 1.0);
        self.exp_avg_sq.randomize(5, 0.1, 1.0);
    }

    fn check(&self, who: &str) {
        let got = [&self.params, &self.exp_avg, &self.exp_avg_sq];
        let names = ["params", "exp_avg", "exp_avg_sq"];
        for ((got, want), name) in got.into_iter().zip(&self.want).zip(names) {
            check_close(who, name, got, want);
        }
    }
}

/// PyTorch's Adam, which all peers can do.
pub fn adam_config() -> AdamConfig {
    AdamConfig::torch(LR).expect("valid")
}

/// An update from a gradient that lies in memory.
struct Update<T> {
    grad: Buf<T>,
    grad_sq: Buf<T>,
    params: Params<T>,
}

impl<T: Limits> Update<T> {
    fn new(rule: Rule, n: usize) -> Self {
        let grad = Buf::random(n, 1, -1.0, 1.0);
        let grad_sq = Buf::random(if rule == Rule::AdamGradSq { n } else { 0 }, 2, 0.1, 1.0);
        let params = Params::new(rule, n, |p| p.ours(Isa::detect(), &grad, &grad_sq));
        Update { grad, grad_sq, params }
    }
}

impl<T: Limits> Work for Update<T> {
    fn reset(&mut self) {
        self.params.reset();
    }

    fn check(&self, who: &str) {
        self.params.check(who);
    }
}

/// All contestants for `n` parameters.
pub fn bench_update<T: Limits>(group: &mut Group<'_>, rule: Rule, n: usize) {
    let mut case = Case::new(format!("{}_{n}", T::NAME), move || Update::<T>::new(rule, n));
    elements(group, n);
    for isa in isas(n) {
        case.bench(group, isa.name(), |u| u.params.ours(isa, &u.grad, &u.grad_sq));
        let limit = format!("limit_move_{}", isa.name());
        case.limit(group, &limit, |u| {
            let Params { params, exp_avg, exp_avg_sq, .. } = &mut u.params;
            let (p, m, v): (&mut [T], &mut [T], &mut [T]) = (params, exp_avg, exp_avg_sq);
            match rule {
                Rule::Adam => T::move_arrays(isa, [p, m, v], [&u.grad]),
                Rule::AdamGradSq => T::move_arrays(isa, [p, m, v], [&u.grad, &u.grad_sq]),
                Rule::Rmsprop => T::move_arrays(isa, [p, v], [&u.grad]),
                Rule::Momentum => T::move_arrays(isa, [p, m], [&u.grad]),
            }
        });
        if rule != Rule::Momentum {
            let limit = format!("limit_sqrt_div_{}", isa.name());
            case.limit(group, &limit, |_| T::sqrt_div_chains(isa, n));
        }
    }
    case.bench(group, "loops", |u| u.params.loops(&u.grad, &u.grad_sq));
    if matches!(rule, Rule::Adam | Rule::AdamGradSq) {
        case.bench(group, "three_passes", |u| u.params.three_passes(&u.grad, &u.grad_sq));
    }
}
