//! Runs and prunes of one scope, played day by day.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{NaiveTime, TimeDelta};
use serde::Serialize;

use super::chains::{Piece, free};
use super::costs::{self, ClassCost, MonthCost, Work};
use crate::Instant;
use crate::chain::{Choice, Wanted, choose};
use crate::id::{ChainPath, RunId, ScheduleName, ScopeName, SnapshotId};
use crate::retention::{Rules, plan_prune};
use crate::schedule::Schedule;
use crate::snapshot::{Kind, SnapshotRecord, Trust};

/// More runs than this are not played: it would take long, and nobody reads that list.
pub const RUNS_MAX: usize = 40_000;

/// How much a run stores, compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// A full.
    pub full_bytes: u64,
    /// An incremental or a differential.
    pub change_bytes: u64,
}

impl Sizes {
    /// What a scope's snapshots measured: the newest full, and the mean of the others since. None
    /// without a full; without others, these count as much as a full.
    pub fn measured(records: &[SnapshotRecord]) -> Option<Self> {
        let full = records.iter().filter(|record| record.kind == Kind::Full);
        let full = full.max_by_key(|record| record.taken_at)?;
        let changes = records.iter().filter(|record| record.kind != Kind::Full);
        let changes: Vec<u64> = changes.map(|record| record.bytes_stored).collect();
        let mean = changes
            .iter()
            .sum::<u64>()
            .checked_div(changes.len() as u64);
        Some(Self {
            full_bytes: full.bytes_stored,
            change_bytes: mean.unwrap_or(full.bytes_stored),
        })
    }
}

/// What a preview rests on: every run succeeds, is verified at once, and stores as much as these say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Assumptions {
    /// Where it begins.
    pub now: Instant,
    /// How far it goes.
    pub days: u32,
    /// What runs store.
    pub sizes: Sizes,
    /// Bytes of a full pack.
    pub pack_bytes: u64,
    /// Days for which the bucket keeps pruned bytes.
    pub grace_days: u32,
    /// When the daily prune runs, in UTC.
    pub prune_at: NaiveTime,
}

/// A snapshot in a preview.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnapshotPreview {
    /// When it was or will be taken.
    pub taken_at: Instant,
    /// By which schedule.
    pub schedule: Option<ScheduleName>,
    /// Its kind.
    pub kind: Kind,
    /// Its id, where it exists already.
    pub snapshot: Option<SnapshotId>,
    /// Bytes that it added to the location.
    pub bytes_stored: u64,
    /// Why it is there, or why it goes at the next prune.
    pub reason: String,
}

/// What exists at an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct State {
    /// When.
    pub at: Instant,
    /// The snapshots, newest first.
    pub snapshots: Vec<SnapshotPreview>,
    /// Bytes that they need.
    pub bytes_kept: u64,
    /// Bytes of pruned snapshots that the bucket still keeps.
    pub bytes_in_grace: u64,
}

/// A snapshot that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// The snapshot, with why it goes.
    #[serde(flatten)]
    pub snapshot: SnapshotPreview,
    /// The prune that deletes it.
    pub dropped_at: Instant,
}

/// What will exist, and what it costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeepingPreview {
    /// The scope.
    pub scope: ScopeName,
    /// What it rests on.
    pub assumptions: Assumptions,
    /// Runs played.
    pub runs: usize,
    /// What exists at each instant that was asked for, in order.
    pub states: Vec<State>,
    /// What goes, in order.
    pub dropped: Vec<Dropped>,
    /// By calendar month, in S3 STANDARD.
    pub months: Vec<MonthCost>,
    /// The last 30 days in each storage class.
    pub classes: Vec<ClassCost>,
}

/// Why there is no preview.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PreviewError {
    /// Too many runs.
    #[error(
        "more than {RUNS_MAX} runs in {days} days: preview fewer days, or a schedule that is due less often"
    )]
    Runs {
        /// The days asked for.
        days: u32,
    },
}

