//! A location that dies at any operation of a backup.

use std::sync::Arc;
use std::time::Duration;

use logisedge_domain::run::{Run, RunState};
use logisedge_engine::Progress;
use logisedge_engine::attempt::{Attempted, Places};
use logisedge_engine::verify::verify;
use logisedge_storage::{Fault, Faulty};
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
