//! Snapshot objects: what makes a tree visible, written last of all.

use serde::{Deserialize, Serialize};

use crate::id::BlobId;

/// What stands for the host in key files and snapshots: a function has no host worth naming.
pub(crate) const HOSTNAME: &str = "logisedge-backup";
/// What stands for the user there.
pub(crate) const USERNAME: &str = "logisedge";

/// A snapshot object's JSON, field by field as restic defines it. Fields of restic's that are not
/// here are ignored when read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When its content was taken.
    #[serde(serialize_with = "go_time", deserialize_with = "any_zone")]
    pub time: logisedge_domain::Instant,
    /// Its root tree.
    pub tree: BlobId,
    /// What was backed up, for people. Ours: `["/"]`.
    #[serde(default)]
    pub paths: Vec<String>,
    /// On which host.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// By whom.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// Facts about it. Ours have the form `run=…`.
    #[serde(
        default,
        deserialize_with = "null_as_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub tags: Vec<String>,
    /// The program that made it, with its version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub program_version: String,
    /// What it took, which `restic snapshots` shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
}

/// What a backup took: those of restic's own fields that have a meaning for ours. Others are ignored
/// when read and absent when written, which restic reads as zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// When the backup began.
    #[serde(serialize_with = "go_time", deserialize_with = "any_zone")]
    pub backup_start: logisedge_domain::Instant,
    /// When its content was durable.
    #[serde(serialize_with = "go_time", deserialize_with = "any_zone")]
    pub backup_end: logisedge_domain::Instant,
    /// Bytes of content that the chain did not hold before.
    #[serde(default)]
    pub data_added: u64,
    /// Bytes that were stored for it.
    #[serde(default)]
    pub data_added_packed: u64,
    /// Files in the snapshot.
    #[serde(default)]
    pub total_files_processed: u64,
    /// Bytes of content in the snapshot.
    #[serde(default)]
    pub total_bytes_processed: u64,
}

impl Snapshot {
    /// A snapshot of a tree. `facts` become tags of the form `name=value`; they hold no comma,
    /// which restic's command line separates tags with.
    pub fn new<'a>(
        tree: BlobId,
        taken_at: logisedge_domain::Instant,
        facts: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        Self {
            time: taken_at,
            tree,
            paths: vec!["/".to_owned()],
            hostname: HOSTNAME.to_owned(),
            username: USERNAME.to_owned(),
            tags: facts
                .into_iter()
                .map(|(name, value)| format!("{name}={value}").replace(',', ";"))
                .collect(),
            program_version: concat!("logisedge-backup ", env!("CARGO_PKG_VERSION")).to_owned(),
            summary: None,
        }
    }

    /// The same with what it took.
    #[must_use]
    pub fn with_summary(self, summary: Summary) -> Self {
        Self {
            summary: Some(summary),
            ..self
        }
    }

    /// The value of one of its facts.
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.tags
            .iter()
            .find_map(|tag| tag.strip_prefix(name)?.strip_prefix('='))
    }
}

fn go_time<S: serde::Serializer>(
    at: &logisedge_domain::Instant,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&crate::golang::time(*at))
}

fn any_zone<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<logisedge_domain::Instant, D::Error> {
    let text = String::deserialize(deserializer)?;
    chrono::DateTime::parse_from_rfc3339(&text)
        .map(|at| at.to_utc())
        .map_err(serde::de::Error::custom)
}

fn null_as_empty<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn facts_become_tags_and_come_back() {
        let at = chrono::DateTime::UNIX_EPOCH;
        let snapshot = Snapshot::new(BlobId([1; 32]), at, [("run", "nightly.x"), ("kind", "a,b")]);
        let json = String::from_utf8(crate::golang::json(&snapshot).unwrap()).unwrap();
        assert!(
            json.starts_with(r#"{"time":"1970-01-01T00:00:00Z","tree":"0101"#),
            "{json}"
        );
        let again: Snapshot = serde_json::from_str(&json).unwrap();
        assert_eq!(again, snapshot);
        assert_eq!(again.fact("run"), Some("nightly.x"));
        assert_eq!(again.fact("kind"), Some("a;b"));
        assert_eq!(again.fact("ru"), None);
    }

    #[test]
    fn the_specifications_example_is_read() {
        let json = r#"{"time":"2015-01-02T18:10:50.895208559+01:00",
            "tree":"2da81727b6585232894cfbb8f8bdab8d1eccd3d8f7c92bc934d62e62e618ffdf",
            "paths":["/tmp/testdata"],"hostname":"kasimir","username":"fd0","uid":1000,
            "gid":100,"tags":null,"original":
            "251c2e5841355f743f9d4ffd3260bee765acee40a6229857e32b60446991b837"}"#;
        let snapshot: Snapshot = serde_json::from_str(json).unwrap();
        assert_eq!(
            crate::golang::time(snapshot.time),
            "2015-01-02T17:10:50.895208559Z"
        );
        assert!(snapshot.tags.is_empty());
    }
}
