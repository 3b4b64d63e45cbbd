//! Opening a consistent snapshot of a PostgreSQL database.
//!
//! Tables are locked (`ACCESS SHARE`, as `pg_dump` does) before the snapshot is taken and not after
//! it: so neither `TRUNCATE` nor a rewriting `ALTER TABLE`, which older snapshots do not see
//! through, can slip in between. Every connection takes the locks before it needs them, so a
//! waiting `DROP TABLE` cannot stop one half way.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use logisedge_domain::Instant;
use logisedge_domain::manifest::Manifest;
use logisedge_domain::scope::Selection;
use tokio_postgres::error::SqlState;

use super::catalog::Table;
use super::facts::Facts;
use super::failure::{failed, refused};
use super::options::PostgresOptions;
use super::session::Session;
use super::snapshot::PostgresSnapshot;
use super::unchanged::Base;
use super::{checks, dump, facts, lineage, scope};
use crate::{Source, SourceError, SourceErrorKind, SourceSnapshot};

/// Times that opening starts over because tables came or went meanwhile.
const OPEN_TRIES: usize = 10;

/// How long others get to do what they wait for before opening starts over.
const PAUSE: Duration = Duration::from_millis(200);

/// Tables named in one LOCK statement.
const LOCKS_AT_ONCE: usize = 500;

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// A PostgreSQL database that can be backed up.
#[derive(Debug, Clone)]
pub struct PostgresSource {
    options: PostgresOptions,
}

impl PostgresSource {
    /// A source; nothing is connected before [`Source::open`].
    pub fn new(options: PostgresOptions) -> Self {
        Self { options }
    }
}

/// The connections of a snapshot.
pub(super) struct Connections {
    /// Holds the locks and the exported snapshot until the end.
    pub(super) coordinator: Session,
    /// Read rows.
    pub(super) workers: Vec<Session>,
}

/// What the connections share.
pub(super) struct Taken {
    /// Selected tables, by schema and name, all locked.
    pub(super) tables: Vec<Table>,
    /// The exported snapshot's id.
    pub(super) snapshot: String,
    pub(super) taken_at: Instant,
}

