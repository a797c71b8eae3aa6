//! `Element::fma` and `Element::sqrt` round once: against an exact oracle in big integers, and, by the
//! million, against the platform's own operations. So do the functions of `libm` that take their place
//! on targets without the instructions.
//!
//! `PERGRAD_EXHAUSTIVE=1` asks for 200 million `f32` triples, 50 million of `f64` and every `f32` root.

mod exact;
mod support;

use std::cmp::Ordering;

use exact::Format;
use pergrad_core::Element;
use support::for_both_types;
use support::values::{Real, Rng};

/// How many, in the ordinary run and in the exhaustive one.
fn count(ordinary: u64, exhaustive: u64) -> u64 {
    match std::env::var("PERGRAD_EXHAUSTIVE").as_deref() {
        Ok("1") => exhaustive,
        _ => ordinary,
    }
}

/// From `low` to `high`.
fn between(rng: &mut Rng, low: i32, high: i32) -> i32 {
    low + rng.below((high - low + 1) as usize) as i32
}

/// The exponent of the last place of the subnormal numbers.
fn least<T: Real>() -> i32 {
    1 - T::BIAS - T::FRACTION as i32
}

/// The number with this exponent (below the normal ones: subnormal, or zero) and fraction.
fn number<T: Real>(exponent: i32, fraction: u64) -> T {
    let significand = 1 << T::FRACTION | fraction;
    let smallest = 1 - T::BIAS;
    T::from_bits(if exponent >= smallest {
        ((exponent + T::BIAS) as u64) << T::FRACTION | fraction
    } else {
        significand >> (smallest - exponent).min(63)
    })
}

/// A fraction on which rounding is hard, or any.
fn fraction<T: Real>(rng: &mut Rng) -> u64 {
    let all = (1u64 << T::FRACTION) - 1;
    let few = rng.below(4) as u64;
    match rng.below(6) {
        0 => few,
        1 => all - few,
        2 => 1 << (T::FRACTION - 1) | few,
        // Half the digits: products are exact.
        3 => rng.bits() & all & !(all >> (T::FRACTION / 2)),
        _ => rng.bits() & all,
    }
}

fn signed<T: Real>(rng: &mut Rng, magnitude: T) -> T {
    if rng.once_in(2) { -magnitude } else { magnitude }
}

/// A finite number anywhere in the range, its ends and the middle more often.
fn anywhere<T: Real>(rng: &mut Rng) -> T {
    let exponent = match rng.below(6) {
        0 => between(rng, least::<T>() - 1, 3 - T::BIAS),
        1 => between(rng, T::BIAS - 3, T::BIAS),
        2 => rng.pick(&[least::<T>(), 1 - T::BIAS, -T::BIAS, T::BIAS]),
        3 => between(rng, least::<T>(), T::BIAS),
        _ => between(rng, -8, 8),
    };
    let magnitude = number(exponent, fraction::<T>(rng));
    signed(rng, magnitude)
}

/// Two numbers with these fractions whose product has about this exponent.
fn factors<T: Real>(rng: &mut Rng, exponent: i32, fractions: [u64; 2]) -> [T; 2] {
    let of_a = (exponent / 2 + between(rng, -4, 4)).clamp(1 - T::BIAS, T::BIAS);
    let of_b = (exponent - of_a).clamp(1 - T::BIAS, T::BIAS);
    let magnitudes = [number(of_a, fractions[0]), number(of_b, fractions[1])];
    magnitudes.map(|magnitude| signed(rng, magnitude))
}

/// Any two.
fn fractions<T: Real>(rng: &mut Rng) -> [u64; 2] {
    [fraction::<T>(rng), fraction::<T>(rng)]
}

/// The exponent of a number's last place.
fn place<T: Real>(x: T) -> i32 {
    let exponent = (x.magnitude().bits() >> T::FRACTION) as i32 - T::BIAS;
    exponent.max(1 - T::BIAS) - T::FRACTION as i32
}

