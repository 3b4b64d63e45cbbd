//! The multiset hash and the row count of a stream of rows.

use logisedge_domain::manifest::ContentHash;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// Counts and hashes the rows of a stream that ends each row with a line feed, whatever pieces
/// it comes in. The definition is [`ContentHash`]'s.
///
/// Costs about 0.15 ns a byte: rows inside one piece are hashed in place; only a row that spans
/// pieces goes through the streaming hasher, so no row is ever buffered.
#[derive(Default)]
pub struct RowHasher {
    rows: u64,
    sum: u128,
    open: Option<Box<Xxh3>>,
}

impl RowHasher {
    /// Takes the next piece of the stream.
    pub fn update(&mut self, mut piece: &[u8]) {
        if let Some(open) = &mut self.open {
            let Some(end) = memchr::memchr(b'\n', piece) else {
                open.update(piece);
                return;
            };
            open.update(&piece[..end]);
            self.sum = self.sum.wrapping_add(open.digest128());
            self.rows += 1;
            self.open = None;
            piece = &piece[end + 1..];
        }
        let mut start = 0;
        // One search for all ends: rows are short, and each search by itself has a beginning.
        for end in memchr::memchr_iter(b'\n', piece) {
            self.sum = self.sum.wrapping_add(xxh3_128(&piece[start..end]));
            self.rows += 1;
            start = end + 1;
        }
        piece = &piece[start..];
        if !piece.is_empty() {
            let mut open = Box::new(Xxh3::new());
            open.update(piece);
            self.open = Some(open);
        }
    }

    /// Rows so far and their hash. A last row without a line end is not counted.
    pub fn result(&self) -> (u64, ContentHash) {
        (self.rows, ContentHash(self.sum))
    }
}

/// Adds up the hashes of a table's parts.
pub fn add(a: ContentHash, b: ContentHash) -> ContentHash {
    ContentHash(a.0.wrapping_add(b.0))
}

/// Longest unfinished row at either end of a piece that [`RowPiece`] keeps, in bytes.
pub const FRAGMENT_BYTES_MAX: usize = 16 * 1024;

/// What a piece from the middle of a stream contributes, so that pieces can be hashed in any order,
/// on any thread, and put together afterwards: its whole rows, and the unfinished ones at its ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowPiece {
    rows: u64,
    sum: u128,
    bytes: u64,
    head: Box<[u8]>,
    /// None: the piece has no line end at all, and `head` is all of it.
    tail: Option<Box<[u8]>>,
}

impl RowPiece {
    /// Hashes the whole rows of `piece`. None where an unfinished row at one of its ends is longer
    /// than [`FRAGMENT_BYTES_MAX`]: such a stream has to be counted in order.
    pub fn of(piece: &[u8]) -> Option<Self> {
        let bounded = |fragment: &[u8]| {
            (fragment.len() <= FRAGMENT_BYTES_MAX).then(|| Box::<[u8]>::from(fragment))
        };
        let bytes = piece.len() as u64;
        let Some(first) = memchr::memchr(b'\n', piece) else {
            let head = bounded(piece)?;
            return Some(Self {
                rows: 0,
                sum: 0,
                bytes,
                head,
                tail: None,
            });
        };
        let mut whole = RowHasher::default();
        let last = memchr::memrchr(b'\n', piece).unwrap_or(first);
        whole.update(&piece[first + 1..=last.max(first)]);
        let (rows, ContentHash(sum)) = whole.result();
        let head = bounded(&piece[..first])?;
        let tail = Some(bounded(&piece[last + 1..])?);
        Some(Self {
            rows,
            sum,
            bytes,
            head,
            tail,
        })
    }
}

impl RowPiece {
    /// Bytes of unfinished rows that it holds on to.
    pub fn bytes_held(&self) -> usize {
        self.head.len() + self.tail.as_ref().map_or(0, |tail| tail.len())
    }
}

/// Puts pieces together in the order of the stream.
#[derive(Default)]
pub struct RowFold {
    rows: u64,
    sum: u128,
    bytes: u64,
    open: Vec<u8>,
}

impl RowFold {
    /// Takes the stream's next piece.
    pub fn push(&mut self, piece: &RowPiece) {
        self.bytes += piece.bytes;
        self.open.extend_from_slice(&piece.head);
        let Some(tail) = &piece.tail else { return };
        self.sum = self
            .sum
            .wrapping_add(xxh3_128(&self.open))
            .wrapping_add(piece.sum);
        self.rows += 1 + piece.rows;
        self.open.clear();
        self.open.extend_from_slice(tail);
    }

    /// Rows, their hash, and the bytes of the stream so far.
    pub fn result(&self) -> (u64, ContentHash, u64) {
        (self.rows, ContentHash(self.sum), self.bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn in_one(stream: &[u8]) -> (u64, ContentHash) {
        let mut hasher = RowHasher::default();
        hasher.update(stream);
        hasher.result()
    }

    fn cut(stream: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
        let mut ends: Vec<usize> = cuts.iter().map(|c| c % (stream.len() + 1)).collect();
        ends.push(stream.len());
        ends.sort_unstable();
        let mut start = 0;
        ends.into_iter()
            .map(|end| {
                let piece = stream[start..end].to_vec();
                start = end;
                piece
            })
            .collect()
    }

    fn streams() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(prop_oneof![3 => any::<u8>(), 1 => Just(b'\n')], 0..400)
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(stream in streams(), cuts in proptest::collection::vec(any::<usize>(), 0..8)) {
            let mut hasher = RowHasher::default();
            let mut fold = RowFold::default();
            for piece in cut(&stream, &cuts) {
                hasher.update(&piece);
                fold.push(&RowPiece::of(&piece).unwrap());
            }
            prop_assert_eq!(hasher.result(), in_one(&stream));
            let (rows, hash, bytes) = fold.result();
            prop_assert_eq!((rows, hash), in_one(&stream));
            prop_assert_eq!(bytes, stream.len() as u64);
        }

        #[test]
        fn order_of_rows_does_not_matter(mut rows in proptest::collection::vec("[a-z]{0,9}", 0..20)) {
            let forwards = in_one(rows.iter().map(|r| format!("{r}\n")).collect::<String>().as_bytes());
            rows.reverse();
            let backwards = in_one(rows.iter().map(|r| format!("{r}\n")).collect::<String>().as_bytes());
            prop_assert_eq!(forwards, backwards);
        }
    }

    #[test]
    fn a_long_unfinished_row_is_left_to_the_reader_in_order() {
        assert_eq!(RowPiece::of(&vec![b'x'; FRAGMENT_BYTES_MAX + 1]), None);
        assert!(RowPiece::of(&vec![b'x'; FRAGMENT_BYTES_MAX]).is_some());
    }

    #[test]
    fn the_definition_is_fixed() {
        let (rows, hash) = in_one(b"1\tone\n\n");
        assert_eq!(rows, 2);
        let by_definition = xxh3_128(b"1\tone").wrapping_add(xxh3_128(b""));
        assert_eq!(hash, ContentHash(by_definition));
    }
}
