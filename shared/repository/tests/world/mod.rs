//! A repository in a folder of its own, and content to put into it.
#![allow(clippy::unwrap_used, missing_docs, dead_code, unreachable_pub)]

use std::sync::Arc;

use bytes::Bytes;
use logisedge_domain::Instant;
use logisedge_domain::id::SnapshotId;
use logisedge_repository::{
    KeyCost, KnownBlobs, Options, Password, Repository, RepositoryError, Snapshot, Writer,
    WriterStats,
};
use logisedge_storage::{FolderStore, ObjectStore};
use tempfile::TempDir;

pub const PASSWORD: &str = "a password with spaces";

pub fn password() -> Password {
    Password::new(PASSWORD.to_owned())
}

/// Small packs and blobs and a cheap key: many objects out of little content.
pub fn options() -> Options {
    Options {
        pack_bytes: 4 << 20,
        chunk_bytes_average: 64 << 10,
        key_cost: KeyCost {
            n_log2: 6,
            r: 8,
            p: 1,
        },
        ..Options::default()
    }
}

pub fn taken_at() -> Instant {
    chrono::DateTime::from_timestamp(1_795_000_000, 120_000_000).unwrap()
}

pub struct World {
    pub folder: TempDir,
    pub store: Arc<dyn ObjectStore>,
    pub repository: Repository,
}

pub type Files = [(String, Vec<u8>)];

impl World {
    pub async fn new() -> Self {
        Self::with(options()).await
    }

    pub async fn with(options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn ObjectStore> = Arc::new(folder_store(folder.path()));
        let repository = Repository::create(store.clone(), &password(), options)
            .await
            .unwrap();
        Self {
            folder,
            store,
            repository,
        }
    }

    pub async fn open(folder: TempDir) -> Self {
        let store: Arc<dyn ObjectStore> = Arc::new(folder_store(folder.path()));
        let repository = Repository::open(store.clone(), &password(), options())
            .await
            .unwrap();
        Self {
            folder,
            store,
            repository,
        }
    }

    pub async fn back_up(
        &self,
        known: KnownBlobs,
        files: &Files,
    ) -> Result<(SnapshotId, WriterStats), RepositoryError> {
        back_up(&self.repository, known, files).await
    }
}

pub fn folder_store(path: &std::path::Path) -> FolderStore {
    FolderStore::new(path).unwrap()
}

/// Stores `files`, each as a stream of its own at the same time, and commits.
pub async fn back_up(
    repository: &Repository,
    known: KnownBlobs,
    files: &Files,
) -> Result<(SnapshotId, WriterStats), RepositoryError> {
    let writer = repository.writer(known);
    let tree = store_files(&writer, files).await?;
    let stats = writer.finish().await?;
    let snapshot = Snapshot::new(tree, taken_at(), [("run", "nightly")]);
    Ok((repository.commit(snapshot).await?, stats))
}

pub async fn store_files(
    writer: &Writer,
    files: &Files,
) -> Result<logisedge_repository::BlobId, RepositoryError> {
    let mut streams = Vec::new();
    for (path, content) in files {
        let (path, content, mut file) = (path.clone(), content.clone(), writer.file());
        streams.push(tokio::task::spawn_blocking(move || {
            for piece in content.chunks(100_000) {
                file.write(piece)?;
            }
            Ok::<_, RepositoryError>((path, file.finish()?))
        }));
    }
    let mut stored = Vec::new();
    for stream in streams {
        stored.push(stream.await.unwrap()?);
    }
    let readme = writer.store_bytes(Bytes::from_static(b"hello")).await?;
    stored.push(("/README".to_owned(), readme));
    writer.tree(stored, taken_at()).await
}

/// Bytes that do not compress.
pub fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..bytes)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

/// About `bytes` of rows as COPY writes them.
pub fn rows(bytes: usize, seed: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes + 100);
    let mut n = seed << 32;
    while out.len() < bytes {
        n += 1;
        let h = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let line = format!(
            "{n}\tCustomer {}\t2026-{:02}-{:02}\t{}.{:02}\t\\N\tt\tnote {h:x}\n",
            h % 5000,
            h % 12 + 1,
            h % 28 + 1,
            h % 100_000,
            h % 100
        );
        out.extend_from_slice(line.as_bytes());
    }
    out.truncate(bytes);
    out
}
