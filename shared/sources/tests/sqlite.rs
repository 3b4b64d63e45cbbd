//! SQLite round trips: through our target, through stock sqlite3, while writers write.

#![allow(clippy::unwrap_used)]

mod carry;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use carry::{expected, give, stock_sqlite3, tables, take, unpack};
use logisedge_domain::scope::Selection;
use logisedge_sources::{Source, SourceErrorKind, SqliteSource, SqliteTarget, Target, TargetState};
use proptest::prelude::*;
use rusqlite::Connection;
use rusqlite::types::Value;
use tempfile::TempDir;

/// Everything that a schema can throw at us.
const NASTY: &str = r#"
CREATE TABLE plain (id INTEGER PRIMARY KEY AUTOINCREMENT, a, b TEXT, c REAL, d BLOB, e NUMERIC);
CREATE TABLE "Größe ""x"" .sql/../y" ("wert a" TEXT PRIMARY KEY, "select" INT) WITHOUT ROWID;
CREATE TABLE made (a INT, twice INT GENERATED ALWAYS AS (a * 2) VIRTUAL, b TEXT, len INT AS (length(b)) STORED, "c""d");
CREATE TABLE strictly (i INTEGER, r REAL, t TEXT, b BLOB, x ANY) STRICT;
CREATE TABLE empty (x);
CREATE TABLE parent (id INTEGER PRIMARY KEY, child INTEGER REFERENCES kid(id));
CREATE TABLE kid (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent(id), other INTEGER REFERENCES outside_one(id));
CREATE TABLE outside_one (id INTEGER PRIMARY KEY);
CREATE INDEX plain_b ON plain (b) WHERE b IS NOT NULL;
CREATE INDEX plain_e ON plain (lower(b), "c");
CREATE VIEW totals AS SELECT count(*) FROM plain;
CREATE TRIGGER on_plain AFTER INSERT ON plain BEGIN
  UPDATE plain SET e = 'triggered; really' WHERE id = new.id;
END;
PRAGMA user_version = 42;
PRAGMA application_id = 1234;
"#;

fn values() -> Vec<Value> {
    let texts = [
        "",
        "'",
        "''",
        "a'b",
        "line\nline",
        "\r\n",
        "\\n",
        "\\n\n\\n1;",
        "tab\t",
        "nul\0nul\0",
        "\0",
        "NULL",
        "ü€日本🎉",
        "\u{2028}",
        ".quit",
        "x\n.quit\n",
        "-- c",
        ";",
        "\\0\0\r\\r",
        "\\\n",
        "n\n",
    ];
    let reals = [
        0.0,
        1.5,
        0.1,
        1.0 / 3.0,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        5e-324,
        -5e-324,
        1e308,
        1e-308,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::EPSILON,
        123_456_789.123_456_79,
        1e15,
        1e22,
        9.007199254740992e15,
        2.225_073_858_507_201e-308,
        1e-290,
        9.9e289,
        3e300,
        -7.1e-300,
        19.99,
    ];
    let integers = [0, 1, -1, i64::MAX, i64::MIN, i64::MIN + 1, 1 << 53];
    let mut all = vec![
        Value::Null,
        Value::Blob(vec![]),
        Value::Blob((0..=255).collect()),
    ];
    all.extend(texts.map(|text| Value::Text(text.to_owned())));
    all.extend(reals.map(Value::Real));
    all.extend(integers.map(Value::Integer));
    all
}

fn nasty(path: &Path) -> Connection {
    let db = Connection::open(path).unwrap();
    db.pragma_update(None, "foreign_keys", false).unwrap();
    db.execute_batch(NASTY).unwrap();
    for value in values() {
        db.execute(
            "INSERT INTO plain (a, b, d, e) VALUES (?1, ?1, ?1, ?1)",
            [&value],
        )
        .unwrap();
        db.execute(
            "INSERT INTO made (a, b, \"c\"\"d\") VALUES (?1, ?1, ?1)",
            [&value],
        )
        .unwrap();
        db.execute("INSERT INTO strictly (x) VALUES (?1)", [&value])
            .unwrap();
        if let Value::Text(text) = &value {
            db.execute(
                "INSERT INTO \"Größe \"\"x\"\" .sql/../y\" VALUES (?1, 1)",
                [text],
            )
            .unwrap();
        }
    }
    db.execute_batch(
        "INSERT INTO plain (b) VALUES (CAST(x'ff00fe0a41' AS TEXT));
         INSERT INTO outside_one VALUES (1);
         INSERT INTO parent VALUES (1, 1); INSERT INTO kid VALUES (1, 1, 1), (2, 99, NULL);
         DELETE FROM plain WHERE id > 50; UPDATE sqlite_sequence SET seq = 1000;",
    )
    .unwrap();
    db
}

