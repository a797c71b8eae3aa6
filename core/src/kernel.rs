//! The kernels: one file a family, each with its formula and plan first, the checked public functions
//! next, the loops last.

pub(crate) mod adam;
pub(crate) mod bias;
pub(crate) mod columns;
pub(crate) mod few;
pub(crate) mod forward;
pub(crate) mod fused;
pub(crate) mod input_grad;
pub(crate) mod moments;
pub(crate) mod momentum;
pub(crate) mod narrow;
pub(crate) mod norms;
pub(crate) mod outer;
pub(crate) mod pack;
mod parts;
pub(crate) mod plan;
pub(crate) mod reduce;
pub(crate) mod rmsprop;
pub(crate) mod row;
pub(crate) mod rule;
pub(crate) mod sequence;
pub(crate) mod shape;
pub(crate) mod squares;
mod stack;
mod stages;
pub(crate) mod step;
pub(crate) mod sweep;
pub(crate) mod tile;
mod unroll;
pub(crate) mod update;
mod vectors;
