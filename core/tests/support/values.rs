//! Elements as bits, and values of every kind from a seed.

use pergrad_core::Element;
use proptest::prelude::*;

/// An element as the tests see it: its format and its bits.
pub trait Real: Element {
    /// Stored bits of the significand.
    const FRACTION: u32;
    /// The largest exponent, and the bias.
    const BIAS: i32;
    /// The distance from 1 to the next larger number.
    const EPSILON: f64;

    /// The bits, in the low end.
    fn bits(self) -> u64;
    /// The value with these bits, of which the low ones count.
    fn from_bits(bits: u64) -> Self;

    /// `+inf`.
    fn infinity() -> Self {
        Self::ONE / Self::ZERO
    }
    /// A NaN.
    fn nan() -> Self {
        Self::from_bits(Self::infinity().bits() | 1 << (Self::FRACTION - 1))
    }
    /// The largest finite value.
    fn largest() -> Self {
        Self::from_bits(Self::infinity().bits() - 1)
    }
    /// Whether the sign bit is set.
    fn is_negative(self) -> bool {
        self.bits() >> (8 * size_of::<Self>() - 1) == 1
    }
    /// With the sign bit cleared.
    fn magnitude(self) -> Self {
        if self.is_negative() { -self } else { self }
    }
    /// Equal to the bit, any NaN to any other.
    fn same(self, other: Self) -> bool {
        self.bits() == other.bits() || (self.is_nan() && other.is_nan())
    }
    /// Not a number.
    fn is_nan(self) -> bool {
        self.partial_cmp(&self).is_none()
    }
}

macro_rules! real {
    ($T:ident, $U:ident) => {
        impl Real for $T {
            const FRACTION: u32 = $T::MANTISSA_DIGITS - 1;
            const BIAS: i32 = $T::MAX_EXP - 1;
            const EPSILON: f64 = $T::EPSILON as f64;
            fn bits(self) -> u64 {
                self.to_bits().into()
            }
            fn from_bits(bits: u64) -> Self {
                $T::from_bits(bits as $U)
            }
        }
    };
}
real!(f32, u32);
real!(f64, u64);

/// Whether both arrays have the same bytes.
pub fn same_bytes<T: Real>(a: &[T], b: &[T]) -> bool {
    bytemuck::cast_slice::<T, u8>(a) == bytemuck::cast_slice::<T, u8>(b)
}

/// What values an array holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Random significands, magnitudes from 1/16 to 16.
    Ordinary,
    /// Zeros of both signs among a few others.
    Zeros,
    /// Subnormals, and values whose products are subnormal or vanish.
    Tiny,
    /// Values whose products, or whose sums, come near to overflow or pass it.
    Huge,
    /// Ordinary ones among zeros, limits of the format, infinities and (rarely) NaN.
    Special,
    /// Any bits.
    Bits,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 6] =
        [Kind::Ordinary, Kind::Zeros, Kind::Tiny, Kind::Huge, Kind::Special, Kind::Bits];

    /// Whether all values are finite.
    pub fn is_finite(self) -> bool {
        !matches!(self, Kind::Special | Kind::Bits)
    }
}

/// Any kind.
pub fn kinds() -> impl Strategy<Value = Kind> {
    proptest::sample::select(&Kind::ALL[..])
}

/// A generator with a seed (splitmix64): the same values from the same seed, everywhere.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// Starts from `seed`.
    pub fn new(seed: u64) -> Self {
        Rng(seed)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of `items`.
    pub fn pick<V: Copy>(&mut self, items: &[V]) -> V {
        items[self.below(items.len())]
    }

    /// A value with an exponent from `low` to `high` (below the range of normal numbers:
    /// subnormal), random in sign and significand.
    pub fn with_exponent<T: Real>(&mut self, low: i32, high: i32) -> T {
        let exponent = low + self.below((high - low + 1) as usize) as i32;
        let field = (exponent + T::BIAS).clamp(0, 2 * T::BIAS) as u64;
        let bits = self.bits();
        let fraction = bits & ((1 << T::FRACTION) - 1);
        let value = T::from_bits(field << T::FRACTION | fraction);
        if bits >> 63 == 0 { value } else { -value }
    }

    /// One value.
    pub fn value<T: Real>(&mut self, kind: Kind) -> T {
        let half = T::BIAS / 2;
        match (kind, self.below(4)) {
            (Kind::Zeros, 0) => T::ZERO,
            (Kind::Zeros, 1) => T::NEG_ZERO,
            (Kind::Zeros, 2) => -T::ONE,
            (Kind::Tiny, 0) => self.with_exponent(-T::BIAS, -T::BIAS),
            (Kind::Tiny, 1) => self.with_exponent(-T::BIAS, 8 - T::BIAS),
            (Kind::Tiny, _) => self.with_exponent(-half - T::FRACTION as i32, 2 - half),
            (Kind::Huge, 0) => self.with_exponent(T::BIAS - 4, T::BIAS),
            (Kind::Huge, _) => self.with_exponent(half - 2, half + 1),
            (Kind::Special, 0) if self.once_in(3) => {
                let value = self.pick(&[T::infinity(), T::nan(), T::infinity()]);
                if self.once_in(2) { value } else { -value }
            }
            (Kind::Special, 0 | 1) => {
                let least = T::from_bits(1);
                let normal = T::from_bits(1 << T::FRACTION);
                let below_normal = T::from_bits((1 << T::FRACTION) - 1);
                let above_one = T::from_bits(T::ONE.bits() + 1);
                let all = [T::ZERO, T::ONE, least, below_normal, normal, above_one, T::largest()];
                let value = self.pick(&all);
                if self.once_in(2) { value } else { -value }
            }
            (Kind::Bits, _) => T::from_bits(self.bits()),
            _ => self.with_exponent(-4, 3),
        }
    }

    /// `n` values.
    pub fn values<T: Real>(&mut self, kind: Kind, n: usize) -> Vec<T> {
        (0..n).map(|_| self.value(kind)).collect()
    }

    /// `n` values for something that sums squares: not negative, as long as they are finite ones.
    pub fn squares<T: Real>(&mut self, kind: Kind, n: usize) -> Vec<T> {
        let one = |v: T| if kind.is_finite() { v.magnitude() } else { v };
        self.values(kind, n).into_iter().map(one).collect()
    }

    /// What an output may hold before it is overwritten: NaN and anything else.
    pub fn garbage<T: Real>(&mut self, n: usize) -> Vec<T> {
        (0..n).map(|k| if k % 2 == 0 { T::nan() } else { self.value(Kind::Bits) }).collect()
    }
}
