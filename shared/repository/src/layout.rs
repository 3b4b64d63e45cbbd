//! Object keys: which object of a repository lies under which name, and the way back.

use logisedge_domain::id::SnapshotId;

use crate::id::{IndexId, PackId};

pub(crate) const CONFIG: &str = "config";
pub(crate) const KEYS: &str = "keys/";
pub(crate) const DATA: &str = "data/";
pub(crate) const INDEX: &str = "index/";
pub(crate) const SNAPSHOTS: &str = "snapshots/";
/// restic writes a lock there whenever it works on a repository, and removes it after.
pub(crate) const LOCKS: &str = "locks/";
/// Ours alone: restic neither reads nor lists it.
pub(crate) const HOLDS: &str = "holds/";

pub(crate) fn pack(id: &PackId) -> String {
    let name = id.to_string();
    format!("{DATA}{}/{name}", &name[..2])
}

pub(crate) fn index(id: &IndexId) -> String {
    format!("{INDEX}{id}")
}

pub(crate) fn snapshot(id: &SnapshotId) -> String {
    format!("{SNAPSHOTS}{id}")
}

pub(crate) fn hold(id: &SnapshotId) -> String {
    format!("{HOLDS}{id}")
}

pub(crate) fn key(id: &[u8; 32]) -> String {
    format!("{KEYS}{}", hex::encode(id))
}

/// What an object's key says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ObjectName {
    Config,
    Key([u8; 32]),
    Pack(PackId),
    Index(IndexId),
    Snapshot(SnapshotId),
    Lock,
    /// Says that this snapshot is held.
    Hold(SnapshotId),
    /// No name of the format.
    Foreign,
}

impl ObjectName {
    pub(crate) fn of(key: &str) -> Self {
        let hash = |text: &str| text.parse::<PackId>().ok().map(|id| id.0);
        let name = if key == CONFIG {
            Some(Self::Config)
        } else if let Some(rest) = key.strip_prefix(KEYS) {
            hash(rest).map(Self::Key)
        } else if let Some(rest) = key.strip_prefix(INDEX) {
            hash(rest).map(|id| Self::Index(IndexId(id)))
        } else if let Some(rest) = key.strip_prefix(SNAPSHOTS) {
            hash(rest).map(|id| Self::Snapshot(SnapshotId::from_bytes(id)))
        } else if let Some(rest) = key.strip_prefix(HOLDS) {
            hash(rest).map(|id| Self::Hold(SnapshotId::from_bytes(id)))
        } else if let Some(rest) = key.strip_prefix(DATA) {
            rest.split_once('/')
                .filter(|(folder, name)| folder.len() == 2 && name.starts_with(folder))
                .and_then(|(_, name)| hash(name))
                .map(|id| Self::Pack(PackId(id)))
        } else if key.starts_with(LOCKS) {
            Some(Self::Lock)
        } else {
            None
        };
        name.unwrap_or(Self::Foreign)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_what_they_name() {
        let hash = [0xab; 32];
        let cases = [
            (CONFIG.to_owned(), ObjectName::Config),
            (key(&hash), ObjectName::Key(hash)),
            (pack(&PackId(hash)), ObjectName::Pack(PackId(hash))),
            (index(&IndexId(hash)), ObjectName::Index(IndexId(hash))),
            ("locks/anything".to_owned(), ObjectName::Lock),
            (
                hold(&SnapshotId::from_bytes(hash)),
                ObjectName::Hold(SnapshotId::from_bytes(hash)),
            ),
            ("config2".to_owned(), ObjectName::Foreign),
            (format!("data/{}", hex::encode(hash)), ObjectName::Foreign),
            (
                format!("data/cd/{}", hex::encode(hash)),
                ObjectName::Foreign,
            ),
            (format!("index/{}", "AB".repeat(32)), ObjectName::Foreign),
            ("index/".to_owned(), ObjectName::Foreign),
        ];
        for (text, name) in cases {
            assert_eq!(ObjectName::of(&text), name, "{text}");
        }
    }
}
