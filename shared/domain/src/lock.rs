//! Locks of chains: until when nobody can destroy what an attempt writes, and when that has to be renewed
//! for what retention keeps. Who keeps the promise is the location's Object Lock.

use chrono::TimeDelta;

use crate::Instant;
use crate::retention::Span;
use crate::snapshot::SnapshotRecord;
use crate::storage::{LockMode, ObjectLock};

/// What has to be left of a lock that is not renewed: prune looks once a day, and may come late.
const LEFT_MIN: TimeDelta = TimeDelta::hours(36);

/// How an attempt locks what it writes: the location's mode, for as long as its schedule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockTerms {
    /// Who can end it earlier.
    pub mode: LockMode,
    /// For how long after a snapshot was taken.
    pub length: Span,
}

impl LockTerms {
    /// The lock of a snapshot that is written now. Its source's clock may be behind or ahead: it never ends
    /// too early. None where time is not representable.
    pub fn begin(self, taken_at: Instant, now: Instant) -> Option<ObjectLock> {
        let until = self.length.after(taken_at.max(now))?;
        Some(ObjectLock {
            mode: self.mode,
            until,
        })
    }
}

/// What a prune does about the lock of one chain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChainLock {
    /// Until when every object of the chain is to be locked now, where that is due.
    pub renewal: Option<Instant>,
    /// Until when anything that is written into the chain is to be locked: it may take the place of
    /// whatever is locked there for the longest.
    pub written: Option<Instant>,
}

impl ChainLock {
    /// What is due, from every snapshot of the chain, each with the lock of its schedule where retention
    /// keeps it.
    ///
    /// A lock that has less than half of its length left, or than a day and a half, is renewed for
    /// the whole length. A snapshot that
    /// was committed later extended the whole chain, so its lock counts for the earlier ones; one of which
    /// nothing is known says nothing, and is renewed.
    pub fn of(chain: &[(&SnapshotRecord, Option<Span>)], now: Instant) -> Self {
        let due = chain.iter().filter_map(|(record, lock)| {
            let renewed = (*lock)?.after(now)?;
            let left = locked_until(record, chain).map(|until| until - now);
            let enough = ((renewed - now) / 2).max(LEFT_MIN);
            left.is_none_or(|left| left < enough).then_some(renewed)
        });
        let renewal = due.max();
        let known = chain.iter().filter_map(|(record, _)| record.locked_until);
        Self {
            renewal,
            written: known.chain(renewal).max().filter(|until| *until > now),
        }
    }
}

