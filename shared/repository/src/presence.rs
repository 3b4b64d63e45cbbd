//! Whether a chain can be built on: cheap questions that read no pack.

use std::collections::HashMap;

use logisedge_storage::ObjectMeta;

use crate::archive::archived_class;
use crate::error::RepositoryError;
use crate::id::PackId;
use crate::index::Index;
use crate::layout::{self, ObjectName};
use crate::repository::Repository;

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

    /// Looks for the packs that an index names. What shares blobs with one that is lacking would not
    /// restore, and with one that is archived not soon. Costs one listing of `data/`, a request for
    /// each thousand packs.
    pub async fn packs_present(&self, index: &Index) -> Result<Presence, RepositoryError> {
        let listed = self.store().list(layout::DATA).await?;
        let there: HashMap<PackId, &ObjectMeta> = listed
            .iter()
            .filter_map(|meta| match ObjectName::of(&meta.key) {
                ObjectName::Pack(id) => Some((id, meta)),
                _ => None,
            })
            .collect();
        let mut presence = Presence::default();
        for (id, bytes) in index.pack_sizes() {
            match there.get(&id) {
                Some(meta) if meta.bytes == bytes => {
                    presence.archived += u64::from(archived_class(meta).is_some());
                }
                _ => presence.lacking.push(id),
            }
        }
        Ok(presence)
    }
}
