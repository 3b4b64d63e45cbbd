//! A PostgreSQL database of a test's own on the server that `LOGISEDGE_TEST_POSTGRES` names.

use std::process::Command;

use logisedge_sources::postgres::{PostgresOptions, PostgresSource};

fn url() -> String {
    std::env::var("LOGISEDGE_TEST_POSTGRES").unwrap_or_else(|_| {
        panic!(
            "LOGISEDGE_TEST_POSTGRES is not set: start the tests with tests/run, or set it to the URL of \
             a superuser of a PostgreSQL server, postgres://postgres@127.0.0.1:5432/postgres"
        )
    })
}

/// What a program says that succeeds.
pub(crate) fn said(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| {
        panic!(
            "{} does not start: {error}; tests/run says what to install",
            command.get_program().display()
        )
    });
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

fn psql(url: &str, sql: &str) -> String {
    said(Command::new("psql").args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql]))
}

/// A database, dropped at the end.
pub(crate) struct Database(String);

impl Database {
    pub(crate) fn create() -> Self {
        let name = format!("le_engine_{:016x}", getrandom::u64().unwrap());
        psql(
            &url(),
            &format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'"),
        );
        Self(name)
    }

    /// As the superuser reaches it; the tests' server speaks no TLS.
    pub(crate) fn url(&self) -> String {
        let server = url();
        let (before, _) = server.rsplit_once('/').unwrap();
        format!("{before}/{}", self.0)
    }

    pub(crate) fn options(&self) -> PostgresOptions {
        PostgresOptions::from_url(&format!("{}?sslmode=disable", self.url())).unwrap()
    }

    pub(crate) fn source(&self) -> PostgresSource {
        PostgresSource::new(self.options())
    }

    pub(crate) fn sql(&self, sql: &str) -> String {
        psql(&self.url(), sql)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.0);
        let _ = Command::new("psql")
            .args(["-XAtq", "-d", &url(), "-c", &sql])
            .output();
    }
}
