//! Delivering what commits left in the outbox: at least once, oldest first.

use std::time::{Duration, Instant};

use logisedge_catalog::{Catalog, CatalogError, Message};
use logisedge_domain::alert::Alert;
use tracing::warn;

use crate::{Aws, RuntimeError, Settings};

/// Messages delivered at one go; the next minute's tick takes the rest.
const DELIVERED_AT_ONCE_MAX: usize = 1000;

/// What a delivery did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Delivered {
    /// Messages that reached the bus or the topic.
    pub delivered: usize,
    /// Messages that stay in the outbox for the next try.
    pub kept: usize,
}

/// Failures after which a channel is left alone until the next tick: it is down, and asking it for
/// every waiting message would only cost time.
const CHANNEL_FAILURES_MAX: usize = 3;

/// Delivered messages that are forgotten in one request.
const FORGOTTEN_AT_ONCE: usize = 10;

/// Sends an alert, in a short form where the topic refuses the whole one for good: a text that is too
/// long must not keep people from hearing of it at all.
async fn send_alert(aws: &Aws, topic_arn: &str, alert: &Alert) -> Result<(), RuntimeError> {
    match aws.send_alert(topic_arn, alert).await {
        Err(error) if !error.retry.is_transient() => {
            warn!(%error, alert = alert.id, "an alert goes out without its details");
            aws.send_alert(topic_arn, &short_form(alert)).await
        }
        done => done,
    }
}

fn short_form(alert: &Alert) -> Alert {
    let mut places = Vec::new();
    places.extend(alert.run.as_ref().map(|run| format!("run {run}")));
    places.extend(alert.snapshot.as_ref().map(|id| format!("snapshot {id}")));
    if places.is_empty() {
        places.push("the functions' logs".to_owned());
    }
    Alert {
        details: vec![format!(
            "The details could not be sent: see {}",
            places.join(" and ")
        )],
        ..alert.clone()
    }
}

/// Delivers the outbox, for `time_max` at the most. A message that cannot be delivered stays, is
/// logged, and is tried again at the next tick. The bus and the topic are apart: one that is down holds up nothing of the other.
pub async fn deliver_outbox(
    aws: &Aws,
    settings: &Settings,
    catalog: &Catalog,
    time_max: Duration,
) -> Result<Delivered, CatalogError> {
    let mut done = Delivered::default();
    let begun = Instant::now();
    let mut ids = Vec::new();
    let mut failures = [0; 2];
    for (id, message) in catalog.outbox(DELIVERED_AT_ONCE_MAX).await? {
        let channel = usize::from(matches!(message, Message::Alert(_)));
        if failures[channel] >= CHANNEL_FAILURES_MAX || begun.elapsed() > time_max {
            done.kept += 1;
            continue;
        }
        let sent = match &message {
            Message::Event(event) => {
                aws.publish(&settings.bus, std::slice::from_ref(event))
                    .await
            }
            Message::Alert(alert) => send_alert(aws, &settings.topic_arn, alert).await,
        };
        match sent {
            Ok(()) => {
                done.delivered += 1;
                ids.push(id);
                // Forgotten in small steps: a function that is killed here sends few of them again.
                if ids.len() >= FORGOTTEN_AT_ONCE {
                    catalog.delivered(&std::mem::take(&mut ids)).await?;
                }
            }
            Err(error) => {
                warn!(%error, message = message.id(), "a message stays in the outbox");
                done.kept += 1;
                // One that the service will never take says nothing of the channel.
                failures[channel] += usize::from(error.retry.is_transient());
            }
        }
    }
    catalog.delivered(&ids).await?;
    Ok(done)
}
