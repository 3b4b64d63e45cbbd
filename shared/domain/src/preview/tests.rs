//! What is previewed, on small schedules whose outcome can be counted by hand.
#![allow(clippy::unwrap_used)]

use chrono::{Datelike, NaiveTime, TimeDelta};
use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::Instant;
use crate::calendar::Calendar;
use crate::config::KEEP_SEED;
use crate::retention::{Retention, Rules};
use crate::samples::{at, schedule, snapshot};
use crate::schedule::Schedule;
use crate::snapshot::{Kind, SnapshotRecord, Trust};
use crate::storage::{StorageTier, Transitions};

const GIGABYTE: u64 = 1 << 30;

fn assumptions(now: &str, days: u32) -> Assumptions {
    Assumptions {
        now: at(now),
        until: at(now) + TimeDelta::days(days.into()),
        sizes: Sizes {
            full_bytes: GIGABYTE,
            change_bytes: GIGABYTE / 10,
        },
        pack_bytes: 16 << 20,
        grace_days: 14,
        prune_at: NaiveTime::from_hms_opt(6, 23, 0).unwrap(),
        transitions: Transitions::default(),
    }
}

fn keep_last(count: u32) -> Retention {
    Retention {
        keep_last: Some(count),
        ..Retention::default()
    }
}

fn rules(of: &Schedule) -> Rules {
    Rules {
        schedules: [(of.name.clone(), of.retention)].into(),
        scope: None,
    }
}

fn preview(
    schedule: &Schedule,
    existing: &[SnapshotRecord],
    assumptions: &Assumptions,
) -> KeepingPreview {
    let points: Vec<Instant> = [30, 90, 365]
        .into_iter()
        .filter(|days| f64::from(*days) <= assumptions.days())
        .map(|days| assumptions.now + TimeDelta::days(days.into()))
        .collect();
    let scope = "customers".parse().unwrap();
    let rules = rules(schedule);
    preview_keeping(&scope, &[schedule], &rules, existing, assumptions, &points).unwrap()
}

#[test]
fn the_next_runs_with_what_the_clocks_do() {
    let shown = preview_slots(&schedule(), at("2026-10-23T12:00:00Z"), 4);
    let lines = shown.iter().map(|run| {
        format!(
            "{} | {} | {}",
            run.local,
            run.slot.format("%Y-%m-%d %H:%M UTC"),
            run.notes.join("; ")
        )
    });
    assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @"
    Sat 2026-10-24 02:00 CEST | 2026-10-24 00:00 UTC | 
    Sun 2026-10-25 02:00 CEST | 2026-10-25 00:00 UTC | 02:00 comes twice on this day: due the first time only
    Mon 2026-10-26 02:00 CET | 2026-10-26 01:00 UTC | clocks were changed since the run before: UTC+02:00 became UTC+01:00
    Tue 2026-10-27 02:00 CET | 2026-10-27 01:00 UTC | 
    ");
}

#[test]
fn the_next_runs_without_those_of_a_pause_and_of_skipped_dates() {
    let mut paused = schedule();
    paused.pause_until = Some(at("2026-12-23T23:00:00Z"));
    paused.skip_dates = ["2026-12-25", "2026-12-26", "2026-12-29"]
        .map(|date| date.parse().unwrap())
        .into();
    let shown = preview_slots(&paused, at("2026-12-01T12:00:00Z"), 4);
    let lines = shown
        .iter()
        .map(|run| format!("{} | {}", run.local, run.notes.join("; ")));
    assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @r"
    Thu 2026-12-24 02:00 CET | paused until 2026-12-24 00:00 CET
    Sun 2026-12-27 02:00 CET | none on 2026-12-25, none on 2026-12-26
    Mon 2026-12-28 02:00 CET | 
    Wed 2026-12-30 02:00 CET | none on 2026-12-29
    ");
}

