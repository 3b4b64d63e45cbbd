//! Dispatching: what is due becomes runs, what was never picked up is asked for again, what died is
//! given up on, what is late is told.
//!
//! `slots.rs` records what a schedule's due slots come to, `open.rs` looks after runs that have not
//! ended, `late.rs` tells of those that do not keep to their time; here are the tick that does all of it,
//! and what an operator asks for.
//!
//! Every step is a conditional write, so that two dispatchers at once, a repeated tick or one that
//! dies in the middle change nothing: the next tick finds the rest still due.

mod late;
mod open;
mod slots;

use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesOrdered, StreamExt};
use logisedge_catalog::{Catalog, CatalogError};
use logisedge_domain::Instant;
use logisedge_domain::config::Config;
use logisedge_domain::event::Event;
use logisedge_domain::id::{LocationName, RunId, ScheduleName, ScopeName};
use logisedge_domain::plan::plan_slot;
use logisedge_domain::run::{Cause, Run, RunProgress, RunState};
use logisedge_domain::schedule::{Schedule, ScheduleState};
use logisedge_domain::snapshot::Kind;
use serde::Serialize;
use tracing::warn;

use crate::EngineError;
use crate::quieting::summarise;
use crate::rpo::look_at_watched;
use crate::unconfigured::end_unconfigured;
use late::pass_limit;
use open::look_after;
pub(crate) use slots::dispatch_slots;

/// How long a published request may go unanswered before it is published again.
pub const PICK_UP_WITHIN: Duration = Duration::from_secs(120);

/// How long a run is asked for again and again before it fails for want of anyone to take it.
pub const PICK_UP_GIVE_UP: Duration = Duration::from_secs(6 * 3600);

/// What a dispatch decided. The caller publishes `events`; whatever does not reach the bus is
/// published by a later tick.
#[derive(Debug, Default, Serialize)]
pub struct Dispatched {
    /// To be published now.
    pub events: Vec<Event>,
    /// Runs recorded by this dispatch.
    pub requested: Vec<RunId>,
    /// Runs asked for again.
    pub republished: Vec<RunId>,
    /// Runs that ended because nobody finished them.
    pub given_up: Vec<RunId>,
    /// Slots recorded as missed.
    pub missed: Vec<RunId>,
    /// Slots that were missed so long ago that they are only counted.
    pub missed_uncounted: u64,
    /// Runs that it was told of that they do not keep to their time.
    pub late: Vec<RunId>,
    /// Summaries of alerts that were held back.
    pub summaries: u64,
    /// The first thing that failed, where something did. The next tick tries it again.
    #[serde(skip)]
    pub failure: Option<EngineError>,
}

impl Dispatched {
    /// Adds what was done beside it, and goes on.
    pub(crate) fn add(&mut self, outcome: Result<Self, EngineError>) {
        let other = outcome.unwrap_or_else(|error| Self {
            failure: Some(error),
            ..Self::default()
        });
        self.events.extend(other.events);
        self.requested.extend(other.requested);
        self.republished.extend(other.republished);
        self.given_up.extend(other.given_up);
        self.missed.extend(other.missed);
        self.missed_uncounted += other.missed_uncounted;
        self.late.extend(other.late);
        self.summaries += other.summaries;
        match (&self.failure, other.failure) {
            (None, failure) => self.failure = failure,
            (Some(_), Some(error)) => tracing::error!(%error, "another part of the tick failed"),
            (Some(_), None) => {}
        }
    }
}

/// Schedules, runs and whatever else is due that a tick works on side by side. Each waits for one request
/// at a time, so this also bounds the requests that are on their way.
const AT_ONCE: usize = 16;

