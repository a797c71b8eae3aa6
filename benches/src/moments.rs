//! `grad` and `grad_sq` of a layer, by pergrad and by its peers.

use pergrad_core::{Dims, Fold, Isa, grad, moments, scratch_len};

use crate::buf::{Buf, check_close};
use crate::case::{Case, Group, Work, elements, is_small, isas, loops_can};
use crate::layer::{self, Layer, products};
use crate::limits::Limits;
use crate::plain;
use crate::product::{Mat, Product};

/// The largest batch for which writing the outputs may take longer than computing them.
const MEMORY_BOUND: usize = 16;

/// A layer, its moments, and the scratch that pergrad and the peers want.
pub struct Moments<T> {
    /// What the layer saw.
    pub layer: Layer<T>,
    /// `[J, I]`.
    pub grad: Buf<T>,
    /// `[J, I]`.
    pub grad_sq: Buf<T>,
    /// pergrad's.
    pub scratch: Buf<T>,
    /// The squares of `x` (one step), for the peers.
    x_sq: Buf<T>,
    /// The squares of `dy` (one step), for the peers.
    dy_sq: Buf<T>,
    /// One example's gradient (several steps), for the peers.
    g: Buf<T>,
    want_grad: Buf<T>,
    want_grad_sq: Buf<T>,
}

impl<T: Limits> Moments<T> {
    /// Reproducible numbers, and pergrad's moments of them.
    pub fn new(dims: Dims) -> Self {
        let layer = Layer::new(dims);
        let n = layer.weights();
        let of_one_step = |len: usize| if dims.steps == 1 { len } else { 0 };
        let mut all = Moments {
            grad: Buf::zeros(n),
            grad_sq: Buf::zeros(n),
            scratch: Buf::zeros(scratch_len(dims)),
            x_sq: Buf::zeros(of_one_step(layer.x.len())),
            dy_sq: Buf::zeros(of_one_step(layer.dy.len())),
            g: Buf::zeros(if dims.steps == 1 { dims.inputs } else { n }),
            want_grad: Buf::zeros(n),
            want_grad_sq: Buf::zeros(n),
            layer,
        };
        all.ours(Isa::detect());
        all.want_grad.copy_from_slice(&all.grad);
        all.want_grad_sq.copy_from_slice(&all.grad_sq);
        all
    }

    /// pergrad, sums.
    pub fn ours(&mut self, isa: Isa) {
        let Moments { layer, grad, grad_sq, scratch, .. } = self;
        moments(isa, &layer.batch(), Fold::fresh(), grad, grad_sq, scratch).expect("lengths fit");
    }

    /// pergrad, `grad` alone.
    pub fn ours_grad(&mut self, isa: Isa) {
        let Moments { layer, grad: out, scratch, .. } = self;
        grad(isa, &layer.batch(), Fold::fresh(), out, scratch).expect("lengths fit");
    }

    /// Plain loops.
    pub fn loops(&mut self) {
        let Moments { layer: Layer { dims, x, dy }, grad, grad_sq, g, .. } = self;
        plain::moments(*dims, x, dy, grad, grad_sq, &mut g[..dims.inputs]);
    }

    /// Plain loops, `grad` alone.
    pub fn loops_grad(&mut self) {
        let Moments { layer: Layer { dims, x, dy }, grad, .. } = self;
        plain::grad(*dims, x, dy, grad);
    }

    /// One product over the whole batch, `dy^T x`.
    pub fn product(&mut self, by: Product) {
        let Moments { layer: Layer { dims, x, dy }, grad, .. } = self;
        let rows = dims.batch * dims.steps;
        by.run(Mat::new(dy, rows, dims.outputs).t(), Mat::new(x, rows, dims.inputs), grad);
    }