/// Daily at 01:00 UTC from 1 January 2026 on, kept as `setup` writes it.
#[test]
fn a_year_of_the_seeds_rotation() {
    let daily = Schedule {
        retention: KEEP_SEED,
        ..schedule()
    };
    let preview = preview(&daily, &[], &assumptions("2026-01-01T12:00:00Z", 365));
    assert_eq!(preview.runs, 365);
    let taken = |state: &State| {
        let dates = state.snapshots.iter().map(|s| s.taken_at.date_naive());
        dates.map(|date| date.to_string()).collect::<Vec<_>>()
    };
    // On 31 January at noon: seven days (25 to 31), the last of the weeks before (11, 18, 25), and
    // the oldest of all, as twelve months are not full.
    assert_eq!(
        taken(&preview.states[0]),
        [
            "2026-01-31",
            "2026-01-30",
            "2026-01-29",
            "2026-01-28",
            "2026-01-27",
            "2026-01-26",
            "2026-01-25",
            "2026-01-18",
            "2026-01-11",
            "2026-01-02"
        ]
    );
    // On 1 January 2027: seven days, two weeks before them, and the last of eleven months.
    let year = taken(&preview.states[2]);
    let months = year.iter().filter(|date| {
        let date: chrono::NaiveDate = date.parse().unwrap();
        date.month() != (date + TimeDelta::days(1)).month()
    });
    assert_eq!(months.count(), 11, "{year:?}");
    assert_eq!(year.len(), 7 + 2 + 10, "{year:?}");
    for state in &preview.states {
        assert_eq!(state.bytes_kept, state.snapshots.len() as u64 * GIGABYTE);
        // One goes each day but where a month's last one stays; fourteen days are kept, and the rest of the next.
        assert!(state.bytes_in_grace <= 16 * GIGABYTE);
        assert!(state.snapshots.iter().all(|s| !s.reason.is_empty()));
    }
    let gone = preview.dropped.len();
    assert_eq!(gone + year.len(), preview.runs);
}

#[test]
fn what_a_month_costs() {
    // One gigabyte a day for two days: at most 2 kept, and one day of grace.
    let daily = Schedule {
        retention: keep_last(2),
        ..schedule()
    };
    let assumptions = Assumptions {
        grace_days: 1,
        ..assumptions("2026-01-31T12:00:00Z", 60)
    };
    let preview = preview(&daily, &[], &assumptions);
    let days = preview.months.iter().map(|month| month.days);
    assert_eq!(days.collect::<Vec<_>>(), [0.5, 28.0, 31.0, 0.5]);
    let march = &preview.months[2];
    assert_eq!(march.month, "2026-03");
    // At noon two are kept. One that is pruned at 06:23 goes at the midnight after a day of grace: one is of
    // today and one of yesterday.
    assert_eq!(march.bytes_average, 4 * GIGABYTE);
    assert!((march.storage - 4.0 * 0.023).abs() < 1e-9);
    // 64 packs and 5 other objects a run, each run verified once and once more a day.
    assert_eq!(march.puts, 31 * 69);
    assert_eq!(march.gets, 2 * 31 * 69);
    let requests = 2139.0 / 1000.0 * 0.005 + 4278.0 / 1000.0 * 0.0004;
    assert!((march.requests - requests).abs() < 1e-9);

    // Where 30 days are charged for what is deleted after three, each day's gigabyte counts 30 days.
    let of = |name: &str| {
        preview
            .classes
            .iter()
            .find(|cost| cost.class.name == name)
            .unwrap()
    };
    assert!(
        (of("STANDARD").storage - 4.0 * 0.023).abs() < 0.01,
        "{:?}",
        of("STANDARD")
    );
    let infrequent = of("STANDARD_IA");
    assert!(
        (infrequent.storage - 30.0 * 0.0125).abs() < 0.02,
        "{infrequent:?}"
    );
    assert!(infrequent.storage > of("STANDARD").storage);
}

