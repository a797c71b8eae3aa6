//! The optimizers, in place over slices.
//!
//! The formulas stand at [`MomentumConfig`](crate::MomentumConfig),
//! [`RmspropConfig`](crate::RmspropConfig) and [`AdamConfig`](crate::AdamConfig), operation by
//! operation in [`crate::reference`].
//!
//! Plan: a rule ([`super::rule`]) updates one vector of parameters and is driven over stretches of them:
//! the whole arrays here, or the tiles whose gradient the layer step has just made. A checked step is
//! two passes: one that computes everything and stores nothing, looking for results that are not finite,
//! then the one that commits.

use super::adam::{Adam, AdamArrays};
use super::fused::FusedRow;
use super::momentum::{Momentum, MomentumArrays};
use super::rmsprop::{Rmsprop, RmspropArrays};
use super::rule::Run;
use crate::state::{AdamState, RmspropState, check_momentum, check_update};
use crate::{AdamCoeffs, Element, Error, Isa, MomentumCoeffs, RmspropCoeffs};

/// What a step does about gradients that are not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum NonFinite {
    /// They propagate, as in every other library.
    #[default]
    Propagate,
    /// The step computes everything first and commits only if every new parameter and every new state
    /// is finite; otherwise it changes nothing and the error names the first bad index. Costs a
    /// second pass.
    Refuse,
}

/// One step of momentum, in place: see [`MomentumConfig`](crate::MomentumConfig) for the formula.
///
/// * `c`: the coefficients of this step.
/// * `params`, `buffer`: updated in place; `buffer` is empty for
///   [`MomentumForm::Plain`](crate::MomentumForm::Plain).
/// * `grad`: the averaged gradient, like `params`.
///
/// # Errors
/// [`Error::Length`]; [`Error::NonFinite`] if asked to refuse. Nothing is written then.
///
/// ```
/// use pergrad_core::{Isa, MomentumConfig, NonFinite, update_momentum};
/// let config = MomentumConfig::torch(0.5, 0.5)?;
/// let (mut p, mut buf) = ([1.0f32], [0.0]);
/// for t in 1..=2 {
///     let c = config.step_coeffs(t)?;
///     update_momentum(Isa::detect(), &c, &mut p, &[1.0], &mut buf, NonFinite::Propagate)?;
/// }
/// assert_eq!((p, buf), ([-0.25], [1.5]));
/// # Ok::<(), pergrad_core::Error>(())
/// ```
pub fn update_momentum<T: Element>(
    isa: Isa,
    c: &MomentumCoeffs<T>,
    params: &mut [T],
    grad: &[T],
    buffer: &mut [T],
    non_finite: NonFinite,
) -> Result<(), Error> {
    check_momentum(c, params, grad, buffer)?;
    let arrays = MomentumArrays::new(params, buffer);
    // SAFETY: the arrays are as long as `grad` wherever `c` uses them: checked.
    unsafe { update(isa, Momentum(c, arrays), grad, None, non_finite) }
}

/// One step of RMSProp, in place: see [`RmspropConfig`](crate::RmspropConfig) for the formula.
///
/// * `c`: the coefficients of this step.
/// * `params`, `state`: updated in place.
/// * `grad`: the averaged gradient, like `params`.
/// * `second`: the second moment (`grad_sq`, a variance, ..), or none for the square of `grad`.
///
/// # Errors
/// [`Error::Length`]; [`Error::NonFinite`] if asked to refuse. Nothing is written then.
///
/// ```
/// use pergrad_core::{Isa, NonFinite, RmspropConfig, RmspropState, Window, update_rmsprop};
/// let config = RmspropConfig::new(0.5, Window::new(10.0)?); // exact mean: v = 4 after one step
/// let (mut p, mut v) = ([1.0f32], [0.0]);
/// let c = config.step_coeffs(1)?;
/// let state = RmspropState::new(&mut v);
/// update_rmsprop(Isa::detect(), &c, &mut p, &[1.0], Some(&[4.0]), state, NonFinite::Propagate)?;
/// assert_eq!((p, v), ([0.75], [4.0]));
/// # Ok::<(), pergrad_core::Error>(())
/// ```
pub fn update_rmsprop<T: Element>(
    isa: Isa,
    c: &RmspropCoeffs<T>,
    params: &mut [T],
    grad: &[T],
    second: Option<&[T]>,
    state: RmspropState<'_, T>,
    non_finite: NonFinite,
) -> Result<(), Error> {
    check_update(params, grad, second)?;
    state.check(c, params.len())?;
    let arrays = RmspropArrays::new(params, state);
    // SAFETY: the arrays are as long as `grad` wherever `c` uses them: checked.
    unsafe { update(isa, Rmsprop(c, arrays), grad, second, non_finite) }
}

