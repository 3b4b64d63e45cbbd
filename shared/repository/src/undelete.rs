//! Bringing a deleted snapshot back while the store still keeps its bytes: its object, the packs that
//! its blobs lie in, and index files that name them.
//!
//! What a prune inside a chain replaced comes back with it: where a blob lies in no pack that is there,
//! the newest deleted pack that holds it is brought back as a whole. The old index files are not, since
//! they may name packs whose bytes are gone; new ones name exactly what is there.
//!
//! The order is that of writing: `config` and keys, packs, index files, last the snapshot's object.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};
use logisedge_domain::Instant;
use logisedge_domain::id::SnapshotId;
use logisedge_storage::{DeletedObject, ObjectStore, StorageErrorKind, Undeleted};
use serde::Serialize;

use crate::error::{RepositoryError, RepositoryErrorKind};
use crate::id::PackId;
use crate::index::{BlobKind, Entry, Index, IndexFile, IndexedPack};
use crate::keyfile::Password;
use crate::layout::{self, ObjectName};
use crate::options::Options;
use crate::pack::PackedBlob;
use crate::prune::{needed, put_index};
use crate::reader::Reader;
use crate::repository::Repository;
use crate::snapshot::Snapshot;
use crate::table::Row;
use crate::writer::off_runtime;

/// Objects that are copied at the same time.
const COPIES_AT_ONCE: usize = 8;

const KINDS: [BlobKind; 2] = [BlobKind::Data, BlobKind::Tree];

/// A chain as it was, as far as the store still has its bytes. Opening it lists them and reads every
/// index file, the deleted ones too.
#[derive(Debug)]
pub struct Past {
    store: Arc<Undeleted>,
    repository: Repository,
    /// Every blob whose pack is there or can be brought back.
    index: Index,
    /// Packs that are there and that an index file names which is there.
    found: BTreeSet<PackId>,
}

/// What has to come back for one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Undeletion {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Deleted objects that come back, in order: first those of `config` and keys, then packs.
    pub objects: Vec<DeletedObject>,
    /// The snapshot's own object, last of all; none where it is there.
    pub snapshot_object: Option<DeletedObject>,
    /// Bytes of all these.
    pub bytes: u64,
    /// Packs that a new index file names.
    #[serde(skip)]
    index: Vec<PackId>,
}

impl Undeletion {
    /// Whether anything is missing of the snapshot at all.
    pub fn changes_something(&self) -> bool {
        self.snapshot_object.is_some() || !self.objects.is_empty() || !self.index.is_empty()
    }

    /// How many packs come back.
    pub fn packs(&self) -> usize {
        let packs = self.objects.iter();
        packs
            .filter(|object| object.key.starts_with(layout::DATA))
            .count()
    }
}

impl Past {
    /// Opens the chain that lies in `store`. `NoVersions` where that keeps nothing of what was deleted.
    pub async fn open(
        store: Arc<dyn ObjectStore>,
        password: &Password,
        options: Options,
    ) -> Result<Self, RepositoryError> {
        let store = Arc::new(Undeleted::of(store).await?);
        let repository = Repository::open(store.clone(), password, options).await?;
        let stored = repository.stored_packs().await?;
        let mut parts = repository.index_parts().await?;
        let is_deleted = |key: String| store.deleted().contains_key(&key);
        let present = parts
            .iter()
            .filter(|part| !is_deleted(layout::index(&part.id)));
        let found = present
            .flat_map(|part| part.packs.iter().copied())
            .filter(|pack| stored.contains_key(pack) && !is_deleted(layout::pack(pack)))
            .collect();
        for part in &mut parts {
            part.retain(|pack| stored.contains_key(pack));
        }
        let index = off_runtime(move || Ok(Index::of_all_parts(parts))).await?;
        Ok(Self {
            store,
            repository,
            index,
            found,
        })
    }

    /// The snapshots whose objects are deleted, each with when it was.
    pub fn deleted_snapshots(&self) -> BTreeMap<SnapshotId, Instant> {
        let deleted = self.store.deleted().values();
        deleted
            .filter_map(|object| match ObjectName::of(&object.key) {
                ObjectName::Snapshot(id) => Some((id, object.deleted_at)),
                _ => None,
            })
            .collect()
    }

    /// A snapshot, deleted or not.
    pub async fn snapshot(&self, id: SnapshotId) -> Result<Snapshot, RepositoryError> {
        self.repository.snapshot(id).await
    }

    /// Reads files of what can be brought back, as though it were.
    pub fn reader(&self) -> Reader {
        self.repository.reader(self.index.clone())
    }

    /// The chain's repository, for what is written beside it once it is back.
    pub async fn present(
        &self,
        password: &Password,
        options: Options,
    ) -> Result<Repository, RepositoryError> {
        Repository::open(self.store.present().clone(), password, options).await
    }

