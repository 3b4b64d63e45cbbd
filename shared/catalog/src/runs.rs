//! Runs: recording them, finding them, and ending those that nobody works on.

use logisedge_domain::Instant;
use logisedge_domain::id::RunId;
use logisedge_domain::run::{Run, RunState};
use serde::{Deserialize, Serialize};

use crate::expression::{Expression, KeyCondition, Write, typed};
use crate::keys::{DUE, DUE_RUN, Key, OPEN, OPEN_PK, RECENT, RECENT_RUNS, stamp, unstamp};
use crate::outbox::outbox_writes;
use crate::schedules::DUE_AT_ONCE_MAX;
use crate::table::{CONFLICT_TRIES_MAX, Outcome, pause};
use crate::{Catalog, CatalogError, Message};

/// A run as an item. The names are those of [`crate::keys`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RunItem {
    pk: String,
    sk: String,
    recent_pk: String,
    recent_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    open_pk: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    open_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due_pk: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due_at: Option<String>,
    body: Run,
}

impl RunItem {
    fn new(run: &Run, wake_at: Option<Instant>) -> Self {
        let key = Key::run(&run.id);
        let limit = run.start_by.or(run.finish_by);
        Self {
            pk: key.pk,
            sk: key.sk,
            recent_pk: RECENT_RUNS.to_owned(),
            recent_at: format!("{}#{}", stamp(run.requested_at), run.id),
            open_pk: wake_at.map(|_| OPEN_PK.to_owned()),
            open_at: wake_at.map(stamp),
            due_pk: limit.map(|_| DUE_RUN.to_owned()),
            due_at: limit.map(stamp),
            body: run.clone(),
        }
    }
}

/// Paths of a run's attributes, for expressions.
pub(crate) mod path {
    pub(crate) const STATE: &str = "body.state";
    pub(crate) const FENCE: &str = "body.fence";
    pub(crate) const ATTEMPTS: &str = "body.attempts";
    pub(crate) const RETRY_AT: &str = "body.retry_at";
    pub(crate) const STARTED_AT: &str = "body.started_at";
    pub(crate) const ENDED_AT: &str = "body.ended_at";
    pub(crate) const REASON: &str = "body.reason";
    pub(crate) const CHAIN: &str = "body.chain";
    pub(crate) const KIND_TAKEN: &str = "body.kind_taken";
    pub(crate) const KIND_REASON: &str = "body.kind_reason";
    pub(crate) const SNAPSHOT: &str = "body.snapshot";
    pub(crate) const PROGRESS: &str = "body.progress";
    pub(crate) const STATS: &str = "body.stats";
}

pub(crate) fn run_object(id: &RunId) -> String {
    format!("run {id}")
}

impl Expression {
    /// The run has not reached a final state.
    pub(crate) fn run_is_open(self) -> Self {
        self.one_of(
            path::STATE,
            [RunState::Requested.as_str(), RunState::Running.as_str()],
        )
    }

    /// Somebody should look after the run at this time.
    pub(crate) fn wake_run(self, at: Instant) -> Self {
        self.set(OPEN.pk, OPEN_PK).set(OPEN.sk, at)
    }

    /// Nobody has to look after the run any more.
    pub(crate) fn close_run(self) -> Self {
        self.remove(OPEN.pk).remove(OPEN.sk)
    }

    /// The run's next limit of time is this one.
    pub(crate) fn limit_run(self, at: Option<Instant>) -> Self {
        match at {
            Some(at) => self.set(DUE.pk, DUE_RUN).set(DUE.sk, at),
            None => self.remove(DUE.pk).remove(DUE.sk),
        }
    }

    /// Refuses where a limit of the run has passed: somebody still has to be told of it. Else it has
    /// none any more.
    fn keep_limit(self, now: Instant) -> Self {
        self.lacks_or(DUE.sk, ">", now).limit_run(None)
    }
}

/// The writes that end a run, in the order in which they are to be tried. Where it ends within its limits
/// the first one takes them away; it is refused where one has passed, which stays for whoever tells of it.
pub(crate) fn ending(id: &RunId, end: Expression, now: Instant) -> [Write; 2] {
    let end = end.close_run();
    [end.clone().keep_limit(now), end].map(|end| Write::Update(Key::run(id), end))
}

/// The write that records a run that must not exist yet.
pub(crate) fn new_run(run: &Run, wake_at: Option<Instant>) -> Result<Write, CatalogError> {
    let item = serde_dynamo::to_item(RunItem::new(run, wake_at))
        .map_err(|e| CatalogError::corrupt("record", run_object(&run.id), e))?;
    Ok(Write::Put(item, Expression::new().absent()))
}

impl Catalog {
    /// Records a new run, with the messages that tell of it. False, and nothing changes, if a run
    /// of this id exists. `wake_at` is when somebody should look after it if nothing happened to
    /// it until then; none for a run that is final already.
    pub async fn record_run(
        &self,
        run: &Run,
        wake_at: Option<Instant>,
        outbox: &[Message],
    ) -> Result<bool, CatalogError> {
        let object = run_object(&run.id);
        let mut writes = vec![new_run(run, wake_at)?];
        writes.extend(outbox_writes("record", outbox, run.requested_at)?);
        Ok(self.transact("record", &object, writes).await?.is_done())
    }

    /// A run, as of now.
    pub async fn run(&self, id: &RunId) -> Result<Option<Run>, CatalogError> {
        let item: Option<RunItem> = self.get(&run_object(id), Key::run(id)).await?;
        Ok(item.map(|item| item.body))
    }

