//! A folder of a local or mounted file system as a store. One object is one file.
//!
//! A write goes to a temporary name in the object's own folder, is synced, and takes its final
//! name in one step, so that a reader sees all of it or nothing, and a crash leaves at most a
//! file that listings ignore.

mod disk;
mod failure;

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;

use self::disk::{holds_an_object, remove_empty, sync_folder, walk, write};
use self::failure::{absent, empty_if_absent, failed, is_absent, missing};
use crate::key::{TEMPORARY, check_folder, check_key, check_prefix};
use crate::{ObjectMeta, ObjectStore, Put, StorageError, StorageErrorKind};

/// A store in a folder. Cheap to clone.
#[derive(Debug, Clone)]
pub struct FolderStore {
    root: Arc<PathBuf>,
}

impl FolderStore {
    /// Opens an existing folder. `StoreMissing` if it is not there or is no folder, so that a
    /// mount that is not mounted is not taken for an empty store.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, StorageError> {
        let path = path.as_ref();
        let root = fs::canonicalize(path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => missing("open", path),
            _ => failed("open", path, e),
        })?;
        if !root.is_dir() {
            return Err(missing("open", &root));
        }
        Ok(Self {
            root: Arc::new(root),
        })
    }

    /// Opens a folder after making it, and the folders above it, where they are not there.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, StorageError> {
        let path = path.as_ref();
        fs::create_dir_all(path).map_err(|e| failed("create", path, e))?;
        Self::new(path)
    }

    /// The folder, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Removes unfinished files that were last written longer ago than `age`, and says how many.
    /// They are left by a process that was killed; choose an age far above any write's time.
    pub async fn remove_abandoned(&self, age: Duration) -> Result<u64, StorageError> {
        self.blocking(move |root| {
            let mut removed = 0;
            walk(root, &mut |path, name| {
                let old = |modified: SystemTime| modified.elapsed().is_ok_and(|e| e > age);
                if name.starts_with(TEMPORARY)
                    && fs::metadata(path).and_then(|m| m.modified()).is_ok_and(old)
                {
                    fs::remove_file(path)?;
                    removed += 1;
                }
                Ok(true)
            })
            .map_err(|e| failed("clean", root, e))?;
            Ok(removed)
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let root = Arc::clone(&self.root);
        match tokio::task::spawn_blocking(move || work(&root)).await {
            Ok(result) => result,
            Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
            Err(e) => Err(StorageError {
                kind: StorageErrorKind::Other,
                operation: "use",
                object: self.root.display().to_string(),
                message: "the program is shutting down".to_owned(),
                source: Some(Box::new(e)),
            }),
        }
    }

    fn path(&self, operation: &'static str, key: &str) -> Result<PathBuf, StorageError> {
        check_key(key).map_err(|reason| self.bad_key(operation, key, reason))?;
        Ok(self.root.join(key))
    }

    fn bad_key(&self, operation: &'static str, key: &str, reason: String) -> StorageError {
        StorageError {
            kind: StorageErrorKind::Other,
            operation,
            object: format!("{key:?} in {}", self.root.display()),
            message: reason,
            source: None,
        }
    }
}

#[async_trait]
impl ObjectStore for FolderStore {
    async fn put(&self, key: &str, bytes: Bytes, put: Put) -> Result<(), StorageError> {
        let path = self.path("write", key)?;
        if put.lock.is_some() {
            return Err(cannot_lock(self.locate(key)));
        }
        self.blocking(move |root| {
            check_sha256(&path, &bytes, put)?;
            write(root, &path, &bytes, put.create_only)
        })
        .await
    }

    async fn get(&self, key: &str) -> Result<Bytes, StorageError> {
        let path = self.path("read", key)?;
        self.blocking(move |root| {
            fs::read(&path)
                .map(Bytes::from)
                .map_err(|e| absent("read", root, &path, e))
        })
        .await
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
        let path = self.path("read", key)?;
        let mut part = std::mem::take(buffer);
        *buffer = self
            .blocking(move |root| {
                let fail = |e| absent("read", root, &path, e);
                let mut file = fs::File::open(&path).map_err(fail)?;
                let length = file.metadata().map_err(fail)?.len();
                if range.end > length || range.start > range.end {
                    return Err(crate::error::beyond_end(
                        path.display().to_string(),
                        &range,
                        length,
                    ));
                }
                file.seek(SeekFrom::Start(range.start)).map_err(fail)?;
                let bytes = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
                part.reserve_exact(bytes.saturating_sub(part.len()));
                part.resize(bytes, 0);
                file.read_exact(&mut part).map_err(fail)?;
                Ok(part)
            })
            .await?;
        Ok(())
    }

    async fn head(&self, key: &str) -> Result<ObjectMeta, StorageError> {
        let path = self.path("read", key)?;
        let key = key.to_owned();
        self.blocking(move |root| {
            let meta = fs::metadata(&path).map_err(|e| absent("read", root, &path, e))?;
            if meta.is_dir() {
                let e = io::Error::from(io::ErrorKind::NotFound);
                return Err(absent("read", root, &path, e));
            }
            object_meta(key, &meta).map_err(|e| failed("read", &path, e))
        })
        .await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StorageError> {
        check_prefix(prefix).map_err(|reason| self.bad_key("list", prefix, reason))?;
        let prefix = prefix.to_owned();
        self.blocking(move |root| {
            let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
            let start = root.join(folder);
            let mut found = Vec::new();
            walk(&start, &mut |path, name| {
                let key = key_of(root, path);
                if name.starts_with(TEMPORARY) || !key.starts_with(&prefix) {
                    return Ok(true);
                }
                match fs::metadata(path) {
                    Ok(meta) if meta.is_file() => found.push(object_meta(key, &meta)?),
                    Ok(_) => {}
                    // Deleted since the folder was read.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    Err(e) => return Err(e),
                }
                Ok(true)
            })
            .or_else(|e| empty_if_absent("list", root, &start, e))?;
            found.sort_by(|a, b| a.key.cmp(&b.key));
            Ok(found)
        })
        .await
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        check_folder(prefix).map_err(|reason| self.bad_key("list", prefix, reason))?;
        let start = self.root.join(prefix.trim_end_matches('/'));
        self.blocking(move |root| {
            let mut folders = Vec::new();
            let mut read = || -> io::Result<()> {
                for entry in fs::read_dir(&start)? {
                    let entry = entry?;
                    if entry.file_type()?.is_dir() && holds_an_object(&entry.path())? {
                        folders.push(format!("{}/", key_of(root, &entry.path())));
                    }
                }
                Ok(())
            };
            read().or_else(|e| empty_if_absent("list", root, &start, e))?;
            folders.sort();
            Ok(folders)
        })
        .await
    }

    async fn delete(&self, keys: &[String]) -> Result<(), StorageError> {
        let paths = keys
            .iter()
            .map(|key| self.path("delete", key))
            .collect::<Result<Vec<_>, _>>()?;
        self.blocking(move |root| {
            let mut touched = std::collections::BTreeSet::new();
            for path in &paths {
                match fs::remove_file(path) {
                    Ok(()) => touched.extend(path.parent().map(Path::to_path_buf)),
                    Err(e) if is_absent(&e) && root.is_dir() => {}
                    Err(e) => return Err(absent("delete", root, path, e)),
                }
            }
            for folder in touched {
                sync_folder(&folder).or_else(|e| empty_if_absent("delete", root, &folder, e))?;
                remove_empty(root, &folder);
            }
            Ok(())
        })
        .await
    }

    fn locate(&self, key: &str) -> String {
        self.root.join(key).display().to_string()
    }
}

fn check_sha256(path: &Path, bytes: &[u8], put: Put) -> Result<(), StorageError> {
    use sha2::Digest;
    match put.sha256 {
        Some(expected) if expected != <[u8; 32]>::from(sha2::Sha256::digest(bytes)) => {
            Err(StorageError {
                kind: StorageErrorKind::Corrupted,
                operation: "write",
                object: path.display().to_string(),
                message: "the bytes do not have the SHA-256 that was given for them".to_owned(),
                source: None,
            })
        }
        _ => Ok(()),
    }
}

fn cannot_lock(object: String) -> StorageError {
    StorageError {
        kind: StorageErrorKind::Other,
        operation: "write",
        object,
        message: "a folder has no locks: leave `lock` out of the schedule".to_owned(),
        source: None,
    }
}

fn key_of(root: &Path, path: &Path) -> String {
    let relative = path.strip_prefix(root).unwrap_or(path);
    relative.to_string_lossy().into_owned()
}

fn object_meta(key: String, meta: &fs::Metadata) -> io::Result<ObjectMeta> {
    Ok(ObjectMeta {
        key,
        bytes: meta.len(),
        modified_at: meta.modified()?.into(),
        class: None,
    })
}
