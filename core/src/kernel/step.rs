//! The layer step: moments and update of one layer in one sweep.
//!
//! Plan: the tiles of [`super::tile`] leave their sums in a small array on the stack, where the
//! [`Rule`] of the optimizer picks them up at once: no gradient is ever stored in memory. The bits
//! are those of [`moments`](crate::moments()) (or, on the squared average and for momentum, of
//! [`grad`](crate::grad())) followed by the update.

use core::mem::MaybeUninit;

use super::moments::{bias_grad_vector, bias_vector, source};
use super::tile::{self, Ends, MAX_TILE, Out, Source, TileKernel, sweep};
use super::update::{
    Adam, AdamArrays, Momentum, MomentumArrays, NonFinite, Rmsprop, RmspropArrays, Rule, run,
};
use crate::dims::check;
use crate::simd::{REDUCTION_LANES, Simd};
use crate::state::{AdamState, RmspropState, SecondMoment};
use crate::{AdamCoeffs, Batch, Element, Error, Isa, MomentumCoeffs, RmspropCoeffs, Start};

/// What a layer step steps on: the batch, and how its gradients are taken.
///
/// ```
/// use pergrad_core::{Batch, Dims, LayerStep, SecondMoment};
/// let batch = Batch::new(Dims::new(2, 1, 2), &[1.0f32, 2.0, 3.0, 4.0], &[1.0, -1.0]);
/// let layer = LayerStep::mean(batch); // averaged over the batch, on grad_sq
/// assert_eq!((layer.scale, layer.second), (Some(0.5), SecondMoment::GradSq));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct LayerStep<'a, T> {
    /// What the layer saw.
    pub batch: Batch<'a, T>,
    /// Multiplies the sums over the batch; `1/B` for the average, none for the sum.
    pub scale: Option<f64>,
    /// What RMSProp and Adam take as the second moment. (Momentum has none, and uses
    /// [`grad`](crate::grad()).)
    pub second: SecondMoment,
    /// What to do about results that are not finite.
    pub non_finite: NonFinite,
}

impl<'a, T: Element> LayerStep<'a, T> {
    /// Averages over the batch, second moment from `grad_sq`, non-finite gradients propagate.
    pub fn mean(batch: Batch<'a, T>) -> Self {
        LayerStep {
            scale: Some(1.0 / batch.dims.batch as f64),
            batch,
            second: SecondMoment::GradSq,
            non_finite: NonFinite::Propagate,
        }
    }
}

/// Which parameters of the layer a step is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The weight, `[J, I]`.
    Weight,
    /// The bias, `[J]`; the batch's `x` is not looked at and may be empty.
    Bias,
}

impl Part {
    /// Its name in errors.
    fn name(self) -> &'static str {
        match self {
            Part::Weight => "weight",
            Part::Bias => "bias",
        }
    }

    /// Checks the batch and the parameters.
    fn check<T: Element>(self, batch: &Batch<'_, T>, params: &[T]) -> Result<(), Error> {
        let n = match self {
            Part::Weight => batch.check()?,
            Part::Bias => {
                batch.check_dy()?;
                batch.dims.outputs
            }
        };
        check(self.name(), params.len(), n)
    }
}

