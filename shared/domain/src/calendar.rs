//! Calendars: from a rule in a time zone to instants in UTC.

use chrono::NaiveTime;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::Instant;

/// When a schedule is due, in its own zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "every")]
pub enum Calendar {
    /// Every day at a local time.
    Day {
        /// The local time.
        at: NaiveTime,
    },
    /// Every so many minutes of UTC, counted from midnight 1970: due where
    /// `minutes since the epoch % every == 0`.
    Minutes {
        /// 1 to 1440.
        minutes: u32,
    },
}

impl Calendar {
    /// The first slot strictly later than `after`, or none if the calendar has ended.
    pub fn next_after(&self, zone: Tz, after: Instant) -> Option<Instant> {
        let _ = (zone, after);
        None
    }
}
