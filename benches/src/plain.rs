//! The same work as ordinary Rust loops, written as one would who cares about speed but not about
//! intrinsics: contiguous inner loops that the compiler vectorises, rows that stay in cache. Each is
//! compiled for AVX-512, for AVX2 with FMA, and for the target's baseline, and takes the best that the
//! CPU has, so that they are not held back by the flags of the build.

use pergrad_core::Dims;

use crate::case::FMA as HARDWARE_FMA;
use crate::real::Real;

/// `a b + c`, fused where the build of the surrounding loop has the instruction.
#[inline(always)]
fn fma<T: Real, const FMA: bool>(a: T, b: T, c: T) -> T {
    if FMA { a.std_mul_add(b, c) } else { a * b + c }
}

/// `row += a x`.
#[inline(always)]
fn add_scaled<T: Real, const FMA: bool>(row: &mut [T], a: T, x: &[T]) {
    for (r, x) in row.iter_mut().zip(x) {
        *r = fma::<T, FMA>(a, *x, *r);
    }
}

/// Stamps each loop for every instruction set; `T` is the element type and `FMA` says whether there
/// is a fused multiply-add.
macro_rules! plain {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $body:block)*) => {$(
        $(#[$doc])*
        pub fn $name<T: Real>($($arg: $ty),*) {
            #[inline(always)]
            fn body<T: Real, const FMA: bool>($($arg: $ty),*) $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
                fn avx512<T: Real>($($arg: $ty),*) {
                    body::<T, true>($($arg),*)
                }

                #[target_feature(enable = "avx2,fma")]
                fn avx2<T: Real>($($arg: $ty),*) {
                    body::<T, true>($($arg),*)
                }

                let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
                if has_avx2
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                {
                    // SAFETY: the features were detected just above.
                    return unsafe { avx512::<T>($($arg),*) };
                }
                if has_avx2 {
                    // SAFETY: the features were detected just above.
                    return unsafe { avx2::<T>($($arg),*) };
                }
            }
            body::<T, HARDWARE_FMA>($($arg),*)
        }
    )*};
}

