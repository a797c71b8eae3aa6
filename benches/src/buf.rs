//! Arrays that start on a cache line, filled with reproducible numbers.

use std::ops::{Deref, DerefMut};

use crate::real::Real;

const ALIGN: usize = 64;

/// A slice on the heap that starts on a cache line. All pages have been touched.
pub struct Buf<T> {
    store: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Real> Buf<T> {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        Self::filled(len, T::ZERO)
    }

    /// `len` times `value`.
    pub fn filled(len: usize, value: T) -> Self {
        // Not `vec![0; n]`: that would leave the pages to be faulted in by the first contestant.
        let mut store: Vec<T> = Vec::with_capacity(len + ALIGN / size_of::<T>());
        let start = store.as_ptr().align_offset(ALIGN);
        store.resize(start + len, value);
        Buf { store, start, len }
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

impl<T> Deref for Buf<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.store[self.start..self.start + self.len]
    }
}

impl<T> DerefMut for Buf<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.store[self.start..self.start + self.len]
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
