//! A wrapper that fails on purpose: for proving that what is above a store survives its failures.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use logisedge_domain::storage::{ObjectLock, ThawSpeed};

use crate::{
    DeletedObject, ObjectMeta, ObjectStore, Put, Readiness, StorageError, StorageErrorKind,
};

/// How a [`Faulty`] store fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The first tries of each operation on each key fail transiently and change nothing.
    FirstTries(u32),
    /// The first tries of each operation on each key take effect, and their answer is lost.
    LostAnswers(u32),
    /// So many operations succeed, then every one fails permanently and changes nothing: what is
    /// left is what a process killed at that instant leaves.
    DiesAfter(u64),
    /// The same, and a deletion of many objects is as many operations: death comes between any two.
    DiesAmidDeletes(u64),
    /// So many bytes fit in all; an object that does not fit any more is refused as `Full`.
    Full(u64),
    /// What is written below a key with this in it is there, and whoever wrote it waits for ever.
    NeverAnswers(&'static str),
}

/// A store that fails as its [`Fault`] says.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn ObjectStore>,
    fault: Fault,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    operations: u64,
    bytes: u64,
    tries: HashMap<(&'static str, String), u32>,
}

impl Faulty {
    /// Wraps `inner`.
    pub fn new(inner: Arc<dyn ObjectStore>, fault: Fault) -> Self {
        Self {
            inner,
            fault,
            seen: Mutex::default(),
        }
    }

    /// Operations begun so far, failed ones too.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failure(
        &self,
        kind: StorageErrorKind,
        operation: &'static str,
        key: &str,
        message: &str,
    ) -> StorageError {
        StorageError {
            kind,
            operation,
            object: self.inner.locate(key),
            message: message.to_owned(),
            source: None,
        }
    }

    /// Counts what is to be written, as far as it fits.
    fn take_room(&self, key: &str, bytes: u64) -> Result<(), StorageError> {
        let mut seen = self.lock();
        let after = seen.bytes.saturating_add(bytes);
        if matches!(self.fault, Fault::Full(room) if after > room) {
            return Err(self.failure(
                StorageErrorKind::Full,
                "write",
                key,
                "an injected lack of room",
            ));
        }
        seen.bytes = after;
        Ok(())
    }

    async fn run<T>(
        &self,
        operation: &'static str,
        key: &str,
        effect: impl Future<Output = Result<T, StorageError>> + Send,
    ) -> Result<T, StorageError> {
        let (operations, tries) = {
            let mut seen = self.lock();
            seen.operations += 1;
            let tries = seen.tries.entry((operation, key.to_owned())).or_default();
            *tries = tries.saturating_add(1);
            let tries = *tries;
            (seen.operations, tries)
        };
        let failure = |kind, message| self.failure(kind, operation, key, message);
        match self.fault {
            Fault::FirstTries(n) if tries <= n => Err(failure(
                StorageErrorKind::Unavailable,
                "an injected failure",
            )),
            Fault::LostAnswers(n) if tries <= n => {
                effect.await?;
                Err(failure(
                    StorageErrorKind::Unavailable,
                    "an injected lost answer",
                ))
            }
            Fault::DiesAfter(n) | Fault::DiesAmidDeletes(n) if operations > n => {
                Err(failure(StorageErrorKind::Other, "an injected death"))
            }
            _ => effect.await,
        }
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put(&self, key: &str, bytes: Bytes, put: Put) -> Result<(), StorageError> {
        self.take_room(key, bytes.len() as u64)?;
        self.run("write", key, self.inner.put(key, bytes, put))
            .await?;
        if matches!(self.fault, Fault::NeverAnswers(part) if key.contains(part)) {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Bytes, StorageError> {
        self.run("read", key, self.inner.get(key)).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StorageError> {
        self.run("read a part of", key, self.inner.get_range(key, range))
            .await
    }

    async fn get_range_into(
        &self,
        key: &str,
        range: Range<u64>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), StorageError> {
        let effect = self.inner.get_range_into(key, range, buffer);
        self.run("read a part of", key, effect).await
    }

    async fn head(&self, key: &str) -> Result<ObjectMeta, StorageError> {
        self.run("ask for", key, self.inner.head(key)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StorageError> {
        self.run("list", prefix, self.inner.list(prefix)).await
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        self.run("list folders of", prefix, self.inner.list_folders(prefix))
            .await
    }

    async fn delete(&self, keys: &[String]) -> Result<(), StorageError> {
        if let Fault::DiesAmidDeletes(_) = self.fault {
            for key in keys {
                let effect = self.inner.delete(std::slice::from_ref(key));
                self.run("delete", key, effect).await?;
            }
            return Ok(());
        }
        let first = keys.first().map_or("", String::as_str);
        self.run("delete", first, self.inner.delete(keys)).await
    }

    async fn list_deleted(&self, prefix: &str) -> Result<Vec<DeletedObject>, StorageError> {
        let effect = self.inner.list_deleted(prefix);
        self.run("list what was deleted of", prefix, effect).await
    }

    async fn get_deleted(
        &self,
        object: &DeletedObject,
        range: Option<Range<u64>>,
    ) -> Result<Bytes, StorageError> {
        let effect = self.inner.get_deleted(object, range);
        self.run("read the old", &object.key, effect).await
    }

    async fn undelete(&self, object: &DeletedObject) -> Result<(), StorageError> {
        let effect = self.inner.undelete(object);
        self.run("bring back", &object.key, effect).await
    }

    async fn readiness(&self, key: &str) -> Result<Readiness, StorageError> {
        self.run("ask for", key, self.inner.readiness(key)).await
    }

    async fn thaw(&self, key: &str, speed: ThawSpeed, days: u32) -> Result<(), StorageError> {
        self.run("thaw", key, self.inner.thaw(key, speed, days))
            .await
    }

    async fn extend_lock(&self, key: &str, lock: ObjectLock) -> Result<bool, StorageError> {
        self.run("lock", key, self.inner.extend_lock(key, lock))
            .await
    }

    fn locate(&self, key: &str) -> String {
        self.inner.locate(key)
    }
}
