//! Cases of the kernels on batches: swept over every extent, and drawn.

use pergrad_core::{Batch, Dims, Fold, Start, scratch_len};
use proptest::prelude::*;
use proptest::strategy::Union;

use super::compare::Output;
use super::guard::Guarded;
use super::values::{Kind, Real, Rng, kinds};
use super::{EMULATED, VECTORS};

/// How much scratch memory a kernel gets.
#[derive(Debug, Clone, Copy)]
pub enum Scratch {
    /// Nothing.
    Empty,
    /// Less, or more, than it would like.
    Some,
    /// What `scratch_len` says.
    Full,
}

/// One call of a kernel on a batch; all values come from the seed.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub dims: Dims,
    pub kind: Kind,
    /// Whether examples have weights (for the forward product: whether there is a bias).
    pub weighted: bool,
    pub fold: Fold,
    pub scratch: Scratch,
    pub seed: u64,
}

/// What the kernel reads.
#[derive(Debug)]
pub struct Inputs<T> {
    dims: Dims,
    pub x: Guarded<T>,
    pub dy: Guarded<T>,
    pub weights: Option<Guarded<T>>,
}

impl Case {
    /// A generator for further values of this case.
    pub fn rng(&self, salt: u64) -> Rng {
        Rng::new(self.seed ^ salt.wrapping_mul(0x0123_4567_89ab_cdef))
    }

    /// The inputs, at random offsets.
    pub fn inputs<T: Real>(&self) -> Inputs<T> {
        let rng = &mut self.rng(1);
        let mut values = |n| {
            let values: Vec<T> = rng.values(self.kind, n);
            Guarded::new(rng, &values)
        };
        let len = "swept extents are small";
        Inputs {
            dims: self.dims,
            x: values(self.dims.x_len().expect(len)),
            dy: values(self.dims.y_len().expect(len)),
            weights: self.weighted.then(|| values(self.dims.batch)),
        }
    }

    /// Ordinary values, plain sums, no weights.
    pub fn ordinary(dims: Dims, seed: u64) -> Case {
        let (kind, fold, scratch) = (Kind::Ordinary, Fold::fresh(), Scratch::Empty);
        Case { dims, kind, weighted: false, fold, scratch, seed }
    }

    /// A further input of `len` elements, at a random offset.
    pub fn guarded<T: Real>(&self, name: &str, len: usize) -> Guarded<T> {
        let rng = &mut self.rng(100 + name.len() as u64);
        let values: Vec<T> = rng.values(self.kind, len);
        Guarded::new(rng, &values)
    }

    /// An output of `len` elements, with something to resume from.
    pub fn output<T: Real>(&self, name: &'static str, len: usize) -> Output<T> {
        let before = self.rng(2 + name.len() as u64).values(self.kind, len);
        Output { name, before }
    }

    /// Elements of a `[J, I]` array.
    pub fn weight_len(&self) -> usize {
        self.dims.outputs * self.dims.inputs
    }

    /// Elements of scratch memory.
    pub fn scratch_len(&self) -> usize {
        match self.scratch {
            Scratch::Empty => 0,
            Scratch::Some => scratch_len(self.dims) / 2 + 5,
            Scratch::Full => scratch_len(self.dims),
        }
    }
}

impl<T: Real> Inputs<T> {
    /// The batch.
    pub fn batch(&self) -> Batch<'_, T> {
        let batch = Batch::new(self.dims, self.x.slice(), self.dy.slice());
        match &self.weights {
            Some(c) => batch.with_example_weights(c.slice()),
            None => batch,
        }
    }
}

/// Every extent from 0 to more than two tiles of any instruction set (the largest: 12 rows of 2 vectors
/// of 16), one at a time, the others fixed where rows and columns leave something over.
pub fn shapes() -> Vec<Dims> {
    let shape = |batch, steps, outputs, inputs| Dims { batch, steps, outputs, inputs };
    if cfg!(miri) {
        // A thousand times slower: what leaves rows and columns over on every instruction set.
        return [(3, 1, 7, 19), (2, 2, 3, 35), (2, 0, 3, 9), (0, 1, 2, 3), (2, 3, 18, 1)]
            .map(|(batch, steps, outputs, inputs)| shape(batch, steps, outputs, inputs))
            .into();
    }
    let mut shapes = Vec::new();
    shapes.extend((0..=70).map(|inputs| shape(3, 1, 7, inputs)));
    shapes.extend((0..=70).map(|inputs| shape(2, 2, 3, inputs)));
    shapes.extend((0..=26).map(|outputs| shape(3, 1, outputs, 33)));
    shapes.extend((10..=26).map(|outputs| shape(25, 1, outputs, 34))); // of the fused step, too
    shapes.extend((0..=14).map(|outputs| shape(2, 3, outputs, 9)));
    shapes.extend((15..=70).map(|outputs| shape(2, 2, outputs, 3))); // of the bias: vectors
    shapes.extend((0..=26).map(|batch| shape(batch, 1, 7, 19))); // rows of the input gradient
    shapes.extend((0..=9).map(|batch| shape(batch, 2, 4, 35)));
    shapes.extend((0..=4).map(|steps| shape(2, steps, 7, 35)));
    shapes.extend((0..=4).map(|steps| shape(2, steps, 11, 35)));
    shapes.extend((10..=24).map(|outputs| shape(2, 3, outputs, 35))); // of short sequences
    shapes.extend([6, 7, 10, 15, 20].map(|outputs| shape(3, 13, outputs, 35))); // two at a time, and one
    shapes.extend((0..=4).map(|steps| shape(1, steps, 1, 1)));
    shapes
}

