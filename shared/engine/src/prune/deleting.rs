//! The deletions of one scope, under its lease, chain after chain.

use std::sync::Mutex;
use std::time::Instant as Stopwatch;

use async_trait::async_trait;
use chrono::Utc;
use logisedge_catalog::Catalog;
use logisedge_domain::id::{Fence, ScopeName, SnapshotId};
use logisedge_domain::snapshot::SnapshotRecord;
use logisedge_repository::prune::Guard;
use logisedge_repository::removal::{self, Removal};
use logisedge_storage::Prefixed;

use super::chain::{self, Looked};
use super::deadline::{Deadline, OVER};
use super::survey::{ChainAt, Survey, decide};
use super::{InsideChain, LEASE, Location, Locations, Pruned, Renewal, locking};
use crate::{EngineError, EngineErrorKind};

pub(super) struct Deleting<'a> {
    catalog: &'a Catalog,
    scope: &'a ScopeName,
    locations: &'a Locations,
    survey: &'a Survey,
    lease: Lease<'a>,
    chains: Vec<InsideChain>,
    locks: Vec<Renewal>,
    done: Pruned,
}

impl<'a> Deleting<'a> {
    pub(super) fn new(
        catalog: &'a Catalog,
        scope: &'a ScopeName,
        fence: Fence,
        locations: &'a Locations,
        survey: &'a Survey,
        deadline: Deadline,
    ) -> Self {
        Self {
            catalog,
            scope,
            locations,
            survey,
            lease: Lease {
                catalog,
                scope,
                fence,
                deadline,
            },
            chains: Vec::new(),
            locks: Vec::new(),
            done: Pruned::default(),
        }
    }

    /// What was planned inside chains, whose locks were renewed, and what was done in all, so far.
    pub(super) fn into_done(self) -> (Vec<InsideChain>, Vec<Renewal>, Pruned) {
        (self.chains, self.locks, self.done)
    }

    pub(super) async fn carry_out(&mut self) -> Result<(), EngineError> {
        let chains = self.survey.chains();
        let abandoned = &self.survey.abandoned;
        let all = chains.len() + abandoned.len();
        for (number, at) in chains.into_iter().enumerate() {
            if self.is_over(all - number) {
                return Ok(());
            }
            // A location that cannot be opened keeps what it holds, unmarked.
            if let Some(location) = self.locations.get(at.location) {
                self.prune_chain(at, location).await?;
            }
        }
        for (number, (name, chain)) in abandoned.iter().enumerate() {
            if self.is_over(abandoned.len() - number) {
                return Ok(());
            }
            let Some(location) = self.locations.get(name) else {
                continue;
            };
            self.lease.prolong().await?;
            let store = Prefixed::new(location.store.clone(), chain.as_str());
            let removal = removal::plan(&store, &[]).await?;
            self.remove(&store, &removal).await?;
            self.done.chains.push(chain.clone());
        }
        Ok(())
    }

    /// Leaves something of a chain for the next prune. Somebody is told where there was no time for it: there
    /// may be none tomorrow.
    fn leave(&mut self, at: ChainAt<'_>, why: &str) {
        let left = format!("{}: {why}", at.chain);
        match self.lease.deadline.may_begin() {
            Ok(()) => self.done.left.push(left),
            Err(_) => self.done.stuck.push(left),
        }
    }

    /// Whether there is no time for another chain; so many are left then.
    fn is_over(&mut self, chains: usize) -> bool {
        let over = self.lease.deadline.may_begin().err();
        let chains = logisedge_domain::format::counted(chains as u64, "chain");
        let left = over.map(|why| format!("{chains}: {why}"));
        let is_over = left.is_some();
        self.done.stuck.extend(left);
        is_over
    }

