//! Checkpoints as bytes: 8 bytes with the length of the header, the header in JSON, the data.
//!
//! The header is read here and not by the `safetensors` crate, of which the types come: that reader
//! (0.8.0) takes a name that comes twice without a word, adds up sizes near 2^64 without a check, and
//! does not name a tensor whose size is wrong. The tests hold the two against each other.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

use super::{Checkpoint, Stored};
use crate::Error;

/// The one key of a header that is not a tensor.
pub(super) const METADATA: &str = "__metadata__";

const CRC: &str = "pergrad.crc32";
const VERSION: &str = "pergrad.version";
const THIS_VERSION: &str = "1";

/// Bytes of the length of the header, and what the header's own length is a multiple of.
const WORD: usize = 8;

fn damaged(what: String) -> Error {
    Error::Checkpoint { what }
}

impl Checkpoint {
    /// The bytes of a safetensors file; the same for equal checkpoints.
    ///
    /// # Errors
    /// [`Error::Memory`].
    ///
    /// ```
    /// use pergrad::{Checkpoint, Linear};
    /// let checkpoint = Checkpoint::new().layer("layer1", &Linear::<f32>::init(2, 3, true, 0)?)?;
    /// let mut bytes = checkpoint.to_bytes()?;
    /// assert_eq!(Checkpoint::from_bytes(&bytes)?, checkpoint);
    /// *bytes.last_mut().unwrap() ^= 1;
    /// let e = Checkpoint::from_bytes(&bytes).unwrap_err();
    /// assert!(e.to_string().contains("checksum"));
    /// # Ok::<(), pergrad::Error>(())
    /// ```
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let (mut bytes, order) = self.head()?;
        if bytes.try_reserve_exact(self.data.len()).is_err() {
            return Err(Error::Memory { bytes: self.data.len() });
        }
        order.iter().for_each(|part| bytes.extend_from_slice(part));
        Ok(bytes)
    }

    /// The checkpoint of the bytes of a safetensors file.
    ///
    /// The memory that this needs is in proportion to `bytes`, whatever they claim.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for bytes that are none or damaged; [`Error::Memory`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let Some((length, rest)) = bytes.split_first_chunk::<WORD>() else {
            return Err(damaged(format!("{} bytes, a header needs {WORD}", bytes.len())));
        };
        let length = u64::from_le_bytes(*length);
        let fits = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
        let Some((header, data)) = fits else {
            let left = rest.len();
            return Err(damaged(format!("the header claims {length} bytes, {left} are left")));
        };
        let header: Header =
            serde_json::from_slice(header).map_err(|e| damaged(format!("the header: {e}")))?;
        let mut checkpoint = Checkpoint { metadata: header.metadata, ..Self::default() };
        let crc = checkpoint.metadata.remove(CRC);
        let version = checkpoint.metadata.remove(VERSION);
        match version {
            Some(version) if version != THIS_VERSION => {
                let known = format!("this library knows {THIS_VERSION:?}");
                return Err(damaged(format!("`{VERSION}` is {version:?}, {known}")));
            }
            // A flipped bit in the name of the checksum must not do away with it.
            Some(_) if crc.is_none() => {
                return Err(damaged(format!("there is a `{VERSION}`, but no `{CRC}`")));
            }
            _ => {}
        }
        checkpoint.tensors = tensors(header.tensors, data.len())?;
        if checkpoint.data.try_reserve_exact(data.len()).is_err() {
            return Err(Error::Memory { bytes: data.len() });
        }
        checkpoint.data.extend_from_slice(data);
        match crc {
            Some(crc) if crc != checkpoint.crc() => Err(damaged(format!(
                "the checksum of the contents is {}, `{CRC}` says {crc:?}: it was damaged, or edited \
                 without deleting the entries `{VERSION}` and `{CRC}`",
                checkpoint.crc()
            ))),
            _ => Ok(checkpoint),
        }
    }

    /// Everything before the data, and the data in their order: large elements first, so that all are
    /// aligned, then by name.
    pub(super) fn head(&self) -> Result<(Vec<u8>, Vec<&[u8]>), Error> {
        let mut tensors: Vec<_> = self.tensors.iter().collect();
        tensors.sort_by_key(|(name, stored)| (Reverse(stored.dtype), *name));
        let mut metadata = self.metadata.clone();
        metadata.insert(VERSION.into(), THIS_VERSION.into());
        metadata.insert(CRC.into(), self.crc());
        // Put together by hand, so that the order is settled.
        let mut entries = vec![json(METADATA)? + ":" + &json(&metadata)?];
        let mut order = Vec::with_capacity(tensors.len());
        let mut end = 0;
        for (name, Stored { dtype, shape, at }) in tensors {
            let data_offsets = (end, end + at.len());
            end = data_offsets.1;
            let info = TensorInfo { dtype: *dtype, shape: shape.clone(), data_offsets };
            entries.push(json(name)? + ":" + &json(&info)?);
            order.push(&self.data[at.clone()]);
        }
        let mut header = format!("{{{}}}", entries.join(",")).into_bytes();
        header.resize(header.len().next_multiple_of(WORD), b' ');
        let mut head = (header.len() as u64).to_le_bytes().to_vec();
        head.append(&mut header);
        Ok((head, order))
    }

    /// The checksum of all that is in here, in an order of its own.
    fn crc(&self) -> String {
        let mut hasher = crc32fast::Hasher::new();
        let mut add = |bytes: &[u8]| {
            // The length first, so that what is moved from one piece to the next is seen.
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        for (name, text) in &self.metadata {
            add(name.as_bytes());
            add(text.as_bytes());
        }
        for (name, Stored { dtype, shape, at }) in &self.tensors {
            add(name.as_bytes());
            add(format!("{dtype} {shape:?}").as_bytes());
            add(&self.data[at.clone()]);
        }
        format!("{:08x}", hasher.finalize())
    }
}

