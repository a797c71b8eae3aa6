//! What the tests of every backend share.
//!
//! * [`values`]: element bits, a seeded generator, kinds of values from ordinary to special.
//! * [`guard`]: misaligned slices between guard values that must survive.
//! * [`compare`]: the one helper for equality of bits, and the one that holds a kernel on every
//!   instruction set against the plain loops.
//! * [`isas`]: the walk over the instruction sets.
//! * [`case`]: cases of the kernels on batches, swept and drawn.
//! * [`optimizers`]: every consistent configuration of the optimizers, behind one face.
#![allow(dead_code, reason = "each test program uses its own part of this")]
#![allow(unreachable_pub, reason = "modules of a test program export to nobody else")]

pub mod case;
pub mod compare;
pub mod guard;
pub mod isas;
pub mod optimizers;
pub mod values;

use proptest::test_runner::Config;

/// Whether emulators usually run the tests, which then take fewer turns.
pub const EMULATED: bool = !cfg!(target_arch = "x86_64");

/// Whether there are vectors. Where there are none nothing is copied, and what is large goes the way of what is small.
pub const VECTORS: bool = cfg!(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    all(target_arch = "x86", target_feature = "sse2"),
    all(target_arch = "wasm32", target_feature = "simd128")
));

/// Whether to test large layers and long batches: where they go ways of their own, and not by an interpreter.
pub const LARGE: bool = VECTORS && !cfg!(miri);

/// Stamps tests that are generic over the element type, for both.
#[allow(unused_macros, reason = "as above")]
macro_rules! for_both_types {
    ($($name:ident),* $(,)?) => {
        mod single {
            $(#[test] fn $name() { super::$name::<f32>() })*
        }
        mod double {
            $(#[test] fn $name() { super::$name::<f64>() })*
        }
    };
}
#[allow(unused_imports, reason = "as above")]
pub(crate) use for_both_types;

/// `cases` random cases, unless `PROPTEST_CASES` asks for another number. Failures print the case,
/// which holds the seed of all its values, so there is nothing else to record.
pub fn draws(cases: u32) -> Config {
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    config
}
