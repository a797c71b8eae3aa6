//! The specification: every kernel as plain loops, in the arithmetic that all backends keep to the
//! bit.
//!
//! A backend is right when its bits equal those of these functions (a NaN must be a NaN, whichever).
//! They take the arguments of the kernels less the instruction set and the scratch memory, and are
//! compiled for users too, as the oracle to test a port or a board against. They are slow.
//!
//! In the formulas `c[b]` is 1, and the multiplication left out, where there are no example weights.

use crate::optim::DecayCoeff;
use crate::state::{AdamState, RmspropState, check_momentum, check_update};
use crate::{
    AdamCoeffs, AmsGrad, Batch, Dims, Element, Error, Fold, MomentumCoeffs, MomentumForm,
    RmspropCoeffs, Start, dims::check,
};

/// `dy[b,t,j]`, multiplied by `c[b]` if there are example weights.
fn weighted_dy<T: Element>(batch: &Batch<'_, T>, b: usize, t: usize, j: usize) -> T {
    let dy = batch.dy[(b * batch.dims.steps + t) * batch.dims.outputs + j];
    match batch.example_weights {
        Some(c) => c[b] * dy,
        None => dy,
    }
}

/// `G[b,j,i]`: the rounded product of step 0, then `fma` over the further steps; `+0` where `T = 0`.
fn per_example<T: Element>(batch: &Batch<'_, T>, b: usize, j: usize, i: usize) -> T {
    let Dims { steps, inputs, .. } = batch.dims;
    let mut g = T::ZERO;
    for t in 0..steps {
        let (dy, x) = (weighted_dy(batch, b, t, j), batch.x[(b * steps + t) * inputs + i]);
        g = if t == 0 { dy * x } else { dy.fma(x, g) };
    }
    g
}

/// The gradient of the bias, of one example: `dy` summed over the steps.
fn per_example_bias<T: Element>(batch: &Batch<'_, T>, b: usize, j: usize) -> T {
    let mut g = T::ZERO;
    for t in 0..batch.dims.steps {
        let dy = weighted_dy(batch, b, t, j);
        g = if t == 0 { dy } else { g + dy };
    }
    g
}

/// The start of a fold over the batch.
fn start<T: Element>(fold: Fold, output: T) -> T {
    if fold.start == Start::Resume { output } else { T::ZERO }
}

/// The end of a fold over the batch.
fn finish<T: Element>(fold: Fold, sum: T) -> T {
    match fold.factor() {
        Some(scale) => sum * scale,
        None => sum,
    }
}

/// Folds with `fma` in 16 lanes, lane `l` the elements `k` with `k mod 16 = l`, then adds lanes `l`
/// and `l + 8`, `l + 4`, `l + 2`, `l + 1`.
struct Lanes<T>([T; 16]);

impl<T: Element> Lanes<T> {
    fn new() -> Self {
        Lanes([T::ZERO; 16])
    }
    fn fma(&mut self, k: usize, a: T, b: T) {
        let lane = &mut self.0[k % 16];
        *lane = a.fma(b, *lane);
    }
    fn sum(mut self) -> T {
        for half in [8, 4, 2, 1] {
            for l in 0..half {
                self.0[l] = self.0[l] + self.0[l + half];
            }
        }
        self.0[0]
    }
}

/// Forward: `y[b,t,j] = y[b,t,j] + (sum_i W[j,i] x[b,t,i] + bias[j])`, the sum in 16 lanes; the outer
/// addition starts from `+0` with [`Start::Fresh`].
///
/// # Errors
/// As [`crate::forward`].
pub fn forward<T: Element>(
    dims: Dims,
    x: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    from: Start,
    y: &mut [T],
) -> Result<(), Error> {
    crate::kernel::forward::check_forward(dims, x, weight, bias, y)?;
    let Dims { outputs, inputs, .. } = dims;
    for (n, y) in y.iter_mut().enumerate() {
        let (row, j) = (n / outputs, n % outputs);
        let mut lanes = Lanes::new();
        for i in 0..inputs {
            lanes.fma(i, weight[j * inputs + i], x[row * inputs + i]);
        }
        let sum = match bias {
            Some(bias) => lanes.sum() + bias[j],
            None => lanes.sum(),
        };
        *y = if from == Start::Resume { *y } else { T::ZERO } + sum;
    }
    Ok(())
}

