//! Capacity of locations: whether a backup fits, how full a location is, and the catalog's word about
//! that against what lies there.

use chrono::Utc;
use logisedge_catalog::{Catalog, Message};
use logisedge_domain::Instant;
use logisedge_domain::alert::{Alert, Resolution};
use logisedge_domain::capacity::{Level, LocationUsage, differs, expected_bytes};
use logisedge_domain::config::Config;
use logisedge_domain::format;
use logisedge_domain::id::{LocationName, ScopeName};
use logisedge_domain::run::Run;
use logisedge_domain::snapshot::Kind;
use tracing::warn;

use crate::prune::{Locations, chains_of};
use crate::{EngineError, EngineErrorKind};

/// Tries at telling a location's level while others tell theirs; the next look goes on.
const TELLING_TRIES_MAX: u32 = 5;

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

/// Looks at a location after what it holds has changed: notes that as today's, and tells the level that it
/// reaches or left. Nothing fails for that, and whoever looks next finds what was not told.
pub(crate) async fn look_at(catalog: &Catalog, location: &LocationName) {
    let looked = async {
        let usage = catalog.usage(location).await?;
        let today = Utc::now().date_naive();
        catalog.note_usage(&usage, today).await?;
        let max = capacity_of(catalog, location).await?;
        tell_level(catalog, usage, max).await
    };
    if let Err(error) = looked.await {
        warn!(%error, %location, "today's usage is not noted, or how full it is not told");
    }
}

/// Tells the levels of all locations that have another capacity by now.
pub(crate) async fn look_at_all(catalog: &Catalog, config: &Config) -> Result<(), EngineError> {
    for (name, location) in &config.locations {
        let usage = catalog.usage(name).await?;
        tell_level(catalog, usage, location.capacity_bytes_max()).await?;
    }
    Ok(())
}

/// Tells the level that a location is at, if it is another one than was told last. What is compared is
/// where it stands, not what a change did to that: of many small changes at once, none crosses a level.
async fn tell_level(
    catalog: &Catalog,
    mut usage: LocationUsage,
    max: Option<u64>,
) -> Result<(), EngineError> {
    for _ in 0..TELLING_TRIES_MAX {
        let level = max.and_then(|max| Level::of(usage.bytes(), max));
        if level == usage.level_told {
            return Ok(());
        }
        // Later than whatever was told before this state was read: an end counts only behind its beginning.
        let now = Utc::now();
        let told = difference(&usage, level, max, now);
        if catalog.tell_level(&usage, level, now, &told).await? {
            return Ok(());
        }
        // Somebody else told one, perhaps of an older state than this.
        usage = catalog.usage(&usage.location).await?;
    }
    Ok(())
}

/// What tells that a location is at another level than was told: the level, where it is higher; the end of
/// each that it left, where it is lower.
fn difference(
    usage: &LocationUsage,
    level: Option<Level>,
    max: Option<u64>,
    now: Instant,
) -> Vec<Message> {
    let (location, used) = (&usage.location, usage.bytes());
    if let (Some(level), Some(max)) = (level.filter(|_| level > usage.level_told), max) {
        let full_on = usage.full_on(max);
        let alert = Alert::storage_soon_full(location, used, max, level, full_on, now);
        return vec![Message::Alert(alert)];
    }
    let left = Level::ALL
        .into_iter()
        .filter(|one| Some(*one) > level && Some(*one) <= usage.level_told);
    left.map(|one| Message::Resolution(Resolution::below(location, one, used, max, now)))
        .collect()
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
        catalog.set_usage(name, scope, listed, now, &outbox).await?;
        look_at(catalog, name).await;
    }
    Ok(())
}
