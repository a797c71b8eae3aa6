//! To and from `ndarray`'s arrays (feature `ndarray`).

use ndarray::{ArrayBase, ArrayD, ArrayViewD, ArrayViewMutD, Data, Dimension, IxDyn};
use pergrad_core::Element;

use crate::{Error, Tensor};

/// A copy, of an array of any rank and layout.
///
/// # Errors
/// As [`Tensor::zeros`]: a broadcast view may stand for more elements than there is memory.
///
/// ```
/// use ndarray::array;
/// use pergrad::Tensor;
/// let a = array![[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]];
/// let t = Tensor::try_from(&a.t())?; // transposed: neither contiguous nor row-major
/// assert_eq!(t, Tensor::from_slice(&[3, 2], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0])?);
/// # Ok::<(), pergrad::Error>(())
/// ```
impl<T: Element, S: Data<Elem = T>, D: Dimension> TryFrom<&ArrayBase<S, D>> for Tensor<T> {
    type Error = Error;

    fn try_from(array: &ArrayBase<S, D>) -> Result<Self, Error> {
        if let Some(values) = array.as_slice() {
            return Tensor::from_slice(array.shape(), values);
        }
        let mut values = array.iter();
        Tensor::from_fn(array.shape(), |_| values.next().copied().unwrap_or_default())
    }
}

/// A copy, in the standard layout.
///
/// ```
/// use ndarray::{Array2, ArrayD};
/// use pergrad::Tensor;
/// let array = ArrayD::from(Tensor::filled(&[2, 3], 0.5f64)?);
/// assert_eq!(array, Array2::from_elem((2, 3), 0.5).into_dyn());
/// # Ok::<(), pergrad::Error>(())
/// ```
impl<T: Element> From<Tensor<T>> for ArrayD<T> {
    fn from(tensor: Tensor<T>) -> Self {
        ArrayViewD::from(&tensor).to_owned()
    }
}

/// The elements in place.
///
/// ```
/// use ndarray::{ArrayViewD, Axis};
/// use pergrad::Tensor;
/// let t = Tensor::from_slice(&[2, 2], &[1.0f32, 2.0, 3.0, 4.0])?;
/// let view = ArrayViewD::from(&t);
/// assert_eq!(view.sum_axis(Axis(0)).into_raw_vec_and_offset().0, [4.0, 6.0]);
/// # Ok::<(), pergrad::Error>(())
/// ```
impl<'a, T> From<&'a Tensor<T>> for ArrayViewD<'a, T> {
    fn from(tensor: &'a Tensor<T>) -> Self {
        ArrayViewD::from_shape(IxDyn(tensor.shape()), tensor.as_slice())
            .unwrap_or_else(|_| unreachable!("a tensor has as many elements as its shape"))
    }
}

/// The elements in place, mutable.
///
/// ```
/// use ndarray::ArrayViewMutD;
/// use pergrad::Tensor;
/// let mut t = Tensor::from_slice(&[2], &[1.0f32, 2.0])?;
/// ArrayViewMutD::from(&mut t).mapv_inplace(|v| 2.0 * v);
/// assert_eq!(t.as_slice(), [2.0, 4.0]);
/// # Ok::<(), pergrad::Error>(())
/// ```
impl<'a, T> From<&'a mut Tensor<T>> for ArrayViewMutD<'a, T> {
    fn from(tensor: &'a mut Tensor<T>) -> Self {
        let shape = IxDyn(tensor.shape());
        ArrayViewMutD::from_shape(shape, tensor.as_mut_slice())
            .unwrap_or_else(|_| unreachable!("a tensor has as many elements as its shape"))
    }
}
