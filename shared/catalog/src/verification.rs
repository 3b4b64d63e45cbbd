//! Verifications: how far a snapshot is trusted, and what was found wrong with it.

use logisedge_domain::Instant;
use logisedge_domain::finding::Finding;
use logisedge_domain::id::SnapshotId;
use logisedge_domain::snapshot::{SnapshotRecord, Trust};
use serde::{Deserialize, Serialize};

use crate::expression::{Expression, KeyCondition, Write, typed};
use crate::keys::{Key, PK, findings_pk};
use crate::outbox::outbox_writes;
use crate::snapshots::{path, snapshot_object};
use crate::{Catalog, CatalogError, Message};

/// Findings of one verification that are stored one by one; the snapshot's record counts them all.
pub const FINDINGS_MAX: usize = 1000;

/// Bytes of a finding's object and of its detail; what is longer is cut.
pub const FINDING_DETAIL_BYTES_MAX: usize = 1024;

/// Findings of one item: at most about 210 KB, half of [`crate::ITEM_BYTES_MAX`]; and all of them
/// together stay below [`crate::TRANSACTION_BYTES_MAX`].
const FINDINGS_IN_ITEM: usize = 100;

/// A part of a verification's findings as an item. The first part is always there, so that a
/// verification that found nothing is newer than one that did.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FindingsItem {
    pk: String,
    sk: String,
    body: Vec<Finding>,
}

impl FindingsItem {
    /// Which verification it is of: the first part of its key.
    pub(crate) fn verification(&self) -> &str {
        self.sk.split_once('#').map_or("", |(stamp, _)| stamp)
    }
}

impl Catalog {
    /// Records what a verification found, in one transaction with the messages that tell of it. Of
    /// findings beyond [`FINDINGS_MAX`] only the number is kept. False, and nothing changes, if the
    /// snapshot is not recorded any more or a later verification is.
    pub async fn record_verification(
        &self,
        record: &SnapshotRecord,
        trust: Trust,
        findings: &[Finding],
        now: Instant,
        outbox: &[Message],
    ) -> Result<bool, CatalogError> {
        let object = snapshot_object(&record.id);
        let corrupt = |e| CatalogError::corrupt("record", &object, e);
        let update = Expression::new()
            .exists()
            .still(
                path::VERIFIED_AT,
                match record.verified_at {
                    Some(at) => Some(typed(&at).map_err(corrupt)?),
                    None => None,
                },
            )
            .set(path::TRUST, trust.as_str())
            .set(path::VERIFIED_AT, typed(&now).map_err(corrupt)?)
            .set(path::FINDINGS, findings.len() as u64);
        let mut writes = vec![Write::Update(
            Key::snapshot(&record.scope, &record.id),
            update,
        )];
        let stored = &findings[..findings.len().min(FINDINGS_MAX)];
        for part in 0..stored.len().div_ceil(FINDINGS_IN_ITEM).max(1) {
            let key = Key::findings(&record.id, now, part);
            let body = stored.iter().skip(part * FINDINGS_IN_ITEM);
            let item = FindingsItem {
                pk: key.pk,
                sk: key.sk,
                body: body.take(FINDINGS_IN_ITEM).map(cut).collect(),
            };
            let item = serde_dynamo::to_item(&item).map_err(corrupt)?;
            writes.push(Write::Put(item, Expression::new()));
        }
        writes.extend(outbox_writes("record", outbox, now)?);
        if !self.transact("record", &object, writes).await?.is_done() {
            return Ok(false);
        }
        let current = Key::findings(&record.id, now, 0);
        let mut older = self.keys_of(&findings_pk(&record.id)).await?;
        older.retain(|key| key.sk < current.sk);
        self.delete_all(&object, older).await?;
        Ok(true)
    }

    /// What the last verification of a snapshot found, at most [`FINDINGS_MAX`].
    pub async fn findings(&self, id: &SnapshotId) -> Result<Vec<Finding>, CatalogError> {
        let condition = KeyCondition::partition(PK, &findings_pk(id));
        let object = format!("the findings of {}", snapshot_object(id));
        let items: Vec<FindingsItem> = self.query(&object, None, condition, true, None).await?;
        let Some(newest) = items.last().map(|item| item.verification().to_owned()) else {
            return Ok(Vec::new());
        };
        Ok(items
            .into_iter()
            .filter(|item| item.verification() == newest)
            .flat_map(|item| item.body)
            .collect())
    }
}

fn cut(finding: &Finding) -> Finding {
    let short = |text: &str| match text.len() {
        0..=FINDING_DETAIL_BYTES_MAX => text.to_owned(),
        _ => format!(
            "{}…",
            &text[..text.floor_char_boundary(FINDING_DETAIL_BYTES_MAX)]
        ),
    };
    Finding {
        kind: finding.kind,
        object: short(&finding.object),
        detail: short(&finding.detail),
    }
}
