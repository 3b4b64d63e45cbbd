//! Rows that go to cheaper storage classes, and what can be done while they lie there.

use std::sync::Arc;
use std::time::{Duration, Instant as Stopwatch};

use chrono::Utc;
use logisedge_domain::id::LocationName;
use logisedge_domain::snapshot::{Kind, SnapshotRecord, Trust};
use logisedge_domain::storage::{StorageTier, ThawSpeed};
use logisedge_engine::attempt::Attempted;
use logisedge_engine::prune::{plan, prune};
use logisedge_engine::rebuild::rebuild;
use logisedge_engine::restore::{Opened, open};
use logisedge_engine::verify::verify_recorded;
use logisedge_engine::{EngineErrorKind, Progress, configure, undelete};
use logisedge_sources::SqliteTarget;

use crate::bucket::Bucket;
use crate::world::{World, catalog, config, password, scope};

/// The emulator's time for what takes hours: a slow machine comes too late to see it.
const EMULATOR_THAWS_IN: Duration = Duration::from_secs(2);

const SCOPE: &str = "items";
const ARCHIVE: &str = "storage = \"archive\"\nkeep = { last = 1 }";

async fn take(world: &World, kind: Kind) -> SnapshotRecord {
    // A chain's name tells the second.
    tokio::time::sleep(std::time::Duration::from_millis(1010)).await;
    let run = world.request_kind(SCOPE, Some(kind)).await;
    match world.attempt(&run).await {
        Attempted::Succeeded(taken) => taken.record,
        other => panic!("{other:?}"),
    }
}

/// Another configuration of the schedule from now on.
async fn reconfigure(world: &World, more: &str) {
    let now = Utc::now();
    configure::apply(&world.catalog, &config(more), now)
        .await
        .unwrap();
}

fn add_item(world: &World) {
    let db = rusqlite::Connection::open(world.database()).unwrap();
    db.execute("INSERT INTO items (sku) VALUES ('new')", [])
        .unwrap();
}

async fn opened(world: &World, record: &SnapshotRecord) -> Opened {
    open(world.store.clone(), &password(), &record.chain, record.id)
        .await
        .unwrap()
}

async fn restores(world: &World, record: &SnapshotRecord) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let target = Arc::new(SqliteTarget::new(folder.path().join("restored.db")));
    let opened = opened(world, record).await;
    let restored = opened.restore(target, false, &Progress::new()).await;
    restored.unwrap().agrees()
}

async fn trust(world: &World, record: &SnapshotRecord) -> (Trust, bool) {
    let records = world.catalog.snapshots(&record.scope).await.unwrap();
    let found = records.iter().find(|r| r.id == record.id).unwrap();
    (found.trust, found.verified_at.is_some())
}

/// Everything but packs of rows stays where it can be read at once: the snapshot can be listed, looked
/// into, planned with, found again, and in part verified.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_archived_is_known_and_comes_back_once_it_was_thawed() {
    let bucket = Bucket::create().await;
    let world = bucket.world(ARCHIVE).await;
    let record = take(&world, Kind::Full).await;
    assert_eq!(record.tier, StorageTier::Archive);
    let progress = Progress::new();
    let verify = async || {
        let (store, password) = (world.store.clone(), password());
        verify_recorded(&world.catalog, store, &password, &record, &progress)
            .await
            .unwrap()
    };
    let whole = verify().await;
    assert_eq!(whole.packs_archived, 0);
    assert_eq!(trust(&world, &record).await, (Trust::Verified, true));

    let archived = bucket
        .transition(StorageTier::Archive, "DEEP_ARCHIVE")
        .await;
    let packs = format!("{}/data/", record.chain);
    assert!(archived.iter().all(|key| key.starts_with(&packs)));
    let listed = world.store.list(&packs).await.unwrap();
    assert_eq!(archived.len(), 1, "{listed:?}");
    assert_eq!(listed.len(), 3, "rows, small files, trees: {listed:?}");

    // The manifest can be read, the snapshot found again, and prune can plan.
    assert_eq!(
        opened(&world, &record).await.manifest.tier,
        StorageTier::Archive
    );
    let (empty, name): (_, LocationName) = (catalog().await, "main".parse().unwrap());
    let key = password();
    let rebuilt = rebuild(&empty, &name, &world.store, &key, &progress);
    let rebuilt = rebuilt.await.unwrap();
    assert!(rebuilt.unreadable.is_empty(), "{rebuilt:?}");
    assert_eq!(rebuilt.recorded[0].tier, StorageTier::Archive);
    let at = world.locations();
    let shown = plan(&world.catalog, &scope(SCOPE), &at, Utc::now()).await;
    assert!(shown.unwrap().chains.is_empty());

    // What cannot be read is no damage, and what was known stays.
    let partly = verify().await;
    assert!(partly.is_good() && partly.findings.is_empty(), "{partly:?}");
    assert_eq!((partly.packs_archived, partly.packs), (1, whole.packs - 1));
    assert_eq!(trust(&world, &record).await, (Trust::Verified, true));

    let snapshot = opened(&world, &record).await;
    let target = world.folder.path().join("restored.db");
    let into = Arc::new(SqliteTarget::new(target.clone()));
    let refused = snapshot.restore(into, false, &progress).await.unwrap_err();
    assert_eq!(refused.kind, EngineErrorKind::Archived);
    assert!(
        refused.message.contains("--thaw standard   within 12 h"),
        "{refused}"
    );
    assert!(!target.exists(), "nothing was begun");
    let never = snapshot.wait_for_thaw().await.unwrap_err();
    assert_eq!(never.kind, EngineErrorKind::Archived);

    let frozen = snapshot.frozen().await.unwrap();
    let thaw = frozen.plan(ThawSpeed::Bulk, 3).unwrap();
    assert_eq!((thaw.packs, thaw.seconds_max), (1, 48 * 3600));
    let asked = Stopwatch::now();
    snapshot.thaw(&frozen, &thaw).await.unwrap();
    let again = snapshot.frozen().await.unwrap();
    assert!(again.is_thawing());
    let into = Arc::new(SqliteTarget::new(target));
    match snapshot.restore(into, false, &progress).await {
        Err(refused) => assert!(refused.message.contains("are being thawed"), "{refused}"),
        Ok(_) => assert!(asked.elapsed() >= EMULATOR_THAWS_IN, "it was not readable"),
    }
    snapshot.wait_for_thaw().await.unwrap();
    assert!(restores(&world, &record).await);
    assert_eq!(verify().await.packs, whole.packs);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_builds_on_what_is_to_be_archived_nor_that_on_anything() {
    let bucket = Bucket::create().await;
    let world = bucket.world("").await;
    let standard = take(&world, Kind::Full).await;
    reconfigure(&world, ARCHIVE).await;
    add_item(&world);
    let archive = take(&world, Kind::Incremental).await;
    assert_eq!(archive.kind, Kind::Full);
    let why = archive.kind_reason.as_deref().unwrap();
    assert!(why.contains("what is archived depends on nothing"), "{why}");
    reconfigure(&world, "").await;
    add_item(&world);
    let next = take(&world, Kind::Incremental).await;
    assert_eq!(
        (next.kind, &next.chain),
        (Kind::Incremental, &standard.chain)
    );
    bucket.transition(StorageTier::Archive, "GLACIER").await;
    assert!(restores(&world, &next).await && restores(&world, &standard).await);
}

