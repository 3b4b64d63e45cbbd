//! Retention: which snapshots stay, which go, and why.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Datelike, NaiveDate, TimeDelta};
use serde::{Deserialize, Serialize};

use crate::Instant;
use crate::format::{counted, instant};
use crate::id::{ScheduleName, ScopeName, SnapshotId};
use crate::plan::{PruneDecision, PrunePlan};
use crate::snapshot::{SnapshotRecord, Trust};

/// How long a schedule's snapshots are kept. A snapshot that any rule keeps is kept; where no rule
/// is set, all are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// Keep snapshots taken within this many days (24 hours each) of now.
    pub keep_days: Option<u32>,
    /// Keep this many of the newest.
    pub keep_last: Option<u32>,
    /// Keep the newest of each of this many days that have one. Days, weeks (from Monday), months
    /// and years are counted in UTC, as `restic forget` does with UTC times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_daily: Option<u32>,
    /// Keep the newest of each of this many weeks that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_weekly: Option<u32>,
    /// Keep the newest of each of this many months that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_monthly: Option<u32>,
    /// Keep the newest of each of this many years that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_yearly: Option<u32>,
}

impl Retention {
    /// Whether no rule is set, which keeps everything.
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }

    /// The rules in words: `7 days, the last 3, 12 monthly`.
    pub fn describe(&self) -> String {
        let rules = [
            self.keep_days.map(|n| counted(n.into(), "day")),
            self.keep_last.map(|n| format!("the last {n}")),
            self.keep_daily.map(|n| format!("{n} daily")),
            self.keep_weekly.map(|n| format!("{n} weekly")),
            self.keep_monthly.map(|n| format!("{n} monthly")),
            self.keep_yearly.map(|n| format!("{n} yearly")),
        ];
        let rules: Vec<String> = rules.into_iter().flatten().collect();
        if rules.is_empty() {
            "everything".to_owned()
        } else {
            rules.join(", ")
        }
    }

    fn tiers(&self) -> Vec<Tier> {
        let tier = |name, count: Option<u32>, period| {
            count.map(|left| Tier {
                name,
                left,
                period,
                last: None,
            })
        };
        let tiers = [
            tier("day", self.keep_daily, |at: NaiveDate| {
                (at.year(), at.ordinal())
            }),
            tier("week", self.keep_weekly, |at| {
                (at.iso_week().year(), at.iso_week().week())
            }),
            tier("month", self.keep_monthly, |at| (at.year(), at.month())),
            tier("year", self.keep_yearly, |at| (at.year(), 0)),
        ];
        tiers.into_iter().flatten().collect()
    }
}

/// A rule that keeps the newest snapshot of each of a number of periods, as `restic forget` does:
/// only periods that have a snapshot are counted, and while some are left the oldest snapshot is
/// kept too (<https://restic.readthedocs.io/en/stable/060_forget.html>).
struct Tier {
    name: &'static str,
    left: u32,
    period: fn(NaiveDate) -> (i32, u32),
    last: Option<(i32, u32)>,
}

impl Tier {
    /// Takes the next older snapshot; whether this rule keeps it.
    fn keeps(&mut self, at: Instant, is_oldest: bool) -> bool {
        let period = Some((self.period)(at.date_naive()));
        let keeps = self.left > 0 && (period != self.last || is_oldest);
        if keeps {
            self.left -= 1;
            self.last = period;
        }
        keeps
    }
}

