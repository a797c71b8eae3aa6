//! Squared norms of the per-example gradients, without materialising them.
//!
//! ```text
//! T = 1:  ||G[b]||^2 = (sum_j (c[b] dy[b,j])^2) (sum_i x[b,i]^2)
//! else    ||G[b]||^2 = sum_{j,i} G[b,j,i]^2,  G as in per_example_grad
//! ```
//!
//! each sum in 16 lanes. Plan: for one step the norm of a product of vectors is the product of their
//! norms (Goodfellow, "Efficient per-example gradient computations", 2015), four examples at a time, since
//! the lanes of one are a chain of dependent additions. For long sequences a few rows of `G` at a time are made
//! on the stack ([`super::squares`]); for others, and where rows are long, in registers, a few times 16 columns at
//! a time. Unlike the Gram form `sum_{t,s} (dy_t dy_s) (x_t x_s)` this never cancels to a negative number.

use super::squares::{is_long, long_norms, square_rows};
use crate::dims::check;
use crate::simd::{REDUCTION_LANES, Simd};
use crate::{Batch, Dims, Element, Error, Isa, Start};

/// The squared norm of each example's gradient of the weight, `sum_{j,i} G[b,j,i]^2`.
///
/// * `batch`: `x [B, T, I]`, `dy [B, T, J]` per example, example weights `c [B]` or none.
/// * `from`: [`Start::Resume`] adds to what `norms` holds, so that layers add up; [`Start::Fresh`]
///   overwrites and never reads.
/// * `norms`: `[B]`.
///
/// On targets with vectors sequences of 32 steps and more take 24 KiB of stack for `f32`, 48 KiB for `f64`.
///
/// BackPACK's `batch_l2` and the first step of clipping (Abadi et al. 2016); see
/// [`bias_sq_norms`] for the bias' share.
///
/// # Errors
/// [`Error::Length`] and [`Error::Overflow`]; nothing is written then.
///
/// ```
/// use pergrad_core::{Batch, Dims, Isa, Start, sq_norms};
/// let (x, dy) = ([1.0f32, 2.0, 3.0, 4.0], [1.0f32, -2.0]);
/// let mut norms = [0.0; 2]; // B = 2, J = 1, I = 2
/// sq_norms(Isa::detect(), &Batch::new(Dims::new(2, 1, 2), &x, &dy), Start::Fresh, &mut norms)?;
/// assert_eq!(norms, [5.0, 100.0]);
/// # Ok::<(), pergrad_core::Error>(())
/// ```
pub fn sq_norms<T: Element>(
    isa: Isa,
    batch: &Batch<'_, T>,
    from: Start,
    norms: &mut [T],
) -> Result<(), Error> {
    batch.check()?;
    check("sq_norms", norms.len(), batch.dims.batch)?;
    // SAFETY: the lengths were checked.
    unsafe {
        if is_long(batch.dims) {
            long_norms(isa, batch, from, norms);
        } else {
            T::sq_norms(isa, batch, from, norms);
        }
    }
    Ok(())
}

/// The squared norm of each example's gradient of the bias, `sum_j (sum_t c[b] dy[b,t,j])^2`.
///
/// As [`sq_norms`]; `batch.x` is not looked at and may be empty.
///
/// # Errors
/// [`Error::Length`] and [`Error::Overflow`]; nothing is written then.
///
/// ```
/// use pergrad_core::{Batch, Dims, Isa, Start, bias_sq_norms};
/// let batch = Batch::new(Dims::new(2, 2, 0), &[], &[3.0f32, 4.0, 1.0, 0.0]);
/// let mut norms = [100.0, 0.0];
/// bias_sq_norms(Isa::detect(), &batch, Start::Resume, &mut norms)?; // added to the weight's
/// assert_eq!(norms, [125.0, 1.0]);
/// # Ok::<(), pergrad_core::Error>(())
/// ```
pub fn bias_sq_norms<T: Element>(
    isa: Isa,
    batch: &Batch<'_, T>,
    from: Start,
    norms: &mut [T],
) -> Result<(), Error> {
    batch.check_dy()?;
    check("sq_norms", norms.len(), batch.dims.batch)?;
    // SAFETY: the lengths were checked.
    unsafe { T::bias_sq_norms(isa, batch, from, norms) }
    Ok(())
}

