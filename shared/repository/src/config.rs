//! The `config` object: what makes a place a repository.

use serde::{Deserialize, Serialize};

use crate::crypto::{NoRandom, random};

/// The version that we write.
pub(crate) const VERSION: u32 = 2;

/// A degree-53 polynomial over GF(2) that is irreducible, which restic checks. It seeds restic's own
/// chunker, should restic ever back something up into one of our repositories; ours has no use for
/// it. The one that restic's chunker tests itself with.
const CHUNKER_POLYNOMIAL: &str = "3da3358b4dc173";

/// `config`'s JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Config {
    pub(crate) version: u32,
    pub(crate) id: String,
    pub(crate) chunker_polynomial: String,
}

impl Config {
    pub(crate) fn generate() -> Result<Self, NoRandom> {
        Ok(Self {
            version: VERSION,
            id: hex::encode(random::<32>()?),
            chunker_polynomial: CHUNKER_POLYNOMIAL.to_owned(),
        })
    }

    pub(crate) fn is_supported(&self) -> bool {
        (1..=VERSION).contains(&self.version)
    }

    /// Version 1 knows no compression; we read it and do not add to it.
    pub(crate) fn is_writable(&self) -> bool {
        self.version == VERSION
    }
}
