//! Cron expressions of five fields, as `crontab(5)` describes them, with the L, W and # that many
//! crons add to its day fields.
//!
//! Written here and not taken from a library for two reasons: cron libraries run a repeated local
//! time twice (or not at all) when clocks are put back, and none can tell how many slots lie in a
//! year without visiting each. Its tests compare it with such a library, in UTC.

mod days;
mod field;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use chrono::{Datelike, NaiveDate, NaiveTime};
use serde::{Deserialize, Serialize};

use days::{MonthDays, WeekDays};
pub(super) use field::{Field, HOUR, MINUTE, MONTH, MONTH_DAY, WEEK_DAY, number};

/// A cron expression: minute, hour, day of month, month, day of week.
///
/// Each field is `*`, a value, a range `a-b`, a step `*/n` or `a-b/n`, or a list of those with
/// commas. Months and days of the week may be named (`jan`, `mon`); Sunday is 0 or 7. Where both
/// day fields are restricted (neither begins with `*`), a day that either names is meant.
///
/// A day of the month may also be `L` (the last), `L-3` (three days before it), `15W` (the weekday
/// nearest to the 15th, inside the month) or `LW` (the last weekday); a day of the week `5L` (the
/// month's last Friday, also written `5#L`) or `5#2` (its second), with a range for the day. As in
/// every cron, a month that lacks the day that is named has no slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cron {
    text: String,
    /// Bit n: value n is meant.
    minutes: u64,
    hours: u64,
    month_days: MonthDays,
    months: u64,
    week_days: WeekDays,
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
        "{text:?} is no {field}: use {lowest} to {highest}{named}, '*', ranges a-b, steps */n or a-b/n{special}, and lists with ','"
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
        /// Names of its values.
        named: &'static str,
        /// Forms that only this field has.
        special: &'static str,
    },
    /// A field that is written in another form here.
    #[error("{text:?} is no {field}: {remedy}")]
    Instead {
        /// Which field.
        field: &'static str,
        /// The part of it that cannot be read.
        text: String,
        /// What to write.
        remedy: String,
    },
    /// One of the words that some crons have for an expression.
    #[error("{0:?} is no cron expression here: write {1}")]
    Nickname(String, &'static str),
    /// No month has such a day.
    #[error("no day of any year matches: the months named have no such day")]
    Never,
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
        if !has(self.months, date.month()) {
            return false;
        }
        let month_day = self.month_days.hold(date);
        if self.either_day {
            month_day || self.week_days.hold(date)
        } else {
            month_day && self.week_days.hold(date)
        }
    }

    /// Whether some date can match. The Gregorian calendar repeats itself, days of the week
    /// included, after 400 years.
    fn can_match(&self) -> bool {
        let dates = NaiveDate::from_ymd_opt(2000, 1, 1).into_iter();
        let dates = dates.flat_map(|first| first.iter_days());
        let mut cycle = dates.take_while(|date| date.year() < 2400);
        cycle.any(|date| self.holds(date))
    }
}

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        if let [nickname] = fields.as_slice()
            && nickname.starts_with('@')
        {
            return Err(CronError::Nickname(
                (*nickname).to_owned(),
                fields_of_nickname(nickname),
            ));
        }
        let &[minute, hour, month_day, month, week_day] = fields.as_slice() else {
            return Err(CronError::Fields {
                found: fields.len(),
            });
        };
        let cron = Self {
            text: fields.join(" "),
            minutes: MINUTE.bits(minute)?,
            hours: HOUR.bits(hour)?,
            month_days: MonthDays::read(month_day)?,
            months: MONTH.bits(month)?,
            week_days: WeekDays::read(week_day)?,
            either_day: !month_day.starts_with('*') && !week_day.starts_with('*'),
        };
        if cron.can_match() {
            Ok(cron)
        } else {
            Err(CronError::Never)
        }
    }
}

/// What `crontab(5)` says of its nicknames.
fn fields_of_nickname(nickname: &str) -> &'static str {
    match nickname.to_ascii_lowercase().as_str() {
        "@yearly" | "@annually" => "\"0 0 1 1 *\"",
        "@monthly" => "\"0 0 1 * *\"",
        "@weekly" => "\"0 0 * * 0\"",
        "@daily" | "@midnight" => "\"0 0 * * *\"",
        "@hourly" => "\"0 * * * *\"",
        _ => "its five fields, such as \"0 2 * * *\"",
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
