//! A flat table of blobs, sorted by id: as compact as a table of whole ids can be.
//!
//! Ids are hashes, so a row's place follows from its id's first bits: a directory of about one number
//! for every eight rows leads there, and a binary search among those few finds it. Ids that are
//! crafted to share their first bits cost a longer search and nothing else.

use crate::id::BlobId;

/// Rows for each entry of the directory, on average.
const ROWS_IN_BUCKET: usize = 8;

/// One blob and what the table holds of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row<V> {
    pub(crate) id: BlobId,
    pub(crate) value: V,
}

/// A table. An id may have several rows, which are sorted by their values.
#[derive(Debug)]
pub(crate) struct Table<V> {
    rows: Vec<Row<V>>,
    /// Where the rows of each bucket begin, and at last where all end.
    starts: Vec<u32>,
    /// How far the first 64 bits of an id are shifted to give its bucket.
    shift: u32,
    distinct: usize,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            starts: vec![0, 0],
            shift: u64::BITS,
            distinct: 0,
        }
    }
}

impl<V: Copy + Ord> Table<V> {
    /// Sorts rows into a table, in place. Equal rows become one.
    pub(crate) fn new(mut rows: Vec<Row<V>>) -> Self {
        rows.sort_unstable();
        rows.dedup();
        rows.shrink_to_fit();
        let buckets = (rows.len() / ROWS_IN_BUCKET).next_power_of_two();
        let shift = u64::BITS - buckets.trailing_zeros();
        let mut starts = Vec::with_capacity(buckets + 1);
        for (at, row) in rows.iter().enumerate() {
            let bucket = bucket(&row.id, shift);
            while starts.len() <= bucket {
                // More than 2^32 rows would be 130 GB of ids.
                starts.push(at as u32);
            }
        }
        starts.resize(buckets + 1, rows.len() as u32);
        let repeated = rows.windows(2).filter(|pair| pair[0].id == pair[1].id);
        let distinct = rows.len() - repeated.count();
        Self {
            rows,
            starts,
            shift,
            distinct,
        }
    }

    /// All rows of a blob, and the number of the first of them.
    pub(crate) fn find(&self, id: &BlobId) -> (usize, &[Row<V>]) {
        let bucket = bucket(id, self.shift);
        let (start, end) = (
            self.starts[bucket] as usize,
            self.starts[bucket + 1] as usize,
        );
        let rows = &self.rows[start..end];
        let first = rows.partition_point(|row| row.id < *id);
        let found = &rows[first..];
        let length = found.iter().take_while(|row| row.id == *id).count();
        (start + first, &found[..length])
    }

    /// Whether there is a row of this blob.
    pub(crate) fn contains(&self, id: &BlobId) -> bool {
        !self.find(id).1.is_empty()
    }

    /// Every row, sorted.
    pub(crate) fn rows(&self) -> &[Row<V>] {
        &self.rows
    }

    /// Every id once, sorted.
    pub(crate) fn ids(&self) -> impl Iterator<Item = BlobId> {
        self.rows
            .chunk_by(|a, b| a.id == b.id)
            .filter_map(|rows| Some(rows.first()?.id))
    }

    /// How many different blobs it has rows of.
    pub(crate) fn len(&self) -> usize {
        self.distinct
    }

    /// Bytes of memory behind it.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Row<V>>() + self.starts.capacity() * size_of::<u32>()
    }
}

fn bucket(id: &BlobId, shift: u32) -> usize {
    let first = id.0.first_chunk::<8>().copied().unwrap_or_default();
    u64::from_be_bytes(first).checked_shr(shift).unwrap_or(0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_finds_what_a_set_has_and_nothing_else(
            rows in prop::collection::vec((any::<u16>(), 0u8..3), 0..400),
            others in prop::collection::vec(any::<u16>(), 0..50),
            spread in any::<bool>(),
        ) {
            // Spread as hashes are, or with one and the same beginning.
            let id = |n: u16| match spread {
                true => BlobId::of(&n.to_be_bytes()),
                false => {
                    let mut id = [7; 32];
                    id[30..].copy_from_slice(&n.to_be_bytes());
                    BlobId(id)
                }
            };
            let set: BTreeSet<_> = rows.iter().map(|(n, value)| (id(*n), *value)).collect();
            let table = Table::new(rows.iter().map(|(n, value)| Row { id: id(*n), value: *value }).collect());
            prop_assert_eq!(table.rows().len(), set.len());
            let ids: BTreeSet<_> = set.iter().map(|(id, _)| *id).collect();
            prop_assert_eq!(table.len(), ids.len());
            for n in rows.iter().map(|(n, _)| *n).chain(others) {
                let (at, found) = table.find(&id(n));
                let expected: Vec<u8> =
                    set.iter().filter(|(other, _)| *other == id(n)).map(|(_, value)| *value).collect();
                prop_assert_eq!(found.iter().map(|row| row.value).collect::<Vec<_>>(), expected);
                prop_assert_eq!(&table.rows()[at..at + found.len()], found);
            }
        }
    }

    #[test]
    fn an_empty_table_finds_nothing() {
        for table in [Table::<u8>::default(), Table::new(Vec::new())] {
            for id in [[0; 32], [0xff; 32]] {
                assert!(!table.contains(&BlobId(id)));
            }
        }
    }
}
