//! Equality of bits, and kernels on every instruction set against the plain loops.

use std::fmt::Debug;

use pergrad_core::{Element, Error, Isa, Start};

use super::guard::Guarded;
use super::isas::for_each_isa;
use super::values::{Real, Rng, same_bytes};

/// Where a comparison was made, for the message.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The kernel.
    pub kernel: &'a str,
    /// The instruction set's name.
    pub isa: &'a str,
    /// Extents, switches and seed.
    pub case: &'a dyn Debug,
}

/// Panics unless both arrays have the same bits; any NaN equals any other.
#[track_caller]
pub fn assert_bits<T: Real>(place: Place<'_>, array: &str, got: &[T], want: &[T]) {
    assert_eq!(got.len(), want.len(), "{place:?} {array}: lengths");
    // (Bytes first, which is much faster under emulators.)
    if same_bytes(got, want) {
        return;
    }
    if let Some(k) = (0..got.len()).find(|&k| !got[k].same(want[k])) {
        differ::<T>(place, array, k, got[k], want[k]);
    }
}

/// Panics unless both arrays have the same bits, those of NaNs included: for what must be untouched.
#[track_caller]
pub fn assert_untouched<T: Real>(place: Place<'_>, array: &str, got: &[T], want: &[T]) {
    assert_eq!(got.len(), want.len(), "{place:?} {array}: lengths");
    if same_bytes(got, want) {
        return;
    }
    if let Some(k) = (0..got.len()).find(|&k| got[k].bits() != want[k].bits()) {
        differ::<T>(place, array, k, got[k], want[k]);
    }
}

#[track_caller]
fn differ<T: Real>(place: Place<'_>, array: &str, k: usize, got: T, want: T) {
    let Place { kernel, isa, case } = place;
    let (g, w) = (got.bits(), want.bits());
    let t = <T as Element>::NAME;
    panic!("{kernel} {isa} {t} {case:?}\n{array}[{k}] is {got:?} ({g:#x}), not {want:?} ({w:#x})");
}

/// An array that a kernel writes.
#[derive(Debug, Clone)]
pub struct Output<T> {
    /// Its name.
    pub name: &'static str,
    /// What it holds before, if that matters: see [`agree`].
    pub before: Vec<T>,
}

/// Runs `kernel` on every instruction set and holds its outputs, and whether and how it refuses, to
/// those of `reference`.
///
/// With [`Start::Fresh`] only the lengths of the outputs count: kernel and reference find different
/// garbage in them. The kernel's slices begin anywhere and lie between guards; so does its scratch
/// memory of `scratch` elements. After an error all must be as it was.
#[track_caller]
pub fn agree<T: Real, const N: usize>(
    kernel: &str,
    (case, seed): (&dyn Debug, u64),
    outputs: [Output<T>; N],
    from: Start,
    scratch: usize,
    reference: impl FnOnce([&mut [T]; N]) -> Result<(), Error>,
    run: impl Fn(Isa, [&mut [T]; N], &mut [T]) -> Result<(), Error>,
) {
    let rng = &mut Rng::new(!seed);
    let mut before = |output: &Output<T>| match from {
        Start::Fresh => rng.garbage(output.before.len()),
        Start::Resume => output.before.clone(),
    };
    let mut want = outputs.each_ref().map(&mut before);
    let expected = reference(want.each_mut().map(Vec::as_mut_slice));
    for_each_isa(|isa| {
        let place = Place { kernel, isa: isa.name(), case };
        let before = outputs.each_ref().map(&mut before);
        let rng = &mut Rng::new(seed);
        let mut got = before.each_ref().map(|before| Guarded::new(rng, before));
        let garbage = rng.garbage(scratch);
        let mut scratch = Guarded::new(rng, &garbage);
        let result = run(isa, got.each_mut().map(Guarded::slice_mut), scratch.slice_mut());
        assert_eq!(result, expected, "{place:?}");
        scratch.assert_intact(|| format!("{place:?} scratch"));
        for (k, Output { name, .. }) in outputs.iter().enumerate() {
            got[k].assert_intact(|| format!("{place:?} {name}"));
            if result.is_ok() {
                assert_bits(place, name, got[k].slice(), &want[k]);
            } else {
                assert_untouched(place, name, got[k].slice(), &before[k]);
            }
        }
    });
}
