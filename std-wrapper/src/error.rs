//! The one error type.

/// Why a call was refused. Whenever a function returns one of these, it has changed nothing.
///
/// ```
/// use pergrad::{Linear, Tensor};
/// let layer = Linear::<f32>::init(10, 64, true, 0)?;
/// let refused = layer.forward(&Tensor::zeros(&[32, 63])?).unwrap_err();
/// assert_eq!(refused.to_string(), "`x` has shape [32, 63], it needs [B, 64] or [B, T, 64]");
/// # Ok::<(), pergrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor has the wrong shape.
    #[error("`{arg}` has shape {got:?}, it needs {need}")]
    Shape {
        /// Name of the argument.
        arg: &'static str,
        /// The shape it has.
        got: Vec<usize>,
        /// The shape that is needed, in words.
        need: String,
    },
    /// The data given for a tensor do not fill its shape.
    #[error("`{arg}` has {got} elements, the shape {shape:?} needs {need}")]
    Elements {
        /// Name of the argument.
        arg: &'static str,
        /// Elements given.
        got: usize,
        /// The shape.
        shape: Vec<usize>,
        /// Elements of that shape.
        need: usize,
    },
    /// The extents of a shape multiply to more than the address space holds.
    #[error("the extents {shape:?} multiply to more than the address space holds")]
    TooLarge {
        /// The shape.
        shape: Vec<usize>,
    },
    /// The system has no memory for a tensor.
    #[error("no memory for a tensor of {bytes} bytes")]
    Memory {
        /// Bytes asked for.
        bytes: usize,
    },
    /// An index is outside of a tensor.
    #[error("`{arg}` is {got}, it must be less than {need}")]
    Index {
        /// Name of the argument.
        arg: &'static str,
        /// The index.
        got: usize,
        /// The extent.
        need: usize,
    },
    /// A bias, or an array of an optimizer's state, is missing or one too many.
    #[error("`{arg}`: {what}")]
    Presence {
        /// Name of the argument.
        arg: &'static str,
        /// What is missing or superfluous.
        what: &'static str,
    },
    /// The environment variable `PERGRAD_ISA` names no instruction set that is to be had here.
    #[error("the environment variable PERGRAD_ISA is {value:?}; there are: {available}")]
    PinnedIsa {
        /// Its value.
        value: String,
        /// What can be asked for.
        available: String,
    },
    /// A file, or bytes, that hold no checkpoint, a damaged one, or one whose settings make no sense.
    #[error("unusable checkpoint: {what}")]
    Checkpoint {
        /// What is wrong, and with which tensor.
        what: String,
    },
    /// A checkpoint does not hold what was asked of it.
    #[error("`{name}` in the checkpoint is {got}, it must be {need}")]
    Entry {
        /// Name of the tensor or of the setting.
        name: String,
        /// What it is.
        got: String,
        /// What it must be.
        need: String,
    },
    /// The file system refused.
    #[error("cannot {doing} {}: {message}", path.display())]
    File {
        /// The file or folder.
        path: std::path::PathBuf,
        /// What was tried.
        doing: &'static str,
        /// The kind of error.
        kind: std::io::ErrorKind,
        /// What the system said.
        message: String,
    },
    /// What the kernels and configurations refuse.
    #[error(transparent)]
    Core(#[from] pergrad_core::Error),
}
