//! What would change if one configuration took the place of another.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::Config;
use crate::schedule::Schedule;

/// What happens to a part of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is new.
    Add,
    /// Some of its values differ.
    Change,
    /// It is gone.
    Remove,
}

/// One difference between two configurations. Shown as `~ schedule daily: at 02:00 → 03:00`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What happens.
    pub kind: ChangeKind,
    /// `source`, `location`, `scope`, `schedule` or `alerts`.
    pub what: String,
    /// Its name.
    pub name: String,
    /// For a change, each value that differs: `at 02:00 → 03:00`; else empty.
    pub values: Vec<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.kind {
            ChangeKind::Add => '+',
            ChangeKind::Change => '~',
            ChangeKind::Remove => '-',
        };
        write!(f, "{sign} {} {}", self.what, self.name)?;
        if !self.values.is_empty() {
            write!(f, ": {}", self.values.join(", "))?;
        }
        Ok(())
    }
}

/// Every difference, by sources, locations, scopes, schedules and alerts, and by name in each.
pub fn diff(old: &Config, new: &Config) -> Vec<Change> {
    let mut changes = Vec::new();
    let sources = |config: &Config| parts(config.sources.iter());
    let locations = |config: &Config| parts(config.locations.iter());
    let scopes = |config: &Config| parts(config.scopes.iter());
    compare("source", &sources(old), &sources(new), &mut changes);
    compare("location", &locations(old), &locations(new), &mut changes);
    compare("scope", &scopes(old), &scopes(new), &mut changes);
    compare("schedule", &schedules(old), &schedules(new), &mut changes);
    let alerts = |config: &Config| parts([(&"of all schedules", &config.alerts)].into_iter());
    compare("alerts", &alerts(old), &alerts(new), &mut changes);
    changes
}

/// The values of a part by their keys, as people are shown them.
type Values = BTreeMap<String, String>;

fn parts<'c, N: ToString + 'c, V: Serialize + 'c>(
    named: impl Iterator<Item = (&'c N, &'c V)>,
) -> BTreeMap<String, Values> {
    named
        .map(|(name, value)| (name.to_string(), values(value)))
        .collect()
}

fn schedules(config: &Config) -> BTreeMap<String, Values> {
    let with_rule = |schedule: &Schedule| {
        let mut values = values(schedule);
        // "every day at 02:00" says more than the calendar's stored fields.
        values.retain(|key, _| !key.starts_with("calendar"));
        values.insert("due".to_owned(), schedule.calendar.rule());
        (schedule.name.to_string(), values)
    };
    config.schedules.iter().map(with_rule).collect()
}

fn values(part: &impl Serialize) -> Values {
    let mut values = Values::new();
    // Every part of a configuration is made of names, texts and numbers, which JSON can hold.
    flatten(
        "",
        &serde_json::to_value(part).unwrap_or(Value::Null),
        &mut values,
    );
    values.remove("name");
    values
}

fn flatten(path: &str, value: &Value, values: &mut Values) {
    let shown = match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                let separator = if path.is_empty() { "" } else { "." };
                flatten(&format!("{path}{separator}{key}"), inner, values);
            }
            return;
        }
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let texts = items.iter().map(|item| match item {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            });
            format!("[{}]", texts.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    };
    values.insert(path.to_owned(), shown);
}

fn compare(
    what: &str,
    old: &BTreeMap<String, Values>,
    new: &BTreeMap<String, Values>,
    changes: &mut Vec<Change>,
) {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let (kind, values) = match (old.get(name), new.get(name)) {
            (Some(old), Some(new)) if old == new => continue,
            (Some(old), Some(new)) => (ChangeKind::Change, differences(old, new)),
            (None, _) => (ChangeKind::Add, Vec::new()),
            (_, None) => (ChangeKind::Remove, Vec::new()),
        };
        changes.push(Change {
            kind,
            what: what.to_owned(),
            name: name.clone(),
            values,
        });
    }
}

fn differences(old: &Values, new: &Values) -> Vec<String> {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    // A key that is absent and one that holds nothing are the same to a reader.
    let shown = |values: &Values, key| values.get(key).cloned().unwrap_or("none".to_owned());
    keys.into_iter()
        .map(|key| (key, shown(old, key), shown(new, key)))
        .filter(|(_, before, after)| before != after)
        .map(|(key, before, after)| format!("{key} {before} → {after}"))
        .collect()
}
