//! What is stored and sent, altered: read as a valid value, or refused with words.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fmt::{Debug, Display};
use std::path::Path;
use std::str::FromStr;

use logisedge_domain::config::Config;
use logisedge_domain::event::{DispatchInput, Event};
use logisedge_domain::id::{ChainPath, RunId, ScopeName, SnapshotId};
use logisedge_domain::manifest::Manifest;
use logisedge_domain::run::Run;
use logisedge_domain::schedule::ScheduleState;
use logisedge_domain::snapshot::SnapshotRecord;
use logisedge_fuzz::Fuzz;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn golden(begin: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with(begin)
        {
            found.push(std::fs::read(path).unwrap());
        }
    }
    assert!(!found.is_empty(), "{begin}");
    found
}

/// What is read is written, and read again as the same.
fn feed<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &'static str, begin: &str) {
    let mut fuzz = Fuzz::new(name, 15_000);
    for sample in golden(begin) {
        assert!(serde_json::from_slice::<T>(&sample).is_ok(), "{name}");
        fuzz = fuzz.sample(sample);
    }
    fuzz.run(|bytes| {
        if let Ok(value) = serde_json::from_slice::<T>(bytes) {
            let again = serde_json::to_vec(&value).unwrap();
            assert_eq!(serde_json::from_slice::<T>(&again).unwrap(), value);
        }
    });
}

#[test]
fn manifests() {
    feed::<Manifest>("manifest", "manifest-");
}

#[test]
fn events() {
    let mut fuzz = Fuzz::new("event", 20_000);
    for sample in golden("event-") {
        fuzz = fuzz.sample(sample);
    }
    fuzz.run(|bytes| {
        let Ok(detail) = serde_json::from_slice(bytes) else {
            return;
        };
        match Event::from_detail(&detail) {
            Ok(event) => assert!(!event.detail_type().is_empty()),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
    feed::<DispatchInput>("dispatch input", "dispatch-");
}

#[test]
fn what_the_catalog_holds() {
    feed::<Run>("run", "run-");
    feed::<SnapshotRecord>("snapshot record", "snapshot-");
    feed::<ScheduleState>("schedule state", "schedule");
}

/// A text that is taken for an id is that id's text.
fn names<T: FromStr + Display>(name: &'static str, sample: &str) {
    assert!(sample.parse::<T>().is_ok(), "{name}");
    Fuzz::new(name, 20_000).sample(sample).run(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(id) = text.parse::<T>() {
            // People may type a snapshot id's digits in upper case.
            assert!(id.to_string().eq_ignore_ascii_case(&text), "{id}: {text}");
        }
    });
}

#[test]
fn ids() {
    names::<ChainPath>("chain", "customers/2026-11-24/full_20261124_010015");
    names::<RunId>("run", "daily.20261124T010000Z.customers");
    names::<ScopeName>("scope", "full-database");
    names::<SnapshotId>("snapshot", &"0a".repeat(32));
}

#[test]
fn configurations() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut fuzz = Fuzz::new("configuration", 1_500);
    for sample in ["src/config/example.toml", "tests/config/every-key.toml"] {
        fuzz = fuzz.sample(std::fs::read(folder.join(sample)).unwrap());
    }
    fuzz.run(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Err(problems) = Config::parse(&text, "altered.toml") {
            assert!(!problems.to_string().is_empty());
        }
    });
}
