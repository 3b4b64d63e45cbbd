//! Object Lock: until when a version cannot be destroyed, whoever asks. A delete of a locked object still
//! puts its marker, which [`super::versions`] takes back.

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types::{ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode};
use aws_smithy_types::DateTime;
use chrono::Utc;
use logisedge_domain::Instant;
use logisedge_domain::storage::{LockMode, ObjectLock};

use super::{S3Store, instant};
use crate::StorageError;

pub(super) fn mode(mode: LockMode) -> ObjectLockMode {
    match mode {
        LockMode::Governance => ObjectLockMode::Governance,
        LockMode::Compliance => ObjectLockMode::Compliance,
    }
}

/// S3 keeps whole seconds; a lock never ends before it should.
pub(super) fn until(at: Instant) -> DateTime {
    let partial = i64::from(at.timestamp_subsec_nanos() > 0);
    DateTime::from_secs(at.timestamp() + partial)
}

/// What has to be put, if anything. A lock that goes on becomes no shorter and keeps its mode: S3 makes
/// another of it only for who may bypass governance, and nobody may end compliance. One that ran out
/// counts as none.
fn extended(present: Option<ObjectLock>, wanted: ObjectLock, now: Instant) -> Option<ObjectLock> {
    match present.filter(|present| present.until > now) {
        None => Some(wanted),
        Some(present) => (present.until < wanted.until).then_some(ObjectLock {
            mode: present.mode,
            until: wanted.until,
        }),
    }
}

impl S3Store {
    async fn lock_of(&self, key: &str) -> Result<Option<ObjectLock>, StorageError> {
        let answer = self
            .client
            .get_object_retention()
            .bucket(&self.place.bucket)
            .key(self.key("lock", key)?)
            .send()
            .await;
        let retention = match answer {
            Ok(answer) => answer.retention,
            Err(e)
                if e.as_service_error().and_then(|e| e.code())
                    == Some("NoSuchObjectLockConfiguration") =>
            {
                None
            }
            Err(e) => return Err(self.place.failed("lock", key, e)),
        };
        Ok(retention.and_then(|retention| {
            let mode = match retention.mode()? {
                ObjectLockRetentionMode::Governance => LockMode::Governance,
                _ => LockMode::Compliance,
            };
            let until = instant(retention.retain_until_date());
            Some(ObjectLock { mode, until })
        }))
    }

    pub(super) async fn extend_lock_of(
        &self,
        key: &str,
        wanted: ObjectLock,
    ) -> Result<bool, StorageError> {
        let Some(lock) = extended(self.lock_of(key).await?, wanted, Utc::now()) else {
            return Ok(false);
        };
        let mode = match lock.mode {
            LockMode::Governance => ObjectLockRetentionMode::Governance,
            LockMode::Compliance => ObjectLockRetentionMode::Compliance,
        };
        let retention = ObjectLockRetention::builder()
            .mode(mode)
            .retain_until_date(until(lock.until))
            .build();
        self.client
            .put_object_retention()
            .bucket(&self.place.bucket)
            .key(self.key("lock", key)?)
            .retention(retention)
            .send()
            .await
            .map_err(|e| self.place.failed("lock", key, e))?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_lock_that_goes_on_becomes_no_shorter_and_keeps_its_mode() {
        let lock = |mode, days| ObjectLock {
            mode,
            until: Instant::UNIX_EPOCH + TimeDelta::days(days),
        };
        let now = Instant::UNIX_EPOCH + TimeDelta::hours(12);
        let (governance, compliance) = (LockMode::Governance, LockMode::Compliance);
        let cases = [
            (None, lock(governance, 1), Some(lock(governance, 1))),
            (Some(lock(governance, 2)), lock(governance, 1), None),
            (
                Some(lock(governance, 2)),
                lock(governance, 3),
                Some(lock(governance, 3)),
            ),
            (Some(lock(governance, 2)), lock(compliance, 1), None),
            (
                Some(lock(governance, 2)),
                lock(compliance, 3),
                Some(lock(governance, 3)),
            ),
            (Some(lock(compliance, 2)), lock(governance, 1), None),
            (
                Some(lock(compliance, 2)),
                lock(governance, 3),
                Some(lock(compliance, 3)),
            ),
            // Run out.
            (
                Some(lock(governance, 0)),
                lock(compliance, 1),
                Some(lock(compliance, 1)),
            ),
        ];
        for (present, wanted, expected) in cases {
            assert_eq!(
                extended(present, wanted, now),
                expected,
                "{present:?} {wanted:?}"
            );
        }
    }

    #[test]
    fn it_ends_no_earlier_than_it_should() {
        let at = Instant::UNIX_EPOCH + TimeDelta::milliseconds(1500);
        assert_eq!(until(at), DateTime::from_secs(2));
        assert_eq!(until(Instant::UNIX_EPOCH), DateTime::from_secs(0));
    }
}
