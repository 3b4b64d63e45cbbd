//! Schedules as the dispatcher sees them: which are due, and moving them on.

use logisedge_domain::Instant;
use logisedge_domain::id::ScheduleName;
use logisedge_domain::schedule::{Schedule, ScheduleState};
use serde::{Deserialize, Serialize};

use crate::expression::{Expression, KeyCondition, Write};
use crate::keys::{CONFIG, DUE, DUE_PK, Key, PK, SK, stamp, unstamp};
use crate::{Catalog, CatalogError};

/// What is due that one query returns at the most: schedules, open runs, runs that are late, watched scopes,
/// and causes of alerts. It bounds what a tick holds and does; the next one finds the rest still due.
pub const DUE_AT_ONCE_MAX: usize = 2000;

/// What a schedule's `sk` begins with.
const SCHEDULE_PREFIX: &str = "schedule#";

/// A schedule as an item. `due_at` is its next slot; without one it is not in the index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ScheduleItem {
    pub(crate) pk: String,
    pub(crate) sk: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) due_pk: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) due_at: Option<String>,
    pub(crate) body: Schedule,
}

impl ScheduleItem {
    pub(crate) fn new(schedule: Schedule, next_slot: Option<Instant>) -> Self {
        let key = Key::schedule(&schedule.name);
        Self {
            pk: key.pk,
            sk: key.sk,
            due_pk: next_slot.map(|_| DUE_PK.to_owned()),
            due_at: next_slot.map(stamp),
            body: schedule,
        }
    }

    pub(crate) fn into_state(self) -> ScheduleState {
        ScheduleState {
            next_slot: self.due_at.as_deref().and_then(unstamp),
            schedule: self.body,
        }
    }
}

fn schedule_object(name: &ScheduleName) -> String {
    format!("schedule {name}")
}

/// Moves a schedule that is still at `from`.
pub(crate) fn advance(name: &ScheduleName, from: Instant, to: Option<Instant>) -> Write {
    let update = Expression::new().is(DUE.sk, "=", from).move_schedule(to);
    Write::Update(Key::schedule(name), update)
}

impl Expression {
    /// Moves the schedule to a slot, or out of the index.
    pub(crate) fn move_schedule(self, to: Option<Instant>) -> Self {
        match to {
            Some(at) => self.set(DUE.pk, DUE_PK).set(DUE.sk, at),
            None => self.remove(DUE.pk).remove(DUE.sk),
        }
    }
}

impl Catalog {
    /// A schedule with its next slot.
    pub async fn schedule(
        &self,
        name: &ScheduleName,
    ) -> Result<Option<ScheduleState>, CatalogError> {
        let item: Option<ScheduleItem> = self
            .get(&schedule_object(name), Key::schedule(name))
            .await?;
        Ok(item.map(ScheduleItem::into_state))
    }

    /// Every schedule, sorted by name.
    pub async fn schedules(&self) -> Result<Vec<ScheduleState>, CatalogError> {
        let condition = KeyCondition::partition(PK, CONFIG).begins_with(SK, SCHEDULE_PREFIX);
        let items: Vec<ScheduleItem> = self
            .query("the schedules", None, condition, true, None)
            .await?;
        Ok(items.into_iter().map(ScheduleItem::into_state).collect())
    }

    /// Schedules whose next slot is not later than `now`, longest due first, as of about a second
    /// ago; at most [`DUE_AT_ONCE_MAX`]. Costs one query, however many schedules there are, and a page
    /// more for every megabyte of those that are due.
    pub async fn due_schedules(&self, now: Instant) -> Result<Vec<ScheduleState>, CatalogError> {
        let condition = KeyCondition::partition(DUE.pk, DUE_PK).at_most(DUE.sk, now);
        let limit = Some(DUE_AT_ONCE_MAX);
        let items: Vec<ScheduleItem> = self
            .query("due schedules", Some(DUE), condition, true, limit)
            .await?;
        Ok(items.into_iter().map(ScheduleItem::into_state).collect())
    }

    /// Moves a schedule from the slot that was dispatched to its next one, or to none. False, and
    /// nothing changes, if its next slot is not `from`: another dispatcher or a new configuration
    /// moved it.
    pub async fn advance_schedule(
        &self,
        name: &ScheduleName,
        from: Instant,
        to: Option<Instant>,
    ) -> Result<bool, CatalogError> {
        let writes = vec![advance(name, from, to)];
        let outcome = self
            .transact("advance", &schedule_object(name), writes)
            .await?;
        Ok(outcome.is_done())
    }
}
