//! Capacity of locations: whether a backup fits, how full a location is, and the catalog's word about
//! that against what lies there.

use chrono::Utc;
use logisedge_catalog::{Catalog, Message};
use logisedge_domain::Instant;
use logisedge_domain::alert::{Alert, Resolution};
use logisedge_domain::capacity::{Level, LocationUsage, differs, expected_bytes};
use logisedge_domain::format;
use logisedge_domain::id::{LocationName, ScopeName};
use logisedge_domain::run::Run;
use logisedge_domain::snapshot::Kind;
use tracing::warn;

use crate::prune::{Locations, chains_of};
use crate::{EngineError, EngineErrorKind};

/// Refuses a backup that is not expected to fit, before its first byte is written.
pub(crate) async fn require_room(
    catalog: &Catalog,
    run: &Run,
    kind: Kind,
) -> Result<(), EngineError> {
    let location = &run.location;
    let Some(max) = capacity_of(catalog, location).await? else {
        return Ok(());
    };
    let used = catalog.usage(location).await?.bytes();
    let records = catalog.snapshots(&run.scope).await?;
    let expected = expected_bytes(&records, location, kind).unwrap_or_default();
    if used.saturating_add(expected.max(1)) <= max {
        return Ok(());
    }
    Err(EngineError::new(
        EngineErrorKind::StorageFull,
        format!(
            "location {location} holds {} of {}, and this {} is expected to need {}, as the largest of \
             the last ones did: prune, keep less, or raise capacity_bytes_max",
            format::bytes(used),
            format::bytes(max),
            kind.as_str(),
            format::bytes(expected)
        ),
    ))
}

async fn capacity_of(
    catalog: &Catalog,
    location: &LocationName,
) -> Result<Option<u64>, EngineError> {
    let config = catalog.location(location).await?;
    Ok(config.and_then(|config| config.capacity_bytes_max()))
}

/// What a commit that adds so many bytes has to tell: that the location reaches a level with it. No backup
/// fails because that cannot be found out.
pub(crate) async fn reached(
    catalog: &Catalog,
    location: &LocationName,
    added: u64,
    now: Instant,
) -> Vec<Message> {
    match level(catalog, location, added, now).await {
        Ok(told) => told,
        Err(error) => {
            warn!(%error, %location, "how full it is cannot be told");
            Vec::new()
        }
    }
}

async fn level(
    catalog: &Catalog,
    location: &LocationName,
    added: u64,
    now: Instant,
) -> Result<Vec<Message>, EngineError> {
    let Some(max) = capacity_of(catalog, location).await? else {
        return Ok(Vec::new());
    };
    let usage = catalog.usage(location).await?;
    let before = usage.bytes();
    let level = Level::of(before.saturating_add(added), max);
    let Some(level) = level.filter(|level| Some(*level) > Level::of(before, max)) else {
        return Ok(Vec::new());
    };
    let used = before.saturating_add(added);
    let alert = Alert::storage_soon_full(location, used, max, level, usage.full_on(max), now);
    Ok(vec![Message::Alert(alert)])
}

/// Notes what a location holds today. No backup fails for that.
pub(crate) async fn note(catalog: &Catalog, location: &LocationName) {
    let noted = async {
        let usage = catalog.usage(location).await?;
        catalog.note_usage(&usage, Utc::now().date_naive()).await
    };
    if let Err(error) = noted.await {
        warn!(%error, %location, "today's usage is not noted");
    }
}

/// Lists what a scope holds at each of its locations and corrects the catalog, under the scope's lease.
/// A large difference is told where `tell` says that none is to be expected.
pub(crate) async fn reconcile(
    catalog: &Catalog,
    scope: &ScopeName,
    locations: &Locations,
    tell: bool,
) -> Result<(), EngineError> {
    for (name, location) in locations {
        let mut listed = 0;
        for chain in chains_of(location.store.as_ref(), scope).await? {
            let objects = location.store.list(&format!("{chain}/")).await?;
            listed += objects.iter().map(|object| object.bytes).sum::<u64>();
        }
        let now = Utc::now();
        let before = catalog.usage(name).await?;
        let known = before.scopes.get(scope).copied().unwrap_or_default();
        let mut outbox = Vec::new();
        if tell && known.listed_at.is_some() && differs(known.bytes, listed) {
            let alert = Alert::usage_differs(scope, name, known.bytes, listed, now);
            outbox.push(Message::Alert(alert));
        }
        if let Some(max) = capacity_of(catalog, name).await? {
            let used = before.bytes_of_others(scope).saturating_add(listed);
            outbox.extend(left_behind(&before, used, max, now));
        }
        catalog.set_usage(name, scope, listed, now, &outbox).await?;
        note(catalog, name).await;
    }
    Ok(())
}

/// The levels that a location is below of.
fn left_behind(usage: &LocationUsage, used: u64, max: u64, now: Instant) -> Vec<Message> {
    let below = Level::ALL
        .into_iter()
        .filter(|level| !level.is_reached(used, max) && level.is_reached(usage.bytes(), max));
    below
        .map(|level| Message::Resolution(Resolution::below(&usage.location, level, used, now)))
        .collect()
}
