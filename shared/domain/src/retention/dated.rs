//! Since when a snapshot that goes has had no rule to keep it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use super::{Rules, plan_prune};
use crate::Instant;
use crate::id::SnapshotId;
use crate::plan::{DroppedSince, PrunePlan};
use crate::snapshot::{SnapshotRecord, Trust};

/// Says of every snapshot that goes since when no rule has kept it, by today's rules and what is
/// known of the scope's snapshots today. Those that are gone already are not known, so a count rule
/// may have let one go earlier than is said here, never later.
///
/// Costs one plan for each of a few dozen instants per snapshot that goes; deciding alone does not
/// need it.
pub fn date_plan(plan: &mut PrunePlan, rules: &Rules, snapshots: &[SnapshotRecord]) {
    let known: Vec<&SnapshotRecord> = snapshots
        .iter()
        .filter(|record| record.scope == plan.scope)
        .collect();
    let mut history = History {
        plan: plan.clone(),
        rules,
        known: &known,
        kept_at: BTreeMap::new(),
    };
    for decision in plan.decisions.iter_mut().filter(|decision| !decision.keep) {
        let record = known.iter().find(|s| s.id == decision.snapshot);
        decision.since = record.map(|record| history.dropped_since(record));
    }
}

struct History<'h> {
    plan: PrunePlan,
    rules: &'h Rules,
    known: &'h [&'h SnapshotRecord],
    /// What was kept at an instant, as far as it was asked for.
    kept_at: BTreeMap<Instant, BTreeSet<SnapshotId>>,
}

impl History<'_> {
    fn dropped_since(&mut self, record: &SnapshotRecord) -> DroppedSince {
        if let Some(since) = record.deleting_since {
            return DroppedSince::At(since);
        }
        if record.trust == Trust::Damaged {
            let why = "it is damaged, and only the last verification of each snapshot is known";
            return DroppedSince::Unknown(why.to_owned());
        }
        if record.taken_at > self.plan.now {
            return DroppedSince::Unknown("it was taken by a clock ahead of this one".to_owned());
        }
        // What was kept and is not any more stays so: newer snapshots and later instants only push
        // out. So the first instant at which it was not kept is found by halving.
        let instants = self.instants(record);
        let first = instants.partition_point(|at| self.keeps(record, *at));
        match instants.get(first) {
            Some(at) => DroppedSince::At(*at),
            None => DroppedSince::At(self.plan.now),
        }
    }

    /// When something happened that could end its being kept, oldest first.
    fn instants(&self, record: &SnapshotRecord) -> Vec<Instant> {
        let newer = self.known.iter().map(|s| s.taken_at);
        let own = record.schedule.as_ref();
        let own = own.and_then(|schedule| self.rules.schedules.get(schedule));
        let days = [own, self.rules.scope.as_ref()]
            .into_iter()
            .flatten()
            .filter_map(|rules| rules.keep_days)
            // The edge itself is still kept.
            .map(|days| record.taken_at + TimeDelta::days(days.into()) + TimeDelta::nanoseconds(1));
        let instants: BTreeSet<Instant> = newer
            .chain(days)
            .filter(|at| *at >= record.taken_at && *at <= self.plan.now)
            .collect();
        instants.into_iter().collect()
    }

    fn keeps(&mut self, record: &SnapshotRecord, at: Instant) -> bool {
        let (plan, rules, known) = (&self.plan, self.rules, self.known);
        let kept = self.kept_at.entry(at).or_insert_with(|| {
            let then = known.iter().filter(|s| s.taken_at <= at);
            let then: Vec<SnapshotRecord> = then
                .map(|s| SnapshotRecord {
                    deleting_since: s.deleting_since.filter(|since| *since <= at),
                    ..(*s).clone()
                })
                .collect();
            let then = plan_prune(&plan.scope, rules, &then, &BTreeSet::new(), at);
            let kept = then.decisions.iter().filter(|decision| decision.keep);
            kept.map(|decision| decision.snapshot).collect()
        });
        kept.contains(&record.id)
    }
}
