//! One attempt at a run: take the scope's lease, back up, commit, and leave a state from which the
//! next attempt succeeds, whatever happens in between. `turns.rs` has what of that only the catalog is
//! needed for.

mod turns;

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant as Stopwatch};

use chrono::Utc;
use logisedge_catalog::{Catalog, Commit, Message, Writing};
use logisedge_domain::alert::Alert;
use logisedge_domain::chain::{Choice, Wanted, WhyFull, choose};
use logisedge_domain::id::{ChainPath, Fence, RunId, SnapshotId};
use logisedge_domain::lock::LockTerms;
use logisedge_domain::run::Run;
use logisedge_domain::schedule::{AlertPolicy, Schedule};
use logisedge_domain::scope::Scope;
use logisedge_domain::snapshot::Kind;
use logisedge_domain::storage::{LockMode, StorageTier};
use logisedge_repository::{Options, Password, removal};
use logisedge_sources::Source;
use logisedge_storage::{Counting, ObjectStore, Prefixed};
use tracing::{info, warn};

pub use turns::{Began, begin, give_up, succeed};

use crate::anomaly::{forget_old_sizes, judge};
use crate::backup::{Order, Taken, take_on};
use crate::base::{Basis, look, open_source};
use crate::capacity::{look_at, require_room};
use crate::{EngineError, EngineErrorKind, Progress, adopt};

/// How long a lease holds without a heartbeat. An attempt whose function was killed blocks its scope
/// for this long at the most.
pub const LEASE: Duration = Duration::from_secs(90);

/// How often an attempt renews its lease and tells its progress.
pub const HEARTBEAT: Duration = Duration::from_secs(2);

/// Time kept back at the end of a function's life for freeing the lease and telling why.
const DEADLINE_MARGIN: Duration = Duration::from_secs(10);

/// What an attempt works with, opened for the run.
pub struct Places {
    /// The source of the run's scope.
    pub source: Box<dyn Source>,
    /// The scope as configured now.
    pub scope: Scope,
    /// The root of the run's location.
    pub store: Arc<dyn ObjectStore>,
    /// What opens the location's repositories.
    pub password: Password,
    /// How content is cut, compressed and packed.
    pub options: Options,
    /// Bytes of memory that the backup may use. None: what suits the source's connections.
    pub memory_bytes_max: Option<u64>,
    /// How the location locks what schedules with a lock store there, if it does.
    pub lock_mode: Option<LockMode>,
}

