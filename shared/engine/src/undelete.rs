//! Bringing back what prune deleted, while the location still keeps its bytes: finding it, and doing it
//! under the scope's lease, held from its first instant on, so that no prune takes it again.

use std::sync::Arc;
use std::time::Duration;

use chrono::{Days, NaiveTime, Utc};
use logisedge_catalog::Catalog;
use logisedge_domain::Instant;
use logisedge_domain::id::{ChainPath, Fence, LocationName, ScopeName, SnapshotId};
use logisedge_domain::retry::Retry;
use logisedge_domain::snapshot::{Hold, SnapshotRecord};
use logisedge_repository::undelete::{Past, Undeletion};
use logisedge_repository::{Options, RepositoryError, RepositoryErrorKind};
use logisedge_storage::{Counting, Prefixed};
use serde::Serialize;

use crate::backup::record_of;
use crate::base::content_of;
use crate::capacity::look_at;
use crate::prune::Location;
use crate::verify::{Verification, verify_recorded};
use crate::{EngineError, EngineErrorKind, Progress};

/// How long the scope is held without a sign of life, and how often there is one.
const LEASE: Duration = Duration::from_secs(300);
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(30);

/// A deleted snapshot that can be brought back.
#[derive(Debug, Clone, Serialize)]
pub struct Deleted {
    /// What the catalog knew of it.
    #[serde(flatten)]
    pub record: SnapshotRecord,
    /// When it was deleted.
    pub deleted_at: Instant,
    /// From when on its bytes may be gone.
    pub gone_from: Instant,
}

/// What of one scope can be brought back from one location.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Found {
    /// The deleted snapshots, newest first.
    pub snapshots: Vec<Deleted>,
    /// What was deleted and cannot be read any more, each with why.
    pub unreadable: Vec<(ChainPath, String)>,
}

/// A snapshot that is back.
#[derive(Debug, Clone, Serialize)]
pub struct BroughtBack {
    /// As the catalog knows it now.
    pub record: SnapshotRecord,
    /// What came back.
    pub undeletion: Undeletion,
    /// What reading it back whole found.
    pub verification: Verification,
}

/// Lists the deleted snapshots of a scope whose bytes a location still keeps. Reads every deleted
/// snapshot's manifest.
///
/// # Errors
/// `Refused` where the location keeps nothing of what was deleted.
pub async fn find(
    scope: &ScopeName,
    name: &LocationName,
    location: &Location,
) -> Result<Found, EngineError> {
    let deleted = location.store.list_deleted(&format!("{scope}/")).await?;
    let mut chains: Vec<ChainPath> = deleted
        .iter()
        .filter_map(|object| object.key.split_once("/snapshots/")?.0.parse().ok())
        .collect();
    chains.dedup();
    let mut found = Found::default();
    for chain in chains {
        match deleted_of(name, location, &chain).await {
            Ok((snapshots, unreadable)) => {
                found.snapshots.extend(snapshots);
                let of_chain = |why| (chain.clone(), why);
                found
                    .unreadable
                    .extend(unreadable.into_iter().map(of_chain));
            }
            Err(error) if is_of_the_store(&error) => return Err(error.into()),
            Err(error) => found.unreadable.push((chain, error.to_string())),
        }
    }
    found
        .snapshots
        .sort_by_key(|deleted| std::cmp::Reverse(deleted.record.taken_at));
    Ok(found)
}

async fn deleted_of(
    name: &LocationName,
    location: &Location,
    chain: &ChainPath,
) -> Result<(Vec<Deleted>, Vec<String>), RepositoryError> {
    let past = open(location, chain).await?;
    let (mut snapshots, mut unreadable) = (Vec::new(), Vec::new());
    for (id, deleted_at) in past.deleted_snapshots() {
        match read(&past, name, chain, id).await {
            Ok(Ok(record)) => snapshots.push(Deleted {
                record,
                deleted_at,
                gone_from: gone_from(deleted_at, location.prices.grace_days),
            }),
            Ok(Err(why)) => unreadable.push(format!("snapshot {}: {why}", id.short())),
            Err(error) if is_of_the_store(&error) => return Err(error),
            Err(error) => unreadable.push(format!("snapshot {}: {error}", id.short())),
        }
    }
    Ok((snapshots, unreadable))
}

async fn open(location: &Location, chain: &ChainPath) -> Result<Past, RepositoryError> {
    let store = Arc::new(Prefixed::new(location.store.clone(), chain.as_str()));
    Past::open(store, &location.password, Options::default()).await
}

async fn read(
    past: &Past,
    name: &LocationName,
    chain: &ChainPath,
    id: SnapshotId,
) -> Result<Result<SnapshotRecord, String>, RepositoryError> {
    let snapshot = past.snapshot(id).await?;
    let stored = snapshot.summary.as_ref();
    let stored = stored.map_or(0, |summary| summary.data_added_packed);
    let content = content_of(&past.reader(), &snapshot).await?;
    Ok(content.map(|(manifest, _)| record_of(&manifest, id, name, chain, stored)))
}

