//! Calendars at clock changes whose instants the zones' laws name, in short months, and in words.
#![allow(clippy::unwrap_used)]

use chrono::TimeDelta;
use chrono_tz::{Africa, America, Asia, Australia, Europe, Pacific, UTC};
use insta::assert_snapshot;

use super::*;

fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

fn time(text: &str) -> NaiveTime {
    NaiveTime::parse_from_str(text, "%H:%M").unwrap()
}

fn daily(text: &str) -> Calendar {
    Calendar::Day { at: time(text) }
}

fn slots(calendar: &Calendar, zone: Tz, after: &str, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut last = at(after);
    for _ in 0..count {
        last = calendar.next_after(zone, last).unwrap();
        found.push(last.format("%Y-%m-%dT%H:%MZ").to_string());
    }
    found
}

#[test]
fn a_skipped_time_runs_right_after_the_gap_and_a_repeated_one_the_first_time() {
    for (zone, calendar, after, expected) in [
        // 29 March 2026 02:00 → 03:00, 25 October 03:00 → 02:00, both at 01:00 UTC.
        (
            Europe::Berlin,
            "02:30",
            "2026-03-27T12:00:00Z",
            [
                "2026-03-28T01:30Z",
                "2026-03-29T01:00Z",
                "2026-03-30T00:30Z",
            ],
        ),
        (
            Europe::Berlin,
            "02:30",
            "2026-10-23T12:00:00Z",
            [
                "2026-10-24T00:30Z",
                "2026-10-25T00:30Z",
                "2026-10-26T01:30Z",
            ],
        ),
        // 8 March 2026 02:00 → 03:00 (07:00 UTC), 1 November 02:00 → 01:00 (06:00 UTC).
        (
            America::New_York,
            "02:30",
            "2026-03-06T12:00:00Z",
            [
                "2026-03-07T07:30Z",
                "2026-03-08T07:00Z",
                "2026-03-09T06:30Z",
            ],
        ),
        (
            America::New_York,
            "01:30",
            "2026-10-30T12:00:00Z",
            [
                "2026-10-31T05:30Z",
                "2026-11-01T05:30Z",
                "2026-11-02T06:30Z",
            ],
        ),
        // Half an hour: 4 October 2026 02:00 → 02:30, 5 April 02:00 → 01:30.
        (
            Australia::Lord_Howe,
            "02:15",
            "2026-10-02T00:00:00Z",
            [
                "2026-10-02T15:45Z",
                "2026-10-03T15:30Z",
                "2026-10-04T15:15Z",
            ],
        ),
        (
            Australia::Lord_Howe,
            "01:45",
            "2026-04-03T00:00:00Z",
            [
                "2026-04-03T14:45Z",
                "2026-04-04T14:45Z",
                "2026-04-05T15:15Z",
            ],
        ),
        // 30 December 2011 did not exist: the zone crossed the date line at midnight.
        (
            Pacific::Apia,
            "12:00",
            "2011-12-29T00:00:00Z",
            [
                "2011-12-29T22:00Z",
                "2011-12-30T10:00Z",
                "2011-12-30T22:00Z",
            ],
        ),
        // An hour back for Ramadan 2026 (15 February 03:00 → 02:00) and forth again (22 March).
        (
            Africa::Casablanca,
            "02:30",
            "2026-02-13T12:00:00Z",
            [
                "2026-02-14T01:30Z",
                "2026-02-15T01:30Z",
                "2026-02-16T02:30Z",
            ],
        ),
        (
            Africa::Casablanca,
            "02:30",
            "2026-03-20T12:00:00Z",
            [
                "2026-03-21T02:30Z",
                "2026-03-22T02:00Z",
                "2026-03-23T01:30Z",
            ],
        ),
    ] {
        let found = slots(&daily(calendar), zone, after, 3);
        assert_eq!(found, expected, "{calendar} in {zone}");
    }
}