/// How an attempt ended.
#[derive(Debug)]
pub enum Attempted {
    /// The snapshot is committed.
    Succeeded(Box<Taken>),
    /// It failed; the run will be attempted again.
    WillRetry(EngineError),
    /// It failed, and so did the run.
    Failed(EngineError),
    /// Another run of the scope is going: this one is skipped.
    Skipped,
    /// There was nothing to do: the run has ended, or another attempt at it is going. A repeated
    /// event ends here.
    Nothing(&'static str),
}

/// Attempts the run `id`. `holder` names this process in the lease. `time_left` is how long the
/// function may go on, if it is bounded. `open` is called only once the lease is held, and its
/// failure is the run's.
///
/// An error is returned only where not even the failure could be recorded; the lease then runs out
/// by itself and the dispatcher has the run attempted again.
pub async fn attempt<F>(
    catalog: &Catalog,
    id: &RunId,
    holder: &str,
    time_left: Option<Duration>,
    progress: &Progress,
    open: impl FnOnce(Run) -> F,
) -> Result<Attempted, EngineError>
where
    F: Future<Output = Result<Places, EngineError>>,
{
    let (run, fence, chain) = match begin(catalog, id, holder, Utc::now()).await? {
        Began::Attempt { run, fence, chain } => (*run, fence, chain),
        Began::Ended(ended) => return Ok(ended),
    };
    info!(run = %id, attempt = run.attempts, fence = fence.0, "attempt begins");

    let lease = Held {
        catalog,
        run: &run,
        fence,
        store: OnceLock::new(),
    };
    let work = async {
        let places = open(run.clone()).await?;
        let taken = match lease.left_behind(&places).await? {
            Some(taken) => {
                info!(run = %id, snapshot = %taken.record.id, "an earlier attempt stored it whole");
                taken
            }
            None => lease.back_up(&places, chain, progress).await?,
        };
        Ok::<_, EngineError>((taken, places))
    };
    let outcome = tokio::select! {
        outcome = work => outcome,
        lost = lease.keep(progress) => Err(lost),
        late = end_of(time_left) => Err(late),
    };
    match outcome {
        Ok((taken, places)) => commit(&lease, taken, &places).await,
        Err(error) => {
            lease.count_what_is_left().await;
            give_up(catalog, &run, fence, error, Utc::now()).await
        }
    }
}

async fn end_of(time_left: Option<Duration>) -> EngineError {
    match time_left {
        None => std::future::pending().await,
        Some(left) => {
            let usable = left.saturating_sub(DEADLINE_MARGIN);
            tokio::time::sleep(usable).await;
            EngineError::deadline(usable)
        }
    }
}

async fn commit(lease: &Held<'_>, taken: Taken, places: &Places) -> Result<Attempted, EngineError> {
    let Held {
        catalog,
        run,
        fence,
        ..
    } = *lease;
    let (record, now) = (&taken.record, Utc::now());
    let seen = judge(catalog, &places.scope, &taken).await;
    let anomalies = seen.as_ref().map(|seen| seen.anomalies.as_slice());
    let told = alert_if(anomalies.is_some_and(|found| !found.is_empty()), || {
        Alert::anomaly(record, anomalies.unwrap_or_default(), now)
    });
    let commit = Commit {
        record,
        stats: &taken.stats,
        bytes_written: lease.bytes_written(),
        judged: seen.as_ref().map(|seen| &seen.judged),
    };
    if !succeed(catalog, run, fence, commit, told, now).await? {
        // Another attempt owns the scope now. What we wrote must not outlive us as a snapshot
        // that the catalog does not know.
        withdraw(catalog, places, &taken).await;
        return Ok(Attempted::Nothing(
            "another attempt took over the lease before the commit",
        ));
    }
    if let Some(seen) = &seen {
        forget_old_sizes(catalog, &record.scope, seen).await;
    }
    look_at(catalog, &record.location).await;
    Ok(Attempted::Succeeded(Box::new(taken)))
}

/// Takes back a snapshot that may not be committed, unless somebody else has: another attempt at the
/// run that found it whole, or a rebuild. In the catalog first, which keeps everyone from committing it
/// from here on; from then on prune deletes it, which alone has the right to on AWS.
async fn withdraw(catalog: &Catalog, places: &Places, taken: &Taken) {
    let record = &taken.record;
    let withdrawn = async {
        if !catalog.withdraw_snapshot(record, Utc::now()).await? {
            return Ok(());
        }
        // A full has its chain to itself: nobody builds on what the catalog never offered. Any other
        // leaves the chain as it is, with packs that nothing refers to.
        if record.kind == Kind::Full {
            let chain = Prefixed::new(places.store.clone(), record.chain.as_str());
            let plan = removal::plan(&chain, &[record.id]).await?;
            removal::apply(&chain, &plan).await?;
            catalog.delete_snapshot(&record.scope, &record.id).await?;
        }
        Ok::<_, EngineError>(())
    };
    if let Err(error) = withdrawn.await {
        warn!(%error, snapshot = %record.id, "prune will delete what the fenced attempt stored");
    }
}

/// The lease of one attempt.
struct Held<'a> {
    catalog: &'a Catalog,
    run: &'a Run,
    fence: Fence,
    /// The location, once something is written there: it counts what.
    store: OnceLock<Arc<Counting>>,
}

