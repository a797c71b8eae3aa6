//! A caller in C: lends memory of exactly the bytes that a call may touch, keeps account of what is wrong
//! with what it gives, and judges what came of the call.

use std::alloc::{Layout, alloc, dealloc};
use std::mem::{MaybeUninit, transmute_copy};
use std::ptr::null_mut;

use pergrad_capi::pergrad_error::*;
use pergrad_capi::*;
use pergrad_core::{Error, Isa};
use pergrad_fuzz::Source;

/// What lent places hold before they are filled.
const FILL: u8 = 0xa5;

pub struct Caller<'s, 'a> {
    pub source: &'s mut Source<'a>,
    /// How many things may yet be wrong with what is given.
    pub wrong: usize,
    /// The errors that the call may return; it must return one of them, if there are any.
    pub refusals: Vec<pergrad_error>,
    pub lent: Vec<Block>,
    /// The block that an error fills.
    info: Option<usize>,
}

/// Memory of its own, to the byte: AddressSanitizer sees what is read or written beside it.
pub struct Block {
    pub start: *mut u8,
    layout: Layout,
    before: Vec<u8>,
}

impl Block {
    pub fn new(len: usize) -> Self {
        let layout = Layout::from_size_align(len.max(1), 64).expect("small");
        // SAFETY: not of size 0.
        let start = unsafe { alloc(layout) };
        assert!(!start.is_null(), "no memory");
        // SAFETY: so many bytes were allocated.
        unsafe { start.write_bytes(FILL, layout.size()) };
        Block { start, layout, before: Vec::new() }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: allocated and filled by `new`; no call is under way.
        unsafe { std::slice::from_raw_parts(self.start, self.layout.size()) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.start, self.layout) }
    }
}

impl<'s, 'a> Caller<'s, 'a> {
    pub fn new(source: &'s mut Source<'a>) -> Self {
        let wrong = source.pick(&[0, 1, 1, 3]);
        Caller { source, wrong, refusals: Vec::new(), lent: Vec::new(), info: None }
    }

    /// 0, or seldom up to `kinds` where something is to be wrong.
    pub fn odd(&mut self, kinds: usize) -> usize {
        if self.wrong == 0 {
            return 0;
        }
        match self.source.any::<u8>() {
            k @ 224.. => {
                self.wrong -= 1;
                1 + usize::from(k) % kinds
            }
            _ => 0,
        }
    }

    pub fn refuse(&mut self, code: pergrad_error) {
        self.refusals.push(code);
    }

    /// One of the values of an enumeration, and what it is in Rust; or garbage.
    pub fn choice<E, R: Copy>(&mut self, of: &[R]) -> (MaybeUninit<E>, R) {
        let mut value = self.source.upto(of.len() - 1) as i32;
        if self.odd(1) != 0 {
            value = self.source.any();
        }
        let rust = usize::try_from(value).ok().and_then(|k| of.get(k)).copied();
        if rust.is_none() {
            self.refuse(PERGRAD_ERROR_ENUM);
        }
        assert_eq!(size_of::<E>(), size_of::<i32>());
        // SAFETY: of the same size, and any bits are a `MaybeUninit`.
        (unsafe { transmute_copy(&value) }, rust.unwrap_or(of[0]))
    }

    /// A bool, or garbage.
    pub fn truth(&mut self) -> (MaybeUninit<bool>, bool) {
        let mut value = u8::from(self.source.flag());
        if self.odd(1) != 0 {
            value = self.source.any();
        }
        if value > 1 {
            self.refuse(PERGRAD_ERROR_ENUM);
        }
        // SAFETY: one byte, and any bits are a `MaybeUninit`.
        (unsafe { transmute_copy(&value) }, value == 1)
    }

    /// An instruction set.
    pub fn isa(&mut self) -> (MaybeUninit<pergrad_isa>, Isa) {
        let all = [
            Ok(Isa::detect()),
            Ok(Isa::baseline()),
            Isa::from_name("avx2"),
            Isa::from_name("avx512"),
        ];
        let (c, rust) = self.choice(&all);
        if rust.is_err() {
            self.refuse(PERGRAD_ERROR_ISA);
        }
        (c, rust.unwrap_or(Isa::baseline()))
    }

