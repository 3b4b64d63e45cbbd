//! Reading files back: in order, ahead of their consumer, every blob checked.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use logisedge_domain::finding::FindingKind;
use logisedge_storage::StorageErrorKind;
use tokio::sync::mpsc;

use crate::blobs::KnownBlobs;
use crate::error::{RepositoryError, RepositoryErrorKind};
use crate::id::BlobId;
use crate::index::{BlobKind, Index, Location};
use crate::layout;
use crate::repository::{Repository, missing};
use crate::snapshot::Snapshot;
use crate::tree::Tree;
use crate::unpacked::BlobOpener;
use crate::writer::off_runtime;

/// Plaintext that one request asks for at most, unless a single blob is bigger.
const RANGE_PLAIN_BYTES_MAX: u64 = 4 << 20;
/// Requests that one file has under way at most.
const RANGES_AHEAD_MAX: u64 = 8;
/// Memory of a file that is being read, unless [`Reader::with_memory`] says otherwise.
const MEMORY_BYTES: u64 = 24 << 20;
/// Deepest nesting of directories that is followed: deeper than any file system restores.
pub(crate) const DEPTH_MAX: usize = 256;

/// A file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileNode {
    /// Its blobs in order.
    pub content: Vec<BlobId>,
    /// Its length in bytes, as its tree says.
    pub bytes: u64,
}

/// Reads through one index. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reader {
    repository: Repository,
    index: Index,
    openers: Arc<Openers>,
    memory_bytes: u64,
}

/// Those that no thread uses at the moment: each holds a context of zstd's.
#[derive(Default)]
struct Openers(Mutex<Vec<BlobOpener>>);

impl Openers {
    fn take(&self) -> std::io::Result<BlobOpener> {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.map_or_else(BlobOpener::new, Ok)
    }

    fn give_back(&self, opener: BlobOpener) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(opener);
    }
}

impl std::fmt::Debug for Openers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Openers(…)")
    }
}

/// Blobs of one pack that lie one after another.
struct Range {
    first: Location,
    /// End of the last, in bytes from the pack's start.
    end: u64,
    blobs: Vec<(BlobId, Location)>,
}

/// Whether a blob's copy in another pack may be readable where this one is not: it is damaged, or lies in
/// an archived storage class.
fn another_copy_may_do(error: &RepositoryError) -> bool {
    let archived = RepositoryErrorKind::Storage(StorageErrorKind::Archived);
    error.finding().is_some() || error.kind == archived
}

impl Reader {
    pub(crate) fn new(repository: Repository, index: Index) -> Self {
        Self {
            repository,
            index,
            openers: Arc::default(),
            memory_bytes: MEMORY_BYTES,
        }
    }

