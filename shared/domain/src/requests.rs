//! Requests to a store, by the classes in which S3 bills them.

use serde::{Deserialize, Serialize};

/// How many requests some work sent. Prices are not here: they differ by region and change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Requests {
    /// Objects written.
    pub puts: u64,
    /// Objects and parts of objects read.
    pub gets: u64,
    /// Objects asked for their size only; billed like reads.
    pub heads: u64,
    /// Pages of listings; billed like writes.
    pub lists: u64,
    /// Deletions, each of up to a thousand objects; free of charge.
    pub deletes: u64,
}

impl Requests {
    /// Whether nothing was asked, or nobody counted.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}