/// Three numbers whose `fma` is hard to round.
fn triple<T: Real>(rng: &mut Rng) -> [T; 3] {
    match rng.below(8) {
        // The product is an odd multiple of half a unit of the addend's last place, or all but; of a
        // quarter, where the sum loses a digit.
        0 => {
            let c = anywhere::<T>(rng);
            let exponent = place(c) - between(rng, 0, 2);
            let (all, half) = ((1 << T::FRACTION) - 1, 1 << (T::FRACTION - 1));
            // (1 + k eps) (1 - k eps) is nearer to 1 than its factors can tell.
            let near = [(1, all - 1), (2, all - 3), (1, all - 1), (2, all - 3)];
            let pairs = [(0, 0), (0, 0), (0, half), (0, 1), (0, all), (1, 1)];
            let (of_a, of_b) = if rng.once_in(2) { rng.pick(&near) } else { rng.pick(&pairs) };
            let [a, b] = factors::<T>(rng, exponent, [of_a, of_b]);
            [a, b, c]
        }
        // The product itself lies in the middle between two numbers, and the addend just beside it.
        1 => {
            let exponent = between(rng, -T::BIAS / 2, T::BIAS / 2);
            let fractions = [fraction::<T>(rng) | 1, 1 << (T::FRACTION - 1)];
            let [a, b] = factors::<T>(rng, exponent, fractions);
            let below = place(a * b) - between(rng, 2, 3 * T::FRACTION as i32);
            let c = number(below, fraction::<T>(rng));
            let c = signed(rng, c);
            [a, b, if rng.once_in(8) { T::ZERO } else { c }]
        }
        // Nearly all cancels: what is left is the product's own rounding error.
        2 => {
            let exponent = match rng.below(3) {
                0 => between(rng, least::<T>() - 2, 2 - T::BIAS + T::FRACTION as i32),
                1 => between(rng, T::BIAS - 2, T::BIAS),
                _ => between(rng, -8, 8),
            };
            let both = fractions::<T>(rng);
            let [a, b] = factors::<T>(rng, exponent, both);
            let product = a * b;
            let near = product.bits().saturating_add_signed(rng.below(3) as i64 - 1);
            [a, b, -T::from_bits(near)]
        }
        // A subnormal product, and an addend that is zero or nearly as small.
        3 => {
            let exponent = between(rng, least::<T>() - 3, 1 - T::BIAS);
            let both = fractions::<T>(rng);
            let [a, b] = factors::<T>(rng, exponent, both);
            let c = number(between(rng, least::<T>() - 1, 1 - T::BIAS), fraction::<T>(rng));
            [a, b, signed(rng, c)]
        }
        // One lies just below the last place of the other, or far below it.
        4 => {
            let c = anywhere::<T>(rng);
            let digits = T::FRACTION as i32 + 1;
            let apart = rng.pick(&[1 - digits, -1, 0, 1, digits, digits + 1, 2 * digits]);
            let both = fractions::<T>(rng);
            let [a, b] = factors::<T>(rng, place(c) - apart, both);
            [a, b, c]
        }
        5 => {
            let limits = [0, 1, 1 << T::FRACTION, (1 << T::FRACTION) - 1].map(T::from_bits);
            let [zero, tiny, normal, below] = limits;
            let others = [T::ONE, T::largest(), T::infinity(), T::nan()];
            [0; 3].map(|_| {
                let special = if rng.once_in(2) {
                    rng.pick(&[zero, tiny, normal, below])
                } else {
                    rng.pick(&others)
                };
                if rng.once_in(3) { anywhere(rng) } else { signed(rng, special) }
            })
        }
        6 => [0; 3].map(|_| anywhere(rng)),
        _ => [0; 3].map(|_| T::from_bits(rng.bits())),
    }
}

fn check<T: Real>([a, b, c]: [T; 3], got: T, want: T, by: &str) {
    assert!(got.same(want), "fma({a:?}, {b:?}, {c:?}) is {got:?}, {by} {want:?}");
}

/// Also counts what was hard, so that the triples cannot lose their edge unseen.
fn fma_against_integers<T: Real>() {
    let (mut rng, format) = (Rng::new(1), Format::of::<T>());
    let [mut up, mut down, mut near, mut underflow, mut overflow, mut special] = [0; 6];
    for _ in 0..60_000 {
        let [a, b, c] = triple::<T>(&mut rng);
        let want = exact::fma(a.to_f64(), b.to_f64(), c.to_f64(), format);
        check([a, b, c], Element::fma(a, b, c), T::from_f64(want.value), "by integers");
        if T::NAME == "f64" {
            let got = libm::fma(a.to_f64(), b.to_f64(), c.to_f64());
            check([a, b, c], T::from_f64(got), T::from_f64(want.value), "libm's, by integers");
        }
        up += u32::from(want.tie == Some(Ordering::Greater));
        down += u32::from(want.tie == Some(Ordering::Less));
        near += u32::from(want.near_tie);
        underflow += u32::from(want.underflow);
        overflow += u32::from(want.overflow);
        special += u32::from(!(a.is_finite() && b.is_finite() && c.is_finite()));
    }
    println!(
        "ties up {up}, down {down}, nearly {near}, underflow {underflow}, overflow {overflow}"
    );
    assert!([up, down, near, underflow, overflow, special].iter().all(|&n| n > 500));
}