/// One step of momentum on a layer, its gradient never stored: the bits of [`grad`](crate::grad())
/// (or [`bias_grad`](crate::bias_grad)) followed by [`update_momentum`](crate::update_momentum).
///
/// * `layer`: the batch and how its gradients are taken.
/// * `part`: whether `params` is the weight `[J, I]` or the bias `[J]`.
/// * `params`, `buffer`: updated in place; `buffer` is empty for plain gradient descent.
/// * `scratch`: any length, may be empty; see [`scratch_len`](crate::scratch_len).
///
/// # Errors
/// [`Error::Length`], [`Error::Overflow`]; [`Error::NonFinite`] if asked to refuse. Nothing is
/// written then.
///
/// ```
/// use pergrad_core::{Batch, Dims, Isa, LayerStep, MomentumConfig, Part, step_momentum};
/// let batch = Batch::new(Dims::new(2, 1, 2), &[1.0f32, 2.0, 3.0, 4.0], &[1.0, -1.0]);
/// let c = MomentumConfig::torch(0.5, 0.9)?.step_coeffs(1)?;
/// let (mut w, mut buf) = ([0.0; 2], [0.0; 2]);
/// step_momentum(
///     Isa::detect(), &LayerStep::mean(batch), Part::Weight, &c, &mut w, &mut buf, &mut [])?;
/// assert_eq!((w, buf), ([0.5, 0.5], [-1.0, -1.0]));
/// # Ok::<(), pergrad_core::Error>(())
/// ```
pub fn step_momentum<T: Element>(
    isa: Isa,
    layer: &LayerStep<'_, T>,
    part: Part,
    c: &MomentumCoeffs<T>,
    params: &mut [T],
    buffer: &mut [T],
    scratch: &mut [T],
) -> Result<(), Error> {
    part.check(&layer.batch, params)?;
    check("momentum_buffer", buffer.len(), c.buffer_len(params.len()))?;
    let arrays = MomentumArrays::new(params, buffer);
    T::step_momentum(isa, layer, part, c, arrays, scratch)
        .map_err(|index| Error::NonFinite { arg: part.name(), index })
}

/// One step of RMSProp on a layer, its gradients never stored: the bits of
/// [`moments`](crate::moments()) (or, on the squared average, [`grad`](crate::grad()); or their
/// `bias_` forms) followed by [`update_rmsprop`](crate::update_rmsprop).
///
/// The arguments are those of [`step_momentum`], with RMSProp's state.
///
/// # Errors
/// As [`step_momentum`].
///
/// ```
/// use pergrad_core::{Batch, Dims, Isa, LayerStep, Part, RmspropConfig, RmspropState, Window};
/// use pergrad_core::step_rmsprop;
/// let batch = Batch::new(Dims::new(2, 1, 2), &[1.0f32, 2.0, 3.0, 4.0], &[1.0, -1.0]);
/// let c = RmspropConfig::new(0.5, Window::new(10.0)?).step_coeffs(1)?;
/// let (mut w, mut v) = ([0.0; 2], [0.0; 2]);
/// let state = RmspropState::new(&mut v);
/// step_rmsprop(Isa::detect(), &LayerStep::mean(batch), Part::Weight, &c, &mut w, state, &mut [])?;
/// assert_eq!(v, [5.0, 10.0]); // grad_sq, not the square of the average
/// # Ok::<(), pergrad_core::Error>(())
/// ```
pub fn step_rmsprop<T: Element>(
    isa: Isa,
    layer: &LayerStep<'_, T>,
    part: Part,
    c: &RmspropCoeffs<T>,
    params: &mut [T],
    state: RmspropState<'_, T>,
    scratch: &mut [T],
) -> Result<(), Error> {
    part.check(&layer.batch, params)?;
    state.check(c, params.len())?;
    let arrays = RmspropArrays::new(params, state);
    T::step_rmsprop(isa, layer, part, c, arrays, scratch)
        .map_err(|index| Error::NonFinite { arg: part.name(), index })
}

