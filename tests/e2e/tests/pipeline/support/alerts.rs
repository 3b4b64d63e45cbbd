//! Alerts as a queue that is subscribed to the stack's topic gets them, and events as they pass on the bus.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::Value;

use super::stack::Stack;

/// A queue that receives everything that is sent there from its making on.
pub struct Queue {
    client: aws_sdk_sqs::Client,
    url: String,
    arn: String,
    seen: Mutex<Vec<Value>>,
}

impl Queue {
    async fn new(stack: &Stack, what: &str) -> Self {
        let client = aws_sdk_sqs::Client::new(&stack.config);
        let name = format!("{}-{what}", stack.name);
        let made = client.create_queue().queue_name(name).send().await.unwrap();
        let url = made.queue_url().unwrap().to_owned();
        let asked = client
            .get_queue_attributes()
            .queue_url(&url)
            .attribute_names(QueueAttributeName::QueueArn)
            .send()
            .await
            .unwrap();
        let arn = asked.attributes().unwrap()[&QueueAttributeName::QueueArn].clone();
        Self {
            client,
            url,
            arn,
            seen: Mutex::default(),
        }
    }

    /// Everything that arrived so far, oldest first.
    pub async fn all(&self) -> Vec<Value> {
        while self.receive(0).await > 0 {}
        self.seen.lock().unwrap().clone()
    }

    async fn receive(&self, seconds: i32) -> usize {
        let request = self.client.receive_message().queue_url(&self.url);
        let request = request.max_number_of_messages(10);
        let answer = request.wait_time_seconds(seconds).send().await.unwrap();
        for message in answer.messages() {
            let body = message.body().unwrap();
            let value = serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {body}"));
            self.seen.lock().unwrap().push(value);
            let handle = message.receipt_handle().unwrap();
            let delete = self.client.delete_message().queue_url(&self.url);
            delete.receipt_handle(handle).send().await.unwrap();
        }
        answer.messages().len()
    }

    /// The first message that `wanted` accepts.
    async fn expect<T>(
        &self,
        what: &str,
        seconds_max: u64,
        wanted: impl Fn(&Value) -> Option<T>,
    ) -> T {
        let give_up = Instant::now() + Duration::from_secs(seconds_max);
        loop {
            if let Some(found) = self.seen.lock().unwrap().iter().find_map(&wanted) {
                return found;
            }
            if Instant::now() > give_up {
                let seen = serde_json::to_string_pretty(&*self.seen.lock().unwrap()).unwrap();
                panic!("waited {seconds_max} s in vain for {what}; there came {seen}");
            }
            self.receive(1).await;
        }
    }
}

/// An alert as a queue gets it.
#[derive(Debug, Clone)]
pub struct Told {
    pub subject: String,
    /// Message attributes by name.
    pub attributes: Value,
    /// The JSON form.
    pub alert: Value,
}

fn told(envelope: &Value) -> Told {
    Told {
        subject: envelope["Subject"].as_str().unwrap_or_default().to_owned(),
        attributes: envelope["MessageAttributes"].clone(),
        alert: serde_json::from_str(envelope["Message"].as_str().unwrap()).unwrap(),
    }
}

/// Everything that the stack's topic sends.
pub struct Alerts(Queue);

impl Alerts {
    pub async fn of(stack: &Stack) -> Self {
        let queue = Queue::new(stack, "alerts").await;
        aws_sdk_sns::Client::new(&stack.config)
            .subscribe()
            .topic_arn(stack.output("TopicArn"))
            .protocol("sqs")
            .endpoint(&queue.arn)
            .send()
            .await
            .unwrap();
        Self(queue)
    }

    /// The alert of a kind whose JSON form contains `text`.
    pub async fn expect(&self, kind: &str, text: &str) -> Told {
        let what = format!("an alert of kind {kind} with {text:?}");
        self.0
            .expect(&what, 90, |envelope| {
                let told = told(envelope);
                let found = told.alert["kind"] == kind && told.alert.to_string().contains(text);
                found.then_some(told)
            })
            .await
    }

    /// Every alert so far.
    pub async fn all(&self) -> Vec<Told> {
        self.0.all().await.iter().map(told).collect()
    }
}

/// Everything that passes on the stack's bus.
pub struct Tap(Queue);

impl Tap {
    pub async fn on(stack: &Stack) -> Self {
        let queue = Queue::new(stack, "tap").await;
        let bus = aws_sdk_eventbridge::Client::new(&stack.config);
        let name = format!("{}-tap", stack.name);
        let rule = bus.put_rule().name(&name);
        rule.event_bus_name(stack.output("BusName"))
            .event_pattern(r#"{"source":[{"prefix":"logisedge"}]}"#)
            .send()
            .await
            .unwrap();
        let target = aws_sdk_eventbridge::types::Target::builder()
            .id("tap")
            .arn(&queue.arn)
            .build()
            .unwrap();
        let targets = bus.put_targets().rule(&name).targets(target);
        let targets = targets.event_bus_name(stack.output("BusName"));
        targets.send().await.unwrap();
        Self(queue)
    }

    /// Every event so far.
    pub async fn all(&self) -> Vec<Value> {
        self.0.all().await
    }

    /// The details of every event of a type so far.
    pub async fn of_type(&self, detail_type: &str) -> Vec<Value> {
        let all = self.all().await.into_iter();
        all.filter(|event| event["detail-type"] == detail_type)
            .map(|event| event["detail"].clone())
            .collect()
    }
}
