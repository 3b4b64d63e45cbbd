//! The configuration: its values, and the TOML file that they come from.
//!
//! `parse.rs` turns the file into values through `reader.rs`, which notes every problem with its
//! place; `sources.rs`, `locations.rs`, `scopes.rs`, `schedules.rs`, `times.rs`, `keep.rs` and `alerts.rs`
//! read one kind of section, or a part of one, each. `default.rs` writes the file that `setup` begins with, `diff.rs` tells two
//! configurations apart. `example.toml` is the documentation of the file's form.

mod alerts;
mod default;
mod diff;
mod keep;
mod locations;
mod parse;
mod problem;
mod reader;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod refused;
mod schedules;
mod scopes;
mod sources;
#[cfg(test)]
mod tests;
mod times;
mod values;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use default::{SetupOptions, default_config};
pub use diff::{Change, ChangeKind, diff};
pub use keep::{KEEP_DAYS, KEEP_SEED};
pub use parse::{CONFIG_BYTES_MAX, CONFIG_VERSION};
pub use problem::{ConfigProblem, ConfigProblems};
pub use sources::{CONNECTIONS, POSTGRESQL_PORT};
pub use times::{CATCH_UP_SECONDS, CATCH_UP_SECONDS_MAX, CATCH_UP_SECONDS_MIN, SKIP_DATES_MAX};

use crate::alert::AlertSettings;
use crate::id::{LocationName, ScopeName, SourceName};
use crate::schedule::Schedule;
use crate::scope::Scope;
use crate::storage::LockMode;

/// A whole, valid configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Sources by name.
    pub sources: BTreeMap<SourceName, SourceConfig>,
    /// Locations by name.
    pub locations: BTreeMap<LocationName, LocationConfig>,
    /// Scopes by name.
    pub scopes: BTreeMap<ScopeName, Scope>,
    /// Schedules, sorted by name.
    pub schedules: Vec<Schedule>,
    /// How alerts of all of them are told.
    #[serde(default, skip_serializing_if = "AlertSettings::is_default")]
    pub alerts: AlertSettings,
}

/// Where a secret is found. The secret itself is never part of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SecretRef {
    /// In AWS Secrets Manager: a name or ARN, optionally `#key` of a JSON secret.
    Secret(String),
    /// In an environment variable.
    Env(String),
    /// In a file; a trailing line end is dropped.
    File(String),
}

/// How a source is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum SourceConfig {
    /// A PostgreSQL server, version 13 or later.
    Postgresql {
        /// Host name, address, or the folder of a Unix socket.
        host: String,
        /// 5432 if not given.
        port: u16,
        /// The database.
        database: String,
        /// The role to connect as.
        user: String,
        /// None: no password (peer or trust authentication, client certificates).
        password: Option<SecretRef>,
        /// As libpq's `sslmode`. If not given: `verify-full`; `prefer` to this machine's own
        /// address; `disable` over a Unix socket, which has no TLS.
        sslmode: SslMode,
        /// A PEM file of certificate authorities; the system's if none.
        ca_file: Option<String>,
        /// The `pg_dump` to run for the schema, looked up in PATH without a slash.
        pg_dump: String,
        /// Parallel connections, 1 to 64.
        connections: u32,
        /// Whether page ranges that are proven unchanged are left unread by incrementals and
        /// differentials, and every backup leaves a witness for that in the server's commit log.
        #[serde(default = "yes", skip_serializing_if = "is_yes")]
        skip_unchanged: bool,
        /// What a backup of it may cost.
        #[serde(flatten)]
        effort: Effort,
    },
    /// An SQLite database file.
    Sqlite {
        /// Its path.
        path: String,
        /// What a backup of it may cost.
        #[serde(flatten)]
        effort: Effort,
    },
}

fn yes() -> bool {
    true
}

fn is_yes(answer: &bool) -> bool {
    *answer
}

impl SourceConfig {
    /// What a backup of it may cost.
    pub fn effort(&self) -> Effort {
        match self {
            Self::Postgresql { effort, .. } | Self::Sqlite { effort, .. } => *effort,
        }
    }
}

/// What a backup of a source may cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effort {
    /// zstd's level, 1 to 19. None: the program's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zstd_level: Option<i32>,
    /// Bytes of memory that it may use. None: what suits the connections; see [`crate::memory`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes_max: Option<u64>,
}

/// As libpq's `sslmode`, with the same meanings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS if the server offers it.
    Prefer,
    /// TLS, the certificate is not checked.
    Require,
    /// TLS, the certificate's issuer is checked.
    VerifyCa,
    /// TLS, the certificate's issuer and host name are checked.
    VerifyFull,
}

/// How a location is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum LocationConfig {
    /// A bucket of S3 or of an S3-compatible store.
    S3 {
        /// The bucket.
        bucket: String,
        /// A key prefix without slashes at its ends; empty for none.
        prefix: String,
        /// The region, if not the function's own.
        region: Option<String>,
        /// The password that opens the repositories there.
        repository_password: SecretRef,
        /// Bytes that may lie there. None: as many as there is room for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        capacity_bytes_max: Option<u64>,
        /// How schedules with a lock lock what they store. None: the bucket may have no Object Lock.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        object_lock: Option<LockMode>,
    },
    /// A local or mounted folder. Only the command line can use it.
    Folder {
        /// An absolute path.
        path: String,
        /// The password that opens the repositories there.
        repository_password: SecretRef,
        /// Bytes that may lie there. None: as many as there is room for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        capacity_bytes_max: Option<u64>,
    },
}

impl LocationConfig {
    /// Bytes that may lie there, if that is limited.
    pub fn capacity_bytes_max(&self) -> Option<u64> {
        match self {
            Self::S3 {
                capacity_bytes_max, ..
            }
            | Self::Folder {
                capacity_bytes_max, ..
            } => *capacity_bytes_max,
        }
    }

    /// Where it lies: `s3://bucket/prefix`, or a path.
    pub fn place(&self) -> String {
        match self {
            Self::S3 { bucket, prefix, .. } => format!("s3://{bucket}/{prefix}"),
            Self::Folder { path, .. } => path.clone(),
        }
    }

    /// How what schedules lock is locked there, if it can be.
    pub fn object_lock(&self) -> Option<LockMode> {
        match self {
            Self::S3 { object_lock, .. } => *object_lock,
            Self::Folder { .. } => None,
        }
    }
}
