//! Runs: recording them, finding them, and ending those that nobody works on.

use logisedge_domain::Instant;
use logisedge_domain::id::RunId;
use logisedge_domain::run::{Run, RunState};
use serde::{Deserialize, Serialize};

use crate::expression::{Expression, KeyCondition, Write, typed};
use crate::keys::{Key, OPEN, OPEN_PK, RECENT, RECENT_RUNS, stamp};
use crate::outbox::outbox_writes;
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
    body: Run,
}

/// Paths of a run's attributes, for expressions.
pub(crate) mod path {
    pub(crate) const STATE: &str = "body.state";
    pub(crate) const FENCE: &str = "body.fence";
    pub(crate) const ATTEMPTS: &str = "body.attempts";
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
        let key = Key::run(&run.id);
        let item = RunItem {
            pk: key.pk,
            sk: key.sk,
            recent_pk: RECENT_RUNS.to_owned(),
            recent_at: format!("{}#{}", stamp(run.requested_at), run.id),
            open_pk: wake_at.map(|_| OPEN_PK.to_owned()),
            open_at: wake_at.map(stamp),
            body: run.clone(),
        };
        let item = serde_dynamo::to_item(&item)
            .map_err(|e| CatalogError::corrupt("record", &object, e))?;
        let mut writes = vec![Write::Put(item, Expression::new().absent())];
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
        let items: Vec<RunItem> = self
            .query(
                "the newest runs",
                Some(RECENT),
                condition,
                false,
                Some(limit),
            )
            .await?;
        Ok(items.into_iter().map(|item| item.body).collect())
    }

    /// Runs that are not final and that somebody should look after by now, longest waiting first:
    /// requested and never picked up, due for another attempt, or running with a lease that ran
    /// out. As of about a second ago: what follows has to be conditional.
    pub async fn open_runs_due(&self, now: Instant) -> Result<Vec<Run>, CatalogError> {
        let condition = KeyCondition::partition(OPEN.pk, OPEN_PK).at_most(OPEN.sk, now);
        let items: Vec<RunItem> = self
            .query("open runs", Some(OPEN), condition, true, None)
            .await?;
        Ok(items.into_iter().map(|item| item.body).collect())
    }

    /// Says that a run is being looked after: of several callers one gets true. False if by
    /// `due_by` nobody had to look after it, or it is final.
    pub async fn touch_open_run(
        &self,
        id: &RunId,
        due_by: Instant,
        wake_at: Instant,
    ) -> Result<bool, CatalogError> {
        let update = Expression::new()
            .run_is_open()
            .is(OPEN.sk, "<=", due_by)
            .set(OPEN.sk, wake_at);
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
                )
                .close_run();
            let mut writes = vec![
                Write::Update(Key::run(id), update),
                Write::Check(Key::lease(&run.scope), Expression::not_leased_to(id, now)),
            ];
            writes.extend(outbox_writes("end", outbox, now)?);
            match self.transact("end", &object, writes).await? {
                Outcome::Done => return Ok(true),
                // Its attempt is alive.
                Outcome::Refused(which) if which.get(1) == Some(&true) => return Ok(false),
                Outcome::Refused(_) => pause(tries).await,
            }
        }
        Err(CatalogError::conflict("end", object))
    }
}
