//! Optimizers in a checkpoint.

use pergrad_core::{Element, NonFinite, SecondMoment};
use safetensors::Dtype;

use super::{Checkpoint, join};
use crate::{Error, LayerOptimizer, Linear, Optimizer, Rule, Tensor};

/// What a [`Checkpoint`] takes as an optimizer: an [`Optimizer`], a [`LayerOptimizer`]. Sealed.
///
/// ```
/// use pergrad::{AdamConfig, Checkpoint, Error, LayerOptimizer, Linear, Optimizer, Stateful};
/// fn steps_of<O: Stateful>(optimizer: &O) -> Result<usize, Error> {
///     let checkpoint = Checkpoint::new().optimizer("", optimizer)?;
///     Ok(checkpoint.names().filter(|name| name.ends_with("step")).count())
/// }
/// let layer = Linear::<f32>::init(2, 3, true, 0)?;
/// assert_eq!(steps_of(&LayerOptimizer::new(AdamConfig::torch(0.1)?, &layer)?)?, 2);
/// # Ok::<(), Error>(())
/// ```
pub trait Stateful: Sized + sealed::Sealed {
    /// What it steps: a [`Tensor`], a [`Linear`].
    type Of;

    #[doc(hidden)]
    fn put(&self, checkpoint: &mut Checkpoint, at: &str) -> Result<(), Error>;

    /// A new one.
    #[doc(hidden)]
    fn read(checkpoint: &Checkpoint, at: &str, of: &Self::Of) -> Result<Self, Error>;

    /// One for the same parameters, with the same configuration if the checkpoint has none.
    #[doc(hidden)]
    fn reread(&self, checkpoint: &Checkpoint, at: &str) -> Result<Self, Error>;
}

mod sealed {
    pub trait Sealed {}
    impl<T, R> Sealed for super::Optimizer<T, R> {}
    impl<T, R> Sealed for super::LayerOptimizer<T, R> {}
}

/// The names that arrays of some optimizer have.
const ARRAYS: [&str; 4] = ["exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer"];

const NON_FINITE: [(&str, NonFinite); 2] =
    [("propagate", NonFinite::Propagate), ("refuse", NonFinite::Refuse)];
const SECOND: [(&str, SecondMoment); 2] =
    [("grad_sq", SecondMoment::GradSq), ("squared_grad", SecondMoment::SquaredGrad)];

fn word<V: PartialEq>(words: [(&str, V); 2], value: V) -> String {
    let [(first, of_first), (second, _)] = words;
    if value == of_first { first } else { second }.into()
}

/// The value that the checkpoint names in words, if it has the entry.
fn named<V: Copy>(
    checkpoint: &Checkpoint,
    name: String,
    words: [(&str, V); 2],
) -> Result<Option<V>, Error> {
    let Some(text) = checkpoint.metadata(&name) else { return Ok(None) };
    match words.iter().find(|(word, _)| *word == text) {
        Some((_, value)) => Ok(Some(*value)),
        None => {
            let need = format!("one of {}", words.map(|(word, _)| word).join(", "));
            Err(Error::Entry { got: format!("{text:?}"), need, name })
        }
    }
}

/// The configuration at `at`; none if there is no word of one.
fn config<R: Rule>(checkpoint: &Checkpoint, at: &str) -> Result<Option<R>, Error> {
    let name = join(at, "kind");
    match checkpoint.metadata(&name) {
        None => return Ok(None),
        Some(kind) if kind != R::KIND => {
            let (got, need) = (format!("{kind:?}"), format!("{:?}", R::KIND));
            return Err(Error::Entry { name, got, need });
        }
        Some(_) => {}
    }
    let get = |setting: &'static str| {
        let name = join(at, setting);
        match checkpoint.metadata(&name) {
            Some(text) => Ok(text.to_owned()),
            None => Err(Error::Entry { name, got: "missing".into(), need: "there".into() }),
        }
    };
    let unfit = |setting: &'static str, text: String, need| Error::Entry {
        name: join(at, setting),
        got: format!("{text:?}"),
        need,
    };
    R::of_settings(&get, &unfit).map(Some)
}

/// The step count at `at`, of whatever type.
fn steps(checkpoint: &Checkpoint, at: &str) -> Result<u64, Error> {
    let name = join(at, "step");
    let (stored, bytes) = checkpoint.find(&name)?;
    if !stored.shape.iter().all(|&n| n == 1) {
        return Err(stored.unlike(&name, "one number".into()));
    }
    let need = || "a whole number that is not negative".to_owned();
    let signed = |n: i64| u64::try_from(n).map_err(|_| n.to_string());
    let float = |f: f64| {
        // 2^64 is the first float that no u64 holds.
        let whole = f >= 0.0 && f.fract() == 0.0 && f < 18_446_744_073_709_551_616.0;
        if whole { Ok(f as u64) } else { Err(f.to_string()) }
    };
    let steps = match (stored.dtype, bytes) {
        (Dtype::U64, &[a, b, c, d, e, f, g, h]) => Ok(u64::from_le_bytes([a, b, c, d, e, f, g, h])),
        (Dtype::I64, &[a, b, c, d, e, f, g, h]) => {
            signed(i64::from_le_bytes([a, b, c, d, e, f, g, h]))
        }
        (Dtype::F64, &[a, b, c, d, e, f, g, h]) => {
            float(f64::from_le_bytes([a, b, c, d, e, f, g, h]))
        }
        (Dtype::U32, &[a, b, c, d]) => Ok(u32::from_le_bytes([a, b, c, d]).into()),
        (Dtype::I32, &[a, b, c, d]) => signed(i32::from_le_bytes([a, b, c, d]).into()),
        (Dtype::F32, &[a, b, c, d]) => float(f32::from_le_bytes([a, b, c, d]).into()),
        _ => return Err(stored.unlike(&name, "U64, I64, U32, I32, F32 or F64".into())),
    };
    steps.map_err(|got| Error::Entry { name, got, need: need() })
}

