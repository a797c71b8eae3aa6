//! An owning array with a checked shape.

use std::fmt;

use pergrad_core::Element;

use crate::Error;
use crate::memory::Buffer;

/// A row-major array of any rank that owns its elements.
///
/// The memory begins at a 64-byte boundary; large arrays start at different places of a page, so that those
/// gone through together do not contend for the same lines of the cache, and from 2 MiB on Linux is advised to
/// use huge pages. The length of the data always is the product of the extents.
///
/// ```
/// use pergrad::Tensor;
/// let mut t = Tensor::from_vec(&[2, 3], vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// assert_eq!(t.row(1), Some(&[4.0, 5.0, 6.0][..]));
/// t.reshape(&[3, 2])?;
/// assert_eq!((t.shape(), t.len()), (&[3, 2][..], 6));
/// assert!(t.reshape(&[4, 2]).is_err()); // and it is as it was
/// # Ok::<(), pergrad::Error>(())
/// ```
#[derive(Clone)]
pub struct Tensor<T> {
    shape: Box<[usize]>,
    data: Buffer<T>,
}

/// The product of the extents, refused if such an array could not be addressed even in `f64`. A zero
/// extent does not hide an overflow of the others.
fn elements(shape: &[usize]) -> Result<usize, Error> {
    let most = isize::MAX as usize / 8;
    let nonzero = shape.iter().try_fold(1usize, |all, &n| all.checked_mul(n.max(1)));
    match nonzero {
        Some(n) if n <= most => Ok(if shape.contains(&0) { 0 } else { n }),
        _ => Err(Error::TooLarge { shape: shape.to_vec() }),
    }
}

impl<T: Element> Tensor<T> {
    /// All zeros.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if the extents multiply to more than the address space holds,
    /// [`Error::Memory`] if there is no memory.
    ///
    /// ```
    /// use pergrad::Tensor;
    /// assert_eq!(Tensor::<f32>::zeros(&[2, 2])?.as_slice(), [0.0; 4]);
    /// assert!(Tensor::<f32>::zeros(&[usize::MAX, 2]).is_err());
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn zeros(shape: &[usize]) -> Result<Self, Error> {
        Ok(Tensor { data: Buffer::zeroed(elements(shape)?)?, shape: shape.into() })
    }

    /// All equal to `value`.
    ///
    /// # Errors
    /// As [`Tensor::zeros`].
    ///
    /// ```
    /// assert_eq!(pergrad::Tensor::filled(&[2], 0.5f64)?.as_slice(), [0.5; 2]);
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn filled(shape: &[usize], value: T) -> Result<Self, Error> {
        let mut tensor = Self::zeros(shape)?;
        tensor.data.fill(value);
        Ok(tensor)
    }

    /// Each element from its flat, row-major index.
    ///
    /// # Errors
    /// As [`Tensor::zeros`].
    ///
    /// ```
    /// let t = pergrad::Tensor::from_fn(&[2, 2], |k| k as f32)?;
    /// assert_eq!(t.as_slice(), [0.0, 1.0, 2.0, 3.0]);
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn from_fn(shape: &[usize], mut f: impl FnMut(usize) -> T) -> Result<Self, Error> {
        let mut tensor = Self::zeros(shape)?;
        for (k, v) in tensor.data.iter_mut().enumerate() {
            *v = f(k);
        }
        Ok(tensor)
    }

    /// A copy of `values`, row-major.
    ///
    /// # Errors
    /// As [`Tensor::zeros`], and [`Error::Elements`] if there are more or fewer than the shape has.
    ///
    /// ```
    /// use pergrad::Tensor;
    /// let e = Tensor::from_slice(&[2, 2], &[1.0f32; 3]).unwrap_err();
    /// assert_eq!(e.to_string(), "`values` has 3 elements, the shape [2, 2] needs 4");
    /// ```
    pub fn from_slice(shape: &[usize], values: &[T]) -> Result<Self, Error> {
        let (got, need) = (values.len(), elements(shape)?);
        if got != need {
            return Err(Error::Elements { arg: "values", got, shape: shape.to_vec(), need });
        }
        Ok(Tensor { data: Buffer::copied(values)?, shape: shape.into() })
    }

    /// The elements of `values`, row-major. They are copied, for the alignment.
    ///
    /// # Errors
    /// As [`Tensor::from_slice`].
    ///
    /// ```
    /// let t = pergrad::Tensor::from_vec(&[3], vec![1.0f32, 2.0, 3.0])?;
    /// assert_eq!(t.into_vec(), [1.0, 2.0, 3.0]);
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn from_vec(shape: &[usize], values: Vec<T>) -> Result<Self, Error> {
        Self::from_slice(shape, &values)
    }

