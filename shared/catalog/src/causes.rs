//! Causes of alerts that go on: when each was told, how many alerts of it were held back, and who
//! tells of it right now.
//!
//! Several functions deliver the outbox at once. Each change of a cause is conditional on the version
//! that was read, and goes in one transaction with the message that it accounts for: an alert is
//! counted once, and whoever wants to tell of a cause claims it first, so that the others wait.

use logisedge_domain::Instant;
use logisedge_domain::alert::{AlertCause, CauseState};
use logisedge_domain::id::ScopeName;
use serde::{Deserialize, Serialize};

use crate::expression::{Expression, KeyCondition, Write};
use crate::keys::{Key, OPEN, OPEN_CAUSES, PK, RECENT, RECENT_CAUSES, causes_pk, stamp, unstamp};
use crate::outbox::{OutboxId, outbox_writes};
use crate::schedules::DUE_AT_ONCE_MAX;
use crate::{Catalog, CatalogError, Message};

/// A cause as an item.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CauseItem {
    pk: String,
    sk: String,
    /// Moves with every change.
    version: u64,
    /// Until when somebody may be telling of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    claimed_until: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    open_pk: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    open_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recent_pk: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recent_at: Option<String>,
    /// None while it is told for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<CauseState>,
}

mod path {
    pub(super) const VERSION: &str = "version";
}

/// A cause as it was read. [`Catalog::settle_cause`] changes it if it still is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownCause {
    /// Where it stands. None: it is not known, or is being told for the first time.
    pub state: Option<CauseState>,
    version: Option<u64>,
    claimed_until: Option<Instant>,
    key: Key,
}

impl KnownCause {
    /// Whether somebody may be telling of it now.
    pub fn is_claimed(&self, now: Instant) -> bool {
        self.claimed_until.is_some_and(|until| until > now)
    }

    fn of(item: CauseItem) -> Self {
        Self {
            state: item.body,
            version: Some(item.version),
            claimed_until: item.claimed_until.as_deref().and_then(unstamp),
            key: Key {
                pk: item.pk,
                sk: item.sk,
            },
        }
    }

    fn unchanged(&self) -> Expression {
        match self.version {
            None => Expression::new().absent(),
            Some(version) => Expression::new().is(path::VERSION, "=", version),
        }
    }

    fn object(&self) -> String {
        format!("the cause {}", self.key.sk)
    }

    fn item(
        &self,
        state: Option<&CauseState>,
        due_at: Option<Instant>,
        claimed_until: Option<Instant>,
    ) -> CauseItem {
        let recent_at = |state: &CauseState| format!("{}#{}", stamp(state.since), self.key.sk);
        CauseItem {
            pk: self.key.pk.clone(),
            sk: self.key.sk.clone(),
            version: self.version.unwrap_or_default() + 1,
            claimed_until: claimed_until.map(stamp),
            open_pk: due_at.map(|_| OPEN_CAUSES.to_owned()),
            open_at: due_at.map(stamp),
            recent_pk: state.map(|_| RECENT_CAUSES.to_owned()),
            recent_at: state.map(recent_at),
            body: state.cloned(),
        }
    }
}

/// What a cause becomes.
#[derive(Debug, Clone, Copy)]
pub struct Settled<'a> {
    /// Its state; it is forgotten if none.
    pub state: Option<&'a CauseState>,
    /// When somebody should look after it, if ever.
    pub due_at: Option<Instant>,
    /// The message that this accounts for, which is delivered with it.
    pub delivered: Option<&'a OutboxId>,
}

impl Catalog {
    /// What is known of a cause, as of now.
    pub async fn cause(&self, cause: &AlertCause) -> Result<KnownCause, CatalogError> {
        let key = Key::cause(cause);
        let item: Option<CauseItem> = self.get(&format!("the cause {cause}"), key.clone()).await?;
        Ok(match item {
            Some(item) => KnownCause::of(item),
            None => KnownCause {
                state: None,
                version: None,
                claimed_until: None,
                key,
            },
        })
    }

    /// The causes of a scope that go on, or those without a scope, as of now.
    pub async fn causes_of(
        &self,
        scope: Option<&ScopeName>,
    ) -> Result<Vec<KnownCause>, CatalogError> {
        let condition = KeyCondition::partition(PK, &causes_pk(scope));
        let items: Vec<CauseItem> = self
            .query("the causes of alerts", None, condition, true, None)
            .await?;
        Ok(items.into_iter().map(KnownCause::of).collect())
    }

    /// Causes that somebody should look after by now, longest due first; as of about a second ago, and at
    /// most [`DUE_AT_ONCE_MAX`].
    pub async fn causes_due(&self, now: Instant) -> Result<Vec<KnownCause>, CatalogError> {
        let condition = KeyCondition::partition(OPEN.pk, OPEN_CAUSES).at_most(OPEN.sk, now);
        let limit = Some(DUE_AT_ONCE_MAX);
        let items: Vec<CauseItem> = self
            .query("causes that are due", Some(OPEN), condition, true, limit)
            .await?;
        Ok(items.into_iter().map(KnownCause::of).collect())
    }

    /// Every cause that goes on, newest first, as of about a second ago.
    pub async fn all_causes(&self) -> Result<Vec<CauseState>, CatalogError> {
        let condition = KeyCondition::partition(RECENT.pk, RECENT_CAUSES);
        let items: Vec<CauseItem> = self
            .query("all causes of alerts", Some(RECENT), condition, false, None)
            .await?;
        Ok(items.into_iter().filter_map(|item| item.body).collect())
    }

    /// Claims a cause to tell of it what `message` says. None, and nothing changes, if it changed since
    /// it was read or the message is delivered already: then somebody else is at it.
    pub async fn claim_cause(
        &self,
        known: &KnownCause,
        message: &OutboxId,
        until: Instant,
    ) -> Result<Option<KnownCause>, CatalogError> {
        // A cause that is due stays so, in case that the claimer dies.
        let item = known.item(known.state.as_ref(), Some(until), Some(until));
        let writes = vec![
            put("claim", &known.object(), &item, known.unchanged())?,
            Write::Check(message.key(), Expression::new().exists()),
        ];
        let outcome = self.transact("claim", &known.object(), writes).await?;
        Ok(outcome.is_done().then(|| KnownCause::of(item)))
    }

    /// Changes a cause, with the message that this accounts for and those that tell of it, which take
    /// the place of `now` in the outbox. False, and nothing changes, if the cause changed since it was read
    /// or the message is delivered already.
    pub async fn settle_cause(
        &self,
        known: &KnownCause,
        settled: Settled<'_>,
        outbox: &[Message],
        now: Instant,
    ) -> Result<bool, CatalogError> {
        let object = known.object();
        let mut writes = vec![match settled.state {
            Some(state) => {
                let item = known.item(Some(state), settled.due_at, None);
                put("settle", &object, &item, known.unchanged())?
            }
            None => Write::Delete(known.key.clone(), known.unchanged()),
        }];
        writes.extend(
            settled
                .delivered
                .map(|message| Write::Delete(message.key(), Expression::new().exists())),
        );
        writes.extend(outbox_writes("settle", outbox, now)?);
        Ok(self.transact("settle", &object, writes).await?.is_done())
    }
}

fn put(
    operation: &'static str,
    object: &str,
    item: &CauseItem,
    condition: Expression,
) -> Result<Write, CatalogError> {
    let item =
        serde_dynamo::to_item(item).map_err(|e| CatalogError::corrupt(operation, object, e))?;
    Ok(Write::Put(item, condition))
}