/// All that a selection can carry, as stock text for comparison.
fn dump(path: &Path, table: &str, columns: &str) -> Vec<String> {
    let db = Connection::open(path).unwrap();
    let list: Vec<String> = columns
        .split(',')
        .map(|c| format!("typeof({c})||':'||coalesce(hex({c}),'')||':'||quote({c})"))
        .collect();
    let mut statement = db
        .prepare(&format!("SELECT {} FROM {table}", list.join("||'|'||")))
        .unwrap();
    statement
        .query_map([], |row| row.get::<_, String>(0))
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

fn check_equal(source: &Path, restored: &Path) {
    for (table, columns) in [
        ("plain", "id,a,b,c,d,e"),
        ("made", "a,twice,b,len,\"c\"\"d\""),
        ("strictly", "i,r,t,b,x"),
        ("\"Größe \"\"x\"\" .sql/../y\"", "\"wert a\",\"select\""),
        ("kid", "id,parent,other"),
    ] {
        assert_eq!(
            dump(source, table, columns),
            dump(restored, table, columns),
            "{table}"
        );
    }
    let bits = |path: &Path| -> Vec<u64> {
        let db = Connection::open(path).unwrap();
        let mut statement = db
            .prepare("SELECT a FROM plain WHERE typeof(a) = 'real'")
            .unwrap();
        statement
            .query_map([], |row| row.get::<_, f64>(0))
            .unwrap()
            .map(|v| v.unwrap().to_bits())
            .collect()
    };
    assert_eq!(bits(source), bits(restored));
    let db = Connection::open(restored).unwrap();
    let one = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(
        one("SELECT seq FROM sqlite_sequence WHERE name = 'plain'"),
        1000
    );
    assert_eq!(one("PRAGMA user_version"), 42);
    assert_eq!(one("PRAGMA application_id"), 1234);
    assert_eq!(
        one("SELECT count(*) FROM sqlite_schema WHERE name IN ('plain_b', 'plain_e', 'on_plain')"),
        3
    );
}

fn place() -> (TempDir, PathBuf, PathBuf) {
    let folder = TempDir::new().unwrap();
    let (from, to) = (
        folder.path().join("erp é.db"),
        folder.path().join("restored.db"),
    );
    (folder, from, to)
}

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

#[tokio::test]
async fn a_line_end_in_a_name_is_refused_in_a_selection_and_carried_in_the_whole() {
    let (_folder, from, to) = place();
    Connection::open(&from)
        .unwrap()
        .execute_batch("CREATE TABLE \"a\nb\" (x); INSERT INTO \"a\nb\" VALUES (1), (2)")
        .unwrap();
    let error = take(&SqliteSource::new(&from), &tables(&["*"]))
        .await
        .err()
        .unwrap();
    assert_eq!(error.kind, SourceErrorKind::Unsupported);
    let whole = take(&SqliteSource::new(&from), &Selection::Everything)
        .await
        .unwrap();
    assert_eq!(whole.manifest.tables[0].rows, 2);
    let target = SqliteTarget::new(&to);
    give(&whole, &target, false, 1000).await.unwrap();
    assert_eq!(
        target.read_back(&whole.manifest).await.unwrap().unwrap(),
        expected(&whole.manifest)
    );
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

fn any_value() -> impl Strategy<Value = Value> {
    let special = proptest::collection::vec(
        prop_oneof![
            Just('\n'),
            Just('\r'),
            Just('\0'),
            Just('\\'),
            Just('\''),
            Just('n'),
            Just('0'),
            Just(';'),
            Just('1'),
            any::<char>()
        ],
        0..12,
    );
    prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::Integer),
        any::<u64>().prop_map(|bits| Value::Real(f64::from_bits(bits))),
        any::<i32>().prop_map(|n| Value::Real(f64::from(n) / 100.0)),
        special.prop_map(|chars| Value::Text(chars.into_iter().collect())),
        proptest::collection::vec(any::<u8>(), 0..9).prop_map(Value::Blob),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_values_in_any_table_come_back(
        name in "[^\0\r\n]{1,12}",
        types in proptest::collection::vec(prop_oneof![Just(""), Just("TEXT"), Just("REAL"), Just("INTEGER"), Just("NUMERIC"), Just("BLOB")], 1..5),
        rows in proptest::collection::vec(proptest::collection::vec(any_value(), 5), 0..20),
    ) {
        prop_assume!(!name.to_lowercase().starts_with("sqlite_"));
        let (folder, from, to) = place();
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        let columns: Vec<_> = types.iter().enumerate().map(|(at, kind)| format!("\"c {at}\" {kind}")).collect();
        let db = Connection::open(&from).unwrap();
        db.execute_batch(&format!("CREATE TABLE {quoted} ({})", columns.join(","))).unwrap();
        let marks = vec!["?"; types.len()].join(",");
        for row in &rows {
            db.execute(&format!("INSERT INTO {quoted} VALUES ({marks})"), rusqlite::params_from_iter(&row[..types.len()])).unwrap();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let carried = take(&SqliteSource::new(&from), &tables(&["*"])).await.unwrap();
            let target = SqliteTarget::new(&to);
            give(&carried, &target, false, 5).await.unwrap();
            assert_eq!(target.read_back(&carried.manifest).await.unwrap().unwrap(), expected(&carried.manifest));
            let unpacked = folder.path().join("files");
            unpack(&carried, &unpacked);
            let stock = folder.path().join("stock.db");
            stock_sqlite3(&unpacked, &stock, &unpacked.join("restore.sql"));
            assert_eq!(SqliteTarget::new(&stock).read_back(&carried.manifest).await.unwrap().unwrap(), expected(&carried.manifest));
        });
    }
}

