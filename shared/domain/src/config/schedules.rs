//! `[schedules.<name>]`: when what is backed up, where to, kept how long, and who is told.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use chrono_tz::Tz;
use toml::de::DeValue;

use super::LocationConfig;
use super::alerts::read_topics;
use super::keep;
use super::reader::{Placed, Section};
use super::times;
use super::values::{duration_seconds, has_form, time_of_day, word, zone};
use crate::alert::Topics;
use crate::calendar::{
    Calendar, Cron, INTERVAL_MINUTES_MAX, MonthDay, WeekDay, from_event_bridge, is_event_bridge,
};
use crate::chain::Rhythm;
use crate::id::{LocationName, ScheduleName, ScopeName};
use crate::schedule::{AlertPolicy, Schedule};
use crate::snapshot::Kind;
use crate::storage::StorageTier;

const KINDS: [(&str, Kind); 3] = [
    ("full", Kind::Full),
    ("incremental", Kind::Incremental),
    ("differential", Kind::Differential),
];

const TIERS: [(&str, StorageTier); 3] = [
    ("standard", StorageTier::Standard),
    ("cold", StorageTier::Cold),
    ("archive", StorageTier::Archive),
];

/// The names that a schedule may refer to.
pub(super) struct Known<'n> {
    pub(super) zone: Tz,
    pub(super) scopes: &'n BTreeSet<String>,
    pub(super) locations: &'n BTreeSet<String>,
    /// Those of them that could be read.
    pub(super) read_locations: &'n BTreeMap<LocationName, LocationConfig>,
}

pub(super) fn read(
    name: Option<ScheduleName>,
    section: Section<'_, '_>,
    known: &Known<'_>,
) -> Option<Schedule> {
    let calendar = calendar(&section);
    let own_zone = zone(&section, "time_zone");
    let kind = kind(&section);
    let full = full(&section, kind);
    let scopes = scopes(&section, known.scopes);
    let location = location(&section, known.locations);
    let tier = tier(&section, kind);
    let retention = keep::of_schedule(&section);
    let lock = times::lock(&section);
    let read_location = location
        .as_ref()
        .and_then(|name| known.read_locations.get_key_value(name));
    if let Some((name, location)) = read_location {
        refuse_what_it_lacks(&section, name, location, tier);
    }
    let (alerts, topics) = alerts(&section);
    let enabled = section.boolean("enabled");
    let zone = own_zone.unwrap_or(known.zone);
    let catch_up_seconds = times::catch_up(&section);
    let limits = times::limits(&section);
    let pause_until = times::pause_until(&section, zone);
    let skip_dates = times::skip_dates(&section);
    section.finish();
    let (start_within_seconds, finish_within_seconds) = limits?;
    Some(Schedule {
        name: name?,
        calendar: calendar?,
        zone,
        kind: kind?,
        full: full?,
        scopes: scopes?,
        location: location?,
        tier: tier?,
        retention: retention?,
        lock: lock?,
        alerts,
        topics,
        enabled: enabled.unwrap_or(true),
        catch_up_seconds: catch_up_seconds?,
        start_within_seconds,
        finish_within_seconds,
        pause_until: pause_until?,
        skip_dates: skip_dates?,
    })
}

/// Keys that say more than `every` does.
const REFINING: [&str; 4] = ["at", "on", "day", "date"];

fn calendar(section: &Section<'_, '_>) -> Option<Calendar> {
    // Known whatever becomes of every and cron: one that is misspelt makes none of these wrong.
    for key in REFINING {
        section.has(key);
    }
    match (section.has("every"), section.has("cron")) {
        (true, true) => {
            section.refuse("cron", "every already says when; name one of the two");
            None
        }
        (false, false) => {
            section.missing(
                "every",
                "\"day\" (with at = \"02:00\"), or cron = \"0 2 * * *\"",
            );
            None
        }
        (false, true) => {
            only(section, &[], "cron alone says when");
            let text = section.text("cron")?;
            if is_event_bridge(text.value) {
                return event_bridge(section, &text);
            }
            let cron = text.value.parse::<Cron>();
            let cron = cron.inspect_err(|e| text.problem(section.reader, e.to_string()));
            Some(Calendar::Cron {
                expression: cron.ok()?,
            })
        }
        (true, false) => every(section),
    }
}

fn every(section: &Section<'_, '_>) -> Option<Calendar> {
    let text = section.text("every")?;
    match text.value {
        "day" => {
            only(section, &["at"], "every day has no other day");
            let at = at(section);
            Some(Calendar::Day { at: at? })
        }
        "week" => {
            only(
                section,
                &["at", "on"],
                "a week's days are named with on = [\"mon\"]",
            );
            let at = at(section);
            let on = week_days(section);
            Some(Calendar::Week { on: on?, at: at? })
        }
        "month" => {
            only(
                section,
                &["at", "day"],
                "a month's day is named with day = 1",
            );
            let at = at(section);
            let day = month_day(section);
            Some(Calendar::Month { day: day?, at: at? })
        }
        "year" => {
            only(
                section,
                &["at", "date"],
                "a year's day is named with date = \"12-31\"",
            );
            let at = at(section);
            let (month, day) = year_day(section)?;
            Some(Calendar::Year {
                month,
                day,
                at: at?,
            })
        }
        rate if is_event_bridge(rate) => {
            only(section, &[], "a rate is counted from 1970-01-01T00:00Z");
            event_bridge(section, &text)
        }
        _ => {
            let minutes = interval(section, &text)?;
            only(section, &["at"], "an interval has no day");
            if section.has("at") {
                hours(section, minutes, at(section)?)
            } else {
                Some(Calendar::Minutes { minutes })
            }
        }
    }
}

