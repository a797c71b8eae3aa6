//! The state that optimizers keep between steps, lent to the kernels as slices.
//!
//! All start as zeros (RMSProp's `exp_avg_sq` as
//! [`initial_exp_avg_sq`](crate::RmspropConfig::initial_exp_avg_sq)), have the layout of the
//! parameters, and are empty where the configuration does not use them.

use crate::dims::check;
use crate::{AdamCoeffs, Element, Error, MomentumCoeffs, RmspropCoeffs};

/// Where the second moment of a fused layer step comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecondMoment {
    /// The square of the averaged gradient, as in every other library: it shrinks as the batch grows.
    SquaredGrad,
    /// `grad_sq`, the mean of the squares of the per-example gradients.
    GradSq,
}

/// What RMSProp keeps.
///
/// ```
/// use pergrad_core::RmspropState;
/// let mut sq = [0.0f32; 3];
/// let state = RmspropState::new(&mut sq); // neither centered nor with momentum
/// assert!(state.exp_avg.is_empty());
/// ```
#[derive(Debug)]
pub struct RmspropState<'a, T> {
    /// Running average of the second moment (PyTorch's `square_avg`).
    pub exp_avg_sq: &'a mut [T],
    /// Running average of the gradient if centered (PyTorch's `grad_avg`), else empty.
    pub exp_avg: &'a mut [T],
    /// The momentum buffer if there is momentum, else empty.
    pub momentum_buffer: &'a mut [T],
}

impl<'a, T: Element> RmspropState<'a, T> {
    /// Neither centered nor with momentum; the other fields can be set.
    pub fn new(exp_avg_sq: &'a mut [T]) -> Self {
        RmspropState { exp_avg_sq, exp_avg: &mut [], momentum_buffer: &mut [] }
    }

    /// The same state lent for one call.
    ///
    /// ```
    /// use pergrad_core::RmspropState;
    /// let mut sq = [0.0f32; 3];
    /// let mut state = RmspropState::new(&mut sq);
    /// assert_eq!(state.reborrow().exp_avg_sq.len(), 3);
    /// assert_eq!(state.exp_avg_sq.len(), 3); // still here
    /// ```
    pub fn reborrow(&mut self) -> RmspropState<'_, T> {
        RmspropState {
            exp_avg_sq: self.exp_avg_sq,
            exp_avg: self.exp_avg,
            momentum_buffer: self.momentum_buffer,
        }
    }

    pub(crate) fn check(&self, c: &RmspropCoeffs<T>, n: usize) -> Result<(), Error> {
        check("exp_avg_sq", self.exp_avg_sq.len(), n)?;
        check("exp_avg", self.exp_avg.len(), if c.centered { n } else { 0 })?;
        check("momentum_buffer", self.momentum_buffer.len(), if c.momentum { n } else { 0 })
    }
}

/// What Adam keeps.
///
/// ```
/// use pergrad_core::AdamState;
/// let (mut m, mut v) = ([0.0f32; 3], [0.0f32; 3]);
/// let state = AdamState::new(&mut m, &mut v); // without AMSGrad
/// assert!(state.max_exp_avg_sq.is_empty());
/// ```
#[derive(Debug)]
pub struct AdamState<'a, T> {
    /// Running average of the gradient.
    pub exp_avg: &'a mut [T],
    /// Running average of the second moment.
    pub exp_avg_sq: &'a mut [T],
    /// Its maximum so far with AMSGrad, else empty.
    pub max_exp_avg_sq: &'a mut [T],
}

impl<'a, T: Element> AdamState<'a, T> {
    /// Without AMSGrad; the other field can be set.
    pub fn new(exp_avg: &'a mut [T], exp_avg_sq: &'a mut [T]) -> Self {
        AdamState { exp_avg, exp_avg_sq, max_exp_avg_sq: &mut [] }
    }

    /// The same state lent for one call.
    ///
    /// ```
    /// use pergrad_core::AdamState;
    /// let (mut m, mut v) = ([0.0f32; 3], [0.0f32; 3]);
    /// let mut state = AdamState::new(&mut m, &mut v);
    /// assert_eq!(state.reborrow().exp_avg.len(), 3);
    /// assert_eq!(state.exp_avg.len(), 3); // still here
    /// ```
    pub fn reborrow(&mut self) -> AdamState<'_, T> {
        AdamState {
            exp_avg: self.exp_avg,
            exp_avg_sq: self.exp_avg_sq,
            max_exp_avg_sq: self.max_exp_avg_sq,
        }
    }

    pub(crate) fn check(&self, c: &AdamCoeffs<T>, n: usize) -> Result<(), Error> {
        check("exp_avg", self.exp_avg.len(), n)?;
        check("exp_avg_sq", self.exp_avg_sq.len(), n)?;
        check("max_exp_avg_sq", self.max_exp_avg_sq.len(), c.max_len(n))
    }
}

/// Checks `grad` and the second moment against the parameters.
pub(crate) fn check_update<T>(params: &[T], grad: &[T], second: Option<&[T]>) -> Result<(), Error> {
    check("grad", grad.len(), params.len())?;
    match second {
        Some(second) => check("second_moment", second.len(), params.len()),
        None => Ok(()),
    }
}

/// Checks all slices of a momentum update.
pub(crate) fn check_momentum<T>(
    c: &MomentumCoeffs<T>,
    params: &[T],
    grad: &[T],
    buffer: &[T],
) -> Result<(), Error> {
    check_update(params, grad, None)?;
    check("momentum_buffer", buffer.len(), c.buffer_len(params.len()))
}
