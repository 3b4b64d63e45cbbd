//! A calendar in words, for people.

use chrono::{NaiveTime, Timelike};
use chrono_tz::Tz;

use super::{Calendar, INTERVAL_MINUTES_MAX, MonthDay, WeekDay};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl Calendar {
    /// `every day at 02:00 (Europe/Berlin)`. Of an interval that does not divide a day it says that each day
    /// has other slots.
    pub fn describe(&self, zone: Tz) -> String {
        match self {
            Self::Minutes { minutes }
                if !INTERVAL_MINUTES_MAX.is_multiple_of((*minutes).max(1)) =>
            {
                format!(
                    "{} (UTC, counted from 1970-01-01 00:00: at other times each day)",
                    self.rule()
                )
            }
            Self::Minutes { .. } => format!("{} (UTC)", self.rule()),
            _ => format!("{} ({zone})", self.rule()),
        }
    }

    /// The rule alone, without its zone: `every day at 02:00`.
    pub fn rule(&self) -> String {
        match self {
            Self::Day { at } => format!("every day at {}", time(*at)),
            Self::Minutes { minutes: 1 } => "every minute".to_owned(),
            Self::Minutes { minutes: 60 } => "every hour".to_owned(),
            Self::Minutes { minutes } if minutes % 60 == 0 => {
                format!("every {} hours", minutes / 60)
            }
            Self::Minutes { minutes } => format!("every {minutes} minutes"),
            Self::Hours { hours: 1, at } => format!("every hour at :{:02}", at.minute()),
            Self::Hours { hours, .. } => {
                let first = self.times().first().copied().unwrap_or_default();
                format!("every {hours} hours from {}", time(first))
            }
            Self::Week { on, at } => {
                let days: Vec<&str> = on.iter().copied().map(WeekDay::name).collect();
                format!("every {} at {}", days.join(", "), time(*at))
            }
            Self::Month {
                day: MonthDay::Last,
                at,
            } => {
                format!("on the last day of every month at {}", time(*at))
            }
            Self::Month {
                day: MonthDay::Day(day),
                at,
            } => {
                let shorter = if *day > 28 { " (or its last)" } else { "" };
                format!("on day {day}{shorter} of every month at {}", time(*at))
            }
            Self::Year { month, day, at } => {
                let name = MONTHS[(*month as usize).clamp(1, 12) - 1];
                format!("every year on {day} {name} at {}", time(*at))
            }
            Self::Cron { expression } => format!("as cron says: {expression}"),
        }
    }
}

fn time(at: NaiveTime) -> String {
    let form = if at.second() == 0 {
        "%H:%M"
    } else {
        "%H:%M:%S"
    };
    at.format(form).to_string()
}
