//! Gradients and moments of weight and bias: every instruction set has the bits of the plain loops.

mod support;

use pergrad_core::{
    Dims, Fold, Isa, bias_grad, bias_moments, grad, moments, reference, scratch_len,
};
use proptest::prelude::*;
use support::case::{Case, Scratch, cases, sweep};
use support::compare::{Place, agree, assert_bits};
use support::guard::Guarded;
use support::isas::of_another_maker;
use support::values::Real;
use support::{LARGE, VECTORS, draws, for_both_types};

fn grad_agrees<T: Real>(case: Case) {
    let (inputs, fold) = (case.inputs::<T>(), case.fold);
    let batch = inputs.batch();
    agree(
        "grad",
        (&case, case.seed),
        [case.output::<T>("grad", case.weight_len())],
        fold.start,
        case.scratch_len(),
        |[g]| reference::grad(&batch, fold, g),
        |isa, [g], scratch| grad(isa, &batch, fold, g, scratch),
    );
}

fn moments_agree<T: Real>(case: Case) {
    let (inputs, fold) = (case.inputs::<T>(), case.fold);
    let (batch, n) = (inputs.batch(), case.weight_len());
    agree(
        "moments",
        (&case, case.seed),
        [case.output::<T>("grad", n), case.output::<T>("grad_sq", n)],
        fold.start,
        case.scratch_len(),
        |[g, sq]| reference::moments(&batch, fold, g, sq),
        |isa, [g, sq], scratch| moments(isa, &batch, fold, g, sq, scratch),
    );
}

fn bias_grad_agrees<T: Real>(case: Case) {
    let (inputs, fold) = (case.inputs::<T>(), case.fold);
    let batch = inputs.batch();
    agree(
        "bias_grad",
        (&case, case.seed),
        [case.output::<T>("grad", case.dims.outputs)],
        fold.start,
        0,
        |[g]| reference::bias_grad(&batch, fold, g),
        |isa, [g], _| bias_grad(isa, &batch, fold, g),
    );
}

fn bias_moments_agree<T: Real>(case: Case) {
    let (inputs, fold) = (case.inputs::<T>(), case.fold);
    let (batch, n) = (inputs.batch(), case.dims.outputs);
    agree(
        "bias_moments",
        (&case, case.seed),
        [case.output::<T>("grad", n), case.output::<T>("grad_sq", n)],
        fold.start,
        0,
        |[g, sq]| reference::bias_moments(&batch, fold, g, sq),
        |isa, [g, sq], _| bias_moments(isa, &batch, fold, g, sq),
    );
}

fn grad_swept<T: Real>() {
    sweep(grad_agrees::<T>);
}

fn moments_swept<T: Real>() {
    sweep(moments_agree::<T>);
}

fn bias_swept<T: Real>() {
    sweep(|case| {
        bias_grad_agrees::<T>(case);
        bias_moments_agree::<T>(case);
    });
}

fn drawn<T: Real>() {
    proptest!(draws(256), |(case in cases())| {
        grad_agrees::<T>(case);
        moments_agree::<T>(case);
        bias_grad_agrees::<T>(case);
        bias_moments_agree::<T>(case);
    });
}

/// Rows of a page are packed, as far as the scratch memory goes; nothing else changes. (Without the plain
/// loops, so that Miri can do it.)
fn packed_or_in_place<T: Real>() {
    let page = 4096 / size_of::<T>();
    if cfg!(miri) {
        // As small as can be; more rows only are packed by `grad`, and without steps.
        return packed_or_in_place_with::<T>(Dims::new(3, 34, page + 9).with_steps(2));
    }
    // So many that `grad` of AVX-512 copies, too.
    let rows = if cfg!(target_arch = "x86_64") { 259 } else { 141 };
    for dims in [
        Dims::new(5, 131, page + 9),
        // Several blocks.
        Dims::new(258, 131, page + 9),
        // Shorter rows for many of the output.
        Dims::new(5, 257, page / 2 + 9),
        // Several groups of columns, and of rows if there is little scratch.
        Dims::new(66, rows, page + 9),
        // Near rows of x, far ones of dy.
        Dims::new(5, page / 2 + 3, 256 + 9),
        // Short and long sequences, one block and several.
        Dims::new(5, 137, page + 9).with_steps(3),
        Dims::new(70, 131, page + 9).with_steps(5),
        Dims::new(3, 139, page + 9).with_steps(33),
    ] {
        packed_or_in_place_with::<T>(dims);
        if !VECTORS {
            return; // all go the same way
        }
    }
    if cfg!(target_arch = "x86_64") {
        // Short rows that are not whole lines of the cache.
        packed_or_in_place_with::<T>(Dims::new(300, 50, 75));
    }
}

