//! Per-example gradients, materialised: `G[b,j,i] = sum_t c[b] dy[b,t,j] x[b,t,i]`.
//!
//! Plan, for one step: one row `G[b,j,:]` at a time, contiguous in memory; `x[b,:]` stays in cache while `j`
//! goes by. Large outputs are streamed past the caches. For sequences `G[b]` is the matrix product of
//! [`super::tile`], each sum starting from `-0`, from copies on the stack where the rows collide in the caches; of larger
//! outputs whole cache lines are streamed.

use core::ptr::slice_from_raw_parts_mut;

use super::moments::{GradKernel, source};
use super::plan::{self, LINE};
use super::row::ahead_from;
use super::stack::{COPY_BYTES, with_room};
use super::sweep::sweep;
use super::tile::{Ends, Out};
use crate::dims::check;
use crate::simd::{REDUCTION_LANES, Simd};
use crate::{Batch, Dims, Element, Error, Isa};

/// Bytes of output from which stores pass the caches by: more than most third-level caches. Streaming
/// loses badly in cache.
const STREAM_BYTES: usize = 32 << 20;

/// The per-example gradients: `G[b,j,i]` is the rounded product `c[b] dy[b,0,j] x[b,0,i]`, then
/// `fma` over the further steps.
///
/// * `batch`: `x [B, T, I]`, `dy [B, T, J]` per example, example weights `c [B]` or none.
/// * `out`: *out* `[B, J, I]`, never read.
///
/// Sequences of 16 steps and more, to 256 outputs and more, take up to 68 KiB of stack for copies where there are 16 vector
/// registers (AVX2).
///
/// To reduce them at once, use [`moments`](crate::moments()), which does not store them and gives the
/// same bits.
///
/// # Errors
/// [`Error::Length`] and [`Error::Overflow`]; nothing is written then.
///
/// ```
/// use pergrad_core::{Batch, Dims, Isa, per_example_grad};
/// let (x, dy) = ([1.0f32, 2.0, 3.0, 4.0], [1.0f32, -1.0]);
/// let mut g = [0.0; 4]; // B = 2, J = 1, I = 2
/// per_example_grad(Isa::detect(), &Batch::new(Dims::new(2, 1, 2), &x, &dy), &mut g)?;
/// assert_eq!(g, [1.0, 2.0, -3.0, -4.0]);
/// # Ok::<(), pergrad_core::Error>(())
/// ```
pub fn per_example_grad<T: Element>(
    isa: Isa,
    batch: &Batch<'_, T>,
    out: &mut [T],
) -> Result<(), Error> {
    batch.check()?;
    check("per_example_grad", out.len(), batch.dims.per_example_grad_len()?)?;
    if batch.dims.steps > 1 {
        products(isa, batch, out);
    } else {
        // SAFETY: the lengths were checked.
        unsafe { T::per_example_grad(isa, batch, out) }
    }
    Ok(())
}

/// [`per_example_grad`] of sequences, lengths checked.
fn products<T: Element>(isa: Isa, batch: &Batch<'_, T>, out: &mut [T]) {
    let Dims { outputs, inputs, .. } = batch.dims;
    let mut p = out.as_mut_ptr();
    let lines = p.addr().is_multiple_of(LINE) && (inputs * size_of::<T>()).is_multiple_of(LINE);
    let past = lines && size_of_val(out) >= 2 * STREAM_BYTES;
    let ends = Ends { negative: true, past, ..Ends::FRESH };
    let ahead_from = ahead_from::<T>(isa, size_of_val(out), batch.dims.steps, 1);
    let copies = plan::stack_pays::<T>(isa, batch.dims);
    for b in 0..if out.is_empty() { 0 } else { batch.dims.batch } {
        let mut kernel = GradKernel::new(ends, Out { p, stride: inputs }, ahead_from);
        // SAFETY: example b is inside x, dy, the weights and out: the lengths were checked.
        unsafe {
            let src = source(batch).examples(b, 1);
            if copies {
                with_room::<T, COPY_BYTES>(|room| {
                    let room = slice_from_raw_parts_mut(room, COPY_BYTES / size_of::<T>());
                    sweep(isa, src, outputs, inputs, room, &mut kernel);
                });
            } else {
                sweep(isa, src, outputs, inputs, &mut [], &mut kernel);
            }
            p = p.add(outputs * inputs);
        }
    }
}

/// One row of one example: `dy` times `x`, or +0 where there is no step.
struct Row<T> {
    x: *const T,
    dy: T,
    empty: bool,
}

impl<T: Element> Row<T> {
    /// Row `(b, j)`.
    ///
    /// # Safety
    /// It is inside, and the batch's lengths fit.
    #[inline(always)]
    unsafe fn of(batch: &Batch<'_, T>, b: usize, j: usize) -> Self {
        let Dims { steps, outputs, inputs, .. } = batch.dims;
        let empty = steps == 0;
        // SAFETY: by contract; without steps there is no dy.
        unsafe {
            let mut dy = if empty { T::ZERO } else { *batch.dy.get_unchecked(b * outputs + j) };
            if let Some(c) = batch.example_weights {
                dy = *c.get_unchecked(b) * dy;
            }
            Row { x: batch.x.as_ptr().wrapping_add(b * inputs), dy, empty }
        }
    }

