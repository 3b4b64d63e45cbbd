//! Pruning: a plan with a reason for every snapshot, and its execution in the order that never
//! leaves a visible snapshot without its bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use logisedge_catalog::{Catalog, Message};
use logisedge_domain::Instant;
use logisedge_domain::alert::Alert;
use logisedge_domain::id::{ChainPath, Fence, LocationName, ScheduleName, ScopeName, SnapshotId};
use logisedge_domain::plan::PrunePlan;
use logisedge_domain::retention::{Retention, plan_prune};
use logisedge_domain::snapshot::SnapshotRecord;
use logisedge_repository::removal;
use logisedge_storage::{ObjectStore, Prefixed};
use serde::Serialize;

use crate::attempt::alert_if;
use crate::{EngineError, EngineErrorKind};

/// A chain without any snapshot object is what a killed attempt left. It is removed when its newest
/// object is older than this, far beyond any function's life.
pub const ABANDONED_AFTER: TimeDelta = TimeDelta::hours(24);

/// How long prune holds a scope without a sign of life. It is prolonged before every deletion.
const LEASE: Duration = Duration::from_secs(300);

/// What prune would do to one scope.
#[derive(Debug, Clone, Serialize)]
pub struct ScopePlan {
    /// What happens to each snapshot, newest first.
    #[serde(flatten)]
    pub plan: PrunePlan,
    /// Chains that killed attempts left behind, to be removed.
    pub abandoned: Vec<(LocationName, ChainPath)>,
    /// Chains that hold a snapshot the catalog does not know. They are never removed: the catalog is
    /// only an index, and `catalog rebuild` makes it know them.
    pub unknown: Vec<(LocationName, ChainPath)>,
}

/// What prune did to one scope.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Pruned {
    /// Snapshots deleted.
    pub snapshots: Vec<SnapshotId>,
    /// Abandoned chains removed.
    pub chains: Vec<ChainPath>,
    /// Objects deleted.
    pub objects: u64,
    /// Their bytes; the bucket keeps them for the grace days.
    pub bytes: u64,
}

/// The locations of a scope's snapshots. Pruning needs no password.
pub type Locations = BTreeMap<LocationName, Arc<dyn ObjectStore>>;

/// The names of every location that holds a snapshot of the scope or may get one.
pub async fn locations_of(
    catalog: &Catalog,
    scope: &ScopeName,
) -> Result<BTreeSet<LocationName>, EngineError> {
    let mut names: BTreeSet<LocationName> = catalog
        .snapshots(scope)
        .await?
        .into_iter()
        .map(|record| record.location)
        .collect();
    for state in catalog.schedules().await? {
        if state.schedule.scopes.contains(scope) {
            names.insert(state.schedule.location);
        }
    }
    Ok(names)
}

/// Plans a scope's clean-up. Changes nothing.
pub async fn plan(
    catalog: &Catalog,
    scope: &ScopeName,
    locations: &Locations,
    now: Instant,
) -> Result<ScopePlan, EngineError> {
    let (records, plan) = decide(catalog, scope, now).await?;
    let known: BTreeSet<&ChainPath> = records.iter().map(|record| &record.chain).collect();
    let mut abandoned = Vec::new();
    let mut unknown = Vec::new();
    for (name, store) in locations {
        for chain in chains_of(store.as_ref(), scope).await? {
            if known.contains(&chain) {
                continue;
            }
            match inspect(store, &chain, now).await? {
                Found::Snapshot => unknown.push((name.clone(), chain)),
                Found::Abandoned => abandoned.push((name.clone(), chain)),
                Found::Young => {}
            }
        }
    }
    Ok(ScopePlan {
        plan,
        abandoned,
        unknown,
    })
}

/// What retention says of a scope's snapshots, from the catalog alone.
async fn decide(
    catalog: &Catalog,
    scope: &ScopeName,
    now: Instant,
) -> Result<(Vec<SnapshotRecord>, PrunePlan), EngineError> {
    let records = catalog.snapshots(scope).await?;
    let retention: BTreeMap<ScheduleName, Retention> = catalog
        .schedules()
        .await?
        .into_iter()
        .map(|state| (state.schedule.name, state.schedule.retention))
        .collect();
    let in_use = catalog.snapshots_in_use(scope, now).await?;
    let plan = plan_prune(scope, &retention, &records, &in_use, now);
    Ok((records, plan))
}

/// Every chain of a scope at a location, oldest first.
pub(crate) async fn chains_of(
    store: &dyn ObjectStore,
    scope: &ScopeName,
) -> Result<Vec<ChainPath>, EngineError> {
    let mut chains = Vec::new();
    for day in store.list_folders(&format!("{scope}/")).await? {
        for folder in store.list_folders(&day).await? {
            // A folder of another name is none of ours.
            chains.extend(folder.trim_end_matches('/').parse::<ChainPath>().ok());
        }
    }
    Ok(chains)
}

enum Found {
    Snapshot,
    Abandoned,
    Young,
}

async fn inspect(
    store: &Arc<dyn ObjectStore>,
    chain: &ChainPath,
    now: Instant,
) -> Result<Found, EngineError> {
    let objects = store.list(&format!("{chain}/")).await?;
    if objects
        .iter()
        .any(|object| object.key.starts_with(&format!("{chain}/snapshots/")))
    {
        return Ok(Found::Snapshot);
    }
    let newest = objects.iter().map(|object| object.modified_at).max();
    let touched = newest.unwrap_or_default().max(chain.started_at());
    Ok(if now - touched > ABANDONED_AFTER {
        Found::Abandoned
    } else {
        Found::Young
    })
}

