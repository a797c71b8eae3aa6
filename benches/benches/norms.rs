//! Squared norms of the per-example gradients, and what they are for: the clipped gradient.

use criterion::{criterion_group, criterion_main};
use ndarray::ArrayView2;
use pergrad_bench::buf::{Buf, check_close};
use pergrad_bench::case::{self, Bencher, Case, Group, Work, elements, isas};
use pergrad_bench::layer::{LAYERS, Layer, SEQUENCES, id, layers, products};
use pergrad_bench::limits::Limits;
use pergrad_bench::moments::{moments_fmas, products_for};
use pergrad_bench::plain;
use pergrad_bench::product::{Mat, Product};
use pergrad_core::{Dims, Fold, Isa, Start, scratch_len, sq_norms};

struct Norms<T> {
    layer: Layer<T>,
    norms: Buf<T>,
    /// A gradient of one example, or a row of it, for the peers.
    g: Buf<T>,
    want: Buf<T>,
}

impl<T: Limits> Norms<T> {
    fn new(dims: Dims) -> Self {
        let layer = Layer::new(dims);
        let [norms, want] = [(); 2].map(|()| Buf::zeros(dims.batch));
        let mut all = Norms { g: Buf::zeros(layer.weights()), layer, norms, want };
        all.ours(Isa::detect());
        all.want.copy_from_slice(&all.norms);
        all
    }

    fn ours(&mut self, isa: Isa) {
        sq_norms(isa, &self.layer.batch(), Start::Fresh, &mut self.norms).expect("lengths fit");
    }

    fn loops(&mut self) {
        let Norms { layer: Layer { dims, x, dy }, norms, g, .. } = self;
        plain::sq_norms(*dims, x, dy, norms, &mut g[..dims.inputs]);
    }

    /// The rows' products with themselves; one step only.
    fn ndarray(&mut self) {
        let Norms { layer: Layer { dims, x, dy }, norms, .. } = self;
        let x = ArrayView2::from_shape((dims.batch, dims.inputs), x).expect("lengths fit");
        let dy = ArrayView2::from_shape((dims.batch, dims.outputs), dy).expect("lengths fit");
        for ((norm, x), dy) in norms.iter_mut().zip(x.rows()).zip(dy.rows()) {
            *norm = x.dot(&x) * dy.dot(&dy);
        }
    }

    /// A product for each example, then the sum of its squares.
    fn products(&mut self, by: Product) {
        let Norms { layer: Layer { dims, x, dy }, norms, g, .. } = self;
        let Dims { steps, outputs, inputs, .. } = *dims;
        let examples = x.chunks_exact(steps * inputs).zip(dy.chunks_exact(steps * outputs));
        for ((x, dy), norm) in examples.zip(&mut **norms) {
            by.run(Mat::new(dy, steps, outputs).t(), Mat::new(x, steps, inputs), g);
            plain::sum_of_squares(g, norm);
        }
    }
}

impl<T: Limits> Work for Norms<T> {
    fn reset(&mut self) {
        self.norms.spoil();
    }

    fn check(&self, who: &str) {
        check_close(who, "sq_norms", &self.norms, &self.want);
    }
}

fn bench<T: Limits>(group: &mut Group<'_>, dims: Dims) {
    let work = if dims.steps == 1 {
        dims.batch * (dims.outputs + dims.inputs)
    } else {
        moments_fmas(dims)
    };
    let mut case = Case::new(id::<T>(dims), move || Norms::<T>::new(dims));
    elements(group, work);
    for isa in isas(work) {
        let name = isa.name();
        case.bench(group, name, |n| n.ours(isa));
        if dims.steps == 1 {
            case.limit(group, &format!("limit_read_{name}"), |n| {
                T::read(isa, &n.layer.x);
                T::read(isa, &n.layer.dy);
            });
        } else {
            case.limit(group, &format!("limit_fma_{name}"), |_| T::fma_chains(isa, work));
        }
    }
    case.bench(group, "loops", Norms::loops);
    if dims.steps == 1 {
        case.bench(group, "ndarray", Norms::ndarray);
    } else {
        for by in [Product::Gemm, Product::Faer] {
            case.bench(group, by.name(), |n| n.products(by));
        }
    }
}

