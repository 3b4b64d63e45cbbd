//! Restoring into a PostgreSQL database: schema, rows in parallel, then what is built on rows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::try_join_all;
use logisedge_domain::manifest::{ContentHash, Manifest, RowFormat, TableEntry};
use tokio::sync::{Semaphore, mpsc};

use super::builds::{Builds, Worker};
use super::failure::{failed, refused};
use super::options::PostgresOptions;
use super::replay::{Script, Tolerance};
use super::session::Session;
use super::statistics::Statistics;
use super::{catalog, files, large_objects, load, occupied, post_data, snapshot};
use crate::{RestoreFile, RowHasher, SourceError, SourceErrorKind, Target, TargetState};

/// No statement of a restore waits until it is durable: what a crash of the server would undo is a
/// restore that has not ended, and its end waits for all of it. Index builds get as much memory as
/// half of the server's buffers give when divided among the connections, unless it is set to more.
const SETTINGS: &str = "SET synchronous_commit = off;";

/// Writes a record to the log and waits until it is durable, as the server's own settings want it,
/// and so is everything before it.
const DURABLE: &str = "RESET synchronous_commit; SELECT pg_logical_emit_message(true, 'logisedge-backup', 'restored')";

/// As long as the server may take by itself, for those that do not let everyone write to the log.
/// <https://www.postgresql.org/docs/current/wal-async-commit.html>
const DURABLE_BY_ITSELF: &str =
    "SELECT pg_sleep(3 * extract(epoch FROM current_setting('wal_writer_delay')::interval))";

/// A PostgreSQL database that snapshots of PostgreSQL databases can be restored to.
///
/// The database itself has to exist, and the roles that the snapshot names have to exist on its
/// server. `begin` with `overwrite` drops everything in that database that a `pg_dump` of it would
/// hold: every schema but the system's with all it contains (`public` is made anew), extensions,
/// event triggers, publications, foreign-data wrappers, languages, casts, database-wide default
/// privileges and large objects. It touches no other
/// database, no role and no tablespace.
#[derive(Debug, Clone)]
pub struct PostgresTarget {
    options: PostgresOptions,
    tolerance: Tolerance,
    turns: Arc<Semaphore>,
    free: Arc<Mutex<Vec<Session>>>,
    warnings: Arc<Mutex<Vec<String>>>,
}

