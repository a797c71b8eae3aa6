//! A bare-metal program that tests every kernel and learns to read digits, in 64 KiB of RAM, without an
//! allocator, an operating system or a way to panic.
//!
//! `cargo run --release` runs it on a Cortex-M4F in QEMU. First the self-test, then (on a Cortex-M4F) how many
//! instructions the kernels take, then the training.
#![no_std]
#![no_main]

mod board;
#[cfg(trains)]
mod counts;
mod print;
#[cfg(trains)]
mod train;

use core::cell::UnsafeCell;
#[cfg(trains)]
use core::mem::ManuallyDrop;

use pergrad_core::self_test::{MEMORY, self_test};
use pergrad_core::{Element, Isa};
use print::{Line, print};

/// The digits, 65 bytes each.
#[cfg(trains)]
static DIGITS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/digits.bin"));

/// The SHA-256 of the trained weights, the same on every machine.
#[cfg(trains)]
const TRAINED: &str = include_str!("../trained.txt");

/// The memory of the three parts of the program, which run one after the other.
union Parts {
    single: [f32; MEMORY],
    #[cfg(not(small))]
    double: [f64; MEMORY],
    #[cfg(trains)]
    counts: ManuallyDrop<counts::Counts>,
    #[cfg(trains)]
    trainer: ManuallyDrop<train::Trainer>,
}

struct Arena(UnsafeCell<Parts>);

// SAFETY: there is one thread, no interrupt uses it, and `main` lends it to one part at a time.
unsafe impl Sync for Arena {}

/// All static memory there is. (Every part may start from any bytes: they are numbers.)
static ARENA: Arena = Arena(UnsafeCell::new(Parts { single: [0.0; MEMORY] }));

/// Runs the program; tells whether everything was as it should be. Called once.
fn run() -> bool {
    let isa = Isa::detect();
    // SAFETY: called once, and each part is done with its field before the next one starts.
    let parts = unsafe { &mut *ARENA.0.get() };

    // SAFETY: all bytes of all fields are numbers, valid whatever was written before.
    let equal = tested(isa, unsafe { &mut parts.single });
    #[cfg(small)]
    print("f64: does not fit in the RAM of this board\n");
    // SAFETY: as above.
    #[cfg(not(small))]
    let equal = equal & tested(isa, unsafe { &mut parts.double });
    // SAFETY: as above.
    #[cfg(trains)]
    counts::report(isa, unsafe { &mut parts.counts });
    // SAFETY: as above.
    #[cfg(trains)]
    let equal = equal & trained(isa, unsafe { &mut parts.trainer });
    board::report_memory();
    #[cfg(feature = "can-panic")]
    let equal = equal & (DIGITS[core::hint::black_box(DIGITS.len())] == 0);
    print(if equal { "all digests are equal to the lists\n" } else { "NOT ALL EQUAL\n" });
    equal
}

/// The self-test, a line for each kernel.
fn tested<T: Element>(isa: Isa, memory: &mut [T]) -> bool {
    let equal = self_test(isa, memory, |check| {
        let mut line = Line::new();
        line.text(check.element).text(" ").text(check.kernel).text(" ");
        match &check.digest {
            Ok(digest) => line.hex(digest),
            Err(_) => line.text("refused"),
        };
        line.text(if check.passed() { " equal\n" } else { " NOT EQUAL\n" });
        line.print();
    });
    equal == Ok(true)
}

/// The training, a line for each epoch.
#[cfg(trains)]
fn trained(isa: Isa, trainer: &mut train::Trainer) -> bool {
    let digest = trainer.train(isa, DIGITS, |epoch| {
        let (correct, all) = epoch.correct;
        let mut line = Line::new();
        line.text("epoch ").number(epoch.number, 2).text("  loss ");
        line.decimal((epoch.loss * 10_000.0) as u32, 4).text("  held out ");
        line.decimal(correct * 1000 / all.max(1), 1).text(" %\n").print();
    });
    let mut line = Line::new();
    line.text("trained weights ");
    let mut hex = Line::new();
    match &digest {
        Ok(digest) => hex.hex(digest),
        Err(_) => hex.text("refused"),
    };
    let equal = hex.as_bytes() == TRAINED.trim_ascii_end().as_bytes();
    line.bytes(hex.as_bytes()).text(if equal { " equal\n" } else { " NOT EQUAL\n" }).print();
    equal
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    print("panicked\n");
    board::exit(false)
}
