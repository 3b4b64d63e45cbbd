//! How much of each location is used: by scope, so that no two scopes wait for each other's commits; and
//! the level of that which was told.

use chrono::NaiveDate;
use logisedge_domain::Instant;
use logisedge_domain::capacity::{Level, LocationUsage, ScopeUsage, TREND_DAYS};
use logisedge_domain::id::{LocationName, ScopeName};
use serde::{Deserialize, Serialize};

use crate::expression::{Expression, KeyCondition, Write, typed};
use crate::keys::{Key, PK, usage_pk};
use crate::outbox::outbox_writes;
use crate::{Catalog, CatalogError, Message};

/// Days of a location's usage that are kept: some more than the forecast needs.
const DAYS_KEPT: usize = TREND_DAYS + 10;

/// What a scope uses of a location, or what all of them used on a day or when a level was told, as an item.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct UsageItem {
    pk: String,
    sk: String,
    bytes: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    listed_at: Option<Instant>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    level: Option<Level>,
}

mod path {
    pub(super) const BYTES: &str = "bytes";
    pub(super) const LEVEL: &str = "level";
    pub(super) const LISTED_AT: &str = "listed_at";
}

fn object(location: &LocationName) -> String {
    format!("the usage of location {location}")
}

/// The write that adds to what a scope uses.
pub(crate) fn add_usage(location: &LocationName, scope: &ScopeName, bytes: u64) -> Write {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    let update = Expression::new().add_number(path::BYTES, bytes);
    Write::Update(Key::usage_of_scope(location, scope), update)
}

impl Catalog {
    /// How much of a location is used, as of now.
    pub async fn usage(&self, location: &LocationName) -> Result<LocationUsage, CatalogError> {
        let condition = KeyCondition::partition(PK, &usage_pk(location));
        let items: Vec<UsageItem> = self
            .query(&object(location), None, condition, true, None)
            .await?;
        let mut usage = LocationUsage {
            location: location.clone(),
            scopes: std::collections::BTreeMap::new(),
            days: Vec::new(),
            level_told: None,
        };
        for item in items {
            match item.sk.split_once('#') {
                Some(("scope", name)) => {
                    let scope = name
                        .parse()
                        .map_err(|e| CatalogError::corrupt("list", object(location), e))?;
                    let (bytes, listed_at) = (item.bytes, item.listed_at);
                    usage.scopes.insert(scope, ScopeUsage { bytes, listed_at });
                }
                Some(("day", day)) => {
                    let day = day
                        .parse()
                        .map_err(|e| CatalogError::corrupt("list", object(location), e))?;
                    let bytes = u64::try_from(item.bytes).unwrap_or_default();
                    usage.days.push((day, bytes));
                }
                None if item.sk == Key::usage_told(location).sk => usage.level_told = item.level,
                // Written by a newer program.
                _ => {}
            }
        }
        Ok(usage)
    }

    /// Adds what was written for a scope and belongs to no commit.
    pub async fn add_usage(
        &self,
        location: &LocationName,
        scope: &ScopeName,
        bytes: u64,
    ) -> Result<(), CatalogError> {
        let writes = vec![add_usage(location, scope, bytes)];
        self.transact("add to", &object(location), writes).await?;
        Ok(())
    }

    /// Records what was listed of a scope, with what tells of it.
    pub async fn set_usage(
        &self,
        location: &LocationName,
        scope: &ScopeName,
        listed: u64,
        now: Instant,
        outbox: &[Message],
    ) -> Result<(), CatalogError> {
        let object = object(location);
        let bytes = i64::try_from(listed).unwrap_or(i64::MAX);
        let listed_at = typed(&now).map_err(|e| CatalogError::corrupt("record", &object, e))?;
        let update = Expression::new()
            .set(path::BYTES, bytes)
            .set(path::LISTED_AT, listed_at);
        let mut writes = vec![Write::Update(Key::usage_of_scope(location, scope), update)];
        writes.extend(outbox_writes("record", outbox, now)?);
        self.transact("record", &object, writes).await?;
        Ok(())
    }

    /// Records that a location has reached another level than was told last, or is below all of them, with
    /// what tells it. False, and nothing changes, if somebody told another one since it was read.
    pub async fn tell_level(
        &self,
        read: &LocationUsage,
        level: Option<Level>,
        now: Instant,
        outbox: &[Message],
    ) -> Result<bool, CatalogError> {
        let object = object(&read.location);
        let typed = |level: Option<Level>| {
            let value = level.map(|level| typed(&level)).transpose();
            value.map_err(|e| CatalogError::corrupt("record", &object, e))
        };
        let bytes = i64::try_from(read.bytes()).unwrap_or(i64::MAX);
        let update = Expression::new()
            .still(path::LEVEL, typed(read.level_told)?)
            .set(path::BYTES, bytes);
        let update = match typed(level)? {
            Some(level) => update.set(path::LEVEL, level),
            None => update.remove(path::LEVEL),
        };
        let mut writes = vec![Write::Update(Key::usage_told(&read.location), update)];
        writes.extend(outbox_writes("record", outbox, now)?);
        Ok(self.transact("record", &object, writes).await?.is_done())
    }

    /// Records what all scopes use as the day's, and forgets days that no forecast needs any more.
    pub async fn note_usage(
        &self,
        usage: &LocationUsage,
        day: NaiveDate,
    ) -> Result<(), CatalogError> {
        let object = object(&usage.location);
        let bytes = i64::try_from(usage.bytes()).unwrap_or(i64::MAX);
        let update = Expression::new().set(path::BYTES, bytes);
        let writes = vec![Write::Update(Key::usage_on(&usage.location, day), update)];
        self.transact("record", &object, writes).await?;
        let surplus = usage.days.len().saturating_sub(DAYS_KEPT);
        let old = usage.days[..surplus].iter();
        let old = old.map(|(day, _)| Key::usage_on(&usage.location, *day));
        self.delete_all(&object, old.collect()).await
    }
}
