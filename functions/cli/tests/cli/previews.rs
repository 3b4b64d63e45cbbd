//! `schedule preview` and `retention preview` on a file, before anything is saved.

use insta::assert_snapshot;

use crate::desk::Desk;

const RETENTION: [&str; 6] = [
    "retention",
    "preview",
    "--file",
    "logisedge.toml",
    "--full-bytes",
    "16GB",
];

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

/// The same with a bucket, in UTC.
fn desk_in_s3() -> Desk {
    let desk = Desk::empty();
    let location = ["--bucket", "the-bucket", "--repository-secret", "password"];
    desk.ok(&[&["setup", "--sqlite", "erp.db"][..], &location].concat());
    desk
}

/// Puts a key into a table of the desk's file.
fn say(desk: &Desk, table: &str, line: &str) {
    let file = desk.path("logisedge.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let table = format!("[{table}]\n");
    let changed = text.replacen(&table, &format!("{table}{line}\n"), 1);
    assert_ne!(changed, text, "the file has no table {table}");
    std::fs::write(&file, changed).unwrap();
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
    assert_snapshot!(fails, @"error: the configuration has no schedule weekly");
}

#[test]
fn a_folder_keeps_nothing_of_what_was_pruned_and_has_no_prices() {
    let from = ["--from", "2026-01-01T12:00:00Z", "--days", "30"];
    let said = desk().ok(&[&RETENTION[..], &from].concat());
    assert!(said.contains("what is pruned is gone at once."), "{said}");
    assert!(
        said.contains("10 snapshots, 160 GB kept and 0 B in"),
        "{said}"
    );
    assert!(
        said.ends_with("No prices: what it stores lies in no bucket of S3.\n"),
        "{said}"
    );
}

#[test]
fn what_is_locked_stays_longer_and_is_said_to() {
    let desk = desk_in_s3();
    say(&desk, "locations.main", "object_lock = \"governance\"");
    say(&desk, "schedules.daily", "lock = \"60 days\"");
    let from = ["--from", "2026-01-01T12:00:00Z", "--days", "30"];
    let said = desk.ok(&[&RETENTION[..], &from].concat());
    let stays = "what is pruned stays 14 days more, and until its chain's lock is over (daily for 60 days).";
    assert!(said.contains(stays), "{said}");
    let held = "10 snapshots, 160 GB kept and 320 GB in their days of grace or locked";
    assert!(said.contains(held), "{said}");
}

#[test]
fn what_it_costs_where_rows_move_to_other_classes() {
    let desk = desk_in_s3();
    say(&desk, "schedules.daily", "storage = \"cold\"");
    let base = [
        &RETENTION[..],
        &["--from", "2026-01-01T12:00:00Z", "--days", "90"],
    ]
    .concat();
    let months = |more: &[&str]| {
        let said = desk.ok(&[&base[..], more].concat());
        let from = said.find("Cost per month").unwrap();
        let to = said.find("The last 30 days").unwrap();
        said[from..to].trim_end().to_owned()
    };
    assert_snapshot!(months(&[]), @r"
    Cost per month in S3 STANDARD and, where schedules say so, GLACIER_IR after 30 days; STORED is the average, with what is pruned and not gone yet
     MONTH    DAYS  STORED  IN GLACIER_IR  STORAGE    PUTS    GETS  MOVED  REQUESTS   USD
     2026-01  30.5  232 GB            0 B     4.90  28,770  28,770      0      0.16  5.05
     2026-02    28  405 GB          15 GB     8.41  26,852  26,852    954      0.16  8.57
     2026-03    31  424 GB          31 GB     8.52  29,729  29,729  1,908      0.20  8.72
     2026-04   0.5  432 GB          48 GB     0.14     959     959      0      0.01  0.15
    ");
    assert_snapshot!(months(&["--cold-after-days", "8"]), @r"
    Cost per month in S3 STANDARD and, where schedules say so, GLACIER_IR after 8 days; STORED is the average, with what is pruned and not gone yet
     MONTH    DAYS  STORED  IN GLACIER_IR  STORAGE    PUTS    GETS  MOVED  REQUESTS   USD
     2026-01  30.5  232 GB          30 GB     4.38  28,770  28,770  3,816      0.23  4.61
     2026-02    28  405 GB          90 GB     7.16  26,852  26,852  4,770      0.24  7.40
     2026-03    31  424 GB         108 GB     7.49  29,729  29,729  5,724      0.28  7.77
     2026-04   0.5  432 GB         112 GB     0.13     959     959      0      0.01  0.13
    ");
    let sooner = ["--cold-class", "STANDARD_IA", "--cold-after-days", "8"];
    let refused = desk.fails(5, &[&base[..], &sooner].concat());
    assert_snapshot!(refused, @"error: S3 moves nothing to STANDARD_IA before 30 days: say --cold-after-days 30, or --cold-class GLACIER_IR");
}

#[test]
fn what_will_be_kept_and_what_it_costs_is_shown() {
    let desk = desk_in_s3();
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
    assert_snapshot!(fails(1, &["--full-bytes", "1GB", "--on", "2001-01-01", "--from", "2026-01-01"]), @"error: 2001-01-01 is not within the ten years from 2026-01-01 00:00:00 UTC on");
    for wrong in [
        &["--full-bytes", "16 GiB"][..],
        &["--days", "0"],
        &["--on", "2027-01-01", "--days", "3"],
        &["--cold-class", "GLACIER"],
        &["--archive-after-days", "0"],
        &["--from", "tomorrow"],
    ] {
        desk.fails_usage(&[&file[..], wrong].concat());
    }
    std::fs::write(desk.path("broken.toml"), "version = 2\n").unwrap();
    let broken = ["schedule", "preview", "--file", "broken.toml"];
    assert_snapshot!(desk.fails(1, &broken), @"error: broken.toml:1:11: version: this program reads version 1 only");
}
