//! Alerts of what is watched: that a scope has a good snapshot, that its tables are as usual, that its
//! location has room, that locks are renewed.

use std::time::Duration;

use chrono::NaiveDate;

use super::make::FINDINGS_SHOWN_MAX;
use super::{Alert, AlertKind};
use crate::Instant;
use crate::anomaly::Anomaly;
use crate::capacity::Level;
use crate::format;
use crate::id::{ChainPath, LocationName, ScopeName, compact};
use crate::rpo::Overdue;
use crate::snapshot::SnapshotRecord;

impl Alert {
    /// A scope has no good snapshot that is young enough.
    pub fn no_good_snapshot(overdue: &Overdue, now: Instant) -> Self {
        let scope = &overdue.scope;
        let rpo = format::duration(Duration::from_secs(overdue.rpo_seconds));
        let age = |since: Instant| format::duration((now - since).to_std().unwrap_or_default());
        let (state, newest) = match overdue.newest_good {
            Some(taken_at) => (
                format!("the newest one is {} old", age(taken_at)),
                format!("Newest good state: {}", format::instant(taken_at)),
            ),
            None => (
                "there is none".to_owned(),
                format!("Watched since: {}", format::instant(overdue.since)),
            ),
        };
        let mut details = vec![format!("Wanted: one not older than {rpo}"), newest];
        details.extend(overdue.newest.map(|(taken_at, trust)| {
            format!(
                "Newest snapshot at all: {}, {}",
                format::instant(taken_at),
                trust.as_str()
            )
        }));
        Self {
            id: format!("no_good_snapshot.{scope}.{}", compact(now)),
            kind: AlertKind::NoGoodSnapshot,
            at: now,
            scope: Some(scope.clone()),
            schedule: None,
            run: None,
            snapshot: None,
            summary: format!("{scope} has no good snapshot of the last {rpo}: {state}."),
            details,
            action: "A loss now would cost more than was agreed. See how the last runs and \
                     verifications ended, and back the scope up now."
                .to_owned(),
            command: format!("logisedge-backup run --scope {scope} --wait"),
            about: None,
            standing: None,
        }
    }

    /// Tables of a new snapshot differ from their history.
    pub fn anomaly(snapshot: &SnapshotRecord, anomalies: &[Anomaly], now: Instant) -> Self {
        let scope = &snapshot.scope;
        let count = format::counted(anomalies.len() as u64, "table");
        let mut details = vec![
            format!("Holds the state of: {}", format::instant(snapshot.taken_at)),
            format!("Location: {}, {}", snapshot.location, snapshot.chain),
        ];
        let shown = anomalies.iter().take(FINDINGS_SHOWN_MAX);
        details.extend(shown.map(Anomaly::describe));
        if anomalies.len() > FINDINGS_SHOWN_MAX {
            details.push(format!("and {} more", anomalies.len() - FINDINGS_SHOWN_MAX));
        }
        let first = anomalies.first().map(Anomaly::describe).unwrap_or_default();
        Self {
            id: format!("anomaly.{}", snapshot.id),
            kind: AlertKind::Anomaly,
            at: now,
            scope: Some(scope.clone()),
            schedule: None,
            run: Some(snapshot.run.clone()),
            snapshot: Some(snapshot.id),
            summary: format!("{count} of {scope} changed more than usual: {first}."),
            details,
            action:
                "The snapshot is stored, and nothing of this scope is pruned until you confirm. If \
                     the change was meant, run this; if not, restore an earlier snapshot and add \
                     --undone."
                    .to_owned(),
            command: format!("logisedge-backup anomaly confirm {scope}"),
            about: None,
            standing: None,
        }
    }

    /// A location reaches a level of its capacity. `full_on` is when it will be full, if it goes on so.
    pub fn storage_soon_full(
        location: &LocationName,
        used: u64,
        max: u64,
        level: Level,
        full_on: Option<NaiveDate>,
        now: Instant,
    ) -> Self {
        let percent = level.percent();
        let forecast = match full_on {
            Some(day) => format!("Full, if it goes on like this: {day}"),
            None => "Full, if it goes on like this: no trend tells".to_owned(),
        };
        Self {
            id: format!("storage_soon_full.{location}.{percent}.{}", compact(now)),
            summary: format!("Location {location} is {percent} % full."),
            details: vec![
                format!("Used: {} of {}", format::bytes(used), format::bytes(max)),
                forecast,
            ],
            action:
                "Keep less, or raise capacity_bytes_max: a backup that does not fit is not begun."
                    .to_owned(),
            command: "logisedge-backup retention preview".to_owned(),
            about: Some(level_of(location, level)),
            ..of_location(AlertKind::StorageSoonFull, now)
        }
    }

