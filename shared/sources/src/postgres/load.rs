//! Loading one file of rows. A file that comes short is never committed.

use bytes::Bytes;
use futures_util::SinkExt;
use logisedge_domain::manifest::TableEntry;

use super::failure::{failed, refused};
use super::session::Session;
use super::{large_objects, quote};
use crate::{RestoreFile, SourceError, SourceErrorKind};

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
        let statement = format!(
            "COPY {name}{} FROM STDIN",
            quote::column_list(&entry.columns)
        );
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
    while let Some(piece) = file.content.recv().await {
        bytes += piece.len() as u64;
        if !piece.is_empty() {
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
