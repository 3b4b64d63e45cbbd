//! What exists of a scope while its runs and prunes are played.

use std::collections::{BTreeMap, BTreeSet};

use super::chains::{Piece, free};
use super::costs::{Daily, Part, Work};
use super::keeping::{Assumptions, Dropped, SnapshotPreview, State};
use crate::Instant;
use crate::chain::{Choice, Wanted, choose};
use crate::id::{ChainPath, RunId, ScheduleName, ScopeName, SnapshotId};
use crate::lock::ChainLock;
use crate::plan::PruneDecision;
use crate::prices::STANDARD;
use crate::retention::{Rules, Span, plan_prune};
use crate::schedule::Schedule;
use crate::snapshot::{Kind, SnapshotRecord, Trust};
use crate::storage::StorageTier;

/// A snapshot that exists, with the number of its piece.
struct Live {
    record: SnapshotRecord,
    piece: usize,
}

pub(super) struct Play<'p> {
    scope: &'p ScopeName,
    rules: &'p Rules,
    assumptions: &'p Assumptions,
    /// What exists, by the number of its chain, and in the order of time in each.
    live: BTreeMap<usize, Vec<Live>>,
    real: BTreeSet<SnapshotId>,
    pub(super) pieces: Vec<Piece>,
    /// By number.
    chains: Vec<ChainPath>,
    /// The piece of each chain's full.
    fulls: BTreeMap<usize, usize>,
    /// Until when each chain is locked.
    chain_locks: BTreeMap<usize, Instant>,
    /// For how long schedules lock what they take.
    pub(super) locks: BTreeMap<ScheduleName, Span>,
    /// Runs.
    pub(super) work: Vec<Work>,
    /// What the daily verification reads.
    pub(super) daily: Vec<Daily>,
    /// When the newest snapshot was read last, were its class one that is dear to read.
    read_where_dear: BTreeMap<SnapshotId, Instant>,
    pub(super) dropped: Vec<Dropped>,
    made: u64,
}