/// Decides which snapshots of a scope stay.
///
/// `retentions` holds every schedule's; snapshots of a schedule that is gone, and of none, stay.
/// Each schedule's rules count its own snapshots only. Beyond the rules:
/// - a snapshot that is in use stays;
/// - the scope's newest verified snapshot stays; while none is verified, the newest that is not
///   known to be damaged stays; while all are damaged, the newest stays;
/// - a damaged snapshot counts towards no number: it stays for the schedule's days (most of it may
///   still be readable), and at least until a newer one is verified.
///
/// A snapshot whose deletion began may have lost bytes already: it goes, unless it is in use, and
/// counts towards nothing.
///
/// Snapshots of other scopes are passed over. The answer does not depend on their order.
pub fn plan_prune(
    scope: &ScopeName,
    retentions: &BTreeMap<ScheduleName, Retention>,
    snapshots: &[SnapshotRecord],
    in_use: &BTreeSet<SnapshotId>,
    now: Instant,
) -> PrunePlan {
    let mut snapshots: Vec<&SnapshotRecord> =
        snapshots.iter().filter(|s| s.scope == *scope).collect();
    snapshots.sort_by_key(|s| std::cmp::Reverse((s.taken_at, s.id)));
    let mut reasons: BTreeMap<SnapshotId, Vec<String>> = BTreeMap::new();
    let mut keep = |snapshot: &SnapshotRecord, reason: String| {
        reasons.entry(snapshot.id).or_default().push(reason);
    };

    for snapshot in snapshots.iter().filter(|s| in_use.contains(&s.id)) {
        keep(snapshot, "in use".to_owned());
    }
    let whole = snapshots.iter().filter(|s| s.deleting_since.is_none());
    let whole: Vec<&SnapshotRecord> = whole.copied().collect();
    if let Some((snapshot, reason)) = last_resort(&whole) {
        keep(snapshot, reason.to_owned());
    }
    let verified = whole.iter().position(|s| s.trust == Trust::Verified);
    for snapshot in &whole[..verified.unwrap_or(whole.len())] {
        if snapshot.trust == Trust::Damaged {
            keep(snapshot, "damaged, but no newer one is verified".to_owned());
        }
    }
    for (schedule, retention) in retentions {
        let own = |s: &&&SnapshotRecord| s.schedule.as_ref() == Some(schedule);
        let own: Vec<&SnapshotRecord> = whole.iter().filter(own).copied().collect();
        apply(retention, &own, now, &mut keep);
    }
    for snapshot in &whole {
        match &snapshot.schedule {
            None => keep(snapshot, "no schedule's retention applies to it".to_owned()),
            Some(gone) if !retentions.contains_key(gone) => {
                keep(snapshot, format!("its schedule {gone} is gone"));
            }
            Some(_) => {}
        }
    }

    let decide = |snapshot: &&SnapshotRecord| match reasons.remove(&snapshot.id) {
        Some(reasons) => PruneDecision {
            snapshot: snapshot.id,
            keep: true,
            reason: reasons.join("; "),
        },
        None => PruneDecision {
            snapshot: snapshot.id,
            keep: false,
            reason: why_not(snapshot, retentions),
        },
    };
    PrunePlan {
        scope: scope.clone(),
        now,
        decisions: snapshots.iter().map(decide).collect(),
    }
}

/// The one snapshot of a scope that always stays, from the newest on.
fn last_resort<'s>(
    newest_first: &[&'s SnapshotRecord],
) -> Option<(&'s SnapshotRecord, &'static str)> {
    let newest = |trust| newest_first.iter().copied().find(|s| s.trust == trust);
    newest(Trust::Verified)
        .map(|s| (s, "the scope's newest verified snapshot"))
        .or_else(|| {
            newest(Trust::Unverified).map(|s| (s, "the scope's newest; none is verified yet"))
        })
        .or_else(|| {
            newest_first
                .first()
                .map(|s| (*s, "the scope's newest; all are damaged"))
        })
}

/// Applies one schedule's rules to its own snapshots, newest first.
fn apply(
    retention: &Retention,
    own: &[&SnapshotRecord],
    now: Instant,
    keep: &mut impl FnMut(&SnapshotRecord, String),
) {
    let sound: Vec<&SnapshotRecord> = own
        .iter()
        .copied()
        .filter(|s| s.trust != Trust::Damaged)
        .collect();
    if retention.is_unlimited() {
        own.iter()
            .for_each(|s| keep(s, "its schedule keeps everything".to_owned()));
    }
    if let Some(days) = retention.keep_days {
        let oldest = now - TimeDelta::days(days.into());
        for snapshot in own.iter().filter(|s| s.taken_at >= oldest) {
            keep(
                snapshot,
                format!("taken within {}", counted(days.into(), "day")),
            );
        }
    }
    if let Some(last) = retention.keep_last {
        for (index, snapshot) in sound.iter().take(last as usize).enumerate() {
            keep(snapshot, format!("number {} of the last {last}", index + 1));
        }
    }
    for mut tier in retention.tiers() {
        for (index, snapshot) in sound.iter().enumerate() {
            if tier.keeps(snapshot.taken_at, index + 1 == sound.len()) {
                keep(snapshot, format!("kept for its {}", tier.name));
            }
        }
    }
}

fn why_not(snapshot: &SnapshotRecord, retentions: &BTreeMap<ScheduleName, Retention>) -> String {
    if let Some(since) = snapshot.deleting_since {
        return format!("its deletion began at {}", instant(since));
    }
    if snapshot.trust == Trust::Damaged {
        return "damaged, and a newer one is verified".to_owned();
    }
    let of = snapshot.schedule.as_ref();
    match of.and_then(|schedule| Some((schedule, retentions.get(schedule)?))) {
        Some((schedule, retention)) => {
            format!("schedule {schedule} keeps {}", retention.describe())
        }
        None => "no rule keeps it".to_owned(),
    }
}