    /// What a scope uses of a location by the catalog is far from what was listed there.
    pub fn usage_differs(
        scope: &ScopeName,
        location: &LocationName,
        known: i64,
        listed: u64,
        now: Instant,
    ) -> Self {
        let known = u64::try_from(known).unwrap_or_default();
        Self {
            id: format!("usage_differs.{location}.{scope}.{}", compact(now)),
            scope: Some(scope.clone()),
            summary: format!(
                "{scope} uses {} at location {location}, where the catalog expected {}.",
                format::bytes(listed),
                format::bytes(known)
            ),
            details: vec![format!("Location: {location}")],
            action:
                "The catalog is corrected. Killed attempts leave packs that prune removes after a \
                     day; if that explains nothing, somebody else writes or deletes there."
                    .to_owned(),
            command: format!("logisedge-backup prune --scope {scope} --dry-run"),
            about: Some(location.to_string()),
            ..of_location(AlertKind::UsageDiffers, now)
        }
    }
}

impl Alert {
    /// The location refused to renew the lock of a chain that retention keeps. Half of it is left.
    pub fn not_locked(
        scope: &ScopeName,
        location: &LocationName,
        chain: &ChainPath,
        why: &str,
        now: Instant,
    ) -> Self {
        Self {
            id: format!("not_locked.{location}.{chain}.{}", compact(now)),
            scope: Some(scope.clone()),
            summary: format!("The lock of kept snapshots of {scope} was not renewed."),
            details: vec![
                format!("Location: {location}, {chain}"),
                format!("Why: {why}"),
            ],
            action: "Give the prune function what it lacks before the lock runs out: from then on \
                     the snapshots can be destroyed. Each day's prune tries again."
                .to_owned(),
            command: format!("logisedge-backup prune --scope {scope} --dry-run"),
            about: Some(location.to_string()),
            ..of_location(AlertKind::NotLocked, now)
        }
    }

    /// Prune left parts of a scope for a reason that no later prune has to find gone.
    pub fn not_pruned(scope: &ScopeName, left: &[String], now: Instant) -> Self {
        let shown = left.iter().take(FINDINGS_SHOWN_MAX);
        let mut details: Vec<String> = shown.map(|why| format!("Left: {why}")).collect();
        if left.len() > FINDINGS_SHOWN_MAX {
            details.push(format!("and {} more", left.len() - FINDINGS_SHOWN_MAX));
        }
        Self {
            id: format!("not_pruned.{scope}.{}", compact(now)),
            scope: Some(scope.clone()),
            summary: format!("Not all of {scope} could be pruned: what is left still costs."),
            details,
            action: "Where a chain cannot be opened, give the prune function its password and \
                     permissions; where the time was over every day, more memory. Each day's prune \
                     tries again."
                .to_owned(),
            command: format!("logisedge-backup prune --scope {scope} --dry-run"),
            ..of_location(AlertKind::NotPruned, now)
        }
    }
}

/// What tells a level of one location from the others.
pub(super) fn level_of(location: &LocationName, level: Level) -> String {
    format!("{location}.{}", level.percent())
}

