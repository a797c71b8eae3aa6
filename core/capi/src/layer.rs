//! What a layer is and what it saw, as plain structures.

use core::mem::MaybeUninit;

use pergrad_core::{Batch, Dims, Element, Fold, LayerStep, NonFinite, Part, SecondMoment, Start};

use crate::args::Args;
use crate::error::Refused;

/// The extents of a linear layer as the kernels see it. Any of them may be 0.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct pergrad_dims {
    /// Examples, B.
    pub batch: usize,
    /// Uses of the weights in each example, T: 1 unless weights are shared over time or space.
    pub steps: usize,
    /// Outputs of the layer, J.
    pub outputs: usize,
    /// Inputs of the layer, I.
    pub inputs: usize,
}

impl pergrad_dims {
    pub(crate) fn to_core(self) -> Dims {
        Dims::new(self.batch, self.outputs, self.inputs).with_steps(self.steps)
    }
}

/// What a layer saw of a batch: its inputs and the gradients of its outputs. (Functions on the bias do
/// not look at `x`, which may then be NULL.)
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct pergrad_batch<T> {
    /// The extents.
    pub dims: pergrad_dims,
    /// Layer input, [B, T, I].
    pub x: *const T,
    /// Elements of `x`.
    pub x_len: usize,
    /// Gradient of the layer's output per example (of the loss summed, not averaged), [B, T, J].
    pub dy: *const T,
    /// Elements of `dy`.
    pub dy_len: usize,
    /// Optional factor c[b] of each example's `dy`, [B]: clipping, importance weights, a mask.
    pub example_weights: *const T,
    /// Elements of `example_weights`.
    pub example_weights_len: usize,
}

c_enum! {
    /// Where a sum starts.
    pergrad_start {
        /// From +0; the output is overwritten and never read.
        PERGRAD_START_FRESH = 0,
        /// From what the output holds.
        PERGRAD_START_RESUME = 1,
    }
}

c_enum! {
    /// Which parameters of the layer a step is for.
    pergrad_part {
        /// The weight, [J, I].
        PERGRAD_PART_WEIGHT = 0,
        /// The bias, [J]; `x` of the batch is not looked at.
        PERGRAD_PART_BIAS = 1,
    }
}

c_enum! {
    /// Where the second moment of a layer step comes from.
    pergrad_second_moment {
        /// grad_sq, the mean of the squares of the per-example gradients.
        PERGRAD_SECOND_MOMENT_GRAD_SQ = 0,
        /// The square of the averaged gradient, as in other libraries: it shrinks as the batch grows.
        PERGRAD_SECOND_MOMENT_SQUARED_GRAD = 1,
    }
}

c_enum! {
    /// What a step does about values that are not finite.
    pergrad_non_finite {
        /// They propagate, as in other libraries.
        PERGRAD_NON_FINITE_PROPAGATE = 0,
        /// The step computes everything first and commits only if every new parameter and every new
        /// state is finite; otherwise it changes nothing and fails with PERGRAD_ERROR_NON_FINITE. Costs
        /// a second pass.
        PERGRAD_NON_FINITE_REFUSE = 1,
    }
}

/// What a layer step steps on: the batch, and how its gradients are taken.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct pergrad_layer_step<T> {
    /// What the layer saw.
    pub batch: pergrad_batch<T>,
    /// Multiplies the sums over the batch: 1.0 / B for the average, 1 for the sum. Not 0.
    pub scale: f64,
    /// What RMSProp and Adam take as the second moment. (Momentum has none.)
    pub second_moment: MaybeUninit<pergrad_second_moment>,
    /// What to do about results that are not finite.
    pub non_finite: MaybeUninit<pergrad_non_finite>,
}

impl<'a> Args<'a> {
    /// The start of a sum.
    pub(crate) fn start(&mut self, start: MaybeUninit<pergrad_start>) -> Result<Start, Refused> {
        Ok(match self.one_of("start", start)? {
            pergrad_start::PERGRAD_START_FRESH => Start::Fresh,
            pergrad_start::PERGRAD_START_RESUME => Start::Resume,
        })
    }

    /// The two ends of a sum.
    pub(crate) fn fold(
        &mut self,
        start: MaybeUninit<pergrad_start>,
        scale: f64,
    ) -> Result<Fold, Refused> {
        Ok(Fold { start: self.start(start)?, scale: self.scale(scale)? })
    }

    /// A batch, as the functions on the weight see it.
    pub(crate) fn batch<T: Element>(
        &mut self,
        batch: *const pergrad_batch<T>,
    ) -> Result<Batch<'a, T>, Refused> {
        let batch = self.structure("batch", batch)?;
        self.batch_of(&batch, Part::Weight)
    }

    /// A batch, as the functions on the bias see it.
    pub(crate) fn bias_batch<T: Element>(
        &mut self,
        batch: *const pergrad_batch<T>,
    ) -> Result<Batch<'a, T>, Refused> {
        let batch = self.structure("batch", batch)?;
        self.batch_of(&batch, Part::Bias)
    }

    fn batch_of<T: Element>(
        &mut self,
        c: &pergrad_batch<T>,
        part: Part,
    ) -> Result<Batch<'a, T>, Refused> {
        let x = match part {
            Part::Weight => self.input("x", c.x, c.x_len)?,
            Part::Bias => &[],
        };
        let dy = self.input("dy", c.dy, c.dy_len)?;
        let weights = self.optional("example_weights", c.example_weights, c.example_weights_len)?;
        Ok(Batch { example_weights: weights, ..Batch::new(c.dims.to_core(), x, dy) })
    }

    /// The parameters that a step is for.
    pub(crate) fn part(&mut self, part: MaybeUninit<pergrad_part>) -> Result<Part, Refused> {
        Ok(match self.one_of("part", part)? {
            pergrad_part::PERGRAD_PART_WEIGHT => Part::Weight,
            pergrad_part::PERGRAD_PART_BIAS => Part::Bias,
        })
    }

    /// The parameters themselves, by the name of the part.
    pub(crate) fn params<T>(
        &mut self,
        part: Part,
        params: *mut T,
        len: usize,
    ) -> Result<&'a mut [T], Refused> {
        let name = match part {
            Part::Weight => "weight",
            Part::Bias => "bias",
        };
        self.output(name, params, len)
    }

    /// What a step does about values that are not finite.
    pub(crate) fn non_finite(
        &mut self,
        non_finite: MaybeUninit<pergrad_non_finite>,
    ) -> Result<NonFinite, Refused> {
        Ok(match self.one_of("non_finite", non_finite)? {
            pergrad_non_finite::PERGRAD_NON_FINITE_PROPAGATE => NonFinite::Propagate,
            pergrad_non_finite::PERGRAD_NON_FINITE_REFUSE => NonFinite::Refuse,
        })
    }

    /// What a layer step of that part steps on.
    pub(crate) fn layer<T: Element>(
        &mut self,
        layer: *const pergrad_layer_step<T>,
        part: Part,
    ) -> Result<LayerStep<'a, T>, Refused> {
        let c = self.structure("layer", layer)?;
        Ok(LayerStep {
            scale: self.scale(c.scale)?,
            second: match self.one_of("second_moment", c.second_moment)? {
                pergrad_second_moment::PERGRAD_SECOND_MOMENT_GRAD_SQ => SecondMoment::GradSq,
                pergrad_second_moment::PERGRAD_SECOND_MOMENT_SQUARED_GRAD => {
                    SecondMoment::SquaredGrad
                }
            },
            non_finite: self.non_finite(c.non_finite)?,
            batch: self.batch_of(&c.batch, part)?,
        })
    }
}
