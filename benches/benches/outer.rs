//! Per-example gradients, materialised: within the caches and past them.

use criterion::{criterion_group, criterion_main};
use ndarray::{ArrayView1, ArrayViewMut2, Axis};
use pergrad_bench::buf::{Buf, check_close};
use pergrad_bench::case::{self, Bencher, Case, Group, Work, bytes, isas};
use pergrad_bench::layer::{Layer, id, layers, products};
use pergrad_bench::limits::Limits;
use pergrad_bench::plain;
use pergrad_bench::product::{Mat, Product};
use pergrad_core::{Dims, Isa, per_example_grad};

/// Outputs of 0.25, 2, 8 and 128 MiB, a small odd one, and sequences of 4 and 32 MiB.
const SHAPES: [Dims; 7] = [
    Dims::new(16, 64, 64),
    Dims::new(32, 128, 128),
    Dims::new(32, 256, 256),
    Dims::new(64, 512, 1024),
    Dims::new(7, 3, 5),
    Dims::new(16, 256, 256).with_steps(64),
    Dims::new(32, 512, 512).with_steps(16),
];

/// A layer and the gradients of its examples.
struct Outer<T> {
    layer: Layer<T>,
    out: Buf<T>,
    want: Buf<T>,
}

impl<T: Limits> Outer<T> {
    fn new(dims: Dims) -> Self {
        let layer = Layer::new(dims);
        let n = dims.batch * layer.weights();
        let mut all = Outer { layer, out: Buf::zeros(n), want: Buf::zeros(n) };
        all.ours(Isa::detect());
        std::mem::swap(&mut all.out, &mut all.want);
        all
    }

    fn ours(&mut self, isa: Isa) {
        per_example_grad(isa, &self.layer.batch(), &mut self.out).expect("lengths fit");
    }

    fn loops(&mut self) {
        let Outer { layer: Layer { dims, x, dy }, out, .. } = self;
        plain::per_example_grad(*dims, x, dy, out);
    }

    /// One product for each example.
    fn products(&mut self, by: Product) {
        let Outer { layer: Layer { dims, x, dy }, out, .. } = self;
        let Dims { steps, outputs, inputs, .. } = *dims;
        let examples = x.chunks_exact(steps * inputs).zip(dy.chunks_exact(steps * outputs));
        for ((x, dy), out) in examples.zip(out.chunks_exact_mut(outputs * inputs)) {
            by.run(Mat::new(dy, steps, outputs).t(), Mat::new(x, steps, inputs), out);
        }
    }

    /// One broadcast product for each example, as `mul(out=)` elsewhere; one step only.
    fn broadcast(&mut self) {
        let Outer { layer: Layer { dims, x, dy }, out, .. } = self;
        let Dims { outputs, inputs, .. } = *dims;
        let examples = x.chunks_exact(inputs).zip(dy.chunks_exact(outputs));
        for ((x, dy), out) in examples.zip(out.chunks_exact_mut(outputs * inputs)) {
            let (x, dy) = (ArrayView1::from(x), ArrayView1::from(dy));
            let mut out = ArrayViewMut2::from_shape((outputs, inputs), out).expect("lengths fit");
            ndarray::Zip::from(&mut out)
                .and_broadcast(&dy.insert_axis(Axis(1)))
                .and_broadcast(&x)
                .for_each(|out, dy, x| *out = *dy * *x);
        }
    }
}

impl<T: Limits> Work for Outer<T> {
    fn reset(&mut self) {
        self.out.spoil();
    }

    fn check(&self, who: &str) {
        check_close(who, "per_example_grad", &self.out, &self.want);
    }
}

fn bench<T: Limits>(group: &mut Group<'_>, dims: Dims) {
    let work = products(dims);
    let mut case = Case::new(id::<T>(dims), move || Outer::<T>::new(dims));
    bytes(group, dims.batch * dims.outputs * dims.inputs * size_of::<T>());
    for isa in isas(work) {
        let name = isa.name();
        case.bench(group, name, |o| o.ours(isa));
        case.limit(group, &format!("limit_fill_{name}"), |o| T::fill(isa, &mut o.out));
        case.limit(group, &format!("limit_stream_{name}"), |o| T::stream_fill(isa, &mut o.out));
        if dims.steps > 1 {
            case.limit(group, &format!("limit_fma_{name}"), |_| T::fma_chains(isa, work));
        }
    }
    case.bench(group, "loops", Outer::loops);
    if dims.steps == 1 {
        case.bench(group, "ndarray", Outer::broadcast);
    }
    for by in [Product::Gemm, Product::Faer] {
        case.bench(group, by.name(), |o| o.products(by));
    }
}

fn outer(c: &mut Bencher) {
    let mut group = c.benchmark_group("per_example_grad");
    for dims in layers(&SHAPES) {
        bench::<f32>(&mut group, dims);
    }
    for dims in layers(&[SHAPES[1], SHAPES[2]]) {
        bench::<f64>(&mut group, dims);
    }
}

criterion_group! { name = benches; config = case::criterion(); targets = outer }
criterion_main!(benches);
