//! What goes from the outbox to topics: all of it, and a cause that lasts once.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::Utc;
use logisedge_catalog::{Catalog, Message};
use logisedge_domain::alert::{Alert, AlertKind, Resolution};
use logisedge_domain::config::Config;
use logisedge_domain::event::EVENT_SOURCE;
use logisedge_runtime::{Delivered, Settings, deliver_outbox};
use serde_json::Value;

use crate::emulated::{Emulated, alert, emulated, text};
use crate::events::prune;

#[tokio::test]
async fn an_alert_reaches_a_queue_as_json() {
    let emulated = emulated().await;
    let (topic, url) = emulated.topic().await;
    emulated.aws.send_alert(&topic, &alert()).await.unwrap();
    let arrived = emulated.receive(&url, 1).await;
    assert_eq!(arrived[0]["Subject"], alert().subject());
    let message: Value = serde_json::from_str(arrived[0]["Message"].as_str().unwrap()).unwrap();
    assert_eq!(
        message,
        serde_json::from_str::<Value>(&alert().to_json()).unwrap()
    );
    let attributes = &arrived[0]["MessageAttributes"];
    assert_eq!(attributes["kind"]["Value"], alert().kind.as_str());
    assert_eq!(attributes["severity"]["Value"], alert().severity().as_str());

    let gone = topic.replace("alerts-", "absent-");
    let error = emulated.aws.send_alert(&gone, &alert()).await.unwrap_err();
    assert!(!error.retry.is_transient());
    insta::assert_snapshot!(text(error, &gone), @"cannot publish to topic OWN: there is no such topic");
}

#[tokio::test]
async fn the_outbox_is_emptied_and_what_cannot_go_stays() {
    let emulated = emulated().await;
    let (bus, events) = emulated.bus(EVENT_SOURCE).await;
    let (topic_arn, alerts) = emulated.topic().await;
    let table = emulated.name("table");
    let catalog = Catalog::create_table(emulated.aws.dynamodb(), &table)
        .await
        .unwrap();
    let messages = [
        Message::Event(prune(1)),
        Message::Alert(alert()),
        Message::Event(prune(2)),
    ];
    catalog.enqueue(&messages).await.unwrap();

    let settings = Settings {
        table,
        bus,
        topic_arn,
    };
    let broken = Settings {
        topic_arn: settings.topic_arn.replace("alerts-", "absent-"),
        ..settings.clone()
    };
    let first = deliver_outbox(&emulated.aws, &broken, &catalog, Duration::from_secs(20))
        .await
        .unwrap();
    assert_eq!((first.delivered, first.kept), (2, 1));
    assert_eq!(emulated.receive(&events, 2).await.len(), 2);
    let left = catalog.outbox(10).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].1, messages[1]);

    let second = deliver_outbox(&emulated.aws, &settings, &catalog, Duration::from_secs(20))
        .await
        .unwrap();
    assert_eq!((second.delivered, second.kept), (1, 0));
    assert_eq!(emulated.receive(&alerts, 1).await.len(), 1);
    assert!(catalog.outbox(10).await.unwrap().is_empty());
}

/// A table, a topic with a queue behind it, and what delivers to them.
struct Told {
    emulated: Emulated,
    catalog: Catalog,
    settings: Settings,
    queue: String,
}

impl Told {
    async fn new() -> Self {
        let emulated = emulated().await;
        let (topic_arn, queue) = emulated.topic().await;
        let table = emulated.name("table");
        let catalog = Catalog::create_table(emulated.aws.dynamodb(), &table)
            .await
            .unwrap();
        let bus = emulated.name("no-bus");
        Self {
            emulated,
            catalog,
            settings: Settings {
                table,
                bus,
                topic_arn,
            },
            queue,
        }
    }

    async fn deliver(&self) -> Delivered {
        self.deliver_to(&self.settings).await
    }

    async fn deliver_to(&self, settings: &Settings) -> Delivered {
        let time_max = Duration::from_secs(20);
        deliver_outbox(&self.emulated.aws, settings, &self.catalog, time_max)
            .await
            .unwrap()
    }

    /// Where nobody listens.
    fn broken(&self) -> Settings {
        Settings {
            topic_arn: self.settings.topic_arn.replace("alerts-", "absent-"),
            ..self.settings.clone()
        }
    }

    /// The alerts that arrived, as their JSON.
    async fn arrived(&self, wanted: usize) -> Vec<Value> {
        let envelopes = self.emulated.receive(&self.queue, wanted).await;
        let text = |envelope: &Value| envelope["Message"].as_str().unwrap().to_owned();
        let read = |envelope| serde_json::from_str(&text(envelope)).unwrap();
        envelopes.iter().map(read).collect()
    }

