//! Applying configurations, and schedules moving on.

use std::collections::BTreeMap;

use chrono::NaiveTime;
use logisedge_catalog::Applied;
use logisedge_domain::Instant;
use logisedge_domain::calendar::Calendar;
use logisedge_domain::config::{Config, Effort, SourceConfig};
use logisedge_domain::id::{ScheduleName, ScopeName, SourceName};
use logisedge_domain::schedule::Schedule;
use logisedge_domain::scope::{Scope, Selection};

use crate::support::{at, catalog};

const EXAMPLE: &str = include_str!("../../../domain/src/config/example.toml");

fn example() -> Config {
    Config::parse(EXAMPLE, "example.toml").unwrap()
}

/// Every schedule's next slot at that second.
fn slots(config: &Config, second: i64) -> BTreeMap<ScheduleName, Option<Instant>> {
    let next = |s: &Schedule| s.enabled.then(|| at(second));
    config
        .schedules
        .iter()
        .map(|s| (s.name.clone(), next(s)))
        .collect()
}

#[tokio::test]
async fn what_is_applied_is_loaded() {
    let catalog = catalog().await;
    assert_eq!(catalog.load_config().await.unwrap(), Config::default());
    let config = example();
    let applied = catalog
        .apply(&config, at(0), &slots(&config, 100))
        .await
        .unwrap();
    let items = config.sources.len()
        + config.locations.len()
        + config.scopes.len()
        + config.schedules.len();
    // And how alerts are told.
    assert_eq!(applied.added.len(), items + 1);
    assert_eq!(catalog.load_config().await.unwrap(), config);

    for (name, source) in &config.sources {
        assert_eq!(catalog.source(name).await.unwrap().as_ref(), Some(source));
    }
    for (name, location) in &config.locations {
        assert_eq!(
            catalog.location(name).await.unwrap().as_ref(),
            Some(location)
        );
    }
    for (name, scope) in &config.scopes {
        assert_eq!(catalog.scope(name).await.unwrap().as_ref(), Some(scope));
    }
    let scopes: Vec<Scope> = config.scopes.values().cloned().collect();
    assert_eq!(catalog.scopes().await.unwrap(), scopes);
    let states = catalog.schedules().await.unwrap();
    let schedules: Vec<Schedule> = states.iter().map(|s| s.schedule.clone()).collect();
    assert_eq!(schedules, config.schedules);
    assert_eq!(
        catalog
            .source(&SourceName::new("absent").unwrap())
            .await
            .unwrap(),
        None
    );

    // Again: nothing differs, nothing is written.
    let again = catalog
        .apply(&config, at(1), &slots(&config, 999))
        .await
        .unwrap();
    assert_eq!(again, Applied::default());
}

