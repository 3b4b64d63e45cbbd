//! Packs: read whole, compared with their name, their header, and the index, and every blob opened.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt};
use logisedge_domain::finding::{Finding, FindingKind};
use logisedge_storage::{ObjectMeta, Readiness};

use super::objects::Catalogue;
use super::streamed::{Benches, Streams};
use super::{CheckProgress, Findings, OnBlob, OnProgress, PACKS_AT_ONCE_MAX};
use crate::error::RepositoryError;
use crate::id::{BlobId, IdMap, PackId, sha256};
use crate::index::{BlobKind, Index};
use crate::layout::{self, ObjectName};
use crate::pack::{HeaderFault, PackedBlob, pack_bytes, read_header};
use crate::reader::FileNode;
use crate::repository::{Repository, get};
use crate::unpacked::BlobOpener;
use crate::upload::CipherBox;
use crate::writer::off_runtime;

/// Plaintexts of tree blobs that a pack held.
pub(super) type Trees = IdMap<BlobId, Vec<u8>>;

/// Checks packs, each once.
pub(super) struct PackCheck<'a> {
    streams: Streams,
    /// The packs that are there.
    listed: IdMap<PackId, Listed>,
    findings: &'a Findings,
    on_progress: OnProgress,
    checked: Mutex<BTreeSet<PackId>>,
    packs_needed: AtomicU64,
    packs_done: AtomicU64,
    packs_archived: AtomicU64,
    bytes_read: AtomicU64,
    blobs_good: AtomicU64,
}

/// What a listing tells of a pack.
#[derive(Debug, Clone, Copy, Default)]
struct Listed {
    bytes: u64,
    /// Whether it lies in an archived storage class.
    archived: bool,
}

/// What one pack turned out to be.
struct Outcome {
    findings: Vec<Finding>,
    trees: Trees,
    blobs_good: u64,
}

impl<'a> PackCheck<'a> {
    pub(super) fn new(
        repository: &Repository,
        catalogue: Catalogue,
        listed: &[ObjectMeta],
        findings: &'a Findings,
        on_blob: OnBlob,
        on_progress: OnProgress,
    ) -> Self {
        let listed = listed.iter().filter_map(|meta| {
            let ObjectName::Pack(id) = ObjectName::of(&meta.key) else {
                return None;
            };
            let archived = meta.is_archived();
            let bytes = meta.bytes;
            Some((id, Listed { bytes, archived }))
        });
        Self {
            streams: Streams {
                repository: repository.clone(),
                catalogue: Arc::new(catalogue),
                on_blob,
                benches: Arc::new(Benches::default()),
            },
            listed: listed.collect(),
            findings,
            on_progress,
            checked: Mutex::default(),
            packs_needed: AtomicU64::new(0),
            packs_done: AtomicU64::new(0),
            packs_archived: AtomicU64::new(0),
            bytes_read: AtomicU64::new(0),
            blobs_good: AtomicU64::new(0),
        }
    }

    pub(super) fn index(&self) -> &Index {
        &self.streams.catalogue.index
    }

    pub(super) fn packs_done(&self) -> u64 {
        self.packs_done.load(Ordering::Relaxed)
    }

