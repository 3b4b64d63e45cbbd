//! A PostgreSQL server of a test's own, which may be crashed, put back and promoted.

#![allow(clippy::unwrap_used, unreachable_pub, dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use logisedge_sources::postgres::{PostgresOptions, PostgresSource};

/// The folder of the newest server programs.
fn programs() -> PathBuf {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for place in ["/usr/lib/postgresql", "/opt/homebrew/opt"] {
        for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let major = name.trim_start_matches("postgresql@").parse().unwrap_or(0);
            let folder = entry.path().join("bin");
            if folder.join("initdb").exists() {
                found.push((major, folder));
            }
        }
    }
    let in_path = std::env::var_os("PATH").unwrap_or_default();
    found.extend(
        std::env::split_paths(&in_path)
            .filter(|folder| folder.join("initdb").exists())
            .map(|folder| (0, folder)),
    );
    found.sort();
    let newest = found.pop();
    newest
        .expect("PostgreSQL's server is missing: install it (Debian: apt-get install postgresql)")
        .1
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.starts_with(b"0\n")
}

/// A cluster below a folder of its own, reached over a Unix socket there. Ends when dropped.
pub struct Cluster {
    folder: tempfile::TempDir,
    programs: PathBuf,
    /// Settings for the server's command line.
    settings: String,
}

impl Cluster {
    /// A running server with `settings` (`name=value`).
    pub fn new(settings: &[&str]) -> Self {
        let cluster = Self::empty(settings);
        let data = cluster.data();
        let data = data.to_str().unwrap();
        cluster.run(
            "initdb",
            &[
                "-D",
                data,
                "-U",
                "postgres",
                "--auth=trust",
                "--no-sync",
                "-E",
                "UTF8",
                "--locale=C",
            ],
        );
        cluster.start();
        cluster
    }

    fn empty(settings: &[&str]) -> Self {
        // A socket's path may have 107 bytes, so not below a deep folder.
        let folder = tempfile::Builder::new()
            .prefix("le-pg-")
            .tempdir_in("/tmp")
            .unwrap();
        if is_root() {
            // The server refuses to run as root.
            succeed(
                Command::new("chown")
                    .arg("postgres")
                    .arg(folder.path())
                    .output()
                    .unwrap(),
            );
        }
        let settings = settings
            .iter()
            .map(|setting| format!(" -c {setting}"))
            .collect();
        Self {
            folder,
            programs: programs(),
            settings,
        }
    }

    /// A standby of this server, stopped: it has what this server has now.
    pub fn standby(&self) -> Self {
        let mut standby = Self::empty(&[]);
        standby.settings.clone_from(&self.settings);
        let (socket, data) = (self.folder.path().to_str().unwrap(), standby.data());
        let data = data.to_str().unwrap();
        standby.run(
            "pg_basebackup",
            &[
                "-h", socket, "-U", "postgres", "-D", data, "-R", "-X", "stream", "-c", "fast",
            ],
        );
        standby
    }

    /// A path at which the server may write.
    pub fn place(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let program = self.programs.join(program);
        let mut command = match is_root() {
            true => {
                let mut command = Command::new("runuser");
                command.args(["-u", "postgres", "--"]).arg(&program);
                command
            }
            false => Command::new(&program),
        };
        succeed(command.args(arguments).current_dir("/").output().unwrap())
    }

    fn control(&self, arguments: &[&str]) {
        let (data, log) = (self.data(), self.folder.path().join("log"));
        let mut all = vec![
            "-D",
            data.to_str().unwrap(),
            "-w",
            "-s",
            "-l",
            log.to_str().unwrap(),
        ];
        all.extend(arguments);
        self.run("pg_ctl", &all);
    }

    pub fn start(&self) {
        let options = format!(
            "-c listen_addresses='' -c unix_socket_directories={} -c fsync=off -c max_wal_size=1GB \
             -c autovacuum=off{}",
            self.folder.path().display(),
            self.settings
        );
        self.control(&["-o", &options, "start"]);
    }

    pub fn stop(&self) {
        self.control(&["-m", "fast", "stop"]);
    }

    /// Ends it like a crash does: nothing is flushed first.
    pub fn crash(&self) {
        self.control(&["-m", "immediate", "stop"]);
    }

    pub fn promote(&self) {
        self.control(&["promote"]);
    }

    /// Copies the stopped server's disk.
    pub fn save(&self) -> Saved {
        self.copy(&self.data(), &self.saved());
        Saved(self.saved())
    }

    /// Puts the stopped server's disk back to what it was.
    pub fn put_back(&self, saved: &Saved) {
        succeed(
            Command::new("rm")
                .arg("-rf")
                .arg(self.data())
                .output()
                .unwrap(),
        );
        self.copy(&saved.0, &self.data());
    }

    fn saved(&self) -> PathBuf {
        self.folder.path().join("saved")
    }

    fn copy(&self, from: &Path, to: &Path) {
        succeed(
            Command::new("cp")
                .arg("-a")
                .args([from, to])
                .output()
                .unwrap(),
        );
    }

    pub fn reset_wal(&self, arguments: &[&str]) {
        let data = self.data();
        let mut all = vec!["-D", data.to_str().unwrap()];
        all.extend(arguments);
        self.run("pg_resetwal", &all);
    }

    /// A file of the stopped server's, made or replaced.
    pub fn write(&self, path: &str, content: &[u8]) {
        let path = self.data().join(path);
        std::fs::write(&path, content).unwrap();
        if is_root() {
            succeed(
                Command::new("chown")
                    .arg("postgres")
                    .arg(path)
                    .output()
                    .unwrap(),
            );
        }
    }

    pub fn options(&self) -> PostgresOptions {
        let socket = self.folder.path().to_str().unwrap();
        let mut options = PostgresOptions::new(socket, "postgres", "postgres");
        options.pg_dump = self.programs.join("pg_dump");
        options
    }

    pub fn source(&self) -> PostgresSource {
        PostgresSource::new(self.options())
    }

    /// A connection that can be held open.
    pub fn psql(&self) -> Command {
        let mut command = Command::new(self.programs.join("psql"));
        command.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "postgres",
            "-h",
        ]);
        command.arg(self.folder.path());
        command
    }

    /// Runs SQL, each statement on its own, and returns what it prints.
    pub fn sql(&self, sql: &str) -> String {
        let mut command = self.psql();
        for statement in sql.split(";;") {
            command.arg("-c").arg(statement);
        }
        succeed(command.output().unwrap()).trim().to_owned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.data().join("postmaster.pid").exists() {
            self.crash();
        }
    }
}

/// What a server's disk held.
pub struct Saved(PathBuf);

fn succeed(output: Output) -> String {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {complaint}", output.status);
    String::from_utf8(output.stdout).unwrap()
}
