//! Error codes, and what there is to know about an error.

use core::ffi::{CStr, c_char};
use core::mem::MaybeUninit;

use pergrad_core::Error;

use crate::args::Enum;

c_enum! {
    /// What came of a call. On anything but PERGRAD_OK nothing was written.
    pergrad_error {
        /// Done.
        PERGRAD_OK = 0,
        /// A pointer is NULL. `arg` names it.
        PERGRAD_ERROR_NULL = 1,
        /// A pointer is not aligned to its type: `arg`; it is `got` bytes past a multiple of `need`.
        PERGRAD_ERROR_MISALIGNED = 2,
        /// An array has the wrong number of elements: `arg`, `got`, `need`.
        PERGRAD_ERROR_LENGTH = 3,
        /// The extents, or the length, of `arg` are more than the address space holds.
        PERGRAD_ERROR_OVERFLOW = 4,
        /// An array that is written overlaps another: `arg`, and `needed` names the other.
        PERGRAD_ERROR_OVERLAP = 5,
        /// A hyper-parameter makes no sense or cannot be expressed in the element type: `arg`, `value`,
        /// `needed`.
        PERGRAD_ERROR_HYPER = 6,
        /// Two settings exclude each other: `needed` tells which, and why.
        PERGRAD_ERROR_CONFLICT = 7,
        /// A checked step would have left something that is not finite, first at `index` of `arg`.
        PERGRAD_ERROR_NON_FINITE = 8,
        /// This CPU or its operating system lacks the instruction set: `needed` lists those to be had.
        PERGRAD_ERROR_ISA = 9,
        /// An enumeration or a bool holds none of its values: `arg`; `got` is what it holds.
        PERGRAD_ERROR_ENUM = 10,
        /// Coefficients were not made by the step_coeffs function of their optimizer and type: `arg`.
        PERGRAD_ERROR_COEFFS = 11,
        /// A kernel does not give the promised bits on this machine: `arg`.
        PERGRAD_ERROR_SELF_TEST = 13,
        /// Another reason, of which this interface knows nothing more.
        PERGRAD_ERROR_OTHER = 12,
    }
}

/// What an error was about: filled where a call is refused. Members that an error has no use for are 0
/// or empty. The strings end with NUL.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct pergrad_error_info {
    /// Name of the argument, of the member of a structure, or of the hyper-parameter.
    pub arg: [c_char; 32],
    /// What is needed, in words.
    pub needed: [c_char; 80],
    /// The number of elements it has, or another number that it is.
    pub got: usize,
    /// The number that is needed.
    pub need: usize,
    /// The first bad index, flat and row-major.
    pub index: usize,
    /// The value of a hyper-parameter.
    pub value: f64,
}

impl pergrad_error_info {
    const EMPTY: Self =
        pergrad_error_info { arg: [0; 32], needed: [0; 80], got: 0, need: 0, index: 0, value: 0.0 };
}