    /// Drops the snapshots of a chain that go, then what nothing needs any more. The catalog forgets
    /// them last, so that a prune that dies in between is gone on with.
    async fn prune_chain(
        &mut self,
        at: ChainAt<'_>,
        location: &Location,
    ) -> Result<(), EngineError> {
        self.lease.prolong().await?;
        // A chain that somebody may still write goes as a whole when it is certain that nobody does.
        if let (Some(why), None) = (self.survey.still_written(at), self.survey.kept(at).next()) {
            self.done.left.push(format!("{}: {why}", at.chain));
            return Ok(());
        }
        let mut marked: Vec<SnapshotId> = Vec::new();
        for record in self.survey.going(at) {
            // From the mark on nobody can start to read it; where somebody just did, it stays.
            if self.still_goes(record).await?
                && self.catalog.mark_deleting(record, Utc::now()).await?
            {
                marked.push(record.id);
            }
        }
        let of_chain = |record: &&SnapshotRecord| at.has(record);
        let all = self.survey.records.values().filter(of_chain).count();
        let store = Prefixed::new(location.store.clone(), at.chain.as_str());
        if marked.len() == all {
            let removal = removal::plan(&store, &marked).await?;
            self.remove(&store, &removal).await?;
        } else {
            if !marked.is_empty() {
                let removal = removal::plan_snapshots(&store, &marked).await?;
                self.remove(&store, &removal).await?;
            }
            let is_locked = self.renew_lock(at, location).await?;
            // With a snapshot that was to go and stays, the plan does not hold; the next one will.
            if is_locked && marked.len() == self.survey.going(at).count() {
                self.prune_inside(at, location).await?;
            }
        }
        for id in marked {
            self.catalog.delete_snapshot(self.scope, &id).await?;
            self.done.snapshots.push(id);
        }
        Ok(())
    }

    /// Renews a chain's lock where that is due. False where the location refused it: then nothing should
    /// be written that would have to be locked.
    async fn renew_lock(
        &mut self,
        at: ChainAt<'_>,
        location: &Location,
    ) -> Result<bool, EngineError> {
        let Some(mut renewal) = locking::due(self.survey, at, location, Utc::now()) else {
            return Ok(true);
        };
        let kept = self.survey.kept(at);
        let (catalog, scope) = (self.catalog, self.scope);
        let over =
            locking::renew(catalog, scope, &self.lease, kept, location, &mut renewal).await?;
        let refused = renewal.refused.as_ref().or(over.as_ref());
        let why = refused.map(|why| format!("its lock could not be renewed: {why}"));
        let is_locked = why.is_none();
        if let Some(why) = why {
            self.leave(at, &why);
        }
        self.locks.push(renewal);
        Ok(is_locked)
    }

    /// Decides again: a verification may have found the snapshot damaged that was to outlive this one.
    async fn still_goes(&self, record: &SnapshotRecord) -> Result<bool, EngineError> {
        let now = decide(self.catalog, self.scope, Utc::now()).await?;
        Ok(now.plan.deleted().any(|id| *id == record.id))
    }

    async fn prune_inside(
        &mut self,
        at: ChainAt<'_>,
        location: &Location,
    ) -> Result<(), EngineError> {
        let now = Utc::now();
        let lock = locking::of_what_is_written(self.survey, at, location, now);
        let looking = chain::look(self.survey, location, at, lock, now);
        let looked = match tokio::time::timeout(self.lease.deadline.usable(), looking).await {
            Ok(looked) => looked?,
            Err(_) => {
                self.leave(at, OVER);
                return Ok(());
            }
        };
        let Some(looked) = looked else {
            return Ok(());
        };
        self.chains.push(InsideChain {
            location: at.location.clone(),
            chain: at.chain.clone(),
            plan: looked.plan().clone(),
        });
        let prepared = match looked {
            Looked::Prepared(prepared) => prepared,
            Looked::Busy(_) => return Ok(()),
            Looked::Closed(plan) => {
                let why = plan.held.unwrap_or_default();
                self.done.stuck.push(format!("{}: {why}", at.chain));
                return Ok(());
            }
        };
        let watch = Watch {
            lease: &self.lease,
            survey: self.survey,
            at,
            prolonged: Mutex::new(Stopwatch::now()),
            failure: Mutex::default(),
        };
        let applied = prepared.apply(&watch).await;
        if let Some(error) = watch.into_failure() {
            return Err(error);
        }
        let applied = applied?;
        self.done.packs += applied.packs_deleted;
        self.done.packs_rewritten += applied.packs_rewritten;
        self.done.objects += applied.objects_deleted;
        self.done.bytes += applied.bytes_deleted;
        self.done.bytes_written += applied.bytes_written;
        if let Some(why) = applied.left {
            self.leave(at, &why);
        }
        Ok(())
    }