#[tokio::test]
async fn a_schedule_keeps_its_slot_unless_its_slots_change() {
    let catalog = catalog().await;
    let mut config = example();
    config.schedules.truncate(1);
    config.schedules[0].enabled = true;
    let name = config.schedules[0].name.clone();
    catalog
        .apply(&config, at(0), &slots(&config, 100))
        .await
        .unwrap();
    assert_eq!(
        catalog.schedule(&name).await.unwrap().unwrap().next_slot,
        Some(at(100))
    );
    assert!(
        catalog
            .advance_schedule(&name, at(100), Some(at(200)))
            .await
            .unwrap()
    );

    config.schedules[0].retention.keep_last = Some(77);
    let applied = catalog
        .apply(&config, at(1), &slots(&config, 999))
        .await
        .unwrap();
    assert_eq!(applied.changed, [format!("schedule {name}")]);
    let state = catalog.schedule(&name).await.unwrap().unwrap();
    assert_eq!(state.next_slot, Some(at(200)));
    assert_eq!(state.schedule, config.schedules[0]);

    config.schedules[0].calendar = Calendar::Day {
        at: NaiveTime::from_hms_opt(4, 5, 6).unwrap(),
    };
    catalog
        .apply(&config, at(2), &slots(&config, 300))
        .await
        .unwrap();
    assert_eq!(
        catalog.schedule(&name).await.unwrap().unwrap().next_slot,
        Some(at(300))
    );

    config.schedules[0].enabled = false;
    catalog
        .apply(&config, at(3), &slots(&config, 400))
        .await
        .unwrap();
    assert_eq!(
        catalog.schedule(&name).await.unwrap().unwrap().next_slot,
        None
    );
    assert!(catalog.due_schedules(at(9999)).await.unwrap().is_empty());

    config.schedules[0].enabled = true;
    catalog
        .apply(&config, at(4), &slots(&config, 500))
        .await
        .unwrap();
    assert_eq!(catalog.due_schedules(at(500)).await.unwrap().len(), 1);

    let gone = catalog
        .apply(&Config::default(), at(5), &BTreeMap::new())
        .await
        .unwrap();
    assert!(gone.deleted.contains(&format!("schedule {name}")));
    assert_eq!(catalog.load_config().await.unwrap(), Config::default());
    assert!(catalog.due_schedules(at(9999)).await.unwrap().is_empty());
    assert!(
        !catalog
            .advance_schedule(&name, at(500), None)
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn due_schedules_are_those_whose_slot_has_come() {
    let catalog = catalog().await;
    let mut config = example();
    let pattern = config.schedules[0].clone();
    config.schedules = (0..5)
        .map(|n| Schedule {
            name: ScheduleName::new(format!("s{n}")).unwrap(),
            enabled: true,
            ..pattern.clone()
        })
        .collect();
    let next = |n: usize| Some(at([50, 10, 30, 20, 40][n]));
    let slots = config
        .schedules
        .iter()
        .enumerate()
        .map(|(n, s)| (s.name.clone(), next(n)))
        .collect();
    catalog.apply(&config, at(0), &slots).await.unwrap();
    assert!(catalog.due_schedules(at(9)).await.unwrap().is_empty());
    let due: Vec<String> = catalog
        .due_schedules(at(30))
        .await
        .unwrap()
        .into_iter()
        .map(|s| {
            format!(
                "{} {}",
                s.schedule.name,
                s.next_slot.unwrap().timestamp() - at(0).timestamp()
            )
        })
        .collect();
    assert_eq!(due, ["s1 10", "s3 20", "s2 30"]);

    // Of two dispatchers one moves it; the calendar may end.
    let s1 = &config.schedules[1].name;
    let (a, b) = tokio::join!(
        catalog.advance_schedule(s1, at(10), Some(at(1000))),
        catalog.advance_schedule(s1, at(10), Some(at(1000))),
    );
    assert_eq!(u32::from(a.unwrap()) + u32::from(b.unwrap()), 1);
    assert!(catalog.advance_schedule(s1, at(1000), None).await.unwrap());
    assert_eq!(catalog.schedule(s1).await.unwrap().unwrap().next_slot, None);
    assert_eq!(catalog.due_schedules(at(9999)).await.unwrap().len(), 4);
}

#[tokio::test]
async fn more_changes_than_one_transaction_takes() {
    let catalog = catalog().await;
    let source = SourceName::new("erp").unwrap();
    let mut config = Config::default();
    let sqlite = SourceConfig::Sqlite {
        path: "/erp.db".to_owned(),
        effort: Effort::default(),
    };
    config.sources.insert(source.clone(), sqlite);
    for n in 0..250 {
        let name = ScopeName::new(format!("s{n:03}")).unwrap();
        let scope = Scope {
            name: name.clone(),
            source: source.clone(),
            selection: Selection::Everything,
            retention: None,
            rpo_seconds: None,
            anomaly_ignore: Vec::new(),
        };
        config.scopes.insert(name, scope);
    }
    let applied = catalog
        .apply(&config, at(0), &BTreeMap::new())
        .await
        .unwrap();
    assert_eq!(applied.added.len(), 251);
    assert_eq!(catalog.load_config().await.unwrap(), config);
    let gone = catalog
        .apply(&Config::default(), at(1), &BTreeMap::new())
        .await
        .unwrap();
    assert_eq!(gone.deleted.len(), 251);
    assert_eq!(catalog.load_config().await.unwrap(), Config::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_configurations_at_once_one_is_applied_whole() {
    let catalog = catalog().await;
    let config = example();
    let mut other = config.clone();
    other.schedules.clear();
    let (slots_a, slots_b) = (slots(&config, 1), slots(&other, 1));
    let (a, b) = tokio::join!(
        catalog.apply(&config, at(0), &slots_a),
        catalog.apply(&other, at(0), &slots_b),
    );
    let stored = catalog.load_config().await.unwrap();
    match (a, b) {
        // One came after the other and saw it.
        (Ok(_), Ok(_)) => assert!(stored == config || stored == other),
        (Ok(_), Err(e)) => {
            assert!(e.retry().is_transient(), "{e}");
            assert_eq!(stored, config);
        }
        (Err(e), Ok(_)) => {
            assert!(e.retry().is_transient(), "{e}");
            assert_eq!(stored, other);
        }
        (Err(a), Err(b)) => panic!("{a}; {b}"),
    }
}
