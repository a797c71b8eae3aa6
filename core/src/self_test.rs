//! Whether this machine gives the promised bits: every kernel on fixed inputs, one SHA-256 each, compared
//! with the list in `core/self_test.txt`, which holds for every target.
//!
//! Plan: inputs are made by a generator that any language can repeat (xorshift32); each kernel runs on a
//! handful of shapes around tile and lane sizes, with and without example weights, fresh and resumed, every
//! optimizer in all its conventions; all that a call wrote is hashed as little-endian bytes. The memory is
//! the caller's, so that firmware can make it static.
//!
//! On a board of yours, with the feature `self-test`:
//!
//! ```
//! use pergrad_core::Isa;
//! use pergrad_core::self_test::{MEMORY, self_test};
//!
//! let mut memory = [0.0f32; MEMORY];
//! let equal = self_test(Isa::detect(), &mut memory, |check| println!("{check}"))?;
//! assert!(equal);
//! # Ok::<(), pergrad_core::Error>(())
//! ```

use core::fmt;

use sha2::{Digest, Sha256};

use crate::{Element, Error, Isa};
use kernels::Test;

mod kernels;

/// What one kernel gave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Check {
    /// Name of the element type, as [`Element::NAME`].
    pub element: &'static str,
    /// Name of the kernel.
    pub kernel: &'static str,
    /// SHA-256 of all that it wrote; an error if it refused, which none should.
    pub digest: Result<[u8; 32], Error>,
    /// What the list says.
    pub expected: Option<[u8; 32]>,
}

impl Check {
    /// What `kernel` gave, beside its line in `list`, which is of the form of [`LIST`].
    pub fn against(
        list: &str,
        element: &'static str,
        kernel: &'static str,
        digest: Result<[u8; 32], Error>,
    ) -> Self {
        Check { element, kernel, digest, expected: expected(list, element, kernel) }
    }

    /// Whether the kernel gave what the list says.
    pub fn passed(&self) -> bool {
        self.expected.is_some_and(|expected| self.digest == Ok(expected))
    }
}

/// The line of the list for this kernel, and whether it is equal:
/// `f32 moments 0123..ef equal`.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.element, self.kernel)?;
        match self.digest {
            Ok(digest) => {
                for byte in digest {
                    write!(f, "{byte:02x}")?;
                }
            }
            Err(error) => write!(f, "{error}")?,
        }
        f.write_str(if self.passed() { " equal" } else { " NOT EQUAL" })
    }
}

/// The committed list, a line for each type and kernel: name of the type, of the kernel, digest.
pub const LIST: &str = include_str!("../self_test.txt");

/// The digest that the list has for a kernel. (By bytes: the searches of `str` can panic.)
fn expected(list: &str, element: &str, kernel: &str) -> Option<[u8; 32]> {
    let mut found = None;
    for line in list.as_bytes().split(|&c| c == b'\n') {
        let mut words = line.split(|&c| c == b' ');
        if words.next() == Some(element.as_bytes()) && words.next() == Some(kernel.as_bytes()) {
            found = words.next().and_then(parse);
        }
    }
    found
}

/// 32 bytes in hexadecimal.
fn parse(text: &[u8]) -> Option<[u8; 32]> {
    let nibble = |c: Option<&u8>| (*c? as char).to_digit(16);
    let mut digits = text.iter();
    let mut digest = [0; 32];
    for byte in &mut digest {
        *byte = (nibble(digits.next())? << 4 | nibble(digits.next())?) as u8;
    }
    digits.next().is_none().then_some(digest)
}

/// Elements of the largest `[J, I]`, of `x`, of `dy` and of the example weights that the test uses.
const WEIGHT: usize = 256;
const X: usize = 192;
const DY: usize = 64;
const BATCH: usize = 40;

/// Elements that the self-test works in: 7 KiB for `f32`, 14 KiB for `f64`.
pub const MEMORY: usize = X + DY + BATCH + 6 * WEIGHT;

