//! Levels, forecasts and expectations.
#![allow(clippy::unwrap_used)]

use chrono::Days;
use proptest::prelude::*;

use super::*;
use crate::samples::snapshot;

const GB: u64 = 1_000_000_000;

/// A location that held so many GB on each day from 1 November on.
fn usage(days: &[u64]) -> LocationUsage {
    let first = NaiveDate::from_ymd_opt(2026, 11, 1).unwrap();
    let day = |(n, gb): (usize, &u64)| (first + Days::new(n as u64), gb * GB);
    let bytes = i64::try_from(days.last().unwrap() * GB).unwrap();
    let scope = ScopeUsage {
        bytes,
        listed_at: None,
    };
    LocationUsage {
        location: "main".parse().unwrap(),
        scopes: [("customers".parse().unwrap(), scope)].into(),
        days: days.iter().enumerate().map(day).collect(),
        level_told: None,
    }
}

fn full_on(days: &[u64], max_gb: u64) -> Option<String> {
    usage(days).full_on(max_gb * GB).map(|day| day.to_string())
}

#[test]
fn levels_are_reached_at_their_percentage() {
    for (used, level) in [
        (0, None),
        (799, None),
        (800, Some(Level::Eighty)),
        (899, Some(Level::Eighty)),
        (900, Some(Level::Ninety)),
        (2000, Some(Level::Ninety)),
    ] {
        assert_eq!(Level::of(used, 1000), level, "{used}");
    }
    assert_eq!(Level::of(u64::MAX, u64::MAX), Some(Level::Ninety));
}

#[test]
fn the_forecast_follows_the_trend_and_not_the_outliers() {
    let steady: Vec<u64> = (10..20).collect();
    assert_eq!(full_on(&steady, 30), Some("2026-11-21".to_owned()));
    // One copy too many for a day, and one lost day.
    let mut wild = steady.clone();
    wild[3] = 29;
    assert_eq!(full_on(&wild, 30), Some("2026-11-21".to_owned()));
    // Retention that has settled: nothing grows.
    assert_eq!(full_on(&[20; 10], 30), None);
    let shrinking: Vec<u64> = (10..20).rev().collect();
    assert_eq!(full_on(&shrinking, 30), None);
    assert_eq!(full_on(&steady[..6], 30), None, "too few days");
    assert_eq!(full_on(&steady, 19), None, "full already");
    assert_eq!(full_on(&steady, 1_000_000), None, "not in ten years");
    // Only the last month counts.
    let turned: Vec<u64> = (0..40)
        .map(|n| 100 - n)
        .chain((61..91).collect::<Vec<_>>())
        .collect();
    assert_eq!(full_on(&turned, 100), Some("2027-01-19".to_owned()));
}

#[test]
fn the_next_is_expected_to_be_as_large_as_the_largest_of_the_last() {
    let record = |number: u8, kind, bytes_stored| SnapshotRecord {
        taken_at: snapshot(1).taken_at + TimeDelta::hours(number.into()),
        kind,
        bytes_stored,
        ..snapshot(number)
    };
    let main = snapshot(1).location;
    assert_eq!(expected_bytes(&[], &main, Kind::Full), None);
    let mut records = vec![
        record(1, Kind::Full, 999),
        record(2, Kind::Full, 100),
        record(3, Kind::Incremental, 7),
        record(4, Kind::Full, 120),
        record(5, Kind::Full, 110),
        record(6, Kind::Full, 100),
        record(7, Kind::Full, 100),
    ];
    assert_eq!(
        expected_bytes(&records, &main, Kind::Full),
        Some(120),
        "the oldest is forgotten"
    );
    assert_eq!(expected_bytes(&records, &main, Kind::Incremental), Some(7));
    assert_eq!(
        expected_bytes(&records, &main, Kind::Differential),
        Some(120)
    );
    records.reverse();
    assert_eq!(expected_bytes(&records, &main, Kind::Full), Some(120));
    assert_eq!(
        expected_bytes(&records, &"other".parse().unwrap(), Kind::Full),
        None
    );
}

#[test]
fn a_difference_matters_when_it_is_large_and_not_small_beside_the_whole() {
    let mb = 1_000_000i64;
    assert!(!differs(0, 100_000_000));
    assert!(differs(0, 100_000_001));
    assert!(differs(500 * mb, 0));
    assert!(!differs(100_500 * mb, 100_000_000_000));
    assert!(differs(102_000 * mb, 100_000_000_000));
    assert!(differs(-1, u64::MAX) && differs(i64::MIN, u64::MAX));
}

proptest! {
    #[test]
    fn any_days_can_be_forecast(
        days in prop::collection::vec(0u64..u64::MAX / GB, 1..40), max in 0u64..u64::MAX / GB
    ) {
        let usage = LocationUsage { scopes: BTreeMap::new(), ..usage(&[1]) };
        let first = usage.days[0].0;
        let day = |(n, gb): (usize, &u64)| (first + Days::new(n as u64), gb * GB);
        let usage = LocationUsage { days: days.iter().enumerate().map(day).collect(), ..usage };
        if let Some(day) = usage.full_on(max * GB) {
            prop_assert!(day > usage.days.last().unwrap().0);
        }
    }
}