    async fn remove(&mut self, store: &Prefixed, removal: &Removal) -> Result<(), EngineError> {
        removal::apply(store, removal).await?;
        let keys = removal.steps.iter().map(|(_, keys)| keys.len() as u64);
        self.done.objects += keys.sum::<u64>();
        self.done.bytes += removal.bytes;
        Ok(())
    }
}

/// The scope's lease, as prune holds it.
pub(super) struct Lease<'a> {
    catalog: &'a Catalog,
    scope: &'a ScopeName,
    fence: Fence,
    pub(super) deadline: Deadline,
}

impl Lease<'_> {
    pub(super) async fn prolong(&self) -> Result<(), EngineError> {
        let (scope, now) = (self.scope, Utc::now());
        if self
            .catalog
            .extend_exclusive(scope, self.fence, now, LEASE)
            .await?
        {
            return Ok(());
        }
        Err(EngineError::new(
            EngineErrorKind::LeaseLost,
            format!(
                "the lease on scope {scope} ran out while it was pruned; the next prune goes on"
            ),
        ))
    }
}

/// Watches over the work inside a chain: the lease must hold, there must be time, and nobody may read.
struct Watch<'a> {
    lease: &'a Lease<'a>,
    survey: &'a Survey,
    at: ChainAt<'a>,
    prolonged: Mutex<Stopwatch>,
    failure: Mutex<Option<EngineError>>,
}

impl Watch<'_> {
    /// What ended the work, where it was no decision but a failure.
    fn into_failure(self) -> Option<EngineError> {
        self.failure.into_inner().unwrap_or_default()
    }

    fn failed(&self, error: EngineError) -> String {
        let message = error.message.clone();
        if let Ok(mut failure) = self.failure.lock() {
            *failure = Some(error);
        }
        message
    }

    /// Whether the lease was prolonged long ago.
    fn is_due(&self) -> bool {
        let prolonged = self.prolonged.lock();
        prolonged.map_or(true, |at| at.elapsed() > LEASE / 10)
    }
}

#[async_trait]
impl Guard for Watch<'_> {
    fn may_begin(&self) -> Result<(), String> {
        self.lease.deadline.may_begin()
    }

    async fn may_go_on(&self) -> Result<(), String> {
        self.lease.deadline.may_go_on()?;
        if !self.is_due() {
            return Ok(());
        }
        self.lease
            .prolong()
            .await
            .map_err(|error| self.failed(error))?;
        if let Ok(mut prolonged) = self.prolonged.lock() {
            *prolonged = Stopwatch::now();
        }
        Ok(())
    }

    async fn is_unread(&self) -> Result<(), String> {
        let (catalog, scope) = (self.lease.catalog, self.lease.scope);
        // The steps that follow cannot be taken back, so the lease must hold now.
        self.lease
            .prolong()
            .await
            .map_err(|error| self.failed(error))?;
        match catalog.snapshots_in_use(scope, Utc::now()).await {
            Err(error) => Err(self.failed(error.into())),
            Ok(ids) => match chain::in_use(ids.iter(), self.survey, self.at) {
                Some(why) => Err(why),
                None => Ok(()),
            },
        }
    }
}
