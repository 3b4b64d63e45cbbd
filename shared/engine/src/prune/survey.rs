//! What a prune finds: what retention says of each snapshot, and what lies at the locations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::TimeDelta;
use logisedge_catalog::Catalog;
use logisedge_domain::Instant;
use logisedge_domain::anomaly::OpenAnomaly;
use logisedge_domain::id::{ChainPath, LocationName, ScopeName, SnapshotId};
use logisedge_domain::lock::ChainLock;
use logisedge_domain::plan::{PruneDecision, PrunePlan};
use logisedge_domain::retention::{Rules, date_plan, plan_prune};
use logisedge_domain::schedule::Schedule;
use logisedge_domain::snapshot::{Hold, SnapshotRecord};
use logisedge_storage::ObjectStore;

use super::terms::remaining;
use super::{ABANDONED_AFTER, InsideChain, Locations, Renewal, ScopePlan};
use crate::{EngineError, hold};

/// A scope's snapshots and chains.
pub(super) struct Survey {
    pub(super) records: BTreeMap<SnapshotId, SnapshotRecord>,
    pub(super) rules: Rules,
    schedules: Vec<Schedule>,
    /// What changed more than usual and nobody confirmed yet.
    anomaly: Option<OpenAnomaly>,
    /// For how long each snapshot that stays is reckoned to stay.
    pub(super) remaining: BTreeMap<SnapshotId, TimeDelta>,
    pub(super) in_use: BTreeSet<SnapshotId>,
    /// Holds that only the location knew.
    pub(super) holds_found: BTreeMap<SnapshotId, Hold>,
    /// Chains that an attempt without an end may still write, each with until when.
    pub(super) unended: BTreeMap<ChainPath, Instant>,
    pub(super) plan: PrunePlan,
    pub(super) abandoned: Vec<(LocationName, ChainPath)>,
    unknown: Vec<(LocationName, ChainPath)>,
}

/// A chain and where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ChainAt<'s> {
    pub(super) location: &'s LocationName,
    pub(super) chain: &'s ChainPath,
}

impl<'s> ChainAt<'s> {
    fn of(record: &'s SnapshotRecord) -> Self {
        Self {
            location: &record.location,
            chain: &record.chain,
        }
    }

    /// Whether a snapshot is one of it.
    pub(super) fn has(&self, record: &SnapshotRecord) -> bool {
        *self == ChainAt::of(record)
    }
}

impl Survey {
    /// The chains of which the catalog knows a snapshot, newest first.
    pub(super) fn chains(&self) -> Vec<ChainAt<'_>> {
        let chains: BTreeSet<ChainAt<'_>> = self.records.values().map(ChainAt::of).collect();
        let mut chains: Vec<ChainAt<'_>> = chains.into_iter().collect();
        chains.sort_by_key(|at| std::cmp::Reverse(at.chain.started_at()));
        chains
    }

    /// Those of them that keep a snapshot.
    pub(super) fn living(&self) -> Vec<ChainAt<'_>> {
        let mut chains = self.chains();
        chains.retain(|at| self.kept(*at).next().is_some());
        chains
    }

    /// The snapshots of a chain that go, newest first.
    pub(super) fn going(&self, at: ChainAt<'_>) -> impl Iterator<Item = &SnapshotRecord> {
        let ids = self.plan.deleted();
        ids.filter_map(|id| self.records.get(id))
            .filter(move |record| at.has(record))
    }

    /// The snapshots of a chain that stay.
    pub(super) fn kept(&self, at: ChainAt<'_>) -> impl Iterator<Item = &SnapshotRecord> {
        let kept = self.plan.decisions.iter().filter(|decision| decision.keep);
        kept.filter_map(|decision| self.records.get(&decision.snapshot))
            .filter(move |record| at.has(record))
    }

    /// What is due for the lock of a chain, by its snapshots' schedules as they are now.
    pub(super) fn lock(&self, at: ChainAt<'_>, now: Instant) -> ChainLock {
        let kept: BTreeSet<SnapshotId> = self.kept(at).map(|record| record.id).collect();
        let lock_of = |record: &SnapshotRecord| {
            let name = record.schedule.as_ref();
            let name = name.filter(|_| kept.contains(&record.id))?;
            let schedule = self.schedules.iter().find(|s| s.name == *name)?;
            schedule.lock
        };
        let of_chain = self.records.values().filter(|record| at.has(record));
        let of_chain: Vec<_> = of_chain.map(|record| (record, lock_of(record))).collect();
        ChainLock::of(&of_chain, now)
    }

    /// Tells of an attempt that may still write a chain: its lease ran out, and it never said that it
    /// had ended. What it took for stored must not go under its hands.
    pub(super) fn still_written(&self, at: ChainAt<'_>) -> Option<String> {
        let until = self.unended.get(at.chain)?;
        Some(format!(
            "an attempt that did not end may write it until {}",
            logisedge_domain::format::instant(*until)
        ))
    }

    /// Asks the locations whether somebody holds what would go: a catalog that was rebuilt, or set
    /// back, may not know. Costs a listing for each chain of which a snapshot goes.
    async fn hear_of_holds(
        &mut self,
        locations: &Locations,
        now: Instant,
    ) -> Result<(), EngineError> {
        let chains: BTreeSet<(LocationName, ChainPath)> = self
            .plan
            .deleted()
            .filter_map(|id| self.records.get(id))
            .map(|record| (record.location.clone(), record.chain.clone()))
            .collect();
        for (name, chain) in chains {
            let Some(location) = locations.get(&name) else {
                continue;
            };
            let holds = hold::at_location(&location.store, &location.password, &chain).await?;
            for (id, hold) in holds {
                if let Some(record) = self.records.get_mut(&id)
                    && record.hold.is_none()
                {
                    record.hold = Some(hold.clone());
                    self.holds_found.insert(id, hold);
                }
            }
        }
        if !self.holds_found.is_empty() {
            self.decide(now);
        }
        Ok(())
    }

    /// What retention says of the snapshots as they are known now.
    fn decide(&mut self, now: Instant) {
        let records: Vec<SnapshotRecord> = self.records.values().cloned().collect();
        self.plan = plan_prune(&self.plan.scope, &self.rules, &records, &self.in_use, now);
        if let Some(open) = &self.anomaly {
            keep_all(&mut self.plan, &records, open);
        }
    }

    pub(super) fn into_plan(self, chains: Vec<InsideChain>, locks: Vec<Renewal>) -> ScopePlan {
        ScopePlan {
            plan: self.plan,
            chains,
            locks,
            abandoned: self.abandoned,
            unknown: self.unknown,
        }
    }
}

