//! What is proven unchanged is unchanged: every way in which a range of pages may come to hold other
//! rows, or the same rows other text, against real servers.
//!
//! Each test takes a base, lets something happen, and takes again, once on the base and once
//! reading everything: both must hold the same, byte for byte. What was skipped is counted beside
//! it, so that the proof is also seen to be of use.

#![allow(clippy::unwrap_used)]

#[path = "carry/mod.rs"]
mod carry;
#[path = "server/cluster.rs"]
mod cluster;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};

use carry::{Carried, take, take_on};
use cluster::Cluster;
use logisedge_domain::scope::Selection;

/// A table of three ranges of pages, thinly filled: 16 MiB hold about 12,000 rows.
const TABLE: &str = "CREATE TYPE mood AS ENUM ('glad', 'sad');;
    CREATE TABLE t (id int, mood mood, note text) WITH (fillfactor = 10);;
    INSERT INTO t SELECT i, 'glad', repeat('x', 100) FROM generate_series(1, 27000) i";

/// Rows in the middle range only.
const MIDDLE: &str = "ctid >= '(3000,0)' AND ctid < '(3100,0)'";

async fn full(cluster: &Cluster) -> Carried {
    take(&cluster.source(), &Selection::Everything)
        .await
        .unwrap()
}

/// Takes again on `base`, makes sure that it holds what is there, and returns how many of the parts
/// of `t` were skipped.
async fn skipped(cluster: &Cluster, base: &Carried) -> usize {
    let next = again(cluster, base).await;
    next.skipped
        .iter()
        .filter(|path| path.starts_with("/data/public.t."))
        .count()
}

async fn again(cluster: &Cluster, base: &Carried) -> Carried {
    let source = cluster.source();
    let next = take_on(&source, &Selection::Everything, Some(base))
        .await
        .unwrap();
    let read = full(cluster).await;
    assert_eq!(
        next.data.keys().collect::<Vec<_>>(),
        read.data.keys().collect::<Vec<_>>()
    );
    for (path, content) in &next.data {
        let at = content
            .iter()
            .zip(&read.data[path])
            .position(|(a, b)| a != b);
        assert!(
            *content == read.data[path],
            "{path} differs from byte {at:?} on"
        );
    }
    let tables = |carried: &Carried| {
        let tables = &carried.manifest.tables;
        tables
            .iter()
            .map(|t| (t.name.clone(), t.rows, t.content))
            .collect::<Vec<_>>()
    };
    assert_eq!(tables(&next), tables(&read));
    next
}

/// A session that stays open between statements.
struct Open {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Open {
    fn new(cluster: &Cluster) -> Self {
        let mut child = cluster
            .psql()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, answers }
    }

