//! One local date's instants, where clocks are put forward and back.
//!
//! A local time `t` becomes the earliest instant at which the zone's clock shows `t` or later.
//! For an ordinary time that is the instant itself, for one that comes twice the first, and for
//! one that is skipped the first instant after the gap. So later local times never become earlier
//! instants, which is what the searches in this module's parent rely on.

use chrono::{Days, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;

use crate::Instant;

/// Further than any zone's clock was ever from UTC (the largest is 15 h 13 min, before 1900).
const OFFSET_HOURS_MAX: i64 = 16;

/// What the zone's clock shows at an instant; none at the ends of representable time.
pub(super) fn local(zone: Tz, at: Instant) -> Option<NaiveDateTime> {
    let offset = zone.offset_from_utc_datetime(&at.naive_utc()).fix();
    at.naive_utc().checked_add_offset(offset)
}

/// The date that the zone's clock shows at an instant.
pub(crate) fn local_date(zone: Tz, at: Instant) -> Option<NaiveDate> {
    Some(local(zone, at)?.date())
}

/// The instants of some local times of one date, strictly increasing.
pub(super) fn instants(zone: Tz, date: NaiveDate, times: &[NaiveTime]) -> Vec<Instant> {
    let mut instants: Vec<Instant> = if is_plain(zone, date) {
        let offset = zone.offset_from_utc_datetime(&date.and_time(NaiveTime::MIN));
        let offset = offset.fix();
        times
            .iter()
            .filter_map(|time| date.and_time(*time).checked_sub_offset(offset))
            .map(|utc| utc.and_utc())
            .collect()
    } else {
        times
            .iter()
            .filter_map(|time| instant(zone, date.and_time(*time)))
            .collect()
    };
    // Several times inside one gap are one instant.
    instants.dedup();
    instants
}

/// Whether the zone's clock runs evenly from the day before a date to the day after it.
pub(super) fn is_plain(zone: Tz, date: NaiveDate) -> bool {
    let midnight = date.and_time(NaiveTime::MIN);
    let around = (
        midnight.checked_sub_days(Days::new(1)),
        midnight.checked_add_days(Days::new(2)),
    );
    let (Some(before), Some(after)) = around else {
        return false;
    };
    zone.offset_from_utc_datetime(&before).fix() == zone.offset_from_utc_datetime(&after).fix()
}

/// The earliest instant at which the zone's clock shows `wanted` or later.
pub(crate) fn instant(zone: Tz, wanted: NaiveDateTime) -> Option<Instant> {
    match zone.from_local_datetime(&wanted) {
        LocalResult::Single(at) => Some(at.to_utc()),
        LocalResult::Ambiguous(first, _) => Some(first.to_utc()),
        LocalResult::None => gap_end(zone, wanted),
    }
}

/// The first instant after the gap that a local time lies in. Zones change on whole seconds.
fn gap_end(zone: Tz, inside: NaiveDateTime) -> Option<Instant> {
    let far = TimeDelta::hours(OFFSET_HOURS_MAX);
    let mut before = inside.checked_sub_signed(far)?.and_utc().timestamp();
    let mut after = inside.checked_add_signed(far)?.and_utc().timestamp();
    while after - before > 1 {
        let middle = before + (after - before) / 2;
        if local(zone, Instant::from_timestamp(middle, 0)?)? < inside {
            before = middle;
        } else {
            after = middle;
        }
    }
    Instant::from_timestamp(after, 0)
}

/// Days in a month of the proleptic Gregorian calendar.
pub(crate) fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        2 if NaiveDate::from_ymd_opt(year, 2, 29).is_some() => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
