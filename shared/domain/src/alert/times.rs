//! Alerts of slots and runs that did not keep to their time.

use super::make::{REASON_BYTES_MAX, of_run};
use super::{Alert, AlertKind};
use crate::Instant;
use crate::format;
use crate::id::{RunId, ScheduleName, ScopeName, compact};
use crate::run::{Cause, Run, RunState};

/// Slots that an alert lists one by one; the others are counted.
const SLOTS_SHOWN_MAX: usize = 10;

/// Scopes that an alert names; more are counted.
const SCOPES_SHOWN_MAX: usize = 6;

/// Slots of one schedule that passed while nothing could start them: those of one outage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissedSlots {
    /// The schedule.
    pub schedule: ScheduleName,
    /// Its scopes, each of which every slot was missed for.
    pub scopes: Vec<ScopeName>,
    /// Oldest first; at least one.
    pub slots: Vec<Instant>,
    /// Older ones.
    pub uncounted: u64,
    /// Why, for people.
    pub reason: String,
}

/// A limit of a run's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// [`Run::start_by`].
    Start,
    /// [`Run::finish_by`].
    Finish,
}

impl Alert {
    /// Slots passed while nothing could start them. None if there is no slot.
    pub fn missed(missed: &MissedSlots, now: Instant) -> Option<Self> {
        let (first, last) = (missed.slots.first()?, missed.slots.last()?);
        let count = missed.slots.len() as u64 + missed.uncounted;
        let (schedule, scopes) = (&missed.schedule, listed(&missed.scopes));
        let summary = match count {
            1 => format!(
                "The backup of {scopes} due at {} was missed.",
                format::instant(*first)
            ),
            _ => format!(
                "{count} backups of {scopes} were missed, the last one due at {}.",
                format::instant(*last)
            ),
        };
        let shown = missed.slots.len().saturating_sub(SLOTS_SHOWN_MAX);
        let (older, slots) = missed.slots.split_at(shown);
        let mut details = Vec::new();
        let older = older.len() as u64 + missed.uncounted;
        if older > 0 {
            details.push(format!("Were due: {older} older ones"));
        }
        let due = |slot: &Instant| format!("Was due: {}", format::instant(*slot));
        details.extend(slots.iter().map(due));
        details.push(format!("Reason: {}", missed.reason));
        let scope = match missed.scopes.as_slice() {
            [only] => Some(only.clone()),
            _ => None,
        };
        let run = match (&scope, count) {
            (Some(scope), 1) => Some(RunId::scheduled(schedule, *first, scope)),
            _ => None,
        };
        let command = match &scope {
            Some(scope) => format!("logisedge-backup run --scope {scope} --wait"),
            None => format!("logisedge-backup run {schedule} --force --wait"),
        };
        Some(Self {
            id: format!("missed.{schedule}.{}", compact(*last)),
            kind: AlertKind::Missed,
            at: now,
            scope,
            schedule: Some(schedule.clone()),
            run,
            snapshot: None,
            summary,
            details,
            action: "Find out why nothing ran then (a disabled rule, a failing dispatcher, an \
                     outage). If the next slot is far, start the backup now."
                .to_owned(),
            command,
            about: None,
            standing: None,
        })
    }

    /// A run has not begun, or not ended, within its schedule's time; or it did so too late.
    pub fn late(run: &Run, limit: Limit, now: Instant) -> Self {
        let (name, by, verb) = match limit {
            Limit::Start => ("start", run.start_by, "begun"),
            Limit::Finish => ("finish", run.finish_by, "ended"),
        };
        let by = by.map_or("its time".to_owned(), format::instant);
        let stands = stands(run);
        let mut details = Vec::new();
        if let Cause::Schedule { slot, .. } = &run.cause {
            details.push(format!("Was due: {}", format::instant(*slot)));
        }
        details.push(format!("Was to have {verb} by: {by}"));
        details.push(format!("Stands: {stands}"));
        let reason = run.reason.as_deref().map(|reason| {
            let reason = format::bounded(reason, REASON_BYTES_MAX);
            format!("Reason: {reason}")
        });
        details.extend(reason);
        let action = match limit {
            Limit::Start => {
                "See whether the backup function runs at all, or another run keeps the scope busy."
            }
            Limit::Finish => {
                "See how far it is. If this repeats, give the source more connections or the schedule \
                 a longer finish_within."
            }
        };
        Self {
            id: format!("late.{name}.{}", run.id),
            details,
            action: action.to_owned(),
            command: "logisedge-backup status".to_owned(),
            about: Some(name.to_owned()),
            ..of_run(
                AlertKind::Late,
                run,
                now,
                format!(
                    "The backup of {} was to have {verb} by {by}: {stands}.",
                    run.scope
                ),
            )
        }
    }
}

