//! Scratch memory for the kernels, one piece a thread, kept for the next call.

use std::cell::Cell;

use pergrad_core::{Dims, Element, scratch_len};

use crate::memory::Buffer;

/// The most elements that a thread keeps. Kernels that would like more make do.
const MOST: usize = 1 << 20;

thread_local! {
    static KEPT: Cell<Option<Buffer<f64>>> = const { Cell::new(None) };
}

/// Calls `f` with the scratch memory that [`pergrad_core::grad`], [`pergrad_core::moments`] and the
/// layer steps on `dims` like to have; with none if there is no memory left. Its contents are anything.
pub(crate) fn with_scratch<T: Element, R>(dims: Dims, f: impl FnOnce(&mut [T]) -> R) -> R {
    let len = scratch_len(dims).min(MOST);
    if len == 0 {
        return f(&mut []);
    }
    let words = (len * size_of::<T>()).div_ceil(size_of::<f64>());
    // Taken out while in use, so that a call within a call would only get a piece of its own.
    let kept = KEPT.take().filter(|kept| kept.len() >= words);
    match kept.or_else(|| Buffer::zeroed(words).ok()) {
        Some(mut buffer) => {
            let result = f(&mut bytemuck::cast_slice_mut(&mut buffer)[..len]);
            KEPT.set(Some(buffer));
            result
        }
        None => f(&mut []),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_enough_and_kept() {
        let dims = Dims::new(64, 32, 1100);
        let first = with_scratch(dims, |s: &mut [f32]| {
            assert_eq!(s.len(), scratch_len(dims));
            with_scratch(dims, |inner: &mut [f64]| {
                assert_eq!(inner.len(), scratch_len(dims));
                inner.fill(1.0);
            });
            assert!(s.iter().all(|&v| v == 0.0));
            s.as_ptr() as usize
        });
        assert_eq!(first % 64, 0);
        let again = with_scratch(dims, |s: &mut [f32]| s.as_ptr() as usize);
        assert_eq!(again, first);
        with_scratch(Dims::new(1, 1, 1), |s: &mut [f32]| assert!(s.is_empty()));
        let long = Dims::new(1, 32, 1100).with_steps(1 << 20);
        with_scratch(long, |s: &mut [f64]| assert_eq!(s.len(), MOST));
    }
}
