//! The port itself.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use logisedge_domain::prices::StorageClass;
use logisedge_domain::storage::{ObjectLock, StorageTier, ThawSpeed};

use crate::deleted::no_versions;
use crate::{DeletedObject, StorageError, StorageErrorKind};

/// How an object is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Put {
    /// Fail with `AlreadyExists` where the key is taken, atomically. Otherwise replace.
    pub create_only: bool,
    /// The SHA-256 of the bytes, where the caller knows it already. The store checks it on
    /// arrival; without it the store's own default integrity check applies.
    pub sha256: Option<[u8; 32]>,
    /// Where it is to end up: what is not `Standard` is tagged, for the store's lifecycle rules.
    pub tier: StorageTier,
    /// Until when it cannot be destroyed. A store that cannot lock refuses it.
    pub lock: Option<ObjectLock>,
}

/// What a listing tells of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Its key, relative to the store it was asked of.
    pub key: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// When it was last written.
    pub modified_at: logisedge_domain::Instant,
    /// Its storage class as S3 names it. None: the store's ordinary one.
    pub class: Option<String>,
}

impl ObjectMeta {
    /// Whether it lies in a class from which nothing is read before it was thawed.
    pub fn is_archived(&self) -> bool {
        StorageClass::is_archived(self.class.as_deref())
    }
}

/// Whether an object can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// At once.
    Readable,
    /// Later: a thaw was asked for.
    Thawing,
    /// Only once it was thawed.
    Archived,
}

/// The error of a store that has none of this.
fn lacks(operation: &'static str, object: String, what: &str) -> StorageError {
    StorageError {
        kind: StorageErrorKind::Other,
        operation,
        object,
        message: format!("it has no {what}; S3 does"),
        source: None,
    }
}

/// A place for objects. Every implementation passes the same contract suite.
#[async_trait]
pub trait ObjectStore: Debug + Send + Sync + 'static {
    /// Writes a whole object. When it returns, the bytes are durable and visible.
    async fn put(&self, key: &str, bytes: Bytes, put: Put) -> Result<(), StorageError>;

    /// Reads a whole object.
    async fn get(&self, key: &str) -> Result<Bytes, StorageError>;

    /// Reads a part of an object. A range that ends past the object's end is an error of kind
    /// `Corrupted`, since callers only ask for what an index says is there.
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StorageError>;

    /// The same into a buffer, which is overwritten; after an error it holds anything. Who reads much
    /// in pieces keeps one buffer: what is allocated and freed for each piece, on any thread, leaves
    /// the process larger than it ever needs to be.
    async fn get_range_into(
        &self,
        key: &str,
        range: Range<u64>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), StorageError> {
        let part = self.get_range(key, range).await?;
        buffer.clear();
        buffer.extend_from_slice(&part);
        Ok(())
    }

    /// Tells an object's size without reading it.
    async fn head(&self, key: &str) -> Result<ObjectMeta, StorageError>;

    /// Every object whose key starts with `prefix` (plain text, not a folder), sorted by key.
    /// An empty result is no error.
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StorageError>;

    /// The next path segments below `prefix`, which is empty or ends in `/`: like the folders of
    /// a folder, each with its trailing `/`, sorted, relative to the store. Costs one request a
    /// thousand segments on S3, however many objects lie below.
    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StorageError>;

    /// Deletes objects. Keys that are not there are no error. On a versioned bucket this leaves
    /// a delete marker, so the bytes stay until the lifecycle's grace days are over.
    async fn delete(&self, keys: &[String]) -> Result<(), StorageError>;

    /// Every deleted object whose key starts with `prefix` and whose bytes are still kept, sorted by
    /// key. `NoVersions` where the store keeps none of what was deleted.
    async fn list_deleted(&self, prefix: &str) -> Result<Vec<DeletedObject>, StorageError> {
        Err(no_versions("list what was deleted of", self.locate(prefix)))
    }

    /// Reads a deleted object, or a part of it.
    async fn get_deleted(
        &self,
        object: &DeletedObject,
        _range: Option<Range<u64>>,
    ) -> Result<Bytes, StorageError> {
        Err(no_versions("read the old", self.locate(&object.key)))
    }

    /// Makes a deleted object what lies under its key again. Its bytes do not pass through here.
    async fn undelete(&self, object: &DeletedObject) -> Result<(), StorageError> {
        Err(no_versions("bring back", self.locate(&object.key)))
    }

    /// Whether an object can be read now. Only what lies in an archived class ever cannot.
    async fn readiness(&self, key: &str) -> Result<Readiness, StorageError> {
        self.head(key).await.map(|_| Readiness::Readable)
    }

    /// Asks for an archived object to be readable for so many days. Asked again while that is under
    /// way, it changes nothing; asked of one that is readable, it prolongs that.
    async fn thaw(&self, key: &str, _speed: ThawSpeed, _days: u32) -> Result<(), StorageError> {
        Err(lacks("thaw", self.locate(key), "archived classes"))
    }

    /// Sees to it that an object is locked until then at the least, and says whether that changed
    /// anything. A lock never becomes shorter by it, nor of another mode while it goes on.
    async fn extend_lock(&self, key: &str, _lock: ObjectLock) -> Result<bool, StorageError> {
        Err(lacks("lock", self.locate(key), "locks"))
    }

    /// Where a key lies, for people: `s3://bucket/prefix/key` or an absolute path.
    fn locate(&self, key: &str) -> String;
}

