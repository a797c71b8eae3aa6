//! The layer step: moments and update of one layer in one sweep.
//!
//! Plan: the optimizer takes the sums of each tile out of the registers ([`super::fused`]). What is not
//! compiled there (checked steps, sequences, example weights, rarer configurations, single elements for
//! vectors), or does not pay (many examples and 16 registers), goes by rows of tiles that leave their sums in
//! a small array on the stack, where the optimizer picks them up at once: a thousand gradients or two exist
//! at a time, in the first-level cache. While a tile is summed, its parameters and their state are fetched.
//! Long batches, and some examples of layers that come from afar, go another way ([`super::parts`]). The bits are
//! those of [`moments`](crate::moments()) (or, on the squared average and for momentum, of [`grad`](crate::grad()))
//! followed by the update.

use core::mem::MaybeUninit;

use super::adam::{Adam, AdamArrays};
use super::fused::FusedRow;
use super::moments::source;
use super::momentum::{Momentum, MomentumArrays};
use super::parts::{self, LayerSums};
use super::plan::{BEYOND, CACHES, FAR, PAGE, is_narrow};
use super::rmsprop::{Rmsprop, RmspropArrays};
use super::row::{DEEP, Row};
use super::rule::Run;
use super::shape::{Rows, Shape};
use super::sweep::{RowKernel, Way, sweep};
use super::tile::{Ends, Out, Source};
use super::update::{NonFinite, Optimizer};
use crate::dims::check;
use crate::state::{AdamState, RmspropState, SecondMoment};
use crate::{AdamCoeffs, Batch, Dims, Element, Error, Fold, Isa, MomentumCoeffs, RmspropCoeffs};

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
/// On targets with vectors steps take 24 KiB of stack for `f32`, 48 KiB for `f64`.
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
    // SAFETY: the batch, the parameters and the state were checked.
    unsafe { step(isa, layer, part, Momentum(c, arrays), false, scratch) }
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
    let second = layer.second == SecondMoment::GradSq;
    // SAFETY: the batch, the parameters and the state were checked.
    unsafe { step(isa, layer, part, Rmsprop(c, arrays), second, scratch) }
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
    let second = layer.second == SecondMoment::GradSq;
    // SAFETY: the batch, the parameters and the state were checked.
    unsafe { step(isa, layer, part, Adam(c, arrays), second, scratch) }
}

/// Elements of the sums of a row of tiles, on the stack: the parameters and their state are gone through in
/// long runs of each row, as memory likes it. (With more than 16 registers half of it is used.)
const SUMS: usize = if CACHES { 6 * 512 } else { 2 * 64 };

/// Up to so many `(b, t)` the time goes into the parameters: they are walked row by row, at the cost of
/// loading `x` more often. (Not without `grad_sq`, whose single rows have too few sums at a time to keep the
/// multipliers busy.) Fewer with 16 registers.
const SHALLOW: usize = if CACHES { 8 } else { 0 };
const SHALLOW_NARROW: usize = 5;

/// A sweep that hands each row of tiles to an optimizer.
struct StepKernel<T, O, const SECOND: bool, const SEQUENCE: bool> {
    optimizer: O,
    ends: Ends<T>,
    /// Whether this is the pass that stores.
    write: bool,
    /// Elements from one row of the parameters to the next.
    stride: usize,
    /// Whether they come from memory.
    beyond: bool,
    /// Whether the optimizer takes the sums out of the registers.
    fused: bool,
    /// The most sums on the stack, if not.
    sums: usize,
    /// From so many `(b, t)` on the parameters of sums on the stack are fetched meanwhile.
    fetching: usize,
    /// The lowest index with a result that is not finite, so far.
    bad: usize,
}

