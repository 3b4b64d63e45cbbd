//! Pruning: the plan, its execution, its interruptions, and what it must never touch.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::{TimeDelta, Utc};
use insta::assert_snapshot;
use logisedge_domain::alert::AlertKind;
use logisedge_domain::id::ChainPath;
use logisedge_domain::snapshot::{SnapshotRecord, Trust};
use logisedge_engine::backup::{Order, Taken, take};
use logisedge_engine::prune::{Pruned, ScopePlan, locations_of, plan, prune};
use logisedge_engine::verify::verify;
use logisedge_engine::{EngineError, EngineErrorKind, Progress};
use logisedge_storage::{Fault, Faulty, ObjectStore};
use tokio::task::JoinSet;

use crate::world::{World, daily, locations, options, password, scope};

const SCOPE: &str = "items";

/// Backs the scope up as if so long ago. The catalog does not know it.
async fn taken(world: &World, ago: TimeDelta) -> Taken {
    let began = Utc::now() - ago;
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
    let mut taken = take(source.as_ref(), store, &password(), &order, &progress)
        .await
        .unwrap();
    taken.record.taken_at = began;
    taken
}

/// A snapshot of the catalog that is so many days old.
async fn snapshot(world: &World, days: i64, trust: Trust) -> SnapshotRecord {
    let mut record = taken(world, TimeDelta::days(days)).await.record;
    record.trust = trust;
    assert!(world.catalog.put_snapshot(&record).await.unwrap());
    record
}

async fn planned(world: &World) -> ScopePlan {
    let at = locations(world.store.clone());
    plan(&world.catalog, &scope(SCOPE), &at, Utc::now())
        .await
        .unwrap()
}

async fn pruned_at(
    world: &World,
    store: Arc<dyn ObjectStore>,
) -> Result<(ScopePlan, Pruned), EngineError> {
    prune(
        &world.catalog,
        &scope(SCOPE),
        &locations(store),
        "test",
        None,
    )
    .await
}

async fn pruned(world: &World) -> (ScopePlan, Pruned) {
    pruned_at(world, world.store.clone()).await.unwrap()
}

async fn is_good(world: &World, record: &SnapshotRecord) -> bool {
    let found = verify(world.store.clone(), &password(), record, &Progress::new()).await;
    found.is_ok_and(|found| found.is_good())
}

async fn known(world: &World) -> Vec<SnapshotRecord> {
    world.catalog.snapshots(&scope(SCOPE)).await.unwrap()
}

/// The objects of these chains.
async fn objects_of(world: &World, records: &[&SnapshotRecord]) -> Vec<String> {
    let mut objects = world.objects().await;
    objects.retain(|key| {
        let inside = |record: &&SnapshotRecord| key.starts_with(&format!("{}/", record.chain));
        records.iter().any(inside)
    });
    objects
}

const THREE_DAYS: &str = "keep = { days = 3 }\nalerts = { clean_up = true }";