    /// Both moments by products. For one step `sum_b G^2 = (dy^2)^T x^2`, so that two products do; for
    /// several there is one product for each example, accumulated afterwards.
    pub fn products(&mut self, by: Product) {
        if self.layer.dims.steps == 1 {
            self.product(by);
            let Moments { layer: Layer { dims, x, dy }, grad_sq, x_sq, dy_sq, .. } = self;
            plain::square(x, x_sq);
            plain::square(dy, dy_sq);
            let dy_sq = Mat::new(dy_sq, dims.batch, dims.outputs);
            by.run(dy_sq.t(), Mat::new(x_sq, dims.batch, dims.inputs), grad_sq);
            return;
        }
        let Moments { layer: Layer { dims, x, dy }, grad, grad_sq, g, .. } = self;
        let Dims { steps, outputs, inputs, .. } = *dims;
        grad.fill(T::ZERO);
        grad_sq.fill(T::ZERO);
        for (x, dy) in x.chunks_exact(steps * inputs).zip(dy.chunks_exact(steps * outputs)) {
            by.run(Mat::new(dy, steps, outputs).t(), Mat::new(x, steps, inputs), g);
            plain::accumulate(g, grad, grad_sq);
        }
    }
}

impl<T: Limits> Work for Moments<T> {
    fn reset(&mut self) {
        self.grad.spoil();
        self.grad_sq.spoil();
    }

    fn check(&self, who: &str) {
        check_close(who, "grad", &self.grad, &self.want_grad);
        check_close(who, "grad_sq", &self.grad_sq, &self.want_grad_sq);
    }
}

/// [`Moments`] of which only `grad` is looked at.
pub struct GradOnly<T>(pub Moments<T>);

impl<T: Limits> Work for GradOnly<T> {
    fn reset(&mut self) {
        self.0.grad.spoil();
    }

    fn check(&self, who: &str) {
        check_close(who, "grad", &self.0.grad, &self.0.want_grad);
    }
}

/// Fused multiply-adds that the moments cannot do without: the products, and one square a gradient;
/// the first product of each example's gradient takes the same pipe, the plain sum may have another.
pub fn moments_fmas(d: Dims) -> usize {
    products(d) + d.batch * d.outputs * d.inputs
}

/// All contestants for the moments of one layer.
pub fn bench_moments<T: Limits>(group: &mut Group<'_>, dims: Dims) {
    let work = products(dims);
    let mut case = Case::new(layer::id::<T>(dims), move || Moments::<T>::new(dims));
    elements(group, work);
    for isa in isas(work) {
        case.bench(group, isa.name(), |m| m.ours(isa));
        let limit = format!("limit_fma_{}", isa.name());
        case.limit(group, &limit, |_| T::fma_chains(isa, moments_fmas(dims)));
        if dims.steps == 1 {
            case.limit(group, &format!("limit_ops_{}", isa.name()), |_| {
                T::moments_chains(isa, work)
            });
        }
        if dims.batch <= MEMORY_BOUND {
            case.limit(group, &format!("limit_fill_{}", isa.name()), |m| {
                T::fill(isa, &mut m.grad);
                T::fill(isa, &mut m.grad_sq);
            });
        }
    }
    if loops_can(work) {
        case.bench(group, "loops", Moments::loops);
    }
    for by in products_for(work) {
        case.bench(group, by.name(), |m| m.products(by));
    }
}

/// All contestants for `grad` alone.
pub fn bench_grad<T: Limits>(group: &mut Group<'_>, dims: Dims) {
    let work = products(dims);
    let mut case = Case::new(layer::id::<T>(dims), move || GradOnly(Moments::<T>::new(dims)));
    elements(group, work);
    for isa in isas(work) {
        case.bench(group, isa.name(), |m| m.0.ours_grad(isa));
        let limit = format!("limit_fma_{}", isa.name());
        case.limit(group, &limit, |_| T::fma_chains(isa, work));
        if dims.batch <= MEMORY_BOUND {
            let limit = format!("limit_fill_{}", isa.name());
            case.limit(group, &limit, |m| T::fill(isa, &mut m.0.grad));
        }
    }
    if loops_can(work) {
        case.bench(group, "loops", |m| m.0.loops_grad());
    }
    for by in products_for(work) {
        case.bench(group, by.name(), |m| m.0.product(by));
    }
}

/// The crates that are asked for products of `work` multiply-adds in one call: all of them little,
/// then not `ndarray`, which hands all but the smallest to `matrixmultiply`, and for long batches the
/// fastest alone.
pub fn products_for(work: usize) -> impl Iterator<Item = Product> {
    Product::ALL.into_iter().filter(move |by| match by {
        Product::Ndarray => is_small(work),
        Product::Faer | Product::Matrixmultiply => work <= 2_000_000_000,
        Product::Gemm => true,
    })
}
