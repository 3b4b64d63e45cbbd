//! From S3's answers, and their absence, to this crate's errors: what went wrong and what to do.

use std::error::Error;

use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{AggregatedBytes, ByteStream, ByteStreamError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::retry::ErrorKind;
use bytes::Bytes;

use crate::{Put, StorageError, StorageErrorKind};

/// Where a store lies, for keys and for messages.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) bucket: String,
    /// Empty, or ending in `/`.
    pub(super) prefix: String,
}

/// What an operation needs of whoever calls it.
fn permission(operation: &str) -> &'static str {
    match operation {
        "write" => "s3:PutObject",
        "delete" => "s3:DeleteObject",
        "list" => "s3:ListBucket",
        "list what was deleted of" => "s3:ListBucketVersions",
        "read the old" => "s3:GetObjectVersion",
        "bring back" => {
            "s3:GetObjectVersion and s3:PutObject (and, for tagged objects, s3:GetObjectVersionTagging and s3:PutObjectTagging)"
        }
        "thaw" => "s3:RestoreObject",
        "lock" => "s3:GetObjectRetention and s3:PutObjectRetention",
        _ => "s3:GetObject",
    }
}

/// What a refused write may lack beyond the right to write at all.
pub(super) fn with_what_a_put_needs(mut error: StorageError, put: Put) -> StorageError {
    if error.kind != StorageErrorKind::Denied {
        return error;
    }
    if !put.tier.is_standard() {
        error.message += "; an object with a tag also takes s3:PutObjectTagging";
    }
    if put.lock.is_some() {
        error.message += "; a locked one also takes s3:PutObjectRetention";
    }
    error
}

/// S3 answers a concurrent conditional write with 409 where it cannot yet tell who wins.
pub(super) fn is_write_conflict<E: ProvideErrorMetadata>(
    error: &SdkError<E, HttpResponse>,
) -> bool {
    code_of(error) == Some("ConditionalRequestConflict")
}

pub(super) fn is_range_beyond_end<E: ProvideErrorMetadata>(
    error: &SdkError<E, HttpResponse>,
) -> bool {
    code_of(error) == Some("InvalidRange") || status_of(error) == Some(416)
}

fn code_of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    error.as_service_error().and_then(|e| e.code())
}

fn status_of<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|r| r.status().as_u16())
}