impl<T, O, const SECOND: bool, const SEQUENCE: bool> StepKernel<T, O, SECOND, SEQUENCE>
where
    T: Element,
    O: Optimizer<T>,
{
    /// Updates the parameters from `at` on by their sums.
    ///
    /// # Safety
    /// As [`Optimizer::run`].
    unsafe fn apply(&mut self, isa: Isa, at: usize, sums: LayerSums<T>) {
        let LayerSums { mut rows, mut columns, grad, grad_sq, stride } = sums;
        if columns == self.stride && columns == stride {
            // Rows that follow each other are one: short ones would leave most of each vector empty.
            (rows, columns) = (1, rows * columns);
        }
        let run = Run {
            at,
            stride: self.stride,
            rows,
            n: columns,
            grad,
            second: if SECOND { grad_sq } else { core::ptr::null() },
            grad_stride: stride,
            write: self.write,
        };
        // SAFETY: by contract.
        if let Err(bad) = unsafe { self.optimizer.run(isa, &run) } {
            self.bad = self.bad.min(bad);
        }
    }

    /// Sums `row` on the stack and updates its parameters, from `at` on. (Not inlined: rows that are fused need
    /// not grow the stack by it.)
    ///
    /// # Safety
    /// As [`RowKernel::row`].
    #[inline(never)]
    unsafe fn by_the_stack(&mut self, isa: Isa, row: &mut Row<T>, at: usize) {
        let mut sums = StackSums([MaybeUninit::uninit(), MaybeUninit::uninit()]);
        let [out, out_sq] = &mut sums.0;
        let stride = row.columns;
        row.out = Out { p: out.as_mut_ptr().cast(), stride };
        row.out_sq = Out { p: out_sq.as_mut_ptr().cast(), stride };
        // SAFETY: rows * columns <= SUMS; the fold starts fresh and writes all of them, which are
        // those that `apply` reads. The parameters of the row are inside.
        unsafe {
            if SECOND {
                row.moments::<SEQUENCE>(isa)
            } else {
                row.grad(isa)
            }
            self.apply(isa, at, sums.of(row.rows.count(), row.columns));
        }
    }
}

/// Gradients and their squares, on a cache line so that no vector lies on two.
#[cfg_attr(portable_vectors, repr(align(64)))]
struct StackSums<T>([MaybeUninit<[T; SUMS]>; 2]);

impl<T> StackSums<T> {
    /// Those of some rows and columns, side by side.
    fn of(&self, rows: usize, columns: usize) -> LayerSums<T> {
        let [grad, grad_sq] = self.0.each_ref().map(|sums| sums.as_ptr().cast());
        LayerSums { rows, columns, grad, grad_sq, stride: columns }
    }
}

impl<T, O, const SECOND: bool, const SEQUENCE: bool> RowKernel<T>
    for StepKernel<T, O, SECOND, SEQUENCE>
where
    T: Element,
    O: Optimizer<T>,
{
    const RESTS: usize = 0;

    fn rows(&self, shape: &Shape, src: &Source<T>, way: Way, left: usize) -> Rows {
        let few = way == Way::Few;
        let (depth, long) = (src.depth(), self.stride >= short::<SECOND>(shape));
        let shallow = if CACHES && is_narrow::<T>(*shape) { SHALLOW_NARROW } else { SHALLOW };
        match (SECOND, SEQUENCE) {
            _ if self.fused => shape.fused_rows(SECOND, depth, self.beyond, left),
            (_, false) if few => shape.few_rows(1),
            (false, _) | (_, false) if way == Way::Narrow => Rows::Narrow(left),
            (true, _) if few || depth <= shallow && long => Rows::Single(1),
            (false, _) => shape.grad_rows(left),
            (true, false) => shape.moments_rows(left),
            (true, true) => shape.sequence_rows(src, way == Way::Packed, left),
        }
    }

    fn most_columns(&self, rows: usize) -> usize {
        if self.fused {
            return usize::MAX;
        }
        self.sums / rows.max(1) // no panic even for the compiler
    }

    fn block(&mut self, _first: bool, _last: bool) {}

    unsafe fn row(&mut self, isa: Isa, row: &mut Row<T>, j: usize, i: usize) {
        let at = j * self.stride + i;
        let far = CACHES
            && match row.rows {
                // (Of a run along a row the CPU fetches what comes next by itself, but for memory that is too late.)
                Rows::Single(_) if self.fused => self.beyond,
                _ => !self.fused || self.stride * size_of::<T>() >= PAGE,
            };
        let arrays = if far { self.optimizer.arrays() } else { [core::ptr::null(); 3] };
        let arrays = arrays.map(|p| if p.is_null() { p } else { p.wrapping_add(at) });
        // A fused row fetches one vector at a time, beside its sums.
        let least = if self.fused { 0 } else { self.fetching };
        row.ends = self.ends;
        row.set_ahead(arrays, self.stride, least);
        // SAFETY: the parameters of the row are inside; the coefficients are plain if it is fused.
        unsafe {
            if self.fused {
                let row = FusedRow { row, at, stride: self.stride, second: SECOND };
                self.optimizer.fused(isa, &row);
            } else {
                self.by_the_stack(isa, row, at);
            }
        }
    }
}

