//! The input gradient of a linear layer.
//!
//! ```text
//! dx[b,t,i] += sum_j W[j,i] dy[b,t,j]     a fold over j
//! ```
//!
//! Plan: the matrix product of [`super::tile`], with `W` in the place of `x` and `j` in the place of `b`, a few hundred
//! rows at a time where `W` is copied or comes from afar.

use core::mem::MaybeUninit;
use core::ptr::slice_from_raw_parts_mut;

use super::moments::GradKernel;
use super::plan::{self, packing_pays};
use super::row::ahead_from;
use super::sweep::sweep;
use super::tile::{Ends, Out, Source};
use crate::dims::check;
use crate::{Dims, Element, Error, Isa, Start};

/// The gradient of the layer's input: `dx[b,t,i] = fold_j fma(dy[b,t,j], W[j,i], dx)`, `j` ascending.
///
/// * `dy [B, T, J]`, `weight [J, I]`.
/// * `dx`: `[B, T, I]`; added to with [`Start::Resume`], overwritten and never read with
///   [`Start::Fresh`].
///
/// On targets with vectors it takes 36 KiB of stack for `f32`, 68 KiB for `f64`, to copy parts of `weight`, for 6
/// rows of `dy` and more.
///
/// # Errors
/// [`Error::Length`] and [`Error::Overflow`]; nothing is written then.
///
/// ```
/// use pergrad_core::{Dims, Isa, Start, input_grad};
/// let (dy, w) = ([1.0f32, -1.0], [3.0, 4.0, 5.0, 6.5]);
/// let mut dx = [0.0; 2]; // B = 1, J = 2, I = 2
/// input_grad(Isa::detect(), Dims::new(1, 2, 2), &dy, &w, Start::Fresh, &mut dx)?;
/// assert_eq!(dx, [-2.0, -2.5]);
/// # Ok::<(), pergrad_core::Error>(())
/// ```
pub fn input_grad<T: Element>(
    isa: Isa,
    dims: Dims,
    dy: &[T],
    weight: &[T],
    from: Start,
    dx: &mut [T],
) -> Result<(), Error> {
    check_input_grad(dims, dy, weight, dx)?;
    run_input_grad(isa, dims, dy, weight, from, dx);
    Ok(())
}

/// The checks of [`input_grad`].
pub(crate) fn check_input_grad<T>(
    dims: Dims,
    dy: &[T],
    weight: &[T],
    dx: &[T],
) -> Result<(), Error> {
    check("dy", dy.len(), dims.y_len()?)?;
    check("weight", weight.len(), dims.weight_len()?)?;
    check("dx", dx.len(), dims.x_len().map_err(|_| Error::Overflow { arg: "dx" })?)
}

/// [`input_grad`], lengths checked.
fn run_input_grad<T: Element>(
    isa: Isa,
    dims: Dims,
    dy: &[T],
    weight: &[T],
    from: Start,
    dx: &mut [T],
) {
    let Dims { outputs, inputs, .. } = dims;
    // `(b, t)` are the rows of this product, and the fold goes over `j`.
    let mut src = Source {
        batch: outputs,
        steps: 1,
        x: weight.as_ptr(),
        x_stride: inputs,
        panel_stride: 0,
        dy: dy.as_ptr(),
        dy_stride: 1,
        dy_row: outputs,
        weights: core::ptr::null(),
        late: false,
    };
    let mut out = Out { p: dx.as_mut_ptr(), stride: inputs };
    let ends = Ends { start: from, ..Ends::FRESH };
    let ahead_from = ahead_from::<T>(isa, size_of_val(dx), outputs, 1);
    let Some(mut left) = dx.len().checked_div(inputs) else { return };
    // SAFETY: it has no conditions.
    let packs = || packing_pays(unsafe { T::shape(isa) }, &src, left);
    let most = if left > PART && packs() { even_parts(left) } else { left };
    while left > 0 {
        let rows = most.min(left);
        let mut kernel = GradKernel::new(ends, out, ahead_from);
        // SAFETY: the lengths of dy, weight and dx were checked against the extents.
        unsafe {
            if plan::may_pack(inputs.saturating_mul(size_of::<T>()), rows) {
                with_panel(isa, src, rows, inputs, &mut kernel);
            } else {
                sweep(isa, src, rows, inputs, &mut [], &mut kernel);
            }
        }
        (src, out.p) = (src.row(rows), out.p.wrapping_add(rows * inputs));
        left -= rows;
    }
}

/// The most rows of `dy` for which `W` is gone through where it is copied: they stay in the second-level cache while its
/// panels go by.
const PART: usize = 256;

/// About as many rows each time.
fn even_parts(rows: usize) -> usize {
    plan::evenly(rows, PART).next_multiple_of(4)
}

/// The sweep with room to pack on the stack. (Not inlined: small products need not touch so much of it.)
///
/// # Safety
/// As [`sweep()`].
#[inline(never)]
unsafe fn with_panel<T: Element>(
    isa: Isa,
    src: Source<T>,
    rows: usize,
    columns: usize,
    kernel: &mut GradKernel<T>,
) {
    let mut panel = [const { MaybeUninit::<T>::uninit() }; PANEL];
    let panel = slice_from_raw_parts_mut(panel.as_mut_ptr().cast::<T>(), PANEL);
    // SAFETY: by contract.
    unsafe { sweep(isa, src, rows, columns, panel, kernel) }
}

/// Elements on the stack for a panel of `W`, packed for one block of the fold: there is no scratch of the
/// caller's here, and rows of `W` that are a page apart are slow to read again and again.
const PANEL: usize = plan::one_panel();
