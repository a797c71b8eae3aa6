//! Per-example gradients, materialised: `G[b,j,i] = sum_t c[b] dy[b,t,j] x[b,t,i]`.
//!
//! Plan: one row `G[b,j,:]` at a time, contiguous in memory; `x[b,t,:]` stays in cache while `j` goes
//! by. Large outputs are streamed past the caches.

use crate::dims::check;
use crate::simd::Simd;
use crate::{Batch, Element, Error, Isa};

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
    // SAFETY: the lengths were checked.
    unsafe { T::per_example_grad(isa, batch, out) }
    Ok(())
}

/// One row of one example.
struct Row<T> {
    x: *const T,
    dy: *const T,
    weight: Option<T>,
    steps: usize,
    inputs: usize,
    outputs: usize,
}

impl<T: Element> Row<T> {
    /// Columns `i .. i + n` of the row.
    ///
    /// # Safety
    /// They are inside; `n <= LANES`.
    #[inline(always)]
    unsafe fn vector<S: Simd<T>, const TAIL: bool>(&self, s: S, i: usize, n: usize) -> S::V {
        let mut g = s.splat(T::ZERO);
        for t in 0..self.steps {
            // SAFETY: (t, i .. i + n) is inside x and (t, j) inside dy.
            let (x, mut dy) = unsafe {
                let x = self.x.add(t * self.inputs + i);
                let x = if TAIL { s.load_first(x, n, T::ZERO) } else { s.load(x) };
                (x, *self.dy.add(t * self.outputs))
            };
            if let Some(c) = self.weight {
                dy = c * dy;
            }
            let dy = s.splat(dy);
            g = if t == 0 { s.mul(dy, x) } else { s.fma(dy, x, g) };
        }
        g
    }
}

/// The loops of [`per_example_grad`].
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
                let row = Row {
                    x: batch.x.as_ptr().add(b * steps * inputs),
                    dy: batch.dy.as_ptr().add(b * steps * outputs + j),
                    weight: batch.example_weights.map(|c| *c.get_unchecked(b)),
                    steps,
                    inputs,
                    outputs,
                };
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
