//! The index: where every blob lies. Index files as they are stored, and the merged map of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::blobs::KnownBlobs;
use crate::id::{BlobId, IndexId, PackId};
use crate::pack::{FRAME_BYTES, PackedBlob};
use crate::table::{Row, Table};

/// Most blobs of one index file that we write: about 2.5 MB of JSON before compression. restic's own
/// limit is 50 000; smaller files are read by more threads at the same time in less memory.
pub(crate) const INDEX_BLOBS_MAX: usize = 16_000;

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

    /// Where its encrypted form ends in the pack, in bytes.
    pub(crate) fn end(&self) -> u64 {
        u64::from(self.offset) + u64::from(self.length)
    }
}

/// Where one copy of a blob lies: 16 bytes, next to the 32 of its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    /// The pack's number in its index, which follows the packs' ids.
    pub(crate) pack: u32,
    pub(crate) offset: u32,
    pub(crate) length: u32,
    pub(crate) uncompressed: u32,
}

/// Every blob that a repository's index files name, with all its copies. 48.5 bytes of memory a
/// blob, so about 100 MB for a terabyte at half a MiB a blob. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Index {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    packs: Vec<PackId>,
    data: Arc<Table<Entry>>,
    trees: Arc<Table<Entry>>,
}

/// One index file, decoded into the rows of an index: its JSON is gone when the next one is read.
#[derive(Debug)]
pub(crate) struct IndexPart {
    pub(crate) id: IndexId,
    pub(crate) supersedes: Vec<IndexId>,
    /// The packs that it names, in the order that its rows number them in.
    pub(crate) packs: Vec<PackId>,
    data: Vec<Row<Entry>>,
    trees: Vec<Row<Entry>>,
}

impl IndexFile {
    /// Index files of the usual size that name these packs.
    pub(crate) fn of_packs(packs: Vec<IndexedPack>) -> Vec<Self> {
        let mut files = vec![Self::default()];
        let mut count = 0;
        for pack in packs {
            if count >= INDEX_BLOBS_MAX {
                count = 0;
                files.push(Self::default());
            }
            count += pack.blobs.len();
            if let Some(file) = files.last_mut() {
                file.packs.push(pack);
            }
        }
        files.retain(|file| !file.packs.is_empty());
        files
    }
}

impl IndexPart {
    /// Leaves out what lies in other packs than these.
    pub(crate) fn retain(&mut self, is_there: impl Fn(&PackId) -> bool) {
        let there: Vec<bool> = self.packs.iter().map(is_there).collect();
        let lies_there = |row: &Row<Entry>| there[row.value.pack as usize];
        self.data.retain(lies_there);
        self.trees.retain(lies_there);
    }

    pub(crate) fn new(id: IndexId, file: IndexFile) -> Self {
        let all = || file.packs.iter().flat_map(|pack| &pack.blobs);
        let trees = all().filter(|blob| blob.kind == BlobKind::Tree).count();
        let mut part = Self {
            id,
            packs: file.packs.iter().map(|pack| pack.id).collect(),
            data: Vec::with_capacity(all().count() - trees),
            trees: Vec::with_capacity(trees),
            supersedes: Vec::new(),
        };
        part.supersedes = file.supersedes;
        for (number, pack) in file.packs.into_iter().enumerate() {
            for blob in pack.blobs {
                let rows = match blob.kind {
                    BlobKind::Data => &mut part.data,
                    BlobKind::Tree => &mut part.trees,
                };
                rows.push(Row {
                    id: blob.id,
                    value: Entry {
                        pack: number as u32,
                        offset: blob.offset,
                        length: blob.length,
                        uncompressed: blob.uncompressed_length,
                    },
                });
            }
        }
        part
    }
}

impl Index {
    /// Merges index files. Those that another one supersedes are left out.
    pub(crate) fn merge(files: impl IntoIterator<Item = (IndexId, IndexFile)>) -> Self {
        let parts = files
            .into_iter()
            .map(|(id, file)| IndexPart::new(id, file))
            .collect();
        Self::of_parts(parts)
    }

    /// Merges decoded index files, each of which is freed as its rows are taken over: at no time do
    /// both hold them all. Those that another one supersedes are left out.
    pub(crate) fn of_parts(mut parts: Vec<IndexPart>) -> Self {
        let superseded: BTreeSet<IndexId> = parts
            .iter()
            .flat_map(|part| part.supersedes.iter().copied())
            .collect();
        parts.retain(|part| !superseded.contains(&part.id));
        Self::of_all_parts(parts)
    }

