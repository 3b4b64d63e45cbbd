//! Pruning: a plan with a reason for every snapshot and every pack, and its execution in the order
//! that never leaves a visible snapshot without its bytes.

mod chain;
mod deadline;
mod deleting;
mod locking;
mod survey;
mod terms;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use logisedge_catalog::{Catalog, Message};
use logisedge_domain::Instant;
use logisedge_domain::alert::{Alert, Resolution};
use logisedge_domain::id::{ChainPath, Fence, LocationName, ScheduleName, ScopeName, SnapshotId};
use logisedge_domain::plan::PrunePlan;
use logisedge_domain::snapshot::SnapshotRecord;
use logisedge_domain::storage::LockMode;
use logisedge_repository::Password;
use logisedge_repository::prune::{ChainPlan, Prices};
use logisedge_storage::ObjectStore;
use serde::Serialize;

use crate::attempt::alert_if;
use crate::capacity::reconcile;
use crate::{EngineError, EngineErrorKind};
use deadline::Deadline;
use deleting::Deleting;
pub use locking::Renewal;
pub(crate) use survey::chains_of;
use survey::survey;

/// A chain without any snapshot object is what a killed attempt left. It is removed when its newest
/// object is older than this, far beyond any function's life; and so is a pack that no index names.
pub const ABANDONED_AFTER: TimeDelta = TimeDelta::hours(24);

/// How long prune holds a scope without a sign of life. It is prolonged before every deletion.
const LEASE: Duration = Duration::from_secs(300);

/// What prune would do to one scope.
#[derive(Debug, Clone, Serialize)]
pub struct ScopePlan {
    /// What happens to each snapshot, newest first.
    #[serde(flatten)]
    pub plan: PrunePlan,
    /// What happens inside the chains that keep snapshots. Whole chains go with their last snapshot.
    pub chains: Vec<InsideChain>,
    /// Locks that are renewed, of chains that keep snapshots of schedules with a lock.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<Renewal>,
    /// Chains that killed attempts left behind, to be removed.
    pub abandoned: Vec<(LocationName, ChainPath)>,
    /// Chains that hold a snapshot the catalog does not know. They are never removed: the catalog is
    /// only an index, and `catalog rebuild` makes it know them.
    pub unknown: Vec<(LocationName, ChainPath)>,
}

/// What prune would do inside one chain.
#[derive(Debug, Clone, Serialize)]
pub struct InsideChain {
    /// Where the chain lies.
    pub location: LocationName,
    /// The chain.
    pub chain: ChainPath,
    /// What happens to its packs.
    #[serde(flatten)]
    pub plan: ChainPlan,
}

/// What prune did to one scope.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Pruned {
    /// Snapshots deleted.
    pub snapshots: Vec<SnapshotId>,
    /// Abandoned chains removed.
    pub chains: Vec<ChainPath>,
    /// Packs deleted inside chains that keep snapshots, those included that were written anew.
    pub packs: u64,
    /// Of those, the packs that were written anew.
    pub packs_rewritten: u64,
    /// Objects deleted.
    pub objects: u64,
    /// Their bytes; the bucket keeps them for the grace days.
    pub bytes: u64,
    /// Bytes written to take the place of some of them.
    pub bytes_written: u64,
    /// What was left for the next prune, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
    /// What was left for a reason that the next prune need not find gone: somebody is told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stuck: Vec<String>,
}

impl Pruned {
    /// Bytes that the location need not keep any more, once the grace days are over.
    pub fn bytes_freed(&self) -> u64 {
        self.bytes.saturating_sub(self.bytes_written)
    }
}

/// A location of a scope's snapshots, opened. Which packs a chain needs is in its directories, which
/// only the password opens.
#[derive(Debug, Clone)]
pub struct Location {
    /// Its root.
    pub store: Arc<dyn ObjectStore>,
    /// What opens its repositories.
    pub password: Password,
    /// What storing and asking costs there.
    pub prices: Prices,
    /// How it locks what schedules with a lock store there, if it does.
    pub lock_mode: Option<LockMode>,
}

/// The locations of a scope's snapshots.
pub type Locations = BTreeMap<LocationName, Location>;

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

/// Plans a scope's clean-up. Changes nothing. Reads the index and the directories of every chain that
/// keeps a snapshot.
pub async fn plan(
    catalog: &Catalog,
    scope: &ScopeName,
    locations: &Locations,
    now: Instant,
) -> Result<ScopePlan, EngineError> {
    let survey = survey(catalog, scope, locations, now).await?;
    let (mut chains, mut locks) = (Vec::new(), Vec::new());
    for at in survey.living() {
        let Some(location) = locations.get(at.location) else {
            continue;
        };
        locks.extend(locking::due(&survey, at, location, now));
        let found = chain::look(&survey, location, at, None, now).await?;
        chains.extend(found.map(|looked| InsideChain {
            location: at.location.clone(),
            chain: at.chain.clone(),
            plan: looked.plan().clone(),
        }));
    }
    Ok(survey.into_plan(chains, locks))
}