/// The optimizer at `at`, with `config` if the checkpoint has none, and what goes with that.
fn optimizer<T: Element, R: Rule>(
    checkpoint: &Checkpoint,
    at: &str,
    shape: &[usize],
    mine: Option<(R, NonFinite)>,
) -> Result<Optimizer<T, R>, Error> {
    let steps = steps(checkpoint, at)?;
    let (config, non_finite) = match (config(checkpoint, at)?, mine) {
        (Some(config), _) => {
            let non_finite = named(checkpoint, join(at, "non_finite"), NON_FINITE)?;
            (config, non_finite.unwrap_or_default())
        }
        (None, Some(mine)) => mine,
        (None, None) => {
            let (name, got) = (join(at, "kind"), "missing".into());
            return Err(Error::Entry { name, got, need: format!("{:?}", R::KIND) });
        }
    };
    let kept: Vec<_> = config.slots().into_iter().filter(|slot| slot.initial.is_some()).collect();
    for array in ARRAYS {
        if kept.iter().all(|slot| slot.name != array) {
            checkpoint.refuse(join(at, array), "the configuration keeps no such array")?;
        }
    }
    let mut state = Vec::new();
    for slot in kept {
        state.push((slot.name, checkpoint.read_shaped(&join(at, slot.name), shape)?));
    }
    let senseless = |e| match e {
        Error::Core(e) => Error::Checkpoint { what: format!("`{at}`: {e}") },
        other => other,
    };
    let mut optimizer = Optimizer::new(config, shape).map_err(senseless)?;
    optimizer.set_non_finite(non_finite);
    optimizer.restore(steps, &state)?;
    // Its hyper-parameters make sense at the next step too.
    optimizer.set_config(config).map_err(senseless)?;
    Ok(optimizer)
}

impl<T: Element, R: Rule> Stateful for Optimizer<T, R> {
    type Of = Tensor<T>;

    fn put(&self, checkpoint: &mut Checkpoint, at: &str) -> Result<(), Error> {
        checkpoint.put(join(at, "step"), Dtype::U64, &[], &self.steps().to_le_bytes())?;
        for (name, tensor) in self.state() {
            checkpoint.put_tensor(join(at, name), tensor)?;
        }
        checkpoint.put_metadata(join(at, "kind"), R::KIND.into())?;
        for (name, text) in self.config().settings() {
            checkpoint.put_metadata(join(at, name), text)?;
        }
        checkpoint.put_metadata(join(at, "non_finite"), word(NON_FINITE, self.non_finite()))
    }

    fn read(checkpoint: &Checkpoint, at: &str, of: &Tensor<T>) -> Result<Self, Error> {
        optimizer(checkpoint, at, of.shape(), None)
    }

    fn reread(&self, checkpoint: &Checkpoint, at: &str) -> Result<Self, Error> {
        optimizer(checkpoint, at, self.shape(), Some((*self.config(), self.non_finite())))
    }
}

/// Refuses what is there for a bias.
fn no_bias(checkpoint: &Checkpoint, at: &str) -> Result<(), Error> {
    let names = ARRAYS.iter().chain(&["step"]);
    names
        .map(|name| join(at, name))
        .try_for_each(|name| checkpoint.refuse(name, "the layer has no bias"))
}

impl<T: Element, R: Rule> Stateful for LayerOptimizer<T, R> {
    type Of = Linear<T>;

    fn put(&self, checkpoint: &mut Checkpoint, at: &str) -> Result<(), Error> {
        self.weight().put(checkpoint, &join(at, "weight"))?;
        if let Some(bias) = self.bias() {
            bias.put(checkpoint, &join(at, "bias"))?;
        }
        checkpoint.put_metadata(join(at, "second"), word(SECOND, self.second()))
    }

    fn read(checkpoint: &Checkpoint, at: &str, of: &Linear<T>) -> Result<Self, Error> {
        let weight = Optimizer::read(checkpoint, &join(at, "weight"), of.weight())?;
        let bias = match of.bias() {
            Some(bias) => Some(Optimizer::read(checkpoint, &join(at, "bias"), bias)?),
            None => no_bias(checkpoint, &join(at, "bias")).map(|()| None)?,
        };
        let second = named(checkpoint, join(at, "second"), SECOND)?;
        Ok(LayerOptimizer::of_parts(weight, bias, second.unwrap_or(SecondMoment::GradSq)))
    }

    fn reread(&self, checkpoint: &Checkpoint, at: &str) -> Result<Self, Error> {
        let weight = self.weight().reread(checkpoint, &join(at, "weight"))?;
        let bias = match self.bias() {
            Some(bias) => Some(bias.reread(checkpoint, &join(at, "bias"))?),
            None => no_bias(checkpoint, &join(at, "bias")).map(|()| None)?,
        };
        let second = named(checkpoint, join(at, "second"), SECOND)?;
        Ok(LayerOptimizer::of_parts(weight, bias, second.unwrap_or(self.second())))
    }
}
