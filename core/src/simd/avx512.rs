//! AVX-512 (F, BW, DQ, VL): 512-bit vectors, 32 registers, a mask for every tail.

use super::{Simd, hold, opaque, sum_lanes, sum_some, sums_by_fours, transpose};
#[cfg(target_arch = "x86")]
use core::arch::x86::*;
#[cfg(target_arch = "x86_64")]
use core::arch::x86_64::*;
use core::sync::atomic::{AtomicU8, Ordering};

cpufeatures::new!(detect, "avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl");

/// The token of the AVX-512 backend: proof that CPU and operating system have F, BW, DQ and VL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Avx512 {
    intel: bool,
}

impl Avx512 {
    /// The token, if this CPU and its operating system have AVX-512 F, BW, DQ and VL.
    ///
    /// ```
    /// if let Some(token) = pergrad_core::simd::Avx512::new() {
    ///     assert_eq!(pergrad_core::Isa::Avx512(token).name(), "avx512");
    /// }
    /// ```
    pub fn new() -> Option<Self> {
        detect::get().then(|| Avx512 { intel: intel() })
    }

    /// The same, with the loops that are for a CPU of Intel's (or those for others) whatever this one is: for tests.
    #[doc(hidden)]
    pub const fn as_if(self, intel: bool) -> Self {
        Avx512 { intel }
    }
}

/// Whether the CPU is of Intel's. It is asked once, which in a virtual machine takes long.
#[allow(unused_unsafe)] // newer compilers know that the instruction does no harm
fn intel() -> bool {
    static KNOWN: AtomicU8 = AtomicU8::new(0); // 1 + the answer, once there is one
    match KNOWN.load(Ordering::Relaxed) {
        0 if cfg!(miri) => false, // which lacks the instruction
        0 => {
            // SAFETY: CPUs with AVX-512 have the instruction.
            let vendor = unsafe { __cpuid(0) };
            let [genu, ine_i, ntel] = [*b"Genu", *b"ineI", *b"ntel"].map(u32::from_le_bytes);
            let intel = (vendor.ebx, vendor.edx, vendor.ecx) == (genu, ine_i, ntel);
            KNOWN.store(1 + u8::from(intel), Ordering::Relaxed);
            intel
        }
        known => known > 1,
    }
}

/// Class bits of `vfpclass`: quiet NaN is 0, +infinity 3, -infinity 4, signalling NaN 7.
const NAN_OR_INF: i32 = 0b1001_1001;

/// The halves of `a` are added to each other, and those of `b`: 16 lanes to 8 each.
///
/// # Safety
/// AVX-512 F and DQ.
#[inline(always)]
unsafe fn add_halves_f32(a: __m512, b: __m512) -> __m512 {
    // SAFETY: by contract.
    unsafe { _mm512_add_ps(_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0xee>(a, b)) }
}

/// Four times 16 lanes in one vector each. Each level adds two halves of four accumulators at once.
///
/// # Safety
/// AVX-512 F and DQ.
#[inline(always)]
unsafe fn sums_f32<const G: usize>(lanes: &[[__m512; G]; 4]) -> [f32; 4] {
    // SAFETY: by contract; the store is 16 bytes to an array of 16.
    unsafe {
        // 16 to 8 lanes: [a, b] and [c, d]
        let ab = add_halves_f32(lanes[0][0], lanes[1][0]);
        let cd = add_halves_f32(lanes[2][0], lanes[3][0]);
        // 8 to 4: [a, b, c, d]
        let all = _mm512_add_ps(
            _mm512_shuffle_f32x4::<0x88>(ab, cd),
            _mm512_shuffle_f32x4::<0xdd>(ab, cd),
        );
        // 4 to 2 to 1, in each quarter
        let all = _mm512_add_ps(all, _mm512_permute_ps::<0x4e>(all));
        let all = _mm512_add_ps(all, _mm512_permute_ps::<0xb1>(all));
        let mut sums = [0.0; 4];
        // (A compressing store would be one instruction, and a hundred cycles on Zen 4.)
        let first = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
        let all = _mm512_permutexvar_ps(first, all);
        _mm_storeu_ps(sums.as_mut_ptr(), _mm512_castps512_ps128(all));
        sums
    }
}