    /// The newest runs, newest first, as of about a second ago.
    pub async fn recent_runs(&self, limit: usize) -> Result<Vec<Run>, CatalogError> {
        let condition = KeyCondition::partition(RECENT.pk, RECENT_RUNS);
        self.newest_runs(condition, limit).await
    }

    /// The newest runs that were requested since then, newest first, at most `limit`, as of about a second
    /// ago.
    pub async fn runs_since(&self, since: Instant, limit: usize) -> Result<Vec<Run>, CatalogError> {
        let condition = KeyCondition::partition(RECENT.pk, RECENT_RUNS).at_least(RECENT.sk, since);
        self.newest_runs(condition, limit).await
    }

    async fn newest_runs(
        &self,
        condition: KeyCondition,
        limit: usize,
    ) -> Result<Vec<Run>, CatalogError> {
        let what = "the newest runs";
        let items: Vec<RunItem> = self
            .query(what, Some(RECENT), condition, false, Some(limit))
            .await?;
        Ok(items.into_iter().map(|item| item.body).collect())
    }

    /// Runs that are not final and that somebody should look after by now, longest waiting first:
    /// requested and never picked up, due for another attempt, or running with a lease that ran
    /// out. As of about a second ago: what follows has to be conditional. At most [`DUE_AT_ONCE_MAX`].
    pub async fn open_runs_due(&self, now: Instant) -> Result<Vec<Run>, CatalogError> {
        let condition = KeyCondition::partition(OPEN.pk, OPEN_PK).at_most(OPEN.sk, now);
        let limit = Some(DUE_AT_ONCE_MAX);
        let items: Vec<RunItem> = self
            .query("open runs", Some(OPEN), condition, true, limit)
            .await?;
        Ok(items.into_iter().map(|item| item.body).collect())
    }

    /// Runs with a limit of time that has passed by now and that they did not keep, or are not known to
    /// have kept, each with that limit; longest ago first. As of about a second ago, and at most
    /// [`DUE_AT_ONCE_MAX`]. Runs that kept their limits cost nothing here.
    pub async fn late_runs(&self, now: Instant) -> Result<Vec<(Run, Instant)>, CatalogError> {
        let condition = KeyCondition::partition(DUE.pk, DUE_RUN).at_most(DUE.sk, now);
        let limit = Some(DUE_AT_ONCE_MAX);
        let items: Vec<RunItem> = self
            .query("late runs", Some(DUE), condition, true, limit)
            .await?;
        let with_limit = |item: RunItem| Some((item.body, unstamp(&item.due_at?)?));
        Ok(items.into_iter().filter_map(with_limit).collect())
    }

    /// Moves a run from a limit of time to its next one, or to none, with the messages that tell that it
    /// did not keep it. False, and nothing changes, if it is not as [`Self::late_runs`] showed it.
    pub async fn pass_limit(
        &self,
        run: &Run,
        limit: Instant,
        next: Option<Instant>,
        now: Instant,
        outbox: &[Message],
    ) -> Result<bool, CatalogError> {
        let update = Expression::new()
            .is(DUE.sk, "=", limit)
            .is(path::STATE, "=", run.state.as_str())
            .is(path::ATTEMPTS, "=", run.attempts)
            .limit_run(next);
        let mut writes = vec![Write::Update(Key::run(&run.id), update)];
        writes.extend(outbox_writes("tell of", outbox, now)?);
        let outcome = self
            .transact("tell of", &run_object(&run.id), writes)
            .await?;
        Ok(outcome.is_done())
    }

    /// Says that a run is being looked after: of several callers one gets true. One that waited for
    /// another attempt may begin it from now on. False if by `due_by` nobody had to look after it, or it
    /// is final.
    pub async fn touch_open_run(
        &self,
        id: &RunId,
        due_by: Instant,
        wake_at: Instant,
    ) -> Result<bool, CatalogError> {
        let update = Expression::new()
            .run_is_open()
            .is(OPEN.sk, "<=", due_by)
            .set(OPEN.sk, wake_at)
            .remove(path::RETRY_AT);
        let writes = vec![Write::Update(Key::run(id), update)];
        let outcome = self.transact("touch", &run_object(id), writes).await?;
        Ok(outcome.is_done())
    }

    /// Ends a run that nobody works on, with the messages that tell of it. False, and nothing
    /// changes, if it is final, unknown, or an attempt at it holds the lease.
    pub async fn end_run(
        &self,
        id: &RunId,
        state: RunState,
        reason: &str,
        now: Instant,
        outbox: &[Message],
    ) -> Result<bool, CatalogError> {
        let object = run_object(id);
        for tries in 1..=CONFLICT_TRIES_MAX {
            let Some(run) = self.run(id).await? else {
                return Ok(false);
            };
            if run.state.is_final() {
                return Ok(false);
            }
            let update = Expression::new()
                .is(path::STATE, "=", run.state.as_str())
                .is(path::ATTEMPTS, "=", run.attempts)
                .set(path::STATE, state.as_str())
                .set(path::REASON, reason)
                .set(
                    path::ENDED_AT,
                    typed(&now).map_err(|e| CatalogError::corrupt("end", &object, e))?,
                );
            for end in ending(id, update, now) {
                let mut writes = vec![
                    end,
                    Write::Check(Key::lease(&run.scope), Expression::not_leased_to(id, now)),
                ];
                writes.extend(outbox_writes("end", outbox, now)?);
                match self.transact("end", &object, writes).await? {
                    Outcome::Done => return Ok(true),
                    // Its attempt is alive.
                    Outcome::Refused(which) if which.get(1) == Some(&true) => return Ok(false),
                    Outcome::Refused(_) => {}
                }
            }
            pause(tries).await;
        }
        Err(CatalogError::conflict("end", object))
    }
}