impl PostgresTarget {
    /// A target; nothing is connected before the first call.
    pub fn new(options: PostgresOptions) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(options.connections.max(1))),
            options,
            tolerance: Tolerance::Nothing,
            free: Arc::default(),
            warnings: Arc::default(),
        }
    }

    /// Restores even where roles are missing or this role may not give things away: owners,
    /// grants, default privileges and policies that cannot be set are left out, and
    /// [`Self::warnings`] tells which. Data is never left out.
    #[must_use]
    pub fn skip_missing_roles(mut self) -> Self {
        self.tolerance = Tolerance::OwnersAndGrants;
        self
    }

    /// What was left out so far, for people.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    /// A script of the snapshot. None where it has none and needs none.
    fn script<'a>(
        &self,
        path: &'a str,
        schema: &'a BTreeMap<String, Bytes>,
    ) -> Result<Option<Script<'a>>, SourceError> {
        let Some(script) = schema.get(path) else {
            return match path {
                files::PRE_DATA | files::POST_DATA => Err(failed(
                    SourceErrorKind::NotFound,
                    "restore",
                    self.options.place(),
                    format!("the snapshot has no {path}; it is not one of a PostgreSQL database"),
                )),
                _ => Ok(None),
            };
        };
        let text = std::str::from_utf8(script).map_err(|_| {
            failed(
                SourceErrorKind::Failed,
                "read",
                path,
                "the script is not UTF-8",
            )
        })?;
        Ok(Some(Script {
            path,
            text,
            tolerance: self.tolerance,
        }))
    }

    /// Runs a script file on a connection of its own, because scripts change settings.
    async fn replay(
        &self,
        path: &str,
        schema: &BTreeMap<String, Bytes>,
    ) -> Result<(), SourceError> {
        if let Some(script) = self.script(path, schema)? {
            let session = self.open().await?;
            self.warn(script.run(&session).await?);
        }
        Ok(())
    }

    /// Runs the post-data script: indexes and keys side by side on all connections.
    async fn build(
        &self,
        manifest: &Manifest,
        schema: &BTreeMap<String, Bytes>,
    ) -> Result<(), SourceError> {
        let Some(script) = self.script(files::POST_DATA, schema)? else {
            return Ok(());
        };
        let Some(plan) = post_data::plan(script.text) else {
            tracing::info!("the post-data script is run in one session, statement by statement");
            return self.replay(files::POST_DATA, schema).await;
        };
        let mut workers = Vec::new();
        for _ in 0..self.parallelism().min(plan.width().max(1)) {
            workers.push(Worker::new(self.open().await?));
        }
        let bytes = manifest.tables.iter().map(|table| {
            let name = (table.schema.clone(), table.name.clone());
            (name, table.bytes)
        });
        let builds = Builds {
            script: &script,
            plan,
            bytes: bytes.collect(),
            workers,
        };
        self.warn(builds.run().await?);
        Ok(())
    }

    /// Runs the scripts that come after everything that is built on rows, while the other
    /// connections gather statistics.
    async fn settle(&self, schema: &BTreeMap<String, Bytes>) -> Result<(), SourceError> {
        let place = self.options.place();
        let said = |error| refused("list the tables of", &place, error);
        let statistics = Statistics::default();
        let session = self.open().await?;
        statistics.add_tables(&session.client).await.map_err(said)?;
        let scripts = async {
            for path in [files::SEQUENCES, files::VIEWS, files::EVENT_TRIGGERS] {
                self.replay(path, schema).await?;
            }
            statistics.add_views(&session.client).await.map_err(said)?;
            statistics.gather(&session, &place).await
        };
        let others = (1..self.parallelism()).map(async |_| {
            let session = self.open().await?;
            statistics.gather(&session, &place).await
        });
        tokio::try_join!(scripts, try_join_all(others))?;
        durable(&session, &place).await
    }

    fn warn(&self, left_out: Vec<String>) {
        for warning in &left_out {
            tracing::warn!(target = %self.options.place(), "{warning}");
        }
        let mut warnings = self
            .warnings
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        warnings.extend(left_out);
    }

    /// A new connection, set up for restoring.
    async fn open(&self) -> Result<Session, SourceError> {
        let session = Session::open(&self.options).await?;
        let settings = format!(
            "{SETTINGS} SELECT set_config('maintenance_work_mem', greatest(\
                pg_size_bytes(current_setting('maintenance_work_mem')), \
                pg_size_bytes(current_setting('shared_buffers')) / {}) / 1024 || 'kB', false)",
            2 * self.parallelism()
        );
        session
            .run("set a session up on", &self.options.place(), &settings)
            .await?;
        Ok(session)
    }

    /// A connection that has nothing to do, or a new one.
    async fn session(&self) -> Result<Session, SourceError> {
        let free = self
            .free
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .pop();
        match free {
            Some(session) if !session.client.is_closed() => Ok(session),
            _ => self.open().await,
        }
    }

    fn give_back(&self, session: Session) {
        self.free
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push(session);
    }

    async fn turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>, SourceError> {
        // The semaphore is never closed.
        self.turns.acquire().await.map_err(|error| {
            failed(
                SourceErrorKind::Failed,
                "restore",
                self.options.place(),
                error.to_string(),
            )
        })
    }

    /// Fails where roles that the snapshot names are missing here, unless they may be.
    async fn check_roles(&self, session: &Session, manifest: &Manifest) -> Result<(), SourceError> {
        if self.tolerance == Tolerance::OwnersAndGrants {
            return Ok(());
        }
        let named: Vec<String> = manifest
            .source
            .details
            .get("roles")
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        let rows = session
            .client
            .query(
                "SELECT name FROM unnest($1::text[]) AS name \
                 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) ORDER BY 1",
                &[&named],
            )
            .await
            .map_err(|error| refused("look for roles on", self.options.place(), error))?;
        let missing: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        match missing.is_empty() {
            true => Ok(()),
            false => Err(failed(
                SourceErrorKind::NotFound,
                "restore to",
                self.options.place(),
                format!(
                    "its server lacks roles that own or were granted things: {}; create them (the \
                     snapshot's schema/roles.sql does) or restore with missing roles skipped",
                    missing.join(", ")
                ),
            )),
        }
    }

    async fn read_back_table(&self, entry: &TableEntry) -> Result<(u64, ContentHash), SourceError> {
        if entry.files.is_empty() {
            return Ok((0, ContentHash::default()));
        }
        let _turn = self.turn().await?;
        let session = self.session().await?;
        let object = format!(
            "table {}.{} of {}",
            entry.schema,
            entry.name,
            self.options.place()
        );
        let statement = if load::holds_large_objects(entry) {
            large_objects::copy_out()
        } else {
            let tables = catalog::table(&session.client, &entry.schema, &entry.name).await;
            let table = tables
                .map_err(|error| refused("find", &object, error))?
                .ok_or_else(|| {
                    failed(
                        SourceErrorKind::NotFound,
                        "read back",
                        &object,
                        "it is not there",
                    )
                })?;
            catalog::Table {
                columns: entry.columns.clone(),
                ..table
            }
            .copy_out()
        };
        let (sink, mut rows) = mpsc::channel::<Bytes>(4);
        let hash = async {
            let mut hasher = RowHasher::default();
            while let Some(piece) = rows.recv().await {
                hasher.update(&piece);
            }
            hasher.result()
        };
        let read = async {
            let read = snapshot::copy_out(&session, &statement, &sink, &object).await;
            drop(sink);
            read
        };
        let (read, result) = tokio::join!(read, hash);
        read?;
        self.give_back(session);
        Ok(result)
    }
}

