//! Holding snapshots: kept whatever retention says, in the catalog and at the location.

use chrono::Utc;
use insta::assert_snapshot;
use logisedge_domain::id::SnapshotId;
use logisedge_domain::snapshot::{Hold, SnapshotRecord, Trust};
use logisedge_engine::hold::{hold, release};
use logisedge_engine::prune::{plan, prune};
use logisedge_engine::rebuild::rebuild;
use logisedge_engine::{EngineErrorKind, Progress};

use crate::pruning_chains::{SCOPE, THREE_DAYS, full, is_good, next};
use crate::world::{World, at, catalog, password, scope};

fn audit() -> Hold {
    Hold::new("audit of 2025", "anna", at(0)).unwrap()
}

async fn held(world: &World, record: &SnapshotRecord) {
    let (store, password) = (world.store.clone(), password());
    hold(&world.catalog, store, &password, record, &audit())
        .await
        .unwrap();
}

async fn pruned(world: &World) -> Vec<SnapshotId> {
    let at = world.locations();
    let done = prune(&world.catalog, &scope(SCOPE), &at, "test", None).await;
    done.unwrap().1.snapshots
}

async fn reason(world: &World, record: &SnapshotRecord) -> String {
    let at = world.locations();
    let plan = plan(&world.catalog, &scope(SCOPE), &at, Utc::now()).await;
    let decisions = plan.unwrap().plan.decisions;
    let of = decisions.into_iter().find(|d| d.snapshot == record.id);
    of.unwrap().reason
}

async fn recorded(world: &World, record: &SnapshotRecord) -> SnapshotRecord {
    let records = world.catalog.snapshots(&record.scope).await.unwrap();
    records.into_iter().find(|r| r.id == record.id).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_snapshot_stays_until_it_is_released() {
    let world = World::with(THREE_DAYS).await;
    let first = full(&world, 9, Trust::Verified).await;
    let second = next(&world, &first, 8, Trust::Verified).await;
    let third = next(&world, &second, 1, Trust::Verified).await;
    held(&world, &second).await;
    assert_eq!(
        reason(&world, &second).await,
        "held since 2026-11-24 02:00:00 UTC by anna: audit of 2025"
    );
    assert_eq!(pruned(&world).await, [first.id]);
    // No object of it is foreign to verify, and what it shares is there.
    assert!(is_good(&world, &second).await && is_good(&world, &third).await);

    let (store, password) = (world.store.clone(), password());
    let again = hold(&world.catalog, store, &password, &second, &audit()).await;
    let again = again.unwrap_err();
    assert_eq!(again.kind, EngineErrorKind::Refused);
    let id = second.id.short();
    assert_snapshot!(again.message.replace(&id, "ID"), @"snapshot ID is held since 2026-11-24 02:00:00 UTC by anna: audit of 2025; release it first to hold it for another reason");

    let record = recorded(&world, &second).await;
    release(&world.catalog, world.store.clone(), &record)
        .await
        .unwrap();
    let record = recorded(&world, &second).await;
    assert_eq!(record.hold, None);
    let unheld = release(&world.catalog, world.store.clone(), &record).await;
    assert_eq!(unheld.unwrap_err().kind, EngineErrorKind::Refused);
    assert_eq!(pruned(&world).await, [second.id]);
    assert!(is_good(&world, &third).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_outlives_the_catalog() {
    let mut world = World::with(THREE_DAYS).await;
    let first = full(&world, 9, Trust::Verified).await;
    let second = full(&world, 1, Trust::Verified).await;
    held(&world, &first).await;

    // A catalog that was set back to before the hold: prune asks the location.
    world
        .catalog
        .release_hold(&first.scope, &first.id)
        .await
        .unwrap();
    assert!(reason(&world, &first).await.contains("by anna"));
    assert_eq!(
        recorded(&world, &first).await.hold,
        None,
        "a plan changes nothing"
    );
    assert_eq!(pruned(&world).await, []);
    assert_eq!(recorded(&world, &first).await.hold, Some(audit()));

    // One that knows the snapshot and not the hold, and one that lost all.
    world
        .catalog
        .release_hold(&first.scope, &first.id)
        .await
        .unwrap();
    let (name, progress) = ("main".parse().unwrap(), Progress::new());
    let found = rebuild(&world.catalog, &name, &world.store, &password(), &progress).await;
    assert_eq!(found.unwrap().held, [first.id]);
    world.catalog = catalog().await;
    let found = rebuild(&world.catalog, &name, &world.store, &password(), &progress).await;
    assert_eq!(found.unwrap().recorded.len(), 2);
    assert_eq!(recorded(&world, &first).await.hold, Some(audit()));
    assert_eq!(recorded(&world, &second).await.hold, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_nobody_can_read_holds() {
    let world = World::with(THREE_DAYS).await;
    let first = full(&world, 9, Trust::Verified).await;
    full(&world, 1, Trust::Verified).await;
    held(&world, &first).await;
    world
        .catalog
        .release_hold(&first.scope, &first.id)
        .await
        .unwrap();
    let object = format!("{}/holds/{}", first.chain, first.id);
    std::fs::write(world.location().join(object), "damaged").unwrap();
    assert_eq!(pruned(&world).await, []);
    let reason = reason(&world, &first).await;
    assert!(reason.contains("cannot be read"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_died_while_holding_is_finished_by_the_next_try() {
    let world = World::with(THREE_DAYS).await;
    let first = full(&world, 9, Trust::Verified).await;
    full(&world, 1, Trust::Verified).await;
    let (scope, id) = (&first.scope, &first.id);
    let told = world.catalog.hold_snapshot(scope, id, &audit()).await;
    assert!(told.unwrap());
    let other = Hold::new("another reason", "bert", at(1)).unwrap();
    let (store, password) = (world.store.clone(), password());
    hold(&world.catalog, store, &password, &first, &other)
        .await
        .unwrap();
    // It is the one that the catalog knew.
    world.catalog.release_hold(scope, id).await.unwrap();
    assert!(reason(&world, &first).await.contains("by anna"));
}

#[test]
fn a_hold_says_why_and_who() {
    for (reason, by) in [
        ("", "anna"),
        (" \t", "anna"),
        ("audit", ""),
        ("a\u{7}", "anna"),
    ] {
        assert!(Hold::new(reason, by, at(0)).is_err(), "{reason:?} {by:?}");
    }
    assert!(Hold::new(&"x".repeat(1001), "anna", at(0)).is_err());
}
