//! The sizes of tiles: how many rows and vectors there is room for in registers, and which tiles the rows of an
//! output are divided into.

use core::num::NonZeroUsize;

use super::plan::{BLOCK, CACHES, FEW_STEPS, PAGE};
use super::row::DEEP;
use super::tile::Source;
use crate::Element;
use crate::simd::Simd;

/// The sizes that a sweep needs to know of the tiles of an ISA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Columns of a panel: the width of a tile.
    pub panel: NonZeroUsize,
    /// Rows of a tile of `grad`, and of lower ones for what is left over.
    pub grad: [usize; 3],
    /// Rows of a tile of `moments`.
    pub moments: usize,
    /// Rows of a tile of the `moments` of sequences: of long ones, of two examples at a time, of short ones, and of a lower
    /// one for what is left over.
    pub sequence: [usize; 4],
    /// Steps from which on sequences are long: all of the sums in memory can wait while an example is gone through.
    pub long: usize,
    /// Registers that hold a vector.
    pub registers: usize,
    /// Whether the CPU is of Intel's: others read rows that lie 2 KiB apart as fast as copies of them.
    pub intel: bool,
}

/// Vectors side by side in a tile, where there are vectors.
pub(crate) const TILE_VECS: usize = 2;

/// The sizes of the tiles of `S`.
///
/// # Safety
/// None; dispatched functions are unsafe all alike.
#[inline(always)]
pub(crate) unsafe fn shape<T: Element, S: Simd<T>>(s: S) -> Shape {
    let room = Room::of::<T, S>();
    let tall = room.tall();
    let (vecs, grad, moments, sequence, long) = match room {
        Room::Vectors32 => (TILE_VECS, [tall, 6, 4], 6, [tall, PAIRED, SLIM, 4], 16),
        Room::Vectors16 => (TILE_VECS, [tall, 6, 4], 3, [tall, tall, tall, 4], 0),
        Room::Emulated => (TILE_VECS, [1, 1, 1], 1, [1; 4], 0),
        Room::Scalars32 => (4, [2, 2, 1], 2, [2; 4], 0),
        Room::Software => (1, [1, 1, 1], 1, [1; 4], 0),
    };
    let panel = NonZeroUsize::new(vecs * S::LANES).unwrap_or(NonZeroUsize::MIN);
    let (registers, intel) = (S::REGISTERS, s.intel());
    Shape { panel, grad, moments, sequence, long, registers, intel }
}

/// How many rows the next row of tiles has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// Those of one tile, as many as [`Shape`] says.
    Tile(usize),
    /// One after the other.
    Single(usize),
    /// The same, of at most [`FEW`](super::few::FEW) `(b, t)`, or of an output of one row; `x` is where it was.
    Few(usize),
    /// All of a small layer, of no more columns than a vector has.
    Narrow(usize),
}

impl Rows {
    /// `rows` in a tile if so many are left, or what is left one by one.
    fn of(rows: usize, left: usize) -> Self {
        if left < rows { Rows::Single(left) } else { Rows::Tile(rows) }
    }

    /// The same, but that two or three are a tile of their own if `rows` are more.
    fn rest(rows: usize, left: usize) -> Self {
        match left {
            2 | 3 if rows > LOW => Rows::Tile(left),
            _ => Rows::of(rows, left),
        }
    }

    /// How many.
    pub(crate) fn count(self) -> usize {
        match self {
            Rows::Tile(n) | Rows::Single(n) | Rows::Few(n) | Rows::Narrow(n) => n,
        }
    }
}

/// Rows of a tile that is a vector wide, so that 32 registers hold all sums of a sequence.
pub(super) const SLIM: usize = 10;

/// Rows of a tile of the `moments` of sequences that goes through two examples at a time, where there are 32 registers.
pub(super) const PAIRED: usize = 6;

/// Most steps for which all sums had better stay in registers, and least for which those of two examples may wait.
const SLIM_STEPS: usize = 11;
const PAIRED_STEPS: usize = 8;

/// Most `(b, t)` for which tiles of an output that is far are not tall.
const FAR_DEPTH: usize = 64;

/// Rows of half a tall tile, where there are 32 registers.
pub(super) const HALF: usize = 6;

/// Rows that are low, and wide.
pub(super) const LOW: usize = 3;

/// Single rows that are gone through at a time, where it is for the kernel to say.
const SINGLES: usize = 4;

impl Shape {
    /// Elements of a vector, where there are vectors: a power of two.
    pub(crate) fn lanes(&self) -> usize {
        self.panel.get() / TILE_VECS
    }

    /// Whether registers hold the sums of several vectors.
    pub(crate) fn holds_sums(&self) -> bool {
        self.registers > 1
    }

    /// Rows of a few `(b, t)`.
    pub(crate) fn few_rows(&self, left: usize) -> Rows {
        if self.holds_sums() { Rows::Few(left) } else { Rows::Single(left) }
    }

    /// Rows of `grad`, with so many left.
    pub(crate) fn grad_rows(&self, left: usize) -> Rows {
        self.rows_up_to(self.grad[0], left)
    }

    /// The same for an output that comes from and goes to beyond the second-level cache: tall tiles of a few `(b, t)`
    /// want more lines of it at once than come in time.
    pub(crate) fn far_rows(&self, depth: usize, left: usize) -> Rows {
        let [tall, rows, _] = self.grad;
        self.rows_up_to(if !CACHES || depth > FAR_DEPTH { tall } else { rows }, left)
    }

