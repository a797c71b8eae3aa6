//! Memory on the stack, for copies of what is read again and again where the caller gives no scratch.

use core::mem::MaybeUninit;

use super::plan::CACHES;

/// Bytes for copies.
pub(super) const COPY_BYTES: usize = if CACHES { 64 << 10 } else { 0 };

/// Memory that is aligned to cache lines.
#[repr(align(64))]
struct Room<const BYTES: usize>([MaybeUninit<u8>; BYTES]);

/// Calls `f` with so many bytes of stack. (Not inlined: small products need not touch so much of it.)
#[inline(never)]
pub(super) fn with_room<T, const BYTES: usize>(f: impl FnOnce(*mut T)) {
    let mut room = Room([const { MaybeUninit::uninit() }; BYTES]);
    f(room.0.as_mut_ptr().cast());
}
