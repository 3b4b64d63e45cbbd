//! Object Lock: what is locked when it is written, extended and renewed, and what nobody can destroy.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use logisedge_domain::Instant;
use logisedge_domain::alert::AlertKind;
use logisedge_domain::config::Config;
use logisedge_domain::snapshot::{Hold, Kind, SnapshotRecord, Trust};
use logisedge_domain::storage::LockMode;
use logisedge_engine::attempt::Attempted;
use logisedge_engine::prune::{Pruned, ScopePlan, plan, prune};
use logisedge_engine::undelete::{find, undelete};
use logisedge_engine::{Progress, configure, hold, rebuild};
use logisedge_storage::Put;

use crate::bucket::Bucket;
use crate::pruning_chains::{SCOPE, THREE_DAYS, full, is_good, next};
use crate::world::{World, at, config, daily, password, scope};

const INCREMENTAL: &str = "kind = \"incremental\"";

fn locked(more: &str, lock: Option<&str>) -> Config {
    let mut config = config(more);
    for schedule in &mut config.schedules {
        if schedule.name == daily() {
            schedule.lock = lock.map(|lock| lock.parse().unwrap());
        }
    }
    config
}

/// A world whose location is the bucket and locks what the schedule `daily` stores.
async fn world(bucket: &Bucket, more: &str, lock: &str) -> World {
    World {
        store: bucket.store.clone(),
        lock_mode: Some(LockMode::Governance),
        ..World::of(&locked(more, Some(lock))).await
    }
}

/// With what else was configured since.
async fn reconfigured(world: &World, more: &str, lock: Option<&str>) {
    configure::apply(&world.catalog, &locked(more, lock), at(0))
        .await
        .unwrap();
}

/// Every object of a chain, and until when it is locked.
async fn locks(bucket: &Bucket, record: &SnapshotRecord) -> Vec<(String, Option<Instant>)> {
    let objects = bucket.store.list(record.chain.as_str()).await.unwrap();
    let keys = objects.into_iter().map(|object| object.key);
    keys.map(|key| (key.clone(), bucket.locked_until(&key)))
        .collect()
}

/// Checks that all of a chain is locked until then at the least.
async fn all_locked(bucket: &Bucket, record: &SnapshotRecord, until: Instant) {
    let locks = locks(bucket, record).await;
    assert!(locks.len() >= 5, "{locks:?}");
    for (key, locked) in locks {
        assert!(locked.is_some_and(|at| at >= until), "{key}: {locked:?}");
    }
}

async fn known(world: &World, record: &SnapshotRecord) -> SnapshotRecord {
    let records = world.catalog.snapshots(&record.scope).await.unwrap();
    records.into_iter().find(|r| r.id == record.id).unwrap()
}

async fn pruned(world: &World) -> (ScopePlan, Pruned) {
    let at = world.locations();
    prune(&world.catalog, &scope(SCOPE), &at, "test", None)
        .await
        .unwrap()
}

/// Chains are named by the second.
async fn a_second_later() {
    tokio::time::sleep(Duration::from_millis(1050)).await;
}