    async fn store(&self, messages: &[Message]) {
        for message in messages {
            let one = std::slice::from_ref(message);
            self.catalog.enqueue(one).await.unwrap();
        }
    }
}

/// The n-th dead letter of a queue.
fn letter(queue: &str, n: usize) -> Message {
    Message::Alert(Alert::dead_letter(
        &format!("m-{n}"),
        queue,
        "the event cannot be read",
        Utc::now(),
    ))
}

/// That a queue is empty again.
fn emptied(queue: &str) -> Message {
    let Message::Alert(letter) = letter(queue, 0) else {
        panic!("no alert");
    };
    let cause = letter.cause();
    Message::Resolution(Resolution {
        id: format!("emptied.{queue}"),
        at: Utc::now(),
        scope: None,
        schedule: None,
        any_schedule: false,
        about: cause.about,
        kinds: vec![cause.kind],
        because: "the queue is empty".to_owned(),
    })
}

#[tokio::test]
async fn a_cause_is_told_once_the_others_are_counted_and_its_end_is_told() {
    let told = Told::new().await;
    let letters: Vec<Message> = (0..5).map(|n| letter("q", n)).collect();
    told.store(&letters).await;
    told.store(&[letter("other", 0)]).await;
    let done = told.deliver().await;
    assert_eq!((done.delivered, done.held_back, done.kept), (2, 4, 0));
    assert_eq!(told.arrived(2).await.len(), 2);
    let mut open = told.catalog.all_causes().await.unwrap();
    open.sort_by_key(|cause| cause.held_back);
    let counts: Vec<(u64, u64)> = open.iter().map(|c| (c.told, c.held_back)).collect();
    assert_eq!(counts, [(1, 0), (1, 4)]);

    told.store(&[emptied("q")]).await;
    let done = told.deliver().await;
    assert_eq!(
        (done.delivered, done.kept),
        (2, 0),
        "the end, and word of it"
    );
    let arrived = told.arrived(1).await;
    assert_eq!(arrived[0]["standing"]["is"], "resolved");
    assert_eq!(arrived[0]["standing"]["more"], 4);
    assert_eq!(arrived[0]["summary"], "the queue is empty");
    let open = told.catalog.all_causes().await.unwrap();
    assert_eq!(open.len(), 1, "the other queue's goes on");
    // Told again: there is nothing to end.
    told.store(&[emptied("q")]).await;
    assert_eq!(told.deliver().await.delivered, 1);
    assert!(told.catalog.outbox(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn nothing_is_lost_while_the_topic_takes_nothing() {
    let told = Told::new().await;
    told.store(&[letter("q", 0), letter("q", 1), emptied("q"), letter("q", 2)])
        .await;
    let before = told.catalog.outbox(10).await.unwrap();
    for _ in 0..2 {
        let done = told.deliver_to(&told.broken()).await;
        assert_eq!((done.delivered, done.held_back, done.kept), (0, 0, 4));
        assert_eq!(done.oldest_kept, before[0].0.stored_at());
        assert_eq!(told.catalog.outbox(10).await.unwrap(), before);
        assert!(told.catalog.all_causes().await.unwrap().is_empty());
    }
    // It is back: the first is told, the second counted, the end told with the count, and what came
    // after the end is told as new.
    let done = told.deliver().await;
    assert_eq!((done.held_back, done.kept, done.oldest_kept), (1, 0, None));
    let arrived = told.arrived(3).await;
    assert_eq!(arrived.len(), 3);
    assert_eq!(arrived[0]["id"], "dead_letter.m-0");
    assert_eq!(arrived[1]["standing"]["is"], "resolved");
    assert_eq!(arrived[1]["standing"]["more"], 1);
    assert_eq!(arrived[2]["id"], "dead_letter.m-2");
    let open = told.catalog.all_causes().await.unwrap();
    assert_eq!(open.len(), 1, "it came back after its end");
    assert_eq!((open[0].told, open[0].held_back), (1, 0));
}

#[tokio::test]
async fn alerts_go_to_the_topic_of_their_severity_and_schedule() {
    let told = Told::new().await;
    let own = told.settings.topic_arn.clone();
    let mut queues = Vec::new();
    for name in ["all-errors", "daily-errors"] {
        let made = told.emulated.sns.create_topic();
        let made = made.name(told.emulated.name(name)).send().await.unwrap();
        let (url, queue_arn) = told.emulated.queue(name).await;
        let topic = made.topic_arn.unwrap();
        let subscribe = told.emulated.sns.subscribe().topic_arn(&topic);
        let subscribe = subscribe.protocol("sqs").endpoint(queue_arn);
        subscribe.send().await.unwrap();
        queues.push((topic, url));
    }
    let absent = own.replace("alerts-", "absent-");
    let text = format!(
        r#"
        version = 1
        [alerts]
        topics = {{ error = "{}", info = "{absent}" }}
        [sources.erp]
        kind = "sqlite"
        path = "/erp.db"
        [locations.main]
        kind = "folder"
        path = "/backups"
        repository_password = {{ env = "PASSWORD" }}
        [scopes.full-database]
        preset = "full-database"
        [schedules.daily]
        every = "day"
        at = "02:00"
        scopes = ["full-database"]
        alerts = {{ topics = {{ error = "{}" }} }}
        "#,
        queues[0].0, queues[1].0
    );
    let config = Config::parse(&text, "test.toml").unwrap_or_else(|p| panic!("{p}"));
    told.catalog
        .apply(&config, Utc::now(), &BTreeMap::new())
        .await
        .unwrap();
    let of = |schedule: Option<&str>, kind| {
        Message::Alert(Alert {
            id: format!("{kind:?}.{schedule:?}"),
            schedule: schedule.map(|name| name.parse().unwrap()),
            kind,
            about: None,
            ..alert()
        })
    };
    told.store(&[
        of(None, AlertKind::Failure),
        of(Some("daily"), AlertKind::Failure),
        of(Some("gone"), AlertKind::Failure),
        of(Some("daily"), AlertKind::Missed),
        of(Some("daily"), AlertKind::Success),
    ])
    .await;
    let done = told.deliver().await;
    assert_eq!((done.delivered, done.kept), (5, 0));
    let ids = async |url: &str, wanted| {
        let mut ids = Vec::new();
        for envelope in told.emulated.receive(url, wanted).await {
            let text = envelope["Message"].as_str().unwrap();
            let json: Value = serde_json::from_str(text).unwrap();
            ids.push(json["id"].as_str().unwrap().to_owned());
        }
        ids.sort();
        ids
    };
    assert_eq!(
        ids(&queues[0].1, 2).await,
        [r#"Failure.None"#, r#"Failure.Some("gone")"#]
    );
    assert_eq!(ids(&queues[1].1, 1).await, [r#"Failure.Some("daily")"#]);
    // Warnings have no topic of their own; that of successes is not there, and the alert says so.
    let mut arrived = told.arrived(2).await;
    arrived.sort_by_key(|alert| alert["kind"].to_string());
    assert_eq!(arrived[0]["kind"], "missed");
    assert_eq!(arrived[1]["kind"], "success");
    let details = arrived[1]["details"].to_string();
    assert!(details.contains("meant for another topic") && details.contains(&absent));
    assert_eq!(arrived.len(), 2);
}

#[tokio::test]
async fn many_deliveries_at_once_tell_a_cause_once() {
    let told = Told::new().await;
    let mut letters = Vec::new();
    for n in 0..8 {
        letters.extend(["a", "b", "c"].map(|queue| letter(queue, n)));
    }
    told.store(&letters).await;
    let deliver = || told.deliver();
    let (a, b, c, d) = tokio::join!(deliver(), deliver(), deliver(), deliver());
    let mut held_back: usize = [a, b, c, d].iter().map(|done| done.held_back).sum();
    // What one found claimed by another waits for the next tick.
    held_back += told.deliver().await.held_back;
    assert!(told.catalog.outbox(100).await.unwrap().is_empty());
    assert_eq!(held_back, letters.len() - 3);
    assert_eq!(told.arrived(4).await.len(), 3);
    let open = told.catalog.all_causes().await.unwrap();
    assert_eq!(open.iter().map(|cause| cause.held_back).sum::<u64>(), 21);
}

#[tokio::test]
async fn an_alert_that_is_too_long_goes_out_without_its_details() {
    let emulated = emulated().await;
    let (topic_arn, alerts) = emulated.topic().await;
    let table = emulated.name("table");
    let catalog = Catalog::create_table(emulated.aws.dynamodb(), &table)
        .await
        .unwrap();
    let long = Alert {
        details: vec!["x".repeat(300_000)],
        ..alert()
    };
    catalog
        .enqueue(&[Message::Alert(long.clone())])
        .await
        .unwrap();
    let settings = Settings {
        table,
        bus: emulated.name("no-bus"),
        topic_arn,
    };
    let done = deliver_outbox(&emulated.aws, &settings, &catalog, Duration::from_secs(20))
        .await
        .unwrap();
    assert_eq!((done.delivered, done.kept), (1, 0));
    let arrived = emulated.receive(&alerts, 1).await;
    assert_eq!(arrived[0]["Subject"], long.subject());
    let text = arrived[0]["Message"].as_str().unwrap();
    assert!(text.contains("could not be sent") && !text.contains("xxxx"));
}
