//! Layer steps, checked and not, with any hyper-parameters.
#![no_main]
use pergrad_core::{Error, LayerStep, NonFinite, Part, SecondMoment, Start};
use pergrad_fuzz::Source;
use pergrad_fuzz::support::{
    compare::agree,
    optimizers::{checked, reference_step},
    values::Real,
};

fn check<T: Real>(s: &mut Source<'_>) {
    let (config, t) = s.config();
    if !config.is_consistent::<T>(t) {
        return;
    }
    let case = s.case::<T>();
    let part = s.pick(&[Part::Weight, Part::Bias]);
    let second = s.pick(&[SecondMoment::GradSq, SecondMoment::SquaredGrad]);
    let non_finite = s.pick(&[NonFinite::Refuse, NonFinite::Propagate]);
    let (name, n) = match part {
        Part::Weight => ("weight", case.weight_len()),
        Part::Bias => ("bias", case.dims.outputs),
    };
    let state = s.state::<T>(&config, n);
    let layer = LayerStep { batch: case.batch(), scale: case.fold.scale, second, non_finite };
    agree(
        "step",
        (&(case.label(), config, t, part, second, non_finite), case.seed),
        state,
        Start::Resume,
        case.scratch,
        |arrays| match non_finite {
            NonFinite::Propagate => reference_step(&config, t, &layer, part, arrays),
            NonFinite::Refuse => checked(
                arrays,
                |arrays| reference_step(&config, t, &layer, part, arrays),
                |index| Error::NonFinite { arg: name, index },
            ),
        },
        |isa, arrays, scratch| config.step(isa, t, &layer, part, arrays, scratch),
    );
}
pergrad_fuzz::fuzz_both_types!(check);
