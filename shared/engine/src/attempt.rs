//! One attempt at a run: take the scope's lease, back up, commit, and leave a state from which the
//! next attempt succeeds, whatever happens in between.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use logisedge_catalog::{AttemptEnd, Begin, Catalog, Message};
use logisedge_domain::alert::Alert;
use logisedge_domain::event::Event;
use logisedge_domain::format;
use logisedge_domain::id::{ChainPath, Fence, RunId};
use logisedge_domain::retry::Retry;
use logisedge_domain::run::{ATTEMPTS_MAX, Run, RunState};
use logisedge_domain::schedule::AlertPolicy;
use logisedge_domain::scope::Scope;
use logisedge_repository::{Options, Password, removal};
use logisedge_sources::Source;
use logisedge_storage::{ObjectStore, Prefixed};
use tracing::{info, warn};

use crate::backup::{Order, Taken, take};
use crate::{EngineError, EngineErrorKind, Progress};

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
        let order = Order {
            run: run.id.clone(),
            schedule: run.cause.schedule().cloned(),
            scope: places.scope.clone(),
            chain: chain.clone(),
            location: run.location.clone(),
            options: places.options,
        };
        let taken = take(
            places.source.as_ref(),
            places.store.clone(),
            &places.password,
            &order,
            progress,
        )
        .await?;
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
            withdraw(places, &taken).await;
            Ok(Attempted::Nothing(
                "another attempt took over the lease before the commit",
            ))
        }
        Err(error) => Err(error.into()),
    }
}

async fn withdraw(places: &Places, taken: &Taken) {
    let chain = Prefixed::new(places.store.clone(), taken.record.chain.as_str());
    let withdrawn = async {
        let plan = removal::plan(&chain, &[taken.record.id]).await?;
        removal::apply(&chain, &plan).await
    };
    if let Err(error) = withdrawn.await {
        warn!(%error, snapshot = %taken.record.id, "the fenced attempt's chain stays behind");
    }
}

/// The lease of one attempt.
struct Held<'a> {
    catalog: &'a Catalog,
    run: &'a Run,
    fence: Fence,
}

impl Held<'_> {
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
                Ok(false) => {
                    return EngineError::new(
                        EngineErrorKind::LeaseLost,
                        format!("the lease on scope {scope} was taken over by another attempt"),
                    );
                }
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
