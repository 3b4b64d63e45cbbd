//! `[scopes.<name>]` and `[presets.<name>]`: what is backed up as one unit.

use std::collections::{BTreeMap, BTreeSet};

use super::keep;
use super::reader::{Placed, Section};
use super::values::{duration_seconds, name};
use crate::id::{ScopeName, SourceName};
use crate::presets::{FULL_DATABASE, PRESETS, preset_selection};
use crate::scope::{Scope, Selection, TablePattern};

/// The shortest recovery point objective: shorter than a backup with its verification is no aim.
const RPO_SECONDS_MIN: u64 = 15 * 60;

/// The longest: a year.
const RPO_SECONDS_MAX: u64 = 366 * 24 * 3600;

/// Presets that the file defines or overrides. None: it is there, but something is wrong with it.
pub(super) type Presets = BTreeMap<String, Option<Selection>>;

/// `[presets.<name>]`: an own preset, or other patterns for a built-in one.
pub(super) fn read_presets(root: &Section<'_, '_>) -> Presets {
    let mut presets = Presets::new();
    for (key, section) in root.named("presets") {
        // A preset's name follows the rule for scopes, which most presets become.
        let _ = name(section.reader, &key, |text| ScopeName::new(text));
        if key.value == FULL_DATABASE {
            key.problem(
                section.reader,
                "full-database always is all of a source; give a preset of tables another name",
            );
        }
        let selection = tables(&section);
        section.finish();
        presets.insert(key.value.to_owned(), selection);
    }
    presets
}

/// One `[scopes.<name>]`.
pub(super) fn read(
    scope: Option<ScopeName>,
    section: Section<'_, '_>,
    presets: &Presets,
    sources: &BTreeSet<String>,
) -> Option<Scope> {
    let source = section.text("source");
    let source = match source {
        Some(source) => known_source(&section, &source, sources),
        None if section.has("source") || sources.is_empty() => None,
        None => match sources.len() {
            1 => sources
                .first()
                .and_then(|only| SourceName::new(only.as_str()).ok()),
            _ => {
                section.missing("source", "\"erp\"");
                None
            }
        },
    };
    let selection = selection(&section, presets);
    let retention = keep::of_scope(&section);
    let rpo_seconds = rpo(&section);
    let anomaly_ignore = patterns(&section, "anomaly_ignore");
    section.finish();
    Some(Scope {
        name: scope?,
        source: source?,
        selection: selection?,
        retention,
        rpo_seconds: rpo_seconds?,
        anomaly_ignore: anomaly_ignore?,
    })
}

/// The outer option: whether it could be read.
fn rpo(section: &Section<'_, '_>) -> Option<Option<u64>> {
    if !section.has("rpo") {
        return Some(None);
    }
    let text = section.text("rpo")?;
    let bounds = RPO_SECONDS_MIN..=RPO_SECONDS_MAX;
    let seconds = duration_seconds(text.value).filter(|seconds| bounds.contains(seconds));
    if seconds.is_none() {
        text.problem(
            section.reader,
            format!(
                "{:?} is no length of time from \"15 minutes\" to \"366 days\"; for example \"26h\" \
                 for a daily backup that may take up to two hours with its verification",
                text.value
            ),
        );
    }
    seconds.map(Some)
}

fn known_source(
    section: &Section<'_, '_>,
    source: &Placed<&str>,
    sources: &BTreeSet<String>,
) -> Option<SourceName> {
    if sources.is_empty() {
        return None;
    }
    if !sources.contains(source.value) {
        let close = section
            .reader
            .suggestion(source.value, sources.iter().map(String::as_str));
        source.problem(
            section.reader,
            format!("no source is named \"{}\"{close}", source.value),
        );
        return None;
    }
    SourceName::new(source.value).ok()
}

fn selection(section: &Section<'_, '_>, presets: &Presets) -> Option<Selection> {
    let preset = section.text("preset");
    match (section.has("preset"), section.has("include")) {
        (true, true) => {
            section.refuse(
                "include",
                "the preset already includes tables; name one of the two",
            );
            None
        }
        (false, false) => {
            section.problem(
                "it selects nothing: write preset = \"full-database\" (or another preset), or \
                 include = [\"<table pattern>\"]",
            );
            None
        }
        (false, true) => tables(section),
        (true, false) => {
            let preset = preset?;
            let selected = match presets.get(preset.value) {
                Some(own) => own.clone()?,
                None => match preset_selection(preset.value) {
                    Some(built_in) => built_in,
                    None => {
                        let built_in = PRESETS.iter().map(|(name, _)| *name);
                        let known: BTreeSet<&str> = std::iter::once(FULL_DATABASE)
                            .chain(built_in)
                            .chain(presets.keys().map(String::as_str))
                            .collect();
                        let close = section
                            .reader
                            .suggestion(preset.value, known.iter().copied());
                        let known = known.into_iter().collect::<Vec<_>>().join(", ");
                        preset.problem(
                            section.reader,
                            format!(
                                "no preset is named \"{}\"{close} (known: {known})",
                                preset.value
                            ),
                        );
                        return None;
                    }
                },
            };
            with_exclude(section, selected)
        }
    }
}

fn with_exclude(section: &Section<'_, '_>, selected: Selection) -> Option<Selection> {
    match selected {
        Selection::Everything => {
            section.refuse(
                "exclude",
                "full-database excludes nothing; write include = [\"*\"] in place of the preset",
            );
            Some(Selection::Everything)
        }
        Selection::Tables {
            include,
            mut exclude,
        } => {
            exclude.extend(patterns(section, "exclude")?);
            Some(Selection::Tables { include, exclude })
        }
    }
}

/// `include` and `exclude`.
fn tables(section: &Section<'_, '_>) -> Option<Selection> {
    if !section.has("include") {
        section.missing("include", "[\"customer*\"]");
    }
    let include = patterns(section, "include");
    let exclude = patterns(section, "exclude");
    Some(Selection::Tables {
        include: include?,
        exclude: exclude?,
    })
}

/// A list of patterns, empty if the key is not there; none if any of them is wrong.
fn patterns(section: &Section<'_, '_>, key: &'static str) -> Option<Vec<String>> {
    if !section.has(key) {
        return Some(Vec::new());
    }
    let checked = section.texts(key)?.into_iter().map(|text| {
        TablePattern::new(text.value)
            .inspect_err(|e| text.problem(section.reader, e.to_string()))
            .is_ok()
            .then(|| text.value.to_owned())
    });
    let checked: Vec<Option<String>> = checked.collect();
    checked.into_iter().collect()
}