async fn durable(session: &Session, place: &str) -> Result<(), SourceError> {
    if session.client.batch_execute(DURABLE).await.is_ok() {
        return Ok(());
    }
    session
        .run("wait for the log of", place, DURABLE_BY_ITSELF)
        .await
}

#[async_trait]
impl Target for PostgresTarget {
    async fn state(&self) -> Result<TargetState, SourceError> {
        let session = Session::open(&self.options).await?;
        occupied::state(&session.client)
            .await
            .map_err(|error| refused("look into", self.options.place(), error))
    }

    async fn begin(
        &self,
        manifest: &Manifest,
        schema: &BTreeMap<String, Bytes>,
        overwrite: bool,
    ) -> Result<(), SourceError> {
        let place = self.options.place();
        let rows_of_ours = manifest
            .tables
            .iter()
            .all(|table| table.format == RowFormat::PostgresCopyText);
        if manifest.source.engine != "postgresql" || !rows_of_ours {
            return Err(failed(
                SourceErrorKind::Unsupported,
                "restore to",
                place,
                format!(
                    "the snapshot is of {}, not of PostgreSQL",
                    manifest.source.engine
                ),
            ));
        }
        let session = Session::open(&self.options).await?;
        self.check_roles(&session, manifest).await?;
        let state = occupied::state(&session.client)
            .await
            .map_err(|error| refused("look into", &place, error))?;
        match state {
            TargetState::Empty => {}
            TargetState::Occupied(_) if overwrite => occupied::clear(&session, &place).await?,
            TargetState::Occupied(what) => {
                return Err(failed(
                    SourceErrorKind::NotEmpty,
                    "restore to",
                    place,
                    format!(
                        "it holds {what}; give an empty database, or say that it may be overwritten"
                    ),
                ));
            }
        }
        self.replay(files::PRE_DATA, schema).await
    }

    fn parallelism(&self) -> usize {
        self.options.connections.max(1)
    }

    fn takes_whole_tables(&self) -> bool {
        true
    }

    async fn load(&self, manifest: &Manifest, file: RestoreFile) -> Result<(), SourceError> {
        let place = self.options.place();
        let entry = manifest
            .tables
            .iter()
            .find(|table| table.files.contains(&file.path));
        let entry = entry.ok_or_else(|| {
            failed(
                SourceErrorKind::NotFound,
                "restore",
                &file.path,
                "no table of the manifest has this file",
            )
        })?;
        let _turn = self.turn().await?;
        let session = self.session().await?;
        load::file(&session, entry, file, &place).await?;
        self.give_back(session);
        Ok(())
    }

    async fn finish(
        &self,
        manifest: &Manifest,
        schema: &BTreeMap<String, Bytes>,
    ) -> Result<(), SourceError> {
        // Connections that only loaded rows would count against what the server allows.
        self.free
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clear();
        self.replay(files::LARGE_OBJECTS, schema).await?;
        self.build(manifest, schema).await?;
        self.settle(schema).await
    }

    fn warnings(&self) -> Vec<String> {
        Self::warnings(self)
    }

    async fn read_back(
        &self,
        manifest: &Manifest,
    ) -> Result<Option<Vec<(u64, ContentHash)>>, SourceError> {
        // All are asked for at once; the turns let only as many run as there are connections.
        let reads = manifest
            .tables
            .iter()
            .map(|entry| self.read_back_table(entry));
        let results = try_join_all(reads).await?;
        Ok(Some(results))
    }
}
