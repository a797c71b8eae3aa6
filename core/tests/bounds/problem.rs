//! Inputs that are hard on sums, and the kernels behind one face.

use pergrad_core::*;

use crate::support::values::{Real, Rng};

/// The kernels that have bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kernel {
    PerExampleGrad,
    Grad,
    Moments,
    BiasGrad,
    BiasMoments,
    Reduce,
    SqNorms,
    BiasSqNorms,
    Forward,
    InputGrad,
}

impl Kernel {
    pub(crate) const ALL: [Kernel; 10] = [
        Kernel::PerExampleGrad,
        Kernel::Grad,
        Kernel::Moments,
        Kernel::BiasGrad,
        Kernel::BiasMoments,
        Kernel::Reduce,
        Kernel::SqNorms,
        Kernel::BiasSqNorms,
        Kernel::Forward,
        Kernel::InputGrad,
    ];

    /// Factors in a term of the output with the most.
    fn degree(self, weighted: bool) -> i32 {
        let w = i32::from(weighted);
        match self {
            Kernel::PerExampleGrad | Kernel::Grad => 2 + w,
            Kernel::Forward | Kernel::InputGrad | Kernel::Reduce => 2,
            Kernel::BiasGrad => 1 + w,
            Kernel::BiasMoments | Kernel::BiasSqNorms => 2 + 2 * w,
            Kernel::Moments | Kernel::SqNorms => 4 + 2 * w,
        }
    }

    /// Whether it sums squares.
    fn has_squares(self) -> bool {
        use Kernel::*;
        matches!(self, Moments | BiasMoments | Reduce | SqNorms | BiasSqNorms)
    }

    /// Lengths of the outputs.
    fn lens(self, Dims { batch, steps, outputs, inputs }: Dims) -> Vec<usize> {
        match self {
            Kernel::PerExampleGrad => vec![batch * outputs * inputs],
            Kernel::Grad => vec![outputs * inputs],
            Kernel::Moments => vec![outputs * inputs; 2],
            Kernel::BiasGrad => vec![outputs],
            Kernel::BiasMoments => vec![outputs; 2],
            Kernel::Reduce => vec![inputs; 2],
            Kernel::SqNorms | Kernel::BiasSqNorms => vec![batch],
            Kernel::Forward => vec![batch * steps * outputs],
            Kernel::InputGrad => vec![batch * steps * inputs],
        }
    }
}

/// What the values do along the sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hard {
    /// Magnitudes and signs at random, products from below the subnormal numbers to near overflow.
    Spread,
    /// One sign, and the sum of magnitudes within a few powers of two of overflow.
    Huge,
    /// Products subnormal or near it.
    Tiny,
    /// One factor subnormal, the others large.
    Subnormal,
    /// Terms in pairs that cancel but for the last digits.
    Cancelling,
    Ascending,
    Descending,
    /// A 1, then terms of half a unit in its last place, all of which are lost.
    Stagnating,
}

impl Hard {
    pub(crate) const ALL: [Hard; 8] = [
        Hard::Spread,
        Hard::Huge,
        Hard::Tiny,
        Hard::Subnormal,
        Hard::Cancelling,
        Hard::Ascending,
        Hard::Descending,
        Hard::Stagnating,
    ];
}

/// What a kernel is given. `x` are the rows of `reduce`, `weights` the bias of `forward`.
#[derive(Debug, Clone)]
pub(crate) struct Problem<T> {
    pub(crate) dims: Dims,
    pub(crate) fold: Fold,
    pub(crate) x: Vec<T>,
    pub(crate) dy: Vec<T>,
    pub(crate) weight: Vec<T>,
    pub(crate) weights: Option<Vec<T>>,
    /// What the outputs hold before.
    pub(crate) before: Vec<Vec<T>>,
}

/// Where a value stands: its place in the sum, its place beside that, and whether it is the factor
/// that makes the sum hard.
type At = (usize, usize, bool);

/// Draws values of one kind for one kernel.
struct Draw {
    kernel: Kernel,
    hard: Hard,
    seed: u64,
    /// Exponents between which products neither overflow nor vanish.
    low: i32,
    high: i32,
    /// Of factors whose product is subnormal.
    tiny: i32,
    /// Terms of the sum.
    terms: usize,
}

