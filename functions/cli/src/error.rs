//! What ends a command early, and with which exit code.

use logisedge_engine::{EngineError, EngineErrorKind};

/// Something failed.
pub(crate) const FAILED: u8 = 1;
/// Verify has findings, or a restored table differs from its source.
pub(crate) const FINDINGS: u8 = 3;
/// Something named does not exist.
pub(crate) const NOT_FOUND: u8 = 4;
/// The state of things does not allow it.
pub(crate) const REFUSED: u8 = 5;

/// A command that did not come to its end, or came to a bad one.
#[derive(Debug)]
pub(crate) struct CliError {
    /// For standard error, complete in itself. May have several lines.
    pub(crate) message: String,
    /// The process's exit code.
    pub(crate) exit: u8,
}

impl CliError {
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            exit: FAILED,
        }
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            exit: NOT_FOUND,
        }
    }

    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            exit: REFUSED,
        }
    }

    pub(crate) fn findings(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            exit: FINDINGS,
        }
    }
}

impl From<EngineError> for CliError {
    fn from(error: EngineError) -> Self {
        let exit = match error.kind {
            EngineErrorKind::NotFound => NOT_FOUND,
            EngineErrorKind::Refused | EngineErrorKind::Archived => REFUSED,
            EngineErrorKind::Damaged => FINDINGS,
            _ => FAILED,
        };
        Self {
            message: error.message,
            exit,
        }
    }
}

macro_rules! from_layer {
    ($($error:ty),*) => {$(
        impl From<$error> for CliError {
            fn from(error: $error) -> Self {
                EngineError::from(error).into()
            }
        }
    )*};
}

from_layer!(
    logisedge_catalog::CatalogError,
    logisedge_repository::RepositoryError,
    logisedge_sources::SourceError,
    logisedge_storage::StorageError
);

impl From<logisedge_runtime::RuntimeError> for CliError {
    fn from(error: logisedge_runtime::RuntimeError) -> Self {
        Self::failed(error.to_string())
    }
}
