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
        while let Some(end) = memchr::memchr(b'\n', piece) {
            self.sum = self.sum.wrapping_add(xxh3_128(&piece[..end]));
            self.rows += 1;
            piece = &piece[end + 1..];
        }
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
