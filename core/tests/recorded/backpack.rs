//! Statistics of linear layers, as BackPACK gives them.

use pergrad_core::{
    Batch, Dims, Error, Fold, Isa, Start, bias_grad, bias_moments, forward, grad, moments,
    per_example_grad, sq_norms,
};

use super::file::{Object, numbers};
use super::follow::close;
use super::tolerance::Tolerance;
use crate::support::isas::for_each_isa;
use crate::support::values::Real;

/// The file.
pub const FILE: &str = "backpack_linear.json";

/// A case.
struct Layer<'a, T> {
    case: &'a Object,
    dims: Dims,
    x: Vec<T>,
    dy: Vec<T>,
    weight: Vec<T>,
    bias: Option<Vec<T>>,
}

/// Computes and compares all that a case holds, on every instruction set; the largest error, as a
/// part of what is tolerated.
pub fn check<T: Real>(case: &Object) -> Result<f64, String> {
    let extent = |key: &str| match case.get(key).and_then(|n| n.as_u64()) {
        Some(n) => Ok(n as usize),
        None => Err(format!("`{key}` is not a number of elements")),
    };
    let dims = Dims::new(extent("batch")?, extent("outputs")?, extent("inputs")?);
    let array = |key: &str| numbers::<T>(key, case.get(key));
    let bias = case.get("bias").filter(|bias| !bias.is_null()).map(|_| array("bias"));
    let (x, dy, weight) = (array("x")?, array("dy")?, array("weight")?);
    let layer = Layer { case, dims, x, dy, weight, bias: bias.transpose()? };
    let mut result = Ok(0.0f64);
    for_each_isa(|isa| {
        if let Ok(worst) = result {
            let here = layer.check(isa);
            result = here.map(|w| worst.max(w)).map_err(|e| format!("{}: {e}", isa.name()));
        }
    });
    result
}

impl<T: Real> Layer<'_, T> {
    fn check(&self, isa: Isa) -> Result<f64, String> {
        let Dims { batch: b, outputs: j, inputs: i, .. } = self.dims;
        let batch = Batch::new(self.dims, &self.x, &self.dy);
        let size = |values: &[T]| values.iter().map(|v| v.magnitude()).collect::<Vec<T>>();
        // Sums of the magnitudes: what the errors of the sums are relative to.
        let (x_size, dy_size, weight_size) = (size(&self.x), size(&self.dy), size(&self.weight));
        let sizes = Batch::new(self.dims, &x_size, &dy_size);
        let grad_size = out(j * i, |out| grad(isa, &sizes, Fold::fresh(), out, &mut []))?;
        let bias_size = out(j, |out| bias_grad(isa, &sizes, Fold::fresh(), out))?;
        let bias = self.bias.as_deref();
        let y_bias = bias.map(size);
        let y_size = out(b * j, |y| {
            forward(isa, self.dims, &x_size, &weight_size, y_bias.as_deref(), Start::Fresh, y)
        })?;

        let y =
            out(b * j, |y| forward(isa, self.dims, &self.x, &self.weight, bias, Start::Fresh, y))?;
        let mut worst = self.near("y", &y, &y_size, i + 1)?;

        let product = out(j * i, |out| grad(isa, &batch, Fold::fresh(), out, &mut []))?;
        worst = worst.max(self.near("sum_grad", &product, &grad_size, b)?);
        let [sum, sum_sq] = two(j * i, |s, q| moments(isa, &batch, Fold::fresh(), s, q, &mut []))?;
        worst = worst.max(self.near("sum_grad", &sum, &grad_size, b)?);
        worst = worst.max(self.near("sum_grad_squared", &sum_sq, &sum_sq, b)?);

        // BackPACK's variance is the biased one, `sum_sq / B - (sum / B)^2`: a difference of two terms,
        // of which the first is the larger.
        let [mean, mean_sq] =
            two(j * i, |s, q| moments(isa, &batch, Fold::mean(b), s, q, &mut []))?;
        let variance: Vec<T> = mean.iter().zip(&mean_sq).map(|(&m, &q)| (-m).fma(m, q)).collect();
        let twice: Vec<T> = mean_sq.iter().map(|&q| q + q).collect();
        worst = worst.max(self.near("variance", &variance, &twice, b)?);

        let norms = out(b, |norms| sq_norms(isa, &batch, Start::Fresh, norms))?;
        worst = worst.max(self.near("per_example_l2_squared", &norms, &norms, j * i)?);

        let alone = out(j, |out| bias_grad(isa, &batch, Fold::fresh(), out))?;
        worst = worst.max(self.near("bias_sum_grad", &alone, &bias_size, b)?);
        let [sum, sum_sq] = two(j, |s, q| bias_moments(isa, &batch, Fold::fresh(), s, q))?;
        worst = worst.max(self.near("bias_sum_grad", &sum, &bias_size, b)?);
        worst = worst.max(self.near("bias_sum_grad_squared", &sum_sq, &sum_sq, b)?);

        if self.case.get("per_example_grad").is_some_and(|g| !g.is_null()) {
            let all = out(b * j * i, |out| per_example_grad(isa, &batch, out))?;
            // One product each, rounded once: on both sides the same.
            worst = worst.max(self.near("per_example_grad", &all, &[], 0)?);
        }
        Ok(worst)
    }

    /// Compares with what was recorded under `key`: sums of `terms` whose magnitudes sum to `size`,
    /// or the same values where there are no terms.
    fn near(&self, key: &str, got: &[T], size: &[T], terms: usize) -> Result<f64, String> {
        let recorded: Vec<T> = numbers(key, self.case.get(key))?;
        if recorded.len() != got.len() {
            let (got, need) = (recorded.len(), got.len());
            return Err(format!("`{key}` has {got} elements, {need} are needed"));
        }
        let mut worst = 0.0f64;
        for (k, (got, want)) in got.iter().zip(recorded).enumerate() {
            let size = if terms == 0 { 0.0 } else { size[k].to_f64() };
            let allowed = Tolerance::sum::<T>(terms) * size;
            let place = || format!("{key}[{k}]");
            worst = worst.max(close(place, got.to_f64(), want.to_f64(), allowed)?);
        }
        Ok(worst)
    }
}

/// An output of `n` elements.
fn out<T: Real>(
    n: usize,
    run: impl FnOnce(&mut [T]) -> Result<(), Error>,
) -> Result<Vec<T>, String> {
    let mut out = vec![T::nan(); n];
    run(&mut out).map_err(|e| e.to_string())?;
    Ok(out)
}

/// Two outputs of `n` elements.
fn two<T: Real>(
    n: usize,
    run: impl FnOnce(&mut [T], &mut [T]) -> Result<(), Error>,
) -> Result<[Vec<T>; 2], String> {
    let mut second = vec![T::nan(); n];
    let first = out(n, |first| run(first, &mut second))?;
    Ok([first, second])
}
