//! The memory of the boards, and the digits as bytes: 64 pixels and the digit.

use std::io::Read;
use std::path::PathBuf;
use std::{env, fs};

const DIGITS: &str = "../../std-wrapper/data/digits.csv.gz";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={DIGITS}");
    println!("cargo::rerun-if-env-changed=BOARD");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    println!("cargo::rustc-link-search={}", out.display());

    // 64 KiB is all that the program may have, whatever the board has.
    let target = env::var("TARGET").expect("cargo sets it");
    let default = match &*target {
        "thumbv6m-none-eabi" => "microbit",
        "riscv32imafc-unknown-none-elf" => "virt",
        _ => "mps2-an386",
    };
    let board = env::var("BOARD").unwrap_or(default.into());
    let memory = match &*board {
        "microbit" => "FLASH : ORIGIN = 0, LENGTH = 256K\n RAM : ORIGIN = 0x20000000, LENGTH = 16K",
        "mps2-an385" | "mps2-an386" => {
            "FLASH : ORIGIN = 0, LENGTH = 4M\n RAM : ORIGIN = 0x20000000, LENGTH = 64K"
        }
        "virt" => {
            "FLASH : ORIGIN = 0x80000000, LENGTH = 4M\n RAM : ORIGIN = 0x80400000, LENGTH = 64K"
        }
        other => panic!("no such board: {other}"),
    };
    let mut script = format!("MEMORY {{\n {memory}\n}}\n");
    if board == "virt" {
        for (region, memory) in [
            ("TEXT", "FLASH"),
            ("RODATA", "FLASH"),
            ("DATA", "RAM"),
            ("BSS", "RAM"),
            ("HEAP", "RAM"),
            ("STACK", "RAM"),
        ] {
            script += &format!("REGION_ALIAS(\"REGION_{region}\", {memory});\n");
        }
    }
    fs::write(out.join("memory.x"), script).expect("OUT_DIR is writable");
    // Floating point in software would train for minutes.
    println!("cargo::rustc-check-cfg=cfg(trains)");
    if target != "thumbv6m-none-eabi" {
        println!("cargo::rustc-cfg=trains");
    }
    println!("cargo::rustc-check-cfg=cfg(small)");
    if board == "microbit" {
        println!("cargo::rustc-cfg=small");
    }

    let mut text = String::new();
    flate2::read::GzDecoder::new(fs::File::open(DIGITS).expect("the digits are there"))
        .read_to_string(&mut text)
        .expect("the digits are text");
    let bytes: Vec<u8> = text
        .lines()
        .flat_map(|line| line.split(','))
        .map(|number| number.trim().parse::<f32>().expect("numbers") as u8)
        .collect();
    assert_eq!(bytes.len() % 65, 0);
    fs::write(out.join("digits.bin"), bytes).expect("OUT_DIR is writable");
}