/// A few longer folds and larger layers, for whatever blocks and packs: batches and sequences past one
/// and two blocks, more columns than are packed at a time, rows longer than the layer step's sums, few and many
/// rows of output (which are those of the layer for `grad`, the examples for `input_grad`).
pub fn large_shapes() -> Vec<Dims> {
    if cfg!(miri) {
        return Vec::new();
    }
    let mut all = vec![
        (257, 1, 7, 35),
        (33, 1, 25, 131),
        (40, 9, 13, 70),
        (1, 1, 40, 300),
        (5, 70, 3, 17),
        (513, 1, 3, 7),
        (2, 300, 5, 20),
        (2, 40, 13, 35),
        (2, 1, 7, 900),
        (3, 1, 5, 290),
        (4, 1, 2, 310),
        (2, 2, 3, 300),
        (1, 4, 2, 290),
        (0, 1, 3, 300),
        (21, 1, 1, 300), // a single row of the output
    ];
    // AVX-512 packs rows from 4 KiB on, what runs under emulators from 1 KiB.
    let far = if cfg!(target_arch = "x86_64") { 1040 } else { 280 };
    let for_vectors = [
        (257, 1, 25, far + 20),
        (9, 3, 13, 1100),
        // Far rows of x: for one, a few and many rows of output.
        (260, 1, 2, 1050),
        (1, 1, 260, 1050),
        (3, 1, 260, 1050),
        (70, 1, 34, far + 20),
        (34, 1, 140, far + 20),
        (258, 1, 5, far + 3),
        (40, 1, 45, 99), // rows that are not whole lines of the cache
        (3, 20, 20, far + 3),
        // A single row of the output, from afar.
        (259, 1, 1, 1030),
        (27, 10, 1, 1030),
    ];
    if VECTORS {
        all.extend(for_vectors);
    }
    let dims = |(batch, steps, outputs, inputs)| Dims { batch, steps, outputs, inputs };
    all.into_iter().map(dims).collect()
}

/// Calls `check` for every shape with all switches, on ordinary values and on the other kinds by
/// turns; for the large shapes, which cost most, on either.
pub fn sweep(check: impl Fn(Case)) {
    let mut seed = 0;
    let kinds = if cfg!(miri) { 1 } else { 2 };
    let small = shapes().into_iter().map(|dims| (dims, kinds));
    let large = large_shapes().into_iter().map(|dims| (dims, 1));
    for (k, (dims, kinds)) in small.chain(large).enumerate() {
        for switches in switches(k, seed) {
            let other = Kind::ALL[1 + seed as usize % (Kind::ALL.len() - 1)];
            let by_turns = [Kind::Ordinary, other, Kind::Ordinary];
            for &kind in by_turns[switches as usize / 4 % 2..].iter().take(kinds) {
                let scratch = [Scratch::Empty, Scratch::Some, Scratch::Full][seed as usize % 3];
                let start = if switches & 1 == 0 { Start::Fresh } else { Start::Resume };
                let scale = (switches & 2 != 0).then_some(1.0 / 3.0);
                let weighted = switches & 4 != 0;
                check(Case { dims, kind, weighted, fold: Fold { start, scale }, scratch, seed });
                seed += 1;
            }
        }
    }
}

/// Combinations of three switches for shape `k`: all of them; under Miri one, by turns; and where emulators usually run
/// the tests half of them, those with an even or an odd number of switches on, so that each two switches still go together
/// in every way.
fn switches(k: usize, seed: u64) -> Vec<u64> {
    if cfg!(miri) {
        return vec![3 * seed % 8];
    }
    (0..8u64).filter(|on| !EMULATED || on.count_ones() as usize % 2 == k % 2).collect()
}

/// Extents drawn together.
pub fn dims() -> impl Strategy<Value = Dims> {
    (0..=9usize, 0..=4usize, 0..=14usize, 0..=70usize)
        .prop_map(|(batch, steps, outputs, inputs)| Dims { batch, steps, outputs, inputs })
}

/// How sums start and end.
pub fn folds() -> impl Strategy<Value = Fold> {
    let start = prop_oneof![Just(Start::Fresh), Just(Start::Resume)];
    let some = [1.0, 1.0 / 32.0].map(|scale| Just(Some(scale)));
    let scale = prop_oneof![Just(None), Union::new(some), (-2.0..2.0).prop_map(Some)];
    (start, scale).prop_map(|(start, scale)| Fold { start, scale })
}

/// Everything drawn together.
pub fn cases() -> impl Strategy<Value = Case> {
    let scratch = prop_oneof![Just(Scratch::Empty), Just(Scratch::Some), Just(Scratch::Full)];
    (dims(), kinds(), any::<bool>(), folds(), scratch, any::<u64>()).prop_map(
        |(dims, kind, weighted, fold, scratch, seed)| Case {
            dims,
            kind,
            weighted,
            fold,
            scratch,
            seed,
        },
    )
}
