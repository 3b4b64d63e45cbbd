//! What a restore finds where it restores to.

use std::path::PathBuf;

use crate::carry::{expected, give, tables, take};
use logisedge_domain::scope::Selection;
use logisedge_sources::{SourceErrorKind, SqliteSource, SqliteTarget, Target, TargetState};
use rusqlite::Connection;

use crate::nasty::{nasty, place};

#[tokio::test]
async fn a_restore_that_fails_leaves_the_old_file_alone() {
    let (folder, from, to) = place();
    nasty(&from);
    Connection::open(&to)
        .unwrap()
        .execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE old (x); INSERT INTO old VALUES (1)",
        )
        .unwrap();
    let mut carried = take(&SqliteSource::new(&from), &tables(&["plain", "kid"]))
        .await
        .unwrap();
    let target = SqliteTarget::new(&to);
    let occupied = target.state().await.unwrap();
    assert_eq!(
        occupied,
        TargetState::Occupied("1 tables (\"old\")".to_owned())
    );
    let error = give(&carried, &target, false, 64).await.unwrap_err();
    assert_eq!(error.kind, SourceErrorKind::NotEmpty);
    carried
        .data
        .get_mut("/data/main.plain.sql")
        .unwrap()
        .truncate(300);
    give(&carried, &target, true, 64).await.unwrap_err();
    drop(target);
    let count: i64 = Connection::open(&to)
        .unwrap()
        .query_row("SELECT count(*) FROM old", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 1);
    let left: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert!(
        !left
            .iter()
            .any(|name| name.to_string_lossy().contains("logisedge")),
        "{left:?}"
    );
}

#[tokio::test]
async fn logs_left_of_another_database_are_not_replayed_into_the_restored_one() {
    let (folder, from, to) = place();
    nasty(&from);
    let beside = |suffix: &str| PathBuf::from(format!("{}{suffix}", to.display()));
    let crashed = folder.path().join("crashed.db");
    let writer = Connection::open(&crashed).unwrap();
    writer
        .execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE ghost (x); INSERT INTO ghost VALUES (1)",
        )
        .unwrap();
    let log = std::fs::read(folder.path().join("crashed.db-wal")).unwrap();
    assert!(!log.is_empty());
    for selection in [Selection::Everything, tables(&["plain"])] {
        let carried = take(&SqliteSource::new(&from), &selection).await.unwrap();
        for content in [None, Some(""), Some("no database at all, only a text")] {
            let _ = std::fs::remove_file(&to);
            if let Some(content) = content {
                std::fs::write(&to, content).unwrap();
            }
            std::fs::write(beside("-wal"), &log).unwrap();
            std::fs::write(beside("-journal"), "stale").unwrap();
            let target = SqliteTarget::new(&to);
            let error = give(&carried, &target, false, 4096).await.unwrap_err();
            assert_eq!(error.kind, SourceErrorKind::NotEmpty);
            if content.is_none_or(str::is_empty) {
                assert!(beside("-wal").exists(), "{content:?}");
            }
            give(&carried, &target, true, 4096).await.unwrap();
            assert!(!beside("-wal").exists() && !beside("-journal").exists());
            assert_eq!(
                target.read_back(&carried.manifest).await.unwrap().unwrap(),
                expected(&carried.manifest)
            );
            let ghosts: i64 = Connection::open(&to)
                .unwrap()
                .query_row(
                    "SELECT count(*) FROM sqlite_schema WHERE name = 'ghost'",
                    [],
                    |row| row.get(0),
                )
                .unwrap();
            assert_eq!(ghosts, 0);
        }
    }
}
