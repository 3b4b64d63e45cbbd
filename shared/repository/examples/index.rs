//! What loading the index of a chain costs: `cargo run --release -p logisedge-repository --example
//! index [blobs]`, a million where nothing is said. It stores so many blobs of about 4 KiB in a
//! repository that keeps its index and drops its packs, then loads the index as an incremental does.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use logisedge_repository::{BlobKind, KnownBlobs, Options, Password, Repository};
use logisedge_storage::{ObjectMeta, ObjectStore, Put, StorageError, StorageErrorKind};

/// Holds everything but packs.
#[derive(Debug, Default)]
struct WithoutPacks(Mutex<BTreeMap<String, Bytes>>);

#[async_trait]
impl ObjectStore for WithoutPacks {
    async fn put(&self, key: &str, bytes: Bytes, _: Put) -> Result<(), StorageError> {
        if !key.starts_with("data/") {
            // A copy: the writer uses its buffers again.
            let bytes = Bytes::copy_from_slice(&bytes);
            self.0.lock().unwrap().insert(key.to_owned(), bytes);
        }
        Ok(())
    }
    async fn get(&self, key: &str) -> Result<Bytes, StorageError> {
        let found = self.0.lock().unwrap().get(key).cloned();
        found.ok_or_else(|| nothing(key))
    }
    async fn get_range(&self, key: &str, _: Range<u64>) -> Result<Bytes, StorageError> {
        Err(nothing(key))
    }
    async fn head(&self, key: &str) -> Result<ObjectMeta, StorageError> {
        let bytes = self.get(key).await?.len() as u64;
        let (key, modified_at) = (key.to_owned(), chrono::DateTime::UNIX_EPOCH);
        Ok(ObjectMeta {
            key,
            bytes,
            modified_at,
            class: None,
        })
    }
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StorageError> {
        let keys: Vec<String> = self.0.lock().unwrap().keys().cloned().collect();
        let mut found = Vec::new();
        for key in keys.iter().filter(|key| key.starts_with(prefix)) {
            found.push(self.head(key).await?);
        }
        Ok(found)
    }
    async fn list_folders(&self, _: &str) -> Result<Vec<String>, StorageError> {
        Ok(Vec::new())
    }
    async fn delete(&self, _: &[String]) -> Result<(), StorageError> {
        Ok(())
    }
    fn locate(&self, key: &str) -> String {
        key.to_owned()
    }
}

fn nothing(key: &str) -> StorageError {
    StorageError {
        kind: StorageErrorKind::NotFound,
        operation: "read",
        object: key.to_owned(),
        message: "it was dropped".to_owned(),
        source: None,
    }
}

/// Peak of the process's resident memory in MB, where the system tells it; the peak is then forgotten.
fn peak_megabytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    kib.unwrap_or(0.0) * 1024.0 / 1e6
}

#[tokio::main]
async fn main() {
    let blobs: usize = std::env::args()
        .nth(1)
        .map_or(1_000_000, |n| n.parse().unwrap());
    let options = Options {
        chunk_bytes_average: 4 << 10,
        ..Options::default()
    };
    let store = Arc::new(WithoutPacks::default());
    let password = Password::new("index".to_owned());
    let repository = Repository::create(store.clone(), &password, options)
        .await
        .unwrap();
    let writer = repository.writer(KnownBlobs::none());
    let mut file = writer.file();
    let stored = tokio::task::spawn_blocking(move || {
        let mut state = 1u64;
        let mut piece = vec![0u8; 256 << 10];
        // Noise is cut every 5 KiB or so.
        for _ in 0..blobs * 5 / 256 {
            for word in piece.chunks_exact_mut(8) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                word.copy_from_slice(&state.to_le_bytes());
            }
            file.write(&piece).unwrap();
        }
        file.finish().unwrap()
    })
    .await
    .unwrap();
    writer.finish().await.unwrap();
    let files = store.list("index/").await.unwrap();
    let bytes: u64 = files.iter().map(|meta| meta.bytes).sum();
    println!(
        "{} blobs in {} index files of {:.1} MB",
        stored.content.len(),
        files.len(),
        bytes as f64 / 1e6
    );
    let sample: Vec<_> = stored.content.iter().step_by(7).copied().collect();
    drop(stored);

    let before = peak_megabytes();
    let before = before.min(peak_megabytes());
    let began = Instant::now();
    let index = repository.load_index().await.unwrap();
    let took = began.elapsed();
    println!(
        "loaded in {:.2} s: {:.1} bytes a blob, peak {:.0} MB above the {before:.0} before",
        took.as_secs_f64(),
        index.heap_bytes() as f64 / index.len() as f64,
        peak_megabytes() - before
    );
    let known = index.known();
    let began = Instant::now();
    assert!(sample.iter().all(|id| known.contains(BlobKind::Data, id)));
    println!(
        "{:.0} ns a look",
        began.elapsed().as_nanos() as f64 / sample.len() as f64
    );
}
