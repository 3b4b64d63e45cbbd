//! Which keys a store accepts: the same ones in every implementation, so that what was written to
//! one place can be copied to another, and so that no key leaves its store.

/// S3's limit for a key in UTF-8 bytes:
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>.
pub const KEY_BYTES_MAX: usize = 1024;

/// The longest file name of the common Linux file systems, `NAME_MAX`:
/// <https://man7.org/linux/man-pages/man0/limits.h.0p.html>.
pub const SEGMENT_BYTES_MAX: usize = 255;

/// Files that a folder store is still writing begin with this; no key may.
pub(crate) const TEMPORARY: &str = ".logisedge-writing-";

/// Checks a whole key. The error is the reason, for people.
pub(crate) fn check_key(key: &str) -> Result<(), String> {
    if key.is_empty() {
        return Err("the key is empty".to_owned());
    }
    if key.len() > KEY_BYTES_MAX {
        return Err(format!("the key is longer than {KEY_BYTES_MAX} bytes"));
    }
    key.split('/').try_for_each(check_segment)
}

/// Checks the beginning of keys: its last segment may be unfinished.
pub(crate) fn check_prefix(prefix: &str) -> Result<(), String> {
    if prefix.len() > KEY_BYTES_MAX {
        return Err(format!("the prefix is longer than {KEY_BYTES_MAX} bytes"));
    }
    match prefix.rsplit_once('/') {
        None => check_characters(prefix),
        Some((folder, unfinished)) => {
            folder.split('/').try_for_each(check_segment)?;
            check_characters(unfinished)
        }
    }
}

/// Checks a prefix that names a folder: empty, or ending in `/`.
pub(crate) fn check_folder(prefix: &str) -> Result<(), String> {
    if prefix.is_empty() || prefix.ends_with('/') {
        check_prefix(prefix)
    } else {
        Err("a folder's prefix ends in '/'".to_owned())
    }
}

fn check_segment(segment: &str) -> Result<(), String> {
    match segment {
        "" => Err("the key has an empty part (a '/' at an end, or two in a row)".to_owned()),
        "." | ".." => Err(format!("the key has the part {segment:?}")),
        s if s.len() > SEGMENT_BYTES_MAX => Err(format!(
            "a part of the key is longer than {SEGMENT_BYTES_MAX} bytes"
        )),
        s if s.starts_with(TEMPORARY) => Err(format!(
            "a part of the key begins with {TEMPORARY:?}, which marks unfinished files"
        )),
        s => check_characters(s),
    }
}

fn check_characters(text: &str) -> Result<(), String> {
    match text.chars().find(|c| c.is_control() || *c == '\\') {
        Some(c) => Err(format!("the key has the character {c:?}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ordinary_keys_pass() {
        for key in [
            "config",
            "data/ab/ab12",
            "a/2026-11-24/full_20261124_020000/keys/x",
            "ü/ñ",
        ] {
            assert_eq!(check_key(key), Ok(()), "{key}");
        }
        for prefix in ["", "data/", "data/a", "d"] {
            assert_eq!(check_prefix(prefix), Ok(()), "{prefix}");
        }
    }

    #[test]
    fn keys_that_leave_the_store_or_cannot_be_files_are_refused() {
        for key in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "../x",
            "a/../../x",
            "a/./b",
            "a//b",
            "a/",
            "a\0b",
            "a\\..\\b",
            "a\nb",
            ".logisedge-writing-1",
            "a/.logisedge-writing-1/b",
        ] {
            assert!(check_key(key).is_err(), "{key:?}");
        }
        assert!(check_key(&"x".repeat(SEGMENT_BYTES_MAX + 1)).is_err());
        assert!(check_key(&"x/".repeat(KEY_BYTES_MAX)).is_err());
        for prefix in ["/", "../", "a/../b", "a//"] {
            assert!(check_prefix(prefix).is_err(), "{prefix:?}");
        }
        assert!(check_folder("data").is_err());
    }

    proptest! {
        /// Whatever passes stays below a root that it is joined to.
        #[test]
        fn an_accepted_key_stays_inside(key in "[a./\\\\\u{0}-\u{ff}]{0,12}") {
            if check_key(&key).is_ok() {
                let joined = std::path::Path::new("/root/of/store").join(&key);
                prop_assert!(joined.starts_with("/root/of/store"));
                prop_assert!(joined.components().all(|c| matches!(
                    c,
                    std::path::Component::Normal(_) | std::path::Component::RootDir
                )));
            }
        }
    }
}
