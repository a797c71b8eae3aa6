//! Exact results and `n`, `M` and `E` of their bounds, by the table in the crate's documentation.

use pergrad_core::{Element, Fold, Start};

use super::Bounded;
use super::problem::{Kernel, Problem};
use crate::exact::dyadic::Dyadic;
use crate::support::values::Real;

/// Exact, sum of magnitudes, underflow.
#[derive(Debug, Clone)]
struct Sum {
    exact: Dyadic,
    m: Dyadic,
    e: Dyadic,
}

impl Sum {
    fn zero() -> Self {
        Sum { exact: Dyadic::ZERO, m: Dyadic::ZERO, e: Dyadic::ZERO }
    }

    /// What an output holds, where a sum resumes from it.
    fn start<T: Real>(from: Start, before: T) -> Self {
        let exact = if from == Start::Resume { Dyadic::of(before) } else { Dyadic::ZERO };
        Sum { m: exact.magnitude(), exact, e: Dyadic::ZERO }
    }

    fn add(&mut self, other: &Sum) {
        self.exact = &self.exact + &other.exact;
        self.m = &self.m + &other.m;
        self.e = &self.e + &other.e;
    }

    /// `E = 2 m e + e^2 + h`
    fn square<T: Real>(&self) -> Sum {
        let twice = &(&self.m + &self.m) * &self.e;
        let e = &(&twice + &self.e.square()) + &h::<T>();
        Sum { exact: self.exact.square(), m: self.m.square(), e }
    }

    fn bound(self, n: usize) -> Bounded {
        Bounded { exact: self.exact, n, m: self.m, e: self.e }
    }

    /// The final factor, one more rounding.
    fn scaled<T: Real>(self, fold: Fold, n: usize) -> Bounded {
        let Some(scale) = fold.scale else { return self.bound(n) };
        let scale = Dyadic::of(<T as Element>::from_f64(scale));
        let size = scale.magnitude();
        let e = &(&self.e * &size) + &h::<T>();
        Sum { exact: &self.exact * &scale, m: &self.m * &size, e }.bound(n + 1)
    }
}

/// The most that one product loses by underflow: half the smallest subnormal.
fn h<T: Real>() -> Dyadic {
    Dyadic::power_of_two(-T::BIAS - T::FRACTION as i32)
}

/// `fma(a, b, .)`
fn product<T: Real>(a: T, b: T) -> Sum {
    let exact = &Dyadic::of(a) * &Dyadic::of(b);
    Sum { m: exact.magnitude(), exact, e: h::<T>() }
}

/// `G[b,j,i]`, with `m` and `e`; with `x = 1` where there is no `i`, and then no product.
fn per_example<T: Real>(p: &Problem<T>, b: usize, j: usize, i: Option<usize>) -> Sum {
    let mut g = Sum::zero();
    for t in 0..p.dims.steps {
        let row = b * p.dims.steps + t;
        let x = i.map_or(T::ONE, |i| p.x[row * p.dims.inputs + i]);
        let mut term = product(p.dy[row * p.dims.outputs + j], x);
        if i.is_none() {
            term.e = Dyadic::ZERO;
        }
        if let Some(c) = &p.weights {
            let c = Dyadic::of(c[b]);
            term.exact = &term.exact * &c;
            term.m = &term.m * &c.magnitude();
            term.e = &term.e + &(&h::<T>() * &Dyadic::of(x).magnitude());
        }
        g.add(&term);
    }
    g
}

