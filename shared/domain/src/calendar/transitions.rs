//! Every change of the clocks of five zones in a year, hand-checked against the laws: what a
//! schedule inside, at the edges of, and beside the gap or the overlap does.
#![allow(clippy::unwrap_used)]

use chrono::{Offset, TimeDelta, TimeZone};
use chrono_tz::{Africa, America, Australia, Europe, Pacific};

use super::*;
use crate::samples::at;

/// One change: the clock of `zone` jumps at `utc`, when it would show `from`, to `to`.
struct Change {
    zone: Tz,
    utc: &'static str,
    from: &'static str,
    to: &'static str,
    /// Daily times of day, and what they become on the day of the change. "2026-03-29 02:30" in
    /// full where the day matters.
    due: &'static [(&'static str, &'static str)],
}

const CHANGES: &[Change] = &[
    // The European Union: last Sunday of March and of October, 01:00 UTC.
    Change {
        zone: Europe::Berlin,
        utc: "2026-03-29T01:00:00Z",
        from: "2026-03-29 02:00",
        to: "2026-03-29 03:00",
        due: &[
            ("01:59", "2026-03-29T00:59:00Z"),
            ("02:00", "2026-03-29T01:00:00Z"),
            ("02:30", "2026-03-29T01:00:00Z"),
            ("02:59", "2026-03-29T01:00:00Z"),
            ("03:00", "2026-03-29T01:00:00Z"),
            ("03:01", "2026-03-29T01:01:00Z"),
        ],
    },
    Change {
        zone: Europe::Berlin,
        utc: "2026-10-25T01:00:00Z",
        from: "2026-10-25 03:00",
        to: "2026-10-25 02:00",
        due: &[
            ("01:59", "2026-10-24T23:59:00Z"),
            ("02:00", "2026-10-25T00:00:00Z"),
            ("02:30", "2026-10-25T00:30:00Z"),
            ("02:59", "2026-10-25T00:59:00Z"),
            ("03:00", "2026-10-25T02:00:00Z"),
        ],
    },
    // The United States: second Sunday of March, first of November, 02:00 of the local clock.
    Change {
        zone: America::New_York,
        utc: "2026-03-08T07:00:00Z",
        from: "2026-03-08 02:00",
        to: "2026-03-08 03:00",
        due: &[
            ("01:59", "2026-03-08T06:59:00Z"),
            ("02:00", "2026-03-08T07:00:00Z"),
            ("02:45", "2026-03-08T07:00:00Z"),
            ("03:00", "2026-03-08T07:00:00Z"),
            ("03:15", "2026-03-08T07:15:00Z"),
        ],
    },
    Change {
        zone: America::New_York,
        utc: "2026-11-01T06:00:00Z",
        from: "2026-11-01 02:00",
        to: "2026-11-01 01:00",
        due: &[
            ("00:59", "2026-11-01T04:59:00Z"),
            ("01:00", "2026-11-01T05:00:00Z"),
            ("01:59", "2026-11-01T05:59:00Z"),
            ("02:00", "2026-11-01T07:00:00Z"),
        ],
    },
    // Lord Howe: first Sunday of April and of October, 02:00 of the local clock, by half an hour.
    Change {
        zone: Australia::Lord_Howe,
        utc: "2026-04-04T15:00:00Z",
        from: "2026-04-05 02:00",
        to: "2026-04-05 01:30",
        due: &[
            ("01:29", "2026-04-04T14:29:00Z"),
            ("01:30", "2026-04-04T14:30:00Z"),
            ("01:59", "2026-04-04T14:59:00Z"),
            ("02:00", "2026-04-04T15:30:00Z"),
        ],
    },
    Change {
        zone: Australia::Lord_Howe,
        utc: "2026-10-03T15:30:00Z",
        from: "2026-10-04 02:00",
        to: "2026-10-04 02:30",
        due: &[
            ("01:59", "2026-10-03T15:29:00Z"),
            ("02:00", "2026-10-03T15:30:00Z"),
            ("02:15", "2026-10-03T15:30:00Z"),
            ("02:30", "2026-10-03T15:30:00Z"),
            ("02:31", "2026-10-03T15:31:00Z"),
        ],
    },
    // Samoa in 2011: summer time ended on 2 April and began on 24 September, and the zone went over
    // the date line at the end of 29 December: there was no 30th.
    Change {
        zone: Pacific::Apia,
        utc: "2011-04-02T14:00:00Z",
        from: "2011-04-02 04:00",
        to: "2011-04-02 03:00",
        due: &[
            ("02:59", "2011-04-02T12:59:00Z"),
            ("03:00", "2011-04-02T13:00:00Z"),
            ("03:59", "2011-04-02T13:59:00Z"),
            ("04:00", "2011-04-02T15:00:00Z"),
        ],
    },
    Change {
        zone: Pacific::Apia,
        utc: "2011-09-24T14:00:00Z",
        from: "2011-09-24 03:00",
        to: "2011-09-24 04:00",
        due: &[
            ("02:59", "2011-09-24T13:59:00Z"),
            ("03:30", "2011-09-24T14:00:00Z"),
            ("04:00", "2011-09-24T14:00:00Z"),
            ("04:01", "2011-09-24T14:01:00Z"),
        ],
    },
    Change {
        zone: Pacific::Apia,
        utc: "2011-12-30T10:00:00Z",
        from: "2011-12-30 00:00",
        to: "2011-12-31 00:00",
        due: &[
            ("2011-12-29 23:59", "2011-12-30T09:59:00Z"),
            ("2011-12-30 00:00", "2011-12-30T10:00:00Z"),
            ("2011-12-30 12:00", "2011-12-30T10:00:00Z"),
            ("2011-12-30 23:59", "2011-12-30T10:00:00Z"),
            ("2011-12-31 00:00", "2011-12-30T10:00:00Z"),
            ("2011-12-31 00:01", "2011-12-30T10:01:00Z"),
        ],
    },
    // Morocco puts its clocks back for Ramadan, on Sundays at 03:00, and forth at 02:00 after it.
    Change {
        zone: Africa::Casablanca,
        utc: "2026-02-15T02:00:00Z",
        from: "2026-02-15 03:00",
        to: "2026-02-15 02:00",
        due: &[
            ("01:59", "2026-02-15T00:59:00Z"),
            ("02:00", "2026-02-15T01:00:00Z"),
            ("02:59", "2026-02-15T01:59:00Z"),
            ("03:00", "2026-02-15T03:00:00Z"),
        ],
    },
    Change {
        zone: Africa::Casablanca,
        utc: "2026-03-22T02:00:00Z",
        from: "2026-03-22 02:00",
        to: "2026-03-22 03:00",
        due: &[
            ("01:59", "2026-03-22T01:59:00Z"),
            ("02:00", "2026-03-22T02:00:00Z"),
            ("02:30", "2026-03-22T02:00:00Z"),
            ("03:00", "2026-03-22T02:00:00Z"),
            ("03:01", "2026-03-22T02:01:00Z"),
        ],
    },
];

