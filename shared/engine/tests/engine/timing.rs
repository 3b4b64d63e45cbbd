//! Runs that are late, schedules that are paused, and what a new configuration does to what is overdue.

use chrono::TimeDelta;
use insta::assert_snapshot;
use logisedge_catalog::{AttemptEnd, Begin};
use logisedge_domain::alert::AlertKind;
use logisedge_domain::id::{ChainPath, RunId};
use logisedge_domain::run::RunState;
use logisedge_engine::attempt::{Attempted, LEASE};
use logisedge_engine::configure;
use logisedge_sources::SourceErrorKind;

use crate::dispatching::{begin_and_die, is_nothing};
use crate::doubles::{Trouble, troubled};
use crate::world::{World, at, config, daily, scope, tick};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

fn daily_run(slot: i64, name: &str) -> RunId {
    RunId::scheduled(&daily(), at(slot), &scope(name))
}

/// The sentences of the alerts of late runs, sorted.
async fn late(world: &World) -> Vec<String> {
    let alerts = world.alerts_of(AlertKind::Late).await.into_iter();
    let mut texts: Vec<String> = alerts.map(|alert| alert.summary).collect();
    texts.sort();
    texts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_does_not_begin_or_end_in_time_is_told_once_for_each() {
    let limits = "start_within = \"30 minutes\"\nfinish_within = \"2h\"";
    let world = World::with(limits).await;
    let catalog = &world.catalog;
    tick(catalog, at(5)).await.unwrap();
    let (customers, items) = (daily_run(0, "customers"), daily_run(0, "items"));
    // One begins in time, the other does not.
    begin_and_die(&world, &customers, at(60)).await;
    let early = tick(catalog, at(1799)).await.unwrap();
    assert!(early.late.is_empty());
    let done = tick(catalog, at(1800)).await.unwrap();
    assert_eq!(done.late, std::slice::from_ref(&items));
    let (one, two) = tokio::join!(tick(catalog, at(1860)), tick(catalog, at(1860)));
    assert!(one.unwrap().late.is_empty() && two.unwrap().late.is_empty());
    assert_eq!(late(&world).await.len(), 1);

    // It begins late, and neither ends in time.
    begin_and_die(&world, &items, at(2 * HOUR - 60)).await;
    let (one, two) = tokio::join!(tick(catalog, at(2 * HOUR)), tick(catalog, at(2 * HOUR)));
    let mut told = [one.unwrap().late, two.unwrap().late].concat();
    told.sort();
    assert_eq!(told, [customers, items], "each once, of two at once");
    assert!(tick(catalog, at(3 * HOUR)).await.unwrap().late.is_empty());
    assert_snapshot!(late(&world).await.join("\n"), @r"
    The backup of customers was to have ended by 2026-11-24 04:00:00 UTC: it is running since 2026-11-24 02:01:00 UTC.
    The backup of items was to have begun by 2026-11-24 02:30:00 UTC: it has not begun.
    The backup of items was to have ended by 2026-11-24 04:00:00 UTC: it is running since 2026-11-24 03:59:00 UTC.
    ");
    assert!(catalog.late_runs(at(90 * DAY)).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_late_while_no_dispatcher_looked_is_told_afterwards() {
    let limits = "start_within = \"30 minutes\"\nfinish_within = \"2h\"";
    let world = World::with(limits).await;
    let catalog = &world.catalog;
    tick(catalog, at(5)).await.unwrap();
    let items = daily_run(0, "items");
    let name = scope("items");
    let chain = ChainPath::new(&name, at(HOUR));
    let begin = catalog.begin_attempt(&items, &name, "slow", at(HOUR), LEASE, &chain);
    let Begin::Started { fence, .. } = begin.await.unwrap() else {
        panic!("it did not start");
    };
    let end = AttemptEnd::Failed {
        reason: "no route to host".to_owned(),
    };
    let ended = catalog.end_attempt(&items, &name, fence, end, at(3 * HOUR), &[]);
    ended.await.unwrap();
    // Customers never begin; that is told too.
    let first = tick(catalog, at(4 * HOUR)).await.unwrap();
    assert_eq!(first.late.len(), 2);
    let second = tick(catalog, at(4 * HOUR + 60)).await.unwrap();
    assert_eq!(second.late.len(), 2);
    assert_snapshot!(late(&world).await.join("\n"), @r"
    The backup of customers was to have begun by 2026-11-24 02:30:00 UTC: it has not begun.
    The backup of customers was to have ended by 2026-11-24 04:00:00 UTC: it has not begun.
    The backup of items was to have begun by 2026-11-24 02:30:00 UTC: it failed at 2026-11-24 05:00:00 UTC.
    The backup of items was to have ended by 2026-11-24 04:00:00 UTC: it failed at 2026-11-24 05:00:00 UTC.
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_keep_to_their_time_leave_nothing_to_look_at() {
    let world = World::with("enabled = false").await;
    let now = chrono::Utc::now();
    let limits = config("start_within = \"30 days\"\nfinish_within = \"31 days\"");
    configure::apply(&world.catalog, &limits, now)
        .await
        .unwrap();
    let state = world.catalog.schedule(&daily()).await.unwrap().unwrap();
    let due = state.next_slot.unwrap();
    tick(&world.catalog, due).await.unwrap();
    let id = RunId::scheduled(&daily(), due, &scope("customers"));
    let run = world.run(&id).await;
    assert_eq!(run.start_by, Some(due + TimeDelta::days(30)));
    assert_eq!(run.finish_by, Some(due + TimeDelta::days(31)));
    let far = due + TimeDelta::days(400);
    assert_eq!(world.catalog.late_runs(far).await.unwrap().len(), 2);
    let ended = world.attempt(&id).await;
    assert!(matches!(ended, Attempted::Succeeded(_)), "{ended:?}");
    let left = world.catalog.late_runs(far).await.unwrap();
    assert_eq!(left.len(), 1, "the other run's limit");
    assert_ne!(left[0].0.id, id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_event_does_not_begin_an_attempt_before_its_time() {
    let world = World::with("enabled = false").await;
    let id = world.request("customers").await;
    let source = troubled(
        world.source(),
        Trouble::AtOpen(SourceErrorKind::Unreachable),
    );
    let ended = world.attempt_from(&id, source).await;
    assert!(matches!(ended, Attempted::WillRetry(_)), "{ended:?}");
    for _ in 0..3 {
        let again = world.attempt(&id).await;
        assert!(matches!(again, Attempted::Nothing(_)), "{again:?}");
    }
    let run = world.run(&id).await;
    assert_eq!((run.state, run.attempts), (RunState::Requested, 1));
    let due = run.retry_at.unwrap();
    assert!(is_nothing(
        &tick(&world.catalog, due - TimeDelta::seconds(1))
            .await
            .unwrap()
    ));
    let asked = tick(&world.catalog, due).await.unwrap();
    assert_eq!(asked.republished, std::slice::from_ref(&id));
    let ended = world.attempt(&id).await;
    assert!(matches!(ended, Attempted::Succeeded(_)), "{ended:?}");
    assert_eq!(world.run(&id).await.retry_at, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_schedule_and_its_skipped_dates_have_no_slots() {
    let lines = "pause_until = \"2026-11-26\"\nskip_dates = [\"2026-11-27\", \"2026-11-29\"]";
    let world = World::with(lines).await;
    let state = world.catalog.schedule(&daily()).await.unwrap().unwrap();
    assert_eq!(state.next_slot, Some(at(2 * DAY)));
    for second in [0, DAY, 2 * DAY - 1] {
        assert!(is_nothing(&tick(&world.catalog, at(second)).await.unwrap()));
    }
    let done = tick(&world.catalog, at(2 * DAY)).await.unwrap();
    assert_eq!(done.requested.len(), 2);
    // After an outage only slots that exist are missed.
    let done = tick(&world.catalog, at(6 * DAY + 60)).await.unwrap();
    let of_day = |day: i64| ["customers", "items"].map(|name| daily_run(day * DAY, name));
    assert_eq!(done.missed, of_day(4));
    assert_eq!(done.requested, of_day(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_configuration_swallows_no_slot_that_is_overdue() {
    for change in [
        "enabled = false",
        "pause_until = \"2027-01-01\"",
        "skip_dates = [\"2026-11-24\"]",
        "time_zone = \"Asia/Tokyo\"",
        "gone",
    ] {
        let world = World::new().await;
        let catalog = &world.catalog;
        let mut after = config(change.replace("gone", "").as_str());
        if change == "gone" {
            after.schedules.retain(|schedule| schedule.name != daily());
        }
        // The slot of 24 November is missed, the one of the 25th is overdue.
        let now = at(DAY + 90);
        let done = configure::apply(catalog, &after, now).await.unwrap();
        let of_day = |day: i64| ["customers", "items"].map(|name| daily_run(day * DAY, name));
        assert_eq!(done.missed, of_day(0), "{change}");
        assert_eq!(done.requested, of_day(1), "{change}");
        assert_eq!(world.alerts_of(AlertKind::Missed).await.len(), 1);
        let state = catalog.schedule(&daily()).await.unwrap();
        let expected = configure::next_slots(&after, now).remove(&daily());
        assert_eq!(state.map(|state| state.next_slot), expected, "{change}");
        // The next tick asks for what is overdue.
        let asked = tick(catalog, at(DAY + 120)).await.unwrap();
        assert_eq!(asked.republished, of_day(1), "{change}");
        let again = configure::apply(catalog, &after, at(DAY + 150)).await;
        assert!(is_nothing(&again.unwrap()));
    }
    // A schedule that is due as before keeps its slot for the tick.
    let world = World::new().await;
    let after = config("catch_up = \"3h\"");
    let done = configure::apply(&world.catalog, &after, at(60))
        .await
        .unwrap();
    assert!(is_nothing(&done));
    let done = tick(&world.catalog, at(90)).await.unwrap();
    assert_eq!(done.requested.len(), 2);
}
