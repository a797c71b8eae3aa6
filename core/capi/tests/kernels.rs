//! Every kernel of the C face, at both types and every instruction set: the bits of the Rust function,
//! and every array in turn null, misaligned, of a wrong length, overlapping another, refused by name with
//! nothing written.

#[path = "kernels/cases.rs"]
mod cases;

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ptr::null_mut;

use pergrad_capi::pergrad_error::*;
use pergrad_capi::pergrad_isa::*;
use pergrad_capi::*;
use pergrad_core::{Element, Isa};

/// An array that a function takes.
struct Arg {
    name: &'static str,
    len: usize,
    written: bool,
    /// Whether it may be left out.
    optional: bool,
}

/// Arrays as C passes them.
type Pointers<T> = [(*mut T, usize)];

/// A function, in C and in Rust.
struct Case<T> {
    name: &'static str,
    args: Vec<Arg>,
    c: CallC<T>,
    rust: CallRust<T>,
}

type CallC<T> =
    Box<dyn Fn(MaybeUninit<pergrad_isa>, &Pointers<T>, *mut pergrad_error_info) -> pergrad_error>;
type CallRust<T> = Box<dyn Fn(Isa, &mut [Vec<T>])>;

/// Values in [-1, 1) of full precision, with a few subnormals and signed zeros between.
fn values<T: Element>(seed: u64, len: usize) -> Vec<T> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let value = (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0;
            match (state >> 4) % 16 {
                0 => T::from_f64(value * 1e-40),
                1 => T::NEG_ZERO,
                _ => T::from_f64(value),
            }
        })
        .collect()
}

/// As bits, for comparison.
fn bits<T: Element>(values: &[T]) -> Vec<u64> {
    values.iter().map(|v| v.to_f64().to_bits()).collect()
}

const ISAS: [(pergrad_isa, &str); 3] = [
    (PERGRAD_ISA_PORTABLE, "portable"),
    (PERGRAD_ISA_AVX2, "avx2"),
    (PERGRAD_ISA_AVX512, "avx512"),
];

impl<T: Element> Case<T> {
    /// What the arrays hold before a call; averages of squares are positive.
    fn arrays(&self) -> Vec<Vec<T>> {
        // Room behind each, so that an array moved to the end of another meets no third.
        let most = self.args.iter().map(|arg| arg.len).max().unwrap_or(0);
        let array = |(k, arg): (usize, &Arg)| {
            let mut array = Vec::with_capacity(arg.len + most);
            array.extend(values::<T>(k as u64 + 1, arg.len));
            if ["exp_avg_sq", "max_exp_avg_sq"].contains(&arg.name) {
                array.iter_mut().for_each(|v| *v = *v * *v + T::ONE);
            }
            array
        };
        self.args.iter().enumerate().map(array).collect()
    }

    fn equals_rust(&self) {
        let before = self.arrays();
        for (c, name) in ISAS {
            let mut by_c = self.arrays();
            let code = (self.c)(MaybeUninit::new(c), &pointers(&mut by_c), null_mut());
            let Ok(isa) = Isa::from_name(name) else {
                assert_eq!(code, PERGRAD_ERROR_ISA, "{} {name}", self.name);
                continue;
            };
            assert_eq!(code, PERGRAD_OK, "{} {name}", self.name);
            let mut by_rust = self.arrays();
            (self.rust)(isa, &mut by_rust);
            for (k, arg) in self.args.iter().enumerate() {
                let place = format!("{} {name} {}", self.name, arg.name);
                assert_eq!(bits(&by_c[k]), bits(&by_rust[k]), "{place}");
                let changed = bits(&by_c[k]) != bits(&before[k]);
                assert!(changed == arg.written || arg.name == "scratch", "{place}");
            }
        }
    }

    /// A call with `change` made to the pointers, which must be refused with nothing written.
    fn refused(
        &self,
        isa: MaybeUninit<pergrad_isa>,
        change: impl Fn(&mut Pointers<T>),
        code: pergrad_error,
    ) -> pergrad_error_info {
        let (before, mut arrays) = (self.arrays(), self.arrays());
        let mut p = pointers(&mut arrays);
        change(&mut p);
        let mut info = MaybeUninit::uninit();
        assert_eq!((self.c)(isa, &p, info.as_mut_ptr()), code, "{}", self.name);
        for (array, before) in arrays.iter().zip(&before) {
            assert_eq!(bits(array), bits(before), "{}", self.name);
        }
        // SAFETY: an error fills it.
        unsafe { info.assume_init() }
    }

