//! A year of the dispatcher's minutes, played on the real catalog with the product's own planning and
//! transitions, under outages, lost, late, repeated and reordered events, slow runs and functions that
//! are killed. At its end every slot of every schedule has exactly one final state for each scope, and
//! every anomaly its alert.
//!
//! Time is an argument everywhere, so a year needs no waiting. Two things of it are not sent one by one:
//!
//! - A tick in whose minute nothing can be due. Here what a tick does depends on three queries alone: schedules
//!   by their next slot, open runs by when somebody should look after them, runs by their limit. The play
//!   knows the earliest of these instants (a little too early is harmless), and before it all three come
//!   back empty.
//! - A heartbeat that another one follows before anything else happens: only the last one before a step
//!   leaves anything that the step could see.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{NaiveDateTime, TimeDelta, TimeZone, Timelike, Utc};
use logisedge_catalog::{Commit, Message};
use logisedge_domain::Instant;
use logisedge_domain::alert::{Alert, AlertKind};
use logisedge_domain::config::Config;
use logisedge_domain::event::Event;
use logisedge_domain::id::{ChainPath, Fence, RunId, ScheduleName, SnapshotId};
use logisedge_domain::retry::Retry;
use logisedge_domain::run::{Run, RunProgress, RunState, RunStats};
use logisedge_domain::schedule::Schedule;
use logisedge_domain::snapshot::{Kind, SnapshotRecord, Trust};
use logisedge_engine::attempt::{Attempted, Began, LEASE, begin, give_up, succeed};
use logisedge_engine::dispatch::{Dispatched, PICK_UP_WITHIN, tick};
use logisedge_engine::{EngineError, EngineErrorKind, configure};

use crate::histories::Random;
use crate::world::catalog;

/// About 300 runs: as many as half a minute of an emulator's time takes.
const SCHEDULES: &str = r#"
version = 1
[sources.erp]
kind = "sqlite"
path = "/erp.db"
[locations.main]
kind = "folder"
path = "/backups"
repository_password = { env = "PASSWORD" }
[scopes.customers]
preset = "customers"
[scopes.items]
preset = "items"
[schedules.nightly]
cron = "30 2 * * 0,2,5"
time_zone = "Europe/Berlin"
scopes = ["customers"]
finish_within = "5h"
[schedules.weekly]
cron = "0 12 * * mon"
time_zone = "America/New_York"
scopes = ["customers", "items"]
catch_up = "2 days"
start_within = "20 minutes"
finish_within = "3h"
skip_dates = ["2027-05-31", "2027-07-05"]
[schedules.month-end]
every = "month"
day = "last"
at = "23:59"
time_zone = "Australia/Lord_Howe"
scopes = ["items"]
start_within = "5 minutes"
[schedules.often]
every = "4 hours"
pause_until = "2027-12-21"
scopes = ["items"]
catch_up = "1h"
start_within = "10 minutes"
finish_within = "2h"
"#;

fn year_begins() -> Instant {
    Utc.with_ymd_and_hms(2027, 1, 1, 0, 0, 30).unwrap()
}

fn year_ends() -> Instant {
    year_begins() + TimeDelta::days(365)
}

fn seconds(count: u64) -> TimeDelta {
    TimeDelta::seconds(count.try_into().unwrap())
}

/// The next full minute after an instant.
fn minute_after(at: Instant) -> Instant {
    at.with_second(0).unwrap().with_nanosecond(0).unwrap() + TimeDelta::minutes(1)
}

/// The first full minute that is not earlier.
fn minute_from(at: Instant) -> Instant {
    minute_after(at - TimeDelta::nanoseconds(1))
}

/// What is on its way.
enum Happening {
    /// An event reaches the backup function.
    Delivery(RunId),
    /// A function comes to its end.
    End(Box<Attempt>, Ending),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Succeeds,
    /// Trying again may help.
    Stumbles,
    Fails,
    /// It was killed a while ago.
    IsDead,
    /// It hung for longer than its lease and believes that it still has it.
    WakesUp,
}

/// An attempt at work.
struct Attempt {
    run: Run,
    fence: Fence,
    chain: ChainPath,
    /// Until then it sends heartbeats.
    alive_until: Instant,
}

/// What really happened to a run, as the functions saw it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Fate {
    began_at: Option<Instant>,
    ended: Option<(RunState, Instant)>,
}

