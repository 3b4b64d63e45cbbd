//! Inside one chain that keeps snapshots: which of its packs go.

use std::collections::BTreeSet;
use std::sync::Arc;

use logisedge_domain::Instant;
use logisedge_domain::id::SnapshotId;
use logisedge_domain::snapshot::SnapshotRecord;
use logisedge_domain::storage::ObjectLock;
use logisedge_repository::prune::{ChainPlan, Prepared, Terms, prepare};
use logisedge_repository::{Options, Repository, RepositoryError, RepositoryErrorKind};
use logisedge_storage::{Prefixed, StorageErrorKind};

use super::survey::{ChainAt, Survey};
use super::{ABANDONED_AFTER, Location};
use crate::EngineError;

/// A plan for a chain's packs, with what it takes to carry it out where something can be done.
pub(super) enum Looked {
    Prepared(Box<Prepared>),
    /// Somebody is at it: the next prune will find it free.
    Busy(Box<ChainPlan>),
    /// It cannot be opened: nothing of it goes until somebody sees to that.
    Closed(Box<ChainPlan>),
}

impl Looked {
    pub(super) fn plan(&self) -> &ChainPlan {
        match self {
            Self::Prepared(prepared) => prepared.plan(),
            Self::Busy(plan) | Self::Closed(plan) => plan,
        }
    }
}

/// Plans what happens inside a chain, from which the snapshots that go are gone or will be; what is written gets this
/// lock. None where there is nothing to say. What cannot be read makes a plan that leaves all of it and says why; an
/// error is only a store that fails.
pub(super) async fn look(
    survey: &Survey,
    location: &Location,
    at: ChainAt<'_>,
    lock: Option<ObjectLock>,
    now: Instant,
) -> Result<Option<Looked>, EngineError> {
    let busy = in_use(survey.in_use.iter(), survey, at).or_else(|| survey.still_written(at));
    let looked = match busy {
        Some(why) => Looked::Busy(Box::new(ChainPlan::leave(why))),
        None => match prepared(survey, location, at, lock, now).await {
            Ok(prepared) => Looked::Prepared(Box::new(prepared)),
            Err(error) if is_of_the_store(&error) => return Err(error.into()),
            Err(error) => Looked::Closed(Box::new(ChainPlan::leave(error.to_string()))),
        },
    };
    let plan = looked.plan();
    let silent = plan.held.is_none() && plan.packs.is_empty() && plan.foreign.is_empty();
    Ok((!silent).then_some(looked))
}

async fn prepared(
    survey: &Survey,
    location: &Location,
    at: ChainAt<'_>,
    lock: Option<ObjectLock>,
    now: Instant,
) -> Result<Prepared, RepositoryError> {
    let store = Arc::new(Prefixed::new(location.store.clone(), at.chain.as_str()));
    let repository = Repository::open(store, &location.password, Options::default()).await?;
    let repository = match lock {
        Some(lock) => repository.locking(lock),
        None => repository,
    };
    let stays = survey.kept(at);
    let stays = stays.filter_map(|record| survey.remaining.get(&record.id));
    let remaining = stays.max().copied().unwrap_or_default();
    let mut terms = Terms::new(now, location.prices, remaining, ABANDONED_AFTER);
    // A rewritten pack would mix what may be archived with what is to stay readable, and both would pay
    // for the least time of the class that the old one lies in.
    if !survey.kept(at).all(|record| record.tier.is_standard()) {
        terms.needed_percent_min = 0;
    }
    let ids = |record: &SnapshotRecord| record.id;
    let dropped: BTreeSet<SnapshotId> = survey.going(at).map(ids).collect();
    let expected: BTreeSet<SnapshotId> = survey.kept(at).map(ids).collect();
    prepare(&repository, &dropped, &expected, &terms).await
}

/// Whether the store failed, and not what lies in it; or this role may not read it.
fn is_of_the_store(error: &RepositoryError) -> bool {
    match error.kind {
        RepositoryErrorKind::Storage(kind) => kind != StorageErrorKind::Denied,
        kind => kind == RepositoryErrorKind::Aborted,
    }
}

/// Tells of a snapshot of the chain that somebody reads. One that is new to the catalog may be of this
/// chain too.
pub(super) fn in_use<'i>(
    mut in_use: impl Iterator<Item = &'i SnapshotId>,
    survey: &Survey,
    at: ChainAt<'_>,
) -> Option<String> {
    let of_chain = |id: &&SnapshotId| {
        let record = survey.records.get(id);
        record.is_none_or(|record| at.has(record))
    };
    let id = in_use.find(of_chain)?;
    Some(format!("snapshot {} is being read", id.short()))
}
