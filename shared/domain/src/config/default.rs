//! The configuration file that `setup` writes: every preset as a scope, and the default schedule.

use std::fmt::Write;

use super::sources::SSL_MODES;
use super::{LocationConfig, SecretRef, SourceConfig};
use crate::id::{LocationName, SourceName};
use crate::presets::{FULL_DATABASE, PRESETS};

/// What `setup` is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupOptions {
    /// The IANA zone of the default schedule.
    pub time_zone: String,
    /// What to call the source.
    pub source_name: SourceName,
    /// How it is reached.
    pub source: SourceConfig,
    /// What to call the location.
    pub location_name: LocationName,
    /// How it is reached.
    pub location: LocationConfig,
}

/// The text of a configuration file that [`super::Config::parse`] accepts: the full database every
/// night at 02:00, kept as [`KEEP_SEED`](super::KEEP_SEED) says.
///
/// A value that the form refuses (an unknown zone, a bucket name with a slash) is written all the
/// same, so that parsing the text names it with its place.
pub fn default_config(options: &SetupOptions) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_config(&mut text, options);
    text
}

fn write_config(out: &mut String, options: &SetupOptions) -> std::fmt::Result {
    writeln!(out, "# The configuration of LogisEdge Backup.")?;
    writeln!(
        out,
        "# Change it, then: logisedge-backup apply FILE [--dry-run]\n"
    )?;
    writeln!(out, "version = 1")?;
    writeln!(
        out,
        "time_zone = {}  # IANA zone of the schedules\n",
        quoted(&options.time_zone)
    )?;
    writeln!(out, "# The database.")?;
    writeln!(out, "[sources.{}]", options.source_name)?;
    write_source(out, &options.source)?;
    writeln!(out, "\n# Where snapshots are stored.")?;
    writeln!(out, "[locations.{}]", options.location_name)?;
    write_location(out, &options.location)?;
    write_scopes(out, options)?;
    write_schedule(out, options)
}

fn write_source(out: &mut String, source: &SourceConfig) -> std::fmt::Result {
    match source {
        SourceConfig::Postgresql {
            host,
            port,
            database,
            user,
            password,
            sslmode,
            ca_file,
            pg_dump,
            connections,
            skip_unchanged,
            effort: _,
        } => {
            writeln!(out, "kind = \"postgresql\"")?;
            writeln!(out, "host = {}", quoted(host))?;
            writeln!(out, "port = {port}")?;
            writeln!(out, "database = {}", quoted(database))?;
            writeln!(out, "user = {}", quoted(user))?;
            if let Some(password) = password {
                writeln!(out, "password = {}", secret(password))?;
            }
            for (word, _) in SSL_MODES.iter().filter(|(_, mode)| mode == sslmode) {
                writeln!(out, "sslmode = \"{word}\"")?;
            }
            if let Some(ca_file) = ca_file {
                writeln!(out, "ca_file = {}", quoted(ca_file))?;
            }
            writeln!(out, "pg_dump = {}", quoted(pg_dump))?;
            writeln!(out, "connections = {connections}")?;
            match skip_unchanged {
                true => Ok(()),
                false => writeln!(out, "skip_unchanged = false"),
            }
        }
        SourceConfig::Sqlite { path, effort: _ } => {
            writeln!(out, "kind = \"sqlite\"")?;
            writeln!(out, "path = {}", quoted(path))
        }
    }
}

fn write_location(out: &mut String, location: &LocationConfig) -> std::fmt::Result {
    let password = match location {
        LocationConfig::S3 {
            bucket,
            prefix,
            region,
            repository_password,
            capacity_bytes_max: _,
            object_lock: _,
        } => {
            writeln!(out, "kind = \"s3\"")?;
            writeln!(out, "bucket = {}", quoted(bucket))?;
            if !prefix.is_empty() {
                writeln!(out, "prefix = {}", quoted(prefix))?;
            }
            if let Some(region) = region {
                writeln!(out, "region = {}", quoted(region))?;
            }
            repository_password
        }
        LocationConfig::Folder {
            path,
            repository_password,
            capacity_bytes_max: _,
        } => {
            writeln!(out, "kind = \"folder\"")?;
            writeln!(out, "path = {}", quoted(path))?;
            repository_password
        }
    };
    writeln!(
        out,
        "# Without this password no backup can be read: keep a copy elsewhere."
    )?;
    writeln!(out, "repository_password = {}", secret(password))
}

fn write_scopes(out: &mut String, options: &SetupOptions) -> std::fmt::Result {
    writeln!(
        out,
        "\n# What can be backed up on its own; each may be named in schedules."
    )?;
    let source = quoted(options.source_name.as_str());
    writeln!(out, "[scopes.{FULL_DATABASE}]")?;
    writeln!(out, "source = {source}")?;
    writeln!(out, "preset = \"{FULL_DATABASE}\"")?;
    for (name, patterns) in PRESETS {
        writeln!(out, "\n[scopes.{name}]  # tables: {}", patterns.join(", "))?;
        writeln!(out, "source = {source}")?;
        writeln!(out, "preset = \"{name}\"")?;
    }
    writeln!(
        out,
        "\n# A scope of your own:\n\
         # [scopes.orders-2026]\n\
         # source = {source}\n\
         # include = [\"public.orders_2026*\"]\n\
         # exclude = [\"*_old\"]"
    )
}

fn write_schedule(out: &mut String, options: &SetupOptions) -> std::fmt::Result {
    let location = quoted(options.location_name.as_str());
    writeln!(
        out,
        "\n# When. Others: every = \"week\" with on = [\"mon\", \"thu\"], every = \"month\" with day = 1\n\
         # or \"last\", every = \"15 minutes\", cron = \"0 2 * * 1-5\".\n\
         [schedules.daily]\n\
         every = \"day\"\n\
         at = \"02:00\"\n\
         kind = \"full\"  # or \"incremental\" or \"differential\", with full = \"weekly\"\n\
         scopes = [\"{FULL_DATABASE}\"]\n\
         location = {location}\n\
         # The newest of each of 7 days, 4 weeks and 12 months. The newest verified snapshot is kept\n\
         # whatever this says. See what comes of it: logisedge-backup retention preview --file FILE\n\
         keep = {{ daily = 7, weekly = 4, monthly = 12 }}\n\
         # Missed runs are always told.\n\
         alerts = {{ success = true, failure = true, finding = true, clean_up = false }}"
    )
}

fn secret(reference: &SecretRef) -> String {
    match reference {
        SecretRef::Secret(name) => format!("{{ secret = {} }}", quoted(name)),
        SecretRef::Env(name) => format!("{{ env = {} }}", quoted(name)),
        SecretRef::File(path) => format!("{{ file = {} }}", quoted(path)),
    }
}

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
