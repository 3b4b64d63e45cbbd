//! The dispatcher's ticks and an operator's requests.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;
use insta::assert_snapshot;
use logisedge_catalog::Begin;
use logisedge_domain::alert::AlertKind;
use logisedge_domain::event::Event;
use logisedge_domain::id::{ChainPath, RunId};
use logisedge_domain::run::{ATTEMPTS_MAX, Cause, RunState};
use logisedge_engine::EngineErrorKind;
use logisedge_engine::attempt::LEASE;
use logisedge_engine::dispatch::{
    Dispatched, PICK_UP_GIVE_UP, PICK_UP_WITHIN, look_up, prune_all, run_now, verify_all,
};

use crate::world::{World, at, config, daily, scope, tick};

pub(crate) fn later(seconds: i64, more: Duration) -> chrono::DateTime<chrono::Utc> {
    at(seconds) + TimeDelta::from_std(more).unwrap()
}

pub(crate) fn is_nothing(done: &Dispatched) -> bool {
    done.events.is_empty()
        && done.requested.is_empty()
        && done.republished.is_empty()
        && done.given_up.is_empty()
        && done.missed.is_empty()
        && done.late.is_empty()
}

fn asked_for(done: &Dispatched) -> Vec<RunId> {
    let run = |event: &Event| match event {
        Event::BackupRequested { run, .. } => run.clone(),
        other => panic!("{other:?}"),
    };
    done.events.iter().map(run).collect()
}

