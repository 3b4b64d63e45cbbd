//! The configuration: reading it, and changing it to another one.

use std::collections::BTreeMap;

use logisedge_domain::Instant;
use logisedge_domain::alert::AlertSettings;
use logisedge_domain::config::{Config, LocationConfig, SourceConfig};
use logisedge_domain::id::{LocationName, ScheduleName, ScopeName, SourceName};
use logisedge_domain::schedule::Schedule;
use logisedge_domain::scope::Scope;
use serde::{Deserialize, Serialize};

use crate::expression::{Expression, Item, KeyCondition, Write, typed};
use crate::keys::{CONFIG, Key, PK, SK};
use crate::schedules::ScheduleItem;
use crate::table::{Outcome, TRANSACTION_WRITES_MAX, decode};
use crate::{Catalog, CatalogError};

const OBJECT: &str = "the configuration";

/// Paths of the attributes that are changed in place.
mod path {
    pub(super) const BODY: &str = "body";
    pub(super) const VERSION: &str = "version";
    pub(super) const APPLIED_AT: &str = "applied_at";
}

/// What [`Catalog::apply`] changed, as `schedule daily`, `scope customers`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// New ones.
    pub added: Vec<String>,
    /// Changed ones.
    pub changed: Vec<String>,
    /// Deleted ones.
    pub deleted: Vec<String>,
}

/// A source, location or scope as an item.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ConfigItem<T> {
    pk: String,
    sk: String,
    body: T,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct VersionItem {
    version: u64,
}

/// What is stored now.
#[derive(Default)]
struct Stored {
    version: u64,
    config: Config,
}

/// One item that differs.
enum Change<'a> {
    Body(Item),
    Schedule(&'a Schedule, Option<&'a Schedule>),
    Gone(Key),
}

impl Catalog {
    /// The whole configuration, as of now. Empty if none was applied.
    pub async fn load_config(&self) -> Result<Config, CatalogError> {
        Ok(self.stored_config().await?.config)
    }

    async fn stored_config(&self) -> Result<Stored, CatalogError> {
        let condition = KeyCondition::partition(PK, CONFIG);
        let items = self
            .query_items(OBJECT, None, condition, true, None)
            .await?;
        let mut stored = Stored::default();
        for item in items {
            let sk = item.get(SK).and_then(|v| v.as_s().ok());
            let sk = sk.cloned().unwrap_or_default();
            let config = &mut stored.config;
            let name_error = |e| CatalogError::corrupt("read", format!("item {sk:?}"), e);
            match sk.split_once('#') {
                Some(("source", name)) => {
                    let name = SourceName::new(name).map_err(name_error)?;
                    config.sources.insert(name, body(&sk, item)?);
                }
                Some(("location", name)) => {
                    let name = LocationName::new(name).map_err(name_error)?;
                    config.locations.insert(name, body(&sk, item)?);
                }
                Some(("scope", name)) => {
                    let name = ScopeName::new(name).map_err(name_error)?;
                    config.scopes.insert(name, body(&sk, item)?);
                }
                Some(("schedule", _)) => config.schedules.push(body(&sk, item)?),
                _ if sk == Key::alert_settings().sk => config.alerts = body(&sk, item)?,
                _ if sk == Key::config_version().sk => {
                    stored.version = decode::<VersionItem>("read", OBJECT, item)?.version;
                }
                // Written by a newer program.
                _ => {}
            }
        }
        Ok(stored)
    }

    /// Makes `config` the configuration: puts what is new or differs, deletes what is not in it.
    ///
    /// `next_slots` gives the next slot of each schedule that is new, or whose calendar, zone or
    /// being enabled changed; any other schedule keeps the slot it has, so that applying the same
    /// configuration again neither repeats nor skips one. `Conflict` if somebody else applies one
    /// at the same time. Up to 99 differences change at once; more than that change in several
    /// steps, after each of which the configuration is one that works.
    pub async fn apply(
        &self,
        config: &Config,
        now: Instant,
        next_slots: &BTreeMap<ScheduleName, Option<Instant>>,
    ) -> Result<Applied, CatalogError> {
        let stored = self.stored_config().await?;
        let mut applied = Applied::default();
        let changes = changes(&stored.config, config, &mut applied)?;
        let writes = changes
            .into_iter()
            .map(|change| change_write(change, next_slots))
            .collect::<Result<Vec<_>, _>>()?;
        let mut version = stored.version;
        for chunk in writes.chunks(TRANSACTION_WRITES_MAX - 1) {
            let read = (version > 0).then_some(version);
            version += 1;
            let bump = Expression::new()
                .still(path::VERSION, read)
                .set(path::VERSION, version)
                .set(path::APPLIED_AT, now);
            let mut writes = vec![Write::Update(Key::config_version(), bump)];
            writes.extend_from_slice(chunk);
            if let Outcome::Refused(_) = self.transact("apply", OBJECT, writes).await? {
                return Err(CatalogError::conflict("apply", OBJECT));
            }
        }
        Ok(applied)
    }

    /// How alerts are told.
    pub async fn alert_settings(&self) -> Result<AlertSettings, CatalogError> {
        let read = self
            .config_item("how alerts are told".to_owned(), Key::alert_settings())
            .await?;
        Ok(read.unwrap_or_default())
    }

    /// A source's configuration.
    pub async fn source(&self, name: &SourceName) -> Result<Option<SourceConfig>, CatalogError> {
        self.config_item(format!("source {name}"), Key::source(name))
            .await
    }

    /// A location's configuration.
    pub async fn location(
        &self,
        name: &LocationName,
    ) -> Result<Option<LocationConfig>, CatalogError> {
        self.config_item(format!("location {name}"), Key::location(name))
            .await
    }

