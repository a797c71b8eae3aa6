//! Inner loops that a backend may bring in assembly, and what they are given.

/// The loops; each has the bits of the generic one whose place it takes.
#[derive(Clone, Copy)]
pub(crate) struct Loops<T> {
    /// Tiles of `grad`, one or two rows of [`Self::COLUMNS`].
    pub(crate) grad: [unsafe extern "C" fn(&TileLoop<T>); 2],
    /// Tiles of `moments` with one step, one or two rows of [`Self::COLUMNS`].
    pub(crate) moments: [unsafe extern "C" fn(&TileLoop<T>); 2],
    /// `lane[l] = fma(w[k], x[k], lane[l])`: `x`, `w`, how many times 16 elements, the 16 lanes.
    pub(crate) dot: unsafe extern "C" fn(*const T, *const T, usize, *mut T),
    /// Adam, in the form in which it is mostly used.
    pub(crate) adam: unsafe extern "C" fn(&AdamLoop<T>),
}

impl<T> Loops<T> {
    /// Columns of the tiles.
    pub(crate) const COLUMNS: usize = 4;
}

/// A tile. (The order of fields is known to the assembly.)
#[repr(C)]
pub(crate) struct TileLoop<T> {
    pub(crate) x: *const T,
    /// Bytes from one row of `x` to the next.
    pub(crate) x_stride: usize,
    pub(crate) dy: *const T,
    /// Bytes from one row of `dy` to the next.
    pub(crate) dy_stride: usize,
    /// Bytes from the first row's `dy` to the second's.
    pub(crate) dy_row: usize,
    /// `(b, t)` to fold.
    pub(crate) depth: usize,
    /// The sums, row by row; read and written.
    pub(crate) sum: *mut T,
    /// The sums of squares; not looked at by `grad`.
    pub(crate) sum_sq: *mut T,
    /// Multiplies `dy`, rounded; 1 does nothing.
    pub(crate) weight: T,
}

/// Adam over `n` parameters without AMSGrad, Nesterov and coupled decay. (The order of fields is known to
/// the assembly.)
#[repr(C)]
pub(crate) struct AdamLoop<T> {
    pub(crate) n: usize,
    pub(crate) params: *mut T,
    pub(crate) exp_avg: *mut T,
    pub(crate) exp_avg_sq: *mut T,
    pub(crate) grad: *const T,
    /// Null for the square of the gradient.
    pub(crate) second: *const T,
    /// Whether `minus_decay` counts.
    pub(crate) decayed: usize,
    pub(crate) alpha: T,
    pub(crate) alpha_sq: T,
    pub(crate) scale_sq: T,
    pub(crate) eps_inside: T,
    pub(crate) eps_outside: T,
    pub(crate) minus_step: T,
    pub(crate) minus_decay: T,
}