fn json(value: &(impl serde::Serialize + ?Sized)) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|e| damaged(e.to_string()))
}

/// Checks that the tensors fill the data without gaps, and that each has the size of its shape.
fn tensors(
    mut infos: Vec<(String, TensorInfo)>,
    data: usize,
) -> Result<BTreeMap<String, Stored>, Error> {
    infos.sort_by_key(|(_, info)| info.data_offsets);
    let mut tensors = BTreeMap::new();
    let mut end = 0;
    for (name, TensorInfo { dtype, shape, data_offsets }) in infos {
        let at = data_offsets.0..data_offsets.1;
        if at.start != end || at.end < at.start || at.end > data {
            return Err(damaged(format!(
                "`{name}` lies at bytes {at:?} of the data; the tensor before it ends at {end}, all \
                 data at {data}"
            )));
        }
        end = at.end;
        if size(dtype, &shape) != Some(at.len()) {
            let bytes = at.len();
            return Err(damaged(format!("`{name}` is {dtype} {shape:?} in {bytes} bytes")));
        }
        if let Some(twice) = tensors.insert(name.clone(), Stored { dtype, shape, at }) {
            let Stored { dtype, shape, .. } = twice;
            return Err(damaged(format!("`{name}` is there twice, once as {dtype} {shape:?}")));
        }
    }
    if end != data {
        return Err(damaged(format!(
            "the tensors end at byte {end} of the data, which has {data}"
        )));
    }
    Ok(tensors)
}

/// Bytes of a tensor; none if that is no whole number, or too large a one.
fn size(dtype: Dtype, shape: &[usize]) -> Option<usize> {
    let elements = shape.iter().try_fold(1usize, |all, &n| all.checked_mul(n))?;
    let bits = elements.checked_mul(dtype.bitsize())?;
    bits.is_multiple_of(8).then_some(bits / 8)
}

/// A header as it stands there.
#[derive(Default)]
struct Header {
    metadata: BTreeMap<String, String>,
    tensors: Vec<(String, TensorInfo)>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("tensors by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = Header::default();
                let mut keys = BTreeSet::new();
                while let Some(name) = map.next_key::<String>()? {
                    let of = |e| A::Error::custom(format!("`{name}`: {e}"));
                    if !keys.insert(name.clone()) {
                        return Err(of(A::Error::custom("is there twice")));
                    }
                    if name == METADATA {
                        let texts = map.next_value::<Option<Texts>>().map_err(of)?;
                        header.metadata = texts.map(|texts| texts.0).unwrap_or_default();
                    } else {
                        let info = map.next_value().map_err(of)?;
                        header.tensors.push((name, info));
                    }
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Texts by name, none of them twice.
struct Texts(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("texts by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
                let mut texts = BTreeMap::new();
                while let Some((name, text)) = map.next_entry::<String, String>()? {
                    if texts.insert(name.clone(), text).is_some() {
                        return Err(A::Error::custom(format!("`{name}` is there twice")));
                    }
                }
                Ok(Texts(texts))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}
