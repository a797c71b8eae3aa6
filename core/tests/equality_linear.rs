//! Forward product and input gradient: every instruction set has the bits of the plain loops.

mod support;

use pergrad_core::{Dims, Start, forward, input_grad, reference};
use proptest::prelude::*;
use support::case::{Case, cases, sweep};
use support::compare::{Place, agree, assert_bits};
use support::guard::Guarded;
use support::isas::for_each_isa;
use support::values::{Kind, Real};
use support::{LARGE, draws, for_both_types};

/// `x [B, T, I]`, weight and bias; the switch for example weights stands for the bias.
fn forward_agrees<T: Real>(case: Case) {
    forward_agrees_with(case, &case.guarded::<T>("weight", case.weight_len()));
}

fn forward_agrees_with<T: Real>(case: Case, weight: &Guarded<T>) {
    let (inputs, dims) = (case.inputs::<T>(), case.dims);
    let bias = case.weighted.then(|| case.guarded::<T>("bias", dims.outputs));
    let bias = bias.as_ref().map(|bias| bias.slice());
    let (x, weight, from) = (inputs.x.slice(), weight.slice(), case.fold.start);
    agree(
        "forward",
        (&case, case.seed),
        [case.output::<T>("y", inputs.dy.slice().len())],
        from,
        0,
        |[y]| reference::forward(dims, x, weight, bias, from, y),
        |isa, [y], _| forward(isa, dims, x, weight, bias, from, y),
    );
}

fn input_grad_agrees<T: Real>(case: Case) {
    let (inputs, dims) = (case.inputs::<T>(), case.dims);
    let weight = case.guarded::<T>("weight", case.weight_len());
    let (dy, weight, from) = (inputs.dy.slice(), weight.slice(), case.fold.start);
    agree(
        "input_grad",
        (&case, case.seed),
        [case.output::<T>("dx", inputs.x.slice().len())],
        from,
        0,
        |[dx]| reference::input_grad(dims, dy, weight, from, dx),
        |isa, [dx], _| input_grad(isa, dims, dy, weight, from, dx),
    );
}

fn forward_swept<T: Real>() {
    sweep(forward_agrees::<T>);
}

fn input_grad_swept<T: Real>() {
    sweep(input_grad_agrees::<T>);
}

fn linear_drawn<T: Real>() {
    proptest!(draws(256), |(case in cases())| {
        forward_agrees::<T>(case);
        input_grad_agrees::<T>(case);
    });
}

/// Rows of `x` against rows of `W` in tiles: more of both than any tile has.
fn forward_tiles<T: Real>() {
    let like = Case::ordinary(Dims::new(0, 0, 0), 1);
    for batch in 0..=9 {
        for outputs in 0..=14 {
            for inputs in [5, 16, 21, 40, 70] {
                forward_agrees::<T>(Case { dims: Dims::new(batch, outputs, inputs), ..like });
            }
        }
    }
}

/// Long rows, gone through some columns at a time, for fewer and more tiles than are at once.
fn forward_long_rows<T: Real>() {
    if cfg!(miri) {
        return;
    }
    for (batch, outputs, inputs) in
        [(5, 9, 2047), (41, 10, 2048), (17, 19, 3100), (60, 11, 4099), (11, 7, 1090), (9, 6, 1610)]
    {
        for weighted in [false, true] {
            let like = Case::ordinary(Dims::new(batch, outputs, inputs), inputs as u64);
            forward_agrees::<T>(Case { weighted, ..like });
        }
    }
}

/// Many rows of `x`, for which rows of `W` are copied unless all are aligned, as they are with the first offset, and go
/// by as many at a time as a cache holds; they have more rows and columns than a copy, a tile and such a group.
fn forward_many_rows<T: Real>() {
    if !LARGE {
        return;
    }
    let shapes = [
        (17, 300, 512),
        (20, 61, 256),
        (50, 43, 300),
        (50, 9, 17),
        (49, 11, 100),
        (61, 26, 1000),
        (48, 9, 2050),
        (48, 8, 2040),
        (64, 8, 96),
    ];
    for (seed, (batch, outputs, inputs)) in shapes.into_iter().enumerate() {
        for offset in 0..2 {
            let start = if offset == 0 { Start::Fresh } else { Start::Resume };
            let dims = Dims::new(batch, outputs, inputs);
            let mut case = Case { weighted: true, ..Case::ordinary(dims, seed as u64) };
            case.fold.start = start;
            let weight: Vec<T> = case.rng(7).values(case.kind, case.weight_len());
            forward_agrees_with(case, &Guarded::at(offset, &weight));
        }
    }
}