/// Looks at what the catalog and the locations hold of a scope.
pub(super) async fn survey(
    catalog: &Catalog,
    scope: &ScopeName,
    locations: &Locations,
    now: Instant,
) -> Result<Survey, EngineError> {
    let mut survey = decide(catalog, scope, now).await?;
    survey.hear_of_holds(locations, now).await?;
    let records: Vec<SnapshotRecord> = survey.records.values().cloned().collect();
    date_plan(&mut survey.plan, &survey.rules, &records);
    let stays = |decision: &&PruneDecision| decision.keep;
    let kept = survey.plan.decisions.iter().filter(stays);
    let kept: Vec<SnapshotRecord> = kept
        .filter_map(|decision| survey.records.get(&decision.snapshot).cloned())
        .collect();
    survey.remaining = remaining(scope, &survey.schedules, &survey.rules, &kept, now);
    let known: BTreeSet<ChainAt<'_>> = survey.records.values().map(ChainAt::of).collect();
    let (mut abandoned, mut unknown) = (Vec::new(), Vec::new());
    for (name, location) in locations {
        for chain in chains_of(location.store.as_ref(), scope).await? {
            if known.contains(&ChainAt {
                location: name,
                chain: &chain,
            }) {
                continue;
            }
            match inspect(&location.store, &chain, now).await? {
                Found::Snapshot => unknown.push((name.clone(), chain)),
                Found::Abandoned => abandoned.push((name.clone(), chain)),
                Found::Young => {}
            }
        }
    }
    survey.abandoned = abandoned;
    survey.unknown = unknown;
    Ok(survey)
}

/// What retention says of a scope's snapshots, from the catalog alone.
pub(super) async fn decide(
    catalog: &Catalog,
    scope: &ScopeName,
    now: Instant,
) -> Result<Survey, EngineError> {
    let records = catalog.snapshots(scope).await?;
    let schedules = catalog.schedules().await?.into_iter();
    let schedules: Vec<Schedule> = schedules.map(|state| state.schedule).collect();
    let configured = catalog.scope(scope).await?;
    let rules = Rules {
        schedules: schedules
            .iter()
            .map(|schedule| (schedule.name.clone(), schedule.retention))
            .collect(),
        scope: configured.and_then(|scope| scope.retention),
    };
    let in_use = catalog.snapshots_in_use(scope, now).await?;
    let unended = catalog.unended_chains(scope, now).await?;
    let records = records.into_iter().map(|record| (record.id, record));
    let mut survey = Survey {
        records: records.collect(),
        rules,
        schedules,
        anomaly: catalog.anomaly(scope).await?.open,
        remaining: BTreeMap::new(),
        holds_found: BTreeMap::new(),
        in_use,
        unended,
        plan: PrunePlan {
            scope: scope.clone(),
            now,
            decisions: Vec::new(),
        },
        abandoned: Vec::new(),
        unknown: Vec::new(),
    };
    survey.decide(now);
    Ok(survey)
}

/// Nobody looked yet at what changed more than usual: what may be the last good state stays. What was
/// begun to be deleted before that is finished.
fn keep_all(plan: &mut PrunePlan, records: &[SnapshotRecord], open: &OpenAnomaly) {
    let begun = |id| {
        let record = records.iter().find(|record| record.id == id);
        record.is_some_and(|record| record.deleting_since.is_some())
    };
    for decision in &mut plan.decisions {
        if !decision.keep && !begun(decision.snapshot) {
            decision.keep = true;
            decision.reason = format!(
                "nobody confirmed yet what changed in snapshot {} (logisedge-backup anomaly); else: {}",
                open.snapshot.short(),
                decision.reason
            );
        }
    }
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
