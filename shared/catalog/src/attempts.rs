//! Attempts: taking a scope's lease for a run, keeping it, and the one write that makes a snapshot
//! visible.

use std::time::Duration;

use logisedge_domain::Instant;
use logisedge_domain::id::{ChainPath, Fence, RunId, ScopeName};
use logisedge_domain::run::{Run, RunProgress, RunState, RunStats};
use logisedge_domain::snapshot::{Kind, SnapshotRecord};

use crate::anomalies::Judged;
use crate::expression::{Expression, Write, typed};
use crate::keys::Key;
use crate::outbox::outbox_writes;
use crate::runs::{ending, path, run_object};
use crate::scope_lease::{self, lease_end};
use crate::snapshots::{self, new_snapshot};
use crate::table::{CONFLICT_TRIES_MAX, Outcome, pause};
use crate::usage::add_usage;
use crate::{Catalog, CatalogError, Message};

/// What came of trying to begin an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin {
    /// The lease is taken and the run is running.
    Started {
        /// The lease's number, for everything that follows.
        fence: Fence,
        /// Which attempt this is, from 1.
        attempt: u32,
    },
    /// The run ended before: there is nothing to do.
    RunIsFinal(RunState),
    /// Another attempt at this run is going.
    HeldBySameRun,
    /// The run waits for its next attempt: the dispatcher asks for that when it is due.
    NotYet {
        /// When.
        at: Instant,
    },
    /// An attempt at another run of the scope is going.
    HeldByOther {
        /// That run.
        run: RunId,
        /// When its attempt began.
        since: Instant,
    },
    /// The scope is held for something else than a run, such as pruning. That is short, so the
    /// attempt is worth beginning again a little later.
    HeldExclusively {
        /// Who holds it.
        holder: String,
        /// When it runs out at the latest, if it is not prolonged.
        until: Instant,
    },
    /// There is no such run.
    NotFound,
}

/// What an attempt is about to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writing {
    /// Where.
    pub chain: ChainPath,
    /// What.
    pub kind: Kind,
    /// Why it is not the kind that was asked for.
    pub kind_reason: Option<String>,
}

/// What an attempt commits.
#[derive(Debug, Clone, Copy)]
pub struct Commit<'a> {
    /// The snapshot.
    pub record: &'a SnapshotRecord,
    /// What it took.
    pub stats: &'a RunStats,
    /// Bytes that the attempt wrote to the location, all objects included.
    pub bytes_written: u64,
    /// How large its tables are, and what is unusual of that, where it is known.
    pub judged: Option<&'a Judged>,
}

/// How an attempt ends without a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptEnd {
    /// The run fails for good.
    Failed {
        /// Why, for people.
        reason: String,
    },
    /// The run is requested again.
    RetryAt {
        /// Why, for people.
        reason: String,
        /// When the dispatcher asks for it.
        at: Instant,
    },
}

/// The run is at the attempt that holds the lease.
fn run_is_at(fence: Fence) -> Expression {
    Expression::new()
        .is(path::STATE, "=", RunState::Running.as_str())
        .is(path::FENCE, "=", fence.0)
}

