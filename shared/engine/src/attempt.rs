//! One attempt at a run: take the scope's lease, back up, commit, and leave a state from which the
//! next attempt succeeds, whatever happens in between.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant as Stopwatch};

use chrono::Utc;
use logisedge_catalog::{AttemptEnd, Begin, Catalog, Message, Writing};
use logisedge_domain::alert::Alert;
use logisedge_domain::chain::{Choice, Wanted, choose};
use logisedge_domain::event::Event;
use logisedge_domain::format;
use logisedge_domain::id::{ChainPath, Fence, RunId, SnapshotId};
use logisedge_domain::retry::Retry;
use logisedge_domain::run::{ATTEMPTS_MAX, Run, RunState};
use logisedge_domain::schedule::AlertPolicy;
use logisedge_domain::scope::Scope;
use logisedge_domain::snapshot::Kind;
use logisedge_repository::{Options, Password, removal};
use logisedge_sources::Source;
use logisedge_storage::{Counting, ObjectStore, Prefixed};
use tracing::{info, warn};

use crate::backup::{Order, Taken, take_on};
use crate::base::{Basis, look, open_source};
use crate::{EngineError, EngineErrorKind, Progress, adopt};

/// How long a lease holds without a heartbeat. An attempt whose function was killed blocks its scope
/// for this long at the most.
pub const LEASE: Duration = Duration::from_secs(90);

/// How often an attempt renews its lease and tells its progress.
pub const HEARTBEAT: Duration = Duration::from_secs(2);

