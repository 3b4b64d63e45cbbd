//! What the tests begin with: a catalog with a configuration, a location, a database.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeZone, Utc};
use logisedge_catalog::{Catalog, Message};
use logisedge_domain::Instant;
use logisedge_domain::alert::{Alert, AlertKind, Resolution};
use logisedge_domain::config::Config;
use logisedge_domain::id::{RunId, ScheduleName, ScopeName};
use logisedge_domain::run::Run;
use logisedge_domain::snapshot::{Kind, SnapshotRecord};
use logisedge_domain::storage::LockMode;
use logisedge_engine::attempt::{Attempted, Places, attempt};
use logisedge_engine::dispatch::Dispatched;
use logisedge_engine::prune::{Location, Locations};
use logisedge_engine::{EngineError, Progress, configure, dispatch};
use logisedge_repository::prune::Prices;
use logisedge_repository::{KeyCost, Options, Password};
use logisedge_runtime::Aws;
use logisedge_sources::{Source, SqliteSource};
use logisedge_storage::{FolderStore, ObjectStore};
use tempfile::TempDir;

/// Rows of the table `customers` in [`World::database`].
pub(crate) const CUSTOMERS: u64 = 300;

pub(crate) async fn catalog() -> Catalog {
    assert!(
        std::env::var_os("AWS_ENDPOINT_URL").is_some(),
        "AWS_ENDPOINT_URL is not set: run tests/run, which starts an emulator of DynamoDB"
    );
    let name = format!("engine-{:016x}", getrandom::u64().unwrap());
    let client = Aws::from_env().await.dynamodb();
    Catalog::create_table(client, name).await.unwrap()
}

/// So many seconds after 24 November 2026, 02:00 UTC.
pub(crate) fn at(seconds: i64) -> Instant {
    Utc.with_ymd_and_hms(2026, 11, 24, 2, 0, 0).unwrap() + chrono::TimeDelta::seconds(seconds)
}

pub(crate) fn scope(name: &str) -> ScopeName {
    name.parse().unwrap()
}

pub(crate) fn daily() -> ScheduleName {
    "daily".parse().unwrap()
}

pub(crate) const PASSWORD: &str = "a password of the tests";

pub(crate) fn password() -> Password {
    Password::new(PASSWORD.to_owned())
}

/// A cheap key and small blobs: many objects out of little content.
pub(crate) fn options() -> Options {
    Options {
        pack_bytes: 4 << 20,
        chunk_bytes_average: 4 << 10,
        key_cost: KeyCost {
            n_log2: 6,
            r: 8,
            p: 1,
        },
        ..Options::default()
    }
}

/// The schedule `daily` of two scopes at 02:00 UTC, with whatever else `more` says of it, and the
/// schedule `often` of one.
pub(crate) fn config(more: &str) -> Config {
    let begin = include_str!("../begin.toml");
    let text = format!(
        r#"
        {begin}
        [scopes.customers]
        preset = "customers"
        [scopes.items]
        preset = "items"
        [scopes.everything]
        preset = "full-database"
        [scopes.unscheduled]
        preset = "documents"
        [schedules.daily]
        every = "day"
        at = "02:00"
        scopes = ["customers", "items"]
        {more}
        [schedules.often]
        every = "15 minutes"
        enabled = false
        scopes = ["everything"]
        "#
    );
    Config::parse(&text, "test.toml").unwrap_or_else(|problems| panic!("{problems}"))
}

