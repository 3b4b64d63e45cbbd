//! Backing up: one consistent snapshot of a source becomes one snapshot of a repository.
//!
//! This module knows no catalog: [`take`] is all that a location without AWS needs. What makes it a
//! *run*, with a lease and a commit, is in [`crate::attempt`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant as Stopwatch;

use bytes::Bytes;
use chrono::Utc;
use logisedge_domain::Instant;
use logisedge_domain::id::{ChainPath, LocationName, RunId, ScheduleName, SnapshotId, SourceName};
use logisedge_domain::lock::LockTerms;
use logisedge_domain::manifest::{
    FileEntry, MANIFEST_VERSION, Manifest, RangeEntry, RowFormat, SourceFacts, TableEntry,
};
use logisedge_domain::memory::Division;
use logisedge_domain::requests::Requests;
use logisedge_domain::retry::Retry;
use logisedge_domain::run::RunStats;
use logisedge_domain::scope::Scope;
use logisedge_domain::snapshot::{SnapshotRecord, Trust};
use logisedge_domain::storage::ObjectLock;
use logisedge_repository::{
    BlobId, KnownBlobs, Options, Password, Repository, RepositoryError, RepositoryErrorKind,
    Snapshot, Summary, object_lock,
};
use logisedge_sources::{OpenSnapshot, Source, SourceSnapshot, add};
use logisedge_storage::{Counting, Locking, ObjectStore, Prefixed};

use crate::base::{Basis, Reusable, open_source};
use crate::stream::{StoredPart, store_parts};
use crate::{EngineError, EngineErrorKind, PROGRAM, Progress};

/// Where the manifest lies inside a snapshot.
pub const MANIFEST_PATH: &str = "/manifest.json";

/// What is to be backed up, and as what.
#[derive(Debug, Clone)]
pub struct Order {
    /// The run that it is for.
    pub run: RunId,
    /// The schedule whose policies apply.
    pub schedule: Option<ScheduleName>,
    /// The scope.
    pub scope: Scope,
    /// The chain that a full begins, below `location`.
    pub chain: ChainPath,
    /// The location's name.
    pub location: LocationName,
    /// How content is cut, compressed and packed, as far as the memory allows.
    pub options: Options,
    /// Bytes of memory that it may use. None: what suits the source's connections.
    pub memory_bytes_max: Option<u64>,
    /// How everything that it writes is locked, and what the snapshot builds on with it.
    pub lock: Option<LockTerms>,
}

/// A snapshot that lies in its repository, whole and durable.
#[derive(Debug, Clone)]
pub struct Taken {
    /// As the catalog will hold it.
    pub record: SnapshotRecord,
    /// What the snapshot says of itself.
    pub manifest: Manifest,
    /// What it took.
    pub stats: RunStats,
}

impl Taken {
    /// The same, taking since `began` and with all the requests since then: the source's opening and
    /// the look at its base count too.
    #[must_use]
    pub fn since(mut self, began: Stopwatch, requests: Requests) -> Self {
        self.stats.requests = requests;
        self.stats.duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self
    }
}

/// Takes a full snapshot of `order.scope` into a new chain below `location`. See [`take_on`].
pub async fn take(
    source: &dyn Source,
    location: Arc<dyn ObjectStore>,
    password: &Password,
    order: &Order,
    progress: &Progress,
) -> Result<Taken, EngineError> {
    let began = Stopwatch::now();
    let counting = Arc::new(Counting::new(location));
    let location = counting.clone();
    let (snapshot, basis) = open_source(source, &order.scope, Basis::Full(None)).await?;
    let taken = take_on(snapshot, &basis, location, password, order, progress).await?;
    Ok(taken.since(began, counting.requests()))
}

