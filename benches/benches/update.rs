//! The optimizers in place over slices, with the second moment from the squared gradient or (Adam)
//! from a given slice.

use criterion::{criterion_group, criterion_main};
use pergrad_bench::case::{self, Bencher, select};
use pergrad_bench::update::{Rule, bench_update};

const SIZES: [usize; 4] = [4096, 65_536, 1 << 20, 1 << 24];

fn update(c: &mut Bencher, rule: Rule, sizes: &[usize], sizes_f64: &[usize]) {
    let mut group = c.benchmark_group(rule.name());
    for n in select(sizes, |n| *n <= 4096) {
        bench_update::<f32>(&mut group, rule, n);
        #[cfg(feature = "heavy-peers")]
        if rule == Rule::Adam {
            pergrad_bench::heavy::bench_adam(&mut group, n);
        }
    }
    for n in select(sizes_f64, |n| *n <= 4096) {
        bench_update::<f64>(&mut group, rule, n);
    }
}

fn adam(c: &mut Bencher) {
    update(c, Rule::Adam, &SIZES, &[4096, 1 << 20]);
}

fn adam_grad_sq(c: &mut Bencher) {
    update(c, Rule::AdamGradSq, &SIZES, &[]);
}

fn rmsprop(c: &mut Bencher) {
    update(c, Rule::Rmsprop, &SIZES, &[4096]);
}

fn momentum(c: &mut Bencher) {
    update(c, Rule::Momentum, &[4096, 1 << 24], &[]);
}

criterion_group! {
    name = benches;
    config = case::criterion();
    targets = adam, adam_grad_sq, rmsprop, momentum
}
criterion_main!(benches);