plain! {
    /// `out[k] = a[k]^2`.
    fn square(a: &[T], out: &mut [T]) {
        for (a, out) in a.iter().zip(out) {
            *out = *a * *a;
        }
    }

    /// `sum += g`, `sum_sq += g^2`.
    fn accumulate(g: &[T], sum: &mut [T], sum_sq: &mut [T]) {
        for ((g, sum), sum_sq) in g.iter().zip(sum).zip(sum_sq) {
            *sum += *g;
            *sum_sq = fma::<T, FMA>(*g, *g, *sum_sq);
        }
    }

    /// The matrix product `grad[j,i] = sum_{b,t} dy x`.
    fn grad(dims: Dims, x: &[T], dy: &[T], grad: &mut [T]) {
        for (j, row) in grad.chunks_exact_mut(dims.inputs).enumerate() {
            row.fill(T::ZERO);
            for (x, dy) in x.chunks_exact(dims.inputs).zip(dy.chunks_exact(dims.outputs)) {
                add_scaled::<T, FMA>(row, dy[j], x);
            }
        }
    }

    /// `grad` and `grad_sq`, row by row; `g` is one row of scratch, used where there are steps.
    fn moments(
        dims: Dims,
        x: &[T],
        dy: &[T],
        grad: &mut [T],
        grad_sq: &mut [T],
        g: &mut [T],
    ) {
        let Dims { steps, outputs, inputs, .. } = dims;
        let rows = grad.chunks_exact_mut(inputs).zip(grad_sq.chunks_exact_mut(inputs));
        for (j, (sum, sum_sq)) in rows.enumerate() {
            sum.fill(T::ZERO);
            sum_sq.fill(T::ZERO);
            let examples = x.chunks_exact(steps * inputs).zip(dy.chunks_exact(steps * outputs));
            for (x, dy) in examples {
                if steps == 1 {
                    let dy = dy[j];
                    for ((x, sum), sum_sq) in x.iter().zip(&mut *sum).zip(&mut *sum_sq) {
                        let g = dy * *x;
                        *sum += g;
                        *sum_sq = fma::<T, FMA>(g, g, *sum_sq);
                    }
                } else {
                    g.fill(T::ZERO);
                    for (x, dy) in x.chunks_exact(inputs).zip(dy.chunks_exact(outputs)) {
                        add_scaled::<T, FMA>(g, dy[j], x);
                    }
                    for ((g, sum), sum_sq) in g.iter().zip(&mut *sum).zip(&mut *sum_sq) {
                        *sum += *g;
                        *sum_sq = fma::<T, FMA>(*g, *g, *sum_sq);
                    }
                }
            }
        }
    }

    /// `y[b,t,j] = sum_i W[j,i] x[b,t,i]`, sixteen sums side by side.
    fn forward(dims: Dims, x: &[T], weight: &[T], y: &mut [T]) {
        for (x, y) in x.chunks_exact(dims.inputs).zip(y.chunks_exact_mut(dims.outputs)) {
            for (w, y) in weight.chunks_exact(dims.inputs).zip(y) {
                let mut lanes = [T::ZERO; 16];
                let (w16, w_rest) = w.as_chunks::<16>();
                let (x16, x_rest) = x.as_chunks::<16>();
                for (w, x) in w16.iter().zip(x16) {
                    for ((lane, w), x) in lanes.iter_mut().zip(w).zip(x) {
                        *lane = fma::<T, FMA>(*w, *x, *lane);
                    }
                }
                let mut sum = T::ZERO;
                for lane in lanes {
                    sum += lane;
                }
                for (w, x) in w_rest.iter().zip(x_rest) {
                    sum = fma::<T, FMA>(*w, *x, sum);
                }
                *y = sum;
            }
        }
    }

    /// `dx[b,t,i] = sum_j dy[b,t,j] W[j,i]`.
    fn input_grad(dims: Dims, dy: &[T], weight: &[T], dx: &mut [T]) {
        for (dy, dx) in dy.chunks_exact(dims.outputs).zip(dx.chunks_exact_mut(dims.inputs)) {
            dx.fill(T::ZERO);
            for (dy, w) in dy.iter().zip(weight.chunks_exact(dims.inputs)) {
                add_scaled::<T, FMA>(dx, *dy, w);
            }
        }
    }

    /// `G[b,j,i] = sum_t dy x`.
    fn per_example_grad(dims: Dims, x: &[T], dy: &[T], out: &mut [T]) {
        let Dims { steps, outputs, inputs, .. } = dims;
        let examples = x.chunks_exact(steps * inputs).zip(dy.chunks_exact(steps * outputs));
        for ((x, dy), out) in examples.zip(out.chunks_exact_mut(outputs * inputs)) {
            for (j, row) in out.chunks_exact_mut(inputs).enumerate() {
                for (row, x) in row.iter_mut().zip(x) {
                    *row = dy[j] * *x;
                }
                for (x, dy) in x.chunks_exact(inputs).zip(dy.chunks_exact(outputs)).skip(1) {
                    add_scaled::<T, FMA>(row, dy[j], x);
                }
            }
        }
    }

    /// Sum and sum of squares of rows, in one pass over them.
    fn reduce(rows: &[T], sum: &mut [T], sum_sq: &mut [T]) {
        sum.fill(T::ZERO);
        sum_sq.fill(T::ZERO);
        for row in rows.chunks_exact(sum.len()) {
            for ((g, sum), sum_sq) in row.iter().zip(&mut *sum).zip(&mut *sum_sq) {
                *sum += *g;
                *sum_sq = fma::<T, FMA>(*g, *g, *sum_sq);
            }
        }
    }

    /// `||G[b]||^2`: for one step the product of the norms, else row by row of `G`; `g` is a row of
    /// scratch.
    fn sq_norms(dims: Dims, x: &[T], dy: &[T], norms: &mut [T], g: &mut [T]) {
        let Dims { steps, outputs, inputs, .. } = dims;
        let examples = x.chunks_exact(steps * inputs).zip(dy.chunks_exact(steps * outputs));
        for ((x, dy), norm) in examples.zip(norms) {
            if steps == 1 {
                *norm = squares::<T, FMA>(x) * squares::<T, FMA>(dy);
                continue;
            }
            *norm = T::ZERO;
            for j in 0..outputs {
                g.fill(T::ZERO);
                for (x, dy) in x.chunks_exact(inputs).zip(dy.chunks_exact(outputs)) {
                    add_scaled::<T, FMA>(g, dy[j], x);
                }
                *norm += squares::<T, FMA>(g);
            }
        }
    }

    /// `sum = sum_k a[k]^2`.
    fn sum_of_squares(a: &[T], sum: &mut T) {
        *sum = squares::<T, FMA>(a);
    }

    /// Multiplies each row of `a` by its factor.
    fn scale_rows(a: &[T], factors: &[T], out: &mut [T]) {
        let n = a.len() / factors.len();
        for ((a, out), c) in a.chunks_exact(n).zip(out.chunks_exact_mut(n)).zip(factors) {
            for (a, out) in a.iter().zip(out) {
                *out = *c * *a;
            }
        }
    }

    /// Adam in one pass; the second moment is `second`, or the squared gradient.
    fn adam(
        c: Adam<T>,
        params: &mut [T],
        grad: &[T],
        second: Option<&[T]>,
        exp_avg: &mut [T],
        exp_avg_sq: &mut [T],
    ) {
        let states = exp_avg.iter_mut().zip(exp_avg_sq);
        if let Some(second) = second {
            for (((p, g), (m, v)), s) in params.iter_mut().zip(grad).zip(states).zip(second) {
                *m = fma::<T, FMA>(c.alpha, *g - *m, *m);
                *v = fma::<T, FMA>(c.alpha_sq, *s - *v, *v);
                *p -= c.step * *m / fma::<T, FMA>(v.std_sqrt(), c.root_scale, c.eps);
            }
        } else {
            for ((p, g), (m, v)) in params.iter_mut().zip(grad).zip(states) {
                *m = fma::<T, FMA>(c.alpha, *g - *m, *m);
                *v = fma::<T, FMA>(c.alpha_sq, fma::<T, FMA>(*g, *g, -*v), *v);
                *p -= c.step * *m / fma::<T, FMA>(v.std_sqrt(), c.root_scale, c.eps);
            }
        }
    }

    /// Adam as an array library does it: one pass for each average, one for the parameters.
    fn adam_three_passes(
        c: Adam<T>,
        params: &mut [T],
        grad: &[T],
        second: Option<&[T]>,
        exp_avg: &mut [T],
        exp_avg_sq: &mut [T],
    ) {
        for (m, g) in exp_avg.iter_mut().zip(grad) {
            *m = fma::<T, FMA>(c.alpha, *g - *m, *m);
        }
        if let Some(second) = second {
            for (v, s) in exp_avg_sq.iter_mut().zip(second) {
                *v = fma::<T, FMA>(c.alpha_sq, *s - *v, *v);
            }
        } else {
            for (v, g) in exp_avg_sq.iter_mut().zip(grad) {
                *v = fma::<T, FMA>(c.alpha_sq, fma::<T, FMA>(*g, *g, -*v), *v);
            }
        }
        for ((p, m), v) in params.iter_mut().zip(exp_avg).zip(exp_avg_sq) {
            *p -= c.step * *m / fma::<T, FMA>(v.std_sqrt(), c.root_scale, c.eps);
        }
    }

    /// RMSProp in one pass.
    fn rmsprop(c: Adam<T>, params: &mut [T], grad: &[T], exp_avg_sq: &mut [T]) {
        for ((p, g), v) in params.iter_mut().zip(grad).zip(exp_avg_sq) {
            *v = fma::<T, FMA>(c.alpha_sq, fma::<T, FMA>(*g, *g, -*v), *v);
            *p -= c.step * *g / fma::<T, FMA>(v.std_sqrt(), c.root_scale, c.eps);
        }
    }

    /// Momentum as a running sum.
    fn momentum(beta: T, lr: T, params: &mut [T], grad: &[T], buffer: &mut [T]) {
        for ((p, g), buf) in params.iter_mut().zip(grad).zip(buffer) {
            *buf = fma::<T, FMA>(beta, *buf, *g);
            *p = fma::<T, FMA>(-lr, *buf, *p);
        }
    }
}

