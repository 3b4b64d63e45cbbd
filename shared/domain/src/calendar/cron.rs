//! Cron expressions of five fields, as `crontab(5)` describes them.
//!
//! Written here and not taken from a library for two reasons: cron libraries run a repeated local
//! time twice (or not at all) when clocks are put back, and none can tell how many slots lie in a
//! year without visiting each. Its tests compare it with such a library, in UTC.

use std::fmt;
use std::str::FromStr;

use chrono::{Datelike, NaiveDate, NaiveTime};
use serde::{Deserialize, Serialize};

use super::days::days_in_month;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEK_DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A cron expression: minute, hour, day of month, month, day of week.
///
/// Each field is `*`, a value, a range `a-b`, a step `*/n` or `a-b/n`, or a list of those with
/// commas. Months and days of the week may be named (`jan`, `mon`); Sunday is 0 or 7. Where both
/// day fields are restricted (neither begins with `*`), a day that either names is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cron {
    text: String,
    /// Bit n: value n is meant.
    minutes: u64,
    hours: u64,
    month_days: u64,
    months: u64,
    week_days: u64,
    /// Both day fields are restricted.
    either_day: bool,
}

/// Why a text is no cron expression, or none that is ever due.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Not five fields.
    #[error(
        "a cron expression has five fields (minute, hour, day of month, month, day of week), not {found}"
    )]
    Fields {
        /// Fields that were found.
        found: usize,
    },
    /// A field cannot be read.
    #[error(
        "{text:?} is no {field}: use {lowest} to {highest}, '*', ranges a-b, steps */n, and lists with ','"
    )]
    Field {
        /// Which field.
        field: &'static str,
        /// The part of it that cannot be read.
        text: String,
        /// Smallest value of the field.
        lowest: u32,
        /// Largest value of the field.
        highest: u32,
    },
    /// No month has such a day.
    #[error("no day of any year matches: the months named have no such day")]
    Never,
}

struct Field {
    name: &'static str,
    lowest: u32,
    highest: u32,
    /// Names of the values from `lowest` on.
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field {
        name: "minute",
        lowest: 0,
        highest: 59,
        names: &[],
    },
    Field {
        name: "hour",
        lowest: 0,
        highest: 23,
        names: &[],
    },
    Field {
        name: "day of month",
        lowest: 1,
        highest: 31,
        names: &[],
    },
    Field {
        name: "month",
        lowest: 1,
        highest: 12,
        names: &MONTHS,
    },
    Field {
        name: "day of week",
        lowest: 0,
        highest: 7,
        names: &WEEK_DAYS,
    },
];

impl Field {
    fn error(&self, text: &str) -> CronError {
        CronError::Field {
            field: self.name,
            text: text.to_owned(),
            lowest: self.lowest,
            highest: self.highest,
        }
    }

    /// The values that a field's text means, one bit each.
    fn bits(&self, text: &str) -> Result<u64, CronError> {
        text.split(',')
            .try_fold(0, |bits, part| Ok(bits | self.part_bits(part)?))
    }

    fn part_bits(&self, part: &str) -> Result<u64, CronError> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let (from, to) = match (range, range.split_once('-')) {
            ("*", _) => (self.lowest, self.highest),
            (_, Some((from, to))) => (self.value(from, part)?, self.value(to, part)?),
            // A step needs a range to step through: "5/10" means different things to different crons.
            (_, None) if step.is_some() => return Err(self.error(part)),
            (value, None) => (self.value(value, part)?, self.value(value, part)?),
        };
        let step = match step {
            None => 1,
            Some(step) => number(step)
                .filter(|n| *n >= 1 && *n <= self.highest)
                .ok_or_else(|| self.error(part))?,
        };
        if from > to {
            return Err(self.error(part));
        }
        Ok((from..=to)
            .step_by(step as usize)
            .fold(0, |bits, value| bits | 1 << value))
    }

    fn value(&self, text: &str, part: &str) -> Result<u32, CronError> {
        let named = self.names.iter().position(|n| n.eq_ignore_ascii_case(text));
        named
            .map(|index| index as u32 + self.lowest)
            .or_else(|| number(text))
            .filter(|value| (self.lowest..=self.highest).contains(value))
            .ok_or_else(|| self.error(part))
    }
}

/// Digits only: `parse` alone would also take `+5`.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn has(bits: u64, value: u32) -> bool {
    bits & (1 << value) != 0
}

impl Cron {
    /// The expression as it was written, with single spaces.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The local times of day, sorted.
    pub(super) fn times(&self) -> Vec<NaiveTime> {
        let hours = (0..24).filter(|hour| has(self.hours, *hour));
        hours
            .flat_map(|hour| {
                let minutes = (0..60).filter(|minute| has(self.minutes, *minute));
                minutes.filter_map(move |minute| NaiveTime::from_hms_opt(hour, minute, 0))
            })
            .collect()
    }

    /// Whether a local date has slots.
    pub(super) fn holds(&self, date: NaiveDate) -> bool {
        let month_day = has(self.month_days, date.day());
        let week_day = has(self.week_days, date.weekday().num_days_from_sunday());
        let day = match self.either_day {
            true => month_day || week_day,
            false => month_day && week_day,
        };
        day && has(self.months, date.month())
    }

    /// Whether some date can match; 2024 stands for the leap years.
    fn can_match(&self) -> bool {
        let day_exists = (1..=12)
            .filter(|month| has(self.months, *month))
            .any(|month| (1..=days_in_month(2024, month)).any(|day| has(self.month_days, day)));
        self.either_day || day_exists
    }
}

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let &[minute, hour, month_day, month, week_day] = fields.as_slice() else {
            return Err(CronError::Fields {
                found: fields.len(),
            });
        };
        let week_days = FIELDS[4].bits(week_day)?;
        let cron = Self {
            text: fields.join(" "),
            minutes: FIELDS[0].bits(minute)?,
            hours: FIELDS[1].bits(hour)?,
            month_days: FIELDS[2].bits(month_day)?,
            months: FIELDS[3].bits(month)?,
            // 7 is Sunday too.
            week_days: (week_days | week_days >> 7) & 0x7f,
            either_day: !month_day.starts_with('*') && !week_day.starts_with('*'),
        };
        if cron.can_match() {
            Ok(cron)
        } else {
            Err(CronError::Never)
        }
    }
}

impl TryFrom<String> for Cron {
    type Error = CronError;
    fn try_from(text: String) -> Result<Self, CronError> {
        text.parse()
    }
}

impl From<Cron> for String {
    fn from(cron: Cron) -> String {
        cron.text
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}
