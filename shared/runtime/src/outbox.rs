//! Delivering what commits left in the outbox: at least once, oldest first.

use logisedge_catalog::{Catalog, CatalogError, Message};
use tracing::warn;

use crate::{Aws, Settings};

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

/// Delivers the outbox. A message that cannot be delivered stays, is logged, and is tried again at
/// the next tick. The bus and the topic are apart: one that is down holds up nothing of the other.
pub async fn deliver_outbox(
    aws: &Aws,
    settings: &Settings,
    catalog: &Catalog,
) -> Result<Delivered, CatalogError> {
    let mut done = Delivered::default();
    let mut ids = Vec::new();
    let mut failures = [0; 2];
    for (id, message) in catalog.outbox(DELIVERED_AT_ONCE_MAX).await? {
        let channel = usize::from(matches!(message, Message::Alert(_)));
        if failures[channel] >= CHANNEL_FAILURES_MAX {
            done.kept += 1;
            continue;
        }
        let sent = match &message {
            Message::Event(event) => {
                aws.publish(&settings.bus, std::slice::from_ref(event))
                    .await
            }
            Message::Alert(alert) => aws.send_alert(&settings.topic_arn, alert).await,
        };
        match sent {
            Ok(()) => ids.push(id),
            Err(error) => {
                warn!(%error, message = message.id(), "a message stays in the outbox");
                done.kept += 1;
                failures[channel] += 1;
            }
        }
    }
    catalog.delivered(&ids).await?;
    done.delivered = ids.len();
    Ok(done)
}