impl<'p> Play<'p> {
    pub(super) fn new(
        scope: &'p ScopeName,
        schedules: &[&Schedule],
        rules: &'p Rules,
        existing: &[SnapshotRecord],
        assumptions: &'p Assumptions,
    ) -> Self {
        let locks = schedules.iter();
        let locks = locks.filter_map(|schedule| Some((schedule.name.clone(), schedule.lock?)));
        let mut play = Self {
            scope,
            rules,
            assumptions,
            live: BTreeMap::new(),
            real: existing.iter().map(|record| record.id).collect(),
            pieces: Vec::new(),
            chains: Vec::new(),
            fulls: BTreeMap::new(),
            chain_locks: BTreeMap::new(),
            locks: locks.collect(),
            work: Vec::new(),
            daily: Vec::new(),
            read_where_dear: BTreeMap::new(),
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
        if record.kind == Kind::Full {
            self.fulls.insert(chain, piece);
        }
        self.pieces.push(Piece {
            chain,
            kind: record.kind,
            tier: record.tier,
            bytes: record.bytes_stored,
            from: record.taken_at,
            live: true,
            locked_until: None,
            freed: None,
        });
        if let Some(until) = record.locked_until {
            self.lock(chain, until);
        }
        let of_chain = self.live.entry(chain).or_default();
        of_chain.push(Live { record, piece });
    }

    /// Every snapshot that exists.
    fn records(&self) -> impl Iterator<Item = &SnapshotRecord> {
        self.live.values().flatten().map(|live| &live.record)
    }

    /// Whatever of a chain is there by now is locked until then at the least.
    fn lock(&mut self, chain: usize, until: Instant) {
        let locked = self.chain_locks.entry(chain).or_insert(until);
        *locked = until.max(*locked);
    }

    /// Renews the locks of chains that keep a snapshot, as the daily prune does.
    fn renew_locks(&mut self, now: Instant) {
        if self.locks.is_empty() {
            return;
        }
        let lock_of = |record: &SnapshotRecord| {
            let schedule = record.schedule.as_ref()?;
            self.locks.get(schedule).copied()
        };
        let mut renewed = Vec::new();
        for (chain, kept) in &mut self.live {
            let locks = kept
                .iter()
                .map(|live| (&live.record, lock_of(&live.record)));
            let locks: Vec<_> = locks.collect();
            let Some(until) = ChainLock::of(&locks, now).renewal else {
                continue;
            };
            renewed.push((*chain, until));
            for live in kept {
                live.record.locked_until = Some(until);
            }
        }
        for (chain, until) in renewed {
            self.lock(chain, until);
        }
    }

    /// What a run takes, and the number of its chain: as a real one is decided, but that nothing is
    /// damaged and no attempt hangs.
    fn choose(&mut self, slot: Instant, schedule: &Schedule) -> (Kind, Option<String>, usize) {
        if schedule.kind == Kind::Full {
            return (Kind::Full, None, self.begin_chain(slot));
        }
        let wanted = Wanted {
            kind: schedule.kind,
            full: Some((schedule.full.unwrap_or_default(), schedule.zone)),
            scope: self.scope,
            location: &schedule.location,
        };
        // A chain has one location, and nothing is built on what is to be archived.
        let fits = |(_, of_chain): &(&usize, &Vec<Live>)| {
            of_chain.first().is_some_and(|Live { record, .. }| {
                record.location == schedule.location && record.tier != StorageTier::Archive
            })
        };
        let newest = self.live.iter().rev().find(fits);
        let records = newest.map(|(_, of_chain)| self.that_decide(of_chain));
        let records = records.into_iter().flatten();
        match (choose(&wanted, records, &BTreeMap::new(), slot), newest) {
            (Choice::On(base), Some((newest, _))) => (base.kind, None, *newest),
            (choice, _) => {
                let why = match choice {
                    Choice::Full(why) => why.map(|why| why.to_string()),
                    Choice::On(_) => None,
                };
                (Kind::Full, why, self.begin_chain(slot))
            }
        }
    }

    /// Those of a chain's snapshots that tell what the next one is built on: the real ones, of which some may be
    /// damaged, its full, and the newest. So a run costs the same however many were played before.
    fn that_decide<'l>(&'l self, of_chain: &'l [Live]) -> impl Iterator<Item = &'l SnapshotRecord> {
        let real = of_chain
            .iter()
            .take_while(|live| self.is_real(&live.record));
        let played = of_chain
            .iter()
            .skip_while(|live| self.is_real(&live.record));
        let full = played.take(1);
        real.chain(full)
            .chain(of_chain.last())
            .map(|live| &live.record)
    }

    fn is_real(&self, record: &SnapshotRecord) -> bool {
        self.real.contains(&record.id)
    }

    fn begin_chain(&mut self, slot: Instant) -> usize {
        self.chains.push(ChainPath::new(self.scope, slot));
        self.chains.len() - 1
    }

    pub(super) fn run(&mut self, slot: Instant, schedule: &Schedule) {
        let (kind, kind_reason, chain) = self.choose(slot, schedule);
        let sizes = self.assumptions.sizes;
        let stored = match kind {
            Kind::Full => sizes.full_bytes,
            Kind::Incremental | Kind::Differential => sizes.change_bytes,
        };
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
            locked_until: schedule.lock.and_then(|length| length.after(slot)),
        };
        self.add(record, chain);
        self.work.push(Work {
            at: slot,
            stored,
            read: self.read_of(self.pieces.len() - 1, slot),
        });
    }

    /// What is read to verify the snapshot that stored a piece: that, and the full of its chain.
    fn read_of(&self, piece: usize, at: Instant) -> Vec<Part> {
        let part = |piece: &Piece| Part {
            bytes: piece.bytes,
            class: piece.class(&self.assumptions.transitions, at),
        };
        let own = &self.pieces[piece];
        let mut parts = vec![part(own)];
        if own.kind != Kind::Full {
            let unknown = Part {
                bytes: self.assumptions.sizes.full_bytes,
                class: STANDARD,
            };
            let full = self.fulls.get(&own.chain);
            parts.push(full.map_or(unknown, |full| part(&self.pieces[*full])));
        }
        parts
    }

