//! Snapshots: recording and listing them, holding them, also while they are read, and forgetting them.
//!
//! Prune and those who hold or read a snapshot exclude each other on its own item: one that is held or
//! in use cannot be marked for deletion, and a marked one cannot be held.

use std::collections::BTreeSet;

use logisedge_domain::Instant;
use logisedge_domain::id::{ScopeName, SnapshotId};
use logisedge_domain::snapshot::{Hold, SnapshotRecord};
use serde::{Deserialize, Serialize};

use crate::anomalies;
use crate::expression::{Expression, KeyCondition, Write, typed};
use crate::keys::{
    Key, PK, RECENT, RECENT_SNAPSHOTS, SK, SNAPSHOT_PREFIX, findings_pk, scope_pk, stamp, unstamp,
};
use crate::table::Outcome;
use crate::{Catalog, CatalogError};

/// A snapshot as an item.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SnapshotItem {
    pk: String,
    sk: String,
    recent_pk: String,
    recent_at: String,
    /// Who reads it now. A reader that died stays here until `in_use_until` has passed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    in_use_by: BTreeSet<String>,
    /// When the last of them is done at the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    in_use_until: Option<String>,
    body: SnapshotRecord,
}

impl SnapshotItem {
    pub(crate) fn is_in_use(&self, now: Instant) -> bool {
        let until = self.in_use_until.as_deref().and_then(unstamp);
        !self.in_use_by.is_empty() && until.is_some_and(|until| until > now)
    }
}

/// Paths of a snapshot's attributes.
pub(crate) mod path {
    pub(crate) const IN_USE_BY: &str = "in_use_by";
    pub(crate) const IN_USE_UNTIL: &str = "in_use_until";
    pub(crate) const TRUST: &str = "body.trust";
    pub(crate) const VERIFIED_AT: &str = "body.verified_at";
    pub(crate) const FINDINGS: &str = "body.findings";
    pub(crate) const DELETING_SINCE: &str = "body.deleting_since";
    pub(crate) const HOLD: &str = "body.hold";
    pub(crate) const LOCKED_UNTIL: &str = "body.locked_until";
}

pub(crate) fn snapshot_object(id: &SnapshotId) -> String {
    format!("snapshot {}", id.short())
}

/// The write that records a snapshot, if it is not recorded.
pub(crate) fn new_snapshot(
    operation: &'static str,
    record: &SnapshotRecord,
) -> Result<Write, CatalogError> {
    let key = Key::snapshot(&record.scope, &record.id);
    let item = SnapshotItem {
        pk: key.pk,
        sk: key.sk,
        recent_pk: RECENT_SNAPSHOTS.to_owned(),
        recent_at: format!("{}#{}", stamp(record.taken_at), record.id),
        in_use_by: BTreeSet::new(),
        in_use_until: None,
        body: record.clone(),
    };
    let item = serde_dynamo::to_item(&item)
        .map_err(|e| CatalogError::corrupt(operation, snapshot_object(&record.id), e))?;
    Ok(Write::Put(item, Expression::new().absent()))
}

fn newest_first(items: Vec<SnapshotItem>) -> Vec<SnapshotRecord> {
    let mut records: Vec<SnapshotRecord> = items.into_iter().map(|item| item.body).collect();
    records.sort_by_key(|record| std::cmp::Reverse((record.taken_at, record.id)));
    records
}

impl Catalog {
    async fn snapshot_items(&self, scope: &ScopeName) -> Result<Vec<SnapshotItem>, CatalogError> {
        let condition =
            KeyCondition::partition(PK, &scope_pk(scope)).begins_with(SK, SNAPSHOT_PREFIX);
        let object = format!("the snapshots of scope {scope}");
        self.query(&object, None, condition, true, None).await
    }

    /// A scope's snapshots, newest first, as of now.
    pub async fn snapshots(&self, scope: &ScopeName) -> Result<Vec<SnapshotRecord>, CatalogError> {
        Ok(newest_first(self.snapshot_items(scope).await?))
    }

    /// Every scope's snapshots, newest first, as of about a second ago.
    pub async fn all_snapshots(&self) -> Result<Vec<SnapshotRecord>, CatalogError> {
        let condition = KeyCondition::partition(RECENT.pk, RECENT_SNAPSHOTS);
        let items = self
            .query("all snapshots", Some(RECENT), condition, false, None)
            .await?;
        Ok(newest_first(items))
    }

