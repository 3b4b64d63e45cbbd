//! Restoring: a snapshot goes into a target, and what arrived is compared with what the source held,
//! table by table.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant as Stopwatch};

use bytes::Bytes;
use logisedge_domain::id::{ChainPath, SnapshotId};
use logisedge_domain::manifest::{ContentHash, FileEntry, Manifest, RowFormat};
use logisedge_repository::{FileNode, Options, Password, Reader, Repository, RepositoryErrorKind};
use logisedge_sources::{RestoreFile, Target, TargetState};
use logisedge_storage::{ObjectStore, Prefixed};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::backup::MANIFEST_PATH;
use crate::loads::{self, Load, Takes};
use crate::verify::{MANIFEST_BYTES_MAX, parse_manifest};
use crate::{EngineError, EngineErrorKind, Progress};

/// How large a schema section may be, in bytes.
const SCHEMA_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Blobs that wait between a file's reader and the target.
const BLOBS_QUEUED_MAX: usize = 2;

/// Memory of all the files that are read at the same time, in bytes.
const MEMORY_BYTES: u64 = 40 * 1024 * 1024;

/// A snapshot, opened for reading.
pub struct Opened {
    /// What the snapshot says of itself.
    pub manifest: Manifest,
    reader: Reader,
    files: BTreeMap<String, FileNode>,
}

/// A restored table beside what the source held.
#[derive(Debug, Clone, Serialize)]
pub struct TableComparison {
    /// `schema.table`.
    pub table: String,
    /// Rows in the source's snapshot.
    pub rows_expected: u64,
    /// Rows in the target now.
    pub rows: u64,
    /// Hash of the rows in the source's snapshot.
    pub content_expected: ContentHash,
    /// Hash of the rows in the target now.
    pub content: ContentHash,
}

impl TableComparison {
    /// Whether the target holds what the source held.
    pub fn agrees(&self) -> bool {
        self.rows == self.rows_expected && self.content == self.content_expected
    }
}

/// What a restore did.
#[derive(Debug, Clone, Serialize)]
pub struct Restored {
    /// Every table beside its source. None for targets that hold no database.
    pub tables: Option<Vec<TableComparison>>,
    /// What could not be restored as it was and why, for people.
    pub warnings: Vec<String>,
    /// Bytes written into the target.
    pub bytes: u64,
    /// Time for the restore itself, without the comparison.
    #[serde(rename = "restore_ms", serialize_with = "as_millis")]
    pub restoring: Duration,
    /// Time for reading everything back.
    #[serde(rename = "compare_ms", serialize_with = "as_millis")]
    pub comparing: Duration,
}

fn as_millis<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

impl Restored {
    /// Whether every table agrees. True where there was nothing to compare.
    pub fn agrees(&self) -> bool {
        self.tables.iter().flatten().all(TableComparison::agrees)
    }
}

/// Opens a snapshot and reads its manifest.
pub async fn open(
    location: Arc<dyn ObjectStore>,
    password: &Password,
    chain: &ChainPath,
    id: SnapshotId,
) -> Result<Opened, EngineError> {
    let chain = Arc::new(Prefixed::new(location, chain.as_str()));
    let repository = Repository::open(chain, password, Options::default()).await?;
    let snapshot = repository.snapshot(id).await?;
    let reader = repository.reader(repository.load_index().await?);
    let files: BTreeMap<String, FileNode> = reader.files(&snapshot).await?.into_iter().collect();
    let node = files.get(MANIFEST_PATH).ok_or_else(|| {
        damaged(format!(
            "snapshot {} has no manifest: it is not one of ours",
            id.short()
        ))
    })?;
    let text = reader
        .read_small_node(node, MANIFEST_PATH, MANIFEST_BYTES_MAX)
        .await?;
    let manifest = parse_manifest(&text)
        .map_err(|detail| damaged(format!("snapshot {}: {detail}", id.short())))?;
    Ok(Opened {
        manifest,
        reader,
        files,
    })
}

fn lacks(path: &str) -> EngineError {
    damaged(format!("the manifest names {path}, the snapshot lacks it"))
}

fn damaged(message: String) -> EngineError {
    EngineError::new(EngineErrorKind::Damaged, message)
}

