//! Attempts: what each of their ends leaves in the catalog and at the location.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use insta::assert_snapshot;
use logisedge_catalog::Message;
use logisedge_domain::alert::AlertKind;
use logisedge_domain::event::Event;
use logisedge_domain::id::ChainPath;
use logisedge_domain::run::{ATTEMPTS_MAX, Run, RunState};
use logisedge_domain::snapshot::{SnapshotRecord, Trust};
use logisedge_engine::attempt::{Attempted, LEASE, Places};
use logisedge_engine::verify::verify;
use logisedge_engine::{EngineErrorKind, Progress};
use logisedge_sources::SourceErrorKind;
use logisedge_storage::{Fault, Faulty, Put};

use crate::doubles::{Trouble, troubled};
use crate::world::{CUSTOMERS, World, password, scope, tick};

pub(crate) async fn is_good(world: &World, record: &SnapshotRecord) {
    let verified = verify(world.store.clone(), &password(), record, &Progress::new()).await;
    assert_eq!(verified.unwrap().findings, []);
}

/// No snapshot object lies at the location.
async fn nothing_is_visible(world: &World) {
    let objects = world.objects().await;
    assert!(
        !objects.iter().any(|key| key.contains("/snapshots/")),
        "{objects:?}"
    );
    assert!(world.catalog.all_snapshots().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_success_is_committed_told_and_frees_the_scope() {
    let world = World::new().await;
    let id = world.request("customers").await;
    let Attempted::Succeeded(taken) = world.attempt(&id).await else {
        panic!("it did not succeed");
    };
    let record = taken.record;
    assert_eq!((record.tables, record.rows), (1, CUSTOMERS));
    assert_eq!(record.trust, Trust::Unverified);
    assert_eq!(record.run, id);
    let known = world.catalog.snapshots(&record.scope).await.unwrap();
    assert_eq!(known, std::slice::from_ref(&record));
    is_good(&world, &record).await;

    let run = world.run(&id).await;
    assert_eq!((run.state, run.attempts), (RunState::Succeeded, 1));
    assert_eq!(
        (run.snapshot, run.chain),
        (Some(record.id), Some(record.chain.clone()))
    );
    assert_eq!(run.stats, Some(taken.stats));
    assert!(world.is_free("customers").await);

    let messages = world.messages().await;
    let committed = Message::Event(Event::SnapshotCommitted {
        run: id.clone(),
        snapshot: record.id,
        scope: record.scope.clone(),
        location: record.location.clone(),
        chain: record.chain.clone(),
    });
    assert!(messages.contains(&committed), "{messages:?}");
    assert_eq!(world.alerts_of(AlertKind::Success).await.len(), 1);
    // And the word that what kept its schedule from it is gone.
    assert_eq!(messages.len(), 3);

    // The same event again.
    let again = world.attempt(&id).await;
    assert!(matches!(again, Attempted::Nothing(_)), "{again:?}");
    assert_eq!(world.messages().await.len(), 3);
    assert_eq!(world.catalog.all_snapshots().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_are_those_that_the_schedule_wants() {
    let quiet = "alerts = { success = false, failure = false, finding = false, clean_up = false }";
    let world = World::with(quiet).await;
    let id = world.request("items").await;
    world.attempt(&id).await;
    let id = world.request("customers").await;
    let source = troubled(world.source(), Trouble::AtOpen(SourceErrorKind::Denied));
    world.attempt_from(&id, source).await;
    assert!(world.alerts().await.is_empty());
    assert_eq!(
        world.messages().await.len(),
        2,
        "the event goes out all the same, and the end of whatever was told before"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_run_is_an_error() {
    let world = World::new().await;
    let id = logisedge_domain::id::RunId::manual("t", Utc::now(), &scope("items"));
    let unused = async |_: Run| -> Result<Places, _> { panic!("opened for no run") };
    let error = world.attempt_with(&id, None, unused).await.unwrap_err();
    assert_eq!(error.kind, EngineErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_one_attempt_is_going_others_do_nothing_or_are_skipped() {
    let world = World::new().await;
    let going = world.request("customers").await;
    let source = troubled(world.source(), Trouble::Hangs);
    let hanging = world.attempt_from(&going, source);
    let beside = async {
        while world.run(&going).await.state != RunState::Running {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let same = world.attempt(&going).await;
        assert!(matches!(same, Attempted::Nothing(_)), "{same:?}");

        let other = world.request("customers").await;
        let skipped = world.attempt(&other).await;
        assert!(matches!(skipped, Attempted::Skipped), "{skipped:?}");
        let run = world.run(&other).await;
        assert_eq!(run.state, RunState::Skipped);
        let reason = run.reason.unwrap().replace(going.as_str(), "RUN");
        assert_snapshot!(reason, @"the scope's previous run RUN was still going");
        let alerts = world.alerts().await;
        assert_eq!(alerts.len(), 1);
        assert_eq!(
            (alerts[0].kind, alerts[0].run.as_ref()),
            (AlertKind::Skipped, Some(&other))
        );

        // Another scope does not mind.
        world.back_up("items").await;
        assert_eq!(world.run(&going).await.state, RunState::Running);
    };
    tokio::select! {
        ended = hanging => panic!("{ended:?}"),
        () = beside => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_scope_is_pruned_a_later_tick_asks_again() {
    let world = World::new().await;
    let now = Utc::now();
    let id = world.request_at("customers", "t", now).await;
    let name = scope("customers");
    let pruning = world.catalog.begin_exclusive(&name, "prune", now, LEASE);
    let fence = pruning.await.unwrap().unwrap();
    let refused = world.attempt(&id).await;
    assert!(matches!(refused, Attempted::Nothing(_)), "{refused:?}");
    let run = world.run(&id).await;
    assert_eq!((run.state, run.attempts), (RunState::Requested, 0));
    world.catalog.release(&name, fence).await.unwrap();
    let done = tick(&world.catalog, now + TimeDelta::minutes(3))
        .await
        .unwrap();
    assert!(done.republished.contains(&id));
    assert!(matches!(world.attempt(&id).await, Attempted::Succeeded(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passing_failure_is_tried_three_times_with_growing_waits() {
    let world = World::with("enabled = false").await;
    let id = world.request("customers").await;
    for attempt in 1..ATTEMPTS_MAX {
        let source = troubled(
            world.source(),
            Trouble::AtOpen(SourceErrorKind::Unreachable),
        );
        let ended = world.attempt_from(&id, source).await;
        assert!(matches!(ended, Attempted::WillRetry(_)), "{ended:?}");
        let run = world.run(&id).await;
        assert_eq!((run.state, run.attempts), (RunState::Requested, attempt));
        assert_eq!(
            run.reason.unwrap(),
            "cannot read table customers: a failure of the test"
        );
        assert!(world.is_free("customers").await);
        assert!(
            world.messages().await.is_empty(),
            "nobody is told before the last attempt"
        );

        let wait = TimeDelta::seconds(30 << (attempt - 1));
        let now = Utc::now();
        let early = tick(&world.catalog, now + wait - TimeDelta::seconds(10))
            .await
            .unwrap();
        assert!(!early.republished.contains(&id), "attempt {attempt}");
        let due = tick(&world.catalog, now + wait).await.unwrap();
        assert!(due.republished.contains(&id), "attempt {attempt}");
    }
    let source = troubled(
        world.source(),
        Trouble::AtOpen(SourceErrorKind::Unreachable),
    );
    let ended = world.attempt_from(&id, source).await;
    assert!(matches!(ended, Attempted::Failed(_)), "{ended:?}");
    let run = world.run(&id).await;
    assert_eq!((run.state, run.attempts), (RunState::Failed, ATTEMPTS_MAX));
    assert!(run.ended_at.is_some());
    let alerts = world.alerts().await;
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0].kind, AlertKind::Failure);
    nothing_is_visible(&world).await;
    world.back_up("customers").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lasting_failure_fails_the_run_at_once_and_leaves_nothing_visible() {
    let world = World::new().await;
    let denied = SourceErrorKind::Denied;
    for trouble in [
        Trouble::AtOpen(denied),
        Trouble::MidWay(denied),
        Trouble::AtClose(SourceErrorKind::Failed),
    ] {
        let id = world.request("customers").await;
        let ended = world
            .attempt_from(&id, troubled(world.source(), trouble))
            .await;
        assert!(matches!(ended, Attempted::Failed(_)), "{ended:?}");
        let run = world.run(&id).await;
        assert_eq!((run.state, run.attempts), (RunState::Failed, 1));
        assert!(world.is_free("customers").await);
        nothing_is_visible(&world).await;
        // Chains are named by the second.
        tokio::time::sleep(Duration::from_millis(1050)).await;
    }
    assert_eq!(world.alerts_of(AlertKind::Failure).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_to_open_the_places_is_the_runs() {
    let world = World::new().await;
    let id = world.request("customers").await;
    let gone = async |_| {
        Err::<Places, _>(logisedge_engine::EngineError::not_found(
            "location main is gone",
        ))
    };
    let ended = world.attempt_with(&id, None, gone).await.unwrap();
    assert!(matches!(ended, Attempted::Failed(_)), "{ended:?}");
    assert_eq!(
        world.run(&id).await.reason.unwrap(),
        "location main is gone"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_location_is_told_as_such_whatever_the_schedule_wants() {
    let world = World::with("alerts = { success = false, failure = false }").await;
    let id = world.request("customers").await;
    let full = Arc::new(Faulty::new(world.store.clone(), Fault::Full(2_000)));
    let opened = async |run: Run| {
        let places = world.places(&run, world.source()).await;
        Ok(Places {
            store: full.clone(),
            ..places
        })
    };
    let ended = world.attempt_with(&id, None, opened).await.unwrap();
    let Attempted::Failed(error) = ended else {
        panic!("{ended:?}");
    };
    assert_eq!(error.kind, EngineErrorKind::StorageFull);
    let alerts = world.alerts().await;
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0].kind, AlertKind::StorageFull);
    nothing_is_visible(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_functions_time_is_told_with_the_remedy() {
    let world = World::new().await;
    let id = world.request("customers").await;
    let opened = async |run: Run| {
        Ok(world
            .places(&run, troubled(world.source(), Trouble::Hangs))
            .await)
    };
    let left = Some(Duration::from_millis(10_300));
    let ended = world.attempt_with(&id, left, opened).await.unwrap();
    let Attempted::Failed(error) = ended else {
        panic!("{ended:?}");
    };
    assert_eq!(error.kind, EngineErrorKind::Deadline);
    let run = world.run(&id).await;
    assert_eq!(run.state, RunState::Failed);
    assert_snapshot!(run.reason.unwrap(), @"the function's time ended after 0 s, before the work did: give it more memory (which brings more CPU), split the scope, or run it outside Lambda with `logisedge-backup direct`");
    assert!(world.is_free("customers").await);
    assert_eq!(world.alerts_of(AlertKind::Failure).await.len(), 1);
    nothing_is_visible(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_tell_how_far_it_is() {
    let world = World::new().await;
    let id = world.request("customers").await;
    let hanging = world.attempt_from(&id, troubled(world.source(), Trouble::Hangs));
    let beside = async {
        while world.run(&id).await.progress.bytes_read == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(world.run(&id).await.progress.parts, 1);
    };
    tokio::select! {
        ended = hanging => panic!("{ended:?}"),
        beside = tokio::time::timeout(Duration::from_secs(30), beside) => beside.unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_whose_chain_exists_already_is_tried_again_later() {
    let world = World::new().await;
    let id = world.request("items").await;
    // Chains are named by the second: those of this minute are taken.
    let now = Utc::now();
    for second in 0..60 {
        let chain = ChainPath::new(&scope("items"), now + TimeDelta::seconds(second));
        let put = Put {
            create_only: true,
            ..Put::default()
        };
        let theirs = Bytes::from_static(b"another's");
        world
            .store
            .put(&format!("{chain}/config"), theirs, put)
            .await
            .unwrap();
    }
    let taken = world.objects().await;
    let ended = world.attempt(&id).await;
    assert!(matches!(ended, Attempted::WillRetry(_)), "{ended:?}");
    assert_eq!(world.run(&id).await.state, RunState::Requested);
    assert_eq!(world.objects().await, taken, "it is left alone");

    std::fs::remove_dir_all(world.location().join("items")).unwrap();
    let due = world.run(&id).await.retry_at.unwrap();
    tick(&world.catalog, due).await.unwrap();
    let again = world.attempt(&id).await;
    assert!(matches!(again, Attempted::Succeeded(_)), "{again:?}");
}
