//! Misaligned slices between guard values that must survive.

use super::values::{Real, Rng, same_bytes};

/// Elements between which and a multiple of 64 bytes a slice can begin: one AVX-512 vector of `f32`.
pub const LANES: usize = 16;

/// Guard elements on either side, more than any kernel handles at once.
const ZONE: usize = 64;

/// A slice that begins 0 to [`LANES`] elements after a multiple of 64 bytes, in a buffer filled with
/// a certain NaN: a kernel that reads past the slice spoils its result, one that writes there is
/// found by [`Guarded::assert_intact`].
#[derive(Debug)]
pub struct Guarded<T> {
    buffer: Vec<T>,
    begin: usize,
    len: usize,
}

impl<T: Real> Guarded<T> {
    /// The guard: a NaN that no operation makes.
    fn guard() -> T {
        T::from_bits(T::infinity().bits() | 1 << (T::FRACTION - 1) | 0x2a_aaaa)
    }

    /// `values`, beginning `offset` elements after a multiple of 64 bytes.
    pub fn at(offset: usize, values: &[T]) -> Self {
        let line = 64 / size_of::<T>();
        let mut buffer = vec![Self::guard(); values.len() + 2 * ZONE + line + LANES];
        let past = buffer.as_ptr().addr() / size_of::<T>() % line;
        let begin = ZONE + (line - past) % line + offset;
        buffer[begin..begin + values.len()].copy_from_slice(values);
        Guarded { buffer, begin, len: values.len() }
    }

    /// `values` at a random offset.
    pub fn new(rng: &mut Rng, values: &[T]) -> Self {
        Self::at(rng.below(LANES + 1), values)
    }

    /// The slice.
    pub fn slice(&self) -> &[T] {
        &self.buffer[self.begin..self.begin + self.len]
    }

    /// The slice.
    pub fn slice_mut(&mut self) -> &mut [T] {
        &mut self.buffer[self.begin..self.begin + self.len]
    }

    /// Panics if something wrote beside the slice.
    #[track_caller]
    pub fn assert_intact(&self, what: impl FnOnce() -> String) {
        let end = self.begin + self.len;
        // All of them at once, which is nearly always enough, and much faster under emulators.
        let guards = [Self::guard(); 2 * ZONE + 2 * LANES];
        let mut zones = [&self.buffer[..self.begin], &self.buffer[end..]].into_iter();
        if zones.all(|zone| same_bytes(zone, &guards[..zone.len()])) {
            return;
        }
        let mut around = (0..self.begin).chain(end..self.buffer.len());
        let guard = Self::guard().bits();
        if let Some(k) = around.find(|&k| self.buffer[k].bits() != guard) {
            let (at, len) = (k as isize - self.begin as isize, self.len);
            panic!("{}: wrote at index {at} of a slice of {len}: {:?}", what(), self.buffer[k]);
        }
    }
}
