//! Readers of single values that several sections share: names, secrets, times, durations.

use chrono::NaiveTime;
use chrono_tz::Tz;
use toml::de::DeValue;

use super::SecretRef;
use super::problem::suggestion;
use super::reader::{Placed, Reader, Section};
use crate::id::IdError;

/// Where a password is found. One written in plain is refused, and never repeated in the message.
pub(super) fn secret(section: &Section<'_, '_>, key: &'static str) -> Option<SecretRef> {
    let value = section.any(key)?;
    let DeValue::Table(_) = value.value else {
        value.problem(
            section.reader,
            format!(
                "a password must not stand in this file: write {key} = {{ secret = \"<name in AWS \
                 Secrets Manager>\" }}, {{ env = \"<variable>\" }} or {{ file = \"<path>\" }}"
            ),
        );
        return None;
    };
    let inner = section.section(key)?;
    let given = [
        inner
            .text("secret")
            .map(|t| SecretRef::Secret(t.value.to_owned())),
        inner
            .text("env")
            .map(|t| SecretRef::Env(t.value.to_owned())),
        inner
            .text("file")
            .map(|t| SecretRef::File(t.value.to_owned())),
    ];
    let named = ["secret", "env", "file"]
        .into_iter()
        .filter(|k| inner.has(k));
    if named.count() != 1 {
        inner.problem("name exactly one of secret, env and file");
    }
    inner.finish();
    given.into_iter().flatten().next()
}

/// Checks a name with its type's own rule.
pub(super) fn name<T>(
    reader: &Reader<'_>,
    text: &Placed<&str>,
    new: impl Fn(&str) -> Result<T, IdError>,
) -> Option<T> {
    new(text.value)
        .inspect_err(|e| text.problem(reader, e.to_string()))
        .ok()
}

/// One of a list of words.
pub(super) fn word<T: Copy>(
    section: &Section<'_, '_>,
    key: &'static str,
    words: &[(&str, T)],
) -> Option<T> {
    let text = section.text(key)?;
    let found = words.iter().find(|(word, _)| *word == text.value);
    if found.is_none() {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let close = suggestion(text.value, known.iter().copied());
        text.problem(
            section.reader,
            format!(
                "{:?} is not known; this version knows {}{close}",
                text.value,
                known.join(", ")
            ),
        );
    }
    found.map(|(_, value)| *value)
}

/// An IANA time zone.
pub(super) fn zone(section: &Section<'_, '_>, key: &'static str) -> Option<Tz> {
    let text = section.text(key)?;
    let zone = text.value.parse::<Tz>().ok();
    if zone.is_none() {
        let close = suggestion(
            text.value,
            chrono_tz::TZ_VARIANTS.iter().map(|tz| tz.name()),
        );
        text.problem(
            section.reader,
            format!(
                "{:?} is no IANA time zone, such as \"Europe/Berlin\" or \"UTC\"{close}",
                text.value
            ),
        );
    }
    zone
}

/// A time of day, `"02:00"` or TOML's own `02:00:00`. Slots begin with a minute.
pub(super) fn time_of_day(section: &Section<'_, '_>, key: &'static str) -> Option<NaiveTime> {
    let value = section.any(key)?;
    let time = match value.value {
        DeValue::String(text) => NaiveTime::parse_from_str(text, "%H:%M").ok(),
        DeValue::Datetime(stamp) if stamp.date.is_none() && stamp.offset.is_none() => stamp
            .time
            .filter(|t| t.second.unwrap_or(0) == 0 && t.nanosecond.unwrap_or(0) == 0)
            .and_then(|t| NaiveTime::from_hms_opt(t.hour.into(), t.minute.into(), 0)),
        _ => None,
    };
    if time.is_none() {
        value.problem(
            section.reader,
            "must be a time of day from \"00:00\" to \"23:59\", in quotes",
        );
    }
    time
}

/// Seconds of `"90 minutes"`, `"6h"`, `"2 days"`.
pub(super) fn duration_seconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let count: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim() {
        "m" | "min" | "minute" | "minutes" => 60,
        "h" | "hour" | "hours" => 3600,
        "d" | "day" | "days" => 24 * 3600,
        _ => return None,
    };
    count.checked_mul(unit)
}