/// The minute's work on runs: schedules that are due, open runs whose time has come, and runs that are late.
/// What fails for one of them stops no other; the first failure is told beside what was done.
///
/// Costs three queries and a few requests for each thing that is due, however many schedules and runs
/// there are beside. Of more than [`DUE_AT_ONCE_MAX`](logisedge_catalog::DUE_AT_ONCE_MAX) things of a
/// kind, the longest due are worked on, and the next tick goes on.
pub async fn tick(catalog: &Catalog, now: Instant) -> Result<Dispatched, EngineError> {
    let mut done = Dispatched::default();
    let due = found(catalog.due_schedules(now).await, &mut done);
    let dispatch = |state: ScheduleState| -> Work<'_> {
        Box::pin(async move {
            match plan_slot(&state, now) {
                Some(plan) => {
                    let wake_at = now + PICK_UP_WITHIN;
                    Ok(dispatch_slots(catalog, &state, plan, now, wake_at).await)
                }
                None => Ok(Dispatched::default()),
            }
        })
    };
    side_by_side(due, dispatch, &mut done).await;
    let open = found(catalog.open_runs_due(now).await, &mut done);
    let look = |run: Run| -> Work<'_> { Box::pin(look_after(catalog, run, now)) };
    side_by_side(open, look, &mut done).await;
    let late = found(catalog.late_runs(now).await, &mut done);
    let pass = |(run, limit): (Run, Instant)| -> Work<'_> {
        Box::pin(pass_limit(catalog, run, limit, now))
    };
    side_by_side(late, pass, &mut done).await;
    Ok(done)
}

/// The minute's other work: what was held back of alerts, what is watched, and the digest. Apart from
/// [`tick`], because nothing of it concerns a run: the caller publishes what that recorded before.
///
/// Costs two queries and a few requests for each thing that is due, with the same bound.
pub async fn tell_due(catalog: &Catalog, now: Instant, done: &mut Dispatched) {
    if let Err(error) = summarise(catalog, now, done).await {
        done.add(Err(error));
    }
    if let Err(error) = look_at_watched(catalog, now, done).await {
        done.add(Err(error));
    }
}

/// What is done about one thing that is due.
pub(crate) type Work<'a> = BoxFuture<'a, Result<Dispatched, EngineError>>;

/// Works on all of them, [`AT_ONCE`] at a time, and adds what was done in their order.
pub(crate) async fn side_by_side<'a, T>(
    things: Vec<T>,
    work: impl Fn(T) -> Work<'a>,
    done: &mut Dispatched,
) {
    let mut things = things.into_iter();
    let mut going: FuturesOrdered<Work<'a>> = things.by_ref().take(AT_ONCE).map(&work).collect();
    while let Some(outcome) = going.next().await {
        done.add(outcome);
        going.extend(things.next().map(&work));
    }
}

fn found<T>(answer: Result<Vec<T>, CatalogError>, done: &mut Dispatched) -> Vec<T> {
    answer.unwrap_or_else(|error| {
        done.add(Err(error.into()));
        Vec::new()
    })
}

/// A run that is just recorded.
fn requested(
    id: RunId,
    cause: Cause,
    kind: Kind,
    location: &LocationName,
    scope: &ScopeName,
    now: Instant,
) -> Run {
    Run {
        id,
        cause,
        scope: scope.clone(),
        location: location.clone(),
        kind,
        kind_taken: None,
        state: RunState::Requested,
        attempts: 0,
        retry_at: None,
        fence: None,
        requested_at: now,
        start_by: None,
        finish_by: None,
        started_at: None,
        ended_at: None,
        reason: None,
        kind_reason: None,
        chain: None,
        snapshot: None,
        progress: RunProgress::default(),
        stats: None,
    }
}

async fn request(
    catalog: &Catalog,
    run: Run,
    now: Instant,
    done: &mut Dispatched,
) -> Result<(), EngineError> {
    if catalog
        .record_run(&run, Some(now + PICK_UP_WITHIN), &[])
        .await?
    {
        done.events.push(ask_for(&run));
        done.requested.push(run.id);
    }
    Ok(())
}

fn ask_for(run: &Run) -> Event {
    Event::BackupRequested {
        run: run.id.clone(),
        scope: run.scope.clone(),
    }
}

/// What an operator's request comes to: a scope, the schedule whose policies apply, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What is backed up.
    pub scope: ScopeName,
    /// The named schedule, or the first one that has the scope. None: no schedule has it.
    pub schedule: Option<ScheduleName>,
    /// The schedule's kind; a full where no schedule has the scope.
    pub kind: Kind,
    /// The schedule's location, or the only one there is.
    pub location: LocationName,
}

