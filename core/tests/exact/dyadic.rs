//! Sums and products of binary fractions, exactly.

use std::cmp::Ordering;
use std::ops::{Add, Mul, Sub};

use num_bigint::{BigInt, Sign};

use crate::support::values::Real;

/// `integer * 2^exponent`.
#[derive(Debug, Clone)]
pub(crate) struct Dyadic {
    integer: BigInt,
    exponent: i64,
}

impl Dyadic {
    /// 0.
    pub(crate) const ZERO: Dyadic = Dyadic { integer: BigInt::ZERO, exponent: 0 };

    /// The value of an element, which is finite.
    pub(crate) fn of<T: Real>(value: T) -> Self {
        assert!(value.is_finite(), "{value:?} has no value");
        let (integer, exponent) = super::exact(value.to_f64());
        Dyadic { integer, exponent }
    }

    /// `2^exponent`.
    pub(crate) fn power_of_two(exponent: i32) -> Self {
        Dyadic { integer: BigInt::from(1), exponent: exponent.into() }
    }

    /// A count.
    pub(crate) fn count(n: usize) -> Self {
        Dyadic { integer: BigInt::from(n), exponent: 0 }
    }

    /// Without its sign.
    pub(crate) fn magnitude(&self) -> Self {
        let integer = BigInt::from(self.integer.magnitude().clone());
        Dyadic { integer, exponent: self.exponent }
    }

    /// The square.
    pub(crate) fn square(&self) -> Self {
        self * self
    }

    /// `self / other`, about; infinite where only `other` is 0, and 0 where both are.
    pub(crate) fn ratio(&self, other: &Dyadic) -> f64 {
        // The leading 64 bits, and the exponent of the last of them.
        let leading = |x: &Dyadic| {
            let shift = x.integer.bits() as i64 - 64;
            let magnitude = x.integer.magnitude();
            let top = if shift > 0 { magnitude >> shift } else { magnitude << -shift };
            (u64::try_from(top).expect("64 bits") as f64, x.exponent + shift)
        };
        match (self.integer.sign(), other.integer.sign()) {
            (Sign::NoSign, _) => 0.0,
            (_, Sign::NoSign) => f64::INFINITY,
            _ => {
                let ((a, a_exp), (b, b_exp)) = (leading(self), leading(other));
                a / b * f64::exp2((a_exp - b_exp) as f64)
            }
        }
    }

    /// Both as integers times one power of two, and its exponent.
    fn aligned(&self, other: &Dyadic) -> (BigInt, BigInt, i64) {
        let least = self.exponent.min(other.exponent);
        let shifted = |x: &Dyadic| &x.integer << (x.exponent - least) as u64;
        (shifted(self), shifted(other), least)
    }
}

impl Add for &Dyadic {
    type Output = Dyadic;
    fn add(self, other: &Dyadic) -> Dyadic {
        let (a, b, exponent) = self.aligned(other);
        Dyadic { integer: a + b, exponent }
    }
}

impl Sub for &Dyadic {
    type Output = Dyadic;
    fn sub(self, other: &Dyadic) -> Dyadic {
        let (a, b, exponent) = self.aligned(other);
        Dyadic { integer: a - b, exponent }
    }
}

impl Mul for &Dyadic {
    type Output = Dyadic;
    fn mul(self, other: &Dyadic) -> Dyadic {
        let integer = &self.integer * &other.integer;
        Dyadic { integer, exponent: self.exponent + other.exponent }
    }
}

impl PartialEq for Dyadic {
    fn eq(&self, other: &Dyadic) -> bool {
        self.cmp_value(other).is_eq()
    }
}

impl PartialOrd for Dyadic {
    fn partial_cmp(&self, other: &Dyadic) -> Option<Ordering> {
        Some(self.cmp_value(other))
    }
}

impl Dyadic {
    fn cmp_value(&self, other: &Dyadic) -> Ordering {
        let (a, b, _) = self.aligned(other);
        a.cmp(&b)
    }
}
