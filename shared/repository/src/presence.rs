//! Whether a chain can be built on: cheap questions that read no pack.

use std::collections::HashMap;

use crate::error::RepositoryError;
use crate::id::PackId;
use crate::index::Index;
use crate::layout::{self, ObjectName};
use crate::repository::Repository;

impl Repository {
    /// Whether its version is one that is written, not only read.
    pub fn is_writable(&self) -> bool {
        self.check_writable().is_ok()
    }

    /// The packs that an index names and the location does not hold, or holds with another length.
    /// What shares blobs with them would not restore. Costs one listing of `data/`, a request for
    /// each thousand packs.
    pub async fn packs_lacking(&self, index: &Index) -> Result<Vec<PackId>, RepositoryError> {
        let listed = self.store().list(layout::DATA).await?;
        let there: HashMap<PackId, u64> = listed
            .iter()
            .filter_map(|meta| match ObjectName::of(&meta.key) {
                ObjectName::Pack(id) => Some((id, meta.bytes)),
                _ => None,
            })
            .collect();
        let lacking = index
            .pack_sizes()
            .filter(|(id, bytes)| there.get(id) != Some(bytes));
        Ok(lacking.map(|(id, _)| id).collect())
    }
}