    pub(super) fn packs_archived(&self) -> u64 {
        self.packs_archived.load(Ordering::Relaxed)
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    pub(super) fn blobs(&self) -> u64 {
        self.blobs_good.load(Ordering::Relaxed)
    }

    /// Compares files with the index, and checks every pack that holds a blob of theirs.
    pub(super) async fn check_content(
        &self,
        files: &[(String, FileNode)],
    ) -> Result<(), RepositoryError> {
        let mut needed = BTreeSet::new();
        for (path, node) in files {
            self.check_file(path, node, &mut needed);
        }
        {
            let mut all = needed.clone();
            all.extend(
                self.checked
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .iter(),
            );
            self.packs_needed.store(all.len() as u64, Ordering::Relaxed);
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        futures_util::stream::iter(needed)
            .map(|pack| self.check_readable(pack))
            .buffer_unordered(PACKS_AT_ONCE_MAX.min(cores + 1))
            .try_for_each(async |_| Ok(()))
            .await
    }

    fn check_file(&self, path: &str, node: &FileNode, needed: &mut BTreeSet<PackId>) {
        let (mut bytes, mut missing) = (0, Vec::new());
        for id in &node.content {
            match self.index().locate(BlobKind::Data, id) {
                Some(location) => {
                    bytes += location.plain_bytes();
                    needed.insert(location.pack);
                }
                None => missing.push(id),
            }
        }
        if let Some(first) = missing.first() {
            let detail = format!(
                "{} of its {} blobs are in no index; the first is {first}",
                missing.len(),
                node.content.len()
            );
            self.findings.add(FindingKind::BlobMissing, path, detail);
        } else if bytes != node.bytes {
            let detail = format!("its blobs hold {bytes} bytes, its tree says {}", node.bytes);
            self.findings.add(FindingKind::TreeBroken, path, detail);
        }
    }

    /// Checks a pack, unless it lies in an archived class and was not thawed: of that one only whether it
    /// has the length that the index says.
    async fn check_readable(&self, id: PackId) -> Result<(), RepositoryError> {
        let listed = self.listed.get(&id).copied().unwrap_or_default();
        let key = layout::pack(&id);
        let store = self.streams.repository.store();
        if !listed.archived || store.readiness(&key).await? == Readiness::Readable {
            return self.check(id).await.map(|_| ());
        }
        self.packs_archived.fetch_add(1, Ordering::Relaxed);
        let packs = &self.streams.catalogue.packs;
        let promised = pack_bytes(packs.get(&id).map_or(&[][..], Vec::as_slice));
        if listed.bytes != promised {
            let detail = format!("it has {} bytes, the index says {promised}", listed.bytes);
            self.findings.add(FindingKind::WrongSize, key, detail);
        }
        Ok(())
    }

    /// Checks a pack, unless it was checked before, and returns the trees that it holds.
    pub(super) async fn check(&self, id: PackId) -> Result<Trees, RepositoryError> {
        {
            let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
            if !checked.insert(id) {
                return Ok(Trees::default());
            }
            self.packs_needed
                .fetch_max(checked.len() as u64, Ordering::Relaxed);
        }
        let listed = self.listed.get(&id).map_or(0, |listed| listed.bytes);
        let (bytes, trees, blobs) = match self.streams.read(id, listed).await? {
            Some(sound) => (listed, sound.trees, sound.blobs),
            None => match self.examine(id).await? {
                Some((bytes, outcome)) => (bytes, outcome.trees, outcome.blobs_good),
                None => return Ok(Trees::default()),
            },
        };
        self.blobs_good.fetch_add(blobs, Ordering::Relaxed);
        self.bytes_read.fetch_add(bytes, Ordering::Relaxed);
        let packs_done = self.packs_done.fetch_add(1, Ordering::Relaxed) + 1;
        (self.on_progress)(CheckProgress {
            packs: self.packs_needed.load(Ordering::Relaxed),
            packs_done,
            pack_bytes: bytes,
        });
        Ok(trees)
    }

    /// Finds out what is wrong with a pack. None: it is not there.
    async fn examine(&self, id: PackId) -> Result<Option<(u64, Outcome)>, RepositoryError> {
        let Streams {
            repository,
            catalogue,
            on_blob,
            ..
        } = self.streams.clone();
        let got = get(&**repository.store(), &layout::pack(&id)).await;
        let Some(pack) = self.findings.keep(got)? else {
            return Ok(None);
        };
        let bytes = pack.len() as u64;
        let cipher = Arc::clone(repository.cipher());
        let mut outcome =
            off_runtime(move || examine(id, pack, &catalogue, &cipher, &on_blob)).await?;
        for finding in outcome.findings.drain(..) {
            self.findings.push(finding);
        }
        Ok(Some((bytes, outcome)))
    }
}

/// Everything that can be said of one pack. Computes; for a worker thread.
fn examine(
    id: PackId,
    pack: Bytes,
    catalogue: &Catalogue,
    cipher: &CipherBox,
    on_blob: &OnBlob,
) -> Result<Outcome, RepositoryError> {
    let key = layout::pack(&id);
    let expected = catalogue.packs.get(&id).map_or(&[][..], Vec::as_slice);
    let mut outcome = Outcome {
        findings: Vec::new(),
        trees: Trees::default(),
        blobs_good: 0,
    };
    let mut add = |kind, detail: String| {
        outcome.findings.push(Finding {
            kind,
            object: key.clone(),
            detail,
        });
    };
    let actual = PackId(sha256(&pack));
    let promised = pack_bytes(expected);
    if actual != id && catalogue.packs.contains_key(&actual) {
        // None of its blobs can be right, so there is nothing more to say.
        let detail = format!("it holds the intact pack {actual}: the two were exchanged");
        add(FindingKind::WrongHash, detail);
        return Ok(outcome);
    } else if actual != id && pack.len() as u64 != promised {
        let detail = format!("it has {} bytes, the index says {promised}", pack.len());
        add(FindingKind::WrongSize, detail);
    } else {
        if actual != id {
            let detail = format!("its SHA-256 is {actual}: it was altered");
            add(FindingKind::WrongHash, detail);
        }
        match read_header(&pack, &cipher.0).map_err(|fault| fault.with_index(&pack, expected)) {
            Err(fault) => {
                let kind = match fault {
                    HeaderFault::Mac => FindingKind::WrongMac,
                    HeaderFault::Length { .. } | HeaderFault::Content(_) => FindingKind::Malformed,
                };
                add(kind, fault.to_string());
            }
            Ok(mut header) => {
                header.sort_unstable();
                if let Some(detail) = disagreement(&header, expected) {
                    add(FindingKind::IndexDisagrees, detail);
                }
            }
        }
    }
    let mut opener = BlobOpener::new().map_err(|e| {
        RepositoryError::new(
            crate::error::RepositoryErrorKind::Unsupported,
            "check",
            &key,
            e.to_string(),
        )
    })?;
    // In place where the store keeps no reference; else one copy.
    let mut pack = BytesMut::from(pack);
    let mut plaintext = Vec::new();
    for blob in expected {
        let end = blob.offset as usize + blob.length as usize;
        // What ends past the pack is told already, by its size or by its header.
        let Some(sealed) = pack.get_mut(blob.offset as usize..end) else {
            continue;
        };
        match opener.open(
            sealed,
            blob.uncompressed,
            &blob.id,
            &cipher.0,
            &mut plaintext,
        ) {
            Err(fault) => {
                let detail = format!("blob {} at {}: {}", blob.id, blob.offset, fault.detail);
                add(fault.kind, detail);
            }
            Ok(()) => {
                outcome.blobs_good += 1;
                match blob.kind {
                    BlobKind::Data => on_blob(blob.id, &plaintext),
                    BlobKind::Tree => {
                        outcome.trees.insert(blob.id, plaintext.clone());
                    }
                }
            }
        }
    }
    Ok(outcome)
}

/// The first difference between what a pack's header and the index say, both sorted by offset.
fn disagreement(header: &[PackedBlob], index: &[PackedBlob]) -> Option<String> {
    let differ = header
        .iter()
        .zip(index)
        .find(|(header, index)| header != index);
    if let Some((header, index)) = differ {
        return Some(format!(
            "at {} its header has blob {} of {} bytes, the index blob {} of {}",
            header.offset, header.id, header.length, index.id, index.length
        ));
    }
    (header.len() != index.len()).then(|| {
        let (header, index) = (header.len(), index.len());
        format!("its header has {header} blobs, the index {index}")
    })
}
