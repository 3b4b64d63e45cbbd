//! Which packs lie at the location, and whether they will do: cheap questions that read no pack.

use std::collections::{BTreeSet, HashMap};

use logisedge_domain::finding::FindingKind;
use logisedge_storage::ObjectMeta;

use crate::error::RepositoryError;
use crate::id::PackId;
use crate::index::{BlobKind, Index, Location};
use crate::layout::{self, ObjectName};
use crate::reader::{FileNode, Reader};
use crate::repository::Repository;

/// The packs that lie at a location.
pub type StoredPacks = HashMap<PackId, ObjectMeta>;

/// How the packs that an index names lie at the location.
#[derive(Debug, Clone, Default)]
pub struct Presence {
    /// Those that are not there, or with another length.
    pub lacking: Vec<PackId>,
    /// How many lie there in an archived storage class.
    pub archived: u64,
}

impl Repository {
    /// Whether its version is one that is written, not only read.
    pub fn is_writable(&self) -> bool {
        self.check_writable().is_ok()
    }

    /// Lists the packs. On S3 that is a request for each thousand.
    pub async fn stored_packs(&self) -> Result<StoredPacks, RepositoryError> {
        let listed = self.store().list(layout::DATA).await?.into_iter();
        let packs = listed.filter_map(|meta| match ObjectName::of(&meta.key) {
            ObjectName::Pack(id) => Some((id, meta)),
            _ => None,
        });
        Ok(packs.collect())
    }

    /// Whether a chain can be built on: looks for the packs that its index names. What shares blobs with
    /// one that is lacking would not restore, and with one that is archived not soon. Costs one listing.
    pub async fn packs_present(&self, index: &Index) -> Result<Presence, RepositoryError> {
        let stored = self.stored_packs().await?;
        let mut presence = Presence::default();
        for (id, bytes) in index.pack_sizes() {
            match stored.get(&id) {
                Some(meta) if meta.bytes == bytes => {
                    presence.archived += u64::from(meta.is_archived());
                }
                _ => presence.lacking.push(id),
            }
        }
        Ok(presence)
    }
}

impl Reader {
    /// Lists the packs of its repository.
    pub async fn stored_packs(&self) -> Result<StoredPacks, RepositoryError> {
        self.repository().stored_packs().await
    }

    /// Fails where a blob that these files need has no copy in a pack that is stored and long enough.
    pub fn check_packs<'f>(
        &self,
        files: impl IntoIterator<Item = &'f FileNode>,
        stored: &StoredPacks,
    ) -> Result<(), RepositoryError> {
        let is_there = |copy: &Location| {
            let pack = stored.get(&copy.pack);
            pack.is_some_and(|pack| pack.bytes > copy.end())
        };
        let (mut needed, mut lacking) = (BTreeSet::new(), BTreeSet::new());
        for id in files.into_iter().flat_map(|file| &file.content) {
            let first = self.locate(BlobKind::Data, id)?;
            let mut copies = self.index().copies(BlobKind::Data, id);
            let good = copies.find(is_there);
            needed.insert(good.unwrap_or(first).pack);
            if good.is_none() {
                lacking.insert(first.pack);
            }
        }
        let Some(first) = lacking.first() else {
            return Ok(());
        };
        Err(RepositoryError::damaged(
            FindingKind::Missing,
            layout::pack(first),
            format!(
                "it is not there or too short, as {} of the {} packs that are needed",
                lacking.len(),
                needed.len()
            ),
        ))
    }
}