/// Columns below which rows are rather updated together, from the stack: what is left over of each would leave most of
/// a vector empty, and wait for the row before.
fn short<const SECOND: bool>(shape: &Shape) -> usize {
    shape.panel.get() * if SECOND { 2 } else { 4 }
}

/// Whether the optimizer should take the sums out of the registers. (Not for short rows, nor for few of them if one by one
/// some are left over that a lower tile has room for: there is none that is fused.)
fn fusing_pays<T: Element, const SECOND: bool>(shape: Shape, dims: Dims, bytes: usize) -> bool {
    let [tall, rows, rest] = shape.grad;
    let over = dims.outputs % rows.max(1) >= rest || dims.outputs == 2 * rest;
    let lonely = !SECOND && over && dims.outputs <= 4 * tall && dims.batch >= tall;
    !lonely
        && shape.holds_sums()
        && dims.inputs >= short::<SECOND>(&shape)
        && (shape.registers >= 32 || dims.batch <= most_fused::<T, SECOND>(dims, bytes))
}

/// The most examples for which it should where there are 16 registers, and each update pushes sums of the next tile out:
/// some if parameters come from afar, else those for which there is little to sum.
fn most_fused<T: Element, const SECOND: bool>(dims: Dims, bytes: usize) -> usize {
    if bytes > 4 * FAR {
        // (Long runs come faster from memory by the stack, once there is time to fetch them.)
        if dims.inputs < PAGE / 2 / size_of::<T>() { 16 } else { SOON - 1 }
    } else if bytes >= FAR / 8 {
        SHALLOW_NARROW
    } else if SECOND {
        SHALLOW
    } else {
        2
    }
}

/// From so many `(b, t)` on there is time to fetch parameters for which the CPU would wait long, with panels of a line.
const SOON: usize = 10;

/// From so many `(b, t)` on the parameters of sums on the stack, in rows of so many bytes, are fetched meanwhile.
fn fetching(narrow: bool, bytes: usize, row: usize) -> usize {
    let apart = row >= PAGE;
    if !CACHES {
        usize::MAX
    } else if narrow && (bytes >= BEYOND || bytes >= 2 * FAR && apart) {
        SOON
    } else if narrow && bytes > FAR {
        2 * SOON
    } else if apart {
        DEEP
    } else {
        usize::MAX
    }
}

/// All parameters of a part.
///
/// # Safety
/// Lengths were checked; the optimizer's arrays are those of the part.
unsafe fn step<T: Element>(
    isa: Isa,
    layer: &LayerStep<'_, T>,
    part: Part,
    optimizer: impl Optimizer<T>,
    second: bool,
    scratch: &mut [T],
) -> Result<(), Error> {
    // SAFETY: by contract.
    let done = unsafe {
        if !second {
            run::<T, _, false, false>(isa, layer, part, optimizer, scratch)
        } else if layer.batch.dims.steps == 1 {
            run::<T, _, true, false>(isa, layer, part, optimizer, scratch)
        } else {
            run::<T, _, true, true>(isa, layer, part, optimizer, scratch)
        }
    };
    done.map_err(|index| Error::NonFinite { arg: part.name(), index })
}

