//! Delivering what commits left in the outbox: at least once, oldest first.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use logisedge_catalog::{Catalog, CatalogError, Message, OutboxId};
use tracing::warn;

use crate::telling::{Alerts, Handled};
use crate::{Aws, Settings};

/// Messages of a channel delivered at one go; the next minute's tick takes the rest.
const DELIVERED_AT_ONCE_MAX: usize = 1000;

/// What a delivery did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Delivered {
    /// Messages that reached the bus or the topic, or the causes that they end.
    pub delivered: usize,
    /// Alerts that were held back and counted.
    pub held_back: usize,
    /// Messages that stay in the outbox for the next try.
    pub kept: usize,
    /// When the oldest of those was stored.
    pub oldest_kept: Option<logisedge_domain::Instant>,
}

/// Failures after which the bus or a topic is left alone until the next tick: it is down, and asking it for
/// every waiting message would only cost time.
pub(crate) const CHANNEL_FAILURES_MAX: usize = 3;

/// Delivered messages that are forgotten in one request.
const FORGOTTEN_AT_ONCE: usize = 10;

/// Delivers the outbox, for `time_max` at the most. A message that cannot be delivered stays, is
/// logged, and is tried again at the next tick. The bus and the topic are apart: one that is down holds
/// up nothing of the other.
pub async fn deliver_outbox(
    aws: &Aws,
    settings: &Settings,
    catalog: &Catalog,
    time_max: Duration,
) -> Result<Delivered, CatalogError> {
    let begun = Instant::now();
    let mut pass = Pass {
        aws,
        settings,
        catalog,
        alerts: Alerts::new(aws, settings, catalog),
        bus_failures: 0,
        published: Vec::new(),
        kept: BTreeSet::new(),
        done: Delivered::default(),
    };
    while pass.go_through(|| begun.elapsed() > time_max).await? {}
    catalog.delivered(&pass.published).await?;
    pass.done.kept = pass.kept.len();
    pass.done.oldest_kept = pass.kept.first().and_then(OutboxId::stored_at);
    Ok(pass.done)
}

struct Pass<'a> {
    aws: &'a Aws,
    settings: &'a Settings,
    catalog: &'a Catalog,
    alerts: Alerts<'a>,
    /// Transient failures of the bus.
    bus_failures: usize,
    /// Published and still to be forgotten.
    published: Vec<OutboxId>,
    kept: BTreeSet<OutboxId>,
    done: Delivered,
}

impl Pass<'_> {
    /// Delivers what is there. True: there is more now, older than what was not looked at yet.
    async fn go_through(&mut self, late: impl Fn() -> bool) -> Result<bool, CatalogError> {
        for (id, message) in self.catalog.outbox(DELIVERED_AT_ONCE_MAX).await? {
            if self.kept.contains(&id) || self.published.contains(&id) {
                continue;
            }
            if self.deliver(id, &message, late()).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Delivers one message. True where that put others into the outbox.
    async fn deliver(
        &mut self,
        id: OutboxId,
        message: &Message,
        late: bool,
    ) -> Result<bool, CatalogError> {
        let is_event = matches!(message, Message::Event(_));
        if late || (is_event && self.bus_failures >= CHANNEL_FAILURES_MAX) {
            if let Message::Alert(alert) = message {
                self.alerts.wait(alert);
            }
            self.kept.insert(id);
            return Ok(false);
        }
        let handled = match message {
            Message::Event(event) => {
                let event = std::slice::from_ref(event);
                match self.aws.publish(&self.settings.bus, event).await {
                    Ok(()) => Handled::Published,
                    Err(error) => Handled::Failed(error),
                }
            }
            Message::Alert(alert) => self.alerts.alert(&id, alert).await?,
            Message::Resolution(resolution) => self.alerts.resolution(&id, resolution).await?,
        };
        match handled {
            Handled::Published => {
                self.done.delivered += 1;
                self.published.push(id);
                // Forgotten in small steps: a function that is killed here sends few of them again.
                if self.published.len() >= FORGOTTEN_AT_ONCE {
                    let ids = std::mem::take(&mut self.published);
                    self.catalog.delivered(&ids).await?;
                }
            }
            Handled::Settled => self.done.delivered += 1,
            Handled::Ended => {
                self.done.delivered += 1;
                return Ok(true);
            }
            Handled::HeldBack => self.done.held_back += 1,
            Handled::Waits => {
                self.kept.insert(id);
            }
            Handled::Failed(error) => {
                warn!(%error, message = message.id(), "a message stays in the outbox");
                self.kept.insert(id);
                // One that the service will never take says nothing of the channel.
                self.bus_failures += usize::from(is_event && error.retry.is_transient());
            }
        }
        Ok(false)
    }
}