    /// A scope.
    pub async fn scope(&self, name: &ScopeName) -> Result<Option<Scope>, CatalogError> {
        self.config_item(format!("scope {name}"), Key::scope(name))
            .await
    }

    /// Every scope, sorted by name.
    pub async fn scopes(&self) -> Result<Vec<Scope>, CatalogError> {
        let condition = KeyCondition::partition(PK, CONFIG).begins_with(SK, "scope#");
        let items: Vec<ConfigItem<Scope>> = self
            .query("the scopes", None, condition, true, None)
            .await?;
        Ok(items.into_iter().map(|item| item.body).collect())
    }

    async fn config_item<T: serde::de::DeserializeOwned>(
        &self,
        object: String,
        key: Key,
    ) -> Result<Option<T>, CatalogError> {
        let item: Option<ConfigItem<T>> = self.get(&object, key).await?;
        Ok(item.map(|item| item.body))
    }
}

fn body<T: serde::de::DeserializeOwned>(sk: &str, item: Item) -> Result<T, CatalogError> {
    let item: ConfigItem<T> = decode("read", &format!("item {sk:?}"), item)?;
    Ok(item.body)
}

/// What differs, in an order in which each step leaves nothing that names something missing: what
/// is named before what names it, and deletions the other way round.
fn changes<'a>(
    old: &'a Config,
    new: &'a Config,
    applied: &mut Applied,
) -> Result<Vec<Change<'a>>, CatalogError> {
    let mut changes = Vec::new();
    let mut gone = Vec::new();
    compare(
        "source",
        &old.sources,
        &new.sources,
        Key::source,
        applied,
        &mut changes,
        &mut gone,
    )?;
    compare(
        "location",
        &old.locations,
        &new.locations,
        Key::location,
        applied,
        &mut changes,
        &mut gone,
    )?;
    compare(
        "scope",
        &old.scopes,
        &new.scopes,
        Key::scope,
        applied,
        &mut changes,
        &mut gone,
    )?;
    let settings = |config: &'a Config| {
        let set = (!config.alerts.is_default()).then_some(&config.alerts);
        set.map(|alerts| ("of all schedules", alerts))
            .into_iter()
            .collect::<BTreeMap<_, _>>()
    };
    compare(
        "alerts",
        &settings(old),
        &settings(new),
        |_| Key::alert_settings(),
        applied,
        &mut changes,
        &mut gone,
    )?;
    let by_name = |config: &'a Config| -> BTreeMap<&'a ScheduleName, &'a Schedule> {
        let schedules = config.schedules.iter();
        schedules
            .map(|schedule| (&schedule.name, schedule))
            .collect()
    };
    let (olds, news) = (by_name(old), by_name(new));
    for schedule in &new.schedules {
        let before = olds.get(&schedule.name).copied();
        let named = format!("schedule {}", schedule.name);
        match before {
            Some(before) if before == schedule => continue,
            Some(_) => applied.changed.push(named),
            None => applied.added.push(named),
        }
        changes.push(Change::Schedule(schedule, before));
    }
    for schedule in &old.schedules {
        if !news.contains_key(&schedule.name) {
            applied.deleted.push(format!("schedule {}", schedule.name));
            gone.push(Change::Gone(Key::schedule(&schedule.name)));
        }
    }
    changes.extend(gone.into_iter().rev());
    Ok(changes)
}

fn compare<'a, N, T>(
    what: &str,
    old: &BTreeMap<N, T>,
    new: &BTreeMap<N, T>,
    key: impl Fn(&N) -> Key,
    applied: &mut Applied,
    changes: &mut Vec<Change<'a>>,
    gone: &mut Vec<Change<'a>>,
) -> Result<(), CatalogError>
where
    N: Ord + std::fmt::Display,
    T: PartialEq + Serialize,
{
    for (name, value) in new {
        let before = old.get(name);
        if before == Some(value) {
            continue;
        }
        let named = format!("{what} {name}");
        let Key { pk, sk } = key(name);
        let item = serde_dynamo::to_item(ConfigItem {
            pk,
            sk,
            body: value,
        })
        .map_err(|e| CatalogError::corrupt("apply", &named, e))?;
        changes.push(Change::Body(item));
        match before {
            Some(_) => applied.changed.push(named),
            None => applied.added.push(named),
        }
    }
    for name in old.keys().filter(|name| !new.contains_key(name)) {
        applied.deleted.push(format!("{what} {name}"));
        gone.push(Change::Gone(key(name)));
    }
    Ok(())
}

fn change_write(
    change: Change<'_>,
    next_slots: &BTreeMap<ScheduleName, Option<Instant>>,
) -> Result<Write, CatalogError> {
    Ok(match change {
        Change::Body(item) => Write::Put(item, Expression::new()),
        Change::Gone(key) => Write::Delete(key, Expression::new()),
        Change::Schedule(schedule, before) => {
            let corrupt =
                |e| CatalogError::corrupt("apply", format!("schedule {}", schedule.name), e);
            let next = next_slots.get(&schedule.name).copied().flatten();
            match before {
                None => {
                    let item = ScheduleItem::new(schedule.clone(), next);
                    let item = serde_dynamo::to_item(item).map_err(corrupt)?;
                    Write::Put(item, Expression::new())
                }
                Some(before) => {
                    let body = typed(schedule).map_err(corrupt)?;
                    let update = Expression::new().set(path::BODY, body);
                    // The dispatcher may be moving it right now: its slot is left alone.
                    let update = if before.is_due_alike(schedule) {
                        update
                    } else {
                        update.move_schedule(next)
                    };
                    Write::Update(Key::schedule(&schedule.name), update)
                }
            }
        }
    })
}