impl Place {
    pub(super) fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    pub(super) fn relative<'k>(&self, full: &'k str) -> Option<&'k str> {
        full.strip_prefix(&self.prefix)
    }

    pub(super) fn url(&self, key: &str) -> String {
        format!("s3://{}/{}{key}", self.bucket, self.prefix)
    }

    pub(super) fn bucket_missing(&self, operation: &'static str, key: &str) -> StorageError {
        StorageError {
            kind: StorageErrorKind::StoreMissing,
            operation,
            object: self.url(key),
            message: format!(
                "there is no bucket {:?}: create it, or correct the location's bucket",
                self.bucket
            ),
            source: None,
        }
    }

    /// Reads an answer's body to its end.
    pub(super) async fn collect(&self, key: &str, body: ByteStream) -> Result<Bytes, StorageError> {
        let parts = body.collect().await;
        parts
            .map(AggregatedBytes::into_bytes)
            .map_err(|e| self.broken_off(key, e))
    }

    /// The same, behind what the buffer holds.
    pub(super) async fn collect_into(
        &self,
        key: &str,
        mut body: ByteStream,
        buffer: &mut Vec<u8>,
    ) -> Result<(), StorageError> {
        while let Some(part) = body.next().await {
            buffer.extend_from_slice(&part.map_err(|e| self.broken_off(key, e))?);
        }
        Ok(())
    }

    /// The error of a body that did not come to its end.
    fn broken_off(&self, key: &str, e: ByteStreamError) -> StorageError {
        let text = format!("{}", DisplayErrorContext(&e));
        let (kind, message) = if text.contains("checksum mismatch") {
            (
                StorageErrorKind::Corrupted,
                "the bytes that arrived do not have the checksum that S3 stored with them"
                    .to_owned(),
            )
        } else {
            (
                StorageErrorKind::Unavailable,
                format!("the connection was lost while reading: {e}"),
            )
        };
        StorageError {
            kind,
            operation: "read",
            object: self.url(key),
            message,
            source: Some(Box::new(e)),
        }
    }

    /// The error of a request.
    pub(super) fn failed<E>(
        &self,
        operation: &'static str,
        key: &str,
        error: SdkError<E, HttpResponse>,
    ) -> StorageError
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let (kind, message) = match &error {
            SdkError::ServiceError(service) => self.explain(
                operation,
                service.err().code(),
                service.err().message(),
                Some(service.raw().status().as_u16()),
            ),
            SdkError::TimeoutError(_) => (
                StorageErrorKind::Unavailable,
                "S3 did not answer in time".to_owned(),
            ),
            SdkError::DispatchFailure(failure) => {
                let text = DisplayErrorContext(&error).to_string();
                // The SDK reports a connection that S3 closed under a request as "other", with a
                // retry class instead of as I/O.
                let passing = failure.is_io()
                    || failure.is_timeout()
                    || matches!(
                        failure.as_other(),
                        Some(
                            ErrorKind::TransientError
                                | ErrorKind::ThrottlingError
                                | ErrorKind::ServerError
                        )
                    );
                if !passing && (text.contains("credentials") || text.contains("identity")) {
                    (
                        StorageErrorKind::Denied,
                        format!("no usable AWS credentials: {}", innermost(&error)),
                    )
                } else if failure.is_user() {
                    (
                        StorageErrorKind::Other,
                        format!("the request was not sent: {}", innermost(&error)),
                    )
                } else {
                    (
                        StorageErrorKind::Unavailable,
                        format!("S3 cannot be reached: {}", innermost(&error)),
                    )
                }
            }
            SdkError::ResponseError(_) => (
                StorageErrorKind::Unavailable,
                format!("S3's answer cannot be read: {}", innermost(&error)),
            ),
            _ => (
                StorageErrorKind::Other,
                format!("the request cannot be made: {}", innermost(&error)),
            ),
        };
        StorageError {
            kind,
            operation,
            object: self.url(key),
            message,
            source: Some(Box::new(error)),
        }
    }

    /// The error that matters most among those of a DeleteObjects answer: one that somebody has to
    /// act on goes before one that passes.
    pub(super) fn worst_delete_error(
        &self,
        errors: &[aws_sdk_s3::types::Error],
    ) -> Option<StorageError> {
        let mut explained: Vec<StorageError> = errors
            .iter()
            .filter(|e| e.code() != Some("NoSuchKey"))
            .map(|e| {
                let (kind, message) = self.explain("delete", e.code(), e.message(), None);
                StorageError {
                    kind,
                    operation: "delete",
                    object: format!("s3://{}/{}", self.bucket, e.key().unwrap_or_default()),
                    message,
                    source: None,
                }
            })
            .collect();
        explained.sort_by_key(|e| e.kind == StorageErrorKind::Unavailable);
        let count = explained.len();
        let mut worst = explained.into_iter().next()?;
        if count > 1 {
            worst.message += &format!(" (and {} more of the same request)", count - 1);
        }
        Some(worst)
    }

    /// S3's error codes: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>.
    fn explain(
        &self,
        operation: &str,
        code: Option<&str>,
        text: Option<&str>,
        status: Option<u16>,
    ) -> (StorageErrorKind, String) {
        use StorageErrorKind as Kind;
        let text = text.unwrap_or("no reason given");
        let bucket = &self.bucket;
        match (code.unwrap_or_default(), status.unwrap_or_default()) {
            ("NoSuchBucket", _) => (
                Kind::StoreMissing,
                format!(
                    "there is no bucket {bucket:?}: create it, or correct the location's bucket"
                ),
            ),
            ("NoSuchKey" | "NoSuchVersion" | "NotFound", _) | ("", 404) => {
                (Kind::NotFound, "there is no such object".to_owned())
            }
            ("PreconditionFailed", _) | (_, 412) => {
                (Kind::AlreadyExists, "it exists already".to_owned())
            }
            ("ExpiredToken" | "RequestExpired" | "TokenRefreshRequired", _) => (
                Kind::Denied,
                "the AWS credentials have expired: sign in again".to_owned(),
            ),
            (
                "InvalidAccessKeyId"
                | "SignatureDoesNotMatch"
                | "InvalidToken"
                | "InvalidClientTokenId",
                _,
            ) => (
                Kind::Denied,
                format!("AWS does not accept the credentials: {text}"),
            ),
            ("RequestTimeTooSkewed", _) => (
                Kind::Denied,
                "this machine's clock is more than 15 minutes wrong: set it".to_owned(),
            ),
            (code, _) if code.starts_with("KMS") || text.contains("kms:") => (
                Kind::Denied,
                format!(
                    "the bucket's KMS key refuses it ({text}): allow the role kms:Decrypt and kms:GenerateDataKey, and see that the key is enabled"
                ),
            ),
            ("AccessDenied" | "AllAccessDisabled" | "AccountProblem", _) | ("", 401 | 403) => {
                (Kind::Denied, self.denied(operation))
            }
            (
                "BadDigest"
                | "XAmzContentSHA256Mismatch"
                | "InvalidDigest"
                | "XAmzContentChecksumMismatch",
                _,
            ) => (
                Kind::Corrupted,
                "what arrived does not have the checksum of what was sent".to_owned(),
            ),
            ("InvalidRequest", _) if text.to_ascii_lowercase().contains("checksum") => {
                (Kind::Corrupted, format!("the checksum was refused: {text}"))
            }
            (
                "PermanentRedirect"
                | "AuthorizationHeaderMalformed"
                | "IllegalLocationConstraintException",
                _,
            )
            | (_, 301) => (
                Kind::Other,
                format!(
                    "bucket {bucket:?} is in another region: set the location's region ({text})"
                ),
            ),
            ("InvalidObjectState", _) => (
                Kind::Archived,
                "it lies in an archived storage class and has to be thawed first".to_owned(),
            ),
            ("GlacierExpeditedRetrievalNotAvailable", _) => (
                Kind::Unavailable,
                "S3 has no room for expedited retrievals now: try again, or thaw at the standard speed"
                    .to_owned(),
            ),
            ("InvalidRequest" | "ObjectLockConfigurationNotFoundError", _)
                if text.contains("Lock") =>
            (
                Kind::Other,
                format!(
                    "bucket {bucket:?} has no Object Lock ({text}): switch it on (the README says how, under \"What nobody can destroy\"), or leave object_lock out of the location"
                ),
            ),
            ("QuotaExceeded" | "XMinioStorageFull" | "XMinioAdminBucketQuotaExceeded", _)
            | (_, 507) => (
                Kind::Full,
                format!(
                    "the store has no room left ({text}): raise its quota, or prune old snapshots"
                ),
            ),
            (
                "SlowDown"
                | "Throttling"
                | "ThrottlingException"
                | "TooManyRequests"
                | "RequestLimitExceeded",
                _,
            )
            | (_, 429) => (
                Kind::Unavailable,
                "S3 asks to send fewer requests".to_owned(),
            ),
            ("NotImplemented", _) | (_, 501) => (
                Kind::Other,
                format!("the store does not know this kind of request, which S3 does: {text}"),
            ),
            (
                "RequestTimeout"
                | "ConditionalRequestConflict"
                | "OperationAborted"
                | "InternalError"
                | "ServiceUnavailable",
                _,
            )
            | (_, 408 | 409 | 500..) => (
                Kind::Unavailable,
                format!("S3 failed for the moment: {text}"),
            ),
            (code, status) => (Kind::Other, format!("S3 answered {status} {code}: {text}")),
        }
    }

    fn denied(&self, operation: &str) -> String {
        let action = permission(operation);
        let Self { bucket, prefix } = self;
        match operation {
            "list" | "list what was deleted of" => format!(
                "access denied: the role needs {action} on arn:aws:s3:::{bucket}, and the bucket's policy must not refuse it"
            ),
            // Without s3:ListBucket, S3 hides from a reader that an object is not there.
            "read" => format!(
                "access denied: the role needs {action} on arn:aws:s3:::{bucket}/{prefix}* (and s3:ListBucket on the bucket, without which a missing object looks the same)"
            ),
            _ => format!(
                "access denied: the role needs {action} on arn:aws:s3:::{bucket}/{prefix}*, and the bucket's policy must not refuse it"
            ),
        }
    }
}

/// The innermost cause is the one that names the host or the file.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut at = error;
    while let Some(next) = at.source() {
        at = next;
    }
    at.to_string()
}

#[cfg(test)]
mod tests;
