//! Calendars against an oracle that visits every minute, and against a cron library.
#![allow(clippy::unwrap_used)]

use chrono::{NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike};
use chrono_tz::{Africa, America, Asia, Australia, Europe, Pacific, UTC};
use proptest::prelude::*;

use super::*;
use crate::samples::at;

/// The stretches in which a zone's clock runs evenly: from an instant on, with an offset in seconds.
fn stretches(zone: Tz, from: Instant, until: Instant) -> Vec<(Instant, i64)> {
    let offset = |at: Instant| {
        let offset = zone.offset_from_utc_datetime(&at.naive_utc()).fix();
        i64::from(offset.local_minus_utc())
    };
    let mut found = vec![(from, offset(from))];
    let mut now = from;
    // No zone changes twice in a quarter of an hour; since 1980 all change on whole minutes.
    while now < until {
        let next = now + TimeDelta::minutes(15);
        if offset(next) != offset(now) {
            let minutes = (1..=15).map(|n| now + TimeDelta::minutes(n));
            let change = minutes.into_iter().find(|at| offset(*at) != offset(now));
            found.extend(change.map(|at| (at, offset(at))));
        }
        now = next;
    }
    found
}

/// Ten years of slots, in another way than [`oracle`] and the calendars have: a local time is due
/// in the first stretch whose clock shows it or begins beyond it.
fn decade(calendar: &Calendar, zone: Tz, after: Instant, until: Instant) -> Vec<Instant> {
    let day = TimeDelta::days(2);
    let stretches = stretches(zone, after - day, until + day);
    let first = (after - day).date_naive();
    let dates = first
        .iter_days()
        .take_while(|date| *date <= (until + day).date_naive());
    let times = calendar.times();
    let mut slots = BTreeSet::new();
    for date in dates.filter(|date| calendar.holds(*date)) {
        for time in &times {
            let local = date.and_time(*time).and_utc();
            let ends = stretches.iter().skip(1).map(|(from, _)| *from);
            let ends = ends.chain([until + day * 2]);
            let due = stretches
                .iter()
                .zip(ends)
                .find_map(|((from, offset), end)| {
                    let shown = local - TimeDelta::seconds(*offset);
                    Some(shown.max(*from)).filter(|due| *due < end)
                });
            slots.extend(due.filter(|due| *due > after && *due <= until));
        }
    }
    slots.into_iter().collect()
}

/// Every slot in a stretch, found by looking at each minute: a local time is due at the first
/// instant at which the clock shows it or has jumped over it.
fn oracle(calendar: &Calendar, zone: Tz, after: Instant, until: Instant) -> Vec<Instant> {
    let cron = match calendar {
        Calendar::Cron { expression } => Some(expression.as_str().parse::<croner::Cron>().unwrap()),
        _ => None,
    };
    let due = |local: NaiveDateTime| match calendar {
        Calendar::Day { at } => local.time() == *at,
        Calendar::Minutes { .. } => unreachable!("counted in UTC, not in local time"),
        Calendar::Hours { hours, at } => {
            local.minute() == at.minute() && (local.hour() + 24 - at.hour()).is_multiple_of(*hours)
        }
        Calendar::Week { on, at } => local.time() == *at && on.contains(&WeekDay::of(local.date())),
        Calendar::Month { day, at } => {
            let is_last = (local + TimeDelta::days(1)).month() != local.month();
            let is_day = match day {
                MonthDay::Day(day) => local.day() == *day || (is_last && local.day() < *day),
                MonthDay::Last => is_last,
            };
            local.time() == *at && is_day
        }
        Calendar::Year { month, day, at } => {
            let is_last = (local + TimeDelta::days(1)).month() != local.month();
            let is_day = local.day() == *day || (is_last && local.day() < *day);
            local.time() == *at && local.month() == *month && is_day
        }
        Calendar::Cron { .. } => cron
            .as_ref()
            .unwrap()
            .is_time_matching(&local.and_utc())
            .unwrap(),
    };
    let minute = TimeDelta::minutes(1);
    // Clocks that were put back before the stretch may still be repeating time.
    let mut now = after - TimeDelta::hours(30);
    let mut seen = now.with_timezone(&zone).naive_local();
    let mut slots = Vec::new();
    while now < until {
        now += minute;
        let local = now.with_timezone(&zone).naive_local();
        let mut is_slot = false;
        while seen < local {
            seen += minute;
            is_slot |= due(seen);
        }
        if is_slot && now > after {
            slots.push(now);
        }
    }
    slots
}

