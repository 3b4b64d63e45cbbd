//! Pruning inside a chain that keeps snapshots: which packs none of them needs any more, which are
//! worth writing anew without what nobody needs, and the steps, in an order that survives a death
//! at any instant. Chains that keep nothing are [removed](crate::removal) whole.
//!
//! The order: snapshot objects go first (by [`crate::removal`]), then [`Prepared::apply`] writes the
//! rewritten packs; writes new index files that name all that lives in the old ones; deletes the old
//! index files; deletes the packs. Killed anywhere, every kept snapshot restores, and the next prune
//! finishes. What no index names is left until it is certain that nobody is writing it.
//!
//! Whoever reads while a prune runs may hold an index from before it. So packs go only when nobody
//! reads ([`Guard`]), which is asked again after the old index files are gone: whoever begins to
//! read later finds the new ones.

mod apply;
mod choose;
pub(crate) mod needed;
mod price;

use std::collections::BTreeSet;

use async_trait::async_trait;
use chrono::TimeDelta;
use logisedge_domain::Instant;
use logisedge_domain::finding::{Finding, FindingKind};
use logisedge_domain::id::SnapshotId;
use logisedge_storage::{ObjectMeta, ObjectStore};
use serde::Serialize;

pub use apply::Applied;
pub(crate) use apply::put_index;
pub use price::{Prices, Saving};

use crate::error::{RepositoryError, RepositoryErrorKind};
use crate::id::{IndexId, PackId};
use crate::index::Index;
use crate::layout::{self, ObjectName};
use crate::repository::Repository;
use crate::writer::off_runtime;
use choose::Choice;
use needed::Needed;

/// A lock of restic's is renewed every five minutes and counts as forgotten after this long
/// (`staleLockTimeout`, <https://github.com/restic/restic/blob/master/internal/restic/lock.go>).
pub const LOCK_STALE_AFTER: TimeDelta = TimeDelta::minutes(30);

/// On what terms a chain is pruned.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// The time that ages are counted from.
    pub now: Instant,
    /// A pack of which fewer than so many percent are needed is rewritten, if that pays. 0: never.
    pub needed_percent_min: u32,
    /// What storing and asking costs.
    pub prices: Prices,
    /// How long what is kept now will be kept.
    pub remaining: TimeDelta,
    /// A pack that no index names may be an upload that is under way, unless it was written before
    /// this instant.
    pub abandoned_before: Instant,
    /// Most bytes to write anew at one time, so that a prune comes to its end. The next goes on.
    pub rewrite_bytes_max: u64,
}

impl Terms {
    /// The usual terms: packs are rewritten under one half, 4 GiB at a time.
    pub fn new(now: Instant, prices: Prices, remaining: TimeDelta, abandoned: TimeDelta) -> Self {
        Self {
            now,
            needed_percent_min: 50,
            prices,
            remaining,
            abandoned_before: now - abandoned,
            rewrite_bytes_max: 4 << 30,
        }
    }
}

/// What happens to a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PackFate {
    /// It stays as it is.
    Keep,
    /// What is needed of it is written into a new pack, then it goes.
    Rewrite,
    /// It goes.
    Delete,
    /// It is not there, and nobody needs it: the index no longer names it.
    Forget,
}

/// What is decided about one pack.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PackDecision {
    /// The pack.
    pub pack: PackId,
    /// Its bytes.
    pub bytes: u64,
    /// Bytes of it that kept snapshots need.
    pub bytes_needed: u64,
    /// What happens to it.
    pub fate: PackFate,
    /// Why, for people.
    pub reason: String,
    /// What rewriting it saves and costs, where that was weighed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saving: Option<Saving>,
}

/// What pruning would do to one chain.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ChainPlan {
    /// Why no pack goes now, whatever is decided below: somebody reads, or something is damaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    /// Damage that stands in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damage: Option<Finding>,
    /// Every pack that is not needed as a whole, sorted by id.
    pub packs: Vec<PackDecision>,
    /// How many packs are needed as a whole, and stay untouched.
    pub packs_whole: u64,
    /// Their bytes.
    pub bytes_whole: u64,
    /// Index files that name a pack which goes: new ones take their place.
    pub index_files: Vec<IndexId>,
    /// Objects whose names are no part of the format. They are left alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub foreign: Vec<String>,
}

impl ChainPlan {
    /// A plan to leave every pack where it is.
    pub fn leave(why: impl Into<String>) -> Self {
        Self {
            held: Some(why.into()),
            ..Self::default()
        }
    }

    fn of(&self, fate: PackFate) -> impl Iterator<Item = &PackDecision> {
        self.packs.iter().filter(move |pack| pack.fate == fate)
    }

    /// Bytes of packs that go, without those that are written anew.
    pub fn bytes_freed(&self) -> u64 {
        let deleted: u64 = self.of(PackFate::Delete).map(|pack| pack.bytes).sum();
        let rewritten = self.of(PackFate::Rewrite);
        deleted
            + rewritten
                .map(|pack| pack.bytes.saturating_sub(pack.bytes_needed))
                .sum::<u64>()
    }

    /// Bytes that are written anew.
    pub fn bytes_rewritten(&self) -> u64 {
        self.of(PackFate::Rewrite)
            .map(|pack| pack.bytes_needed)
            .sum()
    }

    /// Whether there is something to do.
    pub fn changes_something(&self) -> bool {
        self.held.is_none() && self.packs.iter().any(|pack| pack.fate != PackFate::Keep)
    }
}

/// Asked before each step that cannot be taken back, and before each pack that is rewritten.
#[async_trait]
pub trait Guard: Send + Sync {
    /// Whether there is time to rewrite one more pack, and to end in order after that. Where there is not,
    /// what was rewritten takes its place, and the other packs stay as they are.
    fn may_begin(&self) -> Result<(), String>;

