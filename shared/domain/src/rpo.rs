//! The recovery point objective: how old the state in a scope's newest good snapshot may become.
//!
//! A snapshot is good once it was read back whole and nothing was found. So what is watched is the
//! whole way: that a backup was due, ran, was stored and was verified. Whatever of it stays away is
//! noticed, because the look at the scope is due when the newest good snapshot becomes too old, and not
//! when something happens.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::Instant;
use crate::id::ScopeName;
use crate::snapshot::{SnapshotRecord, Trust};

/// How often a scope is looked at whose newest good snapshot is too old.
pub const LOOK_AGAIN: TimeDelta = TimeDelta::minutes(15);

/// How often that is told while it goes on, at the least this far apart.
const TELL_AGAIN: TimeDelta = TimeDelta::hours(1);

/// What is remembered of a watched scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// The scope.
    pub scope: ScopeName,
    /// Since when it is watched: until it has a good snapshot, its age counts from here.
    pub since: Instant,
    /// When it was alerted last; none while all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alerted_at: Option<Instant>,
}

/// A scope whose newest good snapshot is too old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    /// The scope.
    pub scope: ScopeName,
    /// What was agreed, in seconds.
    pub rpo_seconds: u64,
    /// Since when it is watched.
    pub since: Instant,
    /// The state that its newest good snapshot holds, if it has one.
    pub newest_good: Option<Instant>,
    /// The newest snapshot, good or not.
    pub newest: Option<(Instant, Trust)>,
}

/// What a look at a scope comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The watch from now on.
    pub watch: Watch,
    /// When to look again.
    pub due_at: Instant,
    /// What there is to tell.
    pub tell: Option<Tell>,
}

/// What there is to tell of a scope's newest good snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tell {
    /// It is too old.
    Overdue(Overdue),
    /// It is young enough again: it holds this state. None: what is asked for changed.
    Good(Option<Instant>),
}

impl Watch {
    /// Looks at the scope's snapshots.
    pub fn look(
        &self,
        rpo_seconds: u64,
        records: &[SnapshotRecord],
        quiet: TimeDelta,
        now: Instant,
    ) -> Look {
        let live = || records.iter().filter(|r| r.deleting_since.is_none());
        let good = live().filter(|record| record.trust == Trust::Verified);
        let newest_good = good.map(|record| record.taken_at).max();
        let rpo = TimeDelta::seconds(i64::try_from(rpo_seconds).unwrap_or(i64::MAX / 1000));
        let until = newest_good.unwrap_or(self.since) + rpo;
        let watch = |alerted_at| Self {
            alerted_at,
            ..self.clone()
        };
        if now < until {
            return Look {
                watch: watch(None),
                due_at: until,
                tell: self.alerted_at.map(|_| Tell::Good(newest_good)),
            };
        }
        let due_at = now + LOOK_AGAIN;
        let told_lately = |at: Instant| now - at < quiet.max(TELL_AGAIN);
        if self.alerted_at.is_some_and(told_lately) {
            return Look {
                watch: self.clone(),
                due_at,
                tell: None,
            };
        }
        let newest = live().max_by_key(|record| record.taken_at);
        Look {
            watch: watch(Some(now)),
            due_at,
            tell: Some(Tell::Overdue(Overdue {
                scope: self.scope.clone(),
                rpo_seconds,
                since: self.since,
                newest_good,
                newest: newest.map(|record| (record.taken_at, record.trust)),
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::samples::{at, snapshot};

    const RPO: u64 = 26 * 3600;
    const QUIET: TimeDelta = TimeDelta::hours(4);

    fn hours(n: i64) -> Instant {
        at("2026-11-24T02:00:00Z") + TimeDelta::hours(n)
    }

    fn watch() -> Watch {
        Watch {
            scope: snapshot(1).scope,
            since: hours(0),
            alerted_at: None,
        }
    }

    fn taken(hour: i64, trust: Trust) -> SnapshotRecord {
        SnapshotRecord {
            taken_at: hours(hour),
            trust,
            ..snapshot(1)
        }
    }

    #[test]
    fn while_it_is_young_enough_the_next_look_is_when_it_would_not_be() {
        let records = [taken(20, Trust::Unverified), taken(3, Trust::Verified)];
        let look = watch().look(RPO, &records, QUIET, hours(20));
        assert_eq!((look.due_at, look.tell), (hours(29), None));
        // Without any the watch's own age counts.
        let look = watch().look(RPO, &[], QUIET, hours(20));
        assert_eq!((look.due_at, look.tell), (hours(26), None));
    }

    #[test]
    fn one_that_is_too_old_is_told_and_again_after_the_quiet_time() {
        let mut deleting = taken(29, Trust::Verified);
        deleting.deleting_since = Some(hours(29));
        let records = [
            deleting,
            taken(28, Trust::Damaged),
            taken(20, Trust::Unverified),
            taken(3, Trust::Verified),
        ];
        let first = watch().look(RPO, &records, QUIET, hours(29));
        assert_eq!(first.due_at, hours(29) + LOOK_AGAIN);
        assert_eq!(
            first.tell,
            Some(Tell::Overdue(Overdue {
                scope: snapshot(1).scope,
                rpo_seconds: RPO,
                since: hours(0),
                newest_good: Some(hours(3)),
                newest: Some((hours(28), Trust::Damaged)),
            }))
        );
        let later = first.watch.look(RPO, &records, QUIET, hours(32));
        assert_eq!((later.tell, &later.watch), (None, &first.watch));
        let again = first.watch.look(RPO, &records, QUIET, hours(33));
        assert!(matches!(again.tell, Some(Tell::Overdue(_))));
        // Where each alert is told, a look still is not an alert.
        let eager = first
            .watch
            .look(RPO, &records, TimeDelta::zero(), first.due_at);
        assert_eq!(eager.tell, None);
    }

    #[test]
    fn a_good_one_again_is_told_once() {
        let alerted = Watch {
            alerted_at: Some(hours(30)),
            ..watch()
        };
        let look = alerted.look(RPO, &[taken(31, Trust::Verified)], QUIET, hours(32));
        assert_eq!(look.tell, Some(Tell::Good(Some(hours(31)))));
        assert_eq!(look.due_at, hours(57));
        let next = look
            .watch
            .look(RPO, &[taken(31, Trust::Verified)], QUIET, hours(33));
        assert_eq!(next.tell, None);
    }
}
