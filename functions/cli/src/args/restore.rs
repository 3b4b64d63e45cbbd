//! What a restore is told, from the catalog and directly.

use clap::{Args, ValueEnum};
use logisedge_domain::id::ScopeName;
use logisedge_domain::storage::ThawSpeed;
use logisedge_engine::thaw::THAW_DAYS;

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The snapshot's id, or enough of its beginning, or `latest`.
    pub(crate) snapshot: String,
    /// With `latest`: of this scope.
    #[arg(long)]
    pub(crate) scope: Option<ScopeName>,
    #[command(flatten)]
    pub(crate) to: To,
}

/// Where a restore goes.
#[derive(Debug, Args)]
pub(crate) struct To {
    /// postgres://user@host/database (password from PGPASSWORD), an SQLite file (sqlite:PATH, or a
    /// path ending in .db or .sqlite), a script (PATH.sql), or a folder (PATH/).
    #[arg(long, value_name = "TARGET")]
    pub(crate) to: String,
    /// Replace what the target holds.
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Restore into PostgreSQL although roles that own things or hold rights there are missing;
    /// what they owned then belongs to the connecting role.
    #[arg(long)]
    pub(crate) skip_missing_roles: bool,
    /// Parallel connections into PostgreSQL.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) connections: u32,
    /// Ask S3 to thaw rows that lie in an archived storage class. Without it a restore says how long
    /// that takes and what it costs. When they are readable, the same command restores.
    #[arg(long, value_name = "SPEED", value_enum)]
    pub(crate) thaw: Option<Speed>,
    /// For how many days they stay readable.
    #[arg(long, value_name = "DAYS", default_value_t = THAW_DAYS, value_parser = clap::value_parser!(u32).range(1..=365))]
    pub(crate) thaw_days: u32,
    /// Stay until they are readable, hours or days, and restore then.
    #[arg(long)]
    pub(crate) wait: bool,
}

/// How fast S3 thaws.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Speed {
    /// Within minutes; not from DEEP_ARCHIVE.
    Expedited,
    /// Within 5 hours from GLACIER, 12 from DEEP_ARCHIVE.
    Standard,
    /// Within 12 hours from GLACIER, 48 from DEEP_ARCHIVE; the cheapest.
    Bulk,
}

impl From<Speed> for ThawSpeed {
    fn from(speed: Speed) -> Self {
        match speed {
            Speed::Expedited => Self::Expedited,
            Speed::Standard => Self::Standard,
            Speed::Bulk => Self::Bulk,
        }
    }
}