prop_compose! {
    fn any_time()(minutes in 0..1440u32) -> NaiveTime {
        NaiveTime::from_hms_opt(minutes / 60, minutes % 60, 0).unwrap()
    }
}

/// A field's text that both this crate's reading and croner's agree to be valid.
fn any_field(lowest: u32, highest: u32) -> impl Strategy<Value = String> {
    let value = lowest..=highest;
    prop_oneof![
        3 => Just("*".to_owned()),
        2 => value.clone().prop_map(|v| v.to_string()),
        1 => (value.clone(), value.clone())
            .prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        1 => (value.clone(), value.clone(), 1..=5u32)
            .prop_map(|(a, b, n)| format!("{}-{}/{n}", a.min(b), a.max(b))),
        1 => (value.clone(), value).prop_map(|(a, b)| format!("{a},{b}")),
    ]
}

fn any_month_day() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => any_field(1, 31),
        1 => Just("L".to_owned()),
        1 => Just("LW".to_owned()),
        1 => (1..=31u32).prop_map(|day| format!("{day}W")),
        1 => (1..=31u32, 1..=31u32).prop_map(|(day, near)| format!("{day},{near}W,L")),
    ]
}

fn any_week_day() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => any_field(0, 6),
        1 => (0..=6u32).prop_map(|day| format!("{day}L")),
        1 => (0..=6u32, 1..=5u32).prop_map(|(day, nth)| format!("{day}#{nth}")),
        1 => (0..=3u32, 4..=6u32, 1..=5u32).prop_map(|(a, b, nth)| format!("{a}-{b}#{nth},{a}#L")),
    ]
}

fn any_cron() -> impl Strategy<Value = Cron> {
    let minute = prop_oneof![any_field(0, 59), (2..30u32).prop_map(|n| format!("*/{n}"))];
    let fields = (
        minute,
        any_field(0, 23),
        any_month_day(),
        any_field(1, 12),
        any_week_day(),
    );
    fields.prop_filter_map("never due", |(minute, hour, day, month, week_day)| {
        format!("{minute} {hour} {day} {month} {week_day}")
            .parse()
            .ok()
    })
}

fn any_calendar() -> impl Strategy<Value = Calendar> {
    let week_days =
        proptest::collection::btree_set(proptest::sample::select(&WeekDay::ALL[..]), 1..4);
    let month_day = prop_oneof![(1..=31u32).prop_map(MonthDay::Day), Just(MonthDay::Last)];
    prop_oneof![
        1 => any_time().prop_map(|at| Calendar::Day { at }),
        1 => (any_time(), proptest::sample::select(&[1u32, 2, 3, 4, 6, 8, 12, 24][..]))
            .prop_map(|(at, hours)| Calendar::Hours { hours, at }),
        1 => (week_days, any_time()).prop_map(|(on, at)| Calendar::Week { on, at }),
        1 => (month_day, any_time()).prop_map(|(day, at)| Calendar::Month { day, at }),
        1 => (1..=12u32, 1..=29u32, any_time())
            .prop_map(|(month, day, at)| Calendar::Year { month, day, at }),
        3 => any_cron().prop_map(|expression| Calendar::Cron { expression }),
    ]
}

fn any_zone() -> impl Strategy<Value = Tz> {
    let odd = vec![
        Europe::Berlin,
        America::New_York,
        Australia::Lord_Howe,
        Pacific::Apia,
        Africa::Casablanca,
        America::Sao_Paulo,
        Asia::Tehran,
        America::St_Johns,
    ];
    prop_oneof![
        proptest::sample::select(odd),
        proptest::sample::select(&chrono_tz::TZ_VARIANTS[..]),
    ]
}

