//! Whether what a service of AWS answered may pass by itself: one rule for all of them.

use aws_sdk_sns::config::http::HttpResponse;
use aws_sdk_sns::error::{ProvideErrorMetadata, SdkError};
use logisedge_domain::retry::Retry;

/// Whether trying the same request again can help. What never reached the service, or got no answer, may
/// go through the next time.
pub(crate) fn retry_of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Retry {
    let SdkError::ServiceError(answer) = error else {
        return Retry::SOON;
    };
    let status = answer.raw().status().as_u16();
    match is_passing(status, answer.err().code().unwrap_or_default()) {
        true => Retry::SOON,
        false => Retry::Permanent,
    }
}

/// The errors that every service has in common:
/// <https://docs.aws.amazon.com/sns/latest/api/CommonErrors.html>. A service that is in trouble answers with
/// a status of 500 and above, one that is asked too much with 429 or a code of its own.
fn is_passing(status: u16, code: &str) -> bool {
    status >= 500
        || status == 429
        || code.contains("Throttl")
        || matches!(
            code,
            "InternalFailure"
                | "LimitExceededException"
                | "ProvisionedThroughputExceededException"
                | "RequestLimitExceeded"
                | "RequestTimeout"
                | "RequestTimeoutException"
                | "ServiceUnavailable"
                | "SlowDown"
                | "TooManyRequestsException"
                // The role's credentials are renewed, and the clocks are set.
                | "ExpiredToken"
                | "ExpiredTokenException"
                | "RequestExpired"
                | "RequestTimeTooSkewed"
        )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use aws_sdk_eventbridge::operation::put_events::PutEventsError;
    use aws_sdk_s3::primitives::SdkBody;
    use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
    use aws_sdk_sns::error::ErrorMetadata;
    use aws_sdk_sns::operation::publish::PublishError;

    use super::*;
    use crate::{alerts, bus, secret};

    fn answered<E>(status: u16, error: E) -> SdkError<E, HttpResponse> {
        let raw = HttpResponse::new(status.try_into().unwrap(), SdkBody::empty());
        SdkError::service_error(error, raw)
    }

    #[test]
    fn what_passes_is_tried_again_whichever_service_said_it() {
        for (status, code, passes) in [
            (500, "InternalError", true),
            (500, "", true),
            (502, "BadGateway", true),
            (503, "ServiceUnavailable", true),
            (400, "Throttling", true),
            (400, "ThrottlingException", true),
            (400, "ThrottledException", true),
            (429, "Throttled", true),
            (429, "", true),
            (400, "KMSThrottling", true),
            (400, "TooManyRequestsException", true),
            (400, "RequestLimitExceeded", true),
            (400, "RequestExpired", true),
            (403, "ExpiredToken", true),
            (400, "ExpiredTokenException", true),
            (408, "RequestTimeout", true),
            (400, "InvalidParameter", false),
            (400, "ValidationException", false),
            (400, "KMSDisabled", false),
            (403, "AuthorizationError", false),
            (403, "AccessDeniedException", false),
            (403, "InvalidClientTokenId", false),
            (404, "NotFound", false),
            (400, "", false),
        ] {
            let meta = || ErrorMetadata::builder().code(code).build();
            let told = [
                alerts::refused("arn", answered(status, PublishError::generic(meta()))),
                bus::refused("bus", answered(status, PutEventsError::generic(meta()))),
                secret::refused(
                    "name",
                    "region",
                    answered(status, GetSecretValueError::generic(meta())),
                ),
            ];
            for error in told {
                assert_eq!(
                    error.retry.is_transient(),
                    passes,
                    "{status} {code}: {error}"
                );
            }
        }
    }

    #[test]
    fn a_request_without_an_answer_is_tried_again() {
        let error: SdkError<PublishError, HttpResponse> = SdkError::timeout_error("too late");
        assert!(alerts::refused("arn", error).retry.is_transient());
    }
}