struct Year {
    catalog: logisedge_catalog::Catalog,
    config: Config,
    random: Random,
    now: Instant,
    /// By time and number.
    happenings: BTreeMap<(Instant, u64), Happening>,
    numbers: u64,
    outages: Vec<(Instant, Instant)>,
    ticked_at: Instant,
    /// When a tick has to look at a schedule, an open run, a run with a limit.
    due: BTreeMap<ScheduleName, Instant>,
    wakes: BTreeMap<RunId, Instant>,
    /// The last tells that a tick has looked at it already: it may have another limit to pass.
    limits: BTreeSet<(Instant, RunId, bool)>,
    fates: BTreeMap<RunId, Fate>,
    /// Commits that were refused, because the lease had been lost.
    fenced_commits: u64,
    ticks: u64,
}

impl Year {
    async fn begin() -> Self {
        let random = Random::seeded();
        let catalog = catalog().await;
        let config = Config::parse(SCHEDULES, "year.toml").unwrap();
        let now = year_begins();
        configure::apply(&catalog, &config, now).await.unwrap();
        let mut year = Self {
            catalog,
            random,
            now,
            happenings: BTreeMap::new(),
            numbers: 0,
            outages: Vec::new(),
            ticked_at: now,
            due: BTreeMap::new(),
            wakes: BTreeMap::new(),
            limits: BTreeSet::new(),
            fates: BTreeMap::new(),
            fenced_commits: 0,
            ticks: 0,
            config,
        };
        year.look_at_schedules();
        year.draw_outages();
        year
    }

    /// About one a month: from minutes to some days.
    fn draw_outages(&mut self) {
        let mut at = year_begins();
        loop {
            at += seconds(self.random.below(60 * 86_400));
            let length = match self.random.below(3) {
                0 => 60 + self.random.below(1800),
                1 => 1800 + self.random.below(12 * 3600),
                _ => 86_400 + self.random.below(4 * 86_400),
            };
            if at > year_ends() {
                break;
            }
            self.outages.push((at, at + seconds(length)));
            at += seconds(length);
        }
    }

    fn look_at_schedules(&mut self) {
        let next = configure::next_slots(&self.config, self.now);
        self.due = next
            .into_iter()
            .filter_map(|(name, next)| Some((name, next?)))
            .collect();
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.random.below(100) < percent
    }

    fn plan(&mut self, after: u64, happening: Happening) {
        self.numbers += 1;
        let at = self.now + seconds(after);
        self.happenings.insert((at, self.numbers), happening);
    }

    /// When the next tick comes that can find something.
    fn next_tick(&self) -> Option<Instant> {
        let due = self.due.values().chain(self.wakes.values()).copied();
        let limits = self.limits.first().map(|(at, ..)| *at);
        let earliest = due.chain(limits).min()?;
        let mut at = minute_after(self.ticked_at).max(minute_from(earliest));
        for (from, to) in &self.outages {
            if (*from..*to).contains(&at) {
                at = minute_after(*to);
            }
        }
        Some(at)
    }

    /// Until nothing can happen any more.
    async fn play(&mut self) {
        let mut is_over = false;
        loop {
            let next = self.happenings.first_key_value().map(|(key, _)| *key);
            let tick_at = self.next_tick();
            let at = next.map(|(at, _)| at).into_iter().chain(tick_at).min();
            if !is_over && at.is_none_or(|at| at >= year_ends()) {
                self.end_schedules().await;
                is_over = true;
                continue;
            }
            let Some(at) = at else { break };
            self.now = at.max(self.now);
            self.send_heartbeats().await;
            match next {
                Some(key) if key.0 == at => {
                    let happening = self.happenings.remove(&key).unwrap();
                    self.happen(happening).await;
                }
                _ => self.tick().await,
            }
        }
    }

    /// The year is over: what is overdue is dispatched by the configuration that ends the schedules.
    async fn end_schedules(&mut self) {
        self.now = year_ends();
        self.send_heartbeats().await;
        let mut ended = self.config.clone();
        for schedule in &mut ended.schedules {
            schedule.enabled = false;
        }
        let done = configure::apply(&self.catalog, &ended, self.now).await;
        let done = done.unwrap();
        self.note(&done, self.now);
        self.config = ended;
        self.due.clear();
    }

