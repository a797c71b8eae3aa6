//! Saving and restoring.

mod bytes;
mod disk;
mod restore;
mod stateful;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Range;

use pergrad_core::Element;
use safetensors::Dtype;

pub use restore::Restore;
pub use stateful::Stateful;

use crate::{Error, Linear, Tensor};

/// Layers, optimizers and tensors by name, to be saved or restored, in the
/// [safetensors](https://huggingface.co/docs/safetensors) format.
///
/// What is added is copied, so that training may go on while another thread saves. Floats keep their
/// bits: training that is resumed from a checkpoint gives the bits of training that never stopped.
///
/// ```
/// use pergrad::{AdamConfig, Checkpoint, LayerBatch, LayerOptimizer, Linear, Tensor};
/// let mut layer = Linear::<f32>::init(2, 3, true, 0)?;
/// let mut adam = LayerOptimizer::new(AdamConfig::torch(0.01)?, &layer)?;
/// let (x, dy) = (Tensor::filled(&[4, 3], 1.0)?, Tensor::filled(&[4, 2], 0.5)?);
/// adam.step_layer(&mut layer, LayerBatch::new(&x, &dy))?;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("digits.safetensors");
/// let checkpoint = Checkpoint::new().layer("hidden", &layer)?.optimizer("hidden", &adam)?;
/// checkpoint.note("epoch", "3")?.save(&path)?;
///
/// // Another day: new objects ..
/// let checkpoint = Checkpoint::load(&path)?;
/// let mut again = checkpoint.read_layer::<f32>("hidden")?;
/// let mut adam2: LayerOptimizer<f32, AdamConfig> = checkpoint.read_optimizer("hidden", &again)?;
/// assert_eq!((&again, &adam2), (&layer, &adam));
/// assert_eq!(checkpoint.metadata("epoch"), Some("3"));
/// // .. or those that are there, all of them or none.
/// checkpoint.restore().layer("hidden", &mut again).optimizer("hidden", &mut adam2).apply()?;
/// # Ok::<(), pergrad::Error>(())
/// ```
///
/// # Names
/// Those that a user of PyTorch knows; names join with a dot, an empty one leaves the dot out.
///
/// | added | tensors |
/// | --- | --- |
/// | [`tensor("t", ..)`](Self::tensor) | `t` |
/// | [`layer("layer1", ..)`](Self::layer) | `layer1.weight` `[J, I]`, `layer1.bias` `[J]` if there is one: the `state_dict` of an `nn.Linear` |
/// | [`optimizer("layer1", ..)`](Self::optimizer) of a layer | those of its weight as `optimizer.layer1.weight`, of its bias as `optimizer.layer1.bias` |
/// | [`optimizer("t", ..)`](Self::optimizer) of a tensor | `optimizer.t.step` (U64, no axes), and what its configuration keeps of `optimizer.t.exp_avg`, `.exp_avg_sq`, `.max_exp_avg_sq`, `.momentum_buffer`, each like the parameters |
///
/// The `__metadata__`, all strings:
///
/// | name | value |
/// | --- | --- |
/// | `optimizer.t.kind` | `momentum`, `rmsprop`, `adam` |
/// | `optimizer.t.lr` and all other hyper-parameters | the shortest decimals that read back as the same `f64`; windows as `alpha` (and `alpha_sq`, `momentum_alpha`), the weight `1/N` of a new sample, in PyTorch's terms `1 - beta`; `epsilon` as `outside 1e-8`, `hat ..`, `inside ..`; `decay` as `none`, `coupled 0.01`, `decoupled 0.01`; the rest as fields and variants are called |
/// | `optimizer.t.non_finite` | `propagate`, `refuse` |
/// | `optimizer.layer1.second` | `grad_sq`, `squared_grad` |
/// | `pergrad.version` | `1` |
/// | `pergrad.crc32` | a checksum of all the rest, see below |
/// | any other | a [`note`](Self::note) |
///
/// # Files from elsewhere
/// Whatever writes safetensors can write a checkpoint, and read one. Everything in `__metadata__` may be
/// missing; without a `kind` an optimizer can be [restored](Self::restore), and keeps the configuration
/// that it has, but not [read](Self::read_optimizer). `step` may have any integer type, `F32` or `F64`.
/// Tensors that nobody asks for are not looked at.
///
/// # Damage
/// A file is replaced as a whole: written beside its place under a name like `.digits.safetensors.Ab12Cd.tmp`,
/// synced, renamed, and on Unix the folder synced. After a crash there is the old file or the new one,
/// and perhaps such a temporary one, which may be deleted.
///
/// Truncated files, headers that claim what is not there, overlapping tensors, names that come twice and
/// settings that make no sense are refused by name. The format knows no checksum, and a flipped bit in a
/// weight is a weight too; so `pergrad.crc32` is the CRC-32 of the metadata, and of the name, type,
/// shape and data of each tensor. It finds damage, not malice. A file without the two `pergrad` entries
/// is taken as it is; who edits a file on purpose leaves them out.
#[derive(Clone)]
pub struct Checkpoint {
    tensors: BTreeMap<String, Stored>,
    metadata: BTreeMap<String, String>,
    /// Of all tensors, little-endian.
    data: Vec<u8>,
}

