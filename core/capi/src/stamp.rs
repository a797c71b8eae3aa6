//! The macros that stamp C functions and enumerations.

/// A C function that can be refused: `fn name(arg: Type, ..) |args| { body }`, where the body takes its
/// arguments through `args`, an [`Args`](crate::args::Args), and leaves by `?` if one is wrong. Adds the
/// last parameter, `info`, and the error code.
macro_rules! face {
    ($(#[$meta:meta])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?) |$args:ident| $body:block) => {
        $(#[$meta])*
        #[unsafe(no_mangle)]
        #[allow(clippy::too_many_arguments)]
        pub unsafe extern "C" fn $name(
            $($arg: $ty,)*
            info: *mut $crate::pergrad_error_info,
        ) -> $crate::pergrad_error {
            // SAFETY: what `Args` asks for is what the documentation of the crate asks of C callers.
            let mut $args = unsafe { $crate::args::Args::new() };
            let info = match $args.info(info) {
                Ok(info) => info,
                Err(refused) => return refused.code(),
            };
            let mut call = || -> Result<(), $crate::error::Refused> {
                $body;
                Ok(())
            };
            $crate::error::report(call(), info)
        }
    };
}

/// The same at both element types: `($T) fn name_f32, name_f64(..) |args| { .. }`, where `$T` stands for
/// the type. The documentation of the second refers to the first.
macro_rules! both {
    (
        ($d:tt $T:ident) $(#[$meta:meta])*
        fn $single:ident, $double:ident $params:tt |$args:ident| $body:tt
    ) => {
        macro_rules! stamp {
            ([$d($d meta:tt)*] $d name:ident $d $T:ident) => {
                face! { $d($d meta)* fn $d name $params |$args| $body }
            };
        }
        stamp!([$(#[$meta])*] $single f32);
        stamp!([#[doc = concat!(" As `", stringify!($single), "()`, in double precision.")]] $double f64);
    };
}

/// An enumeration of C. What comes in from C may hold any value, and is a `MaybeUninit` of it until
/// [`Args::one_of`](crate::args::Args::one_of) has looked.
macro_rules! c_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $value:literal,)* }) => {
        $(#[$meta])*
        #[repr(i32)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$doc])* $variant = $value,)*
        }

        // SAFETY: `repr(i32)`.
        unsafe impl $crate::args::Enum for $name {
            fn of(value: i32) -> Option<Self> {
                match value {
                    $($value => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}