/// The first wait before another attempt; it doubles with each.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// Bytes of a failure's text that the catalog keeps.
const REASON_BYTES_MAX: usize = 8000;

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
    let Some(run) = catalog.run(id).await? else {
        return Err(EngineError::not_found(format!(
            "there is no run {id} in the catalog"
        )));
    };
    let now = Utc::now();
    let chain = ChainPath::new(&run.scope, now);
    let fence = match catalog
        .begin_attempt(id, &run.scope, holder, now, LEASE, &chain)
        .await?
    {
        Begin::Started { fence, .. } => fence,
        Begin::RunIsFinal(_) => return Ok(Attempted::Nothing("the run has ended already")),
        Begin::HeldBySameRun => {
            return Ok(Attempted::Nothing("another attempt at the run is going"));
        }
        Begin::HeldByOther { run: other, .. } => {
            return behind(catalog, &run, &other).await;
        }
        Begin::HeldExclusively { .. } => {
            return Ok(Attempted::Nothing(
                "the scope is being pruned; a later tick asks again",
            ));
        }
        Begin::NotFound => {
            return Err(EngineError::not_found(format!(
                "there is no run {id} in the catalog"
            )));
        }
    };
    // As the attempt's beginning left it: its number of attempts decides on the next one.
    let run = catalog.run(id).await?.unwrap_or(run);
    info!(run = %id, attempt = run.attempts, fence = fence.0, "attempt begins");

    let lease = Held {
        catalog,
        run: &run,
        fence,
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
        Err(error) => lease.give_up(error).await,
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

/// Another run has the scope. Where it is the same schedule's, its previous run is still going and this
/// one is skipped; where it is another schedule's (they meet at midnight), this one comes after it.
async fn behind(catalog: &Catalog, run: &Run, other: &RunId) -> Result<Attempted, EngineError> {
    let holder = catalog.run(other).await?;
    let same = holder.is_some_and(|holder| holder.cause.schedule() == run.cause.schedule());
    if same && run.attempts == 0 {
        return skip(catalog, run, other).await;
    }
    Ok(Attempted::Nothing(
        "the scope is being backed up for another schedule; a later tick asks again",
    ))
}

async fn skip(catalog: &Catalog, run: &Run, other: &RunId) -> Result<Attempted, EngineError> {
    let now = Utc::now();
    let reason = format!("the scope's previous run {other} was still going");
    let mut skipped = run.clone();
    skipped.state = RunState::Skipped;
    skipped.reason = Some(reason.clone());
    skipped.ended_at = Some(now);
    let alert = alert_if(policy_of(catalog, run).await?.failure, || {
        Alert::skipped(&skipped, now)
    });
    catalog
        .end_run(&run.id, RunState::Skipped, &reason, now, &alert)
        .await?;
    Ok(Attempted::Skipped)
}

async fn commit(lease: &Held<'_>, taken: Taken, places: &Places) -> Result<Attempted, EngineError> {
    let now = Utc::now();
    let record = &taken.record;
    let mut outbox = vec![Message::Event(Event::SnapshotCommitted {
        run: lease.run.id.clone(),
        snapshot: record.id,
        scope: record.scope.clone(),
        location: record.location.clone(),
        chain: record.chain.clone(),
    })];
    let policy = policy_of(lease.catalog, lease.run).await?;
    outbox.extend(alert_if(policy.success, || {
        Alert::snapshot_committed(lease.run, record, &taken.stats, now)
    }));
    let committed = lease
        .catalog
        .commit_snapshot(
            &lease.run.id,
            lease.fence,
            record,
            &taken.stats,
            now,
            &outbox,
        )
        .await;
    match committed {
        Ok(()) => Ok(Attempted::Succeeded(Box::new(taken))),
        Err(error) if error.is_fenced() => {
            // Another attempt owns the scope now. What we wrote must not outlive us as a snapshot
            // that the catalog does not know.
            withdraw(lease.catalog, places, &taken).await;
            Ok(Attempted::Nothing(
                "another attempt took over the lease before the commit",
            ))
        }
        Err(error) => Err(error.into()),
    }
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
}

impl Held<'_> {
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
        let order = Order {
            run: run.id.clone(),
            schedule: run.cause.schedule().cloned(),
            scope: places.scope.clone(),
            chain,
            location: run.location.clone(),
            options: places.options,
            memory_bytes_max: places.memory_bytes_max,
        };
        let counting = Arc::new(Counting::new(places.store.clone()));
        let store: Arc<dyn ObjectStore> = counting.clone();
        let password = &places.password;
        let choice = self.choose().await?;
        let basis = look(&store, password, places.options, &places.scope, choice).await?;
        let (snapshot, basis) = open_source(places.source.as_ref(), &places.scope, basis).await?;
        self.begin_writing(&order, &basis).await?;
        let taken = take_on(snapshot, &basis, store, password, &order, progress).await?;
        Ok(taken.since(began, counting.requests()))
    }

    /// What the run takes, as far as the catalog can tell.
    async fn choose(&self) -> Result<Choice, EngineError> {
        let run = self.run;
        if run.kind == Kind::Full {
            return Ok(Choice::Full(None));
        }
        let schedule = match run.cause.schedule() {
            Some(name) => self.catalog.schedule(name).await?,
            None => None,
        };
        let full = schedule.map(|state| {
            let rhythm = state.schedule.full.unwrap_or_default();
            (rhythm, state.schedule.zone)
        });
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

    /// Frees the lease and records why the attempt failed: for another try, or for good.
    async fn give_up(&self, error: EngineError) -> Result<Attempted, EngineError> {
        if error.kind == EngineErrorKind::LeaseLost {
            return Ok(Attempted::Nothing("the lease was lost"));
        }
        let now = Utc::now();
        let (id, scope) = (&self.run.id, &self.run.scope);
        let reason = format::bounded(&error.message, REASON_BYTES_MAX);
        if let (Retry::Transient { after }, true) = (error.retry, self.run.attempts < ATTEMPTS_MAX)
        {
            let wait = after.max(RETRY_AFTER * 2u32.pow(self.run.attempts.saturating_sub(1)));
            let end = AttemptEnd::RetryAt {
                reason,
                at: now + wait,
            };
            self.catalog
                .end_attempt(id, scope, self.fence, end, now, &[])
                .await?;
            return Ok(Attempted::WillRetry(error));
        }
        let mut failed = self.run.clone();
        failed.state = RunState::Failed;
        failed.reason = Some(reason.clone());
        failed.ended_at = Some(now);
        let policy = policy_of(self.catalog, self.run).await?;
        let alert = match error.kind {
            // Always told: without room every later backup will fail too.
            EngineErrorKind::StorageFull => {
                alert_if(true, || Alert::storage_full(&failed, &reason, now))
            }
            _ => alert_if(policy.failure, || Alert::run_failed(&failed, now)),
        };
        let end = AttemptEnd::Failed { reason };
        self.catalog
            .end_attempt(id, scope, self.fence, end, now, &alert)
            .await?;
        Ok(Attempted::Failed(error))
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
