//! How contestants meet: on one case, one after the other, checked once and then timed.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use pergrad_core::Isa;

use crate::clock::Clock;

/// A criterion group on our clock.
pub type Group<'a> = BenchmarkGroup<'a, Clock>;

/// Criterion on our clock.
pub type Bencher = Criterion<Clock>;

/// Short measurements: the whole run is to take minutes. The command line overrides all of it.
pub fn criterion() -> Bencher {
    Criterion::default()
        .with_measurement(Clock::from_env())
        .sample_size(10)
        .measurement_time(Duration::from_millis(300))
        .warm_up_time(Duration::from_millis(100))
        .nresamples(2000)
        .without_plots()
}

/// Whether everything runs just once, as `cargo test` and `cargo bench -- --test` ask for: then only
/// the small shapes do.
pub fn test_mode() -> bool {
    let has = |name: &str| std::env::args().any(|a| a == name);
    has("--test") || !has("--bench")
}

/// `all`, or in test mode only those that `is_small`.
pub fn select<C: Copy>(all: &[C], is_small: impl Fn(&C) -> bool) -> Vec<C> {
    let test = test_mode();
    all.iter().copied().filter(|c| !test || is_small(c)).collect()
}

/// The data and results of one case. Made only when a contestant that was asked for needs it.
pub trait Work {
    /// Puts inputs that contestants change back to where they started, and spoils the outputs.
    fn reset(&mut self);

    /// Compares the results of one run after [`Work::reset`] with pergrad's.
    ///
    /// # Panics
    /// If they differ by more than the rounding of long sums.
    fn check(&self, who: &str);
}

/// One shape and element type, on which contestants meet.
pub struct Case<W> {
    id: String,
    make: Box<dyn Fn() -> W>,
    work: Option<W>,
}

impl<W: Work> Case<W> {
    /// A case by its name, and how to make its data.
    pub fn new(id: String, make: impl Fn() -> W + 'static) -> Self {
        Case { id, make: Box::new(make), work: None }
    }

    /// Checks, then times a contestant.
    pub fn bench(&mut self, group: &mut Group<'_>, who: &str, mut run: impl FnMut(&mut W)) {
        let mut checked = false;
        group.bench_function(BenchmarkId::new(who, &self.id), |b| {
            let work = self.work.get_or_insert_with(&self.make);
            if !checked {
                work.reset();
                run(work);
                work.check(who);
                checked = true;
            }
            b.iter(|| run(black_box(work)));
        });
    }

    /// Times a limit, which has no result to check and may leave anything in the arrays.
    pub fn limit(&mut self, group: &mut Group<'_>, who: &str, mut run: impl FnMut(&mut W)) {
        group.bench_function(BenchmarkId::new(who, &self.id), |b| {
            let work = self.work.get_or_insert_with(|| {
                let mut work = (self.make)();
                work.reset();
                work
            });
            b.iter(|| run(black_box(work)));
        });
    }
}

/// Sets what one iteration of the next benches counts as.
pub fn elements(group: &mut Group<'_>, n: usize) {
    group.throughput(Throughput::Elements(n as u64));
}

/// The same in bytes.
pub fn bytes(group: &mut Group<'_>, n: usize) {
    group.throughput(Throughput::Bytes(n as u64));
}

/// Work in one call, in multiply-adds or elements, up to which a run has time for every contestant.
const SMALL: usize = 1 << 20;

/// Whether a call does little work: then all contestants run, else those that could be the fastest.
pub fn is_small(work: usize) -> bool {
    work <= SMALL
}

/// The instruction sets that are asked to do this much work in one call. The portable one, which on
/// x86-64 computes fused multiply-adds in software unless compiled for more, is asked to do little.
pub fn isas(work: usize) -> impl Iterator<Item = Isa> {
    Isa::available().filter(move |isa| is_small(work) || *isa != Isa::baseline() || FMA)
}

/// Whether plain loops are asked to do `fmas` multiply-adds in one call.
pub fn loops_can(fmas: usize) -> bool {
    fmas <= 300_000_000
}

/// Whether the compilation target has a fused multiply-add.
pub const FMA: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));
