//! The layer step for each optimizer, beside the products of other crates followed by an update.

use criterion::{criterion_group, criterion_main};
use pergrad_bench::case::{self, Bencher};
use pergrad_bench::layer::{LAYERS, LAYERS_F64, SEQUENCES, layers, products};
use pergrad_bench::step::bench_step;
use pergrad_bench::update::Rule;

/// All the layers but the longest batch, which says what the shorter one says.
fn adam(c: &mut Bencher, rule: Rule) {
    let mut group = c.benchmark_group(format!("step_{}", rule.name()));
    for dims in layers(&LAYERS).into_iter().filter(|d| products(*d) <= 2_000_000_000) {
        bench_step::<f32>(&mut group, rule, dims);
    }
    for dims in layers(&SEQUENCES[..2]) {
        bench_step::<f32>(&mut group, rule, dims);
    }
    for dims in layers(&LAYERS_F64[1..2]) {
        bench_step::<f64>(&mut group, rule, dims);
    }
}

/// The optimizers whose steps differ from Adam's only in the update: one shape in the caches, one past them.
fn other(c: &mut Bencher, rule: Rule) {
    let mut group = c.benchmark_group(format!("step_{}", rule.name()));
    for dims in layers(&[LAYERS[0], LAYERS[4]]) {
        bench_step::<f32>(&mut group, rule, dims);
    }
}

fn step(c: &mut Bencher) {
    adam(c, Rule::AdamGradSq);
    adam(c, Rule::Adam);
    other(c, Rule::Rmsprop);
    other(c, Rule::Momentum);
}

criterion_group! { name = benches; config = case::criterion(); targets = step }
criterion_main!(benches);