    /// The rows (see [`Tensor::row`]) with these indices, in this order: a batch from a data set.
    ///
    /// # Errors
    /// [`Error::Index`] for an index that is not a row; [`Error::Shape`] for a tensor without axes; as
    /// [`Tensor::zeros`].
    ///
    /// ```
    /// use pergrad::Tensor;
    /// let t = Tensor::from_fn(&[3, 2], |k| k as f32)?;
    /// let picked = t.select_rows(&[2, 0, 2])?;
    /// assert_eq!(picked, Tensor::from_slice(&[3, 2], &[4.0, 5.0, 0.0, 1.0, 4.0, 5.0])?);
    /// assert!(t.select_rows(&[3]).is_err());
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn select_rows(&self, indices: &[usize]) -> Result<Self, Error> {
        let [rows, rest @ ..] = self.shape() else {
            let need = "at least one axis".into();
            return Err(Error::Shape { arg: "self", got: Vec::new(), need });
        };
        if let Some(&got) = indices.iter().find(|&&k| k >= *rows) {
            return Err(Error::Index { arg: "indices", got, need: *rows });
        }
        let shape: Vec<usize> = [indices.len()].iter().chain(rest).copied().collect();
        let mut picked = Self::zeros(&shape)?;
        let width = self.row_len();
        for (n, &k) in indices.iter().enumerate() {
            let row = &self.data[k * width..(k + 1) * width];
            picked.data[n * width..(n + 1) * width].copy_from_slice(row);
        }
        Ok(picked)
    }
}

impl<T> Tensor<T> {
    /// The extents.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of elements, the product of the extents.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The elements, row-major.
    pub fn as_slice(&self) -> &[T] {
        &self.data
    }

    /// The elements, row-major.
    ///
    /// ```
    /// let mut t = pergrad::Tensor::<f32>::zeros(&[2])?;
    /// t.as_mut_slice()[1] = 3.0;
    /// assert_eq!(t.as_slice(), [0.0, 3.0]);
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.data
    }

    /// The elements, row-major. They are copied: a `Vec` cannot own memory of this alignment.
    pub fn into_vec(self) -> Vec<T>
    where
        T: Clone,
    {
        self.data.to_vec()
    }

    /// Elements of a row: the product of all extents but the first.
    fn row_len(&self) -> usize {
        self.shape.first().map_or(0, |&n| self.len().checked_div(n).unwrap_or(0))
    }

    /// All elements with index `index` along the first axis; none if there is no such index or no
    /// axis.
    pub fn row(&self, index: usize) -> Option<&[T]> {
        let width = self.row_len();
        (index < *self.shape.first()?).then(|| &self.data[index * width..(index + 1) * width])
    }

    /// The same, mutable.
    ///
    /// ```
    /// let mut t = pergrad::Tensor::<f32>::zeros(&[2, 2])?;
    /// t.row_mut(1).unwrap().fill(1.0);
    /// assert_eq!(t.as_slice(), [0.0, 0.0, 1.0, 1.0]);
    /// assert!(t.row_mut(2).is_none());
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn row_mut(&mut self, index: usize) -> Option<&mut [T]> {
        let width = self.row_len();
        (index < *self.shape.first()?).then(|| &mut self.data[index * width..(index + 1) * width])
    }

    /// The rows in order: as many as the first extent.
    ///
    /// ```
    /// let t = pergrad::Tensor::from_fn(&[2, 3], |k| k as f64)?;
    /// assert_eq!(t.rows().map(|row| row.iter().sum()).collect::<Vec<f64>>(), [3.0, 12.0]);
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[T]> {
        let width = self.row_len();
        let rows = self.shape.first().copied().unwrap_or(0);
        (0..rows).map(move |k| &self.data[k * width..(k + 1) * width])
    }

    /// Gives the same elements another shape.
    ///
    /// # Errors
    /// [`Error::Elements`] if that shape has more or fewer elements, [`Error::TooLarge`]; the tensor is
    /// then as it was.
    pub fn reshape(&mut self, shape: &[usize]) -> Result<(), Error> {
        let (got, need) = (self.len(), elements(shape)?);
        if got != need {
            return Err(Error::Elements { arg: "self", got, shape: shape.to_vec(), need });
        }
        self.shape = shape.into();
        Ok(())
    }

    /// Refuses a shape other than `need`.
    pub(crate) fn check_shape(&self, arg: &'static str, need: &[usize]) -> Result<(), Error> {
        if self.shape() == need {
            Ok(())
        } else {
            Err(Error::Shape { arg, got: self.shape().to_vec(), need: format!("{need:?}") })
        }
    }
}

/// Equal shapes and equal elements (so that a NaN differs from itself).
impl<T: PartialEq> PartialEq for Tensor<T> {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape && *self.data == *other.data
    }
}

impl<T: fmt::Debug> fmt::Debug for Tensor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 16;
        write!(f, "Tensor {:?} ", self.shape)?;
        let mut list = f.debug_list();
        list.entries(self.data.iter().take(SHOWN));
        if self.len() > SHOWN { list.finish_non_exhaustive() } else { list.finish() }
    }
}