/// Groups of 16 columns of a sequence that are made at once: independent chains over the steps.
const WIDE: usize = 4;

/// Up to 16 elements of a sum over steps, `sum_t c dy[t] x[t, k ..]` or (without `dy`) `sum_t c x[t, k ..]`.
struct Columns<T> {
    x: *const T,
    x_stride: usize,
    dy: Option<*const T>,
    dy_stride: usize,
    weight: Option<T>,
    steps: usize,
}

impl<T: Element> Columns<T> {
    /// Squares columns `k .. k + min(16, rest)` into the lanes.
    ///
    /// # Safety
    /// `rest` columns from `k` are inside.
    #[inline(always)]
    unsafe fn square<S, const G: usize>(&self, s: S, k: usize, rest: usize, lanes: &mut [S::V; G])
    where
        S: Simd<T>,
    {
        for (v, lane) in lanes.iter_mut().enumerate() {
            let at = v * S::LANES;
            if at >= rest {
                break;
            }
            let n = S::LANES.min(rest - at);
            let mut g = s.splat(T::ZERO);
            for t in 0..self.steps {
                // SAFETY: n columns from k + at are inside row t; so is element t of dy.
                unsafe {
                    let x = s.load_first(self.x.add(t * self.x_stride + k + at), n, T::ZERO);
                    g = match (self.dy, self.weight) {
                        (Some(dy), weight) => {
                            let dy = *dy.add(t * self.dy_stride);
                            let dy = s.splat(weight.map_or(dy, |c| c * dy));
                            if t == 0 { s.mul(dy, x) } else { s.fma(dy, x, g) }
                        }
                        (None, weight) => {
                            let x = weight.map_or(x, |c| s.mul(s.splat(c), x));
                            if t == 0 { x } else { s.add(g, x) }
                        }
                    };
                }
            }
            if n == S::LANES {
                *lane = s.fma(g, g, *lane);
            } else {
                // Lanes without an element must stay as they are, a -0 included: multiply -0 and 0.
                let mut whole = [T::ZERO; REDUCTION_LANES];
                let p = whole.as_mut_ptr();
                // SAFETY: LANES <= 16 elements of an array of 16.
                unsafe {
                    s.store(p, g);
                    let (a, b) = (s.load_first(p, n, T::ZERO), s.load_first(p, n, T::NEG_ZERO));
                    *lane = s.fma(a, b, *lane);
                }
            }
        }
    }

    /// The sums over steps of [`WIDE`] times 16 columns from `k` on.
    ///
    /// # Safety
    /// They are inside.
    #[inline(always)]
    unsafe fn whole<S, const G: usize>(&self, s: S, k: usize) -> [[S::V; G]; WIDE]
    where
        S: Simd<T>,
    {
        let [mut g] = s.zeros::<1, WIDE, G>();
        for t in 0..self.steps {
            // SAFETY: the columns are inside row t; so is element t of dy.
            unsafe {
                let x = self.x.add(t * self.x_stride + k);
                let factor = match (self.dy, self.weight) {
                    (Some(dy), None) => Some(*dy.add(t * self.dy_stride)),
                    (Some(dy), Some(c)) => Some(c * *dy.add(t * self.dy_stride)),
                    (None, weight) => weight,
                };
                for w in 0..WIDE {
                    for v in 0..G {
                        let x = s.load(x.add((w * G + v) * S::LANES));
                        g[w][v] = match (self.dy, factor) {
                            (Some(_), Some(dy)) if t > 0 => s.fma(s.splat(dy), x, g[w][v]),
                            (_, Some(factor)) if t == 0 => s.mul(s.splat(factor), x),
                            (_, Some(factor)) => s.add(g[w][v], s.mul(s.splat(factor), x)),
                            (_, None) if t == 0 => x,
                            (_, None) => s.add(g[w][v], x),
                        };
                    }
                }
            }
        }
        g
    }

