//! What a layer is and saw, and how it is summed: in C, in Rust, and how much memory that takes.

use std::mem::MaybeUninit;
use std::ptr::without_provenance_mut;

use pergrad_capi::*;
use pergrad_core::{Batch, Dims, Fold, NonFinite, Part, Start};
use pergrad_fuzz::support::values::Real;

use super::arrays::Use::{self, Optional, Read, Scratch, Unseen};
use super::caller::Caller;

pub const STARTS: [Start; 2] = [Start::Fresh, Start::Resume];
pub const NON_FINITE: [NonFinite; 2] = [NonFinite::Propagate, NonFinite::Refuse];

/// Extents as they come, or with some that no memory holds.
pub struct Extents(pub Dims);

impl Extents {
    pub fn draw(c: &mut Caller<'_, '_>) -> Self {
        let mut extents = [5, 2, 9, 40].map(|most| c.source.upto(most));
        let huge = [1 << 31, 1 << 32, 1 << 61, isize::MAX as usize, usize::MAX, c.source.any()];
        for extent in &mut extents {
            if c.odd(1) != 0 {
                *extent = c.source.pick(&huge);
            }
        }
        let [batch, steps, outputs, inputs] = extents;
        Extents(Dims { batch, steps, outputs, inputs })
    }

    pub fn c(&self) -> pergrad_dims {
        let Dims { batch, steps, outputs, inputs } = self.0;
        pergrad_dims { batch, steps, outputs, inputs }
    }

    pub fn x(&self) -> u128 {
        product([self.0.batch, self.0.steps, self.0.inputs])
    }

    pub fn y(&self) -> u128 {
        product([self.0.batch, self.0.steps, self.0.outputs])
    }

    pub fn batch(&self) -> u128 {
        self.0.batch as u128
    }

    pub fn weight(&self) -> u128 {
        product([self.0.outputs, self.0.inputs])
    }
}

pub fn product<const N: usize>(extents: [usize; N]) -> u128 {
    extents.into_iter().fold(1, |all, n| all.saturating_mul(n as u128))
}

/// What a layer saw: x, dy and example weights.
pub fn seen(e: &Extents, part: Part) -> [(Use, u128); 3] {
    let x = if part == Part::Bias { Unseen } else { Read };
    [(x, e.x()), (Read, e.y()), (Optional, e.batch())]
}

/// The same as a structure; where x is not looked at, it points to nothing.
pub fn batch<T>(
    c: &mut Caller<'_, '_>,
    e: &Extents,
    part: Part,
    a: &[(*mut T, usize)],
) -> pergrad_batch<T> {
    let nowhere = (without_provenance_mut(c.source.any()), c.source.any());
    let x = if part == Part::Bias { nowhere } else { a[0] };
    pergrad_batch {
        dims: e.c(),
        x: x.0,
        x_len: x.1,
        dy: a[1].0,
        dy_len: a[1].1,
        example_weights: a[2].0,
        example_weights_len: a[2].1,
    }
}

pub type Own<T> = Option<Vec<T>>;

pub fn batch_of<'a, T: Real>(
    dims: Dims,
    x: &'a Own<T>,
    dy: &'a Own<T>,
    c: &'a Own<T>,
) -> Batch<'a, T> {
    Batch { example_weights: c.as_deref(), ..Batch::new(dims, of(x), of(dy)) }
}

pub fn of<T>(array: &Own<T>) -> &[T] {
    array.as_deref().expect("not left out")
}

pub fn to<T>(array: &mut Own<T>) -> &mut [T] {
    array.as_deref_mut().expect("not left out")
}

pub fn fold(c: &mut Caller<'_, '_>) -> (MaybeUninit<pergrad_start>, f64, Fold) {
    let (c_start, start) = c.choice(&STARTS);
    let scale = scale(c);
    (c_start, scale, Fold { start, scale: Some(scale) })
}

pub fn scale(c: &mut Caller<'_, '_>) -> f64 {
    let scale = c.source.real();
    if scale == 0.0 {
        c.refusals.push(pergrad_error::PERGRAD_ERROR_HYPER);
    }
    scale
}

/// A part of a layer, and how many parameters it has.
pub fn part(c: &mut Caller<'_, '_>, e: &Extents) -> (Part, u128) {
    match c.source.flag() {
        false => (Part::Weight, e.weight()),
        true => (Part::Bias, e.0.outputs as u128),
    }
}

/// Functions on the bias alone take none.
pub fn scratch(e: &Extents, part: Part) -> (Use, u128) {
    if part == Part::Bias { (Unseen, 0) } else { (Scratch, pergrad_core::scratch_len(e.0) as u128) }
}
