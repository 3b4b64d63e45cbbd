//! One set of rules, applied to the snapshots that it counts.

use chrono::{Datelike, NaiveDate, TimeDelta, Timelike};

use super::{Retention, Span};
use crate::Instant;
use crate::format::counted;
use crate::snapshot::{SnapshotRecord, Trust};

/// A period that tiers tell apart, in UTC as restic does with UTC times: a year and a number in it.
type Period = (i32, u32);

/// A rule that keeps the newest snapshot of each of a number of periods, as `restic forget` does:
/// only periods that have a snapshot are counted, and while some are left the oldest snapshot is
/// kept too (<https://restic.readthedocs.io/en/stable/060_forget.html>).
struct Tier {
    name: &'static str,
    left: Left,
    period: fn(Instant) -> Period,
    last: Option<Period>,
}

/// How far a tier reaches.
enum Left {
    /// So many periods more.
    Periods(u32),
    /// As long as snapshots are later than this, which lies that long before the newest.
    After(Instant, Span),
}

impl Tier {
    /// Takes the next older snapshot; whether this rule keeps it.
    fn keeps(&mut self, at: Instant, is_oldest: bool) -> bool {
        let period = Some((self.period)(at));
        let reaches = match self.left {
            Left::Periods(left) => left > 0,
            Left::After(end, _) => at > end,
        };
        let keeps = reaches && (period != self.last || is_oldest);
        if keeps {
            if let Left::Periods(left) = &mut self.left {
                *left -= 1;
            }
            self.last = period;
        }
        keeps
    }

    fn reason(&self) -> String {
        match &self.left {
            Left::Periods(_) => format!("kept for its {}", self.name),
            Left::After(_, span) => {
                format!("kept for its {}, within {span} of the newest", self.name)
            }
        }
    }
}

fn of_date(at: Instant, period: impl Fn(NaiveDate) -> Period) -> Period {
    period(at.date_naive())
}

fn hour(at: Instant) -> Period {
    of_date(at, |date| (date.year(), date.ordinal() * 24 + at.hour()))
}

fn day(at: Instant) -> Period {
    of_date(at, |date| (date.year(), date.ordinal()))
}

/// From Monday.
fn week(at: Instant) -> Period {
    of_date(at, |date| (date.iso_week().year(), date.iso_week().week()))
}

fn month(at: Instant) -> Period {
    of_date(at, |date| (date.year(), date.month()))
}

fn year(at: Instant) -> Period {
    of_date(at, |date| (date.year(), 0))
}

fn tiers(rules: &Retention, newest: Instant) -> Vec<Tier> {
    type Kept = (Option<u32>, Option<Span>);
    type Rule = (&'static str, fn(Instant) -> Period, Kept);
    let periods: [Rule; 5] = [
        ("hour", hour, (rules.keep_hourly, rules.keep_within_hourly)),
        ("day", day, (rules.keep_daily, rules.keep_within_daily)),
        ("week", week, (rules.keep_weekly, rules.keep_within_weekly)),
        (
            "month",
            month,
            (rules.keep_monthly, rules.keep_within_monthly),
        ),
        ("year", year, (rules.keep_yearly, rules.keep_within_yearly)),
    ];
    let mut tiers = Vec::new();
    for (name, period, (count, within)) in periods {
        let within = within.map(|span| {
            // Before the beginning of time, everything is later.
            let end = span.before(newest).unwrap_or(Instant::MIN_UTC);
            Left::After(end, span)
        });
        for left in [count.map(Left::Periods), within].into_iter().flatten() {
            tiers.push(Tier {
                name,
                left,
                period,
                last: None,
            });
        }
    }
    tiers
}

/// Applies rules to the snapshots that they count, newest first; none of them being deleted. Each
/// that a rule keeps is told to `keep`, with the reason.
pub(super) fn apply(
    rules: &Retention,
    counted_ones: &[&SnapshotRecord],
    now: Instant,
    keep: &mut impl FnMut(&SnapshotRecord, String),
) {
    let sound = counted_ones.iter().copied();
    let sound: Vec<&SnapshotRecord> = sound.filter(|s| s.trust != Trust::Damaged).collect();
    if let Some(days) = rules.keep_days {
        let oldest = now - TimeDelta::days(days.into());
        for snapshot in counted_ones.iter().filter(|s| s.taken_at >= oldest) {
            keep(
                snapshot,
                format!("taken within {}", counted(days.into(), "day")),
            );
        }
    }
    let newest = newest(&sound, counted_ones, now);
    if let Some(span) = rules.keep_within {
        let end = span.before(newest).unwrap_or(Instant::MIN_UTC);
        for snapshot in counted_ones.iter().filter(|s| s.taken_at > end) {
            keep(snapshot, format!("taken within {span} of the newest"));
        }
    }
    if let Some(last) = rules.keep_last {
        for (index, snapshot) in sound.iter().take(last as usize).enumerate() {
            keep(snapshot, format!("number {} of the last {last}", index + 1));
        }
    }
    for mut tier in tiers(rules, newest) {
        for (index, snapshot) in sound.iter().enumerate() {
            if tier.keeps(snapshot.taken_at, index + 1 == sound.len()) {
                keep(snapshot, tier.reason());
            }
        }
    }
    if let Some(proven) = rules.proven {
        let verified = sound.iter().filter(|s| s.trust == Trust::Verified);
        for (index, snapshot) in verified.take(proven as usize).enumerate() {
            keep(
                snapshot,
                format!(
                    "number {} of the {proven} proven that always stay",
                    index + 1
                ),
            );
        }
    }
}

/// What "within" counts from: the newest sound snapshot, or the newest, but none in the future, as
/// restic has it. So nothing goes only because no new snapshots come.
fn newest(sound: &[&SnapshotRecord], all: &[&SnapshotRecord], now: Instant) -> Instant {
    let past = |of: &[&SnapshotRecord]| of.iter().map(|s| s.taken_at).find(|at| *at <= now);
    past(sound).or_else(|| past(all)).unwrap_or(now)
}