    async fn tick(&mut self) {
        // A rule's event comes a little after its minute.
        self.now += seconds(self.random.below(20));
        self.send_heartbeats().await;
        let (catalog, now) = (&self.catalog, self.now);
        let doubled = self.random.below(10) == 0;
        let dones = match doubled {
            true => {
                let (one, two) = tokio::join!(tick(catalog, now), tick(catalog, now));
                vec![one.unwrap(), two.unwrap()]
            }
            false => vec![tick(catalog, now).await.unwrap()],
        };
        self.ticks += 1;
        self.ticked_at = now;
        self.look_at_schedules();
        let (passed, ahead) = std::mem::take(&mut self.limits)
            .into_iter()
            .partition::<BTreeSet<_>, _>(|(at, ..)| *at <= now);
        self.limits = ahead;
        let again = passed.into_iter().filter(|(.., again)| !again);
        self.limits
            .extend(again.map(|(_, id, _)| (now + seconds(1), id, true)));
        for done in dones {
            assert!(done.failure.is_none(), "{:?}", done.failure);
            let wake = now + TimeDelta::from_std(PICK_UP_WITHIN).unwrap();
            self.note(&done, wake);
            // One dispatcher in twenty is killed before it publishes anything.
            if self.chance(5) {
                continue;
            }
            for event in &done.events {
                let Event::BackupRequested { run, .. } = event else {
                    panic!("{event:?}");
                };
                self.deliver(run);
            }
        }
    }

    /// What a dispatch recorded.
    fn note(&mut self, done: &Dispatched, wake: Instant) {
        assert_eq!(done.missed_uncounted, 0, "no outage is that long");
        for id in &done.requested {
            assert!(self.fates.insert(id.clone(), Fate::default()).is_none());
            let (schedule, slot) = self.slot_of(id);
            let limits = [schedule.start_by(slot), schedule.finish_by(slot)];
            let limits = limits.into_iter().flatten();
            self.limits.extend(limits.map(|at| (at, id.clone(), false)));
        }
        for id in done.requested.iter().chain(&done.republished) {
            self.wakes.insert(id.clone(), wake);
        }
        for id in &done.missed {
            let ended = Some((RunState::Missed, self.now));
            let fate = Fate {
                began_at: None,
                ended,
            };
            assert!(self.fates.insert(id.clone(), fate).is_none());
        }
        for id in &done.given_up {
            self.ended(id, RunState::Failed);
        }
    }

    /// The schedule and slot that a run's id names.
    fn slot_of(&self, id: &RunId) -> (Schedule, Instant) {
        let mut parts = id.as_str().split('.');
        let (name, slot) = (parts.next().unwrap(), parts.next().unwrap());
        let mut schedules = self.config.schedules.iter();
        let schedule = schedules.find(|schedule| schedule.name.as_str() == name);
        let slot = NaiveDateTime::parse_from_str(slot, "%Y%m%dT%H%M%SZ").unwrap();
        (schedule.unwrap().clone(), slot.and_utc())
    }

    async fn run(&self, id: &RunId) -> Run {
        self.catalog.run(id).await.unwrap().unwrap()
    }

    fn ended(&mut self, id: &RunId, state: RunState) {
        let fate = self.fates.get_mut(id).unwrap();
        assert_eq!(fate.ended, None, "{id} ends a second time, as {state:?}");
        fate.ended = Some((state, self.now));
        self.wakes.remove(id);
        // What it kept is not looked at any more; a tick later than that finds nothing either way.
        let now = self.now;
        self.limits.retain(|(at, run, _)| run != id || *at <= now);
    }

    /// An event on its way: usually soon, sometimes late and so out of order, or never, or twice.
    fn deliver(&mut self, id: &RunId) {
        if self.chance(5) {
            return;
        }
        let copies = if self.chance(10) { 2 } else { 1 };
        for _ in 0..copies {
            let after = match self.random.below(20) {
                0 => self.random.below(3 * 3600),
                1..4 => self.random.below(900),
                _ => 1 + self.random.below(20),
            };
            self.plan(after, Happening::Delivery(id.clone()));
        }
    }