/// Plays a scope's schedules from now on and tells what exists at `points`, which lie inside the
/// preview. `existing` are the scope's snapshots by now.
pub fn preview_keeping(
    scope: &ScopeName,
    schedules: &[&Schedule],
    rules: &Rules,
    existing: &[SnapshotRecord],
    assumptions: &Assumptions,
    points: &[Instant],
) -> Result<KeepingPreview, PreviewError> {
    let end = assumptions.now + TimeDelta::days(assumptions.days.into());
    let slots = slots(scope, schedules, assumptions, end)?;
    let mut play = Play::new(scope, rules, existing, assumptions);
    let mut points: Vec<Instant> = points.to_vec();
    points.sort();
    let mut states = Vec::new();
    let mut slots_left = slots.iter().peekable();
    let mut points_left = points.iter().peekable();
    let today = assumptions.now.date_naive();
    let prunes = today
        .iter_days()
        .map(|date| date.and_time(assumptions.prune_at).and_utc());
    for prune in prunes.filter(|prune| *prune > assumptions.now) {
        let until = prune.min(end);
        loop {
            let slot = slots_left
                .peek()
                .map(|(slot, _)| *slot)
                .filter(|at| *at <= until);
            let point = points_left.peek().map(|at| **at).filter(|at| *at <= until);
            match (slot, point) {
                // A point sees the run that is due then.
                (Some(slot), point) if point.is_none_or(|point| slot <= point) => {
                    if let Some((_, schedule)) = slots_left.next() {
                        play.run(slot, schedule);
                    }
                }
                (_, Some(point)) => {
                    points_left.next();
                    states.push(play.state(point));
                }
                _ => break,
            }
        }
        if prune > end {
            break;
        }
        play.prune(prune);
    }
    let (pieces, work, daily) = (&play.pieces, &play.work, &play.daily);
    Ok(KeepingPreview {
        scope: scope.clone(),
        runs: slots.len(),
        states,
        months: costs::months(pieces, work, daily, assumptions),
        classes: costs::classes(pieces, work, daily, assumptions),
        dropped: play.dropped,
        assumptions: assumptions.clone(),
    })
}

/// Every slot of the scope's enabled schedules, in the order of time.
fn slots<'s>(
    scope: &ScopeName,
    schedules: &[&'s Schedule],
    assumptions: &Assumptions,
    end: Instant,
) -> Result<Vec<(Instant, &'s Schedule)>, PreviewError> {
    let mut slots = Vec::new();
    for schedule in schedules {
        if !schedule.enabled || !schedule.scopes.contains(scope) {
            continue;
        }
        let due = schedule.slots_between(assumptions.now, end);
        slots.extend(due.take(RUNS_MAX + 1).map(|slot| (slot, *schedule)));
        if slots.len() > RUNS_MAX {
            return Err(PreviewError::Runs {
                days: assumptions.days,
            });
        }
    }
    slots.sort_by(|(a, one), (b, other)| (a, &one.name).cmp(&(b, &other.name)));
    Ok(slots)
}

struct Play<'p> {
    scope: &'p ScopeName,
    rules: &'p Rules,
    assumptions: &'p Assumptions,
    /// What exists, each with the number of its piece.
    live: Vec<(SnapshotRecord, usize)>,
    real: BTreeSet<SnapshotId>,
    pieces: Vec<Piece>,
    /// By number.
    chains: Vec<ChainPath>,
    work: Vec<Work>,
    /// What the daily verification reads.
    daily: Vec<Work>,
    dropped: Vec<Dropped>,
    made: u64,
}

impl<'p> Play<'p> {
    fn new(
        scope: &'p ScopeName,
        rules: &'p Rules,
        existing: &[SnapshotRecord],
        assumptions: &'p Assumptions,
    ) -> Self {
        let mut play = Self {
            scope,
            rules,
            assumptions,
            live: Vec::new(),
            real: existing.iter().map(|record| record.id).collect(),
            pieces: Vec::new(),
            chains: Vec::new(),
            work: Vec::new(),
            daily: Vec::new(),
            dropped: Vec::new(),
            made: 0,
        };
        let mut existing: Vec<&SnapshotRecord> = existing
            .iter()
            .filter(|record| record.scope == *scope)
            .collect();
        existing.sort_by_key(|record| (record.taken_at, record.id));
        for record in existing {
            let known = play.chains.iter().position(|path| *path == record.chain);
            let chain = known.unwrap_or_else(|| {
                play.chains.push(record.chain.clone());
                play.chains.len() - 1
            });
            play.add(record.clone(), chain);
        }
        play
    }

    fn add(&mut self, record: SnapshotRecord, chain: usize) {
        let piece = self.pieces.len();
        self.pieces.push(Piece {
            chain,
            kind: record.kind,
            bytes: record.bytes_stored,
            from: record.taken_at,
            live: true,
            freed: None,
        });
        self.live.push((record, piece));
    }

    /// What a run takes, and the number of its chain: as a real one is decided, but that nothing is
    /// damaged and no attempt hangs.
    fn choose(&mut self, slot: Instant, schedule: &Schedule) -> (Kind, Option<String>, usize) {
        let wanted = Wanted {
            kind: schedule.kind,
            full: Some((schedule.full.unwrap_or_default(), schedule.zone)),
            scope: self.scope,
            location: &schedule.location,
        };
        let at_location = self
            .live
            .iter()
            .filter(|(record, _)| record.location == schedule.location);
        let chain_of = |piece: &usize| self.pieces[*piece].chain;
        let newest = at_location.clone().map(|(_, piece)| chain_of(piece)).max();
        let records: Vec<SnapshotRecord> = at_location
            .filter(|(_, piece)| Some(chain_of(piece)) == newest)
            .map(|(record, _)| record.clone())
            .collect();
        match (choose(&wanted, &records, &BTreeMap::new(), slot), newest) {
            (Choice::On(base), Some(newest)) => (base.kind, None, newest),
            (choice, _) => {
                let why = match choice {
                    Choice::Full(why) => why.map(|why| why.to_string()),
                    Choice::On(_) => None,
                };
                self.chains.push(ChainPath::new(self.scope, slot));
                (Kind::Full, why, self.chains.len() - 1)
            }
        }
    }

