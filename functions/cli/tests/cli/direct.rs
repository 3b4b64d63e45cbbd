//! `direct`: backups, listings, verifications and restores at a folder.

use std::process::Command;

use insta::assert_snapshot;

use crate::desk::{Desk, biggest, damage};

#[test]
fn a_whole_database_goes_into_a_folder_and_comes_back() {
    let desk = Desk::new();
    let said = desk.ok(&[
        "direct",
        "backup",
        "--at",
        "store",
        "--from",
        "sqlite:erp.db",
    ]);
    assert!(said.starts_with("Snapshot "), "{said}");
    assert!(
        said.contains("It lies at HERE/store/full-database/DAY/CHAIN"),
        "{said}"
    );

    let listed = desk.ok(&["direct", "snapshots", "--at", "folder:store"]);
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(listed.contains("full-database"), "{listed}");

    let verified = desk.ok(&["direct", "verify", "--at", "store", "latest"]);
    assert!(verified.contains(" is good: read "), "{verified}");

    let restored = desk.restore(0, "back.db", &[]).out;
    assert!(
        restored.contains("tables agree with the source"),
        "{restored}"
    );
    for table in ["customers", "items", "sales_orders"] {
        assert_eq!(desk.rows("back.db", table), desk.rows("erp.db", table));
    }
}

#[test]
fn every_preset_is_a_scope_of_the_sample_erp() {
    let desk = Desk::new();
    let presets = [
        "customers",
        "items",
        "transactions",
        "financial",
        "documents",
    ];
    for preset in presets {
        desk.back_up(preset);
        let into = format!("{preset}.db");
        let restored = desk.restore(0, &into, &["--scope", preset]).out;
        assert!(restored.contains("agree with the source"), "{restored}");
        desk.ok(&[
            "direct", "verify", "--at", "store", "latest", "--scope", preset,
        ]);
    }
    assert_eq!(
        desk.rows("customers.db", "customers"),
        desk.rows("erp.db", "customers")
    );
    let listed = desk.ok(&["direct", "snapshots", "--at", "store"]);
    assert_eq!(listed.lines().count(), 1 + presets.len(), "{listed}");
}

#[test]
fn a_scope_of_ones_own_is_said_with_patterns() {
    let desk = Desk::new();
    desk.ok(&[
        "direct",
        "backup",
        "--at",
        "store",
        "--from",
        "erp.db",
        "--scope",
        "mine",
        "--include",
        "customer*",
        "--include",
        "main.items",
        "--exclude",
        "customer_*",
    ]);
    desk.restore(0, "mine.sqlite", &[]);
    let db = rusqlite::Connection::open(desk.path("mine.sqlite")).unwrap();
    let mut names = db
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")
        .unwrap();
    let names = names.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let mut names: Vec<String> = names.map(Result::unwrap).collect();
    names.retain(|name| !name.starts_with("sqlite_"));
    names.sort();
    assert_eq!(names, ["customers", "items"]);
}

#[test]
fn json_is_one_document_on_standard_output() {
    let desk = Desk::new();
    let parsed = |arguments: &[&str]| -> serde_json::Value {
        let mut all = vec!["--json", "direct"];
        all.extend(arguments);
        let said = desk.ok(&all);
        serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}"))
    };
    let taken = parsed(&[
        "backup",
        "--at",
        "store",
        "--from",
        "erp.db",
        "--scope",
        "customers",
    ]);
    let id = taken["snapshot"]["id"].as_str().unwrap();
    assert!(taken["stats"]["rows"].as_u64().unwrap() > 0);
    let listed = parsed(&["snapshots", "--at", "store"]);
    assert_eq!(listed[0]["id"], id);
    let verified = parsed(&["verify", "--at", "store", &id[..8]]);
    assert_eq!(verified["findings"].as_array().unwrap().len(), 0);
    let restored = parsed(&["restore", "--at", "store", id, "--to", "back.db"]);
    assert!(
        restored["tables"]
            .as_array()
            .is_some_and(|tables| !tables.is_empty())
    );

    // What is beside it goes to standard error.
    damage(&biggest(&desk.path("store")).clone());
    let damaged = desk.run(&["--json", "direct", "verify", "--at", "store", "latest"]);
    assert_eq!(damaged.exit, 3);
    serde_json::from_str::<serde_json::Value>(&damaged.out).unwrap();
}

