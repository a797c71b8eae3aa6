//! Instruction sets by name.

use core::ffi::{CStr, c_char};
use core::mem::MaybeUninit;

use pergrad_core::{Error, Isa};

use crate::args::Enum;

c_enum! {
    /// An instruction set. All give the same bits; they differ in speed.
    pergrad_isa {
        /// The fastest that this CPU and its operating system have.
        PERGRAD_ISA_BEST = 0,
        /// What every CPU of the compilation target has: SSE2, NEON, wasm SIMD, scalars.
        PERGRAD_ISA_PORTABLE = 1,
        /// AVX2 and FMA, on x86.
        PERGRAD_ISA_AVX2 = 2,
        /// AVX-512 F, BW, DQ and VL, on x86.
        PERGRAD_ISA_AVX512 = 3,
    }
}

impl pergrad_isa {
    /// The proof that the CPU has it.
    pub(crate) fn to_core(self) -> Result<Isa, Error> {
        match self {
            Self::PERGRAD_ISA_BEST => Ok(Isa::detect()),
            Self::PERGRAD_ISA_PORTABLE => Ok(Isa::baseline()),
            Self::PERGRAD_ISA_AVX2 => Isa::from_name("avx2"),
            Self::PERGRAD_ISA_AVX512 => Isa::from_name("avx512"),
        }
    }
}

/// Which instruction set PERGRAD_ISA_BEST is here.
#[unsafe(no_mangle)]
pub extern "C" fn pergrad_isa_detect() -> pergrad_isa {
    match Isa::detect().name() {
        "avx2" => pergrad_isa::PERGRAD_ISA_AVX2,
        "avx512" => pergrad_isa::PERGRAD_ISA_AVX512,
        _ => pergrad_isa::PERGRAD_ISA_PORTABLE,
    }
}

/// Whether this CPU and its operating system have an instruction set; false for unknown values.
#[unsafe(no_mangle)]
pub extern "C" fn pergrad_isa_available(isa: MaybeUninit<pergrad_isa>) -> bool {
    // SAFETY: C passes initialised arguments.
    unsafe { pergrad_isa::from_c(isa) }.is_ok_and(|isa| isa.to_core().is_ok())
}

/// The name of an instruction set, static: "best", "portable", "avx2", "avx512"; "unknown" for other
/// values. Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn pergrad_isa_name(isa: MaybeUninit<pergrad_isa>) -> *const c_char {
    // SAFETY: C passes initialised arguments.
    let name: &CStr = match unsafe { pergrad_isa::from_c(isa) } {
        Ok(pergrad_isa::PERGRAD_ISA_BEST) => c"best",
        Ok(pergrad_isa::PERGRAD_ISA_PORTABLE) => c"portable",
        Ok(pergrad_isa::PERGRAD_ISA_AVX2) => c"avx2",
        Ok(pergrad_isa::PERGRAD_ISA_AVX512) => c"avx512",
        Err(_) => c"unknown",
    };
    name.as_ptr()
}
