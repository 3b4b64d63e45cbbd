//! A chain whose content is known, and what can happen to it.
#![allow(clippy::unwrap_used, missing_docs, dead_code, unreachable_pub)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use async_trait::async_trait;
use logisedge_domain::Instant;
use logisedge_domain::id::SnapshotId;
use logisedge_repository::prune::{Guard, Prepared, Prices, Terms, prepare};
use logisedge_repository::{BlobKind, Index, KnownBlobs, Location, Options, Repository, Snapshot};
use logisedge_storage::{Fault, Faulty, ObjectStore};

use crate::world::{self, World, noise};

/// Bytes of a block of content, which is a handful of blobs.
const BLOCK: usize = 20_000;
const BLOCKS: usize = 12;

/// Something that happens to a chain.
#[derive(Debug, Clone)]
pub enum Step {
    /// So many percent of the content change, and an incremental is taken.
    Incremental { seed: u64, percent: u8 },
    /// The same with a differential.
    Differential { seed: u64, percent: u8 },
    /// A backup dies after its first pack.
    Abandoned { seed: u64 },
    /// A snapshot is dropped, unless it is the last.
    Drop(usize),
    /// A prune dies after so many operations of the store.
    PruneKilled {
        operations: u64,
        percent: u32,
        soon: bool,
    },
    /// A prune comes to its end.
    Prune { percent: u32, soon: bool },
}

/// A snapshot's files by path.
type Files = Vec<(String, Vec<u8>)>;

pub struct Chain {
    pub world: World,
    blocks: Vec<u64>,
    full: Snapshot,
    full_index: Index,
    snapshots: Vec<(SnapshotId, Files)>,
    /// Snapshots of which a killed prune may not have deleted the object yet.
    dropped: BTreeSet<SnapshotId>,
}

/// Blobs of about 4 KiB: many in little content.
pub fn options() -> Options {
    Options {
        chunk_bytes_average: 4 << 10,
        ..world::options()
    }
}

/// Later than anything that is written in a test.
pub fn far_ahead() -> Instant {
    chrono::Utc::now() + chrono::TimeDelta::days(1)
}

/// Terms of a folder. `soon`: what is kept goes soon, so that nothing is worth rewriting.
pub fn terms(percent: u32, soon: bool) -> Terms {
    let remaining = chrono::TimeDelta::days(if soon { 0 } else { 100 });
    let mut terms = Terms::new(
        far_ahead(),
        Prices::folder(),
        remaining,
        chrono::TimeDelta::zero(),
    );
    terms.needed_percent_min = percent;
    terms
}

/// Nobody reads, and the work may go on.
pub struct Free;

#[async_trait]
impl Guard for Free {
    fn may_begin(&self) -> Result<(), String> {
        Ok(())
    }

    async fn may_go_on(&self) -> Result<(), String> {
        Ok(())
    }

    async fn is_unread(&self) -> Result<(), String> {
        Ok(())
    }
}

impl Chain {
    /// A chain with its full.
    pub async fn begin(seed: u64) -> Self {
        let world = World::with(options()).await;
        let blocks: Vec<u64> = (0..BLOCKS as u64)
            .map(|n| seed.wrapping_mul(31) ^ (n << 40))
            .collect();
        let files = content(&blocks);
        let (id, _) = world.back_up(KnownBlobs::none(), &files).await.unwrap();
        let full = world.repository.snapshot(id).await.unwrap();
        let full_index = world.repository.load_index().await.unwrap();
        Self {
            world,
            blocks,
            full,
            full_index,
            snapshots: vec![(id, files)],
            dropped: BTreeSet::new(),
        }
    }

    /// So many percent of the content change, and an incremental is taken.
    pub async fn incremental(&mut self, seed: u64, percent: u8) {
        self.take(&Step::Incremental { seed, percent }).await;
    }

    /// A prune comes to its end.
    pub async fn prune(&mut self, percent: u32, soon: bool) {
        self.take(&Step::Prune { percent, soon }).await;
    }

    /// What a prune would do that nobody stands in the way of.
    pub async fn prepare(&self, terms: &Terms) -> Prepared {
        let nobody = BTreeSet::new();
        let prepared = prepare(&self.world.repository, &nobody, &nobody, terms);
        prepared.await.unwrap()
    }

