//! The training of the firmware, on this machine: every instruction set arrives at the bits of the
//! microcontroller.

#[allow(unreachable_pub, reason = "a module of the firmware")]
#[path = "../firmware/src/train.rs"]
mod train;

mod support;

use std::io::Read;

use support::isas::for_each_isa;
use train::{RECORD, Trainer};

/// SHA-256 of the weights after the training.
const TRAINED: &str = include_str!("../firmware/trained.txt");

/// The digits as the firmware has them in flash.
fn digits() -> Vec<u8> {
    let packed = &include_bytes!("../../std-wrapper/data/digits.csv.gz")[..];
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut text).unwrap();
    text.lines().flat_map(|line| line.split(',')).map(|n| n.parse::<u8>().unwrap()).collect()
}

#[test]
fn every_isa_trains_the_firmwares_network_to_the_same_bits() {
    let data = digits();
    assert_eq!(data.len() % RECORD, 0);
    for_each_isa(|isa| {
        let mut last = None;
        let digest = Trainer::new().train(isa, &data, |epoch| last = Some(epoch)).unwrap();
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, TRAINED.trim(), "{}", isa.name());
        let last = last.unwrap();
        let (correct, all) = last.correct;
        assert!(last.number == train::EPOCHS && last.loss < 0.2 && correct * 100 > all * 95);
    });
}
