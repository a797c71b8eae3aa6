//! `Element::fma` and `Element::sqrt` round once: against an exact oracle in big integers, and, by the
//! million, against the platform's own fused operations.
//!
//! `PERGRAD_EXHAUSTIVE=1` asks for more than a hundred million `f32` triples (minutes).

mod support;

use std::cmp::Ordering;

use num_bigint::{BigInt, Sign};
use pergrad_core::Element;
use support::values::{Real, Rng};

/// A format: significand bits with the hidden one, and the exponent of the smallest subnormal.
struct Format {
    digits: u64,
    least: i64,
    max_exponent: i64,
}

const SINGLE: Format = Format { digits: 24, least: -149, max_exponent: 127 };
const DOUBLE: Format = Format { digits: 53, least: -1074, max_exponent: 1023 };

/// A finite number as `integer * 2^exponent`.
fn exact(value: f64) -> (BigInt, i64) {
    let bits = value.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i64;
    let fraction = (bits & ((1 << 52) - 1)) as i64;
    let magnitude = if exponent == 0 { fraction } else { fraction | 1 << 52 };
    let integer = BigInt::from(if value.is_sign_negative() { -magnitude } else { magnitude });
    (integer, exponent.max(1) - 1075)
}

/// `integer * 2^exponent`, rounded to the nearest, ties to even. `integer` is not 0.
fn round(integer: &BigInt, exponent: i64, format: &Format) -> f64 {
    let negative = integer.sign() == Sign::Minus;
    let magnitude = integer.magnitude();
    // The exponent of the last place of the result.
    let last = (exponent + magnitude.bits() as i64 - format.digits as i64).max(format.least);
    let mut kept = if last > exponent {
        let shift = (last - exponent) as u64;
        let mut kept = magnitude >> shift;
        let rest = magnitude - (&kept << shift);
        let half = num_bigint::BigUint::from(1u8) << (shift - 1);
        let up = match rest.cmp(&half) {
            Ordering::Greater => true,
            Ordering::Equal => kept.bit(0),
            Ordering::Less => false,
        };
        if up {
            kept += 1u8;
        }
        kept
    } else {
        magnitude << (exponent - last) as u64
    };
    let mut last = last;
    if kept.bits() > format.digits {
        kept >>= 1u8;
        last += 1;
    }
    let overflow =
        last + format.digits as i64 - 1 > format.max_exponent && kept.bits() == format.digits;
    let significand: u64 = kept.try_into().expect("at most 53 bits");
    let value = if overflow { f64::INFINITY } else { scaled(significand, last) };
    if negative { -value } else { value }
}

/// `significand * 2^exponent`, which is representable.
fn scaled(significand: u64, exponent: i64) -> f64 {
    if significand == 0 {
        return 0.0;
    }
    let length = 64 - i64::from(significand.leading_zeros());
    let top = exponent + length - 1;
    if top < -1022 {
        return f64::from_bits(significand << (exponent + 1074));
    }
    let fraction = significand << (53 - length) & ((1 << 52) - 1);
    f64::from_bits(((top + 1023) as u64) << 52 | fraction)
}

/// `a * b + c`, rounded once, by the definition of IEEE 754.
fn oracle(a: f64, b: f64, c: f64, format: &Format) -> f64 {
    if !(a.is_finite() && b.is_finite() && c.is_finite()) {
        // No rounding: infinities and NaN go by the rules of the product and of the sum.
        return if a.is_finite() && b.is_finite() { c } else { a * b + c };
    }
    let ((a_int, a_exp), (b_int, b_exp), (c_int, c_exp)) = (exact(a), exact(b), exact(c));
    let (product, product_exp) = (a_int * b_int, a_exp + b_exp);
    let least = product_exp.min(c_exp);
    let sum = (&product << (product_exp - least) as u64) + (c_int << (c_exp - least) as u64);
    if sum.sign() != Sign::NoSign {
        return round(&sum, least, format);
    }
    // An exact zero: the product's sign counts even where it underflows to nothing.
    let product_sign = if a.is_sign_negative() != b.is_sign_negative() { -0.0 } else { 0.0 };
    if product.sign() == Sign::NoSign { product_sign + c } else { 0.0 }
}

/// Numbers on which rounding is hard, and any others.
fn operand<T: Real>(rng: &mut Rng, format: &Format) -> T {
    let exponent = match rng.below(4) {
        0 => format.least + rng.below(60) as i64,
        1 => rng.below(16) as i64 - 8,
        2 => format.max_exponent - rng.below(60) as i64,
        _ => format.least + rng.below((format.max_exponent - format.least) as usize) as i64,
    };
    let magnitude = match rng.below(6) {
        0 => 1.0,
        1 => 1.5,
        // One, but for the last bits.
        2 => 1.0 + rng.below(4) as f64 * 2f64.powi(1 - format.digits as i32),
        3 => 2.0 - (1 + rng.below(3)) as f64 * 2f64.powi(1 - format.digits as i32),
        4 => return [0.0, -0.0, f64::INFINITY, f64::NAN].map(T::from_f64)[rng.below(4)],
        _ => 1.0 + rng.below(1 << 30) as f64 / (1u64 << 30) as f64,
    };
    let value =
        magnitude * 2f64.powi((exponent / 2) as i32) * 2f64.powi((exponent - exponent / 2) as i32);
    T::from_f64(if rng.below(2) == 0 { value } else { -value })
}

