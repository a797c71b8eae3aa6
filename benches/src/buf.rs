//! Arrays filled with reproducible numbers, placed as the tensors of pergrad are, for every contestant: on cache
//! lines, staggered over the page, on huge pages where they are large.

use std::ops::{Deref, DerefMut};

use pergrad::Tensor;

use crate::real::Real;

/// A slice on the heap. All pages have been touched.
pub struct Buf<T>(Tensor<T>);

impl<T: Real> Buf<T> {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        Self::filled(len, T::ZERO)
    }

    /// `len` times `value`.
    ///
    /// # Panics
    /// If there is not so much memory.
    pub fn filled(len: usize, value: T) -> Self {
        Buf(Tensor::filled(&[len], value).expect("memory"))
    }

    /// Numbers between `low` and `high` that depend only on `seed`.
    pub fn random(len: usize, seed: u64, low: f64, high: f64) -> Self {
        let mut buf = Self::zeros(len);
        buf.randomize(seed, low, high);
        buf
    }

    /// Overwrites with the numbers of [`Buf::random`].
    pub fn randomize(&mut self, seed: u64, low: f64, high: f64) {
        for (k, x) in self.iter_mut().enumerate() {
            // SplitMix64 of the index.
            let mut z = (seed << 40).wrapping_add(k as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let unit = (z >> 32) as u32 as f64 / 4_294_967_296.0;
            *x = T::from_f64(low + (high - low) * unit);
        }
    }

    /// NaN everywhere, so that what a contestant forgot to write is seen.
    pub fn spoil(&mut self) {
        self.fill(T::from_f64(f64::NAN));
    }
}

impl<T: Real> Deref for Buf<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0.as_slice()
    }
}

impl<T: Real> DerefMut for Buf<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.0.as_mut_slice()
    }
}

/// Stops the run unless `got` is `want` up to the rounding of long sums.
///
/// # Panics
/// If any element differs by more than [`Real::TOLERANCE`] times the largest of `want`, or is NaN.
pub fn check_close<T: Real>(who: &str, what: &str, got: &[T], want: &[T]) {
    assert_eq!(got.len(), want.len(), "{who}: `{what}` has another length");
    let largest = want.iter().fold(0.0f64, |m, w| m.max(w.to_f64().abs()));
    for (k, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (got.to_f64() - want.to_f64()).abs();
        assert!(
            error <= T::TOLERANCE * largest,
            "{who}: `{what}[{k}]` is {got}, pergrad has {want}"
        );
    }
}
