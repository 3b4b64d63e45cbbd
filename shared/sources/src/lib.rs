//! Databases: the [`Source`] port streams a consistent snapshot out, the [`Target`] port streams
//! one in. PostgreSQL and SQLite.

mod error;
mod files;
mod folder;
mod port;
pub mod postgres;
mod rows;
mod script;
mod selection;
mod sqlite;

pub use error::{SourceError, SourceErrorKind};
pub use folder::FolderTarget;
pub use port::{
    Edge, OpenSnapshot, Part, RestoreFile, Source, SourceSnapshot, TableFacts, Target, TargetState,
};
pub use rows::{FRAGMENT_BYTES_MAX, RowFold, RowHasher, RowPiece, add};
pub use script::ScriptTarget;
pub use selection::select;
pub use sqlite::{SqliteSource, SqliteTarget};

/// About how large the buffers are in which rows travel, in bytes.
pub const BUFFER_BYTES: usize = logisedge_domain::memory::BUFFER_BYTES as usize;
