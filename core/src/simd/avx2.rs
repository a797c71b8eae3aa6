//! AVX2 and FMA: 256-bit vectors, 16 registers.

use super::{Simd, hold, opaque, sum_lanes, sum_some, sums_by_fours, transpose};
#[cfg(target_arch = "x86")]
use core::arch::x86::*;
#[cfg(target_arch = "x86_64")]
use core::arch::x86_64::*;

cpufeatures::new!(detect, "avx2", "fma");

/// The token of the AVX2 backend: proof that CPU and operating system have AVX2 and FMA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Avx2(());

impl Avx2 {
    /// The token, if this CPU and its operating system have AVX2 and FMA.
    ///
    /// ```
    /// if let Some(token) = pergrad_core::simd::Avx2::new() {
    ///     assert_eq!(pergrad_core::Isa::Avx2(token).name(), "avx2");
    /// }
    /// ```
    pub fn new() -> Option<Self> {
        detect::get().then_some(Avx2(()))
    }
}

/// `MASKS[LANES - n..]` selects the first `n` lanes.
static MASK_32: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
static MASK_64: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];

/// Four times 16 lanes in two vectors each. Each level adds two halves of several accumulators at once.
///
/// # Safety
/// AVX2.
#[inline(always)]
unsafe fn sums_f32<const G: usize>(lanes: &[[__m256; G]; 4]) -> [f32; 4] {
    // SAFETY: by contract.
    unsafe {
        // 16 to 8 lanes
        let a = _mm256_add_ps(lanes[0][0], lanes[0][1]);
        let b = _mm256_add_ps(lanes[1][0], lanes[1][1]);
        let c = _mm256_add_ps(lanes[2][0], lanes[2][1]);
        let d = _mm256_add_ps(lanes[3][0], lanes[3][1]);
        // 8 to 4: [a, b] and [c, d]
        let ab = _mm256_add_ps(
            _mm256_permute2f128_ps::<0x20>(a, b),
            _mm256_permute2f128_ps::<0x31>(a, b),
        );
        let cd = _mm256_add_ps(
            _mm256_permute2f128_ps::<0x20>(c, d),
            _mm256_permute2f128_ps::<0x31>(c, d),
        );
        // 4 to 2: [a, c, b, d]
        let all =
            _mm256_add_ps(_mm256_shuffle_ps::<0x44>(ab, cd), _mm256_shuffle_ps::<0xee>(ab, cd));
        // 2 to 1: [a, c, a, c, b, d, b, d]
        let all =
            _mm256_add_ps(_mm256_shuffle_ps::<0x88>(all, all), _mm256_shuffle_ps::<0xdd>(all, all));
        let (ac, bd) = (_mm256_castps256_ps128(all), _mm256_extractf128_ps::<1>(all));
        let mut sums = [0.0; 4];
        _mm_storeu_ps(sums.as_mut_ptr(), _mm_unpacklo_ps(ac, bd));
        sums
    }
}

/// Four times 16 lanes in four vectors each.
///
/// # Safety
/// AVX2.
#[inline(always)]
unsafe fn sums_f64<const G: usize>(lanes: &[[__m256d; G]; 4]) -> [f64; 4] {
    // SAFETY: by contract.
    unsafe {
        // 16 to 8 to 4 lanes
        let [a, b] = [add_quarters_f64(&lanes[0]), add_quarters_f64(&lanes[1])];
        let [c, d] = [add_quarters_f64(&lanes[2]), add_quarters_f64(&lanes[3])];
        // 4 to 2: [a, b] and [c, d]
        let ab = _mm256_add_pd(
            _mm256_permute2f128_pd::<0x20>(a, b),
            _mm256_permute2f128_pd::<0x31>(a, b),
        );
        let cd = _mm256_add_pd(
            _mm256_permute2f128_pd::<0x20>(c, d),
            _mm256_permute2f128_pd::<0x31>(c, d),
        );
        // 2 to 1: [a, c, b, d]
        let all = _mm256_add_pd(_mm256_unpacklo_pd(ab, cd), _mm256_unpackhi_pd(ab, cd));
        let mut sums = [0.0; 4];
        _mm256_storeu_pd(sums.as_mut_ptr(), _mm256_permute4x64_pd::<0xd8>(all));
        sums
    }
}