    pub(crate) fn repository(&self) -> &Repository {
        &self.repository
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// Bounds the memory of each file that is being read: what was asked for and what was not yet
    /// taken. A file whose blobs are larger than half of it is read blob by blob.
    #[must_use]
    pub fn with_memory(mut self, bytes: u64) -> Self {
        self.memory_bytes = bytes;
        self
    }

    /// Every regular file of a snapshot by its absolute path, sorted by it. Other kinds of
    /// nodes, which only restic itself writes, are left out.
    pub async fn files(
        &self,
        snapshot: &Snapshot,
    ) -> Result<Vec<(String, FileNode)>, RepositoryError> {
        let mut files = Vec::new();
        self.walk(snapshot, |_, _| (), |path, node| files.push((path, node)))
            .await?;
        files.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(files)
    }

    /// The blobs of a snapshot: what a differential need not store again when this is its full.
    pub async fn known(&self, snapshot: &Snapshot) -> Result<KnownBlobs, RepositoryError> {
        let (mut data, mut trees) = (Vec::new(), Vec::new());
        self.walk(
            snapshot,
            |_, tree| trees.push(tree),
            |_, node| data.extend(node.content),
        )
        .await?;
        Ok(KnownBlobs::new(data, trees))
    }

    async fn walk(
        &self,
        snapshot: &Snapshot,
        mut on_tree: impl FnMut(&str, BlobId) + Send,
        mut on_file: impl FnMut(String, FileNode) + Send,
    ) -> Result<(), RepositoryError> {
        let mut open = vec![(String::new(), snapshot.tree, 0)];
        while let Some((path, id, depth)) = open.pop() {
            on_tree(&path, id);
            let broken = |why: &str| {
                let object = if path.is_empty() { "/" } else { &path };
                RepositoryError::damaged(FindingKind::TreeBroken, object, why)
            };
            if depth > DEPTH_MAX {
                return Err(broken("its directories are nested too deeply"));
            }
            let json = self.blob(BlobKind::Tree, id).await?;
            let tree: Tree =
                serde_json::from_slice(&json).map_err(|e| broken(&format!("its JSON: {e}")))?;
            for node in tree.nodes {
                let name = node
                    .name()
                    .ok_or_else(|| broken("an entry has no valid name"))?;
                let path = format!("{path}/{name}");
                match (node.node_type.as_str(), node.subtree) {
                    ("dir", Some(subtree)) => open.push((path, subtree, depth + 1)),
                    ("dir", None) => return Err(broken("a directory in it has no tree")),
                    ("file", _) => on_file(
                        path,
                        FileNode {
                            content: node.content.unwrap_or_default(),
                            bytes: node.size,
                        },
                    ),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// One whole file of at most `bytes_max`. `NotFound` where the snapshot has no such file,
    /// `TooLarge` where it is bigger.
    pub async fn read_small(
        &self,
        snapshot: &Snapshot,
        path: &str,
        bytes_max: u64,
    ) -> Result<Bytes, RepositoryError> {
        let files = self.files(snapshot).await?;
        let node = files.into_iter().find(|(p, _)| p == path).map(|(_, n)| n);
        let Some(node) = node else {
            return Err(RepositoryError::new(
                RepositoryErrorKind::NotFound,
                "read",
                path,
                "the snapshot has no such file",
            ));
        };
        self.read_small_node(&node, path, bytes_max).await
    }

    /// The same for a file that is known already; `path` is for messages.
    pub async fn read_small_node(
        &self,
        node: &FileNode,
        path: &str,
        bytes_max: u64,
    ) -> Result<Bytes, RepositoryError> {
        if node.bytes > bytes_max {
            return Err(RepositoryError::new(
                RepositoryErrorKind::TooLarge,
                "read",
                path,
                format!(
                    "its {} bytes are more than the {bytes_max} expected",
                    node.bytes
                ),
            ));
        }
        let (sink, mut pieces) = mpsc::channel::<Bytes>(1);
        let mut whole = BytesMut::new();
        let collect = async {
            while let Some(piece) = pieces.recv().await {
                whole.extend_from_slice(&piece);
            }
        };
        let (read, ()) = tokio::join!(self.read_file(node, sink), collect);
        read?;
        Ok(whole.freeze())
    }

    /// Sends a file's bytes in order, a blob a message, reading some requests ahead. Every blob is
    /// authenticated and hashed before it is sent. Fails with `Aborted` when `sink` is closed; the
    /// bytes that were sent before a failure are good, but not all.
    pub async fn read_file(
        &self,
        node: &FileNode,
        sink: mpsc::Sender<Bytes>,
    ) -> Result<(), RepositoryError> {
        let ranges = self.ranges(&node.content)?;
        let promised: u64 = ranges
            .iter()
            .flat_map(|range| &range.blobs)
            .map(|(_, location)| location.plain_bytes())
            .sum();
        if promised != node.bytes {
            let message = format!(
                "its blobs hold {promised} bytes where its tree says {}",
                node.bytes
            );
            return Err(RepositoryError::damaged(
                FindingKind::TreeBroken,
                "a file",
                message,
            ));
        }
        let ahead = self.memory_bytes / (2 * self.range_plain_bytes());
        let mut read = futures_util::stream::iter(ranges)
            .map(|range| self.fetch_good(range))
            .buffered(ahead.clamp(1, RANGES_AHEAD_MAX) as usize);
        while let Some(blobs) = read.next().await {
            for blob in blobs? {
                sink.send(blob).await.map_err(|_| {
                    RepositoryError::new(
                        RepositoryErrorKind::Aborted,
                        "read",
                        "a file",
                        "its consumer went away",
                    )
                })?;
            }
        }
        Ok(())
    }

    /// One blob's plaintext, from whichever of its copies is good.
    pub(crate) async fn blob(&self, kind: BlobKind, id: BlobId) -> Result<Bytes, RepositoryError> {
        let mut last = self.locate(kind, &id).err();
        let copies: Vec<Location> = self.index.copies(kind, &id).collect();
        for location in copies {
            let range = Range {
                first: location,
                end: location.end(),
                blobs: vec![(id, location)],
            };
            match self.fetch(range).await {
                Ok(blobs) => return Ok(blobs.into_iter().next().unwrap_or_default()),
                Err(error) if another_copy_may_do(&error) => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        last.map_or_else(|| Ok(Bytes::new()), Err)
    }

    pub(crate) fn locate(&self, kind: BlobKind, id: &BlobId) -> Result<Location, RepositoryError> {
        self.index.locate(kind, id).ok_or_else(|| {
            RepositoryError::damaged(
                FindingKind::BlobMissing,
                format!("blob {id}"),
                "no index names it",
            )
        })
    }

    /// A range under way holds what is stored and its plaintext, together up to twice as much. Three
    /// at a time keep a store with a long way to it busy.
    fn range_plain_bytes(&self) -> u64 {
        (self.memory_bytes / 6).clamp(1, RANGE_PLAIN_BYTES_MAX)
    }

    fn ranges(&self, content: &[BlobId]) -> Result<Vec<Range>, RepositoryError> {
        let mut ranges: Vec<Range> = Vec::new();
        let plain_bytes_max = self.range_plain_bytes();
        let mut plain_bytes = 0;
        for id in content {
            let location = self.locate(BlobKind::Data, id)?;
            let end = location.end();
            plain_bytes += location.plain_bytes();
            match ranges.last_mut() {
                Some(range)
                    if range.first.pack == location.pack
                        && range.end == u64::from(location.offset)
                        && plain_bytes <= plain_bytes_max =>
                {
                    range.end = end;
                    range.blobs.push((*id, location));
                }
                _ => {
                    plain_bytes = location.plain_bytes();
                    ranges.push(Range {
                        first: location,
                        end,
                        blobs: vec![(*id, location)],
                    });
                }
            }
        }
        Ok(ranges)
    }

    /// The blobs of a range. Where one of them is damaged there, or archived, each from whichever of its copies is
    /// good: a differential stores again what its chain holds elsewhere.
    async fn fetch_good(&self, range: Range) -> Result<Vec<Bytes>, RepositoryError> {
        let ids: Vec<BlobId> = range.blobs.iter().map(|(id, _)| *id).collect();
        let error = match self.fetch(range).await {
            Err(error) if another_copy_may_do(&error) => error,
            outcome => return outcome,
        };
        let copies = |id| self.index.copies(BlobKind::Data, id).count();
        if ids.iter().all(|id| copies(id) < 2) {
            return Err(error);
        }
        let mut blobs = Vec::with_capacity(ids.len());
        for id in ids {
            blobs.push(self.blob(BlobKind::Data, id).await?);
        }
        Ok(blobs)
    }

    async fn fetch(&self, range: Range) -> Result<Vec<Bytes>, RepositoryError> {
        let key = layout::pack(&range.first.pack);
        let start = u64::from(range.first.offset);
        let bytes = self
            .repository
            .store()
            .get_range(&key, start..range.end)
            .await
            .map_err(|error| missing(error, &key))?;
        let cipher = Arc::clone(self.repository.cipher());
        let openers = Arc::clone(&self.openers);
        off_runtime(move || {
            let damaged = |kind, id: &BlobId, detail: String| {
                RepositoryError::damaged(
                    kind,
                    key.clone(),
                    format!("blob {}: {detail}", id.short()),
                )
            };
            let mut opener = openers.take().map_err(|e| {
                RepositoryError::new(
                    RepositoryErrorKind::Unsupported,
                    "read",
                    &key,
                    e.to_string(),
                )
            })?;
            // In place where this is the only reference, which it is unless the store keeps one.
            let mut sealed = BytesMut::from(bytes);
            let mut blobs = Vec::with_capacity(range.blobs.len());
            for (id, location) in &range.blobs {
                if sealed.len() < location.length as usize {
                    let detail = "its pack ends inside it".to_owned();
                    return Err(damaged(FindingKind::WrongSize, id, detail));
                }
                let mut one = sealed.split_to(location.length as usize);
                let mut plaintext = Vec::new();
                opener
                    .open(
                        &mut one,
                        location.uncompressed,
                        id,
                        &cipher.0,
                        &mut plaintext,
                    )
                    .map_err(|fault| damaged(fault.kind, id, fault.detail))?;
                blobs.push(Bytes::from(plaintext));
            }
            openers.give_back(opener);
            Ok(blobs)
        })
        .await
    }
}
