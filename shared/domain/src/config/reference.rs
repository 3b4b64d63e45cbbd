//! The documented keys against each other: `example.toml`, the README's tables, and what the reader
//! of the file asks for.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use super::Config;

const EXAMPLE: &str = include_str!("example.toml");
const README: &str = include_str!("../../../../README.md");

/// No key has this name, nor one that is like it.
const UNKNOWN: &str = "zzzzzzzzzzzz";

/// The section that is there once and has no names below it.
const UNNAMED: &str = "alerts";

/// `schedules.keep.days`: a key without the name of the thing that it belongs to.
type Keys = BTreeSet<String>;

/// Where a password is found has keys of its own, of which one is named at a time.
fn is_leaf(key: &str) -> bool {
    key.ends_with("password") || key == "scopes.keep"
}

fn keys_of(table: &toml::Table, path: &str, depth: usize, keys: &mut Keys) {
    for (key, value) in table {
        let named = depth == 1 && !path.is_empty() && path != UNNAMED;
        let path = match (path, named) {
            (path, true) => path.to_owned(),
            ("", false) => key.clone(),
            (path, false) => format!("{path}.{key}"),
        };
        let is_section = depth == 0 && value.is_table();
        if !named && !is_section {
            keys.insert(path.clone());
        }
        if let Some(inner) = value.as_table().filter(|_| !is_leaf(&path)) {
            keys_of(inner, &path, depth + 1, keys);
        }
    }
}

fn keys_of_the_example() -> Keys {
    let mut keys = Keys::new();
    keys_of(&EXAMPLE.parse().unwrap(), "", 0, &mut keys);
    keys
}

/// The code spans in the first cells of the tables below "Every key".
fn keys_of_the_readme() -> Keys {
    let mut keys = Keys::new();
    let (_, reference) = README.split_once("\n### Every key\n").unwrap();
    let reference = reference.split("\n### ").next().unwrap();
    let mut section = String::new();
    for line in reference.lines() {
        if let Some(heading) = line.strip_prefix("#### ") {
            let name = heading.trim_matches(['`', '[', ']']);
            section = match name.split_once('.') {
                Some((section, _)) => format!("{section}."),
                None if name == UNNAMED => format!("{name}."),
                None => String::new(),
            };
        } else if let Some(row) = line.strip_prefix("| `") {
            let cell = row.split(" |").next().unwrap();
            let spans = cell.split('`').step_by(2);
            keys.extend(spans.map(|key| format!("{section}{key}")));
        }
    }
    keys
}

/// Every table of the example with a key that is not known: the problems name those that are.
fn keys_of_the_reader() -> Keys {
    let unknown = format!("{UNKNOWN} = 1");
    let mut text = format!("{unknown}\n");
    for line in EXAMPLE.lines() {
        let line = line
            .replace("keep = {", &format!("keep = {{ {unknown},"))
            .replace("alerts = {", &format!("alerts = {{ {unknown},"))
            .replace("topics = {", &format!("topics = {{ {unknown},"))
            .replace("digest = {", &format!("digest = {{ {unknown},"))
            .replace("quiet = {", &format!("quiet = {{ {unknown},"));
        text.push_str(&line);
        text.push('\n');
        if line.starts_with('[') {
            text.push_str(&unknown);
            text.push('\n');
        }
    }
    let problems = Config::parse(&text, "f").unwrap_err();
    let mut keys = Keys::new();
    for problem in &problems.0 {
        let (_, known) = problem.message.split_once("known here: ").unwrap();
        let path = problem.path.strip_suffix(UNKNOWN).unwrap();
        let mut parts: Vec<&str> = path.split_terminator('.').collect();
        if parts.len() > 1 && parts[0] != UNNAMED {
            parts.remove(1);
        }
        if is_leaf(&parts.join(".")) {
            continue;
        }
        for key in known.split(", ") {
            let key: Vec<&str> = parts.iter().copied().chain([key]).collect();
            keys.insert(key.join("."));
        }
    }
    let sections = ["sources", "locations", "presets", "scopes", "schedules"];
    for section in sections.into_iter().chain([UNNAMED]) {
        assert!(keys.remove(section), "{section}");
    }
    keys
}

#[test]
fn every_key_is_documented_and_every_documented_key_exists() {
    let example = keys_of_the_example();
    assert!(example.len() > 50, "{example:?}");
    assert_eq!(keys_of_the_readme(), example, "README and example.toml");
    assert_eq!(
        keys_of_the_reader(),
        example,
        "the program and example.toml"
    );
}

/// Whoever is surprised by a clock has to be able to find out which rules are inside.
#[test]
fn the_readme_names_the_release_of_the_zones() {
    let release = format!("release {},", chrono_tz::IANA_TZDB_VERSION);
    assert!(README.contains(&release), "{release}");
}
