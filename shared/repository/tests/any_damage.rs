//! Any byte of any object altered, any object cut short or prolonged anywhere: verify notices it, and
//! no reader ever gets other content than what was stored.
#![allow(clippy::unwrap_used, missing_docs)]

mod world;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use logisedge_domain::id::SnapshotId;
use logisedge_fuzz::Random;
use logisedge_repository::check::check_snapshot;
use logisedge_repository::{KnownBlobs, Repository, RepositoryError};
use logisedge_storage::{ObjectMeta, ObjectStore, Put, StorageError, StorageErrorKind};
use world::{World, noise, rows};

/// A repository's objects in memory, one of which is altered: thousands of alterations cost no disk.
#[derive(Debug)]
struct Altered {
    objects: BTreeMap<String, Bytes>,
    altered: Mutex<(String, Bytes)>,
}

impl Altered {
    async fn of(store: &dyn ObjectStore) -> Self {
        let mut objects = BTreeMap::new();
        for meta in store.list("").await.unwrap() {
            let bytes = store.get(&meta.key).await.unwrap();
            objects.insert(meta.key, bytes);
        }
        Self {
            objects,
            altered: Mutex::default(),
        }
    }

    fn alter(&self, key: &str, bytes: Vec<u8>) {
        *self.altered.lock().unwrap() = (key.to_owned(), Bytes::from(bytes));
    }

    fn object(&self, key: &str) -> Result<Bytes, StorageError> {
        let altered = self.altered.lock().unwrap();
        let found = match altered.0 == key {
            true => Some(&altered.1),
            false => self.objects.get(key),
        };
        // A copy, as a store that is far away gives: what is decrypted in place stays as it was here.
        found
            .map(|bytes| Bytes::copy_from_slice(bytes))
            .ok_or_else(|| failed(StorageErrorKind::NotFound, key))
    }
}

fn failed(kind: StorageErrorKind, key: &str) -> StorageError {
    StorageError {
        kind,
        operation: "read",
        object: key.to_owned(),
        message: "a failure of the test".to_owned(),
        source: None,
    }
}

#[async_trait]
impl ObjectStore for Altered {
    async fn put(&self, key: &str, _: Bytes, _: Put) -> Result<(), StorageError> {
        Err(failed(StorageErrorKind::Denied, key))
    }

    async fn get(&self, key: &str) -> Result<Bytes, StorageError> {
        self.object(key)
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StorageError> {
        let object = self.object(key)?;
        let range = range.start as usize..range.end as usize;
        match object.get(range) {
            Some(part) => Ok(Bytes::copy_from_slice(part)),
            None => Err(failed(StorageErrorKind::Corrupted, key)),
        }
    }

    async fn head(&self, key: &str) -> Result<ObjectMeta, StorageError> {
        let object = self.object(key)?;
        Ok(ObjectMeta {
            key: key.to_owned(),
            bytes: object.len() as u64,
            modified_at: world::taken_at(),
            class: None,
        })
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StorageError> {
        let mut found = Vec::new();
        for key in self.objects.keys().filter(|key| key.starts_with(prefix)) {
            found.push(self.head(key).await?);
        }
        Ok(found)
    }

    async fn list_folders(&self, _: &str) -> Result<Vec<String>, StorageError> {
        Ok(Vec::new())
    }

    async fn delete(&self, keys: &[String]) -> Result<(), StorageError> {
        Err(failed(StorageErrorKind::Denied, &keys.concat()))
    }

    fn locate(&self, key: &str) -> String {
        key.to_owned()
    }
}

struct Small {
    store: Arc<Altered>,
    repository: Repository,
    snapshot: SnapshotId,
    files: Vec<(String, Vec<u8>)>,
}

async fn small() -> Small {
    let world = World::new().await;
    let files = vec![
        ("/data/rows.copy".to_owned(), rows(3_000, 1)),
        ("/data/noise.copy".to_owned(), noise(700, 2)),
        ("/manifest.json".to_owned(), b"{}".to_vec()),
    ];
    let (snapshot, _) = world.back_up(KnownBlobs::none(), &files).await.unwrap();
    let store = Arc::new(Altered::of(&*world.store).await);
    let opened = Repository::open(store.clone(), &world::password(), world::options()).await;
    Small {
        store,
        repository: opened.unwrap(),
        snapshot,
        files,
    }
}

impl Small {
    /// Whether a verification finds damage.
    async fn is_found(&self) -> bool {
        let (on_blob, on_progress) = (Arc::new(|_, _: &[u8]| {}), Arc::new(|_| {}));
        let report = check_snapshot(&self.repository, self.snapshot, on_blob, on_progress).await;
        let findings = report.unwrap().findings;
        findings.iter().any(|finding| finding.kind.is_damage())
    }

    /// What a reader gets is what was stored, or an error.
    async fn reads_right_or_not_at_all(&self) -> Result<(), RepositoryError> {
        let snapshot = self.repository.snapshot(self.snapshot).await?;
        let reader = self.repository.reader(self.repository.load_index().await?);
        let found = reader.files(&snapshot).await?;
        assert_eq!(found.len(), self.files.len() + 1);
        for (path, content) in &self.files {
            let (_, node) = found.iter().find(|(p, _)| p == path).unwrap();
            let read = reader.read_small_node(node, path, 1 << 20).await?;
            assert!(read == *content, "{path}");
        }
        Ok(())
    }

    async fn check(&self, key: &str, bytes: Vec<u8>, what: &str) {
        self.store.alter(key, bytes);
        assert!(self.is_found().await, "{key}, {what}: not found");
        let _ = self.reads_right_or_not_at_all().await;
    }
}

#[tokio::test]
async fn every_altered_byte_is_found() {
    let small = small().await;
    assert!(!small.is_found().await);
    small.reads_right_or_not_at_all().await.unwrap();
    let mut random = Random::new(1);
    for (key, object) in &small.store.objects {
        for at in 0..object.len() {
            let mut bytes = object.to_vec();
            bytes[at] ^= 1 << random.below(8);
            small.check(key, bytes, &format!("byte {at}")).await;
        }
    }
}

#[tokio::test]
async fn every_other_length_is_found() {
    let small = small().await;
    for (key, object) in &small.store.objects {
        for length in 0..object.len() {
            let what = format!("cut to {length}");
            small.check(key, object[..length].to_vec(), &what).await;
        }
        for more in [1, 2, 16, 4096] {
            for byte in [0, 0xff, object[0]] {
                let mut bytes = object.to_vec();
                bytes.resize(object.len() + more, byte);
                small.check(key, bytes, &format!("{more} more")).await;
            }
        }
    }
}

#[tokio::test]
async fn any_alteration_is_found() {
    let small = small().await;
    let mut random = Random::new(2);
    let keys: Vec<&String> = small.store.objects.keys().collect();
    for _ in 0..1500 {
        let key = *random.one_of(&keys).unwrap();
        let object = &small.store.objects[key];
        let mut bytes = object.to_vec();
        let from = random.below(bytes.len());
        let to = (from + 1 + random.below(40)).min(bytes.len());
        match random.below(4) {
            0 => bytes[from..to].fill(0),
            1 => drop(bytes.drain(from..to)),
            2 => {
                let noise = random.bytes(to - from);
                bytes[from..to].copy_from_slice(&noise);
            }
            _ => {
                // What lies in another object, intact as it may be.
                let other = &small.store.objects[*random.one_of(&keys).unwrap()];
                bytes = other.to_vec();
            }
        }
        if bytes != *object {
            small.check(key, bytes, "altered").await;
        }
    }
}