/// A minute from 1980 to 2037, often near the weekends on which clocks are changed.
fn any_minute() -> impl Strategy<Value = Instant> {
    let first = at("1980-01-01T00:00:00Z");
    (0..30_000_000i64).prop_map(move |minutes| first + TimeDelta::minutes(minutes))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Ten years, woken at any times by a clock that jumps forward and back: every slot is told
    /// exactly once and in order, none that is not one.
    #[test]
    fn ten_years_lose_and_double_nothing(
        calendar in any_calendar().prop_filter("few a day", |c| c.times().len() <= 12),
        zone in any_zone(),
        after in any_minute(),
        jumps in proptest::collection::vec(
            prop_oneof![4 => 1..2_000i64, 2 => 2_000..300_000i64, 1 => -20_000..0i64],
            20..80,
        ),
    ) {
        let until = after + TimeDelta::days(3653);
        let expected = decade(&calendar, zone, after, until);
        let found: Vec<Instant> = calendar.slots_between(zone, after, until).collect();
        prop_assert_eq!(&found, &expected);
        prop_assert!(found.windows(2).all(|pair| pair[0] < pair[1]));

        let mut told = Vec::new();
        let mut next = calendar.next_after(zone, after);
        let mut now = after;
        for minutes in jumps.into_iter().chain([3653 * 1440]) {
            now = (now + TimeDelta::minutes(minutes)).min(until);
            while let Some(slot) = next.filter(|slot| *slot <= now) {
                told.push(slot);
                next = calendar.next_after(zone, slot);
            }
        }
        prop_assert_eq!(&told, &expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// No slot is lost, none is doubled, and counting agrees with visiting.
    #[test]
    fn slots_are_those_of_the_oracle(
        calendar in any_calendar(),
        zone in any_zone(),
        after in any_minute(),
        days in 1..60i64,
        count in 0..20usize,
    ) {
        let until = after + TimeDelta::days(days);
        let expected = oracle(&calendar, zone, after, until);
        let found: Vec<Instant> = calendar.slots_between(zone, after, until).collect();
        prop_assert_eq!(&found, &expected);

        let newest = calendar.newest_slots(zone, after, until, count);
        let older = expected.len().saturating_sub(count);
        prop_assert_eq!(newest.older, older as u64);
        prop_assert_eq!(newest.slots.as_slice(), &expected[older..]);
    }

    /// Years of slots, each strictly later than the one before.
    #[test]
    fn slots_increase_over_years(calendar in any_calendar(), zone in any_zone(), after in any_minute()) {
        let mut last = after;
        for _ in 0..500 {
            let next = calendar.next_after(zone, last);
            prop_assert!(next.is_some_and(|next| next > last), "{next:?} after {last}");
            last = next.unwrap();
            prop_assert_eq!(last.second(), 0);
        }
    }

    /// Intervals, in plain arithmetic.
    #[test]
    fn intervals_are_multiples(minutes in 1..=1440u32, after in any_minute(), span in 0..5000i64, count in 0..20usize) {
        let calendar = Calendar::Minutes { minutes };
        let until = after + TimeDelta::minutes(span);
        let expected: Vec<Instant> = (1..=span)
            .map(|n| after + TimeDelta::minutes(n))
            .filter(|at| at.timestamp() % (i64::from(minutes) * 60) == 0)
            .collect();
        let found: Vec<Instant> = calendar.slots_between(UTC, after, until).collect();
        prop_assert_eq!(&found, &expected);
        let newest = calendar.newest_slots(UTC, after, until, count);
        let older = expected.len().saturating_sub(count);
        prop_assert_eq!(newest.older, older as u64);
        prop_assert_eq!(newest.slots.as_slice(), &expected[older..]);
    }

    /// Our reading of cron expressions and croner's agree in UTC.
    #[test]
    fn cron_agrees_with_croner(cron in any_cron(), after in any_minute()) {
        let croner: croner::Cron = cron.as_str().parse().unwrap();
        let calendar = Calendar::Cron { expression: cron };
        let mut last = after;
        for _ in 0..20 {
            let expected = croner.find_next_occurrence(&last, false).unwrap();
            let found = calendar.next_after(UTC, last).unwrap();
            prop_assert_eq!(found, expected);
            last = found;
        }
    }

    /// Whatever text comes, it is refused or its expression is due again and again.
    #[test]
    fn no_cron_text_makes_it_panic(text in "[0-9*/, a-zLW#?-]{0,24}") {
        if let Ok(expression) = text.parse::<Cron>() {
            let calendar = Calendar::Cron { expression };
            prop_assert!(calendar.next_after(UTC, at("2073-01-01T00:00:00Z")).is_some());
        }
    }

    /// EventBridge's spellings are read or refused; what is read is due.
    #[test]
    fn no_event_bridge_text_makes_it_panic(text in "(cron|rate)\\([0-9*/, A-ZLW#?-]{0,24}\\)?") {
        if let Ok(calendar) = from_event_bridge(&text) {
            prop_assert!(calendar.next_after(UTC, at("2073-01-01T00:00:00Z")).is_some());
        }
    }
}
