//! For how long what stays will stay, on which it depends whether a pack is worth writing anew.

use std::collections::BTreeMap;

use chrono::{NaiveTime, TimeDelta};
use logisedge_domain::Instant;
use logisedge_domain::id::{ScopeName, SnapshotId};
use logisedge_domain::preview::{Assumptions, Sizes, preview_keeping};
use logisedge_domain::retention::Rules;
use logisedge_domain::schedule::Schedule;
use logisedge_domain::snapshot::SnapshotRecord;
use logisedge_domain::storage::Transitions;

/// How far ahead is looked, in days, from the first on that has not too many runs to play. What stays
/// beyond it is reckoned to stay that long: a guess that is too short only rewrites less.
const DAYS_AHEAD: [u32; 4] = [365, 90, 30, 7];

/// For how long each of these snapshots will be kept: the scope's schedules, its rules and its daily
/// prunes are played forward, as `retention preview` does. So every rule counts as what it does: three
/// of a daily schedule stay for three days, and those of a schedule that is off stay.
pub(super) fn remaining(
    scope: &ScopeName,
    schedules: &[Schedule],
    rules: &Rules,
    kept: &[SnapshotRecord],
    now: Instant,
) -> BTreeMap<SnapshotId, TimeDelta> {
    let schedules: Vec<&Schedule> = schedules.iter().collect();
    for days in DAYS_AHEAD {
        let nothing = Sizes {
            full_bytes: 0,
            change_bytes: 0,
        };
        let assumptions = Assumptions {
            now,
            until: now + TimeDelta::days(days.into()),
            sizes: nothing,
            pack_bytes: 1,
            grace_days: 0,
            prune_at: NaiveTime::MIN,
            transitions: Transitions::default(),
        };
        let played = preview_keeping(scope, &schedules, rules, kept, &assumptions, &[]);
        let Ok(played) = played else {
            continue;
        };
        let ends: BTreeMap<SnapshotId, Instant> = played
            .dropped
            .iter()
            .filter_map(|dropped| Some((dropped.snapshot.snapshot?, dropped.dropped_at)))
            .collect();
        let of = |record: &SnapshotRecord| {
            let end = ends.get(&record.id).map(|end| *end - now);
            (record.id, end.unwrap_or(TimeDelta::days(days.into())))
        };
        return kept.iter().map(of).collect();
    }
    BTreeMap::new()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use logisedge_domain::config::Config;
    use serde_json::json;

    use super::*;

    /// For how many days a snapshot of an hour ago stays, and one of six days ago.
    fn days(schedule: &str, scope_keeps: &str) -> [i64; 2] {
        let begin = include_str!("../../tests/begin.toml");
        let text = format!(
            r#"
            {begin}
            [scopes.items]
            preset = "items"
            {scope_keeps}
            [schedules.daily]
            at = "12:00"
            scopes = ["items"]
            {schedule}
            "#
        );
        let config = Config::parse(&text, "f").unwrap_or_else(|problems| panic!("{problems}"));
        let now: Instant = "2026-11-24T13:00:00Z".parse().unwrap();
        let taken = |number: u8, at: Instant| -> SnapshotRecord {
            serde_json::from_value(json!({
                "id": SnapshotId::from_bytes([number; 32]), "scope": "items", "location": "main",
                "chain": "items/2026-11-01/full_20261101_000000", "kind": "full",
                "run": "daily.20261101T000000Z.items", "schedule": "daily", "taken_at": at,
                "tables": 1, "rows": 1, "bytes": 1, "bytes_stored": 1, "trust": "verified",
            }))
            .unwrap()
        };
        let kept = [
            taken(1, now - TimeDelta::hours(1)),
            taken(2, now - TimeDelta::days(6)),
        ];
        let schedules: Vec<Schedule> = config.schedules.clone();
        let scope = &config.scopes[&"items".parse().unwrap()];
        let rules = Rules {
            schedules: schedules
                .iter()
                .map(|schedule| (schedule.name.clone(), schedule.retention))
                .collect(),
            scope: scope.retention,
        };
        let remaining = remaining(&scope.name, &schedules, &rules, &kept, now);
        kept.map(|record| remaining[&record.id].num_days())
    }

    #[test]
    fn every_rule_counts_as_what_it_does() {
        for (schedule, expected) in [
            ("keep = { last = 3 }", [3, 2]),
            ("keep = { days = 10 }", [10, 4]),
            ("keep = { within = \"14 days\" }", [14, 9]),
            ("keep = { daily = 5 }", [5, 4]),
            // The oldest stays until there are twelve months.
            ("keep = { monthly = 12, last = 1 }", [1, 311]),
            ("keep = { hourly = 1 }", [1, 0]),
            ("keep = { last = 3 }\nenabled = false", [365, 365]),
        ] {
            let schedule = format!("every = \"day\"\n{schedule}");
            assert_eq!(days(&schedule, ""), expected, "{schedule}");
        }
    }

    #[test]
    fn a_scopes_rules_count_too() {
        let last = "every = \"day\"\nkeep = { last = 1 }";
        assert_eq!(days(last, "keep = { days = 20 }"), [20, 14]);
        assert_eq!(days(last, "keep = { yearly = 2 }"), [1, 38]);
        assert_eq!(days(last, "keep = { proven = 4 }"), [4, 3]);
    }
}
