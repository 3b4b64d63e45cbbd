//! The base of an incremental or differential: its chain opened and looked at, with what a new snapshot
//! may share. Whatever speaks against it is the reason for a full, never an error.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use logisedge_domain::Instant;
use logisedge_domain::chain::{
    Candidate, ChainFacts, Choice, Present, Wanted, WhyFull, choose, other_source, unfit,
};
use logisedge_domain::id::{ChainPath, SnapshotId};
use logisedge_domain::manifest::{ContentHash, Manifest};
use logisedge_domain::scope::Scope;
use logisedge_domain::snapshot::Kind;
use logisedge_repository::{
    BlobId, BlobKind, FileNode, Index, KnownBlobs, Options, Password, Reader, Repository,
    RepositoryError, RepositoryErrorKind, Snapshot, StoredFile,
};
use logisedge_sources::{Source, SourceSnapshot};
use logisedge_storage::{ObjectStore, Prefixed, StorageErrorKind};

use crate::backup::{MANIFEST_PATH, source_facts};
use crate::prune::chains_of;
use crate::rebuild::read_chain;
use crate::verify::{MANIFEST_BYTES_MAX, parse_manifest};
use crate::{EngineError, EngineErrorKind};

/// What a new snapshot is stored on.
#[derive(Debug)]
pub enum Basis {
    /// Nothing: a full in a new chain, as asked or for this reason.
    Full(Option<WhyFull>),
    /// A snapshot that its chain holds.
    On(Box<Base>),
}

impl Basis {
    /// The kind that is taken.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Full(_) => Kind::Full,
            Self::On(base) => base.kind,
        }
    }

    /// Why it is not the kind that was asked for, for people.
    pub fn kind_reason(&self) -> Option<String> {
        match self {
            Self::Full(why) => why.as_ref().map(ToString::to_string),
            Self::On(_) => None,
        }
    }

    /// The base, where there is one.
    pub fn base(&self) -> Option<&Base> {
        match self {
            Self::Full(_) => None,
            Self::On(base) => Some(base),
        }
    }
}

/// A snapshot that a new one builds on. Every blob of its files is in the index, and every pack that
/// the index names lies at the location with its right length.
///
/// Memory: what [`KnownBlobs`] needs, and 32 bytes for each blob of the base's files.
#[derive(Debug)]
pub struct Base {
    /// The new snapshot's kind, incremental or differential.
    pub kind: Kind,
    /// The chain of both.
    pub chain: ChainPath,
    /// The base.
    pub id: SnapshotId,
    /// What the base says of itself.
    pub manifest: Manifest,
    /// The base's files with their blobs, by path: a file of the new snapshot that holds the same may
    /// consist of the same blobs. None of them is new to a differential either: its base is the full.
    pub files: BTreeMap<String, FileNode>,
    /// The chain's repository.
    pub(crate) repository: Repository,
    /// What the new snapshot need not store again: all that the chain holds for an incremental, the
    /// blobs of the full for a differential.
    pub(crate) known: KnownBlobs,
}

/// The base's files that hold page ranges, with what is known of their rows: what a part that is proven
/// unchanged consists of.
#[derive(Debug, Default)]
pub(crate) struct Reusable(HashMap<String, ReusableFile>);

/// A file as the base stored it.
#[derive(Debug, Clone)]
pub(crate) struct ReusableFile {
    pub(crate) file: StoredFile,
    pub(crate) rows: u64,
    pub(crate) content: ContentHash,
}

impl Reusable {
    pub(crate) fn of(base: &Base) -> Self {
        let ranges = base.manifest.tables.iter().flat_map(|table| &table.ranges);
        let known = ranges.filter_map(|range| {
            // A file that its manifest and its tree tell apart is no good; verify finds that.
            let node = base.files.get(&range.file)?;
            let file = StoredFile {
                content: node.content.clone(),
                bytes: node.bytes,
            };
            (node.bytes == range.bytes).then_some((
                range.file.clone(),
                ReusableFile {
                    file,
                    rows: range.rows,
                    content: range.content,
                },
            ))
        });
        Self(known.collect())
    }

    /// The base's file with this path.
    pub(crate) fn file(&self, path: &str) -> Option<&ReusableFile> {
        self.0.get(path)
    }
}

/// Looks at what was chosen. `options` are those of the run.
pub async fn look(
    location: &Arc<dyn ObjectStore>,
    password: &Password,
    options: Options,
    scope: &Scope,
    choice: Choice,
) -> Result<Basis, EngineError> {
    let candidate = match choice {
        Choice::Full(why) => return Ok(Basis::Full(why)),
        Choice::On(candidate) => candidate,
    };
    let chain = Arc::new(Prefixed::new(location.clone(), candidate.chain.as_str()));
    match open(chain, password, options, scope, &candidate).await {
        Ok(base) => Ok(Basis::On(Box::new(base))),
        Err(Refusal::Unfit(why)) => Ok(Basis::Full(Some(why))),
        Err(Refusal::Failed(error)) => Err(*error),
    }
}

