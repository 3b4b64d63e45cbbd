//! What a test needs of the emulator, with names of its own.

use aws_sdk_sqs::types::QueueAttributeName;
use chrono::{TimeZone, Utc};
use logisedge_domain::alert::Alert;
use logisedge_runtime::{Aws, RuntimeError};
use serde_json::Value;

pub(crate) struct Emulated {
    pub(crate) aws: Aws,
    pub(crate) sqs: aws_sdk_sqs::Client,
    pub(crate) eventbridge: aws_sdk_eventbridge::Client,
    pub(crate) sns: aws_sdk_sns::Client,
    /// Makes the names of this test its own.
    pub(crate) suffix: String,
}

pub(crate) async fn emulated() -> Emulated {
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
    pub(crate) fn name(&self, what: &str) -> String {
        format!("{what}-{}", self.suffix)
    }

    /// A queue: its URL and ARN.
    pub(crate) async fn queue(&self, what: &str) -> (String, String) {
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
    pub(crate) async fn receive(&self, url: &str, wanted: usize) -> Vec<Value> {
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
    pub(crate) async fn bus(&self, source: &str) -> (String, String) {
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
    pub(crate) async fn topic(&self) -> (String, String) {
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

pub(crate) fn alert() -> Alert {
    let at = Utc.with_ymd_and_hms(2026, 11, 24, 2, 0, 0).unwrap();
    Alert::dead_letter("m-1", "backup-dead-letters", "the event cannot be read", at)
}

pub(crate) fn text(error: RuntimeError, own: &str) -> String {
    error.to_string().replace(own, "OWN")
}
