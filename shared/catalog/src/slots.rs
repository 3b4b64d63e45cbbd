//! Recording what a schedule's due slots come to, and moving the schedule on: in one transaction where it
//! fits into one.

use logisedge_domain::Instant;
use logisedge_domain::id::ScheduleName;
use logisedge_domain::run::Run;

use crate::expression::{Expression, Write};
use crate::keys::{DUE, Key};
use crate::outbox::outbox_writes;
use crate::runs::new_run;
use crate::schedules::advance;
use crate::table::{Outcome, TRANSACTION_WRITES_MAX};
use crate::{Catalog, CatalogError, Message};

/// Runs that are recorded at once, with a schedule's move and a message.
pub const RUNS_AT_ONCE_MAX: usize = TRANSACTION_WRITES_MAX - 2;

/// A run to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRun {
    /// The run.
    pub run: Run,
    /// When somebody should look after it if nothing happened to it until then; none for one that is
    /// final already.
    pub wake_at: Option<Instant>,
}

/// A schedule's move from the slot that is dispatched to its next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move<'a> {
    /// The schedule.
    pub schedule: &'a ScheduleName,
    /// The slot that it is at.
    pub from: Instant,
    /// Its next one; none if there is none.
    pub to: Option<Instant>,
}

/// What came of recording runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// All are recorded.
    All,
    /// The schedule is not at that slot any more: whoever moved it did all that was to do. Nothing changed.
    Moved,
    /// At least one of the runs exists already. Nothing changed.
    Known,
}

impl Catalog {
    /// Records runs of a schedule that is at the slot `moves.from`, at most [`RUNS_AT_ONCE_MAX`] of them,
    /// with the messages that tell of them: all or nothing. With `last` it moves the schedule too.
    pub async fn record_slots(
        &self,
        runs: &[NewRun],
        moves: &Move<'_>,
        last: bool,
        now: Instant,
        outbox: &[Message],
    ) -> Result<Recorded, CatalogError> {
        let object = format!("slots of schedule {}", moves.schedule);
        let mut writes = vec![if last {
            advance(moves.schedule, moves.from, moves.to)
        } else {
            let is_there = Expression::new().is(DUE.sk, "=", moves.from);
            Write::Check(Key::schedule(moves.schedule), is_there)
        }];
        for new in runs {
            writes.push(new_run(&new.run, new.wake_at)?);
        }
        writes.extend(outbox_writes("record", outbox, now)?);
        Ok(match self.transact("record", &object, writes).await? {
            Outcome::Done => Recorded::All,
            Outcome::Refused(which) if which.first() == Some(&true) => Recorded::Moved,
            Outcome::Refused(_) => Recorded::Known,
        })
    }
}