/// A triple: independent operands, or an addend that nearly cancels the product or lies half a unit of
/// its last place from it.
fn triple<T: Real>(rng: &mut Rng, format: &Format) -> [T; 3] {
    let (a, b) = (operand::<T>(rng, format), operand::<T>(rng, format));
    let product = a * b;
    let c = match rng.below(4) {
        0 => -product,
        1 => product * T::from_f64(2f64.powi(format.digits as i32 + rng.below(5) as i32 - 2)),
        2 => product * T::from_f64(-(2f64.powi(-(format.digits as i32) + rng.below(5) as i32 - 2))),
        _ => operand::<T>(rng, format),
    };
    [a, b, c]
}

fn check<T: Real>([a, b, c]: [T; 3], expected: T, by: &str) {
    let got = Element::fma(a, b, c);
    assert!(got.same(expected), "fma({a:?}, {b:?}, {c:?}) is {got:?}, by {by} {expected:?}");
}

fn against_integers<T: Real>(format: &Format) {
    let mut rng = Rng::new(1);
    for _ in 0..60_000 {
        let [a, b, c] = triple::<T>(&mut rng, format);
        let expected = oracle(a.to_f64(), b.to_f64(), c.to_f64(), format);
        check([a, b, c], T::from_f64(expected), "big integers");
    }
}

#[test]
fn fma_f32_against_integers() {
    against_integers::<f32>(&SINGLE);
}

#[test]
fn fma_f64_against_integers() {
    against_integers::<f64>(&DOUBLE);
}

/// How many triples, of the ordinary run and of the exhaustive one.
fn count(ordinary: u64, exhaustive: u64) -> u64 {
    match std::env::var("PERGRAD_EXHAUSTIVE").as_deref() {
        Ok("1") => exhaustive,
        _ => ordinary,
    }
}

#[test]
fn fma_f32_against_the_platform() {
    let mut rng = Rng::new(2);
    for k in 0..count(4_000_000, 200_000_000) {
        let [a, b, c] = if k % 2 == 0 {
            triple::<f32>(&mut rng, &SINGLE)
        } else {
            [0; 3].map(|_| f32::from_bits(rng.bits() as u32))
        };
        check([a, b, c], a.mul_add(b, c), "the platform");
    }
}

#[test]
fn fma_f64_against_the_platform() {
    let mut rng = Rng::new(3);
    for k in 0..count(1_000_000, 50_000_000) {
        let [a, b, c] = if k % 2 == 0 {
            triple::<f64>(&mut rng, &DOUBLE)
        } else {
            [0; 3].map(|_| f64::from_bits(rng.bits()))
        };
        check([a, b, c], a.mul_add(b, c), "the platform");
    }
}

/// Known answers: a tie, a subnormal result that `libm::fmaf` gets wrong when it rounds twice, overflow
/// only after the addition, signed zeros.
#[test]
fn fma_f32_known() {
    let (one_up, tiny) = (1.0 + f32::EPSILON, f32::from_bits(1));
    check([one_up, one_up, -1.0], 2.0 * f32::EPSILON + f32::EPSILON * f32::EPSILON, "hand");
    check([tiny, 0.5, 0.0], 0.0, "hand: a tie goes to even");
    check([tiny, 0.75, 0.0], tiny, "hand");
    check([-tiny, 0.25, 0.0], -0.0, "hand: what underflows keeps its sign");
    check([f32::MAX, 2.0, -f32::MAX], f32::MAX, "hand: no overflow on the way");
    check([f32::MAX, 2.0, 0.0], f32::INFINITY, "hand");
    check([0.0, 1.0, -0.0], 0.0, "hand");
    check([-0.0, 1.0, -0.0], -0.0, "hand");
    check([f32::INFINITY, 0.0, 1.0], f32::NAN, "hand");
}

#[test]
fn sqrt_is_rounded_correctly() {
    let mut rng = Rng::new(4);
    for _ in 0..1_000_000 {
        let x = f32::from_bits(rng.bits() as u32);
        assert!(Element::sqrt(x).same(x.sqrt()), "sqrt({x:?})");
        let x = f64::from_bits(rng.bits());
        assert!(Element::sqrt(x).same(x.sqrt()), "sqrt({x:?})");
    }
}
