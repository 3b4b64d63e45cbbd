//! A bucket of S3, or of a store that speaks its protocol. One object is one PUT.

mod archive;
mod failure;
mod lock;
mod versions;

use std::ops::Range;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use logisedge_domain::storage::{ObjectLock, StorageTier, ThawSpeed};

use self::failure::Place;
use crate::key::{check_folder, check_key, check_prefix};
use crate::{
    DeletedObject, ObjectMeta, ObjectStore, Put, Readiness, StorageError, StorageErrorKind,
};

/// Keys of one DeleteObjects request:
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html>.
pub const DELETE_KEYS_MAX: usize = 1000;

/// Bytes of one PUT, 5 GB:
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html>.
pub const PUT_BYTES_MAX: u64 = 5_000_000_000;

/// Tries at a conditional write that S3 answers with 409, as its page tells a client to do:
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>.
const CONFLICT_TRIES_MAX: u32 = 4;

/// A store in a bucket, below a key prefix. Cheap to clone.
///
/// Give it a client whose own retries are off and wrap it in [`crate::Retrying`], which knows
/// that a create whose answer was lost may have happened.
#[derive(Debug, Clone)]
pub struct S3Store {
    client: Client,
    place: Place,
}

impl S3Store {
    /// A store in `bucket`, its keys below `prefix` (slashes at its ends are dropped; empty for
    /// the whole bucket). Sends nothing.
    pub fn new(client: Client, bucket: impl Into<String>, prefix: &str) -> Self {
        let prefix = match prefix.trim_matches('/') {
            "" => String::new(),
            p => format!("{p}/"),
        };
        Self {
            client,
            place: Place {
                bucket: bucket.into(),
                prefix,
            },
        }
    }

    fn key(&self, operation: &'static str, key: &str) -> Result<String, StorageError> {
        check_key(key).map_err(|reason| self.bad_key(operation, key, reason))?;
        let full = self.place.key(key);
        check_key(&full).map_err(|reason| self.bad_key(operation, key, reason))?;
        Ok(full)
    }

    fn bad_key(&self, operation: &'static str, key: &str, reason: String) -> StorageError {
        StorageError {
            kind: StorageErrorKind::Other,
            operation,
            object: format!("{key:?} in {}", self.place.url("")),
            message: reason,
            source: None,
        }
    }

    async fn head_of(&self, key: &str) -> Result<HeadObjectOutput, StorageError> {
        let answer = self
            .client
            .head_object()
            .bucket(&self.place.bucket)
            .key(self.key("read", key)?)
            .send()
            .await;
        match answer {
            Ok(found) => Ok(found),
            Err(e) => {
                let error = self.place.failed("read", key, e);
                if error.kind == StorageErrorKind::NotFound && self.bucket_is_missing().await {
                    return Err(self.place.bucket_missing("read", key));
                }
                Err(error)
            }
        }
    }

    /// A 404 without a body does not say whether the object or the bucket is what is missing.
    async fn bucket_is_missing(&self) -> bool {
        let answer = self
            .client
            .head_bucket()
            .bucket(&self.place.bucket)
            .send()
            .await;
        answer.is_err_and(|e| e.into_service_error().is_not_found())
    }

    async fn list_pages(
        &self,
        prefix: &str,
        delimiter: Option<&str>,
        mut page: impl FnMut(ListObjectsV2Output),
    ) -> Result<(), StorageError> {
        let mut pages = self
            .client
            .list_objects_v2()
            .bucket(&self.place.bucket)
            .prefix(self.place.key(prefix))
            .set_delimiter(delimiter.map(str::to_owned))
            .into_paginator()
            .send();
        while let Some(next) = pages.next().await {
            page(next.map_err(|e| self.place.failed("list", prefix, e))?);
        }
        Ok(())
    }
}

#[async_trait]
impl ObjectStore for S3Store {
    async fn put(&self, key: &str, bytes: Bytes, put: Put) -> Result<(), StorageError> {
        let full = self.key("write", key)?;
        if bytes.len() as u64 > PUT_BYTES_MAX {
            let reason = format!("an object has at most {PUT_BYTES_MAX} bytes");
            return Err(self.bad_key("write", key, reason));
        }
        let mut tries = 1;
        loop {
            let answer = self
                .client
                .put_object()
                .bucket(&self.place.bucket)
                .key(&full)
                .set_checksum_sha256(put.sha256.map(|hash| BASE64.encode(hash)))
                .set_if_none_match(put.create_only.then(|| "*".to_owned()))
                .set_tagging(tagging(put.tier))
                .set_object_lock_mode(put.lock.map(|lock| lock::mode(lock.mode)))
                .set_object_lock_retain_until_date(put.lock.map(|lock| lock::until(lock.until)))
                .body(ByteStream::from(bytes.clone()))
                .send()
                .await;
            match answer {
                Ok(_) => return Ok(()),
                Err(e) if tries < CONFLICT_TRIES_MAX && failure::is_write_conflict(&e) => {
                    tries += 1;
                }
                Err(e) => {
                    let error = self.place.failed("write", key, e);
                    return Err(failure::with_what_a_put_needs(error, put));
                }
            }
        }
    }

