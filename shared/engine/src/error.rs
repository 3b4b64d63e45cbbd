//! The one error type of this crate.

use std::time::Duration;

use logisedge_catalog::CatalogError;
use logisedge_domain::retry::Retry;
use logisedge_repository::{RepositoryError, RepositoryErrorKind};
use logisedge_sources::{SourceError, SourceErrorKind};
use logisedge_storage::{StorageError, StorageErrorKind};

/// What stopped a use case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineErrorKind {
    /// The database said no or went away.
    Source,
    /// The repository could not be written or read.
    Repository,
    /// The store could not be written or read.
    Storage,
    /// The store has no room left.
    StorageFull,
    /// The catalog could not be written or read.
    Catalog,
    /// Something named does not exist.
    NotFound,
    /// The state of things does not allow it: the target is not empty, a snapshot is being deleted.
    Refused,
    /// It lies in an archived storage class and has to be thawed first.
    Archived,
    /// The function's time ended.
    Deadline,
    /// Another attempt took over the scope's lease.
    LeaseLost,
    /// What came back is not what was stored.
    Damaged,
    /// A program error: a thread panicked.
    Internal,
}

/// A use case that did not come to its end.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct EngineError {
    /// What stopped it.
    pub kind: EngineErrorKind,
    /// What happened and what to do about it, complete in itself.
    pub message: String,
    /// Whether trying again can help.
    pub retry: Retry,
    /// The cause, where there is one.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl EngineError {
    /// An error of our own, without a cause, that trying again does not help.
    pub fn new(kind: EngineErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retry: Retry::Permanent,
            source: None,
        }
    }

    /// Something named does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(EngineErrorKind::NotFound, message)
    }

    /// The function's time ended before the work did.
    pub fn deadline(after: Duration) -> Self {
        Self::new(
            EngineErrorKind::Deadline,
            format!(
                "the function's time ended after {} s, before the work did: give it more memory \
                 (which brings more CPU), split the scope, or run it outside Lambda with \
                 `logisedge-backup direct`",
                after.as_secs()
            ),
        )
    }

    /// A worker thread panicked.
    pub fn panicked(error: tokio::task::JoinError) -> Self {
        Self {
            kind: EngineErrorKind::Internal,
            message: format!("a worker ended unexpectedly: {error}"),
            retry: Retry::Permanent,
            source: Some(Box::new(error)),
        }
    }
}

macro_rules! from_layer {
    ($error:ty, $kind:expr) => {
        impl From<$error> for EngineError {
            fn from(error: $error) -> Self {
                let kind: fn(&$error) -> EngineErrorKind = $kind;
                Self {
                    kind: kind(&error),
                    message: error.to_string(),
                    retry: error.retry(),
                    source: Some(Box::new(error)),
                }
            }
        }
    };
}

from_layer!(SourceError, |error| match error.kind {
    SourceErrorKind::NotFound => EngineErrorKind::NotFound,
    SourceErrorKind::NotEmpty => EngineErrorKind::Refused,
    _ => EngineErrorKind::Source,
});
from_layer!(CatalogError, |_| EngineErrorKind::Catalog);
from_layer!(StorageError, |error| match error.kind {
    StorageErrorKind::Full => EngineErrorKind::StorageFull,
    StorageErrorKind::StoreMissing => EngineErrorKind::NotFound,
    StorageErrorKind::NoVersions => EngineErrorKind::Refused,
    StorageErrorKind::Archived => EngineErrorKind::Archived,
    _ => EngineErrorKind::Storage,
});
from_layer!(RepositoryError, |error| match error.kind {
    RepositoryErrorKind::Storage(StorageErrorKind::Full) => EngineErrorKind::StorageFull,
    RepositoryErrorKind::NotFound
    | RepositoryErrorKind::Storage(StorageErrorKind::StoreMissing) => EngineErrorKind::NotFound,
    RepositoryErrorKind::Storage(StorageErrorKind::NoVersions) => EngineErrorKind::Refused,
    RepositoryErrorKind::Storage(StorageErrorKind::Archived) => EngineErrorKind::Archived,
    RepositoryErrorKind::Damaged(_) => EngineErrorKind::Damaged,
    _ => EngineErrorKind::Repository,
});
