//! Adopting: an attempt that was killed between its snapshot object and the catalog's commit leaves a
//! whole snapshot that nothing offers. The next attempt at the same run commits it instead of taking
//! another.

use std::sync::Arc;

use logisedge_domain::id::{ChainPath, LocationName, RunId, SnapshotId};
use logisedge_domain::run::RunStats;
use logisedge_repository::{
    Options, Password, Repository, RepositoryError, RepositoryErrorKind, Snapshot,
};
use logisedge_storage::{ObjectStore, Prefixed};

use crate::EngineError;
use crate::backup::{Taken, record_of};
use crate::base::{blob_lacking, content_of};

/// The snapshot of the run `run` in `chain`, if there is one and it is whole: every blob in the index,
/// every pack there with its right length. `is_known` says which snapshots are recorded already, or
/// were withdrawn.
///
/// Where nothing was committed to the chain this costs one listing.
pub(crate) async fn find(
    store: &Arc<dyn ObjectStore>,
    password: &Password,
    location: &LocationName,
    chain: &ChainPath,
    run: &RunId,
    is_known: impl Fn(&SnapshotId) -> bool,
) -> Result<Option<Taken>, EngineError> {
    let committed = store.list(&format!("{chain}/snapshots/")).await?;
    if committed.is_empty() {
        return Ok(None);
    }
    let place = Arc::new(Prefixed::new(store.clone(), chain.as_str()));
    let found = async {
        let repository = Repository::open(place, password, Options::default()).await?;
        let mut snapshots = repository.snapshots().await?;
        snapshots
            .retain(|(id, snapshot)| snapshot.fact("run") == Some(run.as_str()) && !is_known(id));
        match snapshots.pop() {
            Some((id, snapshot)) => read(&repository, location, chain, id, &snapshot).await,
            None => Ok(None),
        }
    };
    match found.await {
        // What cannot be read is not adopted. Another snapshot is taken, and verify tells of the damage.
        Err(error) if !is_of_the_store(&error) => {
            tracing::warn!(%error, %chain, "what an earlier attempt left cannot be read");
            Ok(None)
        }
        other => Ok(other?),
    }
}

fn is_of_the_store(error: &RepositoryError) -> bool {
    matches!(
        error.kind,
        RepositoryErrorKind::Storage(_) | RepositoryErrorKind::Aborted
    )
}

async fn read(
    repository: &Repository,
    location: &LocationName,
    chain: &ChainPath,
    id: SnapshotId,
    snapshot: &Snapshot,
) -> Result<Option<Taken>, RepositoryError> {
    let index = repository.load_index().await?;
    let lacking = repository.packs_present(&index).await?.lacking;
    let content = content_of(&repository.reader(index.clone()), snapshot).await?;
    let (Ok((manifest, files)), Some(took), true) = (content, snapshot.summary, lacking.is_empty())
    else {
        return Ok(None);
    };
    if blob_lacking(&index, &files).is_some() {
        return Ok(None);
    }
    let bytes: u64 = manifest.files.iter().map(|file| file.bytes).sum();
    let took_ms = (took.backup_end - took.backup_start).num_milliseconds();
    let stats = RunStats {
        rows: manifest.tables.iter().map(|table| table.rows).sum(),
        bytes_read: bytes,
        bytes_new: took.data_added,
        bytes_shared: took.total_bytes_processed.saturating_sub(took.data_added),
        bytes_stored: took.data_added_packed,
        duration_ms: u64::try_from(took_ms).unwrap_or_default(),
        ..RunStats::default()
    };
    let record = record_of(&manifest, id, location, chain, stats.bytes_stored);
    Ok(Some(Taken {
        record,
        manifest,
        stats,
    }))
}
