//! The texts, all of them.

#![allow(clippy::unwrap_used)]

use super::*;

/// Every answer that a user may see, as the error says it.
#[test]
fn answers_say_what_to_do() {
    let place = Place {
        bucket: "erp".to_owned(),
        prefix: "backups/".to_owned(),
    };
    let answers = [
        ("write", "NoSuchBucket", "", 404),
        ("read", "NoSuchKey", "", 404),
        ("write", "PreconditionFailed", "", 412),
        ("write", "AccessDenied", "Access Denied", 403),
        ("read", "AccessDenied", "Access Denied", 403),
        ("list", "AccessDenied", "Access Denied", 403),
        ("delete", "AccessDenied", "Access Denied", 403),
        (
            "write",
            "AccessDenied",
            "User: x is not authorized to perform: kms:GenerateDataKey on resource: y",
            403,
        ),
        ("read", "", "", 403),
        (
            "write",
            "ExpiredToken",
            "The provided token has expired.",
            400,
        ),
        (
            "write",
            "InvalidAccessKeyId",
            "The key does not exist.",
            403,
        ),
        ("write", "RequestTimeTooSkewed", "", 403),
        ("write", "PermanentRedirect", "Use eu-central-1", 301),
        ("write", "XAmzContentChecksumMismatch", "", 400),
        ("write", "SlowDown", "", 503),
        (
            "write",
            "InternalError",
            "We encountered an internal error.",
            500,
        ),
        ("write", "ConditionalRequestConflict", "A conflict.", 409),
        (
            "write",
            "XMinioStorageFull",
            "Storage reached its limit",
            507,
        ),
        ("read", "InvalidObjectState", "", 403),
        (
            "thaw",
            "GlacierExpeditedRetrievalNotAvailable",
            "Glacier expedited retrievals are currently not available",
            503,
        ),
        ("thaw", "AccessDenied", "Access Denied", 403),
        ("lock", "AccessDenied", "Access Denied", 403),
        (
            "write",
            "InvalidRequest",
            "Bucket is missing ObjectLockConfiguration",
            400,
        ),
        ("write", "NotImplemented", "If-None-Match", 501),
        ("write", "Odd", "Nobody knows", 400),
    ];
    let told: Vec<String> = answers
        .iter()
        .map(|(operation, code, text, status)| {
            let code = (!code.is_empty()).then_some(*code);
            let text = (!text.is_empty()).then_some(*text);
            let (kind, message) = place.explain(operation, code, text, Some(*status));
            format!("{kind:?}: {message}")
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    StoreMissing: there is no bucket "erp": create it, or correct the location's bucket
    NotFound: there is no such object
    AlreadyExists: it exists already
    Denied: access denied: the role needs s3:PutObject on arn:aws:s3:::erp/backups/*, and the bucket's policy must not refuse it
    Denied: access denied: the role needs s3:GetObject on arn:aws:s3:::erp/backups/* (and s3:ListBucket on the bucket, without which a missing object looks the same)
    Denied: access denied: the role needs s3:ListBucket on arn:aws:s3:::erp, and the bucket's policy must not refuse it
    Denied: access denied: the role needs s3:DeleteObject on arn:aws:s3:::erp/backups/*, and the bucket's policy must not refuse it
    Denied: the bucket's KMS key refuses it (User: x is not authorized to perform: kms:GenerateDataKey on resource: y): allow the role kms:Decrypt and kms:GenerateDataKey, and see that the key is enabled
    Denied: access denied: the role needs s3:GetObject on arn:aws:s3:::erp/backups/* (and s3:ListBucket on the bucket, without which a missing object looks the same)
    Denied: the AWS credentials have expired: sign in again
    Denied: AWS does not accept the credentials: The key does not exist.
    Denied: this machine's clock is more than 15 minutes wrong: set it
    Other: bucket "erp" is in another region: set the location's region (Use eu-central-1)
    Corrupted: what arrived does not have the checksum of what was sent
    Unavailable: S3 asks to send fewer requests
    Unavailable: S3 failed for the moment: We encountered an internal error.
    Unavailable: S3 failed for the moment: A conflict.
    Full: the store has no room left (Storage reached its limit): raise its quota, or prune old snapshots
    Archived: it lies in an archived storage class and has to be thawed first
    Unavailable: S3 has no room for expedited retrievals now: try again, or thaw at the standard speed
    Denied: access denied: the role needs s3:RestoreObject on arn:aws:s3:::erp/backups/*, and the bucket's policy must not refuse it
    Denied: access denied: the role needs s3:GetObjectRetention and s3:PutObjectRetention on arn:aws:s3:::erp/backups/*, and the bucket's policy must not refuse it
    Other: bucket "erp" has no Object Lock (Bucket is missing ObjectLockConfiguration): switch it on (the README says how, under "What nobody can destroy"), or leave object_lock out of the location
    Other: the store does not know this kind of request, which S3 does: If-None-Match
    Other: S3 answered 400 Odd: Nobody knows
    "#);
}

#[test]
fn of_several_deletions_the_error_that_needs_somebody_is_told() {
    let place = Place {
        bucket: "erp".to_owned(),
        prefix: String::new(),
    };
    let error = |key: &str, code: &str| {
        let error = aws_sdk_s3::types::Error::builder().key(key).code(code);
        error.build()
    };
    assert!(place.worst_delete_error(&[]).is_none());
    assert!(
        place
            .worst_delete_error(&[error("a", "NoSuchKey")])
            .is_none()
    );
    let errors = [error("a", "SlowDown"), error("b", "AccessDenied")];
    let worst = place.worst_delete_error(&errors).unwrap();
    assert_eq!(worst.kind, StorageErrorKind::Denied);
    insta::assert_snapshot!(worst, @"cannot delete s3://erp/b: access denied: the role needs s3:DeleteObject on arn:aws:s3:::erp/*, and the bucket's policy must not refuse it (and 1 more of the same request)");
}

#[test]
fn a_request_that_got_no_answer_is_tried_again_unless_somebody_has_to_act() {
    use aws_sdk_s3::operation::get_object::GetObjectError;
    use aws_smithy_runtime_api::client::result::ConnectorError;
    let place = Place {
        bucket: "erp".to_owned(),
        prefix: String::new(),
    };
    let other = |text: &str, class| ConnectorError::other(text.into(), class);
    use StorageErrorKind::{Denied, Other, Unavailable};
    let failures = [
        (
            other("IncompleteMessage", Some(ErrorKind::TransientError)),
            Unavailable,
        ),
        (
            other("too many", Some(ErrorKind::ThrottlingError)),
            Unavailable,
        ),
        (other("connection closed", None), Unavailable),
        (ConnectorError::io("reset".into()), Unavailable),
        (ConnectorError::timeout("slow".into()), Unavailable),
        (ConnectorError::user("invalid URI".into()), Other),
        (other("no provider gave credentials", None), Denied),
    ];
    for (failure, kind) in failures {
        let error = SdkError::<GetObjectError, HttpResponse>::dispatch_failure(failure);
        let error = place.failed("read", "a", error);
        assert_eq!(error.kind, kind, "{error}");
    }
}