#[test]
fn many_times_in_a_gap_are_one_slot_and_repeated_hours_have_none_of_their_own() {
    let quarters = Calendar::Cron {
        expression: "*/30 * * * *".parse().unwrap(),
    };
    assert_eq!(
        slots(&quarters, Europe::Berlin, "2026-03-29T00:00:00Z", 3),
        [
            "2026-03-29T00:30Z",
            "2026-03-29T01:00Z",
            "2026-03-29T01:30Z"
        ]
    );
    // 02:00 and 02:30 came at 00:00 and 00:30 UTC; their repetition at 01:00 UTC is silent.
    assert_eq!(
        slots(&quarters, Europe::Berlin, "2026-10-25T00:00:00Z", 3),
        [
            "2026-10-25T00:30Z",
            "2026-10-25T02:00Z",
            "2026-10-25T02:30Z"
        ]
    );
}

#[test]
fn short_months_and_years() {
    let at = time("02:00");
    let day = MonthDay::Day(31);
    assert_eq!(
        slots(&Calendar::Month { day, at }, UTC, "2027-12-31T02:00:00Z", 4),
        [
            "2028-01-31T02:00Z",
            "2028-02-29T02:00Z",
            "2028-03-31T02:00Z",
            "2028-04-30T02:00Z"
        ]
    );
    let day = MonthDay::Last;
    assert_eq!(
        slots(&Calendar::Month { day, at }, UTC, "2027-01-31T02:00:00Z", 2),
        ["2027-02-28T02:00Z", "2027-03-31T02:00Z"]
    );
    let (month, day) = (2, 29);
    assert_eq!(
        slots(
            &Calendar::Year { month, day, at },
            UTC,
            "2027-01-01T00:00:00Z",
            3
        ),
        [
            "2027-02-28T02:00Z",
            "2028-02-29T02:00Z",
            "2029-02-28T02:00Z"
        ]
    );
    // 2100 is no leap year.
    let leap = Calendar::Cron {
        expression: "0 0 29 2 *".parse().unwrap(),
    };
    assert_eq!(
        slots(&leap, UTC, "2096-03-01T00:00:00Z", 1),
        ["2104-02-29T00:00Z"]
    );
    // The longest wait there is: a 29 February that is a Sunday.
    let sunday = Calendar::Cron {
        expression: "0 0 29 2 */7".parse().unwrap(),
    };
    assert_eq!(
        slots(&sunday, UTC, "2072-03-01T00:00:00Z", 2),
        ["2088-02-29T00:00Z", "2128-02-29T00:00Z"]
    );
}

#[test]
fn hours_are_local_and_every_day_alike() {
    let hours = Calendar::Hours {
        hours: 6,
        at: time("19:30"),
    };
    // Clocks go back on 25 October 2026: six hours of the clock are seven then.
    assert_eq!(
        slots(&hours, Europe::Berlin, "2026-10-24T12:00:00Z", 5),
        [
            "2026-10-24T17:30Z",
            "2026-10-24T23:30Z",
            "2026-10-25T06:30Z",
            "2026-10-25T12:30Z",
            "2026-10-25T18:30Z"
        ]
    );
}

#[test]
fn intervals_are_counted_from_the_epoch() {
    let every = |minutes| Calendar::Minutes { minutes };
    let after = "2026-11-24T10:07:30Z";
    assert_eq!(
        slots(&every(15), Asia::Tokyo, after, 2),
        ["2026-11-24T10:15Z", "2026-11-24T10:30Z"]
    );
    assert_eq!(
        slots(&every(1440), Asia::Tokyo, after, 1),
        ["2026-11-25T00:00Z"]
    );
    assert_eq!(
        slots(&every(1), UTC, "1969-12-31T23:58:59Z", 2),
        ["1969-12-31T23:59Z", "1970-01-01T00:00Z"]
    );
}

#[test]
fn a_slot_is_never_its_own_successor() {
    let calendar = daily("02:00");
    let slot = at("2026-11-24T02:00:00Z");
    assert_eq!(
        calendar.next_after(UTC, slot),
        Some(at("2026-11-25T02:00:00Z"))
    );
    let just_before = slot - TimeDelta::nanoseconds(1);
    assert_eq!(calendar.next_after(UTC, just_before), Some(slot));
}

