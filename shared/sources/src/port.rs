//! The ports themselves.

use std::collections::BTreeMap;
use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;
use logisedge_domain::Instant;
use logisedge_domain::manifest::{
    ForeignKeyEdge, Lineage, Manifest, PageRange, RowFormat, TableStorage,
};
use logisedge_domain::scope::Selection;
use tokio::sync::mpsc;

use crate::SourceError;

/// A foreign key that leaves a selection.
pub type Edge = ForeignKeyEdge;

/// A database that can be backed up.
#[async_trait]
pub trait Source: Debug + Send + Sync {
    /// Opens one consistent snapshot of what `selection` names. Fails where a pattern matches
    /// nothing, where rows would be hidden, and where a needed program is missing.
    ///
    /// `base` is an earlier snapshot of the same selection whose content is at hand: parts of it may
    /// then be [`unchanged`](SourceSnapshot::unchanged).
    async fn open(
        &self,
        selection: &Selection,
        base: Option<&Manifest>,
    ) -> Result<Box<dyn SourceSnapshot>, SourceError>;
}

/// What an open snapshot knows before any row is read.
#[derive(Debug, Clone)]
pub struct OpenSnapshot {
    /// `postgresql` or `sqlite`.
    pub engine: &'static str,
    /// `15.18`.
    pub engine_version: String,
    /// The database's name, or the file's name without its folder.
    pub database: String,
    /// `UTF8`.
    pub encoding: String,
    /// See [`logisedge_domain::manifest::SourceFacts::details`].
    pub details: BTreeMap<String, String>,
    /// The instant whose content will be read, by the database's own clock.
    pub taken_at: Instant,
    /// Tables in the order in which a restore loads them.
    pub tables: Vec<TableFacts>,
    /// What is to be streamed, the biggest tables first, the parts of each in order. Every part is
    /// one file of the snapshot.
    pub parts: Vec<Part>,
    /// Small files that are known already: schema sections, `restore.sql`. Path and content.
    pub files: Vec<(String, Bytes)>,
    /// Foreign keys that leave the selection.
    pub outside_references: Vec<Edge>,
    /// What cannot be carried and why, for people.
    pub notes: Vec<String>,
    /// Where in its server's history it stands, where the source can tell.
    pub lineage: Option<Lineage>,
    /// Why no part can be proven unchanged, for people. None: each part is asked for.
    pub all_read_because: Option<String>,
}

/// A table of an open snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFacts {
    /// Its schema, unquoted.
    pub schema: String,
    /// Its name, unquoted.
    pub name: String,
    /// Columns that its rows carry, unquoted.
    pub columns: Vec<String>,
    /// How its rows are written.
    pub format: RowFormat,
    /// Rows and content hash, where the source knows them without its parts being read (an SQLite
    /// file that is stored whole). None: they are counted from the parts as they stream.
    pub counted: Option<(u64, logisedge_domain::manifest::ContentHash)>,
    /// How its rows are stored, where a later snapshot may prove parts of it unchanged.
    pub storage: Option<TableStorage>,
}

/// One stream of a snapshot: a whole table, a range of one, or a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its position in [`OpenSnapshot::parts`].
    pub index: usize,
    /// The file it becomes, absolute inside the snapshot.
    pub path: String,
    /// The table it belongs to, an index into [`OpenSnapshot::tables`]. None: a database file.
    pub table: Option<usize>,
    /// The pages whose rows it holds, where it is a range of a table.
    pub pages: Option<PageRange>,
    /// About how many bytes it will give; for progress.
    pub bytes_estimated: u64,
}

/// One consistent snapshot, open until dropped or closed.
#[async_trait]
pub trait SourceSnapshot: Send + Sync {
    /// What is known before any row is read.
    fn facts(&self) -> &OpenSnapshot;

    /// How many parts may be read at the same time with profit (its connections).
    fn parallelism(&self) -> usize;

    /// The file of the base with just the rows that `part` holds, where that can be proven without
    /// reading them. None where it cannot: read the part. Can be called like [`Self::read`].
    async fn unchanged(&self, _part: &Part) -> Result<Option<String>, SourceError> {
        Ok(None)
    }

    /// Streams one part into `sink` in buffers of about [`crate::BUFFER_BYTES`], in order, and
    /// returns its bytes. Buffers end anywhere, also inside a row. When `sink` is closed it stops
    /// with `Aborted`. Can be called for several parts at the same time.
    async fn read(&self, part: &Part, sink: mpsc::Sender<Bytes>) -> Result<u64, SourceError>;

    /// Ends the snapshot. Fails where the database says that what was read may not be consistent.
    async fn close(&self) -> Result<(), SourceError>;
}

/// A file of a snapshot on its way into a target.
pub struct RestoreFile {
    /// Its path, absolute inside the snapshot. Of several files that come as one: the first's.
    pub path: String,
    /// Its length in bytes, as the manifest says.
    pub bytes: u64,
    /// Whether it holds all rows of its table.
    pub is_whole_table: bool,
    /// Its content in order. The channel closing early means that the reader failed, and the
    /// restore must not be taken for whole: count the bytes.
    pub content: mpsc::Receiver<Bytes>,
}

/// What a target holds before a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetState {
    /// Nothing: a restore can begin.
    Empty,
    /// Something, described for people: `12 tables (public.customers, …)`.
    Occupied(String),
}

/// Where a snapshot can be restored to. Calls come in the order of the methods.
#[async_trait]
pub trait Target: Debug + Send + Sync {
    /// Whether something is there already. Also the test whether the target can be reached.
    async fn state(&self) -> Result<TargetState, SourceError>;

    /// Makes ready for `manifest`'s content; `schema` holds the snapshot's small files
    /// (`/schema/pre-data.sql` …) by path. With `overwrite`, what is in the way is removed.
    async fn begin(
        &self,
        manifest: &Manifest,
        schema: &BTreeMap<String, Bytes>,
        overwrite: bool,
    ) -> Result<(), SourceError>;

    /// How many files may be loaded at the same time with profit.
    fn parallelism(&self) -> usize;

    /// Whether the files of a table may come one after another as one, which keeps its rows together
    /// and in order.
    fn takes_whole_tables(&self) -> bool {
        false
    }

    /// Loads one file of rows, or the database file. Can be called for several files at a time.
    async fn load(&self, manifest: &Manifest, file: RestoreFile) -> Result<(), SourceError>;

    /// Builds what comes after the rows: indexes, constraints, triggers, sequence values.
    async fn finish(
        &self,
        manifest: &Manifest,
        schema: &BTreeMap<String, Bytes>,
    ) -> Result<(), SourceError>;

    /// What could not be restored as it was and why, for people; complete after [`Self::finish`].
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Reads the restored tables back: rows and content hash of each entry of
    /// `manifest.tables`, in that order, so that a caller can compare. None for targets that
    /// hold no database (a folder, an SQL script).
    async fn read_back(
        &self,
        manifest: &Manifest,
    ) -> Result<Option<Vec<(u64, logisedge_domain::manifest::ContentHash)>>, SourceError>;
}