/// A gigabyte a day in 64 packs, 40 of them kept and one day of grace. They go to GLACIER_IR at the second
/// midnight after thirty days, where each is charged for 90.
#[test]
fn what_a_month_costs_where_rows_move_to_another_class() {
    let cold = Schedule {
        tier: StorageTier::Cold,
        retention: keep_last(40),
        ..schedule()
    };
    let assumptions = Assumptions {
        grace_days: 1,
        ..assumptions("2026-01-01T12:00:00Z", 181)
    };
    let preview = preview(&cold, &[], &assumptions);
    let june = &preview.months[5];
    assert_eq!((june.month.as_str(), june.days), ("2026-06", 30.0));
    // Of today and the 30 days before; of the nine before that, and what was pruned today and yesterday.
    let held = [("STANDARD", 31 * GIGABYTE), ("GLACIER_IR", 11 * GIGABYTE)];
    assert_eq!(june.classes, held.into());
    assert_eq!(june.bytes_average, 42 * GIGABYTE);
    // Paid for are also the 79 days for which nothing is there any more.
    let storage = 31.0 * 0.023 + 90.0 * 0.004;
    assert!((june.storage - storage).abs() < 1e-9, "{}", june.storage);
    // What is cold and good is read when it is committed, and not again while it is the newest.
    assert_eq!((june.puts, june.gets), (30 * 69, 30 * 69));
    assert_eq!(june.transitions, 30 * 64);
    let requests = 2.070 * 0.005 + 2.070 * 0.0004 + 1.920 * 0.02;
    assert!((june.requests - requests).abs() < 1e-9, "{}", june.requests);
}

/// Two of a daily schedule are kept, and nobody can destroy any for ten days.
#[test]
fn what_is_locked_stays_beyond_its_grace() {
    let locked = Schedule {
        lock: Some(crate::retention::Span::days(10)),
        retention: keep_last(2),
        ..schedule()
    };
    let assumptions = Assumptions {
        grace_days: 1,
        ..assumptions("2026-01-01T12:00:00Z", 30)
    };
    let preview = preview(&locked, &[], &assumptions);
    let state = &preview.states[0];
    assert_eq!(state.bytes_kept, 2 * GIGABYTE);
    // On 31 January at noon: those of the eight days before, whose ten are not over.
    assert_eq!(state.bytes_in_grace, 8 * GIGABYTE);
}

#[test]
fn what_is_deleted_before_its_rows_would_move_stays_where_it_is() {
    let archive = Schedule {
        tier: StorageTier::Archive,
        retention: keep_last(5),
        ..schedule()
    };
    let preview = preview(&archive, &[], &assumptions("2026-01-01T12:00:00Z", 90));
    assert!(preview.months.iter().all(|month| month.transitions == 0));
    let classes: Vec<_> = preview.months[2].classes.keys().copied().collect();
    assert_eq!(classes, ["STANDARD"]);
}

/// Nothing new is taken, and what lies in GLACIER_IR is read every 30 days at its price.
#[test]
fn the_daily_verification_of_what_is_dear_to_read() {
    let paused = Schedule {
        enabled: false,
        ..schedule()
    };
    let old = SnapshotRecord {
        tier: StorageTier::Cold,
        taken_at: at("2026-01-01T01:00:00Z"),
        trust: Trust::Verified,
        verified_at: Some(at("2026-01-01T02:00:00Z")),
        bytes_stored: GIGABYTE,
        ..snapshot(1)
    };
    let preview = preview(&paused, &[old], &assumptions("2026-03-01T12:00:00Z", 100));
    let gets: Vec<u64> = preview.months.iter().map(|month| month.gets).collect();
    // On 2 March, 1 April, 1 May and 31 May.
    assert_eq!(gets, [69, 69, 2 * 69, 0]);
    let april = &preview.months[1];
    let requests = 0.064 * 0.01 + 0.005 * 0.0004 + 0.03;
    assert!(
        (april.requests - requests).abs() < 1e-9,
        "{}",
        april.requests
    );
}