impl Draw {
    fn value<T: Real>(&self, array: u64, (k, other, carries): At) -> T {
        let mut any = Rng::new(self.seed ^ array ^ ((k as u64) << 24) ^ ((other as u64) << 44));
        let rng = &mut any;
        // The same all along the sum, and in both of a pair.
        let beside = &mut Rng::new(self.seed ^ array ^ ((other as u64) << 44));
        let pair =
            &mut Rng::new(self.seed ^ array ^ ((k as u64 / 2) << 24) ^ ((other as u64) << 44));
        let fraction = T::FRACTION as i32;
        let ordered = |rng: &mut Rng, k: usize| {
            let exponent = fraction / 2 - (2 * fraction * k as i32) / self.terms as i32;
            rng.with_exponent(exponent, exponent)
        };
        match self.hard {
            Hard::Spread => rng.with_exponent(self.low, self.high),
            Hard::Huge => rng.with_exponent::<T>(self.high - 1, self.high).magnitude(),
            Hard::Tiny => rng.with_exponent(self.tiny - 2, self.tiny + 2),
            Hard::Subnormal if carries => rng.with_exponent(-T::BIAS, -T::BIAS),
            Hard::Subnormal => rng.with_exponent(-2, self.high.min(fraction)),
            Hard::Cancelling if carries => {
                let value: T = pair.with_exponent(-2, 2);
                if k % 2 == 0 { value } else { T::from_bits((-value).bits() ^ rng.below(4) as u64) }
            }
            Hard::Ascending if carries => ordered(rng, self.terms - 1 - k),
            Hard::Descending if carries => ordered(rng, k),
            Hard::Cancelling | Hard::Ascending | Hard::Descending => beside.with_exponent(-2, 2),
            Hard::Stagnating if !carries || k == 0 => T::ONE,
            Hard::Stagnating => lost(self.kernel),
        }
    }
}

/// Half a unit in the last place of 1, or its root (or just below) where squares are summed.
fn lost<T: Real>(kernel: Kernel) -> T {
    let half_unit = T::from_f64(f64::exp2(-f64::from(T::FRACTION + 1)));
    if kernel.has_squares() {
        let root = half_unit.sqrt();
        if root * root > half_unit { T::from_bits(root.bits() - 1) } else { root }
    } else {
        half_unit
    }
}

impl<T: Real> Problem<T> {
    pub(crate) fn new(
        kernel: Kernel,
        hard: Hard,
        dims: Dims,
        weighted: bool,
        fold: Fold,
        seed: u64,
    ) -> Self {
        let Dims { batch, steps, outputs, inputs } = dims;
        let rows = batch * steps;
        let terms = match kernel {
            Kernel::Forward => inputs,
            Kernel::InputGrad => outputs,
            Kernel::SqNorms => outputs * inputs,
            Kernel::BiasSqNorms => outputs,
            Kernel::Reduce => batch,
            _ => rows,
        }
        .max(1);
        // Squares of sums over the steps, and what the output holds, count as well.
        let most = ((terms + 1) * steps.max(1) * steps.max(1)).next_power_of_two();
        let degree = kernel.degree(weighted);
        let high = (T::BIAS - 2 - most.ilog2() as i32) / degree - 1;
        let low = (-T::BIAS - T::FRACTION as i32) / degree;
        let tiny = (-T::BIAS - T::FRACTION as i32 / 2) / degree;
        let draw = Draw { kernel, hard, seed: seed << 3, low, high, tiny, terms };
        // [rows, columns], summed along the columns or along the rows.
        let matrix =
            |array: u64, rows: usize, columns: usize, along_columns: bool, carries: bool| {
                (0..rows * columns)
                    .map(|n| {
                        let (row, column) = (n / columns, n % columns);
                        let (k, other) = if along_columns { (column, row) } else { (row, column) };
                        draw.value(array, (k, other, carries))
                    })
                    .collect::<Vec<T>>()
            };
        use Kernel::*;
        let bias = matches!(kernel, BiasGrad | BiasMoments | BiasSqNorms);
        let x_columns = matches!(kernel, SqNorms | Forward);
        let dy_columns = matches!(kernel, SqNorms | BiasSqNorms | InputGrad);
        let dy_carries = bias || kernel == InputGrad;
        let lens = kernel.lens(dims);
        let before = lens.iter().enumerate().map(|(output, &len)| {
            // Of the magnitude of a term.
            let squares = kernel.has_squares() && (output == 1 || lens.len() == 1);
            let factors = if squares || !kernel.has_squares() { degree } else { (degree + 1) / 2 };
            let value = |n| {
                let factor = |f: u64| draw.value(5 + f, (0, n, f == 0));
                let value = (1..factors as u64).fold(factor(0), |value: T, f| value * factor(f));
                if squares { value.magnitude() } else { value }
            };
            (0..len).map(value).collect()
        });
        Problem {
            dims,
            fold,
            x: matrix(
                1,
                if kernel == Reduce { batch } else { rows },
                inputs,
                x_columns,
                !dy_carries,
            ),
            dy: matrix(2, rows, outputs, dy_columns, dy_carries),
            weight: matrix(3, outputs, inputs, kernel == Forward, false),
            weights: weighted.then(|| match kernel {
                Forward => matrix(4, outputs, 1, true, false),
                _ => matrix(4, batch, 1, false, false),
            }),
            before: before.collect(),
        }
    }

