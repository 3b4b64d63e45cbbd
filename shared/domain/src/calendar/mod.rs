//! Calendars: from a rule in a time zone to slots, which are instants in UTC.
//!
//! Every calendar but [`Calendar::Minutes`] is a rule about local dates and a list of local times
//! of day. `days.rs` turns one local date into its instants and holds the rules for clocks that
//! are put forward or back; `cron` reads cron expressions, `event_bridge.rs` EventBridge's spellings of
//! them. Nothing here reads a clock.

mod cron;
mod days;
mod describe;
mod event_bridge;
mod notes;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod transitions;

use std::collections::BTreeSet;

use chrono::{Datelike, Days, NaiveDate, NaiveTime, Timelike};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

pub use cron::{Cron, CronError};
pub(crate) use days::{days_in_month, instant as instant_of, local_date};
pub use event_bridge::{EventBridgeError, from_event_bridge, is_event_bridge};

use crate::Instant;

/// Days that are searched for the next slot. The rarest day that can be named is a 29 February that
/// is a certain day of the week: it comes every 28 years, or after 40 around 1900, 2100 and so on.
const SEARCH_DAYS_MAX: u64 = 41 * 366;

/// Minutes in a day: the longest interval of [`Calendar::Minutes`].
pub const INTERVAL_MINUTES_MAX: u32 = 24 * 60;

/// When a schedule is due, in its own zone.
///
/// A local time that a zone skips (the clock is put forward) becomes the first instant after the
/// gap; one that comes twice (the clock is put back) counts the first time only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "every")]
pub enum Calendar {
    /// Every day at a local time.
    Day {
        /// The local time.
        at: NaiveTime,
    },
    /// Every so many minutes of UTC, counted from 1970-01-01T00:00Z: due where
    /// `minutes since the epoch % every == 0`. Only a divisor of a day comes at the same times each day.
    Minutes {
        /// 1 to [`INTERVAL_MINUTES_MAX`].
        minutes: u32,
    },
    /// Every so many hours of every day at local times, of which one is given: 6 hours at 01:30 are
    /// 01:30, 07:30, 13:30 and 19:30.
    Hours {
        /// A divisor of 24, so that every day is alike.
        hours: u32,
        /// One of the local times.
        at: NaiveTime,
    },
    /// On some days of every week at a local time.
    Week {
        /// At least one.
        on: BTreeSet<WeekDay>,
        /// The local time.
        at: NaiveTime,
    },
    /// Once a month at a local time.
    Month {
        /// The day; in a shorter month its last day.
        day: MonthDay,
        /// The local time.
        at: NaiveTime,
    },
    /// Once a year at a local time.
    Year {
        /// 1 to 12.
        month: u32,
        /// 1 to 31, and a day that the month has in leap years. 29 February is 28 February in
        /// other years.
        day: u32,
        /// The local time.
        at: NaiveTime,
    },
    /// As a cron expression of five fields says.
    Cron {
        /// The expression.
        expression: Cron,
    },
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeekDay {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl WeekDay {
    /// Monday to Sunday.
    pub const ALL: [Self; 7] = [
        Self::Mon,
        Self::Tue,
        Self::Wed,
        Self::Thu,
        Self::Fri,
        Self::Sat,
        Self::Sun,
    ];

    fn of(date: NaiveDate) -> Self {
        Self::ALL[date.weekday().num_days_from_monday() as usize]
    }

    /// `Monday`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mon => "Monday",
            Self::Tue => "Tuesday",
            Self::Wed => "Wednesday",
            Self::Thu => "Thursday",
            Self::Fri => "Friday",
            Self::Sat => "Saturday",
            Self::Sun => "Sunday",
        }
    }
}

impl std::str::FromStr for WeekDay {
    type Err = ();

    /// Reads `mon` or `monday`, in any case.
    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.to_ascii_lowercase();
        Self::ALL
            .into_iter()
            .find(|day| {
                let name = day.name().to_ascii_lowercase();
                text == name || text == name[..3]
            })
            .ok_or(())
    }
}

/// A day of the month, as a calendar names it. Stored as a number, or as `"last"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredMonthDay", into = "StoredMonthDay")]
pub enum MonthDay {
    /// 1 to 31; in a shorter month its last day.
    Day(u32),
    /// The last day.
    Last,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum StoredMonthDay {
    Day(u32),
    Word(String),
}

impl From<MonthDay> for StoredMonthDay {
    fn from(day: MonthDay) -> Self {
        match day {
            MonthDay::Day(day) => Self::Day(day),
            MonthDay::Last => Self::Word("last".to_owned()),
        }
    }
}

impl TryFrom<StoredMonthDay> for MonthDay {
    type Error = String;
    fn try_from(stored: StoredMonthDay) -> Result<Self, String> {
        match stored {
            StoredMonthDay::Day(day @ 1..=31) => Ok(Self::Day(day)),
            StoredMonthDay::Word(word) if word == "last" => Ok(Self::Last),
            StoredMonthDay::Day(day) => Err(format!("{day} is no day of a month: 1 to 31")),
            StoredMonthDay::Word(word) => Err(format!("{word:?} is no day of a month: 1 to 31")),
        }
    }
}

/// The newest slots of a stretch of time, and how many older ones there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewestSlots {
    /// Oldest first.
    pub slots: Vec<Instant>,
    /// Slots of the stretch that are older than those.
    pub older: u64,
}