/// Where the run stands, as part of a sentence.
fn stands(run: &Run) -> String {
    match (run.state, run.started_at, run.ended_at) {
        (RunState::Requested, None, _) => "it has not begun".to_owned(),
        (RunState::Requested, Some(_), _) => "it waits for another attempt".to_owned(),
        (RunState::Running, Some(since), _) => {
            format!("it is running since {}", format::instant(since))
        }
        (state, _, Some(ended)) => format!("it {} at {}", ending(state), format::instant(ended)),
        (state, ..) => format!("it is {}", state.as_str()),
    }
}

fn ending(state: RunState) -> &'static str {
    match state {
        RunState::Skipped => "was skipped",
        RunState::Missed => "was missed",
        other => other.as_str(),
    }
}

fn listed(scopes: &[ScopeName]) -> String {
    if scopes.len() > SCOPES_SHOWN_MAX {
        return format!("{} scopes", scopes.len());
    }
    let names: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => "nothing".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use chrono::TimeDelta;
    use insta::assert_snapshot;

    use super::super::tests::shown;
    use super::*;
    use crate::samples::{at, run};

    const NOW: &str = "2026-11-24T07:02:17Z";

    fn missed(scopes: &[&str], slots: u32, uncounted: u64) -> MissedSlots {
        let last = at("2026-11-24T01:00:00Z");
        MissedSlots {
            schedule: "daily".parse().unwrap(),
            scopes: scopes.iter().map(|scope| scope.parse().unwrap()).collect(),
            slots: (0..i64::from(slots))
                .rev()
                .map(|days| last - TimeDelta::days(days))
                .collect(),
            uncounted,
            reason: "nothing could start it within 6 h 00 m of its slot".to_owned(),
        }
    }

    #[test]
    fn a_missed_slot() {
        let alert = Alert::missed(&missed(&["customers"], 1, 0), at(NOW)).unwrap();
        assert_snapshot!(shown(&alert), @r"
        LogisEdge backup MISSED: customers (daily)
        --- e-mail
        The backup of customers due at 2026-11-24 01:00:00 UTC was missed.

        When: 2026-11-24 07:02:17 UTC
        Scope: customers
        Schedule: daily
        Run: daily.20261124T010000Z.customers
        Was due: 2026-11-24 01:00:00 UTC
        Reason: nothing could start it within 6 h 00 m of its slot

        What to do: Find out why nothing ran then (a disabled rule, a failing dispatcher, an outage). If the next slot is far, start the backup now.
          logisedge-backup run --scope customers --wait

        (alert missed.daily.20261124T010000Z)
        --- SMS
        LogisEdge backup MISSED 11-24 07:02Z: The backup of customers due at 2026-11-24 01:00:00 UTC was missed.
        ");
        assert_eq!(Alert::missed(&missed(&["customers"], 0, 0), at(NOW)), None);
    }

    #[test]
    fn an_outage_is_told_once() {
        let scopes = ["customers", "items", "documents"];
        let alert = Alert::missed(&missed(&scopes, 12, 300), at(NOW)).unwrap();
        assert_snapshot!(shown(&alert), @r"
        LogisEdge backup MISSED: daily
        --- e-mail
        312 backups of customers, items and documents were missed, the last one due at 2026-11-24 01:00:00 UTC.

        When: 2026-11-24 07:02:17 UTC
        Schedule: daily
        Were due: 302 older ones
        Was due: 2026-11-15 01:00:00 UTC
        Was due: 2026-11-16 01:00:00 UTC
        Was due: 2026-11-17 01:00:00 UTC
        Was due: 2026-11-18 01:00:00 UTC
        Was due: 2026-11-19 01:00:00 UTC
        Was due: 2026-11-20 01:00:00 UTC
        Was due: 2026-11-21 01:00:00 UTC
        Was due: 2026-11-22 01:00:00 UTC
        Was due: 2026-11-23 01:00:00 UTC
        Was due: 2026-11-24 01:00:00 UTC
        Reason: nothing could start it within 6 h 00 m of its slot

        What to do: Find out why nothing ran then (a disabled rule, a failing dispatcher, an outage). If the next slot is far, start the backup now.
          logisedge-backup run daily --force --wait

        (alert missed.daily.20261124T010000Z)
        --- SMS
        LogisEdge backup MISSED 11-24 07:02Z: 312 backups of customers, items and documents were missed, the last one due at 2026-11-24 01:00:00...
        ");
        let many = ["a", "b", "c", "d", "e", "f", "g"];
        let alert = Alert::missed(&missed(&many, 2, 0), at(NOW)).unwrap();
        assert_snapshot!(alert.summary, @"2 backups of 7 scopes were missed, the last one due at 2026-11-24 01:00:00 UTC.");
    }

    #[test]
    fn a_run_that_has_not_begun() {
        let mut run = run();
        run.start_by = Some(at("2026-11-24T01:30:00Z"));
        assert_snapshot!(shown(&Alert::late(&run, Limit::Start, at(NOW))), @r"
        LogisEdge backup LATE: customers (daily)
        --- e-mail
        The backup of customers was to have begun by 2026-11-24 01:30:00 UTC: it has not begun.

        When: 2026-11-24 07:02:17 UTC
        Scope: customers
        Schedule: daily
        Run: daily.20261124T010000Z.customers
        Was due: 2026-11-24 01:00:00 UTC
        Was to have begun by: 2026-11-24 01:30:00 UTC
        Stands: it has not begun

        What to do: See whether the backup function runs at all, or another run keeps the scope busy.
          logisedge-backup status

        (alert late.start.daily.20261124T010000Z.customers)
        --- SMS
        LogisEdge backup LATE 11-24 07:02Z: The backup of customers was to have begun by 2026-11-24 01:30:00 UTC: it has not begun.
        ");
    }

    #[test]
    fn a_run_that_takes_too_long() {
        let mut run = run();
        run.finish_by = Some(at("2026-11-24T05:00:00Z"));
        run.state = RunState::Running;
        run.attempts = 1;
        run.started_at = Some(at("2026-11-24T01:00:15Z"));
        assert_snapshot!(shown(&Alert::late(&run, Limit::Finish, at(NOW))), @r"
        LogisEdge backup LATE: customers (daily)
        --- e-mail
        The backup of customers was to have ended by 2026-11-24 05:00:00 UTC: it is running since 2026-11-24 01:00:15 UTC.

        When: 2026-11-24 07:02:17 UTC
        Scope: customers
        Schedule: daily
        Run: daily.20261124T010000Z.customers
        Was due: 2026-11-24 01:00:00 UTC
        Was to have ended by: 2026-11-24 05:00:00 UTC
        Stands: it is running since 2026-11-24 01:00:15 UTC

        What to do: See how far it is. If this repeats, give the source more connections or the schedule a longer finish_within.
          logisedge-backup status

        (alert late.finish.daily.20261124T010000Z.customers)
        --- SMS
        LogisEdge backup LATE 11-24 07:02Z: The backup of customers was to have ended by 2026-11-24 05:00:00 UTC: it is running since 2026-11-24...
        ");
        let summary = |run: &Run| Alert::late(run, Limit::Finish, at(NOW)).summary;
        run.state = RunState::Requested;
        assert_snapshot!(summary(&run), @"The backup of customers was to have ended by 2026-11-24 05:00:00 UTC: it waits for another attempt.");
        run.ended_at = Some(at("2026-11-24T06:00:00Z"));
        for (state, expected) in [
            (RunState::Succeeded, "it succeeded at"),
            (RunState::Failed, "it failed at"),
            (RunState::Skipped, "it was skipped at"),
        ] {
            run.state = state;
            assert!(summary(&run).contains(expected), "{}", summary(&run));
        }
    }
}
