//! A database and roles of a test's own on the server that `LOGISEDGE_TEST_POSTGRES` names.

#![allow(clippy::unwrap_used, unreachable_pub, dead_code)]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use logisedge_sources::postgres::PostgresOptions;

/// The superuser's URL of the test server.
pub fn url() -> String {
    std::env::var("LOGISEDGE_TEST_POSTGRES").unwrap_or_else(|_| {
        panic!(
            "LOGISEDGE_TEST_POSTGRES is not set: start the tests with tests/run, or set it to the URL of \
             a superuser of a PostgreSQL server, postgres://postgres@127.0.0.1:5432/postgres"
        )
    })
}

/// A name that no other test uses.
pub fn unused(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let nanoseconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!(
        "le_{what}_{}_{count}_{}",
        std::process::id(),
        nanoseconds % 1_000_000_007
    )
}

/// How the superuser reaches a database of the test server.
pub fn options(database: &str) -> PostgresOptions {
    let mut options = PostgresOptions::from_url(&url()).unwrap();
    options.database = database.to_owned();
    options
}

/// A program of PostgreSQL's that connects as the superuser.
pub fn program(name: &str, database: &str) -> Command {
    let options = options(database);
    let config: tokio_postgres::Config = url().split('?').next().unwrap().parse().unwrap();
    let mut command = Command::new(name);
    command
        .env("PGHOST", &options.host)
        .env("PGPORT", options.port.to_string())
        .env("PGUSER", &options.user)
        .env("PGDATABASE", database);
    if let Some(password) = config.get_password() {
        command.env("PGPASSWORD", String::from_utf8_lossy(password).as_ref());
    }
    command
}

fn checked(output: Output) -> String {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {complaint}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Runs SQL with psql and returns what it prints, unaligned.
pub fn sql_in(database: &str, variables: &[(&str, &str)], sql: &str) -> String {
    let mut command = program("psql", database);
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
    for (name, value) in variables {
        command.arg("-v").arg(format!("{name}={value}"));
    }
    let mut child = command
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let sql = sql.to_owned();
    let feeder = std::thread::spawn(move || input.write_all(sql.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let _ = feeder.join();
    checked(output)
}

/// A role that is dropped at the end. Declare it before the databases that name it.
pub struct Role(pub String);

impl Role {
    pub fn new(what: &str, with: &str) -> Self {
        let name = unused(what);
        sql_in("postgres", &[], &format!("CREATE ROLE {name} {with}"));
        Self(name)
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let sql = format!("DROP ROLE IF EXISTS {}", self.0);
        let _ = program("psql", "postgres")
            .args(["-X", "-q", "-c", &sql])
            .output();
    }
}

/// A database that is dropped at the end.
pub struct Database(pub String);

impl Database {
    pub fn new(what: &str) -> Self {
        let name = unused(what);
        sql_in(
            "postgres",
            &[],
            &format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'"),
        );
        Self(name)
    }

    pub fn options(&self) -> PostgresOptions {
        options(&self.0)
    }

    pub fn sql(&self, sql: &str) -> String {
        sql_in(&self.0, &[], sql)
    }

    /// What stock `pg_dump` says: schema, and the rows of each table sorted.
    pub fn dump(&self) -> (String, BTreeMap<String, Vec<String>>) {
        let schema = checked(
            program("pg_dump", &self.0)
                .arg("--schema-only")
                .output()
                .unwrap(),
        );
        let schema = schema
            .lines()
            .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
            .collect::<Vec<_>>()
            .join("\n");
        let data = checked(
            program("pg_dump", &self.0)
                .arg("--data-only")
                .output()
                .unwrap(),
        );
        let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut open: Option<String> = None;
        for line in data.lines() {
            match &open {
                Some(_) if line == "\\." => open = None,
                Some(table) => tables.get_mut(table).unwrap().push(line.to_owned()),
                None if line.starts_with("COPY ") => {
                    tables.insert(line.to_owned(), Vec::new());
                    open = Some(line.to_owned());
                }
                None if line.starts_with("SELECT pg_catalog.") => {
                    tables
                        .entry("others".to_owned())
                        .or_default()
                        .push(line.to_owned());
                }
                None => {}
            }
        }
        tables.values_mut().for_each(|rows| rows.sort());
        (schema, tables)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.0);
        let _ = program("psql", "postgres")
            .args(["-X", "-q", "-c", &sql])
            .output();
    }
}

/// Runs a snapshot's restore.sql with psql in `folder`.
pub fn psql_restore(folder: &Path, database: &str) {
    let mut command = program("psql", database);
    let output = command
        .args(["-X", "-q", "-f", "restore.sql"])
        .current_dir(folder)
        .output()
        .unwrap();
    checked(output);
}