    /// Finds what has to come back for a snapshot. Reads its directories.
    ///
    /// # Errors
    /// Damage where something that it needs is gone for good; then nothing of it should come back.
    /// `Storage(Archived)` where something lies in an archived storage class, from which S3 copies
    /// nothing.
    pub async fn plan(&self, id: SnapshotId) -> Result<Undeletion, RepositoryError> {
        let needed = needed::find(&self.repository, &self.index, &[id]).await?;
        let ids = self.index.pack_ids();
        let mut chosen: BTreeSet<PackId> = BTreeSet::new();
        for kind in KINDS {
            let mut first = 0;
            for copies in self.index.table(kind).rows().chunk_by(|a, b| a.id == b.id) {
                if needed.has(kind, first) {
                    let packs = copies.iter().map(|copy| ids[copy.value.pack as usize]);
                    chosen.extend(self.choose(packs, &chosen));
                }
                first += copies.len();
            }
        }
        let deleted = self.store.deleted();
        let of_repository = deleted.values().filter(|object| {
            matches!(
                ObjectName::of(&object.key),
                ObjectName::Config | ObjectName::Key(_)
            )
        });
        let packs = chosen
            .iter()
            .filter_map(|id| deleted.get(&layout::pack(id)));
        let objects: Vec<DeletedObject> = of_repository.chain(packs).cloned().collect();
        let snapshot_object = deleted.get(&layout::snapshot(&id)).cloned();
        let mut needed = objects.iter().chain(&snapshot_object);
        if let Some(object) = needed.find(|object| object.is_archived()) {
            return Err(RepositoryError::new(
                RepositoryErrorKind::Storage(StorageErrorKind::Archived),
                "bring back",
                &object.key,
                format!(
                    "its deleted version {} lies in {}, from which S3 copies nothing: with an \
                     administrator's rights, remove the delete markers of this chain's objects \
                     (s3api delete-object --version-id) before the grace days are over",
                    object.version,
                    object.class.as_deref().unwrap_or_default()
                ),
            ));
        }
        let bytes = objects.iter().chain(&snapshot_object);
        Ok(Undeletion {
            snapshot: id,
            bytes: bytes.map(|object| object.bytes).sum(),
            objects,
            snapshot_object,
            index: chosen.into_iter().collect(),
        })
    }

    /// The pack that a blob is taken from, of those that hold it; none where it is found as things are.
    fn choose(
        &self,
        packs: impl Iterator<Item = PackId> + Clone,
        chosen: &BTreeSet<PackId>,
    ) -> Option<PackId> {
        if packs.clone().any(|pack| self.found.contains(&pack)) {
            return None;
        }
        let deleted = |pack: &PackId| self.store.deleted().get(&layout::pack(pack));
        // One that comes back anyway, one that lies there unnamed, the one that was written last.
        packs.max_by_key(|pack| {
            let written = deleted(pack).map(|object| object.written_at);
            (chosen.contains(pack), written.is_none(), written)
        })
    }

    /// Brings back what a plan says but for the snapshot's own object, which makes it visible:
    /// [`Self::reveal`] does that. Whoever dies in between leaves what the next plan finds.
    pub async fn bring_back(&self, plan: &Undeletion) -> Result<(), RepositoryError> {
        let present = self.store.present();
        let is_pack = |object: &&DeletedObject| object.key.starts_with(layout::DATA);
        // `config` before keys, which the objects' order is.
        for object in plan.objects.iter().filter(|object| !is_pack(object)) {
            present.undelete(object).await?;
        }
        let packs = plan.objects.iter().filter(is_pack).cloned();
        futures_util::stream::iter(packs.collect::<Vec<_>>())
            .map(async |object| {
                present.undelete(&object).await?;
                Ok::<(), RepositoryError>(())
            })
            .buffer_unordered(COPIES_AT_ONCE)
            .try_collect::<()>()
            .await?;
        for file in IndexFile::of_packs(self.indexed(&plan.index)) {
            put_index(&**present, self.repository.cipher(), file).await?;
        }
        Ok(())
    }

    /// Makes a snapshot visible whose bytes are back.
    pub async fn reveal(&self, plan: &Undeletion) -> Result<(), RepositoryError> {
        if let Some(object) = &plan.snapshot_object {
            self.store.present().undelete(object).await?;
        }
        Ok(())
    }

    /// These packs with all their blobs, as an index file names them.
    fn indexed(&self, packs: &[PackId]) -> Vec<IndexedPack> {
        let ids = self.index.pack_ids();
        let mut blobs: BTreeMap<PackId, BTreeSet<PackedBlob>> =
            packs.iter().map(|id| (*id, BTreeSet::new())).collect();
        for kind in KINDS {
            for row in self.index.table(kind).rows() {
                let row: &Row<Entry> = row;
                if let Some(blobs) = blobs.get_mut(&ids[row.value.pack as usize]) {
                    blobs.insert(PackedBlob::of(kind, row));
                }
            }
        }
        let indexed = |(id, blobs): (PackId, BTreeSet<PackedBlob>)| IndexedPack {
            id,
            blobs: blobs.iter().map(Into::into).collect(),
        };
        blobs.into_iter().map(indexed).collect()
    }
}