/// Looks up an operator's request: all scopes of a schedule, or single scopes. Starts nothing.
pub fn look_up(
    config: &Config,
    schedule: Option<&ScheduleName>,
    scopes: &[ScopeName],
) -> Result<Vec<Wanted>, EngineError> {
    let named = match schedule {
        None => None,
        Some(name) => {
            let found = config
                .schedules
                .iter()
                .find(|schedule| schedule.name == *name);
            Some(found.ok_or_else(|| {
                EngineError::not_found(format!(
                    "there is no schedule {name}; there are: {}",
                    listed(
                        config
                            .schedules
                            .iter()
                            .map(|schedule| schedule.name.to_string())
                    )
                ))
            })?)
        }
    };
    let scopes = match (scopes, named) {
        ([], Some(schedule)) => &schedule.scopes,
        ([], None) => return Err(EngineError::not_found("name a schedule or a scope to run")),
        (scopes, _) => scopes,
    };
    scopes
        .iter()
        .map(|scope| look_up_scope(config, named, scope))
        .collect()
}

fn look_up_scope(
    config: &Config,
    named: Option<&Schedule>,
    scope: &ScopeName,
) -> Result<Wanted, EngineError> {
    if !config.scopes.contains_key(scope) {
        return Err(EngineError::not_found(format!(
            "there is no scope {scope}; there are: {}",
            listed(config.scopes.keys().map(ToString::to_string))
        )));
    }
    let backs_it_up = |schedule: &&Schedule| schedule.scopes.contains(scope);
    let policies = named.or_else(|| config.schedules.iter().find(backs_it_up));
    let location = match (policies, config.locations.len()) {
        (Some(schedule), _) => Some(&schedule.location),
        (None, 1) => config.locations.keys().next(),
        (None, _) => None,
    };
    let Some(location) = location else {
        return Err(EngineError::not_found(format!(
            "no schedule backs up scope {scope}, so it is not known which of the locations it goes to: \
             name a schedule too"
        )));
    };
    Ok(Wanted {
        scope: scope.clone(),
        schedule: policies.map(|schedule| schedule.name.clone()),
        kind: policies.map_or(Kind::Full, |schedule| schedule.kind),
        location: location.clone(),
    })
}

/// Starts what an operator asked for: of `kind`, or of each one's own. Everything is looked up before
/// anything is recorded: a wrong name starts nothing.
pub async fn run_now(
    catalog: &Catalog,
    schedule: Option<&ScheduleName>,
    scopes: &[ScopeName],
    kind: Option<Kind>,
    token: &str,
    now: Instant,
) -> Result<Dispatched, EngineError> {
    let config = catalog.load_config().await?;
    let mut done = Dispatched::default();
    for wanted in look_up(&config, schedule, scopes)? {
        let id = RunId::manual(token, now, &wanted.scope);
        let cause = Cause::Operator {
            schedule: wanted.schedule,
        };
        let kind = kind.unwrap_or(wanted.kind);
        let run = requested(id, cause, kind, &wanted.location, &wanted.scope, now);
        request(catalog, run, now, &mut done).await?;
    }
    Ok(done)
}

fn listed(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    if names.is_empty() {
        "none (apply a configuration first)".to_owned()
    } else {
        names.join(", ")
    }
}

/// One `VerifyRequested` for each scope. Where a scope has no snapshot, verify finds nothing to do.
pub async fn verify_all(catalog: &Catalog) -> Result<Dispatched, EngineError> {
    for_each_scope(catalog, |scope| Event::VerifyRequested {
        scope,
        snapshot: None,
    })
    .await
}

/// One `PruneRequested` for each scope. Ends causes of alerts of what is not configured any more.
pub async fn prune_all(catalog: &Catalog) -> Result<Dispatched, EngineError> {
    let config = catalog.load_config().await?;
    let ended = end_unconfigured(catalog, &config, chrono::Utc::now()).await;
    if let Err(error) = ended {
        warn!(%error, "causes of what is not configured any more stay until the next day");
    }
    for_each_scope(catalog, |scope| Event::PruneRequested { scope }).await
}

async fn for_each_scope(
    catalog: &Catalog,
    event: impl Fn(ScopeName) -> Event,
) -> Result<Dispatched, EngineError> {
    let events = catalog
        .scopes()
        .await?
        .into_iter()
        .map(|scope| event(scope.name))
        .collect();
    Ok(Dispatched {
        events,
        ..Dispatched::default()
    })
}
