//! `[locations.<name>]`: where chains are stored.

use super::LocationConfig;
use super::reader::{Placed, Section};
use super::values::{secret, word};
use crate::format::parse_bytes;
use crate::storage::LockMode;

#[derive(Clone, Copy)]
enum LocationKind {
    S3,
    Folder,
}

const KINDS: [(&str, LocationKind); 2] =
    [("s3", LocationKind::S3), ("folder", LocationKind::Folder)];

const LOCK_MODES: [(&str, LockMode); 2] = [
    ("governance", LockMode::Governance),
    ("compliance", LockMode::Compliance),
];

/// Longest prefix in bytes: S3 keys have at most 1024 bytes
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>), of which a scope's
/// name, its chain and an object's name need up to 200.
const PREFIX_BYTES_MAX: usize = 800;

/// The smallest capacity: less is a typing mistake.
const CAPACITY_BYTES_MIN: u64 = 1_000_000;

pub(super) fn read(section: Section<'_, '_>) -> Option<LocationConfig> {
    if !section.has("kind") {
        section.missing("kind", "\"s3\"");
        return None;
    }
    let kind = word(&section, "kind", &KINDS)?;
    if !section.has("repository_password") {
        section.missing(
            "repository_password",
            "{ secret = \"logisedge/repository\" }",
        );
    }
    let repository_password = secret(&section, "repository_password");
    let capacity_bytes_max = capacity(&section);
    match kind {
        LocationKind::S3 => {
            section.refuse(
                "path",
                "does not fit here: only kind = \"folder\" has it; kind = \"s3\" has bucket and prefix",
            );
            let bucket = section
                .text("bucket")
                .filter(|b| bucket_is_valid(&section, b));
            if !section.has("bucket") {
                section.missing("bucket", "\"my-backups\"");
            }
            let prefix = section.text("prefix");
            let prefix = match &prefix {
                Some(prefix) => prefix_of(&section, prefix),
                None => Some(String::new()),
            };
            let region = section.text("region");
            let object_lock = match section.has("object_lock") {
                true => word(&section, "object_lock", &LOCK_MODES).map(Some),
                false => Some(None),
            };
            section.finish();
            Some(LocationConfig::S3 {
                bucket: bucket?.value.to_owned(),
                prefix: prefix?,
                region: region.map(|region| region.value.to_owned()),
                repository_password: repository_password?,
                capacity_bytes_max: capacity_bytes_max?,
                object_lock: object_lock?,
            })
        }
        LocationKind::Folder => {
            section.refuse(
                "object_lock",
                "does not fit here: a folder has no locks, only kind = \"s3\" has",
            );
            for key in ["bucket", "prefix", "region"] {
                section.refuse(
                    key,
                    "does not fit here: a folder is named with path alone, only kind = \"s3\" has it",
                );
            }
            let path = section.text("path");
            match &path {
                None if !section.has("path") => section.missing("path", "\"/srv/backups\""),
                Some(path) if !path.value.starts_with('/') => path.problem(
                    section.reader,
                    "must be absolute: it would mean another folder wherever it is read",
                ),
                _ => {}
            }
            section.finish();
            Some(LocationConfig::Folder {
                path: path?.value.to_owned(),
                repository_password: repository_password?,
                capacity_bytes_max: capacity_bytes_max?,
            })
        }
    }
}

/// The outer option: whether it could be read.
fn capacity(section: &Section<'_, '_>) -> Option<Option<u64>> {
    if !section.has("capacity_bytes_max") {
        return Some(None);
    }
    let text = section.text("capacity_bytes_max")?;
    let bytes = parse_bytes(text.value).filter(|bytes| *bytes >= CAPACITY_BYTES_MIN);
    if bytes.is_none() {
        text.problem(
            section.reader,
            format!(
                "{:?} is no size from \"1 MB\" to \"1000 TB\", such as \"500 GB\"",
                text.value
            ),
        );
    }
    bytes.map(Some)
}

/// S3's rules for names that work everywhere, but for the reserved beginnings and ends
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>).
fn bucket_is_valid(section: &Section<'_, '_>, bucket: &Placed<&str>) -> bool {
    let name = bucket.value;
    let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let valid = (3..=63).contains(&name.len())
        && name
            .split('.')
            .all(|label| label.starts_with(ends) && label.ends_with(ends))
        && name.chars().all(|c| ends(c) || c == '-' || c == '.')
        && name.parse::<std::net::Ipv4Addr>().is_err();
    if !valid {
        bucket.problem(
            section.reader,
            format!(
                "{name:?} is no bucket name: use 3 to 63 of a-z, 0-9, '-' and '.', a letter or digit at both \
                 ends and beside each '.', no IP address, without s3:// and without a path"
            ),
        );
    }
    valid
}

fn prefix_of(section: &Section<'_, '_>, prefix: &Placed<&str>) -> Option<String> {
    let trimmed = prefix.value.trim_matches('/');
    let segment_is_odd = |segment: &str| matches!(segment, "" | "." | "..");
    if trimmed.len() > PREFIX_BYTES_MAX
        || (trimmed.split('/').any(segment_is_odd) && !trimmed.is_empty())
    {
        prefix.problem(
            section.reader,
            format!(
                "must be a key prefix of at most {PREFIX_BYTES_MAX} bytes without empty parts, \
                 '.' and '..'"
            ),
        );
        return None;
    }
    Some(trimmed.to_owned())
}
