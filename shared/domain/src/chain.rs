//! Chains: on which one a new snapshot may build, and why on none.
//!
//! The decision has two steps, so that it costs nothing where the catalog alone says no: [`choose`]
//! names a base from the records, and [`unfit`] says what speaks against it once its chain was looked
//! at. Where either says no, a full is taken, which depends on nothing.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chrono::{Datelike, NaiveDate};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::Instant;
use crate::format;
use crate::id::{ChainPath, LocationName, ScopeName, SnapshotId, SourceName};
use crate::manifest::{Chunking, Manifest, SourceFacts};
use crate::scope::Selection;
use crate::snapshot::{Kind, SnapshotRecord, Trust};
use crate::storage::StorageTier;

/// The longest time between two fulls that [`Rhythm::Days`] can say.
pub const RHYTHM_DAYS_MAX: u32 = 366;

/// When the first run takes a full, whatever else its schedule takes. Days, weeks and months are those
/// of the schedule's time zone. Written and stored as `daily`, `weekly`, `monthly`, `10 days`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Rhythm {
    /// The first of a day.
    Daily,
    /// The first of a week, which begins on Monday.
    Weekly,
    /// The first of a month.
    #[default]
    Monthly,
    /// The first on the so many-th day after the last full, or later.
    Days(u32),
}

impl Rhythm {
    /// Whether a full is due at `now` where the last one was taken at `last`.
    pub fn is_due(self, last: Instant, now: Instant, zone: Tz) -> bool {
        let day = |at: Instant| at.with_timezone(&zone).date_naive();
        let (last, now) = (day(last), day(now));
        let month = |at: NaiveDate| (at.year(), at.month());
        let week = |at: NaiveDate| (at.iso_week().year(), at.iso_week().week());
        match self {
            Self::Daily => now > last,
            Self::Weekly => week(now) > week(last),
            Self::Monthly => month(now) > month(last),
            Self::Days(days) => (now - last).num_days() >= i64::from(days),
        }
    }
}

impl fmt::Display for Rhythm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Daily => f.write_str("daily"),
            Self::Weekly => f.write_str("weekly"),
            Self::Monthly => f.write_str("monthly"),
            Self::Days(days) => write!(f, "{days} days"),
        }
    }
}

impl FromStr for Rhythm {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let days = text.strip_suffix("days").map(str::trim_end);
        match (text, days.and_then(|days| days.parse().ok())) {
            ("daily", _) => Ok(Self::Daily),
            ("weekly", _) => Ok(Self::Weekly),
            ("monthly", _) => Ok(Self::Monthly),
            (_, Some(days @ 2..=RHYTHM_DAYS_MAX)) => Ok(Self::Days(days)),
            _ => Err(format!(
                "{text:?} is none of \"daily\", \"weekly\", \"monthly\", and no number of days from \
                 \"2 days\" to \"{RHYTHM_DAYS_MAX} days\""
            )),
        }
    }
}

impl TryFrom<String> for Rhythm {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Rhythm> for String {
    fn from(rhythm: Rhythm) -> String {
        rhythm.to_string()
    }
}

/// What a run wants.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'w> {
    /// The kind that was asked for.
    pub kind: Kind,
    /// When a full is due instead, in which time zone. None: never by itself.
    pub full: Option<(Rhythm, Tz)>,
    /// What is backed up.
    pub scope: &'w ScopeName,
    /// Where to.
    pub location: &'w LocationName,
}

/// A snapshot on which a new one may build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Incremental or differential.
    pub kind: Kind,
    /// The chain of both.
    pub chain: ChainPath,
    /// The chain's newest for an incremental, its full for a differential.
    pub base: SnapshotId,
}

/// What a run takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// A full in a new chain: as asked, or for this reason.
    Full(Option<WhyFull>),
    /// What was asked, on this base.
    On(Candidate),
}