/// Input gradient: `dx[b,t,i] = fold_j fma(dy[b,t,j], W[j,i], dx)`, `j` ascending, from `dx` or
/// (with [`Start::Fresh`]) from `+0`.
///
/// # Errors
/// As [`crate::input_grad`].
pub fn input_grad<T: Element>(
    dims: Dims,
    dy: &[T],
    weight: &[T],
    from: Start,
    dx: &mut [T],
) -> Result<(), Error> {
    crate::kernel::input_grad::check_input_grad(dims, dy, weight, dx)?;
    let Dims { outputs, inputs, .. } = dims;
    for (n, dx) in dx.iter_mut().enumerate() {
        let (row, i) = (n / inputs, n % inputs);
        let mut sum = if from == Start::Resume { *dx } else { T::ZERO };
        for j in 0..outputs {
            sum = dy[row * outputs + j].fma(weight[j * inputs + i], sum);
        }
        *dx = sum;
    }
    Ok(())
}

/// Per-example gradients: `G[b,j,i] = sum_t c[b] dy[b,t,j] x[b,t,i]`.
///
/// # Errors
/// As [`crate::per_example_grad`].
pub fn per_example_grad<T: Element>(batch: &Batch<'_, T>, out: &mut [T]) -> Result<(), Error> {
    batch.check()?;
    check("per_example_grad", out.len(), batch.dims.per_example_grad_len()?)?;
    let Dims { outputs, inputs, .. } = batch.dims;
    for (n, g) in out.iter_mut().enumerate() {
        *g = per_example(batch, n / inputs / outputs, n / inputs % outputs, n % inputs);
    }
    Ok(())
}

/// Reduce: `sum[k] = fold_b sum + rows[b,k]` and `sum_sq[k] = fold_b fma(rows[b,k], rows[b,k], sum_sq)`.
///
/// # Errors
/// As [`crate::reduce`].
pub fn reduce<T: Element>(
    rows: &[T],
    batch: usize,
    fold: Fold,
    sum: &mut [T],
    sum_sq: &mut [T],
) -> Result<(), Error> {
    crate::kernel::reduce::check_reduce(rows, batch, sum, sum_sq)?;
    let n = sum.len();
    for k in 0..n {
        let (mut s, mut q) = (start(fold, sum[k]), start(fold, sum_sq[k]));
        for b in 0..batch {
            let g = rows[b * n + k];
            s = s + g;
            q = g.fma(g, q);
        }
        sum[k] = finish(fold, s);
        sum_sq[k] = finish(fold, q);
    }
    Ok(())
}

/// The matrix product alone: `grad[j,i] = scale fold_{b,t} fma(c[b] dy[b,t,j], x[b,t,i], grad)`.
///
/// # Errors
/// As [`crate::grad`].
pub fn grad<T: Element>(batch: &Batch<'_, T>, fold: Fold, grad: &mut [T]) -> Result<(), Error> {
    check("grad", grad.len(), batch.check()?)?;
    let Dims { steps, inputs, .. } = batch.dims;
    for (n, out) in grad.iter_mut().enumerate() {
        let (j, i) = (n / inputs, n % inputs);
        let mut sum = start(fold, *out);
        for b in 0..batch.dims.folded() {
            for t in 0..steps {
                let x = batch.x[(b * steps + t) * inputs + i];
                sum = weighted_dy(batch, b, t, j).fma(x, sum);
            }
        }
        *out = finish(fold, sum);
    }
    Ok(())
}

/// The bias' gradient alone: `grad[j] = scale fold_{b,t} (grad + c[b] dy[b,t,j])`, plain additions.
///
/// # Errors
/// As [`crate::bias_grad`].
pub fn bias_grad<T: Element>(
    batch: &Batch<'_, T>,
    fold: Fold,
    grad: &mut [T],
) -> Result<(), Error> {
    batch.check_dy()?;
    check("grad", grad.len(), batch.dims.outputs)?;
    for (j, out) in grad.iter_mut().enumerate() {
        let mut sum = start(fold, *out);
        for b in 0..batch.dims.folded() {
            for t in 0..batch.dims.steps {
                sum = sum + weighted_dy(batch, b, t, j);
            }
        }
        *out = finish(fold, sum);
    }
    Ok(())
}

/// Moments: `grad = scale fold_b grad + G` and `grad_sq = scale fold_b fma(G, G, grad_sq)`.
///
/// # Errors
/// As [`crate::moments`].
pub fn moments<T: Element>(
    batch: &Batch<'_, T>,
    fold: Fold,
    grad: &mut [T],
    grad_sq: &mut [T],
) -> Result<(), Error> {
    let n = batch.check()?;
    check("grad", grad.len(), n)?;
    check("grad_sq", grad_sq.len(), n)?;
    let inputs = batch.dims.inputs;
    fold_moments(batch.dims.folded(), fold, grad, grad_sq, |b, n| {
        per_example(batch, b, n / inputs, n % inputs)
    });
    Ok(())
}

