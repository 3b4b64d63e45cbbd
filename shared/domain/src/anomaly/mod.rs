//! Anomalies: a table that holds another number of rows or bytes than its history lets expect. A table
//! that was truncated, or a mass change, is backed up as faithfully as anything else; what must not
//! happen is that the good state before it is pruned away before anybody looked.
//!
//! A table is compared with itself in the last [`HISTORY`] snapshots of its scope, whatever schedule
//! took them, and is judged once it is in [`HISTORY_MIN`] of them. Usual is the median *m*; how far from
//! it is still usual is the band, of the robust deviation *σ* = 1.4826 × MAD (the median distance from
//! the median, which for normally distributed values is their standard deviation; Hampel 1974). Unlike
//! mean and deviation neither moves because of a few outliers.
//!
//! | measure | fewer than usual | more than usual |
//! |---|---|---|
//! | rows | below *m* − max(6 *σ*, *m* / 4, 100) | above *m* + max(6 *σ*, *m*, 10,000) |
//! | bytes | below *m* − max(6 *σ*, *m* / 4, 1 MB) | above *m* + max(6 *σ*, *m*, 10 MB) |
//! | none left | no row, or no such table, where each snapshot of the history had 10 rows or more | |
//!
//! Tables grow day by day, and are archived now and then: a floor on the band keeps a table whose size
//! hardly moves from being told for every order, and shrinking is narrower than growing, because losing
//! rows is what backups are for. A growing table's median lags behind by half the history and so does
//! its deviation, which keeps steady growth of any speed inside the band. What is not noticed: change
//! that is spread over more than the history, or that replaces rows by as many of the same size.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Instant;
use crate::format;
use crate::id::SnapshotId;
use crate::manifest::Manifest;

/// Snapshots that a table is compared with.
pub const HISTORY: usize = 14;

/// Snapshots that a table must be in before it is judged.
pub const HISTORY_MIN: usize = 5;

/// Deviations that are usual.
const DEVIATIONS: u128 = 6;

/// Rows below which a table is too small to be missed.
const ROWS_MIN: u64 = 10;

/// Tables whose sizes are kept one by one: those with the most bytes. With names of 30 characters that is
/// some 150 KB, below half of what one item of the catalog may hold.
pub const TABLES_MAX: usize = 2000;

/// How large a table is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSize {
    /// Its rows.
    #[serde(rename = "r")]
    pub rows: u64,
    /// The bytes of their text.
    #[serde(rename = "b")]
    pub bytes: u64,
}

/// How large each table of a snapshot is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// The state that it holds.
    pub taken_at: Instant,
    /// Tables as `schema.name`; of more than [`TABLES_MAX`] the largest.
    pub tables: BTreeMap<String, TableSize>,
    /// Tables that are left out of `tables`.
    #[serde(default)]
    pub left_out: u64,
    /// Whether it differed too much from the history when it was taken.
    #[serde(default)]
    pub unusual: bool,
}

impl Sizes {
    /// The sizes that a manifest tells.
    pub fn of(manifest: &Manifest, snapshot: SnapshotId) -> Self {
        let size = |table: &crate::manifest::TableEntry| {
            let (rows, bytes) = (table.rows, table.bytes);
            (
                format!("{}.{}", table.schema, table.name),
                TableSize { rows, bytes },
            )
        };
        let mut tables: Vec<_> = manifest.tables.iter().map(size).collect();
        tables.sort_by(|(a, x), (b, y)| y.bytes.cmp(&x.bytes).then_with(|| a.cmp(b)));
        let left_out = tables.len().saturating_sub(TABLES_MAX) as u64;
        tables.truncate(TABLES_MAX);
        Self {
            snapshot,
            taken_at: manifest.taken_at,
            tables: tables.into_iter().collect(),
            left_out,
            unusual: false,
        }
    }
}

