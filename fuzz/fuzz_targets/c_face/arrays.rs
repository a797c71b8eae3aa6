//! Arrays as a caller in C gives them, right or wrong, and what a call made of them.

use std::ptr::{null_mut, without_provenance_mut};

use pergrad_capi::pergrad_error;
use pergrad_capi::pergrad_error::*;
use pergrad_core::Error;
use pergrad_fuzz::support::values::Real;

use super::caller::{Block, Caller};

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

impl Caller<'_, '_> {
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
                let written = [k, inner].iter().any(|&k| uses[k] != Use::Read);
                let over = if written { self.wrong > 0 && self.source.flag() } else { true };
                self.wrong -= usize::from(written && over);
                let at = self.source.upto(len);
                let at = if over { self.source.pick(&[len - 1, 0, at]) } else { len };
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
