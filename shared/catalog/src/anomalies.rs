//! How large the tables of each snapshot are, and the anomalies of a scope that nobody confirmed yet.

use logisedge_domain::Instant;
use logisedge_domain::anomaly::{AnomalyState, OpenAnomaly, Sizes};
use logisedge_domain::id::{ScopeName, SnapshotId};
use serde::{Deserialize, Serialize};

use crate::expression::{Expression, KeyCondition, Write, typed};
use crate::keys::{Key, PK, SIZES_PREFIX, SK, scope_pk};
use crate::outbox::outbox_writes;
use crate::{Catalog, CatalogError, Message};

/// Sizes that are kept of a scope: twice the history, as many that do not count as that do.
pub const SIZES_KEPT: usize = 2 * logisedge_domain::anomaly::HISTORY;

/// The sizes of one snapshot as an item.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SizesItem {
    pk: String,
    sk: String,
    body: Sizes,
}

/// A scope's anomalies as an item, whose attributes change one by one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AnomalyItem {
    pk: String,
    sk: String,
    #[serde(flatten)]
    state: AnomalyState,
}

pub(crate) mod path {
    pub(crate) const OPEN: &str = "open";
    pub(super) const OPEN_SNAPSHOT: &str = "open.snapshot";
    pub(super) const MEANT: &str = "meant";
}

/// What a snapshot is recorded with: how large its tables are, and what is unusual of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The sizes.
    pub sizes: Sizes,
    /// What is unusual, if anything is. It stops prune for the scope, unless something did already.
    pub open: Option<OpenAnomaly>,
}

impl Judged {
    pub(crate) fn writes(
        &self,
        operation: &'static str,
        scope: &ScopeName,
    ) -> Result<Vec<Write>, CatalogError> {
        let corrupt = |e| CatalogError::corrupt(operation, sizes_object(scope), e);
        let mut writes = vec![put(operation, scope, &self.sizes)?];
        if let Some(open) = &self.open {
            let open = typed(open).map_err(corrupt)?;
            let update = Expression::new().set_once(path::OPEN, open);
            writes.push(Write::Update(Key::anomaly(scope), update));
        }
        Ok(writes)
    }
}

fn sizes_object(scope: &ScopeName) -> String {
    format!("the sizes of scope {scope}")
}

fn put(operation: &'static str, scope: &ScopeName, sizes: &Sizes) -> Result<Write, CatalogError> {
    let Key { pk, sk } = Key::sizes(scope, sizes.taken_at, &sizes.snapshot);
    let body = sizes.clone();
    let item = serde_dynamo::to_item(SizesItem { pk, sk, body })
        .map_err(|e| CatalogError::corrupt(operation, sizes_object(scope), e))?;
    Ok(Write::Put(item, Expression::new()))
}

impl Catalog {
    /// How large the tables of a scope's newest snapshots were, newest first, at most [`SIZES_KEPT`].
    pub async fn sizes(&self, scope: &ScopeName) -> Result<Vec<Sizes>, CatalogError> {
        let condition = KeyCondition::partition(PK, &scope_pk(scope)).begins_with(SK, SIZES_PREFIX);
        let object = sizes_object(scope);
        let limit = Some(SIZES_KEPT);
        let items: Vec<SizesItem> = self.query(&object, None, condition, false, limit).await?;
        Ok(items.into_iter().map(|item| item.body).collect())
    }

    /// Records sizes that were read from a location, however they differ.
    pub async fn put_sizes(&self, scope: &ScopeName, sizes: &Sizes) -> Result<(), CatalogError> {
        let writes = vec![put("record", scope, sizes)?];
        self.transact("record", &sizes_object(scope), writes)
            .await?;
        Ok(())
    }

    /// Forgets the sizes of snapshots.
    pub async fn forget_sizes(
        &self,
        scope: &ScopeName,
        of: &[(Instant, SnapshotId)],
    ) -> Result<(), CatalogError> {
        let keys = of.iter().map(|(at, id)| Key::sizes(scope, *at, id));
        self.delete_all(&sizes_object(scope), keys.collect()).await
    }

    /// A scope's anomalies.
    pub async fn anomaly(&self, scope: &ScopeName) -> Result<AnomalyState, CatalogError> {
        let object = format!("the anomalies of scope {scope}");
        let item: Option<AnomalyItem> = self.get(&object, Key::anomaly(scope)).await?;
        Ok(item.map(|item| item.state).unwrap_or_default())
    }

    /// Changes a scope's anomalies to what somebody confirmed, with what that tells. False, and nothing
    /// changes, if the open one is not the one that was read.
    pub async fn confirm_anomaly(
        &self,
        scope: &ScopeName,
        read: &OpenAnomaly,
        confirmed: &AnomalyState,
        now: Instant,
        outbox: &[Message],
    ) -> Result<bool, CatalogError> {
        let object = format!("the anomalies of scope {scope}");
        let corrupt = |e| CatalogError::corrupt("confirm", &object, e);
        let update = Expression::new()
            .is(path::OPEN_SNAPSHOT, "=", read.snapshot.to_string())
            .remove(path::OPEN);
        let update = match &confirmed.meant {
            Some(meant) => update.set(path::MEANT, typed(meant).map_err(corrupt)?),
            None => update,
        };
        let mut writes = vec![Write::Update(Key::anomaly(scope), update)];
        writes.extend(outbox_writes("confirm", outbox, now)?);
        Ok(self.transact("confirm", &object, writes).await?.is_done())
    }
}
