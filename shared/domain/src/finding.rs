//! Findings: what verify found wrong. A finding is a value, not an error.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is wrong with an object of a repository, or with what a snapshot says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// The object is not there.
    Missing,
    /// The object is shorter or longer than what refers to it says.
    WrongSize,
    /// The object's SHA-256 is not its name.
    WrongHash,
    /// Authentication (Poly1305-AES) failed: the ciphertext was altered or the key is another's.
    WrongMac,
    /// It decrypts, but is not what its format says (JSON, zstd, header length).
    Malformed,
    /// A pack's header and the index disagree about a blob.
    IndexDisagrees,
    /// The snapshot needs a blob that no index names.
    BlobMissing,
    /// A blob's plaintext hashes to another id.
    BlobWrongHash,
    /// A tree names a subtree or file that cannot be read.
    TreeBroken,
    /// The manifest and the stored content disagree on bytes, rows or content hash.
    ManifestDisagrees,
    /// An object that nothing refers to, or whose name is no part of the format.
    Unreferenced,
}

impl FindingKind {
    /// Whether a snapshot with this finding cannot be trusted. Garbage beside it does no harm.
    pub fn is_damage(self) -> bool {
        self != Self::Unreferenced
    }

    /// The kind in snake case, as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::WrongSize => "wrong_size",
            Self::WrongHash => "wrong_hash",
            Self::WrongMac => "wrong_mac",
            Self::Malformed => "malformed",
            Self::IndexDisagrees => "index_disagrees",
            Self::BlobMissing => "blob_missing",
            Self::BlobWrongHash => "blob_wrong_hash",
            Self::TreeBroken => "tree_broken",
            Self::ManifestDisagrees => "manifest_disagrees",
            Self::Unreferenced => "unreferenced",
        }
    }
}

/// One thing that verify found wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// What is wrong.
    pub kind: FindingKind,
    /// With what: an object key below the chain (`data/ab/ab12…`), or a path inside the snapshot.
    pub object: String,
    /// The details, for people.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}: {}",
            self.kind.as_str(),
            self.object,
            self.detail
        )
    }
}
