//! Retention: which snapshots stay, which go, and why.
//!
//! `rules.rs` applies one set of rules, `span.rs` is the length of time that some of them have, and
//! `dated.rs` tells since when a snapshot has had no rule to keep it.

mod dated;
mod rules;
mod span;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use dated::date_plan;
pub use span::{Span, SpanError};

use crate::Instant;
use crate::format::{counted, instant};
use crate::id::{ScheduleName, ScopeName, SnapshotId};
use crate::plan::{PruneDecision, PrunePlan};
use crate::snapshot::{SnapshotRecord, Trust};

/// How long snapshots are kept: a schedule's, or all of a scope's. A snapshot that any rule keeps is
/// kept; where no rule is set, all are.
///
/// Rules that `restic forget` has too (`last`, `hourly` to `yearly`, `within` and its tiers) decide
/// as it does; a test compares them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// Keep snapshots taken within this many days (24 hours each) of now.
    pub keep_days: Option<u32>,
    /// Keep this many of the newest.
    pub keep_last: Option<u32>,
    /// Keep the newest of each of this many hours that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_hourly: Option<u32>,
    /// Keep the newest of each of this many days that have one. Hours, days, weeks (from Monday),
    /// months and years are counted in UTC, as `restic forget` does with UTC times.
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
    /// Keep all that were taken less than this before the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_within: Option<Span>,
    /// Keep the newest of each hour of this time before the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_within_hourly: Option<Span>,
    /// Keep the newest of each day of this time before the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_within_daily: Option<Span>,
    /// Keep the newest of each week of this time before the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_within_weekly: Option<Span>,
    /// Keep the newest of each month of this time before the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_within_monthly: Option<Span>,
    /// Keep the newest of each year of this time before the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_within_yearly: Option<Span>,
    /// Keep at least this many verified ones, the newest. A floor and no rule: it alone lets nothing
    /// go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven: Option<u32>,
}

impl Retention {
    /// Whether no rule is set, which keeps everything.
    pub fn is_unlimited(&self) -> bool {
        let rules = Self {
            proven: None,
            ..*self
        };
        rules == Self::default()
    }

    /// The rules in words: `7 days, the last 3, 12 monthly, at least 2 proven`.
    pub fn describe(&self) -> String {
        let count = |count: Option<u32>, tier: &str| count.map(|n| format!("{n} {tier}"));
        let within = |span: Option<Span>, tier: &str| {
            span.map(|span| format!("{tier} within {span} of the newest"))
        };
        let rules = [
            self.keep_days.map(|n| counted(n.into(), "day")),
            within(self.keep_within, "all"),
            self.keep_last.map(|n| format!("the last {n}")),
            count(self.keep_hourly, "hourly"),
            count(self.keep_daily, "daily"),
            count(self.keep_weekly, "weekly"),
            count(self.keep_monthly, "monthly"),
            count(self.keep_yearly, "yearly"),
            within(self.keep_within_hourly, "hourly"),
            within(self.keep_within_daily, "daily"),
            within(self.keep_within_weekly, "weekly"),
            within(self.keep_within_monthly, "monthly"),
            within(self.keep_within_yearly, "yearly"),
        ];
        let rules: Vec<String> = rules.into_iter().flatten().collect();
        let rules = if rules.is_empty() {
            "everything".to_owned()
        } else {
            rules.join(", ")
        };
        match self.proven {
            Some(proven) => format!("{rules}, at least {proven} proven"),
            None => rules,
        }
    }
}

/// All rules that bear on one scope's snapshots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Every schedule's; each counts its own snapshots only.
    pub schedules: BTreeMap<ScheduleName, Retention>,
    /// The scope's own, which count all of its snapshots, also those of no schedule.
    pub scope: Option<Retention>,
}

impl From<BTreeMap<ScheduleName, Retention>> for Rules {
    fn from(schedules: BTreeMap<ScheduleName, Retention>) -> Self {
        Self {
            schedules,
            scope: None,
        }
    }
}

impl Rules {
    /// The scope's rules, where they let anything go.
    fn scope_rules(&self) -> Option<&Retention> {
        self.scope.as_ref().filter(|rules| !rules.is_unlimited())
    }
}

