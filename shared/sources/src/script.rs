//! One `.sql` file as a [`Target`], for stock `psql` or `sqlite3`.
//!
//! The snapshot's own `restore.sql` says what a restore does in which order; here its references to
//! other files are replaced by their contents, so the script can do nothing that it would not.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use logisedge_domain::manifest::{ContentHash, Manifest};
use tempfile::{NamedTempFile, TempPath};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Mutex;

use crate::files::{self, failed, of_system};
use crate::{RestoreFile, SourceError, SourceErrorKind, Target, TargetState};

/// The script that every snapshot carries.
const RESTORE: &str = "/restore.sql";

/// A new `.sql` file, or one to be replaced.
#[derive(Debug)]
pub struct ScriptTarget {
    path: PathBuf,
    building: Mutex<Option<Building>>,
}

#[derive(Debug)]
struct Building {
    file: tokio::fs::File,
    temporary: TempPath,
    /// What has not been written yet.
    steps: VecDeque<Step>,
    /// Rows that came before their turn, by path.
    early: BTreeMap<String, TempPath>,
    overwrite: bool,
}

/// A piece of the script.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Text that is known.
    Text(Bytes),
    /// The rows of a file, between two texts.
    Rows {
        path: String,
        before: String,
        after: &'static str,
    },
}

impl ScriptTarget {
    /// The file at `path`; its folder must exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            building: Mutex::new(None),
        }
    }

    fn refuse(&self, what: String) -> SourceError {
        failed(
            SourceErrorKind::NotEmpty,
            "restore to",
            &self.path,
            format!("it holds {what}; name a new file, or allow overwriting"),
        )
    }
}

/// Turns `restore.sql` into steps.
fn steps(path: &Path, schema: &BTreeMap<String, Bytes>) -> Result<VecDeque<Step>, SourceError> {
    let refused = |kind, message: &str| failed(kind, "restore to", path, message);
    let script = schema
        .get(RESTORE)
        .and_then(|bytes| std::str::from_utf8(bytes).ok())
        .ok_or_else(|| {
            refused(
                SourceErrorKind::Unsupported,
                "the snapshot has no readable restore.sql; restore it to a folder instead",
            )
        })?;
    let mut steps = VecDeque::new();
    for line in script.lines() {
        if line.starts_with(".restore ") {
            return Err(refused(
                SourceErrorKind::Unsupported,
                "the snapshot is a whole SQLite file, not SQL; restore it to an SQLite file or a folder",
            ));
        }
        let included = line
            .strip_prefix("\\ir ")
            .or_else(|| line.strip_prefix(".read "));
        if let Some(name) = included {
            let name = format!("/{}", name.trim().trim_matches('\''));
            match schema.get(&name) {
                Some(content) => {
                    steps.push_back(Step::Text(content.clone()));
                    steps.push_back(Step::Text(Bytes::from_static(b"\n")));
                }
                None => steps.push_back(Step::Rows {
                    path: name,
                    before: String::new(),
                    after: "",
                }),
            }
        } else if let Some(copy) = line.strip_prefix("\\copy ") {
            let (table, name) = copy
                .rsplit_once(" from '")
                .ok_or_else(|| refused(SourceErrorKind::Unsupported, "its restore.sql has a \\copy of an unknown form; restore it to a folder instead"))?;
            steps.push_back(Step::Rows {
                path: format!(
                    "/{}",
                    name.trim_end().trim_end_matches('\'').replace("''", "'")
                ),
                before: format!("COPY {table} FROM stdin;\n"),
                after: "\\.\n",
            });
        } else if !line.starts_with("--") {
            steps.push_back(Step::Text(Bytes::from(format!("{line}\n"))));
        }
    }
    Ok(steps)
}