    /// Squares all columns into the lanes.
    ///
    /// # Safety
    /// `columns` columns are inside.
    #[inline(always)]
    unsafe fn square_all<S, const G: usize>(&self, s: S, columns: usize, lanes: &mut [S::V; G])
    where
        S: Simd<T>,
    {
        let mut k = 0;
        while S::LANES > 1 && self.steps > 1 && k + WIDE * REDUCTION_LANES <= columns {
            // SAFETY: so many columns from k are inside.
            let wide = unsafe { self.whole::<S, G>(s, k) };
            for g in wide {
                for v in 0..G {
                    lanes[v] = s.fma(g[v], g[v], lanes[v]);
                }
            }
            k += WIDE * REDUCTION_LANES;
        }
        if let (Some(loops), 1, None, None) = (S::LOOPS, self.steps, self.dy, self.weight) {
            let blocks = columns / REDUCTION_LANES;
            // SAFETY: so many blocks of columns are inside; G vectors are 16 lanes.
            unsafe { (loops.dot)(self.x, self.x, blocks, lanes.as_mut_ptr().cast()) }
            k = blocks * REDUCTION_LANES;
        }
        while k < columns {
            // SAFETY: the rest of the columns is inside.
            unsafe { self.square(s, k, columns - k, lanes) }
            k += REDUCTION_LANES;
        }
    }
}

/// Examples at a time.
const FOUR: usize = 4;

/// The norms of all groups of `N` examples of one step and without weights, from example `done` on; tells which is the
/// first after them.
///
/// # Safety
/// Lengths were checked; `G * LANES` is 16.
#[cfg_attr(optimized, inline(always))]
unsafe fn groups<T: Element, S: Simd<T>, const N: usize, const G: usize>(
    s: S,
    batch: &Batch<'_, T>,
    from: Start,
    mut done: usize,
    norms: &mut [T],
) -> usize {
    let Dims { outputs, inputs, .. } = batch.dims;
    for norms in norms.chunks_exact_mut(N) {
        let [zeros] = s.zeros::<1, N, G>();
        // SAFETY: examples done .. done + N are inside x and dy.
        let (dy, x) = unsafe {
            let (dy, x) =
                (batch.dy.as_ptr().add(done * outputs), batch.x.as_ptr().add(done * inputs));
            (
                square_rows::<T, S, N, G>(s, dy, outputs, outputs, zeros),
                square_rows::<T, S, N, G>(s, x, inputs, inputs, zeros),
            )
        };
        let ([dy], [x]) = (s.sum_lanes(&[dy]), s.sum_lanes(&[x]));
        for ((norm, dy), x) in norms.iter_mut().zip(dy).zip(x) {
            *norm = if from == Start::Resume { *norm } else { T::ZERO } + dy * x;
        }
        done += N;
    }
    done
}

/// `c[b]`, if there are example weights.
#[inline(always)]
fn example_weight<T: Element>(batch: &Batch<'_, T>, b: usize) -> Option<T> {
    match batch.example_weights {
        Some(c) => c.get(b).copied(),
        None => None,
    }
}

