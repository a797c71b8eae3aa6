//! The instruction sets themselves, and the walk over them that all tests of kernels make.

mod support;

use pergrad_core::{Error, Isa};
use support::isas::{for_each_isa, missing, names};

#[test]
fn the_walk_exercises_every_available_isa_once() {
    let mut walked = Vec::new();
    for_each_isa(|isa| walked.push(isa));
    let available: Vec<Isa> = Isa::available().collect();
    let (all, other_makers) = walked.split_at(available.len());
    assert_eq!(all, available);
    assert_eq!(all[0], Isa::baseline());
    assert_eq!(all.last(), Some(&Isa::detect()));
    let ways = if cfg!(any(miri, target_feature = "avx2")) { 0 } else { 1 };
    assert_eq!(other_makers.len(), ways * all.iter().filter(|isa| isa.name() == "avx512").count());
    for other in other_makers {
        assert!(!all.contains(other) && all.iter().any(|isa| isa.name() == other.name()));
    }
}

#[test]
fn names_and_isas_correspond() {
    for isa in Isa::available() {
        assert!(Isa::NAMES.contains(&isa.name()));
        assert_eq!(Isa::from_name(isa.name()), Ok(isa));
    }
    let lacking =
        missing(Isa::NAMES.iter().copied(), &Isa::available().map(Isa::name).collect::<Vec<_>>());
    for name in lacking.into_iter().chain(["", "AVX2", "sse9"]) {
        let Err(Error::Isa { available }) = Isa::from_name(name) else {
            panic!("{name:?} should not be had");
        };
        assert!(names(available).eq(Isa::available().map(Isa::name)));
    }
}

#[test]
fn what_was_required_and_not_run_is_found() {
    let ran = ["portable", "avx2"];
    assert!(missing(names(""), &ran).is_empty());
    assert!(missing(names(" avx2,portable, "), &ran).is_empty());
    assert_eq!(missing(names("avx512, avx2,neon"), &ran), ["avx512", "neon"]);
}
