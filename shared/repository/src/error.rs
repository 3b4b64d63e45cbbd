//! The one error type of this crate.

use std::sync::Arc;

use logisedge_domain::finding::{Finding, FindingKind};
use logisedge_domain::retry::Retry;
use logisedge_storage::{StorageError, StorageErrorKind};

/// What kind of thing went wrong with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepositoryErrorKind {
    /// There is no repository here: no `config`.
    NoRepository,
    /// There is one already where one was to be created.
    AlreadyExists,
    /// No key file opens with this password.
    WrongPassword,
    /// A version, key derivation or option that this code does not speak.
    Unsupported,
    /// The snapshot, or the file inside it, is not there.
    NotFound,
    /// An object is missing, altered or not what its format says.
    Damaged(FindingKind),
    /// Something is bigger than the bound that the caller or the format sets.
    TooLarge,
    /// The other side went away: the consumer of a stream, or an upload that failed before.
    Aborted,
    /// The store said no.
    Storage(StorageErrorKind),
}

/// A failed operation on a repository. Cloning it is cheap, so that every stream of a writer can
/// report the one upload that failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot {operation} {object}: {message}")]
pub struct RepositoryError {
    /// What kind of failure.
    pub kind: RepositoryErrorKind,
    /// What was being done: `open`, `read`, `write`.
    pub operation: &'static str,
    /// To what: an object key below the chain, a path inside a snapshot, or a place.
    pub object: String,
    /// Why, and what to do about it. Never a secret.
    pub message: String,
    /// The cause, where there is one.
    #[source]
    pub source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    retry: Retry,
}

impl RepositoryError {
    pub(crate) fn new(
        kind: RepositoryErrorKind,
        operation: &'static str,
        object: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            operation,
            object: object.into(),
            message: message.into(),
            source: None,
            retry: Retry::Permanent,
        }
    }

    pub(crate) fn damaged(
        finding: FindingKind,
        object: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self::new(
            RepositoryErrorKind::Damaged(finding),
            "read",
            object,
            message,
        )
    }

    pub(crate) fn because(
        mut self,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Whether trying again can help: what the store says of its own failures, else no.
    pub fn retry(&self) -> Retry {
        self.retry
    }

    /// The finding that this error amounts to, where it tells of damage and not of circumstances.
    pub fn finding(&self) -> Option<Finding> {
        match self.kind {
            RepositoryErrorKind::Damaged(kind) => Some(Finding {
                kind,
                object: self.object.clone(),
                detail: self.message.clone(),
            }),
            _ => None,
        }
    }
}

impl From<StorageError> for RepositoryError {
    fn from(error: StorageError) -> Self {
        Self {
            kind: RepositoryErrorKind::Storage(error.kind),
            operation: error.operation,
            object: error.object.clone(),
            message: error.message.clone(),
            retry: error.retry(),
            source: Some(Arc::new(error)),
        }
    }
}