/// Decides which snapshots of a scope stay.
///
/// A snapshot goes if neither its schedule's rules nor the scope's keep it. Where the scope has no
/// rules, snapshots of a schedule that is gone, and of none, stay. Beyond the rules:
/// - a snapshot that is in use stays, and so does one that is held, until it is released;
/// - the scope's newest verified snapshot stays; while none is verified, the newest that is not
///   known to be damaged stays; while all are damaged, the newest stays;
/// - a damaged snapshot counts towards no number: it stays for the days (or within the time before
///   the newest) that the rules say, as most of it may still be readable, and at least until a newer
///   one is verified.
///
/// A snapshot whose deletion began may have lost bytes already: it goes, unless it is in use or held,
/// and counts towards nothing.
///
/// Snapshots of other scopes are passed over. The answer does not depend on their order.
pub fn plan_prune<'s>(
    scope: &ScopeName,
    rules: &Rules,
    snapshots: impl IntoIterator<Item = &'s SnapshotRecord>,
    in_use: &BTreeSet<SnapshotId>,
    now: Instant,
) -> PrunePlan {
    let snapshots = snapshots.into_iter();
    let mut snapshots: Vec<&SnapshotRecord> = snapshots.filter(|s| s.scope == *scope).collect();
    snapshots.sort_by_key(|s| std::cmp::Reverse((s.taken_at, s.id)));
    let mut reasons: BTreeMap<SnapshotId, Vec<String>> = BTreeMap::new();
    let mut keep = |snapshot: &SnapshotRecord, reason: String| {
        reasons.entry(snapshot.id).or_default().push(reason);
    };

    for snapshot in snapshots.iter().filter(|s| in_use.contains(&s.id)) {
        keep(snapshot, "in use".to_owned());
    }
    for snapshot in &snapshots {
        if let Some(hold) = &snapshot.hold {
            keep(snapshot, hold.to_string());
        }
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
    for (schedule, retention) in &rules.schedules {
        let own = |s: &&&SnapshotRecord| s.schedule.as_ref() == Some(schedule);
        let own: Vec<&SnapshotRecord> = whole.iter().filter(own).copied().collect();
        if retention.is_unlimited() {
            own.iter()
                .for_each(|s| keep(s, "its schedule keeps everything".to_owned()));
        }
        rules::apply(retention, &own, now, &mut keep);
    }
    if let Some(retention) = &rules.scope {
        rules::apply(retention, &whole, now, &mut |snapshot, reason| {
            keep(snapshot, format!("{reason} (the scope's rule)"));
        });
    }
    if rules.scope_rules().is_none() {
        for snapshot in &whole {
            match &snapshot.schedule {
                None => keep(snapshot, "no schedule's retention applies to it".to_owned()),
                Some(gone) if !rules.schedules.contains_key(gone) => {
                    keep(snapshot, format!("its schedule {gone} is gone"));
                }
                Some(_) => {}
            }
        }
    }

    let decide = |snapshot: &&SnapshotRecord| {
        let kept = reasons.remove(&snapshot.id);
        PruneDecision {
            snapshot: snapshot.id,
            keep: kept.is_some(),
            reason: kept.map_or_else(|| why_not(snapshot, rules), |reasons| reasons.join("; ")),
            since: None,
            locked_until: snapshot.locked_until,
        }
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

fn why_not(snapshot: &SnapshotRecord, rules: &Rules) -> String {
    if let Some(since) = snapshot.deleting_since {
        return format!("its deletion began at {}", instant(since));
    }
    if snapshot.trust == Trust::Damaged {
        return "damaged, and a newer one is verified".to_owned();
    }
    let of = snapshot.schedule.as_ref();
    let of = of.and_then(|schedule| Some((schedule, rules.schedules.get(schedule)?)));
    let schedule = of
        .map(|(schedule, retention)| format!("schedule {schedule} keeps {}", retention.describe()));
    let scope = rules.scope_rules();
    let scope = scope.map(|retention| format!("the scope keeps {}", retention.describe()));
    let told: Vec<String> = schedule.into_iter().chain(scope).collect();
    if told.is_empty() {
        return "no rule keeps it".to_owned();
    }
    told.join("; ")
}
