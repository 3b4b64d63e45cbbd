//! Quieting: what is told, what is held back, and that every alert is told or counted.
#![allow(clippy::unwrap_used)]

use chrono::TimeDelta;
use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::alert::Resolution;
use crate::run::{Run, RunState};
use crate::samples::{at, run, snapshot, stats, succeeded_run};

const BEGIN: &str = "2026-11-24T02:00:00Z";

fn minutes(n: i64) -> Instant {
    at(BEGIN) + TimeDelta::minutes(n)
}

fn failure(at: Instant) -> Alert {
    let failed = Run {
        state: RunState::Failed,
        attempts: 3,
        reason: Some("the server cannot be reached".to_owned()),
        ..run()
    };
    Alert::run_failed(&failed, at)
}

fn told(telling: Telling) -> (Alert, CauseState) {
    match telling {
        Telling::Tell(alert, state) => (*alert, *state),
        other => panic!("{other:?}"),
    }
}

fn held_back(telling: Telling) -> CauseState {
    match telling {
        Telling::HoldBack(state) => *state,
        other => panic!("{other:?}"),
    }
}

/// The failure of that minute, given what is known.
fn next(known: Option<&CauseState>, minute: i64) -> Telling {
    let now = minutes(minute);
    Telling::of(&failure(now), known, Quiet::default(), now)
}

#[test]
fn the_first_is_told_and_the_next_ones_are_held_back_for_the_interval() {
    let (alert, state) = told(next(None, 0));
    assert_eq!(alert, failure(minutes(0)));
    assert_eq!(state.due_at(Quiet::default()), None);
    let state = held_back(next(Some(&state), 15));
    let state = held_back(next(Some(&state), 239));
    assert_eq!((state.told, state.held_back), (1, 2));
    assert_eq!(state.due_at(Quiet::default()), Some(minutes(240)));
    assert_eq!(state.at_due(Quiet::default(), minutes(239)), None);

    let (alert, after) = told(next(Some(&state), 240));
    let standing = Standing::Repeated {
        more: 2,
        since: minutes(0),
    };
    assert_eq!(alert.standing, Some(standing));
    assert!(
        alert
            .details
            .iter()
            .any(|d| d == "2 more since 2026-11-24 02:00:00 UTC")
    );
    assert_eq!((after.told, after.held_back), (2, 0));
    assert_eq!(after.since, minutes(0));
}

