//! What differs between boards: how the program starts and ends, and what can be counted.

#[cfg(target_arch = "arm")]
#[path = "board/cortex_m.rs"]
mod this;
#[cfg(target_arch = "riscv32")]
#[path = "board/riscv.rs"]
mod this;

#[cfg(trains)]
pub use this::instructions;
pub use this::report_memory;

/// Ends the program, and QEMU with it.
pub fn exit(good: bool) -> ! {
    semihosting::process::exit(if good { 0 } else { 1 })
}
