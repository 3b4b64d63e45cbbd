//! What a versioned bucket keeps of deleted objects.
//!
//! A delete puts a marker above the object's versions. Bringing the object back copies its newest
//! version above the marker, which takes s3:GetObjectVersion and s3:PutObject; removing the marker
//! would take s3:DeleteObjectVersion, with which the versions themselves could be destroyed too.

use std::collections::BTreeMap;
use std::ops::Range;

use aws_sdk_s3::types::{DeleteMarkerEntry, ObjectVersion};
use bytes::Bytes;

use super::archive::class;
use super::{S3Store, instant, length};
use crate::key::check_key;
use crate::{DeletedObject, StorageError};

/// What the pages of a listing say of one key, newest first.
#[derive(Debug, Default)]
struct History {
    is_deleted: bool,
    markers: Vec<DeleteMarkerEntry>,
    newest: Option<ObjectVersion>,
}

impl History {
    /// The newest version, where a marker lies above it.
    fn deleted(self, key: &str) -> Option<DeletedObject> {
        let version = self.newest.filter(|_| self.is_deleted)?;
        let written_at = instant(version.last_modified());
        // Deleted more than once, it counts as old since the first time.
        let markers = self
            .markers
            .iter()
            .map(|marker| instant(marker.last_modified()));
        let deleted_at = markers.filter(|at| *at >= written_at).min();
        Some(DeletedObject {
            key: key.to_owned(),
            version: version.version_id()?.to_owned(),
            bytes: length(version.size()),
            class: class(version.storage_class().map(|class| class.as_str())),
            written_at,
            deleted_at: deleted_at.unwrap_or(written_at),
        })
    }
}

impl S3Store {
    pub(super) async fn list_old(&self, prefix: &str) -> Result<Vec<DeletedObject>, StorageError> {
        let mut histories: BTreeMap<String, History> = BTreeMap::new();
        let (mut key_marker, mut version_marker) = (None, None);
        loop {
            let page = self
                .client
                .list_object_versions()
                .bucket(&self.place.bucket)
                .prefix(self.place.key(prefix))
                .set_key_marker(key_marker)
                .set_version_id_marker(version_marker)
                .send()
                .await
                .map_err(|e| self.place.failed("list what was deleted of", prefix, e))?;
            for marker in page.delete_markers.unwrap_or_default() {
                if let Some(history) = self.history(&mut histories, marker.key()) {
                    history.is_deleted |= marker.is_latest() == Some(true);
                    history.markers.push(marker);
                }
            }
            for version in page.versions.unwrap_or_default() {
                if let Some(history) = self.history(&mut histories, version.key()) {
                    history.newest.get_or_insert(version);
                }
            }
            if page.is_truncated != Some(true) {
                break;
            }
            (key_marker, version_marker) = (page.next_key_marker, page.next_version_id_marker);
            // What is there has no marker on top: forget it, but for the key that the page ends in.
            histories.retain(|key, history| {
                history.is_deleted || key_marker.as_deref() == Some(&self.place.key(key))
            });
        }
        let of = |(key, history): (String, History)| history.deleted(&key);
        Ok(histories.into_iter().filter_map(of).collect())
    }

    fn history<'h>(
        &self,
        histories: &'h mut BTreeMap<String, History>,
        key: Option<&str>,
    ) -> Option<&'h mut History> {
        let key = self.place.relative(key?)?;
        check_key(key).is_ok().then_some(())?;
        Some(histories.entry(key.to_owned()).or_default())
    }

    pub(super) async fn get_old(
        &self,
        object: &DeletedObject,
        range: Option<Range<u64>>,
    ) -> Result<Bytes, StorageError> {
        let key = &object.key;
        if let Some(range) = &range
            && (range.end > object.bytes || range.start > range.end)
        {
            let place = self.place.url(key);
            return Err(crate::error::beyond_end(place, range, object.bytes));
        }
        if range.as_ref().is_some_and(Range::is_empty) {
            return Ok(Bytes::new());
        }
        let answer = self
            .client
            .get_object()
            .bucket(&self.place.bucket)
            .key(self.key("read the old", key)?)
            .version_id(&object.version)
            .set_range(
                range
                    .as_ref()
                    .map(|range| format!("bytes={}-{}", range.start, range.end - 1)),
            )
            .send()
            .await
            .map_err(|e| self.place.failed("read the old", key, e))?;
        // Whoever is asked for a part may send all of it (RFC 9110, 14.2), as some stores do of versions.
        let is_part = answer.content_range().is_some();
        let bytes = self.place.collect(key, answer.body).await?;
        let Some(range) = range else {
            return Ok(bytes);
        };
        let received = bytes.len() as u64;
        let part = match is_part {
            true if received == range.end - range.start => Some(bytes),
            false if received >= range.end => {
                Some(bytes.slice(range.start as usize..range.end as usize))
            }
            _ => None,
        };
        part.ok_or_else(|| crate::error::beyond_end(self.place.url(key), &range, received))
    }

    pub(super) async fn copy_back(&self, object: &DeletedObject) -> Result<(), StorageError> {
        let key = self.key("bring back", &object.key)?;
        let source = format!(
            "{}/{}?versionId={}",
            self.place.bucket,
            in_url(&key),
            in_url(&object.version)
        );
        self.client
            .copy_object()
            .bucket(&self.place.bucket)
            .key(&key)
            .copy_source(source)
            .send()
            .await
            .map_err(|e| self.place.failed("bring back", &object.key, e))?;
        Ok(())
    }
}

/// Percent-encoded but for `/`, as the header of a copy's source wants it.
fn in_url(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