/// One step of Adam or AdamW, in place: see [`AdamConfig`](crate::AdamConfig) for the formula.
///
/// * `c`: the coefficients of this step.
/// * `params`, `state`: updated in place.
/// * `grad`: the averaged gradient, like `params`.
/// * `second`: the second moment (`grad_sq`, a variance, ..), or none for the square of `grad`.
///
/// # Errors
/// [`Error::Length`]; [`Error::NonFinite`] if asked to refuse. Nothing is written then.
///
/// ```
/// use pergrad_core::{AdamConfig, AdamState, Error, Isa, NonFinite, update_adam};
/// let c = AdamConfig::torch(0.5)?.step_coeffs::<f32>(1)?;
/// let (mut p, mut m, mut v) = ([1.0f32; 2], [0.0; 2], [0.0; 2]);
/// let state = AdamState::new(&mut m, &mut v);
/// update_adam(Isa::detect(), &c, &mut p, &[3.0, -3.0], None, state, NonFinite::Propagate)?;
/// assert_eq!(p, [0.5, 1.5]); // the first step of Adam goes by the sign
///
/// let state = AdamState::new(&mut m, &mut v);
/// let refused = update_adam(
///     Isa::detect(), &c, &mut p, &[0.0, f32::NAN], None, state, NonFinite::Refuse);
/// assert_eq!(refused, Err(Error::NonFinite { arg: "grad", index: 1 }));
/// assert_eq!(p, [0.5, 1.5]); // as it was
/// # Ok::<(), pergrad_core::Error>(())
/// ```
pub fn update_adam<T: Element>(
    isa: Isa,
    c: &AdamCoeffs<T>,
    params: &mut [T],
    grad: &[T],
    second: Option<&[T]>,
    state: AdamState<'_, T>,
    non_finite: NonFinite,
) -> Result<(), Error> {
    check_update(params, grad, second)?;
    state.check(c, params.len())?;
    let arrays = AdamArrays::new(params, state);
    // SAFETY: the arrays are as long as `grad` wherever `c` uses them: checked.
    unsafe { update(isa, Adam(c, arrays), grad, second, non_finite) }
}

/// The error for a step that would leave something not finite at `index`.
fn name_bad<T: Element>(index: usize, grad: &[T], second: Option<&[T]>) -> Error {
    let bad = |slice: &[T]| slice.get(index).is_some_and(|v| !v.is_finite());
    let arg = match second {
        _ if bad(grad) => "grad",
        Some(second) if bad(second) => "second_moment",
        _ => "params",
    };
    Error::NonFinite { arg, index }
}

/// An optimizer and its arrays, dispatched.
pub(crate) trait Optimizer<T: Element>: Copy {
    /// Updates what `run` says.
    ///
    /// # Safety
    /// The parameters are inside the arrays, and their gradients readable.
    unsafe fn run(self, isa: Isa, run: &Run<T>) -> Result<(), usize>;

    /// Whether there is a [`fused`](Self::fused) way for these coefficients.
    fn is_plain(self) -> bool;

    /// Sums a row of tiles and updates its parameters.
    ///
    /// # Safety
    /// The coefficients are plain; the row is readable, and its parameters are inside the arrays.
    unsafe fn fused(self, isa: Isa, row: &FusedRow<T>);

    /// The arrays that every parameter's step reads (null where there are fewer).
    fn arrays(self) -> [*const T; 3];
}

/// The whole arrays, checked first if asked.
///
/// # Safety
/// The optimizer's arrays are as long as `grad`, and so is `second`.
unsafe fn update<T: Element>(
    isa: Isa,
    optimizer: impl Optimizer<T>,
    grad: &[T],
    second: Option<&[T]>,
    non_finite: NonFinite,
) -> Result<(), Error> {
    let run = Run {
        at: 0,
        stride: 0,
        rows: 1,
        n: grad.len(),
        grad: grad.as_ptr(),
        second: second.map_or(core::ptr::null(), <[T]>::as_ptr),
        grad_stride: 0,
        write: false,
    };
    // SAFETY: by contract.
    let done = unsafe {
        match non_finite {
            NonFinite::Refuse => optimizer.run(isa, &run),
            NonFinite::Propagate => Ok(()),
        }
        .and_then(|()| optimizer.run(isa, &Run { write: true, ..run }))
    };
    done.map_err(|index| name_bad(index, grad, second))
}

impl<T: Element> Optimizer<T> for Momentum<'_, T> {
    unsafe fn run(self, isa: Isa, run: &Run<T>) -> Result<(), usize> {
        // SAFETY: by contract.
        unsafe { T::run_momentum(isa, self.0, self.1, run) }
    }

    fn is_plain(self) -> bool {
        self.0.plain().is_some()
    }

    unsafe fn fused(self, isa: Isa, row: &FusedRow<T>) {
        // SAFETY: by contract.
        unsafe { T::momentum_row(isa, self.0, self.1, row) }
    }

    fn arrays(self) -> [*const T; 3] {
        [self.1.params, self.1.buffer, core::ptr::null()]
    }
}

impl<T: Element> Optimizer<T> for Rmsprop<'_, T> {
    unsafe fn run(self, isa: Isa, run: &Run<T>) -> Result<(), usize> {
        // SAFETY: by contract.
        unsafe { T::run_rmsprop(isa, self.0, self.1, run) }
    }

    fn is_plain(self) -> bool {
        self.0.plain().is_some()
    }

    unsafe fn fused(self, isa: Isa, row: &FusedRow<T>) {
        // SAFETY: by contract.
        unsafe { T::rmsprop_row(isa, self.0, self.1, row) }
    }

    fn arrays(self) -> [*const T; 3] {
        [self.1.params, self.1.exp_avg_sq, core::ptr::null()]
    }
}

impl<T: Element> Optimizer<T> for Adam<'_, T> {
    unsafe fn run(self, isa: Isa, run: &Run<T>) -> Result<(), usize> {
        // SAFETY: by contract.
        unsafe { T::run_adam(isa, self.0, self.1, run) }
    }

    fn is_plain(self) -> bool {
        self.0.plain().is_some()
    }

    unsafe fn fused(self, isa: Isa, row: &FusedRow<T>) {
        // SAFETY: by contract.
        unsafe { T::adam_row(isa, self.0, self.1, row) }
    }

    fn arrays(self) -> [*const T; 3] {
        [self.1.params, self.1.exp_avg, self.1.exp_avg_sq]
    }
}
