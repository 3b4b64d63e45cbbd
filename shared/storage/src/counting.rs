//! A wrapper that counts requests as S3 bills them, so that a run can say what it cost there, also where
//! the store is a folder.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use async_trait::async_trait;
use bytes::Bytes;
use logisedge_domain::requests::Requests;
use logisedge_domain::storage::{ObjectLock, ThawSpeed};

use crate::{
    DELETE_KEYS_MAX, DeletedObject, ObjectMeta, ObjectStore, Put, Readiness, StorageError,
};

/// Keys and folders of one page of a listing:
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>.
const LIST_KEYS_MAX: usize = 1000;

/// A store that counts what it is asked. A refused request counts, because S3 bills most of them; what
/// [`crate::Retrying`] sends again below this wrapper does not.
#[derive(Debug)]
pub struct Counting {
    inner: Arc<dyn ObjectStore>,
    puts: AtomicU64,
    gets: AtomicU64,
    heads: AtomicU64,
    lists: AtomicU64,
    deletes: AtomicU64,
    bytes_put: AtomicU64,
}

impl Counting {
    /// Wraps `inner`, with nothing counted yet.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            inner,
            puts: zero(),
            gets: zero(),
            heads: zero(),
            lists: zero(),
            deletes: zero(),
            bytes_put: zero(),
        }
    }

    /// The requests so far.
    pub fn requests(&self) -> Requests {
        Requests {
            puts: self.puts.load(Relaxed),
            gets: self.gets.load(Relaxed),
            heads: self.heads.load(Relaxed),
            lists: self.lists.load(Relaxed),
            deletes: self.deletes.load(Relaxed),
        }
    }

    /// Bytes of the objects that were put so far.
    pub fn bytes_put(&self) -> u64 {
        self.bytes_put.load(Relaxed)
    }

    /// A listing takes a request a page, and one where there is nothing.
    fn listed<T>(&self, found: &Result<Vec<T>, StorageError>) {
        let items = found.as_ref().map_or(0, Vec::len);
        self.lists.fetch_add(pages(items, LIST_KEYS_MAX), Relaxed);
    }
}

fn pages(items: usize, per_page: usize) -> u64 {
    items.div_ceil(per_page).max(1) as u64
}

#[async_trait]
impl ObjectStore for Counting {
    async fn put(&self, key: &str, bytes: Bytes, put: Put) -> Result<(), StorageError> {
        self.puts.fetch_add(1, Relaxed);
        let length = bytes.len() as u64;
        let outcome = self.inner.put(key, bytes, put).await;
        if outcome.is_ok() {
            self.bytes_put.fetch_add(length, Relaxed);
        }
        outcome
    }

    async fn get(&self, key: &str) -> Result<Bytes, StorageError> {
        self.gets.fetch_add(1, Relaxed);
        self.inner.get(key).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StorageError> {
        self.gets.fetch_add(1, Relaxed);
        self.inner.get_range(key, range).await
    }

    async fn get_range_into(
        &self,
        key: &str,
        range: Range<u64>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), StorageError> {
        self.gets.fetch_add(1, Relaxed);
        self.inner.get_range_into(key, range, buffer).await
    }

    async fn head(&self, key: &str) -> Result<ObjectMeta, StorageError> {
        self.heads.fetch_add(1, Relaxed);
        self.inner.head(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StorageError> {
        let found = self.inner.list(prefix).await;
        self.listed(&found);
        found
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        let found = self.inner.list_folders(prefix).await;
        self.listed(&found);
        found
    }

    async fn delete(&self, keys: &[String]) -> Result<(), StorageError> {
        if !keys.is_empty() {
            let requests = pages(keys.len(), DELETE_KEYS_MAX);
            self.deletes.fetch_add(requests, Relaxed);
        }
        self.inner.delete(keys).await
    }

    async fn list_deleted(&self, prefix: &str) -> Result<Vec<DeletedObject>, StorageError> {
        let found = self.inner.list_deleted(prefix).await;
        self.listed(&found);
        found
    }

    async fn get_deleted(
        &self,
        object: &DeletedObject,
        range: Option<Range<u64>>,
    ) -> Result<Bytes, StorageError> {
        self.gets.fetch_add(1, Relaxed);
        self.inner.get_deleted(object, range).await
    }

    async fn undelete(&self, object: &DeletedObject) -> Result<(), StorageError> {
        // S3 bills a copy as a PUT.
        self.puts.fetch_add(1, Relaxed);
        self.inner.undelete(object).await
    }

    async fn readiness(&self, key: &str) -> Result<Readiness, StorageError> {
        self.heads.fetch_add(1, Relaxed);
        self.inner.readiness(key).await
    }

    async fn thaw(&self, key: &str, speed: ThawSpeed, days: u32) -> Result<(), StorageError> {
        // Billed as what it is, from the class that the object lies in: it is no PUT of a backup's.
        self.inner.thaw(key, speed, days).await
    }

    async fn extend_lock(&self, key: &str, lock: ObjectLock) -> Result<bool, StorageError> {
        self.heads.fetch_add(1, Relaxed);
        let extended = self.inner.extend_lock(key, lock).await;
        if matches!(extended, Ok(true)) {
            self.puts.fetch_add(1, Relaxed);
        }
        extended
    }

    fn locate(&self, key: &str) -> String {
        self.inner.locate(key)
    }
}
