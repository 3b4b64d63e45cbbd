//! Repositories: the restic repository format, version 2, written from its specification over an
//! [`ObjectStore`](logisedge_storage::ObjectStore). What lies where, and why, is in `FORMAT.md`.
//!
//! It knows neither databases nor AWS: streams of bytes go in under a path, and come out again.
//!
//! Writing: [`Repository::create`] or [`open`](Repository::open), a [`Writer`], one [`FileWriter`] a
//! stream, [`Writer::tree`], [`Writer::finish`], and last of all [`Repository::commit`].
//! Reading: [`Repository::load_index`], a [`Reader`]. Proving: [`check`]. Deleting: [`removal`] of
//! snapshots and whole chains, [`prune`] of what a chain's other snapshots do not need. [`holds`] say
//! what must not be deleted, [`object_lock`] sees to it that nothing can be destroyed; [`undelete`]
//! brings back what was deleted, [`archive`] tells what has to be thawed first.

pub mod archive;
mod blobs;
pub mod check;
mod chunker;
mod config;
mod crypto;
mod error;
mod file_writer;
#[cfg(test)]
mod fuzz;
mod golang;
pub mod holds;
mod id;
mod index;
mod keyfile;
mod layout;
pub mod object_lock;
mod options;
mod pack;
mod presence;
pub mod prune;
mod reader;
pub mod removal;
mod repository;
mod snapshot;
mod table;
mod tree;
pub mod undelete;
mod unpacked;
mod upload;
mod writer;

pub use blobs::KnownBlobs;
pub use chunker::{Bounds, Chunker};
pub use error::{RepositoryError, RepositoryErrorKind};
pub use file_writer::{FileWriter, StoredFile};
pub use id::{BlobId, IndexId, PackId};
pub use index::{BlobKind, Index, Location};
pub use keyfile::{KeyCost, Password};
pub use logisedge_domain::id::SnapshotId;
pub use options::Options;
pub use presence::{Presence, StoredPacks};
pub use reader::{FileNode, Reader};
pub use repository::Repository;
pub use snapshot::{Snapshot, Summary};
pub use writer::{Writer, WriterStats};
