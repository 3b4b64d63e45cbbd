//! On what terms a chain's packs are rewritten: what it costs at its location, and for how long what
//! stays will stay.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use logisedge_domain::Instant;
use logisedge_domain::id::ScheduleName;
use logisedge_domain::retention::Retention;
use logisedge_domain::snapshot::SnapshotRecord;

/// How long what no rule ends is reckoned to stay. A guess that is too short only rewrites less.
const WITHOUT_END: TimeDelta = TimeDelta::days(365);

/// How long the longest-lived of these snapshots will be kept, as far as its schedule's rules tell in
/// days. A number of the newest (`last`) tells nothing of days and counts as none: what is kept by
/// nothing else may go tomorrow.
pub(super) fn remaining<'r>(
    kept: impl Iterator<Item = &'r SnapshotRecord>,
    retention: &BTreeMap<ScheduleName, Retention>,
    now: Instant,
) -> TimeDelta {
    let of = |record: &SnapshotRecord| {
        let rules = record
            .schedule
            .as_ref()
            .and_then(|name| retention.get(name));
        let Some(days) = rules.and_then(days) else {
            return WITHOUT_END;
        };
        (TimeDelta::days(days) - (now - record.taken_at)).clamp(TimeDelta::zero(), WITHOUT_END)
    };
    kept.map(of).max().unwrap_or_default()
}

/// The days that a snapshot may become old under these rules. None: there is no end.
fn days(rules: &Retention) -> Option<i64> {
    if rules.is_unlimited() {
        return None;
    }
    let of = |count: Option<u32>, days: i64| i64::from(count.unwrap_or_default()) * days;
    let all = [
        of(rules.keep_days, 1),
        of(rules.keep_daily, 1),
        of(rules.keep_weekly, 7),
        of(rules.keep_monthly, 30),
        of(rules.keep_yearly, 365),
    ];
    all.into_iter().max()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_rule_that_reaches_furthest_counts() {
        let rules = Retention {
            keep_days: Some(10),
            keep_weekly: Some(4),
            keep_last: Some(500),
            ..Retention::default()
        };
        assert_eq!(days(&rules), Some(28));
        assert_eq!(days(&Retention::default()), None);
        let last = Retention {
            keep_last: Some(3),
            ..Retention::default()
        };
        assert_eq!(days(&last), Some(0));
    }
}
