//! What is an anomaly and what is not: tables of all kinds over weeks.
#![allow(clippy::unwrap_used)]

use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;
use crate::samples::at;

fn sizes(number: u8, tables: &[(&str, u64, u64)]) -> Sizes {
    let size = |(name, rows, bytes): &(&str, u64, u64)| {
        let size = TableSize {
            rows: *rows,
            bytes: *bytes,
        };
        ((*name).to_owned(), size)
    };
    Sizes {
        snapshot: SnapshotId::from_bytes([number; 32]),
        taken_at: at("2026-11-01T02:00:00Z") + TimeDelta::days(number.into()),
        tables: tables.iter().map(size).collect(),
        left_out: 0,
        unusual: false,
    }
}

/// The table `t` with these rows of 100 bytes, one snapshot a day.
fn days(rows: &[u64]) -> Vec<Sizes> {
    let day =
        |(n, rows): (usize, &u64)| sizes(u8::try_from(n).unwrap(), &[("t", *rows, rows * 100)]);
    rows.iter().enumerate().map(day).collect()
}

/// What the last of these days shows.
fn last(rows: &[u64]) -> Vec<String> {
    let days = days(rows);
    let (new, history) = days.split_last().unwrap();
    let found = anomalies(history, new, |_| false);
    found.iter().map(Anomaly::describe).collect()
}

const NONE: [&str; 0] = [];

#[test]
fn a_table_that_was_truncated_or_lost_its_rows_is_told() {
    let steady = [50_000, 50_100, 50_200, 50_300, 50_400];
    let then = |rows: u64| last(&[&steady[..], &[rows]].concat());
    assert_eq!(then(0), ["t: empty, instead of about 50,200 rows"]);
    assert_eq!(then(30_000), ["t: 30,000 rows instead of about 50,200"]);
    assert_eq!(then(38_000), NONE, "not more than a quarter");
    assert_eq!(then(100_000), NONE, "twice as many");
    assert_eq!(then(101_000), ["t: 101,000 rows instead of about 50,200"]);
    // Small tables too, where they always had rows.
    assert_eq!(
        last(&[12, 12, 12, 12, 12, 0]),
        ["t: empty, instead of about 12 rows"]
    );
    assert_eq!(
        last(&[12, 12, 12, 12, 12, 2]),
        NONE,
        "a few rows are nobody's loss"
    );
    let mut gone = sizes(9, &[]);
    let described = |new: &Sizes| {
        let found = anomalies(&days(&steady), new, |_| false);
        found.iter().map(Anomaly::describe).collect::<Vec<_>>()
    };
    assert_eq!(
        described(&gone),
        ["t: no such table, instead of about 50,200 rows"]
    );
    gone.left_out = 1;
    assert_eq!(
        described(&gone),
        NONE,
        "it may be one of the smaller ones now"
    );
}

#[test]
fn values_of_the_same_rows_that_shrink_or_swell_are_told() {
    let history: Vec<Sizes> = (0..6)
        .map(|n| sizes(n, &[("t", 1000, 40_000_000)]))
        .collect();
    let then = |bytes| {
        let found = anomalies(&history, &sizes(9, &[("t", 1000, bytes)]), |_| false);
        found.iter().map(Anomaly::describe).collect::<Vec<_>>()
    };
    assert_eq!(then(12_000_000), ["t: 12 MB instead of about 40 MB"]);
    assert_eq!(then(90_000_000), ["t: 90 MB instead of about 40 MB"]);
    assert_eq!(then(31_000_000), NONE);
}

#[test]
fn what_always_was_like_this_is_usual() {
    // A queue that is filled and emptied.
    assert_eq!(last(&[900_000, 0, 700_000, 12, 0, 650_000, 0]), NONE);
    // A log that is cut each Sunday.
    let week = [10, 20, 30, 40, 50, 60, 5].map(|n| n * 10_000);
    assert_eq!(last(&[week, week].concat()), NONE);
    // Too young to be judged.
    assert_eq!(last(&[50_000, 50_000, 50_000, 50_000, 0]), NONE);
    // A table that is new.
    assert_eq!(last(&[0, 0, 0, 0, 0, 9_000]), NONE);
}

#[test]
fn only_the_newest_of_the_history_count_and_one_wild_day_does_not_matter() {
    let mut rows = vec![5_000_000; 20];
    rows.extend([50_000; 14]);
    rows.push(50_000);
    assert_eq!(last(&rows), NONE);
    let mut rows = vec![50_000; 13];
    rows[6] = 9_000_000;
    rows.push(0);
    assert_eq!(last(&rows), ["t: empty, instead of about 50,000 rows"]);
}

#[test]
fn tables_may_be_ignored() {
    let history: Vec<Sizes> = (0..6)
        .map(|n| sizes(n, &[("a", 500, 1), ("b", 500, 1)]))
        .collect();
    let new = sizes(9, &[("a", 0, 0), ("b", 0, 0)]);
    let found = anomalies(&history, &new, |name| name == "a");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].table, "b");
}