impl Opened {
    /// Restores into `target`. A target that holds something is refused unless `overwrite`; what
    /// failed on the way is an error, what arrived different is in the comparison.
    pub async fn restore(
        &self,
        target: Arc<dyn Target>,
        overwrite: bool,
        progress: &Progress,
    ) -> Result<Restored, EngineError> {
        let stopwatch = Stopwatch::now();
        if let (TargetState::Occupied(what), false) = (target.state().await?, overwrite) {
            return Err(EngineError::new(
                EngineErrorKind::Refused,
                format!(
                    "the target is not empty, it holds {what}: name an empty one, or say --overwrite \
                     to replace what is there"
                ),
            ));
        }
        // Before anything is removed: what was there may be better than what cannot be read.
        let stored = self.reader.stored_packs().await?;
        self.reader.check_packs(self.files.values(), &stored)?;
        let frozen = self.frozen_of(&stored).await?;
        if !frozen.is_empty() {
            return Err(frozen.refusal());
        }
        let (rows, small) = self.split();
        let mut schema = BTreeMap::new();
        for file in small {
            schema.insert(file.path.clone(), self.read_small(&file.path).await?);
        }
        let takes = Takes {
            parallelism: target.parallelism().max(1),
            whole_tables: target.takes_whole_tables(),
        };
        let loads = loads::plan(&self.manifest.tables, &rows, &self.files, takes).map_err(lacks)?;
        let bytes = rows.iter().map(|file| file.bytes).sum();
        progress.expect(bytes, loads.len() as u64);
        target.begin(&self.manifest, &schema, overwrite).await?;
        self.load(&target, loads, progress).await?;
        target.finish(&self.manifest, &schema).await?;
        let restoring = stopwatch.elapsed();

        let stopwatch = Stopwatch::now();
        let tables = target
            .read_back(&self.manifest)
            .await?
            .map(|found| self.beside(found));
        let warnings = target.warnings();
        Ok(Restored {
            tables,
            warnings,
            bytes,
            restoring,
            comparing: stopwatch.elapsed(),
        })
    }

    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &FileNode> {
        self.files.values()
    }

    /// The files that hold rows, in the order in which they are to be loaded, and the small ones.
    fn split(&self) -> (Vec<&FileEntry>, Vec<&FileEntry>) {
        let is_rows = |file: &FileEntry| {
            file.path.starts_with("/data/") || file.path.starts_with("/database/")
        };
        let (rows, small): (Vec<_>, Vec<_>) = self.manifest.files.iter().partition(|f| is_rows(f));
        let mut position: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, path) in self
            .manifest
            .tables
            .iter()
            .flat_map(|t| &t.files)
            .enumerate()
        {
            position.entry(path).or_insert(index);
        }
        let mut rows = rows;
        rows.sort_by_key(|file| {
            position
                .get(file.path.as_str())
                .copied()
                .unwrap_or(usize::MAX)
        });
        (rows, small)
    }

    async fn read_small(&self, path: &str) -> Result<Bytes, EngineError> {
        Ok(self
            .reader
            .read_small_node(self.node(path)?, path, SCHEMA_BYTES_MAX)
            .await?)
    }

    fn node(&self, path: &str) -> Result<&FileNode, EngineError> {
        self.files.get(path).ok_or_else(|| lacks(path))
    }

    async fn load(
        &self,
        target: &Arc<dyn Target>,
        loads: Vec<Load>,
        progress: &Progress,
    ) -> Result<(), EngineError> {
        let parallelism = target.parallelism().max(1);
        let manifest = Arc::new(self.manifest.clone());
        let reader = self
            .reader
            .clone()
            .with_memory(MEMORY_BYTES / parallelism as u64);
        let mut waiting = loads.into_iter();
        let mut loading = JoinSet::new();
        loop {
            while loading.len() < parallelism {
                let Some(load) = waiting.next() else { break };
                loading.spawn(load_rows(
                    target.clone(),
                    manifest.clone(),
                    reader.clone(),
                    load,
                    progress.clone(),
                ));
            }
            match loading.join_next().await {
                None => return Ok(()),
                Some(done) => done.map_err(EngineError::panicked)??,
            }
            progress.add_part();
        }
    }

    fn beside(&self, found: Vec<(u64, ContentHash)>) -> Vec<TableComparison> {
        self.manifest
            .tables
            .iter()
            .zip(found)
            .map(|(table, (rows, content))| TableComparison {
                table: format!("{}.{}", table.schema, table.name),
                rows_expected: table.rows,
                rows,
                content_expected: table.content,
                content,
            })
            .collect()
    }

    /// Whether the rows lie inside a database file that is stored whole.
    pub fn is_database_file(&self) -> bool {
        self.manifest
            .tables
            .iter()
            .any(|table| table.format == RowFormat::DatabaseFile)
    }
}

async fn load_rows(
    target: Arc<dyn Target>,
    manifest: Arc<Manifest>,
    reader: Reader,
    load: Load,
    progress: Progress,
) -> Result<(), EngineError> {
    let (sink, mut from_reader) = mpsc::channel::<Bytes>(BLOBS_QUEUED_MAX);
    let (to_target, content) = mpsc::channel::<Bytes>(1);
    let counting = async move {
        while let Some(piece) = from_reader.recv().await {
            let bytes = piece.len() as u64;
            if to_target.send(piece).await.is_err() {
                break;
            }
            progress.add_bytes(bytes);
        }
    };
    let restoring = RestoreFile {
        path: load.path,
        bytes: load.node.bytes,
        is_whole_table: load.is_whole_table,
        content,
    };
    let (read, (), loaded) = tokio::join!(
        reader.read_file(&load.node, sink),
        counting,
        target.load(&manifest, restoring)
    );
    // Where the target failed, the reader only saw that nobody listens any more.
    match (read, loaded) {
        (Ok(()), loaded) => Ok(loaded?),
        (Err(error), Err(loaded)) if error.kind == RepositoryErrorKind::Aborted => {
            Err(loaded.into())
        }
        (Err(error), _) => Err(error.into()),
    }
}