/// A table that differs from its history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anomaly {
    /// `schema.name`.
    pub table: String,
    /// What is unusual.
    pub measure: Measure,
    /// What it is in the new snapshot.
    pub found: u64,
    /// The median of the history.
    pub usual: u64,
}

/// What is unusual of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// There is no such table any more.
    Gone,
    /// It has no rows any more.
    Empty,
    /// The number of its rows.
    Rows,
    /// The number of its bytes.
    Bytes,
}

impl Anomaly {
    /// `public.orders: 12 rows instead of about 1,234,567`.
    pub fn describe(&self) -> String {
        let table = &self.table;
        let rows = |n| format::counted(n, "row");
        match self.measure {
            Measure::Gone => format!(
                "{table}: no such table, instead of about {}",
                rows(self.usual)
            ),
            Measure::Empty => format!("{table}: empty, instead of about {}", rows(self.usual)),
            Measure::Rows => format!(
                "{table}: {} instead of about {}",
                rows(self.found),
                format::count(self.usual)
            ),
            Measure::Bytes => format!(
                "{table}: {} instead of about {}",
                format::bytes(self.found),
                format::bytes(self.usual)
            ),
        }
    }
}

/// Compares a new snapshot with the history, in any order; of more than [`HISTORY`] the newest count.
/// One finding a table at the most, tables by name. `ignored` says which tables may be as they like.
pub fn anomalies<'s>(
    history: impl IntoIterator<Item = &'s Sizes>,
    new: &Sizes,
    ignored: impl Fn(&str) -> bool,
) -> Vec<Anomaly> {
    let mut history: Vec<&Sizes> = history
        .into_iter()
        .filter(|sizes| sizes.snapshot != new.snapshot)
        .collect();
    history.sort_by_key(|sizes| std::cmp::Reverse(sizes.taken_at));
    history.truncate(HISTORY);
    let mut names: Vec<&String> = history.iter().flat_map(|s| s.tables.keys()).collect();
    names.sort();
    names.dedup();
    let judged = names.into_iter().filter(|name| !ignored(name));
    judged
        .filter_map(|name| judge(name, &history, new))
        .collect()
}

fn judge(name: &str, history: &[&Sizes], new: &Sizes) -> Option<Anomaly> {
    let before: Vec<TableSize> = history
        .iter()
        .filter_map(|sizes| sizes.tables.get(name).copied())
        .collect();
    if before.len() < HISTORY_MIN {
        return None;
    }
    let rows = Usual::of(before.iter().map(|size| size.rows));
    let bytes = Usual::of(before.iter().map(|size| size.bytes));
    let anomaly = |measure, found, usual: &Usual| {
        Some(Anomaly {
            table: name.to_owned(),
            measure,
            found,
            usual: usual.median,
        })
    };
    let always_had_rows =
        before.len() == history.len() && before.iter().all(|size| size.rows >= ROWS_MIN);
    let Some(found) = new.tables.get(name) else {
        // Where not all are listed, it may only have become one of the smaller ones.
        return match always_had_rows && new.left_out == 0 {
            true => anomaly(Measure::Gone, 0, &rows),
            false => None,
        };
    };
    if found.rows == 0 && always_had_rows {
        return anomaly(Measure::Empty, 0, &rows);
    }
    if !rows.is_usual(found.rows, 100, 10_000) {
        return anomaly(Measure::Rows, found.rows, &rows);
    }
    if !bytes.is_usual(found.bytes, 1_000_000, 10_000_000) {
        return anomaly(Measure::Bytes, found.bytes, &bytes);
    }
    None
}

/// What a measure usually is.
struct Usual {
    median: u64,
    /// The median distance from it.
    mad: u64,
}

impl Usual {
    fn of(values: impl Iterator<Item = u64> + Clone) -> Self {
        let middle = median(values.clone().collect());
        let mad = median(values.map(|value| value.abs_diff(middle)).collect());
        Self {
            median: middle,
            mad,
        }
    }

