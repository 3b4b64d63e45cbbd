//! What people read: every kind of alert, and the limits of the channels.
#![allow(clippy::unwrap_used)]

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::finding::{Finding, FindingKind};
use crate::plan::{PruneDecision, PrunePlan};
use crate::run::{Cause, Run, RunState};
use crate::samples::{at, run, snapshot, stats, succeeded_run};
use crate::schedule::AlertPolicy;

const NOW: &str = "2026-11-24T01:02:17Z";

/// Everything that the channels show.
pub(super) fn shown(alert: &Alert) -> String {
    format!(
        "{}\n--- e-mail\n{}--- SMS\n{}",
        alert.subject(),
        alert.email_text(),
        alert.sms_text()
    )
}

fn ended(state: RunState, reason: &str) -> Run {
    Run {
        state,
        attempts: 3,
        reason: Some(reason.to_owned()),
        ended_at: Some(at(NOW)),
        ..run()
    }
}

fn missing_pack() -> Finding {
    Finding {
        kind: FindingKind::Missing,
        object: "data/ab/ab12".to_owned(),
        detail: "the index names it, the location has none".to_owned(),
    }
}

#[test]
fn a_stored_backup() {
    let alert = Alert::snapshot_committed(&succeeded_run(), &snapshot(1), &stats(), at(NOW));
    assert_snapshot!(shown(&alert), @r"
    LogisEdge backup stored: customers (daily)
    --- e-mail
    The backup of customers is stored: 12 tables, 1,234,567 rows, 1.4 GB in 2 m 03 s.

    When: 2026-11-24 01:02:17 UTC
    Scope: customers
    Schedule: daily
    Run: daily.20261124T010000Z.customers
    Snapshot: 0101010101010101010101010101010101010101010101010101010101010101
    Content: 12 tables, 1,234,567 rows, 1.4 GB
    Stored: 443 MB in 2 m 03 s
    Holds the state of: 2026-11-24 01:00:15 UTC
    Location: main, customers/2026-11-24/full_20261124_010015
    Kind: full (the chain has no usable full snapshot)

    (alert success.daily.20261124T010000Z.customers)
    --- SMS
    LogisEdge backup stored 11-24 01:02Z: The backup of customers is stored: 12 tables, 1,234,567 rows, 1.4 GB in 2 m 03 s.
    ");
}

#[test]
fn a_failed_run() {
    let mut failed = ended(
        RunState::Failed,
        "reading public.customers: permission denied; grant SELECT on it to role backup",
    );
    failed.progress.bytes_read = 12_000_000;
    failed.progress.bytes_expected = 1_400_000_000;
    assert_snapshot!(shown(&Alert::run_failed(&failed, at(NOW))), @r"
    LogisEdge backup FAILED: customers (daily)
    --- e-mail
    The backup of customers failed after 3 attempts: reading public.customers: permission denied; grant SELECT on it to role backup

    When: 2026-11-24 01:02:17 UTC
    Scope: customers
    Schedule: daily
    Run: daily.20261124T010000Z.customers
    Reason: reading public.customers: permission denied; grant SELECT on it to role backup
    Read before it ended: 12 MB of about 1.4 GB

    What to do: Remove the reason, then start the backup again. Earlier snapshots are not affected.
      logisedge-backup run --scope customers --wait

    (alert failure.daily.20261124T010000Z.customers)
    --- SMS
    LogisEdge backup FAILED 11-24 01:02Z: The backup of customers failed after 3 attempts: reading public.customers: permission denied; grant...
    ");
}

#[test]
fn a_skipped_run() {
    let skipped = ended(
        RunState::Skipped,
        "run daily.20261123T010000Z.customers is still going",
    );
    assert_snapshot!(shown(&Alert::skipped(&skipped, at(NOW))), @r"
    LogisEdge backup skipped: customers (daily)
    --- e-mail
    The backup of customers was skipped: run daily.20261123T010000Z.customers is still going

    When: 2026-11-24 01:02:17 UTC
    Scope: customers
    Schedule: daily
    Run: daily.20261124T010000Z.customers
    Reason: run daily.20261123T010000Z.customers is still going

    What to do: If this repeats, the schedule is shorter than a backup takes: make it longer, or give the source more connections.
      logisedge-backup status

    (alert skipped.daily.20261124T010000Z.customers)
    --- SMS
    LogisEdge backup skipped 11-24 01:02Z: The backup of customers was skipped: run daily.20261123T010000Z.customers is still going
    ");
}

#[test]
fn a_full_location() {
    let failed = ended(RunState::Failed, "no space");
    let alert = Alert::storage_full(&failed, "no space left on device", at(NOW));
    assert_snapshot!(shown(&alert), @r"
    LogisEdge storage FULL: customers (daily)
    --- e-mail
    Location main is full: the backup of customers was not stored.

    When: 2026-11-24 01:02:17 UTC
    Scope: customers
    Schedule: daily
    Run: daily.20261124T010000Z.customers
    Location: main
    Reason: no space left on device

    What to do: Make room at the location, or shorten retention and prune; then start the backup again.
      logisedge-backup prune --scope customers --dry-run

    (alert storage_full.daily.20261124T010000Z.customers)
    --- SMS
    LogisEdge storage FULL 11-24 01:02Z: Location main is full: the backup of customers was not stored.
    ");
}

#[test]
fn findings() {
    let alert = Alert::finding(&snapshot(1), &vec![missing_pack(); 12], at(NOW));
    assert_snapshot!(shown(&alert), @r"
    LogisEdge verification FINDING: customers (daily)
    --- e-mail
    12 findings in snapshot 01010101 of customers: it must not be relied on.

    When: 2026-11-24 01:02:17 UTC
    Scope: customers
    Schedule: daily
    Run: daily.20261124T010000Z.customers
    Snapshot: 0101010101010101010101010101010101010101010101010101010101010101
    Holds the state of: 2026-11-24 01:00:15 UTC
    Location: main, customers/2026-11-24/full_20261124_010015
    Finding: missing: data/ab/ab12: the index names it, the location has none
    Finding: missing: data/ab/ab12: the index names it, the location has none
    Finding: missing: data/ab/ab12: the index names it, the location has none
    Finding: missing: data/ab/ab12: the index names it, the location has none
    Finding: missing: data/ab/ab12: the index names it, the location has none
    Finding: missing: data/ab/ab12: the index names it, the location has none
    Finding: missing: data/ab/ab12: the index names it, the location has none
    Finding: missing: data/ab/ab12: the index names it, the location has none
    Finding: missing: data/ab/ab12: the index names it, the location has none
    Finding: missing: data/ab/ab12: the index names it, the location has none
    and 2 more

    What to do: Back the scope up again now. Then see what is wrong: a damaged object may come back from the bucket's older versions.
      logisedge-backup show 01010101

    (alert finding.0101010101010101010101010101010101010101010101010101010101010101.20261124)
    --- SMS
    LogisEdge verification FINDING 11-24 01:02Z: 12 findings in snapshot 01010101 of customers: it must not be relied on.
    ");
    let garbage = Finding {
        kind: FindingKind::Unreferenced,
        object: "data/zz".to_owned(),
        detail: "no part of the format".to_owned(),
    };
    let harmless = Alert::finding(&snapshot(1), &[garbage], at(NOW));
    assert_snapshot!(harmless.summary, @"1 finding beside snapshot 01010101 of customers: it can be restored, but objects lie there that nothing needs.");
}

#[test]
fn a_clean_up() {
    let decision = |number, keep, reason: &str| PruneDecision {
        snapshot: snapshot(number).id,
        keep,
        reason: reason.to_owned(),
        since: None,
        locked_until: None,
    };
    let plan = PrunePlan {
        scope: "customers".parse().unwrap(),
        now: at("2026-11-24T03:00:00Z"),
        decisions: vec![
            decision(1, true, "the scope's newest verified snapshot"),
            decision(2, false, "schedule daily keeps 7 days"),
        ],
    };
    let alert = Alert::clean_up(&plan, 1, 443_000_000, at("2026-11-24T03:00:09Z"));
    assert_snapshot!(shown(&alert), @r"
    LogisEdge clean-up: customers
    --- e-mail
    1 snapshot of customers deleted, 443 MB freed.

    When: 2026-11-24 03:00:09 UTC
    Scope: customers
    Deleted: 1 snapshot
    Freed: 443 MB
    Kept: 1 snapshot
    Deleted 02020202: schedule daily keeps 7 days

      logisedge-backup snapshots --scope customers

    (alert clean_up.customers.20261124T030000Z)
    --- SMS
    LogisEdge clean-up 11-24 03:00Z: 1 snapshot of customers deleted, 443 MB freed.
    ");
    let alert = Alert::clean_up(&plan, 0, 12_000_000, at("2026-11-24T03:00:09Z"));
    assert_snapshot!(alert.summary, @"12 MB freed that no snapshot of customers needs any more.");
}

#[test]
fn a_dead_letter() {
    let alert = Alert::dead_letter(
        "4c1e6a2f",
        "logisedge-backup-dead-letters",
        "the event's version is 9, this program reads version 1",
        at(NOW),
    );
    assert_snapshot!(shown(&alert), @r"
    LogisEdge event NOT HANDLED
    --- e-mail
    An event could not be handled (logisedge-backup-dead-letters): the event's version is 9, this program reads version 1

    When: 2026-11-24 01:02:17 UTC
    Where: logisedge-backup-dead-letters
    Message: 4c1e6a2f
    Reason: the event's version is 9, this program reads version 1

    What to do: See which runs did not happen, remove the reason, and start them again.
      logisedge-backup status

    (alert dead_letter.4c1e6a2f)
    --- SMS
    LogisEdge event NOT HANDLED 11-24 01:02Z: An event could not be handled (logisedge-backup-dead-letters): the event's version is 9, this p...
    ");
}

#[test]
fn machines_get_every_field() {
    let failed = ended(RunState::Failed, "no route to host");
    let alert = Alert::run_failed(&failed, at(NOW));
    assert_snapshot!(alert.to_json(), @r#"{"version":1,"severity":"error","subject":"LogisEdge backup FAILED: customers (daily)","id":"failure.daily.20261124T010000Z.customers","kind":"failure","at":"2026-11-24T01:02:17Z","scope":"customers","schedule":"daily","run":"daily.20261124T010000Z.customers","summary":"The backup of customers failed after 3 attempts: no route to host","details":["Reason: no route to host"],"action":"Remove the reason, then start the backup again. Earlier snapshots are not affected.","command":"logisedge-backup run --scope customers --wait"}"#);
    let stored = serde_json::to_string(&alert).unwrap();
    assert_eq!(serde_json::from_str::<Alert>(&stored).unwrap(), alert);
    // Machine-readable alerts are alerts too, for those who read them with this crate.
    assert_eq!(
        serde_json::from_str::<Alert>(&alert.to_json()).unwrap(),
        alert
    );
}

#[test]
fn the_same_event_gives_the_same_id_whenever_it_is_told() {
    let failed = ended(RunState::Failed, "x");
    let later = at("2026-11-25T00:00:00Z");
    let first = Alert::run_failed(&failed, at(NOW));
    assert_eq!(Alert::run_failed(&failed, later).id, first.id);
    assert_ne!(Alert::skipped(&failed, at(NOW)).id, first.id);
    let manual = Run {
        cause: Cause::Operator { schedule: None },
        ..failed
    };
    assert_eq!(Alert::skipped(&manual, later).schedule, None);
}

#[test]
fn what_nobody_may_turn_off_is_always_wanted() {
    let silent = AlertPolicy {
        success: false,
        failure: false,
        finding: false,
        clean_up: false,
    };
    for kind in [
        AlertKind::Missed,
        AlertKind::Late,
        AlertKind::DeadLetter,
        AlertKind::StorageFull,
    ] {
        assert!(silent.wants(kind), "{kind:?}");
    }
    for kind in [
        AlertKind::Success,
        AlertKind::Failure,
        AlertKind::Skipped,
        AlertKind::Finding,
        AlertKind::CleanUp,
    ] {
        assert!(!silent.wants(kind), "{kind:?}");
    }
    let usual = AlertPolicy::default();
    assert!(usual.wants(AlertKind::Skipped));
    assert!(!usual.wants(AlertKind::CleanUp));
}

proptest! {
    /// Whatever a reason holds, each channel gets what it can carry.
    #[test]
    fn texts_fit_their_channels(reason in "\\PC{0,300}|[\\x00-\\x20a-z]{0,300}", scope in "[a-z][a-z0-9-]{0,63}") {
        let mut failed = ended(RunState::Failed, &reason);
        failed.scope = scope.parse().unwrap();
        for alert in [
            Alert::run_failed(&failed, at(NOW)),
            Alert::skipped(&failed, at(NOW)),
            Alert::late(&failed, Limit::Finish, at(NOW)),
            Alert::storage_full(&failed, &reason, at(NOW)),
            Alert::dead_letter("id", "queue", &reason, at(NOW)),
        ] {
            let subject = alert.subject();
            prop_assert!(subject.len() <= SUBJECT_CHARS_MAX);
            prop_assert!(subject.bytes().all(|b| (0x20..0x7f).contains(&b)), "{subject:?}");
            let sms = alert.sms_text();
            prop_assert!(sms.len() <= SMS_BYTES_MAX);
            prop_assert!(sms.bytes().all(|b| (0x20..0x7f).contains(&b)), "{sms:?}");
            prop_assert!(serde_json::from_str::<serde_json::Value>(&alert.to_json()).is_ok());
        }
    }
}