impl Building {
    /// Writes what can be written until rows are needed that have not come.
    async fn advance(&mut self) -> std::io::Result<()> {
        while let Some(step) = self.steps.pop_front() {
            match step {
                Step::Text(text) => self.file.write_all(&text).await?,
                Step::Rows {
                    path,
                    before,
                    after,
                } => {
                    let Some(spooled) = self.early.remove(&path) else {
                        self.steps.push_front(Step::Rows {
                            path,
                            before,
                            after,
                        });
                        return Ok(());
                    };
                    self.file.write_all(before.as_bytes()).await?;
                    let mut rows = tokio::fs::File::open(&spooled).await?;
                    tokio::io::copy(&mut rows, &mut self.file).await?;
                    self.file.write_all(after.as_bytes()).await?;
                }
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Target for ScriptTarget {
    async fn state(&self) -> Result<TargetState, SourceError> {
        files::file_state(&self.path)
    }

    async fn begin(
        &self,
        manifest: &Manifest,
        schema: &BTreeMap<String, Bytes>,
        overwrite: bool,
    ) -> Result<(), SourceError> {
        if let (TargetState::Occupied(what), false) = (self.state().await?, overwrite) {
            return Err(self.refuse(what));
        }
        let folder = files::folder_of(&self.path);
        let (file, temporary) = files::temporary_in(folder)?.into_parts();
        let mut building = Building {
            file: tokio::fs::File::from_std(file),
            temporary,
            steps: steps(&self.path, schema)?,
            early: BTreeMap::new(),
            overwrite,
        };
        let title = format!(
            "-- {} database {}, scope {}, as of {}\n-- Run with: {}\n",
            manifest.source.engine,
            manifest.source.database.replace(['\n', '\r'], " "),
            manifest.scope,
            manifest.taken_at.to_rfc3339(),
            if manifest.source.engine == "sqlite" {
                "sqlite3 new.db < this file"
            } else {
                "psql -X --dbname=<an empty database> --file=<this file>"
            }
        );
        building.steps.push_front(Step::Text(Bytes::from(title)));
        building
            .advance()
            .await
            .map_err(|error| of_system("write", &self.path, error))?;
        *self.building.lock().await = Some(building);
        Ok(())
    }

    fn parallelism(&self) -> usize {
        1
    }

    async fn load(&self, _manifest: &Manifest, mut file: RestoreFile) -> Result<(), SourceError> {
        let wrote = |error| of_system("write", &self.path, error);
        let mut held = self.building.lock().await;
        let building = held.as_mut().ok_or_else(|| files::not_begun(&self.path))?;
        let is_next =
            matches!(building.steps.front(), Some(Step::Rows { path, .. }) if *path == file.path);
        let wanted = |step: &Step| matches!(step, Step::Rows { path, .. } if *path == file.path);
        if !building.steps.iter().any(wanted) {
            return Err(failed(
                SourceErrorKind::Unsupported,
                "restore to",
                &self.path,
                format!(
                    "the snapshot's restore.sql does not mention {}; restore it to a folder instead",
                    file.path
                ),
            ));
        }
        if is_next {
            let Some(Step::Rows { before, after, .. }) = building.steps.pop_front() else {
                return Err(files::not_begun(&self.path));
            };
            building
                .file
                .write_all(before.as_bytes())
                .await
                .map_err(wrote)?;
            files::write_content(&mut building.file, &self.path, &mut file).await?;
            building
                .file
                .write_all(after.as_bytes())
                .await
                .map_err(wrote)?;
        } else {
            let (spool, path) = files::temporary_in(files::folder_of(&self.path))?.into_parts();
            let mut spool = tokio::fs::File::from_std(spool);
            files::write_content(&mut spool, &self.path, &mut file).await?;
            spool.flush().await.map_err(wrote)?;
            building.early.insert(file.path, path);
        }
        building.advance().await.map_err(wrote)
    }

    async fn finish(
        &self,
        _manifest: &Manifest,
        _schema: &BTreeMap<String, Bytes>,
    ) -> Result<(), SourceError> {
        let mut building = self
            .building
            .lock()
            .await
            .take()
            .ok_or_else(|| files::not_begun(&self.path))?;
        if let Some(Step::Rows { path, .. }) = building.steps.front() {
            return Err(failed(
                SourceErrorKind::Aborted,
                "restore to",
                &self.path,
                format!(
                    "{path}, which the snapshot's restore.sql needs, did not come; verify the snapshot"
                ),
            ));
        }
        let wrote = |error| of_system("write", &self.path, error);
        building.file.flush().await.map_err(wrote)?;
        building.file.sync_all().await.map_err(wrote)?;
        if let (TargetState::Occupied(what), false) = (self.state().await?, building.overwrite) {
            return Err(self.refuse(what));
        }
        let file = building.file.into_std().await;
        NamedTempFile::from_parts(file, building.temporary)
            .persist(&self.path)
            .map_err(|error| wrote(error.error))?;
        files::sync_folder(files::folder_of(&self.path)).map_err(wrote)
    }

    async fn read_back(
        &self,
        _manifest: &Manifest,
    ) -> Result<Option<Vec<(u64, ContentHash)>>, SourceError> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_restore_script_becomes_steps_or_is_refused() {
        let sample = "-- a comment\nBEGIN;\n\\ir schema/pre-data.sql\n.read 'schema/post-data.sql'\n\
            \\copy public.\"a'' b\" (id, x) from 'data/public.a''b.copy'\nCOMMIT;\n";
        let file = |name: &str| (name.to_owned(), Bytes::from_static(b"SELECT 1;\n"));
        let path = Path::new("/restored.sql");
        logisedge_fuzz::Fuzz::new("restore.sql", 40_000)
            .sample(sample)
            .sample(".restore database/erp.db\n")
            .run(|bytes| {
                let script = Bytes::copy_from_slice(bytes);
                let files = [(RESTORE.to_owned(), script), file("/schema/pre-data.sql")];
                match steps(path, &files.into()) {
                    Err(error) => assert!(!error.to_string().is_empty()),
                    Ok(steps) => {
                        let rows = steps
                            .iter()
                            .filter(|step| matches!(step, Step::Rows { .. }));
                        assert!(rows.count() <= bytes.split(|byte| *byte == b'\n').count());
                    }
                }
            });
    }
}