/// Carries out what [`plan`] would do now, under the scope's lease. The plan is made anew inside the
/// lease, so that it is never older than what it deletes.
///
/// `time_left` is how long the function may still go on. What there is no time for is left for the next
/// prune, which the answer says.
pub async fn prune(
    catalog: &Catalog,
    scope: &ScopeName,
    locations: &Locations,
    holder: &str,
    time_left: Option<Duration>,
) -> Result<(ScopePlan, Pruned), EngineError> {
    let deadline = Deadline::after(time_left);
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
    let outcome = prune_held(catalog, scope, fence, locations, deadline).await;
    release(catalog, scope, fence).await;
    outcome
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
    deadline: Deadline,
) -> Result<(ScopePlan, Pruned), EngineError> {
    reconcile(catalog, scope, locations, true).await?;
    let now = Utc::now();
    let survey = survey(catalog, scope, locations, now).await?;
    for (id, hold) in &survey.holds_found {
        catalog.hold_snapshot(scope, id, hold).await?;
    }
    let mut deleting = Deleting::new(catalog, scope, fence, locations, &survey, deadline);
    let outcome = deleting.carry_out().await;
    let (chains, locks, done) = deleting.into_done();
    let records = survey.records.clone();
    let plan = survey.into_plan(chains, locks);
    // What went is told also where the rest failed.
    tell(catalog, &plan, &done, &records, outcome.is_ok(), now).await?;
    if done.objects > 0 || done.bytes_written > 0 {
        reconcile(catalog, scope, locations, false).await?;
    }
    outcome?;
    Ok((plan, done))
}

async fn tell(
    catalog: &Catalog,
    plan: &ScopePlan,
    done: &Pruned,
    records: &BTreeMap<SnapshotId, SnapshotRecord>,
    is_ended: bool,
    now: Instant,
) -> Result<(), EngineError> {
    let mut outbox: Vec<Message> = Vec::new();
    for inside in &plan.chains {
        if let Some(finding) = &inside.plan.damage {
            let of_chain = |record: &&SnapshotRecord| {
                record.chain == inside.chain && record.location == inside.location
            };
            let newest = records
                .values()
                .filter(of_chain)
                .filter(|record| !done.snapshots.contains(&record.id))
                .max_by_key(|record| record.taken_at);
            if let Some(record) = newest {
                let policies = policies(catalog, [record]).await?;
                outbox.extend(alert_if(
                    policies.is_empty() || policies.iter().any(|p| p.finding),
                    || Alert::finding(record, std::slice::from_ref(finding), now),
                ));
            }
        }
    }
    outbox.extend(plan.locks.iter().filter_map(|renewal| {
        let why = renewal.refused.as_ref()?;
        let (scope, location) = (&plan.plan.scope, &renewal.location);
        let alert = Alert::not_locked(scope, location, &renewal.chain, why, now);
        Some(Message::Alert(alert))
    }));
    let scope = &plan.plan.scope;
    if !done.stuck.is_empty() {
        let alert = Alert::not_pruned(scope, &done.stuck, now);
        outbox.push(Message::Alert(alert));
    } else if is_ended && plan.locks.iter().all(|renewal| renewal.refused.is_none()) {
        outbox.push(Message::Resolution(Resolution::pruned(scope, now)));
    }
    if !done.snapshots.is_empty() || done.packs > 0 {
        // Those of the snapshots that went; where only bytes went, those of the scope.
        let gone = || done.snapshots.iter().filter_map(|id| records.get(id));
        let policies = match gone().next() {
            Some(_) => policies(catalog, gone()).await?,
            None => policies(catalog, records.values()).await?,
        };
        outbox.extend(alert_if(
            policies.iter().any(|policy| policy.clean_up),
            || {
                let count = done.snapshots.len() as u64;
                Alert::clean_up(&plan.plan, count, done.bytes_freed(), now)
            },
        ));
    }
    catalog.enqueue(&outbox).await?;
    Ok(())
}

/// What the schedules of these snapshots want to be told.
async fn policies(
    catalog: &Catalog,
    records: impl IntoIterator<Item = &SnapshotRecord>,
) -> Result<Vec<logisedge_domain::schedule::AlertPolicy>, EngineError> {
    let names: BTreeSet<&ScheduleName> = records
        .into_iter()
        .filter_map(|record| record.schedule.as_ref())
        .collect();
    let mut policies = Vec::new();
    for name in names {
        let state = catalog.schedule(name).await?;
        policies.extend(state.map(|state| state.schedule.alerts));
    }
    Ok(policies)
}