    fn run(&mut self, slot: Instant, schedule: &Schedule) {
        let (kind, kind_reason, chain) = self.choose(slot, schedule);
        let sizes = self.assumptions.sizes;
        let stored = match kind {
            Kind::Full => sizes.full_bytes,
            Kind::Incremental | Kind::Differential => sizes.change_bytes,
        };
        let read = match kind {
            Kind::Full => stored,
            Kind::Incremental | Kind::Differential => sizes.full_bytes + stored,
        };
        self.work.push(Work {
            at: slot,
            stored,
            read,
        });
        self.made += 1;
        let mut id = [0xff; 32];
        id[24..].copy_from_slice(&self.made.to_be_bytes());
        let record = SnapshotRecord {
            id: SnapshotId::from_bytes(id),
            scope: self.scope.clone(),
            location: schedule.location.clone(),
            chain: self.chains[chain].clone(),
            kind,
            kind_reason,
            base: None,
            run: RunId::scheduled(&schedule.name, slot, self.scope),
            schedule: Some(schedule.name.clone()),
            tier: schedule.tier,
            taken_at: slot,
            tables: 0,
            rows: 0,
            bytes: 0,
            bytes_stored: stored,
            trust: Trust::Verified,
            verified_at: Some(slot),
            findings: 0,
            deleting_since: None,
            hold: None,
            locked_until: None,
        };
        self.add(record, chain);
    }

    fn decide(&self, now: Instant) -> BTreeMap<SnapshotId, (bool, String)> {
        let records: Vec<SnapshotRecord> =
            self.live.iter().map(|(record, _)| record.clone()).collect();
        let plan = plan_prune(self.scope, self.rules, &records, &BTreeSet::new(), now);
        let decisions = plan.decisions.into_iter();
        decisions
            .map(|decision| (decision.snapshot, (decision.keep, decision.reason)))
            .collect()
    }

    fn prune(&mut self, now: Instant) {
        let mut decisions = self.decide(now);
        for (record, piece) in std::mem::take(&mut self.live) {
            match decisions.remove(&record.id) {
                Some((false, reason)) => {
                    self.pieces[piece].live = false;
                    self.dropped.push(Dropped {
                        snapshot: self.shown(&record, reason),
                        dropped_at: now,
                    });
                }
                _ => self.live.push((record, piece)),
            }
        }
        free(&mut self.pieces, now);
        // The daily rule verifies the scope's newest snapshot.
        if let Some((newest, _)) = self.live.iter().max_by_key(|(record, _)| record.taken_at) {
            let full = match newest.kind {
                Kind::Full => 0,
                Kind::Incremental | Kind::Differential => self.assumptions.sizes.full_bytes,
            };
            self.daily.push(Work {
                at: now,
                stored: 0,
                read: full + newest.bytes_stored,
            });
        }
    }

    fn shown(&self, record: &SnapshotRecord, reason: String) -> SnapshotPreview {
        SnapshotPreview {
            taken_at: record.taken_at,
            schedule: record.schedule.clone(),
            kind: record.kind,
            snapshot: self.real.contains(&record.id).then_some(record.id),
            bytes_stored: record.bytes_stored,
            reason,
        }
    }

    fn state(&self, at: Instant) -> State {
        let mut decisions = self.decide(at);
        let mut snapshots: Vec<SnapshotPreview> = self
            .live
            .iter()
            .map(|(record, _)| {
                let reason = match decisions.remove(&record.id) {
                    Some((true, reason)) => reason,
                    Some((false, reason)) => format!("goes at the next prune: {reason}"),
                    None => String::new(),
                };
                self.shown(record, reason)
            })
            .collect();
        snapshots.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.taken_at));
        let grace = TimeDelta::days(self.assumptions.grace_days.into());
        let bytes = |needed: bool| {
            let held = self.pieces.iter().filter(|piece| piece.is_held(at, grace));
            let of = held.filter(|piece| piece.is_needed(at) == needed);
            of.map(|piece| piece.bytes).sum()
        };
        State {
            at,
            snapshots,
            bytes_kept: bytes(true),
            bytes_in_grace: bytes(false),
        }
    }
}
