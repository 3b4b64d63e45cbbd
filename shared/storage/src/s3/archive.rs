//! Storage classes: which an object lies in, and thawing what lies in an archived one.

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types::{GlacierJobParameters, RestoreRequest, Tier};
use logisedge_domain::prices::StorageClass;
use logisedge_domain::storage::ThawSpeed;

use super::S3Store;
use crate::{Readiness, StorageError};

/// A class as a listing names it; none for STANDARD, which answers name or leave out.
pub(super) fn class(named: Option<&str>) -> Option<String> {
    named.filter(|name| *name != "STANDARD").map(str::to_owned)
}

/// What the header `x-amz-restore` of an archived object says:
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html>.
fn readiness(class: Option<&str>, restore: Option<&str>) -> Readiness {
    match restore {
        _ if !StorageClass::is_archived(class) => Readiness::Readable,
        Some(restore) if restore.contains("ongoing-request=\"true\"") => Readiness::Thawing,
        Some(restore) if restore.contains("ongoing-request=\"false\"") => Readiness::Readable,
        _ => Readiness::Archived,
    }
}

impl S3Store {
    pub(super) async fn readiness_of(&self, key: &str) -> Result<Readiness, StorageError> {
        let found = self.head_of(key).await?;
        let class = found.storage_class().map(|class| class.as_str());
        Ok(readiness(class, found.restore()))
    }

    pub(super) async fn ask_for_thaw(
        &self,
        key: &str,
        speed: ThawSpeed,
        days: u32,
    ) -> Result<(), StorageError> {
        let tier = match speed {
            ThawSpeed::Expedited => Tier::Expedited,
            ThawSpeed::Standard => Tier::Standard,
            ThawSpeed::Bulk => Tier::Bulk,
        };
        let parameters = GlacierJobParameters::builder().tier(tier).build();
        let parameters = parameters.map_err(|e| self.bad_key("thaw", key, e.to_string()))?;
        let request = RestoreRequest::builder()
            .days(i32::try_from(days).unwrap_or(i32::MAX))
            .glacier_job_parameters(parameters)
            .build();
        let answer = self
            .client
            .restore_object()
            .bucket(&self.place.bucket)
            .key(self.key("thaw", key)?)
            .restore_request(request)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            // Under way, or readable as it is: what was asked for holds.
            Err(e)
                if matches!(
                    e.as_service_error().and_then(|e| e.code()),
                    Some("RestoreAlreadyInProgress" | "ObjectAlreadyInActiveTierError")
                ) =>
            {
                Ok(())
            }
            Err(e) => Err(self.place.failed("thaw", key, e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_archived_and_not_thawed_cannot_be_read() {
        let ended = r#"ongoing-request="false", expiry-date="Fri, 21 Dec 2026 00:00:00 GMT""#;
        let cases = [
            (None, None, Readiness::Readable),
            (Some("GLACIER_IR"), None, Readiness::Readable),
            (Some("GLACIER"), None, Readiness::Archived),
            (
                Some("DEEP_ARCHIVE"),
                Some(r#"ongoing-request="true""#),
                Readiness::Thawing,
            ),
            (Some("GLACIER"), Some(ended), Readiness::Readable),
        ];
        for (class, restore, expected) in cases {
            assert_eq!(readiness(class, restore), expected, "{class:?} {restore:?}");
        }
    }
}
