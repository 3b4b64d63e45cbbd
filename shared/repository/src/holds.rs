//! Holds: objects beside a chain's own that say which of its snapshots are to stay whatever retention
//! says. They lie at the location, so that no loss of the catalog loses one; encrypted, since a reason
//! may be confidential.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use logisedge_domain::id::SnapshotId;
use logisedge_domain::snapshot::Hold;
use logisedge_storage::{ObjectMeta, ObjectStore, Put};

use crate::error::{RepositoryError, RepositoryErrorKind};
use crate::layout::{self, ObjectName};
use crate::repository::{Repository, get};
use crate::unpacked::{decode_object, encode_object};
use crate::writer::off_runtime;

/// Which snapshots are held of the chain that lies in `store`, each with when that was written. One
/// listing; needs no password.
pub async fn held(
    store: &dyn ObjectStore,
) -> Result<BTreeMap<SnapshotId, ObjectMeta>, RepositoryError> {
    let listed = store.list(layout::HOLDS).await?.into_iter();
    let of = |meta: ObjectMeta| match ObjectName::of(&meta.key) {
        ObjectName::Hold(id) => Some((id, meta)),
        _ => None,
    };
    Ok(listed.filter_map(of).collect())
}

/// Ends a hold. One that is not there is no error.
pub async fn release(store: &dyn ObjectStore, id: &SnapshotId) -> Result<(), RepositoryError> {
    store.delete(&[layout::hold(id)]).await?;
    Ok(())
}

/// What stands for a hold that nobody can read: it holds all the same.
pub fn unreadable(written: &ObjectMeta, why: &str) -> Hold {
    Hold {
        reason: format!("what {} says cannot be read: {why}", written.key),
        by: "unknown".to_owned(),
        since: written.modified_at,
    }
}

impl Repository {
    /// Every hold on a snapshot of this chain.
    ///
    /// # Errors
    /// Only where the store fails: a hold that is damaged holds, and its reason says so.
    pub async fn holds(&self) -> Result<BTreeMap<SnapshotId, Hold>, RepositoryError> {
        let mut holds = BTreeMap::new();
        for (id, meta) in held(&**self.store()).await? {
            let hold = match get(&**self.store(), &meta.key).await {
                Ok(object) => self.decode_hold(object).await?,
                // Released since it was listed.
                Err(error) if error.finding().is_some() => continue,
                Err(error) => return Err(error),
            };
            let hold = hold.unwrap_or_else(|why| unreadable(&meta, &why));
            holds.insert(id, hold);
        }
        Ok(holds)
    }

    async fn decode_hold(&self, object: Bytes) -> Result<Result<Hold, String>, RepositoryError> {
        let cipher = Arc::clone(self.cipher());
        off_runtime(move || {
            let json = decode_object(&object, &cipher.0).map_err(|fault| fault.detail);
            Ok(json.and_then(|json| serde_json::from_slice(&json).map_err(|e| e.to_string())))
        })
        .await
    }

    /// Writes a hold; one that is there is replaced.
    pub async fn put_hold(&self, id: &SnapshotId, hold: &Hold) -> Result<(), RepositoryError> {
        let failed = |message: String| {
            RepositoryError::new(
                RepositoryErrorKind::Unsupported,
                "encode",
                "a hold",
                message,
            )
        };
        let json = serde_json::to_vec(hold).map_err(|e| failed(e.to_string()))?;
        let object = encode_object(&json, true, &self.cipher().0);
        let object = object.map_err(|e| failed(e.to_string()))?;
        let put = Put::default();
        let key = layout::hold(id);
        self.store().put(&key, Bytes::from(object), put).await?;
        Ok(())
    }
}
