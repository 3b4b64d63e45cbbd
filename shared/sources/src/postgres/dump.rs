//! Schema sections from the stock `pg_dump`, under a snapshot that is open already.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::failure::failed;
use super::options::{PostgresOptions, sslmode_name};
use super::tls;
use crate::{SourceError, SourceErrorKind};
use logisedge_domain::config::SslMode;

/// How long `pg_dump` waits for locks. The tables are locked already, so all it can wait for is
/// someone who in turn waits for this backup: waiting longer would not help.
const LOCK_WAIT: &str = "--lock-wait-timeout=3s";

fn trouble(message: impl Into<String>) -> SourceError {
    failed(
        SourceErrorKind::PgDump,
        "dump the schema with",
        "pg_dump",
        message,
    )
}

/// Checks that `pg_dump` is there and not older than the server; returns its version, `15.18`.
pub(super) async fn version(path: &Path, server_major: u32) -> Result<String, SourceError> {
    let output = Command::new(path)
        .arg("--version")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| {
            trouble(format!(
                "{} cannot be run ({error}); install PostgreSQL's client programs, version \
                 {server_major} or later, or configure the path of pg_dump",
                path.display()
            ))
        })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text
        .trim()
        .strip_prefix("pg_dump (PostgreSQL) ")
        .and_then(|rest| rest.split_whitespace().next())
        .ok_or_else(|| trouble(format!("{} does not say its version", path.display())))?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    match digits.parse::<u32>() {
        Ok(major) if major >= server_major => Ok(version.to_owned()),
        _ => Err(trouble(format!(
            "{} is version {version} and the server is version {server_major}; pg_dump must not be \
             older: install PostgreSQL's client programs, version {server_major} or later",
            path.display()
        ))),
    }
}

/// What a dump is to hold.
pub(super) struct Wanted<'a> {
    /// The exported snapshot's id.
    pub(super) snapshot: &'a str,
    /// Patterns of relations to leave out, quoted.
    pub(super) excluded: &'a [String],
    /// Whether it is the whole database, publications and all.
    pub(super) everything: bool,
}

/// One section, `pre-data` or `post-data`, as a script for psql.
pub(super) async fn section(
    options: &PostgresOptions,
    name: &str,
    wanted: &Wanted<'_>,
) -> Result<String, SourceError> {
    let mut command = Command::new(&options.pg_dump);
    // Only what is said here counts, not what the surroundings happen to set.
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("PG") {
            command.env_remove(variable);
        }
    }
    let authorities = environment(options, &mut command)?;
    command.args([
        "--schema-only",
        "--no-password",
        "--encoding=UTF8",
        "--no-tablespaces",
    ]);
    command.args(["--no-subscriptions", LOCK_WAIT]);
    command.arg(format!("--section={name}"));
    command.arg(format!("--snapshot={}", wanted.snapshot));
    if !wanted.everything {
        command.arg("--no-publications");
    }
    for pattern in wanted.excluded {
        command.arg(format!("--exclude-table={pattern}"));
    }
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| trouble(format!("it cannot be run ({error})")))?;
    drop(authorities);
    let complaints = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if !output.status.success() && complaints.contains("LOCK TABLE") {
        return Err(failed(
            SourceErrorKind::Busy,
            "dump the schema with",
            "pg_dump",
            format!("a table is locked: {complaints}"),
        ));
    }
    let unreachable = ["connection to server", "server closed the connection"];
    if !output.status.success() && unreachable.iter().any(|text| complaints.contains(text)) {
        // It connects last and by itself, when the server may have no connection left.
        return Err(failed(
            SourceErrorKind::Unreachable,
            "dump the schema with",
            "pg_dump",
            complaints,
        ));
    }
    if !output.status.success() {
        return Err(trouble(format!(
            "it ended with {}: {complaints}",
            output.status
        )));
    }
    if !complaints.is_empty() {
        tracing::warn!(section = name, "pg_dump: {complaints}");
    }
    String::from_utf8(output.stdout).map_err(|_| trouble("its output is not UTF-8"))
}

/// Says in the environment how to connect: a command line could be read by every user of the
/// machine. The returned file has to live until the program ends.
fn environment(
    options: &PostgresOptions,
    command: &mut Command,
) -> Result<Option<tempfile::NamedTempFile>, SourceError> {
    command
        .env("PGHOST", &options.host)
        .env("PGPORT", options.port.to_string())
        .env("PGUSER", &options.user)
        .env("PGDATABASE", &options.database)
        .env("LC_ALL", "C")
        .env("PGAPPNAME", &options.application_name)
        .env(
            "PGCONNECT_TIMEOUT",
            options.connect_timeout.as_secs().max(2).to_string(),
        )
        .env("PGSSLMODE", sslmode_name(options.sslmode));
    if let Some(password) = &options.password {
        command.env("PGPASSWORD", OsString::from(password.reveal()));
    }
    if let Some(path) = &options.ca_file {
        command.env("PGSSLROOTCERT", path);
        return Ok(None);
    }
    if !matches!(options.sslmode, SslMode::VerifyCa | SslMode::VerifyFull) {
        // A file of the user's own would turn `require` into `verify-ca`.
        command.env("PGSSLROOTCERT", "/nonexistent");
        return Ok(None);
    }
    // libpq before 16 cannot use the system's authorities; any version can read a file.
    let file = tempfile::NamedTempFile::new()
        .and_then(|mut file| {
            file.write_all(tls::system_authorities_pem().as_bytes())?;
            Ok(file)
        })
        .map_err(|error| trouble(format!("the temporary CA file cannot be written ({error})")))?;
    command.env("PGSSLROOTCERT", file.path());
    Ok(Some(file))
}
