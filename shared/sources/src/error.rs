//! The one error type of this crate.

use logisedge_domain::retry::Retry;

/// What kind of thing went wrong with a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceErrorKind {
    /// No connection could be made, or it broke.
    Unreachable,
    /// The password, role or certificate was refused.
    Denied,
    /// A table, database or file is not there, or a pattern matches nothing.
    NotFound,
    /// Row-level security would hide rows from this role.
    RowsHidden,
    /// `pg_dump` is missing, too old, or failed.
    PgDump,
    /// The target of a restore already holds something.
    NotEmpty,
    /// This version or feature cannot be carried.
    Unsupported,
    /// Others hold locks that were waited for long enough.
    Busy,
    /// The disk that it writes to is full.
    NoRoom,
    /// The consumer of a stream went away; its own error tells why.
    Aborted,
    /// The database said no for another reason.
    Failed,
}

/// A failed operation on a database.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {object}: {message}")]
pub struct SourceError {
    /// What kind of failure.
    pub kind: SourceErrorKind,
    /// What was being done: `connect to`, `read`, `restore`.
    pub operation: &'static str,
    /// To what: `database erp at db.example:5432`, `table public.items`.
    pub object: String,
    /// Why, and what to do about it. Never a secret.
    pub message: String,
    /// The cause, where there is one.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl SourceError {
    /// Whether trying again can help.
    pub fn retry(&self) -> Retry {
        match self.kind {
            SourceErrorKind::Unreachable | SourceErrorKind::Busy => Retry::SOON,
            _ => Retry::Permanent,
        }
    }
}
