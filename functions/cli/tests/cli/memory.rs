//! Memory: its peak is the same whatever the size of the database, and below what the README says.

use std::process::Command;

use crate::desk::{Desk, PASSWORD};

/// Runs the program and prints the peak of its memory in KiB (bytes on macOS), as the kernel counts it.
const PEAK: &str = "import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(peak if sys.platform == 'darwin' else peak * 1024)
sys.exit(code)";

fn psql(url: &str, sql: &str) {
    let mut command = Command::new("psql");
    command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql, url]);
    let output = command
        .output()
        .expect("psql must be installed: apt-get install postgresql-client");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A database of its own, dropped at the end.
struct Database {
    server: String,
    name: String,
}

impl Database {
    fn with_rows(rows: u32) -> Self {
        let server = std::env::var("LOGISEDGE_TEST_POSTGRES").expect(
            "LOGISEDGE_TEST_POSTGRES names a server: use tests/run, or local-emulation/postgres",
        );
        let name = format!("le_memory_{}_{rows}", std::process::id());
        psql(&server, &format!("CREATE DATABASE {name}"));
        let database = Self { server, name };
        // Hardly compressible, so that packs are uploaded all the time.
        psql(
            &database.url(),
            &format!(
                "CREATE TABLE big AS SELECT i, md5(i::text) || md5((-i)::text) || md5((i * 3)::text) AS text \
                 FROM generate_series(1, {rows}) i"
            ),
        );
        database
    }

    fn url(&self) -> String {
        let (server, _) = self.server.rsplit_once('/').unwrap();
        format!("{server}/{}", self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        psql(
            &self.server,
            &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name),
        );
    }
}

/// Peak memory of the program in bytes.
fn peak(desk: &Desk, arguments: &[&str]) -> u64 {
    let mut command = Command::new("python3");
    command
        .args(["-c", PEAK, env!("CARGO_BIN_EXE_logisedge-backup")])
        .args(arguments)
        .current_dir(desk.path(""))
        .env("LOGISEDGE_REPOSITORY_PASSWORD", PASSWORD);
    let output = command.output().expect("python3 must be installed");
    let (said, errors) = (output.stdout, String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(said).unwrap().trim().parse().unwrap()
}

#[test]
fn ten_times_the_rows_take_the_same_memory() {
    let desk = Desk::empty();
    let peaks = [70_000, 700_000].map(|rows| {
        let database = Database::with_rows(rows);
        let (from, at) = (database.url(), rows.to_string());
        let back_up = |kind| {
            peak(
                &desk,
                &[
                    "direct", "backup", "--kind", kind, "--at", &at, "--from", &from,
                ],
            )
        };
        let full = back_up("full");
        psql(&from, "UPDATE big SET text = text || 'x' WHERE i % 3 = 0");
        let incremental = back_up("incremental");
        let verify = peak(&desk, &["direct", "verify", "--at", &at, "latest"]);
        [full, incremental, verify]
    });
    let [small, big] = peaks;
    for (small, big) in small.into_iter().zip(big) {
        assert!(big < 96_000_000, "{peaks:?}");
        assert!(big < small + 24_000_000, "{peaks:?}");
    }
}
