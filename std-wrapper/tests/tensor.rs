//! Tensors: every constructor checks, and a refused call changes nothing.

use pergrad::{Error, Tensor};

#[test]
fn contents_and_shape() {
    let t = Tensor::from_vec(&[2, 3], vec![0.0f32, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
    assert_eq!(t, Tensor::from_fn(&[2, 3], |k| k as f32).unwrap());
    assert_eq!(t, Tensor::from_slice(&[2, 3], t.as_slice()).unwrap());
    assert_ne!(t, Tensor::from_slice(&[3, 2], t.as_slice()).unwrap());
    assert_ne!(t, Tensor::filled(&[2, 3], 1.0).unwrap());
    assert_eq!((t.shape(), t.len(), t.is_empty()), (&[2, 3][..], 6, false));
    assert_eq!(t.row(0), Some(&[0.0, 1.0, 2.0][..]));
    assert_eq!((t.row(2), t.rows().len()), (None, 2));
    assert_eq!(t.clone().into_vec(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(format!("{t:?}"), "Tensor [2, 3] [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]");
    let long = Tensor::<f64>::zeros(&[100]).unwrap();
    assert!(format!("{long:?}").ends_with("0.0, ..]"));
}

#[test]
fn memory_is_aligned_and_a_clone_is_its_own() {
    for n in [0, 1, 7, 100, 1 << 19, (1 << 19) + 3] {
        let mut t = Tensor::<f32>::filled(&[n], 2.0).unwrap();
        let copy = t.clone();
        for tensor in [&t, &copy] {
            // Large ones start somewhere in the first page of a huge page.
            let (align, page) = if n >= 1 << 19 { (2 << 20, 4 << 10) } else { (64, 64) };
            let start = tensor.as_slice().as_ptr() as usize;
            assert!(start.is_multiple_of(64) && start % align < page, "{n}");
        }
        t.as_mut_slice().fill(3.0);
        assert!(copy.as_slice().iter().all(|&v| v == 2.0));
        assert!(t.as_slice().iter().all(|&v| v == 3.0));
    }
}

#[test]
fn empty_and_rankless() {
    let scalar = Tensor::filled(&[], 4.0f64).unwrap();
    assert_eq!((scalar.len(), scalar.row(0), scalar.rows().len()), (1, None, 0));
    let no_columns = Tensor::<f32>::zeros(&[3, 0]).unwrap();
    assert!(no_columns.is_empty());
    assert_eq!((no_columns.rows().len(), no_columns.row(2)), (3, Some(&[][..])));
    let no_rows = Tensor::<f32>::zeros(&[0, 3]).unwrap();
    assert_eq!((no_rows.rows().len(), no_rows.row(0)), (0, None));
    assert_eq!(no_rows.select_rows(&[]).unwrap(), no_rows);
    assert!(scalar.select_rows(&[0]).is_err());
}

#[test]
fn lengths_must_match() {
    let want = Error::Elements { arg: "values", got: 5, shape: vec![2, 3], need: 6 };
    assert_eq!(Tensor::from_vec(&[2, 3], vec![0.0f32; 5]), Err(want.clone()));
    assert_eq!(Tensor::from_slice(&[2, 3], &[0.0f32; 5]), Err(want));
    let mut t = Tensor::from_fn(&[2, 3], |k| k as f32).unwrap();
    let before = t.clone();
    let e = t.reshape(&[5]).unwrap_err();
    assert_eq!(e.to_string(), "`self` has 6 elements, the shape [5] needs 5");
    assert_eq!(t, before);
    t.reshape(&[6]).unwrap();
    assert_eq!(t.as_slice(), before.as_slice());
    let e = t.select_rows(&[0, 6]).unwrap_err();
    assert_eq!(e.to_string(), "`indices` is 6, it must be less than 6");
}

#[test]
fn extents_must_not_overflow() {
    let huge = usize::MAX / 2 + 1;
    for shape in [&[huge, 2][..], &[2, huge, 0], &[0, huge, 2], &[huge], &[1 << 40, 1 << 40]] {
        let want = Error::TooLarge { shape: shape.to_vec() };
        assert_eq!(Tensor::<f32>::zeros(shape), Err(want.clone()));
        assert_eq!(Tensor::filled(shape, 1.0f64), Err(want.clone()));
        assert_eq!(Tensor::<f32>::from_vec(shape, vec![]), Err(want.clone()));
        assert_eq!(Tensor::<f32>::from_slice(shape, &[]), Err(want.clone()));
        assert_eq!(Tensor::<f32>::from_fn(shape, |_| unreachable!()), Err(want.clone()));
        assert_eq!(Tensor::<f32>::zeros(&[0]).unwrap().reshape(shape), Err(want));
    }
    // Addressable, but more than any machine has.
    assert!(matches!(Tensor::<f64>::zeros(&[1 << 57]), Err(Error::Memory { .. })));
}
