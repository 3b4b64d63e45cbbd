//! Sets of blobs: which need not be stored again.

use std::sync::{Arc, Mutex, PoisonError};

use crate::id::{BlobId, IdSet};
use crate::index::{BlobKind, Entry};
use crate::table::{Row, Table};

/// The blobs that a writer need not store again. Empty for a full snapshot, which depends on
/// nothing; everything that an index names for an incremental; the blobs of the chain's full for a
/// differential.
///
/// Memory: 32.5 bytes a blob where it holds ids of its own, nothing more than the index where it is
/// [what an index names](crate::Index::known). Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct KnownBlobs {
    data: Ids,
    trees: Ids,
}

#[derive(Debug, Clone)]
enum Ids {
    Own(Arc<Table<()>>),
    Indexed(Arc<Table<Entry>>),
}

impl Default for Ids {
    fn default() -> Self {
        Self::Own(Arc::default())
    }
}

impl Ids {
    fn own(ids: impl IntoIterator<Item = BlobId>) -> Self {
        let rows = ids.into_iter().map(|id| Row { id, value: () });
        Self::Own(Arc::new(Table::new(rows.collect())))
    }

    fn contains(&self, id: &BlobId) -> bool {
        match self {
            Self::Own(table) => table.contains(id),
            Self::Indexed(table) => table.contains(id),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Own(table) => table.len(),
            Self::Indexed(table) => table.len(),
        }
    }

    /// Each id once, sorted.
    fn iter(&self) -> Box<dyn Iterator<Item = BlobId> + '_> {
        match self {
            Self::Own(table) => Box::new(table.ids()),
            Self::Indexed(table) => Box::new(table.ids()),
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Self::Own(table) => table.heap_bytes(),
            Self::Indexed(table) => table.heap_bytes(),
        }
    }
}

impl KnownBlobs {
    /// Nothing is known: every blob is stored.
    pub fn none() -> Self {
        Self::default()
    }

    /// Takes ids of data and of tree blobs. restic keeps the two apart, so they are here too.
    pub fn new(
        data: impl IntoIterator<Item = BlobId>,
        trees: impl IntoIterator<Item = BlobId>,
    ) -> Self {
        Self {
            data: Ids::own(data),
            trees: Ids::own(trees),
        }
    }

    pub(crate) fn indexed(data: Arc<Table<Entry>>, trees: Arc<Table<Entry>>) -> Self {
        Self {
            data: Ids::Indexed(data),
            trees: Ids::Indexed(trees),
        }
    }

    /// Whether a blob of this kind is known.
    pub fn contains(&self, kind: BlobKind, id: &BlobId) -> bool {
        match kind {
            BlobKind::Data => self.data.contains(id),
            BlobKind::Tree => self.trees.contains(id),
        }
    }

    /// The known blobs of a kind, sorted.
    pub fn ids(&self, kind: BlobKind) -> impl Iterator<Item = BlobId> {
        match kind {
            BlobKind::Data => self.data.iter(),
            BlobKind::Tree => self.trees.iter(),
        }
    }

    /// How many blobs are known.
    pub fn len(&self) -> usize {
        self.data.len() + self.trees.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory behind it, those of an index that it shares included.
    pub fn heap_bytes(&self) -> usize {
        self.data.heap_bytes() + self.trees.heap_bytes()
    }
}

/// What a writer knows plus what it has taken on itself to store.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    known: KnownBlobs,
    data: Mutex<IdSet<BlobId>>,
    trees: Mutex<IdSet<BlobId>>,
}

impl Claims {
    pub(crate) fn new(known: KnownBlobs) -> Self {
        Self {
            known,
            ..Self::default()
        }
    }

    /// Whether the caller is the first to need this blob and so has to store it. Should it then
    /// fail to, the whole writer fails: nobody else will.
    pub(crate) fn claim(&self, kind: BlobKind, id: BlobId) -> bool {
        if self.known.contains(kind, &id) {
            return false;
        }
        let claimed = match kind {
            BlobKind::Data => &self.data,
            BlobKind::Tree => &self.trees,
        };
        claimed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_blob_takes_no_more_than_its_id() {
        let ids = (0..100_000u32).map(|n| BlobId::of(&n.to_be_bytes()));
        let known = KnownBlobs::new(ids.clone(), []);
        let each = known.heap_bytes() as f64 / known.len() as f64;
        assert!(each < 33.0, "{each} bytes a blob");
        assert!(ids.clone().all(|id| known.contains(BlobKind::Data, &id)));
        assert!(!ids.clone().any(|id| known.contains(BlobKind::Tree, &id)));
    }
}