/// The same for one kind of second moment.
///
/// # Safety
/// As [`step`].
unsafe fn run<T, O, const SECOND: bool, const SEQUENCE: bool>(
    isa: Isa,
    layer: &LayerStep<'_, T>,
    part: Part,
    optimizer: O,
    scratch: &mut [T],
) -> Result<(), usize>
where
    T: Element,
    O: Optimizer<T>,
{
    let dims = layer.batch.dims;
    let (outputs, inputs) = (dims.outputs, dims.inputs);
    let src = source(&layer.batch);
    let ends = Ends::of(Fold { scale: layer.scale, ..Fold::fresh() });
    let apart = parts::pays::<T>(isa, dims, SECOND, scratch.len());
    // SAFETY: it has no conditions.
    let shape = CACHES.then(|| unsafe { T::shape(isa) });
    let narrow = shape.is_some_and(is_narrow::<T>);
    let bytes = outputs.saturating_mul(inputs).saturating_mul(size_of::<T>());
    let mut kernel = StepKernel::<T, O, SECOND, SEQUENCE> {
        optimizer,
        ends,
        write: layer.non_finite == NonFinite::Propagate,
        stride: inputs,
        beyond: bytes >= BEYOND,
        fused: layer.non_finite == NonFinite::Propagate
            && layer.batch.dims.steps == 1
            && layer.batch.example_weights.is_none()
            && optimizer.is_plain()
            && shape.is_some_and(|shape| fusing_pays::<T, SECOND>(shape, dims, bytes)),
        sums: if !CACHES || narrow { SUMS } else { SUMS / 2 },
        fetching: fetching(narrow, bytes, inputs.saturating_mul(size_of::<T>())),
        bad: usize::MAX,
    };
    loop {
        // SAFETY: by contract.
        unsafe {
            match part {
                Part::Weight if apart => {
                    let then = |(j, i), sums| kernel.apply(isa, j * inputs + i, sums);
                    parts::parts::<T, SECOND, SEQUENCE>(isa, src, dims, ends, scratch, then);
                }
                Part::Weight => sweep(isa, src, outputs, inputs, scratch, &mut kernel),
                Part::Bias => step_bias(isa, &layer.batch, &mut kernel),
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

/// The bias, a stretch of `j` at a time. (Not inlined: the stack need not hold its sums beside the weight's.)
///
/// # Safety
/// As [`step`].
#[inline(never)]
unsafe fn step_bias<T, O, const SECOND: bool, const SEQUENCE: bool>(
    isa: Isa,
    batch: &Batch<'_, T>,
    kernel: &mut StepKernel<T, O, SECOND, SEQUENCE>,
) where
    T: Element,
    O: Optimizer<T>,
{
    let mut j = 0;
    while j < batch.dims.outputs {
        let n = SUMS.min(batch.dims.outputs - j);
        let mut sums = StackSums([MaybeUninit::uninit(), MaybeUninit::uninit()]);
        let [out, out_sq] = &mut sums.0;
        let (out, out_sq) = (out.as_mut_ptr().cast(), out_sq.as_mut_ptr().cast());
        // SAFETY: j + n <= J and n <= SUMS; the fold starts fresh and writes n sums.
        unsafe {
            if SECOND {
                T::bias_moments(isa, batch, j, n, kernel.ends, out, out_sq);
            } else {
                T::bias_grad(isa, batch, j, n, kernel.ends, out);
            }
            kernel.apply(isa, j, sums.of(1, n));
        }
        j += n;
    }
}
