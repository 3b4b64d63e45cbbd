//! Where a stream is cut into blobs: FastCDC with normalised chunking (Xia et al., USENIX ATC 2016
//! and 2020). `FORMAT.md` defines it precisely enough to be written again.
//!
//! Cuts depend on content alone, never on how the stream arrived, so that unchanged stretches of a
//! changed stream give the blobs that they gave before.

use logisedge_domain::manifest::Chunking;

/// How far normalisation narrows the distribution: mask bits added before the average size is
/// reached and taken away after it.
const NORMALISATION_BITS: u32 = 2;

/// One random number for each byte value: SplitMix64's first 256 outputs. Fixed for ever: other
/// numbers would make every blob of an unchanged source new.
const GEAR: [u64; 256] = {
    let mut table = [0u64; 256];
    let mut state = 0x4c6f_6769_7345_6467u64; // "LogisEdg"
    let mut at = 0;
    while at < table.len() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        table[at] = z ^ (z >> 31);
        at += 1;
    }
    table
};

/// The same, shifted once: a second table costs 2 KiB of cache and saves an eighth of the time.
const GEAR_SHIFTED: [u64; 256] = {
    let mut table = GEAR;
    let mut at = 0;
    while at < table.len() {
        table[at] <<= 1;
        at += 1;
    }
    table
};

/// Sizes of blobs, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// No cut is looked for before. A quarter of the average. A stream's last blob may be smaller.
    pub bytes_min: usize,
    /// Aimed at: a power of two.
    pub bytes_average: usize,
    /// A cut is made here at the latest. Eight times the average.
    pub bytes_max: usize,
}

impl Bounds {
    /// Bounds around an average, which is a power of two of at least 64.
    pub fn around(bytes_average: usize) -> Self {
        debug_assert!(bytes_average.is_power_of_two() && bytes_average >= 64);
        Self {
            bytes_min: bytes_average / 4,
            bytes_average,
            bytes_max: bytes_average * 8,
        }
    }

    /// The same as a manifest records it.
    pub fn recorded(&self) -> Chunking {
        Chunking {
            algorithm: "fastcdc".to_owned(),
            bytes_min: self.bytes_min as u64,
            bytes_average: self.bytes_average as u64,
            bytes_max: self.bytes_max as u64,
        }
    }
}

/// Finds the cuts of one stream. Holds no content.
#[derive(Debug, Clone)]
pub struct Chunker {
    bounds: Bounds,
    /// Wanted before the average is reached: the harder one to meet.
    mask_before: u64,
    mask_after: u64,
    /// Bytes of the present chunk that were seen.
    position: usize,
    hash: u64,
}

impl Chunker {
    /// A chunker at the start of a stream.
    pub fn new(bounds: Bounds) -> Self {
        let bits = bounds.bytes_average.trailing_zeros();
        Self {
            bounds,
            mask_before: mask(bits + NORMALISATION_BITS),
            mask_after: mask(bits - NORMALISATION_BITS),
            position: 0,
            hash: 0,
        }
    }

    /// Looks at the stream's next bytes. `Some(n)`: the present chunk ends after the first `n` of
    /// them, and the next call goes on with the rest. `None`: all of them belong to the present
    /// chunk. What is left when the stream ends is its last chunk.
    pub fn next_cut(&mut self, piece: &[u8]) -> Option<usize> {
        let Bounds {
            bytes_min,
            bytes_average,
            bytes_max,
        } = self.bounds;
        let start = self.position;
        let mut at = bytes_min.saturating_sub(start).min(piece.len());
        for (until, mask) in [
            (bytes_average, self.mask_before),
            (bytes_max, self.mask_after),
        ] {
            let end = until.saturating_sub(start).clamp(at, piece.len());
            if let Some(cut) = scan(&mut self.hash, &piece[at..end], mask) {
                return Some(self.cut(at + cut));
            }
            at = end;
        }
        if start + at == bytes_max {
            return Some(self.cut(at));
        }
        self.position = start + at;
        None
    }

    fn cut(&mut self, at: usize) -> usize {
        self.position = 0;
        self.hash = 0;
        at
    }
}

/// The `bits` bits below the topmost: they depend on the last 40 bytes and more. The topmost is
/// left out, so that [`scan`] may test a hash that was shifted once already.
fn mask(bits: u32) -> u64 {
    ((1 << bits) - 1) << (63 - bits)
}