#[tokio::test(flavor = "multi_thread")]
async fn what_the_plan_says_is_deleted_and_nothing_else() {
    let world = World::with(THREE_DAYS).await;
    let new = snapshot(&world, 1, Trust::Unverified).await;
    let kept = snapshot(&world, 4, Trust::Verified).await;
    let damaged = snapshot(&world, 5, Trust::Damaged).await;
    let old = snapshot(&world, 9, Trust::Verified).await;
    // Another scope's, and a file of somebody else's.
    let other = world.back_up("customers").await;
    std::fs::write(world.location().join("items/readme.txt"), "x").unwrap();

    let plan = planned(&world).await;
    let reasons: Vec<_> = plan
        .plan
        .decisions
        .iter()
        .map(|d| d.reason.as_str())
        .collect();
    assert_snapshot!(reasons.join("\n"), @r"
    taken within 3 days
    the scope's newest verified snapshot
    damaged, and a newer one is verified
    schedule daily keeps 3 days
    ");
    assert_eq!(
        plan.plan.deleted().collect::<Vec<_>>(),
        [&damaged.id, &old.id]
    );
    assert!(plan.abandoned.is_empty() && plan.unknown.is_empty());
    assert_eq!(known(&world).await.len(), 4, "a plan changes nothing");

    let staying = objects_of(&world, &[&new, &kept, &other]).await;
    let going = objects_of(&world, &[&damaged, &old]).await;
    let (_, done) = pruned(&world).await;
    assert_eq!(done.snapshots, [damaged.id, old.id]);
    assert_eq!(done.objects, going.len() as u64);
    assert!(done.bytes > 0);
    let mut left = world.objects().await;
    left.retain(|key| key != "items/readme.txt");
    assert_eq!(left, staying);
    let ids: Vec<_> = known(&world).await.iter().map(|record| record.id).collect();
    assert_eq!(ids, [new.id, kept.id]);
    for record in [&new, &kept, &other] {
        assert!(is_good(&world, record).await);
    }
    assert_eq!(world.alerts_of(AlertKind::CleanUp).await.len(), 1);
    assert!(world.is_free(SCOPE).await);

    let (_, again) = pruned(&world).await;
    assert!(again.snapshots.is_empty() && again.objects == 0);
    assert_eq!(world.alerts_of(AlertKind::CleanUp).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_there_is_no_time_for_is_left_and_told() {
    let world = World::with("keep = { days = 3 }").await;
    let old = snapshot(&world, 9, Trust::Verified).await;
    snapshot(&world, 1, Trust::Verified).await;
    let before = world.objects().await;
    let at = locations(world.store.clone());
    let soon = Some(Duration::from_secs(60));
    let (_, done) = prune(&world.catalog, &scope(SCOPE), &at, "test", soon)
        .await
        .unwrap();
    assert_eq!(
        done.stuck,
        ["2 chains: the function's time was nearly over"]
    );
    assert_eq!(world.objects().await, before);
    let told = world.alerts_of(AlertKind::NotPruned).await;
    assert_eq!(told.len(), 1);
    assert!(told[0].details[0].contains("2 chains"), "{:?}", told[0]);
    assert!(!world.has_ended(&told[0]).await);
    assert!(world.is_free(SCOPE).await);
    let enough = Some(Duration::from_secs(300));
    let (_, done) = prune(&world.catalog, &scope(SCOPE), &at, "test", enough)
        .await
        .unwrap();
    assert_eq!((done.snapshots, done.stuck.len()), (vec![old.id], 0));
    assert!(world.has_ended(&told[0]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_snapshot_stays_whatever_retention_says() {
    let world = World::with(THREE_DAYS).await;
    let only = snapshot(&world, 400, Trust::Unverified).await;
    let (_, done) = pruned(&world).await;
    assert!(done.snapshots.is_empty());
    assert!(is_good(&world, &only).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_reads_stays_until_he_is_done() {
    let world = World::with(THREE_DAYS).await;
    snapshot(&world, 1, Trust::Verified).await;
    let read = snapshot(&world, 9, Trust::Verified).await;
    let until = Utc::now() + TimeDelta::hours(1);
    let held = world
        .catalog
        .hold_in_use(&read.scope, &read.id, "reader", until);
    assert!(held.await.unwrap());
    let (plan, done) = pruned(&world).await;
    assert!(done.snapshots.is_empty());
    assert_snapshot!(plan.plan.decisions[1].reason, @"in use");
    assert!(is_good(&world, &read).await);

    let released = world.catalog.release_use(&read.scope, &read.id, "reader");
    released.await.unwrap();
    assert_eq!(pruned(&world).await.1.snapshots, [read.id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_that_is_backed_up_is_not_pruned() {
    let world = World::with(THREE_DAYS).await;
    let lease = Duration::from_secs(60);
    let name = scope(SCOPE);
    let held = world
        .catalog
        .begin_exclusive(&name, "other", Utc::now(), lease);
    assert!(held.await.unwrap().is_some());
    let error = pruned_at(&world, world.store.clone()).await.unwrap_err();
    assert_eq!(error.kind, EngineErrorKind::Refused);
    assert!(error.retry.is_transient());
    assert_snapshot!(error, @"scope items is being backed up or pruned: try again when that has ended");
}

/// Prunes at a location that dies after so many operations, then at one that lives. Whether the
/// first came to its end.
async fn dies_after(operations: u64) -> bool {
    let world = World::with(THREE_DAYS).await;
    let kept = snapshot(&world, 1, Trust::Verified).await;
    let old = [
        snapshot(&world, 8, Trust::Verified).await,
        snapshot(&world, 9, Trust::Unverified).await,
    ];
    let staying = objects_of(&world, &[&kept]).await;
    let dying = Arc::new(Faulty::new(
        world.store.clone(),
        Fault::DiesAfter(operations),
    ));
    let ended = pruned_at(&world, dying).await.is_ok();
    // Whatever is left: what the catalog offers is whole.
    for record in known(&world).await {
        assert!(
            record.deleting_since.is_some() || is_good(&world, &record).await,
            "after {operations}: {record:?}"
        );
    }
    assert!(world.is_free(SCOPE).await, "after {operations}");
    let (_, done) = pruned(&world).await;
    assert_eq!(world.objects().await, staying, "after {operations}");
    let left: Vec<_> = known(&world).await.iter().map(|record| record.id).collect();
    assert_eq!(left, [kept.id], "after {operations}");
    assert!(is_good(&world, &kept).await);
    assert!(done.snapshots.len() <= old.len());
    ended
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prune_that_dies_at_any_operation_is_finished_by_the_next() {
    let mut prunes = JoinSet::new();
    for operations in 0..48 {
        prunes.spawn(async move { (operations, dies_after(operations).await) });
    }
    let mut ended = prunes.join_all().await;
    ended.sort_unstable();
    let died = ended.iter().take_while(|(_, ended)| !ended).count();
    // For each of two chains: listings, then snapshot, index, packs, key and config; the chain that
    // stays is read.
    assert!((20..48).contains(&died), "{ended:?}");
    assert!(ended[died..].iter().all(|(_, ended)| *ended));
}

/// Removes a chain's snapshot object, which leaves what a killed attempt leaves.
fn abandon(world: &World, chain: &ChainPath) {
    let folder = world.location().join(chain.as_str());
    for entry in std::fs::read_dir(folder.join("snapshots")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
}

/// Sets when every object of a chain was written.
async fn written(world: &World, chain: &ChainPath, ago: Duration) {
    let at = SystemTime::now() - ago;
    for object in world.store.list(&format!("{chain}/")).await.unwrap() {
        let file = std::fs::File::open(world.location().join(object.key)).unwrap();
        file.set_modified(at).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_chain_goes_after_a_day() {
    let world = World::with(THREE_DAYS).await;
    let hour = Duration::from_secs(3600);
    let mut chains = Vec::new();
    for (begun, last_write) in [(23, 23 * hour), (30, 2 * hour), (31, 25 * hour)] {
        let chain = taken(&world, TimeDelta::hours(begun)).await.record.chain;
        abandon(&world, &chain);
        written(&world, &chain, last_write).await;
        chains.push(chain);
    }
    let (plan, done) = pruned(&world).await;
    let gone = chains.pop().unwrap();
    assert_eq!(plan.abandoned, [("main".parse().unwrap(), gone.clone())]);
    assert_eq!(done.chains, [gone]);
    assert!(done.snapshots.is_empty());
    let left: BTreeSet<_> = world
        .objects()
        .await
        .iter()
        .map(|key| key.rsplitn(3, '/').last().unwrap().to_owned())
        .filter(|folder| folder.matches('/').count() == 2)
        .collect();
    chains.sort();
    assert_eq!(left, chains.iter().map(ToString::to_string).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_the_catalog_does_not_know_is_never_deleted() {
    let world = World::with(THREE_DAYS).await;
    snapshot(&world, 1, Trust::Verified).await;
    let unknown = taken(&world, TimeDelta::days(300)).await.record;
    written(&world, &unknown.chain, Duration::from_secs(300 * 86_400)).await;
    let (plan, done) = pruned(&world).await;
    assert_eq!(
        plan.unknown,
        [("main".parse().unwrap(), unknown.chain.clone())]
    );
    assert!(plan.abandoned.is_empty() && done.chains.is_empty() && done.snapshots.is_empty());
    assert!(is_good(&world, &unknown).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_locations_are_those_of_snapshots_and_schedules() {
    let world = World::new().await;
    let names = async |name: &str| -> Vec<String> {
        let found = locations_of(&world.catalog, &scope(name)).await.unwrap();
        found.iter().map(ToString::to_string).collect()
    };
    assert_eq!(names("items").await, ["main"]);
    assert!(names("unscheduled").await.is_empty());
    let mut record = taken(&world, TimeDelta::days(1)).await.record;
    record.location = "office".parse().unwrap();
    assert!(world.catalog.put_snapshot(&record).await.unwrap());
    assert_eq!(names("items").await, ["main", "office"]);
}
