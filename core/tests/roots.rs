//! Square roots that are made by multiplications are the correctly rounded ones.
#![cfg(not(miri))] // it would take hours, and has no AVX-512

mod support;

use pergrad_core::{Isa, NonFinite, RmspropConfig, RmspropState, Window, update_rmsprop};
use support::compare::{Place, assert_bits};
use support::isas::for_each_isa;

/// `v / (sqrt(v) + 1e-8)`, by a step of RMSProp: where `v` is not small, `v / sqrt(v)`, which moves whenever the root
/// does.
fn by_rmsprop(isa: Isa, v: &[f32]) -> Vec<f32> {
    let config = RmspropConfig::new(1.0, Window::new(10.0).expect("a window"));
    let c = config.step_coeffs(1).expect("finite");
    let (mut p, mut exp_avg_sq) = (vec![0.0; v.len()], vec![0.0; v.len()]);
    let state = RmspropState::new(&mut exp_avg_sq);
    update_rmsprop(isa, &c, &mut p, v, Some(v), state, NonFinite::Propagate).expect("lengths fit");
    p
}

/// Both parities of the exponent and all mantissas: multiplied by powers of four, these are all roots.
#[test]
fn from_1_to_4() {
    let all: Vec<f32> = (1f32.to_bits()..4f32.to_bits()).map(f32::from_bits).collect();
    let want: Vec<f32> = all.iter().map(|&v| -(v / v.sqrt())).collect();
    for_each_isa(|isa| {
        let place = Place { kernel: "update_rmsprop", isa: isa.name(), case: &"1 to 4" };
        // (In pieces that fit a cache: beyond, the divider is fast enough.)
        for (v, want) in all.chunks(1 << 16).zip(want.chunks(1 << 16)) {
            assert_bits(place, "params", &by_rmsprop(isa, v), want);
        }
    });
}

/// Zeros, subnormals, infinities and NaN, and where the multiplications begin; alone among usual numbers, and not.
#[test]
fn at_the_ends() {
    let least = f32::from_bits((127 - 96) << 23);
    let near =
        |v: f32| [-2i32, -1, 0, 1, 2].map(|k| f32::from_bits(v.to_bits().wrapping_add_signed(k)));
    let mut odd =
        vec![0.0, -0.0, f32::INFINITY, f32::NAN, -1.0, -least, f32::MAX, f32::MIN_POSITIVE];
    odd.extend(near(least));
    odd.extend(near(f32::from_bits(3)));
    odd.extend(near(f32::MIN_POSITIVE));
    odd.extend([least * 4.0, least / 4.0, 1e-12, 1e12, 1e38]);
    for k in 0..odd.len() * 17 {
        let mut v: Vec<f32> = (0..37).map(|i| 0.1 + i as f32).collect();
        for (i, v) in v.iter_mut().enumerate() {
            // One lane, some lanes, every lane.
            if i == k % 17 || k % 3 == 1 && i % 4 == 0 || k % 3 == 2 {
                *v = odd[k / 17];
            }
        }
        let want = by_rmsprop(Isa::baseline(), &v);
        for_each_isa(|isa| {
            let place =
                Place { kernel: "update_rmsprop", isa: isa.name(), case: &(k, odd[k / 17]) };
            assert_bits(place, "params", &by_rmsprop(isa, &v), &want);
        });
    }
}

/// That it does not hang on the tables of a CPU: with every approximation within `2^-14` of the inverse root, each
/// root comes out right.
#[test]
#[cfg(target_arch = "x86_64")]
fn whatever_the_approximation() {
    use std::arch::x86_64::*;

    /// The first `v` from `from` on, of which some root is wrong.
    #[target_feature(enable = "avx512f")]
    fn wrong(from: u32, to: u32) -> Option<u32> {
        let (half, one) = (_mm512_set1_ps(0.5), _mm512_set1_ps(1.0));
        let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        (from..to).step_by(16).find(|&k| {
            let v = _mm512_castsi512_ps(_mm512_add_epi32(_mm512_set1_epi32(k as i32), lanes));
            let root = _mm512_sqrt_ps(v);
            let inverse = _mm512_castps_si512(_mm512_div_ps(one, root));
            // An inverse between 1/2 and 1, where 2^-14 is up to 1024 units in the last place.
            (-1026..=1026).any(|off| {
                let y = _mm512_castsi512_ps(_mm512_add_epi32(inverse, _mm512_set1_epi32(off)));
                let (g, h) = (_mm512_mul_ps(v, y), _mm512_mul_ps(y, half));
                let r = _mm512_fnmadd_ps(g, h, half);
                let (g, h) = (_mm512_fmadd_ps(g, r, g), _mm512_fmadd_ps(h, r, h));
                let got = _mm512_fmadd_ps(_mm512_fnmadd_ps(g, g, v), h, g);
                _mm512_cmpneq_epi32_mask(_mm512_castps_si512(got), _mm512_castps_si512(root)) != 0
            })
        })
    }

    if !is_x86_feature_detected!("avx512f") {
        for_each_isa(|_| ()); // says what this CPU lacks
        return;
    }
    // SAFETY: the CPU was just seen to have it.
    let found = unsafe { wrong(1f32.to_bits(), 4f32.to_bits()) };
    assert_eq!(found.map(f32::from_bits), None);
}
