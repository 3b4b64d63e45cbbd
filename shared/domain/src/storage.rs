//! How a location keeps what is stored there: in which class, locked until when, and how soon what is
//! archived can be read again.

use std::time::Duration;

use chrono::{NaiveTime, TimeDelta};
use serde::{Deserialize, Serialize};

use crate::Instant;
use crate::prices::{DEEP_ARCHIVE, GIGABYTE, GLACIER_IR, MONTH_DAYS, STANDARD, StorageClass};

/// Where the rows that a schedule stores are to end up. The location moves them there by its own
/// lifecycle rules, which go by the tag that their packs get when they are written; everything else of a
/// chain stays where it can be read at once.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum StorageTier {
    /// They stay where they are written.
    #[default]
    Standard,
    /// In a class that costs less to keep and more to read, at once.
    Cold,
    /// In a class that has to be thawed for hours before it can be read.
    Archive,
}

impl StorageTier {
    /// The key of the tag.
    pub const TAG: &str = "logisedge-storage";

    /// As the configuration and the tag's value name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Cold => "cold",
            Self::Archive => "archive",
        }
    }

    /// Whether it is where things stay anyway.
    pub fn is_standard(&self) -> bool {
        *self == Self::Standard
    }
}

/// Where the rows of a tier go, and when.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Transition {
    /// The class that they go to.
    pub class: StorageClass,
    /// Days after which they do.
    pub after_days: u32,
}

impl Transition {
    /// When what is written at an instant goes.
    pub fn at(&self, written: Instant) -> Instant {
        after_days(written, self.after_days)
    }
}

/// When a lifecycle rule acts so many days after something: at the next midnight (UTC), as S3 reckons it.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html>
pub fn after_days(since: Instant, days: u32) -> Instant {
    let then = since.checked_add_signed(TimeDelta::days(days.into()));
    let day = then.unwrap_or(Instant::MAX_UTC).date_naive();
    let next = day.succ_opt().unwrap_or(day);
    next.and_time(NaiveTime::MIN).and_utc()
}

/// The lifecycle rules of a stack that move rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Transitions {
    /// Of [`StorageTier::Cold`].
    pub cold: Transition,
    /// Of [`StorageTier::Archive`].
    pub archive: Transition,
}

impl Default for Transitions {
    /// Those of a stack that was deployed with the template's own parameters.
    fn default() -> Self {
        Self {
            cold: Transition {
                class: GLACIER_IR,
                after_days: 30,
            },
            archive: Transition {
                class: DEEP_ARCHIVE,
                after_days: 7,
            },
        }
    }
}

impl Transitions {
    /// Of a tier; none: its rows stay.
    pub fn of(&self, tier: StorageTier) -> Option<&Transition> {
        match tier {
            StorageTier::Standard => None,
            StorageTier::Cold => Some(&self.cold),
            StorageTier::Archive => Some(&self.archive),
        }
    }
}

/// Who can end an object's lock before its time:
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html>.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockMode {
    /// Whoever has `s3:BypassGovernanceRetention`.
    Governance,
    /// Nobody, not even the account's root.
    Compliance,
}

impl LockMode {
    /// As the configuration names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Governance => "governance",
            Self::Compliance => "compliance",
        }
    }
}

/// Until when the bytes of an object cannot be destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectLock {
    /// Who can end it earlier.
    pub mode: LockMode,
    /// Its end.
    pub until: Instant,
}

/// How soon what is archived is to be readable:
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/restoring-objects-retrieval-options.html>.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ThawSpeed {
    /// Within minutes, from GLACIER alone.
    Expedited,
    /// Within hours.
    Standard,
    /// Within the longest time, at the lowest price.
    Bulk,
}

impl ThawSpeed {
    /// As the command line and S3's API, in another case, name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expedited => "expedited",
            Self::Standard => "standard",
            Self::Bulk => "bulk",
        }
    }

    /// What it typically takes at the most, and costs, from an archived class. None: it cannot be had.
    /// The prices are of [`crate::prices::PRICES_AS_OF`].
    pub fn of(self, class: &str) -> Option<Thawing> {
        let thawing = |hours: f64, gigabyte, thousand| Thawing {
            takes: Duration::from_secs((hours * 3600.0) as u64),
            gigabyte,
            thousand,
        };
        Some(match (class, self) {
            ("GLACIER", Self::Expedited) => thawing(5.0 / 60.0, 0.03, 10.0),
            ("GLACIER", Self::Standard) => thawing(5.0, 0.01, 0.05),
            ("GLACIER", Self::Bulk) => thawing(12.0, 0.0, 0.0),
            ("DEEP_ARCHIVE", Self::Standard) => thawing(12.0, 0.02, 0.10),
            ("DEEP_ARCHIVE", Self::Bulk) => thawing(48.0, 0.0025, 0.025),
            _ => return None,
        })
    }
}

/// What a thaw takes and costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thawing {
    /// How long it typically takes at the most.
    pub takes: Duration,
    /// USD for a gigabyte.
    pub gigabyte: f64,
    /// USD for a thousand requests, one for each object.
    pub thousand: f64,
}

impl Thawing {
    /// USD for so many objects and bytes, whose readable copies lie in STANDARD for `days` beside what is
    /// archived.
    pub fn usd(&self, objects: u64, bytes: u64, days: u32) -> f64 {
        let gigabytes = bytes as f64 / GIGABYTE;
        objects as f64 / 1000.0 * self.thousand
            + gigabytes * self.gigabyte
            + gigabytes * STANDARD.gigabyte_month * f64::from(days) / MONTH_DAYS
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::prices::CLASSES;

    #[test]
    fn every_archived_class_can_be_thawed_and_no_other() {
        let speeds = [ThawSpeed::Expedited, ThawSpeed::Standard, ThawSpeed::Bulk];
        for class in &CLASSES {
            let some = speeds.iter().any(|speed| speed.of(class.name).is_some());
            assert_eq!(some, class.archived, "{}", class.name);
        }
        assert_eq!(ThawSpeed::Expedited.of("DEEP_ARCHIVE"), None);
    }

    #[test]
    fn a_thaw_costs_what_paper_gives() {
        // 954 packs of 16 GiB in all, readable for 30.4375 days: requests, retrieval, copies.
        let thawing = ThawSpeed::Standard.of("DEEP_ARCHIVE").unwrap();
        let usd = thawing.usd(954, 16 << 30, 30);
        let expected = 0.954 * 0.10 + 16.0 * 0.02 + 16.0 * 0.023 * 30.0 / MONTH_DAYS;
        assert!((usd - expected).abs() < 1e-9, "{usd}");
        assert_eq!(
            ThawSpeed::Bulk.of("GLACIER").unwrap().usd(954, 1 << 30, 0),
            0.0
        );
    }
}
