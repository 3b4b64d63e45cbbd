//! What locations hold, by the catalog and in truth; what fits; what is told when little room is left.

use chrono::Utc;
use logisedge_domain::alert::AlertKind;
use logisedge_domain::config::Config;
use logisedge_domain::run::RunState;
use logisedge_domain::snapshot::Kind;
use logisedge_engine::attempt::Attempted;
use logisedge_engine::configure;
use logisedge_engine::prune::prune;

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

    async fn prune_customers(&self) {
        let locations = self.locations();
        prune(&self.catalog, &scope("customers"), &locations, "test")
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
    assert_eq!(usage.days, [(Utc::now().date_naive(), world.held().await)]);
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
    let ends = |message: &logisedge_catalog::Message| match message {
        logisedge_catalog::Message::Resolution(said) => said.ends(&alerts[0].cause()),
        _ => false,
    };
    assert!(said.iter().any(ends));
}
