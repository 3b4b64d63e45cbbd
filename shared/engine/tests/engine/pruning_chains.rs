//! Pruning inside chains that keep snapshots: once a chain, and only what nothing needs.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use logisedge_domain::alert::AlertKind;
use logisedge_domain::id::ChainPath;
use logisedge_domain::snapshot::{SnapshotRecord, Trust};
use logisedge_engine::backup::{Order, take};
use logisedge_engine::prune::{Pruned, ScopePlan, plan, prune};
use logisedge_engine::verify::verify;
use logisedge_engine::{EngineError, Progress};
use logisedge_repository::{KnownBlobs, Password, Repository, Snapshot};
use logisedge_storage::{Fault, Faulty, ObjectStore, Prefixed};
use tokio::task::JoinSet;

use crate::world::{World, daily, locations, options, password, scope};

pub(crate) const SCOPE: &str = "items";
pub(crate) const THREE_DAYS: &str = "keep = { days = 3 }\nalerts = { clean_up = true }";

async fn pruned_at(
    world: &World,
    store: Arc<dyn ObjectStore>,
) -> Result<(ScopePlan, Pruned), EngineError> {
    let at = locations(store);
    prune(&world.catalog, &scope(SCOPE), &at, "test", None).await
}

async fn pruned(world: &World) -> (ScopePlan, Pruned) {
    pruned_at(world, world.store.clone()).await.unwrap()
}

/// A full that is so many days old.
pub(crate) async fn full(world: &World, days: i64, trust: Trust) -> SnapshotRecord {
    let began = Utc::now() - TimeDelta::days(days);
    let name = scope(SCOPE);
    let order = Order {
        run: logisedge_domain::id::RunId::manual("t", began, &name),
        schedule: Some(daily()),
        chain: ChainPath::new(&name, began),
        scope: world.catalog.scope(&name).await.unwrap().unwrap(),
        location: "main".parse().unwrap(),
        options: options(),
        memory_bytes_max: None,
        lock: None,
    };
    let (source, progress) = (world.source(), Progress::new());
    let store = world.store.clone();
    let password = password();
    let taken = take(source.as_ref(), store, &password, &order, &progress);
    let mut record = taken.await.unwrap().record;
    record.taken_at = began;
    record.trust = trust;
    assert!(world.catalog.put_snapshot(&record).await.unwrap());
    record
}

fn chain_store(world: &World, record: &SnapshotRecord) -> Arc<Prefixed> {
    Arc::new(Prefixed::new(world.store.clone(), record.chain.as_str()))
}

async fn repository(world: &World, record: &SnapshotRecord) -> Repository {
    let store = chain_store(world, record);
    Repository::open(store, &password(), options())
        .await
        .unwrap()
}

/// A snapshot in the chain of another: the same files and one more, of content that is its own.
pub(crate) async fn next(
    world: &World,
    base: &SnapshotRecord,
    days: i64,
    trust: Trust,
) -> SnapshotRecord {
    let repository = repository(world, base).await;
    let index = repository.load_index().await.unwrap();
    let (known, reader) = (index.known(), repository.reader(index));
    let snapshot = repository.snapshot(base.id).await.unwrap();
    let writer = repository.writer(known);
    let mut files = Vec::new();
    for (path, node) in reader.files(&snapshot).await.unwrap() {
        let content = reader.read_small_node(&node, &path, 1 << 30).await.unwrap();
        files.push((path, writer.store_bytes(content).await.unwrap()));
    }
    files.retain(|(path, _)| path != "/extra");
    let extra: Vec<u8> = (0..60_000u64)
        .map(|n| (n.wrapping_mul(n + days as u64) >> 7) as u8)
        .collect();
    let extra = writer.store_bytes(Bytes::from(extra)).await.unwrap();
    files.push(("/extra".to_owned(), extra));
    let taken_at = Utc::now() - TimeDelta::days(days);
    let tree = writer.tree(files, taken_at).await.unwrap();
    writer.finish().await.unwrap();
    let committed = Snapshot::new(tree, taken_at, []);
    let mut record = base.clone();
    record.id = repository.commit(committed).await.unwrap();
    record.taken_at = taken_at;
    record.trust = trust;
    assert!(world.catalog.put_snapshot(&record).await.unwrap());
    record
}

pub(crate) async fn is_good(world: &World, record: &SnapshotRecord) -> bool {
    let found = verify(world.store.clone(), &password(), record, &Progress::new()).await;
    found.is_ok_and(|found| found.is_good() && found.findings.is_empty())
}