fn norms(c: &mut Bencher) {
    let mut group = c.benchmark_group("sq_norms");
    let one_step = [LAYERS[1], LAYERS[3], Dims::new(7, 3, 5)];
    for dims in layers(&one_step).into_iter().chain(layers(&SEQUENCES)) {
        bench::<f32>(&mut group, dims);
    }
    for dims in layers(&[LAYERS[1], SEQUENCES[0]]) {
        bench::<f64>(&mut group, dims);
    }
}

/// The clipped gradient: the examples' norms, their factors, the product with the factors in it.
struct Clipped<T> {
    norms: Norms<T>,
    factors: Buf<T>,
    /// `c[b] dy`, for the peers.
    scaled: Buf<T>,
    grad: Buf<T>,
    scratch: Buf<T>,
    want: Buf<T>,
}

impl<T: Limits> Clipped<T> {
    fn new(dims: Dims) -> Self {
        let norms = Norms::<T>::new(dims);
        let n = norms.layer.weights();
        let mut all = Clipped {
            factors: Buf::zeros(dims.batch),
            scaled: Buf::zeros(norms.layer.dy.len()),
            grad: Buf::zeros(n),
            scratch: Buf::zeros(scratch_len(dims)),
            want: Buf::zeros(n),
            norms,
        };
        all.ours(Isa::detect());
        all.want.copy_from_slice(&all.grad);
        all
    }

    /// `min(1, bound / norm)`, with a bound that about half of the examples exceed.
    fn clip(&mut self) {
        let Dims { outputs, inputs, .. } = self.norms.layer.dims;
        let bound = T::from_f64((outputs as f64 * inputs as f64).sqrt() / 3.0);
        for (factor, sq) in self.factors.iter_mut().zip(&*self.norms.norms) {
            let norm = sq.std_sqrt();
            *factor = if norm > bound { bound / norm } else { T::ONE };
        }
    }

    fn ours(&mut self, isa: Isa) {
        self.norms.ours(isa);
        self.clip();
        let Clipped { norms, factors, grad, scratch, .. } = self;
        let batch = norms.layer.batch().with_example_weights(factors);
        pergrad_core::grad(isa, &batch, Fold::fresh(), grad, scratch).expect("lengths fit");
    }

    fn products(&mut self, by: Product) {
        self.norms.loops();
        self.clip();
        let Clipped { norms, factors, scaled, grad, .. } = self;
        let Layer { dims, x, dy } = &norms.layer;
        plain::scale_rows(dy, factors, scaled);
        let scaled = Mat::new(scaled, dims.batch, dims.outputs);
        by.run(scaled.t(), Mat::new(x, dims.batch, dims.inputs), grad);
    }
}

impl<T: Limits> Work for Clipped<T> {
    fn reset(&mut self) {
        self.grad.spoil();
    }

    fn check(&self, who: &str) {
        check_close(who, "grad", &self.grad, &self.want);
    }
}

fn clipped(c: &mut Bencher) {
    let mut group = c.benchmark_group("clipped_grad");
    for dims in layers(&LAYERS[..6]) {
        let work = products(dims);
        let mut case = Case::new(id::<f32>(dims), move || Clipped::<f32>::new(dims));
        elements(&mut group, work);
        for isa in isas(work) {
            case.bench(&mut group, isa.name(), |c| c.ours(isa));
            let limit = format!("limit_fma_{}", isa.name());
            case.limit(&mut group, &limit, |_| f32::fma_chains(isa, work));
        }
        for by in products_for(work) {
            case.bench(&mut group, by.name(), |c| c.products(by));
        }
    }
}

criterion_group! { name = benches; config = case::criterion(); targets = norms, clipped }
criterion_main!(benches);
