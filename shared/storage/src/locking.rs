//! A wrapper that locks what is put through it.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use logisedge_domain::storage::{ObjectLock, ThawSpeed};

use crate::{DeletedObject, ObjectMeta, ObjectStore, Put, Readiness, StorageError};

/// A store that puts every object with a lock. What it brings back or lists it leaves as it is.
#[derive(Debug)]
pub struct Locking {
    inner: Arc<dyn ObjectStore>,
    lock: ObjectLock,
}

impl Locking {
    /// Wraps `inner`. A store that cannot lock refuses every put.
    pub fn new(inner: Arc<dyn ObjectStore>, lock: ObjectLock) -> Self {
        Self { inner, lock }
    }
}

#[async_trait]
impl ObjectStore for Locking {
    async fn put(&self, key: &str, bytes: Bytes, put: Put) -> Result<(), StorageError> {
        let lock = Some(put.lock.unwrap_or(self.lock));
        self.inner.put(key, bytes, Put { lock, ..put }).await
    }

    async fn get(&self, key: &str) -> Result<Bytes, StorageError> {
        self.inner.get(key).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StorageError> {
        self.inner.get_range(key, range).await
    }

    async fn get_range_into(
        &self,
        key: &str,
        range: Range<u64>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), StorageError> {
        self.inner.get_range_into(key, range, buffer).await
    }

    async fn head(&self, key: &str) -> Result<ObjectMeta, StorageError> {
        self.inner.head(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StorageError> {
        self.inner.list(prefix).await
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        self.inner.list_folders(prefix).await
    }

    async fn delete(&self, keys: &[String]) -> Result<(), StorageError> {
        self.inner.delete(keys).await
    }

    async fn list_deleted(&self, prefix: &str) -> Result<Vec<DeletedObject>, StorageError> {
        self.inner.list_deleted(prefix).await
    }

    async fn get_deleted(
        &self,
        object: &DeletedObject,
        range: Option<Range<u64>>,
    ) -> Result<Bytes, StorageError> {
        self.inner.get_deleted(object, range).await
    }

    async fn undelete(&self, object: &DeletedObject) -> Result<(), StorageError> {
        self.inner.undelete(object).await
    }

    async fn readiness(&self, key: &str) -> Result<Readiness, StorageError> {
        self.inner.readiness(key).await
    }

    async fn thaw(&self, key: &str, speed: ThawSpeed, days: u32) -> Result<(), StorageError> {
        self.inner.thaw(key, speed, days).await
    }

    async fn extend_lock(&self, key: &str, lock: ObjectLock) -> Result<bool, StorageError> {
        self.inner.extend_lock(key, lock).await
    }

    fn locate(&self, key: &str) -> String {
        self.inner.locate(key)
    }
}
