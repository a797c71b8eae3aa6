//! The data: 1 797 handwritten digits of 8 x 8 pixels, carried in the binary.

use std::io::Read;

use flate2::read::GzDecoder;
use pergrad::Tensor;

use crate::Result;

/// See data/README.md for the source and the licence.
const DIGITS: &[u8] = include_bytes!("../../data/digits.csv.gz");

/// Pixels of an image.
pub const PIXELS: usize = 64;
/// Digits there are.
pub const CLASSES: usize = 10;

/// Every how many images one is held out. Not a divisor of 10: the digits come in turn for long
/// stretches.
const HELD_OUT: usize = 7;

/// Images and what they show.
pub struct Digits {
    /// `[n, 64]`, pixels between 0 and 1.
    pub images: Tensor<f32>,
    /// The digit of each image.
    pub labels: Vec<usize>,
}

impl Digits {
    /// How many.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Those with these indices, in this order.
    pub fn pick(&self, indices: &[usize]) -> Result<Digits> {
        let labels = indices.iter().map(|&k| self.labels[k]).collect();
        Ok(Digits { images: self.images.select_rows(indices)?, labels })
    }
}

/// The digits to train on and those to test on. The split is by index: of every seven images in a
/// row the first is held out, which leaves 1 540 to train on and 257 to test on.
pub fn load() -> Result<(Digits, Digits)> {
    let mut csv = String::new();
    GzDecoder::new(DIGITS).read_to_string(&mut csv)?;
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for line in csv.lines() {
        let mut numbers = line.split(',').map(str::parse::<u8>);
        for pixel in numbers.by_ref().take(PIXELS) {
            pixels.push(f32::from(pixel?) / 16.0);
        }
        labels.push(usize::from(numbers.next().ok_or("a line without a label")??));
    }
    let all = Digits { images: Tensor::from_vec(&[labels.len(), PIXELS], pixels)?, labels };
    let (test, train): (Vec<_>, Vec<_>) = (0..all.len()).partition(|k| k % HELD_OUT == 0);
    Ok((all.pick(&train)?, all.pick(&test)?))
}
