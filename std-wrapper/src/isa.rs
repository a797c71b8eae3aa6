//! The instruction set of this process.

use std::sync::OnceLock;

use pergrad_core::Isa;

use crate::Error;

/// The instruction set that everything here computes with: the fastest that the CPU has, or the one
/// that the environment variable `PERGRAD_ISA` names (`portable`, `avx2`, `avx512`). Chosen at the
/// first call, then kept. All give the same bits; they differ in speed.
///
/// # Errors
/// [`Error::PinnedIsa`] if `PERGRAD_ISA` names something that is not to be had here. Whatever computes
/// returns it as well: a pinned instruction set is never silently replaced.
///
/// ```
/// println!("computing with {}", pergrad::isa()?.name());
/// # Ok::<(), pergrad::Error>(())
/// ```
pub fn isa() -> Result<Isa, Error> {
    static CHOSEN: OnceLock<Result<Isa, Error>> = OnceLock::new();
    CHOSEN.get_or_init(choose).clone()
}

fn choose() -> Result<Isa, Error> {
    let Some(value) = std::env::var_os("PERGRAD_ISA") else {
        return Ok(Isa::detect());
    };
    let value = value.to_string_lossy();
    Isa::from_name(&value).map_err(|_| Error::PinnedIsa {
        value: value.into_owned(),
        available: Isa::available().map(Isa::name).collect::<Vec<_>>().join(", "),
    })
}