impl Catalog {
    /// Takes the scope's lease, where it is free or has run out, and moves the run to `Running`, in
    /// one transaction. `holder` names the process, for people. Of many at once one is `Started`.
    ///
    /// `chain` is the one that a full would begin. A run that has a chain from an earlier attempt keeps
    /// it until [`Self::begin_writing`].
    pub async fn begin_attempt(
        &self,
        id: &RunId,
        scope: &ScopeName,
        holder: &str,
        now: Instant,
        lease: Duration,
        chain: &ChainPath,
    ) -> Result<Begin, CatalogError> {
        let object = run_object(id);
        let corrupt = |e| CatalogError::corrupt("begin", &object, e);
        for tries in 1..=CONFLICT_TRIES_MAX {
            let Some(run) = self.run(id).await? else {
                return Ok(Begin::NotFound);
            };
            if run.state.is_final() {
                return Ok(Begin::RunIsFinal(run.state));
            }
            // The dispatcher takes this away when the time has come, whatever this machine's clock says.
            if let Some(at) = run.retry_at.filter(|at| *at > now) {
                return Ok(Begin::NotYet { at });
            }
            let read = self.lease(scope).await?;
            if let Some(held) = &read
                && let Some(until) = held.held_until(now)
            {
                return Ok(match &held.held_for {
                    Some(run) if run == id => Begin::HeldBySameRun,
                    Some(run) => Begin::HeldByOther {
                        run: run.clone(),
                        since: held.since(),
                    },
                    None => Begin::HeldExclusively {
                        holder: held.holder.clone().unwrap_or_default(),
                        until,
                    },
                });
            }
            let (take, fence) = Expression::take_lease(read.as_ref(), holder, Some(id), now, lease)
                .map_err(corrupt)?;
            let attempt = run.attempts + 1;
            let start = Expression::new()
                .run_is_open()
                .is(path::ATTEMPTS, "=", run.attempts)
                .set(path::STATE, RunState::Running.as_str())
                .set(path::ATTEMPTS, attempt)
                .set(path::FENCE, fence.0)
                .set(path::STARTED_AT, typed(&now).map_err(corrupt)?)
                .set(
                    path::PROGRESS,
                    typed(&RunProgress::default()).map_err(corrupt)?,
                )
                .remove(path::RETRY_AT)
                .wake_run(lease_end(now, lease));
            // A first attempt in time keeps the run's first limit.
            let start = match run.start_by {
                Some(by) if run.attempts == 0 && now <= by => start.limit_run(run.finish_by),
                _ => start,
            };
            // An attempt that died before may have left a whole snapshot in its chain.
            let start = match run.chain {
                Some(_) => start,
                None => start.set(path::CHAIN, chain.as_str()),
            };
            let writes = vec![
                Write::Update(Key::lease(scope), take),
                Write::Update(Key::run(id), start),
            ];
            if self.transact("begin", &object, writes).await?.is_done() {
                return Ok(Begin::Started { fence, attempt });
            }
            pause(tries).await;
        }
        Err(CatalogError::conflict("begin", object))
    }

    /// Prolongs an attempt's lease and tells how far it has come. False: the lease is lost, and so
    /// is the attempt.
    pub async fn heartbeat(
        &self,
        id: &RunId,
        scope: &ScopeName,
        fence: Fence,
        now: Instant,
        lease: Duration,
        progress: RunProgress,
    ) -> Result<bool, CatalogError> {
        let object = run_object(id);
        let until = lease_end(now, lease);
        let progress =
            typed(&progress).map_err(|e| CatalogError::corrupt("prolong", &object, e))?;
        let writes = vec![
            Write::Update(
                Key::lease(scope),
                Expression::holds_lease(fence).set(scope_lease::path::UNTIL, until),
            ),
            Write::Update(
                Key::run(id),
                run_is_at(fence)
                    .set(path::PROGRESS, progress)
                    .wake_run(until),
            ),
        ];
        let outcome = self.transact("prolong", &object, writes).await?;
        Ok(outcome.is_done())
    }

    /// Says which chain an attempt is about to write, and what it takes, before its first byte. Prolongs
    /// the lease too. False: the lease is lost, and nothing may be written.
    pub async fn begin_writing(
        &self,
        id: &RunId,
        scope: &ScopeName,
        fence: Fence,
        writing: &Writing,
        now: Instant,
        lease: Duration,
    ) -> Result<bool, CatalogError> {
        let object = run_object(id);
        let until = lease_end(now, lease);
        let run = run_is_at(fence)
            .set(path::CHAIN, writing.chain.as_str())
            .set(path::KIND_TAKEN, writing.kind.as_str())
            .wake_run(until);
        let run = match &writing.kind_reason {
            Some(why) => run.set(path::KIND_REASON, why.as_str()),
            None => run.remove(path::KIND_REASON),
        };
        let writes = vec![
            Write::Update(
                Key::lease(scope),
                Expression::holds_lease(fence)
                    .set(scope_lease::path::UNTIL, until)
                    .set(scope_lease::path::CHAIN, writing.chain.as_str()),
            ),
            Write::Update(Key::run(id), run),
        ];
        let outcome = self.transact("begin", &object, writes).await?;
        Ok(outcome.is_done())
    }

