//! What the catalog tells at the end, against what happened.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use logisedge_catalog::Message;
use logisedge_domain::Instant;
use logisedge_domain::alert::{Alert, AlertKind};
use logisedge_domain::event::Event;
use logisedge_domain::id::RunId;
use logisedge_domain::run::{Run, RunState};

use super::state::{Year, year_ends};

/// Everything that is in the catalog at the end.
pub(super) struct Told {
    pub(super) runs: BTreeMap<RunId, Run>,
    pub(super) alerts: Vec<Alert>,
    pub(super) committed: Vec<RunId>,
}

impl Told {
    pub(super) async fn of(catalog: &logisedge_catalog::Catalog) -> Self {
        let runs = catalog.recent_runs(usize::MAX).await.unwrap();
        let mut told = Self {
            runs: runs.into_iter().map(|run| (run.id.clone(), run)).collect(),
            alerts: Vec::new(),
            committed: Vec::new(),
        };
        for (_, message) in catalog.outbox(usize::MAX).await.unwrap() {
            match message {
                Message::Alert(alert) => told.alerts.push(alert),
                Message::Event(Event::SnapshotCommitted { run, .. }) => told.committed.push(run),
                Message::Resolution(_) => {}
                Message::Event(other) => panic!("{other:?}"),
            }
        }
        told
    }

    /// The runs that alerts of a kind are about; each once.
    pub(super) fn runs_with(&self, kind: AlertKind) -> BTreeSet<RunId> {
        let alerts = self.alerts.iter().filter(|alert| alert.kind == kind);
        let runs: Vec<RunId> = alerts.map(|alert| alert.run.clone().unwrap()).collect();
        let once: BTreeSet<RunId> = runs.iter().cloned().collect();
        assert_eq!(once.len(), runs.len(), "{kind:?}: each run once");
        once
    }

    pub(super) fn runs_in(&self, state: RunState) -> BTreeSet<RunId> {
        let runs = self.runs.values().filter(|run| run.state == state);
        runs.map(|run| run.id.clone()).collect()
    }
}

/// Each limit that a run did not keep is told once, and no other.
pub(super) fn late_runs_are_told(year: &Year, told: &Told) {
    let mut expected = BTreeSet::new();
    for (id, run) in &told.runs {
        let fate = &year.fates[id];
        let ended_before = |limit: Instant| fate.ended.is_some_and(|(_, at)| at < limit);
        if let Some(limit) = run.start_by
            && fate.began_at.is_none_or(|at| at > limit)
            && !ended_before(limit)
        {
            expected.insert(format!("late.start.{id}"));
        }
        if let Some(limit) = run.finish_by
            && !ended_before(limit)
            && fate.ended.is_none_or(|(_, at)| at > limit)
        {
            expected.insert(format!("late.finish.{id}"));
        }
    }
    let alerts = told.alerts.iter();
    let ids: Vec<&str> = alerts
        .filter(|alert| alert.kind == AlertKind::Late)
        .map(|alert| alert.id.as_str())
        .collect();
    let once: BTreeSet<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    assert_eq!(once.len(), ids.len(), "each once");
    assert_eq!(once, expected);
}

/// The missed slots of a schedule are told outage by outage: each alert counts those since the one before.
/// Returns the number of outages in which something was missed.
pub(super) fn missed_slots_are_told(year: &Year, told: &Told) -> usize {
    let mut outages = BTreeSet::new();
    for schedule in &year.config.schedules {
        let name = &schedule.name;
        let prefix = format!("missed.{name}.");
        let mut alerts: Vec<(&str, &Alert)> = told
            .alerts
            .iter()
            .filter_map(|alert| Some((alert.id.strip_prefix(&prefix)?, alert)))
            .collect();
        alerts.sort_by_key(|(last, _)| *last);
        let mut left: BTreeSet<String> = told
            .runs_in(RunState::Missed)
            .iter()
            .filter_map(|id| {
                id.as_str()
                    .strip_prefix(&format!("{name}."))
                    .map(|id| id[..16].to_owned())
            })
            .collect();
        for (last, alert) in alerts {
            let later = left.split_off(&format!("{last}~"));
            let slots = std::mem::replace(&mut left, later);
            assert!(slots.contains(last), "{}", alert.id);
            let counted = match slots.len() {
                1 => alert.summary.starts_with("The backup of "),
                n => alert.summary.starts_with(&format!("{n} backups of ")),
            };
            assert!(counted, "{} slots: {}", slots.len(), alert.summary);
            let outage = year.outages.iter().position(|(_, to)| {
                let told_after = alert.at - *to;
                (TimeDelta::zero()..TimeDelta::minutes(3)).contains(&told_after)
            });
            let at_the_end = alert.at == year_ends();
            assert!(
                outage.is_some() || at_the_end,
                "{} is of no outage",
                alert.id
            );
            outages.extend(outage);
        }
        assert!(left.is_empty(), "{name}: nobody was told of {left:?}");
    }
    outages.len()
}