    fn batch(&self) -> Batch<'_, T> {
        let batch = Batch::new(self.dims, &self.x, &self.dy);
        match &self.weights {
            Some(c) => batch.with_example_weights(c),
            None => batch,
        }
    }

    /// The kernel's outputs, on an instruction set or (with none) by the plain loops.
    pub(crate) fn run(&self, kernel: Kernel, isa: Option<Isa>) -> Vec<Vec<T>> {
        let (batch, fold, dims) = (self.batch(), self.fold, self.dims);
        let (from, bias) = (fold.start, self.weights.as_deref());
        let mut outputs = self.before.clone();
        let mut rest = outputs.iter_mut();
        let out: &mut [T] = rest.next().expect("an output");
        let sq: &mut [T] = rest.next().map_or(&mut [], |sq| sq);
        let scratch = &mut vec![T::ZERO; scratch_len(dims)];
        let (x, dy, weight) = (&self.x, &self.dy, &self.weight);
        match (kernel, isa) {
            (Kernel::PerExampleGrad, Some(isa)) => per_example_grad(isa, &batch, out),
            (Kernel::PerExampleGrad, None) => reference::per_example_grad(&batch, out),
            (Kernel::Grad, Some(isa)) => grad(isa, &batch, fold, out, scratch),
            (Kernel::Grad, None) => reference::grad(&batch, fold, out),
            (Kernel::Moments, Some(isa)) => moments(isa, &batch, fold, out, sq, scratch),
            (Kernel::Moments, None) => reference::moments(&batch, fold, out, sq),
            (Kernel::BiasGrad, Some(isa)) => bias_grad(isa, &batch, fold, out),
            (Kernel::BiasGrad, None) => reference::bias_grad(&batch, fold, out),
            (Kernel::BiasMoments, Some(isa)) => bias_moments(isa, &batch, fold, out, sq),
            (Kernel::BiasMoments, None) => reference::bias_moments(&batch, fold, out, sq),
            (Kernel::Reduce, Some(isa)) => reduce(isa, x, dims.batch, fold, out, sq),
            (Kernel::Reduce, None) => reference::reduce(x, dims.batch, fold, out, sq),
            (Kernel::SqNorms, Some(isa)) => sq_norms(isa, &batch, from, out),
            (Kernel::SqNorms, None) => reference::sq_norms(&batch, from, out),
            (Kernel::BiasSqNorms, Some(isa)) => bias_sq_norms(isa, &batch, from, out),
            (Kernel::BiasSqNorms, None) => reference::bias_sq_norms(&batch, from, out),
            (Kernel::Forward, Some(isa)) => forward(isa, dims, x, weight, bias, from, out),
            (Kernel::Forward, None) => reference::forward(dims, x, weight, bias, from, out),
            (Kernel::InputGrad, Some(isa)) => input_grad(isa, dims, dy, weight, from, out),
            (Kernel::InputGrad, None) => reference::input_grad(dims, dy, weight, from, out),
        }
        .expect("lengths fit");
        outputs
    }
}
