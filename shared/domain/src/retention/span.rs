//! A length of time in calendar units, as people say how long something is kept.

use std::fmt;
use std::str::FromStr;

use chrono::{Datelike, NaiveDate, TimeDelta};
use serde::{Deserialize, Serialize};

use crate::Instant;

/// A century of days: more is a typing mistake.
const DAYS_MAX: u32 = 36_525;

/// Years, months, days and hours. Stored as restic writes durations: `1y6m10d4h`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    years: u32,
    months: u32,
    days: u32,
    hours: u32,
}

impl Span {
    /// So many days.
    pub const fn days(days: u32) -> Self {
        Self {
            years: 0,
            months: 0,
            days,
            hours: 0,
        }
    }

    /// The instant that lies this span before another, in UTC; none where time is not representable.
    ///
    /// As restic has it (Go's `AddDate`): years and months are taken from the date first, and a day
    /// that the month then lacks goes over into the next one, so that a month before 31 March is 3
    /// March (2 March in leap years).
    pub fn before(self, at: Instant) -> Option<Instant> {
        self.moved(at, -1)
    }

    /// The instant that lies this span after another, in UTC, by the same rules; none where time is not
    /// representable.
    pub fn after(self, at: Instant) -> Option<Instant> {
        self.moved(at, 1)
    }

    fn moved(self, at: Instant, direction: i64) -> Option<Instant> {
        let date = at.date_naive();
        let months = i64::from(self.years) * 12 + i64::from(self.months);
        let months = i64::from(date.year()) * 12 + i64::from(date.month0()) + direction * months;
        let year = i32::try_from(months.div_euclid(12)).ok()?;
        let month = u32::try_from(months.rem_euclid(12)).ok()? + 1;
        let days = i64::from(date.day0()) + direction * i64::from(self.days);
        NaiveDate::from_ymd_opt(year, month, 1)?
            .checked_add_signed(TimeDelta::try_days(days)?)?
            .and_time(at.time())
            .checked_add_signed(TimeDelta::try_hours(direction * i64::from(self.hours))?)
            .map(|moved| moved.and_utc())
    }

    /// Hours that it lasts at the least, whenever it begins.
    pub(crate) fn hours_min(self) -> u64 {
        // A month of 28 days; a year of 365.
        let days = u64::from(self.years) * 365 + u64::from(self.months) * 28 + u64::from(self.days);
        days * 24 + u64::from(self.hours)
    }

    fn parts(self) -> [(u32, &'static str, &'static str); 4] {
        [
            (self.years, "y", "year"),
            (self.months, "m", "month"),
            (self.days, "d", "day"),
            (self.hours, "h", "hour"),
        ]
    }

    /// `1y6m`, as restic's command line takes it.
    pub fn as_restic(self) -> String {
        let parts = self.parts().into_iter().filter(|(count, _, _)| *count > 0);
        parts
            .map(|(count, letter, _)| format!("{count}{letter}"))
            .collect()
    }
}

/// `1 year 6 months`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.parts().into_iter().filter(|(count, _, _)| *count > 0);
        let parts = parts.map(|(count, _, unit)| crate::format::counted(count.into(), unit));
        f.pad(&parts.collect::<Vec<_>>().join(" "))
    }
}

/// Why a text is no [`Span`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no length of time: write for example \"14 days\", \"8 weeks\", \"6 months\", \
     \"1 year 6 months\", or as restic does \"1y6m10d4h\" (here m is a month); at most a century"
)]
pub struct SpanError(String);

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let wrong = || SpanError(text.to_owned());
        let mut span = Self::default();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
            let count: u32 = rest[..digits].parse().map_err(|_| wrong())?;
            let unit = rest[digits..].trim_start();
            let end = unit.find(|c: char| !c.is_ascii_alphabetic());
            let (unit, after) = unit.split_at(end.unwrap_or(unit.len()));
            rest = after.trim_start();
            let (field, per_unit) = match unit {
                "y" | "year" | "years" => (&mut span.years, 1),
                "m" | "month" | "months" => (&mut span.months, 1),
                "w" | "week" | "weeks" => (&mut span.days, 7),
                "d" | "day" | "days" => (&mut span.days, 1),
                "h" | "hour" | "hours" => (&mut span.hours, 1),
                _ => return Err(wrong()),
            };
            let sum = count
                .checked_mul(per_unit)
                .and_then(|count| field.checked_add(count));
            *field = sum.ok_or_else(wrong)?;
        }
        let days = u64::from(span.years) * 366
            + u64::from(span.months) * 31
            + u64::from(span.days)
            + u64::from(span.hours) / 24;
        if span == Self::default() || days > u64::from(DAYS_MAX) + 100 {
            return Err(wrong());
        }
        Ok(span)
    }
}

impl TryFrom<String> for Span {
    type Error = SpanError;
    fn try_from(text: String) -> Result<Self, SpanError> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> String {
        span.as_restic()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::samples::at;

    #[test]
    fn spans_are_read_shown_and_stored() {
        for (text, shown, stored) in [
            ("14 days", "14 days", "14d"),
            ("8 weeks", "56 days", "56d"),
            ("1 week 1 day", "8 days", "8d"),
            ("6 months", "6 months", "6m"),
            ("1 year 6 months", "1 year 6 months", "1y6m"),
            ("2y5m7d3h", "2 years 5 months 7 days 3 hours", "2y5m7d3h"),
            ("36 hours", "36 hours", "36h"),
            ("100 years", "100 years", "100y"),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.to_string(), shown);
            assert_eq!(span.as_restic(), stored);
            let json = serde_json::to_string(&span).unwrap();
            assert_eq!(json, format!("{stored:?}"));
            assert_eq!(serde_json::from_str::<Span>(&json).unwrap(), span);
        }
        for text in [
            "",
            " ",
            "7",
            "days",
            "0 days",
            "-1 day",
            "1.5 years",
            "7 fortnights",
            "200 years",
            "4294967295 weeks",
            "1 day and 2 hours",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_lies_before_is_what_go_says() {
        for (at_text, span, before) in [
            ("2026-11-24T01:00:00Z", "7d", "2026-11-17T01:00:00Z"),
            ("2026-01-31T01:00:00Z", "1m", "2025-12-31T01:00:00Z"),
            ("2026-03-31T01:00:00Z", "1m", "2026-03-03T01:00:00Z"),
            ("2028-03-31T01:00:00Z", "1m", "2028-03-02T01:00:00Z"),
            ("2028-02-29T01:00:00Z", "1y", "2027-03-01T01:00:00Z"),
            ("2026-03-31T01:00:00Z", "1y1m1d1h", "2025-03-02T00:00:00Z"),
            ("2026-03-01T00:30:00Z", "1h", "2026-02-28T23:30:00Z"),
        ] {
            let span: Span = span.parse().unwrap();
            assert_eq!(span.before(at(at_text)), Some(at(before)), "{at_text}");
        }
        for (at_text, span, after) in [
            ("2026-11-24T01:00:00Z", "7d", "2026-12-01T01:00:00Z"),
            ("2026-01-31T01:00:00Z", "1m", "2026-03-03T01:00:00Z"),
            ("2028-02-29T01:00:00Z", "1y", "2029-03-01T01:00:00Z"),
            ("2026-12-31T23:30:00Z", "1y1m1d1h", "2028-02-02T00:30:00Z"),
        ] {
            let span: Span = span.parse().unwrap();
            assert_eq!(span.after(at(at_text)), Some(at(after)), "{at_text}");
        }
        let century: Span = "100y".parse().unwrap();
        assert_eq!(century.before(Instant::MIN_UTC), None);
    }
}