/// 16 lanes in four vectors to 4.
///
/// # Safety
/// AVX.
#[inline(always)]
unsafe fn add_quarters_f64<const G: usize>(lanes: &[__m256d; G]) -> __m256d {
    // SAFETY: by contract.
    unsafe {
        let (low, high) = (_mm256_add_pd(lanes[0], lanes[2]), _mm256_add_pd(lanes[1], lanes[3]));
        _mm256_add_pd(low, high)
    }
}

sums_by_fours!(sums_of_8_f32, sums_f32, __m256, f32);
sums_by_fours!(sums_of_8_f64, sums_f64, __m256d, f64);

/// The lanes of `a` and `b` in turns.
///
/// # Safety
/// AVX2.
#[inline(always)]
unsafe fn zip_f32(a: __m256, b: __m256) -> [__m256; 2] {
    // SAFETY: by contract.
    unsafe {
        let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        [_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high)]
    }
}

/// The lanes of `a` and `b` in turns.
///
/// # Safety
/// AVX2.
#[inline(always)]
unsafe fn zip_f64(a: __m256d, b: __m256d) -> [__m256d; 2] {
    // SAFETY: by contract.
    unsafe {
        let (low, high) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
        [_mm256_permute2f128_pd::<0x20>(low, high), _mm256_permute2f128_pd::<0x31>(low, high)]
    }
}

/// The first `n` lanes to memory, by halves: a masked store takes twelve cycles on Zen 3.
///
/// # Safety
/// AVX2; `n <= 8` elements are writable.
#[inline(always)]
unsafe fn store_first_f32(p: *mut f32, n: usize, v: __m256) {
    // SAFETY: by contract; each bit of `n` is so many elements, after those of the bits above it.
    unsafe {
        if n & 8 != 0 {
            return _mm256_storeu_ps(p, v);
        }
        let mut rest = _mm256_castps256_ps128(v);
        if n & 4 != 0 {
            _mm_storeu_ps(p, rest);
            rest = _mm256_extractf128_ps::<1>(v);
        }
        if n & 2 != 0 {
            // (Of integers: nothing is asked of the alignment then.)
            _mm_storel_epi64(p.add(n & 4).cast(), _mm_castps_si128(rest));
            rest = _mm_movehl_ps(rest, rest);
        }
        if n & 1 != 0 {
            _mm_store_ss(p.add(n & 6), rest);
        }
    }
}

/// The same, of `n <= 4`: halves of halves.
///
/// # Safety
/// As [`store_first_f32`].
#[inline(always)]
unsafe fn store_first_f64(p: *mut f64, n: usize, v: __m256d) {
    // SAFETY: by contract: twice as many `f32`.
    unsafe { store_first_f32(p.cast(), 2 * n, _mm256_castpd_ps(v)) }
}

