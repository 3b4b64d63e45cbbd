//! What SQLite's result codes mean for an operator.

use std::path::Path;

use rusqlite::ErrorCode;

pub(super) use crate::files::of_system;
use crate::{SourceError, SourceErrorKind};

/// An error about a database file, from what SQLite said.
pub(super) fn of_sqlite(
    operation: &'static str,
    object: impl Into<String>,
    error: rusqlite::Error,
) -> SourceError {
    let (kind, message) = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            SourceErrorKind::Busy,
            "another program holds its lock; try again when that program is done".to_owned(),
        ),
        Some(ErrorCode::NotADatabase) => (
            SourceErrorKind::Unsupported,
            "it is no SQLite database, or it is encrypted; name a plain SQLite 3 file".to_owned(),
        ),
        Some(ErrorCode::DatabaseCorrupt) => (
            SourceErrorKind::Failed,
            format!(
                "the database is damaged ({error}); restore an earlier snapshot or try `sqlite3 FILE .recover`"
            ),
        ),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => (
            SourceErrorKind::Denied,
            format!(
                "SQLite may not open it ({error}); give this user read access to the file, and write access to its folder, where SQLite keeps the -wal, -shm and -journal files"
            ),
        ),
        Some(ErrorCode::DiskFull) => (
            SourceErrorKind::NoRoom,
            "the disk is full; free some room or name a folder on another disk".to_owned(),
        ),
        _ => (SourceErrorKind::Failed, error.to_string()),
    };
    SourceError {
        kind,
        operation,
        object: object.into(),
        message,
        source: Some(Box::new(error)),
    }
}

/// An error that this crate found itself.
pub(super) fn of(
    kind: SourceErrorKind,
    operation: &'static str,
    object: impl Into<String>,
    message: impl Into<String>,
) -> SourceError {
    SourceError {
        kind,
        operation,
        object: object.into(),
        message: message.into(),
        source: None,
    }
}

/// A thread that ended before its work did: the runtime is shutting down, or it panicked.
pub(super) fn of_thread(
    operation: &'static str,
    path: &Path,
    error: tokio::task::JoinError,
) -> SourceError {
    SourceError {
        source: Some(Box::new(error)),
        ..of(
            SourceErrorKind::Aborted,
            operation,
            path.display().to_string(),
            "its thread ended before the work was done",
        )
    }
}
