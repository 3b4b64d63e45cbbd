//! Dispatching: what is due becomes runs, what was never picked up is asked for again, what died is
//! given up on.
//!
//! Every step is a conditional write, so that two dispatchers at once, a repeated tick or one that
//! dies in the middle change nothing: the next tick finds the rest still due.

use std::time::Duration;

use logisedge_catalog::{Catalog, Message};
use logisedge_domain::Instant;
use logisedge_domain::alert::Alert;
use logisedge_domain::config::Config;
use logisedge_domain::event::Event;
use logisedge_domain::format;
use logisedge_domain::id::{LocationName, RunId, ScheduleName, ScopeName};
use logisedge_domain::plan::{SlotPlan, plan_slot};
use logisedge_domain::run::{ATTEMPTS_MAX, Cause, Run, RunProgress, RunState};
use logisedge_domain::schedule::{Schedule, ScheduleState};
use logisedge_domain::snapshot::Kind;
use serde::Serialize;

use crate::EngineError;
use crate::attempt::{alert_if, policy_of};

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
    /// The first thing that failed, where something did. The next tick tries it again.
    #[serde(skip)]
    pub failure: Option<EngineError>,
}

impl Dispatched {
    /// Remembers the first failure, tells the others in the log, and lets the rest go on.
    fn go_on(&mut self, outcome: Result<(), EngineError>) {
        let Err(error) = outcome else { return };
        match &self.failure {
            None => self.failure = Some(error),
            Some(_) => tracing::error!(%error, "another part of the tick failed"),
        }
    }
}

/// The minute's work: schedules that are due, and open runs whose time has come. What fails for one of
/// them stops no other; the first failure is told beside what was done.
pub async fn tick(catalog: &Catalog, now: Instant) -> Result<Dispatched, EngineError> {
    let mut done = Dispatched::default();
    let (due, outcome) = or_default(catalog.due_schedules(now).await);
    done.go_on(outcome);
    for state in due {
        if let Some(plan) = plan_slot(&state, now) {
            let outcome = dispatch_slots(catalog, &state, &plan, now, &mut done).await;
            done.go_on(outcome);
        }
    }
    let (open, outcome) = or_default(catalog.open_runs_due(now).await);
    done.go_on(outcome);
    for run in open {
        let outcome = look_after(catalog, run, now, &mut done).await;
        done.go_on(outcome);
    }
    Ok(done)
}

fn or_default<T: Default>(
    answer: Result<T, logisedge_catalog::CatalogError>,
) -> (T, Result<(), EngineError>) {
    match answer {
        Ok(value) => (value, Ok(())),
        Err(error) => (T::default(), Err(error.into())),
    }
}

/// Records one schedule's due slots and moves it on. The schedule moves last: a dispatcher that dies
/// before leaves it due, and the runs it recorded already are found recorded.
async fn dispatch_slots(
    catalog: &Catalog,
    state: &ScheduleState,
    plan: &SlotPlan,
    now: Instant,
    done: &mut Dispatched,
) -> Result<(), EngineError> {
    let schedule = &state.schedule;
    for slot in &plan.missed {
        for scope in &schedule.scopes {
            let mut run = scheduled_run(schedule, *slot, scope, now);
            run.state = RunState::Missed;
            run.ended_at = Some(now);
            run.reason = Some(missed_reason(schedule, plan));
            let alert = [Message::Alert(Alert::missed(&run, now))];
            if catalog.record_run(&run, None, &alert).await? {
                done.missed.push(run.id);
            }
        }
    }
    if let Some(slot) = plan.run {
        for scope in &schedule.scopes {
            request(
                catalog,
                scheduled_run(schedule, slot, scope, now),
                now,
                done,
            )
            .await?;
        }
    }
    if let Some(from) = state.next_slot {
        catalog
            .advance_schedule(&schedule.name, from, plan.next_slot)
            .await?;
    }
    Ok(())
}

fn missed_reason(schedule: &Schedule, plan: &SlotPlan) -> String {
    let more = match plan.missed_uncounted {
        0 => String::new(),
        n => format!(" ({n} still older slots were missed too)"),
    };
    match plan.run {
        Some(later) => format!("nothing could start it; the later slot {later} runs instead{more}"),
        None => format!(
            "nothing could start it within {} of its slot{more}",
            format::duration(Duration::from_secs(schedule.catch_up_seconds))
        ),
    }
}

fn scheduled_run(schedule: &Schedule, slot: Instant, scope: &ScopeName, now: Instant) -> Run {
    let cause = Cause::Schedule {
        schedule: schedule.name.clone(),
        slot,
    };
    let id = RunId::scheduled(&schedule.name, slot, scope);
    requested(id, cause, schedule.kind, &schedule.location, scope, now)
}

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
        fence: None,
        requested_at: now,
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

/// An open run whose time has come: nobody picked it up, its retry is due, or its attempt's lease
/// ran out because its function was killed.
async fn look_after(
    catalog: &Catalog,
    run: Run,
    now: Instant,
    done: &mut Dispatched,
) -> Result<(), EngineError> {
    let hopeless = match run.state {
        RunState::Requested if now - run.requested_at > to_delta(PICK_UP_GIVE_UP) => {
            Some(match &run.reason {
                Some(last) => format!("it could not be finished in time; the last try: {last}"),
                None => "no backup function picked it up: look at the function's log and the \
                         dead-letter queue"
                    .to_owned(),
            })
        }
        RunState::Running if run.attempts >= ATTEMPTS_MAX => Some(format!(
            "attempt {} of {ATTEMPTS_MAX} ended without a word: the function was killed, for \
             instance for want of memory; look at its log",
            run.attempts
        )),
        _ => None,
    };
    let Some(reason) = hopeless else {
        if catalog
            .touch_open_run(&run.id, now, now + PICK_UP_WITHIN)
            .await?
        {
            done.events.push(ask_for(&run));
            done.republished.push(run.id);
        }
        return Ok(());
    };
    let mut failed = run.clone();
    failed.state = RunState::Failed;
    failed.reason = Some(reason.clone());
    failed.ended_at = Some(now);
    let policy = policy_of(catalog, &run).await?;
    let alert = alert_if(policy.failure, || Alert::run_failed(&failed, now));
    if catalog
        .end_run(&run.id, RunState::Failed, &reason, now, &alert)
        .await?
    {
        done.given_up.push(run.id);
    }
    Ok(())
}

fn to_delta(duration: Duration) -> chrono::TimeDelta {
    chrono::TimeDelta::from_std(duration).unwrap_or(chrono::TimeDelta::MAX)
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

/// One `PruneRequested` for each scope.
pub async fn prune_all(catalog: &Catalog) -> Result<Dispatched, EngineError> {
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
