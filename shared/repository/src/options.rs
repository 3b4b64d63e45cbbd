//! What a caller may choose, with bounds.

use logisedge_domain::storage::StorageTier;

use crate::error::{RepositoryError, RepositoryErrorKind};
use crate::keyfile::KeyCost;

/// How a repository is written. None of it is needed to read one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Bytes at which a pack is full: 4 MiB to 128 MiB, restic's own bounds. One upload each.
    pub pack_bytes: usize,
    /// Average bytes of a blob: a power of two from 4 KiB to 1 MiB. See [`crate::Bounds`].
    pub chunk_bytes_average: usize,
    /// zstd's level, 1 to 19.
    pub zstd_level: i32,
    /// Packs in flight at the same time, 1 to 64. A writer holds at most `uploads` + 1 packs of
    /// data in memory.
    pub uploads: usize,
    /// Where packs of row data are to end up. Those of small files and of trees stay where they are
    /// written, so that a snapshot can always be listed, looked into and planned with.
    pub tier: StorageTier,
    /// The cost of deriving a key from the password.
    pub key_cost: KeyCost,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pack_bytes: 16 << 20,
            chunk_bytes_average: 512 << 10,
            zstd_level: 1,
            uploads: 4,
            tier: StorageTier::Standard,
            key_cost: KeyCost::default(),
        }
    }
}

impl Options {
    /// The same with another zstd level, where one is given.
    #[must_use]
    pub fn with_zstd_level(self, level: Option<i32>) -> Self {
        Self {
            zstd_level: level.unwrap_or(self.zstd_level),
            ..self
        }
    }

    /// The same for what is to end up there.
    #[must_use]
    pub fn with_tier(self, tier: StorageTier) -> Self {
        Self { tier, ..self }
    }

    pub(crate) fn check(&self) -> Result<(), RepositoryError> {
        let problems = [
            (
                !(4 << 20..=128 << 20).contains(&self.pack_bytes),
                "pack_bytes must be from 4 MiB to 128 MiB",
            ),
            (
                !self.chunk_bytes_average.is_power_of_two()
                    || !(4 << 10..=1 << 20).contains(&self.chunk_bytes_average),
                "chunk_bytes_average must be a power of two from 4 KiB to 1 MiB",
            ),
            (
                !(1..=19).contains(&self.zstd_level),
                "zstd_level must be from 1 to 19",
            ),
            (
                !(1..=64).contains(&self.uploads),
                "uploads must be from 1 to 64",
            ),
        ];
        let problems: Vec<&str> = problems
            .iter()
            .filter(|(wrong, _)| *wrong)
            .map(|(_, message)| *message)
            .collect();
        if problems.is_empty() {
            return Ok(());
        }
        Err(RepositoryError::new(
            RepositoryErrorKind::Unsupported,
            "use",
            "these repository options",
            problems.join("; "),
        ))
    }
}
