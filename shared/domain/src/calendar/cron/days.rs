//! The two day fields of a cron expression, with their L, W and #.

use chrono::{Datelike, NaiveDate, Weekday};

use super::field::{MONTH_DAY, WEEK_DAY, number};
use super::{CronError, has};
use crate::calendar::days::days_in_month;

/// Days of a month.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct MonthDays {
    /// Bit n: day n.
    days: u64,
    /// Bit n: the day n days before the last.
    before_last: u64,
    /// Bit n: the weekday nearest to day n.
    nearest: u64,
    /// The last weekday, Monday to Friday.
    last_weekday: bool,
}

impl MonthDays {
    pub(super) fn read(text: &str) -> Result<Self, CronError> {
        let mut read = Self::default();
        for part in text.split(',') {
            let upper = part.to_ascii_uppercase();
            if upper == "L" {
                read.before_last |= 1;
            } else if upper == "LW" {
                read.last_weekday = true;
            } else if let Some(before) = upper.strip_prefix("L-") {
                let before = number(before).filter(|n| (1..=30).contains(n));
                read.before_last |= 1 << before.ok_or_else(|| MONTH_DAY.error(part))?;
            } else if let Some(day) = upper.strip_suffix('W') {
                read.nearest |= 1 << MONTH_DAY.value(day, part)?;
            } else {
                read.days |= MONTH_DAY.part_bits(part)?;
            }
        }
        Ok(read)
    }

    pub(super) fn hold(&self, date: NaiveDate) -> bool {
        let last = days_in_month(date.year(), date.month());
        has(self.days, date.day())
            || has(self.before_last, last - date.day())
            || (self.last_weekday && nearest_weekday(date, last) == Some(date.day()))
            || self.is_nearest(date, last)
    }

    fn is_nearest(&self, date: NaiveDate, last: u32) -> bool {
        if self.nearest == 0 {
            return false;
        }
        // A weekend moves a day by two at most, and never out of its month.
        let (from, to) = (
            date.day().saturating_sub(2).max(1),
            (date.day() + 2).min(last),
        );
        (from..=to)
            .filter(|day| has(self.nearest, *day))
            .any(|day| nearest_weekday(date, day) == Some(date.day()))
    }
}

/// The weekday nearest to a day of a date's month, inside that month.
fn nearest_weekday(date: NaiveDate, day: u32) -> Option<u32> {
    let last = days_in_month(date.year(), date.month());
    Some(match date.with_day(day)?.weekday() {
        Weekday::Sat if day == 1 => 3,
        Weekday::Sat => day - 1,
        Weekday::Sun if day == last => day - 2,
        Weekday::Sun => day + 1,
        _ => day,
    })
}

/// Days of the week, or some of a month's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct WeekDays {
    /// Bit n: every such day; Sunday is 0.
    every: u64,
    /// The same for the first to the fifth of a month.
    nth: [u64; 5],
    /// The same for the last of a month.
    last: u64,
}

impl WeekDays {
    pub(super) fn read(text: &str) -> Result<Self, CronError> {
        let mut read = Self::default();
        for part in text.split(',') {
            let upper = part.to_ascii_uppercase();
            let (days, set) = if let Some((days, "L")) = upper.split_once('#') {
                (days, &mut read.last)
            } else if let Some((days, nth)) = upper.split_once('#') {
                let nth = number(nth).filter(|n| (1..=5).contains(n));
                let nth = nth.ok_or_else(|| WEEK_DAY.error(part))?;
                (days, &mut read.nth[nth as usize - 1])
            } else if let Some(days) = upper.strip_suffix('L') {
                (days, &mut read.last)
            } else {
                read.every |= week(WEEK_DAY.part_bits(part)?);
                continue;
            };
            // "*#2" and "mon-fri/2L" would need a second reading of * and /.
            if days.contains(['*', '/']) {
                return Err(WEEK_DAY.error(part));
            }
            *set |= week(WEEK_DAY.part_bits(days).map_err(|_| WEEK_DAY.error(part))?);
        }
        Ok(read)
    }

    pub(super) fn hold(&self, date: NaiveDate) -> bool {
        let week_day = date.weekday().num_days_from_sunday();
        let nth = (date.day() as usize - 1) / 7;
        has(self.every, week_day)
            || has(self.nth[nth], week_day)
            || (has(self.last, week_day)
                && date.day() + 7 > days_in_month(date.year(), date.month()))
    }
}

/// 7 is Sunday too.
fn week(bits: u64) -> u64 {
    (bits | bits >> 7) & 0x7f
}
