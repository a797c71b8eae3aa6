//! Per-example gradients, materialised: `G[b,j,i] = sum_t c[b] dy[b,t,j] x[b,t,i]`.
//!
//! Plan, for one step: one row `G[b,j,:]` at a time, contiguous in memory; `x[b,:]` stays in cache while `j`
//! goes by. Large outputs are streamed past the caches. For sequences `G[b]` is the matrix product of
//! [`super::tile`], each sum starting from `-0`.

use super::moments::{GradKernel, source};
use super::sweep::sweep;
use super::tile::{Ends, Out};
use crate::dims::check;
use crate::simd::Simd;
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
    let ends = Ends { zero: T::NEG_ZERO, ..Ends::FRESH };
    let mut p = out.as_mut_ptr();
    for b in 0..if out.is_empty() { 0 } else { batch.dims.batch } {
        let mut kernel = GradKernel { whole: ends, ends, out: Out { p, stride: inputs } };
        // SAFETY: example b is inside x, dy, the weights and out: the lengths were checked.
        unsafe {
            let src = source(batch).examples(b, 1);
            sweep(isa, src, outputs, inputs, &mut [], &mut kernel);
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
    let dims = batch.dims;
    let (steps, outputs, inputs) = (dims.steps, dims.outputs, dims.inputs);
    if out.is_empty() {
        return;
    }
    // On 32-bit x86 an `f64` may stand at a multiple of 4, which no alignment to vectors mends.
    let whole = out.as_ptr().addr().is_multiple_of(size_of::<T>());
    let streamed = whole && size_of_val(out) >= STREAM_BYTES;
    let vector_bytes = S::LANES * size_of::<T>();
    let mut p = out.as_mut_ptr();
    for b in 0..dims.batch {
        for j in 0..outputs {
            // SAFETY: (b, j) is inside: the lengths of x, dy, weights and out were checked.
            unsafe {
                let empty = steps == 0;
                let mut dy = if empty { T::ZERO } else { *batch.dy.get_unchecked(b * outputs + j) };
                if let Some(c) = batch.example_weights {
                    dy = *c.get_unchecked(b) * dy;
                }
                let row = Row { x: batch.x.as_ptr().wrapping_add(b * inputs), dy, empty };
                let mut i = 0;
                if streamed {
                    let off = p.addr() % vector_bytes / size_of::<T>();
                    i = if off == 0 { 0 } else { inputs.min(S::LANES - off) };
                    s.store_first(p, i, row.vector::<S, true>(s, 0, i));
                    while i + S::LANES <= inputs {
                        s.stream(p.add(i), row.vector::<S, false>(s, i, S::LANES));
                        i += S::LANES;
                    }
                } else {
                    while i + S::LANES <= inputs {
                        s.store(p.add(i), row.vector::<S, false>(s, i, S::LANES));
                        i += S::LANES;
                    }
                }
                if i < inputs {
                    s.store_first(p.add(i), inputs - i, row.vector::<S, true>(s, i, inputs - i));
                }
                p = p.add(inputs);
            }
        }
    }
    if streamed {
        s.fence();
    }
}
