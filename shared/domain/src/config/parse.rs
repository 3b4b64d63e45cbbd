//! From the text of a configuration file to a valid configuration, or to every problem in it.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::DeTable;

use super::problem::ConfigProblems;
use super::reader::{Placed, Reader, Section};
use super::values::{name, zone};
use super::{Config, LocationConfig, alerts, locations, schedules, scopes, sources};
use crate::id::{LocationName, ScheduleName, ScopeName, SourceName};

/// The version of the file's form that this program reads.
pub const CONFIG_VERSION: u32 = 1;

/// Largest configuration file that is read, in bytes: ten thousand schedules fit several times.
pub const CONFIG_BYTES_MAX: usize = 4 * 1024 * 1024;

impl Config {
    /// Reads a configuration file. `file_name` is only named in problems.
    ///
    /// Its form is documented in `example.toml` beside this module. A file with any problem is
    /// refused whole; all its problems come at once, in the order of the file.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, ConfigProblems> {
        let reader = Reader::new(file_name, text);
        let mut config = Self::default();
        if text.len() > CONFIG_BYTES_MAX {
            let message = format!("larger than {CONFIG_BYTES_MAX} bytes: this is no configuration");
            reader.problem(0, "", message);
        } else {
            let (document, errors) = DeTable::parse_recoverable(text);
            for error in &errors {
                let at = error.span().map_or(0, |span| span.start);
                reader.problem(at, "", format!("not valid TOML: {}", error.message()));
            }
            // What is left of a broken document would give problems that are none.
            if errors.is_empty() {
                config = read(Section::root(&reader, document.get_ref()));
            }
        }
        match reader.into_problems() {
            problems if problems.is_empty() => Ok(config),
            problems => Err(ConfigProblems(problems)),
        }
    }
}

fn read(root: Section<'_, '_>) -> Config {
    match root.number("version", 0..=u32::MAX) {
        Some(CONFIG_VERSION) => {}
        Some(_) => root.refuse(
            "version",
            &format!("this program reads version {CONFIG_VERSION} only"),
        ),
        None if root.has("version") => {}
        None => root.missing("version", "1"),
    }
    let zone = zone(&root, "time_zone").unwrap_or(chrono_tz::UTC);
    let mut config = Config::default();

    let mut source_names = BTreeSet::new();
    for (key, section) in root.named("sources") {
        source_names.insert(key.value.to_owned());
        let source_name = name(root.reader, &key, |text| SourceName::new(text));
        if let (Some(source), Some(name)) = (sources::read(section), source_name) {
            config.sources.insert(name, source);
        }
    }

    let mut location_names = BTreeSet::new();
    let mut places = BTreeMap::new();
    for (key, section) in root.named("locations") {
        location_names.insert(key.value.to_owned());
        let location_name = name(root.reader, &key, |text| LocationName::new(text));
        if let (Some(location), Some(name)) = (locations::read(section), location_name) {
            refuse_same_place(&root, &key, &location, &mut places);
            config.locations.insert(name, location);
        }
    }

    let presets = scopes::read_presets(&root);
    let mut scope_names = BTreeSet::new();
    for (key, section) in root.named("scopes") {
        scope_names.insert(key.value.to_owned());
        let scope_name = name(root.reader, &key, |text| ScopeName::new(text));
        if let Some(scope) = scopes::read(scope_name, section, &presets, &source_names) {
            config.scopes.insert(scope.name.clone(), scope);
        }
    }

    let known = schedules::Known {
        zone,
        scopes: &scope_names,
        locations: &location_names,
        read_locations: &config.locations,
    };
    let mut has_schedules = false;
    for (key, section) in root.named("schedules") {
        has_schedules = true;
        let schedule_name = name(root.reader, &key, |text| ScheduleName::new(text));
        if key.value.starts_with("manual-") {
            key.problem(
                root.reader,
                "names of runs that people ask for begin with manual-; take another",
            );
        }
        config
            .schedules
            .extend(schedules::read(schedule_name, section, &known));
    }
    config.schedules.sort_by(|a, b| a.name.cmp(&b.name));
    // Said once: those that name one of none say nothing.
    for (by, is_needed, needed, names, example) in [
        (
            "scopes",
            !scope_names.is_empty(),
            "sources",
            &source_names,
            "[sources.erp]",
        ),
        (
            "schedules",
            has_schedules,
            "locations",
            &location_names,
            "[locations.main]",
        ),
        (
            "schedules",
            has_schedules,
            "scopes",
            &scope_names,
            "[scopes.full-database]",
        ),
    ] {
        if is_needed && names.is_empty() {
            root.problem(format!(
                "there are {by}, but no {needed}, which they need: begin one with {example}"
            ));
        }
    }
    config.alerts = alerts::read(&root, zone);
    root.finish();
    config
}

/// Two locations in one place would prune and rebuild each other's chains.
fn refuse_same_place(
    root: &Section<'_, '_>,
    key: &Placed<&str>,
    location: &LocationConfig,
    places: &mut BTreeMap<String, String>,
) {
    let place = match location {
        LocationConfig::S3 { bucket, prefix, .. } => format!("s3://{bucket}/{prefix}"),
        LocationConfig::Folder { path, .. } => path.trim_end_matches('/').to_owned(),
    };
    if let Some(other) = places.get(&place) {
        let message = format!("is the same place as location \"{other}\": {place}");
        key.problem(root.reader, message);
    } else {
        places.insert(place, key.value.to_owned());
    }
}
