//! A wrapper that tries again what may succeed the next time.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{ObjectMeta, ObjectStore, Put, StorageError, StorageErrorKind};

/// How often, and how long apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries in all, at least 1.
    pub tries_max: u32,
    /// The longest pause before the second try; it doubles with each further one.
    pub delay_first: Duration,
    /// The longest pause of all.
    pub delay_max: Duration,
}

/// Tries at an object whose bytes did not arrive as they were sent.
const CORRUPTED_TRIES_MAX: u32 = 3;

impl Default for RetryPolicy {
    /// Nine tries with about 23 seconds of pauses on average, 45 at most: a short network cut or a
    /// store that asks for patience does not end a run of hours.
    fn default() -> Self {
        Self {
            tries_max: 9,
            delay_first: Duration::from_millis(200),
            delay_max: Duration::from_secs(20),
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

    /// After try number `tries` failed: waits before the next one, or gives the error back.
    async fn wait(&self, tries: &mut u32, mut error: StorageError) -> Result<(), StorageError> {
        // Bytes that were damaged on the way may arrive whole the next time. Where they lie damaged in
        // the store, the last try says so.
        let on_the_way = error.kind == StorageErrorKind::Corrupted && *tries < CORRUPTED_TRIES_MAX;
        if !error.retry().is_transient() && !on_the_way {
            return Err(error);
        }
        if *tries >= self.policy.tries_max {
            error.message = format!("{} ({tries} tries)", error.message);
            return Err(error);
        }
        let pause = self.policy.pause(*tries, share());
        tracing::debug!(%error, tries, ?pause, "trying again");
        tokio::time::sleep(pause).await;
        *tries += 1;
        Ok(())
    }
}

/// Repeats a call until it succeeds or [`Retrying::wait`] gives up.
macro_rules! retry {
    ($self:ident, $call:expr) => {{
        let mut tries = 1;
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
        let mut tries = 1;
        loop {
            match self.inner.put(key, bytes.clone(), put).await {
                // An earlier try of this very call may have arrived although its answer did not.
                Err(e) if e.kind == StorageErrorKind::AlreadyExists && tries > 1 => {
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

    fn locate(&self, key: &str) -> String {
        self.inner.locate(key)
    }
}
