//! What other people's libraries gave, and how pergrad follows it.
//!
//! * [`file`]: the folder, its files and their cases.
//! * [`settings`]: a case's `config`, every key of which must be understood.
//! * [`torch`], [`optax`], [`keras`]: from a library's own arguments to a configuration, through its
//!   preset.
//! * [`follow`]: a trajectory followed on every instruction set.
//! * [`backpack`]: the statistics of linear layers.
//! * [`tolerance`]: how close is close enough, and why.
//! * [`mapping`], [`sharpness`]: tests of the above: what is not understood is refused, what is wrong is
//!   noticed.
#![allow(unreachable_pub, reason = "modules of a test program export to nobody else")]

pub mod backpack;
pub mod file;
pub mod follow;
pub mod keras;
mod mapping;
pub mod optax;
pub mod settings;
mod sharpness;
pub mod tolerance;
pub mod torch;
