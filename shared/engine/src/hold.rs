//! Holding a snapshot, so that it stays whatever retention says, and releasing it. The catalog keeps
//! prune from marking it at the same instant; the location keeps the hold should the catalog be lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use logisedge_catalog::Catalog;
use logisedge_domain::id::{ChainPath, ScopeName, SnapshotId};
use logisedge_domain::snapshot::{Hold, SnapshotRecord};
use logisedge_repository::holds::{self, unreadable};
use logisedge_repository::{Options, Password, Repository};
use logisedge_storage::{ObjectStore, Prefixed};

use crate::{EngineError, EngineErrorKind};

/// Holds a snapshot. One that died half-way is completed when it is asked for again.
///
/// # Errors
/// `NotFound` where the catalog or the location does not have it; `Refused` where it is held already,
/// or being deleted.
pub async fn hold(
    catalog: &Catalog,
    store: Arc<dyn ObjectStore>,
    password: &Password,
    record: &SnapshotRecord,
    hold: &Hold,
) -> Result<(), EngineError> {
    let (scope, id) = (&record.scope, &record.id);
    let chain = Arc::new(Prefixed::new(store, record.chain.as_str()));
    let repository = Repository::open(chain.clone(), password, Options::default()).await?;
    repository.snapshot(*id).await?;
    let at_location = repository.holds().await?;
    if let Some(earlier) = at_location.get(id) {
        // The catalog may not know of it yet.
        catalog.hold_snapshot(scope, id, earlier).await?;
        return Err(EngineError::new(
            EngineErrorKind::Refused,
            format!(
                "snapshot {} is {earlier}; release it first to hold it for another reason",
                id.short()
            ),
        ));
    }
    // The catalog first: from here on prune cannot mark it.
    if catalog.hold_snapshot(scope, id, hold).await? {
        return Ok(repository.put_hold(id, hold).await?);
    }
    let Some(recorded) = recorded(catalog, scope, id).await? else {
        return Err(EngineError::not_found(format!(
            "the catalog does not know snapshot {} any more",
            id.short()
        )));
    };
    match recorded.hold {
        // Who held it died before the location was told.
        Some(earlier) => Ok(repository.put_hold(id, &earlier).await?),
        None => Err(EngineError::new(
            EngineErrorKind::Refused,
            format!(
                "snapshot {} is being deleted by prune; `logisedge-backup undelete` brings it back \
                 and holds it",
                id.short()
            ),
        )),
    }
}

/// Ends a snapshot's hold: retention decides again.
///
/// # Errors
/// `Refused` where nobody holds it.
pub async fn release(
    catalog: &Catalog,
    store: Arc<dyn ObjectStore>,
    record: &SnapshotRecord,
) -> Result<(), EngineError> {
    let chain = Prefixed::new(store, record.chain.as_str());
    let at_location = holds::held(&chain).await?.contains_key(&record.id);
    if !at_location && record.hold.is_none() {
        return Err(EngineError::new(
            EngineErrorKind::Refused,
            format!("nobody holds snapshot {}", record.id.short()),
        ));
    }
    // The catalog last: who dies in between holds it still.
    holds::release(&chain, &record.id).await?;
    catalog.release_hold(&record.scope, &record.id).await?;
    Ok(())
}

async fn recorded(
    catalog: &Catalog,
    scope: &ScopeName,
    id: &SnapshotId,
) -> Result<Option<SnapshotRecord>, EngineError> {
    let records = catalog.snapshots(scope).await?;
    Ok(records.into_iter().find(|record| record.id == *id))
}

/// The holds that lie at a location for a chain. Opens the repository only where there is one; what
/// cannot be read holds all the same.
pub(crate) async fn at_location(
    store: &Arc<dyn ObjectStore>,
    password: &Password,
    chain: &ChainPath,
) -> Result<BTreeMap<SnapshotId, Hold>, EngineError> {
    let place = Arc::new(Prefixed::new(store.clone(), chain.as_str()));
    let held = holds::held(place.as_ref()).await?;
    if held.is_empty() {
        return Ok(BTreeMap::new());
    }
    let opened = Repository::open(place, password, Options::default()).await;
    let read = match opened {
        Ok(repository) => repository.holds().await,
        Err(error) => Err(error),
    };
    Ok(read.unwrap_or_else(|error| {
        let why = error.to_string();
        let hold = |(id, meta)| (id, unreadable(&meta, &why));
        held.into_iter().map(hold).collect()
    }))
}
