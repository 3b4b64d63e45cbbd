//! Streaming the parts of a source's snapshot into a repository, side by side, with back-pressure.
//!
//! A part is read on the async side and cut, hashed, compressed and encrypted on a thread of its
//! own, with a short queue between: a reader that also compresses would stall the server.

use std::sync::Arc;

use bytes::Bytes;
use logisedge_domain::manifest::ContentHash;
use logisedge_domain::memory::Division;
use logisedge_repository::{RepositoryError, StoredFile, Writer};
use logisedge_sources::{Part, RowHasher, SourceError, SourceSnapshot};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::base::{Reusable, ReusableFile};
use crate::{EngineError, Progress};

/// A part, stored.
pub(crate) struct StoredPart {
    pub(crate) part: Part,
    pub(crate) file: StoredFile,
    pub(crate) rows: u64,
    pub(crate) content: ContentHash,
    /// It is unchanged since the base, and was not read.
    pub(crate) skipped: bool,
}

/// Stores every part of `snapshot`, as many at a time as it is parallel, in the order of its parts
/// (biggest first). Returns them in that order too. The first failure ends all of it. A part that is
/// proven to be as in the base consists of the base's blobs, and is not read.
pub(crate) async fn store_parts(
    snapshot: &Arc<dyn SourceSnapshot>,
    writer: &Writer,
    reusable: Option<Arc<Reusable>>,
    memory: Division,
    progress: &Progress,
) -> Result<Vec<StoredPart>, EngineError> {
    let parts = &snapshot.facts().parts;
    progress.expect(
        parts.iter().map(|p| p.bytes_estimated).sum(),
        parts.len() as u64,
    );

    let mut waiting = parts.iter().cloned();
    let mut reading = JoinSet::new();
    let mut stored = Vec::with_capacity(parts.len());
    for part in waiting.by_ref().take(snapshot.parallelism().max(1)) {
        reading.spawn(store_part(
            snapshot.clone(),
            part,
            writer.clone(),
            reusable.clone(),
            memory,
            progress.clone(),
        ));
    }
    while let Some(done) = reading.join_next().await {
        stored.push(done.map_err(EngineError::panicked)??);
        progress.add_part();
        if let Some(part) = waiting.next() {
            reading.spawn(store_part(
                snapshot.clone(),
                part,
                writer.clone(),
                reusable.clone(),
                memory,
                progress.clone(),
            ));
        }
    }
    stored.sort_by_key(|stored| stored.part.index);
    Ok(stored)
}

async fn store_part(
    snapshot: Arc<dyn SourceSnapshot>,
    part: Part,
    writer: Writer,
    reusable: Option<Arc<Reusable>>,
    memory: Division,
    progress: Progress,
) -> Result<StoredPart, EngineError> {
    if let Some(unchanged) = unchanged(&*snapshot, &part, reusable.as_deref()).await? {
        progress.expect_less(part.bytes_estimated);
        return Ok(StoredPart {
            part,
            file: unchanged.file,
            rows: unchanged.rows,
            content: unchanged.content,
            skipped: true,
        });
    }
    let (sink, pieces) = mpsc::channel(memory.buffers_queued);
    let count_rows = part
        .table
        .is_some_and(|table| snapshot.facts().tables[table].counted.is_none());
    let storing =
        tokio::task::spawn_blocking(move || store_pieces(pieces, &writer, count_rows, &progress));

    let read = snapshot.read(&part, sink).await;
    let stored = storing.await.map_err(EngineError::panicked)?;
    let (file, rows, content) = match (read, stored) {
        // The storing side failed first: the reader only saw that nobody listens any more.
        (_, Err(error)) => return Err(error.into()),
        (Err(error), Ok(_)) => return Err(error.into()),
        (Ok(bytes), Ok((file, ..))) if file.bytes != bytes => {
            return Err(short_stream(&part, bytes, file.bytes).into());
        }
        (Ok(_), Ok(stored)) => stored,
    };
    Ok(StoredPart {
        part,
        file,
        rows,
        content,
        skipped: false,
    })
}

/// What the base holds of a part, where the source can prove that it is still the same.
async fn unchanged(
    snapshot: &dyn SourceSnapshot,
    part: &Part,
    reusable: Option<&Reusable>,
) -> Result<Option<ReusableFile>, EngineError> {
    let Some(reusable) = reusable else {
        return Ok(None);
    };
    let proven = snapshot.unchanged(part).await?;
    Ok(proven.and_then(|path| reusable.file(&path)).cloned())
}

fn store_pieces(
    mut pieces: mpsc::Receiver<Bytes>,
    writer: &Writer,
    count_rows: bool,
    progress: &Progress,
) -> Result<(StoredFile, u64, ContentHash), RepositoryError> {
    let mut file = writer.file();
    let mut counted = RowHasher::default();
    while let Some(piece) = pieces.blocking_recv() {
        if count_rows {
            counted.update(&piece);
        }
        file.write(&piece)?;
        progress.add_bytes(piece.len() as u64);
    }
    let (rows, content) = counted.result();
    Ok((file.finish()?, rows, content))
}

fn short_stream(part: &Part, read: u64, stored: u64) -> SourceError {
    SourceError {
        kind: logisedge_sources::SourceErrorKind::Failed,
        operation: "read",
        object: part.path.clone(),
        message: format!("{read} bytes were read and {stored} arrived; this is a program error"),
        source: None,
    }
}
