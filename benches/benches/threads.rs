//! What a second thread brings: the std crate on two threads, beside the core on one and beside the
//! multiply-adds of two threads. (Not to be pinned to one CPU, nor run on the clock of one thread.)

use criterion::{criterion_group, criterion_main};
use pergrad::{LayerBatch, Linear, Moments, Tensor};
use pergrad_bench::buf::{Buf, check_close};
use pergrad_bench::case::{self, Bencher, Case, Work, elements};
use pergrad_bench::layer::{LAYERS, Layer, id, layers, products};
use pergrad_bench::limits::Limits;
use pergrad_core::{Batch, Dims, Fold, Isa, Start, scratch_len};
use rayon::ThreadPoolBuilder;

/// Threads that meet one.
const THREADS: usize = 2;

/// A layer, and what is computed of it.
struct Data {
    layer: Linear<f32>,
    x: Tensor<f32>,
    dy: Tensor<f32>,
    moments: Moments<f32>,
    y: Tensor<f32>,
}

impl Data {
    fn moments(&mut self) {
        let batch = LayerBatch::new(&self.x, &self.dy);
        self.layer.moments_into(batch, &mut self.moments).expect("shapes fit");
    }

    fn moments_on_one(&mut self, isa: Isa, dims: Dims, scratch: &mut [f32]) {
        let batch = Batch::new(dims, self.x.as_slice(), self.dy.as_slice());
        let Moments { grad, grad_sq } = &mut self.moments;
        let [grad, grad_sq] = [grad, grad_sq].map(|params| params.weight.as_mut_slice());
        let fold = Fold::mean(dims.batch);
        pergrad_core::moments(isa, &batch, fold, grad, grad_sq, scratch).expect("lengths fit");
    }

    fn forward(&mut self) {
        self.layer.forward_into(&self.x, &mut self.y).expect("shapes fit");
    }

    fn forward_on_one(&mut self, isa: Isa, dims: Dims, _: &mut [f32]) {
        let (x, weight) = (self.x.as_slice(), self.layer.weight().as_slice());
        let y = self.y.as_mut_slice();
        pergrad_core::forward(isa, dims, x, weight, None, Start::Fresh, y).expect("lengths fit");
    }
}

/// The data, and what one thread made of it.
struct Shared {
    isa: Isa,
    dims: Dims,
    data: Data,
    scratch: Buf<f32>,
    /// The gradient, then `y`.
    want: [Buf<f32>; 2],
}

/// A kernel by the core, on one thread.
type OnOne = fn(&mut Data, Isa, Dims, &mut [f32]);

impl Shared {
    fn new(isa: Isa, dims: Dims) -> Self {
        let Dims { batch, outputs, inputs, .. } = dims;
        let Layer { x, dy, .. } = Layer::<f32>::new(dims);
        let fits = "memory is there";
        let data = Data {
            layer: Linear::init(outputs, inputs, false, 3).expect(fits),
            x: Tensor::from_slice(&[batch, inputs], &x).expect(fits),
            dy: Tensor::from_slice(&[batch, outputs], &dy).expect(fits),
            moments: Moments::zeros(outputs, inputs, false).expect(fits),
            y: Tensor::zeros(&[batch, outputs]).expect(fits),
        };
        let want = [Buf::zeros(outputs * inputs), Buf::zeros(batch * outputs)];
        let scratch = Buf::zeros(scratch_len(dims));
        let mut shared = Shared { isa, dims, data, scratch, want };
        shared.on_one(Data::moments_on_one);
        shared.on_one(Data::forward_on_one);
        let Shared { data, want: [grad, y], .. } = &mut shared;
        grad.copy_from_slice(data.moments.grad.weight.as_slice());
        y.copy_from_slice(data.y.as_slice());
        shared
    }

    fn on_one(&mut self, kernel: OnOne) {
        kernel(&mut self.data, self.isa, self.dims, &mut self.scratch);
    }
}

impl Work for Shared {
    fn reset(&mut self) {
        self.data.moments.grad.weight.as_mut_slice().fill(f32::NAN);
        self.data.y.as_mut_slice().fill(f32::NAN);
    }

    fn check(&self, who: &str) {
        let [grad, y] = &self.want;
        // Only one of the two was computed since the reset.
        let got = self.data.moments.grad.weight.as_slice();
        if self.data.y.as_slice().iter().all(|y| y.is_nan()) {
            check_close(who, "grad", got, grad);
        } else {
            check_close(who, "y", self.data.y.as_slice(), y);
        }
    }
}

/// A kernel of `slots` multiply-adds an element, on all threads and on one.
fn contest(c: &mut Bencher, name: &str, slots: usize, kernel: fn(&mut Data), on_one: OnOne) {
    let isa = Isa::detect();
    let mut group = c.benchmark_group(format!("threads_{name}"));
    for dims in layers(&LAYERS[..4]) {
        let work = slots * products(dims);
        let mut case = Case::new(id::<f32>(dims), move || Shared::new(isa, dims));
        elements(&mut group, work);
        case.bench(&mut group, isa.name(), |s| kernel(&mut s.data));
        case.bench(&mut group, &format!("own_one_thread_{}", isa.name()), |s| s.on_one(on_one));
        case.limit(&mut group, &format!("limit_fma_{}", isa.name()), |_| {
            let half = || f32::fma_chains(isa, work / THREADS);
            rayon::join(half, half);
        });
    }
}

fn threads(c: &mut Bencher) {
    // This thread is one of them.
    let pool = ThreadPoolBuilder::new().num_threads(THREADS).use_current_thread();
    pool.build_global().expect("nothing made the pool before");
    contest(c, "moments", 2, Data::moments, Data::moments_on_one);
    contest(c, "forward", 1, Data::forward, Data::forward_on_one);
}

criterion_group! { name = benches; config = case::criterion(); targets = threads }
criterion_main!(benches);