/// Eight times 16 lanes in one vector each, as [`sums_f32`].
///
/// # Safety
/// AVX-512 F and DQ.
#[inline(always)]
unsafe fn sums_of_8_f32<const G: usize>(lanes: &[[__m512; G]; 8]) -> [f32; 8] {
    // SAFETY: by contract; the store is 32 bytes to an array of 32.
    unsafe {
        // 16 to 8 lanes: [a, e], [b, f], [c, g], [d, h]
        let ae = add_halves_f32(lanes[0][0], lanes[4][0]);
        let bf = add_halves_f32(lanes[1][0], lanes[5][0]);
        let cg = add_halves_f32(lanes[2][0], lanes[6][0]);
        let dh = add_halves_f32(lanes[3][0], lanes[7][0]);
        // 8 to 4: [a, e, c, g] and [b, f, d, h]
        let aecg = _mm512_add_ps(
            _mm512_shuffle_f32x4::<0x88>(ae, cg),
            _mm512_shuffle_f32x4::<0xdd>(ae, cg),
        );
        let bfdh = _mm512_add_ps(
            _mm512_shuffle_f32x4::<0x88>(bf, dh),
            _mm512_shuffle_f32x4::<0xdd>(bf, dh),
        );
        // 4 to 2: [a, b], [e, f], [c, d], [g, h] by quarters
        let all = _mm512_add_ps(
            _mm512_shuffle_ps::<0x44>(aecg, bfdh),
            _mm512_shuffle_ps::<0xee>(aecg, bfdh),
        );
        // 2 to 1, in the lower of each two
        let all = _mm512_add_ps(all, _mm512_permute_ps::<0xb1>(all));
        let mut sums = [0.0; 8];
        let first = _mm512_setr_epi32(0, 2, 8, 10, 4, 6, 12, 14, 0, 0, 0, 0, 0, 0, 0, 0);
        let all = _mm512_permutexvar_ps(first, all);
        _mm256_storeu_ps(sums.as_mut_ptr(), _mm512_castps512_ps256(all));
        sums
    }
}

/// Four times 16 lanes in two vectors each.
///
/// # Safety
/// AVX-512 F and DQ.
#[inline(always)]
unsafe fn sums_f64<const G: usize>(lanes: &[[__m512d; G]; 4]) -> [f64; 4] {
    // SAFETY: by contract; the store is 32 bytes to an array of 32.
    unsafe {
        // 16 to 8 lanes
        let a = _mm512_add_pd(lanes[0][0], lanes[0][1]);
        let b = _mm512_add_pd(lanes[1][0], lanes[1][1]);
        let c = _mm512_add_pd(lanes[2][0], lanes[2][1]);
        let d = _mm512_add_pd(lanes[3][0], lanes[3][1]);
        // 8 to 4: [a, b] and [c, d]
        let ab =
            _mm512_add_pd(_mm512_shuffle_f64x2::<0x44>(a, b), _mm512_shuffle_f64x2::<0xee>(a, b));
        let cd =
            _mm512_add_pd(_mm512_shuffle_f64x2::<0x44>(c, d), _mm512_shuffle_f64x2::<0xee>(c, d));
        // 4 to 2: [a, b, c, d]
        let all = _mm512_add_pd(
            _mm512_shuffle_f64x2::<0x88>(ab, cd),
            _mm512_shuffle_f64x2::<0xdd>(ab, cd),
        );
        // 2 to 1, in each quarter
        let all = _mm512_add_pd(all, _mm512_permute_pd::<0x55>(all));
        let mut sums = [0.0; 4];
        let first = _mm512_setr_epi64(0, 2, 4, 6, 0, 0, 0, 0);
        let all = _mm512_permutexvar_pd(first, all);
        _mm256_storeu_pd(sums.as_mut_ptr(), _mm512_castpd512_pd256(all));
        sums
    }
}

sums_by_fours!(sums_of_8_f64, sums_f64, __m512d, f64);

/// The lanes of `a` and `b` in turns.
///
/// # Safety
/// AVX-512 F.
#[inline(always)]
unsafe fn zip_f32(a: __m512, b: __m512) -> [__m512; 2] {
    // SAFETY: by contract.
    unsafe {
        let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        let high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
        [_mm512_permutex2var_ps(a, low, b), _mm512_permutex2var_ps(a, high, b)]
    }
}