    pub async fn take(&mut self, step: &Step) {
        match step {
            Step::Incremental { seed, percent } => {
                self.change(*seed, *percent);
                let known = self.world.repository.load_index().await.unwrap().known();
                self.back_up(known).await;
            }
            Step::Differential { seed, percent } => {
                self.change(*seed, *percent);
                // As an engine does: the full's blobs, as long as the full is there.
                let known = match self.world.repository.snapshots().await.unwrap().first() {
                    Some((_, first)) if *first == self.full => {
                        let index = self.world.repository.load_index().await.unwrap();
                        self.world
                            .repository
                            .reader(index)
                            .known(&self.full)
                            .await
                            .unwrap()
                    }
                    _ => KnownBlobs::none(),
                };
                self.back_up(known).await;
            }
            Step::Abandoned { seed } => self.abandon(*seed).await,
            Step::Drop(which) => {
                if self.snapshots.len() > 1 {
                    self.drop_number(which % self.snapshots.len()).await;
                }
            }
            Step::PruneKilled {
                operations,
                percent,
                soon,
            } => {
                if self.prune_killed(*operations, *percent, *soon).await {
                    self.nothing_is_left_over().await;
                }
            }
            Step::Prune { percent, soon } => {
                assert!(self.prune_killed(u64::MAX, *percent, *soon).await);
                self.nothing_is_left_over().await;
            }
        }
        self.every_snapshot_restores().await;
    }

    fn change(&mut self, seed: u64, percent: u8) {
        for (n, block) in self.blocks.iter_mut().enumerate() {
            let lot = seed
                .rotate_left(n as u32 * 5)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                >> 40;
            if lot % 100 < u64::from(percent) {
                *block = seed ^ (n as u64) << 32;
            }
        }
    }

    pub async fn back_up(&mut self, known: KnownBlobs) {
        let files = content(&self.blocks);
        let (id, _) = self.world.back_up(known, &files).await.unwrap();
        // Nothing changed: the same object, or another with the same content.
        self.snapshots.push((id, files));
    }

