//! A process that saves without end is killed at random moments, and leaves a whole checkpoint each time.
//!
//! It kills processes, not machines: a rename without a sync before it passes here too.

mod program;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

use pergrad::{Checkpoint, Tensor};
use program::this_program;

/// Kills at least.
const ROUNDS: u64 = 100;

/// Kills at most, until one came while a file was being written: by an emulator, files are written hardly slower, but all
/// that comes before is.
const MOST_ROUNDS: u64 = 2000;

/// Elements of the versions, in turn: a shorter file must not keep the end of a longer one.
const ELEMENTS: [usize; 2] = [700_000, 300_000];

/// A version: all elements are its number, which is noted too.
fn version(number: u32) -> Checkpoint {
    let elements = ELEMENTS[number as usize % 2];
    let tensor = Tensor::filled(&[elements], number as f32).expect("memory");
    let checkpoint = Checkpoint::new().tensor("t", &tensor);
    checkpoint.and_then(|c| c.note("version", &number.to_string())).expect("new names")
}

/// Saves one version after the other, and says which it has saved.
fn save_forever(path: &Path) {
    let mut out = std::io::stdout();
    for number in 0.. {
        version(number).save(path).expect("a file");
        writeln!(out, "{number}").expect("a pipe");
    }
}

/// A version that was loaded: that it is whole.
fn check(path: &Path) -> u32 {
    let loaded = Checkpoint::load(path).expect("a whole checkpoint");
    let number = loaded.metadata("version").and_then(|text| text.parse().ok()).expect("a version");
    assert!(loaded == version(number), "version {number} is not as it was saved");
    number
}

fn main() {
    if let Some(path) = std::env::var_os("PERGRAD_SAVE_FOREVER") {
        return save_forever(Path::new(&path));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("net.safetensors");
    let (mut random, mut halfway) = (0x9e37_79b9_7f4a_7c15_u64, 0);
    let mut round = 0;
    while round < ROUNDS || halfway == 0 && round < MOST_ROUNDS {
        let mut child = this_program()
            .env("PERGRAD_SAVE_FOREVER", &path)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let mut said = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut last = said.next().expect("a first version").expect("text");
        // Any moment of the next saves: as long as it takes to draw so many numbers.
        for _ in 0..random >> 40 {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(round);
        }
        random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(std::hint::black_box(1));
        child.kill().expect("a process to kill");
        child.wait().expect("its end");
        last = said.map_while(Result::ok).last().unwrap_or(last);

        let last: u32 = last.parse().expect("a number");
        let number = check(&path);
        assert!(number == last || number == last + 1, "saved {last}, loaded {number}");
        for entry in fs::read_dir(&folder).expect("the folder").map(|entry| entry.expect("a file"))
        {
            let name = entry.file_name().into_string().expect("a name");
            if name != "net.safetensors" {
                assert!(name.starts_with(".net.safetensors.") && name.ends_with(".tmp"), "{name}");
                fs::remove_file(entry.path()).expect("removed");
                halfway += 1;
            }
        }
        round += 1;
    }
    println!(
        "{round} kills, {halfway} of them with a file half written; each left a whole checkpoint"
    );
    assert!(halfway > 0, "no kill came while a file was being written");
}
