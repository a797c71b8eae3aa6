//! The first pass of a step that may be refused: everything is computed, nothing is kept.
//!
//! Each thread copies a block of the parameters and of their state, steps the copy, and looks for results
//! that are not finite. Steps of rows do not depend on each other, so the copies become what the second
//! pass, in place, makes of the originals.

use std::ops::Range;

use pergrad_core::Element;

use super::rule::SLOTS;
use crate::Error;
use crate::memory::Buffer;
use crate::parallel::split;

/// Elements of an array in a block, unless a row is longer: four of them fit the second-level cache.
const BLOCK_LEN: usize = if cfg!(fuzzing) { 1 << 9 } else { 16 << 10 };

/// How the rows of a step are cut, as for [`split`].
#[derive(Clone, Copy)]
pub(super) struct Trial {
    pub(super) rows: usize,
    pub(super) work: usize,
    pub(super) granule: usize,
}

impl Trial {
    /// Refuses the step if it would leave anything in `arrays` that is not finite; the error has the
    /// lowest such index and, by that, the name. `step` steps copies of the rows that it is given.
    pub(super) fn run<T: Element>(
        self,
        arrays: [&[T]; 1 + SLOTS],
        name: impl Fn(usize) -> &'static str + Sync,
        step: impl Fn(Range<usize>, [&mut [T]; 1 + SLOTS]) -> Result<(), pergrad_core::Error> + Sync,
    ) -> Result<(), Error> {
        let Trial { rows, work, granule } = self;
        if arrays[0].is_empty() {
            return Ok(());
        }
        let widths = arrays.map(|array| array.len() / rows);
        let width = widths[0];
        let at_once = match BLOCK_LEN / width {
            few if few < granule => few.max(1),
            many => many / granule * granule,
        };
        split::<T, Error, 0>(rows, work, granule, [], |range, []| {
            let most = at_once.min(range.len());
            let mut copies = Buffer::<T>::zeroed(most * widths.iter().sum::<usize>())?;
            for start in range.clone().step_by(at_once) {
                let block = start..range.end.min(start + at_once);
                let mut free = &mut copies[..];
                let mut blocks: [&mut [T]; 1 + SLOTS] = Default::default();
                for (k, width) in widths.into_iter().enumerate() {
                    let part = &arrays[k][block.start * width..block.end * width];
                    let (copy, rest) = free.split_at_mut(part.len());
                    copy.copy_from_slice(part);
                    (blocks[k], free) = (copy, rest);
                }
                step(block, blocks.each_mut().map(|block| &mut **block))?;
                let bad = |block: &&mut [T]| block.iter().position(|v| !v.is_finite());
                if let Some(index) = blocks.iter().filter_map(bad).min() {
                    let index = start * width + index;
                    let refused = pergrad_core::Error::NonFinite { arg: name(index), index };
                    return Err(refused.into());
                }
            }
            Ok(())
        })
    }
}