/// Why a full is taken where another kind was asked for. Shown as the end of "a full, because …".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhyFull {
    /// The scope has no chain at the location.
    NoChain,
    /// The chain has lost its full.
    FullGone,
    /// The rhythm says so.
    Due {
        /// The rhythm.
        rhythm: Rhythm,
        /// When the last full was taken.
        last: Instant,
    },
    /// Verify found damage.
    Damaged(SnapshotId),
    /// An attempt that ended without a word may still write there.
    Held {
        /// Until when it may at the latest.
        until: Instant,
    },
    /// It is another database by now.
    OtherSource {
        /// The chain's.
        then: String,
        /// The present one.
        now: String,
    },
    /// The scope selects something else by now.
    OtherSelection,
    /// Content is cut otherwise by now, so that nothing would be shared.
    OtherChunking,
    /// The repository is of a version that is only read.
    OldVersion,
    /// The location lacks so many packs of it, or holds them with another length.
    PacksLacking(u64),
    /// It is to be archived, so that nothing may depend on it, nor it on anything.
    ToBeArchived,
    /// So many packs of it lie in archived storage classes.
    PacksArchived(u64),
    /// It cannot be read.
    Unreadable(String),
}

impl fmt::Display for WhyFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoChain => f.write_str("there is no earlier full of the scope at this location"),
            Self::FullGone => f.write_str("the full of its chain was deleted"),
            Self::Due { rhythm, last } => {
                let last = format::instant(*last);
                match rhythm {
                    Rhythm::Days(days) => {
                        write!(f, "a full is due after {days} days, the last is of {last}")
                    }
                    named => write!(f, "the {named} full is due, the last is of {last}"),
                }
            }
            Self::Damaged(id) => write!(f, "snapshot {} of its chain is damaged", id.short()),
            Self::Held { until } => write!(
                f,
                "an attempt that ended without a word may write to its chain until {}",
                format::instant(*until)
            ),
            Self::OtherSource { then, now } => {
                write!(f, "its chain holds {then}, and the source is {now} by now")
            }
            Self::OtherSelection => {
                f.write_str("the scope selects something else than when its chain was written")
            }
            Self::OtherChunking => {
                f.write_str("content is cut into blobs otherwise than when its chain was written")
            }
            Self::OldVersion => {
                f.write_str("its chain's repository is of version 1, which is only read")
            }
            Self::PacksLacking(count) => write!(
                f,
                "the location lacks {} of its chain or holds them with another length: verify its \
                 snapshots",
                format::counted(*count, "pack")
            ),
            Self::ToBeArchived => {
                f.write_str("it is to be archived, and what is archived depends on nothing else")
            }
            Self::PacksArchived(count) => write!(
                f,
                "{} of its chain lie in archived storage classes",
                format::counted(*count, "pack")
            ),
            Self::Unreadable(why) => write!(f, "its chain cannot be read: {why}"),
        }
    }
}

/// Names the base for what is wanted, from the records alone.
///
/// Only the scope's newest chain at the location is looked at, of those that are not to be archived.
/// `records` may hold those of other scopes and locations, in any order; snapshots that are being
/// deleted count as gone. `held` names the chains that an attempt without an end may still write to,
/// and until when at the latest.
pub fn choose<'r>(
    wanted: &Wanted<'_>,
    records: impl IntoIterator<Item = &'r SnapshotRecord>,
    held: &BTreeMap<ChainPath, Instant>,
    now: Instant,
) -> Choice {
    if wanted.kind == Kind::Full {
        return Choice::Full(None);
    }
    let usable = |record: &&SnapshotRecord| {
        record.scope == *wanted.scope
            && record.location == *wanted.location
            && record.deleting_since.is_none()
            // What is archived is never built on: its rows cannot be read when they are needed.
            && record.tier != StorageTier::Archive
    };
    let usable: Vec<&SnapshotRecord> = records.into_iter().filter(usable).collect();
    let newest = usable.iter().map(|record| &record.chain);
    let Some(chain) = newest.max_by_key(|chain| chain.started_at()) else {
        return Choice::Full(Some(WhyFull::NoChain));
    };
    let of_chain = |record: &&&SnapshotRecord| record.chain == *chain;
    let mut snapshots: Vec<&SnapshotRecord> = usable.iter().filter(of_chain).copied().collect();
    snapshots.sort_by_key(|record| (record.taken_at, record.id));
    match base_of(wanted, chain, &snapshots, held, now) {
        Ok(base) => Choice::On(Candidate {
            kind: wanted.kind,
            chain: chain.clone(),
            base,
        }),
        Err(why) => Choice::Full(Some(why)),
    }
}