fn offset(zone: Tz, at: Instant) -> i32 {
    let offset = zone.offset_from_utc_datetime(&at.naive_utc()).fix();
    offset.local_minus_utc()
}

#[test]
fn the_table_has_every_change_of_its_years() {
    for (zone, year) in [
        (Europe::Berlin, 2026),
        (America::New_York, 2026),
        (Australia::Lord_Howe, 2026),
        (Pacific::Apia, 2011),
        (Africa::Casablanca, 2026),
    ] {
        let first = NaiveDate::from_ymd_opt(year, 1, 1).unwrap();
        let first = first.and_time(NaiveTime::MIN).and_utc();
        let minutes = (0..366 * 24 * 60).map(|n| first + TimeDelta::minutes(n));
        let found: Vec<Instant> = minutes
            .filter(|now| offset(zone, *now) != offset(zone, *now - TimeDelta::minutes(1)))
            .collect();
        let mut told: Vec<Instant> = CHANGES
            .iter()
            .filter(|change| change.zone == zone)
            .map(|change| at(change.utc))
            .collect();
        told.sort();
        assert_eq!(found, told, "{zone}");
    }
}

#[test]
fn what_is_due_around_each_change() {
    for change in CHANGES {
        let utc = at(change.utc);
        let shown = |at: Instant| {
            let local = days::local(change.zone, at).unwrap();
            local.format("%Y-%m-%d %H:%M").to_string()
        };
        assert_eq!(shown(utc), change.to, "{}", change.utc);
        let before = shown(utc - TimeDelta::minutes(1));
        assert!(before.as_str() < change.from, "{before}");
        let from = chrono::NaiveDateTime::parse_from_str(change.from, "%Y-%m-%d %H:%M").unwrap();
        for (local, due) in change.due {
            let wanted = match local.len() {
                5 => from.date().and_time(local.parse().unwrap()),
                _ => chrono::NaiveDateTime::parse_from_str(local, "%Y-%m-%d %H:%M").unwrap(),
            };
            let due = at(due);
            assert_eq!(
                days::instant(change.zone, wanted),
                Some(due),
                "{local} in {}",
                change.zone
            );
            // Every calendar that names that local time says so, and says so once.
            let time = wanted.time();
            for calendar in [
                Calendar::Day { at: time },
                Calendar::Hours {
                    hours: 24,
                    at: time,
                },
                Calendar::Week {
                    on: [WeekDay::of(wanted.date())].into(),
                    at: time,
                },
                Calendar::Month {
                    day: MonthDay::Day(wanted.day()),
                    at: time,
                },
                Calendar::Year {
                    month: wanted.month(),
                    day: wanted.day(),
                    at: time,
                },
                Calendar::Cron {
                    expression: format!(
                        "{} {} {} {} *",
                        time.minute(),
                        time.hour(),
                        wanted.day(),
                        wanted.month()
                    )
                    .parse()
                    .unwrap(),
                },
            ] {
                let just_before = due - TimeDelta::nanoseconds(1);
                assert_eq!(
                    calendar.next_after(change.zone, just_before),
                    Some(due),
                    "{calendar:?}"
                );
                let next = calendar.next_after(change.zone, due).unwrap();
                // Samoa's 30th is due a minute after its 29th's last minute.
                let gap_of_a_day = change.from[..10] != change.to[..10];
                assert!(
                    next - due > TimeDelta::hours(if gap_of_a_day { 0 } else { 9 }),
                    "{calendar:?} again at {next}"
                );
            }
        }
    }
}
