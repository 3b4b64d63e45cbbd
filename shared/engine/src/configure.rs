//! Making a configuration the one in force.

use std::collections::BTreeMap;

use logisedge_catalog::Catalog;
use logisedge_domain::Instant;
use logisedge_domain::config::Config;
use logisedge_domain::id::ScheduleName;

use crate::EngineError;

/// When each schedule of `config` is due first after `now`. None: it is disabled, or its calendar
/// has ended.
pub fn next_slots(config: &Config, now: Instant) -> BTreeMap<ScheduleName, Option<Instant>> {
    let next = |schedule: &logisedge_domain::schedule::Schedule| {
        schedule
            .enabled
            .then(|| schedule.calendar.next_after(schedule.zone, now))
            .flatten()
    };
    config
        .schedules
        .iter()
        .map(|schedule| (schedule.name.clone(), next(schedule)))
        .collect()
}

/// Applies `config`. A schedule that did not change keeps its next slot, so that applying the same
/// configuration again neither repeats nor skips one.
pub async fn apply(catalog: &Catalog, config: &Config, now: Instant) -> Result<(), EngineError> {
    catalog.apply(config, now, &next_slots(config, now)).await?;
    Ok(())
}
