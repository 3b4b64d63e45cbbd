//! Bringing back what prune deleted, from a versioned bucket.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::Utc;
use logisedge_domain::snapshot::{Hold, SnapshotRecord, Trust};
use logisedge_engine::prune::prune;
use logisedge_engine::undelete::{BroughtBack, Deleted, find, plan, undelete};
use logisedge_engine::{EngineError, EngineErrorKind, Progress, hold};
use logisedge_storage::{Fault, Faulty, ObjectStore};
use tokio::task::JoinSet;

use crate::bucket::Bucket;
use crate::pruning_chains::{SCOPE, THREE_DAYS, full, is_good, next};
use crate::world::{World, locations, scope};

/// Only the newest stays. What is brought back was taken when its manifest says, not when the record
/// of a test did.
const LAST: &str = "keep = { last = 1 }";

fn brought_back() -> Hold {
    Hold::new("brought back", "a test", Utc::now()).unwrap()
}

async fn pruned(world: &World) -> Vec<logisedge_domain::id::SnapshotId> {
    let at = locations(world.store.clone());
    let (_, done) = prune(&world.catalog, &scope(SCOPE), &at, "test", None)
        .await
        .unwrap();
    assert!(done.left.is_empty(), "{done:?}");
    done.snapshots
}

async fn deleted(world: &World) -> Vec<Deleted> {
    let name = "main".parse().unwrap();
    let at = world.locations();
    let found = find(&scope(SCOPE), &name, &at[&name]).await.unwrap();
    assert!(found.unreadable.is_empty(), "{:?}", found.unreadable);
    found.snapshots
}

async fn back_at(
    world: &World,
    store: Arc<dyn ObjectStore>,
    deleted: &Deleted,
) -> Result<BroughtBack, EngineError> {
    let at = locations(store);
    let location = &at[&"main".parse().unwrap()];
    let (hold, progress) = (brought_back(), Progress::new());
    undelete(&world.catalog, location, deleted, &hold, "test", &progress).await
}

async fn back(world: &World, deleted: &Deleted) -> BroughtBack {
    back_at(world, world.store.clone(), deleted).await.unwrap()
}

async fn known(world: &World) -> Vec<SnapshotRecord> {
    world.catalog.snapshots(&scope(SCOPE)).await.unwrap()
}

