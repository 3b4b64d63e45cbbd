//! Verifying: every byte that a snapshot needs is read back, and what it says of itself is compared
//! with what was read. What is wrong becomes findings, which are values.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use chrono::Utc;
use logisedge_catalog::{Catalog, Message};
use logisedge_domain::alert::{Alert, Resolution};
use logisedge_domain::finding::{Finding, FindingKind};
use logisedge_domain::manifest::{MANIFEST_VERSION, Manifest, RowFormat, TableEntry};
use logisedge_domain::requests::Requests;
use logisedge_domain::snapshot::{SnapshotRecord, Trust};
use logisedge_repository::check::{CheckProgress, CheckReport, check_snapshot};
use logisedge_repository::{BlobId, FileNode, Options, Password, Repository, RepositoryErrorKind};
use logisedge_sources::{RowFold, RowHasher, RowPiece, add};
use logisedge_storage::{Counting, ObjectStore, Prefixed};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::attempt::alert_if;
use crate::backup::MANIFEST_PATH;
use crate::{EngineError, Progress};

/// How large a manifest may be, in bytes: 20,000 wide tables fit several times.
pub(crate) const MANIFEST_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What a verification read and found.
#[derive(Debug, Clone, Serialize)]
pub struct Verification {
    /// Everything that was found wrong, sorted by object.
    pub findings: Vec<Finding>,
    /// Bytes read from the store.
    pub bytes_read: u64,
    /// Packs read.
    pub packs: u64,
    /// Packs that lie in archived storage classes: only their length was compared.
    #[serde(skip_serializing_if = "is_none")]
    pub packs_archived: u64,
    /// Blobs whose content agreed with their id.
    pub blobs: u64,
    /// Tables whose rows were counted and compared with the manifest.
    pub tables: u64,
    /// Their rows.
    pub rows: u64,
    /// Requests to the location.
    pub requests: Requests,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

impl Verification {
    /// Whether the snapshot can be trusted. Garbage beside it does it no harm.
    pub fn is_good(&self) -> bool {
        !self.findings.iter().any(|finding| finding.kind.is_damage())
    }
}

/// Bytes of unfinished rows that a verification keeps in all. Beyond it a file's rows are counted by
/// reading the file again, in order.
const FRAGMENTS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The pieces of the rows' files, by blob. None: an unfinished row is too long to keep, or too many
/// are kept already.
type Pieces = Arc<Mutex<HashMap<BlobId, Option<RowPiece>>>>;

/// Reads back everything that the snapshot needs, each object once.
pub async fn verify(
    location: Arc<dyn ObjectStore>,
    password: &Password,
    record: &SnapshotRecord,
    progress: &Progress,
) -> Result<Verification, EngineError> {
    let location = Arc::new(Counting::new(location));
    let chain = Arc::new(Prefixed::new(location.clone(), record.chain.as_str()));
    let repository = match Repository::open(chain, password, Options::default()).await {
        Ok(repository) => repository,
        // The catalog says that there is one, so its absence is the worst of findings.
        Err(error) if error.kind == RepositoryErrorKind::NoRepository => {
            return Ok(only(Finding {
                kind: FindingKind::Missing,
                object: "config".to_owned(),
                detail: error.message,
            }));
        }
        Err(error) => match error.finding() {
            Some(finding) => return Ok(only(finding)),
            None => return Err(error.into()),
        },
    };

    let pieces = Pieces::default();
    let seen = pieces.clone();
    let kept = AtomicUsize::new(0);
    let on_blob = Arc::new(move |id: BlobId, content: &[u8]| {
        let piece = RowPiece::of(content)
            .filter(|piece| kept.fetch_add(piece.bytes_held(), Relaxed) <= FRAGMENTS_BYTES_MAX);
        seen.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, piece);
    });
    let counted = progress.clone();
    let on_pack = Arc::new(move |step: CheckProgress| {
        counted.expect(0, step.packs);
        counted.add_bytes(step.pack_bytes);
        counted.add_part();
    });
    let mut report = check_snapshot(&repository, record.id, on_blob, on_pack).await?;
    let pieces = std::mem::take(&mut *pieces.lock().unwrap_or_else(PoisonError::into_inner));

