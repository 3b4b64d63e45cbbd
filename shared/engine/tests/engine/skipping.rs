//! What is proven unchanged is not read, and is in the snapshot all the same: it restores, with ours and
//! with stock restic, from the blobs of the base.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use logisedge_domain::snapshot::Kind;
use logisedge_engine::backup::Taken;
use logisedge_sources::postgres::PostgresSource;
use logisedge_storage::{FolderStore, ObjectStore};

use crate::server::{Database, said};
use crate::under_load::{back_up, restored};
use crate::world::PASSWORD;

/// Three ranges of pages, thinly filled; about 3 MB of rows.
const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, note text) WITH (fillfactor = 10);
    INSERT INTO t SELECT i, repeat(md5(i::text), 3) FROM generate_series(1, 27000) i";

/// A few rows of the table's second range.
const SECOND_RANGE: &str = "ctid >= '(3000,0)' AND ctid < '(3010,0)'";

struct Lab {
    database: Database,
    folder: tempfile::TempDir,
    store: Arc<dyn ObjectStore>,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(FolderStore::create(folder.path()).unwrap());
        let database = Database::create();
        database.sql(TABLE);
        Self {
            database,
            folder,
            store,
        }
    }

    async fn take(&self, kind: Kind) -> Taken {
        // Chains are named by the second.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        self.older_transactions_have_ended().await;
        let taken = back_up(&self.database.source(), &self.store, kind).await;
        assert_eq!(taken.record.kind, kind, "{:?}", taken.record.kind_reason);
        self.holds_what_is_there(&taken).await;
        taken
    }

    /// Other tests share the server: what is newer than their oldest transaction is not proven unchanged.
    async fn older_transactions_have_ended(&self) {
        let newest = "SELECT pg_snapshot_xmax(pg_current_snapshot())";
        let newest = self.database.sql(newest);
        let have_ended = format!(
            "SELECT pg_snapshot_xmin(pg_current_snapshot()) >= '{}'::xid8",
            newest.trim()
        );
        for _ in 0..600 {
            if self.database.sql(&have_ended).trim() == "t" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("a transaction of another test runs for a minute");
    }

    /// Restores the snapshot, and has stock restic read all of its chain.
    async fn holds_what_is_there(&self, taken: &Taken) {
        let record = &taken.record;
        let copy = restored(&self.store, record).await;
        let all = "SELECT count(*), md5(string_agg(id || note, ',' ORDER BY id)) FROM t";
        assert_eq!(copy.sql(all), self.database.sql(all));
        let chain = self.folder.path().join(record.chain.as_str());
        restic(&chain, &["check", "--read-data"]);
    }
}

fn restic(repository: &Path, arguments: &[&str]) {
    said(
        Command::new("restic")
            .args(["-q", "--no-cache", "-r"])
            .arg(repository)
            .args(arguments)
            .env("RESTIC_PASSWORD", PASSWORD),
    );
}

/// Bytes of rows read and skipped; the small files are always read.
fn read_and_skipped(taken: &Taken) -> (u64, u64) {
    let table = &taken.manifest.tables[0];
    let small = taken.stats.bytes_read + taken.stats.bytes_skipped - table.bytes;
    (taken.stats.bytes_read - small, taken.stats.bytes_skipped)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_ranges_that_changed_are_read() {
    let lab = Lab::new();
    let full = lab.take(Kind::Full).await;
    let ranges = &full.manifest.tables[0].ranges;
    assert_eq!(ranges.len(), 3);
    let all: u64 = ranges.iter().map(|range| range.bytes).sum();
    assert_eq!(read_and_skipped(&full), (all, 0));

    // Nothing changed: nothing is read.
    let nothing = lab.take(Kind::Incremental).await;
    assert_eq!(read_and_skipped(&nothing), (0, all));
    assert!(nothing.stats.bytes_shared >= all);

    // One range changed: that one is read. Against the full it stays changed, against the incremental not.
    lab.database.sql(&format!(
        "UPDATE t SET note = 'changed' WHERE {SECOND_RANGE}"
    ));
    let changed = lab.take(Kind::Incremental).await;
    let (read, skipped) = read_and_skipped(&changed);
    assert_eq!(skipped, ranges[0].bytes + ranges[2].bytes);
    assert_eq!(read, changed.manifest.tables[0].ranges[1].bytes);
    assert_eq!(read_and_skipped(&lab.take(Kind::Incremental).await).0, 0);
    let differential = lab.take(Kind::Differential).await;
    assert_eq!(read_and_skipped(&differential), (read, skipped));
    // A base may itself consist of what it did not read.
    lab.database.sql(&format!(
        "DELETE FROM t WHERE {SECOND_RANGE} AND id % 2 = 0"
    ));
    assert_eq!(
        read_and_skipped(&lab.take(Kind::Incremental).await).1,
        skipped
    );

    // A full never skips, and shares nothing.
    let second = lab.take(Kind::Full).await;
    assert_eq!(
        (second.stats.bytes_skipped, second.stats.bytes_shared),
        (0, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn turned_off_everything_is_read_and_found_in_the_chain() {
    let lab = Lab::new();
    lab.take(Kind::Full).await;
    let mut options = lab.database.options();
    options.skip_unchanged = false;
    let taken = back_up(&PostgresSource::new(options), &lab.store, Kind::Incremental).await;
    assert_eq!(
        (taken.record.kind, taken.stats.bytes_skipped),
        (Kind::Incremental, 0)
    );
    assert!(taken.stats.bytes_shared > taken.manifest.tables[0].bytes / 2);
    assert!(taken.manifest.source.lineage.is_none());
    lab.holds_what_is_there(&taken).await;
    // It left no witness, so nothing can be proven against it.
    let next = lab.take(Kind::Incremental).await;
    assert_eq!(next.stats.bytes_skipped, 0);
}
