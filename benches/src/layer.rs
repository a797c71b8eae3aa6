//! Shapes of linear layers, and what they saw of a batch.

use pergrad_core::{Batch, Dims};

use crate::buf::Buf;
use crate::case::select;
use crate::real::Real;

/// The layers that kernels are held to, as `B x J x I`: those of the design's table, a classifier's
/// head, tails everywhere, and two long batches.
pub const LAYERS: [Dims; 11] = [
    Dims::new(32, 128, 128),
    Dims::new(128, 512, 512),
    Dims::new(256, 1024, 1024),
    Dims::new(64, 4096, 1024),
    Dims::new(16, 1024, 1024),
    Dims::new(1, 1024, 1024),
    Dims::new(128, 10, 784),
    Dims::new(1, 10, 784),
    Dims::new(7, 3, 5),
    Dims::new(4096, 512, 512),
    Dims::new(65_536, 512, 512),
];

/// Small layers: short rows, two that have three rows of output (of `x` for the input gradient), and one that fits a few
/// vectors.
pub const SMALL: [Dims; 4] =
    [Dims::new(100, 50, 8), Dims::new(128, 3, 256), Dims::new(3, 256, 256), Dims::new(64, 5, 8)];

/// Many examples of narrow layers, the rows of the second not aligned to vectors.
pub const NARROW: [Dims; 2] = [Dims::new(1024, 128, 128), Dims::new(1000, 100, 100)];

/// The layers that are also run in `f64`.
pub const LAYERS_F64: [Dims; 3] =
    [Dims::new(32, 128, 128), Dims::new(128, 512, 512), Dims::new(16, 1024, 1024)];

/// Layers whose weights are used several times per example.
pub const SEQUENCES: [Dims; 3] = [
    Dims::new(3, 5, 7).with_steps(4),
    Dims::new(16, 256, 256).with_steps(64),
    Dims::new(32, 512, 512).with_steps(16),
];

/// All of them, or in test mode those that take no time.
pub fn layers(all: &[Dims]) -> Vec<Dims> {
    select(all, |d| products(*d) <= 1 << 20)
}

/// `B T J I`, the multiply-adds of one matrix product.
pub fn products(d: Dims) -> usize {
    d.batch * d.steps * d.outputs * d.inputs
}

/// The name of a case: type and shape.
pub fn id<T: Real>(d: Dims) -> String {
    let Dims { batch, steps, outputs, inputs } = d;
    if steps == 1 {
        format!("{}_{batch}x{outputs}x{inputs}", T::NAME)
    } else {
        format!("{}_{batch}x{steps}x{outputs}x{inputs}", T::NAME)
    }
}

/// What a layer saw of a batch.
pub struct Layer<T> {
    /// The extents.
    pub dims: Dims,
    /// `[B, T, I]`.
    pub x: Buf<T>,
    /// `[B, T, J]`.
    pub dy: Buf<T>,
}

impl<T: Real> Layer<T> {
    /// Reproducible numbers.
    pub fn new(dims: Dims) -> Self {
        let Dims { batch, steps, outputs, inputs } = dims;
        Layer {
            dims,
            x: Buf::random(batch * steps * inputs, 1, -1.0, 1.0),
            dy: Buf::random(batch * steps * outputs, 2, -1.0, 1.0),
        }
    }

    /// `J I`.
    pub fn weights(&self) -> usize {
        self.dims.outputs * self.dims.inputs
    }

    /// As the kernels take it.
    pub fn batch(&self) -> Batch<'_, T> {
        Batch::new(self.dims, &self.x, &self.dy)
    }
}