    let mut findings = std::mem::take(&mut report.findings);
    let mut rows = 0;
    let mut tables = 0;
    match manifest_of(&report).await? {
        Ok(manifest) => {
            let comparing = Comparing {
                report: &report,
                pieces,
            };
            tables = manifest.tables.len() as u64;
            rows = comparing.compare(&manifest, &mut findings).await?;
        }
        Err(finding) => findings.push(finding),
    }
    findings.sort_by(|a, b| (&a.object, a.kind).cmp(&(&b.object, b.kind)));
    findings.dedup();
    Ok(Verification {
        findings,
        bytes_read: report.bytes_read,
        packs: report.packs,
        packs_archived: report.packs_archived,
        blobs: report.blobs,
        tables,
        rows,
        requests: location.requests(),
    })
}

fn only(finding: Finding) -> Verification {
    Verification {
        findings: vec![finding],
        bytes_read: 0,
        packs: 0,
        packs_archived: 0,
        blobs: 0,
        tables: 0,
        rows: 0,
        requests: Requests::default(),
    }
}

fn disagrees(object: &str, detail: impl Into<String>) -> Finding {
    Finding {
        kind: FindingKind::ManifestDisagrees,
        object: object.to_owned(),
        detail: detail.into(),
    }
}

/// The manifest, or what is wrong with it. A store that does not answer is an error and no finding: it
/// says nothing of the snapshot.
async fn manifest_of(report: &CheckReport) -> Result<Result<Manifest, Finding>, EngineError> {
    let Some((_, node)) = report.files.iter().find(|(path, _)| path == MANIFEST_PATH) else {
        return Ok(Err(Finding {
            kind: FindingKind::TreeBroken,
            object: MANIFEST_PATH.to_owned(),
            detail: "the snapshot has no readable manifest".to_owned(),
        }));
    };
    let read = report
        .reader
        .read_small_node(node, MANIFEST_PATH, MANIFEST_BYTES_MAX);
    match read.await {
        Ok(text) => Ok(parse_manifest(&text).map_err(|detail| disagrees(MANIFEST_PATH, detail))),
        Err(error) => match error.finding() {
            Some(finding) => Ok(Err(finding)),
            None => Err(error.into()),
        },
    }
}

/// Reads a manifest and refuses one that a newer program wrote.
pub(crate) fn parse_manifest(text: &[u8]) -> Result<Manifest, String> {
    #[derive(serde::Deserialize)]
    struct Version {
        version: u32,
    }
    let version: Version = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    if version.version > MANIFEST_VERSION {
        return Err(format!(
            "its manifest is of version {}, this program reads up to {MANIFEST_VERSION}: use a newer program",
            version.version
        ));
    }
    serde_json::from_slice(text).map_err(|e| e.to_string())
}

struct Comparing<'a> {
    report: &'a CheckReport,
    pieces: HashMap<BlobId, Option<RowPiece>>,
}

