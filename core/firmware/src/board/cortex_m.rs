//! Cortex-M: memory as laid out by `cortex-m-rt`, instructions by SysTick.

use core::ptr::{addr_of, addr_of_mut};

use crate::print::Line;

unsafe extern "C" {
    static mut __sdata: u32;
    static mut __ebss: u32;
    static mut _stack_start: u32;
}

/// Fills the memory that the stack has not touched yet.
const UNTOUCHED: u32 = 0x5a5a_5a5a;

/// Bytes below this function's frame that are left alone when filling.
const MARGIN: usize = 256;

#[cortex_m_rt::entry]
fn main() -> ! {
    let here = 0u32;
    let mut p = addr_of_mut!(__ebss);
    while p.addr() + MARGIN < addr_of!(here).addr() {
        // SAFETY: above the statics and below the stack there is nothing.
        unsafe {
            p.write_volatile(UNTOUCHED);
            p = p.add(1);
        }
    }
    start_counting();
    crate::board::exit(crate::run())
}

/// Prints how much RAM the program has used.
pub fn report_memory() {
    let (start, end) = (addr_of!(__sdata).addr(), addr_of!(__ebss).addr());
    let top = addr_of!(_stack_start).addr();
    let mut p = addr_of!(__ebss);
    // SAFETY: between the statics and the top of the stack all is RAM.
    while p.addr() < top && unsafe { p.read_volatile() } == UNTOUCHED {
        p = p.wrapping_add(1);
    }
    let (statics, stack) = (end - start, top - p.addr());
    let mut line = Line::new();
    line.text("RAM: ").number(statics as u32, 1).text(" bytes static, ");
    line.number(stack as u32, 1).text(" bytes of stack at most, ");
    line.number((top - start) as u32, 1).text(" given\n").print();
}

const SYST_CSR: *mut u32 = 0xe000_e010 as *mut u32;
const SYST_RVR: *mut u32 = 0xe000_e014 as *mut u32;
#[cfg(trains)]
const SYST_CVR: *const u32 = 0xe000_e018 as *const u32;

/// Lets SysTick count down all of its 24 bits, by the processor's clock.
fn start_counting() {
    // SAFETY: every Cortex-M that QEMU has, has SysTick, and nobody else uses it.
    unsafe {
        SYST_RVR.write_volatile(0x00ff_ffff);
        SYST_CSR.write_volatile(0b101);
    }
}

/// Instructions so far, modulo 2^24 ticks. One tick of the boards' 25 MHz is 40 of QEMU's nanoseconds, and by
/// `-icount shift=0` an instruction takes one.
#[cfg(trains)]
pub fn instructions() -> Option<u32> {
    // SAFETY: as above.
    let left = unsafe { SYST_CVR.read_volatile() };
    (cfg!(target_abi = "eabihf")).then_some((0x00ff_ffff - left) * 40)
}
