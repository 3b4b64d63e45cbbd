//! The index: where every blob lies. Index files as they are stored, and the merged map of them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::blobs::KnownBlobs;
use crate::id::{BlobId, IdMap, IndexId, PackId};
use crate::pack::{PackedBlob, pack_bytes};

/// Most blobs of one index file that we write: about 4 MB of JSON before compression.
pub(crate) const INDEX_BLOBS_MAX: usize = 50_000;

/// What a blob holds. The two kinds never share a pack, and equal content of two kinds is two blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlobKind {
    /// A piece of a file.
    Data,
    /// A directory.
    Tree,
}

/// An index file's JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IndexFile {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) supersedes: Vec<IndexId>,
    pub(crate) packs: Vec<IndexedPack>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IndexedPack {
    pub(crate) id: PackId,
    pub(crate) blobs: Vec<IndexedBlob>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IndexedBlob {
    id: BlobId,
    #[serde(rename = "type")]
    kind: BlobKind,
    offset: u32,
    length: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    uncompressed_length: u32,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl From<&PackedBlob> for IndexedBlob {
    fn from(blob: &PackedBlob) -> Self {
        Self {
            id: blob.id,
            kind: blob.kind,
            offset: blob.offset,
            length: blob.length,
            uncompressed_length: blob.uncompressed,
        }
    }
}

impl From<&IndexedBlob> for PackedBlob {
    fn from(blob: &IndexedBlob) -> Self {
        Self {
            offset: blob.offset,
            length: blob.length,
            uncompressed: blob.uncompressed_length,
            kind: blob.kind,
            id: blob.id,
        }
    }
}

/// Where a blob lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// The pack that holds it.
    pub pack: PackId,
    /// Where its encrypted form begins in the pack, in bytes.
    pub offset: u32,
    /// Bytes of its encrypted form.
    pub length: u32,
    /// Bytes of its plaintext where it is compressed, else 0.
    pub uncompressed: u32,
}

impl Location {
    /// Bytes of the blob's plaintext.
    pub fn plain_bytes(&self) -> u64 {
        match self.uncompressed {
            0 => u64::from(self.length).saturating_sub(crate::crypto::OVERHEAD_BYTES as u64),
            bytes => u64::from(bytes),
        }
    }
}

/// 16 bytes, next to the 32 of the id that leads here.
#[derive(Debug, Clone, Copy)]
struct Entry {
    pack: u32,
    offset: u32,
    length: u32,
    uncompressed: u32,
}

/// Every blob that a repository's index files name. About 57 bytes of memory a blob, so 110 MB for
/// a terabyte at half a MiB a blob. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Index {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    packs: Vec<PackId>,
    /// Bytes that each of `packs` has, as its blobs and their header add up.
    pack_bytes: Vec<u64>,
    data: IdMap<BlobId, Entry>,
    trees: IdMap<BlobId, Entry>,
}

impl Inner {
    fn map(&self, kind: BlobKind) -> &IdMap<BlobId, Entry> {
        match kind {
            BlobKind::Data => &self.data,
            BlobKind::Tree => &self.trees,
        }
    }
}

impl Index {
    /// Merges index files. Those that another one supersedes are left out. A blob that lies in
    /// several packs is looked for in the one with the smallest id, so that the answer does not
    /// depend on the order of the files.
    pub(crate) fn merge(files: impl IntoIterator<Item = (IndexId, IndexFile)>) -> Self {
        let mut files: Vec<_> = files.into_iter().collect();
        let superseded: std::collections::BTreeSet<IndexId> = files
            .iter()
            .flat_map(|(_, file)| file.supersedes.iter().copied())
            .collect();
        files.retain(|(id, _)| !superseded.contains(id));
        let mut packs: Vec<IndexedPack> =
            files.into_iter().flat_map(|(_, file)| file.packs).collect();
        packs.sort_by_key(|pack| pack.id);
        let mut inner = Inner::default();
        for pack in packs {
            let blobs: Vec<PackedBlob> = pack.blobs.iter().map(Into::into).collect();
            let bytes = pack_bytes(&blobs);
            match (inner.packs.last(), inner.pack_bytes.last_mut()) {
                // Two index files may name one pack, and one of them only a part of it.
                (Some(last), Some(known)) if *last == pack.id => *known = bytes.max(*known),
                _ => {
                    inner.packs.push(pack.id);
                    inner.pack_bytes.push(bytes);
                }
            }
            let number = (inner.packs.len() - 1) as u32;
            for blob in pack.blobs {
                let map = match blob.kind {
                    BlobKind::Data => &mut inner.data,
                    BlobKind::Tree => &mut inner.trees,
                };
                map.entry(blob.id).or_insert(Entry {
                    pack: number,
                    offset: blob.offset,
                    length: blob.length,
                    uncompressed: blob.uncompressed_length,
                });
            }
        }
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Where a blob lies, if an index file names it.
    pub fn locate(&self, kind: BlobKind, id: &BlobId) -> Option<Location> {
        let entry = self.inner.map(kind).get(id)?;
        Some(Location {
            pack: *self.inner.packs.get(entry.pack as usize)?,
            offset: entry.offset,
            length: entry.length,
            uncompressed: entry.uncompressed,
        })
    }

    /// How many blobs it names.
    pub fn len(&self) -> usize {
        self.inner.data.len() + self.inner.trees.len()
    }

    /// Whether it names none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many packs it names.
    pub fn packs(&self) -> usize {
        self.inner.packs.len()
    }

    /// The packs it names, by id, with the bytes that each must have.
    pub(crate) fn pack_sizes(&self) -> impl Iterator<Item = (PackId, u64)> + '_ {
        let ids = self.inner.packs.iter().copied();
        ids.zip(self.inner.pack_bytes.iter().copied())
    }

