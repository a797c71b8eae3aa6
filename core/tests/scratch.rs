//! How much scratch memory is worth giving: pinned, since firmware lays it out at compile time. (Where there
//! are vectors; elsewhere it is none.)
#![cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]

use pergrad_core::{Dims, scratch_len};

/// The sums of a step of long batches: two for each of up to 120 rows, of up to 512 columns and 16 that are left
/// empty.
const SUMS: usize = 2 * (512 + 16);

/// Elements of a packed block of `x`, and of the rows of `dy` beside it, at most 256 KiB of `f32`.
#[test]
fn of_layers_that_are_packed() {
    let cases = [
        // All of x, columns rounded up to panels of 32, and 48 rows of dy.
        (Dims::new(5, 13, 512), 5 * (512 + 48)),
        (Dims::new(5, 13, 513), 5 * (544 + 48)),
        (Dims::new(32, 12, 1024), 32 * (1024 + 48)),
        (Dims::new(4, 12, 1024).with_steps(2), 8 * (1024 + 48)),
        // As many columns as fit.
        (Dims::new(255, 13, 1024), 255 * (256 * 1024 / 4 / 255 + 48)),
        // Blocks of 256 examples.
        (Dims::new(256, 13, 1024), 256 * (256 + 48)),
        (Dims::new(1_000_000, 12, 4096), 256 * (256 + 48) + 12 * SUMS),
        // dy of as many rows as are worth it, where it is read for several groups of columns.
        (Dims::new(255, 49, 1024), 255 * (256 * 1024 / 4 / 255 + 49)),
        (Dims::new(256, 1000, 1024), 256 * (256 + 1000)),
        (Dims::new(256, 1025, 1024), 256 * (256 + 1024)),
        // Of whole examples: 25 of 10 steps.
        (Dims::new(38, 12, 4096).with_steps(10), 250 * (256 * 1024 / 4 / 250 + 48)),
        (Dims::new(39, 12, 4096).with_steps(10), 250 * (256 * 1024 / 4 / 250 + 48) + 12 * SUMS),
        // One example is a block, however long, and one panel is the least.
        (Dims::new(2, 12, 4096).with_steps(300), 300 * (256 * 1024 / 4 / 300 + 48) + 12 * SUMS),
        (Dims::new(1, 12, 4096).with_steps(300), 300 * (256 * 1024 / 4 / 300 + 48)),
        (Dims::new(3, 12, 4096).with_steps(100_000), 100_000 * (32 + 48) + 12 * SUMS),
        // Short rows that are not whole lines of the cache.
        (Dims::new(32, 37, 33), 32 * (64 + 48)),
        (Dims::new(300, 37, 255), 256 * (256 + 48)),
        // Long batches of short rows, and of a few rows of output.
        (Dims::new(384, 11, 1024), 11 * SUMS),
        (Dims::new(384, 10, 64), 10 * 2 * (64 + 16)),
        (Dims::new(384, 200, 64), 120 * 2 * (64 + 16)),
        (Dims::new(384, 200, 65), 256 * (96 + 48) + 120 * 2 * (80 + 16)),
        // A few examples of larger layers: sums of 26 Ki elements, of whole tiles of rows, and of at most 4096 columns.
        (Dims::new(16, 1024, 1024), 16 * (1024 + 48) + 24 * (1024 + 16)),
        (Dims::new(16, 2, 65536), 2 * (4096 + 16)),
        (Dims::new(6, 2048, 64), 330 * (64 + 16)),
    ];
    for (dims, want) in cases {
        assert_eq!(scratch_len(dims), want, "{dims:?}");
    }
}

#[test]
fn nothing_for_short_or_few_rows_of_few_examples() {
    for dims in [
        Dims::new(383, 514, 240),
        Dims::new(5, 1000, 255),
        Dims::new(129, 10000, 240),
        Dims::new(31, 514, 255),
        Dims::new(383, 36, 255),
        Dims::new(383, 37, 32),
        Dims::new(383, 11, 1024),
        Dims::new(4, 1000, 4096),
        Dims::new(2, 1000, 4096).with_steps(2),
        Dims::new(1000, 1000, 4096).with_steps(0),
        Dims::new(0, 1000, 4096),
    ] {
        assert_eq!(scratch_len(dims), 0, "{dims:?}");
    }
}

/// Extents that no slice can have get an answer all the same, at compile time too.
#[test]
fn no_extents_are_too_large() {
    const MAX: usize = usize::MAX;
    const LEN: usize = scratch_len(Dims { batch: MAX, steps: MAX, outputs: MAX, inputs: MAX });
    assert_eq!(LEN, MAX);
    assert_eq!(scratch_len(Dims::new(MAX, MAX, MAX)), 256 * (256 + 1024) + 120 * SUMS);
}
