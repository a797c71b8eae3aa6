//! The coefficients of one step: memory of the caller's that only this library looks into.

use core::mem::MaybeUninit;

use pergrad_core::{AdamCoeffs, Element, MomentumCoeffs, RmspropCoeffs};

use crate::args::Args;
use crate::error::Refused;

/// Elements that the coefficients of any optimizer take, at most.
const ROOM: usize = 12;

/// The coefficients of one step of momentum: made by pergrad_momentum_step_coeffs_f32() or _f64(), for as
/// many arrays of parameters as one likes. May be copied; the members are the library's.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct pergrad_momentum_coeffs<T: Copy> {
    /// Which coefficients these are.
    pub made: u32,
    /// The coefficients.
    pub opaque: [MaybeUninit<T>; 12],
}

/// The coefficients of one step of RMSProp: made by pergrad_rmsprop_step_coeffs_f32() or _f64(), for as
/// many arrays of parameters as one likes. May be copied; the members are the library's.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct pergrad_rmsprop_coeffs<T: Copy> {
    /// Which coefficients these are.
    pub made: u32,
    /// The coefficients.
    pub opaque: [MaybeUninit<T>; 12],
}

/// The coefficients of one step of Adam: made by pergrad_adam_step_coeffs_f32() or _f64(), for as many
/// arrays of parameters as one likes. May be copied; the members are the library's.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct pergrad_adam_coeffs<T: Copy> {
    /// Which coefficients these are.
    pub made: u32,
    /// The coefficients.
    pub opaque: [MaybeUninit<T>; 12],
}

/// Memory that holds coefficients of the core, and a number that tells whether it does.
pub(crate) trait Holds<T>: Copy {
    type Coeffs: Copy;
    const MADE: u32;

    fn new(coeffs: Self::Coeffs) -> Self;
    /// The coefficients, unless this is something else.
    fn get(&self) -> Option<Self::Coeffs>;
}

macro_rules! holds {
    ($($c:ident of $core:ident: $tag:literal;)*) => {
        $(impl<T: Element> Holds<T> for $c<T> {
            type Coeffs = $core<T>;
            /// One of a kind for each optimizer and type, and nothing that memory holds by chance.
            const MADE: u32 = u32::from_be_bytes(*$tag) ^ size_of::<T>() as u32;

            fn new(coeffs: $core<T>) -> Self {
                const { assert!(size_of::<$core<T>>() <= size_of::<[T; ROOM]>()) };
                const { assert!(align_of::<$core<T>>() <= align_of::<T>()) };
                let mut made = $c { made: Self::MADE, opaque: [MaybeUninit::uninit(); ROOM] };
                // SAFETY: there is room, and it is aligned: asserted above.
                unsafe { made.opaque.as_mut_ptr().cast::<$core<T>>().write(coeffs) };
                made
            }

            fn get(&self) -> Option<$core<T>> {
                if self.made != Self::MADE {
                    return None;
                }
                // SAFETY: `new` made this, as the number says; C only copies it.
                Some(unsafe { self.opaque.as_ptr().cast::<$core<T>>().read() })
            }
        })*
    };
}

holds! {
    pergrad_momentum_coeffs of MomentumCoeffs: b"\x91mom";
    pergrad_rmsprop_coeffs of RmspropCoeffs: b"\x92rms";
    pergrad_adam_coeffs of AdamCoeffs: b"\x93ada";
}

impl Args<'_> {
    /// The coefficients at a pointer.
    pub(crate) fn coeffs<T, C: Holds<T>>(
        &mut self,
        coeffs: *const C,
    ) -> Result<C::Coeffs, Refused> {
        self.structure("coeffs", coeffs)?.get().ok_or(Refused::Coeffs { arg: "coeffs" })
    }
}