impl Comparing<'_> {
    /// Compares the manifest with what was read, and returns the rows counted.
    async fn compare(
        &self,
        manifest: &Manifest,
        findings: &mut Vec<Finding>,
    ) -> Result<u64, EngineError> {
        let stored: HashMap<&str, &FileNode> = self
            .report
            .files
            .iter()
            .map(|(path, node)| (path.as_str(), node))
            .collect();
        for file in &manifest.files {
            match stored.get(file.path.as_str()) {
                None => findings.push(disagrees(&file.path, "the snapshot lacks this file")),
                Some(node) if node.bytes != file.bytes => findings.push(disagrees(
                    &file.path,
                    format!(
                        "{} bytes are stored, the manifest says {}",
                        node.bytes, file.bytes
                    ),
                )),
                Some(_) => {}
            }
        }
        let mut rows = 0;
        for table in &manifest.tables {
            rows += self.compare_table(table, &stored, findings).await?;
        }
        Ok(rows)
    }

    async fn compare_table(
        &self,
        table: &TableEntry,
        stored: &HashMap<&str, &FileNode>,
        findings: &mut Vec<Finding>,
    ) -> Result<u64, EngineError> {
        if table.format == RowFormat::DatabaseFile {
            // The rows lie inside a file whose bytes are compared; restoring counts them.
            return Ok(table.rows);
        }
        let (mut rows, mut content, mut bytes) = (0, Default::default(), 0);
        for path in &table.files {
            let Some(node) = stored.get(path.as_str()) else {
                return Ok(0);
            };
            if !node
                .content
                .iter()
                .all(|blob| self.pieces.contains_key(blob))
            {
                // A blob is missing or damaged, which is a finding already, or is archived.
                return Ok(0);
            }
            let (r, c, b) = match self.fold(node) {
                Some(counted) => counted,
                None => self.count_in_order(node).await?,
            };
            rows += r;
            content = add(content, c);
            bytes += b;
        }
        if (rows, content, bytes) != (table.rows, table.content, table.bytes) {
            findings.push(disagrees(
                &format!("{}.{}", table.schema, table.name),
                format!(
                    "{rows} rows, {bytes} bytes, content {content} are stored; the manifest says {} \
                     rows, {} bytes, content {}",
                    table.rows, table.bytes, table.content
                ),
            ));
        }
        Ok(rows)
    }

    fn fold(&self, node: &FileNode) -> Option<(u64, logisedge_domain::manifest::ContentHash, u64)> {
        let mut fold = RowFold::default();
        for blob in &node.content {
            fold.push(self.pieces.get(blob)?.as_ref()?);
        }
        Some(fold.result())
    }

    /// For rows longer than a piece keeps: the file is read again, in order.
    async fn count_in_order(
        &self,
        node: &FileNode,
    ) -> Result<(u64, logisedge_domain::manifest::ContentHash, u64), EngineError> {
        let reader = &self.report.reader;
        let (sink, mut pieces) = mpsc::channel::<Bytes>(4);
        let counting = tokio::task::spawn_blocking(move || {
            let mut hasher = RowHasher::default();
            let mut bytes = 0;
            while let Some(piece) = pieces.blocking_recv() {
                hasher.update(&piece);
                bytes += piece.len() as u64;
            }
            let (rows, content) = hasher.result();
            (rows, content, bytes)
        });
        reader.read_file(node, sink).await?;
        counting.await.map_err(EngineError::panicked)
    }
}

/// Verifies a snapshot of the catalog and records what was found, with an alert where something is. Where
/// rows are archived and nothing is wrong with the rest, what was known of the snapshot stays.
pub async fn verify_recorded(
    catalog: &Catalog,
    location: Arc<dyn ObjectStore>,
    password: &Password,
    record: &SnapshotRecord,
    progress: &Progress,
) -> Result<Verification, EngineError> {
    let verification = verify(location, password, record, progress).await?;
    let now = Utc::now();
    if verification.packs_archived > 0 && verification.is_good() {
        return Ok(verification);
    }
    let trust = if verification.is_good() {
        Trust::Verified
    } else {
        Trust::Damaged
    };
    let wanted = match &record.schedule {
        None => true,
        Some(name) => catalog
            .schedule(name)
            .await?
            .is_none_or(|state| state.schedule.alerts.finding),
    };
    let mut outbox: Vec<Message> = alert_if(wanted && !verification.findings.is_empty(), || {
        Alert::finding(record, &verification.findings, now)
    });
    if verification.findings.is_empty() {
        let is_newest = is_newest(catalog, record).await?;
        let resolution = Resolution::verified(record, is_newest, now);
        outbox.push(Message::Resolution(resolution));
    }
    catalog
        .record_verification(record, trust, &verification.findings, now, &outbox)
        .await?;
    // What was good may no longer be, or again: how old the newest good state is has to be asked anew.
    catalog.wake_watch(&record.scope, now).await?;
    Ok(verification)
}

/// Whether the scope has no newer snapshot that could be restored.
async fn is_newest(catalog: &Catalog, record: &SnapshotRecord) -> Result<bool, EngineError> {
    let records = catalog.snapshots(&record.scope).await?;
    let mut live = records.iter().filter(|r| r.deleting_since.is_none());
    Ok(live
        .next()
        .is_none_or(|newest| newest.taken_at <= record.taken_at))
}
