//! Damaged and hostile files: an error that says what is wrong, and nothing that panics or swells.
#![cfg(feature = "checkpoint")]

use pergrad::{AdamConfig, Checkpoint, Error, LayerOptimizer, Linear};

/// The bytes of a file with this header and so many bytes of data.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + data, 7);
    bytes
}

#[track_caller]
fn refused(bytes: &[u8], parts: &[&str]) {
    let e = Checkpoint::from_bytes(bytes).unwrap_err();
    assert!(matches!(e, Error::Checkpoint { .. }), "{e:?}");
    for part in parts {
        assert!(e.to_string().contains(part), "{e} lacks {part:?}");
    }
}

fn saved() -> (Checkpoint, Vec<u8>) {
    let layer = Linear::<f32>::init(3, 4, true, 1).unwrap();
    let adam = LayerOptimizer::new(AdamConfig::torch(0.1).unwrap(), &layer).unwrap();
    let checkpoint = Checkpoint::new().layer("l", &layer).unwrap().optimizer("l", &adam).unwrap();
    let bytes = checkpoint.to_bytes().unwrap();
    (checkpoint, bytes)
}

#[test]
fn headers_that_lie() {
    for length in [8, 1 << 31, 1 << 63, u64::MAX, u64::MAX - 7] {
        let mut bytes = file("{}", 0);
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        refused(&bytes, &["the header claims", &length.to_string(), "2 are left"]);
    }
    refused(&[], &["0 bytes"]);
    refused(&[0; 7], &["7 bytes"]);
    refused(&[0; 8], &["the header"]);
    for no_json in ["", "{", "[]", "null", "{}x", "{\"a\":1}", "\u{0}", "{\"a\":{}}"] {
        refused(&file(no_json, 0), &["the header"]);
    }
    let mut deep = "{\"a\":".repeat(100_000);
    deep.push_str(&"[".repeat(100_000));
    refused(&file(&deep, 0), &["the header"]);
    refused(&file("{\"__metadata__\":{\"a\":1}}", 0), &["`__metadata__`", "string"]);
    refused(&file("{\"__metadata__\":{\"pergrad.version\":\"2\"}}", 0), &["version", "\"2\""]);
    assert!(Checkpoint::from_bytes(&file("{}", 0)).is_ok());
    assert!(Checkpoint::from_bytes(&file("{\"__metadata__\":null}   ", 0)).is_ok());
}

/// One entry of a header.
fn entry(name: &str, dtype: &str, shape: &str, from: u64, to: u64) -> String {
    format!("\"{name}\":{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":[{from},{to}]}}")
}

fn header(entries: &[String]) -> String {
    format!("{{{}}}", entries.join(","))
}