/// A tensor, less its data.
#[derive(Debug, Clone, PartialEq)]
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    /// Its part of the data.
    at: Range<usize>,
}

/// The names of entries about the file itself begin like this.
const RESERVED: &str = "pergrad.";

/// `name.part`, or `part` alone.
fn join(name: &str, part: &str) -> String {
    if name.is_empty() { part.into() } else { format!("{name}.{part}") }
}

/// The type of an element in the file.
fn dtype<T: Element>() -> Dtype {
    if size_of::<T>() == 4 { Dtype::F32 } else { Dtype::F64 }
}

/// Each element's bytes the other way round, where the machine does not agree with the format.
fn swap_if_big_endian(bytes: &mut [u8], element: usize) {
    if cfg!(target_endian = "big") {
        bytes.chunks_exact_mut(element).for_each(<[u8]>::reverse);
    }
}

impl Default for Checkpoint {
    fn default() -> Self {
        Self::new()
    }
}

impl Checkpoint {
    /// Nothing yet.
    // Never inlined: rustc 1.91 to 1.96 makes one of two that it knows to be equal, and hands on the memory of the
    // first, which may be freed by then (https://github.com/rust-lang/rust/issues/158830).
    #[inline(never)]
    pub fn new() -> Self {
        Checkpoint { tensors: BTreeMap::new(), metadata: BTreeMap::new(), data: Vec::new() }
    }

    /// Adds a tensor.
    ///
    /// # Errors
    /// [`Error::Entry`] if the name is taken, empty or `__metadata__`; [`Error::Memory`].
    ///
    /// ```
    /// use pergrad::{Checkpoint, Tensor};
    /// let t = Tensor::filled(&[2], 0.5f64)?;
    /// let checkpoint = Checkpoint::new().tensor("t", &t)?;
    /// assert_eq!(checkpoint.read_tensor::<f64>("t")?, t);
    /// assert!(checkpoint.read_tensor::<f32>("t").is_err());
    /// assert!(checkpoint.tensor("t", &t).is_err());
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn tensor<T: Element>(mut self, name: &str, tensor: &Tensor<T>) -> Result<Self, Error> {
        self.put_tensor(name.into(), tensor)?;
        Ok(self)
    }

