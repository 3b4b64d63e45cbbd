//! What writing costs, in nanoseconds a byte on one thread: `cargo run --release -p
//! logisedge-repository --example throughput [MiB]`. The store drops what it is given, so this is
//! cutting, hashing, compressing, encrypting and packing alone, over rows like an ERP's.
#![allow(clippy::unwrap_used)]

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use logisedge_repository::{BlobId, Bounds, Chunker, KnownBlobs, Options, Password, Repository};
use logisedge_storage::{ObjectMeta, ObjectStore, Put, StorageError, StorageErrorKind};

/// Takes everything and keeps nothing.
#[derive(Debug)]
struct Nowhere;

#[async_trait]
impl ObjectStore for Nowhere {
    async fn put(&self, _: &str, _: Bytes, _: Put) -> Result<(), StorageError> {
        Ok(())
    }
    async fn get(&self, key: &str) -> Result<Bytes, StorageError> {
        Err(nothing(key))
    }
    async fn get_range(&self, key: &str, _: Range<u64>) -> Result<Bytes, StorageError> {
        Err(nothing(key))
    }
    async fn head(&self, key: &str) -> Result<ObjectMeta, StorageError> {
        Err(nothing(key))
    }
    async fn list(&self, _: &str) -> Result<Vec<ObjectMeta>, StorageError> {
        Ok(Vec::new())
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

/// Order lines as COPY writes them: keys that grow, names that repeat, numbers that do not.
fn rows(bytes: usize) -> Vec<u8> {
    use std::io::Write;
    let words = [
        "Bearing", "Gasket", "Flange", "Bolt M8", "Filter", "Hose", "Valve", "Pump",
    ];
    let mut out = Vec::with_capacity(bytes + 200);
    let mut state = 1u64;
    let mut n = 0u64;
    while out.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        n += 1;
        let s = state;
        writeln!(
            out,
            "{n}\t{}\t{}\tITM-{:06}\t{} {}\t{}.{:02}\t{}\tEUR\t2026-{:02}-{:02} {:02}:{:02}:{:02}.{:06}\t\\N\tt",
            n / 7,
            s % 5000,
            (s >> 13) % 40_000,
            words[(s >> 3) as usize % 8],
            (s >> 30) % 100,
            (s >> 17) % 10_000,
            s % 100,
            (s >> 40) % 50,
            (s >> 5) % 12 + 1,
            (s >> 9) % 28 + 1,
            (s >> 11) % 24,
            (s >> 15) % 60,
            (s >> 19) % 60,
            (s >> 23) % 1_000_000,
        )
        .unwrap();
    }
    out.truncate(bytes);
    out
}

fn report(what: &str, bytes: usize, began: Instant) {
    let each = began.elapsed().as_nanos() as f64 / bytes as f64;
    println!(
        "{what:<34} {each:6.2} ns a byte  {:7.0} MB/s",
        1000.0 / each
    );
}

#[tokio::main]
async fn main() {
    let mib: usize = std::env::args().nth(1).map_or(512, |n| n.parse().unwrap());
    let mut content = rows(mib << 20);
    let bytes = content.len();

    let began = Instant::now();
    let mut chunker = Chunker::new(Bounds::around(512 << 10));
    let (mut rest, mut cuts) = (&content[..], Vec::new());
    while let Some(cut) = chunker.next_cut(rest) {
        cuts.push(&rest[..cut]);
        rest = &rest[cut..];
    }
    report("cut", bytes, began);
    println!(
        "{:<34} {:6} KiB",
        "average blob",
        bytes / cuts.len().max(1) / 1024
    );
    let began = Instant::now();
    let sum = cuts
        .iter()
        .fold(0, |sum, cut| sum ^ BlobId::of(cut).as_bytes()[0]);
    report("hash", bytes, began);
    assert!(cuts.len() > 1 || sum == 0);

    let password = Password::new("throughput".to_owned());
    let options = Options::default();
    let repository = Repository::create(Arc::new(Nowhere), &password, options)
        .await
        .unwrap();
    let mut known = KnownBlobs::none();
    for what in ["all of it, new content", "all of it, nothing new"] {
        let writer = repository.writer(known.clone());
        let began = Instant::now();
        let mut file = writer.file();
        let (content_again, stored) = tokio::task::spawn_blocking(move || {
            for piece in content.chunks(256 << 10) {
                file.write(piece).unwrap();
            }
            (content, file.finish().unwrap())
        })
        .await
        .unwrap();
        let stats = writer.finish().await.unwrap();
        report(what, bytes, began);
        println!(
            "{:<34} {:6.1} %",
            "stored",
            stats.bytes_stored as f64 * 100.0 / bytes as f64
        );
        known = KnownBlobs::new(stored.content, []);
        content = content_again;
    }
}
