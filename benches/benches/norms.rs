//! Squared norms of the per-example gradients.

use criterion::{criterion_group, criterion_main};
use ndarray::ArrayView2;
use pergrad_bench::buf::{Buf, check_close};
use pergrad_bench::case::{self, Bencher, Case, Group, Work, elements, isas};
use pergrad_bench::layer::{LAYERS, Layer, SEQUENCES, id, layers};
use pergrad_bench::limits::Limits;
use pergrad_bench::moments::moments_fmas;
use pergrad_bench::plain;
use pergrad_bench::product::{Mat, Product};
use pergrad_core::{Dims, Isa, Start, sq_norms};

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

criterion_group! { name = benches; config = case::criterion(); targets = norms }
criterion_main!(benches);