impl Calendar {
    /// The first slot strictly later than `after`, or none if the calendar has ended.
    pub fn next_after(&self, zone: Tz, after: Instant) -> Option<Instant> {
        if let Self::Minutes { minutes } = *self {
            let step = i64::from(minutes.max(1)) * 60;
            let next = (after.timestamp().div_euclid(step) + 1).checked_mul(step)?;
            return Instant::from_timestamp(next, 0);
        }
        let times = self.times();
        let first = days::local(zone, after)?.date();
        first
            .iter_days()
            .take(SEARCH_DAYS_MAX as usize)
            .filter(|date| self.holds(*date))
            .flat_map(|date| days::instants(zone, date, &times))
            .find(|slot| *slot > after)
    }

    /// The slots after `after` up to and including `until`, oldest first.
    pub fn slots_between(
        &self,
        zone: Tz,
        after: Instant,
        until: Instant,
    ) -> impl Iterator<Item = Instant> + '_ {
        let next = move |slot: &Instant| self.next_after(zone, *slot);
        std::iter::successors(self.next_after(zone, after), next)
            .take_while(move |slot| *slot <= until)
    }

    /// The newest `count` slots after `after` up to and including `until`, and the number of the
    /// older ones.
    ///
    /// Its cost grows with the days in between and with `count`, not with the number of slots, so
    /// a schedule of every minute that slept for years costs milliseconds.
    pub fn newest_slots(
        &self,
        zone: Tz,
        after: Instant,
        until: Instant,
        count: usize,
    ) -> NewestSlots {
        if let Self::Minutes { minutes } = *self {
            return newest_intervals(minutes, after, until, count);
        }
        let mut newest = NewestSlots::default();
        let (Some(first), Some(last)) = (days::local(zone, after), days::local(zone, until)) else {
            return newest;
        };
        let times = self.times();
        // A slot of the day before can lie inside a gap that ends on this one; where the clock was
        // put back over midnight, a slot can belong to the day after.
        let mut date = last.date().checked_add_days(Days::new(1));
        let lowest = first.date().checked_sub_days(Days::new(1));
        let lowest = lowest.unwrap_or(NaiveDate::MIN);
        let mut oldest = None;
        while let Some(day) = date.filter(|day| *day >= lowest) {
            date = day.checked_sub_days(Days::new(1));
            if !self.holds(day) {
                continue;
            }
            let whole = newest.slots.len() >= count
                && days::is_plain(zone, day)
                && (day - first.date()).num_days() > 1
                && (last.date() - day).num_days() > 1;
            if whole {
                newest.older += times.len() as u64;
                oldest = None;
                continue;
            }
            for slot in days::instants(zone, day, &times).into_iter().rev() {
                if slot <= after || slot > until || oldest == Some(slot) {
                    continue;
                }
                oldest = Some(slot);
                if newest.slots.len() < count {
                    newest.slots.push(slot);
                } else {
                    newest.older += 1;
                }
            }
        }
        newest.slots.reverse();
        newest
    }

    /// The local times of day, sorted.
    fn times(&self) -> Vec<NaiveTime> {
        match self {
            Self::Minutes { .. } => Vec::new(),
            Self::Hours { hours, at } => {
                let step = (*hours).max(1);
                let first = at.hour() % step;
                (first..24)
                    .step_by(step as usize)
                    .filter_map(|hour| at.with_hour(hour))
                    .collect()
            }
            Self::Day { at }
            | Self::Week { at, .. }
            | Self::Month { at, .. }
            | Self::Year { at, .. } => vec![*at],
            Self::Cron { expression } => expression.times(),
        }
    }

    /// Whether a local date has slots.
    fn holds(&self, date: NaiveDate) -> bool {
        match self {
            Self::Minutes { .. } => false,
            Self::Day { .. } | Self::Hours { .. } => true,
            Self::Week { on, .. } => on.contains(&WeekDay::of(date)),
            Self::Month { day, .. } => {
                let last = days::days_in_month(date.year(), date.month());
                let wanted = match day {
                    MonthDay::Day(day) => (*day).min(last),
                    MonthDay::Last => last,
                };
                date.day() == wanted
            }
            Self::Year { month, day, .. } => {
                let last = days::days_in_month(date.year(), date.month());
                date.month() == *month && date.day() == (*day).min(last)
            }
            Self::Cron { expression } => expression.holds(date),
        }
    }
}

fn newest_intervals(minutes: u32, after: Instant, until: Instant, count: usize) -> NewestSlots {
    let step = i64::from(minutes.max(1)) * 60;
    let first = after.timestamp().div_euclid(step) + 1;
    let last = until.timestamp().div_euclid(step);
    let total = u64::try_from(last - first + 1).unwrap_or(0);
    let taken = total.min(count as u64);
    NewestSlots {
        slots: (last - taken as i64 + 1..=last)
            .filter_map(|n| Instant::from_timestamp(n * step, 0))
            .collect(),
        older: total - taken,
    }
}