    /// Runs statements and waits until they are done.
    fn run(&mut self, sql: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{sql};\n\\echo done").unwrap();
        let mut line = String::new();
        while line != "done\n" {
            line.clear();
            assert!(
                self.answers.read_line(&mut line).unwrap() > 0,
                "psql ended at: {sql}"
            );
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn changes_are_read_and_what_did_not_change_is_not() {
    let cluster = Cluster::new(&["max_prepared_transactions=5"]);
    cluster.sql(TABLE);
    let mut base = full(&cluster).await;
    assert_eq!(
        skipped(&cluster, &base).await,
        3,
        "{:?}",
        base.all_read_because
    );

    // Statement, and how many of the three ranges stay as they were.
    let cases = [
        ("SELECT 1", 3),
        ("VACUUM t", 3),
        ("VACUUM FREEZE t", 3),
        ("ANALYZE t", 3),
        (&format!("BEGIN; DELETE FROM t WHERE {MIDDLE}; ROLLBACK"), 3),
        (
            &format!("BEGIN; UPDATE t SET note = '' WHERE {MIDDLE}; ROLLBACK;;VACUUM t"),
            3,
        ),
        (
            &format!("BEGIN; SELECT * FROM t WHERE {MIDDLE} FOR UPDATE; COMMIT"),
            3,
        ),
        (&format!("UPDATE t SET note = id::text WHERE {MIDDLE}"), 2),
        (&format!("UPDATE t SET note = note WHERE {MIDDLE}"), 2),
        (&format!("DELETE FROM t WHERE {MIDDLE} AND id % 2 = 0"), 2),
        (
            "INSERT INTO t SELECT i, 'sad', repeat('y', 100) FROM generate_series(1, 100) i",
            2,
        ),
        (
            "BEGIN; SAVEPOINT a; INSERT INTO t VALUES (-1, 'sad', 'sub'); RELEASE a; COMMIT",
            2,
        ),
        ("ALTER TABLE t ALTER note SET STATISTICS 10", 3),
        ("CREATE INDEX ON t (id)", 3),
        ("ALTER TABLE t ADD late int DEFAULT 7", 0),
        ("ALTER TABLE t ALTER late SET DEFAULT 8", 3),
        ("ALTER TABLE t DROP late", 0),
        ("ALTER TYPE mood RENAME VALUE 'glad' TO 'merry'", 0),
        (
            "ALTER TYPE mood RENAME VALUE 'merry' TO 'fine';;ALTER TYPE mood RENAME VALUE 'fine' TO 'merry'",
            0,
        ),
        ("ALTER TABLE t ALTER id TYPE bigint", 0),
        ("CLUSTER t USING t_id_idx", 0),
        ("VACUUM FULL t", 0),
        (
            "CREATE TABLE u AS TABLE t;;TRUNCATE t;;INSERT INTO t TABLE u;;DROP TABLE u",
            0,
        ),
        (
            "COPY t TO 'FILE';;BEGIN; TRUNCATE t; COPY t FROM 'FILE' (FREEZE); COMMIT",
            0,
        ),
    ];
    for (statements, unchanged) in cases {
        let statements = statements.replace("FILE", &cluster.place("rows"));
        cluster.sql(&statements);
        let parts = base.manifest.tables[0].ranges.len().min(3);
        assert_eq!(parts, 3);
        assert_eq!(skipped(&cluster, &base).await, unchanged, "{statements}");
        base = full(&cluster).await;
    }
}

#[tokio::test]
async fn transactions_that_run_while_the_base_is_taken_are_noticed_afterwards() {
    let cluster = Cluster::new(&["max_prepared_transactions=5"]);
    cluster.sql(TABLE);

    // Running, with subtransactions, and ending after the base.
    for end in ["COMMIT", "ROLLBACK"] {
        let mut open = Open::new(&cluster);
        open.run(&format!(
            "BEGIN; SAVEPOINT a; INSERT INTO t VALUES (-1, 'sad', 'sub'); SAVEPOINT b; \
             DELETE FROM t WHERE {MIDDLE} AND id % 3 = 0; RELEASE b"
        ));
        // Younger than the running one and ended before the base: seen by it, and not provable.
        cluster.sql("UPDATE t SET note = 'young' WHERE ctid < '(10,0)'");
        let base = full(&cluster).await;
        assert_eq!(skipped(&cluster, &base).await, 2, "while it runs");
        open.run(end);
        let unchanged = if end == "COMMIT" { 0 } else { 2 };
        assert_eq!(skipped(&cluster, &base).await, unchanged, "{end}");
    }

    // Prepared before the base; survives a crash; committed after it.
    cluster.sql(&format!(
        "BEGIN; DELETE FROM t WHERE {MIDDLE} AND id % 5 = 0; \
         INSERT INTO t VALUES (-2, 'sad', 'prepared'); PREPARE TRANSACTION 'p'"
    ));
    let base = full(&cluster).await;
    // Whoever waits for his own commit has the witnesses' flushed too.
    cluster.sql("CREATE TABLE flushed ()");
    cluster.crash();
    cluster.start();
    let before = skipped(&cluster, &base).await;
    cluster.sql("COMMIT PREPARED 'p'");
    let after = skipped(&cluster, &base).await;
    assert!(after < before && before <= 3, "{after} of {before}");
}

#[tokio::test]
async fn a_crash_that_loses_what_the_base_saw_is_noticed() {
    let cluster = Cluster::new(&["synchronous_commit=off", "wal_writer_delay=10s"]);
    cluster.sql(TABLE);
    cluster
        .sql("CREATE UNLOGGED TABLE quick AS SELECT i FROM generate_series(1, 10) i;;CHECKPOINT");

    // A crash that loses nothing is no reason to read everything again.
    let base = full(&cluster).await;
    cluster.sql("SET synchronous_commit = on; INSERT INTO t VALUES (0, 'sad', 'flushed')");
    cluster.crash();
    cluster.start();
    let next = again(&cluster, &base).await;
    assert_eq!(next.all_read_because, None);
    assert_eq!(cluster.sql("SELECT count(*) FROM quick"), "0");
    assert!(!next.skipped.contains(&"/data/public.quick.copy".to_owned()));

    // One that does is. How much is lost is up to the server, so it may take a few tries.
    for number in 1.. {
        assert!(number < 20, "no crash lost a commit");
        cluster.sql("CHECKPOINT");
        let rows = cluster.sql("SELECT count(*) FROM t");
        cluster.sql(&format!(
            "UPDATE t SET note = 'lost' WHERE {MIDDLE};;INSERT INTO t VALUES (-9, 'sad', 'lost')"
        ));
        let base = full(&cluster).await;
        cluster.crash();
        cluster.start();
        let lost = cluster.sql("SELECT count(*) FROM t") == rows;
        // The same number of transactions again, with the same counts and other rows.
        cluster.sql(&format!(
            "UPDATE t SET note = 'found' WHERE {MIDDLE};;INSERT INTO t VALUES (-8, 'sad', 'found')"
        ));
        for _ in 0..40 {
            cluster.sql("SELECT pg_current_xact_id()");
        }
        let next = again(&cluster, &base).await;
        if lost {
            let because = next.all_read_because.unwrap();
            assert!(
                because.contains("no memory of") || because.contains("ahead of the server"),
                "{because}"
            );
            return;
        }
    }
}

#[tokio::test]
async fn a_disk_that_was_put_back_is_noticed_though_nothing_else_tells() {
    let cluster = Cluster::new(&[]);
    cluster.sql(TABLE);
    cluster.stop();
    let saved = cluster.save();
    cluster.start();
    cluster.sql(&format!("UPDATE t SET note = 'one future' WHERE {MIDDLE}"));
    let base = full(&cluster).await;
    cluster.stop();
    cluster.put_back(&saved);
    cluster.start();
    cluster.sql(&format!("UPDATE t SET note = 'another' WHERE {MIDDLE}"));
    // At once, while the witnesses' numbers lie in the future …
    let next = again(&cluster, &base).await;
    assert!(next.all_read_because.is_some());
    // … and when others have them.
    for _ in 0..60 {
        cluster.sql("SELECT pg_current_xact_id()");
    }
    let next = again(&cluster, &base).await;
    let (then, now) = (
        base.manifest.source.lineage.unwrap(),
        next.manifest.source.lineage.unwrap(),
    );
    assert_eq!(
        (&then.system_identifier, then.timeline, then.database),
        (&now.system_identifier, now.timeline, now.database)
    );
    let because = next.all_read_because.unwrap();
    assert!(
        because.contains("put back to an earlier state"),
        "{because}"
    );
}

#[tokio::test]
async fn standbys_and_promotions_are_noticed() {
    let primary = Cluster::new(&[]);
    primary.sql(TABLE);
    let standby = primary.standby();
    // The standby lacks what comes now.
    primary.sql(&format!(
        "UPDATE t SET note = 'only on the primary' WHERE {MIDDLE}"
    ));
    let base = full(&primary).await;
    primary.stop();
    standby.start();

    let next = again(&standby, &base).await;
    assert_eq!(next.manifest.source.lineage, None);
    let because = next.all_read_because.unwrap();
    assert!(because.contains("does not tell its history"), "{because}");

    standby.promote();
    standby.sql(&format!(
        "UPDATE t SET note = 'on the new primary' WHERE {MIDDLE}"
    ));
    let next = again(&standby, &base).await;
    let because = next.all_read_because.unwrap();
    assert!(
        because.contains("on timeline 1, and the server is on 2 now"),
        "{because}"
    );
    let base = full(&standby).await;
    assert_eq!(skipped(&standby, &base).await, 3);
}

#[tokio::test]
async fn what_cannot_be_compared_is_read() {
    let cluster = Cluster::new(&[]);
    cluster.sql(TABLE);
    cluster.sql(
        "CREATE EXTENSION citext;;CREATE TABLE extension (a citext);;CREATE TABLE looked_up (a regclass);;\
         CREATE DOMAIN d AS regtype[];;CREATE TYPE c AS (x int, y d);;CREATE TABLE deep (a c[]);;\
         CREATE TYPE r AS (x mood, y int4range);;CREATE TABLE fine (a r[], b mood[], c numeric(10, 2)[]);;\
         CREATE TABLE nothing ();;INSERT INTO nothing DEFAULT VALUES",
    );
    // Copied before anybody is connected; it has the same tables in the same files.
    cluster.sql("CREATE DATABASE twin TEMPLATE postgres");
    let base = full(&cluster).await;
    let next = again(&cluster, &base).await;
    let skipped = |name: &str| next.skipped.contains(&format!("/data/public.{name}.copy"));
    for (table, provable) in [
        ("extension", false),
        ("looked_up", false),
        ("deep", false),
        ("nothing", false),
        ("fine", true),
    ] {
        assert_eq!(skipped(table), provable, "{table}");
    }

    // Changes of types at depth, which take no lock on the table.
    cluster.sql("ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'");
    assert!(
        !again(&cluster, &base)
            .await
            .skipped
            .contains(&"/data/public.fine.copy".to_owned())
    );

    // A copy of the database.
    let mut options = cluster.options();
    options.database = "twin".to_owned();
    let twin = logisedge_sources::postgres::PostgresSource::new(options);
    let next = take_on(&twin, &Selection::Everything, Some(&base))
        .await
        .unwrap();
    assert_eq!(next.skipped, Vec::<String>::new());
    assert!(next.all_read_because.unwrap().contains("another database"));

    // Turned off, nothing is skipped and no witness is left.
    let mut options = cluster.options();
    options.skip_unchanged = false;
    let source = logisedge_sources::postgres::PostgresSource::new(options);
    let next = take_on(&source, &Selection::Everything, Some(&base))
        .await
        .unwrap();
    assert_eq!(
        (next.skipped.len(), next.manifest.source.lineage),
        (0, None)
    );

    // A base that lies too far back: half of the 32-bit numbers are the limit, a quarter is ours.
    cluster.stop();
    cluster.reset_wal(&["-x", "1500000000"]);
    let segment = format!("pg_xact/{:04X}", 1_500_000_000u32 / 4 / 8192 / 32);
    cluster.write(&segment, &[0; 256 * 1024]);
    cluster.start();
    let next = again(&cluster, &base).await;
    let because = next.all_read_because.unwrap();
    assert!(because.contains("too many transactions ago"), "{because}");
}
