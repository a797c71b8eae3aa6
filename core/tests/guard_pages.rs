//! Every kernel with each argument flush against a page that must not be touched: one element read
//! or written beside a slice, even one that changes no result, is a fault.
#![cfg(unix)]

mod support;

use std::ptr;

use pergrad_core::{
    Batch, Dims, Fold, LayerStep, NonFinite, Part, SecondMoment, Start, bias_grad, bias_moments,
    bias_sq_norms, forward, grad, input_grad, moments, per_example_grad, reduce, scratch_len,
    sq_norms,
};
use support::for_both_types;
use support::isas::for_each_isa;
use support::optimizers::{Config, adam_configs, momentum_configs, rmsprop_configs};
use support::values::{Kind, Real, Rng};

/// At which end of its pages an array lies.
#[derive(Debug, Clone, Copy)]
enum Edge {
    First,
    Last,
}

/// Pages that may be used between two that may not.
struct Pages {
    mapping: *mut libc::c_void,
    page: usize,
    usable: usize,
}

impl Pages {
    /// Room for at least `bytes`.
    fn new(bytes: usize) -> Self {
        // SAFETY: asks for a number.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        let page = usize::try_from(page).expect("a page size");
        let usable = bytes.next_multiple_of(page);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON;
        // SAFETY: a new mapping, wherever the system likes; nothing else is affected.
        let mapping = unsafe {
            libc::mmap(ptr::null_mut(), usable + 2 * page, libc::PROT_NONE, flags, -1, 0)
        };
        assert_ne!(mapping, libc::MAP_FAILED, "mmap");
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the pages between the first and the last of the mapping just made.
        let result = unsafe { libc::mprotect(mapping.byte_add(page), usable, access) };
        assert_eq!(result, 0, "mprotect");
        Pages { mapping, page, usable }
    }

    /// `values` at one end.
    fn hold<T: Real>(&mut self, edge: Edge, values: &[T]) -> &mut [T] {
        let bytes = size_of_val(values);
        assert!(bytes <= self.usable, "{bytes} bytes do not fit");
        let skip = match edge {
            Edge::First => 0,
            Edge::Last => self.usable - bytes,
        };
        // SAFETY: the assertion keeps the elements inside the accessible pages. Page and array
        // sizes are multiples of an element's, so it is aligned; all bits, the zeros of a new page
        // too, are floats; `self` is borrowed as long as the slice.
        let slice = unsafe {
            let start = self.mapping.byte_add(self.page + skip).cast::<T>();
            std::slice::from_raw_parts_mut(start, values.len())
        };
        slice.copy_from_slice(values);
        slice
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the whole of the mapping made by `new`, which no slice outlives.
        unsafe { libc::munmap(self.mapping, self.usable + 2 * self.page) };
    }
}

/// The largest array of [`shapes`], in bytes.
const MOST: usize = 1 << 22;

/// Extents around the vectors and tiles of every instruction set, with steps and without.
fn shapes() -> Vec<Dims> {
    let mut shapes = Vec::new();
    for inputs in [0, 1, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 65] {
        for outputs in [1, 3, 6, 7, 13] {
            for (batch, steps) in [(1, 1), (5, 1), (2, 3)] {
                shapes.push(Dims { batch, steps, outputs, inputs });
            }
        }
    }
    for outputs in [0, 8, 9, 16, 17, 31, 33, 64, 65] {
        shapes.push(Dims { batch: 3, steps: 2, outputs, inputs: 5 });
    }
    // Of which outputs go side by side in the forward product.
    for (batch, outputs, inputs) in [(21, 13, 6), (17, 33, 5), (131, 31, 67)] {
        shapes.push(Dims { batch, steps: 1, outputs, inputs });
    }
    shapes
}

/// Everything that a kernel can be given, each in pages of its own.
struct Arrays(Vec<Pages>);

impl Arrays {
    fn new() -> Self {
        Arrays((0..9).map(|_| Pages::new(MOST)).collect())
    }

    /// Arrays of these lengths, of ordinary values that are not negative.
    fn hold<T: Real, const N: usize>(
        &mut self,
        rng: &mut Rng,
        edge: Edge,
        lens: [usize; N],
    ) -> [&mut [T]; N] {
        let mut pages = self.0.iter_mut();
        lens.map(|len| {
            let values = rng.squares(Kind::Ordinary, len);
            pages.next().expect("an array each").hold(edge, &values)
        })
    }
}

/// Calls `check` with every shape, edge, fold and with scratch empty and full.
fn sweep(mut check: impl FnMut(&mut Arrays, &mut Rng, Edge, Dims, Fold, usize)) {
    let (mut arrays, mut rng) = (Arrays::new(), Rng::new(1));
    for dims in shapes() {
        for edge in [Edge::First, Edge::Last] {
            for start in [Start::Fresh, Start::Resume] {
                for scratch in [0, scratch_len(dims)] {
                    let fold = Fold { start, scale: Some(0.5) };
                    check(&mut arrays, &mut rng, edge, dims, fold, scratch);
                }
            }
        }
    }
}

