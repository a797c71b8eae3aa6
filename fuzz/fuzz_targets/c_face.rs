//! The C face: every function with whatever C can pass. A call returns an error that it has a reason for and
//! writes nothing, or gives the bits of the Rust function; no access is beside what was lent.
#![no_main]

use std::ffi::{CStr, c_void};

use pergrad_capi::*;
use pergrad_core::self_test;
use pergrad_fuzz::Source;
use pergrad_fuzz::support::values::Real;

/// A call of a C function, or of one of two by the element type.
macro_rules! call {
    ($T:ident: $single:ident | $double:ident $args:tt) => {
        if size_of::<$T>() == size_of::<f32>() { call!($single $args) } else { call!($double $args) }
    };
    ($function:ident($($arg:expr),* $(,)?)) => {
        // SAFETY: what is lent has the sizes that are told, or must be refused before it is touched.
        unsafe { $function($($arg),*) }
    };
}

#[path = "c_face/arrays.rs"]
mod arrays;
#[path = "c_face/caller.rs"]
mod caller;
#[path = "c_face/config.rs"]
mod config;
#[path = "c_face/layer.rs"]
mod layer;
#[path = "c_face/optimizers.rs"]
mod optimizers;
#[path = "c_face/statistics.rs"]
mod statistics;
use arrays::Use::Written;
use caller::Caller;
use layer::{Extents, to};
use statistics::*;

/// What needs no arrays, and the self-test.
fn others<T: Real>(c: &mut Caller<'_, '_>) {
    let (isa, rust) = c.isa();
    let e = Extents::draw(c);
    assert_eq!(pergrad_scratch_len(e.c()), pergrad_core::scratch_len(e.0));
    let known = c.refusals.is_empty();
    assert_eq!(pergrad_isa_available(isa), known);
    let (code, _) = c.choice(&[(); 14]);
    for text in [pergrad_isa_name(isa), pergrad_error_message(code), pergrad_version()] {
        // SAFETY: never NULL, and ends with NUL.
        assert!(!unsafe { CStr::from_ptr(text) }.is_empty());
    }
    c.refusals.clear();
    if c.source.upto(9) != 9 {
        return config::length(c);
    }
    let (isa, rust) = if known { (isa, rust) } else { c.isa() };
    let a = c.arrays::<T, 1>([(Written, PERGRAD_SELF_TEST_MEMORY as u128)]);
    if a.huge.is_some() {
        return; // More than it needs is right, and nobody has it.
    }
    let ([memory], info, mut reports) = (a.c, c.info(), 0usize);
    let context = (&raw mut reports).cast::<c_void>();
    let code = call!(T: pergrad_self_test_f32 | pergrad_self_test_f64(
        isa, memory.0.cast(), memory.1, Some(count), context, info
    ));
    let mut checks = 0;
    c.judge(code, &a, |[memory]| {
        self_test::self_test(rust, to(memory), |check| {
            assert!(check.passed());
            checks += 1;
        })
        .map(|_| ())
    });
    assert_eq!(reports, checks);
}

unsafe extern "C" fn count(_: *const pergrad_check, context: *mut c_void) {
    // SAFETY: it is the counter's.
    unsafe { *context.cast::<usize>() += 1 }
}

fn check<T: Real>(source: &mut Source<'_>) {
    let functions: [fn(&mut Caller<'_, '_>); 11] = [
        forward::<T>,
        input_grad::<T>,
        per_example_grad::<T>,
        reduce::<T>,
        grad::<T>,
        moments::<T>,
        sq_norms::<T>,
        others::<T>,
        optimizers::momentum::<T>,
        optimizers::rmsprop::<T>,
        optimizers::adam::<T>,
    ];
    source.pick(&functions)(&mut Caller::new(source));
}
pergrad_fuzz::fuzz_both_types!(check);