fn packed_or_in_place_with<T: Real>(dims: Dims) {
    let case = Case::ordinary(dims, 12);
    let (inputs, fold, n) = (case.inputs::<T>(), Fold::mean(5), case.weight_len());
    let (batch, rng) = (inputs.batch(), &mut case.rng(1));
    let full = scratch_len(dims);
    // (Where there are no vectors nothing is packed.)
    assert_eq!(full > 0, VECTORS, "{dims:?} is to be packed");
    let isa = Isa::detect();
    let [mut g, mut sq, mut alone] = [(); 3].map(|()| vec![T::nan(); n]);
    moments(isa, &batch, fold, &mut g, &mut sq, &mut []).expect("lengths fit");
    grad(isa, &batch, fold, &mut alone, &mut []).expect("lengths fit");
    // Nothing; a panel without its dy; some; all.
    let panel = 40 * (dims.batch * dims.steps).min(256);
    let lengths = [1, panel, full / 3, full.saturating_sub(1), full, full + 7];
    let some = match (cfg!(miri), full) {
        (true, _) => 4..5,
        // As much as is not asked for is left alone.
        (_, 0) => 0..1,
        _ => 0..lengths.len(),
    };
    for &len in &lengths[some] {
        let unused = |scratch: &Guarded<T>| scratch.slice().iter().all(|v| v.is_nan());
        let enough = len >= full && full > 0;
        // Some makers' CPUs copy sooner than others; `grad` of AVX-512 does for many rows only.
        let few = if isa.name() == "avx512" { 256 } else { 0 };
        let mut packs = [!enough, !enough || dims.outputs <= few || cfg!(miri)];
        for isa in [Some(isa), of_another_maker(isa)].into_iter().flatten() {
            let [mut got_g, mut got_sq] = [(); 2].map(|()| rng.garbage::<T>(n));
            let mut scratch = Guarded::new(rng, &vec![T::nan(); len]);
            moments(isa, &batch, fold, &mut got_g, &mut got_sq, scratch.slice_mut())
                .expect("lengths fit");
            let place = Place { kernel: "moments", isa: isa.name(), case: &(dims, len) };
            scratch.assert_intact(|| format!("{place:?} scratch"));
            assert_bits(place, "grad", &got_g, &g);
            assert_bits(place, "grad_sq", &got_sq, &sq);
            packs[0] |= !unused(&scratch);
            scratch.slice_mut().fill(T::nan());
            grad(isa, &batch, fold, &mut got_g, scratch.slice_mut()).expect("lengths fit");
            let place = Place { kernel: "grad", ..place };
            assert_bits(place, "grad", &got_g, &alone);
            packs[1] |= !unused(&scratch);
        }
        assert_eq!(packs, [true; 2], "moments and grad of {dims:?} with {len} were packed");
    }
}

/// Rows of `dy` that lie half a page apart, which share a few sets of a cache: they may be copied where `x` is not. Few and
/// many `(b, t)`, sequences, weights.
fn colliding<T: Real>() {
    if !LARGE {
        return;
    }
    let half = 2048 / size_of::<T>();
    for (seed, dims) in
        [Dims::new(17, half, 130), Dims::new(131, half, 129), Dims::new(4, half, 131).with_steps(9)]
            .into_iter()
            .enumerate()
    {
        for weighted in [false, true] {
            let mut case = Case::ordinary(dims, seed as u64);
            (case.weighted, case.scratch) = (weighted, Scratch::Empty);
            grad_agrees::<T>(case);
            moments_agree::<T>(case);
        }
    }
}

for_both_types!(packed_or_in_place, colliding, grad_swept, moments_swept, bias_swept, drawn);
