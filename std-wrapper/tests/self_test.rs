//! The self-test on every instruction set and number of threads.

mod program;

use pergrad::Isa;
use program::this_program;

/// The lines of the self-test, without the verdicts, and whether all were equal.
fn run() -> (String, bool) {
    let mut lines = String::new();
    let equal = pergrad::self_test(|check| {
        let line = check.to_string();
        let words: Vec<&str> = line.split(' ').take(3).collect();
        lines += &(words.join(" ") + "\n");
    })
    .unwrap();
    (lines, equal)
}

/// Set `PERGRAD_BLESS` to write the list of layers anew, after a change of the inputs. Never after one of the
/// arithmetic.
#[test]
fn the_lists_are_given() {
    let (lines, equal) = run();
    let layers: String = lines
        .lines()
        .filter(|line| line.contains(" layer_"))
        .map(|line| format!("{line}\n"))
        .collect();
    if std::env::var_os("PERGRAD_BLESS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/self_test.txt");
        return std::fs::write(path, layers).unwrap();
    }
    assert_eq!(layers, include_str!("../self_test.txt"));
    assert!(equal, "{lines}");
    assert_eq!(lines.lines().count(), 2 * (16 + 5));
}

#[cfg(feature = "rayon")]
#[test]
fn every_number_of_threads_gives_them() {
    for threads in [1, 2, 3, 7] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert!(pool.install(|| run().1), "{threads} threads");
    }
}

/// The instruction set is chosen once a process: each has one of its own.
#[test]
fn every_isa_gives_them() {
    for isa in Isa::available() {
        let output = this_program()
            .args(["the_lists_are_given", "--exact"])
            .env("PERGRAD_ISA", isa.name())
            .env_remove("PERGRAD_BLESS")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{}: {text}", isa.name());
    }
}
