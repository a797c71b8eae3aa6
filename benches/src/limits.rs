//! What the hardware allows: loops that do the operations or move the bytes of a kernel, and nothing
//! else. Kernels are quoted as fractions of these, measured in the same run on the same arrays.
//!
//! Where a backend has no code here (any CPU but x86-64, and the portable one there), the loops are
//! portable and as good as the compiler makes them; a "fused" multiply-add is then a product and a sum
//! unless the compilation target has the instruction.

use std::hint::black_box;

use pergrad_core::Isa;

use crate::case::FMA;
use crate::real::Real;

/// The limits of one element type on every instruction set.
pub trait Limits: Real {
    /// `n` fused multiply-adds (rounded up to a round of all chains) in registers.
    fn fma_chains(isa: Isa, n: usize);
    /// What moments do to `n` products: multiply, add, and add the square fused, in registers but for one
    /// operand. As fast as `2 n` fused multiply-adds where sums have pipes of their own; where they have not, as
    /// the vectors of 512 bits on Intel's CPUs, as `3 n`.
    fn moments_chains(isa: Isa, n: usize);
    /// `n` square roots, each followed by a division, in registers.
    fn sqrt_div_chains(isa: Isa, n: usize);
    /// `n` square roots in registers.
    fn sqrt_chains(isa: Isa, n: usize);
    /// Reads the arrays of both lists, of one length, and writes those of the first, as an optimizer
    /// must: the values only change places.
    fn move_arrays<const W: usize, const R: usize>(
        isa: Isa,
        written: [&mut [Self]; W],
        read: [&[Self]; R],
    );
    /// Overwrites through the caches.
    fn fill(isa: Isa, out: &mut [Self]);
    /// Overwrites past the caches, where the instruction set can.
    fn stream_fill(isa: Isa, out: &mut [Self]);
    /// Reads everything.
    fn read(isa: Isa, from: &[Self]);
}

/// Independent chains of operations; enough to cover the latency of two pipes.
const CHAINS: usize = 12;

/// The length of all these arrays. (A few elements at the end, less than a vector, are left alone.)
fn same_length<T>(written: &[&mut [T]], read: &[&[T]]) -> usize {
    let n = written.first().map_or(0, |a| a.len());
    assert!(written.iter().all(|a| a.len() == n) && read.iter().all(|a| a.len() == n));
    n
}

