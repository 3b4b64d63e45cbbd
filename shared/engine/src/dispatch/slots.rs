//! What a schedule's due slots come to.

use std::collections::BTreeMap;
use std::time::Duration;

use logisedge_catalog::{Catalog, Message, Move, NewRun, RUNS_AT_ONCE_MAX, Recorded};
use logisedge_domain::Instant;
use logisedge_domain::alert::{Alert, MissedSlots};
use logisedge_domain::format;
use logisedge_domain::id::{RunId, ScopeName};
use logisedge_domain::plan::SlotPlan;
use logisedge_domain::run::{Cause, Run, RunState};
use logisedge_domain::schedule::{Schedule, ScheduleState};

use super::{Dispatched, ask_for, requested};
use crate::EngineError;

/// Records one schedule's due slots and moves it on; the new runs are looked after from `wake_at`. All in
/// one transaction, but for many scopes or many missed slots: then the schedule moves last. A dispatcher
/// that dies before leaves it due, and the runs it recorded already are found recorded.
///
/// What was missed is told in one alert, which is stored with the move: of several dispatchers one tells.
pub(crate) async fn dispatch_slots(
    catalog: &Catalog,
    state: &ScheduleState,
    plan: SlotPlan,
    now: Instant,
    wake_at: Instant,
) -> Dispatched {
    let mut done = Dispatched::default();
    let outcome = record(catalog, state, plan, now, wake_at, &mut done).await;
    // What is recorded by now is asked for all the same.
    done.failure = outcome.err();
    done
}

async fn record(
    catalog: &Catalog,
    state: &ScheduleState,
    plan: SlotPlan,
    now: Instant,
    wake_at: Instant,
    done: &mut Dispatched,
) -> Result<(), EngineError> {
    let Some(from) = state.next_slot else {
        return Ok(());
    };
    let schedule = &state.schedule;
    let moves = Move {
        schedule: &schedule.name,
        from,
        to: plan.next_slot,
    };
    let reason = missed_reason(schedule, &plan);
    let mut runs = missed(schedule, &plan.missed, &reason, now);
    runs.extend(wanted(schedule, plan.run, now, wake_at));
    let mut missed_slots = plan.missed.clone();
    let mut asked_for: BTreeMap<Instant, usize> = BTreeMap::new();
    let mut chunks = runs.chunks(RUNS_AT_ONCE_MAX).peekable();
    while let Some(chunk) = chunks.next() {
        let last = chunks.peek().is_none();
        let told = match last {
            true => told(schedule, &missed_slots, plan.missed_uncounted, &reason, now),
            false => Vec::new(),
        };
        match catalog
            .record_slots(chunk, &moves, last, now, &told)
            .await?
        {
            Recorded::Moved => return Ok(()),
            Recorded::All if last => {
                recorded(chunk, done);
                done.missed_uncounted = plan.missed_uncounted;
                return Ok(());
            }
            Recorded::All => recorded(chunk, done),
            Recorded::Known => {
                for slot in record_singly(catalog, chunk, done).await? {
                    *asked_for.entry(slot).or_default() += 1;
                }
                let scopes = schedule.scopes.len();
                missed_slots.retain(|slot| asked_for.get(slot).is_none_or(|n| *n < scopes));
            }
        }
    }
    let told = told(schedule, &missed_slots, plan.missed_uncounted, &reason, now);
    if catalog.record_slots(&[], &moves, true, now, &told).await? == Recorded::All {
        done.missed_uncounted = plan.missed_uncounted;
    }
    Ok(())
}

/// Records runs of which some exist: a dispatcher before this one recorded them and died. Returns the slot
/// of each that it did not record as missed but asked for, when that was still in time.
async fn record_singly(
    catalog: &Catalog,
    runs: &[NewRun],
    done: &mut Dispatched,
) -> Result<Vec<Instant>, EngineError> {
    let mut asked_for = Vec::new();
    for new in runs {
        let run = &new.run;
        if catalog.record_run(run, new.wake_at, &[]).await? {
            recorded(std::slice::from_ref(new), done);
            continue;
        }
        if run.state != RunState::Missed {
            continue;
        }
        let known = catalog.run(&run.id).await?;
        if known.is_none_or(|known| known.state != RunState::Missed)
            && let Cause::Schedule { slot, .. } = &run.cause
        {
            asked_for.push(*slot);
        }
    }
    Ok(asked_for)
}

fn recorded(runs: &[NewRun], done: &mut Dispatched) {
    for NewRun { run, .. } in runs {
        match run.state {
            RunState::Missed => done.missed.push(run.id.clone()),
            _ => {
                done.events.push(ask_for(run));
                done.requested.push(run.id.clone());
            }
        }
    }
}

fn missed(schedule: &Schedule, slots: &[Instant], reason: &str, now: Instant) -> Vec<NewRun> {
    let of_slot = |slot: &Instant| {
        let slot = *slot;
        schedule.scopes.iter().map(move |scope| NewRun {
            run: Run {
                state: RunState::Missed,
                ended_at: Some(now),
                reason: Some(reason.to_owned()),
                ..scheduled_run(schedule, slot, scope, now)
            },
            wake_at: None,
        })
    };
    slots.iter().flat_map(of_slot).collect()
}

fn wanted(
    schedule: &Schedule,
    slot: Option<Instant>,
    now: Instant,
    wake_at: Instant,
) -> Vec<NewRun> {
    let Some(slot) = slot else {
        return Vec::new();
    };
    let run = |scope| NewRun {
        run: Run {
            start_by: schedule.start_by(slot),
            finish_by: schedule.finish_by(slot),
            ..scheduled_run(schedule, slot, scope, now)
        },
        wake_at: Some(wake_at),
    };
    schedule.scopes.iter().map(run).collect()
}

fn told(
    schedule: &Schedule,
    slots: &[Instant],
    uncounted: u64,
    reason: &str,
    now: Instant,
) -> Vec<Message> {
    let missed = MissedSlots {
        schedule: schedule.name.clone(),
        scopes: schedule.scopes.clone(),
        slots: slots.to_vec(),
        uncounted,
        reason: reason.to_owned(),
    };
    let alert = Alert::missed(&missed, now);
    alert.map(Message::Alert).into_iter().collect()
}

fn missed_reason(schedule: &Schedule, plan: &SlotPlan) -> String {
    let more = match plan.missed_uncounted {
        0 => String::new(),
        n => format!(" ({n} still older slots were missed too)"),
    };
    match plan.run {
        Some(later) => format!(
            "nothing could start it; the later slot {} runs instead{more}",
            format::instant(later)
        ),
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
