//! Round trips of tables and whole files.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::carry::{expected, give, stock_sqlite3, tables, take, unpack};
use logisedge_domain::scope::Selection;
use logisedge_sources::{Source, SqliteSource, SqliteTarget, Target, TargetState};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::nasty::{check_equal, nasty, place};

#[tokio::test]
async fn selected_tables_come_back_exactly() {
    for wal in [false, true] {
        let (folder, from, to) = place();
        let db = nasty(&from);
        if wal {
            db.pragma_update(None, "journal_mode", "WAL").unwrap();
        }
        let selection = Selection::Tables {
            include: vec!["main.*".into()],
            exclude: vec!["outside*".into()],
        };
        let carried = take(&SqliteSource::new(&from), &selection).await.unwrap();
        let edges: Vec<_> = carried
            .manifest
            .outside_references
            .iter()
            .map(|edge| format!("{} -> {}: {}", edge.from, edge.to, edge.constraint))
            .collect();
        assert_eq!(edges, ["main.kid -> main.outside_one: foreign key (other)"]);
        assert_eq!(
            carried.manifest.notes,
            [
                "1 rows of the source itself refer to rows that are not there; they are carried as they are",
                "views are carried only with the full database: \"totals\"",
            ]
        );
        let target = SqliteTarget::new(&to);
        assert_eq!(target.state().await.unwrap(), TargetState::Empty);
        give(&carried, &target, false, 7).await.unwrap();
        assert_eq!(
            target.read_back(&carried.manifest).await.unwrap().unwrap(),
            expected(&carried.manifest)
        );
        check_equal(&from, &to);

        let unpacked = folder.path().join("files");
        unpack(&carried, &unpacked);
        let stock = folder.path().join("stock.db");
        stock_sqlite3(&unpacked, &stock, &unpacked.join("restore.sql"));
        check_equal(&from, &stock);
    }
}

#[tokio::test]
async fn the_whole_file_comes_back_and_counts_like_its_tables() {
    let (folder, from, to) = place();
    let _writer = nasty(&from);
    let whole = take(&SqliteSource::new(&from), &Selection::Everything)
        .await
        .unwrap();
    let tables = take(&SqliteSource::new(&from), &tables(&["*"]))
        .await
        .unwrap();
    assert_eq!(expected(&whole.manifest), expected(&tables.manifest));
    let target = SqliteTarget::new(&to);
    give(&whole, &target, false, 100_000).await.unwrap();
    assert_eq!(
        target.read_back(&whole.manifest).await.unwrap().unwrap(),
        expected(&whole.manifest)
    );
    check_equal(&from, &to);

    let unpacked = folder.path().join("files");
    unpack(&whole, &unpacked);
    let stock = folder.path().join("stock.db");
    stock_sqlite3(&unpacked, &stock, &unpacked.join("restore.sql"));
    check_equal(&from, &stock);
}

