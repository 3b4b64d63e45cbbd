//! What of a snapshot lies in archived storage classes, where it cannot be read before it was thawed.
//!
//! Only packs of rows are sent there ([`crate::Options::tier`]). A rule of the bucket's own may archive
//! other objects too; those are read, and fail, as any others.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt};
use logisedge_domain::storage::ThawSpeed;
use logisedge_storage::{ObjectMeta, Readiness};

use crate::error::RepositoryError;
use crate::id::PackId;
use crate::index::BlobKind;
use crate::layout;
use crate::presence::StoredPacks;
use crate::reader::{FileNode, Reader};

/// Objects that are asked for at the same time.
const ASKED_AT_ONCE: usize = 16;

/// A pack that cannot be read as things are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedPack {
    /// The pack.
    pub id: PackId,
    /// Its bytes.
    pub bytes: u64,
    /// Its storage class as S3 names it.
    pub class: String,
    /// Whether a thaw was asked for and goes on.
    pub thawing: bool,
}

impl Reader {
    /// The packs that these files need and that cannot be read now, sorted. Costs a request for each
    /// pack of an archived class.
    pub async fn archived_packs(
        &self,
        files: impl IntoIterator<Item = &FileNode>,
        stored: &StoredPacks,
    ) -> Result<Vec<ArchivedPack>, RepositoryError> {
        let store = self.repository().store();
        if !stored.values().any(ObjectMeta::is_archived) {
            return Ok(Vec::new());
        }
        let is_archived = |pack: &PackId| stored.get(pack).is_some_and(ObjectMeta::is_archived);
        let mut needed = BTreeSet::new();
        for id in files.into_iter().flat_map(|file| &file.content) {
            let mut copies = self.index().copies(BlobKind::Data, id);
            let first = copies.next().map(|copy| copy.pack);
            if let Some(pack) = first.filter(is_archived)
                && copies.all(|copy| is_archived(&copy.pack))
            {
                needed.insert(pack);
            }
        }
        let needed = needed.iter().filter_map(|id| Some((*id, stored.get(id)?)));
        let mut packs: Vec<ArchivedPack> = futures_util::stream::iter(needed)
            .map(async |(id, meta)| {
                let readiness = store.readiness(&meta.key).await?;
                Ok::<_, RepositoryError>((readiness != Readiness::Readable).then(|| ArchivedPack {
                    id,
                    bytes: meta.bytes,
                    class: meta.class.clone().unwrap_or_default(),
                    thawing: readiness == Readiness::Thawing,
                }))
            })
            .buffer_unordered(ASKED_AT_ONCE)
            .try_filter_map(async |pack| Ok(pack))
            .try_collect()
            .await?;
        packs.sort_by_key(|pack| pack.id);
        Ok(packs)
    }

    /// Asks for these packs to be readable for so many days. One request each; asked again, it changes
    /// nothing.
    pub async fn thaw(
        &self,
        packs: &[ArchivedPack],
        speed: ThawSpeed,
        days: u32,
    ) -> Result<(), RepositoryError> {
        let store = self.repository().store();
        futures_util::stream::iter(packs)
            .map(async |pack| {
                store.thaw(&layout::pack(&pack.id), speed, days).await?;
                Ok::<_, RepositoryError>(())
            })
            .buffer_unordered(ASKED_AT_ONCE)
            .try_collect()
            .await
    }
}
