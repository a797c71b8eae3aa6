//! The forward product and the gradient of the input.

use criterion::{criterion_group, criterion_main};
use pergrad_bench::buf::{Buf, check_close};
use pergrad_bench::case::{self, Bencher, Case, Group, Work, elements, isas, loops_can};
use pergrad_bench::layer::{LAYERS, LAYERS_F64, Layer, NARROW, SMALL, id, layers, products};
use pergrad_bench::limits::Limits;
use pergrad_bench::moments::products_for;
use pergrad_bench::plain;
use pergrad_bench::product::{Mat, Product};
use pergrad_core::{Dims, Isa, Start};

/// A layer with its weight, and one of the two outputs.
struct Linear<T> {
    layer: Layer<T>,
    weight: Buf<T>,
    out: Buf<T>,
    want: Buf<T>,
}

impl<T: Limits> Linear<T> {
    fn new(dims: Dims, outputs: fn(&Layer<T>) -> usize, ours: fn(&mut Self, Isa)) -> Self {
        let layer = Layer::new(dims);
        let n = outputs(&layer);
        let weight = Buf::random(layer.weights(), 3, -1.0, 1.0);
        let mut all = Linear { layer, weight, out: Buf::zeros(n), want: Buf::zeros(n) };
        ours(&mut all, Isa::detect());
        all.want.copy_from_slice(&all.out);
        all
    }

    fn forward(&mut self, isa: Isa) {
        let Linear { layer: Layer { dims, x, .. }, weight, out, .. } = self;
        pergrad_core::forward(isa, *dims, x, weight, None, Start::Fresh, out).expect("lengths fit");
    }

    fn forward_product(&mut self, by: Product) {
        let Linear { layer: Layer { dims, x, .. }, weight, out, .. } = self;
        let weight = Mat::new(weight, dims.outputs, dims.inputs);
        by.run(Mat::new(x, dims.batch, dims.inputs), weight.t(), out);
    }

    fn input_grad(&mut self, isa: Isa) {
        let Linear { layer: Layer { dims, dy, .. }, weight, out, .. } = self;
        pergrad_core::input_grad(isa, *dims, dy, weight, Start::Fresh, out).expect("lengths fit");
    }

    fn input_grad_product(&mut self, by: Product) {
        let Linear { layer: Layer { dims, dy, .. }, weight, out, .. } = self;
        let weight = Mat::new(weight, dims.outputs, dims.inputs);
        by.run(Mat::new(dy, dims.batch, dims.outputs), weight, out);
    }
}

impl<T: Limits> Work for Linear<T> {
    fn reset(&mut self) {
        self.out.spoil();
    }

    fn check(&self, who: &str) {
        check_close(who, "the product", &self.out, &self.want);
    }
}

fn bench_forward<T: Limits>(group: &mut Group<'_>, dims: Dims) {
    let work = products(dims);
    let make = move || Linear::<T>::new(dims, |layer| layer.dy.len(), Linear::forward);
    let mut case = Case::new(id::<T>(dims), make);
    elements(group, work);
    for isa in isas(work) {
        case.bench(group, isa.name(), |l| l.forward(isa));
        let limit = format!("limit_fma_{}", isa.name());
        case.limit(group, &limit, |_| T::fma_chains(isa, work));
    }
    if loops_can(work) {
        case.bench(
            group,
            "loops",
            |Linear { layer: Layer { dims, x, .. }, weight, out, .. }| {
                plain::forward(*dims, x, weight, out);
            },
        );
    }
    for by in products_for(work) {
        case.bench(group, by.name(), |l| l.forward_product(by));
    }
}

fn bench_input_grad<T: Limits>(group: &mut Group<'_>, dims: Dims) {
    let work = products(dims);
    let make = move || Linear::<T>::new(dims, |layer| layer.x.len(), Linear::input_grad);
    let mut case = Case::new(id::<T>(dims), make);
    elements(group, work);
    for isa in isas(work) {
        case.bench(group, isa.name(), |l| l.input_grad(isa));
        let limit = format!("limit_fma_{}", isa.name());
        case.limit(group, &limit, |_| T::fma_chains(isa, work));
    }
    if loops_can(work) {
        case.bench(
            group,
            "loops",
            |Linear { layer: Layer { dims, dy, .. }, weight, out, .. }| {
                plain::input_grad(*dims, dy, weight, out);
            },
        );
    }
    for by in products_for(work) {
        case.bench(group, by.name(), |l| l.input_grad_product(by));
    }
}

/// The layers but the longest batch.
fn shapes() -> Vec<Dims> {
    [layers(&LAYERS[..10]), layers(&SMALL), layers(&NARROW)].concat()
}

fn forward(c: &mut Bencher) {
    let mut group = c.benchmark_group("forward");
    for dims in shapes() {
        bench_forward::<f32>(&mut group, dims);
    }
    for dims in layers(&LAYERS_F64[1..2]) {
        bench_forward::<f64>(&mut group, dims);
    }
}

fn input_grad(c: &mut Bencher) {
    let mut group = c.benchmark_group("input_grad");
    for dims in shapes() {
        bench_input_grad::<f32>(&mut group, dims);
    }
    for dims in layers(&LAYERS_F64[1..2]) {
        bench_input_grad::<f64>(&mut group, dims);
    }
}

criterion_group! { name = benches; config = case::criterion(); targets = forward, input_grad }
criterion_main!(benches);