#[tokio::test]
async fn utf16_and_full_text_search_are_carried_or_noted() {
    let (_folder, from, to) = place();
    let db = Connection::open(&from).unwrap();
    db.execute_batch(
        "PRAGMA encoding = 'UTF-16le'; PRAGMA page_size = 8192;
         CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('ü\u{1F389}'), ('a'||char(10)||char(0)||'b');
         CREATE VIRTUAL TABLE search USING fts5(body); INSERT INTO search VALUES ('hello world');",
    )
    .unwrap();
    let carried = take(&SqliteSource::new(&from), &tables(&["*"]))
        .await
        .unwrap();
    assert_eq!(carried.manifest.tables.len(), 1);
    assert_eq!(
        carried.manifest.notes,
        [
            "virtual tables are carried only with the full database: \"search\", \"search_data\", \"search_idx\", \"search_content\", \"search_docsize\", \"search_config\""
        ]
    );
    let target = SqliteTarget::new(&to);
    give(&carried, &target, false, 1).await.unwrap();
    assert_eq!(
        target.read_back(&carried.manifest).await.unwrap().unwrap(),
        expected(&carried.manifest)
    );
    let restored = Connection::open(&to).unwrap();
    let encoding: String = restored
        .pragma_query_value(None, "encoding", |row| row.get(0))
        .unwrap();
    assert_eq!(encoding, "UTF-16le");

    let whole = take(&SqliteSource::new(&from), &Selection::Everything)
        .await
        .unwrap();
    give(&whole, &target, true, 4096).await.unwrap();
    assert_eq!(
        target.read_back(&whole.manifest).await.unwrap().unwrap(),
        expected(&whole.manifest)
    );
    let found: i64 = Connection::open(&to)
        .unwrap()
        .query_row(
            "SELECT count(*) FROM search WHERE search MATCH 'hello'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(found, 1);
}

/// A thread moves money between accounts all the time; every snapshot must hold the same sum.
fn with_writer(
    journal: &str,
) -> (
    TempDir,
    PathBuf,
    PathBuf,
    Arc<AtomicBool>,
    std::thread::JoinHandle<u64>,
) {
    let (folder, from, to) = place();
    let db = Connection::open(&from).unwrap();
    db.pragma_update(None, "journal_mode", journal).unwrap();
    db.execute_batch(
        "CREATE TABLE account (id INTEGER PRIMARY KEY, amount INT, filler BLOB); CREATE TABLE log (id INTEGER PRIMARY KEY, t TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000)
         INSERT INTO account SELECT i, 1000, randomblob(4000) FROM n;",
    )
    .unwrap();
    db.pragma_update(None, "synchronous", "OFF").unwrap();
    db.busy_timeout(Duration::from_secs(20)).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let writer = std::thread::spawn(move || {
        let mut turns = 0;
        while !stopped.load(Ordering::Relaxed) {
            let (a, b) = (turns * 7919 % 4000 + 1, turns * 104_729 % 4000 + 1);
            db.execute_batch(&format!(
                "BEGIN IMMEDIATE; UPDATE account SET amount = amount - 3 WHERE id = {a};
                 UPDATE account SET amount = amount + 3 WHERE id = {b}; INSERT INTO log (t) VALUES ('x'); COMMIT;"
            ))
            .unwrap();
            turns += 1;
        }
        turns
    });
    (folder, from, to, stop, writer)
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_go_on_while_the_file_is_copied() {
    for journal in ["WAL", "DELETE", "TRUNCATE"] {
        let (_folder, from, to, stop, writer) = with_writer(journal);
        for selection in [Selection::Everything, tables(&["account"])] {
            let carried = take(&SqliteSource::new(&from), &selection).await.unwrap();
            let target = SqliteTarget::new(&to);
            give(&carried, &target, true, 1 << 18).await.unwrap();
            assert_eq!(
                target.read_back(&carried.manifest).await.unwrap().unwrap(),
                expected(&carried.manifest)
            );
            let sum: i64 = Connection::open(&to)
                .unwrap()
                .query_row("SELECT sum(amount) FROM account", [], |row| row.get(0))
                .unwrap();
            assert_eq!(sum, 4_000_000, "{journal}");
        }
        stop.store(true, Ordering::Relaxed);
        assert!(writer.join().unwrap() > 0);
    }
}

#[tokio::test]
async fn a_wide_row_is_sent_in_pieces_of_the_usual_length() {
    let (_folder, from, _) = place();
    Connection::open(&from)
        .unwrap()
        .execute_batch("CREATE TABLE wide (a); INSERT INTO wide VALUES (zeroblob(5000000))")
        .unwrap();
    let snapshot = SqliteSource::new(&from)
        .open(&tables(&["wide"]), None)
        .await
        .unwrap();
    let part = snapshot.facts().parts[0].clone();
    let (sink, mut content) = tokio::sync::mpsc::channel::<bytes::Bytes>(1);
    let reading = tokio::spawn(async move { snapshot.read(&part, sink).await });
    let mut received = 0;
    while let Some(piece) = content.recv().await {
        assert!(piece.len() <= logisedge_sources::BUFFER_BYTES);
        received += piece.len() as u64;
    }
    assert!(received > 10_000_000);
    assert_eq!(reading.await.unwrap().unwrap(), received);
}

#[tokio::test]
async fn the_sample_erp_comes_back() {
    let (_folder, from, to) = place();
    logisedge_sample_erp::sqlite::create(&from, 5, 3).unwrap();
    for selection in [Selection::Everything, tables(&["customer*", "item*"])] {
        let carried = take(&SqliteSource::new(&from), &selection).await.unwrap();
        let target = SqliteTarget::new(&to);
        give(&carried, &target, true, 65_536).await.unwrap();
        assert_eq!(
            target.read_back(&carried.manifest).await.unwrap().unwrap(),
            expected(&carried.manifest)
        );
    }
}
