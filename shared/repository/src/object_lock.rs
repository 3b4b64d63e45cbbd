//! The store's locks on a chain's objects, which keep their bytes from being destroyed. restic's own locks
//! (`locks/`) are something else; neither they nor holds, which are to be ended at will, are locked.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};
use logisedge_domain::storage::ObjectLock;
use logisedge_storage::{Locking, ObjectStore};

use crate::error::RepositoryError;
use crate::layout::ObjectName;
use crate::repository::Repository;

/// Objects whose locks are asked for and extended at the same time.
const LOCKS_AT_ONCE: usize = 16;

/// The keys of the objects of the chain that lies in `store` which a lock is for.
pub async fn lockable(store: &dyn ObjectStore) -> Result<Vec<String>, RepositoryError> {
    let listed = store.list("").await?.into_iter().map(|meta| meta.key);
    let is_of_the_format = |key: &String| {
        !matches!(
            ObjectName::of(key),
            ObjectName::Lock | ObjectName::Hold(_) | ObjectName::Foreign
        )
    };
    Ok(listed.filter(is_of_the_format).collect())
}

/// Sees to it that each of these objects is locked until then at the least, and says how many were not.
/// Two requests for each of those, and one for each of the others. Begun again, it goes on.
pub async fn extend(
    store: &dyn ObjectStore,
    keys: Vec<String>,
    lock: ObjectLock,
) -> Result<u64, RepositoryError> {
    futures_util::stream::iter(keys)
        .map(async |key| Ok::<_, RepositoryError>(store.extend_lock(&key, lock).await?))
        .buffer_unordered(LOCKS_AT_ONCE)
        .try_filter(|changed| std::future::ready(*changed))
        .try_fold(0, |extended, _| std::future::ready(Ok(extended + 1)))
        .await
}

impl Repository {
    /// The same, which puts everything with a lock.
    #[must_use]
    pub fn locking(&self, lock: ObjectLock) -> Self {
        self.in_store(Arc::new(Locking::new(Arc::clone(self.store()), lock)))
    }
}
