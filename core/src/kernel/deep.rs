//! The sums of a layer for the steps of long batches, a part of the layer at a time.
//!
//! Plan: the tiles of a step cannot leave their sums and come back, since the optimizer takes them at once; so
//! a long batch would go by, from afar, once for each few rows. From [`LONG`] examples on the sums of many rows
//! ([`ROWS`]) and columns ([`COLUMNS`]) are kept in scratch instead, where [`sweep`] resumes them block by block,
//! and the optimizer takes them when the whole batch has gone by. What it costs is then little beside the sums.

use super::moments::{GradKernel, MomentsKernel};
use super::plan::CACHES;
use super::row::DEEP;
use super::sweep::sweep;
use super::tile::{Ends, Out, Source};
use crate::{Dims, Element, Isa};

/// From so many `(b, t)` on.
const LONG: usize = 384;

/// Rows of a part, with sums of squares; twice as many without.
const ROWS: usize = 120;

/// Columns of a part.
const COLUMNS: usize = 512;

/// Elements from one row of sums to the next are these more than there are columns: rows that are a power of two
/// apart would lie in the same few cache sets.
const ODD: usize = 16;

/// Sums of some rows and columns of a layer.
pub(super) struct LayerSums<T> {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) grad: *const T,
    /// The sums of squares, if they were asked for.
    pub(super) grad_sq: *const T,
    /// Elements from one row of sums to the next.
    pub(super) stride: usize,
}

/// Elements from one row of sums to the next.
const fn stride(inputs: usize) -> usize {
    ODD + if inputs < COLUMNS { inputs.next_multiple_of(ODD) } else { COLUMNS }
}

/// The elements of scratch that the sums of a step on `dims` take, or 0 where it does not go this way.
pub(super) const fn sums_len(dims: Dims) -> usize {
    let Dims { batch, steps, outputs, inputs } = dims;
    if !CACHES || batch.saturating_mul(steps) < LONG {
        return 0;
    }
    2 * if outputs < ROWS { outputs } else { ROWS } * stride(inputs)
}

/// Calls `then` for each part of a layer, from a row and a column on, when it is summed; `SECOND` with the sums
/// of squares.
///
/// # Safety
/// `src` is readable for all rows and columns; `scratch` is as long as [`sums_len`] says, or longer,
/// which is not 0.
pub(super) unsafe fn parts<T: Element, const SECOND: bool, const SEQUENCE: bool>(
    isa: Isa,
    src: Source<T>,
    dims: Dims,
    ends: Ends<T>,
    scratch: &mut [T],
    mut then: impl FnMut((usize, usize), LayerSums<T>),
) {
    let Dims { outputs, inputs, .. } = dims;
    let stride = stride(inputs);
    let (sums, scratch) = scratch.split_at_mut(sums_len(dims).min(scratch.len()));
    let most = sums.len() / stride / if SECOND { 2 } else { 1 };
    let grad = sums.as_mut_ptr();
    let grad_sq = grad.wrapping_add(if SECOND { most * stride } else { 0 });
    let (out, out_sq) = (Out { p: grad, stride }, Out { p: grad_sq, stride });
    for j in (0..outputs).step_by(most.max(1)) {
        for i in (0..inputs).step_by(COLUMNS) {
            let (rows, columns) = (most.min(outputs - j), COLUMNS.min(inputs - i));
            let src = src.row(j).columns(i);
            // SAFETY: the part is inside the layer, its sums inside the scratch.
            unsafe {
                if SECOND {
                    let mut kernel = MomentsKernel::<T, SEQUENCE>::new(ends, [out, out_sq], DEEP);
                    sweep(isa, src, rows, columns, scratch, &mut kernel);
                } else {
                    let mut kernel = GradKernel::new(ends, out, DEEP);
                    sweep(isa, src, rows, columns, scratch, &mut kernel);
                }
            }
            then((j, i), LayerSums { rows, columns, grad, grad_sq, stride });
        }
    }
}