/// The sum of squares, sixteen sums side by side.
#[inline(always)]
fn squares<T: Real, const FMA: bool>(a: &[T]) -> T {
    let mut lanes = [T::ZERO; 16];
    let (chunks, rest) = a.as_chunks::<16>();
    for chunk in chunks {
        for (lane, a) in lanes.iter_mut().zip(chunk) {
            *lane = fma::<T, FMA>(*a, *a, *lane);
        }
    }
    let mut sum = T::ZERO;
    for lane in lanes {
        sum += lane;
    }
    for a in rest {
        sum = fma::<T, FMA>(*a, *a, sum);
    }
    sum
}

/// The coefficients of one step of Adam, or of RMSProp (which has no `alpha`).
#[derive(Clone, Copy)]
pub struct Adam<T> {
    /// `1 - beta1`.
    pub alpha: T,
    /// `1 - beta2`.
    pub alpha_sq: T,
    /// `lr / (1 - beta1^t)`.
    pub step: T,
    /// `1 / sqrt(1 - beta2^t)`.
    pub root_scale: T,
    /// Epsilon, outside the root.
    pub eps: T,
}

impl<T: Real> Adam<T> {
    /// PyTorch's Adam at step `t`.
    pub fn torch(lr: f64, t: i32) -> Self {
        Adam {
            alpha: T::from_f64(1.0 - 0.9),
            alpha_sq: T::from_f64(1.0 - 0.999),
            step: T::from_f64(lr / (1.0 - 0.9f64.powi(t))),
            root_scale: T::from_f64(1.0 / (1.0 - 0.999f64.powi(t)).sqrt()),
            eps: T::from_f64(1e-8),
        }
    }

    /// PyTorch's RMSprop.
    pub fn torch_rmsprop(lr: f64) -> Self {
        Adam {
            alpha: T::ZERO,
            alpha_sq: T::from_f64(1.0 - 0.99),
            step: T::from_f64(lr),
            root_scale: T::ONE,
            eps: T::from_f64(1e-8),
        }
    }
}