async fn packs(world: &World, record: &SnapshotRecord) -> Vec<String> {
    let listed = chain_store(world, record).list("data/").await.unwrap();
    listed.into_iter().map(|meta| meta.key).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_snapshot_frees_what_its_chain_does_not_need() {
    let world = World::with(THREE_DAYS).await;
    let first = full(&world, 9, Trust::Verified).await;
    let second = next(&world, &first, 8, Trust::Verified).await;
    let third = next(&world, &second, 1, Trust::Verified).await;
    let before = packs(&world, &first).await;

    let at = world.locations();
    let shown = plan(&world.catalog, &scope(SCOPE), &at, Utc::now())
        .await
        .unwrap();
    assert_eq!(shown.chains.len(), 1);
    assert_eq!(
        packs(&world, &first).await,
        before,
        "a plan changes nothing"
    );
    let (done_plan, done) = pruned(&world).await;
    assert_eq!(done.snapshots, [second.id, first.id]);
    // What was shown is what was done, although the snapshots were there then.
    let json = |plan: &ScopePlan| serde_json::to_value(&plan.chains[0].plan.packs).unwrap();
    assert_eq!(json(&shown), json(&done_plan));
    assert!(done.packs >= 2 && done.left.is_empty(), "{done:?}");
    assert!(packs(&world, &first).await.len() < before.len());
    assert!(is_good(&world, &third).await);
    let told = world.alerts_of(AlertKind::CleanUp).await;
    let freed = logisedge_domain::format::bytes(done.bytes_freed());
    assert!(told[0].summary.contains(&freed), "{:?}", told[0]);

    let (plan, again) = pruned(&world).await;
    assert!(
        again.objects == 0
            && plan
                .chains
                .iter()
                .all(|chain| !chain.plan.changes_something())
    );
    assert_eq!(world.alerts_of(AlertKind::CleanUp).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn packs_stay_while_a_snapshot_of_their_chain_is_read() {
    let world = World::with(THREE_DAYS).await;
    let first = full(&world, 9, Trust::Verified).await;
    let second = next(&world, &first, 1, Trust::Verified).await;
    let before = packs(&world, &first).await;
    let until = Utc::now() + TimeDelta::hours(1);
    let held = world
        .catalog
        .hold_in_use(&second.scope, &second.id, "reader", until);
    assert!(held.await.unwrap());
    let (plan, done) = pruned(&world).await;
    assert_eq!(
        (done.snapshots.as_slice(), done.packs),
        ([first.id].as_slice(), 0)
    );
    let why = plan.chains[0].plan.held.as_deref().unwrap();
    assert!(why.ends_with("is being read"), "{why}");
    assert_eq!(packs(&world, &first).await, before);
    let released = world
        .catalog
        .release_use(&second.scope, &second.id, "reader");
    released.await.unwrap();
    // Nothing goes by retention any more, and yet the chain is cleaned.
    let (_, done) = pruned(&world).await;
    assert!(done.snapshots.is_empty() && done.packs > 0);
    assert!(is_good(&world, &second).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_attempt_left_in_a_living_chain_goes_after_a_day() {
    let world = World::with(THREE_DAYS).await;
    let kept = full(&world, 1, Trust::Verified).await;
    let dying = Arc::new(Faulty::new(chain_store(&world, &kept), Fault::DiesAfter(4)));
    let opened = Repository::open(dying, &password(), options())
        .await
        .unwrap();
    let writer = opened.writer(KnownBlobs::none());
    writer
        .store_bytes(Bytes::from(vec![7; 50_000]))
        .await
        .unwrap();
    assert!(writer.finish().await.is_err());
    let left = packs(&world, &kept).await;
    assert_eq!(
        pruned(&world).await.1.objects,
        0,
        "it may be written just now"
    );
    let day = SystemTime::now() - Duration::from_secs(25 * 3600);
    for key in &left {
        let path = world.location().join(kept.chain.as_str()).join(key);
        std::fs::File::open(path)
            .unwrap()
            .set_modified(day)
            .unwrap();
    }
    let (_, done) = pruned(&world).await;
    assert_eq!((done.packs, done.snapshots.len()), (1, 0));
    assert_eq!(packs(&world, &kept).await.len(), left.len() - 1);
    assert!(is_good(&world, &kept).await);
    let told = world.alerts_of(AlertKind::CleanUp).await;
    assert!(
        told[0]
            .summary
            .contains("that no snapshot of items needs any more"),
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_cannot_be_read_keeps_every_pack_and_is_told_of() {
    let world = World::with(THREE_DAYS).await;
    let first = full(&world, 9, Trust::Verified).await;
    let second = next(&world, &first, 1, Trust::Verified).await;
    let third = full(&world, 2, Trust::Verified).await;
    let before = packs(&world, &second).await;
    // Without its password nothing can be said of what is needed.
    let mut other = world.locations();
    for location in other.values_mut() {
        location.password = Password::new("another".to_owned());
    }
    let shown = plan(&world.catalog, &scope(SCOPE), &other, Utc::now())
        .await
        .unwrap();
    let why = shown.chains[0].plan.held.as_deref().unwrap();
    assert!(why.contains("opens with this password"), "{why}");

    for index in chain_store(&world, &second).list("index/").await.unwrap() {
        let path = world.location().join(second.chain.as_str()).join(index.key);
        std::fs::write(path, "damaged").unwrap();
    }
    let (plan, done) = pruned(&world).await;
    assert_eq!(
        (done.snapshots.as_slice(), done.packs),
        ([first.id].as_slice(), 0)
    );
    let inside = plan
        .chains
        .iter()
        .find(|inside| inside.chain == second.chain)
        .unwrap();
    assert!(inside.plan.damage.is_some(), "{inside:?}");
    assert_eq!(packs(&world, &second).await, before);
    let told = world.alerts_of(AlertKind::Finding).await;
    assert_eq!(told[0].snapshot, Some(second.id));
    assert!(is_good(&world, &third).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_does_not_open_is_told_of_and_stays() {
    let world = World::with(THREE_DAYS).await;
    let first = full(&world, 9, Trust::Verified).await;
    let second = next(&world, &first, 1, Trust::Verified).await;
    let before = packs(&world, &second).await;
    let mut other = world.locations();
    for location in other.values_mut() {
        location.password = Password::new("another".to_owned());
    }
    let (_, done) = prune(&world.catalog, &scope(SCOPE), &other, "test", None)
        .await
        .unwrap();
    assert_eq!(
        (done.snapshots.as_slice(), done.packs),
        ([first.id].as_slice(), 0)
    );
    assert_eq!(packs(&world, &second).await, before);
    let told = world.alerts_of(AlertKind::NotPruned).await;
    assert_eq!(told.len(), 1);
    let said = told[0].details.join("\n");
    assert!(said.contains(second.chain.as_str()), "{said}");
    assert!(said.contains("opens with this password"), "{said}");
    assert!(!world.has_ended(&told[0]).await);
    // With the password its space is freed after all, and nothing is told.
    let (_, done) = pruned(&world).await;
    assert!(done.packs > 0 && done.stuck.is_empty(), "{done:?}");
    assert_eq!(world.alerts_of(AlertKind::NotPruned).await.len(), 1);
    assert!(world.has_ended(&told[0]).await);
}

/// Prunes a chain at a location that dies after so many operations, then at one that lives. Whether
/// the first came to its end.
async fn dies_after(operations: u64) -> bool {
    let world = World::with(THREE_DAYS).await;
    let first = full(&world, 9, Trust::Verified).await;
    let second = next(&world, &first, 8, Trust::Verified).await;
    let third = next(&world, &second, 1, Trust::Verified).await;
    let dying = Arc::new(Faulty::new(
        world.store.clone(),
        Fault::DiesAfter(operations),
    ));
    let ended = pruned_at(&world, dying).await.is_ok();
    for record in world.catalog.snapshots(&scope(SCOPE)).await.unwrap() {
        let found = verify(world.store.clone(), &password(), &record, &Progress::new()).await;
        assert!(
            record.deleting_since.is_some() || found.is_ok_and(|found| found.is_good()),
            "after {operations}: {record:?}"
        );
    }
    assert!(world.is_free(SCOPE).await, "after {operations}");
    // What it may have left unnamed counts as abandoned from now on.
    let day = SystemTime::now() - Duration::from_secs(25 * 3600);
    for key in packs(&world, &third).await {
        let path = world.location().join(third.chain.as_str()).join(key);
        std::fs::File::open(path)
            .unwrap()
            .set_modified(day)
            .unwrap();
    }
    pruned(&world).await;
    assert!(is_good(&world, &third).await, "after {operations}");
    let left = world.catalog.snapshots(&scope(SCOPE)).await.unwrap();
    assert_eq!(
        left.iter().map(|record| record.id).collect::<Vec<_>>(),
        [third.id]
    );
    ended
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prune_inside_a_chain_that_dies_anywhere_is_finished_by_the_next() {
    let mut prunes = JoinSet::new();
    for operations in 0..32 {
        prunes.spawn(async move { (operations, dies_after(operations).await) });
    }
    let mut ended = prunes.join_all().await;
    ended.sort_unstable();
    let died = ended.iter().take_while(|(_, ended)| !ended).count();
    assert!((14..32).contains(&died), "{ended:?}");
    assert!(ended[died..].iter().all(|(_, ended)| *ended));
}
