//! No end of an attempt harms the chain that it wrote to.

use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use logisedge_catalog::{Begin, Writing};
use logisedge_domain::id::{ChainPath, RunId};
use logisedge_domain::run::{Run, RunState};
use logisedge_domain::snapshot::Kind;
use logisedge_engine::attempt::{Attempted, LEASE};
use logisedge_engine::prune::prune;
use logisedge_sources::SourceErrorKind;
use logisedge_storage::{Fault, Faulty};

use super::{SCOPE, back_up, change, full_because, next_second, run_of};
use crate::attempts::is_good;
use crate::doubles::{Trouble, troubled};
use crate::world::{World, scope};

/// What a function does that is killed while it writes to `chain`, `ago` from now.
async fn killed_while_writing(world: &World, chain: &ChainPath, ago: TimeDelta) {
    let id = run_of(world, Kind::Incremental).await;
    let then = Utc::now() - ago;
    let name = scope(SCOPE);
    let new = ChainPath::new(&name, then);
    let begun = world
        .catalog
        .begin_attempt(&id, &name, "killed", then, LEASE, &new)
        .await
        .unwrap();
    let Begin::Started { fence, .. } = begun else {
        panic!("{begun:?}");
    };
    let writing = Writing {
        chain: chain.clone(),
        kind: Kind::Incremental,
        kind_reason: None,
    };
    let begun = world
        .catalog
        .begin_writing(&id, &name, fence, &writing, then, LEASE);
    assert!(begun.await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_two_attempts_write_one_chain() {
    let world = World::new().await;
    let (_, full, _) = back_up(&world, Kind::Full).await;
    killed_while_writing(&world, &full.chain, TimeDelta::minutes(3)).await;
    // Prune takes over the lease in between and does not forget.
    let locations = world.locations();
    prune(&world.catalog, &scope(SCOPE), &locations, "test", None)
        .await
        .unwrap();
    let name = scope(SCOPE);
    let held = world.catalog.unended_chains(&name, Utc::now());
    assert!(held.await.unwrap().contains_key(&full.chain));
    let because = full_because(&world, |_| {}).await;
    assert!(
        because.starts_with("an attempt that ended without a word may write to its chain until "),
        "{because}"
    );
    let (_, next, _) = back_up(&world, Kind::Incremental).await;
    assert_eq!(next.kind, Kind::Incremental);

    // Longer ago than any function lives.
    killed_while_writing(&world, &next.chain, TimeDelta::minutes(25)).await;
    let (_, last, _) = back_up(&world, Kind::Incremental).await;
    assert_eq!((last.kind, last.chain), (Kind::Incremental, next.chain));
}

/// An attempt at `id` that is killed right before it commits: everything lies at the location.
async fn killed_before_the_commit(world: &World, id: &RunId) {
    let before = snapshots_at(world).await;
    let stored = async {
        while snapshots_at(world).await == before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let opened = async |run: Run| {
        let mut places = world.places(&run, world.source()).await;
        let silent = Faulty::new(places.store.clone(), Fault::NeverAnswers("snapshots/"));
        places.store = Arc::new(silent);
        Ok(places)
    };
    tokio::select! {
        () = stored => {}
        ended = world.attempt_with(id, None, opened) => panic!("{ended:?}"),
    }
}

async fn snapshots_at(world: &World) -> usize {
    let objects = world.objects().await;
    objects
        .iter()
        .filter(|key| key.contains("/snapshots/"))
        .count()
}

/// Lets the lease of a killed attempt run out.
async fn run_out(world: &World, id: &RunId) -> Run {
    let name = scope(SCOPE);
    let run = world.run(id).await;
    // As the heartbeat of a clock that is behind would leave it.
    let then = Utc::now() - TimeDelta::seconds(100);
    let beat = world
        .catalog
        .heartbeat(id, &name, run.fence.unwrap(), then, LEASE, run.progress);
    assert!(beat.await.unwrap());
    run
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_whose_attempt_was_killed_before_the_commit_is_adopted() {
    let world = World::new().await;
    for kind in [Kind::Full, Kind::Incremental, Kind::Differential] {
        // Each on a chain that no earlier attempt may still write.
        back_up(&world, Kind::Full).await;
        next_second().await;
        change(&world, 5);
        let id = run_of(&world, kind).await;
        killed_before_the_commit(&world, &id).await;
        let there = snapshots_at(&world).await;
        let run = run_out(&world, &id).await;
        assert_eq!(run.state, RunState::Running);
        let ended = world.attempt(&id).await;
        let Attempted::Succeeded(taken) = ended else {
            panic!("{ended:?}");
        };
        assert_eq!(snapshots_at(&world).await, there, "no other is taken");
        assert_eq!((taken.record.kind, &taken.record.run), (kind, &id));
        assert_eq!(Some(&taken.record.chain), run.chain.as_ref());
        assert!(taken.stats.bytes_read > 0 && taken.stats.bytes_stored > 0);
        is_good(&world, &taken.record).await;
        let run = world.run(&id).await;
        assert_eq!((run.state, run.attempts), (RunState::Succeeded, 2));
        assert_eq!(run.snapshot, Some(taken.record.id));
    }
    // For a while nothing is built on its chain.
    let (_, next, _) = back_up(&world, Kind::Incremental).await;
    assert_eq!(
        next.kind,
        Kind::Full,
        "its chain's writer ended without a word"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_attempt_left_incomplete_is_not_adopted() {
    let world = World::new().await;
    let id = run_of(&world, Kind::Full).await;
    killed_before_the_commit(&world, &id).await;
    run_out(&world, &id).await;
    let pack = world
        .objects()
        .await
        .into_iter()
        .find(|key| key.contains("/data/"));
    std::fs::remove_file(world.location().join(pack.unwrap())).unwrap();
    next_second().await;
    let ended = world.attempt(&id).await;
    let Attempted::Succeeded(taken) = ended else {
        panic!("{ended:?}");
    };
    is_good(&world, &taken.record).await;
    assert_eq!(snapshots_at(&world).await, 2);
}

/// The lease of the attempt runs out while it writes, and another run takes a snapshot.
async fn overtaken(world: Arc<World>, id: &RunId) -> Attempted {
    let by = world.clone();
    let other = run_of(&world, Kind::Full).await;
    let act = Trouble::BeforeClose(Box::new(move || {
        Box::pin(async move {
            let over = tokio::spawn(async move {
                let run = by.run(&other).await;
                let later =
                    Utc::now() + TimeDelta::from_std(LEASE).unwrap() + TimeDelta::seconds(5);
                let chain = ChainPath::new(&run.scope, later);
                let begun = by
                    .catalog
                    .begin_attempt(&other, &run.scope, "another", later, LEASE, &chain)
                    .await
                    .unwrap();
                assert!(matches!(begun, Begin::Started { .. }), "{begun:?}");
            });
            over.await.unwrap();
        })
    }));
    world.attempt_from(id, troubled(world.source(), act)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_attempt_harms_no_other_snapshot_of_its_chain() {
    let world = Arc::new(World::new().await);
    let (_, full, _) = back_up(&world, Kind::Full).await;
    change(&world, 1);
    let (_, first, _) = back_up(&world, Kind::Incremental).await;
    change(&world, 2);
    let id = run_of(&world, Kind::Incremental).await;
    let ended = overtaken(world.clone(), &id).await;
    assert!(matches!(ended, Attempted::Nothing(_)), "{ended:?}");

    for record in [&full, &first] {
        is_good(&world, record).await;
    }
    let known = world.catalog.snapshots(&scope(SCOPE)).await.unwrap();
    let offered = known
        .iter()
        .filter(|record| record.deleting_since.is_none());
    assert_eq!(offered.count(), 2);
    for withdrawn in known
        .iter()
        .filter(|record| record.deleting_since.is_some())
    {
        assert_eq!((&withdrawn.run, &withdrawn.chain), (&id, &full.chain));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_attempt_leaves_the_chain_as_it_was_and_the_next_one_builds_on_it() {
    let world = World::new().await;
    let (_, full, _) = back_up(&world, Kind::Full).await;
    change(&world, 1);
    for trouble in [
        Trouble::MidWay(SourceErrorKind::Failed),
        Trouble::AtClose(SourceErrorKind::Failed),
    ] {
        let id = run_of(&world, Kind::Incremental).await;
        let ended = world
            .attempt_from(&id, troubled(world.source(), trouble))
            .await;
        assert!(
            matches!(ended, Attempted::Failed(_) | Attempted::WillRetry(_)),
            "{ended:?}"
        );
        is_good(&world, &full).await;
        assert_eq!(snapshots_at(&world).await, 1);
    }
    let (_, next, _) = back_up(&world, Kind::Incremental).await;
    assert_eq!((next.kind, next.chain), (Kind::Incremental, full.chain));
}
