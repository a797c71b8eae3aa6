//! The memory behind a tensor: 64-byte aligned, and on huge pages where it is large.
//!
//! A vector of any instruction set then never straddles a cache line, and a large optimizer state does
//! not spend its time in page faults and TLB misses: from 2 MiB on the allocation begins at a 2 MiB
//! boundary and Linux is advised, before the first touch, to back it by huge pages.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};
use std::slice;

use pergrad_core::Element;

use crate::Error;

/// A cache line, and the longest vector.
const ALIGN: usize = 64;

/// A huge page, and the size from which they are asked for.
const HUGE: usize = 2 << 20;

/// `len` elements, owned.
pub(crate) struct Buffer<T> {
    ptr: NonNull<T>,
    len: usize,
}

// SAFETY: it owns its elements, as `Box<[T]>` does.
unsafe impl<T: Send> Send for Buffer<T> {}
// SAFETY: sharing it shares `&[T]` and nothing else.
unsafe impl<T: Sync> Sync for Buffer<T> {}

impl<T> Buffer<T> {
    /// The layout of `len` elements; `None` if their bytes pass `isize::MAX`.
    fn layout(len: usize) -> Option<Layout> {
        let layout = Layout::array::<T>(len).ok()?;
        layout.align_to(if layout.size() >= HUGE { HUGE } else { ALIGN }).ok()
    }

    /// Memory for `len` elements, not initialised.
    fn allocate(len: usize) -> Result<NonNull<T>, Error> {
        let bytes = len.saturating_mul(size_of::<T>());
        let layout = Self::layout(len).ok_or(Error::Memory { bytes })?;
        if layout.size() == 0 {
            let dangling = ptr::without_provenance_mut(ALIGN);
            return NonNull::new(dangling).ok_or(Error::Memory { bytes });
        }
        // SAFETY: the layout's size is not 0.
        let memory = NonNull::new(unsafe { alloc(layout) }).ok_or(Error::Memory { bytes })?;
        if layout.size() >= HUGE {
            advise_huge_pages(memory, layout.size());
        }
        Ok(memory.cast())
    }
}

impl<T: Element> Buffer<T> {
    /// `len` zeros.
    pub(crate) fn zeroed(len: usize) -> Result<Self, Error> {
        let ptr = Self::allocate(len)?;
        // SAFETY: allocated for `len` elements; all-zero bytes are the element `+0`.
        unsafe { ptr.write_bytes(0, len) };
        Ok(Buffer { ptr, len })
    }
}

impl<T: Clone> Buffer<T> {
    /// A copy of `values`.
    pub(crate) fn copied(values: &[T]) -> Result<Self, Error> {
        let len = values.len();
        let ptr = Self::allocate(len)?;
        for (k, value) in values.iter().enumerate() {
            // SAFETY: allocated for `len` elements.
            unsafe { ptr.add(k).write(value.clone()) };
        }
        Ok(Buffer { ptr, len })
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        if let Some(layout) = Self::layout(self.len)
            && layout.size() > 0
        {
            // SAFETY: allocated with this very layout, which depends on `len` alone. Elements are plain
            // data and need no drop of their own.
            unsafe { dealloc(self.ptr.as_ptr().cast(), layout) }
        }
    }
}

impl<T: Clone> Clone for Buffer<T> {
    fn clone(&self) -> Self {
        Self::copied(self).unwrap_or_else(|_| match Self::layout(self.len) {
            Some(layout) => handle_alloc_error(layout),
            None => unreachable!("`self` has that layout"),
        })
    }
}

impl<T> Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `len` initialised elements, borrowed as `self` is.
        unsafe { slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: `len` initialised elements, borrowed mutably as `self` is.
        unsafe { slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

/// Advice only: where it is refused, ordinary pages do.
#[cfg(all(target_os = "linux", not(miri)))]
fn advise_huge_pages(memory: NonNull<u8>, bytes: usize) {
    // SAFETY: the range was just allocated, its start is aligned to any page size up to 2 MiB, and
    // this advice changes no contents.
    unsafe { libc::madvise(memory.as_ptr().cast(), bytes, libc::MADV_HUGEPAGE) };
}

#[cfg(not(all(target_os = "linux", not(miri))))]
fn advise_huge_pages(_memory: NonNull<u8>, _bytes: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alignment() {
        for (len, align) in [(0, ALIGN), (1, ALIGN), (1000, ALIGN), (HUGE / 4, HUGE), (HUGE, HUGE)]
        {
            let zeros = Buffer::<f32>::zeroed(len).unwrap();
            assert_eq!(zeros.as_ptr() as usize % align, 0);
            assert_eq!(zeros.len(), len);
            assert!(zeros.iter().all(|&v| v.to_bits() == 0));
        }
    }

    #[test]
    fn impossible_sizes() {
        assert!(matches!(Buffer::<f64>::zeroed(usize::MAX), Err(Error::Memory { .. })));
        assert!(matches!(Buffer::<f64>::zeroed(usize::MAX / 16), Err(Error::Memory { .. })));
    }
}
