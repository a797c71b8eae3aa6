//! The self-test of every kernel on every instruction set of this machine.
//!
//! `cargo run --release -p pergrad-core --features self-test --example self_test`

use pergrad_core::self_test::{MEMORY, self_test};
use pergrad_core::{Element, Isa};

fn run<T: Element>(isa: Isa) -> bool {
    let mut memory = vec![T::ZERO; MEMORY];
    self_test(isa, &mut memory, |check| println!("{:9} {check}", isa.name())) == Ok(true)
}

fn main() -> std::process::ExitCode {
    let mut equal = true;
    for isa in Isa::available() {
        equal &= run::<f32>(isa) & run::<f64>(isa);
    }
    println!("{}", if equal { "all digests are equal to the list" } else { "NOT ALL EQUAL" });
    if equal { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}