/// Why a call is refused.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Refused {
    Core(Error),
    Null { arg: &'static str },
    Misaligned { arg: &'static str, got: usize, need: usize },
    Overlap { arg: &'static str, other: &'static str },
    Enum { arg: &'static str, got: usize },
    Coeffs { arg: &'static str },
    SelfTest { arg: &'static str },
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Refused::Core(error)
    }
}

/// For `map_err`: a hyper-parameter by the name that it has here.
pub(crate) fn named(arg: &'static str) -> impl Fn(Error) -> Error {
    move |error| match error {
        Error::Hyper { got, need, .. } => Error::Hyper { arg, got, need },
        other => other,
    }
}

impl Refused {
    pub(crate) fn code(&self) -> pergrad_error {
        use pergrad_error::*;
        match self {
            Refused::Core(Error::Length { .. }) => PERGRAD_ERROR_LENGTH,
            Refused::Core(Error::Overflow { .. }) => PERGRAD_ERROR_OVERFLOW,
            Refused::Core(Error::Hyper { .. }) => PERGRAD_ERROR_HYPER,
            Refused::Core(Error::Conflict { .. }) => PERGRAD_ERROR_CONFLICT,
            Refused::Core(Error::NonFinite { .. }) => PERGRAD_ERROR_NON_FINITE,
            Refused::Core(Error::Isa { .. }) => PERGRAD_ERROR_ISA,
            Refused::Core(_) => PERGRAD_ERROR_OTHER,
            Refused::Null { .. } => PERGRAD_ERROR_NULL,
            Refused::Misaligned { .. } => PERGRAD_ERROR_MISALIGNED,
            Refused::Overlap { .. } => PERGRAD_ERROR_OVERLAP,
            Refused::Enum { .. } => PERGRAD_ERROR_ENUM,
            Refused::Coeffs { .. } => PERGRAD_ERROR_COEFFS,
            Refused::SelfTest { .. } => PERGRAD_ERROR_SELF_TEST,
        }
    }

    fn info(&self) -> pergrad_error_info {
        let mut info = pergrad_error_info::EMPTY;
        let arg = match *self {
            Refused::Core(Error::Length { arg, got, need })
            | Refused::Misaligned { arg, got, need } => {
                (info.got, info.need) = (got, need);
                arg
            }
            Refused::Core(Error::Hyper { arg, got, need }) => {
                info.value = got;
                copy(&mut info.needed, &[need]);
                arg
            }
            Refused::Core(Error::Conflict { what }) => {
                copy(&mut info.needed, &[what]);
                ""
            }
            Refused::Core(Error::NonFinite { arg, index }) => {
                info.index = index;
                arg
            }
            Refused::Core(Error::Isa { available }) => {
                copy(&mut info.needed, &[available]);
                "isa"
            }
            Refused::Overlap { arg, other } => {
                copy(&mut info.needed, &["apart from `", other, "`"]);
                arg
            }
            Refused::Enum { arg, got } => {
                info.got = got;
                arg
            }
            Refused::Core(Error::Overflow { arg })
            | Refused::Null { arg }
            | Refused::Coeffs { arg }
            | Refused::SelfTest { arg } => arg,
            Refused::Core(_) => "",
        };
        copy(&mut info.arg, &[arg]);
        info
    }
}

/// Copies texts one after the other, cut to leave room for the NUL at the end.
pub(crate) fn copy(to: &mut [c_char], texts: &[&str]) {
    let room = to.len().saturating_sub(1);
    let bytes = texts.iter().flat_map(|text| text.bytes());
    for (to, byte) in to.iter_mut().take(room).zip(bytes) {
        *to = byte as c_char;
    }
}

/// The code of a result; fills `info` on an error.
pub(crate) fn report(
    result: Result<(), Refused>,
    info: Option<&mut MaybeUninit<pergrad_error_info>>,
) -> pergrad_error {
    match result {
        Ok(()) => pergrad_error::PERGRAD_OK,
        Err(refused) => {
            if let Some(info) = info {
                info.write(refused.info());
            }
            refused.code()
        }
    }
}

/// A sentence for each code, static; also for values that are no code. Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn pergrad_error_message(code: MaybeUninit<pergrad_error>) -> *const c_char {
    message(code).as_ptr()
}

fn message(code: MaybeUninit<pergrad_error>) -> &'static CStr {
    use pergrad_error::*;
    // SAFETY: C passes initialised arguments.
    match unsafe { pergrad_error::from_c(code) } {
        Ok(PERGRAD_OK) => c"done",
        Ok(PERGRAD_ERROR_NULL) => c"a pointer is NULL",
        Ok(PERGRAD_ERROR_MISALIGNED) => c"a pointer is not aligned to its type",
        Ok(PERGRAD_ERROR_LENGTH) => c"an array has the wrong number of elements",
        Ok(PERGRAD_ERROR_OVERFLOW) => c"extents multiply to more than the address space holds",
        Ok(PERGRAD_ERROR_OVERLAP) => c"an array that is written overlaps another",
        Ok(PERGRAD_ERROR_HYPER) => c"a hyper-parameter is outside of what is allowed",
        Ok(PERGRAD_ERROR_CONFLICT) => c"two settings exclude each other",
        Ok(PERGRAD_ERROR_NON_FINITE) => c"a value is not finite or would not stay so",
        Ok(PERGRAD_ERROR_ISA) => c"this CPU or its operating system lacks the instruction set",
        Ok(PERGRAD_ERROR_ENUM) => c"an enumeration or a bool holds none of its values",
        Ok(PERGRAD_ERROR_COEFFS) => c"coefficients were not made for this optimizer and type",
        Ok(PERGRAD_ERROR_SELF_TEST) => c"a kernel does not give the promised bits on this machine",
        Ok(PERGRAD_ERROR_OTHER) => c"refused for another reason",
        Err(_) => c"this is no error code of pergrad",
    }
}

/// The version of the library, static: "0.1.0", say.
#[unsafe(no_mangle)]
pub extern "C" fn pergrad_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
