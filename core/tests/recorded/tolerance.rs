//! The one table of tolerances for numbers of other libraries, and why they are what they are.
//!
//! Within pergrad there is none: the same bits everywhere. Other libraries round in other places. All
//! tolerances are relative, in units of the last place (`2^-23` or `2^-52` of the value) unless the
//! table says otherwise.

use crate::support::values::Real;

/// | | f32 | f64 | relative to | reason |
/// | --- | --- | --- | --- | --- |
/// | `param` | 2 ulp a step | the same | the largest parameter so far | each side rounds the parameter once a step, to half a unit; twice or three times with decoupled decay |
/// | `update` | 8 ulp a step | 1e-12 | the largest update so far, not the last: an average that cancels keeps the errors of what went in | some ten roundings from the gradient to the update, of hyper-parameters too |
/// | | times `v_before / v_after`, `v / (v - m^2)`, and what a coupled decay cancels | | | where a second moment falls far in one step (a window near 1), a centered variance or `g + decay p` cancels, errors of what was there stay |
/// | `correction` | 1 ulp of `beta^t` times `t/2 + 1` | the same | `1 - beta^t` | optax and Keras raise a rounded beta in the element type: in f32 the rounding of 0.999 alone is 3e-5 of `1 - 0.999`; PyTorch uses doubles |
/// | `state` | 4 ulp a step | 1e-12 | the largest value so far | a product and a sum a step |
/// | `sum` | 2 ulp, and a half for each root of the number of terms | the same | the sum of the magnitudes | another order of summation |
#[derive(Debug, Clone, Copy)]
pub struct Tolerance {
    /// Of a parameter, a step.
    pub param: f64,
    /// Of an update, a step.
    pub update: f64,
    /// Of `beta^t`, or 0 where it is exact.
    pub correction: f64,
    /// Of the state, a step.
    pub state: f64,
}

impl Tolerance {
    /// For the optimizers of a library, that may compute `1 - beta^t` in the element type.
    pub fn new<T: Real>(correction_in_type: bool) -> Self {
        let ulp = T::EPSILON;
        let single = T::FRACTION < 30;
        let (update, state) = if single { (8.0 * ulp, 4.0 * ulp) } else { (1e-12, 1e-12) };
        let correction = if correction_in_type { ulp } else { 0.0 };
        Tolerance { param: 2.0 * ulp, update, correction, state }
    }

    /// Of a sum of `terms` products.
    pub fn sum<T: Real>(terms: usize) -> f64 {
        T::EPSILON * (2.0 + 0.5 * (terms as f64).sqrt())
    }
}
