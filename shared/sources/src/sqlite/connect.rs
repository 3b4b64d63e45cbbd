//! Opening database files: never creating one, never changing what is only read.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::failure;
use crate::SourceError;

/// How long a statement waits for others' locks.
pub(super) const BUSY_WAIT: Duration = Duration::from_secs(30);

/// Opens an existing file to read it and asks it something, so that what is no database is found
/// here. Opens it for writing only where SQLite must first roll back or replay what a crashed
/// program left beside it.
pub(super) fn open_to_read(
    path: &Path,
    operation: &'static str,
) -> Result<Connection, SourceError> {
    let facts =
        std::fs::metadata(path).map_err(|error| failure::of_system(operation, path, error))?;
    if facts.is_dir() {
        return Err(failure::of(
            crate::SourceErrorKind::NotFound,
            operation,
            path.display().to_string(),
            "it is a folder; name the database file inside it",
        ));
    }
    // An unreadable file gives SQLite's vague "unable to open"; the system says why.
    std::fs::File::open(path).map_err(|error| failure::of_system(operation, path, error))?;
    let first = open_with(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
    let opened = match first {
        Err(error)
            if matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly)
            ) =>
        {
            open_with(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        }
        other => other,
    };
    opened.map_err(|error| failure::of_sqlite(operation, path.display().to_string(), error))
}

/// Opens a file that nobody else uses, without files beside it.
pub(super) fn open_private(path: &Path) -> rusqlite::Result<Connection> {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => {
                uri.push(char::from(*byte));
            }
            other => uri.push_str(&format!("%{other:02x}")),
        }
    }
    uri.push_str("?immutable=1");
    let db = Connection::open_with_flags(
        uri,
        OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    settle(&db)?;
    Ok(db)
}

fn open_with(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    settle(&db)?;
    Ok(db)
}

fn settle(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(BUSY_WAIT)?;
    // Statements in a schema that somebody else wrote must not run functions with side effects.
    db.pragma_update(None, "trusted_schema", false)?;
    db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
}
