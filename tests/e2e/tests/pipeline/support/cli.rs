//! The real command line, pointed at a test's stack.

use std::path::Path;
use std::process::{Command, Output};

use logisedge_domain::run::Run;
use logisedge_domain::snapshot::SnapshotRecord;
use serde_json::Value;

use super::stack::Stack;
use super::{output, program};

/// What the command line did.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("not killed"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ended {
    /// Standard output where the exit code is 0.
    #[track_caller]
    pub fn good(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// Standard output as JSON where the exit code is 0.
    #[track_caller]
    pub fn json(self) -> Value {
        let text = self.good();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Standard error where the exit code is `code`.
    #[track_caller]
    pub fn refused(self, code: i32) -> String {
        assert_eq!(self.code, code, "{}{}", self.stdout, self.stderr);
        self.stderr
    }
}

impl Stack {
    /// `logisedge-backup`, not started yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("logisedge-backup"));
        command
            .args(arguments)
            .env("LOGISEDGE_TABLE", self.output("TableName"))
            .env("LOGISEDGE_BUS", self.output("BusName"))
            .env("LOGISEDGE_BUCKET", self.output("BucketName"))
            .env(
                "LOGISEDGE_REPOSITORY_SECRET",
                self.output("RepositorySecretArn"),
            );
        command
    }

    /// Runs `logisedge-backup` to its end.
    pub fn cli(&self, arguments: &[&str]) -> Ended {
        output(&mut self.command(arguments)).into()
    }

    /// `apply`, which succeeds.
    #[track_caller]
    pub fn apply(&self, file: &Path) -> String {
        self.cli(&["apply", &file.display().to_string()]).good()
    }

    /// The snapshots of a scope that the catalog knows, newest first.
    #[track_caller]
    pub fn snapshots(&self, scope: &str) -> Vec<SnapshotRecord> {
        let shown = self.cli(&["snapshots", "--scope", scope, "--json"]).json();
        serde_json::from_value(shown).unwrap()
    }

    /// Runs a scope now, waits, and returns its run whatever its end.
    #[track_caller]
    pub fn run(&self, scope: &str) -> Run {
        let ended = self.cli(&["run", "--scope", scope, "--wait", "--json"]);
        let mut runs: Vec<Run> = serde_json::from_str(&ended.stdout)
            .unwrap_or_else(|_| panic!("{}{}", ended.stdout, ended.stderr));
        assert_eq!(runs.len(), 1, "one scope, one run");
        runs.remove(0)
    }
}