fn sqrt_against_integers<T: Real>() {
    let (mut rng, format) = (Rng::new(2), Format::of::<T>());
    for k in 0..60_000 {
        let x = match k % 4 {
            0 => T::from_bits(rng.bits()),
            1 => anywhere(&mut rng),
            // A square, exact or rounded, and its neighbours.
            2 => {
                let root = number::<T>(between(&mut rng, -20, 20), fraction::<T>(&mut rng));
                T::from_bits((root * root).bits().saturating_add_signed(rng.below(3) as i64 - 1))
            }
            // A root about the middle between two numbers.
            _ => {
                let root = number::<T>(between(&mut rng, -20, 20), fraction::<T>(&mut rng));
                T::from_f64(exact::square_of_middle(root.to_f64(), format))
            }
        };
        let want = exact::sqrt(x.to_f64(), format);
        let got = Element::sqrt(x);
        assert!(got.same(T::from_f64(want.value)), "sqrt({x:?}) is {got:?}, by integers {want:?}");
    }
}

for_both_types!(fma_against_integers, sqrt_against_integers);

/// (Not on wasm, whose platform is `libm`, wrong for some subnormal results.)
#[cfg(not(target_family = "wasm"))]
#[test]
fn fma_f32_against_the_platform() {
    let mut rng = Rng::new(3);
    for _ in 0..count(4_000_000, 200_000_000) {
        let [a, b, c] = triple::<f32>(&mut rng);
        check([a, b, c], Element::fma(a, b, c), a.mul_add(b, c), "by the platform");
    }
}

/// (Nor here: the platform of wasm is in software, and rounds twice.)
#[cfg(not(target_family = "wasm"))]
#[test]
fn fma_f64_against_the_platform() {
    let mut rng = Rng::new(4);
    for _ in 0..count(2_000_000, 50_000_000) {
        let [a, b, c] = triple::<f64>(&mut rng);
        let want = a.mul_add(b, c);
        check([a, b, c], Element::fma(a, b, c), want, "by the platform");
        check([a, b, c], libm::fma(a, b, c), want, "libm's, by the platform");
    }
}

/// What takes the instruction's place where there is none.
#[test]
fn software_sqrt_against_the_platform() {
    let mut rng = Rng::new(5);
    let all = count(0, 1 << 32);
    for k in 0..all.max(2_000_000) {
        let x = f32::from_bits(if all > 0 { k as u32 } else { rng.bits() as u32 });
        assert!(libm::sqrtf(x).same(x.sqrt()), "sqrtf({x:?})");
    }
    for _ in 0..count(2_000_000, 50_000_000) {
        let x = f64::from_bits(rng.bits());
        assert!(libm::sqrt(x).same(x.sqrt()), "sqrt({x:?})");
    }
}

/// Known answers: ties, sums that go wrong when they are rounded twice, subnormal results, overflow only
/// after the addition, signed zeros, infinities.
#[test]
fn fma_f32_known() {
    let (one_up, tiny) = (1.0 + f32::EPSILON, f32::from_bits(1));
    for ([a, b, c], want) in [
        ([one_up, one_up, -1.0], 2.0 * f32::EPSILON + f32::EPSILON * f32::EPSILON),
        // Ties go to even.
        ([tiny, 0.5, 0.0], 0.0),
        ([tiny, 0.5, tiny], f32::from_bits(2)),
        ([tiny, 0.75, 0.0], tiny),
        // What underflows keeps its sign.
        ([-tiny, 0.25, 0.0], -0.0),
        // The first goes wrong if the sum is rounded to `f64` on the way, the second by `libm::fmaf`.
        ([0.000_244_140_68, -1.907_348_2e-6, -0.007_812_501], -0.007_812_501),
        ([1.654_361_6e-24, 4.235_163_7e-22, 2.169_702e-39], 2.169_702e-39),
        // No overflow on the way.
        ([f32::MAX, 2.0, -f32::MAX], f32::MAX),
        ([f32::MAX, 2.0, 0.0], f32::INFINITY),
        ([0.0, 1.0, -0.0], 0.0),
        ([-0.0, 1.0, -0.0], -0.0),
        ([1.0, -1.0, 1.0], 0.0),
        ([f32::INFINITY, 0.0, 1.0], f32::NAN),
        ([f32::INFINITY, 1.0, f32::NEG_INFINITY], f32::NAN),
        ([f32::MAX, f32::MAX, f32::NEG_INFINITY], f32::NEG_INFINITY),
    ] {
        check([a, b, c], Element::fma(a, b, c), want, "by hand");
    }
}