    async fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Delivery(id) => self.attempt(&id).await,
            Happening::End(attempt, ending) => self.end(*attempt, ending).await,
        }
    }

    async fn attempt(&mut self, id: &RunId) {
        let begun = begin(&self.catalog, id, "function", self.now)
            .await
            .unwrap();
        let (run, fence, chain) = match begun {
            Began::Attempt { run, fence, chain } => (*run, fence, chain),
            Began::Ended(Attempted::Skipped) => return self.ended(id, RunState::Skipped),
            Began::Ended(_) => return,
        };
        let fate = self.fates.get_mut(id).unwrap();
        assert_eq!(fate.ended, None, "{id} begins after its end");
        fate.began_at.get_or_insert(self.now);
        self.wakes.remove(id);
        // What comes often is often slow, so that some of it comes while the one before is going.
        let is_often = id.as_str().starts_with("often.");
        let (works_for, ending) = match self.random.below(100) {
            50.. if is_often => (self.random.below(9 * 3600), Ending::Succeeds),
            0..8 => (self.random.below(600), Ending::IsDead),
            8..10 => (self.random.below(600), Ending::WakesUp),
            10..20 => (5 + self.random.below(300), Ending::Stumbles),
            20..23 => (5 + self.random.below(300), Ending::Fails),
            23..29 => (3600 + self.random.below(8 * 3600), Ending::Succeeds),
            _ => (20 + self.random.below(880), Ending::Succeeds),
        };
        let attempt = Box::new(Attempt {
            run,
            fence,
            chain,
            alive_until: self.now + seconds(works_for),
        });
        let hangs_for = match ending {
            Ending::WakesUp => 95 + self.random.below(1800),
            _ => 0,
        };
        self.plan(works_for + hangs_for, Happening::End(attempt, ending));
    }

    /// Those that every living attempt sent since the last step, in the form of the last one.
    async fn send_heartbeats(&mut self) {
        for happening in self.happenings.values() {
            let Happening::End(attempt, _) = happening else {
                continue;
            };
            let (run, fence) = (&attempt.run, attempt.fence);
            let at = self.now.min(attempt.alive_until);
            if at < self.now && !self.wakes.contains_key(&run.id) {
                // It hangs: its lease runs out, unless it has ended otherwise.
                let known = &self.fates[&run.id];
                if known.ended.is_none() {
                    let wake = at + TimeDelta::from_std(LEASE).unwrap();
                    self.wakes.insert(run.id.clone(), wake);
                    let progress = RunProgress::default();
                    let sent = self
                        .catalog
                        .heartbeat(&run.id, &run.scope, fence, at, LEASE, progress);
                    sent.await.unwrap();
                }
                continue;
            }
            if at == self.now {
                let progress = RunProgress::default();
                let sent = self
                    .catalog
                    .heartbeat(&run.id, &run.scope, fence, at, LEASE, progress);
                assert!(
                    sent.await.unwrap(),
                    "{} lost its lease while it lived",
                    run.id
                );
            }
        }
    }

    async fn end(&mut self, attempt: Attempt, ending: Ending) {
        let id = attempt.run.id.clone();
        match ending {
            Ending::IsDead => {
                let wake = self.now + TimeDelta::from_std(LEASE).unwrap();
                self.wakes.insert(id, wake);
            }
            Ending::Succeeds | Ending::WakesUp => {
                let record = self.snapshot(&attempt);
                let (run, fence, stats) = (&attempt.run, attempt.fence, RunStats::default());
                let commit = Commit {
                    record: &record,
                    stats: &stats,
                    bytes_written: 0,
                    judged: None,
                };
                let done = succeed(&self.catalog, run, fence, commit, Vec::new(), self.now).await;
                match done.unwrap() {
                    true => self.ended(&id, RunState::Succeeded),
                    false => {
                        assert_eq!(
                            ending,
                            Ending::WakesUp,
                            "{id} lost its lease while it lived"
                        );
                        self.fenced_commits += 1;
                    }
                }
            }
            Ending::Stumbles | Ending::Fails => {
                let error = EngineError {
                    retry: match ending {
                        Ending::Stumbles => Retry::SOON,
                        _ => Retry::Permanent,
                    },
                    ..EngineError::new(EngineErrorKind::Source, "no route to host")
                };
                let (run, fence) = (&attempt.run, attempt.fence);
                let ended = give_up(&self.catalog, run, fence, error, self.now).await;
                match ended.unwrap() {
                    Attempted::WillRetry(_) => {
                        let at = self.run(&id).await.retry_at.unwrap();
                        self.wakes.insert(id, at);
                    }
                    Attempted::Failed(_) => self.ended(&id, RunState::Failed),
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    fn snapshot(&mut self, attempt: &Attempt) -> SnapshotRecord {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&self.random.next().to_be_bytes());
        let run = &attempt.run;
        SnapshotRecord {
            id: SnapshotId::from_bytes(id),
            scope: run.scope.clone(),
            location: run.location.clone(),
            chain: attempt.chain.clone(),
            kind: Kind::Full,
            kind_reason: None,
            base: None,
            run: run.id.clone(),
            schedule: run.cause.schedule().cloned(),
            taken_at: self.now,
            tables: 1,
            rows: 1,
            bytes: 1,
            bytes_stored: 1,
            trust: Trust::Unverified,
            verified_at: None,
            findings: 0,
            deleting_since: None,
            hold: None,
            locked_until: None,
        }
    }
}

/// Everything that is in the catalog at the end.
struct Told {
    runs: BTreeMap<RunId, Run>,
    alerts: Vec<Alert>,
    committed: Vec<RunId>,
}

impl Told {
    async fn of(catalog: &logisedge_catalog::Catalog) -> Self {
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
    fn runs_with(&self, kind: AlertKind) -> BTreeSet<RunId> {
        let alerts = self.alerts.iter().filter(|alert| alert.kind == kind);
        let runs: Vec<RunId> = alerts.map(|alert| alert.run.clone().unwrap()).collect();
        let once: BTreeSet<RunId> = runs.iter().cloned().collect();
        assert_eq!(once.len(), runs.len(), "{kind:?}: each run once");
        once
    }

    fn runs_in(&self, state: RunState) -> BTreeSet<RunId> {
        let runs = self.runs.values().filter(|run| run.state == state);
        runs.map(|run| run.id.clone()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_end_of_a_year_every_slot_has_one_final_state_and_every_anomaly_its_alert() {
    let mut year = Year::begin().await;
    year.play().await;
    let told = Told::of(&year.catalog).await;

    // Every slot, by the calendars alone, has one run a scope, and there is no other run.
    let mut expected = BTreeSet::new();
    for schedule in &year.config.schedules {
        let (zone, ends) = (schedule.zone, year_ends());
        for slot in schedule.calendar.slots_between(zone, year_begins(), ends) {
            let date = slot.with_timezone(&zone).date_naive();
            let is_paused = schedule.pause_until.is_some_and(|until| slot < until);
            if !is_paused && !schedule.skip_dates.contains(&date) {
                let scopes = schedule.scopes.iter();
                expected.extend(scopes.map(|scope| RunId::scheduled(&schedule.name, slot, scope)));
            }
        }
    }
    let known: BTreeSet<RunId> = told.runs.keys().cloned().collect();
    assert_eq!(known, expected);

    // Each is in the final state that it really came to, and was told.
    for (id, run) in &told.runs {
        let fate = &year.fates[id];
        let (state, at) = fate.ended.unwrap_or_else(|| panic!("{id} never ended"));
        assert!(run.state.is_final());
        assert_eq!((run.state, run.ended_at), (state, Some(at)), "{id}");
    }
    let committed: BTreeSet<RunId> = told.committed.iter().cloned().collect();
    assert_eq!(committed.len(), told.committed.len());
    assert_eq!(committed, told.runs_in(RunState::Succeeded));
    assert_eq!(told.runs_with(AlertKind::Success), committed);
    assert_eq!(
        told.runs_with(AlertKind::Failure),
        told.runs_in(RunState::Failed)
    );
    assert_eq!(
        told.runs_with(AlertKind::Skipped),
        told.runs_in(RunState::Skipped)
    );
    let snapshots = year.catalog.all_snapshots().await.unwrap();
    assert_eq!(snapshots.len(), committed.len());
    late_runs_are_told(&year, &told);
    let outages = missed_slots_are_told(&year, &told);

    let count = |state| told.runs_in(state).len();
    println!(
        "{} runs in {} ticks and {} requests: {} succeeded, {} failed, {} skipped, {} missed in {outages} outages; {} late; \
         {} commits refused",
        told.runs.len(),
        year.ticks,
        year.catalog.spent().requests,
        count(RunState::Succeeded),
        count(RunState::Failed),
        count(RunState::Skipped),
        count(RunState::Missed),
        told.alerts
            .iter()
            .filter(|alert| alert.kind == AlertKind::Late)
            .count(),
        year.fenced_commits,
    );
}

/// Each limit that a run did not keep is told once, and no other.
fn late_runs_are_told(year: &Year, told: &Told) {
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
fn missed_slots_are_told(year: &Year, told: &Told) -> usize {
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