/// The bounds of every element of every output.
pub(crate) fn bounds<T: Real>(kernel: Kernel, p: &Problem<T>) -> Vec<Vec<Bounded>> {
    let (batch, steps) = (p.dims.batch, p.dims.steps);
    let (outputs, inputs) = (p.dims.outputs, p.dims.inputs);
    let w = usize::from(p.weights.is_some());
    let r = usize::from(p.fold.start == Start::Resume);
    let start = |k: usize, n: usize| Sum::start(p.fold.start, p.before[k][n]);
    let lanes = |n: usize| n.div_ceil(16) + 4;
    // Roundings of G, of the weight and of the bias; additions onto +0 are exact.
    let of_weight = steps + w;
    let of_bias = (steps + w).saturating_sub(1);
    let of_batch = (batch + r).saturating_sub(1);
    let folded = |k: usize, n: usize, term: &dyn Fn(usize) -> Sum| {
        let mut sum = start(k, n);
        (0..batch).for_each(|b| sum.add(&term(b)));
        sum
    };
    let moments = |of_g: usize, len: usize, g: &dyn Fn(usize, usize) -> Sum| {
        let sum = |n| folded(0, n, &|b| g(b, n)).scaled::<T>(p.fold, of_g + of_batch);
        let sum_sq = |n| {
            let sum = folded(1, n, &|b| g(b, n).square::<T>());
            sum.scaled::<T>(p.fold, 2 * of_g + batch)
        };
        vec![(0..len).map(sum).collect(), (0..len).map(sum_sq).collect()]
    };
    let norms = |n: usize, square: &dyn Fn(usize) -> Sum| {
        let norm = |b| {
            let mut sum = start(0, b);
            sum.add(&square(b));
            sum.bound(n + r)
        };
        vec![(0..batch).map(norm).collect()]
    };
    match kernel {
        Kernel::PerExampleGrad => {
            let g =
                |n| per_example(p, n / inputs / outputs, n / inputs % outputs, Some(n % inputs));
            vec![(0..batch * outputs * inputs).map(|n| g(n).bound(of_weight)).collect()]
        }
        Kernel::Grad => {
            let grad = |n| {
                let sum = folded(0, n, &|b| per_example(p, b, n / inputs, Some(n % inputs)));
                sum.scaled::<T>(p.fold, batch * steps + w)
            };
            vec![(0..outputs * inputs).map(grad).collect()]
        }
        Kernel::BiasGrad => {
            let n = (batch * steps + r).saturating_sub(1) + w;
            let grad = |j| folded(0, j, &|b| per_example(p, b, j, None)).scaled::<T>(p.fold, n);
            vec![(0..outputs).map(grad).collect()]
        }
        Kernel::Moments => moments(of_weight, outputs * inputs, &|b, n| {
            per_example(p, b, n / inputs, Some(n % inputs))
        }),
        Kernel::BiasMoments => moments(of_bias, outputs, &|b, j| per_example(p, b, j, None)),
        Kernel::Reduce => moments(0, inputs, &|b, k| Sum {
            e: Dyadic::ZERO,
            ..product(p.x[b * inputs + k], T::ONE)
        }),
        // (sum_j dy'^2) (sum_i x^2)
        Kernel::SqNorms if steps == 1 => norms(lanes(outputs) + lanes(inputs) + 2 * w + 1, &|b| {
            let (mut dy, mut x) = (Sum::zero(), Sum::zero());
            for j in 0..outputs {
                dy.add(&per_example(p, b, j, None).square::<T>());
            }
            for i in 0..inputs {
                x.add(&product(p.x[b * inputs + i], p.x[b * inputs + i]));
            }
            let crossed = &(&dy.m * &x.e) + &(&dy.e * &x.m);
            let e = &(&crossed + &(&dy.e * &x.e)) + &h::<T>();
            Sum { exact: &dy.exact * &x.exact, m: &dy.m * &x.m, e }
        }),
        Kernel::SqNorms => norms(outputs * inputs.div_ceil(16) + 4 + 2 * of_weight, &|b| {
            let mut sum = Sum::zero();
            for n in 0..outputs * inputs {
                sum.add(&per_example(p, b, n / inputs, Some(n % inputs)).square::<T>());
            }
            sum
        }),
        Kernel::BiasSqNorms => norms(lanes(outputs) + 2 * of_bias, &|b| {
            let mut sum = Sum::zero();
            for j in 0..outputs {
                sum.add(&per_example(p, b, j, None).square::<T>());
            }
            sum
        }),
        Kernel::Forward => {
            let y = |n: usize| {
                let (row, j) = (n / outputs, n % outputs);
                let mut sum = start(0, n);
                for i in 0..inputs {
                    sum.add(&product(p.weight[j * inputs + i], p.x[row * inputs + i]));
                }
                if let Some(bias) = &p.weights {
                    let exact = Dyadic::of(bias[j]);
                    sum.add(&Sum { m: exact.magnitude(), exact, e: Dyadic::ZERO });
                }
                sum.bound(lanes(inputs) + w + r)
            };
            vec![(0..batch * steps * outputs).map(y).collect()]
        }
        Kernel::InputGrad => {
            let dx = |n: usize| {
                let (row, i) = (n / inputs, n % inputs);
                let mut sum = start(0, n);
                for j in 0..outputs {
                    sum.add(&product(p.dy[row * outputs + j], p.weight[j * inputs + i]));
                }
                sum.bound(outputs)
            };
            vec![(0..batch * steps * inputs).map(dx).collect()]
        }
    }
}
