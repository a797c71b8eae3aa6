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
    dims: Dims,
    layer: Linear<f32>,
    x: Tensor<f32>,
    dy: Tensor<f32>,
    moments: Moments<f32>,
    y: Tensor<f32>,
    /// Of the core.
    scratch: Buf<f32>,
}

impl Data {
    fn new(dims: Dims) -> Self {
        let Dims { batch, outputs, inputs, .. } = dims;
        let Layer { x, dy, .. } = Layer::<f32>::new(dims);
        let fits = "memory is there";
        Data {
            dims,
            layer: Linear::init(outputs, inputs, false, 3).expect(fits),
            x: Tensor::from_slice(&[batch, inputs], &x).expect(fits),
            dy: Tensor::from_slice(&[batch, outputs], &dy).expect(fits),
            moments: Moments::zeros(outputs, inputs, false).expect(fits),
            y: Tensor::zeros(&[batch, outputs]).expect(fits),
            scratch: Buf::zeros(scratch_len(dims)),
        }
    }

    fn moments(&mut self) {
        let batch = LayerBatch::new(&self.x, &self.dy);
        self.layer.moments_into(batch, &mut self.moments).expect("shapes fit");
    }

    fn moments_on_one(&mut self) {
        let Data { dims, x, dy, moments: Moments { grad, grad_sq }, scratch, .. } = self;
        let batch = Batch::new(*dims, x.as_slice(), dy.as_slice());
        let [grad, grad_sq] = [grad, grad_sq].map(|params| params.weight.as_mut_slice());
        let fold = Fold::mean(dims.batch);
        pergrad_core::moments(Isa::detect(), &batch, fold, grad, grad_sq, scratch)
            .expect("lengths fit");
    }

    fn forward(&mut self) {
        self.layer.forward_into(&self.x, &mut self.y).expect("shapes fit");
    }

    fn forward_on_one(&mut self) {
        let Data { dims, layer, x, y, .. } = self;
        let (x, weight, y) = (x.as_slice(), layer.weight().as_slice(), y.as_mut_slice());
        pergrad_core::forward(Isa::detect(), *dims, x, weight, None, Start::Fresh, y)
            .expect("lengths fit");
    }
}

/// A kernel in both ways.
#[derive(Clone, Copy)]
struct Kernel {
    name: &'static str,
    /// Multiply-adds an element.
    slots: usize,
    /// By the std crate.
    on_all: fn(&mut Data),
    /// By the core.
    on_one: fn(&mut Data),
    output: fn(&Data) -> &Tensor<f32>,
}

const KERNELS: [Kernel; 2] = [
    Kernel {
        name: "moments",
        slots: 2,
        on_all: Data::moments,
        on_one: Data::moments_on_one,
        output: |data| &data.moments.grad.weight,
    },
    Kernel {
        name: "forward",
        slots: 1,
        on_all: Data::forward,
        on_one: Data::forward_on_one,
        output: |data| &data.y,
    },
];
/// What a kernel works on, and what it gives on one thread.
struct Shared {
    kernel: Kernel,
    data: Data,
    want: Buf<f32>,
}

impl Shared {
    fn new(kernel: Kernel, dims: Dims) -> Self {
        let mut data = Data::new(dims);
        (kernel.on_one)(&mut data);
        let got = (kernel.output)(&data).as_slice();
        let mut want = Buf::zeros(got.len());
        want.copy_from_slice(got);
        Shared { kernel, data, want }
    }
}

impl Work for Shared {
    fn reset(&mut self) {
        self.data.moments.grad.weight.as_mut_slice().fill(f32::NAN);
        self.data.y.as_mut_slice().fill(f32::NAN);
    }

    fn check(&self, who: &str) {
        let Kernel { name, output, .. } = self.kernel;
        check_close(who, name, output(&self.data).as_slice(), &self.want);
    }
}

fn threads(c: &mut Bencher) {
    // This thread is one of them.
    let pool = ThreadPoolBuilder::new().num_threads(THREADS).use_current_thread();
    pool.build_global().expect("nothing made the pool before");
    let isa = Isa::detect();
    for kernel in KERNELS {
        let mut group = c.benchmark_group(format!("threads_{}", kernel.name));
        for dims in layers(&LAYERS[..4]) {
            let work = kernel.slots * products(dims);
            let mut case = Case::new(id::<f32>(dims), move || Shared::new(kernel, dims));
            elements(&mut group, work);
            case.bench(&mut group, isa.name(), |s| (kernel.on_all)(&mut s.data));
            let one = format!("own_one_thread_{}", isa.name());
            case.bench(&mut group, &one, |s| (kernel.on_one)(&mut s.data));
            case.limit(&mut group, &format!("limit_fma_{}", isa.name()), |_| {
                let half = || f32::fma_chains(isa, work / THREADS);
                rayon::join(half, half);
            });
        }
    }
}

criterion_group! { name = benches; config = case::criterion(); targets = threads }
criterion_main!(benches);
