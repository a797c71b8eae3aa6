//! The one error type of the core.

use core::fmt;

/// Why a call was refused. Whenever a function returns one of these, it has written nothing.
///
/// ```
/// use pergrad_core::Error;
/// let e = Error::Length { arg: "grad", got: 11, need: 12 };
/// assert_eq!(e.to_string(), "`grad` has 11 elements, 12 are needed");
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A slice has the wrong number of elements.
    Length {
        /// Name of the argument.
        arg: &'static str,
        /// Elements it has.
        got: usize,
        /// Elements the dimensions ask for.
        need: usize,
    },
    /// The product of the extents of `arg` does not fit in the address space.
    Overflow {
        /// Name of the argument whose length overflows.
        arg: &'static str,
    },
    /// A hyper-parameter is outside of what makes sense, or cannot be expressed in the element type.
    Hyper {
        /// Name of the hyper-parameter.
        arg: &'static str,
        /// The value it had.
        got: f64,
        /// What is needed, in words.
        need: &'static str,
    },
    /// Two settings exclude each other.
    Conflict {
        /// What was combined, and why that has no meaning.
        what: &'static str,
    },
    /// A checked step found a value that is not finite; nothing was committed.
    NonFinite {
        /// Which array held it; the parameters' name if the inputs there are finite and only the
        /// result would not be.
        arg: &'static str,
        /// The first index (flat, row-major) at which it happened.
        index: usize,
    },
    /// The instruction set is unknown, or this CPU or its operating system lacks it.
    Isa {
        /// The instruction sets that could have been asked for here.
        available: &'static str,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Error::Length { arg, got, need } => {
                write!(f, "`{arg}` has {got} elements, {need} are needed")
            }
            Error::Overflow { arg } => {
                write!(f, "the extents of `{arg}` multiply to more than the address space holds")
            }
            Error::Hyper { arg, got, need } => write!(f, "`{arg}` is {got}, it must be {need}"),
            Error::Conflict { what } => f.write_str(what),
            Error::NonFinite { arg, index } => {
                write!(
                    f,
                    "`{arg}[{index}]` is not finite or would not stay so; nothing was changed"
                )
            }
            Error::Isa { available } => {
                write!(f, "that instruction set is not to be had here; there are: {available}")
            }
        }
    }
}

impl core::error::Error for Error {}
