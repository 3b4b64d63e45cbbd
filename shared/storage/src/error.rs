//! The one error type of this crate.

use logisedge_domain::retry::Retry;

/// What kind of thing went wrong with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageErrorKind {
    /// No object has this key.
    NotFound,
    /// A create met an existing object.
    AlreadyExists,
    /// The bucket, or the folder that holds the store, is not there.
    StoreMissing,
    /// The credentials, role or file mode do not allow it.
    Denied,
    /// No space, or a quota is reached.
    Full,
    /// What arrived is not what was sent.
    Corrupted,
    /// It lies in an archived storage class and was not thawed.
    Archived,
    /// The store keeps nothing of what was deleted.
    NoVersions,
    /// Throttled, timed out, connection lost, or the service failed.
    Unavailable,
    /// Anything else: a bad key, an unexpected answer.
    Other,
}

/// A failed operation on a store.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {object}: {message}")]
pub struct StorageError {
    /// What kind of failure.
    pub kind: StorageErrorKind,
    /// What was being done: `read`, `write`, `list`, `delete`.
    pub operation: &'static str,
    /// To what: `s3://bucket/key` or a path.
    pub object: String,
    /// Why, and what to do about it.
    pub message: String,
    /// The cause, where there is one.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl StorageError {
    /// Whether trying again can help.
    pub fn retry(&self) -> Retry {
        match self.kind {
            StorageErrorKind::Unavailable => Retry::SOON,
            _ => Retry::Permanent,
        }
    }

    /// Whether the bytes may only have been altered on their way, so that sending them once more
    /// can help. An object that is too short stays so.
    pub(crate) fn is_transfer_damage(&self) -> bool {
        self.kind == StorageErrorKind::Corrupted
            && !self
                .source
                .as_ref()
                .is_some_and(|cause| cause.is::<TooShort>())
    }
}

/// Marks an error as one that no further try mends: the object itself is too short.
#[derive(Debug, thiserror::Error)]
#[error("the object has {0} bytes")]
pub(crate) struct TooShort(u64);

/// A range that ends past an object's end: what an index promised is not there.
pub(crate) fn beyond_end(
    object: String,
    range: &std::ops::Range<u64>,
    length: u64,
) -> StorageError {
    StorageError {
        kind: StorageErrorKind::Corrupted,
        operation: "read",
        object,
        message: format!(
            "bytes {} to {} were asked for and it has {length}: it was cut short or altered; verify the snapshot",
            range.start, range.end
        ),
        source: Some(Box::new(TooShort(length))),
    }
}