#[test]
fn snapshots_that_exist_are_part_of_it() {
    let daily = Schedule {
        retention: Retention {
            keep_days: Some(2),
            ..Retention::default()
        },
        ..schedule()
    };
    let old = SnapshotRecord {
        bytes_stored: 5 * GIGABYTE,
        ..snapshot(1)
    };
    let preview = preview(
        &daily,
        std::slice::from_ref(&old),
        &assumptions("2026-11-24T12:00:00Z", 30),
    );
    let first = &preview.dropped[0];
    assert_eq!(first.snapshot.snapshot, Some(old.id));
    assert_eq!(first.dropped_at, at("2026-11-26T06:23:00Z"));
    assert_eq!(first.snapshot.reason, "schedule daily keeps 2 days");
    let sizes = Sizes::measured(&[old]).unwrap();
    assert_eq!(
        (sizes.full_bytes, sizes.change_bytes),
        (5 * GIGABYTE, 5 * GIGABYTE)
    );
}

/// A full on Mondays and incrementals between; seven snapshots are kept.
#[test]
fn a_weeks_chain_is_held_by_its_last_incremental() {
    let weekly = Schedule {
        kind: Kind::Incremental,
        full: Some(crate::chain::Rhythm::Weekly),
        zone: chrono_tz::UTC,
        retention: keep_last(7),
        ..schedule()
    };
    // A Sunday; the first run, on Monday, begins a chain.
    let mut assumptions = assumptions("2026-11-01T12:00:00Z", 30);
    assumptions.grace_days = 1;
    let scope = "customers".parse().unwrap();
    let sunday = at("2026-11-15T12:00:00Z");
    let wednesday = at("2026-11-18T12:00:00Z");
    let points = [wednesday, sunday];
    let rules = rules(&weekly);
    let preview = preview_keeping(&scope, &[&weekly], &rules, &[], &assumptions, &points).unwrap();
    let kinds = |state: &State| {
        let kinds = state
            .snapshots
            .iter()
            .map(|s| s.kind.as_str().chars().next().unwrap());
        kinds.collect::<String>()
    };
    // Newest first: a whole week, and half of two.
    assert_eq!(kinds(&preview.states[0]), "iiiiiif");
    assert_eq!(kinds(&preview.states[1]), "iifiiii");
    let change = GIGABYTE / 10;
    assert_eq!(preview.states[0].bytes_kept, GIGABYTE + 6 * change);
    // The old week's full and its first incrementals are gone as snapshots, but the later ones
    // share their bytes.
    assert_eq!(
        preview.states[1].bytes_kept,
        2 * GIGABYTE + (6 + 2) * change
    );
    assert_eq!(preview.states[1].bytes_in_grace, 0);
}

#[test]
fn incrementals_go_on_from_the_newest_chain_that_is_not_to_be_archived() {
    let incremental = Schedule {
        name: "incremental".parse().unwrap(),
        kind: Kind::Incremental,
        full: Some(crate::chain::Rhythm::Monthly),
        ..schedule()
    };
    // A quarter of an hour before each of them.
    let archive = Schedule {
        name: "archive".parse().unwrap(),
        tier: StorageTier::Archive,
        calendar: Calendar::Minutes { minutes: 15 },
        ..schedule()
    };
    let scope = "customers".parse().unwrap();
    let assumptions = assumptions("2026-11-02T23:00:00Z", 2);
    let end = assumptions.now + TimeDelta::days(2);
    let schedules = [&incremental, &archive];
    let rules = Rules::default();
    let preview = preview_keeping(&scope, &schedules, &rules, &[], &assumptions, &[end]).unwrap();
    let taken = preview.states[0].snapshots.iter();
    let taken = taken.filter(|shown| shown.schedule.as_ref() == Some(&incremental.name));
    let kinds: Vec<Kind> = taken.map(|shown| shown.kind).collect();
    assert_eq!(kinds, [Kind::Incremental, Kind::Full]);
}