    fn lend_at<S>(&mut self, value: S, offset: usize) -> *mut S {
        let block = Block::new(offset + size_of::<S>());
        // SAFETY: there is room for it after `offset`.
        let place = unsafe { block.start.add(offset) }.cast::<S>();
        // SAFETY: likewise.
        unsafe { place.write_unaligned(value) };
        self.lent.push(block);
        place
    }

    /// A structure, or NULL, or misaligned.
    pub fn lend<S>(&mut self, value: S) -> *mut S {
        match self.odd(2) {
            0 => self.lend_at(value, 0),
            1 => {
                self.refuse(PERGRAD_ERROR_NULL);
                null_mut()
            }
            _ => {
                self.refuse(PERGRAD_ERROR_MISALIGNED);
                let offset = 1 + self.source.upto(align_of::<S>() - 2);
                self.lend_at(value, offset)
            }
        }
    }

    /// A place for a result.
    pub fn place<S>(&mut self) -> *mut MaybeUninit<S> {
        self.lend(filler())
    }

    /// Where an error is told, if anywhere. The last to be lent.
    pub fn info(&mut self) -> *mut pergrad_error_info {
        let place: *mut MaybeUninit<pergrad_error_info> = if self.source.flag() {
            null_mut()
        } else if self.odd(1) != 0 {
            self.refuse(PERGRAD_ERROR_MISALIGNED);
            self.lend_at(filler(), 1)
        } else {
            self.info = Some(self.lent.len());
            self.lend_at(filler(), 0)
        };
        for block in &mut self.lent {
            block.before = block.bytes().to_vec();
        }
        place.cast()
    }

    /// What came of a call that fills a place, against `rust`.
    pub fn filled<S: Copy, R>(
        &mut self,
        code: pergrad_error,
        place: *mut MaybeUninit<S>,
        rust: impl FnOnce() -> Result<R, Error>,
    ) -> Option<(S, R)> {
        let mut made = None;
        self.settle(code, || rust().map(|rust| made = Some(rust)));
        let filled = made.map(|rust| {
            // SAFETY: lent, not refused, and filled, as the code says.
            let c = unsafe { place.cast::<S>().read() };
            let block = self.lent.iter_mut().find(|block| block.start == place.cast());
            let block = block.expect("a lent place");
            block.before = block.bytes().to_vec();
            (c, rust)
        });
        self.end();
        filled
    }

    /// Whether a call that was refused, or not, is so for a good reason, told where it was asked to be.
    pub fn settle(&mut self, code: pergrad_error, rust: impl FnOnce() -> Result<(), Error>) {
        if self.refusals.is_empty() {
            assert_eq!(code, rust().map_or_else(code_of, |()| PERGRAD_OK));
        } else {
            assert!(self.refusals.contains(&code), "{code:?}, not of {:?}", self.refusals);
        }
        if let Some(k) = self.info.filter(|_| code != PERGRAD_OK) {
            // SAFETY: lent, and filled on an error.
            let info = unsafe { self.lent[k].start.cast::<pergrad_error_info>().read() };
            assert_eq!((info.arg[31], info.needed[79]), (0, 0), "texts without an end");
            assert!(info.arg[0] != 0 || code == PERGRAD_ERROR_CONFLICT, "no argument is named");
            self.lent.remove(k);
        }
    }

    /// The call is over: all else that was lent is as it was.
    pub fn end(&mut self) {
        for block in self.lent.drain(..) {
            assert_eq!(block.bytes(), block.before, "written where nothing may be");
        }
        self.refusals.clear();
        self.info = None;
    }
}

/// What a place holds before it is filled.
fn filler<S>() -> MaybeUninit<S> {
    let mut value = MaybeUninit::<S>::uninit();
    // SAFETY: of that size.
    unsafe { value.as_mut_ptr().cast::<u8>().write_bytes(FILL, size_of::<S>()) };
    value
}

fn code_of(error: Error) -> pergrad_error {
    match error {
        Error::Length { .. } => PERGRAD_ERROR_LENGTH,
        Error::Overflow { .. } => PERGRAD_ERROR_OVERFLOW,
        Error::Hyper { .. } => PERGRAD_ERROR_HYPER,
        Error::Conflict { .. } => PERGRAD_ERROR_CONFLICT,
        Error::NonFinite { .. } => PERGRAD_ERROR_NON_FINITE,
        other => panic!("{other}"),
    }
}
