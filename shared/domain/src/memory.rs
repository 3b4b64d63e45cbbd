//! How the memory that a backup may use is divided among what needs some: packs on their way to the
//! store, and for each connection a buffer, a short queue, and room for a blob in plain and sealed.
//!
//! All of it is decided before the first row is read, from the configuration alone, so nothing in
//! the data (a row of 500 MB, a table of terabytes) makes a backup need more. The parts are what
//! can be needed at the most; a backup of ordinary rows stays well below.

/// Bytes that a backup over two connections may use where nothing is configured.
pub const BYTES_DEFAULT: u64 = 96_000_000;

/// Bytes of the buffers in which rows travel from the database to the repository.
pub const BUFFER_BYTES: u64 = 256 << 10;

/// Bytes of a repository's largest blob, with the default average of 512 KiB.
pub const BLOB_BYTES_MAX: u64 = 4 << 20;

/// The program itself: its code, the runtime's threads, TLS, clients, catalogs, the snapshot's tree.
const PROGRAM_BYTES: u64 = 18 << 20;

/// What each connection needs beside its queue: the buffer that is being filled, the blob that is
/// being collected, its sealed form, and zstd's context.
const CONNECTION_BYTES: u64 = BUFFER_BYTES + 2 * BLOB_BYTES_MAX + (1 << 20);

/// Beyond two connections, the default grows by what each needs with a comfortable queue.
const CONNECTIONS_DEFAULT: u64 = 2;

/// From comfortable to just possible: MiB of a pack, packs in flight, buffers in a queue. Short
/// queues cost nothing until readers stall; small packs cost requests; a single pack in flight
/// costs time wherever the store is far.
const STEPS: [(usize, usize, usize); 7] = [
    (16, 4, 8),
    (16, 2, 8),
    (16, 2, 4),
    (8, 2, 4),
    (8, 2, 2),
    (4, 2, 2),
    (4, 1, 2),
];

/// What each part of a backup may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Division {
    /// Bytes of a pack.
    pub pack_bytes: usize,
    /// Packs in flight at the same time; one more is being filled.
    pub uploads: usize,
    /// Buffers of [`BUFFER_BYTES`] that wait between a connection and its thread.
    pub buffers_queued: usize,
}

/// The memory does not suffice. It holds the least that does, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a backup over so many connections needs memory_bytes_max to be {0} or more")]
pub struct TooLittle(pub u64);

impl Division {
    /// The most comfortable division of `bytes_max` (None: what suits the connections) among so
    /// many connections.
    pub fn of(bytes_max: Option<u64>, connections: usize) -> Result<Self, TooLittle> {
        let connections = connections.max(1) as u64;
        let bytes_max = bytes_max.unwrap_or_else(|| {
            let more = connections.saturating_sub(CONNECTIONS_DEFAULT);
            BYTES_DEFAULT + more * (CONNECTION_BYTES + 8 * BUFFER_BYTES)
        });
        let steps = STEPS.map(|(pack_mib, uploads, buffers_queued)| Self {
            pack_bytes: pack_mib << 20,
            uploads,
            buffers_queued,
        });
        let fitting = steps
            .into_iter()
            .find(|step| step.bytes(connections) <= bytes_max);
        let [.., least] = steps;
        fitting.ok_or(TooLittle(least.bytes(connections)))
    }

    /// What a backup divided like this can need at the most.
    fn bytes(&self, connections: u64) -> u64 {
        let packs = (self.uploads as u64 + 1) * self.pack_bytes as u64;
        let queue = self.buffers_queued as u64 * BUFFER_BYTES;
        PROGRAM_BYTES + packs + connections * (CONNECTION_BYTES + queue)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_comfortable_however_many_connections_there_are() {
        for connections in [1, 2, 3, 8, 64] {
            let division = Division::of(None, connections).unwrap();
            assert_eq!(division.pack_bytes, 16 << 20, "{connections}");
            assert!(division.uploads >= 2 && division.buffers_queued == 8);
        }
    }

    #[test]
    fn whatever_is_given_is_held_and_used() {
        for connections in 1..=64 {
            let TooLittle(least) = Division::of(Some(0), connections).unwrap_err();
            assert_eq!(
                Division::of(Some(least - 1), connections),
                Err(TooLittle(least))
            );
            let mut before = 0;
            for more in (0..200 << 20).step_by(1 << 20) {
                let division = Division::of(Some(least + more), connections).unwrap();
                let bytes = division.bytes(connections as u64);
                assert!(bytes <= least + more && bytes >= before);
                before = bytes;
            }
        }
    }

    #[test]
    fn the_least_is_told() {
        let least = Division::of(Some(1), 2).unwrap_err().to_string();
        insta::assert_snapshot!(least, @"a backup over so many connections needs memory_bytes_max to be 47710208 or more");
    }
}
