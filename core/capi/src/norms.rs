//! Squared norms of per-example gradients.

use core::mem::MaybeUninit;

use crate::{pergrad_batch, pergrad_isa, pergrad_start};

both! {
    ($T)
    /// The squared norm of each example's gradient of the weight, sum over j and i of G[b,j,i]^2, without
    /// storing G.
    ///
    /// sq_norms [B]: added to with PERGRAD_START_RESUME, so that layers add up; overwritten and never read
    /// with PERGRAD_START_FRESH.
    fn pergrad_sq_norms_f32, pergrad_sq_norms_f64(
        isa: MaybeUninit<pergrad_isa>,
        batch: *const pergrad_batch<$T>,
        start: MaybeUninit<pergrad_start>,
        sq_norms: *mut $T,
        sq_norms_len: usize,
    ) |args| {
        let batch = args.batch(batch)?;
        let out = args.output("sq_norms", sq_norms, sq_norms_len)?;
        pergrad_core::sq_norms(args.isa(isa)?, &batch, args.start(start)?, out)?;
    }
}

both! {
    ($T)
    /// The squared norm of each example's gradient of the bias, sum over j of (sum_t c[b] dy[b,t,j])^2.
    ///
    /// As pergrad_sq_norms_f32(); x of the batch is not looked at.
    fn pergrad_bias_sq_norms_f32, pergrad_bias_sq_norms_f64(
        isa: MaybeUninit<pergrad_isa>,
        batch: *const pergrad_batch<$T>,
        start: MaybeUninit<pergrad_start>,
        sq_norms: *mut $T,
        sq_norms_len: usize,
    ) |args| {
        let batch = args.bias_batch(batch)?;
        let out = args.output("sq_norms", sq_norms, sq_norms_len)?;
        pergrad_core::bias_sq_norms(args.isa(isa)?, &batch, args.start(start)?, out)?;
    }
}
