//! Making a configuration the one in force.

use std::collections::BTreeMap;

use logisedge_catalog::Catalog;
use logisedge_domain::Instant;
use logisedge_domain::config::Config;
use logisedge_domain::id::{ScheduleName, ScopeName};
use logisedge_domain::plan::plan_slot;
use logisedge_domain::schedule::Schedule;

use crate::EngineError;
use crate::capacity::look_at_all;
use crate::dispatch::{Dispatched, dispatch_slots};
use crate::relocation;
use crate::unconfigured::end_unconfigured;

/// When each schedule of `config` is due first after `now`. None: it is disabled, or its calendar
/// has ended.
pub fn next_slots(config: &Config, now: Instant) -> BTreeMap<ScheduleName, Option<Instant>> {
    let next = |schedule: &Schedule| {
        schedule
            .enabled
            .then(|| schedule.next_slot_after(now))
            .flatten()
    };
    config
        .schedules
        .iter()
        .map(|schedule| (schedule.name.clone(), next(schedule)))
        .collect()
}

/// Whether `config` can take the place of the one in force.
///
/// # Errors
/// `Refused` where a location would lie elsewhere and snapshots lie where it was.
pub async fn check(catalog: &Catalog, config: &Config) -> Result<(), EngineError> {
    relocation::refuse(catalog, config).await
}

/// Applies `config`. A schedule that is due as before keeps its next slot, so that applying the same
/// configuration again neither repeats nor skips one. Where one is overdue that is due otherwise from now
/// on, or not at all, its slots up to `now` are dispatched first, as its form until now says: those runs
/// are returned, and the next tick asks for them.
///
/// # Errors
/// `Refused` as by [`check`], and nothing changes.
pub async fn apply(
    catalog: &Catalog,
    config: &Config,
    now: Instant,
) -> Result<Dispatched, EngineError> {
    check(catalog, config).await?;
    let names = config.schedules.iter().map(|after| (&after.name, after));
    let names: BTreeMap<&ScheduleName, &Schedule> = names.collect();
    let stays = |before: &Schedule| {
        let after = names.get(&before.name);
        after.is_some_and(|after| before.is_due_alike(after))
    };
    let mut done = Dispatched::default();
    for state in catalog.schedules().await? {
        if stays(&state.schedule) {
            continue;
        }
        if let Some(plan) = plan_slot(&state, now) {
            let dispatched = dispatch_slots(catalog, &state, plan, now, now).await;
            done.add(Ok(dispatched));
        }
    }
    if let Some(error) = done.failure.take() {
        return Err(error);
    }
    catalog.apply(config, now, &next_slots(config, now)).await?;
    look_at_all(catalog, config).await?;
    end_unconfigured(catalog, config, now).await?;
    // Each is looked at by the next tick, which finds out when it is due again.
    let watched = config.scopes.values().filter(|s| s.rpo_seconds.is_some());
    let watched: Vec<ScopeName> = watched.map(|scope| scope.name.clone()).collect();
    catalog.watch(&watched, now).await?;
    let digest = config
        .alerts
        .digest
        .and_then(|digest| digest.next_after(now));
    catalog.schedule_digest(digest, now).await?;
    Ok(done)
}
