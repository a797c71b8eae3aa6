//! How many instructions the kernels take for a unit of work, where the board can count them.

use pergrad_core::{
    AdamConfig, AdamState, Batch, Dims, Error, Fold, Isa, LayerStep, NonFinite, Part, Start,
    Window, forward, grad, input_grad, moments, step_adam, update_adam,
};

use crate::board;
use crate::print::Line;

const BATCH: usize = 16;
const OUTPUTS: usize = 8;
const INPUTS: usize = 64;
const WEIGHTS: usize = OUTPUTS * INPUTS;

/// What the measurements work in.
pub struct Counts {
    x: [f32; BATCH * INPUTS],
    dy: [f32; BATCH * OUTPUTS],
    weight: [f32; WEIGHTS],
    grad: [f32; WEIGHTS],
    grad_sq: [f32; WEIGHTS],
    exp_avg: [f32; WEIGHTS],
    exp_avg_sq: [f32; WEIGHTS],
}

/// Prints a line for each kernel.
pub fn report(isa: Isa, counts: &mut Counts) {
    if measure(isa, counts).is_err() {
        crate::print::print("a kernel refused\n");
    }
}

fn measure(isa: Isa, counts: &mut Counts) -> Result<(), Error> {
    let Counts { x, dy, weight, grad: g, grad_sq, exp_avg, exp_avg_sq } = counts;
    for array in [&mut x[..], dy, weight, g, exp_avg] {
        for (value, k) in array.iter_mut().zip(0u32..) {
            *value = (k % 17) as f32 / 16.0 - 0.5;
        }
    }
    for array in [&mut *grad_sq, exp_avg_sq] {
        *array = [0.25; WEIGHTS];
    }
    let dims = Dims::new(BATCH, OUTPUTS, INPUTS);
    let batch = Batch::new(dims, x, dy);
    let fold = Fold::mean(BATCH);
    let mut y = [0.0; BATCH * OUTPUTS];
    let adam = AdamConfig::new(1e-3, Window::new(10.0)?, Window::new(100.0)?);
    let c = adam.step_coeffs(3)?;

    let products = BATCH * WEIGHTS;
    count("moments", "b, j, i", products, || moments(isa, &batch, fold, g, grad_sq, &mut []))?;
    count("grad", "b, j, i", products, || grad(isa, &batch, fold, g, &mut []))?;
    count("forward", "b, j, i", products, || {
        forward(isa, dims, x, weight, None, Start::Fresh, &mut y)
    })?;
    count("update_adam on grad_sq", "parameter", WEIGHTS, || {
        let state = AdamState::new(exp_avg, exp_avg_sq);
        update_adam(isa, &c, weight, g, Some(grad_sq), state, NonFinite::Propagate)
    })?;
    count("step_adam on grad_sq", "b, j, i", products, || {
        let state = AdamState::new(exp_avg, exp_avg_sq);
        step_adam(isa, &LayerStep::mean(batch), Part::Weight, &c, weight, state, &mut [])
    })?;
    // Last, since it overwrites x.
    count("input_grad", "b, j, i", products, || input_grad(isa, dims, dy, weight, Start::Fresh, x))
}

/// Runs a kernel and prints its instructions per unit of work.
fn count(
    name: &str,
    unit: &str,
    units: usize,
    kernel: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    let Some(before) = board::instructions() else { return kernel() };
    kernel()?;
    let Some(after) = board::instructions() else { return Ok(()) };
    let taken = after.wrapping_sub(before);
    let mut line = Line::new();
    line.text(name).text(": ").decimal(taken * 100 / units as u32, 2);
    line.text(" instructions per ").text(unit).text("\n").print();
    Ok(())
}
