//! The turns of an attempt in the catalog: it begins, it succeeds, it gives up. The time is an argument, so
//! that years of them can be played.

use std::time::Duration;

use logisedge_catalog::{AttemptEnd, Begin, Catalog, Commit, Message};
use logisedge_domain::Instant;
use logisedge_domain::alert::{Alert, Resolution};
use logisedge_domain::event::Event;
use logisedge_domain::format;
use logisedge_domain::id::{ChainPath, Fence, RunId};
use logisedge_domain::retry::Retry;
use logisedge_domain::run::{ATTEMPTS_MAX, Run, RunState};

use super::{Attempted, LEASE, alert_if, policy_of};
use crate::{EngineError, EngineErrorKind};

/// The first wait before another attempt; it doubles with each.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// Bytes of a failure's text that the catalog keeps.
const REASON_BYTES_MAX: usize = 8000;

/// What came of beginning an attempt.
#[derive(Debug)]
pub enum Began {
    /// It holds the scope's lease.
    Attempt {
        /// The run as its beginning left it: its number of attempts decides on the next one.
        run: Box<Run>,
        /// The lease's number.
        fence: Fence,
        /// Where a full would be stored.
        chain: ChainPath,
    },
    /// There is nothing to do now, or the run was skipped.
    Ended(Attempted),
}

/// Begins an attempt at the run `id`: takes its scope's lease for [`LEASE`].
pub async fn begin(
    catalog: &Catalog,
    id: &RunId,
    holder: &str,
    now: Instant,
) -> Result<Began, EngineError> {
    let unknown = || EngineError::not_found(format!("there is no run {id} in the catalog"));
    let run = catalog.run(id).await?.ok_or_else(unknown)?;
    let chain = ChainPath::new(&run.scope, now);
    let begun = catalog.begin_attempt(id, &run.scope, holder, now, LEASE, &chain);
    let nothing = |why| Ok(Began::Ended(Attempted::Nothing(why)));
    match begun.await? {
        Begin::Started { fence, .. } => {
            let run = Box::new(catalog.run(id).await?.unwrap_or(run));
            Ok(Began::Attempt { run, fence, chain })
        }
        Begin::RunIsFinal(_) => nothing("the run has ended already"),
        Begin::HeldBySameRun => nothing("another attempt at the run is going"),
        Begin::NotYet { .. } => {
            nothing("the run waits for its next attempt; a later tick asks for it")
        }
        Begin::HeldByOther { run: other, .. } => {
            Ok(Began::Ended(behind(catalog, &run, &other, now).await?))
        }
        Begin::HeldExclusively { .. } => {
            nothing("the scope is being pruned; a later tick asks again")
        }
        Begin::NotFound => Err(unknown()),
    }
}

/// Another run has the scope. Where it is the same schedule's, its previous run is still going and this
/// one is skipped; where it is another schedule's (they meet at midnight), this one comes after it.
async fn behind(
    catalog: &Catalog,
    run: &Run,
    other: &RunId,
    now: Instant,
) -> Result<Attempted, EngineError> {
    let holder = catalog.run(other).await?;
    let same = holder.is_some_and(|holder| holder.cause.schedule() == run.cause.schedule());
    if same && run.attempts == 0 {
        return skip(catalog, run, other, now).await;
    }
    Ok(Attempted::Nothing(
        "the scope is being backed up for another schedule; a later tick asks again",
    ))
}

async fn skip(
    catalog: &Catalog,
    run: &Run,
    other: &RunId,
    now: Instant,
) -> Result<Attempted, EngineError> {
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

/// Commits the snapshot of an attempt, with all that tells of it and what else there is to tell. False, and nothing changes, if the lease
/// was lost.
pub async fn succeed(
    catalog: &Catalog,
    run: &Run,
    fence: Fence,
    commit: Commit<'_>,
    told: Vec<Message>,
    now: Instant,
) -> Result<bool, EngineError> {
    let Commit { record, stats, .. } = commit;
    let mut outbox = vec![Message::Event(Event::SnapshotCommitted {
        run: run.id.clone(),
        snapshot: record.id,
        scope: record.scope.clone(),
        location: record.location.clone(),
        chain: record.chain.clone(),
    })];
    outbox.push(Message::Resolution(Resolution::run_succeeded(
        run, record, now,
    )));
    outbox.extend(told);
    let policy = policy_of(catalog, run).await?;
    outbox.extend(alert_if(policy.success, || {
        Alert::snapshot_committed(run, record, stats, now)
    }));
    let committed = catalog.commit_snapshot(&run.id, fence, commit, now, &outbox);
    match committed.await {
        Ok(()) => Ok(true),
        Err(error) if error.is_fenced() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Frees the lease and records why the attempt failed: for another try, or for good.
pub async fn give_up(
    catalog: &Catalog,
    run: &Run,
    fence: Fence,
    error: EngineError,
    now: Instant,
) -> Result<Attempted, EngineError> {
    if error.kind == EngineErrorKind::LeaseLost {
        return Ok(Attempted::Nothing("the lease was lost"));
    }
    let (id, scope) = (&run.id, &run.scope);
    let reason = format::bounded(&error.message, REASON_BYTES_MAX);
    if let (Retry::Transient { after }, true) = (error.retry, run.attempts < ATTEMPTS_MAX) {
        let wait = after.max(RETRY_AFTER * 2u32.pow(run.attempts.saturating_sub(1)));
        let end = AttemptEnd::RetryAt {
            reason,
            at: now + wait,
        };
        catalog.end_attempt(id, scope, fence, end, now, &[]).await?;
        return Ok(Attempted::WillRetry(error));
    }
    let mut failed = run.clone();
    failed.state = RunState::Failed;
    failed.reason = Some(reason.clone());
    failed.ended_at = Some(now);
    let policy = policy_of(catalog, run).await?;
    let alert = match error.kind {
        // Always told: without room every later backup will fail too.
        EngineErrorKind::StorageFull => {
            alert_if(true, || Alert::storage_full(&failed, &reason, now))
        }
        _ => alert_if(policy.failure, || Alert::run_failed(&failed, now)),
    };
    let end = AttemptEnd::Failed { reason };
    catalog
        .end_attempt(id, scope, fence, end, now, &alert)
        .await?;
    Ok(Attempted::Failed(error))
}
