//! The outbox: what must reach the bus or the alert topic even if the function dies right after
//! its commit. A message is stored in the same transaction as what it tells, and deleted when it
//! was delivered; so it is delivered at least once, and a repeated one is recognisable by its id.

use logisedge_domain::Instant;
use logisedge_domain::alert::{Alert, Resolution};
use logisedge_domain::event::Event;
use serde::{Deserialize, Serialize};

use crate::expression::{Expression, KeyCondition, Write};
use crate::keys::{Key, OUTBOX, OUTBOX_ALERTS, PK, unstamp};
use crate::table::TRANSACTION_WRITES_MAX;
use crate::{Catalog, CatalogError};

/// What is to be delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "to", content = "what")]
pub enum Message {
    /// To the event bus.
    Event(Event),
    /// To the alert topic, or to the count of what is held back.
    Alert(Alert),
    /// To the causes of alerts that it says are gone.
    Resolution(Resolution),
}

impl Message {
    /// Its identity: the same for the same thing told twice.
    pub fn id(&self) -> String {
        match self {
            Self::Alert(alert) => format!("alert.{}", alert.id),
            Self::Resolution(resolution) => format!("resolution.{}", resolution.id),
            Self::Event(event) => {
                let about = match event {
                    Event::BackupRequested { run, .. } => run.to_string(),
                    Event::SnapshotCommitted { snapshot, .. } => snapshot.to_string(),
                    Event::VerifyRequested {
                        snapshot: Some(id), ..
                    } => id.to_string(),
                    Event::VerifyRequested { scope, .. } | Event::PruneRequested { scope } => {
                        scope.to_string()
                    }
                };
                format!("event.{}.{about}", event.detail_type())
            }
        }
    }
}

/// Names a stored message. Sorts by time in each of the two channels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutboxId {
    sk: String,
    pk: String,
}

impl OutboxId {
    /// When it was stored.
    pub fn stored_at(&self) -> Option<Instant> {
        unstamp(self.sk.split_once('#')?.0)
    }

    pub(crate) fn key(&self) -> Key {
        Key {
            pk: self.pk.clone(),
            sk: self.sk.clone(),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OutboxItem {
    pk: String,
    sk: String,
    body: Message,
}

impl Catalog {
    /// The oldest undelivered messages, oldest first: at most `limit` events, and as many alerts.
    pub async fn outbox(&self, limit: usize) -> Result<Vec<(OutboxId, Message)>, CatalogError> {
        let mut found = Vec::new();
        for channel in [OUTBOX, OUTBOX_ALERTS] {
            let condition = KeyCondition::partition(PK, channel);
            let items: Vec<OutboxItem> = self
                .query("the outbox", None, condition, true, Some(limit))
                .await?;
            found.extend(items.into_iter().map(|item| {
                let OutboxItem { pk, sk, body } = item;
                (OutboxId { sk, pk }, body)
            }));
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(found)
    }

    /// Forgets messages that were delivered.
    pub async fn delivered(&self, ids: &[OutboxId]) -> Result<(), CatalogError> {
        let keys = ids.iter().map(OutboxId::key).collect();
        self.delete_all("the outbox", keys).await
    }

    /// Stores messages that belong to no other change.
    pub async fn enqueue(&self, messages: &[Message]) -> Result<(), CatalogError> {
        let now = chrono::Utc::now();
        for chunk in messages.chunks(TRANSACTION_WRITES_MAX) {
            let writes = outbox_writes("store", chunk, now)?;
            self.transact("store", "messages in the outbox", writes)
                .await?;
        }
        Ok(())
    }
}

/// The writes that store messages along with what they tell.
pub(crate) fn outbox_writes(
    operation: &'static str,
    messages: &[Message],
    now: Instant,
) -> Result<Vec<Write>, CatalogError> {
    // One transaction may write an item only once.
    let mut seen = std::collections::BTreeSet::new();
    messages
        .iter()
        .filter(|message| seen.insert(message.id()))
        .map(|message| {
            let key = match message {
                Message::Event(_) => Key::outbox(now, &message.id()),
                _ => Key::outbox_alert(now, &message.id()),
            };
            let item = OutboxItem {
                pk: key.pk,
                sk: key.sk,
                body: message.clone(),
            };
            let item = serde_dynamo::to_item(&item)
                .map_err(|e| CatalogError::corrupt(operation, "a message", e))?;
            Ok(Write::Put(item, Expression::new()))
        })
        .collect()
}