/// Chooses a base where no catalog knows the snapshots: from the scope's newest chain at the location.
pub async fn choose_at(
    location: &Arc<dyn ObjectStore>,
    password: &Password,
    wanted: &Wanted<'_>,
    now: Instant,
) -> Result<Choice, EngineError> {
    if wanted.kind == Kind::Full {
        return Ok(Choice::Full(None));
    }
    let mut chains = chains_of(location.as_ref(), wanted.scope).await?;
    while let Some(chain) = chains.pop() {
        match read_chain(wanted.location, location, password, &chain).await {
            // What a killed backup left.
            Ok(records) if records.is_empty() => {}
            Ok(records) => return Ok(choose(wanted, &records, &BTreeMap::new(), now)),
            Err(error) => {
                return match error.into() {
                    Refusal::Unfit(why) => Ok(Choice::Full(Some(why))),
                    Refusal::Failed(error) => Err(*error),
                };
            }
        }
    }
    Ok(choose(wanted, &[], &BTreeMap::new(), now))
}

/// Opens the source for what is to be stored, and looks whether it is still the base's database.
pub async fn open_source(
    source: &dyn Source,
    scope: &Scope,
    basis: Basis,
) -> Result<(Arc<dyn SourceSnapshot>, Basis), EngineError> {
    let earlier = basis.base().map(|base| &base.manifest);
    let snapshot: Arc<dyn SourceSnapshot> =
        Arc::from(source.open(&scope.selection, earlier).await?);
    let now = source_facts(&scope.source, snapshot.facts());
    let other = basis
        .base()
        .and_then(|base| other_source(&base.manifest.source, &now));
    let basis = match other {
        Some(why) => Basis::Full(Some(why)),
        None => basis,
    };
    Ok((snapshot, basis))
}

enum Refusal {
    Unfit(WhyFull),
    Failed(Box<EngineError>),
}

impl From<EngineError> for Refusal {
    /// What cannot be read is not built on; a store that does not answer says nothing of the chain.
    fn from(error: EngineError) -> Self {
        match error.source.as_deref().and_then(|e| e.downcast_ref()) {
            Some(RepositoryError {
                kind: RepositoryErrorKind::Storage(StorageErrorKind::Archived),
                ..
            }) => unreadable(error.message),
            Some(RepositoryError {
                kind: RepositoryErrorKind::Storage(_) | RepositoryErrorKind::Aborted,
                ..
            }) => Self::Failed(Box::new(error)),
            Some(_) => unreadable(error.message),
            None if error.kind == EngineErrorKind::Damaged => unreadable(error.message),
            None => Self::Failed(Box::new(error)),
        }
    }
}

impl From<RepositoryError> for Refusal {
    fn from(error: RepositoryError) -> Self {
        EngineError::from(error).into()
    }
}

fn unreadable(why: impl Into<String>) -> Refusal {
    Refusal::Unfit(WhyFull::Unreadable(why.into()))
}

async fn open(
    chain: Arc<dyn ObjectStore>,
    password: &Password,
    options: Options,
    scope: &Scope,
    candidate: &Candidate,
) -> Result<Base, Refusal> {
    let repository = Repository::open(chain, password, options).await?;
    // The snapshot before the index: one that was read first may not know it.
    let snapshot = repository.snapshot(candidate.base).await?;
    let index = repository.load_index().await?;
    let presence = repository.packs_present(&index).await?;
    if presence.archived > 0 {
        return Err(Refusal::Unfit(WhyFull::PacksArchived(presence.archived)));
    }
    let reader = repository.reader(index.clone());
    let (manifest, files) = content_of(&reader, &snapshot).await?.map_err(unreadable)?;

    let facts = ChainFacts {
        is_writable: repository.is_writable(),
        packs_lacking: presence.lacking.len() as u64,
        manifest: &manifest,
    };
    let present = Present {
        source: &scope.source,
        selection: &scope.selection,
        chunking: &repository.chunking(),
    };
    if let Some(why) = unfit(&facts, &present) {
        return Err(Refusal::Unfit(why));
    }
    if let Some(lost) = blob_lacking(&index, &files) {
        return Err(unreadable(format!(
            "no index names blob {lost} of its base"
        )));
    }
    let known = match candidate.kind {
        Kind::Differential => reader.known(&snapshot).await?,
        _ => index.known(),
    };
    Ok(Base {
        kind: candidate.kind,
        chain: candidate.chain.clone(),
        id: candidate.base,
        manifest,
        files,
        repository,
        known,
    })
}

/// What a snapshot says of itself, and its files by path; or why there is no such thing.
pub(crate) async fn content_of(
    reader: &Reader,
    snapshot: &Snapshot,
) -> Result<Result<(Manifest, BTreeMap<String, FileNode>), String>, RepositoryError> {
    let files: BTreeMap<String, FileNode> = reader.files(snapshot).await?.into_iter().collect();
    let Some(node) = files.get(MANIFEST_PATH) else {
        let why = "a snapshot in it has no manifest: it is not one of ours";
        return Ok(Err(why.to_owned()));
    };
    let text = reader
        .read_small_node(node, MANIFEST_PATH, MANIFEST_BYTES_MAX)
        .await?;
    Ok(parse_manifest(&text).map(|manifest| (manifest, files)))
}

/// A blob of these files that the index does not name.
pub(crate) fn blob_lacking<'f>(
    index: &Index,
    files: &'f BTreeMap<String, FileNode>,
) -> Option<&'f BlobId> {
    let mut blobs = files.values().flat_map(|file| &file.content);
    blobs.find(|id| index.locate(BlobKind::Data, id).is_none())
}