    fn refuses(&self) {
        let best = MaybeUninit::new(PERGRAD_ISA_BEST);
        for (k, arg) in self.args.iter().enumerate() {
            let (name, len) = (arg.name, arg.len);
            // Refused, by its name.
            let named = |change: &dyn Fn(&mut Pointers<T>), code| {
                let info = self.refused(best, change, code);
                assert_eq!(text(&info.arg), name, "{}", self.name);
                (info.got, info.need)
            };
            named(&|p| p[k].0 = null_mut(), PERGRAD_ERROR_NULL);
            let odd = named(&|p| p[k].0 = p[k].0.wrapping_byte_add(1), PERGRAD_ERROR_MISALIGNED);
            assert_eq!(odd, (1, align_of::<T>()), "{} {name}", self.name);
            // More bytes than a slice may have, than can be counted, and past the end of all addresses.
            let most = isize::MAX as usize / size_of::<T>();
            for too_many in [most + 1, usize::MAX] {
                named(&|p| p[k].1 = too_many, PERGRAD_ERROR_OVERFLOW);
            }
            named(&|p| p[k] = (null_mut::<T>().wrapping_sub(len), len + 1), PERGRAD_ERROR_OVERFLOW);
            // The others are as long as these say.
            if !["params", "sum", "scratch"].contains(&name) {
                let short = named(&|p| p[k].1 = len - 1, PERGRAD_ERROR_LENGTH);
                assert_eq!(short, (len - 1, len), "{} {name}", self.name);
            }
            if !["params", "sum", "scratch"].contains(&name) && !arg.optional {
                let none = named(&|p| p[k] = (null_mut(), 0), PERGRAD_ERROR_LENGTH);
                assert_eq!(none, (0, len), "{} {name}", self.name);
            }
            for (l, other) in self.args.iter().enumerate() {
                if l != k && (arg.written || other.written) {
                    let to_its_end = |p: &mut Pointers<T>| p[k].0 = p[l].0.wrapping_add(p[l].1 - 1);
                    let info = self.refused(best, to_its_end, PERGRAD_ERROR_OVERLAP);
                    // Whichever comes later in the call is refused.
                    let (later, earlier) = if l < k { (arg, other) } else { (other, arg) };
                    let apart = format!("apart from `{}`", earlier.name);
                    let told = (text(&info.arg), text(&info.needed));
                    assert_eq!(told, (later.name.to_owned(), apart), "{}", self.name);
                }
            }
        }
        let info = self.refused(unknown(77), |_| (), PERGRAD_ERROR_ENUM);
        assert_eq!((text(&info.arg).as_str(), info.got), ("isa", 77), "{}", self.name);
        self.untold();
    }

    /// A call that cannot tell its error is refused for that.
    fn untold(&self) {
        let (before, mut arrays) = (self.arrays(), self.arrays());
        let mut info = [MaybeUninit::<pergrad_error_info>::uninit(); 2];
        let odd = info.as_mut_ptr().cast::<pergrad_error_info>().wrapping_byte_add(1);
        let code = (self.c)(MaybeUninit::new(PERGRAD_ISA_BEST), &pointers(&mut arrays), odd);
        assert_eq!(code, PERGRAD_ERROR_MISALIGNED, "{}", self.name);
        for (array, before) in arrays.iter().zip(&before) {
            assert_eq!(bits(array), bits(before), "{}", self.name);
        }
    }
}

/// Arrays as C passes them.
fn pointers<T>(arrays: &mut [Vec<T>]) -> Vec<(*mut T, usize)> {
    arrays.iter_mut().map(|array| (array.as_mut_ptr(), array.len())).collect()
}

/// A number in the place of an enumeration, as C may pass it.
fn unknown<E>(value: i32) -> MaybeUninit<E> {
    let mut e = MaybeUninit::<E>::uninit();
    assert_eq!(size_of::<E>(), size_of::<i32>());
    // SAFETY: as large as that, and it is not read as an `E`.
    unsafe { e.as_mut_ptr().cast::<i32>().write(value) };
    e
}

fn text(bytes: &[std::ffi::c_char]) -> String {
    // SAFETY: of an error, whose texts end with NUL.
    unsafe { CStr::from_ptr(bytes.as_ptr()) }.to_str().expect("ASCII").to_owned()
}

#[test]
fn single_equals_rust() {
    cases::single::all().iter().for_each(Case::equals_rust);
}

#[test]
fn double_equals_rust() {
    cases::double::all().iter().for_each(Case::equals_rust);
}

#[test]
fn single_refuses() {
    cases::single::all().iter().for_each(Case::refuses);
}

#[test]
fn double_refuses() {
    cases::double::all().iter().for_each(Case::refuses);
}

/// All kernels are in the table: the header names them.
#[test]
fn all_kernels_are_here() {
    let header = include_str!("../pergrad.h");
    let takes_isa = |line: &&str| {
        line.starts_with("pergrad_error pergrad_") && line.contains("(pergrad_isa isa,")
    };
    // (The self-test has tests in C.)
    let declared =
        header.lines().filter(takes_isa).filter(|line| !line.contains("_self_test_")).count();
    let names =
        |cases: Vec<&str>| cases.into_iter().collect::<std::collections::BTreeSet<_>>().len();
    let single = names(cases::single::all().iter().map(|c| c.name).collect());
    let double = names(cases::double::all().iter().map(|c| c.name).collect());
    assert!(single == double && declared == 2 * single, "{declared} declared, {single} tested");
}