/// A store seen from a prefix: its keys are relative to it.
#[derive(Debug, Clone)]
pub struct Prefixed {
    inner: Arc<dyn ObjectStore>,
    prefix: String,
}

impl Prefixed {
    /// Sees `inner` from `prefix`, slashes at whose ends are dropped. An empty one changes nothing.
    pub fn new(inner: Arc<dyn ObjectStore>, prefix: &str) -> Self {
        let prefix = match prefix.trim_matches('/') {
            "" => String::new(),
            p => format!("{p}/"),
        };
        Self { inner, prefix }
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    fn deleted(&self, object: &DeletedObject) -> DeletedObject {
        DeletedObject {
            key: self.key(&object.key),
            ..object.clone()
        }
    }

    fn relative(&self, key: &str) -> String {
        key.strip_prefix(&self.prefix).unwrap_or(key).to_owned()
    }
}

#[async_trait]
impl ObjectStore for Prefixed {
    async fn put(&self, key: &str, bytes: Bytes, put: Put) -> Result<(), StorageError> {
        self.inner.put(&self.key(key), bytes, put).await
    }

    async fn get(&self, key: &str) -> Result<Bytes, StorageError> {
        self.inner.get(&self.key(key)).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StorageError> {
        self.inner.get_range(&self.key(key), range).await
    }

    async fn get_range_into(
        &self,
        key: &str,
        range: Range<u64>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), StorageError> {
        let key = self.key(key);
        self.inner.get_range_into(&key, range, buffer).await
    }

    async fn head(&self, key: &str) -> Result<ObjectMeta, StorageError> {
        let meta = self.inner.head(&self.key(key)).await?;
        Ok(ObjectMeta {
            key: key.to_owned(),
            ..meta
        })
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StorageError> {
        let found = self.inner.list(&self.key(prefix)).await?;
        Ok(found
            .into_iter()
            .map(|meta| ObjectMeta {
                key: self.relative(&meta.key),
                ..meta
            })
            .collect())
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        let found = self.inner.list_folders(&self.key(prefix)).await?;
        Ok(found.iter().map(|folder| self.relative(folder)).collect())
    }

    async fn delete(&self, keys: &[String]) -> Result<(), StorageError> {
        let keys: Vec<String> = keys.iter().map(|key| self.key(key)).collect();
        self.inner.delete(&keys).await
    }

    async fn list_deleted(&self, prefix: &str) -> Result<Vec<DeletedObject>, StorageError> {
        let mut found = self.inner.list_deleted(&self.key(prefix)).await?;
        for object in &mut found {
            object.key = self.relative(&object.key);
        }
        Ok(found)
    }

    async fn get_deleted(
        &self,
        object: &DeletedObject,
        range: Option<Range<u64>>,
    ) -> Result<Bytes, StorageError> {
        self.inner.get_deleted(&self.deleted(object), range).await
    }

    async fn undelete(&self, object: &DeletedObject) -> Result<(), StorageError> {
        self.inner.undelete(&self.deleted(object)).await
    }

    async fn readiness(&self, key: &str) -> Result<Readiness, StorageError> {
        self.inner.readiness(&self.key(key)).await
    }

    async fn thaw(&self, key: &str, speed: ThawSpeed, days: u32) -> Result<(), StorageError> {
        self.inner.thaw(&self.key(key), speed, days).await
    }

    async fn extend_lock(&self, key: &str, lock: ObjectLock) -> Result<bool, StorageError> {
        self.inner.extend_lock(&self.key(key), lock).await
    }

    fn locate(&self, key: &str) -> String {
        self.inner.locate(&self.key(key))
    }
}