#[test]
fn a_folder_and_a_script_are_targets_too() {
    let desk = Desk::new();
    desk.back_up("customers");
    desk.restore(0, "plain/", &[]);
    assert!(desk.path("plain/restore.sql").is_file());
    desk.restore(0, "customers.sql", &[]);
    // The independent reader that the script names itself.
    let script = std::fs::File::open(desk.path("customers.sql")).unwrap();
    let sqlite3 = Command::new("sqlite3")
        .arg(desk.path("new.db"))
        .stdin(script)
        .status()
        .expect("sqlite3 is missing: apt-get install sqlite3");
    assert!(sqlite3.success());
    assert_eq!(
        desk.rows("new.db", "customers"),
        desk.rows("erp.db", "customers")
    );

    for to in ["plain/", "plain", "customers.sql"] {
        desk.restore(5, to, &[]);
        desk.restore(0, to, &["--overwrite"]);
    }
}

#[test]
fn a_target_that_holds_something_is_refused_and_replaced_when_told_to() {
    let desk = Desk::new();
    desk.back_up("documents");
    desk.restore(0, "back.db", &[]);
    let refused = desk.restore(5, "back.db", &[]);
    assert_eq!(refused.out, "");
    assert_snapshot!(refused.err, @r#"error: the target is not empty, it holds 1 tables ("documents"): name an empty one, or say --overwrite to replace what is there"#);
    desk.restore(0, "back.db", &["--overwrite"]);
}

#[test]
fn an_incremental_and_a_differential_go_on_with_the_newest_chain() {
    let desk = Desk::new();
    let back_up = |kind: &str| -> serde_json::Value {
        let said = desk.ok(&[
            "--json", "direct", "backup", "--at", "store", "--from", "erp.db", "--kind", kind,
        ]);
        serde_json::from_str(&said).unwrap()
    };
    let first = back_up("incremental");
    assert_eq!(first["snapshot"]["kind"], "full");
    assert_snapshot!(first["snapshot"]["kind_reason"].as_str().unwrap(), @"there is no earlier full of the scope at this location");

    let db = rusqlite::Connection::open(desk.path("erp.db")).unwrap();
    db.execute(
        "UPDATE customers SET name = name || ' & Co' WHERE id % 3 = 0",
        [],
    )
    .unwrap();
    drop(db);
    let mut last = serde_json::Value::Null;
    for kind in ["incremental", "differential", "incremental"] {
        let next = back_up(kind);
        assert_eq!(next["snapshot"]["kind"], kind);
        assert_eq!(next["snapshot"]["chain"], first["snapshot"]["chain"]);
        last = next;
    }
    // Nothing changed since the first of the three.
    let of = |name: &str| last["stats"][name].as_u64().unwrap();
    assert!(of("bytes_new") < of("bytes_shared"), "{last}");
    let listed = desk.ok(&["direct", "snapshots", "--at", "store"]);
    assert_eq!(listed.lines().count(), 5, "{listed}");
    desk.ok(&["direct", "verify", "--at", "store", "latest"]);
    desk.restore(0, "back.db", &[]);
    assert_eq!(
        desk.rows("back.db", "customers"),
        desk.rows("erp.db", "customers")
    );

    let refused = desk.run(&[
        "direct", "backup", "--at", "store", "--from", "erp.db", "--kind", "whole",
    ]);
    assert_eq!(refused.exit, 2);
    assert!(refused.err.contains("full, incremental"), "{}", refused.err);
}