/// Rows of up to more columns than those of which many go side by side: more outputs than are, and fewer, a lone vector
/// and some, outputs that do not fill one, rows of `x` left over.
fn forward_short_rows<T: Real>() {
    if !LARGE {
        return;
    }
    for inputs in 0..=70 {
        for (k, (batch, outputs)) in
            [(13, 40), (38, 17), (41, 13), (9, 70), (97, 35)].into_iter().enumerate()
        {
            let seed = 5 * inputs + k;
            let mut case = Case::ordinary(Dims::new(batch, outputs, inputs), seed as u64);
            case.kind = Kind::ALL[seed % Kind::ALL.len()];
            case.weighted = seed / 2 % 2 == 1;
            case.fold.start = if seed % 2 == 0 { Start::Fresh } else { Start::Resume };
            forward_agrees::<T>(case);
        }
    }
}

/// Rows of which many go side by side, longer ones: whole blocks of a copy and parts of them, lanes with a column more
/// than others, up to more columns than a copy has room for, and more rows of `x` than go by at a time.
fn forward_columns<T: Real>() {
    if !LARGE {
        return;
    }
    let columns = [65, 72, 79, 80, 81, 96, 111, 128, 200, 250, 255, 256, 257, 500, 511, 512, 513];
    let rows = [(131, 33), (200, 64), (97, 16), (134, 70), (99, 44), (75, 55)];
    let sizes = columns.into_iter().flat_map(|i| rows.into_iter().map(move |(b, j)| (b, j, i)));
    let more = [(600, 34, 240), (601, 16, 480), (140, 34, 700), (131, 33, 1000), (133, 16, 1024)];
    for (seed, (batch, outputs, inputs)) in sizes.chain(more).enumerate() {
        let mut case = Case::ordinary(Dims::new(batch, outputs, inputs), seed as u64);
        case.kind = Kind::ALL[seed % Kind::ALL.len()];
        case.weighted = seed / 2 % 2 == 1;
        case.fold.start = if seed % 2 == 0 { Start::Fresh } else { Start::Resume };
        forward_agrees::<T>(case);
    }
}

/// More rows of `dy` than go through a copy of `W` at a time; rows of `W` that share a few sets of the caches and others,
/// from near by and from afar, in several blocks.
fn input_grad_many_rows<T: Real>() {
    if !LARGE {
        return;
    }
    let shapes = [
        (257, 9, 1030),
        (600, 5, 1100),
        (270, 258, 256),
        (71, 130, 390),
        (50, 270, 110),
        (260, 70, 1000),
        (23, 530, 1030),
        (20, 1030, 1024),
    ];
    for (seed, (batch, outputs, inputs)) in shapes.into_iter().enumerate() {
        let mut case = Case::ordinary(Dims::new(batch, outputs, inputs), batch as u64);
        case.fold.start = if seed % 3 == 0 { Start::Fresh } else { Start::Resume };
        input_grad_agrees::<T>(case);
    }
}

/// Products that vanish leave -0 in every lane, and lanes beyond the last input must not make it +0:
/// added to a -0, the sum shows it.
fn vanishing_products_keep_their_sign<T: Real>() {
    let (x, weight) = (T::from_bits(1), -T::from_bits(1));
    // (Of many rows of `x` those of `W` are copied, short ones side by side.)
    let sizes = [(2, 7), (48, 7), (20, 40)];
    let step = if cfg!(miri) { 24 } else { 1 };
    let cases = sizes.into_iter().flat_map(|size| (1..=50).step_by(step).map(move |i| (size, i)));
    let longer = (65..=80).step_by(step).map(|i| ((131, 32), i));
    for ((batch, outputs), inputs) in cases.chain(longer) {
        let dims = Dims::new(batch, outputs, inputs);
        let (x, weight) = (vec![x; batch * inputs], vec![weight; outputs * inputs]);
        let mut want = vec![T::NEG_ZERO; outputs * batch];
        reference::forward(dims, &x, &weight, None, Start::Resume, &mut want).expect("lengths fit");
        let zero = if inputs < 16 { T::ZERO } else { T::NEG_ZERO }; // lanes without inputs are +0
        assert!(want.iter().all(|y| y.same(zero)), "the plain loops keep it: {want:?}");
        for_each_isa(|isa| {
            let mut got = vec![T::NEG_ZERO; outputs * batch];
            forward(isa, dims, &x, &weight, None, Start::Resume, &mut got).expect("lengths fit");
            let place = Place { kernel: "forward", isa: isa.name(), case: &dims };
            assert_bits(place, "y", &got, &want);
        });
    }
}

for_both_types!(
    forward_swept,
    input_grad_swept,
    linear_drawn,
    forward_tiles,
    forward_long_rows,
    forward_many_rows,
    forward_short_rows,
    forward_columns,
    input_grad_many_rows,
    vanishing_products_keep_their_sign
);
