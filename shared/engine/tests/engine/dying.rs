//! A location that dies at any operation of a backup.

use std::sync::Arc;
use std::time::Duration;

use logisedge_domain::run::{Run, RunState};
use logisedge_engine::Progress;
use logisedge_engine::attempt::{Attempted, Places};
use logisedge_engine::rebuild::find_snapshots;
use logisedge_engine::verify::verify;
use logisedge_storage::{Fault, Faulty, RetryPolicy, Retrying};
use tokio::task::JoinSet;

use crate::world::{World, password};

/// Backs up into a location that dies after `operations`, then again into one that lives. Whether
/// the first succeeded.
async fn dies_after(operations: u64) -> bool {
    let world = World::new().await;
    let id = world.request("customers").await;
    let dying = Arc::new(Faulty::new(
        world.store.clone(),
        Fault::DiesAfter(operations),
    ));
    let opened = async |run: Run| {
        let places = world.places(&run, world.source()).await;
        Ok(Places {
            store: dying.clone(),
            ..places
        })
    };
    let ended = world.attempt_with(&id, None, opened).await.unwrap();
    if let Attempted::Succeeded(_) = ended {
        return true;
    }
    assert_eq!(world.run(&id).await.state, RunState::Failed, "{ended:?}");
    assert!(world.catalog.all_snapshots().await.unwrap().is_empty());
    let objects = world.objects().await;
    let visible = objects.iter().any(|key| key.contains("/snapshots/"));
    assert!(!visible, "after {operations}: {objects:?}");

    // Chains are named by the second.
    tokio::time::sleep(Duration::from_millis(1050)).await;
    let record = world.back_up("customers").await;
    let found = verify(world.store.clone(), &password(), &record, &Progress::new()).await;
    assert_eq!(found.unwrap().findings, [], "after {operations}");
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_location_that_dies_at_any_operation_leaves_no_half_snapshot() {
    let mut attempts = JoinSet::new();
    for operations in 0..16 {
        attempts.spawn(async move { (operations, dies_after(operations).await) });
    }
    let mut ended = attempts.join_all().await;
    ended.sort_unstable();
    let failed = ended.iter().take_while(|(_, succeeded)| !succeeded).count();
    // config, key, a pack of data, one of trees, the index, the snapshot: at least.
    assert!((6..16).contains(&failed), "{ended:?}");
    assert!(ended[failed..].iter().all(|(_, succeeded)| *succeeded));
}

/// An attempt that is cut off after so long, as a function is that is killed.
async fn killed_after(time: Duration) -> usize {
    let world = World::new().await;
    let id = world.request("everything").await;
    let cut = tokio::time::timeout(time, world.attempt(&id)).await;
    // A write that was under way still ends, as a request does that is on the wire.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (found, unreadable) = find_snapshots(
        &"main".parse().unwrap(),
        &world.store,
        &password(),
        &Progress::new(),
    )
    .await
    .unwrap();
    assert!(unreadable.is_empty(), "{time:?}: {unreadable:?}");
    for record in &found {
        let found = verify(world.store.clone(), &password(), record, &Progress::new()).await;
        assert_eq!(found.unwrap().findings, [], "{time:?}");
    }
    for record in world.catalog.all_snapshots().await.unwrap() {
        assert!(found.iter().any(|there| there.id == record.id), "{time:?}");
    }
    assert!(cut.is_err() || found.len() == 1, "{cut:?}");
    found.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_killed_at_any_moment_leaves_no_half_snapshot() {
    let mut killed = JoinSet::new();
    for step in 0..20 {
        killed.spawn(killed_after(Duration::from_millis(step * step)));
    }
    let found = killed.join_all().await;
    assert_eq!(found.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn passing_failures_and_lost_answers_are_ridden_out() {
    let world = World::new().await;
    for fault in [Fault::FirstTries(1), Fault::LostAnswers(1)] {
        let id = world.request("customers").await;
        let faulty = Arc::new(Faulty::new(world.store.clone(), fault));
        let policy = RetryPolicy {
            delay_first: Duration::from_millis(1),
            ..RetryPolicy::default()
        };
        let store = Arc::new(Retrying::with_policy(faulty, policy));
        let opened = async |run: Run| {
            let places = world.places(&run, world.source()).await;
            Ok(Places {
                store: store.clone(),
                ..places
            })
        };
        let ended = world.attempt_with(&id, None, opened).await.unwrap();
        let Attempted::Succeeded(taken) = ended else {
            panic!("{fault:?}: {ended:?}");
        };
        let store = world.store.clone();
        let found = verify(store, &password(), &taken.record, &Progress::new()).await;
        assert_eq!(found.unwrap().findings, [], "{fault:?}");
        // Chains are named by the second.
        tokio::time::sleep(Duration::from_millis(1050)).await;
    }
}