/// Stamps the loops of one instruction set and element type.
#[cfg(target_arch = "x86_64")]
macro_rules! x86 {
    (
        $module:ident, $T:ident, $lanes:literal, $features:literal, $set1:ident, $load:ident,
        $store:ident, $stream:ident, $add:ident, $mul:ident, $fma:ident, $sqrt:ident, $div:ident, $max:ident,
        $first:ident
    ) => {
        pub(super) mod $module {
            use core::arch::x86_64::*;

            use super::*;

            type T = $T;
            const LANES: usize = $lanes;

            #[target_feature(enable = $features)]
            pub(in super::super) fn fma_chains(n: usize) {
                let a = $set1(black_box(0.999));
                let b = $set1(black_box(0.5));
                let mut chain = [$set1(black_box(0.25)); CHAINS];
                for _ in 0..n.div_ceil(CHAINS * LANES) {
                    for c in &mut chain {
                        *c = $fma(*c, a, b);
                    }
                }
                for c in chain {
                    black_box($first(c));
                }
            }

            #[target_feature(enable = $features)]
            pub(in super::super) fn moments_chains(n: usize) {
                const PAIRS: usize = CHAINS / 2;
                // As many `x` as stay in the first-level cache, so that no product is that of the round before.
                let x = black_box([[0.25 as T; LANES]; 16]);
                let dy = black_box([0.5 as T, 0.25, 0.125, 0.75, 0.625, 0.375]);
                let mut sums = [[$set1(0.0); 2]; PAIRS];
                for k in 0..n.div_ceil(PAIRS * LANES) {
                    // SAFETY: an element of `x` has LANES.
                    let x = unsafe { $load(x[k % x.len()].as_ptr()) };
                    for ([sum, sum_sq], dy) in sums.iter_mut().zip(dy) {
                        let g = $mul($set1(dy), x);
                        *sum = $add(*sum, g);
                        *sum_sq = $fma(g, g, *sum_sq);
                    }
                }
                for sum in sums.into_iter().flatten() {
                    black_box($first(sum));
                }
            }

            #[target_feature(enable = $features)]
            pub(in super::super) fn sqrt_div_chains(n: usize) {
                let a = $set1(black_box(1.7));
                let mut chain = [$set1(black_box(0.3)); CHAINS];
                for _ in 0..n.div_ceil(CHAINS * LANES) {
                    for c in &mut chain {
                        *c = $div(a, $sqrt(*c));
                    }
                }
                for c in chain {
                    black_box($first(c));
                }
            }

            #[target_feature(enable = $features)]
            pub(in super::super) fn sqrt_chains(n: usize) {
                // The maximum, which is free beside a root, keeps the values from settling at 1.
                let low = $set1(black_box(1.9));
                let mut chain = [$set1(black_box(3.7)); CHAINS];
                for _ in 0..n.div_ceil(CHAINS * LANES) {
                    for c in &mut chain {
                        *c = $max($sqrt(*c), low);
                    }
                }
                for c in chain {
                    black_box($first(c));
                }
            }

            #[target_feature(enable = $features)]
            pub(in super::super) fn move_arrays<const W: usize, const R: usize>(
                written: [&mut [T]; W],
                read: [&[T]; R],
            ) {
                let n = same_length(&written, &read);
                let written = written.map(|a| a.as_mut_ptr());
                let read = read.map(|a| a.as_ptr());
                for k in (0..n - n % LANES).step_by(LANES) {
                    let mut values = [$set1(0.0); W];
                    // SAFETY: `k + LANES <= n`, the length of all.
                    unsafe {
                        for (value, a) in values.iter_mut().zip(written) {
                            *value = $load(a.add(k));
                        }
                        for a in read {
                            values[0] = $max(values[0], $load(a.add(k)));
                        }
                        for (w, a) in written.into_iter().enumerate() {
                            $store(a.add(k), values[(w + 1) % W]);
                        }
                    }
                }
            }

            #[target_feature(enable = $features)]
            pub(in super::super) fn fill(out: &mut [T]) {
                let value = black_box(1.5);
                let vector = $set1(value);
                let mut chunks = out.chunks_exact_mut(LANES);
                for chunk in &mut chunks {
                    // SAFETY: the chunk has LANES elements.
                    unsafe { $store(chunk.as_mut_ptr(), vector) }
                }
                chunks.into_remainder().fill(value);
            }

            #[target_feature(enable = $features)]
            pub(in super::super) fn stream_fill(out: &mut [T]) {
                let value = black_box(1.5);
                let vector = $set1(value);
                let head = out.as_ptr().align_offset(LANES * size_of::<T>()).min(out.len());
                let (head, body) = out.split_at_mut(head);
                head.fill(value);
                let mut chunks = body.chunks_exact_mut(LANES);
                for chunk in &mut chunks {
                    // SAFETY: the chunk has LANES elements and starts on a whole vector.
                    unsafe { $stream(chunk.as_mut_ptr(), vector) }
                }
                chunks.into_remainder().fill(value);
                // Streaming stores are weakly ordered: nobody may read before this.
                _mm_sfence();
            }

            #[target_feature(enable = $features)]
            pub(in super::super) fn read(from: &[T]) {
                let mut most = [$set1(0.0); 8];
                let mut chunks = from.chunks_exact(8 * LANES);
                for chunk in &mut chunks {
                    for (k, most) in most.iter_mut().enumerate() {
                        // SAFETY: the chunk has 8 LANES elements.
                        *most = $max(*most, unsafe { $load(chunk.as_ptr().add(k * LANES)) });
                    }
                }
                for most in most {
                    black_box($first(most));
                }
                black_box(chunks.remainder().iter().fold(0.0, |m, x| x.max(m)));
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;

    x86!(
        avx2_f32,
        f32,
        8,
        "avx2,fma",
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_stream_ps,
        _mm256_add_ps,
        _mm256_mul_ps,
        _mm256_fmadd_ps,
        _mm256_sqrt_ps,
        _mm256_div_ps,
        _mm256_max_ps,
        _mm256_cvtss_f32
    );
    x86!(
        avx2_f64,
        f64,
        4,
        "avx2,fma",
        _mm256_set1_pd,
        _mm256_loadu_pd,
        _mm256_storeu_pd,
        _mm256_stream_pd,
        _mm256_add_pd,
        _mm256_mul_pd,
        _mm256_fmadd_pd,
        _mm256_sqrt_pd,
        _mm256_div_pd,
        _mm256_max_pd,
        _mm256_cvtsd_f64
    );
    x86!(
        avx512_f32,
        f32,
        16,
        "avx512f",
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_stream_ps,
        _mm512_add_ps,
        _mm512_mul_ps,
        _mm512_fmadd_ps,
        _mm512_sqrt_ps,
        _mm512_div_ps,
        _mm512_max_ps,
        _mm512_cvtss_f32
    );
    x86!(
        avx512_f64,
        f64,
        8,
        "avx512f",
        _mm512_set1_pd,
        _mm512_loadu_pd,
        _mm512_storeu_pd,
        _mm512_stream_pd,
        _mm512_add_pd,
        _mm512_mul_pd,
        _mm512_fmadd_pd,
        _mm512_sqrt_pd,
        _mm512_div_pd,
        _mm512_max_pd,
        _mm512_cvtsd_f64
    );
}

/// The loops without intrinsics.
mod portable {
    use super::*;

    /// Elements that one round of the chains works on.
    const WIDTH: usize = 32;

    pub(super) fn fma_chains<T: Real>(n: usize) {
        let b = black_box(T::from_f64(0.5));
        rounds::<T>(n, 0.25, |c, a| if FMA { c.std_mul_add(a, b) } else { c * a + b });
    }

    #[inline(always)]
    fn rounds<T: Real>(n: usize, start: f64, op: impl Fn(T, T) -> T) {
        let a = black_box(T::from_f64(0.999));
        let mut chain = [black_box(T::from_f64(start)); WIDTH];
        for _ in 0..n.div_ceil(WIDTH) {
            for c in &mut chain {
                *c = op(*c, a);
            }
        }
        black_box(chain);
    }

    pub(super) fn moments_chains<T: Real>(n: usize) {
        let fma = |a: T, b, c| if FMA { a.std_mul_add(b, c) } else { a * b + c };
        let x = black_box([[T::from_f64(0.25); WIDTH]; 16]);
        let dy = black_box(T::from_f64(0.5));
        let mut sums = [[T::ZERO; WIDTH]; 2];
        for k in 0..n.div_ceil(WIDTH) {
            let [sum, sum_sq] = &mut sums;
            for ((sum, sum_sq), x) in sum.iter_mut().zip(sum_sq).zip(&x[k % x.len()]) {
                let g = dy * *x;
                *sum += g;
                *sum_sq = fma(g, g, *sum_sq);
            }
        }
        black_box(sums);
    }

    pub(super) fn sqrt_div_chains<T: Real>(n: usize) {
        rounds::<T>(n, 0.3, |c, a| a / c.std_sqrt());
    }

    pub(super) fn sqrt_chains<T: Real>(n: usize) {
        rounds::<T>(n, 3.7, |c, a| c.std_sqrt() + a);
    }

    pub(super) fn move_arrays<T: Real, const W: usize, const R: usize>(
        mut written: [&mut [T]; W],
        read: [&[T]; R],
    ) {
        const BLOCK: usize = 16;
        let n = same_length(&written, &read);
        for k in (0..n - n % BLOCK).step_by(BLOCK) {
            let mut values = [[T::ZERO; BLOCK]; W];
            for (value, a) in values.iter_mut().zip(&written) {
                value.copy_from_slice(&a[k..k + BLOCK]);
            }
            for a in read {
                for (value, x) in values[0].iter_mut().zip(&a[k..k + BLOCK]) {
                    *value = value.max_or(*x);
                }
            }
            for (w, a) in written.iter_mut().enumerate() {
                a[k..k + BLOCK].copy_from_slice(&values[(w + 1) % W]);
            }
        }
    }

    pub(super) fn fill<T: Real>(out: &mut [T]) {
        out.fill(black_box(T::ONE));
    }

    pub(super) fn read<T: Real>(from: &[T]) {
        let mut most = [T::ZERO; 64];
        let (chunks, rest) = from.as_chunks::<64>();
        for chunk in chunks {
            for (most, x) in most.iter_mut().zip(chunk) {
                *most = most.max_or(*x);
            }
        }
        black_box(most);
        black_box(rest.iter().fold(T::ZERO, |m, x| m.max_or(*x)));
    }
}

/// Stamps [`Limits`] for an element type.
macro_rules! limits {
    ($T:ident, $avx2:ident, $avx512:ident, $(fn $name:ident($($arg:ident: $ty:ty),*) = $portable:ident;)*) => {
        impl Limits for $T {
            $(fn $name(isa: Isa, $($arg: $ty),*) {
                match isa {
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: an `Isa` in hand proves that the CPU has its features.
                    Isa::Avx2(_) => unsafe { x86::$avx2::$name($($arg),*) },
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: as above.
                    Isa::Avx512(_) => unsafe { x86::$avx512::$name($($arg),*) },
                    _ => portable::$portable::<$T>($($arg),*),
                }
            })*

            fn move_arrays<const W: usize, const R: usize>(
                isa: Isa,
                written: [&mut [$T]; W],
                read: [&[$T]; R],
            ) {
                match isa {
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: an `Isa` in hand proves that the CPU has its features.
                    Isa::Avx2(_) => unsafe { x86::$avx2::move_arrays(written, read) },
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: as above.
                    Isa::Avx512(_) => unsafe { x86::$avx512::move_arrays(written, read) },
                    _ => portable::move_arrays(written, read),
                }
            }
        }
    };
    ($($T:ident: $avx2:ident, $avx512:ident;)*) => {$(
        limits! {
            $T, $avx2, $avx512,
            fn fma_chains(n: usize) = fma_chains;
            fn moments_chains(n: usize) = moments_chains;
            fn sqrt_div_chains(n: usize) = sqrt_div_chains;
            fn sqrt_chains(n: usize) = sqrt_chains;
            fn fill(out: &mut [$T]) = fill;
            fn stream_fill(out: &mut [$T]) = fill;
            fn read(from: &[$T]) = read;
        }
    )*};
}

limits! {
    f32: avx2_f32, avx512_f32;
    f64: avx2_f64, avx512_f64;
}
