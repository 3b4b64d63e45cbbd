//! Watched scopes, and when each should be looked at for whether its newest good snapshot is too old; and
//! the digest, which is looked after along with them.

use logisedge_domain::Instant;
use logisedge_domain::id::ScopeName;
use logisedge_domain::rpo::Watch;
use serde::{Deserialize, Serialize};

use crate::expression::{Expression, KeyCondition, Write, typed};
use crate::keys::{DIGEST, Key, OPEN, OPEN_WATCHES};
use crate::outbox::outbox_writes;
use crate::schedules::DUE_AT_ONCE_MAX;
use crate::table::TRANSACTION_WRITES_MAX;
use crate::{Catalog, CatalogError, Message};

/// A watched scope as an item.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct WatchItem {
    pk: String,
    sk: String,
    open_pk: String,
    open_at: String,
    /// Since when it is watched. Set once.
    since: Instant,
    /// None until it was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<Watch>,
}

mod path {
    pub(super) const SINCE: &str = "since";
    pub(super) const BODY: &str = "body";
}

/// A watched scope that is due for a look. [`Catalog::settle_watch`] moves it on if nobody else did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueWatch {
    /// What is remembered of it.
    pub watch: Watch,
    due_at: String,
}

/// The digest, which is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueDigest {
    /// Since when it tells.
    pub since: Instant,
    due_at: String,
}

fn object(scope: &ScopeName) -> String {
    format!("the watch of scope {scope}")
}

impl Catalog {
    /// Watches scopes from now on, those included that are watched already: each is due for a look.
    pub async fn watch(&self, scopes: &[ScopeName], now: Instant) -> Result<(), CatalogError> {
        for chunk in scopes.chunks(TRANSACTION_WRITES_MAX) {
            let corrupt = |e| CatalogError::corrupt("watch", "scopes", e);
            let since = typed(&now).map_err(corrupt)?;
            let watch = |scope| {
                let update = Expression::new()
                    .set(OPEN.pk, OPEN_WATCHES)
                    .set(OPEN.sk, now)
                    .set_once(path::SINCE, since.clone());
                Write::Update(Key::watch(scope), update)
            };
            let writes = chunk.iter().map(watch).collect();
            self.transact("watch", "scopes", writes).await?;
        }
        Ok(())
    }

    /// Makes a scope due for a look, if it is watched.
    pub async fn wake_watch(&self, scope: &ScopeName, now: Instant) -> Result<(), CatalogError> {
        let update = Expression::new().exists().set(OPEN.sk, now);
        let writes = vec![Write::Update(Key::watch(scope), update)];
        self.transact("wake", &object(scope), writes).await?;
        Ok(())
    }

    /// Watched scopes that are due for a look, and the digest if it is, longest due first; as of about a
    /// second ago, and at most [`DUE_AT_ONCE_MAX`] in all.
    pub async fn watches_due(
        &self,
        now: Instant,
    ) -> Result<(Vec<DueWatch>, Option<DueDigest>), CatalogError> {
        let condition = KeyCondition::partition(OPEN.pk, OPEN_WATCHES).at_most(OPEN.sk, now);
        let limit = Some(DUE_AT_ONCE_MAX);
        let items: Vec<WatchItem> = self
            .query("watched scopes", Some(OPEN), condition, true, limit)
            .await?;
        let digest = items
            .iter()
            .find(|item| item.pk == DIGEST)
            .map(|item| DueDigest {
                since: item.since,
                due_at: item.open_at.clone(),
            });
        let due = |item: WatchItem| {
            let scope = item.pk.strip_prefix("scope#")?.parse().ok()?;
            let fresh = Watch {
                scope,
                since: item.since,
                alerted_at: None,
            };
            Some(DueWatch {
                watch: item.body.unwrap_or(fresh),
                due_at: item.open_at,
            })
        };
        Ok((items.into_iter().filter_map(due).collect(), digest))
    }

    /// Makes the digest due at a time, or at none. What it is about begins now, if there was none.
    pub async fn schedule_digest(
        &self,
        due_at: Option<Instant>,
        now: Instant,
    ) -> Result<(), CatalogError> {
        let corrupt = |e| CatalogError::corrupt("schedule", "the digest", e);
        let write = match due_at {
            None => Write::Delete(Key::digest(), Expression::new()),
            Some(due_at) => {
                let update = Expression::new()
                    .set(OPEN.pk, OPEN_WATCHES)
                    .set(OPEN.sk, due_at)
                    .set_once(path::SINCE, typed(&now).map_err(corrupt)?);
                Write::Update(Key::digest(), update)
            }
        };
        self.transact("schedule", "the digest", vec![write]).await?;
        Ok(())
    }

    /// Moves the digest on to its next time, with the one that is due. False, and nothing changes, if
    /// somebody else did.
    pub async fn settle_digest(
        &self,
        read: &DueDigest,
        due_at: Instant,
        now: Instant,
        outbox: &[Message],
    ) -> Result<bool, CatalogError> {
        let corrupt = |e| CatalogError::corrupt("settle", "the digest", e);
        let update = Expression::new()
            .is(OPEN.sk, "=", read.due_at.as_str())
            .set(OPEN.sk, due_at)
            .set(path::SINCE, typed(&now).map_err(corrupt)?);
        let mut writes = vec![Write::Update(Key::digest(), update)];
        writes.extend(outbox_writes("settle", outbox, now)?);
        let outcome = self.transact("settle", "the digest", writes).await?;
        Ok(outcome.is_done())
    }

    /// Records a look, with what it tells. False, and nothing changes, if somebody else did, or the
    /// scope became due again meanwhile.
    pub async fn settle_watch(
        &self,
        read: &DueWatch,
        watch: &Watch,
        due_at: Instant,
        now: Instant,
        outbox: &[Message],
    ) -> Result<bool, CatalogError> {
        let object = object(&watch.scope);
        let body = typed(watch).map_err(|e| CatalogError::corrupt("settle", &object, e))?;
        let update = Expression::new()
            .is(OPEN.sk, "=", read.due_at.as_str())
            .set(OPEN.sk, due_at)
            .set(path::BODY, body);
        let mut writes = vec![Write::Update(Key::watch(&watch.scope), update)];
        writes.extend(outbox_writes("settle", outbox, now)?);
        Ok(self.transact("settle", &object, writes).await?.is_done())
    }

    /// Stops watching a scope, with what that tells. False if it changed meanwhile.
    pub async fn unwatch(
        &self,
        read: &DueWatch,
        now: Instant,
        outbox: &[Message],
    ) -> Result<bool, CatalogError> {
        let unchanged = Expression::new().is(OPEN.sk, "=", read.due_at.as_str());
        let scope = &read.watch.scope;
        let mut writes = vec![Write::Delete(Key::watch(scope), unchanged)];
        writes.extend(outbox_writes("settle", outbox, now)?);
        let outcome = self.transact("settle", &object(scope), writes).await?;
        Ok(outcome.is_done())
    }
}
