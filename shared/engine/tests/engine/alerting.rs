//! What is told of causes that go on, and that their end is told: from the use cases to the outbox.

use chrono::{TimeDelta, Utc};
use logisedge_catalog::Settled;
use logisedge_domain::alert::{
    Alert, AlertKind, CauseState, DigestEvery, DigestTime, Quiet, Standing, Telling,
};
use logisedge_domain::capacity::Level;
use logisedge_domain::run::RunState;
use logisedge_engine::Progress;
use logisedge_engine::configure;
use logisedge_engine::dispatch::prune_all;
use logisedge_engine::verify::verify_recorded;

use crate::verifying::{files_of, flip};
use crate::world::{World, password, scope, tick};

impl World {
    /// Stores a cause's state after an alert was told and so many were held back, as of then.
    async fn told(&self, alert: &Alert, held_back: u64) -> CauseState {
        let quiet = Quiet::default();
        let Telling::Tell(_, state) = Telling::of(alert, None, quiet, alert.at) else {
            panic!("not told");
        };
        let state = CauseState {
            held_back,
            ..*state
        };
        let known = self.catalog.cause(&state.cause).await.unwrap();
        let settled = Settled {
            state: Some(&state),
            due_at: state.due_at(quiet),
            delivered: None,
        };
        let done = self.catalog.settle_cause(&known, settled, &[], alert.at);
        assert!(done.await.unwrap());
        state
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_succeeds_says_that_what_kept_its_schedule_from_it_is_gone() {
    let world = World::new().await;
    let failed = world.request("customers").await;
    let run = world.run(&failed).await;
    let alert = Alert::run_failed(&run, Utc::now());
    world.back_up("customers").await;
    let said = world.resolutions().await;
    assert_eq!(said.len(), 1);
    for kind in [
        AlertKind::Failure,
        AlertKind::Skipped,
        AlertKind::Missed,
        AlertKind::Late,
        AlertKind::StorageFull,
    ] {
        let cause = Alert {
            kind,
            ..alert.clone()
        };
        assert!(said[0].ends(&cause.cause()), "{kind:?}");
    }
    assert_eq!(run.state, RunState::Requested);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_verification_without_findings_says_that_they_are_gone() {
    let world = World::new().await;
    let old = world.back_up("customers").await;
    // A chain's name tells the second.
    tokio::time::sleep(std::time::Duration::from_millis(1010)).await;
    let new = world.back_up("customers").await;
    let verify = async |record| {
        let (store, progress) = (world.store.clone(), Progress::new());
        verify_recorded(&world.catalog, store, &password(), record, &progress)
            .await
            .unwrap()
    };
    let path = &files_of(&world, &new, "data")[0];
    flip(path);
    assert!(!verify(&new).await.is_good());
    let finding = world.alerts_of(AlertKind::Finding).await.remove(0);
    verify(&old).await;
    assert!(
        !world.has_ended(&finding).await,
        "the older one is sound, the newest is not"
    );
    flip(path);
    let known = world.catalog.snapshots(&new.scope).await.unwrap();
    assert!(verify(&known[0]).await.is_good());
    assert!(world.has_ended(&finding).await);
}

#[tokio::test]
async fn what_was_held_back_is_told_by_the_tick_after_the_interval() {
    let world = World::new().await;
    let run = world.request("customers").await;
    let run = world.run(&run).await;
    let began = Utc::now() - TimeDelta::hours(5);
    let state = world.told(&Alert::run_failed(&run, began), 12).await;
    let at = |hours| began + TimeDelta::hours(hours);
    assert_eq!(tick(&world.catalog, at(3)).await.unwrap().summaries, 0);
    assert_eq!(tick(&world.catalog, at(4)).await.unwrap().summaries, 1);
    assert_eq!(tick(&world.catalog, at(4)).await.unwrap().summaries, 0);
    let failures = world.alerts_of(AlertKind::Failure).await;
    assert_eq!(failures.len(), 1);
    let standing = Standing::Repeated {
        more: 11,
        since: began,
    };
    assert_eq!(failures[0].standing, Some(standing));
    let known = world.catalog.cause(&state.cause).await.unwrap();
    let after = known.state.unwrap();
    assert_eq!((after.told, after.held_back, after.told_at), (2, 0, at(4)));
}

#[tokio::test]
async fn dead_letters_are_forgotten_when_none_comes_any_more() {
    let world = World::new().await;
    let began = Utc::now() - TimeDelta::hours(9);
    let state = world
        .told(&Alert::dead_letter("m", "q", "why", began), 0)
        .await;
    let at = |hours| began + TimeDelta::hours(hours);
    assert_eq!(world.catalog.all_causes().await.unwrap(), [state]);
    tick(&world.catalog, at(3)).await.unwrap();
    assert_eq!(world.catalog.all_causes().await.unwrap().len(), 1);
    tick(&world.catalog, at(4)).await.unwrap();
    assert!(world.catalog.all_causes().await.unwrap().is_empty());
    assert!(world.alerts_of(AlertKind::DeadLetter).await.is_empty());
}

fn watched() -> logisedge_domain::config::Config {
    let mut config = crate::world::config("");
    let customers = config.scopes.get_mut(&scope("customers")).unwrap();
    customers.rpo_seconds = Some(26 * 3600);
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_without_a_good_snapshot_is_told_although_nothing_happens() {
    let world = World::new().await;
    let catalog = &world.catalog;
    let began = Utc::now();
    let hours = |n| began + TimeDelta::hours(n);
    configure::apply(catalog, &watched(), began).await.unwrap();
    let overdue = async || world.alerts_of(AlertKind::NoGoodSnapshot).await.len();
    for hour in [0, 1, 25] {
        tick(catalog, hours(hour)).await.unwrap();
        assert_eq!(overdue().await, 0, "{hour}");
    }
    // A snapshot that nobody read back is not good.
    let record = world.back_up("customers").await;
    tick(catalog, hours(26)).await.unwrap();
    assert_eq!(overdue().await, 1);
    let alert = world.alerts_of(AlertKind::NoGoodSnapshot).await.remove(0);
    assert!(alert.summary.contains("there is none"), "{}", alert.summary);
    for hour in [27, 28] {
        tick(catalog, hours(hour)).await.unwrap();
    }
    assert_eq!(overdue().await, 1, "told once");
    // Applied again: it is the same watch.
    configure::apply(catalog, &watched(), hours(28))
        .await
        .unwrap();
    tick(catalog, hours(28)).await.unwrap();
    assert_eq!(overdue().await, 1);
    tick(catalog, hours(31)).await.unwrap();
    assert_eq!(overdue().await, 2, "and again after the quiet time");

    let (store, progress) = (world.store.clone(), Progress::new());
    verify_recorded(catalog, store, &password(), &record, &progress)
        .await
        .unwrap();
    let ended = async || {
        let said = world.resolutions().await;
        said.iter().any(|r| r.ends(&alert.cause()))
    };
    assert!(!ended().await);
    // It is due at once, and the state that it holds is young by the test's clock.
    tick(catalog, Utc::now()).await.unwrap();
    assert!(ended().await);

    // Found damaged it is none any more: that is looked at now, not when it would be too old.
    let objects = world.objects().await;
    let pack = objects.iter().find(|key| key.contains("/data/")).unwrap();
    std::fs::write(world.location().join(pack), "damaged").unwrap();
    let (store, progress) = (world.store.clone(), Progress::new());
    let verified = verify_recorded(catalog, store, &password(), &record, &progress)
        .await
        .unwrap();
    assert!(!verified.is_good());
    let due = catalog.watches_due(Utc::now()).await.unwrap().0;
    assert_eq!(due.len(), 1);

    // Not watched any more.
    configure::apply(catalog, &crate::world::config(""), Utc::now())
        .await
        .unwrap();
    tick(catalog, hours(99)).await.unwrap();
    assert_eq!(overdue().await, 2);
    assert!(catalog.watches_due(hours(999)).await.unwrap().0.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_is_sent_when_it_is_due_and_once() {
    let world = World::new().await;
    let catalog = &world.catalog;
    let mut config = crate::world::config("");
    config.alerts.digest = Some(DigestTime {
        every: DigestEvery::Day,
        at: chrono::NaiveTime::from_hms_opt(7, 0, 0).unwrap(),
        zone: "UTC".parse().unwrap(),
    });
    let began = Utc::now();
    configure::apply(catalog, &config, began).await.unwrap();
    world.back_up("customers").await;
    let sent = async || world.alerts_of(AlertKind::Digest).await;
    tick(catalog, began).await.unwrap();
    assert!(sent().await.is_empty());
    let tomorrow = began + TimeDelta::hours(24);
    for _ in 0..2 {
        tick(catalog, tomorrow).await.unwrap();
    }
    let digests = sent().await;
    assert_eq!(digests.len(), 1);
    let told = digests[0].details.join("\n");
    assert!(told.contains("customers: 1 stored"), "{told}");
    assert!(told.contains("Location main: "), "{told}");
    tick(catalog, tomorrow + TimeDelta::hours(24))
        .await
        .unwrap();
    assert_eq!(sent().await.len(), 2);
    config.alerts.digest = None;
    configure::apply(catalog, &config, Utc::now())
        .await
        .unwrap();
    tick(catalog, tomorrow + TimeDelta::hours(99))
        .await
        .unwrap();
    assert_eq!(sent().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_out_of_the_configuration_is_a_cause_no_longer() {
    let world = World::new().await;
    let now = Utc::now() - TimeDelta::minutes(1);
    let mut failures = Vec::new();
    for name in ["customers", "items"] {
        let run = world.request(name).await;
        let alert = Alert::run_failed(&world.run(&run).await, now);
        world.told(&alert, 0).await;
        failures.push(alert);
    }
    let main = "main".parse().unwrap();
    let full = Alert::storage_soon_full(&main, 85, 100, Level::Eighty, None, now);
    world.told(&full, 0).await;
    let usage = async || world.catalog.usage(&main).await.unwrap();
    let level = Some(Level::Eighty);
    let read = usage().await;
    let told = world.catalog.tell_level(&read, level, now, &[]);
    assert!(told.await.unwrap());

    // The schedule goes on without one of its scopes, at another location.
    let mut config = crate::world::config("");
    let location = config.locations.remove(&main).unwrap();
    let other = "other".parse().unwrap();
    for schedule in &mut config.schedules {
        schedule.scopes.retain(|name| *name != scope("customers"));
        schedule.location = "other".parse().unwrap();
    }
    config.locations.insert(other, location);
    configure::apply(&world.catalog, &config, Utc::now())
        .await
        .unwrap();
    let said = world.resolutions().await;
    let ends = |alert: &Alert| said.iter().filter(|r| r.ends(&alert.cause())).count();
    assert_eq!(said.len(), 2, "{said:?}");
    assert_eq!((ends(&failures[0]), ends(&failures[1])), (1, 0));
    assert_eq!(ends(&full), 1);
    assert_eq!(
        usage().await.level_told,
        None,
        "configured again, it is told"
    );
    // The daily round ends what was told since. Nothing has been delivered here.
    prune_all(&world.catalog).await.unwrap();
    assert_eq!(world.resolutions().await.len(), 4);
}
