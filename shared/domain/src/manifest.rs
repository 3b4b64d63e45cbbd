//! The manifest: what a snapshot says of itself, stored as `/manifest.json` inside it.
//!
//! Its fields are documented here and nowhere else; `shared/repository/FORMAT.md` refers to this.

use serde::{Deserialize, Serialize};

use crate::Instant;
use crate::id::{RunId, ScheduleName, ScopeName, SnapshotId, SourceName};
use crate::scope::Selection;
use crate::snapshot::Kind;
use crate::storage::StorageTier;

/// The version of the manifest's form that this code writes. Readers refuse a higher one.
pub const MANIFEST_VERSION: u32 = 1;

/// What a snapshot says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`] of the writer.
    pub version: u32,
    /// Which program wrote it: `logisedge-backup 0.1.0`.
    pub program: String,
    /// The run that made the snapshot.
    pub run: RunId,
    /// The schedule, if one's policies apply.
    pub schedule: Option<ScheduleName>,
    /// The scope.
    pub scope: ScopeName,
    /// What the scope selected at that time.
    pub selection: Selection,
    /// What was taken.
    pub kind: Kind,
    /// Why `kind` is not what was asked for.
    pub kind_reason: Option<String>,
    /// The snapshot of the chain that it shares with: the newest before it for an incremental, the
    /// chain's full for a differential. Restoring needs that one's blobs, not that snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<SnapshotId>,
    /// Where the rows that this snapshot added are to end up. The rest stays readable at once.
    #[serde(default, skip_serializing_if = "StorageTier::is_standard")]
    pub tier: StorageTier,
    /// When the source's snapshot was opened; the content is of this instant.
    pub taken_at: Instant,
    /// The source it came from.
    pub source: SourceFacts,
    /// How content is cut into blobs.
    pub chunking: Chunking,
    /// Every table, in the order in which a restore loads them.
    pub tables: Vec<TableEntry>,
    /// Every file under the snapshot's root but the manifest itself, sorted by path.
    pub files: Vec<FileEntry>,
    /// Foreign keys that leave the scope: restoring it alone leaves them unchecked.
    pub outside_references: Vec<ForeignKeyEdge>,
    /// What could not be carried and why, for people; empty for a complete snapshot.
    pub notes: Vec<String>,
}

/// The database that a snapshot came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFacts {
    /// The source's name in the configuration.
    pub name: SourceName,
    /// `postgresql` or `sqlite`.
    pub engine: String,
    /// The server's (or library's) version: `15.18`.
    pub engine_version: String,
    /// The database's name, or the file's name without its folder.
    pub database: String,
    /// Its character encoding, `UTF8`.
    pub encoding: String,
    /// Engine-specific facts for people and for later proofs (system identifier, timeline,
    /// snapshot's xmin, extensions with versions, pg_dump's version), sorted by key.
    pub details: std::collections::BTreeMap<String, String>,
    /// Where in its server's history the snapshot was taken. None: no later snapshot can prove that
    /// anything is unchanged since (another database than PostgreSQL 14 or later, a standby, or
    /// proving is turned off).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lineage: Option<Lineage>,
}

/// A point in the history of a PostgreSQL server, recorded so that a later snapshot can tell
/// whether its own history goes through it. How it is used, and why that is sound, is written down
/// in `shared/sources/src/postgres/unchanged.rs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// The cluster's own number, which `initdb` gave it; a decimal number of 64 bits.
    pub system_identifier: String,
    /// Rises with each promotion and point-in-time recovery.
    pub timeline: u32,
    /// `server_version_num`: 150018.
    pub server_version: u32,
    /// The database inside the cluster.
    pub database: u32,
    /// Every transaction before this one had ended when the snapshot was taken. 64 bits: it never
    /// wraps.
    pub xmin: u64,
    /// Transactions made for this record right after the snapshot was taken, and committed.
    pub committed: Vec<u64>,
    /// The others, rolled back. Which is which was drawn by lot: a server whose history does not
    /// go through here has other outcomes for these numbers, or none.
    pub rolled_back: Vec<u64>,
}