/// The lanes of `a` and `b` in turns.
///
/// # Safety
/// AVX-512 F.
#[inline(always)]
unsafe fn zip_f64(a: __m512d, b: __m512d) -> [__m512d; 2] {
    // SAFETY: by contract.
    unsafe {
        let low = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
        let high = _mm512_add_epi64(low, _mm512_set1_epi64(4));
        [_mm512_permutex2var_pd(a, low, b), _mm512_permutex2var_pd(a, high, b)]
    }
}

/// From here on `v - g^2` is exact, if `g` is the root of `v` but for rounding: its last bit is `2^-46 v`.
const LEAST_ROOT: i32 = (127 - 96) << 23; // the bits of 2^-96

/// The correctly rounded square root, made by multiplications: a table's approximation, one iteration of Newton's
/// method (Goldschmidt's form) for the root `g` and half its inverse `h`, and the correction `g + h (v - g^2)`
/// (Markstein, "Computation of elementary functions on the IBM RISC System/6000 processor", 1990).
///
/// Roots have the mantissas of those of `1 .. 4`, and for all of these the result is right whatever the approximation
/// is within `2^-14`: `tests/roots.rs` goes through them. The divider takes small, negative and infinite `v`, and NaN.
///
/// # Safety
/// AVX-512 F.
#[inline(always)]
unsafe fn sqrt_f32(v: __m512) -> __m512 {
    // SAFETY: by contract.
    unsafe {
        let bits = _mm512_castps_si512(v);
        let from = _mm512_sub_epi32(bits, _mm512_set1_epi32(LEAST_ROOT));
        let range = _mm512_set1_epi32(f32::INFINITY.to_bits() as i32 - LEAST_ROOT);
        let usual = _mm512_cmplt_epu32_mask(from, range);
        if usual | _mm512_testn_epi32_mask(bits, bits) != __mmask16::MAX {
            return _mm512_sqrt_ps(v);
        }
        // (0 for the inverse of 0 leaves 0 for the root.)
        let y = _mm512_maskz_rsqrt14_ps(usual, v);
        let half = _mm512_set1_ps(0.5);
        let (g, h) = (_mm512_mul_ps(v, y), _mm512_mul_ps(y, half));
        let r = _mm512_fnmadd_ps(g, h, half);
        let (g, h) = (_mm512_fmadd_ps(g, r, g), _mm512_fmadd_ps(h, r, h));
        _mm512_fmadd_ps(_mm512_fnmadd_ps(g, g, v), h, g)
    }
}

