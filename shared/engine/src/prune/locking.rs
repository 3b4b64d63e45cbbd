//! Renewing the locks of chains that keep snapshots.

use logisedge_catalog::Catalog;
use logisedge_domain::Instant;
use logisedge_domain::id::{ChainPath, LocationName, ScopeName, SnapshotId};
use logisedge_domain::snapshot::SnapshotRecord;
use logisedge_domain::storage::ObjectLock;
use logisedge_repository::{RepositoryError, object_lock};
use logisedge_storage::Prefixed;
use serde::Serialize;

use super::Location;
use super::deleting::Lease;
use super::survey::{ChainAt, Survey};
use crate::EngineError;

/// Objects between two signs of life: about ten seconds' work.
const OBJECTS_AT_ONCE: usize = 2000;

/// The renewal of a chain's lock.
#[derive(Debug, Clone, Serialize)]
pub struct Renewal {
    /// Where the chain lies.
    pub location: LocationName,
    /// The chain.
    pub chain: ChainPath,
    /// Until when all of it is locked then.
    pub until: Instant,
    /// Objects whose locks were extended; the others were locked for long enough. None in a plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extended: Option<u64>,
    /// Why the location did not extend them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// What is due for a chain; None where nothing is, or where its location locks nothing.
pub(super) fn due(
    survey: &Survey,
    at: ChainAt<'_>,
    location: &Location,
    now: Instant,
) -> Option<Renewal> {
    location.lock_mode?;
    Some(Renewal {
        location: at.location.clone(),
        chain: at.chain.clone(),
        until: survey.lock(at, now).renewal?,
        extended: None,
        refused: None,
    })
}

/// The lock of what is written into a chain.
pub(super) fn of_what_is_written(
    survey: &Survey,
    at: ChainAt<'_>,
    location: &Location,
    now: Instant,
) -> Option<ObjectLock> {
    Some(ObjectLock {
        mode: location.lock_mode?,
        until: survey.lock(at, now).written?,
    })
}

/// Extends the locks of a chain's objects, and then tells the catalog, so that one that dies in between is
/// begun again. What the store refuses for good is in the renewal; an error is what may pass. Returns why it
/// did not come to its end, where there was no time: the next one goes on, and extends only what is left.
pub(super) async fn renew(
    catalog: &Catalog,
    scope: &ScopeName,
    lease: &Lease<'_>,
    kept: impl Iterator<Item = &SnapshotRecord>,
    location: &Location,
    renewal: &mut Renewal,
) -> Result<Option<String>, EngineError> {
    let Some(mode) = location.lock_mode else {
        return Ok(None);
    };
    let until = renewal.until;
    let store = Prefixed::new(location.store.clone(), renewal.chain.as_str());
    let keys = object_lock::lockable(&store).await?;
    let mut extended = 0;
    for keys in keys.chunks(OBJECTS_AT_ONCE) {
        if let Err(why) = lease.deadline.may_go_on() {
            return Ok(Some(why));
        }
        lease.prolong().await?;
        match object_lock::extend(&store, keys.to_vec(), ObjectLock { mode, until }).await {
            Ok(some) => extended += some,
            Err(error) if is_refusal(&error) => {
                renewal.refused = Some(error.to_string());
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        }
    }
    renewal.extended = Some(extended);
    let shorter = |record: &&SnapshotRecord| record.locked_until.is_none_or(|known| known < until);
    let ids: Vec<SnapshotId> = kept.filter(shorter).map(|record| record.id).collect();
    for id in ids {
        catalog.record_lock(scope, &id, until).await?;
    }
    Ok(None)
}

fn is_refusal(error: &RepositoryError) -> bool {
    !error.retry().is_transient()
}
