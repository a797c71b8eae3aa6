//! Whether this machine gives the promised bits.

use pergrad_core::self_test::{self, MEMORY};

use crate::{AdamConfig, Element, Error, LayerBatch, LayerOptimizer, Linear, Tensor, isa};

pub use pergrad_core::self_test::Check;

/// The digests of layers, a line for each type and function.
const LIST: &str = include_str!("../self_test.txt");

/// Runs every kernel of the core on the instruction set in use ([`isa`](crate::isa())), and a layer that is
/// large enough for the threads of the current pool; compares the SHA-256 of what they give with the lists
/// that hold for every machine. Reports each, and tells whether all were equal. Takes well under a second.
///
/// # Errors
/// [`Error::PinnedIsa`](crate::Error::PinnedIsa) if `PERGRAD_ISA` names something that is not to be had here.
///
/// ```
/// let equal = pergrad::self_test(|check| println!("{check}"))?;
/// assert!(equal);
/// # Ok::<(), pergrad::Error>(())
/// ```
pub fn self_test(mut report: impl FnMut(&Check)) -> Result<bool, Error> {
    let isa = isa()?;
    let mut equal = self_test::self_test(isa, &mut vec![0.0f32; MEMORY], &mut report)?;
    equal &= self_test::self_test(isa, &mut vec![0.0f64; MEMORY], &mut report)?;
    equal &= layer::<f32>(&mut report)?;
    equal &= layer::<f64>(&mut report)?;
    Ok(equal)
}

const BATCH: usize = 64;
const OUTPUTS: usize = 151;
const INPUTS: usize = 451;

/// A layer's forward product, statistics and steps.
fn layer<T: Element>(report: &mut impl FnMut(&Check)) -> Result<bool, Error> {
    let mut equal = true;
    let mut check = |name, results: &[&[T]]| {
        let check = Check::against(LIST, T::NAME, name, Ok(self_test::sha256(&results.concat())));
        equal &= check.passed();
        report(&check);
    };
    // Exact in both types.
    let wave = |k: usize| T::from_f64((k * k % 251) as f64 / 128.0 - 1.0);
    let mut layer = Linear::<T>::new(
        Tensor::from_fn(&[OUTPUTS, INPUTS], wave)?,
        Some(Tensor::from_fn(&[OUTPUTS], wave)?),
    )?;
    let x = Tensor::from_fn(&[BATCH, INPUTS], wave)?;
    let dy = layer.forward(&x)?;
    check("layer_forward", &[dy.as_slice()]);
    check("layer_input_grad", &[layer.input_grad(&dy)?.as_slice()]);
    let batch = LayerBatch::new(&x, &dy);
    check("layer_sq_norms", &[layer.sq_norms(batch)?.as_slice()]);
    let moments = layer.moments(batch)?;
    check("layer_moments", &[moments.grad.weight.as_slice(), moments.grad_sq.weight.as_slice()]);
    let mut adam = LayerOptimizer::new(AdamConfig::torch(1e-2)?, &layer)?;
    adam.step_layer(&mut layer, batch)?;
    adam.step_with(&mut layer, &moments.grad, &moments.grad_sq)?;
    let bias = layer.bias().map_or(&[][..], Tensor::as_slice);
    check("layer_adam", &[layer.weight().as_slice(), bias]);
    Ok(equal)
}