// SAFETY (for both implementations): `Avx2` exists only where the CPU was seen to have AVX2 and FMA,
// the intrinsics are IEEE operations on each lane, and the masked memory operations touch selected
// lanes only; a register of zero bytes is one of +0.
macro_rules! avx2 {
    ($T:ident, $V:ident, $lanes:literal, $masks:ident, $abs:expr,
     $set1:ident, $loadu:ident, $storeu:ident, $stream:ident, $maskload:ident, $store_first:ident,
     $cast:ident, $blendv:ident, $add:ident, $sub:ident, $mul:ident, $div:ident, $sqrt:ident, $fmadd:ident,
     $xor:ident, $and:ident, $max:ident, $cmp:ident, $movemask:ident, $sums:ident, $sums_of_8:ident, $zip:ident) => {
        // SAFETY: see above the macro.
        unsafe impl Simd<$T> for Avx2 {
            type V = $V;
            const LANES: usize = $lanes;
            const REGISTERS: usize = 16;
            const HOLDS: bool = size_of::<$T>() == 4;

            hold!($V, "avx2", ymm_reg);

            #[inline(always)]
            fn splat(self, x: $T) -> $V {
                // SAFETY: the token proves AVX2.
                unsafe { $set1(x) }
            }
            #[inline(always)]
            unsafe fn load(self, p: *const $T) -> $V {
                // SAFETY: the token proves AVX2; readable by contract.
                unsafe { $loadu(p) }
            }
            #[inline(always)]
            unsafe fn load_first(self, p: *const $T, n: usize, fill: $T) -> $V {
                // SAFETY: the token proves AVX2; n <= LANES keeps the mask load inside the table;
                // masked lanes of `p` are not touched.
                unsafe {
                    let mask = _mm256_loadu_si256($masks.as_ptr().add($lanes - n).cast());
                    $blendv($set1(fill), $maskload(p, mask), $cast(mask))
                }
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $T, v: $V) {
                // SAFETY: the token proves AVX2; writable by contract.
                unsafe { $storeu(p, v) }
            }
            #[inline(always)]
            unsafe fn store_first(self, p: *mut $T, n: usize, v: $V) {
                // SAFETY: the token proves AVX2; writable by contract.
                unsafe { $store_first(p, n, v) }
            }
            #[inline(always)]
            unsafe fn stream(self, p: *mut $T, v: $V) {
                // SAFETY: the token proves AVX2; writable and aligned by contract.
                unsafe { $stream(p, v) }
            }
            #[inline(always)]
            fn fence(self) {
                // SAFETY: the token proves AVX2, hence SSE.
                unsafe { _mm_sfence() }
            }
            #[inline(always)]
            fn opaque(self, p: *const $T) -> *const $T {
                opaque(p)
            }
            #[inline(always)]
            fn prefetch(self, p: *const $T) {
                // SAFETY: the token proves AVX2, hence SSE; a prefetch of any address is allowed.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
            }
            sum_lanes!($V, $T, $sums, $sums_of_8);
            transpose!($T, $V, $lanes, $zip);
            #[inline(always)]
            fn add(self, a: $V, b: $V) -> $V {
                // SAFETY: the token proves AVX2.
                unsafe { $add(a, b) }
            }
            #[inline(always)]
            fn sub(self, a: $V, b: $V) -> $V {
                // SAFETY: the token proves AVX2.
                unsafe { $sub(a, b) }
            }
            #[inline(always)]
            fn mul(self, a: $V, b: $V) -> $V {
                // SAFETY: the token proves AVX2.
                unsafe { $mul(a, b) }
            }
            #[inline(always)]
            fn div(self, a: $V, b: $V) -> $V {
                // SAFETY: the token proves AVX2.
                unsafe { $div(a, b) }
            }
            #[inline(always)]
            fn sqrt(self, a: $V) -> $V {
                // SAFETY: the token proves AVX2.
                unsafe { $sqrt(a) }
            }
            #[inline(always)]
            fn fma(self, a: $V, b: $V, c: $V) -> $V {
                // SAFETY: the token proves FMA.
                unsafe { $fmadd(a, b, c) }
            }
            #[inline(always)]
            fn neg(self, a: $V) -> $V {
                // SAFETY: the token proves AVX2.
                unsafe { $xor(a, $set1(-0.0)) }
            }
            #[inline(always)]
            fn max_or(self, a: $V, b: $V) -> $V {
                // SAFETY: the token proves AVX2. The instruction returns its second operand unless
                // the first is greater.
                unsafe { $max(a, b) }
            }
            #[inline(always)]
            fn finite(self, a: $V) -> u32 {
                // SAFETY: the token proves AVX2. NaN compares false.
                unsafe {
                    let magnitude = $and(a, $set1($T::from_bits($abs)));
                    $movemask($cmp::<_CMP_LT_OQ>(magnitude, $set1($T::INFINITY))) as u32
                }
            }
        }
    };
}

avx2!(
    f32,
    __m256,
    8,
    MASK_32,
    0x7fff_ffff,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_stream_ps,
    _mm256_maskload_ps,
    store_first_f32,
    _mm256_castsi256_ps,
    _mm256_blendv_ps,
    _mm256_add_ps,
    _mm256_sub_ps,
    _mm256_mul_ps,
    _mm256_div_ps,
    _mm256_sqrt_ps,
    _mm256_fmadd_ps,
    _mm256_xor_ps,
    _mm256_and_ps,
    _mm256_max_ps,
    _mm256_cmp_ps,
    _mm256_movemask_ps,
    sums_f32,
    sums_of_8_f32,
    zip_f32
);
avx2!(
    f64,
    __m256d,
    4,
    MASK_64,
    0x7fff_ffff_ffff_ffff,
    _mm256_set1_pd,
    _mm256_loadu_pd,
    _mm256_storeu_pd,
    _mm256_stream_pd,
    _mm256_maskload_pd,
    store_first_f64,
    _mm256_castsi256_pd,
    _mm256_blendv_pd,
    _mm256_add_pd,
    _mm256_sub_pd,
    _mm256_mul_pd,
    _mm256_div_pd,
    _mm256_sqrt_pd,
    _mm256_fmadd_pd,
    _mm256_xor_pd,
    _mm256_and_pd,
    _mm256_max_pd,
    _mm256_cmp_pd,
    _mm256_movemask_pd,
    sums_f64,
    sums_of_8_f64,
    zip_f64
);