fn in_days(days: i64) -> Instant {
    Utc::now() + TimeDelta::days(days)
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_of_a_locked_full_is_locked() {
    let bucket = Bucket::lockable().await;
    let world = world(&bucket, "", "30 days").await;
    let record = world.back_up(SCOPE).await;
    let until = record.locked_until.unwrap();
    assert!(until >= record.taken_at + TimeDelta::days(30));
    assert!(until <= in_days(30));
    assert_eq!(known(&world, &record).await.locked_until, Some(until));
    let locks_of_it = locks(&bucket, &record).await;
    for folder in ["/config", "/keys/", "/data/", "/index/", "/snapshots/"] {
        let of_folder = locks_of_it.iter().filter(|(key, _)| key.contains(folder));
        assert!(of_folder.count() >= 1, "{folder}");
    }
    all_locked(&bucket, &record, until).await;
    assert!(is_good(&world, &record).await);

    // Without a lock in its schedule it is not.
    a_second_later().await;
    reconfigured(&world, "", None).await;
    let free = world.back_up(SCOPE).await;
    assert_eq!(free.locked_until, None);
    for (key, locked) in locks(&bucket, &free).await {
        assert_eq!(locked, None, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incremental_extends_the_locks_of_its_chain() {
    let bucket = Bucket::lockable().await;
    let world = world(&bucket, INCREMENTAL, "30 days").await;
    let first = world.back_up(SCOPE).await;
    let held = Hold::new("audit", "a test", Utc::now()).unwrap();
    hold::hold(
        &world.catalog,
        bucket.store.clone(),
        &password(),
        &first,
        &held,
    )
    .await
    .unwrap();
    let lock = format!("{}/locks/{}", first.chain, "ab".repeat(32));
    let put = bucket.store.put(&lock, "{}".into(), Put::default());
    put.await.unwrap();
    reconfigured(&world, INCREMENTAL, Some("60 days")).await;
    let second = world.back_up(SCOPE).await;
    assert_eq!(
        (second.kind, &second.chain),
        (Kind::Incremental, &first.chain)
    );
    let until = second.locked_until.unwrap();
    assert!(until >= second.taken_at + TimeDelta::days(60));
    for (key, locked) in locks(&bucket, &first).await {
        let ends_at_will = key.contains("/holds/") || key.contains("/locks/");
        match ends_at_will {
            true => assert_eq!(locked, None, "{key}"),
            false => assert!(locked.is_some_and(|at| at >= until), "{key}: {locked:?}"),
        }
    }

    // A shorter lock makes none shorter: what is new has its own.
    reconfigured(&world, INCREMENTAL, Some("2 days")).await;
    let third = world.back_up(SCOPE).await;
    assert_eq!(third.chain, first.chain);
    assert!(third.locked_until.unwrap() < in_days(2));
    let snapshot = |record: &SnapshotRecord| format!("{}/snapshots/{}", record.chain, record.id);
    assert!(bucket.locked_until(&snapshot(&first)).unwrap() >= until);
    assert!(bucket.locked_until(&snapshot(&second)).unwrap() >= until);
    let new = bucket.locked_until(&snapshot(&third)).unwrap();
    assert!(new < in_days(2) + TimeDelta::seconds(1), "{new}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prune_renews_what_is_due_and_not_before() {
    let bucket = Bucket::lockable().await;
    let world = world(&bucket, "", "30 days").await;
    let record = world.back_up(SCOPE).await;
    let before = locks(&bucket, &record).await;
    let (plan_now, done) = pruned(&world).await;
    assert!(plan_now.locks.is_empty() && done.left.is_empty());
    let name = scope(SCOPE);
    for days in [16, 15] {
        let until = in_days(days) + TimeDelta::minutes(1);
        let recorded = world.catalog.record_lock(&name, &record.id, until);
        assert!(recorded.await.unwrap());
        assert!(pruned(&world).await.0.locks.is_empty(), "{days}");
    }
    assert_eq!(locks(&bucket, &record).await, before);

    a_second_later().await;
    let recorded = world.catalog.record_lock(&name, &record.id, in_days(14));
    assert!(recorded.await.unwrap());
    let at = world.locations();
    let shown = plan(&world.catalog, &name, &at, Utc::now()).await.unwrap();
    assert_eq!(shown.locks.len(), 1);
    assert_eq!(shown.locks[0].chain, record.chain);
    assert_eq!(shown.locks[0].extended, None);
    assert!(shown.plan.decisions[0].locked_until.unwrap() < in_days(14));
    assert_eq!(locks(&bucket, &record).await, before);

    let (plan_then, done) = pruned(&world).await;
    assert!(done.left.is_empty(), "{done:?}");
    let renewed = &plan_then.locks[0];
    assert_eq!(renewed.extended, Some(before.len() as u64));
    assert!(renewed.until > before[0].1.unwrap());
    all_locked(&bucket, &record, renewed.until).await;
    let recorded = known(&world, &record).await.locked_until;
    assert_eq!(recorded, Some(renewed.until));
    assert!(pruned(&world).await.0.locks.is_empty());

    // Its schedule has none any more: what is locked stays so, and is not renewed.
    let until = in_days(1);
    let recorded = world.catalog.record_lock(&name, &record.id, until);
    assert!(recorded.await.unwrap());
    reconfigured(&world, "", None).await;
    assert!(pruned(&world).await.0.locks.is_empty());
    all_locked(&bucket, &record, renewed.until).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_that_was_lost_asks_the_location() {
    let bucket = Bucket::lockable().await;
    let first = world(&bucket, "", "30 days").await;
    let record = first.back_up(SCOPE).await;
    let second = world(&bucket, "", "30 days").await;
    let name = "main".parse().unwrap();
    let (store, password, progress) = (&second.store, password(), Progress::new());
    let rebuilt = rebuild::rebuild(&second.catalog, &name, store, &password, &progress);
    assert_eq!(rebuilt.await.unwrap().recorded.len(), 1);
    assert_eq!(known(&second, &record).await.locked_until, None);
    let (plan, _) = pruned(&second).await;
    let until = known(&second, &record).await.locked_until.unwrap();
    assert_eq!(plan.locks[0].until, until);
    all_locked(&bucket, &record, until).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_prune_deleted_of_a_locked_chain_cannot_be_destroyed_and_comes_back() {
    let bucket = Bucket::lockable().await;
    let world = world(&bucket, "keep = { last = 1 }", "30 days").await;
    let old = world.back_up(SCOPE).await;
    let keys: Vec<String> = locks(&bucket, &old)
        .await
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    a_second_later().await;
    let new = world.back_up(SCOPE).await;
    let (_, done) = pruned(&world).await;
    assert_eq!(done.snapshots, [old.id]);
    let left = bucket.store.list(old.chain.as_str()).await.unwrap();
    assert!(left.is_empty());
    for key in &keys {
        assert!(!bucket.can_be_destroyed(key).await, "{key}");
    }

    let name = "main".parse().unwrap();
    let at = world.locations();
    let found = find(&scope(SCOPE), &name, &at[&name]).await.unwrap();
    let hold = Hold::new("brought back", "a test", Utc::now()).unwrap();
    let progress = Progress::new();
    let catalog = &world.catalog;
    let deleted = &found.snapshots[0];
    let back = undelete(catalog, &at[&name], deleted, &hold, "test", &progress);
    assert!(back.await.unwrap().verification.is_good());
    assert_eq!(known(&world, &old).await.locked_until, None);

    // The copies and the index that was written anew are locked by the next prune.
    let (plan, done) = pruned(&world).await;
    assert!(done.snapshots.is_empty());
    let chains: Vec<_> = plan.locks.iter().map(|renewal| &renewal.chain).collect();
    assert_eq!(chains, [&old.chain]);
    for (key, locked) in locks(&bucket, &old).await {
        let is_hold = key.contains("/holds/");
        assert_eq!(locked.is_none(), is_hold, "{key}");
    }
    assert!(is_good(&world, &new).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_prune_writes_anew_is_locked_as_its_chain_is() {
    let bucket = Bucket::lockable().await;
    let world = world(&bucket, THREE_DAYS, "30 days").await;
    let first = full(&world, 9, Trust::Verified).await;
    let second = next(&world, &first, 8, Trust::Verified).await;
    let third = next(&world, &second, 1, Trust::Verified).await;
    let before = locks(&bucket, &first).await;
    assert!(before.iter().all(|(_, locked)| locked.is_none()));
    let (plan, done) = pruned(&world).await;
    assert_eq!(done.snapshots, [second.id, first.id]);
    assert!(done.bytes_written > 0, "{done:?}");
    all_locked(&bucket, &third, plan.locks[0].until).await;
    let anew = locks(&bucket, &third).await;
    assert!(
        anew.iter()
            .any(|(key, _)| before.iter().all(|(old, _)| old != key))
    );
    assert!(is_good(&world, &third).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_without_locks_fails_the_backup_before_anything_is_written() {
    let bucket = Bucket::create().await;
    let world = world(&bucket, "", "30 days").await;
    let id = world.request(SCOPE).await;
    let ended = world.attempt(&id).await;
    let Attempted::Failed(error) = ended else {
        panic!("{ended:?}");
    };
    assert!(error.message.contains("has no Object Lock"), "{error}");
    assert!(bucket.store.list("").await.unwrap().is_empty());
    assert!(world.catalog.all_snapshots().await.unwrap().is_empty());
    assert_eq!(world.alerts_of(AlertKind::Failure).await.len(), 1);
    assert!(world.is_free(SCOPE).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_is_refused_is_told_and_stops_nothing_else() {
    let bucket = Bucket::create().await;
    let world = world(&bucket, THREE_DAYS, "30 days").await;
    let old = full(&world, 9, Trust::Verified).await;
    let new = full(&world, 1, Trust::Verified).await;
    let (plan, done) = pruned(&world).await;
    assert_eq!(done.snapshots, [old.id]);
    assert_eq!(done.left.len(), 1, "{done:?}");
    let left = &done.left[0];
    assert!(left.starts_with(&format!("{}: its lock could", new.chain)));
    assert!(left.contains("has no Object Lock"), "{left}");
    assert!(plan.locks[0].refused.is_some());
    let told = world.alerts_of(AlertKind::NotLocked).await;
    assert_eq!(told.len(), 1);
    assert!(!world.has_ended(&told[0]).await);
    assert_eq!(known(&world, &new).await.locked_until, None);
    assert!(is_good(&world, &new).await);
}
