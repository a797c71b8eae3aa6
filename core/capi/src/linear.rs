//! Forward and input gradient of a linear layer.

use core::mem::MaybeUninit;

use pergrad_core::{forward, input_grad};

use crate::{pergrad_dims, pergrad_isa, pergrad_start};

both! {
    ($T)
    /// The forward product: y[b,t,j] = y[b,t,j] + (sum_i weight[j,i] x[b,t,i] + bias[j]).
    ///
    /// x [B, T, I]; weight [J, I]; bias [J], optional; y [B, T, J]: added to with PERGRAD_START_RESUME,
    /// overwritten as if it held +0 and never read with PERGRAD_START_FRESH.
    fn pergrad_forward_f32, pergrad_forward_f64(
        isa: MaybeUninit<pergrad_isa>,
        dims: *const pergrad_dims,
        x: *const $T,
        x_len: usize,
        weight: *const $T,
        weight_len: usize,
        bias: *const $T,
        bias_len: usize,
        start: MaybeUninit<pergrad_start>,
        y: *mut $T,
        y_len: usize,
    ) |args| {
        let dims = args.structure("dims", dims)?.to_core();
        let x = args.input("x", x, x_len)?;
        let weight = args.input("weight", weight, weight_len)?;
        let bias = args.optional("bias", bias, bias_len)?;
        let y = args.output("y", y, y_len)?;
        forward(args.isa(isa)?, dims, x, weight, bias, args.start(start)?, y)?;
    }
}

both! {
    ($T)
    /// The gradient of the layer's input: dx[b,t,i] = fold over ascending j of
    /// fma(dy[b,t,j], weight[j,i], dx).
    ///
    /// dy [B, T, J]; weight [J, I]; dx [B, T, I]: added to with PERGRAD_START_RESUME, overwritten and
    /// never read with PERGRAD_START_FRESH.
    fn pergrad_input_grad_f32, pergrad_input_grad_f64(
        isa: MaybeUninit<pergrad_isa>,
        dims: *const pergrad_dims,
        dy: *const $T,
        dy_len: usize,
        weight: *const $T,
        weight_len: usize,
        start: MaybeUninit<pergrad_start>,
        dx: *mut $T,
        dx_len: usize,
    ) |args| {
        let dims = args.structure("dims", dims)?.to_core();
        let dy = args.input("dy", dy, dy_len)?;
        let weight = args.input("weight", weight, weight_len)?;
        let dx = args.output("dx", dx, dx_len)?;
        input_grad(args.isa(isa)?, dims, dy, weight, args.start(start)?, dx)?;
    }
}