    fn is_usual(&self, found: u64, fewer_min: u64, more_min: u64) -> bool {
        // 6 × 1.4826, in integers of any size.
        let spread = u128::from(self.mad) * DEVIATIONS * 14_826 / 10_000;
        let (floor, share) = match found < self.median {
            true => (fewer_min, self.median / 4),
            false => (more_min, self.median),
        };
        let band = spread.max(share.into()).max(floor.into());
        u128::from(found.abs_diff(self.median)) <= band
    }
}

/// The median, of an even number of values the lower of the two. Zero of none.
fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    match values.len() {
        0 => 0,
        n => values[(n - 1) / 2],
    }
}

/// What is known of a scope's anomalies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnomalyState {
    /// The first snapshot that differed and was not confirmed since. While there is one, the scope is not
    /// pruned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<OpenAnomaly>,
    /// What somebody confirmed last to have been meant: snapshots before its beginning are no history any
    /// more, and those up to its end are, however unusual they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meant: Option<Meant>,
}

/// The time of a change that was meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meant {
    /// The state in which it was seen first.
    pub from: Instant,
    /// When it was confirmed.
    pub until: Instant,
}

/// An anomaly that nobody confirmed yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenAnomaly {
    /// The snapshot in which it was seen first.
    pub snapshot: SnapshotId,
    /// The state that it holds.
    pub taken_at: Instant,
    /// Its tables that differ, at most [`ANOMALIES_MAX`].
    pub anomalies: Vec<Anomaly>,
}

/// Tables that are kept of one anomaly.
pub const ANOMALIES_MAX: usize = 50;

impl AnomalyState {
    /// The part of the history that counts.
    pub fn history<'s>(&self, sizes: &'s [Sizes]) -> Vec<&'s Sizes> {
        sizes.iter().filter(|sizes| self.counts(sizes)).collect()
    }

    fn counts(&self, sizes: &Sizes) -> bool {
        match self.meant {
            None => !sizes.unusual,
            Some(meant) => {
                sizes.taken_at >= meant.from && (!sizes.unusual || sizes.taken_at <= meant.until)
            }
        }
    }

    /// Those of a scope's sizes, newest first, that nothing is compared with any more, whatever somebody
    /// confirms: all but the newest [`HISTORY`] that count, and as many that do not. However many unusual
    /// snapshots come before somebody looks, they put out none that is usual.
    pub fn surplus<'s>(&self, sizes: impl IntoIterator<Item = &'s Sizes>) -> Vec<&'s Sizes> {
        let (mut counting, mut others) = (0, 0);
        let is_surplus = |sizes: &&Sizes| {
            let newer = match self.counts(sizes) {
                true => &mut counting,
                false => &mut others,
            };
            *newer += 1;
            *newer > HISTORY
        };
        sizes.into_iter().filter(is_surplus).collect()
    }

    /// The state after a snapshot with these anomalies. The first that is not confirmed stays.
    #[must_use]
    pub fn after(&self, sizes: &Sizes, anomalies: &[Anomaly]) -> Self {
        let found = || OpenAnomaly {
            snapshot: sizes.snapshot,
            taken_at: sizes.taken_at,
            anomalies: anomalies.iter().take(ANOMALIES_MAX).cloned().collect(),
        };
        let found = (!anomalies.is_empty()).then(found);
        Self {
            open: self.open.clone().or(found),
            meant: self.meant,
        }
    }

    /// The state after somebody looked: the change was meant, and later snapshots are compared with what
    /// it left; or it was not, is undone, and they are compared with what was before. None where there
    /// is nothing to confirm.
    pub fn confirmed(&self, was_meant: bool, now: Instant) -> Option<Self> {
        let open = self.open.as_ref()?;
        let meant = Meant {
            from: open.taken_at,
            until: now,
        };
        Some(Self {
            open: None,
            meant: if was_meant { Some(meant) } else { self.meant },
        })
    }
}
