//! The one error type of this crate.

use logisedge_domain::retry::Retry;

/// What kind of thing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuntimeErrorKind {
    /// An environment variable is missing or wrong.
    Settings,
    /// A secret could not be read.
    Secret,
    /// The event bus did not take an event.
    Bus,
    /// The alert topic did not take an alert.
    Alert,
    /// A source or location is configured in a way that cannot work here.
    Place,
}

/// A failed operation at the border to AWS.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {object}: {message}")]
pub struct RuntimeError {
    /// What kind of failure.
    pub kind: RuntimeErrorKind,
    /// What was being done: `read`, `publish to`.
    pub operation: &'static str,
    /// To what: `secret logisedge/erp`, `bus logisedge-backup`.
    pub object: String,
    /// Why, and what to do about it. Never a secret.
    pub message: String,
    /// Whether trying again can help.
    pub retry: Retry,
    /// The cause, where there is one.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl RuntimeError {
    /// Whether trying again can help.
    pub fn retry(&self) -> Retry {
        self.retry
    }

    pub(crate) fn new(
        kind: RuntimeErrorKind,
        operation: &'static str,
        object: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            operation,
            object: object.into(),
            message: message.into(),
            retry: Retry::Permanent,
            source: None,
        }
    }
}
