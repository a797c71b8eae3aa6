//! The moments of layers that use their weights several times per example.

use criterion::{criterion_group, criterion_main};
use pergrad_bench::case::{self, Bencher};
use pergrad_bench::layer::{SEQUENCES, layers};
use pergrad_bench::moments::bench_moments;

fn sequences(c: &mut Bencher) {
    let mut group = c.benchmark_group("sequences");
    for dims in layers(&SEQUENCES) {
        bench_moments::<f32>(&mut group, dims);
    }
    for dims in layers(&SEQUENCES[1..2]) {
        bench_moments::<f64>(&mut group, dims);
    }
}

criterion_group! { name = benches; config = case::criterion(); targets = sequences }
criterion_main!(benches);