const FITS: &str = "lengths fit";

fn linear<T: Real>() {
    sweep(|arrays, rng, edge, dims, fold, _| {
        let Dims { batch, steps, outputs, inputs } = dims;
        let rows = batch * steps;
        let lens = [rows * inputs, rows * outputs, outputs * inputs, outputs];
        let [x, y, weight, bias] = arrays.hold::<T, _>(rng, edge, lens);
        for_each_isa(|isa| {
            forward(isa, dims, x, weight, None, fold.start, y).expect(FITS);
            forward(isa, dims, x, weight, Some(bias), fold.start, y).expect(FITS);
            input_grad(isa, dims, y, weight, fold.start, x).expect(FITS);
        });
    });
}

fn statistics<T: Real>() {
    sweep(|arrays, rng, edge, dims, fold, scratch| {
        let Dims { batch, steps, outputs, inputs } = dims;
        let (rows, n) = (batch * steps, outputs * inputs);
        let lens =
            [rows * inputs, rows * outputs, batch, n, n, outputs, outputs, batch * n, scratch];
        let [x, dy, c, g, sq, bias, bias_sq, all, scratch] = arrays.hold::<T, _>(rng, edge, lens);
        let plain = Batch::new(dims, x, dy);
        for_each_isa(|isa| {
            for b in [plain, plain.with_example_weights(c)] {
                grad(isa, &b, fold, g, scratch).expect(FITS);
                moments(isa, &b, fold, g, sq, scratch).expect(FITS);
                bias_grad(isa, &b, fold, bias).expect(FITS);
                bias_moments(isa, &b, fold, bias, bias_sq).expect(FITS);
                per_example_grad(isa, &b, all).expect(FITS);
            }
            reduce(isa, all, batch, fold, g, sq).expect(FITS);
        });
    });
}

fn norms<T: Real>() {
    sweep(|arrays, rng, edge, dims, fold, _| {
        let rows = dims.batch * dims.steps;
        let lens = [rows * dims.inputs, rows * dims.outputs, dims.batch, dims.batch];
        let [x, dy, c, norms] = arrays.hold::<T, _>(rng, edge, lens);
        let plain = Batch::new(dims, x, dy);
        for_each_isa(|isa| {
            for b in [plain, plain.with_example_weights(c)] {
                sq_norms(isa, &b, fold.start, norms).expect(FITS);
                bias_sq_norms(isa, &b, fold.start, norms).expect(FITS);
            }
        });
    });
}

/// A few configurations of each optimizer, with all their arrays and without.
fn some_configs() -> Vec<Config> {
    let all = [momentum_configs(), rmsprop_configs(), adam_configs()];
    all.iter().flat_map(|configs| configs.iter().step_by(configs.len() / 7 + 1)).copied().collect()
}

const NON_FINITE: [NonFinite; 2] = [NonFinite::Propagate, NonFinite::Refuse];

fn update<T: Real>() {
    let (mut arrays, mut rng) = (Arrays::new(), Rng::new(2));
    for (config, n) in some_configs().into_iter().flat_map(|c| (0..=70).map(move |n| (c, n))) {
        let used = config.arrays().map(|(_, used)| if used { n } else { 0 });
        for edge in [Edge::First, Edge::Last] {
            let lens = [n, n, used[0], used[1], used[2], used[3]];
            let [grad, second, p, a, b, c] = arrays.hold::<T, _>(&mut rng, edge, lens);
            let second = config.has_second().then_some(&*second);
            for_each_isa(|isa| {
                for non_finite in NON_FINITE {
                    let state = [&mut *p, &mut *a, &mut *b, &mut *c];
                    config
                        .update(isa, 3, grad, second, state, non_finite)
                        .expect("it stays finite");
                }
            });
        }
    }
}

fn step<T: Real>() {
    let configs = some_configs();
    sweep(|arrays, rng, edge, dims, fold, scratch| {
        let Dims { batch, steps, outputs, inputs } = dims;
        let config = rng.pick(&configs);
        for (part, n) in [(Part::Weight, outputs * inputs), (Part::Bias, outputs)] {
            let used = config.arrays().map(|(_, used)| if used { n } else { 0 });
            let rows = batch * steps;
            let lens =
                [rows * inputs, rows * outputs, batch, scratch, used[0], used[1], used[2], used[3]];
            let [x, dy, weights, scratch, p, a, b, c] = arrays.hold::<T, _>(rng, edge, lens);
            let batch = Batch::new(dims, x, dy).with_example_weights(weights);
            for_each_isa(|isa| {
                for non_finite in NON_FINITE {
                    for second in [SecondMoment::GradSq, SecondMoment::SquaredGrad] {
                        let layer = LayerStep { batch, scale: fold.scale, second, non_finite };
                        let state = [&mut *p, &mut *a, &mut *b, &mut *c];
                        config.step(isa, 3, &layer, part, state, scratch).expect("it stays finite");
                    }
                }
            });
        }
    });
}

for_both_types!(linear, statistics, norms, update, step);
