//! Restoring into SQLite, and rebuilding a lost catalog.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use logisedge_domain::manifest::{ContentHash, Manifest};
use logisedge_domain::snapshot::{SnapshotRecord, Trust};
use logisedge_engine::rebuild::rebuild;
use logisedge_engine::restore::{Opened, Restored, open};
use logisedge_engine::verify::verify_recorded;
use logisedge_engine::{EngineError, EngineErrorKind, Progress};
use logisedge_repository::Password;
use logisedge_sources::{RestoreFile, SourceError, SqliteTarget, Target, TargetState};

use crate::verifying::{files_of, flip};
use crate::world::{CUSTOMERS, World, catalog, password};

async fn opened(world: &World, record: &SnapshotRecord) -> Opened {
    open(world.store.clone(), &password(), &record.chain, record.id)
        .await
        .unwrap()
}

async fn restored(
    world: &World,
    record: &SnapshotRecord,
    target: Arc<dyn Target>,
    overwrite: bool,
) -> Result<Restored, EngineError> {
    let opened = opened(world, record).await;
    opened.restore(target, overwrite, &Progress::new()).await
}

fn target(world: &World) -> (PathBuf, Arc<dyn Target>) {
    let path = world.folder.path().join("restored.db");
    (path.clone(), Arc::new(SqliteTarget::new(path)))
}