    async fn abandon(&mut self, seed: u64) {
        let store = Arc::new(Faulty::new(self.world.store.clone(), Fault::DiesAfter(4)));
        let opened = Repository::open(store, &world::password(), options()).await;
        let files = [("/lost".to_owned(), noise(30_000, seed | 1))];
        let packs = self.packs().await.len();
        let lost = world::back_up(&opened.unwrap(), KnownBlobs::none(), &files).await;
        assert!(lost.is_err());
        // One of its uploads was under way when the other failed.
        while self.packs().await.len() == packs {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// Drops a snapshot as a removal does that is cut short before anything else.
    pub async fn drop_number(&mut self, number: usize) {
        let (id, _) = self.snapshots.remove(number);
        self.dropped.insert(id);
        let store: &dyn ObjectStore = &*self.world.store;
        let key = format!("snapshots/{id}");
        store.delete(&[key]).await.unwrap();
    }

    /// Prunes at a store that dies after so many operations. Whether it came to its end.
    pub async fn prune_killed(&mut self, operations: u64, percent: u32, soon: bool) -> bool {
        let dying = Arc::new(Faulty::new(
            self.world.store.clone(),
            Fault::DiesAmidDeletes(operations),
        ));
        let Ok(repository) = Repository::open(dying, &world::password(), options()).await else {
            return false;
        };
        let Ok(prepared) = prepare(
            &repository,
            &self.dropped,
            &self.kept(),
            &terms(percent, soon),
        )
        .await
        else {
            return false;
        };
        assert_eq!(prepared.plan().held, None);
        let freed = prepared.plan().bytes_freed();
        match prepared.apply(&Free).await {
            Ok(applied) => {
                assert_eq!(applied.left, None);
                assert!(applied.bytes_deleted >= freed);
                true
            }
            Err(_) => false,
        }
    }

    pub fn newest(&self) -> SnapshotId {
        self.snapshots.last().unwrap().0
    }

    fn kept(&self) -> BTreeSet<SnapshotId> {
        self.snapshots.iter().map(|(id, _)| *id).collect()
    }

    pub async fn keys(&self, prefix: &str) -> BTreeSet<String> {
        let listed = self.world.store.list(prefix).await.unwrap();
        listed.into_iter().map(|meta| meta.key).collect()
    }

    pub async fn packs(&self) -> BTreeSet<String> {
        self.keys("data/").await
    }

    /// The locations of all blobs that are needed, each with all its copies.
    async fn needed(&self, index: &Index) -> Vec<(BlobKind, Vec<Location>)> {
        let reader = self.world.repository.reader(index.clone());
        let mut needed = Vec::new();
        for (id, _) in &self.snapshots {
            let snapshot = self.world.repository.snapshot(*id).await.unwrap();
            let known = reader.known(&snapshot).await.unwrap();
            for kind in [BlobKind::Data, BlobKind::Tree] {
                for blob in known.ids(kind) {
                    needed.push((kind, index.copies(kind, &blob).collect()));
                }
            }
        }
        needed
    }

    /// After a finished prune: every pack holds something that is needed, and the index names just
    /// what is there.
    async fn nothing_is_left_over(&self) {
        let index = self.world.repository.load_index().await.unwrap();
        let needed = self.needed(&index).await;
        let used: BTreeSet<String> = needed
            .iter()
            .flat_map(|(_, copies)| copies)
            .map(key)
            .collect();
        assert_eq!(self.packs().await, used);
        assert_eq!(index.packs(), used.len());
    }

    /// The pack of some needed blob of a kind.
    pub async fn pack_of(&self, kind: BlobKind) -> String {
        let index = self.world.repository.load_index().await.unwrap();
        let needed = self.needed(&index).await;
        let found = needed
            .iter()
            .find(|(of, copies)| *of == kind && copies.len() == 1);
        key(&found.unwrap().1[0])
    }

    /// Where some needed data blob lies in this pack.
    pub async fn location_in(&self, pack: &str) -> Location {
        let index = self.world.repository.load_index().await.unwrap();
        let needed = self.needed(&index).await;
        let found = needed
            .iter()
            .flat_map(|(_, copies)| copies)
            .find(|copy| key(copy) == pack);
        *found.unwrap()
    }

    pub async fn every_snapshot_restores(&self) {
        let (store, password) = (self.world.store.clone(), world::password());
        let repository = Repository::open(store, &password, options()).await.unwrap();
        let index = repository.load_index().await.unwrap();
        self.restore(&repository, &index).await;
    }

    pub async fn every_snapshot_restores_by(&self, index: &Index) {
        self.restore(&self.world.repository, index).await;
    }

    async fn restore(&self, repository: &Repository, index: &Index) {
        let reader = repository.reader(index.clone());
        for (id, files) in &self.snapshots {
            let snapshot = repository.snapshot(*id).await.unwrap();
            let found = reader.files(&snapshot).await.unwrap();
            assert_eq!(found.len(), files.len() + 1);
            for (path, content) in files {
                let (_, node) = found.iter().find(|(p, _)| p == path).unwrap();
                let read = reader.read_small_node(node, path, 1 << 30).await.unwrap();
                assert!(read == *content, "{path} of {id:?}");
            }
        }
    }

    /// Stock restic checks all of it, and restores the newest.
    pub fn restic_is_content(&self) {
        restic(self.world.folder.path(), &["check", "--read-data"]);
        let Some((id, files)) = self.snapshots.last() else {
            return;
        };
        let target = tempfile::tempdir().unwrap();
        let into = target.path().to_str().unwrap();
        restic(
            self.world.folder.path(),
            &["restore", &id.to_string(), "--target", into],
        );
        for (path, content) in files {
            let restored = target.path().join(path.trim_start_matches('/'));
            assert!(std::fs::read(&restored).unwrap() == *content, "{path}");
        }
    }
}

fn key(location: &Location) -> String {
    let name = location.pack.to_string();
    format!("data/{}/{name}", &name[..2])
}

/// Two files of blocks.
fn content(blocks: &[u64]) -> Vec<(String, Vec<u8>)> {
    let file = |blocks: &[u64]| {
        let blocks = blocks.iter().map(|seed| noise(BLOCK, *seed));
        blocks.collect::<Vec<_>>().concat()
    };
    let (a, b) = blocks.split_at(blocks.len() / 2);
    vec![
        ("/data/a.copy".to_owned(), file(a)),
        ("/data/b.copy".to_owned(), file(b)),
    ]
}

pub fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    // The first blob's own bytes: every tree pack begins with a tree that is needed.
    bytes[20] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

pub fn cut_short(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes.pop();
    std::fs::write(path, bytes).unwrap();
}

fn restic(repository: &Path, arguments: &[&str]) {
    let output = Command::new("restic")
        .args(["--no-cache", "--no-lock", "--repo"])
        .arg(repository)
        .args(arguments)
        .env("RESTIC_PASSWORD", world::PASSWORD)
        .output()
        .expect("restic must be installed: apt-get install restic");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {text}{errors}");
}