/// SHA-256 of elements as little-endian bytes, a NaN as the one that is positive, quiet and without payload:
/// the same on every machine that computed the same.
///
/// ```
/// use pergrad_core::self_test::sha256;
/// assert_eq!(sha256(&[0.0f32 / 0.0]), sha256(&[f32::from_bits(0xffc0_0001)]));
/// assert_ne!(sha256(&[0.0f32]), sha256(&[-0.0f32]));
/// ```
pub fn sha256<T: Element>(values: &[T]) -> [u8; 32] {
    let mut hash = Sha256::new();
    kernels::digest(&mut hash, values);
    hash.finalize().into()
}

/// Runs every kernel on `isa` and reports each; tells whether all gave what the list says.
///
/// `memory` is overwritten; it holds [`MEMORY`] elements or more.
///
/// # Errors
/// [`Error::Length`] if `memory` is too short.
pub fn self_test<T: Element>(
    isa: Isa,
    memory: &mut [T],
    report: impl FnMut(&Check),
) -> Result<bool, Error> {
    against(LIST, isa, memory, report)
}

/// The same against any list, of the form of [`LIST`].
#[doc(hidden)]
pub fn against<T: Element>(
    list: &str,
    isa: Isa,
    memory: &mut [T],
    mut report: impl FnMut(&Check),
) -> Result<bool, Error> {
    if memory.len() < MEMORY {
        return Err(Error::Length { arg: "memory", got: memory.len(), need: MEMORY });
    }
    let kernels: [(&'static str, Kernel<'_, T>); 16] = [
        ("forward", Test::forward),
        ("input_grad", Test::input_grad),
        ("per_example_grad", Test::per_example_grad),
        ("reduce", Test::reduce),
        ("grad", Test::grad),
        ("moments", Test::moments),
        ("bias_grad", Test::bias_grad),
        ("bias_moments", Test::bias_moments),
        ("sq_norms", Test::sq_norms),
        ("bias_sq_norms", Test::bias_sq_norms),
        ("update_momentum", Test::update_momentum),
        ("update_rmsprop", Test::update_rmsprop),
        ("update_adam", Test::update_adam),
        ("step_momentum", Test::step_momentum),
        ("step_rmsprop", Test::step_rmsprop),
        ("step_adam", Test::step_adam),
    ];
    let mut test = Test { isa, values: Values::SEED, memory, hash: Sha256::new() };
    let mut all = true;
    for (kernel, run) in kernels {
        test.values = Values::SEED;
        let ran = run(&mut test);
        let digest = test.hash.finalize_reset().into();
        let check = Check::against(list, T::NAME, kernel, ran.map(|()| digest));
        all &= check.passed();
        report(&check);
    }
    Ok(all)
}

type Kernel<'m, T> = fn(&mut Test<'m, T>) -> Result<(), Error>;

/// Marsaglia's xorshift32 ("Xorshift RNGs", 2003).
struct Values(u32);

impl Values {
    const SEED: Self = Values(0x9e37_79b9);

    /// The next value: one in 16 is a zero of either sign, one in 16 is subnormal, the others spread over
    /// 24 bits of mantissa and 16 binades.
    fn next<T: Element>(&mut self) -> T {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        let sign = if self.0 & 1 == 0 { 1.0 } else { -1.0 };
        let mantissa = (self.0 >> 8) as f64; // exact in both types
        let subnormal = if size_of::<T>() == 4 { -149 } else { -1050 };
        let exponent = match self.0 >> 1 & 15 {
            0 => return T::from_f64(sign * 0.0),
            1 => subnormal,
            k => k as i32 - 32,
        };
        // 2^exponent by its bits, in two factors since it may be subnormal.
        let half = |e: i32| f64::from_bits(((1023 + e) as u64) << 52);
        T::from_f64(sign * mantissa * half(exponent / 2) * half(exponent - exponent / 2))
    }

    fn fill<T: Element>(&mut self, out: &mut [T]) {
        for value in out {
            *value = self.next();
        }
    }

    /// Values that are not negative, as averages of squares are.
    fn fill_squares<T: Element>(&mut self, out: &mut [T]) {
        for value in out {
            let v: T = self.next();
            *value = v * v;
        }
    }
}