/// One step of Adam or AdamW on a layer, its gradients never stored: the bits of
/// [`moments`](crate::moments()) (or, on the squared average, [`grad`](crate::grad()); or their
/// `bias_` forms) followed by [`update_adam`](crate::update_adam).
///
/// The arguments are those of [`step_momentum`], with Adam's state.
///
/// # Errors
/// As [`step_momentum`].
///
/// ```
/// use pergrad_core::{AdamConfig, AdamState, Batch, Dims, Isa, LayerStep, Part, step_adam};
/// let batch = Batch::new(Dims::new(2, 1, 2), &[1.0f32, 2.0, 3.0, 4.0], &[1.0, -1.0]);
/// let c = AdamConfig::torch(0.1)?.step_coeffs(1)?;
/// let (mut w, mut m, mut v) = ([0.0; 2], [0.0; 2], [0.0; 2]);
/// let state = AdamState::new(&mut m, &mut v);
/// step_adam(Isa::detect(), &LayerStep::mean(batch), Part::Weight, &c, &mut w, state, &mut [])?;
/// assert!(w[0] > 0.04 && w[1] > 0.03); // -lr * grad / sqrt(grad_sq)
/// # Ok::<(), pergrad_core::Error>(())
/// ```
pub fn step_adam<T: Element>(
    isa: Isa,
    layer: &LayerStep<'_, T>,
    part: Part,
    c: &AdamCoeffs<T>,
    params: &mut [T],
    state: AdamState<'_, T>,
    scratch: &mut [T],
) -> Result<(), Error> {
    part.check(&layer.batch, params)?;
    state.check(c, params.len())?;
    let arrays = AdamArrays::new(params, state);
    T::step_adam(isa, layer, part, c, arrays, scratch)
        .map_err(|index| Error::NonFinite { arg: part.name(), index })
}

/// A sweep that hands each tile to a rule.
struct StepKernel<T, R> {
    rule: R,
    ends: Ends<T>,
    second: bool,
    /// Whether this is the pass that stores.
    write: bool,
    /// Elements from one row of the parameters to the next.
    stride: usize,
    /// The lowest index with a result that is not finite, so far.
    bad: usize,
}

impl<T: Element, R: Rule<T>> StepKernel<T, R> {
    /// Parameters `at .. at + n`, by their sums on the stack.
    ///
    /// # Safety
    /// As [`run`].
    #[inline(always)]
    unsafe fn apply<S: Simd<T>>(
        &mut self,
        s: S,
        at: usize,
        n: usize,
        grad: *const T,
        grad_sq: *const T,
    ) {
        let second = if self.second { Some(grad_sq) } else { None };
        // SAFETY: by contract.
        let done = unsafe {
            if self.write {
                run::<T, S, R, true>(s, self.rule, at, n, grad, second)
            } else {
                run::<T, S, R, false>(s, self.rule, at, n, grad, second)
            }
        };
        if let Err(bad) = done {
            self.bad = self.bad.min(bad);
        }
    }
}

impl<T: Element, R: Rule<T>> TileKernel<T> for StepKernel<T, R> {
    #[inline(always)]
    unsafe fn tile<S, const ROWS: usize, const VECS: usize, const TAIL: bool>(
        &mut self,
        s: S,
        src: Source<T>,
        j: usize,
        i: usize,
        n: usize,
    ) where
        S: Simd<T>,
    {
        let (mut grad, mut grad_sq) =
            (MaybeUninit::<[T; MAX_TILE]>::uninit(), MaybeUninit::<[T; MAX_TILE]>::uninit());
        let stride = VECS * S::LANES;
        let out = Out { p: grad.as_mut_ptr().cast::<T>(), stride };
        let out_sq = Out { p: grad_sq.as_mut_ptr().cast::<T>(), stride };
        // SAFETY: ROWS * VECS * LANES <= MAX_TILE; the fold starts fresh and writes n elements of
        // each row, which are those that `apply` reads. The parameters of the tile are inside.
        unsafe {
            if self.second {
                tile::any_moments::<T, S, ROWS, VECS, TAIL>(s, src, n, self.ends, out, out_sq);
            } else {
                tile::grad::<T, S, ROWS, VECS, TAIL>(s, src, n, self.ends, out);
            }
            for r in 0..ROWS {
                let at = (j + r) * self.stride + i;
                self.apply(s, at, n, out.p.add(r * stride), out_sq.p.add(r * stride));
            }
        }
    }
}

