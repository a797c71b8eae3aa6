//! Names facts about the compilation target once, for what `cfg(target_feature)` does not tell:
//!
//! * `x86_simd`: the AVX2 and AVX-512 backends can be compiled, on x86 with hardware floating point.
//!   (`x86_64-unknown-none` computes in software, and has no vectors.)
//! * `portable_vectors`: the portable backend has vectors that keep the arithmetic. (Not those of 32-bit
//!   ARM: NEON there, and MVE, flush subnormals.)
//! * `arm_vfp`: Thumb-2 with VFPv4 in single precision: Cortex-M4F, M33, M7.
//! * `riscv_f`, `riscv_d`: RISC-V with the floating-point instructions of `f32`, of `f64`.
//! * `optimized`: by the compiler. Without it each local variable of all that is inlined into a kernel has a place of its
//!   own on the stack, megabytes in all; so what is compiled for many tiles is not inlined then.

use std::env::var;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let read = |name: &str| var(name).unwrap_or_default();
    let arch = read("CARGO_CFG_TARGET_ARCH");
    let features = read("CARGO_CFG_TARGET_FEATURE");
    let target = read("TARGET");
    let has = |feature: &str| features.split(',').any(|f| f == feature);

    let x86 = matches!(&*arch, "x86" | "x86_64") && has("sse2");
    set("x86_simd", x86);
    let neon = arch == "aarch64" && has("neon");
    set("portable_vectors", x86 || neon || has("simd128"));
    let thumb = ["thumbv7em-", "thumbv8m.main-"].iter().any(|t| target.starts_with(t));
    set("arm_vfp", thumb && read("CARGO_CFG_TARGET_ABI") == "eabihf");
    // "riscv32imafc-unknown-none-elf": the letters after the width name the extensions, g is imafd.
    let extensions = target.split('-').next().and_then(|t| t.strip_prefix("riscv"));
    let extension = |letters: &[char]| extensions.is_some_and(|e| e.contains(letters));
    set("riscv_f", extension(&['f', 'g']));
    set("riscv_d", extension(&['d', 'g']));
    set("optimized", read("OPT_LEVEL") != "0");
}

fn set(name: &str, holds: bool) {
    println!("cargo::rustc-check-cfg=cfg({name})");
    if holds {
        println!("cargo::rustc-cfg={name}");
    }
}