    /// Whether the work may go on at all: its lease still holds, there is time left.
    async fn may_go_on(&self) -> Result<(), String>;

    /// Whether nobody reads this chain now. The error says who does.
    async fn is_unread(&self) -> Result<(), String>;
}

/// A plan with what it takes to carry it out.
#[derive(Debug)]
pub struct Prepared {
    plan: ChainPlan,
    repository: Repository,
    terms: Terms,
    work: Option<Work>,
}

#[derive(Debug)]
struct Work {
    choice: Choice,
    needed: Needed,
    index: Index,
    /// Every index file with the packs that it names.
    files: Vec<(IndexId, Vec<PackId>)>,
}

impl Prepared {
    /// What would be done.
    pub fn plan(&self) -> &ChainPlan {
        &self.plan
    }
}

/// Plans the pruning of a chain from which `dropped` are gone or go. Reads its index and the
/// directories of every other snapshot, and changes nothing. Where one of `expected` is not there,
/// that is damage: it may be brought back, so what it needs stays too.
///
/// Memory: the chain's index twice at most, and a bit for each blob.
///
/// # Errors
/// Only where it cannot look at all, because the store fails. Damage makes a plan that keeps every
/// pack and says why.
pub async fn prepare(
    repository: &Repository,
    dropped: &BTreeSet<SnapshotId>,
    expected: &BTreeSet<SnapshotId>,
    terms: &Terms,
) -> Result<Prepared, RepositoryError> {
    let mut prepared = Prepared {
        plan: ChainPlan::default(),
        repository: repository.clone(),
        terms: terms.clone(),
        work: None,
    };
    match look(repository, dropped, expected, terms).await {
        Ok(Looked::Held(why)) => prepared.plan = ChainPlan::leave(why),
        Ok(Looked::Planned(planned)) => {
            let (plan, work) = *planned;
            prepared.plan = plan;
            prepared.work = Some(work);
        }
        Err(error) => match error.finding() {
            Some(finding) => {
                prepared.plan = ChainPlan::leave(format!(
                    "{} is damaged ({}), so it is not known what kept snapshots need",
                    finding.object, finding.detail
                ));
                prepared.plan.damage = Some(finding);
            }
            None => return Err(error),
        },
    }
    Ok(prepared)
}

enum Looked {
    Held(String),
    Planned(Box<(ChainPlan, Work)>),
}

async fn look(
    repository: &Repository,
    dropped: &BTreeSet<SnapshotId>,
    expected: &BTreeSet<SnapshotId>,
    terms: &Terms,
) -> Result<Looked, RepositoryError> {
    if let Some(why) = repository.why_not_writable() {
        return Ok(Looked::Held(why.to_owned()));
    }
    let store = repository.store();
    if let Some(lock) = fresh_lock(&**store, terms.now).await? {
        return Ok(Looked::Held(lock));
    }
    // In the order of reading: whatever comes meanwhile is not touched.
    let mut kept = Vec::new();
    for meta in store.list(layout::SNAPSHOTS).await? {
        if let ObjectName::Snapshot(id) = ObjectName::of(&meta.key)
            && !dropped.contains(&id)
        {
            kept.push(id);
        }
    }
    if let Some(id) = expected.iter().find(|id| !kept.contains(id)) {
        return Err(RepositoryError::damaged(
            FindingKind::Missing,
            layout::snapshot(id),
            "it is not there, and it is to be kept",
        ));
    }
    if kept.is_empty() {
        let why = "it keeps no snapshot, so it is not pruned but removed as a whole";
        return Ok(Looked::Held(why.to_owned()));
    }
    let parts = repository.index_parts().await?;
    let files = parts
        .iter()
        .map(|part| (part.id, part.packs.clone()))
        .collect();
    // restic reads index files that another one supersedes, so they count here.
    let index = off_runtime(move || Ok(Index::of_all_parts(parts))).await?;
    let needed = needed::find(repository, &index, &kept).await?;
    let (mut listed, mut foreign) = (Vec::new(), Vec::new());
    for meta in store.list(layout::DATA).await? {
        match ObjectName::of(&meta.key) {
            ObjectName::Pack(id) => listed.push((id, meta)),
            _ => foreign.push(meta.key),
        }
    }
    let terms = terms.clone();
    let pack_bytes = repository.pack_bytes();
    off_runtime(move || {
        let choice = Choice::make(&index, &needed, &listed, &terms, pack_bytes)?;
        let work = Work {
            choice,
            needed,
            index,
            files,
        };
        let mut plan = work.choice.plan(&work.index);
        plan.index_files = work.replaced();
        plan.foreign = foreign;
        Ok(Looked::Planned(Box::new((plan, work))))
    })
    .await
}

/// Tells of a lock that restic holds on this repository.
async fn fresh_lock(
    store: &dyn ObjectStore,
    now: Instant,
) -> Result<Option<String>, RepositoryError> {
    let fresh = |meta: &ObjectMeta| now - meta.modified_at < LOCK_STALE_AFTER;
    let locks = store.list(layout::LOCKS).await?;
    Ok(locks.iter().find(|meta| fresh(meta)).map(|meta| {
        format!(
            "restic works on it ({} is younger than {} minutes)",
            meta.key,
            LOCK_STALE_AFTER.num_minutes()
        )
    }))
}

/// Whether an error says that the role may not write.
fn is_denied(error: &RepositoryError) -> bool {
    let denied = logisedge_storage::StorageErrorKind::Denied;
    error.kind == RepositoryErrorKind::Storage(denied)
}