/// How content was cut: recorded so that a later reader can tell, not needed to restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunking {
    /// `fastcdc`.
    pub algorithm: String,
    /// Smallest blob, in bytes (the last of a file may be smaller).
    pub bytes_min: u64,
    /// Aimed-at average, in bytes.
    pub bytes_average: u64,
    /// Largest blob, in bytes.
    pub bytes_max: u64,
}

/// How a file's bytes are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowFormat {
    /// PostgreSQL's COPY text format, UTF-8, default delimiters.
    PostgresCopyText,
    /// One SQL `INSERT` statement a row, for SQLite.
    SqlInsert,
    /// The table's rows lie inside a database file that is stored whole.
    DatabaseFile,
}

/// One table of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableEntry {
    /// Its schema, unquoted. SQLite: `main`.
    pub schema: String,
    /// Its name, unquoted.
    pub name: String,
    /// The columns that the rows carry, in order, unquoted (generated ones are left out).
    pub columns: Vec<String>,
    /// How its rows are written.
    pub format: RowFormat,
    /// The files that hold its rows, absolute inside the snapshot, in order. Empty where the
    /// table has no rows of its own (a partitioned parent, an unpopulated view).
    pub files: Vec<String>,
    /// Rows.
    pub rows: u64,
    /// Bytes of its files together.
    pub bytes: u64,
    /// The multiset hash of its rows, see [`ContentHash`].
    pub content: ContentHash,
    /// What its rows were stored as in the database. None: it cannot be proven unchanged later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<TableStorage>,
    /// The stretches of the table that its files hold, in order. Empty where `storage` is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<RangeEntry>,
}

/// What identifies the storage of a table's rows and the way in which they are written as text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TableStorage {
    /// The table's oid.
    pub oid: u32,
    /// Its file's number, which changes with everything that moves rows between pages.
    pub filenode: u32,
    /// SHA-256 in hexadecimal of its columns, their types, and what those consist of.
    pub definition: String,
}

/// Pages of a table, from `first` up to and without `first + count`. Pages that the table does not
/// have yet are part of its last range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PageRange {
    /// The first page's number, from 0.
    pub first: u32,
    /// How many pages.
    pub count: u32,
}

/// The rows that lie in one range of a table's pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeEntry {
    /// The file that holds them, one of the table's.
    pub file: String,
    /// Where they lay.
    pub pages: PageRange,
    /// Rows.
    pub rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// The multiset hash of the rows.
    pub content: ContentHash,
}

/// A hash of a table's rows that does not depend on their order: the sum, modulo 2^128, of
/// XXH3-128 (seed 0) of each row's text without its line end. 32 hexadecimal digits, big-endian.
///
/// It answers "does this table hold these rows?" across a restore, where order and page layout
/// differ. It is not what protects the stored bytes: SHA-256 and Poly1305 do that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentHash(pub u128);

impl TryFrom<String> for ContentHash {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        match u128::from_str_radix(&text, 16) {
            Ok(sum) if digits => Ok(Self(sum)),
            _ => Err(format!("{text:?} is not 32 hexadecimal digits")),
        }
    }
}

impl From<ContentHash> for String {
    fn from(hash: ContentHash) -> String {
        format!("{:032x}", hash.0)
    }
}

impl std::fmt::Display for ContentHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Absolute inside the snapshot: `/data/public.customers.copy`.
    pub path: String,
    /// Its length in bytes.
    pub bytes: u64,
}

/// A foreign key from a table inside a scope to one outside it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ForeignKeyEdge {
    /// `schema.table` inside the scope.
    pub from: String,
    /// `schema.table` outside it.
    pub to: String,
    /// The constraint's name.
    pub constraint: String,
}