/// Rolls the hash over bytes, up to and with the first after which `mask`'s bits are all zero.
#[inline]
fn scan(hash: &mut u64, bytes: &[u8], mask: u64) -> Option<usize> {
    let mut h = *hash;
    let (pairs, last) = bytes.as_chunks::<2>();
    let shifted = mask << 1;
    for (i, &[first, second]) in pairs.iter().enumerate() {
        // The hash after `first`, shifted once ahead for `second`: one dependent step a pair less.
        h = (h << 2).wrapping_add(GEAR_SHIFTED[usize::from(first)]);
        if h & shifted == 0 {
            return Some(2 * i + 1);
        }
        h = h.wrapping_add(GEAR[usize::from(second)]);
        if h & mask == 0 {
            return Some(2 * i + 2);
        }
    }
    for &byte in last {
        h = (h << 1).wrapping_add(GEAR[usize::from(byte)]);
        if h & mask == 0 {
            return Some(bytes.len());
        }
    }
    *hash = h;
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition of `FORMAT.md`, word for word and without any cleverness.
    fn defined(bounds: Bounds, stream: &[u8]) -> Vec<usize> {
        let bits = bounds.bytes_average.trailing_zeros();
        let mut lengths = Vec::new();
        let (mut start, mut hash) = (0, 0u64);
        for at in 0..stream.len() {
            let offset = at - start;
            if offset >= bounds.bytes_min {
                hash = (hash << 1).wrapping_add(GEAR[usize::from(stream[at])]);
            }
            let bits = if offset < bounds.bytes_average {
                bits + 2
            } else {
                bits - 2
            };
            let wanted = ((1u64 << bits) - 1) << (63 - bits);
            let met = offset >= bounds.bytes_min && hash & wanted == 0;
            if met || offset + 1 == bounds.bytes_max {
                lengths.push(offset + 1);
                (start, hash) = (at + 1, 0);
            }
        }
        if start < stream.len() {
            lengths.push(stream.len() - start);
        }
        lengths
    }

    fn cut<'a>(bounds: Bounds, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<usize> {
        let mut chunker = Chunker::new(bounds);
        let (mut lengths, mut open) = (Vec::new(), 0);
        for mut piece in pieces {
            while let Some(n) = chunker.next_cut(piece) {
                lengths.push(open + n);
                open = 0;
                piece = &piece[n..];
            }
            open += piece.len();
        }
        if open > 0 {
            lengths.push(open);
        }
        lengths
    }

    fn noise(bytes: usize, seed: u64) -> Vec<u8> {
        let mut state = seed | 1;
        (0..bytes)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            })
            .collect()
    }

    proptest! {
        #[test]
        fn cuts_follow_the_definition_whatever_the_write_sizes(
            seed in any::<u64>(),
            bytes in 0usize..60_000,
            write in 1usize..3_000,
            constant in any::<bool>(),
        ) {
            let bounds = Bounds::around(1024);
            let stream = if constant { vec![seed as u8; bytes] } else { noise(bytes, seed) };
            let lengths = defined(bounds, &stream);
            prop_assert_eq!(&lengths, &cut(bounds, [stream.as_slice()]));
            prop_assert_eq!(&lengths, &cut(bounds, stream.chunks(write)));
            prop_assert_eq!(lengths.iter().sum::<usize>(), bytes);
            if let Some((_, all_but_last)) = lengths.split_last() {
                for &length in all_but_last {
                    prop_assert!((bounds.bytes_min + 1..=bounds.bytes_max).contains(&length));
                }
            }
        }

        #[test]
        fn an_insertion_leaves_the_cuts_further_on_as_they_were(seed in any::<u64>()) {
            let bounds = Bounds::around(1024);
            let stream = noise(200_000, seed);
            let longer = [&noise(77, !seed)[..], &stream[..]].concat();
            let from_end = |lengths: Vec<usize>| {
                lengths.into_iter().rev().scan(0, |sum, n| { *sum += n; Some(*sum) })
                    .collect::<std::collections::HashSet<_>>()
            };
            let before = from_end(defined(bounds, &stream));
            let after = from_end(cut(bounds, [longer.as_slice()]));
            prop_assert!(before.intersection(&after).count() * 10 > before.len() * 8);
        }
    }

    #[test]
    fn the_average_is_about_what_was_asked_for() {
        let bounds = Bounds::around(8192);
        let lengths = cut(bounds, [noise(20 << 20, 7).as_slice()]);
        let mean = (20 << 20) / lengths.len();
        assert!((6_500..12_000).contains(&mean), "{mean}");
    }

    #[test]
    fn the_gear_table_is_the_one_that_is_stored_in_every_repository() {
        // Computed by another program; a change here makes all known blobs unknown.
        let table: Vec<u8> = GEAR.iter().flat_map(|g| g.to_be_bytes()).collect();
        assert_eq!(
            hex::encode(crate::id::sha256(&table)),
            "e6cc8aa0929f31c415ec8de569d8bfbcfd295ac3ccae6249434a67760bb7c874"
        );
        // A run of any one byte is cut at the maximum at the latest.
        for byte in 0..=255u8 {
            let lengths = cut(Bounds::around(64), [vec![byte; 5000].as_slice()]);
            assert!(lengths.iter().all(|&n| n <= 512));
        }
    }
}