#[test]
fn a_disabled_schedule_runs_no_more_and_its_snapshots_go_on() {
    let daily = Schedule {
        enabled: false,
        ..schedule()
    };
    let preview = preview(
        &daily,
        &[snapshot(1)],
        &assumptions("2026-11-24T12:00:00Z", 30),
    );
    assert_eq!(preview.runs, 0);
    assert_eq!(preview.states[0].snapshots.len(), 1);
}

#[test]
fn too_many_runs_are_refused() {
    let minutely = Schedule {
        calendar: Calendar::Minutes { minutes: 1 },
        ..schedule()
    };
    let scope = "customers".parse().unwrap();
    let refused = preview_keeping(
        &scope,
        &[&minutely],
        &rules(&minutely),
        &[],
        &assumptions("2026-11-24T12:00:00Z", 365),
        &[],
    );
    assert_snapshot!(refused.unwrap_err(), @"more than 40000 runs in 365 days: preview fewer days, or a schedule that is due less often");
}

/// What a chain stored stays as long as anything that is left shares it.
#[test]
fn a_chains_bytes_stay_while_they_are_shared() {
    use super::chains::{Piece, free};
    let now = at("2026-11-24T12:00:00Z");
    let piece = |kind, live| Piece {
        chain: 0,
        kind,
        tier: StorageTier::Standard,
        bytes: 1,
        from: now,
        live,
        locked_until: None,
        freed: None,
    };
    for (lives, freed) in [
        // Full, incremental, differential, incremental.
        ([false, false, false, true], [false, false, false, false]),
        ([false, false, true, false], [false, true, false, true]),
        ([true, false, false, false], [false, true, true, true]),
        ([false, true, false, false], [false, false, true, true]),
        ([false, false, false, false], [true, true, true, true]),
    ] {
        let kinds = [
            Kind::Full,
            Kind::Incremental,
            Kind::Differential,
            Kind::Incremental,
        ];
        let mut pieces: Vec<Piece> = kinds
            .into_iter()
            .zip(lives)
            .map(|(kind, live)| piece(kind, live))
            .collect();
        free(&mut pieces, &std::collections::BTreeMap::new(), now);
        let found: Vec<bool> = pieces.iter().map(|piece| piece.freed.is_some()).collect();
        assert_eq!(found, freed, "{lives:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Every run is either there at the end or was dropped, once; what is kept is never counted
    /// smaller than one full, nor larger than everything.
    #[test]
    fn nothing_is_lost_between_runs_and_states(
        minutes in 180..1440u32,
        last in 1..20u32,
        monthly in proptest::option::of(1..12u32),
        days in 1..120u32,
    ) {
        let often = Schedule {
            calendar: Calendar::Minutes { minutes },
            retention: Retention { keep_last: Some(last), keep_monthly: monthly, ..Retention::default() },
            ..schedule()
        };
        let assumptions = assumptions("2026-01-31T12:00:00Z", days);
        let end = assumptions.now + TimeDelta::days(days.into());
        let scope = "customers".parse().unwrap();
        let preview =
            preview_keeping(&scope, &[&often], &rules(&often), &[], &assumptions, &[end]).unwrap();
        let state = &preview.states[0];
        prop_assert_eq!(state.snapshots.len() + preview.dropped.len(), preview.runs);
        prop_assert!(state.bytes_kept >= state.snapshots.len() as u64 * GIGABYTE);
        prop_assert!(state.bytes_kept + state.bytes_in_grace <= preview.runs as u64 * GIGABYTE);
        let total: f64 = preview.months.iter().map(|month| month.days).sum();
        prop_assert!((total - f64::from(days)).abs() < 1e-6, "{}", total);
    }
}