fn count(path: &PathBuf, table: &str) -> u64 {
    let db = rusqlite::Connection::open(path).unwrap();
    db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
        row.get::<_, i64>(0)
    })
    .unwrap()
    .unsigned_abs()
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_and_whole_databases_come_back_as_they_were() {
    let world = World::new().await;
    for (scope, tables) in [("customers", 1), ("everything", 6)] {
        let record = world.back_up(scope).await;
        let (path, target) = target(&world);
        let done = restored(&world, &record, target, true).await.unwrap();
        assert!(done.agrees());
        assert_eq!(done.tables.unwrap().len(), tables);
        assert_eq!(count(&path, "customers"), CUSTOMERS);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_holds_something_is_refused_and_left_alone() {
    let world = World::new().await;
    let record = world.back_up("customers").await;
    let (path, into) = target(&world);
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch("CREATE TABLE mine (x); INSERT INTO mine VALUES (1)")
        .unwrap();
    drop(db);
    let error = restored(&world, &record, into, false).await.unwrap_err();
    assert_eq!(error.kind, EngineErrorKind::Refused);
    insta::assert_snapshot!(error, @r#"the target is not empty, it holds 1 tables ("mine"): name an empty one, or say --overwrite to replace what is there"#);
    assert_eq!(count(&path, "mine"), 1);
    let (_, into) = target(&world);
    assert!(
        restored(&world, &record, into, true)
            .await
            .unwrap()
            .agrees()
    );
    assert_eq!(count(&path, "customers"), CUSTOMERS);
}

/// A target that loses rows after they arrived.
#[derive(Debug)]
struct Losing {
    inner: SqliteTarget,
    path: PathBuf,
    change: &'static str,
}

#[async_trait]
impl Target for Losing {
    async fn state(&self) -> Result<TargetState, SourceError> {
        self.inner.state().await
    }

    async fn begin(
        &self,
        manifest: &Manifest,
        schema: &BTreeMap<String, Bytes>,
        overwrite: bool,
    ) -> Result<(), SourceError> {
        self.inner.begin(manifest, schema, overwrite).await
    }

    fn parallelism(&self) -> usize {
        self.inner.parallelism()
    }

    async fn load(&self, manifest: &Manifest, file: RestoreFile) -> Result<(), SourceError> {
        self.inner.load(manifest, file).await
    }

    async fn finish(
        &self,
        manifest: &Manifest,
        schema: &BTreeMap<String, Bytes>,
    ) -> Result<(), SourceError> {
        self.inner.finish(manifest, schema).await?;
        let db = rusqlite::Connection::open(&self.path).unwrap();
        db.execute_batch(self.change).unwrap();
        Ok(())
    }

    fn warnings(&self) -> Vec<String> {
        self.inner.warnings()
    }

    async fn read_back(
        &self,
        manifest: &Manifest,
    ) -> Result<Option<Vec<(u64, ContentHash)>>, SourceError> {
        self.inner.read_back(manifest).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_different_is_told_table_by_table() {
    let world = World::new().await;
    let record = world.back_up("everything").await;
    for (change, rows) in [
        ("DELETE FROM customers WHERE id = 7", CUSTOMERS - 1),
        (
            "UPDATE customers SET note = note || '.' WHERE id = 7",
            CUSTOMERS,
        ),
    ] {
        let (path, _) = target(&world);
        let inner = SqliteTarget::new(&path);
        let losing = Arc::new(Losing {
            inner,
            path,
            change,
        });
        let done = restored(&world, &record, losing, true).await.unwrap();
        assert!(!done.agrees());
        let tables = done.tables.unwrap();
        let differing: Vec<_> = tables.iter().filter(|table| !table.agrees()).collect();
        assert_eq!(differing.len(), 1);
        assert_eq!(differing[0].table, "main.customers");
        assert_eq!(
            (differing[0].rows_expected, differing[0].rows),
            (CUSTOMERS, rows)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_fails_half_way_leaves_the_target_as_it_was() {
    let world = World::new().await;
    for scope in ["customers", "everything"] {
        let record = world.back_up(scope).await;
        let snapshot = opened(&world, &record).await;
        flip(&files_of(&world, &record, "data")[0]);
        let (path, into) = target(&world);
        let error = snapshot
            .restore(into, false, &Progress::new())
            .await
            .unwrap_err();
        assert!(matches!(
            error.kind,
            EngineErrorKind::Repository | EngineErrorKind::Damaged
        ));
        assert!(!path.exists(), "{scope}");

        let db = rusqlite::Connection::open(&path).unwrap();
        db.execute_batch("CREATE TABLE mine (x); INSERT INTO mine VALUES (1)")
            .unwrap();
        drop(db);
        let (path, into) = target(&world);
        assert!(
            snapshot
                .restore(into, true, &Progress::new())
                .await
                .is_err()
        );
        assert_eq!(count(&path, "mine"), 1, "{scope}");
        std::fs::remove_file(&path).unwrap();
        let left = std::fs::read_dir(world.folder.path()).unwrap();
        assert_eq!(left.count(), 2, "the database and the location");
    }
}

/// A target that holds something, and whose `begin` would remove it.
#[derive(Debug)]
struct Dear;

#[async_trait]
impl Target for Dear {
    async fn state(&self) -> Result<TargetState, SourceError> {
        Ok(TargetState::Occupied("all that is dear".to_owned()))
    }

    async fn begin(
        &self,
        _: &Manifest,
        _: &BTreeMap<String, Bytes>,
        _: bool,
    ) -> Result<(), SourceError> {
        panic!("what was there is gone");
    }

    fn parallelism(&self) -> usize {
        1
    }

    async fn load(&self, _: &Manifest, _: RestoreFile) -> Result<(), SourceError> {
        unreachable!("it was not begun")
    }

    async fn finish(&self, _: &Manifest, _: &BTreeMap<String, Bytes>) -> Result<(), SourceError> {
        unreachable!("it was not begun")
    }

    async fn read_back(
        &self,
        _: &Manifest,
    ) -> Result<Option<Vec<(u64, ContentHash)>>, SourceError> {
        unreachable!("it was not begun")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_removed_for_a_snapshot_whose_packs_are_missing() {
    let world = World::new().await;
    let record = world.back_up("customers").await;
    let snapshot = opened(&world, &record).await;
    // The largest pack holds rows, not directories.
    let mut packs = files_of(&world, &record, "data");
    packs.sort_by_key(|path| std::fs::metadata(path).unwrap().len());
    let pack = packs.pop().unwrap();
    let whole = std::fs::read(&pack).unwrap();
    for left in [Some(whole.len() / 2), None] {
        std::fs::remove_file(&pack).unwrap();
        if let Some(bytes) = left {
            std::fs::write(&pack, &whole[..bytes]).unwrap();
        }
        let progress = Progress::new();
        let restored = snapshot.restore(Arc::new(Dear), true, &progress);
        let error = restored.await.unwrap_err();
        assert_eq!(error.kind, EngineErrorKind::Damaged, "{error}");
        let said = error.to_string();
        assert!(said.contains("not there or too short"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_catalog_is_rebuilt_from_the_location_alone() {
    let world = World::new().await;
    let name = "main".parse().unwrap();
    let mut records = vec![
        world.back_up("customers").await,
        world.back_up("items").await,
    ];
    records.push(world.back_up("everything").await);
    let (store, progress) = (world.store.clone(), Progress::new());
    verify_recorded(&world.catalog, store, &password(), &records[0], &progress)
        .await
        .unwrap();
    // What is none of ours, and what an attempt left half-written.
    std::fs::create_dir_all(world.location().join("Holiday photos/2026")).unwrap();
    std::fs::create_dir_all(
        world
            .location()
            .join("items/2026-01-01/full_20260101_000000"),
    )
    .unwrap();

    let empty = catalog().await;
    let found = rebuild(&empty, &name, &world.store, &password(), &progress).await;
    let found = found.unwrap();
    assert!(found.unreadable.is_empty(), "{:?}", found.unreadable);
    assert_eq!((found.recorded.len(), found.known), (3, 0));
    // All that a snapshot does not say of itself is how far it is trusted.
    let mut rebuilt = empty.all_snapshots().await.unwrap();
    rebuilt.reverse();
    assert!(
        rebuilt
            .iter()
            .all(|record| record.trust == Trust::Unverified)
    );
    assert_eq!(rebuilt, records);

    let again = rebuild(&empty, &name, &world.store, &password(), &progress).await;
    assert_eq!(again.unwrap().known, 3);
    // One that lost nothing keeps what it knows.
    let unneeded = rebuild(&world.catalog, &name, &world.store, &password(), &progress).await;
    assert_eq!(unneeded.unwrap().recorded, []);
    let known = world.catalog.snapshots(&records[0].scope).await.unwrap();
    assert_eq!(known[0].trust, Trust::Verified);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_chain_is_told_and_hides_no_other() {
    let world = World::new().await;
    let name = "main".parse().unwrap();
    let damaged = world.back_up("customers").await;
    let sound = world.back_up("items").await;
    let config = world.location().join(damaged.chain.as_str()).join("config");
    flip(&config);
    let (empty, progress) = (catalog().await, Progress::new());
    let found = rebuild(&empty, &name, &world.store, &password(), &progress).await;
    let found = found.unwrap();
    assert_eq!(
        found.recorded.iter().map(|r| r.id).collect::<Vec<_>>(),
        [sound.id]
    );
    assert_eq!(found.unreadable.len(), 1);
    assert_eq!(found.unreadable[0].0, damaged.chain);

    let wrong = Password::new("another".to_owned());
    let found = rebuild(&catalog().await, &name, &world.store, &wrong, &progress).await;
    assert_eq!(found.unwrap().unreadable.len(), 2);
}
