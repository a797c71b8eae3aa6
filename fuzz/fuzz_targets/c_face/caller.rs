//! A caller in C: lends memory of exactly the bytes that a call may touch, keeps account of what is wrong
//! with what it gives, and judges what came of the call.

use std::alloc::{Layout, alloc, dealloc};
use std::mem::{MaybeUninit, transmute_copy};
use std::ptr::{null_mut, without_provenance_mut};

use pergrad_capi::pergrad_error::*;
use pergrad_capi::*;
use pergrad_core::{Error, Isa};
use pergrad_fuzz::Source;
use pergrad_fuzz::support::values::Real;

/// What lent places hold before they are filled.
const FILL: u8 = 0xa5;

pub struct Caller<'s, 'a> {
    pub source: &'s mut Source<'a>,
    /// Whether anything may be wrong with what is given.
    pub wrong: bool,
    /// The errors that the call may return; it must return one of them, if there are any.
    pub refusals: Vec<pergrad_error>,
    lent: Vec<Block>,
    /// The block that an error fills.
    info: Option<usize>,
}

/// Memory of its own, to the byte: AddressSanitizer sees what is read or written beside it.
struct Block {
    start: *mut u8,
    layout: Layout,
    before: Vec<u8>,
}

impl Block {
    fn new(len: usize) -> Self {
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

/// What a function does with an array.
#[derive(Clone, Copy, PartialEq)]
pub enum Use {
    Read,
    /// Read, or NULL and left out.
    Optional,
    /// Not looked at.
    Unseen,
    Written,
    /// Written, of any length, and what it holds afterwards means nothing.
    Scratch,
}

/// The arrays of a call.
pub struct Arrays<T, const N: usize> {
    /// As they are given.
    pub c: [(*mut T, usize); N],
    /// The one that is longer than any memory, if there is one.
    pub huge: Option<usize>,
    uses: [Use; N],
    before: [Option<Vec<T>>; N],
}

impl<'s, 'a> Caller<'s, 'a> {
    pub fn new(source: &'s mut Source<'a>) -> Self {
        let wrong = source.flag();
        Caller { source, wrong, refusals: Vec::new(), lent: Vec::new(), info: None }
    }

    /// 0, or seldom up to `kinds` where something is wrong.
    pub fn odd(&mut self, kinds: usize) -> usize {
        match self.wrong.then(|| self.source.any::<u8>()) {
            Some(k @ 224..) => 1 + usize::from(k) % kinds,
            _ => 0,
        }
    }

    fn refuse(&mut self, code: pergrad_error) {
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

    /// Arrays of the lengths that are needed, or not; anywhere, or nowhere, or over each other.
    pub fn arrays<T: Real, const N: usize>(&mut self, asked: [(Use, u128); N]) -> Arrays<T, N> {
        let size = size_of::<T>();
        let most = isize::MAX as usize / size;
        let uses = asked.map(|(used, _)| used);
        let (mut c, mut huge) = ([(null_mut::<T>(), 0); N], None);
        let mut absent = [false; N];
        for (k, (used, need)) in asked.into_iter().enumerate() {
            let usual = if need < 1 << 14 { need as usize } else { self.source.upto(64) };
            absent[k] = used == Use::Optional && self.source.flag();
            c[k].1 = match self.odd(5) {
                _ if absent[k] || used == Use::Unseen => 0,
                0 if used == Use::Scratch => self.source.upto(usual.max(300)),
                0 => usual,
                1 => usual + 1,
                2 => usual.saturating_sub(1),
                3 => 0,
                4 if huge.is_none() => {
                    huge = Some(k);
                    let long = self.source.any::<usize>() | 1 << 40;
                    let long = self.source.pick(&[usize::MAX, most + 1, most, 1 << 40, long]);
                    let told = if used == Use::Scratch { long.max(most + 1) } else { long };
                    // Nobody has so much to lend for a call that needs it.
                    if told as u128 == need { told ^ 1 } else { told }
                }
                _ => self.source.upto(64),
            };
        }
        // One that lies somewhere in or right behind another.
        let (k, l) = (self.source.upto(N - 1), self.source.upto(N - 1));
        let inner = self.source.upto(3) == 1 && k != l && huge.is_none_or(|h| h != k && h != l);
        let inner = (inner && c[k].1 != 0 && c[l].1 != 0).then_some((k, l));
        for k in 0..N {
            let len = c[k].1;
            let lead = self.source.upto(16) * size;
            c[k].0 = if huge == Some(k) {
                let at = self.source.any::<usize>() / size * size;
                without_provenance_mut(at.max(size))
            } else if len == 0 {
                let not_null = self.source.pick(&[1, 64]);
                without_provenance_mut(if absent[k] || self.source.flag() { 0 } else { not_null })
            } else if inner.is_some_and(|(inner, _)| inner == k) {
                continue;
            } else if let Some((inner, _)) = inner.filter(|&(_, outer)| outer == k) {
                let apart = !self.wrong && [k, inner].iter().any(|&k| uses[k] != Use::Read);
                let at = self.source.upto(len);
                let at = if apart { len } else { self.source.pick(&[len, len - 1, 0, at]) };
                let of_both = len.max(at + c[inner].1);
                let start: *mut T = self.lend_array(of_both, lead);
                c[inner].0 = start.wrapping_add(at);
                start
            } else {
                match self.odd(2) {
                    0 => self.lend_array(len, lead),
                    1 => null_mut(),
                    _ => {
                        let beside = 1 + self.source.upto(size - 2);
                        self.lend_array(len, lead + beside)
                    }
                }
            };
        }
        self.look_over(&c, &uses, huge);
        let before = std::array::from_fn(|k| {
            let left_out = uses[k] == Use::Optional && c[k] == (null_mut(), 0);
            let there = huge != Some(k) && !c[k].0.is_null() && c[k].1 != 0;
            (!left_out).then(|| if there { read(c[k]) } else { Vec::new() })
        });
        Arrays { c, huge, uses, before }
    }

    /// So many elements behind so many bytes.
    fn lend_array<T: Real>(&mut self, len: usize, lead: usize) -> *mut T {
        let block = Block::new(lead + len * size_of::<T>());
        let start = block.start.wrapping_add(lead).cast::<T>();
        write(start, &self.source.values::<T>(len));
        self.lent.push(block);
        start
    }

    /// Enters what the library can see to be wrong with arrays.
    fn look_over<T>(&mut self, c: &[(*mut T, usize)], uses: &[Use], huge: Option<usize>) {
        let size = size_of::<T>();
        let mut seen: Vec<(u128, u128, bool)> = Vec::new();
        for (k, &(start, len)) in c.iter().enumerate().filter(|(_, c)| c.1 != 0) {
            let (begin, bytes) = (start.addr() as u128, len as u128 * size as u128);
            if start.is_null() {
                self.refuse(PERGRAD_ERROR_NULL);
            } else if !start.addr().is_multiple_of(size) {
                self.refuse(PERGRAD_ERROR_MISALIGNED);
            } else if bytes > isize::MAX as u128 || begin + bytes > usize::MAX as u128 {
                self.refuse(PERGRAD_ERROR_OVERFLOW);
            } else {
                let written = matches!(uses[k], Use::Written | Use::Scratch);
                if seen.iter().any(|s| (s.2 || written) && begin < s.1 && s.0 < begin + bytes) {
                    self.refuse(PERGRAD_ERROR_OVERLAP);
                }
                seen.push((begin, begin + bytes, written));
                if huge == Some(k) {
                    self.refuse(PERGRAD_ERROR_LENGTH);
                    self.refuse(PERGRAD_ERROR_OVERFLOW);
                }
            }
        }
    }

    /// What came of a call on arrays, against `rust` on copies of them.
    pub fn judge<T: Real, const N: usize>(
        &mut self,
        code: pergrad_error,
        arrays: &Arrays<T, N>,
        rust: impl FnOnce(&mut [Option<Vec<T>>; N]) -> Result<(), Error>,
    ) {
        let mut want = arrays.before.clone();
        self.settle(code, || rust(&mut want));
        for k in 0..N {
            let (used, Some(want), Some(before)) = (arrays.uses[k], &want[k], &arrays.before[k])
            else {
                continue;
            };
            let done = code == PERGRAD_OK;
            let scratch = used == Use::Scratch && (done || code == PERGRAD_ERROR_NON_FINITE);
            if before.is_empty() || !(scratch || done && used == Use::Written) {
                continue;
            }
            let got = read(arrays.c[k]);
            let differs = got.iter().zip(want).position(|(got, want)| !got.same(*want));
            if let Some(at) = differs.filter(|_| !scratch) {
                panic!("array {k} at {at}: {:?}, not {:?}", got[at], want[at]);
            }
            write(arrays.c[k].0, before);
        }
        self.end();
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
    fn settle(&mut self, code: pergrad_error, rust: impl FnOnce() -> Result<(), Error>) {
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
    fn end(&mut self) {
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

fn read<T: Real>((start, len): (*mut T, usize)) -> Vec<T> {
    // SAFETY: of a block that has so many elements from there on.
    (0..len).map(|k| unsafe { start.wrapping_add(k).read_unaligned() }).collect()
}

fn write<T: Real>(start: *mut T, values: &[T]) {
    for (k, value) in values.iter().enumerate() {
        // SAFETY: of a block that has so many elements from there on.
        unsafe { start.wrapping_add(k).write_unaligned(*value) };
    }
}
