//! The border to AWS against an emulator: what is published arrives, and what cannot be says why.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use std::collections::BTreeSet;

use aws_sdk_sqs::types::QueueAttributeName;
use bytes::Bytes;
use chrono::{TimeZone, Utc};
use logisedge_catalog::{Catalog, Message};
use logisedge_domain::alert::Alert;
use logisedge_domain::config::{LocationConfig, SecretRef};
use logisedge_domain::event::{DispatchInput, EVENT_SOURCE, Event};
use logisedge_domain::id::ScopeName;
use logisedge_runtime::{Aws, RuntimeError, Settings, deliver_outbox};
use logisedge_storage::Put;
use serde_json::Value;

struct Emulated {
    aws: Aws,
    sqs: aws_sdk_sqs::Client,
    eventbridge: aws_sdk_eventbridge::Client,
    sns: aws_sdk_sns::Client,
    /// Makes the names of this test its own.
    suffix: String,
}

async fn emulated() -> Emulated {
    assert!(
        std::env::var_os("AWS_ENDPOINT_URL").is_some(),
        "AWS_ENDPOINT_URL is not set: run tests/run, which starts an emulator of AWS"
    );
    let aws = Aws::from_env().await;
    Emulated {
        sqs: aws_sdk_sqs::Client::new(aws.config()),
        eventbridge: aws_sdk_eventbridge::Client::new(aws.config()),
        sns: aws_sdk_sns::Client::new(aws.config()),
        suffix: format!("{:016x}", getrandom::u64().unwrap()),
        aws,
    }
}

impl Emulated {
    fn name(&self, what: &str) -> String {
        format!("{what}-{}", self.suffix)
    }

    /// A queue: its URL and ARN.
    async fn queue(&self, what: &str) -> (String, String) {
        let made = self
            .sqs
            .create_queue()
            .queue_name(self.name(what))
            .send()
            .await
            .unwrap();
        let url = made.queue_url.unwrap();
        let asked = self.sqs.get_queue_attributes().queue_url(&url);
        let asked = asked
            .attribute_names(QueueAttributeName::QueueArn)
            .send()
            .await
            .unwrap();
        let arn = asked
            .attributes
            .unwrap()
            .remove(&QueueAttributeName::QueueArn)
            .unwrap();
        (url, arn)
    }

    /// Reads so many messages of a queue.
    async fn receive(&self, url: &str, wanted: usize) -> Vec<Value> {
        let mut found = Vec::new();
        for _ in 0..20 {
            let answer = self.sqs.receive_message().queue_url(url);
            let answer = answer
                .max_number_of_messages(10)
                .wait_time_seconds(1)
                .send()
                .await
                .unwrap();
            for message in answer.messages.unwrap_or_default() {
                found.push(serde_json::from_str(message.body().unwrap()).unwrap());
                let done = self.sqs.delete_message().queue_url(url);
                done.receipt_handle(message.receipt_handle().unwrap())
                    .send()
                    .await
                    .unwrap();
            }
            if found.len() >= wanted {
                break;
            }
        }
        found
    }

    /// A bus whose events of one source go to a queue.
    async fn bus(&self, source: &str) -> (String, String) {
        let (bus, (url, arn)) = (self.name("bus"), self.queue("events").await);
        self.eventbridge
            .create_event_bus()
            .name(&bus)
            .send()
            .await
            .unwrap();
        let rule = self.eventbridge.put_rule().name("all").event_bus_name(&bus);
        let pattern = serde_json::json!({ "source": [source] });
        rule.event_pattern(pattern.to_string())
            .send()
            .await
            .unwrap();
        let target = aws_sdk_eventbridge::types::Target::builder()
            .id("queue")
            .arn(arn);
        let targets = self
            .eventbridge
            .put_targets()
            .rule("all")
            .event_bus_name(&bus);
        targets
            .targets(target.build().unwrap())
            .send()
            .await
            .unwrap();
        (bus, url)
    }

    /// A topic that goes to a queue, its messages as the subscriber's form of them.
    async fn topic(&self) -> (String, String) {
        let topic = self
            .sns
            .create_topic()
            .name(self.name("alerts"))
            .send()
            .await
            .unwrap();
        let topic = topic.topic_arn.unwrap();
        let (url, arn) = self.queue("alerts").await;
        self.sns
            .subscribe()
            .topic_arn(&topic)
            .protocol("sqs")
            .endpoint(arn)
            .send()
            .await
            .unwrap();
        (topic, url)
    }
}

fn prune(n: usize) -> Event {
    Event::PruneRequested {
        scope: ScopeName::new(format!("s{n}")).unwrap(),
    }
}

fn alert() -> Alert {
    let at = Utc.with_ymd_and_hms(2026, 11, 24, 2, 0, 0).unwrap();
    Alert::dead_letter("m-1", "backup-dead-letters", "the event cannot be read", at)
}

fn text(error: RuntimeError, own: &str) -> String {
    error.to_string().replace(own, "OWN")
}