/// Takes a snapshot of what is open in the source: on the chain of its base, or as a full in the new
/// chain `order.chain`.
///
/// Writes packs, then the index, then locks what was there where everything is to be locked, then the
/// snapshot object: what is visible is locked. A failure at any point leaves no snapshot
/// object: of a full a chain that nothing offers, on another chain packs that nothing refers to. Prune
/// removes both, and the snapshots that were there before are as they were.
pub async fn take_on(
    snapshot: Arc<dyn SourceSnapshot>,
    basis: &Basis,
    location: Arc<dyn ObjectStore>,
    password: &Password,
    order: &Order,
    progress: &Progress,
) -> Result<Taken, EngineError> {
    let stopwatch = Stopwatch::now();
    let began = Utc::now();
    let memory = Division::of(order.memory_bytes_max, snapshot.parallelism())
        .map_err(|error| EngineError::new(EngineErrorKind::Refused, error.to_string()))?;
    let lock = lock_of(order, snapshot.facts().taken_at)?;
    let (repository, known) = match basis.base() {
        Some(base) => {
            let repository = base.repository.clone();
            let locking = lock.map(|lock| repository.locking(lock));
            (locking.unwrap_or(repository), base.known.clone())
        }
        None => {
            let location: Arc<dyn ObjectStore> = match lock {
                Some(lock) => Arc::new(Locking::new(location.clone(), lock)),
                None => location.clone(),
            };
            let chain = Arc::new(Prefixed::new(location, order.chain.as_str()));
            let repository = Repository::create(chain, password, order.options).await;
            (repository.map_err(another_chain_later)?, KnownBlobs::none())
        }
    };
    let repository = repository.within(memory.pack_bytes, memory.uploads);
    let writer = repository.writer(known);

    let reusable = basis.base().map(|base| Arc::new(Reusable::of(base)));
    let stored = store_parts(&snapshot, &writer, reusable, memory, progress).await?;
    snapshot.close().await?;

    let facts = snapshot.facts();
    let manifest = describe(order, basis, facts, &stored, &repository);
    let skipped = stored.iter().filter(|stored| stored.skipped);
    let bytes_skipped = skipped.map(|stored| stored.file.bytes).sum::<u64>();
    match &facts.all_read_because {
        Some(why) if basis.base().is_some() => tracing::info!(why, "everything is read"),
        _ => {}
    }
    let mut files: Vec<_> = stored
        .into_iter()
        .map(|stored| (stored.part.path, stored.file))
        .collect();
    for (path, content) in &facts.files {
        files.push((path.clone(), writer.store_bytes(content.clone()).await?));
    }
    let text = Bytes::from(serde_json::to_vec_pretty(&manifest).map_err(|error| {
        EngineError::new(EngineErrorKind::Internal, format!("the manifest: {error}"))
    })?);
    files.push((MANIFEST_PATH.to_owned(), writer.store_bytes(text).await?));

    let tree = writer.tree(files, facts.taken_at).await?;
    let written = writer.finish().await?;
    let bytes: u64 = manifest.files.iter().map(|file| file.bytes).sum();
    let summary = Summary {
        backup_start: began,
        backup_end: Utc::now(),
        data_added: written.bytes_new,
        data_added_packed: written.bytes_stored,
        total_files_processed: manifest.files.len() as u64 + 1,
        total_bytes_processed: bytes,
    };
    let object = snapshot_object(order, &manifest, tree).with_summary(summary);
    if let (Some(base), Some(lock)) = (basis.base(), lock) {
        let chain = Prefixed::new(location, base.chain.as_str());
        let keys = object_lock::lockable(&chain).await?;
        object_lock::extend(&chain, keys, lock).await?;
    }
    let id = repository.commit(object).await?;

    let stats = RunStats {
        rows: manifest.tables.iter().map(|table| table.rows).sum(),
        bytes_read: bytes - bytes_skipped,
        bytes_skipped,
        bytes_new: written.bytes_new,
        bytes_shared: written.bytes_shared + bytes_skipped,
        bytes_stored: written.bytes_stored,
        objects_stored: written.objects_stored,
        duration_ms: u64::try_from(stopwatch.elapsed().as_millis()).unwrap_or(u64::MAX),
        requests: Requests::default(),
    };
    let mut record = record_of(
        &manifest,
        id,
        &order.location,
        basis.base().map_or(&order.chain, |base| &base.chain),
        stats.bytes_stored,
    );
    record.locked_until = lock.map(|lock| lock.until);
    Ok(Taken {
        record,
        manifest,
        stats,
    })
}

fn lock_of(order: &Order, taken_at: Instant) -> Result<Option<ObjectLock>, EngineError> {
    let Some(terms) = order.lock else {
        return Ok(None);
    };
    let lock = terms.begin(taken_at, Utc::now());
    lock.map(Some).ok_or_else(|| {
        EngineError::new(
            EngineErrorKind::Refused,
            format!("a lock of {} would end beyond all calendars", terms.length),
        )
    })
}

/// A snapshot as the catalog holds it, from what it says of itself.
pub(crate) fn record_of(
    manifest: &Manifest,
    id: SnapshotId,
    location: &LocationName,
    chain: &ChainPath,
    bytes_stored: u64,
) -> SnapshotRecord {
    SnapshotRecord {
        id,
        scope: manifest.scope.clone(),
        location: location.clone(),
        chain: chain.clone(),
        kind: manifest.kind,
        kind_reason: manifest.kind_reason.clone(),
        base: manifest.base,
        run: manifest.run.clone(),
        schedule: manifest.schedule.clone(),
        tier: manifest.tier,
        taken_at: manifest.taken_at,
        tables: manifest.tables.len() as u64,
        rows: manifest.tables.iter().map(|table| table.rows).sum(),
        bytes: manifest.files.iter().map(|file| file.bytes).sum(),
        bytes_stored,
        trust: Trust::Unverified,
        verified_at: None,
        findings: 0,
        deleting_since: None,
        hold: None,
        locked_until: None,
    }
}