#[async_trait]
impl Source for PostgresSource {
    async fn open(
        &self,
        selection: &Selection,
        base: Option<&Manifest>,
    ) -> Result<Box<dyn SourceSnapshot>, SourceError> {
        let options = &self.options;
        let place = options.place();
        let coordinator = Session::open(options).await?;
        check_encoding(&coordinator, &place).await?;
        let pg_dump = dump::version(&options.pg_dump, coordinator.version / 10_000).await?;
        let connect = (0..options.connections.max(1)).map(|_| Session::open(options));
        let workers = try_join_all(connect).await?;
        let connections = Connections {
            coordinator,
            workers,
        };
        for _ in 0..OPEN_TRIES {
            if let Some(taken) = self.share_snapshot(&connections, selection).await? {
                let coordinator = &connections.coordinator;
                match facts::gather(options, coordinator, &taken, selection, &pg_dump).await {
                    Ok(mut facts) => {
                        let base = self.compare_with(base, coordinator, &mut facts).await;
                        let snapshot = PostgresSnapshot::new(options, connections, facts, base);
                        return Ok(Box::new(snapshot));
                    }
                    // Someone waits for a table that is locked here, and pg_dump waits behind
                    // them. Letting go is what helps.
                    Err(error) if error.kind == SourceErrorKind::Busy => {
                        tracing::info!(%error, "opening the snapshot starts over");
                    }
                    Err(error) => return Err(error),
                }
            }
            for session in std::iter::once(&connections.coordinator).chain(&connections.workers) {
                session.run("unlock", &place, "ROLLBACK").await?;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(failed(
            SourceErrorKind::Busy,
            "open a snapshot of",
            place,
            format!("tables were created, dropped or altered during each of {OPEN_TRIES} tries"),
        ))
    }
}

impl PostgresSource {
    /// Records where the snapshot stands in the server's history, and returns what of `base` its
    /// parts may be compared with.
    async fn compare_with(
        &self,
        base: Option<&Manifest>,
        coordinator: &Session,
        facts: &mut Facts,
    ) -> Option<Base> {
        let open = &mut facts.open;
        if !self.options.skip_unchanged {
            open.all_read_because = Some("skip_unchanged is off".to_owned());
            return None;
        }
        let lineage = base.and_then(|base| base.source.lineage.as_ref());
        let standing = lineage::stand(&self.options, coordinator, lineage).await;
        open.lineage = standing.lineage;
        open.all_read_because = standing.because;
        match open.all_read_because {
            None => base.map(Base::of),
            Some(_) => None,
        }
    }

    /// Locks, takes the snapshot and shares it. None: tables came or went meanwhile; the caller
    /// rolls back and starts over.
    async fn share_snapshot(
        &self,
        connections: &Connections,
        selection: &Selection,
    ) -> Result<Option<Taken>, SourceError> {
        let place = self.options.place();
        let Connections {
            coordinator,
            workers,
        } = connections;
        let tables = scope::selected_tables(&coordinator.client, selection, &place).await?;
        checks::all_readable(&coordinator.client, &tables, selection, &place).await?;
        let taken = self.try_snapshot(coordinator, workers, &tables).await?;
        let Some((snapshot, taken_at)) = taken else {
            return Ok(None);
        };
        let now = scope::selected_tables(&coordinator.client, selection, &place).await?;
        let same = now.iter().map(identity).eq(tables.iter().map(identity));
        Ok(same.then_some(Taken {
            tables: now,
            snapshot,
            taken_at,
        }))
    }

    /// One try. None: a table vanished, or someone waits to change one; the caller rolls back.
    async fn try_snapshot(
        &self,
        coordinator: &Session,
        workers: &[Session],
        tables: &[Table],
    ) -> Result<Option<(String, Instant)>, SourceError> {
        let place = self.options.place();
        // The first may wait for who holds a table; the others would wait behind whoever waits
        // for the first, for ever, so they do not wait at all.
        let begin = format!("{BEGIN}; SET LOCAL lock_timeout = '60s'");
        if !lock(coordinator, &begin, tables, "").await? {
            return Ok(None);
        }
        for worker in workers {
            if !lock(worker, BEGIN, tables, " NOWAIT").await? {
                return Ok(None);
            }
        }
        let row = coordinator
            .client
            .query_one("SELECT pg_export_snapshot(), now()::text", &[])
            .await
            .map_err(|error| refused("open a snapshot of", &place, error))?;
        let snapshot: String = row.get(0);
        let taken_at: &str = row.get(1);
        let taken_at = chrono::DateTime::parse_from_str(taken_at, "%Y-%m-%d %H:%M:%S%.f%#z")
            .map_err(|error| {
                failed(
                    SourceErrorKind::Failed,
                    "read the clock of",
                    &place,
                    format!("{taken_at:?}: {error}"),
                )
            })?
            .to_utc();
        for worker in workers {
            worker
                .run(
                    "share a snapshot of",
                    &place,
                    &format!("SET TRANSACTION SNAPSHOT '{snapshot}'"),
                )
                .await?;
        }
        Ok(Some((snapshot, taken_at)))
    }
}

/// Fails where the server does not know what its bytes mean: then some may not be UTF-8, which would
/// show hours later. It converts every other encoding.
async fn check_encoding(session: &Session, place: &str) -> Result<(), SourceError> {
    let row = session
        .client
        .query_one("SELECT current_setting('server_encoding')", &[])
        .await
        .map_err(|error| refused("read the encoding of", place, error))?;
    match row.get::<_, &str>(0) {
        "SQL_ASCII" => Err(failed(
            SourceErrorKind::Unsupported,
            "back up",
            place,
            "its encoding is SQL_ASCII, so its texts may hold any bytes; move it into a database with \
             ENCODING 'UTF8' (pg_dump --encoding=<what the texts are in>, then psql) and back that up",
        )),
        _ => Ok(()),
    }
}

fn identity(table: &Table) -> (u32, &str, &str, &[String]) {
    (table.oid, &table.schema, &table.name, &table.columns)
}

/// Begins a transaction and locks every table in it. False: one is not there any more, or (with
/// NOWAIT) is not to be had at once.
async fn lock(
    session: &Session,
    begin: &str,
    tables: &[Table],
    wait: &str,
) -> Result<bool, SourceError> {
    session.run("begin on", "the connection", begin).await?;
    for group in tables.chunks(LOCKS_AT_ONCE) {
        let names: Vec<String> = group
            .iter()
            .map(|t| format!("ONLY {}", t.sql_name()))
            .collect();
        let sql = format!("LOCK TABLE {} IN ACCESS SHARE MODE{wait}", names.join(", "));
        match session.client.batch_execute(&sql).await {
            Ok(()) => {}
            Err(error) if gone(&error) => return Ok(false),
            Err(error)
                if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) && !wait.is_empty() =>
            {
                return Ok(false);
            }
            Err(error) => {
                return Err(refused(
                    "lock",
                    format!("the {} selected tables", tables.len()),
                    error,
                ));
            }
        }
    }
    Ok(true)
}

fn gone(error: &tokio_postgres::Error) -> bool {
    matches!(
        error.code(),
        Some(&SqlState::UNDEFINED_TABLE | &SqlState::INVALID_SCHEMA_NAME)
    )
}
