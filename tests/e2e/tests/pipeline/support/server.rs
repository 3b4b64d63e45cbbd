//! A PostgreSQL server of a test's own that asks for passwords; the tests' common server trusts everybody.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::{output, said};

/// The superuser's password.
pub const PASSWORD: &str = "Qj4-the-right-password-that-nobody-may-see";

pub struct Server {
    pub port: u16,
    process: Child,
    folder: tempfile::TempDir,
}

/// A program of the server's, as a user that may run it: PostgreSQL refuses root.
fn server_program(name: &str) -> Command {
    let path = std::env::var_os("PATH").unwrap();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for root in ["/usr/lib/postgresql", "/opt/homebrew/opt"] {
        let found = std::fs::read_dir(root).into_iter().flatten();
        folders.extend(found.map(|entry| entry.unwrap().path().join("bin")));
    }
    let programs = folders.iter().map(|folder| folder.join(name));
    let program = programs.filter(|path| path.exists()).max();
    let program = program.unwrap_or_else(|| {
        panic!(
            "{name} is missing: install PostgreSQL's server (Debian: apt-get install postgresql)"
        )
    });
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid",
        "postgres",
        "--regid",
        "postgres",
        "--clear-groups",
        "--",
    ]);
    command.arg(program);
    command
}

fn is_root() -> bool {
    said(Command::new("id").arg("-u")).trim() == "0"
}

impl Server {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let password = folder.path().join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        if is_root() {
            said(
                Command::new("chown")
                    .args(["-R", "postgres"])
                    .arg(folder.path()),
            );
        }
        let data = folder.path().join("data");
        let mut initdb = server_program("initdb");
        initdb.args([
            "-U",
            "postgres",
            "-A",
            "scram-sha-256",
            "-E",
            "UTF8",
            "--no-sync",
        ]);
        said(initdb.arg("--pwfile").arg(&password).arg("-D").arg(&data));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let process = server_program("postgres")
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "unix_socket_directories=", "-c", "fsync=off"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        Self {
            port,
            process,
            folder,
        }
    }

    /// Runs a statement, once the server answers.
    pub fn try_sql(&self, sql: &str) -> Option<String> {
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", self.port);
        let mut psql = Command::new("psql");
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", &url, "-c", sql]);
        let output = output(psql.env("PGPASSWORD", PASSWORD));
        output
            .status
            .success()
            .then(|| String::from_utf8(output.stdout).unwrap())
    }

    /// What the server logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // setpriv became the server, so this is its own process. SIGINT closes what is open.
        let _ = Command::new("kill")
            .args(["-INT", &self.process.id().to_string()])
            .output();
        let _ = self.process.wait();
    }
}