// SAFETY (for both implementations): `Avx512` exists only where the CPU was seen to have the
// features, the intrinsics are IEEE operations on each lane, and the masked memory operations touch
// selected lanes only; a register of zero bytes is one of +0.
macro_rules! avx512 {
    ($T:ident, $V:ident, $M:ident, $lanes:literal,
     $set1:ident, $loadu:ident, $storeu:ident, $stream:ident, $mask_loadu:ident, $mask_storeu:ident,
     $add:ident, $sub:ident, $mul:ident, $div:ident, $sqrt:ident, $sqrt_by_products:ident, $fmadd:ident,
     $xor:ident, $max:ident, $fpclass:ident, $sums:ident, $sums_of_8:ident, $zip:ident) => {
        // SAFETY: see above the macro.
        unsafe impl Simd<$T> for Avx512 {
            type V = $V;
            const LANES: usize = $lanes;
            const REGISTERS: usize = 32;
            const HOLDS: bool = size_of::<$T>() == 4;
            const ROOTS: bool = size_of::<$T>() == 4;

            #[inline(always)]
            fn intel(self) -> bool {
                self.intel
            }

            hold!($V, "avx512f", zmm_reg);

            #[inline(always)]
            fn splat(self, x: $T) -> $V {
                // SAFETY: the token proves AVX-512.
                unsafe { $set1(x) }
            }
            #[inline(always)]
            unsafe fn load(self, p: *const $T) -> $V {
                // SAFETY: the token proves AVX-512; readable by contract.
                unsafe { $loadu(p) }
            }
            #[inline(always)]
            unsafe fn load_first(self, p: *const $T, n: usize, fill: $T) -> $V {
                // SAFETY: the token proves AVX-512; masked lanes of `p` are not touched.
                unsafe { $mask_loadu($set1(fill), ((1u32 << n) - 1) as $M, p) }
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $T, v: $V) {
                // SAFETY: the token proves AVX-512; writable by contract.
                unsafe { $storeu(p, v) }
            }
            #[inline(always)]
            unsafe fn store_first(self, p: *mut $T, n: usize, v: $V) {
                // SAFETY: the token proves AVX-512; masked lanes of `p` are not touched.
                unsafe { $mask_storeu(p, ((1u32 << n) - 1) as $M, v) }
            }
            #[inline(always)]
            unsafe fn stream(self, p: *mut $T, v: $V) {
                // SAFETY: the token proves AVX-512; writable and aligned by contract.
                unsafe { $stream(p, v) }
            }
            #[inline(always)]
            fn fence(self) {
                // SAFETY: the token proves AVX-512, hence SSE.
                unsafe { _mm_sfence() }
            }
            #[inline(always)]
            fn opaque(self, p: *const $T) -> *const $T {
                opaque(p)
            }
            #[inline(always)]
            fn prefetch(self, p: *const $T) {
                // SAFETY: the token proves AVX-512, hence SSE; a prefetch of any address is allowed.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
            }
            sum_lanes!($V, $T, $sums, $sums_of_8);
            transpose!($T, $V, $lanes, $zip);
            #[inline(always)]
            fn add(self, a: $V, b: $V) -> $V {
                // SAFETY: the token proves AVX-512.
                unsafe { $add(a, b) }
            }
            #[inline(always)]
            fn sub(self, a: $V, b: $V) -> $V {
                // SAFETY: the token proves AVX-512.
                unsafe { $sub(a, b) }
            }
            #[inline(always)]
            fn mul(self, a: $V, b: $V) -> $V {
                // SAFETY: the token proves AVX-512.
                unsafe { $mul(a, b) }
            }
            #[inline(always)]
            fn div(self, a: $V, b: $V) -> $V {
                // SAFETY: the token proves AVX-512.
                unsafe { $div(a, b) }
            }
            #[inline(always)]
            fn sqrt(self, a: $V) -> $V {
                // SAFETY: the token proves AVX-512.
                unsafe { $sqrt(a) }
            }
            #[inline(always)]
            fn sqrt_by_products(self, a: $V) -> $V {
                // SAFETY: the token proves AVX-512.
                unsafe { $sqrt_by_products(a) }
            }
            #[inline(always)]
            fn fma(self, a: $V, b: $V, c: $V) -> $V {
                // SAFETY: the token proves AVX-512.
                unsafe { $fmadd(a, b, c) }
            }
            #[inline(always)]
            fn neg(self, a: $V) -> $V {
                // SAFETY: the token proves AVX-512 DQ.
                unsafe { $xor(a, $set1(-0.0)) }
            }
            #[inline(always)]
            fn max_or(self, a: $V, b: $V) -> $V {
                // SAFETY: the token proves AVX-512. The instruction returns its second operand
                // unless the first is greater.
                unsafe { $max(a, b) }
            }
            #[inline(always)]
            fn finite(self, a: $V) -> u32 {
                // SAFETY: the token proves AVX-512 DQ.
                unsafe { !($fpclass::<NAN_OR_INF>(a) as u32) & ((1 << $lanes) - 1) }
            }
        }
    };
}

avx512!(
    f32,
    __m512,
    __mmask16,
    16,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_stream_ps,
    _mm512_mask_loadu_ps,
    _mm512_mask_storeu_ps,
    _mm512_add_ps,
    _mm512_sub_ps,
    _mm512_mul_ps,
    _mm512_div_ps,
    _mm512_sqrt_ps,
    sqrt_f32,
    _mm512_fmadd_ps,
    _mm512_xor_ps,
    _mm512_max_ps,
    _mm512_fpclass_ps_mask,
    sums_f32,
    sums_of_8_f32,
    zip_f32
);
avx512!(
    f64,
    __m512d,
    __mmask8,
    8,
    _mm512_set1_pd,
    _mm512_loadu_pd,
    _mm512_storeu_pd,
    _mm512_stream_pd,
    _mm512_mask_loadu_pd,
    _mm512_mask_storeu_pd,
    _mm512_add_pd,
    _mm512_sub_pd,
    _mm512_mul_pd,
    _mm512_div_pd,
    _mm512_sqrt_pd,
    _mm512_sqrt_pd,
    _mm512_fmadd_pd,
    _mm512_xor_pd,
    _mm512_max_pd,
    _mm512_fpclass_pd_mask,
    sums_f64,
    sums_of_8_f64,
    zip_f64
);