    /// Makes a snapshot visible: in one transaction the lease is checked and freed, the snapshot
    /// recorded, the run succeeds, and the messages that tell of it are stored.
    ///
    /// `Fenced` if the lease was lost or the snapshot was withdrawn; nothing changes then. Asking for
    /// the same commit again is no error.
    pub async fn commit_snapshot(
        &self,
        id: &RunId,
        fence: Fence,
        commit: Commit<'_>,
        now: Instant,
        outbox: &[Message],
    ) -> Result<(), CatalogError> {
        let Commit {
            record,
            stats,
            bytes_written,
            judged,
        } = commit;
        let object = run_object(id);
        let corrupt = |e| CatalogError::corrupt("commit", &object, e);
        let succeed = run_is_at(fence)
            .set(path::STATE, RunState::Succeeded.as_str())
            .set(path::SNAPSHOT, record.id.to_string())
            .set(path::STATS, typed(stats).map_err(corrupt)?)
            .set(path::ENDED_AT, typed(&now).map_err(corrupt)?)
            .remove(path::REASON);
        const SNAPSHOT: usize = 2;
        for succeed in ending(id, succeed, now) {
            let mut writes = vec![
                Write::Update(
                    Key::lease(&record.scope),
                    Expression::holds_lease(fence).free_lease(),
                ),
                succeed,
                new_snapshot("commit", record)?,
            ];
            writes.push(add_usage(&record.location, &record.scope, bytes_written));
            if let Some(judged) = judged {
                writes.extend(judged.writes("commit", &record.scope)?);
            }
            writes.extend(outbox_writes("commit", outbox, now)?);
            match self.transact("commit", &object, writes.clone()).await? {
                Outcome::Done => return Ok(()),
                // A rebuild found the snapshot at its location before we came to record it. It is the
                // same one, whose id is the hash of its content.
                Outcome::Refused(which) if which.get(SNAPSHOT) == Some(&true) => {
                    let known = Key::snapshot(&record.scope, &record.id);
                    let whole = Expression::new()
                        .exists()
                        .lacks(snapshots::path::DELETING_SINCE);
                    writes[SNAPSHOT] = Write::Check(known, whole);
                    if self.transact("commit", &object, writes).await?.is_done() {
                        return Ok(());
                    }
                }
                Outcome::Refused(_) => {}
            }
        }
        // The answer to an earlier try of this commit may have been lost.
        match self.run(id).await? {
            Some(run) if succeeded_with(&run, fence, record) => Ok(()),
            _ => Err(CatalogError::fenced("commit", object)),
        }
    }

    /// Frees an attempt's lease and says how it ended: the run fails, or is requested again.
    /// `Fenced` if the lease was lost; nothing changes then.
    pub async fn end_attempt(
        &self,
        id: &RunId,
        scope: &ScopeName,
        fence: Fence,
        end: AttemptEnd,
        now: Instant,
        outbox: &[Message],
    ) -> Result<(), CatalogError> {
        let object = run_object(id);
        let corrupt = |e| CatalogError::corrupt("end", &object, e);
        let ends = match end {
            AttemptEnd::Failed { reason } => {
                let failed = run_is_at(fence)
                    .set(path::STATE, RunState::Failed.as_str())
                    .set(path::REASON, reason)
                    .set(path::ENDED_AT, typed(&now).map_err(corrupt)?);
                ending(id, failed, now).to_vec()
            }
            AttemptEnd::RetryAt { reason, at } => {
                let waiting = run_is_at(fence)
                    .set(path::STATE, RunState::Requested.as_str())
                    .set(path::REASON, reason)
                    .set(path::RETRY_AT, typed(&at).map_err(corrupt)?)
                    .wake_run(at);
                vec![Write::Update(Key::run(id), waiting)]
            }
        };
        for end in ends {
            let mut writes = vec![
                Write::Update(
                    Key::lease(scope),
                    Expression::holds_lease(fence).free_lease(),
                ),
                end,
            ];
            writes.extend(outbox_writes("end", outbox, now)?);
            if self.transact("end", &object, writes).await?.is_done() {
                return Ok(());
            }
        }
        Err(CatalogError::fenced("end", object))
    }
}

fn succeeded_with(run: &Run, fence: Fence, record: &SnapshotRecord) -> bool {
    run.state == RunState::Succeeded && run.fence == Some(fence) && run.snapshot == Some(record.id)
}
