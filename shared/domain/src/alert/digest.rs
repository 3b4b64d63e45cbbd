//! The digest: what happened in a day or a week, and what goes on, in one alert.

use std::collections::BTreeMap;
use std::fmt;

use chrono::NaiveTime;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::{Alert, AlertKind, CauseState};
use crate::Instant;
use crate::calendar::{Calendar, WeekDay};
use crate::capacity::LocationUsage;
use crate::format;
use crate::id::{ScopeName, compact};
use crate::run::{Run, RunState};

/// Scopes, causes and locations that a digest lists one by one; the others are counted.
const LINES_MAX: usize = 40;

/// How often a digest is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DigestEvery {
    /// Every day.
    Day,
    /// Every Monday.
    Week,
}

/// When a digest is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestTime {
    /// How often.
    pub every: DigestEvery,
    /// The local time.
    pub at: NaiveTime,
    /// The zone that it is read in.
    pub zone: Tz,
}

impl DigestTime {
    /// When the next one is due, strictly after `now`.
    pub fn next_after(&self, now: Instant) -> Option<Instant> {
        let calendar = match self.every {
            DigestEvery::Day => Calendar::Day { at: self.at },
            DigestEvery::Week => Calendar::Week {
                on: [WeekDay::Mon].into(),
                at: self.at,
            },
        };
        calendar.next_after(self.zone, now)
    }
}

/// How the runs of a scope ended.
#[derive(Debug, Clone, Copy, Default)]
struct Ended {
    stored: u64,
    bytes: u64,
    failed: u64,
    missed: u64,
    skipped: u64,
}

impl Ended {
    fn count(&mut self, run: &Run) {
        match run.state {
            RunState::Succeeded => {
                self.stored += 1;
                self.bytes += run.stats.map_or(0, |stats| stats.bytes_stored);
            }
            RunState::Failed => self.failed += 1,
            RunState::Missed => self.missed += 1,
            RunState::Skipped => self.skipped += 1,
            RunState::Requested | RunState::Running => {}
        }
    }

    fn not_stored(&self) -> u64 {
        self.failed + self.missed + self.skipped
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} stored ({})", self.stored, format::bytes(self.bytes))?;
        for (count, word) in [
            (self.failed, "failed"),
            (self.missed, "missed"),
            (self.skipped, "skipped"),
        ] {
            if count > 0 {
                write!(f, ", {count} {word}")?;
            }
        }
        Ok(())
    }
}

impl Alert {
    /// What happened since the last digest. `runs` are those that were requested in that time, `uncounted`
    /// says whether there were more; `locations` come each with what may lie there.
    pub fn digest(
        since: Instant,
        runs: &[Run],
        uncounted: bool,
        causes: &[CauseState],
        locations: &[(LocationUsage, Option<u64>)],
        now: Instant,
    ) -> Self {
        let mut scopes: BTreeMap<&ScopeName, Ended> = BTreeMap::new();
        let mut all = Ended::default();
        for run in runs {
            scopes.entry(&run.scope).or_default().count(run);
            all.count(run);
        }
        // Those with trouble first.
        let mut scopes: Vec<_> = scopes.into_iter().collect();
        scopes.sort_by_key(|(name, ended)| (std::cmp::Reverse(ended.not_stored()), *name));
        let mut details = vec![format!("Since: {}", format::instant(since))];
        let scopes = scopes
            .iter()
            .map(|(name, ended)| format!("{name}: {ended}"));
        listed(&mut details, scopes.collect(), "scope");
        let causes = causes.iter().map(|state| {
            format!(
                "Goes on since {}: {} (told {}, held back {})",
                format::instant(state.since),
                state.newest.summary,
                state.told,
                state.held_back
            )
        });
        listed(&mut details, causes.collect(), "cause");
        let locations = locations.iter().map(|(usage, max)| describe(usage, *max));
        listed(&mut details, locations.collect(), "location");
        if uncounted {
            details.push(
                "There were more runs than a digest counts: only the newest are in it".to_owned(),
            );
        }
        Self {
            id: format!("digest.{}", compact(now)),
            kind: AlertKind::Digest,
            at: now,
            scope: None,
            schedule: None,
            run: None,
            snapshot: None,
            summary: format!("Since {}: {all}.", format::instant(since)),
            details,
            action: String::new(),
            command: "logisedge-backup status".to_owned(),
            about: None,
            standing: None,
        }
    }
}

