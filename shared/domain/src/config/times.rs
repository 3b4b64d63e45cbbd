//! How late a schedule's runs may be, and when it has none.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, NaiveTime};
use chrono_tz::Tz;
use toml::de::DeValue;

use super::reader::{Placed, Section};
use super::values::{date, duration_seconds, has_form};
use crate::Instant;
use crate::calendar::instant_of;
use crate::retention::Span;

/// How late a missed slot may still start where nothing is said: 6 hours.
pub const CATCH_UP_SECONDS: u64 = 6 * 3600;

/// The shortest window and limit: the dispatcher looks once a minute and may be delayed for a few.
pub const CATCH_UP_SECONDS_MIN: u64 = 5 * 60;

/// The longest window and limit: 31 days.
pub const CATCH_UP_SECONDS_MAX: u64 = 31 * 24 * 3600;

/// The shortest lock: prune renews what retention keeps once a day.
const LOCK_HOURS_MIN: u64 = 24;

/// Dates that a schedule may skip. Each has to be looked at when its next slot is looked for.
pub const SKIP_DATES_MAX: usize = 400;

pub(super) fn catch_up(section: &Section<'_, '_>) -> Option<u64> {
    match section.has("catch_up") {
        true => within(section, "catch_up"),
        false => Some(CATCH_UP_SECONDS),
    }
}

/// `start_within` and `finish_within`; none if one of them cannot be read.
pub(super) fn limits(section: &Section<'_, '_>) -> Option<(Option<u64>, Option<u64>)> {
    let [start, finish] = ["start_within", "finish_within"].map(|key| match section.has(key) {
        true => within(section, key).map(Some),
        false => Some(None),
    });
    let (start, finish) = (start?, finish?);
    if let (Some(start), Some(finish)) = (start, finish)
        && finish <= start
    {
        section.refuse(
            "finish_within",
            "must be longer than start_within: both are counted from the slot",
        );
        return None;
    }
    Some((start, finish))
}

fn within(section: &Section<'_, '_>, key: &'static str) -> Option<u64> {
    let text = section.text(key)?;
    let bounds = CATCH_UP_SECONDS_MIN..=CATCH_UP_SECONDS_MAX;
    let seconds = duration_seconds(text.value).filter(|seconds| bounds.contains(seconds));
    if seconds.is_none() {
        text.problem(
            section.reader,
            format!(
                "{:?} is no duration from \"5 minutes\" to \"31 days\"; for example \"6h\"",
                text.value
            ),
        );
    }
    seconds
}

/// For how long what is taken is locked. The outer option: whether it could be read.
pub(super) fn lock(section: &Section<'_, '_>) -> Option<Option<Span>> {
    if !section.has("lock") {
        return Some(None);
    }
    let text = section.text("lock")?;
    let span = match text.value.parse::<Span>() {
        Ok(span) if span.hours_min() < LOCK_HOURS_MIN => Err(format!(
            "{:?} is too short: a lock lasts from \"1 day\" to \"100 years\"",
            text.value
        )),
        other => other.map_err(|why| why.to_string()),
    };
    let span = span.inspect_err(|why| text.problem(section.reader, why.as_str()));
    span.ok().map(Some)
}

/// A date (from its first instant), a local time, or one with its offset. The outer option: whether it
/// could be read.
pub(super) fn pause_until(section: &Section<'_, '_>, zone: Tz) -> Option<Option<Instant>> {
    if !section.has("pause_until") {
        return Some(None);
    }
    let value = section.any("pause_until")?;
    let until = written(value.value).and_then(|text| instant(&text, zone));
    if until.is_none() {
        value.problem(
            section.reader,
            "must be a date such as \"2027-01-07\", a local time such as \"2027-01-07T06:00\", or one \
             with its offset such as \"2027-01-07T06:00+01:00\" or \"2027-01-07T06:00Z\", from 2000 to \
             2099; for a pause without an end write enabled = false",
        );
    }
    until.map(Some)
}

/// Seconds may be left out, with an offset too (RFC 3339 has them always).
fn instant(text: &str, zone: Tz) -> Option<Instant> {
    let day = date(text.get(..10)?)?;
    let Some(rest) = text.get(10..).filter(|rest| !rest.is_empty()) else {
        return instant_of(zone, day.and_time(NaiveTime::MIN));
    };
    let time = rest.strip_prefix(['T', 't', ' '])?;
    let (time, offset) = match time.find(['Z', 'z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => (time, ""),
    };
    let seconds = match time {
        _ if has_form(time, "##:##") => ":00",
        _ if has_form(time, "##:##:##") => "",
        _ => return None,
    };
    let local = format!("{day}T{time}{seconds}");
    match offset {
        "" => instant_of(zone, local.parse().ok()?),
        offset => Some(
            DateTime::parse_from_rfc3339(&format!("{local}{offset}"))
                .ok()?
                .to_utc(),
        ),
    }
}

/// None if one of them cannot be read.
pub(super) fn skip_dates(section: &Section<'_, '_>) -> Option<BTreeSet<NaiveDate>> {
    if !section.has("skip_dates") {
        return Some(BTreeSet::new());
    }
    let values = section.list("skip_dates")?;
    if values.len() > SKIP_DATES_MAX {
        section.refuse(
            "skip_dates",
            &format!("holds more than {SKIP_DATES_MAX} dates: take out those that are past"),
        );
        return None;
    }
    let skipped = |value: &Placed<&DeValue<'_>>| {
        let date = written(value.value).and_then(|text| date(&text));
        if date.is_none() {
            value.problem(
                section.reader,
                "must be dates such as \"2026-12-25\", from 2000 to 2099",
            );
        }
        date
    };
    let dates: Vec<Option<NaiveDate>> = values.iter().map(skipped).collect();
    dates.into_iter().collect()
}

/// A text, or what TOML reads as a time of its own.
fn written(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Datetime(stamp) => Some(stamp.to_string().replace(' ', "T")),
        _ => None,
    }
}