    /// Everything it names: what an incremental snapshot need not store again.
    pub fn known(&self) -> KnownBlobs {
        KnownBlobs::new(
            self.inner.data.keys().copied(),
            self.inner.trees.keys().copied(),
        )
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pack(id: u8, blobs: &[(u8, BlobKind)]) -> IndexedPack {
        let blobs = blobs.iter().enumerate().map(|(i, (id, kind))| IndexedBlob {
            id: BlobId([*id; 32]),
            kind: *kind,
            offset: i as u32 * 100,
            length: 100,
            uncompressed_length: u32::from(*id),
        });
        IndexedPack {
            id: PackId([id; 32]),
            blobs: blobs.collect(),
        }
    }

    fn file(supersedes: &[u8], packs: Vec<IndexedPack>) -> IndexFile {
        IndexFile {
            supersedes: supersedes.iter().map(|id| IndexId([*id; 32])).collect(),
            packs,
        }
    }

    #[test]
    fn the_json_is_the_one_of_the_specification() {
        let file = file(
            &[],
            vec![pack(0xab, &[(0, BlobKind::Data), (7, BlobKind::Tree)])],
        );
        let json = String::from_utf8(crate::golang::json(&file).unwrap()).unwrap();
        let (id, zero, seven) = ("ab".repeat(32), "00".repeat(32), "07".repeat(32));
        assert_eq!(
            json,
            format!(
                r#"{{"packs":[{{"id":"{id}","blobs":[{{"id":"{zero}","type":"data","offset":0,"length":100}},{{"id":"{seven}","type":"tree","offset":100,"length":100,"uncompressed_length":7}}]}}]}}"#
            )
        );
    }

    #[test]
    fn superseded_files_are_left_out_and_kinds_are_kept_apart() {
        let old = file(&[], vec![pack(1, &[(1, BlobKind::Data)])]);
        let new = file(
            &[9],
            vec![pack(2, &[(2, BlobKind::Data), (3, BlobKind::Tree)])],
        );
        let index = Index::merge([(IndexId([9; 32]), old), (IndexId([8; 32]), new)]);
        assert_eq!(index.locate(BlobKind::Data, &BlobId([1; 32])), None);
        assert_eq!(index.locate(BlobKind::Data, &BlobId([3; 32])), None);
        let found = index.locate(BlobKind::Tree, &BlobId([3; 32])).unwrap();
        assert_eq!((found.pack, found.offset), (PackId([2; 32]), 100));
        assert_eq!((index.len(), index.packs()), (2, 1));
    }

    proptest! {
        #[test]
        fn any_blobs_are_found_after_a_round_trip_whatever_the_order(
            packs in prop::collection::btree_map(
                any::<u8>(), prop::collection::vec(any::<u8>(), 1..20), 1..20),
            swap in any::<bool>(),
        ) {
            let mut files: Vec<_> = packs.iter().map(|(id, blobs)| {
                let blobs: Vec<_> = blobs.iter().map(|b| (*b, BlobKind::Data)).collect();
                let json = crate::golang::json(&file(&[], vec![pack(*id, &blobs)])).unwrap();
                (IndexId([*id; 32]), serde_json::from_slice(&json).unwrap())
            }).collect();
            if swap {
                files.reverse();
            }
            let index = Index::merge(files);
            for blobs in packs.values() {
                for blob in blobs {
                    let found = index.locate(BlobKind::Data, &BlobId([*blob; 32])).unwrap();
                    let first = packs.iter().find(|(_, blobs)| blobs.contains(blob)).unwrap();
                    prop_assert_eq!(found.pack, PackId([*first.0; 32]));
                }
            }
        }
    }
}