fn describe(usage: &LocationUsage, max: Option<u64>) -> String {
    let used = format::bytes(usage.bytes());
    let location = &usage.location;
    let Some(max) = max else {
        return format!("Location {location}: {used}");
    };
    let full = match usage.full_on(max) {
        Some(day) => format!(", full on {day} if it goes on like this"),
        None => String::new(),
    };
    format!(
        "Location {location}: {used} of {}{full}",
        format::bytes(max)
    )
}

fn listed(details: &mut Vec<String>, lines: Vec<String>, what: &str) {
    let more = lines.len().saturating_sub(LINES_MAX);
    details.extend(lines.into_iter().take(LINES_MAX));
    if more > 0 {
        details.push(format!("and {} more", format::counted(more as u64, what)));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use insta::assert_snapshot;

    use super::*;
    use crate::alert::{Quiet, Telling};
    use crate::samples::{at, run, succeeded_run};

    #[test]
    fn it_is_due_in_local_time() {
        let daily = DigestTime {
            every: DigestEvery::Day,
            at: NaiveTime::from_hms_opt(7, 0, 0).unwrap(),
            zone: chrono_tz::Europe::Berlin,
        };
        let due = |time: &DigestTime, now| time.next_after(at(now)).unwrap().to_rfc3339();
        assert_eq!(
            due(&daily, "2026-11-24T06:00:00Z"),
            "2026-11-25T06:00:00+00:00"
        );
        let weekly = DigestTime {
            every: DigestEvery::Week,
            ..daily
        };
        assert_eq!(
            due(&weekly, "2026-11-24T06:00:00Z"),
            "2026-11-30T06:00:00+00:00"
        );
    }

    #[test]
    fn trouble_comes_first_and_nothing_is_too_long() {
        let failed = Run {
            state: RunState::Failed,
            scope: "items".parse().unwrap(),
            reason: Some("no reason".to_owned()),
            ..run()
        };
        let now = at("2026-11-25T06:00:00Z");
        let failure = Alert::run_failed(&failed, at("2026-11-24T02:00:00Z"));
        let Telling::Tell(_, state) = Telling::of(&failure, None, Quiet::default(), now) else {
            panic!("not told");
        };
        let main = LocationUsage {
            location: "main".parse().unwrap(),
            scopes: BTreeMap::new(),
            days: Vec::new(),
            level_told: None,
        };
        let since = at("2026-11-24T06:00:00Z");
        let runs = [succeeded_run(), failed.clone(), succeeded_run()];
        let locations = [(main, Some(500_000_000_000))];
        let alert = Alert::digest(since, &runs, false, &[*state], &locations, now);
        assert_snapshot!(format!("{}\n{}", alert.subject(), alert.email_text()), @r"
        LogisEdge digest
        Since 2026-11-24 06:00:00 UTC: 2 stored (886 MB), 1 failed.

        When: 2026-11-25 06:00:00 UTC
        Since: 2026-11-24 06:00:00 UTC
        items: 0 stored (0 B), 1 failed
        customers: 2 stored (886 MB)
        Goes on since 2026-11-24 02:00:00 UTC: The backup of items failed after 1 attempt: no reason (told 1, held back 0)
        Location main: 0 B of 500 GB

          logisedge-backup status

        (alert digest.20261125T060000Z)
        ");
        let many: Vec<Run> = (0..100)
            .map(|n| Run {
                scope: format!("s{n}").parse().unwrap(),
                ..failed.clone()
            })
            .collect();
        let alert = Alert::digest(since, &many, true, &[], &[], now);
        assert_eq!(alert.details.len(), 1 + LINES_MAX + 2);
        assert!(alert.details.contains(&"and 60 scopes more".to_owned()));
    }
}
