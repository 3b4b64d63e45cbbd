//! What locations hold, by the catalog and in truth; what fits; what is told when little room is left.

use std::time::Instant as Stopwatch;

use chrono::Utc;
use logisedge_catalog::Message;
use logisedge_domain::alert::AlertKind;
use logisedge_domain::config::Config;
use logisedge_domain::run::RunState;
use logisedge_domain::snapshot::Kind;
use logisedge_engine::attempt::{Attempted, HEARTBEAT};
use logisedge_engine::configure;
use logisedge_engine::prune::prune;
use logisedge_sources::SourceErrorKind;

use crate::doubles::{Trouble, troubled};
use crate::world::{World, config, scope};

fn limited(bytes: u64) -> Config {
    let mut config = config("keep = { last = 1 }");
    for location in config.locations.values_mut() {
        let logisedge_domain::config::LocationConfig::S3 {
            capacity_bytes_max, ..
        } = location
        else {
            panic!("not in S3");
        };
        *capacity_bytes_max = Some(bytes);
    }
    config
}

impl World {
    async fn limit(&self, bytes: u64) {
        configure::apply(&self.catalog, &limited(bytes), Utc::now())
            .await
            .unwrap();
    }

    /// Bytes that lie at the location.
    async fn held(&self) -> u64 {
        let objects = self.store.list("").await.unwrap();
        objects.iter().map(|object| object.bytes).sum()
    }

    /// Bytes that the catalog says lie there.
    async fn tracked(&self) -> u64 {
        let location = "main".parse().unwrap();
        self.catalog.usage(&location).await.unwrap().bytes()
    }

    /// What is used without a commit, as by another scope's at the same time or by a killed attempt.
    async fn use_more(&self, bytes: u64) {
        let location = "main".parse().unwrap();
        self.catalog
            .add_usage(&location, &scope("items"), bytes)
            .await
            .unwrap();
    }

    /// The catalog's requests for a full, and whether it ended before its second heartbeat, which is one.
    async fn requests_of_a_full(&self) -> (u64, bool) {
        // A chain's name tells the second.
        tokio::time::sleep(std::time::Duration::from_millis(1010)).await;
        let run = self.request_kind("customers", Some(Kind::Full)).await;
        let (before, began) = (self.catalog.spent(), Stopwatch::now());
        self.attempt(&run).await;
        let requests = (self.catalog.spent() - before).requests;
        (requests, began.elapsed() < HEARTBEAT)
    }

    /// The same of one that ended before it.
    async fn requests_of_a_quick_full(&self) -> u64 {
        loop {
            if let (requests, true) = self.requests_of_a_full().await {
                return requests;
            }
        }
    }

    /// The levels that were told, and those whose end was, oldest first.
    async fn levels(&self) -> Vec<String> {
        let told = |message| match message {
            Message::Alert(alert) if alert.kind == AlertKind::StorageSoonFull => alert.about,
            Message::Resolution(said) if said.kinds == [AlertKind::StorageSoonFull] => {
                Some(format!("not {}", said.about.unwrap()))
            }
            _ => None,
        };
        let messages = self.messages().await;
        messages.into_iter().filter_map(told).collect()
    }

    async fn prune_customers(&self) {
        let locations = self.locations();
        prune(&self.catalog, &scope("customers"), &locations, "test", None)
            .await
            .unwrap();
    }

