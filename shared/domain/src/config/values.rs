//! Readers of single values that several sections share: names, secrets, times, durations.

use chrono::{Datelike, NaiveDate, NaiveTime};
use chrono_tz::Tz;
use toml::de::DeValue;

use super::SecretRef;
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
        let close = section.reader.suggestion(text.value, known.iter().copied());
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
        let close = close_zone(section.reader, text.value);
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

/// A suggestion for a wrong zone: the one of that city, or one that is written nearly so.
fn close_zone(reader: &Reader<'_>, given: &str) -> String {
    let names = || chrono_tz::TZ_VARIANTS.iter().map(|tz| tz.name());
    let city = given.trim().replace(' ', "_");
    let of_city = |name: &&str| {
        let place = name.rsplit_once('/').map(|(_, place)| place);
        place.is_some_and(|place| place.eq_ignore_ascii_case(&city))
    };
    match names().find(of_city) {
        Some(name) => format!("; did you mean \"{name}\"?"),
        None => reader.suggestion(given, names()),
    }
}

/// Years that a date of the file may lie in: any other is a typing mistake.
const YEARS: std::ops::RangeInclusive<i32> = 2000..=2099;

/// Whether a text is written so: `#` stands for a digit. chrono alone also reads signs, blanks, and
/// numbers with fewer digits.
pub(super) fn has_form(text: &str, form: &str) -> bool {
    text.len() == form.len()
        && text.bytes().zip(form.bytes()).all(|(found, wanted)| {
            let digit = wanted == b'#' && found.is_ascii_digit();
            digit || found == wanted
        })
}

/// A date such as `2026-12-25`, in the years that are reasonable.
pub(super) fn date(text: &str) -> Option<NaiveDate> {
    let written = has_form(text, "####-##-##").then_some(text)?;
    let date: NaiveDate = written.parse().ok()?;
    YEARS.contains(&date.year()).then_some(date)
}

/// A time of day, `"02:00"` or TOML's own `02:00:00`. Slots begin with a minute.
pub(super) fn time_of_day(section: &Section<'_, '_>, key: &'static str) -> Option<NaiveTime> {
    let value = section.any(key)?;
    let time = match value.value {
        DeValue::String(text) if has_form(text, "##:##") => {
            NaiveTime::parse_from_str(text, "%H:%M").ok()
        }
        DeValue::Datetime(stamp) if stamp.date.is_none() && stamp.offset.is_none() => stamp
            .time
            .filter(|t| t.second.unwrap_or(0) == 0 && t.nanosecond.unwrap_or(0) == 0)
            .and_then(|t| NaiveTime::from_hms_opt(t.hour.into(), t.minute.into(), 0)),
        _ => None,
    };
    if time.is_none() {
        let form = "time of day from \"00:00\" to \"23:59\", without seconds";
        let message = match value.value {
            DeValue::String(text) => format!("{text:?} is no {form} and with all four digits"),
            DeValue::Datetime(_) => format!("must be a {form}"),
            _ => format!("must be a {form}, in quotes"),
        };
        value.problem(section.reader, message);
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
