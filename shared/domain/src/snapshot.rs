//! Snapshots as the catalog holds them: what exists, where, and how far it is trusted.

use std::fmt;
use std::str::FromStr;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::Instant;
use crate::format::instant;
use crate::id::{ChainPath, LocationName, RunId, ScheduleName, ScopeName, SnapshotId};
use crate::storage::StorageTier;

/// What a snapshot may share with the ones before it in its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Starts a chain and stores every blob again.
    Full,
    /// Stores only blobs that no snapshot of its chain holds.
    Incremental,
    /// Stores only blobs that its chain's full does not hold.
    Differential,
}

impl Kind {
    /// The kind in lower case, as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
            Self::Differential => "differential",
        }
    }
}

impl FromStr for Kind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Full, Self::Incremental, Self::Differential];
        let named = all.into_iter().find(|kind| kind.as_str() == text);
        named.ok_or_else(|| "it is none of full, incremental, differential".to_owned())
    }
}

/// How far a committed snapshot is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Committed and not yet read back.
    Unverified,
    /// Every byte was read back and agreed.
    Verified,
    /// Verify found something wrong; such a snapshot is not good.
    Damaged,
}

impl Trust {
    /// The state in lower case, as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unverified => "unverified",
            Self::Verified => "verified",
            Self::Damaged => "damaged",
        }
    }
}

/// Why a snapshot stays whatever retention says, until somebody releases it: a legal hold, or because
/// it was brought back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Why, for people.
    pub reason: String,
    /// Who holds it.
    pub by: String,
    /// Since when.
    pub since: Instant,
}

/// Most characters of a hold's reason, and of who holds.
const HOLD_CHARACTERS_MAX: usize = 1000;

impl Hold {
    /// A hold. The error says what is wrong with the reason or the name.
    pub fn new(reason: &str, by: &str, since: Instant) -> Result<Self, String> {
        let checked = |what: &str, text: &str| {
            let text = text.trim();
            if text.is_empty() {
                return Err(format!("{what} is empty"));
            }
            if text.chars().count() > HOLD_CHARACTERS_MAX || text.contains(char::is_control) {
                return Err(format!(
                    "{what} has more than {HOLD_CHARACTERS_MAX} characters, or one that is no text"
                ));
            }
            Ok(text.to_owned())
        };
        Ok(Self {
            reason: checked("the reason", reason)?,
            by: checked("the name of who holds", by)?,
            since,
        })
    }
}

/// `held since 2026-11-24 02:00:00 UTC by anna: audit of 2025`.
impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = instant(self.since);
        write!(f, "held since {since} by {}: {}", self.by, self.reason)
    }
}

/// A committed snapshot. Everything but `trust`, `verified_at`, `findings`, `deleting_since` and
/// `locked_until` is immutable or, as `hold` is, can be rebuilt from the location alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRecord {
    /// Its id in its chain's repository.
    pub id: SnapshotId,
    /// The scope it is of.
    pub scope: ScopeName,
    /// Where it is stored.
    pub location: LocationName,
    /// Its chain, below the location.
    pub chain: ChainPath,
    /// Its kind.
    pub kind: Kind,
    /// Why its kind is not the one that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind_reason: Option<String>,
    /// The snapshot of its chain that it shares with: the newest before it for an incremental, the
    /// chain's full for a differential. It needs that one's blobs, never that snapshot itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<SnapshotId>,
    /// The run that made it.
    pub run: RunId,
    /// The schedule whose retention applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleName>,
    /// Where the rows that it added are to end up.
    #[serde(default, skip_serializing_if = "StorageTier::is_standard")]
    pub tier: StorageTier,
    /// The instant whose content it holds: when the source's snapshot was opened.
    pub taken_at: Instant,
    /// Tables (or files) in it.
    pub tables: u64,
    /// Rows in all tables.
    pub rows: u64,
    /// Bytes of content, uncompressed.
    pub bytes: u64,
    /// Bytes that this snapshot added to the location.
    pub bytes_stored: u64,
    /// How far it is trusted.
    pub trust: Trust,
    /// When it was last read back whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<Instant>,
    /// Findings of the last verification.
    #[serde(default)]
    pub findings: u64,
    /// Set before prune deletes its first byte: such a snapshot is no longer offered for restore,
    /// and a prune that was interrupted finishes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleting_since: Option<Instant>,
    /// Set while somebody holds it. The location says the same (`holds/` of its chain), so that a
    /// catalog that was lost loses no hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// Until when no object of its chain that was there then can be destroyed, since it was committed or
    /// its chain's lock was renewed. None: it was not locked, or only the location knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked_until: Option<Instant>,
}

/// How often what is good and not in the ordinary storage class is read back again: there each reading
/// costs as much as keeping it for months.
const READ_AGAIN_AFTER: TimeDelta = TimeDelta::days(30);

impl SnapshotRecord {
    /// Whether the daily verification reads it back: always, but for what is good and lies, or will lie,
    /// where reading is dear. That is read every 30 days.
    pub fn is_read_daily(&self, now: Instant) -> bool {
        let read = self.verified_at.filter(|_| self.trust == Trust::Verified);
        self.tier.is_standard() || read.is_none_or(|at| now - at >= READ_AGAIN_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::snapshot;

    #[test]
    fn what_is_dear_to_read_is_read_once_a_month_while_it_is_good() {
        let standard = snapshot(1);
        let now = standard.taken_at + TimeDelta::days(1);
        assert!(standard.is_read_daily(now));
        let cold = SnapshotRecord {
            tier: StorageTier::Cold,
            ..standard
        };
        assert!(!cold.is_read_daily(now));
        assert!(cold.is_read_daily(now + TimeDelta::days(30)));
        for trust in [Trust::Damaged, Trust::Unverified] {
            let doubtful = SnapshotRecord {
                trust,
                ..cold.clone()
            };
            assert!(doubtful.is_read_daily(now), "{trust:?}");
        }
    }
}
