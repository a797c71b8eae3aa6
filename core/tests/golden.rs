//! Recorded trajectories and statistics of other libraries, followed on every instruction set.
//!
//! `PERGRAD_GOLDEN_DIR` names a folder of other recordings, of the form and the names of
//! `tests/golden`. What a file holds is followed or fails: nothing in it is skipped.

mod recorded;
mod support;

use std::path::Path;

use recorded::file::{Object, built_in, check_all, folder};
use recorded::follow::{Mapping, Trajectory, config};
use recorded::tolerance::Tolerance;
use recorded::{backpack, keras, optax, torch};
use support::values::Real;

/// Follows one case of an optimizer.
fn follow<T: Real>(mapping: Mapping, in_type: bool, case: &Object) -> Result<f64, String> {
    let trajectory = Trajectory::<T>::read(case)?;
    trajectory.follow(&config(mapping, case)?, &Tolerance::new::<T>(in_type))
}

fn follow_all(folder: &Path, file: &str, mapping: Mapping, in_type: bool) {
    check_all(
        folder,
        file,
        |case| follow::<f32>(mapping, in_type, case),
        |case| follow::<f64>(mapping, in_type, case),
    );
}

#[test]
fn torch_optimizers_are_followed() {
    follow_all(&folder(), torch::FILE, torch::config, false);
}

#[test]
fn optax_optimizers_are_followed() {
    follow_all(&folder(), optax::FILE, optax::config, true);
}

/// Only where it is known to be: other folders need not have it.
#[test]
fn more_of_optax_is_followed() {
    follow_all(&built_in(), optax::MORE, optax::config, true);
}

#[test]
fn keras_optimizers_are_followed() {
    follow_all(&folder(), keras::FILE, keras::config, true);
}

#[test]
fn backpack_statistics_are_followed() {
    check_all(&folder(), backpack::FILE, backpack::check::<f32>, backpack::check::<f64>);
}