    /// Merges decoded index files, those too that another one supersedes.
    pub(crate) fn of_all_parts(parts: Vec<IndexPart>) -> Self {
        let mut packs: Vec<PackId> = parts
            .iter()
            .flat_map(|part| part.packs.iter().copied())
            .collect();
        packs.sort_unstable();
        packs.dedup();
        packs.shrink_to_fit();
        // The memory is asked for at once and touched as it fills.
        let mut data = Vec::with_capacity(parts.iter().map(|part| part.data.len()).sum());
        let mut trees = Vec::with_capacity(parts.iter().map(|part| part.trees.len()).sum());
        for part in parts {
            let numbers: Vec<u32> = part
                .packs
                .iter()
                .map(|pack| packs.partition_point(|other| other < pack) as u32)
                .collect();
            let renumbered = |row: Row<Entry>| Row {
                id: row.id,
                value: Entry {
                    pack: numbers[row.value.pack as usize],
                    ..row.value
                },
            };
            data.extend(part.data.into_iter().map(renumbered));
            trees.extend(part.trees.into_iter().map(renumbered));
        }
        Self {
            inner: Arc::new(Inner {
                packs,
                data: Arc::new(Table::new(data)),
                trees: Arc::new(Table::new(trees)),
            }),
        }
    }

    /// All copies of the blobs of a kind, sorted by the blobs' ids and then their packs'.
    pub(crate) fn table(&self, kind: BlobKind) -> &Table<Entry> {
        match kind {
            BlobKind::Data => &self.inner.data,
            BlobKind::Tree => &self.inner.trees,
        }
    }

    /// Every pack that it names, sorted: an entry's number is a place here.
    pub(crate) fn pack_ids(&self) -> &[PackId] {
        &self.inner.packs
    }

    /// Where a blob lies, if an index file names it. Of several copies it is the one in the pack
    /// with the smallest id, so that the answer does not depend on the order of the files.
    pub fn locate(&self, kind: BlobKind, id: &BlobId) -> Option<Location> {
        self.copies(kind, id).next()
    }

    /// Every place where a blob lies, by the packs' ids. More than one is what a differential leaves
    /// that stores again what an incremental before it holds, or a prune that was killed.
    pub fn copies(&self, kind: BlobKind, id: &BlobId) -> impl Iterator<Item = Location> {
        let (_, copies) = self.table(kind).find(id);
        copies.iter().filter_map(|row| {
            let entry = row.value;
            Some(Location {
                pack: *self.inner.packs.get(entry.pack as usize)?,
                offset: entry.offset,
                length: entry.length,
                uncompressed: entry.uncompressed,
            })
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

    /// The packs it names, by id, with the bytes that each must have: its blobs and their header,
    /// whatever index file names which of them. Looks at every blob.
    pub(crate) fn pack_sizes(&self) -> impl Iterator<Item = (PackId, u64)> + '_ {
        let mut sizes = vec![FRAME_BYTES as u64; self.inner.packs.len()];
        for kind in [BlobKind::Data, BlobKind::Tree] {
            for row in self.table(kind).rows() {
                if let Some(bytes) = sizes.get_mut(row.value.pack as usize) {
                    let entry = PackedBlob::of(kind, row).entry_bytes() as u64;
                    *bytes += u64::from(row.value.length) + entry;
                }
            }
        }
        self.inner.packs.iter().copied().zip(sizes)
    }

    /// Bytes of memory behind it.
    pub fn heap_bytes(&self) -> usize {
        self.inner.packs.capacity() * size_of::<PackId>()
            + self.inner.data.heap_bytes()
            + self.inner.trees.heap_bytes()
    }

    /// Everything it names: what an incremental snapshot need not store again. Shares this index's
    /// memory, and costs nothing.
    pub fn known(&self) -> KnownBlobs {
        KnownBlobs::indexed(Arc::clone(&self.inner.data), Arc::clone(&self.inner.trees))
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

    #[test]
    fn a_blob_takes_as_many_bytes_as_its_documentation_says() {
        let files = (0..10u32).map(|n| {
            let blobs = (0..10_000u32).map(|m| IndexedBlob {
                id: BlobId::of(&(n * 10_000 + m).to_be_bytes()),
                kind: BlobKind::Data,
                offset: m,
                length: 1,
                uncompressed_length: 2,
            });
            let pack = IndexedPack {
                id: PackId([n as u8; 32]),
                blobs: blobs.collect(),
            };
            (IndexId([n as u8; 32]), file(&[], vec![pack]))
        });
        let index = Index::merge(files);
        assert_eq!(index.len(), 100_000);
        let each = index.heap_bytes() as f64 / index.len() as f64;
        assert!(each < 49.0, "{each} bytes a blob");
        assert_eq!(index.known().heap_bytes() + 320, index.heap_bytes());
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