    /// The same for `dy` whose rows lie apart: where tiles are halves of tall ones anyway, fewer lines of it at a time.
    pub(crate) fn apart_rows(&self, left: usize) -> Rows {
        let [tall, rows, _] = self.grad;
        self.rows_up_to(if self.intel { rows } else { tall }, left)
    }

    /// Rows of tiles with one sum an element, the tallest as told.
    fn rows_up_to(&self, tall: usize, left: usize) -> Rows {
        let [_, rows, rest] = self.grad;
        match left {
            _ if left >= tall => Rows::Tile(tall),
            _ if left >= rows && left != 2 * rest => Rows::Tile(rows),
            _ => Rows::rest(rest, left),
        }
    }

    /// Rows of `moments`, with so many left.
    pub(crate) fn moments_rows(&self, left: usize) -> Rows {
        Rows::of(self.moments, left)
    }

    /// Rows of the `moments` of sequences, with so many left; `packed` if `src` is copied first.
    pub(crate) fn sequence_rows<T>(&self, src: &Source<T>, packed: bool, left: usize) -> Rows
    where
        T: Element,
    {
        let [tall, pair, slim, rows] = self.sequence;
        if !CACHES {
            return Rows::of(rows, left);
        }
        // (All but tall tiles read everything twice, for which it is to be near.)
        let [x, dy] = [src.x_stride, src.dy_stride].map(|stride| stride * size_of::<T>());
        let block = src.depth() <= BLOCK;
        let near = block && (packed || x < PAGE / 2);
        let nearly = near || block && x <= PAGE / 2 && dy < PAGE / 2;
        let paired = nearly && src.batch > 1 && (packed || src.steps <= FEW_STEPS);
        let tall = match src.steps {
            ..=SLIM_STEPS if near => slim,
            PAIRED_STEPS.. if paired => pair,
            steps if steps >= self.long => tall,
            _ => rows,
        };
        // (Lower tiles if they leave fewer rows over.)
        let over = |left: usize| left % rows.max(1);
        let lower = left != tall && left < 2 * tall && over(left) < over(left.wrapping_sub(tall));
        if left >= tall && !lower { Rows::Tile(tall) } else { Rows::rest(rows, left) }
    }

    /// Rows of [`super::fused`], for a fold over `depth` `(b, t)`: there is an example for each update that runs
    /// beside its sums (or for each two without `second`), or else they are single. So they are for more examples if
    /// parameters come from `beyond` the caches, which send long runs sooner than the pieces of a tile.
    pub(crate) fn fused_rows(&self, second: bool, depth: usize, beyond: bool, left: usize) -> Rows {
        let [tall, rows, _] = self.grad;
        let least = match second {
            true if beyond => DEEP,
            true => TILE_VECS * self.moments,
            false if beyond && self.registers < 32 => DEEP,
            false if beyond => 2 * tall,
            false => tall,
        };
        match second {
            _ if depth < least => Rows::Single(left.min(SINGLES)),
            true => Rows::of(self.moments, left),
            false if left >= tall && depth >= TILE_VECS * tall => Rows::Tile(tall),
            false => Rows::of(rows, left),
        }
    }
}

/// `by_room!(T, S, { Room => what is done, .. })`: `match Room::of::<T, S>()`, of which only the arm that holds is compiled.
macro_rules! by_room {
    ($T:ident, $S:ident, { $($room:ident $(| $more:ident)* => $what:expr,)* }) => {{
        use $crate::kernel::shape::Room;
        // All rooms have an arm.
        const _: fn(Room) = |room| match room {
            $(Room::$room $(| Room::$more)* => {})*
        };
        $(
            if const { matches!(Room::of::<$T, $S>(), Room::$room $(| Room::$more)*) } {
                $what
            }
        )*
    }};
}
pub(super) use by_room;

/// What there is room for in registers. [`shape`], the functions of [`super::row`] and [`super::fused`] say
/// the sizes of tiles for each.
pub(super) enum Room {
    Vectors32,
    Vectors16,
    /// Vectors whose fused multiply-add is a call, which leaves nothing in registers.
    Emulated,
    /// One element a register, as on a Cortex-M4F.
    Scalars32,
    /// Floating point in software: larger tiles would only be larger.
    Software,
}

impl Room {
    #[inline(always)]
    pub(super) const fn of<T: Element, S: Simd<T>>() -> Self {
        match (S::LANES, S::REGISTERS) {
            (1, 32) => Room::Scalars32,
            (1, _) => Room::Software,
            (_, 32) => Room::Vectors32,
            (_, 1) => Room::Emulated,
            _ => Room::Vectors16,
        }
    }

    /// Rows of the tallest tile with one sum an element; where there are vectors it has the time to fetch what it will read.
    #[inline(always)]
    pub(super) const fn tall(&self) -> usize {
        match self {
            Room::Vectors32 => 12,
            Room::Vectors16 => 6,
            Room::Scalars32 => 2,
            Room::Emulated | Room::Software => 1,
        }
    }

    /// Whether a tile of so many rows may as well be tiles of [`HALF`] the height and twice the width.
    #[inline(always)]
    pub(super) const fn has_halves(&self, rows: usize) -> bool {
        matches!(self, Room::Vectors32) && (rows == HALF || rows == self.tall())
    }

    /// Whether a tile of so many rows is such a one.
    #[inline(always)]
    pub(super) const fn is_tall(&self, rows: usize) -> bool {
        rows > LOW && rows >= self.tall()
    }
}