#[test]
fn tensors_that_do_not_lie_where_they_say() {
    let of = |entries: &[String], data| file(&header(entries), data);
    let a = || entry("a", "F32", "[2]", 0, 8);
    assert!(Checkpoint::from_bytes(&of(&[a()], 8)).is_ok());
    assert!(Checkpoint::from_bytes(&of(&[entry("b", "F32", "[]", 8, 12), a()], 12)).is_ok());
    // Overlap, a gap, backwards, past the end, bytes that belong to none.
    refused(&of(&[a(), entry("b", "F32", "[2]", 4, 12)], 12), &["`b`", "4..12", "ends at 8"]);
    refused(&of(&[a(), entry("b", "F32", "[2]", 0, 8)], 8), &["`b`", "0..8"]);
    refused(&of(&[a(), entry("b", "F32", "[2]", 12, 20)], 20), &["`b`", "12..20"]);
    refused(&of(&[entry("a", "F32", "[0]", 8, 0)], 8), &["`a`", "8..0"]);
    refused(&of(&[a(), entry("b", "F32", "[0]", 8, 0)], 8), &["`b`", "8..0"]);
    refused(&of(&[a()], 7), &["`a`", "all data at 7"]);
    refused(&of(&[a()], 9), &["end at byte 8", "9"]);
    refused(&of(&[], 1), &["end at byte 0", "1"]);
    // Sizes.
    refused(&of(&[entry("a", "F64", "[2]", 0, 8)], 8), &["`a`", "F64 [2]", "8 bytes"]);
    refused(&of(&[entry("a", "F4", "[1]", 0, 1)], 1), &["`a`", "F4 [1]"]);
    refused(&of(&[entry("a", "F99", "[2]", 0, 8)], 8), &["`a`", "F99"]);
    refused(&of(&[entry("a", "F32", "[-2]", 0, 8)], 8), &["`a`"]);
    refused(&of(&[entry("a", "F32", "[2.0]", 0, 8)], 8), &["`a`"]);
    let huge = entry("a", "F32", "[4611686018427387905, 4]", 0, 16);
    refused(&of(&[huge], 16), &["`a`", "4611686018427387905"]);
    // Sizes whose sum wraps to the length of the file.
    let part = (1u64 << 61) - 1;
    let mut entries: Vec<_> = (0..8)
        .map(|k| entry(&format!("t{k}"), "U8", &format!("[{part}]"), k * part, (k + 1) * part))
        .collect();
    entries.push(entry("t8", "U8", "[7]", 8 * part, 8 * part + 7));
    refused(&of(&entries, 0), &["`t0`", "all data at 0"]);
    // What holds nothing may have any extents, and cannot be made into a tensor.
    let nothing = of(&[entry("a", "F32", "[0, 9223372036854775807, 9]", 0, 0)], 0);
    let checkpoint = Checkpoint::from_bytes(&nothing).unwrap();
    assert!(matches!(checkpoint.read_tensor::<f32>("a"), Err(Error::TooLarge { .. })));
}

#[test]
fn names_that_come_twice() {
    let a = || entry("a", "F32", "[0]", 0, 0);
    refused(&file(&header(&[a(), a()]), 0), &["`a`", "twice"]);
    let texts = "{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}";
    refused(&file(texts, 0), &["`k`", "twice"]);
    refused(&file("{\"__metadata__\":{},\"__metadata__\":{}}", 0), &["`__metadata__`", "twice"]);
    let field =
        "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}";
    refused(&file(field, 0), &["`a`", "duplicate"]);
}

#[test]
fn truncation_is_found_at_every_byte() {
    let (_, bytes) = saved();
    for length in 0..bytes.len() {
        assert!(Checkpoint::from_bytes(&bytes[..length]).is_err(), "{length}");
    }
    assert!(Checkpoint::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
}

/// The file is refused, or the bit meant nothing (white space) and all is as it was.
#[test]
fn every_flipped_bit_is_found() {
    let (checkpoint, bytes) = saved();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut harmless = 0;
    for k in 0..bytes.len() {
        for bit in 0..8 {
            let mut bad = bytes.clone();
            bad[k] ^= 1 << bit;
            match Checkpoint::from_bytes(&bad) {
                Err(_) => {}
                Ok(read) => {
                    assert!(k < header, "byte {k} of the data");
                    assert_eq!(read, checkpoint, "bit {bit} of byte {k}");
                    harmless += 1;
                }
            }
        }
    }
    println!("{harmless} of {} flipped bits left the contents as they were", 8 * bytes.len());
}

/// A file that was written elsewhere has no checksum, and is taken as it is.
#[test]
fn without_a_checksum() {
    let (checkpoint, bytes) = saved();
    let theirs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut other = safetensors::serialize(theirs.tensors(), None).unwrap();
    assert!(Checkpoint::from_bytes(&other).unwrap().names().eq(checkpoint.names()));
    *other.last_mut().unwrap() ^= 1;
    assert!(Checkpoint::from_bytes(&other).is_ok());
    let mut damaged = bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    refused(&damaged, &["checksum", "pergrad.crc32"]);
    // It cannot be lost by a flipped bit in its name.
    let at = bytes.windows(13).position(|name| name == b"pergrad.crc32").unwrap();
    let mut nameless = bytes;
    nameless[at] = b'q';
    refused(&nameless, &["`pergrad.version`", "`pergrad.crc32`"]);
}
