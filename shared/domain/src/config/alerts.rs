//! `[alerts]`: how alerts of all schedules are told, and where to.

use chrono_tz::Tz;

use super::reader::Section;
use super::values::{duration_seconds, time_of_day, word};
use crate::alert::{
    AlertSettings, DigestEvery, DigestTime, QUIET_SECONDS_MAX, Quiet, TopicArn, Topics,
};

const EVERY: [(&str, DigestEvery); 2] = [("day", DigestEvery::Day), ("week", DigestEvery::Week)];

pub(super) fn read(root: &Section<'_, '_>, zone: Tz) -> AlertSettings {
    let mut settings = AlertSettings::default();
    let Some(section) = root.section("alerts") else {
        return settings;
    };
    settings.quiet = quiet(&section);
    settings.topics = read_topics(&section);
    settings.digest = digest(&section, zone);
    section.finish();
    settings
}

fn digest(alerts: &Section<'_, '_>, zone: Tz) -> Option<DigestTime> {
    let section = alerts.section("digest")?;
    for (key, example) in [("every", "\"day\" (or \"week\")"), ("at", "\"07:00\"")] {
        if !section.has(key) {
            section.missing(key, example);
        }
    }
    let every = word(&section, "every", &EVERY);
    let at = time_of_day(&section, "at");
    section.finish();
    let (every, at) = (every?, at?);
    Some(DigestTime { every, at, zone })
}

fn quiet(alerts: &Section<'_, '_>) -> Quiet {
    let mut quiet = Quiet::default();
    let Some(section) = alerts.section("quiet") else {
        return quiet;
    };
    for (key, seconds) in [
        ("error", &mut quiet.error_seconds),
        ("warning", &mut quiet.warning_seconds),
        ("info", &mut quiet.info_seconds),
    ] {
        let Some(text) = section.text(key) else {
            continue;
        };
        let read = duration_seconds(text.value).filter(|seconds| *seconds <= QUIET_SECONDS_MAX);
        match read {
            Some(read) => *seconds = read,
            None => text.problem(
                section.reader,
                format!(
                    "{:?} is no length of time from \"0 minutes\" (each alert is told) to \"31 \
                     days\", such as \"4h\"",
                    text.value
                ),
            ),
        }
    }
    section.finish();
    quiet
}

/// `topics` of all schedules or of one.
pub(super) fn read_topics(alerts: &Section<'_, '_>) -> Topics {
    let mut topics = Topics::default();
    let Some(section) = alerts.section("topics") else {
        return topics;
    };
    for (key, topic) in [
        ("error", &mut topics.error),
        ("warning", &mut topics.warning),
        ("info", &mut topics.info),
    ] {
        *topic = section.text(key).and_then(|text| {
            let arn = text.value.parse::<TopicArn>();
            arn.inspect_err(|why| text.problem(section.reader, why.as_str()))
                .ok()
        });
    }
    section.finish();
    topics
}
