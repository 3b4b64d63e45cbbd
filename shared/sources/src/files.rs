//! What the targets that write plain files share: temporary files beside the target, the system's
//! errors for people, streams written whole.

use std::path::Path;

use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt as _;

use crate::{RestoreFile, SourceError, SourceErrorKind, TargetState};

/// An error about a file or folder that this crate found itself.
pub(crate) fn failed(
    kind: SourceErrorKind,
    operation: &'static str,
    path: &Path,
    message: impl Into<String>,
) -> SourceError {
    SourceError {
        kind,
        operation,
        object: path.display().to_string(),
        message: message.into(),
        source: None,
    }
}

/// An error about a file or folder, from what the system said.
pub(crate) fn of_system(
    operation: &'static str,
    path: &Path,
    error: std::io::Error,
) -> SourceError {
    use std::io::ErrorKind as System;
    let (kind, message) = match error.kind() {
        System::NotFound => (
            SourceErrorKind::NotFound,
            "there is no such file or folder; check the path".to_owned(),
        ),
        System::PermissionDenied | System::ReadOnlyFilesystem => (
            SourceErrorKind::Denied,
            format!("{error}; give this user access to it"),
        ),
        System::StorageFull | System::QuotaExceeded => (
            SourceErrorKind::NoRoom,
            "the disk is full; free some room or name a folder on another disk".to_owned(),
        ),
        _ => (SourceErrorKind::Failed, error.to_string()),
    };
    SourceError {
        source: Some(Box::new(error)),
        ..failed(kind, operation, path, message)
    }
}

/// `finish` or `load` without a `begin`.
pub(crate) fn not_begun(path: &Path) -> SourceError {
    failed(
        SourceErrorKind::Failed,
        "restore to",
        path,
        "the restore was not begun",
    )
}

/// The folder that a file lies in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Whether a file that a restore is to make is there already.
pub(crate) fn file_state(path: &Path) -> Result<TargetState, SourceError> {
    let folder = folder_of(path);
    if !folder.is_dir() {
        return Err(failed(
            SourceErrorKind::NotFound,
            "restore to",
            path,
            format!(
                "the folder {} does not exist; make it first",
                folder.display()
            ),
        ));
    }
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(TargetState::Empty),
        Err(error) => Err(of_system("restore to", path, error)),
        Ok(facts) if !facts.is_file() => Err(failed(
            SourceErrorKind::Unsupported,
            "restore to",
            path,
            "it is no plain file; name a file that can be replaced",
        )),
        Ok(facts) if facts.len() == 0 => Ok(TargetState::Empty),
        Ok(facts) => Ok(TargetState::Occupied(format!(
            "a file of {} bytes",
            facts.len()
        ))),
    }
}

/// A hidden file in `folder`, gone when dropped.
pub(crate) fn temporary_in(folder: &Path) -> Result<NamedTempFile, SourceError> {
    tempfile::Builder::new()
        .prefix(".logisedge-restore-")
        .tempfile_in(folder)
        .map_err(|error| of_system("restore into", folder, error))
}

/// Writes a stream to its end and checks that it came whole.
pub(crate) async fn write_content(
    to: &mut tokio::fs::File,
    path: &Path,
    file: &mut RestoreFile,
) -> Result<(), SourceError> {
    let wrote = |error| of_system("write", path, error);
    let mut bytes = 0;
    while let Some(piece) = file.content.recv().await {
        bytes += piece.len() as u64;
        to.write_all(&piece).await.map_err(wrote)?;
    }
    to.flush().await.map_err(wrote)?;
    whole(path, &file.path, bytes, file.bytes)
}

/// The content that a stream gave must be as long as the manifest says.
pub(crate) fn whole(path: &Path, file: &str, bytes: u64, expected: u64) -> Result<(), SourceError> {
    if bytes == expected {
        return Ok(());
    }
    Err(failed(
        SourceErrorKind::Aborted,
        "restore",
        path,
        format!("{file} ended after {bytes} of {expected} bytes; its reader failed"),
    ))
}

/// Makes a rename durable.
pub(crate) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}
