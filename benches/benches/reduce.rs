//! Sum and sum of squares over the batch of materialised rows.

use criterion::{criterion_group, criterion_main};
use ndarray::{ArrayView1, ArrayView2, ArrayViewMut1};
use pergrad_bench::buf::{Buf, check_close};
use pergrad_bench::case::{self, Bencher, Case, Group, Work, bytes, select};
use pergrad_bench::limits::Limits;
use pergrad_bench::plain;
use pergrad_core::{Fold, Isa};

/// `[B, n]`: odd and small, within the second and the last cache, and in memory.
const SHAPES: [[usize; 2]; 5] = [[7, 13], [32, 4096], [256, 16_384], [32, 1 << 20], [1024, 32_768]];

struct Reduce<T> {
    batch: usize,
    rows: Buf<T>,
    sum: Buf<T>,
    sum_sq: Buf<T>,
    want: [Buf<T>; 2],
}

impl<T: Limits> Reduce<T> {
    fn new([batch, n]: [usize; 2]) -> Self {
        let rows = Buf::random(batch * n, 1, -1.0, 1.0);
        let [sum, sum_sq] = [(); 2].map(|()| Buf::zeros(n));
        let want = [(); 2].map(|()| Buf::zeros(n));
        let mut all = Reduce { batch, rows, sum, sum_sq, want };
        all.ours(Isa::detect());
        all.want[0].copy_from_slice(&all.sum);
        all.want[1].copy_from_slice(&all.sum_sq);
        all
    }

    fn ours(&mut self, isa: Isa) {
        let Reduce { batch, rows, sum, sum_sq, .. } = self;
        pergrad_core::reduce(isa, rows, *batch, Fold::fresh(), sum, sum_sq).expect("lengths fit");
    }

    /// Row by row with array operations.
    fn ndarray(&mut self) {
        let Reduce { batch, rows, sum, sum_sq, .. } = self;
        let rows = ArrayView2::from_shape((*batch, sum.len()), rows).expect("lengths fit");
        sum.fill(T::ZERO);
        sum_sq.fill(T::ZERO);
        let mut sum = ArrayViewMut1::from(&mut **sum);
        let mut sum_sq = ArrayViewMut1::from(&mut **sum_sq);
        for row in rows.rows() {
            let row: ArrayView1<'_, T> = row;
            ndarray::Zip::from(&mut sum).and(&mut sum_sq).and(row).for_each(|sum, sum_sq, g| {
                *sum += *g;
                *sum_sq += *g * *g;
            });
        }
    }
}

impl<T: Limits> Work for Reduce<T> {
    fn reset(&mut self) {
        self.sum.spoil();
        self.sum_sq.spoil();
    }

    fn check(&self, who: &str) {
        check_close(who, "sum", &self.sum, &self.want[0]);
        check_close(who, "sum_sq", &self.sum_sq, &self.want[1]);
    }
}

fn bench<T: Limits>(group: &mut Group<'_>, [batch, n]: [usize; 2]) {
    let id = format!("{}_{batch}x{n}", T::NAME);
    let mut case = Case::new(id, move || Reduce::<T>::new([batch, n]));
    bytes(group, batch * n * size_of::<T>());
    for isa in Isa::available() {
        case.bench(group, isa.name(), |r| r.ours(isa));
        let limit = format!("limit_read_{}", isa.name());
        case.limit(group, &limit, |r| T::read(isa, &r.rows));
    }
    case.bench(group, "loops", |Reduce { rows, sum, sum_sq, .. }| plain::reduce(rows, sum, sum_sq));
    case.bench(group, "ndarray", Reduce::ndarray);
}

fn reduce(c: &mut Bencher) {
    let mut group = c.benchmark_group("reduce");
    for shape in select(&SHAPES, |[batch, n]| batch * n <= 1 << 20) {
        bench::<f32>(&mut group, shape);
    }
    for shape in select(&SHAPES[1..3], |[batch, n]| batch * n <= 1 << 20) {
        bench::<f64>(&mut group, shape);
    }
}

criterion_group! { name = benches; config = case::criterion(); targets = reduce }
criterion_main!(benches);