/// Moments of the bias: the same folds of `g[b,j] = sum_t c[b] dy[b,t,j]` (plain additions).
///
/// # Errors
/// As [`crate::bias_moments`].
pub fn bias_moments<T: Element>(
    batch: &Batch<'_, T>,
    fold: Fold,
    grad: &mut [T],
    grad_sq: &mut [T],
) -> Result<(), Error> {
    batch.check_dy()?;
    check("grad", grad.len(), batch.dims.outputs)?;
    check("grad_sq", grad_sq.len(), batch.dims.outputs)?;
    fold_moments(batch.dims.folded(), fold, grad, grad_sq, |b, j| per_example_bias(batch, b, j));
    Ok(())
}

fn fold_moments<T: Element>(
    batch: usize,
    fold: Fold,
    grad: &mut [T],
    grad_sq: &mut [T],
    per_example: impl Fn(usize, usize) -> T,
) {
    for (n, (grad, grad_sq)) in grad.iter_mut().zip(grad_sq).enumerate() {
        let (mut sum, mut sum_sq) = (start(fold, *grad), start(fold, *grad_sq));
        for b in 0..batch {
            let g = per_example(b, n);
            sum = sum + g;
            sum_sq = g.fma(g, sum_sq);
        }
        *grad = finish(fold, sum);
        *grad_sq = finish(fold, sum_sq);
    }
}

/// Squared norms of the per-example gradients, added to `norms` or (with [`Start::Fresh`]) to `+0`.
///
/// * `T = 1`: the product `(sum_j dy'^2) (sum_i x^2)`, each sum in 16 lanes, `dy' = c[b] dy`.
/// * else `G[b,j,i]` as in [`per_example_grad`], `fma(G, G, .)` in 16 lanes by `i mod 16`, `j`
///   ascending.
///
/// # Errors
/// As [`crate::sq_norms`].
pub fn sq_norms<T: Element>(
    batch: &Batch<'_, T>,
    from: Start,
    norms: &mut [T],
) -> Result<(), Error> {
    batch.check()?;
    check("sq_norms", norms.len(), batch.dims.batch)?;
    let Dims { steps, inputs, .. } = batch.dims;
    let outputs = batch.dims.used_outputs();
    for (b, norm) in norms.iter_mut().enumerate() {
        let (mut lanes, mut lanes_dy) = (Lanes::new(), Lanes::new());
        let square = if steps == 1 {
            for j in 0..outputs {
                let dy = weighted_dy(batch, b, 0, j);
                lanes_dy.fma(j, dy, dy);
            }
            for i in 0..inputs {
                let x = batch.x[b * inputs + i];
                lanes.fma(i, x, x);
            }
            lanes_dy.sum() * lanes.sum()
        } else {
            for j in 0..outputs {
                for i in 0..inputs {
                    let g = per_example(batch, b, j, i);
                    lanes.fma(i, g, g);
                }
            }
            lanes.sum()
        };
        *norm = if from == Start::Resume { *norm } else { T::ZERO } + square;
    }
    Ok(())
}

/// Squared norms of the bias' per-example gradients, in 16 lanes by `j mod 16`; added as in
/// [`sq_norms`].
///
/// # Errors
/// As [`crate::bias_sq_norms`].
pub fn bias_sq_norms<T: Element>(
    batch: &Batch<'_, T>,
    from: Start,
    norms: &mut [T],
) -> Result<(), Error> {
    batch.check_dy()?;
    check("sq_norms", norms.len(), batch.dims.batch)?;
    for (b, norm) in norms.iter_mut().enumerate() {
        let mut lanes = Lanes::new();
        for j in 0..batch.dims.used_outputs() {
            let g = per_example_bias(batch, b, j);
            lanes.fma(j, g, g);
        }
        *norm = if from == Start::Resume { *norm } else { T::ZERO } + lanes.sum();
    }
    Ok(())
}

/// The gradient with its sign and decay, and the parameter with its decay.
fn decayed<T: Element>(maximize: bool, decay: DecayCoeff<T>, p: T, g: T) -> (T, T) {
    let g = if maximize { -g } else { g };
    match decay {
        DecayCoeff::None => (p, g),
        DecayCoeff::Coupled(d) => (p, d.fma(p, g)),
        DecayCoeff::Decoupled(d) => ((-d).fma(p, p), g),
    }
}

/// `avg = fma(alpha, x - avg, avg)`, or `x` where `alpha = 1`: the one way in which running averages
/// move. (A window of 1 must forget; `x - avg` would have lost a small `x` beside a large `avg`.)
fn average<T: Element>(alpha: T, x: T, avg: T) -> T {
    if alpha == T::ONE { x } else { alpha.fma(x - avg, avg) }
}

