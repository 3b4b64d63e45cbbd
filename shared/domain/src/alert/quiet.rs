//! Quieting: a cause that goes on is told once an interval. What is not told is counted, and the
//! count is told with the next alert, in a summary when the interval is over, or when the cause is gone:
//! nothing is dropped.
//!
//! | a cause | an alert of it | the interval passes | it is gone |
//! |---|---|---|---|
//! | not known | is told, and begins the interval | | |
//! | told, nothing held back | is held back and counted | nothing; one without an end is forgotten | "resolved" is told |
//! | told, some held back | is held back and counted | "n more" is told, and begins the next | "resolved" is told, with the count |
//! | told, the interval over | is told with the count, and begins the next | | "resolved" is told |

#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Alert, AlertKind, Quiet, Severity, Standing};
use crate::Instant;
use crate::format;
use crate::id::{ScheduleName, ScopeName, compact};

/// What an alert is about beyond the single event. Two alerts of one cause are one trouble.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AlertCause {
    /// What happens.
    pub kind: AlertKind,
    /// To which scope, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<ScopeName>,
    /// Of which schedule, where there is one and it matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleName>,
    /// What else tells it from another: a snapshot, a queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
}

impl fmt::Display for AlertCause {
    /// `failure.customers.daily`: the same cause always, another one never. Names hold no dot.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scope = self.scope.as_ref().map_or("", ScopeName::as_str);
        let schedule = self.schedule.as_ref().map_or("", ScheduleName::as_str);
        write!(f, "{}.{scope}.{schedule}", self.kind.as_str())?;
        match &self.about {
            Some(about) => write!(f, ".{about}"),
            None => Ok(()),
        }
    }
}

impl Alert {
    /// What it is about beyond the single event.
    pub fn cause(&self) -> AlertCause {
        AlertCause {
            kind: self.kind,
            scope: self.scope.clone(),
            schedule: self.schedule.clone(),
            about: self.about.clone(),
        }
    }
}

/// What is remembered of a cause from the first alert that was told until it is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CauseState {
    /// The cause.
    pub cause: AlertCause,
    /// When it was told first.
    pub since: Instant,
    /// When it was told last.
    pub told_at: Instant,
    /// Alerts that were told.
    pub told: u64,
    /// Alerts held back since.
    #[serde(default)]
    pub held_back: u64,
    /// The newest alert of it, which a summary repeats.
    pub newest: Alert,
}

/// What becomes of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Telling {
    /// It is told as it is and leaves no trace.
    Untracked,
    /// It is told in this form; then the cause is in this state.
    Tell(Box<Alert>, Box<CauseState>),
    /// It is held back; the cause is in this state.
    HoldBack(Box<CauseState>),
}

/// What is done with a cause when its interval is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhenDue {
    /// This is told of what was held back; then the cause is in this state.
    Summary(Box<Alert>, Box<CauseState>),
    /// It did not come back, and nothing will say that it is gone.
    Forget,
}

impl Telling {
    /// Decides about an alert, given what is known of its cause.
    pub fn of(alert: &Alert, known: Option<&CauseState>, quiet: Quiet, now: Instant) -> Self {
        let interval = quiet.after(alert.severity());
        // What is only for the record has no end that anybody waits for.
        let for_the_record = alert.severity() == Severity::Info && interval.is_zero();
        let is_digest = alert.kind == AlertKind::Digest;
        if alert.standing.is_some() || for_the_record || is_digest {
            return Self::Untracked;
        }
        let Some(known) = known else {
            let state = CauseState {
                cause: alert.cause(),
                since: alert.at,
                told_at: now,
                told: 1,
                held_back: 0,
                newest: alert.clone(),
            };
            return Self::Tell(Box::new(alert.clone()), Box::new(state));
        };
        if now - known.told_at < interval {
            return Self::HoldBack(Box::new(CauseState {
                held_back: known.held_back + 1,
                newest: alert.clone(),
                ..known.clone()
            }));
        }
        let told = match known.held_back {
            0 => alert.clone(),
            more => alert.repeated(more, known.told_at),
        };
        Self::Tell(Box::new(told), Box::new(known.told_again(alert, now)))
    }
}

impl CauseState {
    fn told_again(&self, newest: &Alert, now: Instant) -> Self {
        Self {
            told_at: now,
            told: self.told + 1,
            held_back: 0,
            newest: newest.clone(),
            ..self.clone()
        }
    }

    /// When somebody should look after it: when its interval is over, if something was held back by
    /// then or nothing else would ever end it.
    pub fn due_at(&self, quiet: Quiet) -> Option<Instant> {
        let interval = quiet.after(self.newest.severity());
        (self.held_back > 0 || !self.cause.kind.has_end()).then_some(self.told_at + interval)
    }

    /// What is done once its interval is over; nothing before.
    pub fn at_due(&self, quiet: Quiet, now: Instant) -> Option<WhenDue> {
        self.due_at(quiet).filter(|due| *due <= now)?;
        if self.held_back == 0 {
            return Some(WhenDue::Forget);
        }
        let newest = &self.newest;
        let alert = Alert {
            id: format!("again.{}.{}", self.cause, compact(now)),
            ..newest.repeated(self.held_back - 1, self.told_at)
        };
        Some(WhenDue::Summary(
            Box::new(alert),
            Box::new(self.told_again(newest, now)),
        ))
    }

    /// That the cause is gone, and why.
    pub fn resolved(&self, because: &str, now: Instant) -> Alert {
        let newest = &self.newest;
        let lasted = (now - self.since).to_std().unwrap_or_default();
        let mut details = vec![
            format!("Since: {}", format::instant(self.since)),
            format!("Lasted: {}", format::duration(lasted)),
            format!("Told: {}", format::counted(self.told, "alert")),
        ];
        if self.held_back > 0 {
            details.push(format!(
                "Held back since {}: {}",
                format::instant(self.told_at),
                format::counted(self.held_back, "alert")
            ));
        }
        details.push(format!("The last one: {}", newest.summary));
        Alert {
            id: format!("resolved.{}.{}", self.cause, compact(now)),
            at: now,
            summary: because.to_owned(),
            details,
            action: String::new(),
            command: String::new(),
            standing: Some(Standing::Resolved {
                since: self.since,
                more: self.held_back,
            }),
            ..newest.clone()
        }
    }
}

impl Alert {
    /// This alert with word of so many others that were held back before it.
    fn repeated(&self, more: u64, since: Instant) -> Self {
        let mut details = self.details.clone();
        if more > 0 {
            details.push(format!("{more} more since {}", format::instant(since)));
        }
        Self {
            details,
            standing: Some(Standing::Repeated { more, since }),
            ..self.clone()
        }
    }
}
