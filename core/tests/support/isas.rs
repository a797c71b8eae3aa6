//! The walk over the instruction sets.

use std::io::Write;
use std::sync::OnceLock;

use pergrad_core::Isa;

/// Names the instruction sets (comma-separated) without which a test run must not pass.
pub const REQUIRE: &str = "PERGRAD_REQUIRE_ISA";

/// Calls `f` once for each instruction set that this CPU has, and once more where another maker's CPU would go another
/// way (in a build for any CPU).
///
/// The names of those that could not be run go to standard error, once a program and past the test
/// harness, which would swallow them. Fails if [`REQUIRE`] names one that was not exercised.
pub fn for_each_isa(mut f: impl FnMut(Isa)) {
    for &isa in available() {
        f(isa);
    }
}

/// What [`for_each_isa`] walks over.
fn available() -> &'static [Isa] {
    static AVAILABLE: OnceLock<Vec<Isa>> = OnceLock::new();
    AVAILABLE.get_or_init(|| {
        let mut isas: Vec<Isa> = Isa::available().collect();
        let ran: Vec<&str> = isas.iter().map(|isa| isa.name()).collect();
        let not_run = missing(Isa::NAMES.iter().copied(), &ran);
        if !not_run.is_empty() {
            let line = format!("not run, this CPU lacks them: {}\n", not_run.join(", "));
            // A closed standard error is no reason to fail.
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
        let required = std::env::var(REQUIRE).unwrap_or_default();
        let not_run = missing(names(&required), &ran);
        assert!(not_run.is_empty(), "{REQUIRE} asks for {not_run:?}, exercised are {ran:?}");
        // (Once is enough where only the compiler's options are new.)
        if !cfg!(target_feature = "avx2") {
            isas.extend(isas.clone().into_iter().filter_map(of_another_maker));
        }
        isas
    })
}

/// The same instruction set, with the loops that are for CPUs of another maker, if there are any (and Miri, which takes
/// long, is not at work).
pub fn of_another_maker(isa: Isa) -> Option<Isa> {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if let (Isa::Avx512(token), false) = (isa, cfg!(miri)) {
        return [true, false]
            .map(|intel| Isa::Avx512(token.as_if(intel)))
            .into_iter()
            .find(|&other| other != isa);
    }
    let _ = isa;
    None
}

/// The names in a comma-separated list.
pub fn names(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|name| !name.is_empty())
}

/// Those of `wanted` that are not in `ran`.
pub fn missing<'a>(wanted: impl Iterator<Item = &'a str>, ran: &[&str]) -> Vec<&'a str> {
    wanted.filter(|name| !ran.contains(name)).collect()
}
