//! The self-test, for a board of the user's.

use core::ffi::{c_char, c_void};
use core::mem::MaybeUninit;

use pergrad_core::self_test::{Check, self_test};

use crate::error::{Refused, copy};
use crate::pergrad_isa;

/// Elements of memory that the self-test works in: 7 KiB of float, 14 KiB of double.
pub const PERGRAD_SELF_TEST_MEMORY: usize = 1832;

const _: () = assert!(PERGRAD_SELF_TEST_MEMORY == pergrad_core::self_test::MEMORY);

/// What one kernel gave in the self-test. The strings end with NUL.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct pergrad_check {
    /// The element type, "f32" or "f64".
    pub element: [c_char; 4],
    /// The kernel.
    pub kernel: [c_char; 28],
    /// SHA-256 of all that the kernel wrote.
    pub digest: [u8; 32],
    /// Whether it is the digest of the list, which is the same for every machine.
    pub equal: bool,
}

impl pergrad_check {
    fn new(check: &Check) -> Self {
        let mut c = pergrad_check {
            element: [0; 4],
            kernel: [0; 28],
            digest: check.digest.unwrap_or_default(),
            equal: check.passed(),
        };
        copy(&mut c.element, &[check.element]);
        copy(&mut c.kernel, &[check.kernel]);
        c
    }
}

/// The caller's function for what a kernel gave; NULL is none.
type Report = Option<unsafe extern "C" fn(check: *const pergrad_check, context: *mut c_void)>;

fn tell(report: Report, check: &Check, context: *mut c_void) {
    if let Some(report) = report {
        // SAFETY: it is the caller's, who promises that it takes these.
        unsafe { report(&pergrad_check::new(check), context) }
    }
}

both! {
    ($T)
    /// Whether this machine gives the promised bits: runs every kernel on fixed inputs and compares the
    /// SHA-256 of what it writes with the list that holds for every machine. PERGRAD_ERROR_SELF_TEST if
    /// one differs; `arg` is the first such kernel.
    ///
    /// memory: [PERGRAD_SELF_TEST_MEMORY], overwritten. report, unless NULL, is called for each kernel
    /// with what it gave and with context.
    fn pergrad_self_test_f32, pergrad_self_test_f64(
        isa: MaybeUninit<pergrad_isa>,
        memory: *mut $T,
        memory_len: usize,
        report: Option<unsafe extern "C" fn(check: *const pergrad_check, context: *mut c_void)>,
        context: *mut c_void,
    ) |args| {
        let memory = args.output("memory", memory, memory_len)?;
        let mut first_bad = None;
        self_test(args.isa(isa)?, memory, |check| {
            if !check.passed() && first_bad.is_none() {
                first_bad = Some(check.kernel);
            }
            tell(report, check, context);
        })?;
        if let Some(arg) = first_bad {
            return Err(Refused::SelfTest { arg });
        }
    }
}