/// Momentum, by element: see [`crate::MomentumConfig`].
///
/// # Errors
/// As [`crate::update_momentum`].
pub fn update_momentum<T: Element>(
    c: &MomentumCoeffs<T>,
    params: &mut [T],
    grad: &[T],
    buffer: &mut [T],
) -> Result<(), Error> {
    check_momentum(c, params, grad, buffer)?;
    for k in 0..params.len() {
        let (p, g) = decayed(c.maximize, c.decay, params[k], grad[k]);
        let direction = match c.form {
            MomentumForm::Plain => g,
            MomentumForm::Sum => {
                buffer[k] = c.beta.fma(buffer[k], c.gain * g);
                let ahead = c.beta.fma(buffer[k], c.look_ahead * g);
                if c.nesterov { ahead } else { buffer[k] }
            }
            MomentumForm::Average => {
                buffer[k] = average(c.alpha, g, buffer[k]);
                if c.nesterov { average(c.alpha, g, buffer[k]) } else { buffer[k] }
            }
        };
        params[k] = (-c.step).fma(direction, p);
    }
    Ok(())
}

/// RMSProp, by element: see [`crate::RmspropConfig`]. The denominator is
/// `sqrt(v + inside) + outside` with `v = exp_avg_sq * scale`, or, centered,
/// `v = max(fma(-a, a, exp_avg_sq * scale), 0)` with `a = exp_avg * scale`.
///
/// # Errors
/// As [`crate::update_rmsprop`].
pub fn update_rmsprop<T: Element>(
    c: &RmspropCoeffs<T>,
    params: &mut [T],
    grad: &[T],
    second: Option<&[T]>,
    state: RmspropState<'_, T>,
) -> Result<(), Error> {
    check_update(params, grad, second)?;
    state.check(c, params.len())?;
    let RmspropState { exp_avg_sq, exp_avg, momentum_buffer } = state;
    for k in 0..params.len() {
        let (p, g) = decayed(c.maximize, c.decay, params[k], grad[k]);
        let s = second.map_or(g * g, |second| second[k]);
        exp_avg_sq[k] = average(c.alpha, s, exp_avg_sq[k]);
        let mut v = exp_avg_sq[k] * c.scale;
        if c.centered {
            exp_avg[k] = average(c.alpha, g, exp_avg[k]);
            let a = exp_avg[k] * c.scale;
            v = T::ZERO.max_or((-a).fma(a, v));
        }
        let q = g / ((v + c.eps_inside).sqrt() + c.eps_outside);
        let mut direction = c.gain * q;
        if c.momentum {
            let gained = direction;
            momentum_buffer[k] = c.beta.fma(momentum_buffer[k], gained);
            let ahead = c.beta.fma(momentum_buffer[k], gained);
            direction = if c.nesterov { ahead } else { momentum_buffer[k] };
        }
        params[k] = (-c.step).fma(direction, p);
    }
    Ok(())
}

/// Adam, by element: see [`crate::AdamConfig`]. The denominator is `sqrt(v + inside) + outside` with
/// `v = exp_avg_sq * scale`, or the maximum so far of that or of `exp_avg_sq` (then scaled).
///
/// # Errors
/// As [`crate::update_adam`].
pub fn update_adam<T: Element>(
    c: &AdamCoeffs<T>,
    params: &mut [T],
    grad: &[T],
    second: Option<&[T]>,
    state: AdamState<'_, T>,
) -> Result<(), Error> {
    check_update(params, grad, second)?;
    state.check(c, params.len())?;
    let AdamState { exp_avg, exp_avg_sq, max_exp_avg_sq } = state;
    for k in 0..params.len() {
        let (p, g) = decayed(c.maximize, c.decay, params[k], grad[k]);
        let s = second.map_or(g * g, |second| second[k]);
        exp_avg[k] = average(c.alpha, g, exp_avg[k]);
        exp_avg_sq[k] = average(c.alpha_sq, s, exp_avg_sq[k]);
        let v = match c.amsgrad {
            AmsGrad::Off => exp_avg_sq[k] * c.scale_sq,
            AmsGrad::Uncorrected => {
                max_exp_avg_sq[k] = max_exp_avg_sq[k].max_or(exp_avg_sq[k]);
                max_exp_avg_sq[k] * c.scale_sq
            }
            AmsGrad::Corrected => {
                max_exp_avg_sq[k] = max_exp_avg_sq[k].max_or(exp_avg_sq[k] * c.scale_sq);
                max_exp_avg_sq[k]
            }
        };
        let denominator = (v + c.eps_inside).sqrt() + c.eps_outside;
        let ahead = c.gain_avg.fma(exp_avg[k], c.gain_grad * g);
        let direction = if c.nesterov { ahead } else { exp_avg[k] };
        params[k] = (-c.step).fma(direction / denominator, p);
    }
    Ok(())
}
