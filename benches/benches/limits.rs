//! What the hardware allows, by itself: the rates that the other benches' limits come from.

use criterion::{BenchmarkId, criterion_group, criterion_main};
use pergrad_bench::buf::Buf;
use pergrad_bench::case::{self, Bencher, bytes, elements, select};
use pergrad_bench::limits::Limits;
use pergrad_core::{Element, Isa};

/// Bytes of the arrays that are moved: in the first, the second and the last cache, and in memory.
const SIZES: [usize; 4] = [16 << 10, 256 << 10, 4 << 20, 128 << 20];

/// Operations in registers.
fn compute<T: Limits>(c: &mut Bencher) {
    const N: usize = 1 << 20;
    type Loop = fn(Isa, usize);
    let loops: [(&str, Loop); 4] = [
        ("limit_fma", T::fma_chains),
        ("limit_ops", T::moments_chains),
        ("limit_sqrt_div", T::sqrt_div_chains),
        ("limit_sqrt", T::sqrt_chains),
    ];
    for (name, run) in loops {
        let mut group = c.benchmark_group(name);
        elements(&mut group, N);
        for isa in Isa::available() {
            group.bench_function(BenchmarkId::new(isa.name(), T::NAME), |b| b.iter(|| run(isa, N)));
        }
    }
}

/// Bytes through the caches and to memory. The throughput counts each array once for a read and once
/// for a write.
fn memory(c: &mut Bencher) {
    type T = f32;
    for size in select(&SIZES, |s| *s <= 256 << 10) {
        let n = size / size_of::<T>();
        let [mut a, mut b, mut c_] = [1, 2, 3].map(|seed| Buf::<T>::random(n, seed, 0.1, 1.0));
        let grad = Buf::<T>::random(n, 4, 0.1, 1.0);
        for isa in Isa::available() {
            let id = BenchmarkId::new(isa.name(), format!("{}_{n}", T::NAME));
            let mut group = c.benchmark_group("limit_fill");
            bytes(&mut group, size);
            group.bench_function(id.clone(), |bench| bench.iter(|| T::fill(isa, &mut a)));
            group.finish();
            let mut group = c.benchmark_group("limit_stream_fill");
            bytes(&mut group, size);
            group.bench_function(id.clone(), |bench| bench.iter(|| T::stream_fill(isa, &mut a)));
            group.finish();
            let mut group = c.benchmark_group("limit_read");
            bytes(&mut group, size);
            group.bench_function(id.clone(), |bench| bench.iter(|| T::read(isa, &grad)));
            group.finish();
            let mut group = c.benchmark_group("limit_move_adam");
            bytes(&mut group, 7 * size);
            group.bench_function(id, |bench| {
                bench.iter(|| T::move_arrays(isa, [&mut a, &mut b, &mut c_], [&grad]));
            });
            group.finish();
        }
    }
}

criterion_group! {
    name = benches;
    config = case::criterion();
    targets = compute::<f32>, compute::<f64>, memory
}
criterion_main!(benches);