/// `cron(…)` and `rate(…)` as Amazon EventBridge writes them.
fn event_bridge(section: &Section<'_, '_>, text: &Placed<&str>) -> Option<Calendar> {
    from_event_bridge(text.value)
        .inspect_err(|e| text.problem(section.reader, e.to_string()))
        .ok()
}

/// An interval with a time of day is read in local time, where only a divisor of the day makes every
/// day alike.
fn hours(section: &Section<'_, '_>, minutes: u32, at: chrono::NaiveTime) -> Option<Calendar> {
    let hours = minutes / 60;
    if !minutes.is_multiple_of(60) || !24u32.is_multiple_of(hours) {
        section.refuse(
            "at",
            "goes with 1, 2, 3, 4, 6, 8, 12 or 24 hours; any other interval is counted from \
             1970-01-01T00:00Z, and comes at the same times each day only if it divides a day",
        );
        return None;
    }
    Some(Calendar::Hours { hours, at })
}

/// Refuses the keys that refine another calendar than this one.
fn only(section: &Section<'_, '_>, allowed: &[&str], why: &str) {
    for key in REFINING {
        if !allowed.contains(&key) {
            section.refuse(key, &format!("does not fit here: {why}"));
        }
    }
}

fn at(section: &Section<'_, '_>) -> Option<chrono::NaiveTime> {
    if !section.has("at") {
        section.missing("at", "\"02:00\"");
    }
    time_of_day(section, "at")
}

fn week_days(section: &Section<'_, '_>) -> Option<BTreeSet<WeekDay>> {
    if !section.has("on") {
        section.missing("on", "[\"mon\", \"thu\"]");
    }
    let days = section.texts("on")?.into_iter().map(|text| {
        let day = text.value.parse::<WeekDay>();
        day.inspect_err(|()| {
            let message = format!(
                "{:?} is none of mon, tue, wed, thu, fri, sat, sun",
                text.value
            );
            text.problem(section.reader, message);
        })
        .ok()
    });
    let days: Vec<Option<WeekDay>> = days.collect();
    days.into_iter().collect()
}

fn month_day(section: &Section<'_, '_>) -> Option<MonthDay> {
    let Some(value) = section.any("day") else {
        section.missing("day", "1 (or \"last\")");
        return None;
    };
    match value.value {
        DeValue::Integer(_) => section.number("day", 1..=31).map(MonthDay::Day),
        DeValue::String(word) if word == "last" => Some(MonthDay::Last),
        _ => {
            value.problem(section.reader, "must be a number from 1 to 31, or \"last\"");
            None
        }
    }
}

fn year_day(section: &Section<'_, '_>) -> Option<(u32, u32)> {
    if !section.has("date") {
        section.missing("date", "\"12-31\"");
    }
    let text = section.text("date")?;
    // A leap year, so that 29 February can be named.
    let date = has_form(text.value, "##-##").then(|| format!("2024-{}", text.value));
    let date = date.and_then(|date| date.parse::<NaiveDate>().ok());
    if date.is_none() {
        text.problem(
            section.reader,
            format!(
                "{:?} is no day of a year as month-day, such as \"12-31\"",
                text.value
            ),
        );
    }
    use chrono::Datelike;
    date.map(|date| (date.month(), date.day()))
}

fn interval(section: &Section<'_, '_>, text: &Placed<&str>) -> Option<u32> {
    let seconds = match text.value {
        "minute" => Some(60),
        "hour" => Some(3600),
        other => duration_seconds(other),
    };
    let minutes = seconds
        .and_then(|s| u32::try_from(s / 60).ok())
        .filter(|minutes| (1..=INTERVAL_MINUTES_MAX).contains(minutes));
    if minutes.is_none() {
        text.problem(
            section.reader,
            format!(
                "{:?} is none of \"day\", \"week\", \"month\", \"year\", \"hour\", \"minute\", \
                 and no interval from \"1 minute\" to \"24 hours\"{}",
                text.value,
                close_period(section, text.value)
            ),
        );
    }
    minutes
}

