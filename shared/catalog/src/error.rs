//! The one error type of this crate, and how DynamoDB's answers become it.

use std::error::Error;

use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use logisedge_domain::retry::Retry;

/// What kind of thing went wrong with the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatalogErrorKind {
    /// DynamoDB asks to send less.
    Throttled,
    /// Timed out, connection lost, or the service failed.
    Unavailable,
    /// The table is not there.
    TableMissing,
    /// The credentials or the role do not allow it.
    Denied,
    /// The attempt's lease is lost; another may hold it by now.
    Fenced,
    /// Somebody else changed the same thing at the same time.
    Conflict,
    /// An item is not of the form that this program writes.
    Corrupt,
    /// Anything else.
    Other,
}

/// A failed operation on the catalog.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {object}: {message}")]
pub struct CatalogError {
    /// What kind of failure.
    pub kind: CatalogErrorKind,
    /// What was being done: `read`, `record`, `commit`.
    pub operation: &'static str,
    /// To what: `run daily.20261124T020000Z.customers`.
    pub object: String,
    /// Why, and what to do about it.
    pub message: String,
    /// The cause, where there is one.
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl CatalogError {
    /// Whether trying again can help.
    pub fn retry(&self) -> Retry {
        match self.kind {
            CatalogErrorKind::Throttled
            | CatalogErrorKind::Unavailable
            | CatalogErrorKind::Conflict => Retry::SOON,
            _ => Retry::Permanent,
        }
    }

    /// Whether the attempt's lease is lost.
    pub fn is_fenced(&self) -> bool {
        self.kind == CatalogErrorKind::Fenced
    }

    pub(crate) fn fenced(operation: &'static str, object: impl Into<String>) -> Self {
        Self {
            kind: CatalogErrorKind::Fenced,
            operation,
            object: object.into(),
            message: "the lease is lost: it expired, and another attempt may hold it by now"
                .to_owned(),
            source: None,
        }
    }

    pub(crate) fn conflict(operation: &'static str, object: impl Into<String>) -> Self {
        Self {
            kind: CatalogErrorKind::Conflict,
            operation,
            object: object.into(),
            message: "it was changed at the same time by somebody else, again and again".to_owned(),
            source: None,
        }
    }

    pub(crate) fn other(
        operation: &'static str,
        object: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind: CatalogErrorKind::Other,
            operation,
            object: object.into(),
            message: message.into(),
            source: None,
        }
    }

    pub(crate) fn corrupt(
        operation: &'static str,
        object: impl Into<String>,
        source: impl Error + Send + Sync + 'static,
    ) -> Self {
        Self {
            kind: CatalogErrorKind::Corrupt,
            operation,
            object: object.into(),
            message: format!(
                "the item is not of the form that this program reads ({source}): use the program that wrote it, or rebuild the catalog"
            ),
            source: Some(Box::new(source)),
        }
    }
}

/// The name by which DynamoDB calls what was asked of it, for permissions.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Action {
    GetItem,
    PutItem,
    UpdateItem,
    DeleteItem,
    Query,
}

impl Action {
    fn permission(self) -> &'static str {
        match self {
            Self::GetItem => "dynamodb:GetItem",
            Self::PutItem => "dynamodb:PutItem",
            Self::UpdateItem => "dynamodb:UpdateItem",
            Self::DeleteItem => "dynamodb:DeleteItem",
            Self::Query => "dynamodb:Query",
        }
    }
}

/// What a request was about, for its error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) table: &'a str,
    pub(crate) operation: &'static str,
    pub(crate) object: &'a str,
    pub(crate) action: Action,
}

impl About<'_> {
    /// DynamoDB's error codes:
    /// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>.
    pub(crate) fn failed<E>(&self, error: SdkError<E, HttpResponse>) -> CatalogError
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        use CatalogErrorKind as Kind;
        let (kind, message) = match &error {
            SdkError::ServiceError(service) => {
                let status = service.raw().status().as_u16();
                self.explain(service.err().code(), service.err().message(), status)
            }
            SdkError::TimeoutError(_) => (
                Kind::Unavailable,
                "DynamoDB did not answer in time".to_owned(),
            ),
            SdkError::DispatchFailure(failure) => {
                let text = DisplayErrorContext(&error).to_string();
                if failure.is_io() || failure.is_timeout() {
                    (
                        Kind::Unavailable,
                        format!("DynamoDB cannot be reached: {}", innermost(&error)),
                    )
                } else if text.contains("credentials") || text.contains("identity") {
                    (
                        Kind::Denied,
                        format!("no usable AWS credentials: {}", innermost(&error)),
                    )
                } else {
                    (
                        Kind::Other,
                        format!("the request was not sent: {}", innermost(&error)),
                    )
                }
            }
            SdkError::ResponseError(_) => (
                Kind::Unavailable,
                format!("DynamoDB's answer cannot be read: {}", innermost(&error)),
            ),
            _ => (
                Kind::Other,
                format!("the request cannot be made: {}", innermost(&error)),
            ),
        };
        CatalogError {
            kind,
            operation: self.operation,
            object: self.object.to_owned(),
            message,
            source: Some(Box::new(error)),
        }
    }

    fn explain(
        &self,
        code: Option<&str>,
        text: Option<&str>,
        status: u16,
    ) -> (CatalogErrorKind, String) {
        use CatalogErrorKind as Kind;
        let table = self.table;
        let text = text.unwrap_or("no reason given");
        match (code.unwrap_or_default(), status) {
            ("ResourceNotFoundException", _) => (
                Kind::TableMissing,
                format!(
                    "there is no table {table:?} (or it lacks an index): deploy infra/template.yaml, or correct LOGISEDGE_TABLE"
                ),
            ),
            ("AccessDeniedException" | "AccessDenied", _) => (
                Kind::Denied,
                format!(
                    "access denied: the role needs {} on table {table:?} and its indexes ({text})",
                    self.action.permission()
                ),
            ),
            ("ExpiredTokenException" | "ExpiredToken" | "RequestExpired", _) => (
                Kind::Denied,
                "the AWS credentials have expired: sign in again".to_owned(),
            ),
            (
                "UnrecognizedClientException"
                | "InvalidSignatureException"
                | "IncompleteSignature"
                | "MissingAuthenticationToken",
                _,
            ) => (
                Kind::Denied,
                format!("AWS does not accept the credentials: {text}"),
            ),
            ("KMSAccessDeniedException" | "InaccessibleEncryptionCredentialsException", _) => (
                Kind::Denied,
                format!("the table's KMS key refuses it ({text}): allow the role kms:Decrypt"),
            ),
            (
                "ProvisionedThroughputExceededException"
                | "ThrottlingException"
                | "RequestLimitExceeded",
                _,
            ) => (
                Kind::Throttled,
                "DynamoDB asks to send fewer requests".to_owned(),
            ),
            (
                "TransactionConflictException"
                | "TransactionInProgressException"
                | "TransactionCanceledException"
                | "ConditionalCheckFailedException",
                _,
            ) => (
                Kind::Conflict,
                format!("it was changed at the same time by somebody else: {text}"),
            ),
            ("ItemCollectionSizeLimitExceededException", _) => {
                (Kind::Other, format!("the item is too large: {text}"))
            }
            (_, 500..) => (
                Kind::Unavailable,
                format!("DynamoDB failed for the moment: {text}"),
            ),
            (code, status) => (
                Kind::Other,
                format!("DynamoDB answered {status} {code}: {text}"),
            ),
        }
    }
}

/// The innermost cause is the one that names the host.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut at = error;
    while let Some(next) = at.source() {
        at = next;
    }
    at.to_string()
}
