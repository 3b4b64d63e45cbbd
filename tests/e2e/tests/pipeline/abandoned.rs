//! What killed attempts left in a folder: removed by prune once it is a day old, and nothing else with it.

use std::path::Path;
use std::time::SystemTime;

use chrono::{DateTime, TimeDelta, Utc};
use logisedge_domain::id::ChainPath;
use logisedge_domain::run::RunState;

use crate::support::database::sqlite;
use crate::support::stack::Stack;

const SCOPE: &str = "customers";

/// Copies a chain to another, begun and last written so many hours ago, with or without its snapshot object.
fn left_behind(root: &Path, chain: &str, begun: i64, written: i64, whole: bool) -> String {
    let hours_ago = |hours| Utc::now() - TimeDelta::hours(hours);
    let other = ChainPath::new(&SCOPE.parse().unwrap(), hours_ago(begun));
    copy(
        &root.join(chain),
        &root.join(other.as_str()),
        hours_ago(written),
        whole,
    );
    other.as_str().to_owned()
}

fn copy(from: &Path, to: &Path, written: DateTime<Utc>, whole: bool) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            if whole || entry.file_name() != "snapshots" {
                copy(&entry.path(), &target, written, whole);
            }
            continue;
        }
        std::fs::copy(entry.path(), &target).unwrap();
        let file = std::fs::File::options().write(true).open(&target).unwrap();
        file.set_modified(SystemTime::from(written)).unwrap();
    }
}

#[tokio::test]
async fn chains_of_killed_attempts_are_removed_after_a_day_and_no_earlier() {
    let stack = Stack::deploy("left").await;
    let erp = stack.path("erp.db");
    sqlite(&erp, &["customer"], 300);
    let root = stack.path("backups");
    std::fs::create_dir(&root).unwrap();
    let password = stack.write("password", "a password for a folder\n");
    let folder = format!(
        "[locations.main]\nkind = \"folder\"\npath = \"{}\"\nrepository_password = {{ file = \"{}\" }}\n",
        root.display(),
        password.display()
    );
    let config = stack.sqlite_config(&erp, &[(SCOPE, "customer")], "{ last = 1 }");
    let config = config.replace(&stack.location(), &folder);
    stack.apply(&stack.write("config.toml", &config));
    let run = stack.run(SCOPE);
    assert_eq!(run.state, RunState::Succeeded, "{run:?}");
    let chain = run.chain.unwrap();

    let old = left_behind(&root, chain.as_str(), 30, 25, false);
    let still_written = left_behind(&root, chain.as_str(), 31, 1, false);
    let young = left_behind(&root, chain.as_str(), 2, 2, false);
    let unknown = left_behind(&root, chain.as_str(), 32, 25, true);

    let plan = stack.cli(&["prune", "--dry-run", "--json"]).json();
    let named = |what: &str| -> Vec<String> {
        let chains = plan[0][what].as_array().unwrap().iter();
        chains
            .map(|pair| pair[1].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(named("abandoned"), [old.as_str()], "{plan}");
    assert_eq!(named("unknown"), [unknown.as_str()], "{plan}");
    assert!(
        root.join(&old).join("config").exists(),
        "a dry run changes nothing"
    );

    let shown = stack.cli(&["prune"]).good();
    assert!(shown.contains("1 abandoned chains"), "{shown}");
    assert!(!root.join(&old).join("config").exists());
    for stays in [&still_written, &young, &unknown, &chain.as_str().to_owned()] {
        assert!(root.join(stays).join("config").exists(), "{stays} is gone");
    }
    stack.cli(&["verify", "latest"]).good();
    stack.delete().await;
}