#[test]
fn a_change_that_was_meant_begins_a_new_history_one_that_was_undone_does_not() {
    let mut all = days(&[50_000, 50_000, 50_000, 50_000, 50_000, 0, 0, 0]);
    for sizes in &mut all[5..] {
        sizes.unusual = true;
    }
    let before = AnomalyState::default();
    assert_eq!(before.history(&all).len(), 5);
    let found = anomalies(before.history(&all), &all[5], |_| false);
    let open = before.after(&all[5], &found);
    assert_eq!(open.open.as_ref().unwrap().snapshot, all[5].snapshot);
    let later = open.after(&all[6], &found);
    assert_eq!(later, open, "the first one stays");
    assert_eq!(before.after(&all[4], &[]), before);

    let now = all[7].taken_at + TimeDelta::hours(1);
    let meant = later.confirmed(true, now).unwrap();
    assert_eq!(meant.open, None);
    assert!(meant.history(&all).into_iter().eq(&all[5..]));
    let undone = later.confirmed(false, now).unwrap();
    assert!(undone.history(&all).into_iter().eq(&all[..5]));
    assert_eq!(
        undone.confirmed(true, now),
        None,
        "there is nothing to confirm"
    );
    // What is unusual after it was confirmed is no history again.
    let mut next = sizes(20, &[("t", 7, 7)]);
    next.unusual = true;
    all.push(next);
    assert!(meant.history(&all).into_iter().eq(&all[5..8]));
}

/// What is kept after these many snapshots of a table that was truncated after 20 of them, newest first, and
/// what is known then. Only what is kept is compared with.
fn a_long_weekend(snapshots: u8) -> (Vec<Sizes>, AnomalyState) {
    let (mut kept, mut state) = (Vec::new(), AnomalyState::default());
    for n in 0..snapshots {
        let rows = if n < 20 { 50_000 } else { 0 };
        let mut new = sizes(n, &[("t", rows, rows * 100)]);
        let found = anomalies(state.history(&kept), &new, |_| false);
        assert_eq!(found.is_empty(), n < 20, "snapshot {n}");
        new.unusual = !found.is_empty();
        state = state.after(&new, &found);
        kept.insert(0, new);
        let surplus: Vec<_> = state.surplus(&kept).iter().map(|s| s.snapshot).collect();
        kept.retain(|sizes| !surplus.contains(&sizes.snapshot));
        assert!(kept.len() <= 2 * HISTORY);
    }
    (kept, state)
}

#[test]
fn unusual_snapshots_put_no_usual_one_out_of_the_history_however_many_come() {
    let (kept, state) = a_long_weekend(200);
    let found = |state: &AnomalyState, rows: u64| {
        let new = sizes(201, &[("t", rows, rows * 100)]);
        anomalies(state.history(&kept), &new, |_| false).len()
    };
    let now = at("2027-11-01T02:00:00Z");
    let undone = state.confirmed(false, now).unwrap();
    assert_eq!(undone.history(&kept).len(), HISTORY);
    assert_eq!((found(&undone, 50_000), found(&undone, 0)), (0, 1));
    let meant = state.confirmed(true, now).unwrap();
    assert_eq!(meant.history(&kept).len(), HISTORY);
    assert_eq!((found(&meant, 50_000), found(&meant, 0)), (1, 0));
}

#[test]
fn of_many_tables_the_largest_are_kept() {
    let mut manifest = crate::golden::manifest();
    let table = manifest.tables[0].clone();
    manifest.tables = (0..TABLES_MAX as u64 + 7)
        .map(|n| crate::manifest::TableEntry {
            name: format!("t{n:05}"),
            bytes: n,
            ..table.clone()
        })
        .collect();
    let sizes = Sizes::of(&manifest, SnapshotId::from_bytes([1; 32]));
    assert_eq!((sizes.tables.len(), sizes.left_out), (TABLES_MAX, 7));
    assert!(!sizes.tables.contains_key("public.t00006"));
    assert!(sizes.tables.contains_key("public.t00007"));
}

proptest! {
    /// A table that grows by up to 5 % a day, or by a fixed number of rows, with noise, is usual.
    #[test]
    fn steady_growth_is_usual(
        start in 0u64..10_000_000,
        percent in 0u64..5,
        more in 0u64..100_000,
        noise in prop::collection::vec(0u64..1000, 30),
    ) {
        let mut rows = Vec::new();
        let mut now = start;
        for noise in noise {
            now += now * percent / 100 + more + noise;
            rows.push(now);
        }
        prop_assert_eq!(last(&rows), NONE);
    }

    /// Whatever the history, nothing overflows, and what was there in half of it is usual.
    #[test]
    fn any_history_can_be_judged(rows in prop::collection::vec(any::<u64>(), 6..30)) {
        let days: Vec<Sizes> = rows
            .iter()
            .enumerate()
            .map(|(n, rows)| sizes(u8::try_from(n).unwrap(), &[("t", *rows, *rows)]))
            .collect();
        let (new, history) = days.split_last().unwrap();
        let _ = anomalies(history, new, |_| false);
    }
}
