//! Changes that are larger than usual: told, and nothing is pruned until somebody looked.

use chrono::{TimeDelta, Utc};
use logisedge_catalog::Message;
use logisedge_domain::alert::AlertKind;
use logisedge_domain::anomaly::Measure;
use logisedge_domain::id::SnapshotId;
use logisedge_domain::snapshot::SnapshotRecord;
use logisedge_engine::anomaly::confirm;
use logisedge_engine::prune::prune;
use logisedge_engine::rebuild::rebuild;
use logisedge_engine::{EngineErrorKind, Progress};

use crate::world::{CUSTOMERS, World, password, scope};

impl World {
    fn sql(&self, text: &str) {
        let db = rusqlite::Connection::open(self.database()).unwrap();
        db.execute_batch(text).unwrap();
    }

    /// So many snapshots of the customers, in chains of their own.
    async fn history(&self, count: usize) -> Vec<SnapshotRecord> {
        let mut records = Vec::new();
        for _ in 0..count {
            records.push(self.back_up("customers").await);
            // A chain's name tells the second.
            tokio::time::sleep(std::time::Duration::from_millis(1010)).await;
        }
        records
    }

    async fn pruned(&self) -> Vec<SnapshotId> {
        let (name, locations) = (scope("customers"), self.locations());
        let done = prune(&self.catalog, &name, &locations, "test", None);
        done.await.unwrap().1.snapshots
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_table_is_told_and_nothing_is_pruned_until_somebody_looked() {
    let world = World::with("keep = { last = 1 }").await;
    let (catalog, name) = (&world.catalog, scope("customers"));
    let before = world.history(5).await;
    assert!(world.alerts_of(AlertKind::Anomaly).await.is_empty());
    assert_eq!(catalog.sizes(&name).await.unwrap().len(), 5);
    world.sql("CREATE TABLE saved AS SELECT * FROM customers; DELETE FROM customers;");
    let truncated = world.history(1).await.remove(0);
    let alerts = world.alerts_of(AlertKind::Anomaly).await;
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0].snapshot, Some(truncated.id));
    let open = catalog.anomaly(&name).await.unwrap().open.unwrap();
    assert_eq!(open.snapshot, truncated.id);
    assert_eq!(open.anomalies.len(), 1);
    let anomaly = &open.anomalies[0];
    assert_eq!(
        (anomaly.measure, anomaly.usual),
        (Measure::Empty, CUSTOMERS)
    );

    // Only the newest would stay, which is the truncated one.
    assert!(world.pruned().await.is_empty());
    assert_eq!(catalog.snapshots(&name).await.unwrap().len(), 6);
    // Whoever planned before it was seen is refused at the deletion itself.
    let lease = std::time::Duration::from_secs(60);
    let fence = catalog
        .begin_exclusive(&name, "test", Utc::now(), lease)
        .await
        .unwrap()
        .unwrap();
    assert!(!catalog.mark_deleting(&before[0], Utc::now()).await.unwrap());
    assert!(catalog.release(&name, fence).await.unwrap());

    // Another one like it changes nothing: the first is what somebody has to look at.
    world.history(1).await;
    assert_eq!(world.alerts_of(AlertKind::Anomaly).await.len(), 2);
    let still = catalog.anomaly(&name).await.unwrap().open.unwrap();
    assert_eq!(still.snapshot, truncated.id);

