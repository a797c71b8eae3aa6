//! The error bounds of the crate's documentation, in exact arithmetic, for every element that a kernel
//! gives: see [`mod@formulas`]. [`problem`] makes the inputs and calls the kernels.

pub(crate) mod formulas;
pub(crate) mod problem;

use crate::exact::dyadic::Dyadic;
use crate::support::values::Real;

/// `|computed - exact| <= gamma_n M + (1 + gamma_n) E`.
#[derive(Debug, Clone)]
pub(crate) struct Bounded {
    pub(crate) exact: Dyadic,
    /// Roundings on the longest way from an input to the result.
    pub(crate) n: usize,
    /// The sum of magnitudes.
    pub(crate) m: Dyadic,
    /// What products lose that underflow.
    pub(crate) e: Dyadic,
}

impl Bounded {
    /// The error and the bound, both multiplied by `(1 - n u) / u` so that nothing is divided:
    /// `gamma_n M + (1 + gamma_n) E = (n u M + E) / (1 - n u)`.
    fn sides<T: Real>(&self, computed: T) -> [Dyadic; 2] {
        let per_u = Dyadic::power_of_two(T::FRACTION as i32 + 1);
        let n = Dyadic::count(self.n);
        let error = (&Dyadic::of(computed) - &self.exact).magnitude();
        [&error * &(&per_u - &n), &(&n * &self.m) + &(&per_u * &self.e)]
    }

    /// Whether `computed` is within the bound.
    pub(crate) fn holds<T: Real>(&self, computed: T) -> bool {
        let [error, bound] = self.sides(computed);
        error <= bound
    }

    /// The part of the bound that the error of `computed` takes up, about.
    pub(crate) fn taken<T: Real>(&self, computed: T) -> f64 {
        let [error, bound] = self.sides(computed);
        error.ratio(&bound)
    }
}