impl Held<'_> {
    /// Bytes that the attempt wrote so far.
    fn bytes_written(&self) -> u64 {
        self.store.get().map_or(0, |store| store.bytes_put())
    }

    /// Counts what a failed attempt leaves at the location until prune removes it.
    async fn count_what_is_left(&self) {
        let (location, bytes) = (&self.run.location, self.bytes_written());
        if bytes == 0 {
            return;
        }
        let counted = self.catalog.add_usage(location, &self.run.scope, bytes);
        if let Err(error) = counted.await {
            warn!(%error, %location, "the next listing will count what the attempt left");
        }
        look_at(self.catalog, location).await;
    }

    /// The snapshot that an earlier attempt at the run stored and did not come to commit.
    async fn left_behind(&self, places: &Places) -> Result<Option<Taken>, EngineError> {
        let (Some(chain), true) = (&self.run.chain, self.run.attempts > 1) else {
            return Ok(None);
        };
        let records = self.catalog.snapshots(&self.run.scope).await?;
        let known: BTreeSet<SnapshotId> = records.iter().map(|record| record.id).collect();
        let (store, password) = (&places.store, &places.password);
        let (location, id) = (&self.run.location, &self.run.id);
        adopt::find(store, password, location, chain, id, |id| {
            known.contains(id)
        })
        .await
    }

    /// Takes the snapshot: on the scope's newest chain where the kind and the chain allow it, else as
    /// a full in the new chain `chain`. The catalog knows which one before the first byte is written.
    async fn back_up(
        &self,
        places: &Places,
        chain: ChainPath,
        progress: &Progress,
    ) -> Result<Taken, EngineError> {
        let began = Stopwatch::now();
        let run = self.run;
        let schedule = self.schedule().await?;
        let tier = schedule.as_ref().map(|schedule| schedule.tier);
        let options = places.options.with_tier(tier.unwrap_or_default());
        let length = schedule.as_ref().and_then(|schedule| schedule.lock);
        let lock = places.lock_mode.zip(length);
        let order = Order {
            run: run.id.clone(),
            schedule: run.cause.schedule().cloned(),
            scope: places.scope.clone(),
            chain,
            location: run.location.clone(),
            options,
            memory_bytes_max: places.memory_bytes_max,
            lock: lock.map(|(mode, length)| LockTerms { mode, length }),
        };
        let counting = Arc::new(Counting::new(places.store.clone()));
        let counting = self.store.get_or_init(|| counting).clone();
        let store: Arc<dyn ObjectStore> = counting.clone();
        let password = &places.password;
        let choice = self.choose(schedule.as_ref()).await?;
        let basis = look(&store, password, options, &places.scope, choice).await?;
        let (snapshot, basis) = open_source(places.source.as_ref(), &places.scope, basis).await?;
        require_room(self.catalog, run, basis.kind()).await?;
        self.begin_writing(&order, &basis).await?;
        let taken = take_on(snapshot, &basis, store, password, &order, progress).await?;
        Ok(taken.since(began, counting.requests()))
    }

    /// The run's schedule as configured now; none where it has none, or that is gone.
    async fn schedule(&self) -> Result<Option<Schedule>, EngineError> {
        let Some(name) = self.run.cause.schedule() else {
            return Ok(None);
        };
        let state = self.catalog.schedule(name).await?;
        Ok(state.map(|state| state.schedule))
    }

    /// What the run takes, as far as the catalog can tell.
    async fn choose(&self, schedule: Option<&Schedule>) -> Result<Choice, EngineError> {
        let run = self.run;
        if run.kind == Kind::Full {
            return Ok(Choice::Full(None));
        }
        if schedule.is_some_and(|schedule| schedule.tier == StorageTier::Archive) {
            return Ok(Choice::Full(Some(WhyFull::ToBeArchived)));
        }
        let full = schedule.map(|schedule| (schedule.full.unwrap_or_default(), schedule.zone));
        let wanted = Wanted {
            kind: run.kind,
            full,
            scope: &run.scope,
            location: &run.location,
        };
        let now = Utc::now();
        let records = self.catalog.snapshots(&run.scope).await?;
        let held = self.catalog.unended_chains(&run.scope, now).await?;
        Ok(choose(&wanted, &records, &held, now))
    }

    async fn begin_writing(&self, order: &Order, basis: &Basis) -> Result<(), EngineError> {
        let writing = Writing {
            chain: basis
                .base()
                .map_or(&order.chain, |base| &base.chain)
                .clone(),
            kind: basis.kind(),
            kind_reason: basis.kind_reason(),
        };
        info!(run = %self.run.id, chain = %writing.chain, kind = writing.kind.as_str(), why = writing.kind_reason, "begins to write");
        let (id, scope) = (&self.run.id, &self.run.scope);
        let begun = self
            .catalog
            .begin_writing(id, scope, self.fence, &writing, Utc::now(), LEASE)
            .await?;
        if begun { Ok(()) } else { Err(self.lost()) }
    }

    fn lost(&self) -> EngineError {
        EngineError::new(
            EngineErrorKind::LeaseLost,
            format!(
                "the lease on scope {} was taken over by another attempt",
                self.run.scope
            ),
        )
    }

    /// Renews the lease until it is lost, and says so. A catalog that does not answer for a while is
    /// no loss: the commit decides.
    async fn keep(&self, progress: &Progress) -> EngineError {
        let mut ticks = tokio::time::interval(HEARTBEAT);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let told = progress.as_run_progress();
            let (id, scope) = (&self.run.id, &self.run.scope);
            match self
                .catalog
                .heartbeat(id, scope, self.fence, Utc::now(), LEASE, told)
                .await
            {
                Ok(true) => {}
                Ok(false) => return self.lost(),
                Err(error) => warn!(%error, run = %id, "a heartbeat could not be recorded"),
            }
        }
    }
}

/// Which alerts the run's schedule wants; all but clean-up where it has none or it is gone.
pub(crate) async fn policy_of(catalog: &Catalog, run: &Run) -> Result<AlertPolicy, EngineError> {
    let Some(name) = run.cause.schedule() else {
        return Ok(AlertPolicy::default());
    };
    Ok(catalog
        .schedule(name)
        .await?
        .map(|state| state.schedule.alerts)
        .unwrap_or_default())
}

pub(crate) fn alert_if(wanted: bool, alert: impl FnOnce() -> Alert) -> Vec<Message> {
    wanted
        .then(|| Message::Alert(alert()))
        .into_iter()
        .collect()
}
