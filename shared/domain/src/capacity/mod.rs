//! Capacity: how much of a location is used, when it will be full, and whether a backup fits.
//!
//! Used is what lies at the location now. A versioned bucket keeps what prune deleted for the grace
//! days beside it; that is counted in no capacity.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use chrono::{NaiveDate, TimeDelta};
use serde::{Deserialize, Serialize};

use crate::Instant;
use crate::id::{LocationName, ScopeName};
use crate::snapshot::{Kind, SnapshotRecord};

/// Days of usage that the forecast is made from.
pub const TREND_DAYS: usize = 30;

/// Days below which there is no trend.
const TREND_DAYS_MIN: usize = 7;

/// The farthest day that is forecast: what lies beyond is no trend's to say.
const FORECAST_DAYS_MAX: i64 = 3650;

/// Snapshots from whose sizes the next one's is expected.
const SIZES_LOOKED_AT: usize = 5;

/// What of a difference between the catalog and a listing is told: more than a hundredth of what is
/// listed, and more than this.
const DRIFT_BYTES_MIN: u64 = 100_000_000;

/// How much of a location one scope uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeUsage {
    /// Bytes, by the catalog: what was listed last, and what was written and deleted since.
    pub bytes: i64,
    /// When it was listed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed_at: Option<Instant>,
}

/// How much of a location is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocationUsage {
    /// The location.
    pub location: LocationName,
    /// By scope.
    pub scopes: BTreeMap<ScopeName, ScopeUsage>,
    /// Bytes in all at the end of each of the last days, oldest first.
    pub days: Vec<(NaiveDate, u64)>,
    /// The level that was told last, unless the end of it was told since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level_told: Option<Level>,
}

/// A level of usage that is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// 80 %.
    Eighty,
    /// 90 %.
    Ninety,
}

impl Level {
    /// Both, lowest first.
    pub const ALL: [Self; 2] = [Self::Eighty, Self::Ninety];

    /// In percent.
    pub fn percent(self) -> u64 {
        match self {
            Self::Eighty => 80,
            Self::Ninety => 90,
        }
    }

    /// Whether so much of so much is at the level or above.
    pub fn is_reached(self, used: u64, max: u64) -> bool {
        u128::from(used) * 100 >= u128::from(max) * u128::from(self.percent())
    }

    /// The highest level that is reached.
    pub fn of(used: u64, max: u64) -> Option<Self> {
        let reached = |level: &Self| level.is_reached(used, max);
        Self::ALL.into_iter().rev().find(reached)
    }
}

impl LocationUsage {
    /// Bytes in all.
    pub fn bytes(&self) -> u64 {
        let sum: i64 = self.scopes.values().map(|scope| scope.bytes).sum();
        u64::try_from(sum).unwrap_or_default()
    }

    /// The day on which the location will hold `max` bytes if it goes on as in the last
    /// [`TREND_DAYS`] days. None: it does not grow, it is full already, there are too few days, or it
    /// takes more than ten years.
    ///
    /// The line is Theil's and Sen's: its slope the median of the slopes between any two days, its
    /// height the median of what is left. A day on which much was pruned or copied does not move it.
    pub fn full_on(&self, max: u64) -> Option<NaiveDate> {
        let from = self.days.len().saturating_sub(TREND_DAYS);
        let days = &self.days[from..];
        let (first, last) = (days.first()?.0, days.last()?.0);
        if days.len() < TREND_DAYS_MIN || self.bytes() >= max {
            return None;
        }
        let points: Vec<(f64, f64)> = days
            .iter()
            .map(|(day, bytes)| ((*day - first).num_days() as f64, *bytes as f64))
            .collect();
        let mut slopes = Vec::new();
        for (n, (x, y)) in points.iter().enumerate() {
            let later = points[n + 1..].iter();
            slopes.extend(later.map(|(later, bytes)| (bytes - y) / (later - x)));
        }
        let slope = median(slopes)?;
        let height = median(points.iter().map(|(x, y)| y - slope * x).collect())?;
        if slope <= 0.0 {
            return None;
        }
        let after = ((max as f64 - height) / slope).ceil();
        let from_last = after - (last - first).num_days() as f64;
        if !from_last.is_finite() || from_last > FORECAST_DAYS_MAX as f64 {
            return None;
        }
        // The line may be above today's usage: full, but not before tomorrow.
        last.checked_add_signed(TimeDelta::days((from_last as i64).max(1)))
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => None,
        n => Some((values[(n - 1) / 2] + values[n / 2]) / 2.0),
    }
}

/// Bytes that the next snapshot of a kind is expected to store: as many as the largest of the scope's last
/// five of that kind at the location did. Where there is none, as the largest of any kind; none where
/// there is no snapshot at all.
pub fn expected_bytes(
    records: &[SnapshotRecord],
    location: &LocationName,
    kind: Kind,
) -> Option<u64> {
    let mut at: Vec<&SnapshotRecord> = records.iter().filter(|r| r.location == *location).collect();
    at.sort_by_key(|record| std::cmp::Reverse(record.taken_at));
    let largest = |records: &mut dyn Iterator<Item = &&SnapshotRecord>| {
        records.take(SIZES_LOOKED_AT).map(|r| r.bytes_stored).max()
    };
    let alike = largest(&mut at.iter().filter(|record| record.kind == kind));
    alike.or_else(|| largest(&mut at.iter()))
}

/// Whether what the catalog says of a scope's usage and what was listed differ so much that somebody
/// should know.
pub fn differs(tracked: i64, listed: u64) -> bool {
    let difference = (i128::from(tracked) - i128::from(listed)).unsigned_abs();
    difference > u128::from((listed / 100).max(DRIFT_BYTES_MIN))
}
