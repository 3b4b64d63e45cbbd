//! Proving a snapshot: every object that it needs is read, each pack whole and once, and compared
//! with everything that is said of it elsewhere. What is wrong becomes a finding, and the check
//! goes on as far as it can.

#[cfg(test)]
mod crafted;
mod objects;
mod packs;
mod streamed;
mod trees;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use logisedge_domain::finding::{Finding, FindingKind};
use logisedge_domain::id::SnapshotId;
use logisedge_storage::ObjectMeta;

use crate::error::RepositoryError;
use crate::id::BlobId;
use crate::layout;
use crate::reader::{FileNode, Reader};
use crate::repository::{Repository, decode_json, get};
use crate::snapshot::Snapshot;
use crate::unpacked::Fault;

/// Most packs that are read and checked at the same time.
const PACKS_AT_ONCE_MAX: usize = 8;

/// How often a snapshot is checked while its chain is rewritten again and again.
const ROUNDS_MAX: usize = 3;

/// Called with each good data blob's id and plaintext, on worker threads, in no order. A blob comes
/// again where it is stored more than once, and blobs of the same packs that only other snapshots
/// need come too.
pub type OnBlob = Arc<dyn Fn(BlobId, &[u8]) + Send + Sync>;

/// Called after each pack.
pub type OnProgress = Arc<dyn Fn(CheckProgress) + Send + Sync>;

/// How far a check is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckProgress {
    /// Packs that the snapshot needs, as far as is known: it grows until the trees are read.
    pub packs: u64,
    /// Packs that were read.
    pub packs_done: u64,
    /// Bytes of the pack that was just read.
    pub pack_bytes: u64,
}

/// What a check found.
#[derive(Debug, Clone)]
pub struct CheckReport {
    /// What is wrong, sorted. Empty, or nothing of it [damage](FindingKind::is_damage): the
    /// snapshot restores.
    pub findings: Vec<Finding>,
    /// Packs read.
    pub packs: u64,
    /// Blobs in them that are good.
    pub blobs: u64,
    /// Packs of content that lie in archived storage classes and were not thawed. They were not read,
    /// only their length was compared.
    pub packs_archived: u64,
    /// Bytes of packs read.
    pub bytes_read: u64,
    /// The snapshot itself, where it can be read.
    pub snapshot: Option<Snapshot>,
    /// Its files by absolute path, as far as its trees can be read.
    pub files: Vec<(String, FileNode)>,
    /// Reads these files, as far as the index can be read.
    pub reader: Reader,
}

/// Checks one snapshot and what lies beside it in its chain.
///
/// Packs are read in pieces, one for every core and one more at the same time, so that each core has
/// something to do while another piece is on its way.
///
/// Memory: about 8 MiB for each pack that is being read, the index twice, and the trees of the packs
/// that hold this snapshot's trees. A damaged pack is read again, whole, to tell what is wrong.
///
/// A prune may rewrite the chain's packs and index files meanwhile: what vanished for that reason is
/// looked for again by what took its place, and the callbacks come again.
///
/// # Errors
/// Only when it cannot check at all: the store fails, or a worker panics. All damage is findings.
pub async fn check_snapshot(
    repository: &Repository,
    snapshot: SnapshotId,
    on_blob: OnBlob,
    on_progress: OnProgress,
) -> Result<CheckReport, RepositoryError> {
    let mut listed = repository.store().list("").await?;
    for _ in 1..ROUNDS_MAX {
        let (on_blob, on_progress) = (on_blob.clone(), on_progress.clone());
        let report = check_listed(repository, snapshot, &listed, on_blob, on_progress).await?;
        let missing = |finding: &Finding| finding.kind == FindingKind::Missing;
        if !report.findings.iter().any(missing) {
            return Ok(report);
        }
        let now = repository.store().list("").await?;
        if index_files(&now) == index_files(&listed) {
            return Ok(report);
        }
        listed = now;
    }
    check_listed(repository, snapshot, &listed, on_blob, on_progress).await
}

fn index_files(listed: &[ObjectMeta]) -> BTreeSet<&str> {
    let keys = listed.iter().map(|meta| meta.key.as_str());
    keys.filter(|key| key.starts_with(layout::INDEX)).collect()
}

async fn check_listed(
    repository: &Repository,
    snapshot: SnapshotId,
    listed: &[ObjectMeta],
    on_blob: OnBlob,
    on_progress: OnProgress,
) -> Result<CheckReport, RepositoryError> {
    let findings = Findings::default();
    objects::check_config(repository, &findings).await?;
    objects::check_keys(repository, listed, &findings).await?;
    let catalogue = objects::read_index_files(repository, listed, &findings).await?;
    objects::find_unreferenced(listed, &catalogue, &findings);
    let reader = repository.reader(catalogue.index.clone());

    let snapshot = read_snapshot(repository, snapshot, &findings).await?;
    let packs = packs::PackCheck::new(
        repository,
        catalogue,
        listed,
        &findings,
        on_blob,
        on_progress,
    );
    let mut files = Vec::new();
    if let Some(snapshot) = &snapshot {
        files = trees::walk(snapshot.tree, &packs, &findings).await?;
        packs.check_content(&files).await?;
    }
    Ok(CheckReport {
        findings: findings.sorted(),
        packs: packs.packs_done(),
        packs_archived: packs.packs_archived(),
        blobs: packs.blobs(),
        bytes_read: packs.bytes_read(),
        snapshot,
        files,
        reader,
    })
}

async fn read_snapshot(
    repository: &Repository,
    id: SnapshotId,
    findings: &Findings,
) -> Result<Option<Snapshot>, RepositoryError> {
    let key = layout::snapshot(&id);
    let Some(object) = findings.keep(get(&**repository.store(), &key).await)? else {
        return Ok(None);
    };
    match decode_json(&object, id.as_bytes(), repository.cipher()) {
        Ok(snapshot) => Ok(Some(snapshot)),
        Err(fault) => {
            findings.add_fault(&key, fault);
            Ok(None)
        }
    }
}

/// Findings as they come, from any thread.
#[derive(Debug, Default, Clone)]
struct Findings(Arc<Mutex<Vec<Finding>>>);

impl Findings {
    fn add(&self, kind: FindingKind, object: impl Into<String>, detail: impl Into<String>) {
        self.push(Finding {
            kind,
            object: object.into(),
            detail: detail.into(),
        });
    }

    fn add_fault(&self, object: &str, fault: Fault) {
        self.add(fault.kind, object, fault.detail);
    }

    fn push(&self, finding: Finding) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(finding);
    }

    /// Turns an error that tells of damage into a finding, and lets others pass.
    fn keep<T>(&self, result: Result<T, RepositoryError>) -> Result<Option<T>, RepositoryError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) => match error.finding() {
                Some(finding) => {
                    self.push(finding);
                    Ok(None)
                }
                None => Err(error),
            },
        }
    }

    fn sorted(&self) -> Vec<Finding> {
        let mut findings = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        findings.sort();
        findings.dedup();
        findings
    }
}
