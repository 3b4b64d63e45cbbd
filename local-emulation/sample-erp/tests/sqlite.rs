//! The sample ERP in SQLite: sound, the same every time, and changeable.

#![allow(clippy::unwrap_used)]

use logisedge_sample_erp::change::{self, Change, Spread};
use logisedge_sample_erp::{SampleError, sqlite};
use rusqlite::Connection;

fn check(path: &std::path::Path) {
    let db = Connection::open(path).unwrap();
    let verdict: String = db
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(verdict, "ok");
    let dangling: i64 = db
        .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(dangling, 0);
    let unbalanced: i64 = db
        .query_row(
            "SELECT count(*) FROM (SELECT 1 FROM journal_lines GROUP BY journal_entry_id
             HAVING count(*) >= 2 AND round(sum(coalesce(debit, 0) - coalesce(credit, 0)), 2) <> 0)",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(unbalanced, 0);
}

#[test]
fn the_same_seed_gives_the_same_file_and_another_seed_another() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (name, seed) in [("a", 1), ("b", 1), ("c", 2)] {
        sqlite::create(&path(name), seed, 2).unwrap();
        check(&path(name));
    }
    let read = |name: &str| std::fs::read(path(name)).unwrap();
    assert!(read("a") == read("b"));
    assert!(read("a") != read("c"));
}

#[test]
fn business_goes_on_more_than_once() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("erp.db");
    sqlite::create(&path, 1, 2).unwrap();
    for spread in [Spread::Clustered, Spread::Scattered] {
        let done = change::sqlite(
            &path,
            Change {
                percent: 2.0,
                insert: 3000,
                spread,
            },
        )
        .unwrap();
        assert!((3000..6000).contains(&done.rows), "{done:?}");
        check(&path);
    }
}

#[test]
fn what_is_there_is_left_alone() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("mine.db");
    std::fs::write(&path, "mine").unwrap();
    assert!(matches!(
        sqlite::create(&path, 1, 1),
        Err(SampleError::NotEmpty(_))
    ));
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    let change = Change {
        percent: 1.0,
        insert: 0,
        spread: Spread::Clustered,
    };
    let missing = folder.path().join("missing.db");
    assert!(matches!(
        change::sqlite(&missing, change),
        Err(SampleError::NotASample(_))
    ));
    assert!(matches!(
        sqlite::create(&missing, 1, 0),
        Err(SampleError::Size(0))
    ));
}