    /// Adds the parameters of a layer.
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor).
    ///
    /// ```
    /// use pergrad::{Checkpoint, Linear};
    /// let checkpoint = Checkpoint::new().layer("layer1", &Linear::<f32>::init(2, 3, true, 0)?)?;
    /// assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["layer1.bias", "layer1.weight"]);
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn layer<T: Element>(mut self, name: &str, layer: &Linear<T>) -> Result<Self, Error> {
        self.put_tensor(join(name, "weight"), layer.weight())?;
        if let Some(bias) = layer.bias() {
            self.put_tensor(join(name, "bias"), bias)?;
        }
        Ok(self)
    }

    /// Adds the state, the configuration and the step count of an optimizer, of a layer or of a tensor.
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor).
    ///
    /// ```
    /// use pergrad::{Checkpoint, Momentum, MomentumConfig};
    /// let sgd = Momentum::<f32>::new(MomentumConfig::torch(0.1, 0.875)?, &[3])?;
    /// let checkpoint = Checkpoint::new().optimizer("t", &sgd)?;
    /// let names: Vec<_> = checkpoint.names().collect();
    /// assert_eq!(names, ["optimizer.t.momentum_buffer", "optimizer.t.step"]);
    /// assert_eq!(checkpoint.metadata("optimizer.t.lr"), Some("0.1"));
    /// assert_eq!(checkpoint.metadata("optimizer.t.alpha"), Some("0.125"));
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn optimizer(mut self, name: &str, optimizer: &impl Stateful) -> Result<Self, Error> {
        optimizer.put(&mut self, &join("optimizer", name))?;
        Ok(self)
    }

    /// Adds a text of the caller's to the metadata: the epoch, a seed, the version of the data.
    ///
    /// # Errors
    /// [`Error::Entry`] if the name is taken or begins with `pergrad.`.
    ///
    /// ```
    /// use pergrad::Checkpoint;
    /// let checkpoint = Checkpoint::new().note("epoch", "3")?;
    /// assert_eq!(checkpoint.metadata("epoch"), Some("3"));
    /// assert!(checkpoint.note("epoch", "4").is_err());
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn note(mut self, name: &str, text: &str) -> Result<Self, Error> {
        self.put_metadata(name.into(), text.into())?;
        Ok(self)
    }

    /// The names of all tensors, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A text of the metadata: a [`note`](Self::note), a hyper-parameter.
    pub fn metadata(&self, name: &str) -> Option<&str> {
        self.metadata.get(name).map(String::as_str)
    }

    /// A copy of a tensor.
    ///
    /// # Errors
    /// [`Error::Entry`] if there is none of that name, or its elements are not `T`; [`Error::Memory`].
    pub fn read_tensor<T: Element>(&self, name: &str) -> Result<Tensor<T>, Error> {
        let (stored, bytes) = self.find(name)?;
        if stored.dtype != dtype::<T>() {
            return Err(stored.unlike(name, dtype::<T>().to_string()));
        }
        let mut tensor = Tensor::zeros(&stored.shape)?;
        let elements: &mut [u8] = bytemuck::cast_slice_mut(tensor.as_mut_slice());
        elements.copy_from_slice(bytes);
        swap_if_big_endian(elements, size_of::<T>());
        Ok(tensor)
    }

    /// A new layer of the parameters of this name; it has a bias if the checkpoint has.
    ///
    /// # Errors
    /// As [`read_tensor`](Self::read_tensor); [`Error::Entry`] for shapes that are not those of a layer.
    ///
    /// ```
    /// use pergrad::{Checkpoint, Linear};
    /// let layer = Linear::<f32>::init(2, 3, false, 0)?;
    /// let checkpoint = Checkpoint::new().layer("layer1", &layer)?;
    /// assert_eq!(checkpoint.read_layer("layer1")?, layer);
    /// let e = checkpoint.read_layer::<f32>("layer2").unwrap_err();
    /// assert_eq!(
    ///     e.to_string(),
    ///     "`layer2.weight` in the checkpoint is missing, it must be there; there are: layer1.weight"
    /// );
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn read_layer<T: Element>(&self, name: &str) -> Result<Linear<T>, Error> {
        let (weight, bias) = (join(name, "weight"), join(name, "bias"));
        let (stored, _) = self.find(&weight)?;
        let [outputs, _] = stored.shape[..] else {
            return Err(stored.unlike(&weight, format!("{} [J, I]", dtype::<T>())));
        };
        let bias = match self.tensors.contains_key(&bias) {
            true => Some(self.read_shaped(&bias, &[outputs])?),
            false => None,
        };
        Linear::new(self.read_tensor(&weight)?, bias)
    }

    /// A new optimizer for `params`, a layer or a tensor, of what was saved under this name.
    ///
    /// # Errors
    /// As [`read_tensor`](Self::read_tensor); [`Error::Entry`] for another kind of optimizer, shapes other
    /// than those of `params`, settings that are missing or cannot be read; [`Error::Checkpoint`] for
    /// hyper-parameters that make no sense.
    pub fn read_optimizer<O: Stateful>(&self, name: &str, params: &O::Of) -> Result<O, Error> {
        O::read(self, &join("optimizer", name), params)
    }

    /// Restores objects that are there already, all that are named or none.
    pub fn restore(&self) -> Restore<'_, '_> {
        Restore::of(self)
    }

    /// A tensor of this shape.
    fn read_shaped<T: Element>(&self, name: &str, shape: &[usize]) -> Result<Tensor<T>, Error> {
        let (stored, _) = self.find(name)?;
        if stored.shape != shape || stored.dtype != dtype::<T>() {
            return Err(stored.unlike(name, format!("{} {shape:?}", dtype::<T>())));
        }
        self.read_tensor(name)
    }

    /// A tensor and its bytes.
    fn find(&self, name: &str) -> Result<(&Stored, &[u8]), Error> {
        const SHOWN: usize = 8;
        let found = self.tensors.get(name);
        found.map(|stored| (stored, &self.data[stored.at.clone()])).ok_or_else(|| {
            let mut names: Vec<_> = self.names().take(SHOWN).collect();
            if self.tensors.len() > SHOWN {
                names.push("..");
            }
            let there = if names.is_empty() { "no tensors".into() } else { names.join(", ") };
            let need = format!("there; there are: {there}");
            Error::Entry { name: name.into(), got: "missing".into(), need }
        })
    }

    /// Refuses a tensor or an entry that has no place in the object to be restored.
    fn refuse(&self, name: String, why: &str) -> Result<(), Error> {
        match self.tensors.get(&name) {
            Some(stored) => Err(stored.unlike(&name, format!("left out: {why}"))),
            None => Ok(()),
        }
    }

    fn put_tensor<T: Element>(&mut self, name: String, tensor: &Tensor<T>) -> Result<(), Error> {
        let bytes: &[u8] = bytemuck::cast_slice(tensor.as_slice());
        let at = self.put(name, dtype::<T>(), tensor.shape(), bytes)?;
        swap_if_big_endian(&mut self.data[at], size_of::<T>());
        Ok(())
    }

    /// Adds a tensor; where its data are.
    fn put(
        &mut self,
        name: String,
        dtype: Dtype,
        shape: &[usize],
        bytes: &[u8],
    ) -> Result<Range<usize>, Error> {
        if name.is_empty() || name == bytes::METADATA {
            let need = "a name that is not empty and not `__metadata__`".into();
            return Err(Error::Entry { got: "the name of a tensor".into(), need, name });
        }
        if let Some(stored) = self.tensors.get(&name) {
            return Err(stored.unlike(&name, "added once".into()));
        }
        if self.data.try_reserve(bytes.len()).is_err() {
            return Err(Error::Memory { bytes: bytes.len() });
        }
        let at = self.data.len()..self.data.len() + bytes.len();
        self.data.extend_from_slice(bytes);
        self.tensors.insert(name, Stored { dtype, shape: shape.to_vec(), at: at.clone() });
        Ok(at)
    }

    fn put_metadata(&mut self, name: String, text: String) -> Result<(), Error> {
        if name.starts_with(RESERVED) {
            let need = format!("a name that does not begin with `{RESERVED}`");
            return Err(Error::Entry { got: "the name of a note".into(), need, name });
        }
        if let Some(old) = self.metadata.get(&name) {
            let (got, need) = (format!("{old:?}"), "added once".into());
            return Err(Error::Entry { name, got, need });
        }
        self.metadata.insert(name, text);
        Ok(())
    }
}

impl Stored {
    /// The error of a tensor that is not `need`.
    fn unlike(&self, name: &str, need: String) -> Error {
        let got = format!("{} {:?}", self.dtype, self.shape);
        Error::Entry { name: name.into(), got, need }
    }
}

/// The same names with the same types, shapes and bits, and the same metadata.
impl PartialEq for Checkpoint {
    fn eq(&self, other: &Self) -> bool {
        fn all(c: &Checkpoint) -> impl Iterator<Item = (&String, Dtype, &[usize], &[u8])> {
            let bytes = |stored: &Stored| &c.data[stored.at.clone()];
            c.tensors.iter().map(move |(name, s)| (name, s.dtype, &*s.shape, bytes(s)))
        }
        self.metadata == other.metadata && all(self).eq(all(other))
    }
}

impl Debug for Checkpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut map = f.debug_map();
        map.entries(self.metadata.iter());
        map.entries(self.tensors.iter().map(|(name, s)| (name, (s.dtype, &s.shape)))).finish()
    }
}
