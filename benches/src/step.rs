//! The layer step: moments and update of one layer in one sweep.

use pergrad_core::{
    AdamState, Dims, Isa, LayerStep, MomentumConfig, Part, RmspropConfig, RmspropState,
    SecondMoment, step_adam, step_momentum, step_rmsprop,
};

use crate::case::{Case, Group, Work, elements, isas, loops_can};
use crate::layer::{self, products};
use crate::limits::Limits;
use crate::moments::{Moments, moments_fmas, products_for};
use crate::product::Product;
use crate::update::{LR, Params, Rule, STEP, adam_config};

/// The largest batch whose step may be bound by memory.
const MEMORY_BOUND: usize = 64;

/// A layer and its optimizer.
struct Step<T> {
    rule: Rule,
    moments: Moments<T>,
    params: Params<T>,
}

impl<T: Limits> Step<T> {
    fn new(rule: Rule, dims: Dims) -> Self {
        let mut moments = Moments::new(dims);
        let n = moments.layer.weights();
        // What is expected comes from the two kernels one after the other.
        let params = Params::new(rule, n, |params| {
            let isa = Isa::detect();
            moments_of(rule, &mut moments, isa);
            params.ours(isa, &moments.grad, &moments.grad_sq);
        });
        Step { rule, moments, params }
    }

    /// pergrad's layer step.
    fn ours(&mut self, isa: Isa) {
        let Step { rule, moments: Moments { layer, scratch, .. }, params } = self;
        let Params { params, exp_avg, exp_avg_sq, .. } = params;
        let second = match rule {
            Rule::AdamGradSq => SecondMoment::GradSq,
            _ => SecondMoment::SquaredGrad,
        };
        // Sums, as the products of the peers are.
        let layer = LayerStep { scale: None, second, ..LayerStep::mean(layer.batch()) };
        let part = Part::Weight;
        match rule {
            Rule::Adam | Rule::AdamGradSq => {
                let c = adam_config().step_coeffs(STEP).expect("valid");
                let state = AdamState::new(exp_avg, exp_avg_sq);
                step_adam(isa, &layer, part, &c, params, state, scratch)
            }
            Rule::Rmsprop => {
                let c = RmspropConfig::torch(LR).and_then(|c| c.step_coeffs(STEP));
                let state = RmspropState::new(exp_avg_sq);
                step_rmsprop(isa, &layer, part, &c.expect("valid"), params, state, scratch)
            }
            Rule::Momentum => {
                let c = MomentumConfig::torch(LR, 0.9).and_then(|c| c.step_coeffs(STEP));
                step_momentum(isa, &layer, part, &c.expect("valid"), params, exp_avg, scratch)
            }
        }
        .expect("lengths fit");
    }

    /// pergrad's two kernels one after the other.
    fn unfused(&mut self, isa: Isa) {
        moments_of(self.rule, &mut self.moments, isa);
        self.params.ours(isa, &self.moments.grad, &self.moments.grad_sq);
    }

    /// Plain loops, one after the other.
    fn loops(&mut self) {
        match self.rule {
            Rule::AdamGradSq => self.moments.loops(),
            _ => self.moments.loops_grad(),
        }
        self.params.loops(&self.moments.grad, &self.moments.grad_sq);
    }

    /// Products by a crate, then the update as a plain loop.
    fn products(&mut self, by: Product) {
        self.products_alone(by);
        self.params.loops(&self.moments.grad, &self.moments.grad_sq);
    }

    /// Products by a crate, then Adam in three passes.
    fn products_three_passes(&mut self, by: Product) {
        self.products_alone(by);
        self.params.three_passes(&self.moments.grad, &self.moments.grad_sq);
    }

    fn products_alone(&mut self, by: Product) {
        match self.rule {
            Rule::AdamGradSq => self.moments.products(by),
            _ => self.moments.product(by),
        }
    }

    /// The parameters and the state, read and written.
    fn move_state(&mut self, isa: Isa) {
        let Params { params, exp_avg, exp_avg_sq, .. } = &mut self.params;
        match self.rule {
            Rule::Adam | Rule::AdamGradSq => {
                T::move_arrays(isa, [params, exp_avg, exp_avg_sq], []);
            }
            Rule::Rmsprop => T::move_arrays(isa, [params, exp_avg_sq], []),
            Rule::Momentum => T::move_arrays(isa, [params, exp_avg], []),
        }
    }
}

/// The gradient, and where the rule wants it `grad_sq`.
fn moments_of<T: Limits>(rule: Rule, moments: &mut Moments<T>, isa: Isa) {
    match rule {
        Rule::AdamGradSq => moments.ours(isa),
        _ => moments.ours_grad(isa),
    }
}

impl<T: Limits> Work for Step<T> {
    fn reset(&mut self) {
        self.moments.reset();
        self.params.reset();
    }

    fn check(&self, who: &str) {
        self.params.check(who);
    }
}

/// All contestants for the step of one layer.
pub fn bench_step<T: Limits>(group: &mut Group<'_>, rule: Rule, dims: Dims) {
    let work = products(dims);
    let mut case = Case::new(layer::id::<T>(dims), move || Step::<T>::new(rule, dims));
    elements(group, work);
    let fmas = if rule == Rule::AdamGradSq { moments_fmas(dims) } else { work };
    for isa in isas(work) {
        let name = isa.name();
        case.bench(group, name, |s| s.ours(isa));
        if isa == Isa::detect() {
            case.limit(group, &format!("own_moments_{name}"), |s| {
                moments_of(rule, &mut s.moments, isa);
            });
            case.bench(group, &format!("own_unfused_{name}"), |s| s.unfused(isa));
        }
        case.limit(group, &format!("limit_fma_{name}"), |_| T::fma_chains(isa, fmas));
        if rule == Rule::AdamGradSq && dims.steps == 1 {
            case.limit(group, &format!("limit_ops_{name}"), |_| T::moments_chains(isa, work));
        }
        if dims.batch <= MEMORY_BOUND {
            case.limit(group, &format!("limit_move_{name}"), |s| s.move_state(isa));
        }
    }
    if loops_can(work) {
        case.bench(group, "loops", Step::loops);
    }
    for by in products_for(work).filter(|by| *by != Product::Ndarray) {
        case.bench(group, by.name(), |s| s.products(by));
    }
    if matches!(rule, Rule::Adam | Rule::AdamGradSq) {
        let by = Product::Gemm;
        case.bench(group, "gemm_three_passes", |s| s.products_three_passes(by));
    }
}
