//! The sums of a layer's step, a part of the layer at a time.
//!
//! Plan: the tiles of a step cannot leave their sums and come back, since the optimizer takes them at once; so
//! a long batch would go by, from afar, once for each few rows. From [`LONG`] examples on the sums of many rows
//! ([`ROWS`]) and columns ([`COLUMNS`]) are kept in scratch instead, where [`sweep`] resumes them block by block,
//! and the optimizer takes them when the whole batch has gone by. What it costs is then little beside the sums.
//!
//! Parameters that come from afar come in long runs sooner than in the pieces of two lines, of each of their rows, that
//! tiles hand to the optimizer: there a few whole rows are summed in scratch, and then updated from one end to the
//! other. (Not on `grad_sq`, whose sums take twice the time.)

use super::moments::{GradKernel, MomentsKernel};
use super::plan::{self, CACHES};
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

/// Elements of the sums of a few examples, which the first two caches hold beside `x`.
const FEW_SUMS: usize = 26 << 10;

/// Rows of these are as many as those of a tile, or a multiple of them, and have at most so many columns.
const FEW_ROWS: usize = 6;
const FEW_COLUMNS: usize = 4 << 10;

/// The elements of parameters that a second-level cache does not hold with their state, and those that no cache does.
const FAR: usize = 1 << 17;
const BEYOND: usize = plan::BEYOND / 4;

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

/// Whether whole rows are summed for a batch that is not long, if panels are so wide: of too many examples for single rows
/// (which are faster for more if they are whole lines of the cache, or come from memory), and not so many that the sums
/// are what takes the time.
const fn is_few<T>(dims: Dims, wide: bool) -> bool {
    let Dims { batch, steps, outputs, inputs } = dims;
    let (depth, n) = (batch.saturating_mul(steps), outputs.saturating_mul(inputs));
    // Rows of `x` that are a page apart are wanted again and again, but not copied for each part.
    let (near, beyond) = (inputs < plan::PAGE / size_of::<T>(), n >= BEYOND);
    let (least, most) = match wide {
        true if beyond && near => (24, 128),
        _ if beyond => return false,
        false => (6, 16),
        true if inputs.is_multiple_of(ODD) => (12, if near { LONG } else { 24 }),
        true => (8, if near { LONG } else { 24 }),
    };
    n >= FAR && least <= depth && depth <= most
}

/// The most rows and columns of a part, with sums of squares if `second`; none if no ISA takes the layer apart.
const fn most(dims: Dims, second: bool) -> (usize, usize) {
    let Dims { batch, steps, inputs, .. } = dims;
    let few = is_few::<f32>(dims, true) || is_few::<f32>(dims, false);
    if !CACHES {
        (0, 0)
    } else if batch.saturating_mul(steps) >= LONG {
        let columns = if inputs < COLUMNS { inputs } else { COLUMNS };
        (if second { ROWS } else { 2 * ROWS }, columns)
    } else if few && !second {
        let columns = if inputs < FEW_COLUMNS { inputs } else { FEW_COLUMNS };
        let rows = FEW_SUMS / stride(columns) / FEW_ROWS;
        (if rows == 0 { FEW_ROWS } else { rows * FEW_ROWS }, columns)
    } else {
        (0, 0)
    }
}

/// Elements from one row of sums to the next.
const fn stride(columns: usize) -> usize {
    columns.next_multiple_of(ODD) + ODD
}

/// The elements of scratch for the sums of a step on `dims`, with those of squares or without; 0 where it does not go this
/// way.
const fn sums_of(dims: Dims, second: bool) -> usize {
    let (rows, columns) = most(dims, second);
    let rows = if dims.outputs < rows { dims.outputs } else { rows };
    rows * stride(columns) * if second { 2 } else { 1 }
}

/// The same, whatever the step.
pub(super) const fn sums_len(dims: Dims) -> usize {
    let [first, second] = [sums_of(dims, false), sums_of(dims, true)];
    if first > second { first } else { second }
}

/// Whether a step goes this way, with so much scratch.
pub(super) fn pays<T: Element>(isa: Isa, dims: Dims, second: bool, scratch: usize) -> bool {
    if scratch == 0 || !(1..=scratch).contains(&sums_of(dims, second)) {
        return false;
    }
    // SAFETY: it has no conditions.
    let shape = unsafe { T::shape(isa) };
    // (On Intel's CPUs with AVX-512 tiles of the step are faster, unless parameters come from memory.)
    let few = match plan::wide::<T>(shape) {
        false if shape.registers != 16 => false,
        _ if shape.intel && dims.outputs.saturating_mul(dims.inputs) < BEYOND => false,
        wide => is_few::<T>(dims, wide),
    };
    few || dims.batch.saturating_mul(dims.steps) >= LONG
}

/// Calls `then` for each part of a layer, from a row and a column on, when it is summed; `SECOND` with the sums
/// of squares.
///
/// # Safety
/// `src` is readable for all rows and columns; it [pays], with so much scratch.
pub(super) unsafe fn parts<T: Element, const SECOND: bool, const SEQUENCE: bool>(
    isa: Isa,
    src: Source<T>,
    dims: Dims,
    ends: Ends<T>,
    scratch: &mut [T],
    mut then: impl FnMut((usize, usize), LayerSums<T>),
) {
    let Dims { outputs, inputs, .. } = dims;
    let (most, columns) = most(dims, SECOND);
    let stride = stride(columns);
    let (sums, scratch) = scratch.split_at_mut(sums_of(dims, SECOND).min(scratch.len()));
    let most = most.min(outputs);
    let grad = sums.as_mut_ptr();
    let grad_sq = grad.wrapping_add(if SECOND { most * stride } else { 0 });
    let (out, out_sq) = (Out { p: grad, stride }, Out { p: grad_sq, stride });
    for j in (0..outputs).step_by(most.max(1)) {
        for i in (0..inputs).step_by(columns.max(1)) {
            let (rows, columns) = (most.min(outputs - j), columns.min(inputs - i));
            let src = src.row(j).columns(i);
            // SAFETY: the part is inside the layer, its sums inside the scratch.
            unsafe {
                if SECOND {
                    let mut kernel = MomentsKernel::<T, SEQUENCE>::new(ends, [out, out_sq], DEEP);
                    sweep(isa, src, rows, columns, scratch, &mut kernel);
                } else {
                    // (What tiles write shares the caches with the parameters.)
                    let mut kernel = GradKernel::new(ends, out, DEEP);
                    kernel.far = true;
                    sweep(isa, src, rows, columns, scratch, &mut kernel);
                }
            }
            then((j, i), LayerSums { rows, columns, grad, grad_sq, stride });
        }
    }
}
