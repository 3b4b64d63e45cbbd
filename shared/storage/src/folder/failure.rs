//! From the operating system's errors to this crate's.

use std::io;
use std::path::Path;

use crate::{StorageError, StorageErrorKind};

/// No file has this path, whether the last part is missing or one before it is a file.
pub(super) fn is_absent(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory
    )
}

pub(super) fn empty_if_absent<T: Default>(
    operation: &'static str,
    root: &Path,
    path: &Path,
    e: io::Error,
) -> Result<T, StorageError> {
    if is_absent(&e) && root.is_dir() {
        Ok(T::default())
    } else {
        Err(absent(operation, root, path, e))
    }
}

/// An error where the object, or the store itself, may be what is not there.
pub(super) fn absent(
    operation: &'static str,
    root: &Path,
    path: &Path,
    e: io::Error,
) -> StorageError {
    if is_absent(&e) && !root.is_dir() {
        return missing(operation, root);
    }
    if is_absent(&e) && operation != "write" {
        return StorageError {
            kind: StorageErrorKind::NotFound,
            operation,
            object: path.display().to_string(),
            message: "there is no such file".to_owned(),
            source: Some(Box::new(e)),
        };
    }
    failed(operation, path, e)
}

pub(super) fn missing(operation: &'static str, root: &Path) -> StorageError {
    StorageError {
        kind: StorageErrorKind::StoreMissing,
        operation,
        object: root.display().to_string(),
        message: "there is no such folder: create or mount it, or correct the location's path"
            .to_owned(),
        source: None,
    }
}

pub(super) fn taken(path: &Path, e: io::Error) -> StorageError {
    StorageError {
        kind: StorageErrorKind::AlreadyExists,
        operation: "write",
        object: path.display().to_string(),
        message: "it exists already".to_owned(),
        source: Some(Box::new(e)),
    }
}

pub(super) fn failed(operation: &'static str, path: &Path, e: io::Error) -> StorageError {
    use io::ErrorKind as Io;
    let (kind, message) = match e.kind() {
        Io::StorageFull => (
            StorageErrorKind::Full,
            "no space is left on the disk: free some, or prune old snapshots".to_owned(),
        ),
        Io::QuotaExceeded => (
            StorageErrorKind::Full,
            "the disk quota is used up: raise it, or prune old snapshots".to_owned(),
        ),
        Io::FileTooLarge => (
            StorageErrorKind::Full,
            "the file system or a limit of the process (ulimit -f) does not allow a file of this size"
                .to_owned(),
        ),
        Io::PermissionDenied => (
            StorageErrorKind::Denied,
            "permission denied: give the user that runs this program access to the folder"
                .to_owned(),
        ),
        Io::ReadOnlyFilesystem => (
            StorageErrorKind::Denied,
            "the file system is mounted read-only".to_owned(),
        ),
        Io::NotADirectory | Io::IsADirectory => (
            StorageErrorKind::Other,
            "a file and a folder want the same name".to_owned(),
        ),
        Io::Unsupported | Io::CrossesDevices => (
            StorageErrorKind::Other,
            "the file system cannot do this; a store needs hard links and atomic renames".to_owned(),
        ),
        Io::StaleNetworkFileHandle | Io::TimedOut | Io::Interrupted | Io::ResourceBusy
        | Io::HostUnreachable | Io::NetworkUnreachable => (StorageErrorKind::Unavailable, e.to_string()),
        _ => (StorageErrorKind::Other, e.to_string()),
    };
    StorageError {
        kind,
        operation,
        object: path.display().to_string(),
        message,
        source: Some(Box::new(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Linux' numbers of errors, so that the standard library's mapping is tried too.
    #[test]
    fn errors_say_what_to_do() {
        let numbers = [
            ("no space", 28),
            ("quota", 122),
            ("file too large", 27),
            ("permission", 13),
            ("read-only", 30),
            ("is a directory", 21),
            ("links unsupported", 95),
            ("stale handle", 116),
            ("input/output", 5),
        ];
        let told: Vec<String> = numbers
            .iter()
            .map(|(what, number)| {
                let e = io::Error::from_raw_os_error(*number);
                let e = failed("write", Path::new("/backup/x"), e);
                format!("{what}: {:?}, {:?}: {e}", e.kind, e.retry().is_transient())
            })
            .collect();
        insta::assert_snapshot!(told.join("\n"), @r#"
        no space: Full, false: cannot write /backup/x: no space is left on the disk: free some, or prune old snapshots
        quota: Full, false: cannot write /backup/x: the disk quota is used up: raise it, or prune old snapshots
        file too large: Full, false: cannot write /backup/x: the file system or a limit of the process (ulimit -f) does not allow a file of this size
        permission: Denied, false: cannot write /backup/x: permission denied: give the user that runs this program access to the folder
        read-only: Denied, false: cannot write /backup/x: the file system is mounted read-only
        is a directory: Other, false: cannot write /backup/x: a file and a folder want the same name
        links unsupported: Other, false: cannot write /backup/x: the file system cannot do this; a store needs hard links and atomic renames
        stale handle: Unavailable, true: cannot write /backup/x: Stale file handle (os error 116)
        input/output: Other, false: cannot write /backup/x: Input/output error (os error 5)
        "#);
    }
}
