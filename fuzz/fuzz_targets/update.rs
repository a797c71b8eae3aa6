//! Optimizers over slices, checked and not, with any hyper-parameters.
#![no_main]
use pergrad_core::{Error, NonFinite, Start};
use pergrad_fuzz::Source;
use pergrad_fuzz::support::{compare::agree, optimizers::checked, values::Real};

fn check<T: Real>(s: &mut Source<'_>) {
    let (config, t) = s.config();
    if !config.is_consistent::<T>(t) {
        return;
    }
    let n = s.upto(300);
    let (grad, second) = (s.guarded::<T>(n), s.guarded::<T>(n));
    let grad = grad.slice();
    let second = (s.flag() && config.has_second()).then_some(second.slice());
    let non_finite = s.pick(&[NonFinite::Refuse, NonFinite::Propagate]);
    let state = s.state::<T>(&config, n);
    agree(
        "update",
        (&(config, t, n, non_finite), s.any()),
        state,
        Start::Resume,
        0,
        |arrays| match non_finite {
            NonFinite::Propagate => config.reference(t, grad, second, arrays),
            NonFinite::Refuse => checked(
                arrays,
                |arrays| config.reference(t, grad, second, arrays),
                |index| {
                    let arg = match second {
                        _ if !grad[index].is_finite() => "grad",
                        Some(second) if !second[index].is_finite() => "second_moment",
                        _ => "params",
                    };
                    Error::NonFinite { arg, index }
                },
            ),
        },
        |isa, arrays, _| config.update(isa, t, grad, second, arrays, non_finite),
    );
}
pergrad_fuzz::fuzz_both_types!(check);
