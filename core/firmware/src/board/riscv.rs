//! RISC-V: instructions by the counter that the architecture has.

#[riscv_rt::entry]
fn main() -> ! {
    crate::board::exit(crate::run())
}

/// Not known here: the memory is that of the Cortex-M.
pub fn report_memory() {}

/// Instructions so far, modulo 2^32.
pub fn instructions() -> Option<u32> {
    let count;
    // SAFETY: reading the counter has no effect.
    unsafe { core::arch::asm!("csrr {}, minstret", out(reg) count, options(nomem, nostack)) }
    Some(count)
}
