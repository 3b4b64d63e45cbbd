//! The year as it stands: what is due, what is on its way, and what became of each run.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{TimeDelta, TimeZone, Timelike, Utc};
use logisedge_domain::Instant;
use logisedge_domain::config::Config;
use logisedge_domain::id::{ChainPath, Fence, RunId, ScheduleName};
use logisedge_domain::run::{Run, RunState};
use logisedge_engine::configure;

use crate::histories::Random;
use crate::world::catalog;

/// About 300 runs: as many as half a minute of an emulator's time takes.
const SCHEDULES: &str = concat!(
    include_str!("../../begin.toml"),
    r#"
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
"#
);

pub(super) fn year_begins() -> Instant {
    Utc.with_ymd_and_hms(2027, 1, 1, 0, 0, 30).unwrap()
}

pub(super) fn year_ends() -> Instant {
    year_begins() + TimeDelta::days(365)
}

pub(super) fn seconds(count: u64) -> TimeDelta {
    TimeDelta::seconds(count.try_into().unwrap())
}

/// The next full minute after an instant.
pub(super) fn minute_after(at: Instant) -> Instant {
    at.with_second(0).unwrap().with_nanosecond(0).unwrap() + TimeDelta::minutes(1)
}

/// The first full minute that is not earlier.
pub(super) fn minute_from(at: Instant) -> Instant {
    minute_after(at - TimeDelta::nanoseconds(1))
}

/// What is on its way.
pub(super) enum Happening {
    /// An event reaches the backup function.
    Delivery(RunId),
    /// A function comes to its end.
    End(Box<Attempt>, Ending),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
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
pub(super) struct Attempt {
    pub(super) run: Run,
    pub(super) fence: Fence,
    pub(super) chain: ChainPath,
    /// Until then it sends heartbeats.
    pub(super) alive_until: Instant,
}

/// What really happened to a run, as the functions saw it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) began_at: Option<Instant>,
    pub(super) ended: Option<(RunState, Instant)>,
}

pub(super) struct Year {
    pub(super) catalog: logisedge_catalog::Catalog,
    pub(super) config: Config,
    pub(super) random: Random,
    pub(super) now: Instant,
    /// By time and number.
    pub(super) happenings: BTreeMap<(Instant, u64), Happening>,
    pub(super) numbers: u64,
    pub(super) outages: Vec<(Instant, Instant)>,
    pub(super) ticked_at: Instant,
    /// When a tick has to look at a schedule, an open run, a run with a limit.
    pub(super) due: BTreeMap<ScheduleName, Instant>,
    pub(super) wakes: BTreeMap<RunId, Instant>,
    /// The last tells that a tick has looked at it already: it may have another limit to pass.
    pub(super) limits: BTreeSet<(Instant, RunId, bool)>,
    pub(super) fates: BTreeMap<RunId, Fate>,
    /// Commits that were refused, because the lease had been lost.
    pub(super) fenced_commits: u64,
    pub(super) ticks: u64,
}

impl Year {
    pub(super) async fn begin() -> Self {
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
    pub(super) fn draw_outages(&mut self) {
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

    pub(super) fn look_at_schedules(&mut self) {
        let next = configure::next_slots(&self.config, self.now);
        self.due = next
            .into_iter()
            .filter_map(|(name, next)| Some((name, next?)))
            .collect();
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.random.below(100) < percent
    }

    pub(super) fn plan(&mut self, after: u64, happening: Happening) {
        self.numbers += 1;
        let at = self.now + seconds(after);
        self.happenings.insert((at, self.numbers), happening);
    }

    /// When the next tick comes that can find something.
    pub(super) fn next_tick(&self) -> Option<Instant> {
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
}