fn locked_until(
    record: &SnapshotRecord,
    chain: &[(&SnapshotRecord, Option<Span>)],
) -> Option<Instant> {
    let own = record.locked_until?;
    let later = chain.iter().map(|(other, _)| other);
    let later = later.filter(|other| other.taken_at >= record.taken_at);
    later
        .filter_map(|other| other.locked_until)
        .chain([own])
        .max()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::samples::{at, snapshot};

    const NOW: &str = "2026-11-24T06:00:00Z";

    /// A snapshot so many days old, locked for so many days from now.
    fn taken(number: u8, days_ago: i64, days_left: Option<i64>) -> SnapshotRecord {
        let mut record = snapshot(number);
        record.taken_at = at(NOW) - TimeDelta::days(days_ago);
        record.locked_until = days_left.map(in_days);
        record
    }

    fn in_days(days: i64) -> Instant {
        at(NOW) + TimeDelta::days(days)
    }

    /// What is due for snapshots of one chain: how old, locked for how much longer, of how long a lock,
    /// all in days. The answer is in days too.
    fn due(chain: &[(i64, Option<i64>, Option<u32>)]) -> (Option<i64>, Option<i64>) {
        let records = chain.iter().zip(1..);
        let records: Vec<SnapshotRecord> = records
            .map(|((ago, left, _), number)| taken(number, *ago, *left))
            .collect();
        let locks = chain.iter().map(|(_, _, lock)| lock.map(Span::days));
        let chain: Vec<_> = records.iter().zip(locks).collect();
        let lock = ChainLock::of(&chain, at(NOW));
        let days = |until: Instant| (until - at(NOW)).num_days();
        (lock.renewal.map(days), lock.written.map(days))
    }

    #[test]
    fn a_lock_is_renewed_once_less_than_half_of_it_is_left() {
        assert_eq!(due(&[(0, Some(30), Some(30))]), (None, Some(30)));
        assert_eq!(due(&[(15, Some(15), Some(30))]), (None, Some(15)));
        assert_eq!(due(&[(16, Some(14), Some(30))]), (Some(30), Some(30)));
        assert_eq!(due(&[(40, Some(-10), Some(30))]), (Some(30), Some(30)));
        // A day later it would be too late.
        assert_eq!(due(&[(0, Some(2), Some(2))]), (None, Some(2)));
        assert_eq!(due(&[(1, Some(1), Some(2))]), (Some(2), Some(2)));
        assert_eq!(due(&[(0, Some(1), Some(1))]), (Some(1), Some(1)));
        let mut one = taken(1, 15, Some(15));
        one.locked_until = Some(in_days(15) - TimeDelta::seconds(1));
        let lock = ChainLock::of(&[(&one, Some(Span::days(30)))], at(NOW));
        assert_eq!(lock.renewal, Some(in_days(30)));
    }

    #[test]
    fn what_is_not_known_is_asked_and_what_is_not_to_be_locked_is_left() {
        assert_eq!(due(&[]), (None, None));
        assert_eq!(due(&[(3, None, Some(30))]), (Some(30), Some(30)));
        // The schedule's lock was removed, or retention lets it go: what is locked stays so.
        assert_eq!(due(&[(25, Some(5), None)]), (None, Some(5)));
        assert_eq!(due(&[(35, Some(-5), None)]), (None, None));
        assert_eq!(due(&[(3, None, None)]), (None, None));
        // It was made shorter, or longer.
        assert_eq!(due(&[(10, Some(20), Some(7))]), (None, Some(20)));
        assert_eq!(due(&[(10, Some(20), Some(90))]), (Some(90), Some(90)));
    }

    #[test]
    fn a_later_snapshot_extended_the_chain_for_the_earlier_ones() {
        let later = [(20, Some(10), Some(30)), (1, Some(29), Some(30))];
        assert_eq!(due(&later), (None, Some(29)));
        // Also one that goes now, or whose schedule has no lock any more.
        assert_eq!(
            due(&[(20, Some(10), Some(30)), (1, Some(29), None)]),
            (None, Some(29))
        );
        // Not for one that came after it, nor for one that was brought back since.
        let earlier = [(1, Some(10), Some(30)), (20, Some(29), None)];
        assert_eq!(due(&earlier), (Some(30), Some(30)));
        let back = [(20, None, Some(30)), (1, Some(29), Some(30))];
        assert_eq!(due(&back), (Some(30), Some(30)));
    }

    #[test]
    fn each_of_several_schedules_has_its_own_length() {
        // A yearly full and a daily incremental: each is renewed when its own half is over, for its own
        // length. What is written in between may hold what the longer one locks.
        let both = |full, incremental| {
            due(&[
                (200, Some(full), Some(365)),
                (16, Some(incremental), Some(30)),
            ])
        };
        assert_eq!(both(300, 20), (None, Some(300)));
        assert_eq!(both(300, 14), (Some(30), Some(300)));
        assert_eq!(both(180, 20), (Some(365), Some(365)));
        assert_eq!(both(180, 14), (Some(365), Some(365)));
    }

    #[test]
    fn it_begins_when_the_snapshot_was_taken_and_never_ends_too_early() {
        let terms = LockTerms {
            mode: LockMode::Compliance,
            length: "1 month".parse().unwrap(),
        };
        let until = |taken_at: &str| terms.begin(at(taken_at), at(NOW)).unwrap();
        assert_eq!(until(NOW).mode, LockMode::Compliance);
        assert_eq!(until(NOW).until, at("2026-12-24T06:00:00Z"));
        assert_eq!(
            until("2026-11-24T05:59:00Z").until,
            at("2026-12-24T06:00:00Z")
        );
        assert_eq!(
            until("2026-11-24T07:00:00Z").until,
            at("2026-12-24T07:00:00Z")
        );
        assert_eq!(terms.begin(Instant::MAX_UTC, at(NOW)), None);
    }
}
