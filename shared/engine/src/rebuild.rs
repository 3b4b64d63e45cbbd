//! Rebuilding the catalog: every snapshot that lies at a location is found there and recorded again.
//! The catalog is an index; the locations are the truth.

use std::collections::BTreeMap;
use std::sync::Arc;

use logisedge_catalog::{Catalog, SIZES_KEPT};
use logisedge_domain::anomaly::Sizes;
use logisedge_domain::id::{ChainPath, LocationName, ScopeName, SnapshotId};
use logisedge_domain::snapshot::SnapshotRecord;
use logisedge_repository::{Options, Password, Repository};
use logisedge_storage::{ObjectStore, Prefixed};
use serde::Serialize;

use crate::backup::record_of;
use crate::base::content_of;
use crate::prune::chains_of;
use crate::{EngineError, EngineErrorKind, Progress};

/// What a rebuild found at one location.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Rebuilt {
    /// Snapshots that the catalog did not know and does now.
    pub recorded: Vec<SnapshotRecord>,
    /// Snapshots that it knew already.
    pub known: u64,
    /// Those of them whose hold it did not know and does now.
    pub held: Vec<SnapshotId>,
    /// Chains or snapshots that could not be read, each with why.
    pub unreadable: Vec<(ChainPath, String)>,
}

/// What [`find_snapshots`] finds, with how large the tables of each snapshot are.
type Found = (Vec<(SnapshotRecord, Sizes)>, Vec<(ChainPath, String)>);

/// Every snapshot at a location, read from the location alone, oldest first. What cannot be read is
/// told beside it and hides nothing else.
pub async fn find_snapshots(
    name: &LocationName,
    store: &Arc<dyn ObjectStore>,
    password: &Password,
    progress: &Progress,
) -> Result<(Vec<SnapshotRecord>, Vec<(ChainPath, String)>), EngineError> {
    let (found, unreadable) = find_all(name, store, password, progress).await?;
    let records = found.into_iter().map(|(record, _)| record);
    Ok((records.collect(), unreadable))
}

async fn find_all(
    name: &LocationName,
    store: &Arc<dyn ObjectStore>,
    password: &Password,
    progress: &Progress,
) -> Result<Found, EngineError> {
    let mut records = Vec::new();
    let mut unreadable = Vec::new();
    for folder in store.list_folders("").await? {
        // A folder of another name is none of ours.
        let Ok(scope) = folder.trim_end_matches('/').parse::<ScopeName>() else {
            continue;
        };
        for chain in chains_of(store.as_ref(), &scope).await? {
            match read_sized(name, store, password, &chain).await {
                Ok(found) => records.extend(found),
                Err(error) => unreadable.push((chain, error.message)),
            }
            progress.add_part();
        }
    }
    records.sort_by_key(|(record, _)| record.taken_at);
    Ok((records, unreadable))
}

/// The snapshots of one chain, oldest first. None where nothing was committed to it.
pub(crate) async fn read_chain(
    name: &LocationName,
    store: &Arc<dyn ObjectStore>,
    password: &Password,
    chain: &ChainPath,
) -> Result<Vec<SnapshotRecord>, EngineError> {
    let found = read_sized(name, store, password, chain).await?;
    Ok(found.into_iter().map(|(record, _)| record).collect())
}

async fn read_sized(
    name: &LocationName,
    store: &Arc<dyn ObjectStore>,
    password: &Password,
    chain: &ChainPath,
) -> Result<Vec<(SnapshotRecord, Sizes)>, EngineError> {
    let objects = store.list(&format!("{chain}/snapshots/")).await?;
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let prefixed = Arc::new(Prefixed::new(store.clone(), chain.as_str()));
    let repository = Repository::open(prefixed, password, Options::default()).await?;
    let snapshots = repository.snapshots().await?;
    let mut holds = repository.holds().await?;
    let reader = repository.reader(repository.load_index().await?);
    let mut records = Vec::new();
    for (id, snapshot) in snapshots {
        let content = content_of(&reader, &snapshot).await?;
        let damaged = |why| EngineError::new(EngineErrorKind::Damaged, why);
        let (manifest, _) = content.map_err(damaged)?;
        let stored = match &snapshot.summary {
            Some(summary) => summary.data_added_packed,
            None => stored_in(store, chain).await?,
        };
        let mut record = record_of(&manifest, id, name, chain, stored);
        record.hold = holds.remove(&id);
        records.push((record, Sizes::of(&manifest, id)));
    }
    Ok(records)
}

/// What a run counts as stored: packs and indexes. For the snapshots of early versions, which were all
/// fulls and do not say it themselves.
async fn stored_in(store: &Arc<dyn ObjectStore>, chain: &ChainPath) -> Result<u64, EngineError> {
    let mut stored = 0;
    for folder in ["data", "index"] {
        let objects = store.list(&format!("{chain}/{folder}/")).await?;
        stored += objects.iter().map(|object| object.bytes).sum::<u64>();
    }
    Ok(stored)
}

/// Records every snapshot of a location that the catalog does not know.
pub async fn rebuild(
    catalog: &Catalog,
    name: &LocationName,
    store: &Arc<dyn ObjectStore>,
    password: &Password,
    progress: &Progress,
) -> Result<Rebuilt, EngineError> {
    let (found, unreadable) = find_all(name, store, password, progress).await?;
    let mut rebuilt = Rebuilt {
        unreadable,
        ..Rebuilt::default()
    };
    let mut sizes: BTreeMap<ScopeName, Vec<Sizes>> = BTreeMap::new();
    for (record, of) in found {
        let history = sizes.entry(record.scope.clone()).or_default();
        if catalog.put_snapshot(&record).await? {
            history.push(of);
            rebuilt.recorded.push(record);
            continue;
        }
        rebuilt.known += 1;
        if let Some(hold) = &record.hold
            && catalog
                .hold_snapshot(&record.scope, &record.id, hold)
                .await?
        {
            rebuilt.held.push(record.id);
        }
    }
    for (scope, history) in sizes {
        // Oldest first; those of snapshots that are known already are there, or were forgotten.
        for sizes in history.iter().rev().take(SIZES_KEPT) {
            catalog.put_sizes(&scope, sizes).await?;
        }
    }
    Ok(rebuilt)
}