    // It is undone: what is compared with is what was before.
    world.sql("INSERT INTO customers SELECT * FROM saved;");
    confirm(catalog, &name, false, Utc::now()).await.unwrap();
    let again = confirm(catalog, &name, false, Utc::now()).await;
    assert_eq!(again.unwrap_err().kind, EngineErrorKind::NotFound);
    let messages = world.messages().await;
    let ended = messages.iter().any(|message| match message {
        Message::Resolution(resolution) => resolution.ends(&alerts[0].cause()),
        _ => false,
    });
    assert!(ended);
    world.history(1).await;
    assert_eq!(world.alerts_of(AlertKind::Anomaly).await.len(), 2);
    assert_eq!(world.pruned().await.len(), 7, "all but the newest");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_was_meant_is_what_later_ones_are_compared_with() {
    let world = World::new().await;
    let (catalog, name) = (&world.catalog, scope("customers"));
    world.history(5).await;
    world.sql("DELETE FROM customers WHERE id > 20;");
    world.history(1).await;
    assert!(catalog.anomaly(&name).await.unwrap().open.is_some());
    confirm(catalog, &name, true, Utc::now()).await.unwrap();
    world.history(1).await;
    assert_eq!(world.alerts_of(AlertKind::Anomaly).await.len(), 1);
    assert!(catalog.anomaly(&name).await.unwrap().open.is_none());
    let state = catalog.anomaly(&name).await.unwrap();
    let sizes = catalog.sizes(&name).await.unwrap();
    assert_eq!(
        state.history(&sizes).len(),
        2,
        "the one that was meant, and the one after it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_are_ignored_and_scopes_without_a_history_are_not_judged() {
    let world = World::new().await;
    let mut config = crate::world::config("");
    let ignoring = config.scopes.get_mut(&scope("customers")).unwrap();
    ignoring.anomaly_ignore = vec!["cust*".to_owned()];
    logisedge_engine::configure::apply(&world.catalog, &config, Utc::now())
        .await
        .unwrap();
    world.history(5).await;
    world.sql("DELETE FROM customers; DELETE FROM items;");
    world.history(1).await;
    world.back_up("items").await;
    assert!(world.alerts_of(AlertKind::Anomaly).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_brings_the_history_back() {
    let world = World::new().await;
    world.history(3).await;
    let name = scope("customers");
    let known = world.catalog.sizes(&name).await.unwrap();
    assert_eq!(known.len(), 3);
    let lost = crate::world::catalog().await;
    let location = "main".parse().unwrap();
    let (store, progress) = (world.store.clone(), Progress::new());
    rebuild(&lost, &location, &store, &password(), &progress)
        .await
        .unwrap();
    assert_eq!(lost.sizes(&name).await.unwrap(), known);
}

#[tokio::test]
async fn only_the_newest_sizes_are_kept() {
    let catalog = crate::world::catalog().await;
    let name = scope("customers");
    for n in 0..logisedge_catalog::SIZES_KEPT + 5 {
        let id = SnapshotId::from_bytes([u8::try_from(n).unwrap(); 32]);
        let sizes = logisedge_domain::anomaly::Sizes {
            snapshot: id,
            taken_at: Utc::now() + TimeDelta::hours(i64::try_from(n).unwrap()),
            tables: [].into(),
            left_out: 0,
            unusual: false,
        };
        catalog.put_sizes(&name, &sizes).await.unwrap();
    }
    let newest = catalog.sizes(&name).await.unwrap();
    assert_eq!(newest.len(), logisedge_catalog::SIZES_KEPT);
    assert!(newest.is_sorted_by_key(|sizes| std::cmp::Reverse(sizes.taken_at)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_usual_sizes_outlast_any_number_of_unusual_ones() {
    let world = World::new().await;
    let (catalog, name) = (&world.catalog, scope("customers"));
    let taken = world.history(1).await.remove(0).taken_at;
    let usual = catalog.sizes(&name).await.unwrap().remove(0);
    // 13 days, then a truncated table once an hour.
    let days = (0..13).map(|n| (TimeDelta::days(30 - n), false));
    let hours = (0..14).map(|n| (TimeDelta::hours(14 - n), true));
    for (n, (ago, unusual)) in days.chain(hours).enumerate() {
        let sizes = logisedge_domain::anomaly::Sizes {
            snapshot: SnapshotId::from_bytes([u8::try_from(n).unwrap(); 32]),
            taken_at: taken - ago,
            unusual,
            ..usual.clone()
        };
        catalog.put_sizes(&name, &sizes).await.unwrap();
    }
    world.sql("DELETE FROM customers;");
    world.history(1).await;
    assert_eq!(world.alerts_of(AlertKind::Anomaly).await.len(), 1);
    let kept = catalog.sizes(&name).await.unwrap();
    assert_eq!(kept.len(), logisedge_catalog::SIZES_KEPT);
    assert_eq!(kept.iter().filter(|sizes| sizes.unusual).count(), 14);
}
