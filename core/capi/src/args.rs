//! What came from C, checked: the one place that turns pointers into slices and numbers into
//! enumerations.

use core::marker::PhantomData;
use core::mem::{MaybeUninit, transmute_copy};

use pergrad_core::{Error, Isa};

use crate::error::Refused;
use crate::{pergrad_error_info, pergrad_isa};

/// Arrays of one call at most: a layer step of Adam has x, dy, example weights, the parameters, three
/// of state, and scratch.
const MOST: usize = 8;

/// The arguments of one call. Hands out slices that live for `'a`, and keeps account of them, so that
/// none that is written overlaps another.
pub(crate) struct Args<'a> {
    seen: [Range; MOST],
    of_call: PhantomData<&'a mut ()>,
}

/// An array that was handed out, by the addresses of its bytes; empty if there is none.
#[derive(Clone, Copy)]
struct Range {
    arg: &'static str,
    begin: usize,
    end: usize,
    written: bool,
}

impl<'a> Args<'a> {
    /// # Safety
    /// During `'a`, every pointer given to this value that is neither null nor misaligned points to as
    /// many elements as it is said to have, initialised where they are read, which nobody else writes
    /// (nor reads, where they are written); and every value given was initialised.
    pub(crate) unsafe fn new() -> Self {
        let none = Range { arg: "", begin: 0, end: 0, written: false };
        Args { seen: [none; MOST], of_call: PhantomData }
    }

    /// An array that is read.
    pub(crate) fn input<T>(
        &mut self,
        arg: &'static str,
        data: *const T,
        len: usize,
    ) -> Result<&'a [T], Refused> {
        if len == 0 {
            return Ok(&[]);
        }
        self.see(arg, data, len, false)?;
        // SAFETY: not null, aligned, not too long, and not written by anything handed out: checked;
        // the rest by the contract of `new`.
        Ok(unsafe { core::slice::from_raw_parts(data, len) })
    }

    /// An array that is read, or none if it is null and empty.
    pub(crate) fn optional<T>(
        &mut self,
        arg: &'static str,
        data: *const T,
        len: usize,
    ) -> Result<Option<&'a [T]>, Refused> {
        if data.is_null() && len == 0 { Ok(None) } else { self.input(arg, data, len).map(Some) }
    }

    /// An array that is written.
    pub(crate) fn output<T>(
        &mut self,
        arg: &'static str,
        data: *mut T,
        len: usize,
    ) -> Result<&'a mut [T], Refused> {
        if len == 0 {
            return Ok(&mut []);
        }
        self.see(arg, data, len, true)?;
        // SAFETY: not null, aligned, not too long, and apart from everything handed out: checked; the
        // rest by the contract of `new`. The element types are floats, of which every bit pattern is
        // one, and outputs are not read.
        Ok(unsafe { core::slice::from_raw_parts_mut(data, len) })
    }

    /// Checks an array that is not empty, and enters it.
    fn see<T>(
        &mut self,
        arg: &'static str,
        data: *const T,
        len: usize,
        written: bool,
    ) -> Result<(), Refused> {
        checked(arg, data)?;
        let begin = data.addr();
        let end = len
            .checked_mul(size_of::<T>())
            .filter(|&bytes| bytes <= isize::MAX as usize)
            .and_then(|bytes| begin.checked_add(bytes))
            .ok_or(Error::Overflow { arg })?;
        let range = Range { arg, begin, end, written };
        for seen in &mut self.seen {
            if seen.begin == seen.end {
                *seen = range;
                return Ok(());
            }
            if (written || seen.written) && begin < seen.end && seen.begin < end {
                return Err(Refused::Overlap { arg, other: seen.arg });
            }
        }
        // More arrays than any function has; unreachable, and the tests call every function.
        Err(Refused::Overlap { arg, other: "too many arrays" })
    }

    /// A structure, copied.
    pub(crate) fn structure<S: Copy>(
        &mut self,
        arg: &'static str,
        structure: *const S,
    ) -> Result<S, Refused> {
        checked(arg, structure)?;
        // SAFETY: not null and aligned: checked; the rest by the contract of `new`. What could hold
        // bits that are no value of its type is a `MaybeUninit` in these structures.
        Ok(unsafe { structure.read() })
    }

    /// A place for a result.
    pub(crate) fn place<S>(
        &mut self,
        arg: &'static str,
        place: *mut S,
    ) -> Result<&'a mut MaybeUninit<S>, Refused> {
        checked(arg, place)?;
        // SAFETY: not null and aligned: checked; the rest by the contract of `new`.
        Ok(unsafe { &mut *place.cast() })
    }

    /// Where an error is told, if anywhere.
    pub(crate) fn info(
        &mut self,
        info: *mut pergrad_error_info,
    ) -> Result<Option<&'a mut MaybeUninit<pergrad_error_info>>, Refused> {
        if info.is_null() { Ok(None) } else { self.place("info", info).map(Some) }
    }

    /// One of the values of an enumeration.
    pub(crate) fn one_of<E: Enum>(
        &mut self,
        arg: &'static str,
        value: MaybeUninit<E>,
    ) -> Result<E, Refused> {
        // SAFETY: by the contract of `new`.
        unsafe { E::from_c(value) }.map_err(|got| Refused::Enum { arg, got: got as usize })
    }

    /// True or false.
    pub(crate) fn truth(
        &mut self,
        arg: &'static str,
        value: MaybeUninit<bool>,
    ) -> Result<bool, Refused> {
        // SAFETY: a bool is one byte, initialised by the contract of `new`.
        match unsafe { transmute_copy::<_, u8>(&value) } {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(Refused::Enum { arg, got: other.into() }),
        }
    }

    /// An instruction set that is here.
    pub(crate) fn isa(&mut self, isa: MaybeUninit<pergrad_isa>) -> Result<Isa, Refused> {
        Ok(self.one_of("isa", isa)?.to_core()?)
    }

    /// The factor at the end of a sum. A factor of 1 is no multiplication, and gives the same bits.
    pub(crate) fn scale(&mut self, scale: f64) -> Result<Option<f64>, Refused> {
        if scale == 0.0 {
            let need = "1 for the sum, 1 / batch for the average";
            return Err(Error::Hyper { arg: "scale", got: scale, need }.into());
        }
        Ok(Some(scale).filter(|&scale| scale != 1.0))
    }
}

/// Refuses null and misaligned pointers.
fn checked<T>(arg: &'static str, pointer: *const T) -> Result<(), Refused> {
    if pointer.is_null() {
        return Err(Refused::Null { arg });
    }
    let (got, need) = (pointer.addr() % align_of::<T>(), align_of::<T>());
    if got == 0 { Ok(()) } else { Err(Refused::Misaligned { arg, got, need }) }
}

/// An enumeration of C.
///
/// # Safety
/// It is `repr(i32)`.
pub(crate) unsafe trait Enum: Copy {
    /// The value with that number.
    fn of(value: i32) -> Option<Self>;

    /// The value that came from C, or the number that came instead.
    ///
    /// # Safety
    /// It was initialised.
    unsafe fn from_c(value: MaybeUninit<Self>) -> Result<Self, i32> {
        // SAFETY: four bytes, by the contract of the trait, and initialised.
        let value = unsafe { transmute_copy::<_, i32>(&value) };
        Self::of(value).ok_or(value)
    }
}
