//! A wrapper that tries again what may succeed the next time: for minutes what passes, a few times
//! what was altered on its way.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use logisedge_domain::storage::{ObjectLock, ThawSpeed};
use tokio::time::Instant;

use crate::{
    DeletedObject, ObjectMeta, ObjectStore, Put, Readiness, StorageError, StorageErrorKind,
};

/// Tries in all at a transfer whose bytes arrive altered. What is altered where it lies fails every
/// time, so more would only delay the finding.
const DAMAGED_TRIES_MAX: u32 = 3;

/// How long, and how long apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries in all before time counts, at least 1: a single try may use up all of it.
    pub tries_min: u32,
    /// The time since the first try began after which none begins any more.
    pub within: Duration,
    /// The longest pause before the second try; it doubles with each further one.
    pub delay_first: Duration,
    /// The longest pause of all.
    pub delay_max: Duration,
}

impl Default for RetryPolicy {
    /// Three minutes: a short network cut, or a store that asks for patience, does not end a run of
    /// hours, and a function still has time to say that it gave up.
    fn default() -> Self {
        Self {
            tries_min: 3,
            within: Duration::from_secs(180),
            delay_first: Duration::from_millis(200),
            delay_max: Duration::from_secs(15),
        }
    }
}

impl RetryPolicy {
    /// The pause after try number `tries` (1 is the first), `share` of it: "full jitter", so that
    /// many clients that failed together do not come back together.
    /// <https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/>.
    fn pause(&self, tries: u32, share: f64) -> Duration {
        let doubled = self
            .delay_first
            .saturating_mul(1 << tries.saturating_sub(1).min(20));
        doubled.min(self.delay_max).mul_f64(share.clamp(0.0, 1.0))
    }
}

/// A store that repeats what failed transiently, and nothing else.
#[derive(Debug, Clone)]
pub struct Retrying {
    inner: Arc<dyn ObjectStore>,
    policy: RetryPolicy,
}

impl Retrying {
    /// Wraps `inner` with the default policy.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self::with_policy(inner, RetryPolicy::default())
    }

    /// Wraps `inner`.
    pub fn with_policy(inner: Arc<dyn ObjectStore>, policy: RetryPolicy) -> Self {
        Self { inner, policy }
    }

    /// After a try failed: waits before the next one, or gives the error back.
    async fn wait(&self, tries: &mut Tries, mut error: StorageError) -> Result<(), StorageError> {
        let damage = error.is_transfer_damage();
        if !damage && !error.retry().is_transient() {
            return Err(error);
        }
        let count = tries.count;
        let pause = self.policy.pause(count, share());
        let late = tries.began.elapsed() + pause > self.policy.within;
        if (late && count >= self.policy.tries_min) || (damage && count >= DAMAGED_TRIES_MAX) {
            error.message = format!("{} ({count} tries)", error.message);
            return Err(error);
        }
        tracing::debug!(%error, tries = count, ?pause, "trying again");
        tokio::time::sleep(pause).await;
        tries.count += 1;
        Ok(())
    }
}

/// The tries at one operation so far.
struct Tries {
    count: u32,
    began: Instant,
}

impl Tries {
    fn first() -> Self {
        Self {
            count: 1,
            began: Instant::now(),
        }
    }
}

/// Repeats a call until it succeeds or [`Retrying::wait`] gives up.
macro_rules! retry {
    ($self:ident, $call:expr) => {{
        let mut tries = Tries::first();
        loop {
            match $call.await {
                Err(e) => $self.wait(&mut tries, e).await?,
                done => return done,
            }
        }
    }};
}

/// A random number from 0 to 1. Without a source of randomness the pauses are just not spread.
fn share() -> f64 {
    getrandom::u32().map_or(1.0, |n| f64::from(n) / f64::from(u32::MAX))
}

#[async_trait]
impl ObjectStore for Retrying {
    async fn put(&self, key: &str, bytes: Bytes, put: Put) -> Result<(), StorageError> {
        let mut tries = Tries::first();
        loop {
            match self.inner.put(key, bytes.clone(), put).await {
                // An earlier try of this very call may have arrived although its answer did not.
                Err(e) if e.kind == StorageErrorKind::AlreadyExists && tries.count > 1 => {
                    let stored = self.get(key).await?;
                    return if stored == bytes { Ok(()) } else { Err(e) };
                }
                Err(e) => self.wait(&mut tries, e).await?,
                done => return done,
            }
        }
    }

    async fn get(&self, key: &str) -> Result<Bytes, StorageError> {
        retry!(self, self.inner.get(key))
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StorageError> {
        retry!(self, self.inner.get_range(key, range.clone()))
    }

    async fn get_range_into(
        &self,
        key: &str,
        range: Range<u64>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), StorageError> {
        retry!(self, self.inner.get_range_into(key, range.clone(), buffer))
    }

    async fn head(&self, key: &str) -> Result<ObjectMeta, StorageError> {
        retry!(self, self.inner.head(key))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StorageError> {
        retry!(self, self.inner.list(prefix))
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        retry!(self, self.inner.list_folders(prefix))
    }

    async fn delete(&self, keys: &[String]) -> Result<(), StorageError> {
        retry!(self, self.inner.delete(keys))
    }

    async fn list_deleted(&self, prefix: &str) -> Result<Vec<DeletedObject>, StorageError> {
        retry!(self, self.inner.list_deleted(prefix))
    }

    async fn get_deleted(
        &self,
        object: &DeletedObject,
        range: Option<Range<u64>>,
    ) -> Result<Bytes, StorageError> {
        retry!(self, self.inner.get_deleted(object, range.clone()))
    }

    async fn undelete(&self, object: &DeletedObject) -> Result<(), StorageError> {
        retry!(self, self.inner.undelete(object))
    }

    async fn readiness(&self, key: &str) -> Result<Readiness, StorageError> {
        retry!(self, self.inner.readiness(key))
    }

    async fn thaw(&self, key: &str, speed: ThawSpeed, days: u32) -> Result<(), StorageError> {
        retry!(self, self.inner.thaw(key, speed, days))
    }

    async fn extend_lock(&self, key: &str, lock: ObjectLock) -> Result<bool, StorageError> {
        retry!(self, self.inner.extend_lock(key, lock))
    }

    fn locate(&self, key: &str) -> String {
        self.inner.locate(key)
    }
}
