//! What commands that work on a location alone are told.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use logisedge_domain::id::ScopeName;
use logisedge_domain::snapshot::Kind;

use super::To;

#[derive(Debug, Args)]
pub(crate) struct Direct {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: DirectCommand,
}

/// The location that a direct command works on.
#[derive(Debug, Args)]
pub(crate) struct At {
    /// The location: a folder's path, or s3://bucket/prefix.
    #[arg(long, value_name = "LOCATION")]
    pub(crate) at: String,
    /// A file whose first line is the repository password; otherwise the environment variable
    /// LOGISEDGE_REPOSITORY_PASSWORD is read.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DirectCommand {
    /// Back a database up into the location.
    Backup {
        #[command(flatten)]
        at: At,
        /// postgres://user@host/database (password from PGPASSWORD) or an SQLite file.
        #[arg(long, value_name = "SOURCE")]
        from: String,
        /// The scope's name at the location.
        #[arg(long, default_value = "full-database")]
        scope: ScopeName,
        /// Only tables that match this pattern; may be repeated. A preset's patterns apply where the
        /// scope has a preset's name and no pattern is given.
        #[arg(long, value_name = "PATTERN")]
        include: Vec<String>,
        /// No tables that match this pattern; may be repeated.
        #[arg(long, value_name = "PATTERN", requires = "include")]
        exclude: Vec<String>,
        /// An incremental shares what the scope's newest chain at the location holds, a differential
        /// what that chain's full holds. Where there is no usable chain a full is taken.
        #[arg(long, value_name = "KIND", default_value = "full")]
        kind: Kind,
        /// Read every row, also where page ranges of PostgreSQL tables are proven unchanged.
        #[arg(long)]
        read_all: bool,
        /// Parallel connections to PostgreSQL.
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
        connections: u32,
        /// The pg_dump to run for the schema.
        #[arg(long, default_value = "pg_dump")]
        pg_dump: String,
        /// zstd's level.
        #[arg(long, default_value_t = logisedge_repository::Options::default().zstd_level,
              value_parser = clap::value_parser!(i32).range(1..=19))]
        zstd_level: i32,
        /// Bytes of memory that it may use; about 96 MB over two connections if left out.
        #[arg(long, value_name = "BYTES")]
        memory_bytes_max: Option<u64>,
    },
    /// List the snapshots at the location.
    Snapshots {
        #[command(flatten)]
        at: At,
    },
    /// Read a snapshot back whole.
    Verify {
        #[command(flatten)]
        at: At,
        /// The snapshot's id, or enough of its beginning, or `latest`.
        snapshot: String,
        /// With `latest`: of this scope.
        #[arg(long)]
        scope: Option<ScopeName>,
    },
    /// Restore a snapshot and compare what arrived.
    Restore {
        #[command(flatten)]
        at: At,
        /// The snapshot's id, or enough of its beginning, or `latest`.
        snapshot: String,
        /// With `latest`: of this scope.
        #[arg(long)]
        scope: Option<ScopeName>,
        #[command(flatten)]
        to: To,
    },
}
