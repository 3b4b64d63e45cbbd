//! Attempts whose lease another attempt took over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use logisedge_catalog::{Begin, Commit};
use logisedge_domain::id::ChainPath;
use logisedge_domain::run::{Run, RunState};
use logisedge_domain::snapshot::SnapshotRecord;
use logisedge_engine::Progress;
use logisedge_engine::attempt::{Attempted, HEARTBEAT, LEASE};
use logisedge_engine::backup::{Order, take};

use crate::attempts::is_good;
use crate::doubles::{Trouble, troubled};
use crate::world::{World, options, password};

/// What another attempt does that began after the lease ran out: it takes the scope over, backs it
/// up and commits.
async fn take_over(world: Arc<World>, run: Run) -> SnapshotRecord {
    let later = Utc::now() + TimeDelta::from_std(LEASE).unwrap() + TimeDelta::seconds(5);
    let chain = ChainPath::new(&run.scope, later);
    let begun = world
        .catalog
        .begin_attempt(&run.id, &run.scope, "another", later, LEASE, &chain)
        .await
        .unwrap();
    let Begin::Started { fence, .. } = begun else {
        panic!("{begun:?}");
    };
    let order = Order {
        run: run.id.clone(),
        schedule: None,
        scope: world.catalog.scope(&run.scope).await.unwrap().unwrap(),
        chain,
        location: run.location.clone(),
        options: options(),
        memory_bytes_max: None,
        lock: None,
    };
    let (source, progress) = (world.source(), Progress::new());
    let store = world.store.clone();
    let taken = take(source.as_ref(), store, &password(), &order, &progress).await;
    let taken = taken.unwrap();
    let committed = world.catalog.commit_snapshot(
        &run.id,
        fence,
        Commit {
            record: &taken.record,
            stats: &taken.stats,
            bytes_written: 7,
            judged: None,
        },
        later,
        &[],
    );
    committed.await.unwrap();
    taken.record
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_lost_its_lease_before_the_commit_withdraws_its_chain() {
    for same_run in [true, false] {
        let world = Arc::new(World::new().await);
        let id = world.request("customers").await;
        let other = if same_run {
            id.clone()
        } else {
            world.request("customers").await
        };
        let other = world.run(&other).await;
        let (tell, told) = tokio::sync::oneshot::channel();
        let by = world.clone();
        let act = Trouble::BeforeClose(Box::new(|| {
            Box::pin(async move {
                // On its own: it goes on if the attempt hears of its loss meanwhile and stops.
                let over = tokio::spawn(async move {
                    let _ = tell.send(take_over(by, other).await);
                });
                over.await.unwrap();
            })
        }));
        let stopwatch = Instant::now();
        let ended = world.attempt_from(&id, troubled(world.source(), act)).await;
        let took = stopwatch.elapsed();
        assert!(matches!(ended, Attempted::Nothing(_)), "{ended:?}");
        let theirs = told.await.unwrap();
        let known = world.catalog.all_snapshots().await.unwrap();
        assert_eq!(known, std::slice::from_ref(&theirs));
        is_good(&world, &theirs).await;
        let objects = world.objects().await;
        let ours = format!("{}/", theirs.chain);
        let mut beside = objects.iter().filter(|key| !key.starts_with(&ours));
        if took < HEARTBEAT {
            assert_eq!(beside.next(), None);
        } else {
            // On a slow machine it heard of its loss before it came to commit.
            assert!(
                !beside.any(|key| key.contains("/snapshots/")),
                "{objects:?}"
            );
        }
        assert!(world.messages().await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_hears_of_its_lost_lease_stops() {
    let world = Arc::new(World::new().await);
    let id = world.request("customers").await;
    let hanging = world.attempt_from(&id, troubled(world.source(), Trouble::Hangs));
    let beside = async {
        while world.run(&id).await.state != RunState::Running {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        take_over(world.clone(), world.run(&id).await).await
    };
    let (ended, theirs) = tokio::join!(hanging, beside);
    assert!(matches!(ended, Attempted::Nothing(_)), "{ended:?}");
    let run = world.run(&id).await;
    assert_eq!(
        (run.state, run.snapshot),
        (RunState::Succeeded, Some(theirs.id))
    );
    is_good(&world, &theirs).await;
    let objects = world.objects().await;
    let snapshots = objects.iter().filter(|key| key.contains("/snapshots/"));
    assert_eq!(snapshots.count(), 1);
}
