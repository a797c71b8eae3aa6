//! Large work is split by rows of its outputs over the threads of the current `rayon` pool.
//!
//! No sum is ever split, only the set of outputs, so the bits do not depend on the number of threads.
//! Work of less than [`MIN_WORK`] a thread is not split further, and without the feature `rayon`
//! nothing is.

use std::borrow::Cow;
use std::ops::Range;

use pergrad_core::{Batch, Element};

use crate::Error;

/// Multiply-adds, or elements of an update, that are worth a thread: some tens of microseconds where a
/// hand-over costs a few. Fuzzing splits what is small, so that a run stays short.
const MIN_WORK: usize = if cfg!(fuzzing) { 1 << 8 } else { 1 << 18 };

/// Rows of a chunk of weights are a multiple of this: whole tiles of every kernel.
pub(crate) const TILE_ROWS: usize = 12;

/// Rows of a chunk of the forward product, whose tiles are lower: those of 64 rows on two threads are nearly halves.
pub(crate) const FORWARD_ROWS: usize = 3;

/// Elements of a chunk of a vector are a multiple of this: whole cache lines, and then some.
pub(crate) const BLOCK: usize = 1024;

/// Calls `f` with ranges that together are `0..rows`, and with the part of each output that belongs to
/// the range. Each output has the same number of elements in each row; it may be empty.
///
/// * `work`: multiply-adds or elements of the whole.
/// * `granule`: ranges begin at multiples of this.
///
/// Where `f` writes, it must not fail for a range if it would not fail for all: the checks come first.
///
/// The error is that of the first range that fails.
pub(crate) fn split<T, E, const N: usize>(
    rows: usize,
    work: usize,
    granule: usize,
    outputs: [&mut [T]; N],
    f: impl Fn(Range<usize>, [&mut [T]; N]) -> Result<(), E> + Sync,
) -> Result<(), Error>
where
    T: Element,
    E: Into<Error> + Send,
{
    let threads = threads().min(work / MIN_WORK).max(1);
    let chunk = rows.div_ceil(threads).next_multiple_of(granule);
    halve(0..rows, chunk, outputs, &f).map_err(Into::into)
}

/// Halves the range until it is no longer than `chunk`.
fn halve<T: Element, E: Send, const N: usize>(
    range: Range<usize>,
    chunk: usize,
    mut outputs: [&mut [T]; N],
    f: &(impl Fn(Range<usize>, [&mut [T]; N]) -> Result<(), E> + Sync),
) -> Result<(), E> {
    let rows = range.len();
    if rows <= chunk {
        return f(range, outputs);
    }
    let middle = rows.div_ceil(chunk) / 2 * chunk;
    let first = outputs.each_mut().map(|out| {
        let width = out.len() / rows;
        out.split_off_mut(..middle * width).unwrap_or_default()
    });
    let at = range.start + middle;
    let (a, b) = join(
        || halve(range.start..at, chunk, first, f),
        || halve(at..range.end, chunk, outputs, f),
    );
    a.and(b)
}

#[cfg(feature = "rayon")]
fn threads() -> usize {
    rayon::current_num_threads()
}

#[cfg(feature = "rayon")]
fn join<R: Send>(a: impl FnOnce() -> R + Send, b: impl FnOnce() -> R + Send) -> (R, R) {
    rayon::join(a, b)
}

#[cfg(not(feature = "rayon"))]
fn threads() -> usize {
    1
}

#[cfg(not(feature = "rayon"))]
fn join<R>(a: impl FnOnce() -> R, b: impl FnOnce() -> R) -> (R, R) {
    (a(), b())
}

/// Multiply-adds of a batch's gradient.
pub(crate) fn work<T>(batch: &Batch<'_, T>) -> usize {
    batch.dy.len().saturating_mul(batch.dims.inputs)
}

/// The batch as outputs `range` alone see it: their columns of `dy`, which `columns` keeps.
pub(crate) fn outputs_of<'a, T: Element>(
    batch: &Batch<'a, T>,
    range: &Range<usize>,
    columns: &'a [T],
) -> Batch<'a, T> {
    let mut part = *batch;
    part.dims.outputs = range.len();
    part.dy = columns;
    part
}

/// Columns `range` of `dy`, side by side in memory: a copy, unless they are all.
pub(crate) fn columns<'a, T: Element>(batch: &Batch<'a, T>, range: &Range<usize>) -> Cow<'a, [T]> {
    let outputs = batch.dims.outputs;
    if range.len() == outputs {
        return Cow::Borrowed(batch.dy);
    }
    let rows = batch.dy.chunks_exact(outputs);
    let mut columns = Vec::with_capacity(rows.len() * range.len());
    rows.for_each(|row| columns.extend_from_slice(&row[range.clone()]));
    Cow::Owned(columns)
}

/// Examples `range` of a batch.
pub(crate) fn examples_of<'a, T: Element>(
    batch: &Batch<'a, T>,
    range: &Range<usize>,
) -> Batch<'a, T> {
    let dims = batch.dims;
    let part = |all: &'a [T], width: usize| {
        let width = width * dims.steps;
        &all[range.start * width..range.end * width]
    };
    let mut chunk = *batch;
    chunk.dims.batch = range.len();
    chunk.x = part(batch.x, dims.inputs);
    chunk.dy = part(batch.dy, dims.outputs);
    chunk.example_weights = batch.example_weights.map(|c| &c[range.clone()]);
    chunk
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every row is seen once, with its part of each output.
    #[test]
    fn all_rows_once() {
        for rows in 0..40 {
            for chunk in [1, 3, 12, 50] {
                let (mut a, mut b) = (vec![0.0f32; rows * 2], vec![0.0f32; rows * 3]);
                halve(0..rows, chunk, [&mut a, &mut b, &mut []], &|range, [a, b, c]| {
                    assert!(range.start % chunk == 0 && range.len() <= chunk);
                    assert!(a.len() == range.len() * 2 && b.len() == range.len() * 3);
                    assert!(c.is_empty());
                    for (k, a) in a.iter_mut().enumerate() {
                        *a += (range.start * 2 + k) as f32;
                    }
                    for (k, b) in b.iter_mut().enumerate() {
                        *b += (range.start * 3 + k) as f32;
                    }
                    Ok::<_, Error>(())
                })
                .unwrap();
                assert!(
                    a.iter()
                        .chain(&b)
                        .zip((0..rows * 2).chain(0..rows * 3))
                        .all(|(&v, k)| v == k as f32)
                );
            }
        }
    }
}
