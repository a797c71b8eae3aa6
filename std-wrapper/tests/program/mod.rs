//! The test program itself, for tests that need a process of their own.
#![allow(unreachable_pub, reason = "shared by tests")]

use std::process::Command;

/// Names the emulator (and its arguments) by which programs of this target run, where the operating system
/// does not know: `qemu-aarch64 -L ..`.
pub const RUNNER: &str = "PERGRAD_TEST_RUNNER";

/// A command that runs this test program again.
pub fn this_program() -> Command {
    let program = std::env::current_exe().unwrap();
    let runner = std::env::var(RUNNER).unwrap_or_default();
    let mut words = runner.split_whitespace();
    let Some(emulator) = words.next() else { return Command::new(program) };
    let mut command = Command::new(emulator);
    command.args(words).arg(program);
    command
}
