//! Per-example gradients, their sums, and the sums of their squares.

use core::mem::MaybeUninit;

use pergrad_core::{bias_grad, bias_moments, moments, reduce};

use crate::{pergrad_batch, pergrad_dims, pergrad_isa, pergrad_start};

/// Elements of scratch memory with which pergrad_grad, pergrad_moments and the layer steps on these
/// extents run at full speed; 0 where there is nothing to gain. Less works, and so does none.
#[unsafe(no_mangle)]
pub extern "C" fn pergrad_scratch_len(dims: pergrad_dims) -> usize {
    pergrad_core::scratch_len(dims.to_core())
}

both! {
    ($T)
    /// The per-example gradients: G[b,j,i] is the rounded product c[b] dy[b,0,j] x[b,0,i], then fma over
    /// the further steps (c only with example weights).
    ///
    /// per_example_grad: out [B, J, I], never read. pergrad_moments_f32() reduces them without storing
    /// them, to the same bits.
    fn pergrad_per_example_grad_f32, pergrad_per_example_grad_f64(
        isa: MaybeUninit<pergrad_isa>,
        batch: *const pergrad_batch<$T>,
        per_example_grad: *mut $T,
        per_example_grad_len: usize,
    ) |args| {
        let batch = args.batch(batch)?;
        let out = args.output("per_example_grad", per_example_grad, per_example_grad_len)?;
        pergrad_core::per_example_grad(args.isa(isa)?, &batch, out)?;
    }
}

both! {
    ($T)
    /// Sum and sum of squares over rows [B, n] of any origin, in one pass:
    /// sum = scale * fold_b (sum + rows[b]), sum_sq = scale * fold_b fma(rows[b], rows[b], sum_sq).
    ///
    /// batch is the number of rows; sum, sum_sq: out [n], where sum_len is n; never read with
    /// PERGRAD_START_FRESH.
    fn pergrad_reduce_f32, pergrad_reduce_f64(
        isa: MaybeUninit<pergrad_isa>,
        rows: *const $T,
        rows_len: usize,
        batch: usize,
        start: MaybeUninit<pergrad_start>,
        scale: f64,
        sum: *mut $T,
        sum_len: usize,
        sum_sq: *mut $T,
        sum_sq_len: usize,
    ) |args| {
        let rows = args.input("rows", rows, rows_len)?;
        let sum = args.output("sum", sum, sum_len)?;
        let sum_sq = args.output("sum_sq", sum_sq, sum_sq_len)?;
        reduce(args.isa(isa)?, rows, batch, args.fold(start, scale)?, sum, sum_sq)?;
    }
}

both! {
    ($T)
    /// The averaged gradient alone, the ordinary matrix product:
    /// grad[j,i] = scale * fold over (b, t) of fma(c[b] dy[b,t,j], x[b,t,i], grad).
    ///
    /// grad: out [J, I], never read with PERGRAD_START_FRESH. Its last bits differ from the grad of
    /// pergrad_moments_f32(), which rounds the product and the sum.
    fn pergrad_grad_f32, pergrad_grad_f64(
        isa: MaybeUninit<pergrad_isa>,
        batch: *const pergrad_batch<$T>,
        start: MaybeUninit<pergrad_start>,
        scale: f64,
        grad: *mut $T,
        grad_len: usize,
        scratch: *mut $T,
        scratch_len: usize,
    ) |args| {
        let batch = args.batch(batch)?;
        let out = args.output("grad", grad, grad_len)?;
        let scratch = args.output("scratch", scratch, scratch_len)?;
        pergrad_core::grad(args.isa(isa)?, &batch, args.fold(start, scale)?, out, scratch)?;
    }
}

both! {
    ($T)
    /// The averaged gradient and the mean of the squared per-example gradients, in one sweep over dy and
    /// x: with G as in pergrad_per_example_grad_f32(), grad = scale * fold_b (grad + G) and
    /// grad_sq = scale * fold_b fma(G, G, grad_sq).
    ///
    /// grad, grad_sq: out [J, I], never read with PERGRAD_START_FRESH.
    fn pergrad_moments_f32, pergrad_moments_f64(
        isa: MaybeUninit<pergrad_isa>,
        batch: *const pergrad_batch<$T>,
        start: MaybeUninit<pergrad_start>,
        scale: f64,
        grad: *mut $T,
        grad_len: usize,
        grad_sq: *mut $T,
        grad_sq_len: usize,
        scratch: *mut $T,
        scratch_len: usize,
    ) |args| {
        let batch = args.batch(batch)?;
        let grad = args.output("grad", grad, grad_len)?;
        let grad_sq = args.output("grad_sq", grad_sq, grad_sq_len)?;
        let scratch = args.output("scratch", scratch, scratch_len)?;
        moments(args.isa(isa)?, &batch, args.fold(start, scale)?, grad, grad_sq, scratch)?;
    }
}

both! {
    ($T)
    /// The averaged gradient of the bias alone:
    /// grad[j] = scale * fold over (b, t) of (grad + c[b] dy[b,t,j]).
    ///
    /// x of the batch is not looked at; grad: out [J], never read with PERGRAD_START_FRESH.
    fn pergrad_bias_grad_f32, pergrad_bias_grad_f64(
        isa: MaybeUninit<pergrad_isa>,
        batch: *const pergrad_batch<$T>,
        start: MaybeUninit<pergrad_start>,
        scale: f64,
        grad: *mut $T,
        grad_len: usize,
    ) |args| {
        let batch = args.bias_batch(batch)?;
        let grad = args.output("grad", grad, grad_len)?;
        bias_grad(args.isa(isa)?, &batch, args.fold(start, scale)?, grad)?;
    }
}

both! {
    ($T)
    /// The moments of the bias: as pergrad_moments_f32(), with G[b,j] = sum_t c[b] dy[b,t,j] by plain
    /// additions.
    ///
    /// x of the batch is not looked at; grad, grad_sq: out [J], never read with PERGRAD_START_FRESH.
    fn pergrad_bias_moments_f32, pergrad_bias_moments_f64(
        isa: MaybeUninit<pergrad_isa>,
        batch: *const pergrad_batch<$T>,
        start: MaybeUninit<pergrad_start>,
        scale: f64,
        grad: *mut $T,
        grad_len: usize,
        grad_sq: *mut $T,
        grad_sq_len: usize,
    ) |args| {
        let batch = args.bias_batch(batch)?;
        let grad = args.output("grad", grad, grad_len)?;
        let grad_sq = args.output("grad_sq", grad_sq, grad_sq_len)?;
        bias_moments(args.isa(isa)?, &batch, args.fold(start, scale)?, grad, grad_sq)?;
    }
}