/// All parameters of a part.
///
/// # Safety
/// Lengths were checked; `rule`'s arrays are those of the part.
#[inline(always)]
unsafe fn run_step<T: Element, S: Simd<T>, R: Rule<T>>(
    s: S,
    layer: &LayerStep<'_, T>,
    part: Part,
    rule: R,
    second: bool,
    _scratch: &mut [T],
) -> Result<(), usize> {
    let (outputs, inputs) = (layer.batch.dims.outputs, layer.batch.dims.inputs);
    let ends = Ends { start: Start::Fresh, scale: layer.scale.map(T::from_f64) };
    let write = layer.non_finite == NonFinite::Propagate;
    let mut kernel = StepKernel { rule, ends, second, write, stride: inputs, bad: usize::MAX };
    loop {
        // SAFETY: by contract.
        unsafe {
            if part == Part::Bias {
                step_bias(s, &layer.batch, &mut kernel);
            } else if S::REGISTERS >= 32 {
                sweep::<T, S, _, 6>(s, source(&layer.batch), outputs, inputs, &mut kernel);
            } else {
                sweep::<T, S, _, 3>(s, source(&layer.batch), outputs, inputs, &mut kernel);
            }
        }
        if kernel.bad != usize::MAX {
            return Err(kernel.bad);
        }
        if kernel.write {
            return Ok(());
        }
        kernel.write = true;
    }
}

/// The bias, a vector of `j` at a time.
///
/// # Safety
/// As [`run_step`].
#[inline(always)]
unsafe fn step_bias<T: Element, S: Simd<T>, R: Rule<T>>(
    s: S,
    batch: &Batch<'_, T>,
    kernel: &mut StepKernel<T, R>,
) {
    let outputs = batch.dims.outputs;
    let mut j = 0;
    while j < outputs {
        let n = S::LANES.min(outputs - j);
        let (mut grad, mut grad_sq) = ([T::ZERO; REDUCTION_LANES], [T::ZERO; REDUCTION_LANES]);
        let (out, out_sq) = (grad.as_mut_ptr(), grad_sq.as_mut_ptr());
        // SAFETY: j + n <= J; the arrays hold a vector of any ISA.
        unsafe {
            if kernel.second {
                bias_vector(s, batch, j, n, kernel.ends, out, out_sq);
            } else {
                bias_grad_vector(s, batch, j, n, kernel.ends, out);
            }
            kernel.apply(s, j, n, out, out_sq);
        }
        j += n;
    }
}

/// The loops of [`step_momentum`]; lengths were checked.
#[inline(always)]
pub(crate) fn run_momentum<T: Element, S: Simd<T>>(
    s: S,
    layer: &LayerStep<'_, T>,
    part: Part,
    c: &MomentumCoeffs<T>,
    arrays: MomentumArrays<T>,
    scratch: &mut [T],
) -> Result<(), usize> {
    // SAFETY: the arrays are as long as the part: checked.
    unsafe { run_step(s, layer, part, Momentum(c, arrays), false, scratch) }
}

/// The loops of [`step_rmsprop`]; lengths were checked.
#[inline(always)]
pub(crate) fn run_rmsprop<T: Element, S: Simd<T>>(
    s: S,
    layer: &LayerStep<'_, T>,
    part: Part,
    c: &RmspropCoeffs<T>,
    arrays: RmspropArrays<T>,
    scratch: &mut [T],
) -> Result<(), usize> {
    let second = layer.second == SecondMoment::GradSq;
    // SAFETY: the arrays are as long as the part: checked.
    unsafe { run_step(s, layer, part, Rmsprop(c, arrays), second, scratch) }
}

/// The loops of [`step_adam`]; lengths were checked.
#[inline(always)]
pub(crate) fn run_adam<T: Element, S: Simd<T>>(
    s: S,
    layer: &LayerStep<'_, T>,
    part: Part,
    c: &AdamCoeffs<T>,
    arrays: AdamArrays<T>,
    scratch: &mut [T],
) -> Result<(), usize> {
    let second = layer.second == SecondMoment::GradSq;
    // SAFETY: the arrays are as long as the part: checked.
    unsafe { run_step(s, layer, part, Adam(c, arrays), second, scratch) }
}