/// Restores a snapshot with stock restic and compares what the chain's manifest promises.
fn restic_restores(bucket: &Bucket, record: &SnapshotRecord) {
    let chain = record.chain.as_str();
    let said = bucket.restic(chain, &["check", "--read-data"]);
    assert!(said.contains("no errors were found"), "{said}");
    let into = tempfile::tempdir().unwrap();
    let target = into.path().display().to_string();
    let id = record.id.to_string();
    bucket.restic(chain, &["restore", &id, "--target", &target]);
    let manifest = std::fs::read_to_string(into.path().join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    for file in manifest["files"].as_array().unwrap() {
        let path = file["path"].as_str().unwrap().trim_start_matches('/');
        let bytes = std::fs::metadata(into.path().join(path)).unwrap().len();
        assert_eq!(bytes, file["bytes"].as_u64().unwrap(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_was_removed_whole_comes_back() {
    let bucket = Bucket::create().await;
    let world = bucket.world(LAST).await;
    let old = full(&world, 9, Trust::Verified).await;
    let new = full(&world, 0, Trust::Verified).await;
    assert!(deleted(&world).await.is_empty());
    let before = bucket.store.list(old.chain.as_str()).await.unwrap();
    assert_eq!(pruned(&world).await, [old.id]);
    assert!(
        bucket
            .store
            .list(old.chain.as_str())
            .await
            .unwrap()
            .is_empty()
    );

    let found = deleted(&world).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].record.id, old.id);
    assert_eq!(found[0].record.bytes_stored, old.bytes_stored);
    assert!(found[0].gone_from > Utc::now());
    let location = &world.locations()[&"main".parse().unwrap()];
    let shown = plan(location, &found[0]).await.unwrap();
    assert!(
        bucket
            .store
            .list(old.chain.as_str())
            .await
            .unwrap()
            .is_empty()
    );

    let back = back(&world, &found[0]).await;
    assert_eq!(back.undeletion, shown);
    // What came back is counted, to the byte.
    let held = bucket.store.list("").await.unwrap();
    let usage = world.catalog.usage(&"main".parse().unwrap()).await.unwrap();
    assert_eq!(
        usage.bytes(),
        held.iter().map(|object| object.bytes).sum::<u64>()
    );
    assert!(back.verification.is_good() && back.verification.findings.is_empty());
    // All but its index files, which are one that was written anew, and its hold.
    let is_old = |key: &&str| !key.contains("/index/") && !key.contains("/holds/");
    let after = bucket.store.list(old.chain.as_str()).await.unwrap();
    let keys = |objects: &[logisedge_storage::ObjectMeta]| -> BTreeSet<String> {
        let keys = objects.iter().map(|object| object.key.as_str());
        keys.filter(is_old).map(str::to_owned).collect()
    };
    assert_eq!(keys(&after), keys(&before));
    let recorded = known(&world).await;
    let record = recorded.iter().find(|record| record.id == old.id).unwrap();
    assert_eq!(record.trust, Trust::Verified);
    assert_eq!(record.schedule, old.schedule);
    assert!(record.hold.is_some());
    restic_restores(&bucket, record);
    assert!(deleted(&world).await.is_empty());

    // It is held, so no prune takes it again, until it is released.
    assert!(pruned(&world).await.is_empty());
    hold::release(&world.catalog, world.store.clone(), record)
        .await
        .unwrap();
    assert_eq!(pruned(&world).await, [old.id]);
    assert_eq!(deleted(&world).await.len(), 1);
    assert!(is_good(&world, &new).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_prune_inside_a_chain_replaced_comes_back() {
    let bucket = Bucket::create().await;
    let world = bucket.world(LAST).await;
    let first = full(&world, 9, Trust::Verified).await;
    let second = next(&world, &first, 8, Trust::Verified).await;
    let third = next(&world, &second, 1, Trust::Verified).await;
    assert_eq!(pruned(&world).await, [second.id, first.id]);

    let found = deleted(&world).await;
    let ids: Vec<_> = found.iter().map(|deleted| deleted.record.id).collect();
    assert_eq!(ids.len(), 2);
    let of = |record: &SnapshotRecord| found.iter().find(|d| d.record.id == record.id).unwrap();
    let brought = back(&world, of(&second)).await;
    assert!(brought.undeletion.packs() > 0, "{:?}", brought.undeletion);
    assert!(brought.verification.findings.is_empty());
    for record in [&second, &third] {
        assert!(is_good(&world, record).await, "{}", record.id.short());
        restic_restores(&bucket, record);
    }
    let brought = back(&world, of(&first)).await;
    assert!(brought.verification.findings.is_empty());
    assert!(deleted(&world).await.is_empty());

    // The chain is as good as any: it is built on and pruned again.
    let fourth = next(&world, &third, 0, Trust::Verified).await;
    for record in [&first, &second] {
        hold::release(&world.catalog, world.store.clone(), record)
            .await
            .unwrap();
    }
    let gone: BTreeSet<_> = pruned(&world).await.into_iter().collect();
    assert_eq!(gone, BTreeSet::from([first.id, second.id, third.id]));
    assert!(is_good(&world, &fourth).await);
    restic_restores(&bucket, &fourth);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_for_good_is_told_and_nothing_is_changed() {
    let bucket = Bucket::create().await;
    let world = bucket.world(THREE_DAYS).await;
    let old = full(&world, 9, Trust::Verified).await;
    full(&world, 1, Trust::Verified).await;
    let packs = bucket.store.list(&format!("{}/data/", old.chain)).await;
    let biggest = packs.unwrap().into_iter().max_by_key(|pack| pack.bytes);
    pruned(&world).await;
    let found = deleted(&world).await;
    bucket.expire(&biggest.unwrap().key).await;
    let error = back_at(&world, world.store.clone(), &found[0]).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind, EngineErrorKind::Damaged);
    assert!(error.message.contains("nothing was changed"), "{error}");
    assert!(
        bucket
            .store
            .list(old.chain.as_str())
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(known(&world).await.len(), 1);
    assert!(world.is_free(SCOPE).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_keeps_nothing_of_what_was_deleted() {
    let world = World::with(THREE_DAYS).await;
    let name = "main".parse().unwrap();
    let at = world.locations();
    let error = find(&scope(SCOPE), &name, &at[&name]).await.unwrap_err();
    assert_eq!(error.kind, EngineErrorKind::Refused);
    assert!(
        error.message.ends_with("so what was deleted there is gone"),
        "{error}"
    );
}

/// Undeletes at a location that dies after so many operations, then at one that lives. Whether the
/// first came to its end.
async fn dies_after(operations: u64) -> bool {
    let bucket = Bucket::create().await;
    let world = bucket.world(THREE_DAYS).await;
    let first = full(&world, 9, Trust::Verified).await;
    let second = next(&world, &first, 8, Trust::Verified).await;
    let third = next(&world, &second, 1, Trust::Verified).await;
    pruned(&world).await;
    let found = deleted(&world).await;
    let wanted = found.iter().find(|d| d.record.id == second.id).unwrap();
    let dying = Arc::new(Faulty::new(
        world.store.clone(),
        Fault::DiesAfter(operations),
    ));
    let ended = back_at(&world, dying, wanted).await.is_ok();
    assert!(is_good(&world, &third).await, "after {operations}");
    assert!(world.is_free(SCOPE).await, "after {operations}");
    // A prune comes in between: it takes nothing that is visible, and leaves what can be begun again.
    pruned(&world).await;
    if known(&world)
        .await
        .iter()
        .all(|record| record.id != second.id)
    {
        let again = deleted(&world).await;
        match again.iter().find(|d| d.record.id == second.id) {
            Some(wanted) => assert!(back(&world, wanted).await.verification.is_good()),
            // It was revealed, and only the catalog does not know: it is rebuilt.
            None => assert!(is_good(&world, &second).await, "after {operations}"),
        }
    }
    assert!(is_good(&world, &second).await, "after {operations}");
    ended
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_dies_anywhere_is_finished_by_the_next() {
    let mut tries = JoinSet::new();
    for operations in (0..60).step_by(3) {
        tries.spawn(async move { (operations, dies_after(operations).await) });
    }
    let mut ended = tries.join_all().await;
    ended.sort_unstable();
    assert!(!ended[0].1 && ended[ended.len() - 1].1, "{ended:?}");
}
