//! Exact arithmetic in big integers: `fma` and `sqrt` rounded once, by the definition of IEEE 754, and
//! [`dyadic`] numbers, which are never rounded.
#![allow(dead_code, reason = "each test program uses its own part of this")]

pub(crate) mod dyadic;

use std::cmp::Ordering;

use num_bigint::{BigInt, BigUint, Sign};

use crate::support::values::Real;

/// A format: significand bits with the hidden one, the exponents of the smallest subnormal and of the
/// largest number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Format {
    digits: i64,
    least: i64,
    greatest: i64,
}

impl Format {
    /// That of an element type.
    pub(crate) fn of<T: Real>() -> Self {
        let (fraction, bias) = (i64::from(T::FRACTION), i64::from(T::BIAS));
        Format { digits: fraction + 1, least: 1 - bias - fraction, greatest: bias }
    }
}

/// A result, and what was hard about it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rounded {
    /// The result; of `f32`, too, exactly.
    pub(crate) value: f64,
    /// It lay in the middle between two numbers, and was rounded to the even one: up or down.
    pub(crate) tie: Option<Ordering>,
    /// Not a tie, but nearer to one than two more digits can tell: rounding twice may go wrong.
    pub(crate) near_tie: bool,
    /// It was rounded to a subnormal number or to zero.
    pub(crate) underflow: bool,
    /// It was too large.
    pub(crate) overflow: bool,
}

impl From<f64> for Rounded {
    fn from(value: f64) -> Self {
        Rounded { value, ..Rounded::default() }
    }
}

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
fn round(integer: &BigInt, exponent: i64, format: Format) -> Rounded {
    let magnitude = integer.magnitude();
    // The exponent of the last place of the result.
    let mut last = (exponent + magnitude.bits() as i64 - format.digits).max(format.least);
    let mut rounded = Rounded::default();
    let mut kept = if last > exponent {
        let shift = (last - exponent) as u64;
        let mut kept = magnitude >> shift;
        let rest = magnitude - (&kept << shift);
        let half = BigUint::from(1u8) << (shift - 1);
        let up = match rest.cmp(&half) {
            Ordering::Greater => true,
            Ordering::Equal => kept.bit(0),
            Ordering::Less => false,
        };
        let off = (BigInt::from(rest) - BigInt::from(half)).into_parts().1;
        if off == BigUint::ZERO {
            rounded.tie = Some(if up { Ordering::Greater } else { Ordering::Less });
        } else {
            rounded.near_tie = off.bits() as i64 + format.digits + 2 < shift as i64;
        }
        if up {
            kept += 1u8;
        }
        rounded.underflow = last == format.least && (kept.bits() as i64) < format.digits;
        kept
    } else {
        magnitude << (exponent - last) as u64
    };
    if kept.bits() as i64 > format.digits {
        kept >>= 1u8;
        last += 1;
    }
    rounded.overflow =
        kept.bits() as i64 == format.digits && last + format.digits - 1 > format.greatest;
    let significand: u64 = kept.try_into().expect("at most 53 bits");
    let value = if rounded.overflow { f64::INFINITY } else { scaled(significand, last) };
    rounded.value = if integer.sign() == Sign::Minus { -value } else { value };
    rounded
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

/// `a * b + c`.
pub(crate) fn fma(a: f64, b: f64, c: f64, format: Format) -> Rounded {
    if !(a.is_finite() && b.is_finite() && c.is_finite()) {
        // No rounding: infinities and NaN go by the rules of the product and of the sum.
        return if a.is_finite() && b.is_finite() { c } else { a * b + c }.into();
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
    if product.sign() == Sign::NoSign { product_sign + c } else { 0.0 }.into()
}

/// The square root.
pub(crate) fn sqrt(x: f64, format: Format) -> Rounded {
    if x == 0.0 || x.is_nan() || x == f64::INFINITY {
        return x.into();
    }
    if x < 0.0 {
        return f64::NAN.into();
    }
    let (integer, exponent) = exact(x);
    // Enough digits for a root of more than twice the format's, and an even exponent.
    let shift = 4 * format.digits + (exponent & 1);
    let square = integer.magnitude() << shift as u64;
    let root = square.sqrt();
    // One more digit that tells whether anything is left: all that rounding needs to know.
    let sticky = if &root * &root == square { 0u8 } else { 1 };
    round(&BigInt::from((root << 1u8) + sticky), (exponent - shift) / 2 - 1, format)
}

/// The number of the format nearest to the square of the middle between `x` and the next larger
/// number: its root is hard to round. `x` is positive and normal.
pub(crate) fn square_of_middle(x: f64, format: Format) -> f64 {
    let (integer, exponent) = exact(x);
    // In `f32`, the last place is 29 digits higher.
    let half_place = BigInt::from(1u8) << (53 - format.digits) as u64;
    let middle = (integer << 1u8) + half_place;
    round(&(&middle * &middle), 2 * (exponent - 1), format).value
}