    /// The snapshots whose id begins with these hexadecimal digits, newest first, as of about a
    /// second ago. Reads every snapshot's record: for people who type ids.
    pub async fn find_snapshot(&self, prefix: &str) -> Result<Vec<SnapshotRecord>, CatalogError> {
        let prefix = prefix.to_ascii_lowercase();
        let mut found = self.all_snapshots().await?;
        found.retain(|record| record.id.to_string().starts_with(&prefix));
        Ok(found)
    }

    /// Records a snapshot that was found at its location. False if it is recorded already.
    pub async fn put_snapshot(&self, record: &SnapshotRecord) -> Result<bool, CatalogError> {
        let writes = vec![new_snapshot("record", record)?];
        let outcome = self
            .transact("record", &snapshot_object(&record.id), writes)
            .await?;
        Ok(outcome.is_done())
    }

    /// Records a snapshot that was brought back, also where its deletion was begun. False, and nothing
    /// changes, if it is recorded and not being deleted. `Fenced` if nobody holds the scope's lease for
    /// it ([`Self::begin_exclusive`]).
    pub async fn put_undeleted(
        &self,
        record: &SnapshotRecord,
        now: Instant,
    ) -> Result<bool, CatalogError> {
        let object = snapshot_object(&record.id);
        let Write::Put(item, _) = new_snapshot("record", record)? else {
            return Ok(false);
        };
        let free = Expression::new().either(|e| e.absent(), |e| e.has(path::DELETING_SINCE));
        let leased = Expression::leased_exclusively(now);
        let writes = vec![
            Write::Put(item, free),
            Write::Check(Key::lease(&record.scope), leased),
        ];
        match self.transact("record", &object, writes).await? {
            Outcome::Done => Ok(true),
            Outcome::Refused(which) if which.get(1) == Some(&true) => {
                Err(CatalogError::fenced("record", object))
            }
            Outcome::Refused(_) => Ok(false),
        }
    }

    /// Takes a snapshot back that an attempt wrote and may not commit: it is recorded as being deleted,
    /// which keeps everyone else from committing it, and prune deletes it. False, and nothing changes,
    /// if it is recorded already: then it is somebody else's by now.
    pub async fn withdraw_snapshot(
        &self,
        record: &SnapshotRecord,
        now: Instant,
    ) -> Result<bool, CatalogError> {
        let withdrawn = SnapshotRecord {
            deleting_since: Some(now),
            ..record.clone()
        };
        self.put_snapshot(&withdrawn).await
    }

    /// The scope's snapshots that somebody reads now.
    pub async fn snapshots_in_use(
        &self,
        scope: &ScopeName,
        now: Instant,
    ) -> Result<BTreeSet<SnapshotId>, CatalogError> {
        let items = self.snapshot_items(scope).await?;
        Ok(items
            .into_iter()
            .filter(|item| item.is_in_use(now))
            .map(|item| item.body.id)
            .collect())
    }

    /// Keeps a snapshot from being deleted until `until` or [`Self::release_use`]. False if it is
    /// not recorded or is being deleted. A holder that needs longer asks again, under its name.
    pub async fn hold_in_use(
        &self,
        scope: &ScopeName,
        id: &SnapshotId,
        holder: &str,
        until: Instant,
    ) -> Result<bool, CatalogError> {
        let object = snapshot_object(id);
        let readable = || Expression::new().exists().lacks(path::DELETING_SINCE);
        let longer = readable()
            .lacks_or(path::IN_USE_UNTIL, "<", until)
            .set(path::IN_USE_UNTIL, until)
            .add_element(path::IN_USE_BY, holder);
        let key = Key::snapshot(scope, id);
        let writes = vec![Write::Update(key.clone(), longer)];
        if self.transact("hold", &object, writes).await?.is_done() {
            return Ok(true);
        }
        // Held for longer by another reader already.
        let beside = readable()
            .is(path::IN_USE_UNTIL, ">=", until)
            .add_element(path::IN_USE_BY, holder);
        let writes = vec![Write::Update(key, beside)];
        Ok(self.transact("hold", &object, writes).await?.is_done())
    }

    /// Says that a holder is done with a snapshot.
    pub async fn release_use(
        &self,
        scope: &ScopeName,
        id: &SnapshotId,
        holder: &str,
    ) -> Result<(), CatalogError> {
        let update = Expression::new()
            .exists()
            .delete_element(path::IN_USE_BY, holder);
        let writes = vec![Write::Update(Key::snapshot(scope, id), update)];
        self.transact("release", &snapshot_object(id), writes)
            .await?;
        Ok(())
    }

