//! The end of the function's time. Lambda kills what goes on after it, and with it the word of what was done.

use std::time::{Duration, Instant as Stopwatch};

/// What is said of what there was no time for.
pub(super) const OVER: &str = "the function's time was nearly over";

/// Time that must be left to begin with another chain, or to rewrite another pack: what was rewritten still has to
/// take its place, whatever the chain's index files are like.
const BEGIN_MARGIN: Duration = Duration::from_secs(120);

/// Time that must be left for another step of something begun: to count what is stored, and to tell.
const STEP_MARGIN: Duration = Duration::from_secs(30);

/// When the function's time is over. On a machine of one's own it never is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Option<Stopwatch>);

impl Deadline {
    pub(super) fn after(time_left: Option<Duration>) -> Self {
        Self(time_left.map(|left| Stopwatch::now() + left))
    }

    /// Whether there is time for something new.
    pub(super) fn may_begin(self) -> Result<(), String> {
        self.with(BEGIN_MARGIN)
    }

    /// Whether there is time for another step of what was begun.
    pub(super) fn may_go_on(self) -> Result<(), String> {
        self.with(STEP_MARGIN)
    }

    /// The time until something begun should be given up, where it can be given up at any instant.
    pub(super) fn usable(self) -> Duration {
        self.left().saturating_sub(STEP_MARGIN)
    }

    fn with(self, margin: Duration) -> Result<(), String> {
        if self.left() > margin {
            Ok(())
        } else {
            Err(OVER.to_owned())
        }
    }

    fn left(self) -> Duration {
        self.0.map_or(Duration::MAX, |end| {
            end.saturating_duration_since(Stopwatch::now())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_time_is_enough_for_a_step_than_for_a_beginning() {
        let with = |seconds| {
            let deadline = Deadline::after(Some(Duration::from_secs(seconds)));
            (deadline.may_begin().is_ok(), deadline.may_go_on().is_ok())
        };
        assert_eq!(with(900), (true, true));
        assert_eq!(with(119), (false, true));
        assert_eq!(with(29), (false, false));
        let none = Deadline::after(None);
        assert!(none.may_begin().is_ok() && none.usable() > Duration::from_secs(1 << 40));
    }
}