    fn decide(&self, now: Instant) -> Vec<PruneDecision> {
        let records = self.records();
        plan_prune(self.scope, self.rules, records, &BTreeSet::new(), now).decisions
    }

    pub(super) fn prune(&mut self, now: Instant) {
        let going = self
            .decide(now)
            .into_iter()
            .filter(|decision| !decision.keep);
        let going: BTreeMap<SnapshotId, String> = going
            .map(|decision| (decision.snapshot, decision.reason))
            .collect();
        if !going.is_empty() {
            self.drop_all(going, now);
        }
        self.renew_locks(now);
        free(&mut self.pieces, &self.chain_locks, now);
        self.verify(now);
    }

    /// Drops snapshots, each for its reason.
    fn drop_all(&mut self, mut going: BTreeMap<SnapshotId, String>, now: Instant) {
        let mut dropped = Vec::new();
        for of_chain in self.live.values_mut() {
            of_chain.retain(|live| match going.remove(&live.record.id) {
                None => true,
                Some(reason) => {
                    self.pieces[live.piece].live = false;
                    dropped.push(Dropped {
                        snapshot: shown(&self.real, &live.record, reason),
                        dropped_at: now,
                    });
                    false
                }
            });
        }
        self.live.retain(|_, of_chain| !of_chain.is_empty());
        dropped.sort_by_key(|dropped| dropped.snapshot.taken_at);
        self.dropped.extend(dropped);
    }

    /// The daily rule verifies the scope's newest snapshot.
    fn verify(&mut self, now: Instant) {
        let live = self.live.values_mut().flatten();
        let newest = live.max_by_key(|live| live.record.taken_at);
        let Some(Live {
            record: newest,
            piece,
        }) = newest
        else {
            return;
        };
        let piece = *piece;
        let is_read = newest.is_read_daily(now);
        if is_read {
            newest.trust = Trust::Verified;
            newest.verified_at = Some(now);
        }
        let dear = SnapshotRecord {
            tier: StorageTier::Cold,
            trust: Trust::Verified,
            verified_at: self
                .read_where_dear
                .get(&newest.id)
                .copied()
                .or(Some(newest.taken_at)),
            ..newest.clone()
        };
        let is_dear = dear.is_read_daily(now);
        if is_dear {
            self.read_where_dear = [(dear.id, now)].into();
        }
        if is_read || is_dear {
            self.daily.push(Daily {
                work: Work {
                    at: now,
                    stored: 0,
                    read: self.read_of(piece, now),
                },
                is_read,
                is_dear,
            });
        }
    }

    pub(super) fn state(&self, at: Instant) -> State {
        let decisions = self.decide(at).into_iter();
        let mut reasons: BTreeMap<SnapshotId, String> = decisions
            .map(
                |PruneDecision {
                     snapshot,
                     keep,
                     reason,
                     ..
                 }| match keep {
                    true => (snapshot, reason),
                    false => (snapshot, format!("goes at the next prune: {reason}")),
                },
            )
            .collect();
        let snapshots = self.records().map(|record| {
            let reason = reasons.remove(&record.id).unwrap_or_default();
            shown(&self.real, record, reason)
        });
        let mut snapshots: Vec<SnapshotPreview> = snapshots.collect();
        snapshots.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.taken_at));
        let grace_days = self.assumptions.grace_days;
        let bytes = |needed: bool| {
            let held = self
                .pieces
                .iter()
                .filter(|piece| piece.is_held(at, grace_days));
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

fn shown(real: &BTreeSet<SnapshotId>, record: &SnapshotRecord, reason: String) -> SnapshotPreview {
    SnapshotPreview {
        taken_at: record.taken_at,
        schedule: record.schedule.clone(),
        kind: record.kind,
        snapshot: real.contains(&record.id).then_some(record.id),
        bytes_stored: record.bytes_stored,
        reason,
    }
}