#[test]
fn what_was_held_back_is_told_when_the_interval_is_over() {
    let (_, mut state) = told(next(None, 0));
    for minute in [15, 30, 45] {
        state = held_back(next(Some(&state), minute));
    }
    let Some(WhenDue::Summary(alert, after)) = state.at_due(Quiet::default(), minutes(241)) else {
        panic!("nothing is due");
    };
    assert_eq!(
        (after.told, after.held_back, after.told_at),
        (2, 0, minutes(241))
    );
    assert_snapshot!(format!("{}\n{}", alert.subject(), alert.email_text()), @r"
    LogisEdge again: backup FAILED: customers (daily)
    The backup of customers failed after 3 attempts: the server cannot be reached

    When: 2026-11-24 02:45:00 UTC
    Scope: customers
    Schedule: daily
    Run: daily.20261124T010000Z.customers
    Reason: the server cannot be reached
    2 more since 2026-11-24 02:00:00 UTC

    What to do: Remove the reason, then start the backup again. Earlier snapshots are not affected.
      logisedge-backup run --scope customers --wait

    (alert again.failure.customers.daily.20261124T060100Z)
    ");
    // It is an alert of its own kind: it is told, and counts as none.
    let telling = Telling::of(&alert, Some(&after), Quiet::default(), minutes(242));
    assert_eq!(telling, Telling::Untracked);
}

#[test]
fn a_success_ends_what_kept_its_schedule_from_it() {
    let (_, state) = told(next(None, 0));
    let state = held_back(next(Some(&state), 15));
    let resolution = Resolution::run_succeeded(&succeeded_run(), &snapshot(1), minutes(31));
    assert!(resolution.ends(&state.cause));
    let alert = state.resolved(&resolution.because, minutes(32));
    assert_snapshot!(format!("{}\n{}\n{}", alert.subject(), alert.email_text(), alert.sms_text()), @r"
    LogisEdge resolved: backup FAILED: customers (daily)
    The backup of customers is stored again: snapshot 01010101, which holds the state of 2026-11-24 01:00:15 UTC.

    When: 2026-11-24 02:32:00 UTC
    Scope: customers
    Schedule: daily
    Run: daily.20261124T010000Z.customers
    Since: 2026-11-24 02:00:00 UTC
    Lasted: 32 m 00 s
    Told: 1 alert
    Held back since 2026-11-24 02:00:00 UTC: 1 alert
    The last one: The backup of customers failed after 3 attempts: the server cannot be reached

    (alert resolved.failure.customers.daily.20261124T023200Z)

    LogisEdge resolved: backup FAILED 11-24 02:32Z: The backup of customers is stored again: snapshot 01010101, which holds the state of 2026...
    ");
    let json: serde_json::Value = serde_json::from_str(&alert.to_json()).unwrap();
    assert_eq!(json["standing"]["is"], "resolved");

    // Another schedule's runs, another scope, or a finding, are no better for it.
    let of = |cause: &AlertCause| AlertCause { ..cause.clone() };
    let mut other = of(&state.cause);
    other.schedule = Some("orders".parse().unwrap());
    assert!(!resolution.ends(&other));
    other = of(&state.cause);
    other.scope = Some("items".parse().unwrap());
    assert!(!resolution.ends(&other));
    other = of(&state.cause);
    other.kind = AlertKind::Finding;
    assert!(!resolution.ends(&other));
}

#[test]
fn a_good_verification_ends_findings_of_the_scope() {
    let finding = |number: u8| AlertCause {
        kind: AlertKind::Finding,
        scope: Some("customers".parse().unwrap()),
        schedule: Some("daily".parse().unwrap()),
        about: Some(snapshot(number).id.to_string()),
    };
    let newest = Resolution::verified(&snapshot(1), true, minutes(0));
    assert!(newest.ends(&finding(1)) && newest.ends(&finding(2)));
    // An old one that is sound says nothing of a newer one.
    let old = Resolution::verified(&snapshot(1), false, minutes(0));
    assert!(old.ends(&finding(1)) && !old.ends(&finding(2)));
}

#[test]
fn what_is_for_the_record_is_told_each_time_unless_configured() {
    let success = Alert::snapshot_committed(&succeeded_run(), &snapshot(1), &stats(), minutes(0));
    let quiet = Quiet::default();
    assert_eq!(
        Telling::of(&success, None, quiet, minutes(0)),
        Telling::Untracked
    );
    let quiet = Quiet {
        info_seconds: 3600,
        ..quiet
    };
    let (_, state) = told(Telling::of(&success, None, quiet, minutes(0)));
    let state = held_back(Telling::of(&success, Some(&state), quiet, minutes(59)));
    let Some(WhenDue::Summary(_, state)) = state.at_due(quiet, minutes(60)) else {
        panic!("nothing is due");
    };
    // Nothing says that successes are over: the interval alone ends them.
    assert_eq!(state.at_due(quiet, minutes(120)), Some(WhenDue::Forget));
}

#[test]
fn without_an_interval_each_is_told_and_its_end_too() {
    let quiet = Quiet {
        error_seconds: 0,
        ..Quiet::default()
    };
    let mut known = None;
    for minute in 0..3 {
        let now = minutes(minute);
        let (alert, state) = told(Telling::of(&failure(now), known.as_ref(), quiet, now));
        assert_eq!(alert.standing, None);
        known = Some(state);
    }
    assert_eq!(known.unwrap().told, 3);
}

#[test]
fn causes_have_names_of_their_own() {
    assert_eq!(
        failure(minutes(0)).cause().to_string(),
        "failure.customers.daily"
    );
    // The same thing happening to other runs is one cause; another thing is another one.
    let letter = |reason: &str| {
        let letter = Alert::dead_letter("m-1", "queue", reason, minutes(0));
        letter.cause().to_string()
    };
    assert_eq!(
        letter("the event's version is 99"),
        "dead_letter...queue: the event's version is"
    );
    assert_eq!(
        letter("{\"id\":\"6a7e8978-68e1\",\"detail\":{\"run\":\"daily.20261124T010000Z.items\"}}"),
        "dead_letter...queue: id detail run daily items"
    );
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Alert,
    Tick,
    Resolve,
}

proptest! {
    /// Whatever comes in whatever order: every alert is told or counted, what is counted is told within
    /// an interval and a tick, and nothing is told twice within an interval but the end.
    #[test]
    fn every_alert_is_told_or_counted(
        steps in prop::collection::vec((1i64..200, prop_oneof![
            6 => Just(Step::Alert), 4 => Just(Step::Tick), 1 => Just(Step::Resolve)
        ]), 1..120)
    ) {
        let quiet = Quiet::default();
        let (mut minute, mut known) = (0, None::<CauseState>);
        let (mut alerts, mut accounted) = (0, 0);
        let mut told_at: Option<i64> = None;
        for (passed, step) in steps {
            minute += passed;
            let now = minutes(minute);
            let mut tell = |known: &CauseState| {
                if let Some(before) = told_at {
                    assert!(minute - before >= 240, "told twice in {} minutes", minute - before);
                }
                told_at = Some(minute);
                assert_eq!(known.held_back, 0);
            };
            match step {
                Step::Alert => {
                    alerts += 1;
                    match Telling::of(&failure(now), known.as_ref(), quiet, now) {
                        Telling::Untracked => panic!("untracked"),
                        Telling::Tell(alert, state) => {
                            accounted += 1 + match alert.standing {
                                Some(Standing::Repeated { more, .. }) => more,
                                _ => 0,
                            };
                            tell(&state);
                            known = Some(*state);
                        }
                        Telling::HoldBack(state) => known = Some(*state),
                    }
                }
                Step::Tick => {
                    if let Some(WhenDue::Summary(alert, state)) =
                        known.as_ref().and_then(|k| k.at_due(quiet, now))
                    {
                        let Some(Standing::Repeated { more, .. }) = alert.standing else {
                            panic!("{alert:?}");
                        };
                        accounted += more + 1;
                        tell(&state);
                        known = Some(*state);
                    }
                }
                Step::Resolve => {
                    if let Some(state) = known.take() {
                        let Some(Standing::Resolved { more, .. }) =
                            state.resolved("it is gone", now).standing
                        else {
                            panic!("not resolved");
                        };
                        accounted += more;
                    }
                    told_at = None;
                }
            }
            let held = known.as_ref().map_or(0, |k| k.held_back);
            prop_assert_eq!(alerts, accounted + held);
        }
    }
}