fn is_of_the_store(error: &RepositoryError) -> bool {
    matches!(
        error.kind,
        RepositoryErrorKind::Storage(_) | RepositoryErrorKind::Aborted
    )
}

/// S3 removes an old version at the midnight after its days are over:
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html>.
fn gone_from(deleted_at: Instant, grace_days: u32) -> Instant {
    let day = deleted_at.date_naive();
    let day = day.checked_add_days(Days::new(u64::from(grace_days) + 1));
    day.map_or(deleted_at, |day| day.and_time(NaiveTime::MIN).and_utc())
}

/// What would have to come back for a deleted snapshot. Changes nothing.
///
/// # Errors
/// `Damaged` where something that it needs is gone for good.
pub async fn plan(location: &Location, deleted: &Deleted) -> Result<Undeletion, EngineError> {
    let past = open(location, &deleted.record.chain).await?;
    planned(&past, deleted.record.id).await
}

async fn planned(past: &Past, id: SnapshotId) -> Result<Undeletion, EngineError> {
    match past.plan(id).await {
        Err(error) if error.finding().is_some() => Err(EngineError::new(
            EngineErrorKind::Damaged,
            format!(
                "snapshot {} cannot be brought back whole: {error}. Its grace days are over, or it \
                 was damaged before; nothing was changed",
                id.short()
            ),
        )),
        other => Ok(other?),
    }
}

/// Brings a deleted snapshot back, holds it, records it, and reads it back whole.
///
/// # Errors
/// `Refused` where the scope is being backed up or pruned; `Damaged`, and nothing has changed, where
/// something that it needs is gone for good. Whatever interrupts it, it can be begun again.
pub async fn undelete(
    catalog: &Catalog,
    location: &Location,
    deleted: &Deleted,
    hold: &Hold,
    holder: &str,
    progress: &Progress,
) -> Result<BroughtBack, EngineError> {
    let scope = &deleted.record.scope;
    let begun = catalog.begin_exclusive(scope, holder, Utc::now(), LEASE);
    let Some(fence) = begun.await? else {
        return Err(EngineError {
            retry: Retry::SOON,
            ..EngineError::new(
                EngineErrorKind::Refused,
                format!(
                    "scope {scope} is being backed up or pruned: try again when that has ended"
                ),
            )
        });
    };
    let work = bring_back(catalog, location, deleted, hold);
    let outcome = under_lease(catalog, scope, fence, work).await;
    if let Err(error) = catalog.release(scope, fence).await {
        tracing::warn!(%error, %scope, "the lease was not freed and will run out by itself");
    }
    let (record, undeletion) = outcome?;
    let (store, password) = (location.store.clone(), &location.password);
    let verification = verify_recorded(catalog, store, password, &record, progress).await?;
    Ok(BroughtBack {
        record,
        undeletion,
        verification,
    })
}

async fn bring_back(
    catalog: &Catalog,
    location: &Location,
    deleted: &Deleted,
    hold: &Hold,
) -> Result<(SnapshotRecord, Undeletion), EngineError> {
    let id = deleted.record.id;
    let counting = Arc::new(Counting::new(location.store.clone()));
    let location = &Location {
        store: counting.clone(),
        ..location.clone()
    };
    // Once more, under the lease: no prune has changed anything since.
    let past = open(location, &deleted.record.chain).await?;
    let plan = planned(&past, id).await?;
    past.bring_back(&plan).await?;
    let present = past.present(&location.password, Options::default()).await?;
    // Before it is visible, so that there is no instant at which a prune might take it.
    present.put_hold(&id, hold).await?;
    past.reveal(&plan).await?;
    let record = SnapshotRecord {
        hold: Some(hold.clone()),
        ..deleted.record.clone()
    };
    if !catalog.put_undeleted(&record, Utc::now()).await? {
        catalog.hold_snapshot(&record.scope, &id, hold).await?;
    }
    let bytes = plan.bytes + counting.bytes_put();
    let counted = catalog.add_usage(&record.location, &record.scope, bytes);
    if let Err(error) = counted.await {
        tracing::warn!(%error, location = %record.location, "the next listing will count what came back");
    }
    look_at(catalog, &record.location).await;
    Ok((record, plan))
}

/// Does work for as long as the lease is held.
async fn under_lease<T>(
    catalog: &Catalog,
    scope: &ScopeName,
    fence: Fence,
    work: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(SIGN_OF_LIFE_EVERY) => {
                if !catalog.extend_exclusive(scope, fence, Utc::now(), LEASE).await? {
                    return Err(EngineError::new(
                        EngineErrorKind::LeaseLost,
                        format!("the lease on scope {scope} ran out; begin again"),
                    ));
                }
            }
        }
    }
}
