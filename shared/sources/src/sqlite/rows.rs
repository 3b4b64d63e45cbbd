//! A table's rows as text: one `INSERT` statement a line.

use rusqlite::Connection;

use super::catalog::Table;
use super::failure;
use super::literal::{append, append_name};
use crate::{BUFFER_BYTES, RowHasher, SourceError, SourceErrorKind};
use logisedge_domain::manifest::ContentHash;

/// The longest statement that SQLite reads, in bytes (<https://www.sqlite.org/limits.html>, item 3).
const STATEMENT_BYTES_MAX: usize = 1_000_000_000;

/// Writes every row of `table` to `sink` in pieces of about [`BUFFER_BYTES`] (longer where a row
/// is) and returns their bytes. The order is the table's own, so an unchanged table gives an
/// unchanged stream.
pub(super) fn stream(
    db: &Connection,
    table: &Table,
    mut sink: impl FnMut(Vec<u8>) -> Result<(), SourceError>,
) -> Result<u64, SourceError> {
    let object = || format!("table {}", table.name);
    let said = |error| failure::of_sqlite("read", object(), error);
    let mut start = b"INSERT INTO ".to_vec();
    // A selection with a line end in a name is refused, as SQL cannot write one otherwise. Where
    // rows of a whole file are only counted, any stand-in does, as long as a row is one line.
    let one_line = |name: &str| name.replace(['\n', '\r'], " ");
    append_name(&mut start, &one_line(&table.name));
    if table.partial {
        for (at, column) in table.columns.iter().enumerate() {
            start.push(if at == 0 { b'(' } else { b',' });
            append_name(&mut start, &one_line(column));
        }
        start.push(b')');
    }
    start.extend_from_slice(b" VALUES(");

    let mut statement = db.prepare(&table.query()).map_err(said)?;
    let mut rows = statement.query([]).map_err(said)?;
    let mut buffer = Vec::with_capacity(BUFFER_BYTES + BUFFER_BYTES / 8);
    let mut bytes = 0;
    while let Some(row) = rows.next().map_err(said)? {
        let begin = buffer.len();
        buffer.extend_from_slice(&start);
        for column in 0..table.columns.len() {
            if column > 0 {
                buffer.push(b',');
            }
            append(&mut buffer, row.get_ref(column).map_err(said)?);
        }
        buffer.extend_from_slice(b");\n");
        if buffer.len() - begin > STATEMENT_BYTES_MAX {
            return Err(failure::of(
                SourceErrorKind::Unsupported,
                "read",
                object(),
                "it holds a row of more than 1 GB as SQL text, which SQLite could not read back; back up the full database instead",
            ));
        }
        if buffer.len() >= BUFFER_BYTES {
            bytes += buffer.len() as u64;
            let next = Vec::with_capacity(BUFFER_BYTES + BUFFER_BYTES / 8);
            sink(std::mem::replace(&mut buffer, next))?;
        }
    }
    if !buffer.is_empty() {
        bytes += buffer.len() as u64;
        sink(buffer)?;
    }
    Ok(bytes)
}

/// Counts and hashes the rows of `table` by the same text that [`stream`] gives.
pub(super) fn count(db: &Connection, table: &Table) -> Result<(u64, ContentHash), SourceError> {
    let mut hasher = RowHasher::default();
    stream(db, table, |piece| {
        hasher.update(&piece);
        Ok(())
    })?;
    Ok(hasher.result())
}
