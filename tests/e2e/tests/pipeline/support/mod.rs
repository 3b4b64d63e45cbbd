//! What the stories are told with: a deployed stack, the command line, databases, and independent readers.

pub mod alerts;
pub mod catalog;
pub mod cli;
pub mod database;
pub mod functions;
pub mod objects;
pub mod restic;
pub mod server;
pub mod stack;
pub mod wait;

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

/// A name that no other test uses, short enough for a stack's buckets.
pub fn unused(what: &str) -> String {
    let nanoseconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    format!(
        "{what}{:x}{:x}",
        std::process::id(),
        nanoseconds % 0xff_ffff
    )
}

/// A program that `cargo build --workspace --bins` made, beside this test.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test
        .ancestors()
        .nth(2)
        .expect("a test lies in target/<profile>/deps")
        .join(name);
    assert!(
        path.is_file(),
        "{} is missing: build it with `cargo build --workspace --bins`, or run everything with tests/run",
        path.display()
    );
    path
}

/// Standard output of a program that succeeded.
pub fn said(command: &mut Command) -> String {
    let output = output(command);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// What a program did, whatever it was.
pub fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| {
        panic!(
            "{} does not start: {error}; tests/run says what to install",
            command.get_program().display()
        )
    })
}
