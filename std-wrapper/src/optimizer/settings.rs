//! Configurations as text, to the last bit: how checkpoints keep them.
//!
//! A number is the shortest decimal that reads back as the same `f64`. A window is its `alpha = 1/N`
//! ("1 - beta" elsewhere), which is what a [`Window`] holds.

use pergrad_core::{
    AdamConfig, AmsGrad, Decay, Epsilon, LrPlacement, MomentumConfig, MomentumForm, RmspropConfig,
    WarmUp, Window,
};

/// A value that is not what a setting can be: what it must be.
pub(crate) type Unfit = String;

/// The value of a setting by its name, through which a configuration is read.
pub(crate) type Lookup<'a> = &'a dyn Fn(&'static str) -> Result<String, crate::Error>;

/// A configuration that can be told in words. It seals [`Rule`](super::Rule).
#[doc(hidden)]
pub trait Settings: Sized {
    /// Which optimizer it is of.
    const KIND: &'static str;

    /// Names and values.
    fn settings(&self) -> Vec<(&'static str, String)>;

    /// The configuration with these settings; none may be missing. `unfit` makes an error of the name
    /// of a setting, the value that it has, and what it must be.
    fn of_settings(
        get: Lookup<'_>,
        unfit: &dyn Fn(&'static str, String, Unfit) -> crate::Error,
    ) -> Result<Self, crate::Error>;
}

/// A value that a setting can be.
trait Value: Sized {
    fn text(&self) -> String;
    fn parse(text: &str) -> Result<Self, Unfit>;
}

impl Value for f64 {
    fn text(&self) -> String {
        format!("{self:?}")
    }

    fn parse(text: &str) -> Result<Self, Unfit> {
        text.parse().map_err(|_| "a number".into())
    }
}

impl Value for Window {
    fn text(&self) -> String {
        self.alpha().text()
    }

    fn parse(text: &str) -> Result<Self, Unfit> {
        let alpha = text.parse().map_err(|_| Unfit::from("a number"))?;
        Window::from_alpha(alpha)
            .map_err(|_| "the alpha = 1/N of a window, more than 0 and at most 1".into())
    }
}

impl Value for Option<Window> {
    fn text(&self) -> String {
        self.map_or("none".into(), |window| window.text())
    }

    fn parse(text: &str) -> Result<Self, Unfit> {
        match text {
            "none" => Ok(None),
            _ => Window::parse(text).map(Some),
        }
    }
}

/// Values that are words.
macro_rules! words {
    ($Type:ty: $($word:literal $value:expr),+) => {
        impl Value for $Type {
            fn text(&self) -> String {
                let all = [$(($word, $value)),+];
                let found = all.iter().find(|(_, value)| value == self);
                found.map_or("", |(word, _)| word).into()
            }

            fn parse(text: &str) -> Result<Self, Unfit> {
                let all = [$(($word, $value)),+];
                let found = all.iter().find(|(word, _)| *word == text);
                found.map(|(_, value)| *value).ok_or_else(|| {
                    format!("one of {}", all.map(|(word, _)| word).join(", "))
                })
            }
        }
    };
}

words!(bool: "true" true, "false" false);
words!(WarmUp: "none" WarmUp::None, "exact_mean" WarmUp::ExactMean, "debias" WarmUp::Debias);
words!(LrPlacement: "outside" LrPlacement::Outside, "inside" LrPlacement::Inside);
words!(MomentumForm: "plain" MomentumForm::Plain, "sum" MomentumForm::Sum,
    "average" MomentumForm::Average);
words!(AmsGrad: "off" AmsGrad::Off, "uncorrected" AmsGrad::Uncorrected,
    "corrected" AmsGrad::Corrected);

impl Value for Decay {
    fn text(&self) -> String {
        match self {
            Decay::None => "none".into(),
            Decay::Coupled(d) => format!("coupled {d:?}"),
            Decay::Decoupled(d) => format!("decoupled {d:?}"),
        }
    }

    fn parse(text: &str) -> Result<Self, Unfit> {
        let words: Vec<_> = text.split(' ').collect();
        match words[..] {
            ["none"] => Ok(Decay::None),
            ["coupled", d] => Ok(Decay::Coupled(f64::parse(d)?)),
            ["decoupled", d] => Ok(Decay::Decoupled(f64::parse(d)?)),
            _ => Err("none, coupled NUMBER or decoupled NUMBER".into()),
        }
    }
}

impl Value for Epsilon {
    fn text(&self) -> String {
        match self {
            Epsilon::Outside(e) => format!("outside {e:?}"),
            Epsilon::Hat(e) => format!("hat {e:?}"),
            Epsilon::Inside(e) => format!("inside {e:?}"),
            Epsilon::Both { inside, outside } => format!("inside {inside:?} outside {outside:?}"),
        }
    }

    fn parse(text: &str) -> Result<Self, Unfit> {
        let words: Vec<_> = text.split(' ').collect();
        match words[..] {
            ["outside", e] => Ok(Epsilon::Outside(f64::parse(e)?)),
            ["hat", e] => Ok(Epsilon::Hat(f64::parse(e)?)),
            ["inside", e] => Ok(Epsilon::Inside(f64::parse(e)?)),
            ["inside", inside, "outside", outside] => {
                Ok(Epsilon::Both { inside: f64::parse(inside)?, outside: f64::parse(outside)? })
            }
            _ => Err("outside NUMBER, hat NUMBER, inside NUMBER or both of them".into()),
        }
    }
}

/// `Settings` of a configuration that begins as `$new` and has these fields.
macro_rules! settings {
    ($Config:ident $kind:literal, $new:expr, $($name:literal $field:ident),+) => {
        impl Settings for $Config {
            const KIND: &'static str = $kind;

            fn settings(&self) -> Vec<(&'static str, String)> {
                vec![$(($name, self.$field.text())),+]
            }

            fn of_settings(
                get: Lookup<'_>,
                unfit: &dyn Fn(&'static str, String, Unfit) -> crate::Error,
            ) -> Result<Self, crate::Error> {
                let any = Window::new(1.0)?;
                let mut config: $Config = $new(any);
                $(
                    let text = get($name)?;
                    config.$field = Value::parse(&text).map_err(|need| unfit($name, text, need))?;
                )+
                Ok(config)
            }
        }
    };
}

settings!(MomentumConfig "momentum", |any| MomentumConfig::new(0.0, any),
    "lr" lr, "alpha" window, "form" form, "warm_up" warm_up, "nesterov" nesterov,
    "dampening" dampening, "lr_placement" lr_placement, "decay" decay, "maximize" maximize);
settings!(RmspropConfig "rmsprop", |any| RmspropConfig::new(0.0, any),
    "lr" lr, "alpha" window, "warm_up" warm_up, "centered" centered, "momentum_alpha" momentum,
    "nesterov" nesterov, "lr_placement" lr_placement, "epsilon" epsilon, "decay" decay,
    "maximize" maximize, "initial_exp_avg_sq" initial_exp_avg_sq);
settings!(AdamConfig "adam", |any| AdamConfig::new(0.0, any, any),
    "lr" lr, "alpha" window, "alpha_sq" window_sq, "warm_up" warm_up, "epsilon" epsilon,
    "amsgrad" amsgrad, "nesterov" nesterov, "decay" decay, "maximize" maximize);

#[cfg(test)]
mod tests {
    use super::*;

    /// Every window that can be made comes back as it was.
    #[test]
    fn windows_are_exact() {
        let mut state = 1u64;
        let mut random = || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        let same = |window: Window| {
            assert_eq!(Window::parse(&window.text()), Ok(window), "{}", window.text());
        };
        for k in 0..100_000 {
            let length = (random() * 40.0).exp2();
            let window = Window::new(length).unwrap();
            same(window);
            same(window.at_batch_size(k % 1000 + 1));
            same(window.at_batch_size(7).at_batch_size(3).at_batch_size(k % 50 + 1));
            same(Window::from_beta(random()).unwrap());
            same(Window::from_beta(1.0 - 1.0 / (length + 1.0)).unwrap().at_batch_size(k % 9 + 1));
        }
        for length in [1.0, 1.0f64.next_up(), f64::MAX] {
            same(Window::new(length).unwrap());
        }
        for text in ["0.0", "-0.5", "1.5", "NaN", "inf", "-inf", "", "1e-400", "0.5 "] {
            assert!(Window::parse(text).is_err(), "{text:?}");
        }
    }
}
