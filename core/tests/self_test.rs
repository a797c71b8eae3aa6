//! The self-test on every instruction set, and that it can fail.

mod support;

use pergrad_core::self_test::{LIST, MEMORY, against, self_test, sha256};
use pergrad_core::{Element, Error, Isa};
use support::isas::for_each_isa;

/// The lines that the list should have, and whether all were in it.
fn lines<T: Element>(isa: Isa) -> (Vec<String>, bool) {
    let mut lines = Vec::new();
    let mut memory = vec![T::ZERO; MEMORY];
    let passed = self_test(isa, &mut memory, |check| {
        let line = check.to_string();
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(words.len(), if check.passed() { 4 } else { 5 }, "{line}");
        lines.push(words[..3].join(" "));
    });
    (lines, passed.unwrap())
}

/// Set `PERGRAD_BLESS` to write the list anew, after a change of the inputs. Never after one of the
/// arithmetic.
#[test]
fn every_isa_gives_the_list() {
    if std::env::var_os("PERGRAD_BLESS").is_some() {
        let (single, double) = (lines::<f32>(Isa::baseline()).0, lines::<f64>(Isa::baseline()).0);
        let list = [single, double].concat().join("\n") + "\n";
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/self_test.txt"), list).unwrap();
        return;
    }
    for_each_isa(|isa| {
        let ((single, passed), (double, passed_too)) = (lines::<f32>(isa), lines::<f64>(isa));
        assert_eq!([single, double].concat().join("\n"), LIST.trim_end(), "{}", isa.name());
        assert!(passed && passed_too);
    });
}

/// The digests depend on nothing but the instruction set's arithmetic: not on what the memory held.
#[test]
fn what_the_memory_held_does_not_matter() {
    let mut memory = [f32::NAN; MEMORY + 1];
    for _ in 0..2 {
        assert_eq!(self_test(Isa::detect(), &mut memory, |_| ()), Ok(true));
    }
    assert!(memory[MEMORY].is_nan());
    let short = self_test(Isa::detect(), &mut memory[2..], |_| ());
    assert_eq!(short, Err(Error::Length { arg: "memory", got: MEMORY - 1, need: MEMORY }));
}

#[test]
fn a_digest_that_is_not_the_lists_is_told() {
    let mut told = false;
    let equal = self_test(Isa::detect(), &mut [0.0f32; MEMORY], |check| {
        let mut other = *check;
        other.digest = other.digest.map(|mut digest| {
            digest[31] ^= 1;
            digest
        });
        told = !other.passed() && other.to_string().ends_with("NOT EQUAL");
    });
    assert!(equal == Ok(true) && told);
}

/// The standard's digests of nothing and of these eight bytes; and what firmware lays out at compile time.
#[test]
fn sha256_of_elements() {
    let hex = |digest: [u8; 32]| digest.map(|byte| format!("{byte:02x}")).concat();
    let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(hex(sha256::<f64>(&[])), nothing);
    let two = "48943f7a0ea247f8e3c9386d0c5822fe181d323a9289980426638cc4e72a43e1";
    assert_eq!(hex(sha256(&[1.0f32, -2.5])), two);
    // Any NaN is the one with these bits, and not another element.
    assert_eq!(sha256(&[-f64::NAN]), sha256(&[f64::from_bits(0x7ff8 << 48)]));
    assert_ne!(sha256(&[f64::NAN]), sha256(&[0.0f64]));
    assert_eq!(MEMORY, 192 + 64 + 40 + 6 * 256);
}

/// One digest that is not the list's, and the whole has not passed.
#[test]
fn one_failure_fails_all() {
    let mut failed = 0;
    let (list, memory) = (LIST.split_once('\n').unwrap().1, &mut [0.0f32; MEMORY]);
    let all = against(list, Isa::detect(), memory, |check| failed += !check.passed() as usize);
    assert_eq!((all, failed), (Ok(false), 1));
}