/// The whole text of an error, without the folder of this test.
async fn said(source: SqliteSource, selection: &Selection, folder: &Path) -> String {
    let error = match source.open(selection, None).await {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    };
    error
        .to_string()
        .replace(&folder.display().to_string(), "DIR")
}

#[tokio::test]
async fn errors_say_what_to_do() {
    let (folder, from, _) = place();
    let all = &Selection::Everything;
    let dir = folder.path();
    let mut texts = Vec::new();
    texts.push(said(SqliteSource::new(dir.join("missing.db")), all, dir).await);
    assert!(!dir.join("missing.db").exists());
    texts.push(said(SqliteSource::new(dir), all, dir).await);
    std::fs::write(
        dir.join("text.db"),
        "this is only a text, though a long one".repeat(100),
    )
    .unwrap();
    texts.push(said(SqliteSource::new(dir.join("text.db")), all, dir).await);
    nasty(&from);
    texts.push(
        said(
            SqliteSource::new(&from),
            &tables(&["plain", "custmer*"]),
            dir,
        )
        .await,
    );
    texts.push(
        said(
            SqliteSource::new(&from).with_temporary_folder(dir.join("gone")),
            all,
            dir,
        )
        .await,
    );
    let mut bytes = std::fs::read(&from).unwrap();
    bytes[4096..8192].fill(0xAA);
    std::fs::write(dir.join("damaged.db"), bytes).unwrap();
    texts.push(said(SqliteSource::new(dir.join("damaged.db")), all, dir).await);

    let carried = take(&SqliteSource::new(&from), all).await.unwrap();
    let refused = |error: logisedge_sources::SourceError| {
        error.to_string().replace(&dir.display().to_string(), "DIR")
    };
    let target = SqliteTarget::new(dir.join("no/such/folder.db"));
    texts.push(refused(target.state().await.unwrap_err()));
    let target = SqliteTarget::new(dir.join("text.db"));
    texts.push(refused(
        give(&carried, &target, false, 9000).await.unwrap_err(),
    ));
    insta::assert_snapshot!(texts.join("\n"), @r"
    cannot back up DIR/missing.db: there is no such file or folder; check the path
    cannot back up DIR: it is a folder; name the database file inside it
    cannot back up DIR/text.db: it is no SQLite database, or it is encrypted; name a plain SQLite 3 file
    cannot select tables of DIR/erp é.db: no table matches custmer*; correct the scope's patterns (SQLite's tables are in the schema `main`)
    cannot copy a database into DIR/gone: there is no such file or folder; check the path
    cannot back up DIR/damaged.db: the database is damaged (*** in database main ***
    Tree 2 page 2: btreeInitPage() returns error code 11); restore an earlier snapshot or try `sqlite3 FILE .recover`
    cannot restore to DIR/no/such/folder.db: the folder DIR/no/such does not exist; make it first
    cannot restore to DIR/text.db: it holds a file of 3800 bytes that is no readable SQLite database; name a new file, or allow overwriting
    ");
}
