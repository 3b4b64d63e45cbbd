//! Identifiers as distinct types, so that one cannot be passed for another.

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Instant;

/// Longest name of a scope, schedule, source or location, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Letters and digits of a manual run's token that its id holds: more than a UUID has.
pub const TOKEN_CHARS_MAX: usize = 48;

/// Why a text is not the id that it was taken for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Names become parts of object keys and event fields, hence the narrow alphabet.
    #[error(
        "{text:?} is not a valid {what} name: use 1 to 64 of a-z, 0-9 and '-', starting with a letter"
    )]
    Name {
        /// Which kind of name was expected.
        what: &'static str,
        /// The text as given.
        text: String,
    },
    /// Not of the form that the product itself writes.
    #[error("{text:?} is not a valid {what}: {expected}")]
    Form {
        /// Which kind of id was expected.
        what: &'static str,
        /// The text as given.
        text: String,
        /// The form that would have been valid.
        expected: &'static str,
    },
}

fn is_name(text: &str) -> bool {
    text.len() <= NAME_BYTES_MAX
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks and takes a name.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                if is_name(&text) { Ok(Self(text)) } else { Err(IdError::Name { what: $what, text }) }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

name_type!(
    /// Name of a scope.
    ScopeName, "scope"
);
name_type!(
    /// Name of a schedule.
    ScheduleName, "schedule"
);
name_type!(
    /// Name of a source: a database, or the documents beside it.
    SourceName, "source"
);
name_type!(
    /// Name of a location: where chains are stored.
    LocationName, "location"
);

/// Names a run for ever: `<schedule>.<slot>.<scope>` for a schedule's run, so that a repeated
/// event finds the run it already made, and `manual-<token>.<time>.<scope>` for an operator's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

impl RunId {
    /// The run of one scope in one slot of a schedule.
    pub fn scheduled(schedule: &ScheduleName, slot: Instant, scope: &ScopeName) -> Self {
        Self(format!("{schedule}.{}.{scope}", compact(slot)))
    }

    /// A run that an operator asked for. The token makes a repeated request recognisable; its first
    /// [`TOKEN_CHARS_MAX`] letters and digits count, without case.
    pub fn manual(token: &str, requested_at: Instant, scope: &ScopeName) -> Self {
        let token = token.chars().filter(char::is_ascii_alphanumeric);
        let token: String = token.take(TOKEN_CHARS_MAX).collect();
        Self(format!(
            "manual-{}.{}.{scope}",
            token.to_ascii_lowercase(),
            compact(requested_at)
        ))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RunId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        let well_formed = {
            let parts: Vec<&str> = text.split('.').collect();
            parts.len() == 3
                && is_name(parts[0])
                && is_name(parts[2])
                && parse_compact(parts[1]).is_some_and(|at| compact(at) == parts[1])
        };
        if well_formed {
            Ok(Self(text))
        } else {
            Err(IdError::Form {
                what: "run id",
                text,
                expected: "<schedule>.<YYYYMMDDTHHMMSSZ>.<scope>",
            })
        }
    }
}

impl FromStr for RunId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::try_from(text.to_owned())
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> String {
        id.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// `20261124T020000Z`: sorts as time, safe in keys.
pub fn compact(at: Instant) -> String {
    at.format("%Y%m%dT%H%M%SZ").to_string()
}

fn parse_compact(text: &str) -> Option<Instant> {
    chrono::NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%SZ")
        .ok()
        .map(|t| t.and_utc())
}

/// A snapshot's id: the SHA-256 of its stored snapshot object, as restic defines it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SnapshotId([u8; 32]);

impl SnapshotId {
    /// Takes the hash itself.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash itself.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first eight hexadecimal digits, as restic shows ids to people.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..4])
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}

impl fmt::Debug for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SnapshotId({})", self.short())
    }
}

impl FromStr for SnapshotId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut bytes = [0u8; 32];
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(_) => Err(IdError::Form {
                what: "snapshot id",
                text: text.to_owned(),
                expected: "64 hexadecimal digits",
            }),
        }
    }
}

impl TryFrom<String> for SnapshotId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<SnapshotId> for String {
    fn from(id: SnapshotId) -> String {
        id.to_string()
    }
}

/// Where a chain lies below its location:
/// `<scope>/<YYYY-MM-DD>/<kind>_<YYYYMMDD_HHMMSS>`, in UTC, without slashes at the ends.
///
/// The time is the start of the attempt that made it, so two attempts never share a chain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChainPath(String);

impl ChainPath {
    /// The path of a chain whose full snapshot was begun at `started_at`.
    pub fn new(scope: &ScopeName, started_at: Instant) -> Self {
        Self(format!(
            "{scope}/{}/full_{}",
            started_at.format("%Y-%m-%d"),
            started_at.format("%Y%m%d_%H%M%S")
        ))
    }

    /// The path as text, without slashes at its ends.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The scope whose chain this is.
    pub fn scope(&self) -> ScopeName {
        let name = self.0.split('/').next().unwrap_or_default();
        ScopeName(name.to_owned())
    }

    /// When the attempt that made the chain began.
    pub fn started_at(&self) -> Instant {
        chain_time(&self.0).unwrap_or_default()
    }
}

fn chain_time(path: &str) -> Option<Instant> {
    let (_, stamp) = path.rsplit('/').next()?.split_once('_')?;
    chrono::NaiveDateTime::parse_from_str(stamp, "%Y%m%d_%H%M%S")
        .ok()
        .map(|t| t.and_utc())
}

impl TryFrom<String> for ChainPath {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        // Only what `new` writes is read: the day and the time name the same instant.
        let scope = text.split('/').next().unwrap_or_default();
        let valid = is_name(scope)
            && chain_time(&text)
                .is_some_and(|at| Self::new(&ScopeName(scope.to_owned()), at).0 == text);
        if valid {
            Ok(Self(text))
        } else {
            Err(IdError::Form {
                what: "chain path",
                text,
                expected: "<scope>/<YYYY-MM-DD>/full_<YYYYMMDD_HHMMSS>",
            })
        }
    }
}

impl FromStr for ChainPath {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::try_from(text.to_owned())
    }
}

impl From<ChainPath> for String {
    fn from(path: ChainPath) -> String {
        path.0
    }
}

impl fmt::Display for ChainPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The fencing number of an attempt's lease: grows by one with every lease taken on a scope, so
/// that a commit by an attempt that lost its lease is recognised and refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(pub u64);
