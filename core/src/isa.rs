//! Which instruction set the kernels use: chosen once, passed by hand.

#[cfg(x86_simd)]
use crate::simd::{Avx2, Avx512};
use crate::{Error, simd::Portable};

/// An instruction set that this CPU was seen to have.
///
/// Each variant holds a token that only a check of the CPU makes, so an `Isa` in hand is proof enough
/// for safe functions to run the instructions. All give the same bits; they differ in speed.
///
/// ```
/// use pergrad_core::Isa;
/// let isa = Isa::detect(); // do it once, keep it
/// assert!(Isa::available().any(|a| a == isa));
/// assert_eq!(Isa::from_name(isa.name()), Ok(isa));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isa {
    /// What every CPU of the compilation target has (SSE2, NEON, wasm, scalars), and more if the
    /// crate was compiled for more.
    Portable(Portable),
    /// AVX2 and FMA.
    #[cfg(x86_simd)]
    Avx2(Avx2),
    /// AVX-512 F, BW, DQ and VL.
    #[cfg(x86_simd)]
    Avx512(Avx512),
}

impl Isa {
    /// The names that [`Isa::from_name`] knows on this architecture.
    #[cfg(x86_simd)]
    pub const NAMES: &'static [&'static str] = &["portable", "avx2", "avx512"];
    /// The names that [`Isa::from_name`] knows on this architecture.
    #[cfg(not(x86_simd))]
    pub const NAMES: &'static [&'static str] = &["portable"];

    /// The one that needs no check of the CPU.
    ///
    /// ```
    /// assert_eq!(pergrad_core::Isa::baseline().name(), "portable");
    /// ```
    pub const fn baseline() -> Self {
        Isa::Portable(Portable)
    }

    /// The fastest that this CPU and its operating system have. The CPU is asked once.
    pub fn detect() -> Self {
        Self::available().last().unwrap_or(Self::baseline())
    }

    /// All that this CPU and its operating system have, slowest first.
    pub fn available() -> impl Iterator<Item = Isa> {
        Self::NAMES.iter().filter_map(|name| Self::from_name(name).ok())
    }

    /// By name: `"portable"`, `"avx2"`, `"avx512"`.
    ///
    /// # Errors
    /// [`Error::Isa`] if there is no such instruction set, or not here.
    pub fn from_name(name: &str) -> Result<Self, Error> {
        let found = match name {
            "portable" => Some(Self::baseline()),
            #[cfg(x86_simd)]
            "avx2" => Avx2::new().map(Isa::Avx2),
            #[cfg(x86_simd)]
            "avx512" => Avx512::new().map(Isa::Avx512),
            _ => None,
        };
        found.ok_or(Error::Isa { available: Self::available_names() })
    }

    /// Its name.
    ///
    /// ```
    /// assert_eq!(pergrad_core::Isa::baseline().name(), "portable");
    /// ```
    pub const fn name(self) -> &'static str {
        match self {
            Isa::Portable(_) => "portable",
            #[cfg(x86_simd)]
            Isa::Avx2(_) => "avx2",
            #[cfg(x86_simd)]
            Isa::Avx512(_) => "avx512",
        }
    }

    /// The names of what is available, for an error message (no allocator to build one).
    fn available_names() -> &'static str {
        #[cfg(x86_simd)]
        match (Avx2::new(), Avx512::new()) {
            (Some(_), Some(_)) => return "portable, avx2, avx512",
            (Some(_), None) => return "portable, avx2",
            _ => {}
        }
        "portable"
    }
}