/// Carries out what [`plan`] would do now, under the scope's lease. The plan is made anew inside the
/// lease, so that it is never older than what it deletes.
pub async fn prune(
    catalog: &Catalog,
    scope: &ScopeName,
    locations: &Locations,
    holder: &str,
) -> Result<(ScopePlan, Pruned), EngineError> {
    let Some(fence) = catalog
        .begin_exclusive(scope, holder, Utc::now(), LEASE)
        .await?
    else {
        return Err(EngineError {
            retry: logisedge_domain::retry::Retry::SOON,
            ..EngineError::new(
                EngineErrorKind::Refused,
                format!(
                    "scope {scope} is being backed up or pruned: try again when that has ended"
                ),
            )
        });
    };
    let outcome = prune_held(catalog, scope, fence, locations).await;
    release(catalog, scope, fence).await;
    outcome
}

async fn prolong(catalog: &Catalog, scope: &ScopeName, fence: Fence) -> Result<(), EngineError> {
    if catalog
        .extend_exclusive(scope, fence, Utc::now(), LEASE)
        .await?
    {
        return Ok(());
    }
    Err(EngineError::new(
        EngineErrorKind::LeaseLost,
        format!("the lease on scope {scope} ran out while it was pruned; the next prune goes on"),
    ))
}

async fn release(catalog: &Catalog, scope: &ScopeName, fence: Fence) {
    if let Err(error) = catalog.release(scope, fence).await {
        tracing::warn!(%error, %scope, "the lease was not freed and will run out by itself");
    }
}

async fn prune_held(
    catalog: &Catalog,
    scope: &ScopeName,
    fence: Fence,
    locations: &Locations,
) -> Result<(ScopePlan, Pruned), EngineError> {
    let now = Utc::now();
    let scope_plan = plan(catalog, scope, locations, now).await?;
    let records: BTreeMap<SnapshotId, SnapshotRecord> = catalog
        .snapshots(scope)
        .await?
        .into_iter()
        .map(|record| (record.id, record))
        .collect();
    let mut done = Pruned::default();
    let deleting = Deleting {
        catalog,
        scope,
        fence,
        locations,
    };
    let outcome = deleting.carry_out(&scope_plan, &records, &mut done).await;
    // What went is told also where the rest failed.
    if !done.snapshots.is_empty() {
        tell(catalog, &scope_plan, &done, &records, now).await?;
    }
    outcome?;
    Ok((scope_plan, done))
}

/// The deletions of one scope, under its lease.
struct Deleting<'a> {
    catalog: &'a Catalog,
    scope: &'a ScopeName,
    fence: Fence,
    locations: &'a Locations,
}

impl Deleting<'_> {
    async fn carry_out(
        &self,
        plan: &ScopePlan,
        records: &BTreeMap<SnapshotId, SnapshotRecord>,
        done: &mut Pruned,
    ) -> Result<(), EngineError> {
        let going = plan.plan.decisions.iter().filter(|decision| !decision.keep);
        for record in going.filter_map(|decision| records.get(&decision.snapshot)) {
            // A location that cannot be opened keeps what it holds, unmarked.
            let Some(store) = self.locations.get(&record.location) else {
                continue;
            };
            prolong(self.catalog, self.scope, self.fence).await?;
            if !self.still_goes(record).await? {
                continue;
            }
            // From here on nobody can start to read it; where somebody just did, it stays.
            if !self.catalog.mark_deleting(record, Utc::now()).await? {
                continue;
            }
            remove(store, &record.chain, &[record.id], done).await?;
            self.catalog.delete_snapshot(self.scope, &record.id).await?;
            done.snapshots.push(record.id);
        }
        for (location, chain) in &plan.abandoned {
            let Some(store) = self.locations.get(location) else {
                continue;
            };
            prolong(self.catalog, self.scope, self.fence).await?;
            remove(store, chain, &[], done).await?;
            done.chains.push(chain.clone());
        }
        Ok(())
    }

    /// Decides again: a verification may have found the snapshot damaged that was to outlive this one.
    async fn still_goes(&self, record: &SnapshotRecord) -> Result<bool, EngineError> {
        let (_, plan) = decide(self.catalog, self.scope, Utc::now()).await?;
        Ok(plan.deleted().any(|id| *id == record.id))
    }
}

/// Deletes snapshots of a chain in the reverse of the order in which they were written, and the whole
/// chain where none is left.
async fn remove(
    store: &Arc<dyn ObjectStore>,
    chain: &ChainPath,
    snapshots: &[SnapshotId],
    done: &mut Pruned,
) -> Result<(), EngineError> {
    let chain = Prefixed::new(store.clone(), chain.as_str());
    let removal = removal::plan(&chain, snapshots).await?;
    removal::apply(&chain, &removal).await?;
    done.objects += removal
        .steps
        .iter()
        .map(|(_, keys)| keys.len() as u64)
        .sum::<u64>();
    done.bytes += removal.bytes;
    Ok(())
}

async fn tell(
    catalog: &Catalog,
    plan: &ScopePlan,
    done: &Pruned,
    records: &BTreeMap<SnapshotId, SnapshotRecord>,
    now: Instant,
) -> Result<(), EngineError> {
    let schedules: BTreeSet<&ScheduleName> = done
        .snapshots
        .iter()
        .filter_map(|id| records.get(id)?.schedule.as_ref())
        .collect();
    let mut wanted = false;
    for name in schedules {
        wanted |= catalog
            .schedule(name)
            .await?
            .is_some_and(|s| s.schedule.alerts.clean_up);
    }
    let outbox: Vec<Message> = alert_if(wanted, || {
        Alert::clean_up(&plan.plan, done.snapshots.len() as u64, done.bytes, now)
    });
    catalog.enqueue(&outbox).await?;
    Ok(())
}