    /// Columns `i .. i + n` of the row.
    ///
    /// # Safety
    /// They are inside; `n <= LANES`.
    #[inline(always)]
    unsafe fn vector<S: Simd<T>, const TAIL: bool>(&self, s: S, i: usize, n: usize) -> S::V {
        if self.empty {
            return s.splat(T::ZERO);
        }
        // SAFETY: by contract.
        let x = unsafe {
            let x = self.x.add(i);
            if TAIL { s.load_first(x, n, T::ZERO) } else { s.load(x) }
        };
        s.mul(s.splat(self.dy), x)
    }

    /// Writes the row to `out`.
    ///
    /// # Safety
    /// It and `out` have that many columns.
    #[inline(always)]
    unsafe fn store<S: Simd<T>>(&self, s: S, out: *mut T, columns: usize) {
        let mut i = 0;
        // SAFETY: i + LANES <= columns, then the rest.
        unsafe {
            while i + S::LANES <= columns {
                s.store(out.add(i), self.vector::<S, false>(s, i, S::LANES));
                i += S::LANES;
            }
            if i < columns {
                s.store_first(out.add(i), columns - i, self.vector::<S, true>(s, i, columns - i));
            }
        }
    }
}

/// An output written past the caches, in whole aligned vectors whatever the rows' lengths: a cache line that
/// is written in part is read first. What does not fill a vector waits for the next row.
struct Stream<T> {
    /// The vector to be written next, of which elements `from .. to` wait. (The output begins at `from`.)
    p: *mut T,
    waiting: [T; REDUCTION_LANES],
    from: usize,
    to: usize,
}

impl<T: Element> Stream<T> {
    fn new(p: *mut T, lanes: usize) -> Self {
        let from = p.addr() / size_of::<T>() % lanes;
        Stream { p: p.wrapping_sub(from), waiting: [T::ZERO; REDUCTION_LANES], from, to: from }
    }

    /// Writes the next row.
    ///
    /// # Safety
    /// It and `columns` more elements of the output are inside.
    #[inline(always)]
    unsafe fn row<S: Simd<T>>(&mut self, s: S, row: &Row<T>, columns: usize) {
        // SAFETY: i <= columns; whole vectors begin where the output does or later, aligned.
        unsafe {
            let mut i = 0;
            if self.to > 0 {
                i = columns.min(S::LANES - self.to);
                self.wait(s, row.vector::<S, true>(s, 0, i), i);
            }
            while i + S::LANES <= columns {
                s.stream(self.p, row.vector::<S, false>(s, i, S::LANES));
                self.p = self.p.add(S::LANES);
                i += S::LANES;
            }
            if i < columns {
                self.wait(s, row.vector::<S, true>(s, i, columns - i), columns - i);
            }
        }
    }

    /// Takes `n` elements, which fill a vector at most, and writes it when it is full.
    ///
    /// # Safety
    /// They are the next of the output; `to + n <= LANES`.
    #[inline(always)]
    unsafe fn wait<S: Simd<T>>(&mut self, s: S, v: S::V, n: usize) {
        // SAFETY: by contract; LANES is at most the length of `waiting`.
        unsafe {
            s.store_first(self.waiting.as_mut_ptr().add(self.to), n, v);
            self.to += n;
            if self.to == S::LANES {
                if self.from == 0 {
                    s.stream(self.p, s.load(self.waiting.as_ptr()));
                } else {
                    self.finish(s);
                }
                self.p = self.p.wrapping_add(S::LANES);
                (self.from, self.to) = (0, 0);
            }
        }
    }

    /// Writes what waits.
    ///
    /// # Safety
    /// Elements `from .. to` at `p` are of the output.
    #[inline(always)]
    unsafe fn finish<S: Simd<T>>(&self, s: S) {
        let n = self.to - self.from;
        // SAFETY: by contract.
        unsafe {
            let v = s.load_first(self.waiting.as_ptr().add(self.from), n, T::ZERO);
            s.store_first(self.p.wrapping_add(self.from), n, v);
        }
    }
}

/// The loops of [`per_example_grad`] for one step, or none.
///
/// # Safety
/// Its lengths were checked.
#[inline(always)]
pub(crate) unsafe fn run_per_example_grad<T: Element, S: Simd<T>>(
    s: S,
    batch: &Batch<'_, T>,
    out: &mut [T],
) {
    let Dims { outputs, inputs, .. } = batch.dims;
    if out.is_empty() {
        return;
    }
    let mut p = out.as_mut_ptr();
    // On 32-bit x86 an `f64` may stand at a multiple of 4, which no alignment to vectors mends.
    let whole = p.addr().is_multiple_of(size_of::<T>());
    // SAFETY: the rows are inside: the lengths of x, dy, weights and out were checked.
    unsafe {
        if whole && size_of_val(out) >= STREAM_BYTES {
            let mut stream = Stream::new(p, S::LANES);
            for b in 0..batch.dims.batch {
                for j in 0..outputs {
                    stream.row(s, &Row::of(batch, b, j), inputs);
                }
            }
            stream.finish(s);
            s.fence();
        } else {
            for b in 0..batch.dims.batch {
                for j in 0..outputs {
                    Row::of(batch, b, j).store(s, p, inputs);
                    p = p.add(inputs);
                }
            }
        }
    }
}