/// A rule of the bucket's own may archive anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_somebody_archived_is_not_built_on() {
    let bucket = Bucket::create().await;
    let world = bucket.world("").await;
    let first = take(&world, Kind::Full).await;
    let packs = world.store.list(&format!("{}/data/", first.chain)).await;
    let rows = packs.unwrap().into_iter().max_by_key(|meta| meta.bytes);
    bucket.archive(&rows.unwrap().key, "GLACIER");
    add_item(&world);
    let next = take(&world, Kind::Incremental).await;
    assert_eq!(next.kind, Kind::Full, "{next:?}");
    assert!(next.kind_reason.is_some(), "{next:?}");
    assert!(restores(&world, &next).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cold_is_built_on_and_read_at_once_and_never_rewritten() {
    let bucket = Bucket::create().await;
    let world = bucket
        .world("storage = \"cold\"\nkeep = { last = 1 }")
        .await;
    let first = take(&world, Kind::Full).await;
    let cold = bucket.transition(StorageTier::Cold, "GLACIER_IR").await;
    assert_eq!(cold.len(), 1);
    add_item(&world);
    let next = take(&world, Kind::Incremental).await;
    assert_eq!(
        (next.kind, next.tier),
        (Kind::Incremental, StorageTier::Cold)
    );
    assert_eq!(next.chain, first.chain);
    let at = world.locations();
    let (planned, done) = prune(&world.catalog, &scope(SCOPE), &at, "test", None)
        .await
        .unwrap();
    assert_eq!(done.snapshots, [first.id]);
    assert_eq!(done.packs_rewritten, 0, "{planned:?}");
    assert!(restores(&world, &next).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_while_it_was_archived_is_not_half_brought_back() {
    let bucket = Bucket::create().await;
    let world = bucket.world(ARCHIVE).await;
    let old = take(&world, Kind::Full).await;
    bucket.transition(StorageTier::Archive, "GLACIER").await;
    add_item(&world);
    take(&world, Kind::Full).await;
    let at = world.locations();
    let (_, done) = prune(&world.catalog, &scope(SCOPE), &at, "test", None)
        .await
        .unwrap();
    assert_eq!(done.snapshots, [old.id]);
    let (name, at) = ("main".parse().unwrap(), world.locations());
    let found = undelete::find(&scope(SCOPE), &name, &at[&name]).await;
    let found = found.unwrap().snapshots;
    assert_eq!(found[0].record.id, old.id);
    let error = undelete::plan(&at[&name], &found[0]).await.unwrap_err();
    assert_eq!(error.kind, EngineErrorKind::Archived);
    assert!(
        error.message.contains("remove the delete markers"),
        "{error}"
    );
    assert!(
        world
            .store
            .list(old.chain.as_str())
            .await
            .unwrap()
            .is_empty()
    );
}
