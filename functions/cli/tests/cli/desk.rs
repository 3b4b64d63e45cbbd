//! A user's desk: a folder, a sample ERP in it, and the program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

pub(crate) const PASSWORD: &str = "hunter2-of-the-tests";

/// A folder with a sample ERP, and the program inside it.
pub(crate) struct Desk {
    folder: TempDir,
}

pub(crate) struct Said {
    pub(crate) exit: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        logisedge_sample_erp::sqlite::create(&folder.path().join("erp.db"), 7, 1).unwrap();
        Self { folder }
    }

    /// Without a sample ERP.
    pub(crate) fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_logisedge-backup"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LOGISEDGE_REPOSITORY_PASSWORD", PASSWORD);
        command
    }

    pub(crate) fn said(&self, output: Output) -> Said {
        let text = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).unwrap();
            let here = self.folder.path().to_str().unwrap();
            let text = stamps_hidden(&text.replace(here, "HERE"));
            assert!(!text.contains(PASSWORD), "a secret was printed: {text}");
            text
        };
        Said {
            exit: output.status.code().unwrap(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        self.said(self.command(arguments).output().unwrap())
    }

    /// Runs it and expects success; returns what it printed.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.exit, 0, "{arguments:?}: {}{}", said.out, said.err);
        said.out
    }

    /// Runs it and expects a failure; returns what it said.
    pub(crate) fn fails(&self, exit: i32, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.exit, exit, "{arguments:?}: {}{}", said.out, said.err);
        assert_eq!(said.out, "", "an error goes to standard error");
        said.err
    }

    pub(crate) fn back_up(&self, scope: &str) {
        self.ok(&[
            "direct", "backup", "--at", "store", "--from", "erp.db", "--scope", scope,
        ]);
    }

    pub(crate) fn fails_usage(&self, arguments: &[&str]) {
        let output = self.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }

    pub(crate) fn restore(&self, exit: i32, to: &str, more: &[&str]) -> Said {
        let mut arguments = vec!["direct", "restore", "--at", "store", "latest", "--to", to];
        arguments.extend(more);
        let said = self.run(&arguments);
        assert_eq!(said.exit, exit, "{arguments:?}: {}{}", said.out, said.err);
        said
    }

    pub(crate) fn rows(&self, database: &str, table: &str) -> i64 {
        let db = rusqlite::Connection::open(self.path(database)).unwrap();
        let query = format!("SELECT count(*) FROM {table}");
        db.query_row(&query, [], |row| row.get(0)).unwrap()
    }
}

/// Chains and times are of the moment.
fn stamps_hidden(text: &str) -> String {
    let mut hidden = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("/full_") {
        // `/YYYY-MM-DD/full_YYYYMMDD_HHMMSS`
        hidden.push_str(&rest[..at.saturating_sub(11)]);
        hidden.push_str("/DAY/CHAIN");
        rest = &rest[(at + "/full_YYYYMMDD_HHMMSS".len()).min(rest.len())..];
    }
    hidden + rest
}

/// The biggest file below a folder.
pub(crate) fn biggest(folder: &Path) -> PathBuf {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort_by_key(|path| path.metadata().unwrap().len());
    found.pop().unwrap()
}

pub(crate) fn damage(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(path, bytes).unwrap();
}