    async fn get(&self, key: &str) -> Result<Bytes, StorageError> {
        let answer = self
            .client
            .get_object()
            .bucket(&self.place.bucket)
            .key(self.key("read", key)?)
            .send()
            .await
            .map_err(|e| self.place.failed("read", key, e))?;
        self.place.collect(key, answer.body).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StorageError> {
        let mut part = Vec::new();
        self.get_range_into(key, range, &mut part).await?;
        Ok(Bytes::from(part))
    }

    async fn get_range_into(
        &self,
        key: &str,
        range: Range<u64>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), StorageError> {
        let full = self.key("read", key)?;
        buffer.clear();
        // HTTP has no empty range, so this asks only whether the object reaches that far.
        if range.is_empty() {
            let length = self.head(key).await?.bytes;
            return if range.start == range.end && range.end <= length {
                Ok(())
            } else {
                Err(crate::error::beyond_end(self.locate(key), &range, length))
            };
        }
        let answer = self
            .client
            .get_object()
            .bucket(&self.place.bucket)
            .key(full)
            .range(format!("bytes={}-{}", range.start, range.end - 1))
            .send()
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(e) if failure::is_range_beyond_end(&e) => {
                let length = self.head(key).await?.bytes;
                return Err(crate::error::beyond_end(self.locate(key), &range, length));
            }
            Err(e) => return Err(self.place.failed("read", key, e)),
        };
        let expected = range.end - range.start;
        buffer.reserve_exact(usize::try_from(expected).unwrap_or(usize::MAX));
        self.place.collect_into(key, answer.body, buffer).await?;
        let received = buffer.len() as u64;
        if received != expected {
            let length = range.start + received;
            return Err(crate::error::beyond_end(self.locate(key), &range, length));
        }
        Ok(())
    }

    async fn head(&self, key: &str) -> Result<ObjectMeta, StorageError> {
        let found = self.head_of(key).await?;
        Ok(ObjectMeta {
            key: key.to_owned(),
            bytes: length(found.content_length()),
            modified_at: instant(found.last_modified()),
            class: archive::class(found.storage_class().map(|class| class.as_str())),
        })
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StorageError> {
        check_prefix(prefix).map_err(|reason| self.bad_key("list", prefix, reason))?;
        let mut found = Vec::new();
        self.list_pages(prefix, None, |page| {
            for object in page.contents.unwrap_or_default() {
                let Some(key) = object.key().and_then(|key| self.place.relative(key)) else {
                    continue;
                };
                // Consoles mark folders by empty objects whose key ends in '/'; no key of ours does.
                if check_key(key).is_ok() {
                    found.push(ObjectMeta {
                        key: key.to_owned(),
                        bytes: length(object.size()),
                        modified_at: instant(object.last_modified()),
                        class: archive::class(object.storage_class().map(|class| class.as_str())),
                    });
                }
            }
        })
        .await?;
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        check_folder(prefix).map_err(|reason| self.bad_key("list", prefix, reason))?;
        let mut folders = Vec::new();
        self.list_pages(prefix, Some("/"), |page| {
            let found = page.common_prefixes.unwrap_or_default();
            folders.extend(
                found
                    .iter()
                    .filter_map(|folder| self.place.relative(folder.prefix()?))
                    .map(str::to_owned),
            );
        })
        .await?;
        folders.sort();
        Ok(folders)
    }

    async fn delete(&self, keys: &[String]) -> Result<(), StorageError> {
        let full = keys
            .iter()
            .map(|key| self.key("delete", key))
            .collect::<Result<Vec<_>, _>>()?;
        for (keys, full) in keys
            .chunks(DELETE_KEYS_MAX)
            .zip(full.chunks(DELETE_KEYS_MAX))
        {
            let first = keys.first().map_or("", String::as_str);
            let named = full
                .iter()
                .map(|key| ObjectIdentifier::builder().key(key).build())
                .collect::<Result<Vec<_>, _>>()
                .and_then(|ids| Delete::builder().set_objects(Some(ids)).quiet(true).build())
                .map_err(|e| self.bad_key("delete", first, e.to_string()))?;
            let answer = self
                .client
                .delete_objects()
                .bucket(&self.place.bucket)
                .delete(named)
                .send()
                .await
                .map_err(|e| self.place.failed("delete", first, e))?;
            if let Some(error) = self.place.worst_delete_error(answer.errors()) {
                return Err(error);
            }
        }
        Ok(())
    }

    async fn list_deleted(&self, prefix: &str) -> Result<Vec<DeletedObject>, StorageError> {
        check_prefix(prefix).map_err(|reason| self.bad_key("list", prefix, reason))?;
        self.list_old(prefix).await
    }

    async fn get_deleted(
        &self,
        object: &DeletedObject,
        range: Option<Range<u64>>,
    ) -> Result<Bytes, StorageError> {
        self.get_old(object, range).await
    }

    async fn undelete(&self, object: &DeletedObject) -> Result<(), StorageError> {
        self.copy_back(object).await
    }

    async fn readiness(&self, key: &str) -> Result<Readiness, StorageError> {
        self.readiness_of(key).await
    }

    async fn thaw(&self, key: &str, speed: ThawSpeed, days: u32) -> Result<(), StorageError> {
        self.ask_for_thaw(key, speed, days).await
    }

    async fn extend_lock(&self, key: &str, lock: ObjectLock) -> Result<bool, StorageError> {
        self.extend_lock_of(key, lock).await
    }

    fn locate(&self, key: &str) -> String {
        self.place.url(key)
    }
}

fn tagging(tier: StorageTier) -> Option<String> {
    let tag = format!("{}={}", StorageTier::TAG, tier.as_str());
    (!tier.is_standard()).then_some(tag)
}

fn length(bytes: Option<i64>) -> u64 {
    bytes.and_then(|b| u64::try_from(b).ok()).unwrap_or(0)
}

fn instant(at: Option<&aws_smithy_types::DateTime>) -> DateTime<Utc> {
    at.and_then(|at| DateTime::from_timestamp(at.secs(), at.subsec_nanos()))
        .unwrap_or_default()
}