/// What every alert about a location has.
fn of_location(kind: AlertKind, now: Instant) -> Alert {
    Alert {
        id: String::new(),
        kind,
        at: now,
        scope: None,
        schedule: None,
        run: None,
        snapshot: None,
        summary: String::new(),
        details: Vec::new(),
        action: String::new(),
        command: String::new(),
        about: None,
        standing: None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use insta::assert_snapshot;

    use super::*;
    use crate::anomaly::Measure;
    use crate::samples::{at, snapshot};
    use crate::snapshot::Trust;

    const NOW: &str = "2026-11-26T04:00:15Z";

    fn shown(alert: &Alert) -> String {
        format!("{}\n{}", alert.subject(), alert.email_text())
    }

    #[test]
    fn no_good_snapshot() {
        let mut overdue = Overdue {
            scope: "customers".parse().unwrap(),
            rpo_seconds: 26 * 3600,
            since: at("2026-11-01T00:00:00Z"),
            newest_good: Some(at("2026-11-24T01:00:15Z")),
            newest: Some((at("2026-11-26T01:00:15Z"), Trust::Damaged)),
        };
        assert_snapshot!(shown(&Alert::no_good_snapshot(&overdue, at(NOW))), @r"
        LogisEdge NO GOOD SNAPSHOT: customers
        customers has no good snapshot of the last 1 d 02 h: the newest one is 2 d 03 h old.

        When: 2026-11-26 04:00:15 UTC
        Scope: customers
        Wanted: one not older than 1 d 02 h
        Newest good state: 2026-11-24 01:00:15 UTC
        Newest snapshot at all: 2026-11-26 01:00:15 UTC, damaged

        What to do: A loss now would cost more than was agreed. See how the last runs and verifications ended, and back the scope up now.
          logisedge-backup run --scope customers --wait

        (alert no_good_snapshot.customers.20261126T040015Z)
        ");
        overdue.newest_good = None;
        overdue.newest = None;
        let alert = Alert::no_good_snapshot(&overdue, at(NOW));
        assert_snapshot!(alert.summary, @"customers has no good snapshot of the last 1 d 02 h: there is none.");
        assert_snapshot!(alert.details.join("; "), @"Wanted: one not older than 1 d 02 h; Watched since: 2026-11-01 00:00:00 UTC");
    }

    #[test]
    fn an_anomaly() {
        let anomaly = |n: usize| Anomaly {
            table: format!("public.t{n:02}"),
            measure: if n == 0 {
                Measure::Empty
            } else {
                Measure::Rows
            },
            found: n as u64,
            usual: 1_234_567,
        };
        let anomalies: Vec<Anomaly> = (0..12).map(anomaly).collect();
        let alert = Alert::anomaly(&snapshot(1), &anomalies, at(NOW));
        assert_snapshot!(alert.summary, @"12 tables of customers changed more than usual: public.t00: empty, instead of about 1,234,567 rows.");
        assert_eq!(alert.details.len(), 2 + 10 + 1);
        assert_snapshot!(shown(&Alert::anomaly(&snapshot(1), &anomalies[1..2], at(NOW))), @r"
        LogisEdge UNUSUAL CHANGE: customers
        1 table of customers changed more than usual: public.t01: 1 row instead of about 1,234,567.

        When: 2026-11-26 04:00:15 UTC
        Scope: customers
        Run: daily.20261124T010000Z.customers
        Snapshot: 0101010101010101010101010101010101010101010101010101010101010101
        Holds the state of: 2026-11-24 01:00:15 UTC
        Location: main, customers/2026-11-24/full_20261124_010015
        public.t01: 1 row instead of about 1,234,567

        What to do: The snapshot is stored, and nothing of this scope is pruned until you confirm. If the change was meant, run this; if not, restore an earlier snapshot and add --undone.
          logisedge-backup anomaly confirm customers

        (alert anomaly.0101010101010101010101010101010101010101010101010101010101010101)
        ");
    }

    #[test]
    fn a_location_with_little_room() {
        let main = "main".parse().unwrap();
        let day = NaiveDate::from_ymd_opt(2026, 12, 24);
        let (used, max) = (405_000_000_000, 500_000_000_000);
        let alert = Alert::storage_soon_full(&main, used, max, Level::Eighty, day, at(NOW));
        assert_snapshot!(shown(&alert), @r"
        LogisEdge storage soon full
        Location main is 80 % full.

        When: 2026-11-26 04:00:15 UTC
        Used: 405 GB of 500 GB
        Full, if it goes on like this: 2026-12-24

        What to do: Keep less, or raise capacity_bytes_max: a backup that does not fit is not begun.
          logisedge-backup retention preview

        (alert storage_soon_full.main.80.20261126T040015Z)
        ");
        assert_eq!(alert.cause().to_string(), "storage_soon_full...main.80");
        let scope = "customers".parse().unwrap();
        let alert = Alert::usage_differs(&scope, &main, 405_000_000_000, 7_000_000, at(NOW));
        assert_snapshot!(alert.summary, @"customers uses 7.0 MB at location main, where the catalog expected 405 GB.");
    }

    #[test]
    fn a_lock_that_is_not_renewed() {
        let record = snapshot(1);
        let why = "cannot lock s3://b/x: access denied";
        let (scope, location) = (&record.scope, &record.location);
        let alert = Alert::not_locked(scope, location, &record.chain, why, at(NOW));
        assert_snapshot!(shown(&alert), @r"
        LogisEdge lock NOT RENEWED: customers
        The lock of kept snapshots of customers was not renewed.

        When: 2026-11-26 04:00:15 UTC
        Scope: customers
        Location: main, customers/2026-11-24/full_20261124_010015
        Why: cannot lock s3://b/x: access denied

        What to do: Give the prune function what it lacks before the lock runs out: from then on the snapshots can be destroyed. Each day's prune tries again.
          logisedge-backup prune --scope customers --dry-run

        (alert not_locked.main.customers/2026-11-24/full_20261124_010015.20261126T040015Z)
        ");
        assert_eq!(alert.cause().to_string(), "not_locked.customers..main");
    }

    #[test]
    fn what_prune_cannot_get_over() {
        let left = ["items/x: no key opens with this password".to_owned()];
        let alert = Alert::not_pruned(&"items".parse().unwrap(), &left, at(NOW));
        assert_snapshot!(shown(&alert), @r"
        LogisEdge clean-up INCOMPLETE: items
        Not all of items could be pruned: what is left still costs.

        When: 2026-11-26 04:00:15 UTC
        Scope: items
        Left: items/x: no key opens with this password

        What to do: Where a chain cannot be opened, give the prune function its password and permissions; where the time was over every day, more memory. Each day's prune tries again.
          logisedge-backup prune --scope items --dry-run

        (alert not_pruned.items.20261126T040015Z)
        ");
        let more = vec![left[0].clone(); 50];
        let alert = Alert::not_pruned(&"items".parse().unwrap(), &more, at(NOW));
        assert!(alert.details.len() < 50 && alert.details.last().unwrap().ends_with(" more"));
    }
}
