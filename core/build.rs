//! Names one fact once: `cfg(x86_simd)` is set where the AVX2 and AVX-512 backends can be compiled, on
//! x86 with hardware floating point. (`x86_64-unknown-none` computes in software, and has no vectors.)

use std::env::var;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(x86_simd)");
    let arch = var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let features = var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    if matches!(&*arch, "x86" | "x86_64") && features.split(',').any(|f| f == "sse2") {
        println!("cargo::rustc-cfg=x86_simd");
    }
}
