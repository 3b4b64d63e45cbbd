//! A folder as a [`Target`]: the snapshot's files as they are, for whoever wants to look at them or
//! restore them with stock tools.
//!
//! Everything is written into a hidden folder inside the target and moved into place at the end,
//! `manifest.json` last: a folder with a manifest is complete.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use logisedge_domain::manifest::{ContentHash, Manifest};
use tokio::sync::Mutex;

use crate::files::{self, failed, of_system};
use crate::{RestoreFile, SourceError, SourceErrorKind, Target, TargetState};

const STAGE_PREFIX: &str = ".logisedge-restore-";
const MANIFEST: &str = "manifest.json";

/// A new or empty folder, or one where an earlier restore is to be replaced.
#[derive(Debug)]
pub struct FolderTarget {
    path: PathBuf,
    stage: Mutex<Option<tempfile::TempDir>>,
}

impl FolderTarget {
    /// The folder at `path`. It is made if its parent exists.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            stage: Mutex::new(None),
        }
    }

    /// Where a file of the snapshot goes. A path that would leave the folder is refused: a snapshot
    /// is data, whoever made it.
    fn place(&self, stage: &Path, file: &str) -> Result<PathBuf, SourceError> {
        let inside = Path::new(file.trim_start_matches('/'));
        let plain = inside
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if !plain
            || inside.as_os_str().is_empty()
            || file.contains(['\0', '\\'])
            || inside == Path::new(MANIFEST)
        {
            return Err(failed(
                SourceErrorKind::Unsupported,
                "restore to",
                &self.path,
                format!("the snapshot names a file {file:?}, which has no safe place in a folder"),
            ));
        }
        let place = stage.join(inside);
        if let Some(folder) = place.parent() {
            std::fs::create_dir_all(folder).map_err(|error| of_system("make", folder, error))?;
        }
        Ok(place)
    }

    fn entries(&self) -> Result<Vec<String>, SourceError> {
        let entries = match std::fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(of_system("restore to", &self.path, error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| of_system("read", &self.path, error))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with(STAGE_PREFIX) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Replacing deletes `data`, `schema` and their like, so it is done only where the manifest of an
    /// earlier restore says that they are a snapshot's.
    fn check_replaceable(&self) -> Result<(), SourceError> {
        if self.entries()?.is_empty() {
            return Ok(());
        }
        let ours = std::fs::read(self.path.join(MANIFEST))
            .is_ok_and(|text| serde_json::from_slice::<Manifest>(&text).is_ok());
        if ours {
            return Ok(());
        }
        Err(failed(
            SourceErrorKind::NotEmpty,
            "restore to",
            &self.path,
            "it holds files but no manifest.json of an earlier restore, so nothing there is replaced; name a new folder or one that a restore made",
        ))
    }

    async fn stage(&self) -> Result<PathBuf, SourceError> {
        let stage = self.stage.lock().await;
        let stage = stage.as_ref().ok_or_else(|| files::not_begun(&self.path))?;
        Ok(stage.path().to_owned())
    }
}

/// Writes and syncs a small file.
fn write_small(place: &Path, content: &[u8]) -> Result<(), SourceError> {
    use std::io::Write as _;
    std::fs::File::create_new(place)
        .and_then(|mut file| {
            file.write_all(content)?;
            file.sync_all()
        })
        .map_err(|error| of_system("write", place, error))
}

/// Makes the names in `folder` and below it durable.
fn sync_tree(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        }
    }
    files::sync_folder(folder)
}

/// Moves the stage's entries into `folder`, in place of what has the same names there.
fn move_into(stage: &Path, folder: &Path) -> std::io::Result<()> {
    sync_tree(stage)?;
    let mut names = Vec::new();
    for entry in std::fs::read_dir(stage)? {
        names.push(entry?.file_name());
    }
    // An old manifest goes first and the new one comes last, so that at no time a manifest stands
    // beside files that are not its own.
    names.sort_by_key(|name| name == MANIFEST);
    let remove = |path: &Path| match std::fs::symlink_metadata(path) {
        Ok(facts) if facts.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    remove(&folder.join(MANIFEST))?;
    // What only the earlier restore had would be taken for a part of this one.
    for name in ["data", "database", "schema", "restore.sql"] {
        remove(&folder.join(name))?;
    }
    for name in names {
        remove(&folder.join(&name))?;
        std::fs::rename(stage.join(&name), folder.join(&name))?;
    }
    files::sync_folder(folder)
}

#[async_trait]
impl Target for FolderTarget {
    async fn state(&self) -> Result<TargetState, SourceError> {
        let names = self.entries()?;
        Ok(match names.as_slice() {
            [] => TargetState::Empty,
            [first, ..] => {
                TargetState::Occupied(format!("{} files and folders ({first}, …)", names.len()))
            }
        })
    }

    async fn begin(
        &self,
        manifest: &Manifest,
        schema: &BTreeMap<String, Bytes>,
        overwrite: bool,
    ) -> Result<(), SourceError> {
        if let (TargetState::Occupied(what), false) = (self.state().await?, overwrite) {
            return Err(failed(
                SourceErrorKind::NotEmpty,
                "restore to",
                &self.path,
                format!("it holds {what}; name a new folder, or allow overwriting"),
            ));
        }
        self.check_replaceable()?;
        if !self.path.exists() {
            std::fs::create_dir(&self.path)
                .map_err(|error| of_system("make", &self.path, error))?;
        }
        let stage = tempfile::Builder::new()
            .prefix(STAGE_PREFIX)
            .tempdir_in(&self.path)
            .map_err(|error| of_system("write into", &self.path, error))?;
        for (path, content) in schema {
            write_small(&self.place(stage.path(), path)?, content)?;
        }
        let text = serde_json::to_vec_pretty(manifest).map_err(|error| {
            failed(
                SourceErrorKind::Failed,
                "restore to",
                &self.path,
                format!("its manifest cannot be written: {error}"),
            )
        })?;
        write_small(&stage.path().join(MANIFEST), &text)?;
        *self.stage.lock().await = Some(stage);
        Ok(())
    }

    fn parallelism(&self) -> usize {
        2
    }

    async fn load(&self, _manifest: &Manifest, mut file: RestoreFile) -> Result<(), SourceError> {
        let place = self.place(&self.stage().await?, &file.path)?;
        let wrote = |error| of_system("write", &place, error);
        let mut to = tokio::fs::File::create_new(&place).await.map_err(wrote)?;
        files::write_content(&mut to, &self.path, &mut file).await?;
        to.sync_all().await.map_err(wrote)
    }

    async fn finish(
        &self,
        _manifest: &Manifest,
        _schema: &BTreeMap<String, Bytes>,
    ) -> Result<(), SourceError> {
        let stage = self
            .stage
            .lock()
            .await
            .take()
            .ok_or_else(|| files::not_begun(&self.path))?;
        let folder = self.path.clone();
        // Somebody may have put files there while the restore ran.
        self.check_replaceable()?;
        tokio::task::spawn_blocking(move || move_into(stage.path(), &folder))
            .await
            .map_err(|error| {
                failed(
                    SourceErrorKind::Aborted,
                    "restore to",
                    &self.path,
                    error.to_string(),
                )
            })?
            .map_err(|error| of_system("write into", &self.path, error))
    }

    async fn read_back(
        &self,
        _manifest: &Manifest,
    ) -> Result<Option<Vec<(u64, ContentHash)>>, SourceError> {
        Ok(None)
    }
}