/// "daily" is how other programs say it.
fn close_period(section: &Section<'_, '_>, given: &str) -> String {
    const PERIODS: [(&str, &str); 6] = [
        ("minute", "minutely"),
        ("hour", "hourly"),
        ("day", "daily"),
        ("week", "weekly"),
        ("month", "monthly"),
        ("year", "yearly"),
    ];
    let given = given.trim().to_ascii_lowercase();
    if given.contains(|c: char| c.is_ascii_digit()) {
        return String::new();
    }
    match PERIODS.iter().find(|(_, adverb)| *adverb == given) {
        Some((period, _)) => format!("; did you mean \"{period}\"?"),
        None => section
            .reader
            .suggestion(&given, PERIODS.map(|(period, _)| period)),
    }
}

fn kind(section: &Section<'_, '_>) -> Option<Kind> {
    if !section.has("kind") {
        return Some(Kind::Full);
    }
    word(section, "kind", &KINDS)
}

/// When a full is due instead of the schedule's kind. The outer option: whether it could be read.
fn full(section: &Section<'_, '_>, kind: Option<Kind>) -> Option<Option<Rhythm>> {
    if kind == Some(Kind::Full) {
        section.refuse(
            "full",
            "does not fit here: kind = \"full\" takes fulls only; write \"incremental\" or \
             \"differential\" to take one of those between them",
        );
        return Some(None);
    }
    if !section.has("full") {
        return Some(Some(Rhythm::default()));
    }
    let text = section.text("full")?;
    let rhythm = text.value.parse::<Rhythm>();
    let rhythm = rhythm.inspect_err(|why| text.problem(section.reader, why.as_str()));
    rhythm.ok().map(Some)
}

/// What is archived is read for hours before it can be built on, so it builds on nothing itself.
fn tier(section: &Section<'_, '_>, kind: Option<Kind>) -> Option<StorageTier> {
    if !section.has("storage") {
        return Some(StorageTier::Standard);
    }
    let tier = word(section, "storage", &TIERS)?;
    if tier == StorageTier::Archive && kind.is_some_and(|kind| kind != Kind::Full) {
        section.refuse(
            "storage",
            "is \"archive\", which only goes with kind = \"full\": nothing can build on what has to \
             be thawed for hours; take \"cold\"",
        );
        return None;
    }
    Some(tier)
}

fn scopes(section: &Section<'_, '_>, known: &BTreeSet<String>) -> Option<Vec<ScopeName>> {
    if !section.has("scopes") {
        section.missing("scopes", "[\"full-database\"]");
    }
    let mut seen = BTreeSet::new();
    let mut scopes = Vec::new();
    for text in section.texts("scopes")? {
        if known.is_empty() {
            continue;
        }
        if !known.contains(text.value) {
            let close = section
                .reader
                .suggestion(text.value, known.iter().map(String::as_str));
            text.problem(
                section.reader,
                format!("no scope is named \"{}\"{close}", text.value),
            );
        } else if !seen.insert(text.value) {
            text.problem(section.reader, format!("\"{}\" is named twice", text.value));
        } else {
            scopes.extend(ScopeName::new(text.value).ok());
        }
    }
    Some(scopes)
}

fn location(section: &Section<'_, '_>, known: &BTreeSet<String>) -> Option<LocationName> {
    if !section.has("location") {
        if known.is_empty() {
            return None;
        }
        if known.len() == 1 {
            return known
                .first()
                .and_then(|only| LocationName::new(only.as_str()).ok());
        }
        section.missing("location", "\"main\"");
    }
    let text = section.text("location")?;
    if known.is_empty() {
        return None;
    }
    if !known.contains(text.value) {
        let close = section
            .reader
            .suggestion(text.value, known.iter().map(String::as_str));
        text.problem(
            section.reader,
            format!("no location is named \"{}\"{close}", text.value),
        );
        return None;
    }
    LocationName::new(text.value).ok()
}

/// What a location would not do is refused: whoever wrote it relies on it.
fn refuse_what_it_lacks(
    section: &Section<'_, '_>,
    name: &LocationName,
    location: &LocationConfig,
    tier: Option<StorageTier>,
) {
    if location.object_lock().is_none() {
        section.refuse(
            "lock",
            &format!(
                "location \"{name}\" has no object_lock, so nothing would be locked: set it there (only \
                 S3 has it), or leave lock out"
            ),
        );
    }
    let is_folder = matches!(location, LocationConfig::Folder { .. });
    if is_folder && tier.is_some_and(|tier| !tier.is_standard()) {
        section.refuse(
            "storage",
            &format!(
                "location \"{name}\" is a folder, where everything stays as it is written: name one in S3, or \
                 leave storage out"
            ),
        );
    }
}

fn alerts(section: &Section<'_, '_>) -> (AlertPolicy, Topics) {
    let mut policy = AlertPolicy::default();
    let mut topics = Topics::default();
    if let Some(alerts) = section.section("alerts") {
        for (key, field) in [
            ("success", &mut policy.success),
            ("failure", &mut policy.failure),
            ("finding", &mut policy.finding),
            ("clean_up", &mut policy.clean_up),
        ] {
            *field = alerts.boolean(key).unwrap_or(*field);
        }
        topics = read_topics(&alerts);
        alerts.finish();
    }
    (policy, topics)
}
