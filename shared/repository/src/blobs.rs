//! Sets of blobs: which need not be stored again.

use std::sync::{Arc, Mutex, PoisonError};

use crate::id::{BlobId, IdSet};
use crate::index::BlobKind;

/// The blobs that a writer need not store again. Empty for a full snapshot, which depends on
/// nothing; everything that an index names for an incremental; the blobs of the chain's full for a
/// differential. About 37 bytes of memory a blob; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct KnownBlobs {
    data: Arc<IdSet<BlobId>>,
    trees: Arc<IdSet<BlobId>>,
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
            data: Arc::new(data.into_iter().collect()),
            trees: Arc::new(trees.into_iter().collect()),
        }
    }

    /// Whether a blob of this kind is known.
    pub fn contains(&self, kind: BlobKind, id: &BlobId) -> bool {
        match kind {
            BlobKind::Data => self.data.contains(id),
            BlobKind::Tree => self.trees.contains(id),
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