/// The loops of [`sq_norms`] for `G` vectors of lanes.
///
/// # Safety
/// Lengths were checked; `G * LANES` is 16.
#[cfg_attr(optimized, inline(always))]
unsafe fn weight_norms<T: Element, S: Simd<T>, const G: usize>(
    s: S,
    batch: &Batch<'_, T>,
    from: Start,
    norms: &mut [T],
) {
    let dims = batch.dims;
    if S::LANES > 1 && dims.steps == 1 && batch.example_weights.is_none() {
        let (fours, rest) = norms.split_at_mut(norms.len() / FOUR * FOUR);
        // SAFETY: by contract.
        unsafe {
            let done = groups::<T, S, FOUR, G>(s, batch, from, 0, fours);
            groups::<T, S, 1, G>(s, batch, from, done, rest);
        }
        return;
    }
    for (b, norm) in norms.iter_mut().enumerate() {
        let weight = example_weight(batch, b);
        let x = batch.x.as_ptr().wrapping_add(b * dims.steps * dims.inputs);
        let dy = batch.dy.as_ptr().wrapping_add(b * dims.steps * dims.outputs);
        let [[mut lanes]] = s.zeros::<1, 1, G>();
        // SAFETY: example b is inside x and dy.
        let square = unsafe {
            if dims.steps == 1 {
                let mut lanes_dy = lanes;
                let row = |x, weight| Columns {
                    x,
                    x_stride: 0,
                    dy: None,
                    dy_stride: 0,
                    weight,
                    steps: 1,
                };
                row(dy, weight).square_all(s, dims.outputs, &mut lanes_dy);
                row(x, None).square_all(s, dims.inputs, &mut lanes);
                let [[dy, x]] = s.sum_lanes(&[[lanes_dy, lanes]]);
                dy * x
            } else {
                for j in 0..dims.used_outputs() {
                    let columns = Columns {
                        x,
                        x_stride: dims.inputs,
                        dy: Some(dy.wrapping_add(j)),
                        dy_stride: dims.outputs,
                        weight,
                        steps: dims.steps,
                    };
                    columns.square_all(s, dims.inputs, &mut lanes);
                }
                s.sum_lanes(&[[lanes]])[0][0]
            }
        };
        *norm = if from == Start::Resume { *norm } else { T::ZERO } + square;
    }
}

/// The loops of [`bias_sq_norms`] for `G` vectors of lanes.
///
/// # Safety
/// Lengths were checked; `G * LANES` is 16.
#[inline(always)]
unsafe fn bias_norms<T: Element, S: Simd<T>, const G: usize>(
    s: S,
    batch: &Batch<'_, T>,
    from: Start,
    norms: &mut [T],
) {
    let dims = batch.dims;
    for (b, norm) in norms.iter_mut().enumerate() {
        let columns = Columns {
            x: batch.dy.as_ptr().wrapping_add(b * dims.steps * dims.outputs),
            x_stride: dims.outputs,
            dy: None,
            dy_stride: 0,
            weight: example_weight(batch, b),
            steps: dims.steps,
        };
        let [[mut lanes]] = s.zeros::<1, 1, G>();
        // SAFETY: example b is inside dy.
        unsafe { columns.square_all(s, dims.used_outputs(), &mut lanes) }
        let square = s.sum_lanes(&[[lanes]])[0][0];
        *norm = if from == Start::Resume { *norm } else { T::ZERO } + square;
    }
}

/// The loops of [`sq_norms`].
///
/// # Safety
/// Its lengths were checked.
#[inline(always)]
pub(crate) unsafe fn run_sq_norms<T: Element, S: Simd<T>>(
    s: S,
    batch: &Batch<'_, T>,
    from: Start,
    norms: &mut [T],
) {
    // SAFETY: lengths were checked, and each arm has the number of vectors it names.
    unsafe {
        match REDUCTION_LANES / S::LANES {
            1 => weight_norms::<T, S, 1>(s, batch, from, norms),
            2 => weight_norms::<T, S, 2>(s, batch, from, norms),
            4 => weight_norms::<T, S, 4>(s, batch, from, norms),
            _ => weight_norms::<T, S, REDUCTION_LANES>(s, batch, from, norms),
        }
    }
}

/// The loops of [`bias_sq_norms`].
///
/// # Safety
/// Its lengths were checked.
#[inline(always)]
pub(crate) unsafe fn run_bias_sq_norms<T: Element, S: Simd<T>>(
    s: S,
    batch: &Batch<'_, T>,
    from: Start,
    norms: &mut [T],
) {
    // SAFETY: lengths were checked, and each arm has the number of vectors it names.
    unsafe {
        match REDUCTION_LANES / S::LANES {
            1 => bias_norms::<T, S, 1>(s, batch, from, norms),
            2 => bias_norms::<T, S, 2>(s, batch, from, norms),
            4 => bias_norms::<T, S, 4>(s, batch, from, norms),
            _ => bias_norms::<T, S, REDUCTION_LANES>(s, batch, from, norms),
        }
    }
}