fn describe(
    order: &Order,
    basis: &Basis,
    facts: &OpenSnapshot,
    stored: &[StoredPart],
    repository: &Repository,
) -> Manifest {
    let mut files: Vec<FileEntry> = stored
        .iter()
        .map(|stored| FileEntry {
            path: stored.part.path.clone(),
            bytes: stored.file.bytes,
        })
        .chain(facts.files.iter().map(|(path, content)| FileEntry {
            path: path.clone(),
            bytes: content.len() as u64,
        }))
        .collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Manifest {
        version: MANIFEST_VERSION,
        program: PROGRAM.to_owned(),
        run: order.run.clone(),
        schedule: order.schedule.clone(),
        scope: order.scope.name.clone(),
        selection: order.scope.selection.clone(),
        kind: basis.kind(),
        kind_reason: basis.kind_reason(),
        base: basis.base().map(|base| base.id),
        tier: order.options.tier,
        taken_at: facts.taken_at,
        source: source_facts(&order.scope.source, facts),
        chunking: repository.chunking(),
        tables: tables(facts, stored),
        files,
        outside_references: facts.outside_references.clone(),
        notes: facts.notes.clone(),
    }
}

pub(crate) fn source_facts(name: &SourceName, facts: &OpenSnapshot) -> SourceFacts {
    SourceFacts {
        name: name.clone(),
        engine: facts.engine.to_owned(),
        engine_version: facts.engine_version.clone(),
        database: facts.database.clone(),
        encoding: facts.encoding.clone(),
        details: facts.details.clone(),
        lineage: facts.lineage.clone(),
    }
}

fn tables(facts: &OpenSnapshot, stored: &[StoredPart]) -> Vec<TableEntry> {
    let mut of_table: BTreeMap<usize, Vec<&StoredPart>> = BTreeMap::new();
    for part in stored {
        if let Some(table) = part.part.table {
            of_table.entry(table).or_default().push(part);
        }
    }
    let whole_file: Vec<String> = stored
        .iter()
        .filter(|stored| stored.part.table.is_none())
        .map(|stored| stored.part.path.clone())
        .collect();
    facts
        .tables
        .iter()
        .enumerate()
        .map(|(index, table)| {
            let mut parts = of_table.remove(&index).unwrap_or_default();
            parts.sort_by_key(|part| part.part.index);
            let (rows, content) = table.counted.unwrap_or_else(|| {
                parts
                    .iter()
                    .fold((0, Default::default()), |(rows, sum), part| {
                        (rows + part.rows, add(sum, part.content))
                    })
            });
            TableEntry {
                schema: table.schema.clone(),
                name: table.name.clone(),
                columns: table.columns.clone(),
                format: table.format,
                files: match table.format {
                    RowFormat::DatabaseFile => whole_file.clone(),
                    _ => parts.iter().map(|part| part.part.path.clone()).collect(),
                },
                rows,
                bytes: parts.iter().map(|part| part.file.bytes).sum(),
                content,
                storage: table.storage.clone(),
                ranges: match table.storage {
                    Some(_) => parts.iter().filter_map(|part| range_entry(part)).collect(),
                    None => Vec::new(),
                },
            }
        })
        .collect()
}

fn range_entry(stored: &StoredPart) -> Option<RangeEntry> {
    Some(RangeEntry {
        file: stored.part.path.clone(),
        pages: stored.part.pages?,
        rows: stored.rows,
        bytes: stored.file.bytes,
        content: stored.content,
    })
}

fn snapshot_object(order: &Order, manifest: &Manifest, tree: BlobId) -> Snapshot {
    let base = manifest.base.map(|base| base.to_string());
    let mut facts = vec![
        ("scope", order.scope.name.as_str()),
        ("run", order.run.as_str()),
        ("kind", manifest.kind.as_str()),
    ];
    facts.extend(base.as_ref().map(|base| ("base", base.as_str())));
    let schedule = order.schedule.as_ref();
    facts.extend(schedule.map(|schedule| ("schedule", schedule.as_str())));
    Snapshot::new(tree, manifest.taken_at, facts)
}

/// Chains are named by the second in which they begin, and another run may have begun one in this very
/// second. A later attempt begins another.
fn another_chain_later(error: RepositoryError) -> EngineError {
    let taken = error.kind == RepositoryErrorKind::AlreadyExists;
    let error = EngineError::from(error);
    if !taken {
        return error;
    }
    EngineError {
        retry: Retry::SOON,
        ..error
    }
}