/// The base among the chain's snapshots, which come oldest first.
fn base_of(
    wanted: &Wanted<'_>,
    chain: &ChainPath,
    snapshots: &[&SnapshotRecord],
    held: &BTreeMap<ChainPath, Instant>,
    now: Instant,
) -> Result<SnapshotId, WhyFull> {
    let full = snapshots.iter().find(|record| record.kind == Kind::Full);
    let full = full.ok_or(WhyFull::FullGone)?;
    if let Some((rhythm, zone)) = wanted.full
        && rhythm.is_due(full.taken_at, now, zone)
    {
        let last = full.taken_at;
        return Err(WhyFull::Due { rhythm, last });
    }
    // What an incremental shares may lie in a pack of any snapshot of the chain.
    let shared = match wanted.kind {
        Kind::Differential => std::slice::from_ref(full),
        _ => snapshots,
    };
    if let Some(damaged) = shared.iter().find(|record| record.trust == Trust::Damaged) {
        return Err(WhyFull::Damaged(damaged.id));
    }
    if let Some(until) = held.get(chain).filter(|until| **until > now) {
        return Err(WhyFull::Held { until: *until });
    }
    Ok(shared.last().unwrap_or(full).id)
}

/// What a look at a chain found.
#[derive(Debug, Clone, Copy)]
pub struct ChainFacts<'c> {
    /// Whether its repository is of a version that is written.
    pub is_writable: bool,
    /// Packs that its index names and the location lacks or holds with another length.
    pub packs_lacking: u64,
    /// The manifest of the base.
    pub manifest: &'c Manifest,
}

/// What is about to be stored.
#[derive(Debug, Clone, Copy)]
pub struct Present<'p> {
    /// The source's name.
    pub source: &'p SourceName,
    /// What the scope selects.
    pub selection: &'p Selection,
    /// How content is cut.
    pub chunking: &'p Chunking,
}

/// What speaks against building on a chain, if anything does. [`other_source`] says the rest once the
/// source is open.
pub fn unfit(chain: &ChainFacts<'_>, present: &Present<'_>) -> Option<WhyFull> {
    let then = &chain.manifest.source.name;
    if !chain.is_writable {
        Some(WhyFull::OldVersion)
    } else if then != present.source {
        Some(WhyFull::OtherSource {
            then: then.to_string(),
            now: present.source.to_string(),
        })
    } else if chain.manifest.selection != *present.selection {
        Some(WhyFull::OtherSelection)
    } else if chain.manifest.chunking != *present.chunking {
        Some(WhyFull::OtherChunking)
    } else if chain.packs_lacking > 0 {
        Some(WhyFull::PacksLacking(chain.packs_lacking))
    } else {
        None
    }
}

/// PostgreSQL's identity of a database cluster: the same on a standby, another after `initdb`. Roles
/// may lack the right to ask for it.
const SYSTEM_IDENTIFIER: &str = "system_identifier";

/// Whether the database behind a source's name is another one than when the base was taken.
pub fn other_source(then: &SourceFacts, now: &SourceFacts) -> Option<WhyFull> {
    let system = |facts: &SourceFacts| facts.details.get(SYSTEM_IDENTIFIER).cloned();
    let systems = system(then).zip(system(now));
    let same = (&then.name, &then.engine, &then.database)
        == (&now.name, &now.engine, &now.database)
        && systems.is_none_or(|(then, now)| then == now);
    (!same).then(|| WhyFull::OtherSource {
        then: named(then),
        now: named(now),
    })
}

fn named(source: &SourceFacts) -> String {
    let system = source.details.get(SYSTEM_IDENTIFIER);
    let system = system.map_or(String::new(), |id| format!(", system {id}"));
    format!(
        "{} ({}, database {}{system})",
        source.name, source.engine, source.database
    )
}
