//! Which blobs the kept snapshots need: found by reading all of their directories.

use futures_util::{StreamExt, TryStreamExt};
use logisedge_domain::finding::FindingKind;
use logisedge_domain::id::SnapshotId;

use crate::error::RepositoryError;
use crate::id::BlobId;
use crate::index::{BlobKind, Index};
use crate::repository::Repository;
use crate::tree::Tree;
use crate::writer::off_runtime;

/// Directories that are read at the same time.
const TREES_AT_ONCE: usize = 8;

/// A bit for each row of an index; a blob's is that of its first row.
#[derive(Debug)]
pub(crate) struct Needed {
    data: Bits,
    trees: Bits,
}

#[derive(Debug)]
struct Bits(Vec<u64>);

impl Bits {
    fn new(bits: usize) -> Self {
        Self(vec![0; bits.div_ceil(64)])
    }

    fn has(&self, at: usize) -> bool {
        self.0[at / 64] & (1 << (at % 64)) != 0
    }

    /// Whether it was not set before.
    fn set(&mut self, at: usize) -> bool {
        let new = !self.has(at);
        self.0[at / 64] |= 1 << (at % 64);
        new
    }
}

impl Needed {
    fn none(index: &Index) -> Self {
        Self {
            data: Bits::new(index.table(BlobKind::Data).rows().len()),
            trees: Bits::new(index.table(BlobKind::Tree).rows().len()),
        }
    }

    /// Whether the blob whose first row has this number is needed.
    pub(crate) fn has(&self, kind: BlobKind, first_row: usize) -> bool {
        match kind {
            BlobKind::Data => self.data.has(first_row),
            BlobKind::Tree => self.trees.has(first_row),
        }
    }

    /// Takes a blob note of. Whether it was not noted before.
    fn note(
        &mut self,
        index: &Index,
        kind: BlobKind,
        id: &BlobId,
    ) -> Result<bool, RepositoryError> {
        let (first, copies) = index.table(kind).find(id);
        if copies.is_empty() {
            return Err(RepositoryError::damaged(
                FindingKind::BlobMissing,
                format!("blob {id}"),
                "a kept snapshot needs it, and no index names it",
            ));
        }
        Ok(match kind {
            BlobKind::Data => self.data.set(first),
            BlobKind::Tree => self.trees.set(first),
        })
    }
}

/// Reads the directories of `kept`, each once, and notes every blob. Fails with the damage where one
/// cannot be read, or names what no index knows.
pub(crate) async fn find(
    repository: &Repository,
    index: &Index,
    kept: &[SnapshotId],
) -> Result<Needed, RepositoryError> {
    let mut needed = Needed::none(index);
    let reader = repository.reader(index.clone());
    let mut open = Vec::new();
    for id in kept {
        let root = repository.existing_snapshot(*id).await?.tree;
        if needed.note(index, BlobKind::Tree, &root)? {
            open.push(root);
        }
    }
    while !open.is_empty() {
        let reader = &reader;
        let trees: Vec<Tree> = futures_util::stream::iter(std::mem::take(&mut open))
            .map(async |id| {
                let json = reader.blob(BlobKind::Tree, id).await?;
                off_runtime(move || {
                    serde_json::from_slice(&json).map_err(|error| {
                        let object = format!("tree {id}");
                        let detail = format!("its JSON: {error}");
                        RepositoryError::damaged(FindingKind::TreeBroken, object, detail)
                    })
                })
                .await
            })
            .buffer_unordered(TREES_AT_ONCE)
            .try_collect()
            .await?;
        for node in trees.into_iter().flat_map(|tree| tree.nodes) {
            for id in node.content.iter().flatten() {
                needed.note(index, BlobKind::Data, id)?;
            }
            if let Some(subtree) = node.subtree {
                if needed.note(index, BlobKind::Tree, &subtree)? {
                    open.push(subtree);
                }
            } else if node.node_type == "dir" {
                return Err(RepositoryError::damaged(
                    FindingKind::TreeBroken,
                    "a directory",
                    "it has no tree",
                ));
            }
        }
    }
    Ok(needed)
}
