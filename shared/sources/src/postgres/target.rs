//! Restoring into a PostgreSQL database: schema, rows in parallel, then what is built on rows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::try_join_all;
use logisedge_domain::manifest::{ContentHash, Manifest, RowFormat, TableEntry};
use tokio::sync::{Semaphore, mpsc};

use super::failure::{failed, refused};
use super::load;
use super::occupied;
use super::options::PostgresOptions;
use super::replay::{self, Tolerance};
use super::session::Session;
use super::{catalog, files, large_objects, snapshot};
use crate::{RestoreFile, RowHasher, SourceError, SourceErrorKind, Target, TargetState};

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

    /// Runs a script file on a connection of its own, because scripts change settings.
    async fn replay(
        &self,
        path: &str,
        schema: &BTreeMap<String, Bytes>,
    ) -> Result<(), SourceError> {
        let Some(script) = schema.get(path) else {
            return match path {
                files::PRE_DATA | files::POST_DATA => Err(failed(
                    SourceErrorKind::NotFound,
                    "restore",
                    self.options.place(),
                    format!("the snapshot has no {path}; it is not one of a PostgreSQL database"),
                )),
                _ => Ok(()),
            };
        };
        let script = std::str::from_utf8(script).map_err(|_| {
            failed(
                SourceErrorKind::Failed,
                "read",
                path,
                "the script is not UTF-8",
            )
        })?;
        let session = Session::open(&self.options).await?;
        let skipped = replay::run(&session, path, script, self.tolerance).await?;
        for warning in &skipped {
            tracing::warn!(target = %self.options.place(), "{warning}");
        }
        let mut warnings = self
            .warnings
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        warnings.extend(skipped);
        Ok(())
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
            _ => Session::open(&self.options).await,
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
        _manifest: &Manifest,
        schema: &BTreeMap<String, Bytes>,
    ) -> Result<(), SourceError> {
        for path in [
            files::LARGE_OBJECTS,
            files::POST_DATA,
            files::SEQUENCES,
            files::VIEWS,
            files::EVENT_TRIGGERS,
        ] {
            self.replay(path, schema).await?;
        }
        let session = self.session().await?;
        session
            .run("gather the statistics of", &self.options.place(), "ANALYZE")
            .await
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