/// Takes the scope's lease for a run as a function does that is then killed.
pub(crate) async fn begin_and_die(world: &World, id: &RunId, now: chrono::DateTime<chrono::Utc>) {
    let run = world.run(id).await;
    let chain = ChainPath::new(&run.scope, now);
    let begun = world
        .catalog
        .begin_attempt(id, &run.scope, "killed", now, LEASE, &chain)
        .await
        .unwrap();
    assert!(matches!(begun, Begin::Started { .. }), "{begun:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_due_slot_becomes_one_run_a_scope_however_often_it_is_asked() {
    let world = World::new().await;
    assert!(is_nothing(&tick(&world.catalog, at(-1)).await.unwrap()));

    let done = tick(&world.catalog, at(5)).await.unwrap();
    let expected = [
        RunId::scheduled(&daily(), at(0), &scope("customers")),
        RunId::scheduled(&daily(), at(0), &scope("items")),
    ];
    assert_eq!(done.requested, expected);
    assert_eq!(asked_for(&done), expected);
    for id in &expected {
        let run = world.run(id).await;
        assert_eq!(run.state, RunState::Requested);
        assert_eq!(run.requested_at, at(5));
        let cause = Cause::Schedule {
            schedule: daily(),
            slot: at(0),
        };
        assert_eq!(run.cause, cause);
    }
    let state = world.catalog.schedule(&daily()).await.unwrap().unwrap();
    assert_eq!(state.next_slot, Some(at(86_400)));

    assert!(is_nothing(&tick(&world.catalog, at(6)).await.unwrap()));
    assert!(is_nothing(&tick(&world.catalog, at(65)).await.unwrap()));
    assert_eq!(world.catalog.recent_runs(100).await.unwrap().len(), 2);
    assert!(world.messages().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn dispatchers_at_once_double_nothing() {
    let world = World::new().await;
    let ticks = (0..4).map(|second| {
        let catalog = world.catalog.clone();
        tokio::spawn(async move { tick(&catalog, at(second)).await.unwrap() })
    });
    let mut asked = Vec::new();
    for done in ticks.collect::<Vec<_>>() {
        asked.extend(asked_for(&done.await.unwrap()));
    }
    let once: BTreeSet<_> = asked.iter().cloned().collect();
    assert_eq!((asked.len(), once.len()), (2, 2));
    assert_eq!(world.catalog.recent_runs(100).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatcher_killed_half_way_is_completed_by_the_next_tick() {
    let world = World::new().await;
    // What it did before it was killed: the slot of one scope is recorded, nothing is published, the
    // schedule is not moved on.
    let done = tick(&world.catalog, at(1)).await.unwrap();
    let customers = world.run(&done.requested[0]).await;
    let other = World::new().await;
    let wake = Some(later(1, PICK_UP_WITHIN));
    let recorded = other.catalog.record_run(&customers, wake, &[]);
    assert!(recorded.await.unwrap());

    let completed = tick(&other.catalog, at(60)).await.unwrap();
    assert_eq!(
        completed.requested,
        [RunId::scheduled(&daily(), at(0), &scope("items"))]
    );
    // The event that it never published comes when nobody picked the run up.
    let again = tick(&other.catalog, later(2, PICK_UP_WITHIN))
        .await
        .unwrap();
    assert_eq!(again.republished, [customers.id]);
    assert_eq!(other.catalog.recent_runs(100).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_long_outage_the_newest_slot_runs_and_the_others_are_missed() {
    let world = World::with("catch_up = \"6h\"").await;
    let day = 86_400;
    let done = tick(&world.catalog, at(3 * day + 3600)).await.unwrap();
    let slots = |slot| {
        ["customers", "items"].map(|name| RunId::scheduled(&daily(), at(slot * day), &scope(name)))
    };
    assert_eq!(done.requested, slots(3));
    assert_eq!(done.missed, [slots(0), slots(1), slots(2)].concat());
    let missed = world.run(&done.missed[0]).await;
    assert_eq!(missed.state, RunState::Missed);
    assert_snapshot!(missed.reason.unwrap(), @"nothing could start it; the later slot 2026-11-27 02:00:00 UTC runs instead");
    let alerts = world.alerts().await;
    assert_eq!((alerts.len(), alerts[0].kind), (1, AlertKind::Missed));
    assert_snapshot!(alerts[0].summary, @"3 backups of customers and items were missed, the last one due at 2026-11-26 02:00:00 UTC.");
    assert_eq!(alerts[0].details.len(), 4);
    let again = tick(&world.catalog, at(3 * day + 3660)).await.unwrap();
    assert!(is_nothing(&again));
    assert_eq!(world.alerts().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_dispatcher_asked_for_is_not_told_as_missed() {
    let world = World::with("catch_up = \"6h\"").await;
    let day = 86_400;
    // It asked for the first day's customers and was killed before it moved the schedule.
    let other = World::with("catch_up = \"6h\"").await;
    let asked = tick(&other.catalog, at(60)).await.unwrap();
    let customers = other.run(&asked.requested[0]).await;
    let recorded = world.catalog.record_run(&customers, Some(at(3 * day)), &[]);
    assert!(recorded.await.unwrap());

    let done = tick(&world.catalog, at(2 * day + 60)).await.unwrap();
    let slots = |slot, names: &[&str]| -> Vec<RunId> {
        let id = |name: &&str| RunId::scheduled(&daily(), at(slot * day), &scope(name));
        names.iter().map(id).collect()
    };
    let missed = [slots(0, &["items"]), slots(1, &["customers", "items"])].concat();
    assert_eq!(done.missed, missed);
    assert_eq!(done.requested, slots(2, &["customers", "items"]));
    let alerts = world.alerts_of(AlertKind::Missed).await;
    assert_eq!(alerts.len(), 1);
    assert_snapshot!(alerts[0].summary, @"2 backups of customers and items were missed, the last one due at 2026-11-25 02:00:00 UTC.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_older_than_the_catch_up_window_is_missed() {
    let world = World::with("catch_up = \"6h\"").await;
    let done = tick(&world.catalog, at(7 * 3600)).await.unwrap();
    assert_eq!((done.requested.len(), done.missed.len()), (0, 2));
    assert!(done.events.is_empty());
    let missed = world.run(&done.missed[1]).await;
    assert_snapshot!(missed.reason.unwrap(), @"nothing could start it within 6 h 00 m of its slot");
    let state = world.catalog.schedule(&daily()).await.unwrap().unwrap();
    assert_eq!(state.next_slot, Some(at(86_400)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_picks_up_is_asked_for_again_and_then_given_up() {
    let world = World::new().await;
    let first = tick(&world.catalog, at(0)).await.unwrap();
    let early = later(-1, PICK_UP_WITHIN);
    assert!(is_nothing(&tick(&world.catalog, early).await.unwrap()));

    let due = later(0, PICK_UP_WITHIN);
    let (one, two) = tokio::join!(tick(&world.catalog, due), tick(&world.catalog, due));
    let mut republished = asked_for(&one.unwrap());
    republished.extend(asked_for(&two.unwrap()));
    republished.sort();
    assert_eq!(republished, first.requested, "each once, of two at once");
    assert!(is_nothing(&tick(&world.catalog, due).await.unwrap()));

    let done = tick(&world.catalog, later(60, PICK_UP_GIVE_UP))
        .await
        .unwrap();
    assert_eq!(done.given_up, first.requested);
    assert!(done.events.is_empty());
    let run = world.run(&first.requested[0]).await;
    assert_eq!(run.state, RunState::Failed);
    assert_snapshot!(run.reason.unwrap(), @"no backup function picked it up: look at the function's log and the dead-letter queue");
    assert_eq!(world.alerts_of(AlertKind::Failure).await.len(), 2);
    let again = tick(&world.catalog, later(120, PICK_UP_GIVE_UP)).await;
    assert!(is_nothing(&again.unwrap()));
    assert_eq!(world.alerts().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_attempt_is_asked_for_again_and_the_last_one_fails_the_run() {
    let world = World::new().await;
    let id = tick(&world.catalog, at(0)).await.unwrap().requested[0].clone();
    let ours = |runs: &[RunId]| runs.contains(&id);
    let lease = i64::try_from(LEASE.as_secs()).unwrap();
    let mut now = 1;
    for attempt in 1..=ATTEMPTS_MAX {
        begin_and_die(&world, &id, at(now)).await;
        let alive = tick(&world.catalog, at(now + lease - 1)).await.unwrap();
        assert!(!ours(&alive.republished) && !ours(&alive.given_up));
        now += lease + 1;
        let done = tick(&world.catalog, at(now)).await.unwrap();
        assert_eq!(ours(&done.republished), attempt < ATTEMPTS_MAX);
        assert_eq!(ours(&done.given_up), attempt == ATTEMPTS_MAX);
    }
    let run = world.run(&id).await;
    assert_eq!((run.state, run.attempts), (RunState::Failed, ATTEMPTS_MAX));
    assert_snapshot!(run.reason.unwrap(), @"attempt 3 of 3 ended without a word: the function was killed, for instance for want of memory; look at its log");
    let alerts = world.alerts_of(AlertKind::Failure).await;
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0].run, Some(id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_schedule_has_no_slots() {
    let world = World::with("enabled = false").await;
    let done = tick(&world.catalog, at(3 * 86_400)).await.unwrap();
    assert!(is_nothing(&done));
}

#[tokio::test(flavor = "multi_thread")]
async fn applying_the_same_again_moves_no_slot() {
    let world = World::new().await;
    let same = logisedge_engine::configure::apply(&world.catalog, &config(""), at(3600)).await;
    same.unwrap();
    let done = tick(&world.catalog, at(3601)).await.unwrap();
    assert_eq!(done.requested.len(), 2, "the slot at 02:00 is not lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_runs_what_a_schedule_has_or_single_scopes() {
    let world = World::new().await;
    let catalog = &world.catalog;
    let all = run_now(catalog, Some(&daily()), &[], None, "a", at(0))
        .await
        .unwrap();
    assert_eq!(asked_for(&all), all.requested);
    assert_eq!(all.requested.len(), 2);
    let again = run_now(catalog, Some(&daily()), &[], None, "a", at(0))
        .await
        .unwrap();
    assert!(is_nothing(&again), "a repeated request changes nothing");

    // A scope finds the schedule that has it, a disabled one too; one that none has takes the named.
    let scopes = [scope("everything"), scope("items")];
    let some = run_now(catalog, None, &scopes, None, "b", at(0))
        .await
        .unwrap();
    let cause = world.run(&some.requested[0]).await.cause;
    assert_eq!(cause.schedule().unwrap().as_str(), "often");
    let cause = world.run(&some.requested[1]).await.cause;
    assert_eq!(cause.schedule(), Some(&daily()));
    let named = run_now(
        catalog,
        Some(&daily()),
        &[scope("unscheduled")],
        None,
        "c",
        at(0),
    )
    .await;
    assert_eq!(named.unwrap().requested.len(), 1);

    // Without a schedule there is no question where to while there is one location.
    let alone = run_now(catalog, None, &[scope("unscheduled")], None, "d", at(0))
        .await
        .unwrap();
    assert_eq!(
        world.run(&alone.requested[0]).await.cause,
        Cause::Operator { schedule: None }
    );
    let mut config = catalog.load_config().await.unwrap();
    let (_, only) = config.locations.first_key_value().unwrap();
    config
        .locations
        .insert("second".parse().unwrap(), only.clone());
    let error = look_up(&config, None, &[scope("unscheduled")]).unwrap_err();
    assert_snapshot!(error, @"no schedule backs up scope unscheduled, so it is not known which of the locations it goes to: name a schedule too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_name_starts_nothing_and_is_told_what_there_is() {
    let world = World::new().await;
    let refused = async |schedule: Option<&str>, scopes: &[&str]| {
        let schedule = schedule.map(|name| name.parse().unwrap());
        let scopes: Vec<_> = scopes.iter().map(|name| scope(name)).collect();
        let error = run_now(&world.catalog, schedule.as_ref(), &scopes, None, "t", at(0)).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind, EngineErrorKind::NotFound);
        error.message
    };
    assert_snapshot!(refused(Some("dayly"), &[]).await, @"there is no schedule dayly; there are: daily, often");
    assert_snapshot!(refused(None, &["items", "costumers"]).await, @"there is no scope costumers; there are: customers, everything, items, unscheduled");
    assert_snapshot!(refused(None, &[]).await, @"name a schedule or a scope to run");
    assert!(world.catalog.recent_runs(10).await.unwrap().is_empty());

    let empty = crate::world::catalog().await;
    let error = run_now(&empty, Some(&daily()), &[], None, "t", at(0)).await;
    assert_snapshot!(error.unwrap_err(), @"there is no schedule daily; there are: none (apply a configuration first)");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daily_rules_fan_out_to_every_scope() {
    let world = World::new().await;
    let scopes = |done: Dispatched| -> Vec<String> {
        done.events.iter().map(|e| e.scope().to_string()).collect()
    };
    let all = ["customers", "everything", "items", "unscheduled"];
    assert_eq!(scopes(prune_all(&world.catalog).await.unwrap()), all);
    assert_eq!(scopes(verify_all(&world.catalog).await.unwrap()), all);
}