    /// Holds a snapshot until [`Self::release_hold`]. False, and nothing changes, if it is not
    /// recorded, is being deleted, or is held already.
    pub async fn hold_snapshot(
        &self,
        scope: &ScopeName,
        id: &SnapshotId,
        hold: &Hold,
    ) -> Result<bool, CatalogError> {
        let object = snapshot_object(id);
        let hold = typed(hold).map_err(|e| CatalogError::corrupt("hold", &object, e))?;
        let update = Expression::new()
            .exists()
            .lacks(path::DELETING_SINCE)
            .lacks(path::HOLD)
            .set(path::HOLD, hold);
        let writes = vec![Write::Update(Key::snapshot(scope, id), update)];
        Ok(self.transact("hold", &object, writes).await?.is_done())
    }

    /// Ends a snapshot's hold. False if it is not recorded; one that is not held is no error.
    pub async fn release_hold(
        &self,
        scope: &ScopeName,
        id: &SnapshotId,
    ) -> Result<bool, CatalogError> {
        let update = Expression::new().exists().remove(path::HOLD);
        let writes = vec![Write::Update(Key::snapshot(scope, id), update)];
        let outcome = self.transact("release", &snapshot_object(id), writes).await;
        Ok(outcome?.is_done())
    }

    /// Records until when nothing of a snapshot can be destroyed. False if it is not recorded.
    pub async fn record_lock(
        &self,
        scope: &ScopeName,
        id: &SnapshotId,
        until: Instant,
    ) -> Result<bool, CatalogError> {
        let object = snapshot_object(id);
        let until = typed(&until).map_err(|e| CatalogError::corrupt("lock", &object, e))?;
        let update = Expression::new().exists().set(path::LOCKED_UNTIL, until);
        let writes = vec![Write::Update(Key::snapshot(scope, id), update)];
        Ok(self.transact("lock", &object, writes).await?.is_done())
    }

    /// Marks a snapshot before its first byte is deleted, so that nobody begins to read it. Marking
    /// it again is no error. False if somebody reads or holds it, it is not recorded, or nobody confirmed an
    /// anomaly of its scope yet. `Fenced` if
    /// nobody holds the scope's lease for it ([`Self::begin_exclusive`]).
    pub async fn mark_deleting(
        &self,
        record: &SnapshotRecord,
        now: Instant,
    ) -> Result<bool, CatalogError> {
        let object = snapshot_object(&record.id);
        let since = record.deleting_since.unwrap_or(now);
        let since = typed(&since).map_err(|e| CatalogError::corrupt("mark", &object, e))?;
        let mark = Expression::new()
            .exists()
            .lacks(path::HOLD)
            .either(
                |e| e.lacks(path::IN_USE_BY),
                |e| e.is(path::IN_USE_UNTIL, "<=", now),
            )
            .set(path::DELETING_SINCE, since);
        let mut writes = vec![
            Write::Update(Key::snapshot(&record.scope, &record.id), mark),
            Write::Check(
                Key::lease(&record.scope),
                Expression::leased_exclusively(now),
            ),
        ];
        if record.deleting_since.is_none() {
            let confirmed = Expression::new().lacks(anomalies::path::OPEN);
            writes.push(Write::Check(Key::anomaly(&record.scope), confirmed));
        }
        match self.transact("mark", &object, writes).await? {
            Outcome::Done => Ok(true),
            Outcome::Refused(which) if which.get(1) == Some(&true) => {
                Err(CatalogError::fenced("mark", object))
            }
            Outcome::Refused(_) => Ok(false),
        }
    }

    /// Forgets a snapshot that was marked, after its bytes are gone, and its findings. False, and
    /// nothing changes, if it is not marked or not recorded.
    pub async fn delete_snapshot(
        &self,
        scope: &ScopeName,
        id: &SnapshotId,
    ) -> Result<bool, CatalogError> {
        let object = snapshot_object(id);
        let marked = Expression::new().has(path::DELETING_SINCE);
        let writes = vec![Write::Delete(Key::snapshot(scope, id), marked)];
        if !self.transact("forget", &object, writes).await?.is_done() {
            return Ok(false);
        }
        let keys = self.keys_of(&findings_pk(id)).await?;
        self.delete_all(&object, keys).await?;
        Ok(true)
    }

    /// The keys of a whole partition.
    pub(crate) async fn keys_of(&self, pk: &str) -> Result<Vec<Key>, CatalogError> {
        #[derive(Deserialize)]
        struct KeyItem {
            pk: String,
            sk: String,
        }
        let condition = KeyCondition::partition(PK, pk);
        let items: Vec<KeyItem> = self.query(pk, None, condition, true, None).await?;
        Ok(items
            .into_iter()
            .map(|item| Key {
                pk: item.pk,
                sk: item.sk,
            })
            .collect())
    }
}
