//! The backend that runs everywhere: vectors of `wide` where the compilation target has them (SSE2,
//! NEON on AArch64, wasm SIMD), one element at a time elsewhere.

#[cfg(not(portable_vectors))]
mod scalars;
#[cfg(portable_vectors)]
mod vectors;

/// The token of the portable backend; every CPU has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Portable;
