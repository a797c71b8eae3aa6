//! The matrix products of other crates behind one face, each on one thread and by its best path:
//! `gemm` is built with `x86-v4` and `faer` with the feature it calls `nightly` (both build on stable
//! today), without which they would stop at AVX2; `matrixmultiply` is built with `avx512`. All detect
//! the CPU at run time. `ndarray` hands products to `matrixmultiply` but the smallest.

use crate::real::Real;

/// A matrix in a slice, row-major or transposed.
#[derive(Clone, Copy)]
pub struct Mat<'a, T> {
    data: &'a [T],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a, T> Mat<'a, T> {
    /// `data` as `rows x cols`, row-major.
    ///
    /// # Panics
    /// If the length is another.
    pub fn new(data: &'a [T], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols);
        Mat { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// Transposed, without moving anything.
    pub fn t(self) -> Self {
        let Mat { data, rows, cols, row_stride, col_stride } = self;
        Mat { data, rows: cols, cols: rows, row_stride: col_stride, col_stride: row_stride }
    }

    fn strides(&self) -> [isize; 2] {
        [self.row_stride as isize, self.col_stride as isize]
    }
}

/// A crate that multiplies matrices.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Product {
    /// `gemm` 0.19.
    Gemm,
    /// `faer` 0.24.
    Faer,
    /// `matrixmultiply` 0.3.
    Matrixmultiply,
    /// `ndarray` 0.17.
    Ndarray,
}

impl Product {
    /// All of them.
    pub const ALL: [Product; 4] =
        [Product::Gemm, Product::Faer, Product::Matrixmultiply, Product::Ndarray];

    /// The crate's name.
    pub fn name(self) -> &'static str {
        match self {
            Product::Gemm => "gemm",
            Product::Faer => "faer",
            Product::Matrixmultiply => "matrixmultiply",
            Product::Ndarray => "ndarray",
        }
    }

    /// `c = a b`, `c` row-major and overwritten.
    ///
    /// # Panics
    /// If the extents do not fit.
    pub fn run<T: Real>(self, a: Mat<'_, T>, b: Mat<'_, T>, c: &mut [T]) {
        let (m, k, n) = (a.rows, a.cols, b.cols);
        assert_eq!((b.rows, c.len()), (k, m * n));
        match self {
            // SAFETY: extents and strides stay inside the slices, as checked above and by `Mat`; `T`
            // is f32 or f64, which gemm knows.
            Product::Gemm => unsafe {
                gemm::gemm(
                    m,
                    n,
                    k,
                    c.as_mut_ptr(),
                    1,
                    n as isize,
                    false,
                    a.data.as_ptr(),
                    a.col_stride as isize,
                    a.row_stride as isize,
                    b.data.as_ptr(),
                    b.col_stride as isize,
                    b.row_stride as isize,
                    T::ZERO,
                    T::ONE,
                    false,
                    false,
                    false,
                    gemm::Parallelism::None,
                );
            },
            Product::Faer => faer::linalg::matmul::matmul(
                faer::MatMut::from_row_major_slice_mut(c, m, n),
                faer::Accum::Replace,
                faer_view(a),
                faer_view(b),
                T::ONE,
                faer::Par::Seq,
            ),
            // SAFETY: extents and strides stay inside the slices, as checked above and by `Mat`.
            Product::Matrixmultiply => unsafe {
                T::matrixmultiply(
                    [m, k, n],
                    T::ONE,
                    a.data.as_ptr(),
                    a.strides(),
                    b.data.as_ptr(),
                    b.strides(),
                    T::ZERO,
                    c.as_mut_ptr(),
                    [n as isize, 1],
                );
            },
            Product::Ndarray => {
                let mut c = ndarray::ArrayViewMut2::from_shape((m, n), c).expect("checked above");
                let (a, b) = (ndarray_view(a), ndarray_view(b));
                ndarray::linalg::general_mat_mul(T::ONE, &a, &b, T::ZERO, &mut c);
            }
        }
    }
}

fn faer_view<T: Real>(a: Mat<'_, T>) -> faer::MatRef<'_, T> {
    if a.col_stride == 1 {
        faer::MatRef::from_row_major_slice(a.data, a.rows, a.cols)
    } else {
        faer::MatRef::from_row_major_slice(a.data, a.cols, a.rows).transpose()
    }
}

fn ndarray_view<T: Real>(a: Mat<'_, T>) -> ndarray::ArrayView2<'_, T> {
    use ndarray::ShapeBuilder;
    let shape = (a.rows, a.cols).strides((a.row_stride, a.col_stride));
    ndarray::ArrayView2::from_shape(shape, a.data).expect("`Mat` stays inside its slice")
}
