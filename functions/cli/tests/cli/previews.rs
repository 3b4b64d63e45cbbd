//! `schedule preview` and `retention preview` on a file, before anything is saved.

use insta::assert_snapshot;

use crate::desk::Desk;

/// A desk with the file that `setup` writes, for Berlin.
fn desk() -> Desk {
    let desk = Desk::empty();
    desk.ok(&[
        "setup",
        "--sqlite",
        "erp.db",
        "--folder",
        "store",
        "--time-zone",
        "Europe/Berlin",
    ]);
    desk
}

#[test]
fn the_next_runs_are_shown_with_what_the_clocks_do() {
    let desk = desk();
    let said = desk.ok(&[
        "schedule",
        "preview",
        "--file",
        "logisedge.toml",
        "--from",
        "2026-10-23T12:00:00Z",
        "--runs",
        "4",
    ]);
    assert_snapshot!(said);
    let json = desk.ok(&[
        "schedule",
        "preview",
        "daily",
        "--file",
        "logisedge.toml",
        "--from",
        "2026-03-28T12:00:00Z",
        "--runs",
        "1",
        "--json",
    ]);
    let shown: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        shown[0]["runs"][0]["slot"], "2026-03-29T01:00:00Z",
        "{json}"
    );
    let fails = desk.fails(
        4,
        &["schedule", "preview", "weekly", "--file", "logisedge.toml"],
    );
    assert_snapshot!(fails, @"error: the configuration has not schedule weekly");
}

#[test]
fn what_will_be_kept_and_what_it_costs_is_shown() {
    let desk = desk();
    let base = [
        "retention",
        "preview",
        "--file",
        "logisedge.toml",
        "--from",
        "2026-01-01T12:00:00Z",
        "--full-bytes",
        "16GB",
    ];
    let said = desk.ok(&[&base[..], &["--days", "30"]].concat());
    assert_snapshot!(said);
    let json = desk.ok(&[
        &base[..],
        &["full-database", "--on", "2026-12-31", "--json"],
    ]
    .concat());
    let shown: serde_json::Value = serde_json::from_str(&json).unwrap();
    let scope = &shown["scopes"][0];
    let state = &scope["states"][0];
    assert_eq!(state["at"], "2027-01-01T00:00:00Z");
    // Seven days, two weeks before them, and the last of eleven months before this one.
    assert_eq!(state["snapshots"].as_array().unwrap().len(), 20, "{state}");
    assert_eq!(scope["classes"].as_array().unwrap().len(), 5);
    assert!(
        scope["dropped"]
            .as_array()
            .unwrap()
            .iter()
            .all(|d| d["dropped_at"].is_string())
    );
}

#[test]
fn what_cannot_be_previewed_is_refused() {
    let desk = desk();
    let file = ["retention", "preview", "--file", "logisedge.toml"];
    let fails = |exit, more: &[&str]| desk.fails(exit, &[&file[..], more].concat());
    assert_snapshot!(fails(5, &[]), @"error: scope full-database has no snapshot yet whose size could be taken: say what a full stores with --full-bytes, for example 16GB (about a third of the database's rows as text)");
    assert_snapshot!(fails(4, &["orders", "--full-bytes", "1GB"]), @"error: the configuration has no scope orders");
    assert_snapshot!(fails(1, &["--full-bytes", "1GB", "--on", "2001-01-01"]), @"error: 2001-01-01 is not within the ten years from now on");
    for wrong in [
        &["--full-bytes", "16 GiB"][..],
        &["--days", "0"],
        &["--on", "2027-01-01", "--days", "3"],
        &["--from", "tomorrow"],
    ] {
        desk.fails_usage(&[&file[..], wrong].concat());
    }
    std::fs::write(desk.path("broken.toml"), "version = 2\n").unwrap();
    let broken = ["schedule", "preview", "--file", "broken.toml"];
    assert_snapshot!(desk.fails(1, &broken), @"error: broken.toml:1:11: version: this program reads version 1 only");
}
