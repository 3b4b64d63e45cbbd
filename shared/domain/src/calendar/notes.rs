//! What people should know of a slot: what a change of the clocks or a short month does to it.

use chrono::{Datelike, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;

use super::{Calendar, MonthDay, days};
use crate::Instant;

impl Calendar {
    /// Notes on a slot of this calendar; none on most. With the slot before it, a clock that was
    /// changed in between is told too.
    pub fn notes(&self, zone: Tz, slot: Instant, before: Option<Instant>) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(before) = before {
            let (old, new) = (offset(zone, before), offset(zone, slot));
            if old != new {
                notes.push(format!(
                    "clocks were changed since the run before: UTC{old} became UTC{new}"
                ));
            }
        }
        let Some(local) = days::local(zone, slot) else {
            return notes;
        };
        if !matches!(self, Self::Minutes { .. }) {
            notes.extend(self.skipped(zone, slot, local));
            if let LocalResult::Ambiguous(first, _) = zone.from_local_datetime(&local)
                && first.to_utc() == slot
            {
                notes.push(format!(
                    "{} comes twice on this day: due the first time only",
                    local.format("%H:%M")
                ));
            }
        }
        notes.extend(self.short_month(local));
        notes
    }

    /// The local times that the clock skipped to arrive at this slot.
    fn skipped(&self, zone: Tz, slot: Instant, local: NaiveDateTime) -> Option<String> {
        let second = TimeDelta::seconds(1);
        let gap = days::local(zone, slot - second)? + second;
        if gap >= local {
            return None;
        }
        let dates = gap
            .date()
            .iter_days()
            .take_while(|date| *date <= local.date());
        let times = self.times();
        let wanted: Vec<NaiveDateTime> = dates
            .filter(|date| self.holds(*date))
            .flat_map(|date| times.iter().map(move |time| date.and_time(*time)))
            .filter(|wanted| (gap..local).contains(wanted))
            .collect();
        let form = if gap.date() == local.date() {
            "%H:%M"
        } else {
            "%Y-%m-%d %H:%M"
        };
        let what = match wanted.as_slice() {
            [] => return None,
            [one] => one.format(form).to_string(),
            [first, .., last] => {
                format!("{} to {}", first.format(form), last.format(form))
            }
        };
        Some(format!(
            "clocks go from {} to {}: what is due at {what} runs right after, once",
            gap.format(form),
            local.format(form)
        ))
    }

    fn short_month(&self, local: NaiveDateTime) -> Option<String> {
        match self {
            Self::Month {
                day: MonthDay::Day(day),
                ..
            } if local.day() < *day && days::days_in_month(local.year(), local.month()) < *day => {
                Some(format!("the month has no day {day}: its last day"))
            }
            Self::Year {
                month: 2, day: 29, ..
            } if local.day() == 28 => Some("the year has no 29 February".to_owned()),
            _ => None,
        }
    }
}

/// `+01:00`.
fn offset(zone: Tz, at: Instant) -> String {
    zone.offset_from_utc_datetime(&at.naive_utc())
        .fix()
        .to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use chrono::NaiveTime;
    use chrono_tz::{Europe::Berlin, Pacific::Apia, UTC};

    use super::*;
    use crate::samples::at;

    fn time(text: &str) -> NaiveTime {
        NaiveTime::parse_from_str(text, "%H:%M").unwrap()
    }

    fn notes(calendar: &Calendar, zone: Tz, after: &str) -> String {
        let slot = calendar.next_after(zone, at(after)).unwrap();
        calendar.notes(zone, slot, Some(at(after))).join("; ")
    }

    #[test]
    fn changes_of_the_clock_and_short_months_are_told() {
        let daily = Calendar::Day { at: time("02:30") };
        assert_eq!(notes(&daily, Berlin, "2026-11-24T01:30:00Z"), "");
        assert_eq!(
            notes(&daily, Berlin, "2026-03-28T01:30:00Z"),
            "clocks were changed since the run before: UTC+01:00 became UTC+02:00; \
             clocks go from 02:00 to 03:00: what is due at 02:30 runs right after, once"
        );
        assert_eq!(
            notes(&daily, Berlin, "2026-10-24T00:30:00Z"),
            "02:30 comes twice on this day: due the first time only"
        );
        let quarters = Calendar::Cron {
            expression: "*/15 * * * *".parse().unwrap(),
        };
        assert_eq!(
            notes(&quarters, Berlin, "2026-03-29T00:59:00Z"),
            "clocks were changed since the run before: UTC+01:00 became UTC+02:00; \
             clocks go from 02:00 to 03:00: what is due at 02:00 to 02:45 runs right after, once"
        );
        let noon = Calendar::Day { at: time("12:00") };
        assert_eq!(
            notes(&noon, Apia, "2011-12-29T22:00:00Z"),
            "clocks were changed since the run before: UTC-10:00 became UTC+14:00; \
             clocks go from 2011-12-30 00:00 to 2011-12-31 00:00: what is due at 2011-12-30 12:00 \
             runs right after, once"
        );
        let day = MonthDay::Day(31);
        let monthly = Calendar::Month {
            day,
            at: time("02:00"),
        };
        assert_eq!(
            notes(&monthly, UTC, "2027-01-31T02:00:00Z"),
            "the month has no day 31: its last day"
        );
        let leap = Calendar::Year {
            month: 2,
            day: 29,
            at: time("02:00"),
        };
        assert_eq!(
            notes(&leap, UTC, "2027-01-01T00:00:00Z"),
            "the year has no 29 February"
        );
    }
}