#[tokio::test]
async fn events_arrive_in_their_form() {
    let emulated = emulated().await;
    let (bus, url) = emulated.bus(EVENT_SOURCE).await;
    // More than one request takes.
    let events: Vec<Event> = (0..23).map(prune).collect();
    emulated.aws.publish(&bus, &events).await.unwrap();
    let arrived = emulated.receive(&url, events.len()).await;
    assert_eq!(arrived.len(), events.len());
    let mut scopes = BTreeSet::new();
    for envelope in arrived {
        assert_eq!(envelope["detail-type"], "PruneRequested");
        let event = Event::from_detail(&envelope["detail"]).unwrap();
        assert!(events.contains(&event));
        scopes.insert(event.scope().clone());
    }
    assert_eq!(scopes.len(), events.len());
}

#[tokio::test]
async fn a_request_to_the_dispatcher_arrives() {
    let emulated = emulated().await;
    let (bus, url) = emulated.bus("logisedge.cli").await;
    emulated
        .aws
        .publish_dispatch(&bus, &DispatchInput::Tick)
        .await
        .unwrap();
    let arrived = emulated.receive(&url, 1).await;
    assert_eq!(arrived[0]["detail-type"], "DispatchRequested");
    let input: DispatchInput = serde_json::from_value(arrived[0]["detail"].clone()).unwrap();
    assert_eq!(input, DispatchInput::Tick);
}

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

#[tokio::test]
async fn secrets_are_found_where_the_configuration_says() {
    let emulated = emulated().await;
    let client = aws_sdk_secretsmanager::Client::new(emulated.aws.config());
    let (plain, json) = (emulated.name("plain"), emulated.name("json"));
    for (name, value) in [
        (&plain, "s3cret"),
        (&json, r#"{"password":"s3cret","port":5432}"#),
    ] {
        client
            .create_secret()
            .name(name)
            .secret_string(value)
            .send()
            .await
            .unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password").display().to_string();
    std::fs::write(&file, "s3cret\n").unwrap();
    let read = async |reference: SecretRef| emulated.aws.secret(&reference).await;
    for reference in [
        SecretRef::Secret(plain.clone()),
        SecretRef::Secret(format!("{json}#password")),
        SecretRef::File(file.clone()),
    ] {
        let secret = read(reference).await.unwrap();
        assert_eq!(secret.expose(), "s3cret");
        assert!(!format!("{secret:?}").contains("s3cret"));
    }

    let fails = async |reference: SecretRef, own: &str| {
        let error = read(reference).await.unwrap_err();
        assert!(!error.retry.is_transient());
        assert!(!format!("{error:?}").contains("s3cret"));
        text(error, own)
    };
    let absent = emulated.name("absent");
    insta::assert_snapshot!(fails(SecretRef::Secret(absent.clone()), &absent).await, @"cannot read secret OWN of Secrets Manager: there is none of this name in region us-east-1: create it, or correct the configuration");
    insta::assert_snapshot!(fails(SecretRef::Secret(format!("{json}#user")), &json).await, @r#"cannot read secret OWN of Secrets Manager: its JSON has no text under "user""#);
    insta::assert_snapshot!(fails(SecretRef::Secret(format!("{plain}#user")), &plain).await, @"cannot read secret OWN of Secrets Manager: #user was asked for and it is not JSON");
    insta::assert_snapshot!(fails(SecretRef::Env("LOGISEDGE_NO_SUCH".to_owned()), "-").await, @"cannot read environment variable LOGISEDGE_NO_SUCH: it is not set");
    insta::assert_snapshot!(fails(SecretRef::File("/no/such/file".to_owned()), "-").await, @"cannot read file /no/such/file: No such file or directory (os error 2)");
    std::fs::write(&file, "\n").unwrap();
    insta::assert_snapshot!(fails(SecretRef::File(file.clone()), &file).await, @"cannot read file OWN: it is empty");
}

#[tokio::test]
async fn a_location_is_opened_with_its_password() {
    let emulated = emulated().await;
    let bucket = emulated.name("bucket");
    let s3 = aws_sdk_s3::config::Builder::from(emulated.aws.config()).force_path_style(true);
    let s3 = aws_sdk_s3::Client::from_conf(s3.build());
    s3.create_bucket().bucket(&bucket).send().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password").display().to_string();
    std::fs::write(&file, "s3cret").unwrap();
    let config = |bucket: &str| LocationConfig::S3 {
        bucket: bucket.to_owned(),
        prefix: "backups".to_owned(),
        region: None,
        repository_password: SecretRef::File(file.clone()),
    };
    let (store, _password) = emulated.aws.open_location(&config(&bucket)).await.unwrap();
    store
        .put("a/b", Bytes::from("x"), Put::default())
        .await
        .unwrap();
    assert_eq!(store.get("a/b").await.unwrap(), "x");
    assert_eq!(store.locate("a/b"), format!("s3://{bucket}/backups/a/b"));

    let absent = emulated.name("absent");
    let (store, _password) = emulated.aws.open_location(&config(&absent)).await.unwrap();
    for error in [
        store
            .put("a", Bytes::new(), Put::default())
            .await
            .unwrap_err(),
        store.list("").await.unwrap_err(),
        store.get("a").await.unwrap_err(),
        store.head("a").await.unwrap_err(),
    ] {
        assert_eq!(
            error.kind,
            logisedge_storage::StorageErrorKind::StoreMissing,
            "{error}"
        );
    }
}
