//! How files come, go and are found: the write that is seen whole or not at all, and the walk.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use super::failure::{absent, taken};
use crate::StorageError;
use crate::key::TEMPORARY;

/// Tries to create a file whose folder a concurrent delete keeps removing.
const CREATE_TRIES_MAX: u32 = 16;

/// Tells this process's unfinished files apart.
static WRITES: AtomicU64 = AtomicU64::new(0);

pub(super) fn write(
    root: &Path,
    path: &Path,
    bytes: &[u8],
    create_only: bool,
) -> Result<(), StorageError> {
    let folder = path.parent().unwrap_or(root);
    let fail = |e: io::Error| match e.kind() {
        io::ErrorKind::AlreadyExists => taken(path, e),
        _ => absent("write", root, path, e),
    };
    // Fails early what would fail at the end, before the disk is filled.
    if create_only && path.exists() {
        return Err(taken(path, io::ErrorKind::AlreadyExists.into()));
    }
    let (temporary, mut file) = create_temporary(root, folder).map_err(fail)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| {
            if create_only {
                // link(2) never replaces, unlike rename(2).
                fs::hard_link(&temporary, path)?;
                fs::remove_file(&temporary)
            } else {
                fs::rename(&temporary, path)
            }
        })
        .and_then(|()| sync_folder(folder));
    written.map_err(|e| {
        // Nothing refers to it; what cannot be removed is ignored by listings.
        let _ = fs::remove_file(&temporary);
        fail(e)
    })
}

fn create_temporary(root: &Path, folder: &Path) -> io::Result<(PathBuf, fs::File)> {
    let mut tries = 0;
    loop {
        make_folders(root, folder)?;
        let name = format!(
            "{TEMPORARY}{}-{}-{}",
            std::process::id(),
            WRITES.fetch_add(1, Ordering::Relaxed),
            SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, |since| since.as_nanos()),
        );
        let temporary = folder.join(name);
        match fs::File::create_new(&temporary) {
            Ok(file) => return Ok((temporary, file)),
            // A delete removed the folder that had just become empty, or the name is taken.
            Err(e)
                if tries < CREATE_TRIES_MAX
                    && root.is_dir()
                    && matches!(
                        e.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists
                    ) =>
            {
                tries += 1;
            }
            Err(e) => return Err(e),
        }
    }
}

/// Makes the folders between `root` and `folder`, each durable in its parent. Never makes `root`.
fn make_folders(root: &Path, folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut at = root.to_path_buf();
    for part in folder.strip_prefix(root).unwrap_or(Path::new("")) {
        let parent = at.clone();
        at.push(part);
        match fs::create_dir(&at) {
            Ok(()) => sync_folder(&parent)?,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && at.is_dir() => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                return Err(io::Error::new(
                    io::ErrorKind::NotADirectory,
                    format!("{} is a file", at.display()),
                ));
            }
            // A concurrent delete removed the parent: the caller tries again.
            Err(e) if e.kind() == io::ErrorKind::NotFound && root.is_dir() => return Ok(()),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// A new name is durable only once its folder is.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

/// Removes folders that hold nothing, as a bucket has none. A folder that fills up meanwhile stays.
pub(super) fn remove_empty(root: &Path, folder: &Path) {
    let mut at = folder;
    while at != root && fs::remove_dir(at).is_ok() {
        match at.parent() {
            Some(parent) => at = parent,
            None => return,
        }
    }
}

/// Calls `visit` with every file below `folder` until it answers false. Links to folders are not
/// followed, so that a loop cannot be walked for ever.
pub(super) fn walk(
    folder: &Path,
    visit: &mut dyn FnMut(&Path, &str) -> io::Result<bool>,
) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            match walk(&path, visit) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                // Removed since it was seen.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        } else if let Some(name) = entry.file_name().to_str()
            && !visit(&path, name)?
        {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn holds_an_object(folder: &Path) -> io::Result<bool> {
    let walked = walk(folder, &mut |_, name| Ok(name.starts_with(TEMPORARY)));
    match walked {
        Ok(to_the_end) => Ok(!to_the_end),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}
