//! The averaged gradient alone (the ordinary matrix product), and both moments in one sweep.

use criterion::{criterion_group, criterion_main};
use pergrad_bench::case::{self, Bencher};
use pergrad_bench::layer::{LAYERS, LAYERS_F64, SMALL, layers};
use pergrad_bench::moments::{bench_grad, bench_moments};

fn grad(c: &mut Bencher) {
    let mut group = c.benchmark_group("grad");
    for dims in [layers(&LAYERS[..10]), layers(&SMALL)].concat() {
        bench_grad::<f32>(&mut group, dims);
    }
    for dims in layers(&LAYERS_F64[1..2]) {
        bench_grad::<f64>(&mut group, dims);
    }
}

fn moments(c: &mut Bencher) {
    let mut group = c.benchmark_group("moments");
    for dims in [layers(&LAYERS), layers(&SMALL)].concat() {
        bench_moments::<f32>(&mut group, dims);
    }
    for dims in layers(&LAYERS_F64) {
        bench_moments::<f64>(&mut group, dims);
    }
}

criterion_group! { name = benches; config = case::criterion(); targets = moments, grad }
criterion_main!(benches);