#[test]
fn years_of_minutes_are_counted_without_visiting_them() {
    let minutely = Calendar::Cron {
        expression: "* * * * *".parse().unwrap(),
    };
    let (from, to) = (at("2016-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z"));
    let begun = std::time::Instant::now();
    for calendar in [minutely, Calendar::Minutes { minutes: 1 }] {
        let newest = calendar.newest_slots(UTC, from, to, 3);
        assert_eq!(newest.older + 3, (to - from).num_minutes() as u64);
        assert_eq!(newest.slots[0], at("2025-12-31T23:58:00Z"));
        assert_eq!(newest.slots[2], to);
    }
    assert!(begun.elapsed().as_secs() < 2, "{:?}", begun.elapsed());
}

#[test]
fn the_end_of_time_is_no_panic() {
    let calendars = [daily("23:59"), Calendar::Minutes { minutes: 1 }];
    for calendar in calendars {
        for zone in [Pacific::Kiritimati, Pacific::Pago_Pago] {
            for end in [Instant::MAX_UTC, Instant::MIN_UTC] {
                let _ = calendar.next_after(zone, end);
                let _ = calendar.newest_slots(zone, end, end, 3);
            }
        }
    }
}

#[test]
fn calendars_in_words() {
    let at = time("02:00");
    let on = [WeekDay::Thu, WeekDay::Mon].into();
    let calendars = [
        daily("02:00"),
        Calendar::Minutes { minutes: 15 },
        Calendar::Minutes { minutes: 360 },
        Calendar::Hours {
            hours: 6,
            at: time("19:30"),
        },
        Calendar::Week { on, at },
        Calendar::Month {
            day: MonthDay::Day(31),
            at,
        },
        Calendar::Month {
            day: MonthDay::Last,
            at,
        },
        Calendar::Year {
            month: 12,
            day: 31,
            at,
        },
        Calendar::Cron {
            expression: "0 2 * * 1-5".parse().unwrap(),
        },
    ];
    // A divisor of a day says no more; others do.
    for (minutes, words) in [
        (
            300,
            "every 5 hours (UTC, counted from 1970-01-01 00:00: at other times each day)",
        ),
        (
            7,
            "every 7 minutes (UTC, counted from 1970-01-01 00:00: at other times each day)",
        ),
        (1440, "every 24 hours (UTC)"),
    ] {
        assert_eq!(Calendar::Minutes { minutes }.describe(UTC), words);
    }
    let lines: Vec<String> = calendars
        .iter()
        .map(|c| c.describe(Europe::Berlin))
        .collect();
    assert_snapshot!(lines.join("\n"), @r"
    every day at 02:00 (Europe/Berlin)
    every 15 minutes (UTC)
    every 6 hours (UTC)
    every 6 hours from 01:30 (Europe/Berlin)
    every Monday, Thursday at 02:00 (Europe/Berlin)
    on day 31 (or its last) of every month at 02:00 (Europe/Berlin)
    on the last day of every month at 02:00 (Europe/Berlin)
    every year on 31 December at 02:00 (Europe/Berlin)
    as cron says: 0 2 * * 1-5 (Europe/Berlin)
    ");
    let stored: Vec<String> = calendars
        .iter()
        .map(|c| serde_json::to_string(c).unwrap())
        .collect();
    assert_snapshot!(stored.join("\n"), @r#"
    {"every":"day","at":"02:00:00"}
    {"every":"minutes","minutes":15}
    {"every":"minutes","minutes":360}
    {"every":"hours","hours":6,"at":"19:30:00"}
    {"every":"week","on":["mon","thu"],"at":"02:00:00"}
    {"every":"month","day":31,"at":"02:00:00"}
    {"every":"month","day":"last","at":"02:00:00"}
    {"every":"year","month":12,"day":31,"at":"02:00:00"}
    {"every":"cron","expression":"0 2 * * 1-5"}
    "#);
    for (calendar, text) in calendars.iter().zip(&stored) {
        assert_eq!(serde_json::from_str::<Calendar>(text).unwrap(), *calendar);
    }
}