    async fn another(&self, kind: Kind) {
        // A chain's name tells the second.
        tokio::time::sleep(std::time::Duration::from_millis(1010)).await;
        let run = self.request_kind("customers", Some(kind)).await;
        let attempted = self.attempt(&run).await;
        assert!(
            matches!(attempted, Attempted::Succeeded(_)),
            "{attempted:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_commits_and_prunes_change_is_tracked_to_the_byte() {
    let world = World::with("keep = { last = 1 }").await;
    let began = Utc::now().date_naive();
    world.back_up("customers").await;
    assert!(world.held().await > 0);
    assert_eq!(world.tracked().await, world.held().await);
    world.another(Kind::Incremental).await;
    world.back_up("items").await;
    world.another(Kind::Full).await;
    assert_eq!(world.tracked().await, world.held().await);
    let before = world.held().await;
    world.prune_customers().await;
    assert!(world.held().await < before);
    assert_eq!(world.tracked().await, world.held().await);
    let usage = world.catalog.usage(&"main".parse().unwrap()).await.unwrap();
    assert_eq!(usage.scopes.len(), 2);
    assert!(usage.scopes[&scope("customers")].listed_at.is_some());
    // At midnight there are two.
    assert_eq!(usage.days.last().unwrap().1, world.held().await);
    let today = Utc::now().date_naive();
    assert!(usage.days.iter().all(|(day, _)| *day >= began), "{usage:?}");
    assert!(usage.days.iter().all(|(day, _)| *day <= today), "{usage:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_catalog_does_not_know_is_found_and_told_when_it_is_much() {
    let world = World::new().await;
    let location = "main".parse().unwrap();
    let record = world.back_up("customers").await;
    world.prune_customers().await;
    let stray = format!("{}/data/ab/stray", record.chain);
    let put = |bytes: usize| {
        let (key, content) = (format!("{stray}-{bytes}"), vec![0; bytes].into());
        let store = world.store.clone();
        async move { store.put(&key, content, Default::default()).await.unwrap() }
    };
    put(1000).await;
    world.prune_customers().await;
    assert_eq!(world.tracked().await, world.held().await);
    let told = async || world.alerts_of(AlertKind::UsageDiffers).await.len();
    assert_eq!(told().await, 0, "a little");
    let lost = 150_000_000;
    world
        .catalog
        .add_usage(&location, &scope("customers"), lost)
        .await
        .unwrap();
    world.prune_customers().await;
    assert_eq!(world.tracked().await, world.held().await);
    assert_eq!(told().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_would_not_fit_is_refused_before_its_first_byte() {
    let world = World::new().await;
    let first = world.back_up("customers").await;
    let held = world.held().await;
    world.limit(held + first.bytes_stored / 2).await;
    let run = world.request("customers").await;
    let attempted = world.attempt(&run).await;
    assert!(matches!(attempted, Attempted::Failed(_)), "{attempted:?}");
    assert_eq!(world.held().await, held, "nothing was written");
    assert_eq!(world.run(&run).await.state, RunState::Failed);
    let alerts = world.alerts_of(AlertKind::StorageFull).await;
    assert_eq!(alerts.len(), 1);
    let told = alerts[0].details.join("\n");
    assert!(told.contains("expected to need"), "{told}");
    // An incremental of nothing new is small, but nobody knows yet; one that was small is.
    world.limit(u64::MAX / 4).await;
    world.another(Kind::Incremental).await;
    let room = world.held().await + first.bytes_stored / 2;
    world.limit(room).await;
    world.another(Kind::Incremental).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_location_that_fills_is_told_at_its_levels_and_when_it_is_below_again() {
    let world = World::with("keep = { last = 1 }").await;
    let first = world.back_up("customers").await;
    let held = world.held().await;
    // With the second it is more than 90 % full.
    world.limit(2 * held + held / 10).await;
    let told = async || world.alerts_of(AlertKind::StorageSoonFull).await;
    assert!(told().await.is_empty());
    world.another(Kind::Full).await;
    let alerts = told().await;
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0].about.as_deref(), Some("main.90"));
    world.prune_customers().await;
    assert!(world.held().await < held + first.bytes_stored / 2);
    let said = world.messages().await;
    let ends = |message: &Message| match message {
        Message::Resolution(said) => said.ends(&alerts[0].cause()),
        _ => false,
    };
    assert!(said.iter().any(ends));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_that_no_commit_of_its_own_crossed_is_told_by_the_next_once() {
    let world = World::new().await;
    world.limit(1_000_000_000).await;
    world.use_more(810_000_000).await;
    assert!(world.levels().await.is_empty());
    world.back_up("customers").await;
    assert_eq!(world.levels().await, ["main.80"]);
    world.another(Kind::Incremental).await;
    assert_eq!(world.levels().await, ["main.80"]);
    // A listing that finds more than was known, of another scope in this case.
    world.use_more(120_000_000).await;
    world.prune_customers().await;
    assert_eq!(world.levels().await, ["main.80", "main.90"]);
    world.prune_customers().await;
    assert_eq!(world.levels().await, ["main.80", "main.90"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failed_attempt_leaves_may_be_what_fills_a_location() {
    let world = World::new().await;
    world.limit(1_000_000_000).await;
    world.use_more(799_999_999).await;
    let run = world.request("customers").await;
    let trouble = Trouble::MidWay(SourceErrorKind::Failed);
    let failing = troubled(world.source(), trouble);
    let attempted = world.attempt_from(&run, failing).await;
    assert!(matches!(attempted, Attempted::Failed(_)), "{attempted:?}");
    assert!(world.held().await > 0);
    assert_eq!(world.levels().await, ["main.80"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_capacity_tells_where_the_location_stands_then() {
    let world = World::new().await;
    world.use_more(850).await;
    world.limit(1000).await;
    assert_eq!(world.levels().await, ["main.80"]);
    world.limit(900).await;
    world.limit(899).await;
    assert_eq!(world.levels().await, ["main.80", "main.90"]);
    world.limit(1000).await;
    let until_then = ["main.80", "main.90", "not main.90"];
    assert_eq!(world.levels().await, until_then);
    let unlimited = config("keep = { last = 1 }");
    configure::apply(&world.catalog, &unlimited, Utc::now())
        .await
        .unwrap();
    assert_eq!(world.levels().await[3..], ["not main.80"]);
    let messages = world.messages().await;
    let because = messages.into_iter().filter_map(|message| match message {
        Message::Resolution(said) => Some(said.because),
        _ => None,
    });
    assert_eq!(
        because.collect::<Vec<_>>(),
        [
            "Location main is less than 90 % full again: 850 B of 1.0 kB are used.",
            "Location main has no capacity_bytes_max any more."
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_at_once_one_tells_a_level() {
    let world = World::new().await;
    world.limit(1000).await;
    for (bytes, told) in [(850, 1), (100, 2)] {
        world.use_more(bytes).await;
        tokio::join!(world.limit(1000), world.limit(1000), world.limit(1000));
        assert_eq!(world.levels().await.len(), told);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_costs_a_commit_no_request_but_the_one_that_tells_it() {
    let world = World::new().await;
    world.back_up("customers").await;
    let without = world.requests_of_a_quick_full().await;
    world.limit(1_000_000_000).await;
    // Whether it fits: what is used, and what was stored before.
    let with = world.requests_of_a_quick_full().await;
    assert_eq!(with, without + 2);
    world.use_more(850_000_000).await;
    match world.requests_of_a_full().await {
        (telling, true) => assert_eq!(telling, with + 1),
        (telling, false) => assert!(telling > with, "{telling}"),
    }
    assert_eq!(world.requests_of_a_quick_full().await, with);
    assert_eq!(world.levels().await, ["main.80"]);
}
