//! What was deleted and is not gone: a versioned bucket keeps the bytes for its grace days. And a store
//! as it would be, were all of it back.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use logisedge_domain::Instant;
use logisedge_domain::prices::StorageClass;

use crate::{ObjectMeta, ObjectStore, Put, Readiness, StorageError, StorageErrorKind};

/// An object that was deleted and whose bytes the store still keeps.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DeletedObject {
    /// Its key, relative to the store it was asked of.
    pub key: String,
    /// What the store calls its bytes.
    pub version: String,
    /// Their length.
    pub bytes: u64,
    /// Their storage class as S3 names it. None: the store's ordinary one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// When it was written.
    pub written_at: Instant,
    /// When it was deleted: from then on its grace days count.
    pub deleted_at: Instant,
}

impl DeletedObject {
    /// Whether it lies in a class from which nothing is read before it was thawed.
    pub fn is_archived(&self) -> bool {
        StorageClass::is_archived(self.class.as_deref())
    }
}

/// The error of a store that keeps nothing of what was deleted.
pub(crate) fn no_versions(operation: &'static str, object: String) -> StorageError {
    StorageError {
        kind: StorageErrorKind::NoVersions,
        operation,
        object,
        message: "it keeps no old versions, so what was deleted there is gone".to_owned(),
        source: None,
    }
}

/// A store seen as though nothing had been deleted of which it still has the bytes. It is only read.
#[derive(Debug)]
pub struct Undeleted {
    inner: Arc<dyn ObjectStore>,
    deleted: BTreeMap<String, DeletedObject>,
}

impl Undeleted {
    /// Lists what was deleted of a store, once. `NoVersions` where it keeps nothing.
    pub async fn of(inner: Arc<dyn ObjectStore>) -> Result<Self, StorageError> {
        let deleted = inner.list_deleted("").await?.into_iter();
        let deleted = deleted.map(|object| (object.key.clone(), object)).collect();
        Ok(Self { inner, deleted })
    }

    /// The store as it is.
    pub fn present(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    /// What is deleted, by key.
    pub fn deleted(&self) -> &BTreeMap<String, DeletedObject> {
        &self.deleted
    }

    fn refused(&self, operation: &'static str, key: &str) -> StorageError {
        StorageError {
            kind: StorageErrorKind::Other,
            operation,
            object: self.locate(key),
            message: "a view of what was deleted is only read".to_owned(),
            source: None,
        }
    }
}

#[async_trait]
impl ObjectStore for Undeleted {
    async fn put(&self, key: &str, _: Bytes, _: Put) -> Result<(), StorageError> {
        Err(self.refused("write", key))
    }

    async fn get(&self, key: &str) -> Result<Bytes, StorageError> {
        match self.deleted.get(key) {
            Some(object) => self.inner.get_deleted(object, None).await,
            None => self.inner.get(key).await,
        }
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StorageError> {
        match self.deleted.get(key) {
            Some(object) => self.inner.get_deleted(object, Some(range)).await,
            None => self.inner.get_range(key, range).await,
        }
    }

    async fn head(&self, key: &str) -> Result<ObjectMeta, StorageError> {
        match self.deleted.get(key) {
            Some(object) => Ok(meta(object)),
            None => self.inner.head(key).await,
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StorageError> {
        let mut found = self.inner.list(prefix).await?;
        let back = self.deleted.values();
        // One that is there by now is listed as what it is.
        let there: std::collections::BTreeSet<String> =
            found.iter().map(|meta| meta.key.clone()).collect();
        let back = back.filter(|object| object.key.starts_with(prefix));
        found.extend(back.filter(|object| !there.contains(&object.key)).map(meta));
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        let mut folders = self.inner.list_folders(prefix).await?;
        let below = |object: &DeletedObject| {
            let (folder, _) = object.key.strip_prefix(prefix)?.split_once('/')?;
            Some(format!("{prefix}{folder}/"))
        };
        folders.extend(self.deleted.values().filter_map(below));
        folders.sort();
        folders.dedup();
        Ok(folders)
    }

    async fn delete(&self, keys: &[String]) -> Result<(), StorageError> {
        Err(self.refused("delete", keys.first().map_or("", String::as_str)))
    }

    async fn readiness(&self, key: &str) -> Result<Readiness, StorageError> {
        match self.deleted.get(key) {
            Some(object) if object.is_archived() => Ok(Readiness::Archived),
            Some(_) => Ok(Readiness::Readable),
            None => self.inner.readiness(key).await,
        }
    }

    fn locate(&self, key: &str) -> String {
        self.inner.locate(key)
    }
}

fn meta(object: &DeletedObject) -> ObjectMeta {
    ObjectMeta {
        key: object.key.clone(),
        bytes: object.bytes,
        modified_at: object.written_at,
        class: object.class.clone(),
    }
}
