//! Loading one file of rows. A file that comes short is never committed.

use bytes::Bytes;
use futures_util::SinkExt;
use logisedge_domain::manifest::TableEntry;

use super::catalog::NO_MEMBER;
use super::failure::{failed, refused};
use super::session::Session;
use super::{large_objects, quote};
use crate::{RestoreFile, SourceError, SourceErrorKind};

/// Longest piece in which rows go to the server: it works on one while the next is on its way.
const PIECE_BYTES: usize = 128 * 1024;

/// Files with fewer bytes are loaded as they come: a table of its own transaction costs the server
/// a new file and a wait until the old one's end is durable.
const FROZEN_BYTES_MIN: u64 = 1024 * 1024;

/// Whether an entry of a manifest stands for the database's large objects.
pub(super) fn holds_large_objects(entry: &TableEntry) -> bool {
    (entry.schema.as_str(), entry.name.as_str()) == large_objects::TABLE
}

/// Loads a file into the table that it belongs to.
pub(super) async fn file(
    session: &Session,
    entry: &TableEntry,
    file: RestoreFile,
    place: &str,
) -> Result<(), SourceError> {
    let object = format!("table {}.{} of {place}", entry.schema, entry.name);
    if !holds_large_objects(entry) {
        let name = quote::qualified(&entry.schema, &entry.name);
        let columns = quote::column_list(&entry.columns);
        let frozen = file.is_whole_table && file.bytes >= FROZEN_BYTES_MIN;
        if frozen && emptied(session, entry, &name).await {
            let statement = format!("COPY {name}{columns} FROM STDIN WITH (FREEZE)");
            copy_in(session, &statement, file, &object).await?;
            return session.run("restore", &object, "COMMIT").await;
        }
        let statement = format!("COPY {name}{columns} FROM STDIN");
        return copy_in(session, &statement, file, &object).await;
    }
    // One transaction, so that a short file leaves no large object behind.
    session
        .run(
            "restore",
            &object,
            &format!("BEGIN; {}", large_objects::STAGE),
        )
        .await?;
    let statement = format!("COPY {} FROM STDIN", large_objects::STAGE_COLUMNS);
    copy_in(session, &statement, file, &object).await?;
    for statement in large_objects::UNSTAGE {
        session.run("restore", &object, statement).await?;
    }
    session.run("restore", &object, "COMMIT").await
}

/// Begins a transaction that owns the table's storage: rows that are loaded in it can be stored as
/// seen by everyone, so that nobody has to find that out row by row later, and a server that keeps
/// no log for standbys (`wal_level = minimal`) writes them only once. False: this cannot be done
/// here, and no transaction is open. Tables of extensions may hold rows that are not the snapshot's.
async fn emptied(session: &Session, entry: &TableEntry, name: &str) -> bool {
    let sql = format!(
        "SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_am a ON a.oid = c.relam WHERE n.nspname = $1::text AND c.relname = $2::text \
            AND c.relkind = 'r' AND a.amname = 'heap' AND {NO_MEMBER}"
    );
    let ours = session
        .client
        .query(&sql, &[&entry.schema, &entry.name])
        .await;
    if !ours.is_ok_and(|rows| rows.len() == 1) {
        return false;
    }
    let begin = format!("BEGIN; TRUNCATE ONLY {name}");
    match session.client.batch_execute(&begin).await {
        Ok(()) => true,
        Err(error) => {
            tracing::debug!(%error, table = name, "loaded row by row");
            // Where this fails too the connection is gone, which the COPY will tell.
            let _ = session.client.batch_execute("ROLLBACK").await;
            false
        }
    }
}

/// Streams a file into a COPY statement, which takes effect only if every byte came.
async fn copy_in(
    session: &Session,
    statement: &str,
    mut file: RestoreFile,
    object: &str,
) -> Result<(), SourceError> {
    let said = |error| refused("restore", object, error);
    let sink = session
        .client
        .copy_in::<_, Bytes>(statement)
        .await
        .map_err(said)?;
    let mut sink = std::pin::pin!(sink);
    let mut bytes = 0_u64;
    while let Some(mut rest) = file.content.recv().await {
        bytes += rest.len() as u64;
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(PIECE_BYTES));
            sink.send(piece).await.map_err(said)?;
        }
    }
    if bytes != file.bytes {
        // Dropping the sink makes the server forget what it got.
        return Err(failed(
            SourceErrorKind::Aborted,
            "restore",
            object,
            format!(
                "{} has {} bytes and {bytes} came; the reader failed, and nothing of this file was kept",
                file.path, file.bytes
            ),
        ));
    }
    sink.finish().await.map_err(said)?;
    Ok(())
}
