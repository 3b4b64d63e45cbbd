//! The layers of the code: arrows point one way, and few crates know AWS. Held against the manifests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

/// What each shared crate may use of the others. Functions are checked apart.
const ARROWS: [(&str, &[&str]); 7] = [
    ("domain", &[]),
    ("storage", &["domain"]),
    ("repository", &["domain", "storage"]),
    ("sources", &["domain"]),
    ("catalog", &["domain"]),
    (
        "engine",
        &["domain", "storage", "repository", "sources", "catalog"],
    ),
    (
        "runtime",
        &[
            "domain",
            "storage",
            "repository",
            "sources",
            "catalog",
            "engine",
        ],
    ),
];

/// The crates that may name one of AWS's, each because it is the one place for its service.
const KNOW_AWS: [&str; 3] = ["storage", "catalog", "runtime"];

/// A package of the workspace, by its folder below functions/, shared/, tests/ or local-emulation/.
struct Package {
    group: String,
    folder: String,
    name: String,
    /// What its code is built with; what only its tests use is left out.
    dependencies: BTreeSet<String>,
}

fn packages() -> Vec<Package> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(&root)
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {said}");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let listed = metadata["packages"].as_array().expect("packages");
    listed.iter().map(read).collect()
}

fn read(package: &Value) -> Package {
    let manifest = PathBuf::from(package["manifest_path"].as_str().expect("a path"));
    let part = |up: usize| {
        let folder = manifest
            .ancestors()
            .nth(up)
            .and_then(|path| path.file_name());
        folder
            .expect("packages lie two folders deep")
            .to_string_lossy()
            .into_owned()
    };
    let dependencies = package["dependencies"].as_array().expect("dependencies");
    Package {
        folder: part(1),
        group: part(2),
        name: package["name"].as_str().expect("a name").to_owned(),
        dependencies: dependencies
            .iter()
            .filter(|dependency| dependency["kind"] != "dev")
            .map(|dependency| dependency["name"].as_str().expect("a name").to_owned())
            .collect(),
    }
}

fn of_group(group: &str) -> Vec<Package> {
    let found: Vec<Package> = packages()
        .into_iter()
        .filter(|package| package.group == group)
        .collect();
    assert!(!found.is_empty(), "no package lies in {group}/");
    found
}

/// Our own crates that a package uses, by folder.
fn own(package: &Package) -> BTreeSet<&str> {
    let used = package.dependencies.iter();
    used.filter_map(|name| name.strip_prefix("logisedge-"))
        .collect()
}

#[test]
fn a_package_is_named_after_its_folder() {
    for package in packages() {
        assert_eq!(package.name, format!("logisedge-{}", package.folder));
    }
}

#[test]
fn arrows_between_shared_crates_point_one_way() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> = ARROWS
        .iter()
        .map(|(name, uses)| (*name, uses.iter().copied().collect()))
        .collect();
    for package in of_group("shared") {
        let folder = package.folder.as_str();
        let may = allowed
            .get(folder)
            .unwrap_or_else(|| panic!("shared/{folder} has no place in ARROWS"));
        for used in own(&package) {
            assert!(may.contains(used), "shared/{folder} must not use {used}");
        }
    }
}

#[test]
fn no_function_uses_another() {
    let functions = of_group("functions");
    for function in &functions {
        for other in &functions {
            let uses = function.dependencies.contains(&other.name);
            assert!(
                !uses,
                "functions/{} uses functions/{}",
                function.folder, other.folder
            );
        }
    }
}

#[test]
fn a_function_uses_shared_crates_only() {
    let shared: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    for function in of_group("functions") {
        for used in own(&function) {
            assert!(
                shared.contains(used),
                "functions/{} uses {used}",
                function.folder
            );
        }
    }
}

#[test]
fn only_three_crates_name_aws() {
    for package in packages().iter().filter(|package| package.group != "tests") {
        if package.group == "shared" && KNOW_AWS.contains(&package.folder.as_str()) {
            continue;
        }
        for used in &package.dependencies {
            let place = format!("{}/{}", package.group, package.folder);
            assert!(!used.starts_with("aws-"), "{place} names {used}");
        }
    }
}

#[test]
fn the_domain_does_no_input_or_output() {
    let packages = of_group("shared");
    let domain = packages
        .iter()
        .find(|package| package.folder == "domain")
        .expect("shared/domain");
    for used in [
        "tokio",
        "async-trait",
        "futures-util",
        "tracing",
        "rusqlite",
        "tokio-postgres",
        "reqwest",
    ] {
        assert!(
            !domain.dependencies.contains(used),
            "shared/domain names {used}"
        );
    }
}