/// A catalog, a location and a database.
pub(crate) struct World {
    pub(crate) catalog: Catalog,
    pub(crate) folder: TempDir,
    pub(crate) store: Arc<dyn ObjectStore>,
    /// As the location `main` is configured.
    pub(crate) lock_mode: Option<LockMode>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with("").await
    }

    /// With more lines in the schedule `daily`.
    pub(crate) async fn with(more: &str) -> Self {
        Self::of(&config(more)).await
    }

    /// With another configuration, of the same sources, locations and scopes.
    pub(crate) async fn of(config: &Config) -> Self {
        let catalog = catalog().await;
        // Just after the slot of the day before.
        configure::apply(&catalog, config, at(-86_400))
            .await
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::create(folder.path().join("location")).unwrap();
        let world = Self {
            catalog,
            store: Arc::new(store),
            folder,
            lock_mode: None,
        };
        write_database(&world.database());
        world
    }

    pub(crate) fn location(&self) -> PathBuf {
        self.folder.path().join("location")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("erp.db")
    }

    pub(crate) fn source(&self) -> Box<dyn Source> {
        Box::new(SqliteSource::new(self.database()))
    }

    /// Records a run of `scope_name` as an operator's request.
    pub(crate) async fn request(&self, scope_name: &str) -> RunId {
        let token = format!("{:016x}", getrandom::u64().unwrap());
        self.request_at(scope_name, &token, Utc::now()).await
    }

    /// The same, of a kind that may be another than the schedule's.
    pub(crate) async fn request_kind(&self, scope_name: &str, kind: Option<Kind>) -> RunId {
        let token = format!("{:016x}", getrandom::u64().unwrap());
        let (schedule, scopes) = (daily(), [scope(scope_name)]);
        let now = Utc::now();
        let asked = dispatch::run_now(&self.catalog, Some(&schedule), &scopes, kind, &token, now);
        asked.await.unwrap().requested.remove(0)
    }

    pub(crate) async fn request_at(&self, scope_name: &str, token: &str, now: Instant) -> RunId {
        let (schedule, scopes) = (daily(), [scope(scope_name)]);
        let asked = dispatch::run_now(&self.catalog, Some(&schedule), &scopes, None, token, now);
        asked.await.unwrap().requested.remove(0)
    }

    /// What an attempt works with.
    pub(crate) async fn places(&self, run: &Run, source: Box<dyn Source>) -> Places {
        Places {
            source,
            scope: self.catalog.scope(&run.scope).await.unwrap().unwrap(),
            store: self.store.clone(),
            password: password(),
            options: options(),
            memory_bytes_max: None,
            lock_mode: self.lock_mode,
        }
    }

    /// Attempts a run with everything as it should be.
    pub(crate) async fn attempt(&self, id: &RunId) -> Attempted {
        self.attempt_from(id, self.source()).await
    }

    /// Attempts a run with another source.
    pub(crate) async fn attempt_from(&self, id: &RunId, source: Box<dyn Source>) -> Attempted {
        self.attempt_with(id, None, async |run: Run| {
            Ok(self.places(&run, source).await)
        })
        .await
        .unwrap()
    }

    pub(crate) async fn attempt_with<F>(
        &self,
        id: &RunId,
        time_left: Option<Duration>,
        open: impl FnOnce(Run) -> F,
    ) -> Result<Attempted, EngineError>
    where
        F: Future<Output = Result<Places, EngineError>>,
    {
        let progress = Progress::new();
        attempt(&self.catalog, id, "test", time_left, &progress, open).await
    }

    /// Backs a scope up and returns its snapshot.
    pub(crate) async fn back_up(&self, scope_name: &str) -> SnapshotRecord {
        let run = self.request(scope_name).await;
        match self.attempt(&run).await {
            Attempted::Succeeded(taken) => taken.record,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn run(&self, id: &RunId) -> Run {
        self.catalog.run(id).await.unwrap().unwrap()
    }

    pub(crate) async fn messages(&self) -> Vec<Message> {
        let stored = self.catalog.outbox(10_000).await.unwrap();
        stored.into_iter().map(|(_, message)| message).collect()
    }

    pub(crate) async fn alerts(&self) -> Vec<Alert> {
        let alert = |message| match message {
            Message::Alert(alert) => Some(alert),
            _ => None,
        };
        self.messages()
            .await
            .into_iter()
            .filter_map(alert)
            .collect()
    }

    pub(crate) async fn alerts_of(&self, kind: AlertKind) -> Vec<Alert> {
        let mut alerts = self.alerts().await;
        alerts.retain(|alert| alert.kind == kind);
        alerts
    }

    pub(crate) async fn resolutions(&self) -> Vec<Resolution> {
        let resolution = |message| match message {
            Message::Resolution(resolution) => Some(resolution),
            _ => None,
        };
        self.messages()
            .await
            .into_iter()
            .filter_map(resolution)
            .collect()
    }

    /// Whether an end was told of what an alert is about.
    pub(crate) async fn has_ended(&self, alert: &Alert) -> bool {
        let cause = alert.cause();
        let resolutions = self.resolutions().await;
        resolutions.iter().any(|said| said.ends(&cause))
    }

    /// Whether the scope's lease can be taken.
    pub(crate) async fn is_free(&self, scope_name: &str) -> bool {
        let (name, now) = (scope(scope_name), Utc::now());
        let held = self
            .catalog
            .begin_exclusive(&name, "a look", now, Duration::from_secs(60));
        match held.await.unwrap() {
            Some(fence) => self.catalog.release(&name, fence).await.unwrap(),
            None => false,
        }
    }

    /// The location as prune takes it.
    pub(crate) fn locations(&self) -> Locations {
        let mut locations = locations(self.store.clone());
        for location in locations.values_mut() {
            location.lock_mode = self.lock_mode;
        }
        locations
    }

    /// Every object at the location, without the folder's own temporary files.
    pub(crate) async fn objects(&self) -> Vec<String> {
        let objects = self.store.list("").await.unwrap();
        objects.into_iter().map(|object| object.key).collect()
    }
}

/// The minute's work, all of it, as the dispatcher does it.
pub(crate) async fn tick(catalog: &Catalog, now: Instant) -> Result<Dispatched, EngineError> {
    let mut done = dispatch::tick(catalog, now).await?;
    dispatch::tell_due(catalog, now, &mut done).await;
    Ok(done)
}

/// A store as the location `main`, as prune takes it.
pub(crate) fn locations(store: Arc<dyn ObjectStore>) -> Locations {
    let location = Location {
        store,
        password: password(),
        prices: Prices::folder(),
        lock_mode: None,
    };
    [("main".parse().unwrap(), location)].into()
}

/// A small ERP: customers, items, and a table that no preset but the whole database has.
pub(crate) fn write_database(path: &std::path::Path) {
    let db = rusqlite::Connection::open(path).unwrap();
    db.execute_batch(&format!(
        "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, note TEXT);
         CREATE TABLE items (id INTEGER PRIMARY KEY, sku TEXT, price NUMERIC);
         CREATE TABLE warehouses (id INTEGER PRIMARY KEY, name TEXT);
         CREATE TABLE stock_levels (item INTEGER, quantity INTEGER);
         CREATE TABLE suppliers (id INTEGER PRIMARY KEY, name TEXT);
         CREATE TABLE settings (name TEXT PRIMARY KEY, value BLOB);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {CUSTOMERS})
         INSERT INTO customers SELECT i, 'Customer ' || i, hex(zeroblob(i % 60)) || i * 7919 FROM n;
         INSERT INTO items SELECT id, 'SKU-' || id, id * 1.25 FROM customers LIMIT 100;
         INSERT INTO warehouses VALUES (1, 'North'), (2, 'South');
         INSERT INTO stock_levels SELECT id, id % 9 FROM items;
         INSERT INTO suppliers VALUES (1, 'Supplier');
         INSERT INTO settings VALUES ('logo', x'00ff10');"
    ))
    .unwrap();
}
