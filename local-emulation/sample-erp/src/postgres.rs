//! The sample ERP in a PostgreSQL database.
//!
//! Rows go in by COPY on a few connections at once; keys, indexes and foreign keys are made
//! afterwards, which is several times faster than keeping them up to date row by row.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::SinkExt as _;
use tokio_postgres::{Client, Config, NoTls};

use crate::change::{self, Change};
use crate::rows::{Rows, World};
use crate::schema::{Dialect, TABLES, TRIGGER_POSTGRES, Type, VIEWS};
use crate::sink::CopyText;
use crate::{SampleError, Summary};

/// Connections that load at the same time. The server does most of the work.
const CONNECTIONS: usize = 3;
/// Rows that one connection takes at a time.
const ROWS_AT_A_TIME: u64 = 200_000;
/// Bytes that go to the server at a time.
const BUFFER_BYTES: usize = 256 * 1024;

/// Makes the database in an empty one. `url` is libpq's (`postgres://user@host/name`) without TLS;
/// a password that it lacks is taken from `PGPASSWORD`.
pub fn create(url: &str, seed: u64, megabytes: u64) -> Result<Summary, SampleError> {
    let world = change::world_of_size(seed, megabytes)?;
    let config = config(url)?;
    blocking(&config, async |client| {
        let tables: i64 = client
            .query_one(
                "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'",
                &[],
            )
            .await?
            .get(0);
        if tables > 0 {
            return Err(SampleError::NotEmpty(described(&config)));
        }
        for table in TABLES {
            client
                .batch_execute(&table.create(Dialect::Postgres))
                .await?;
        }
        Ok(())
    })?;
    let ranges = TABLES
        .iter()
        .map(|table| 0..table.rows(world.orders))
        .collect();
    let summary = load(&config, world, ranges)?;
    let mut keys = Vec::new();
    let mut references = Vec::new();
    for table in TABLES {
        let key = format!(
            "ALTER TABLE {} ADD PRIMARY KEY ({});",
            table.name,
            table.key.join(", ")
        );
        keys.push(key + &table.create_indexes().concat());
        for column in table.columns {
            if let Some(other) = column.refers {
                references.push(format!(
                    "ALTER TABLE {} ADD FOREIGN KEY ({}) REFERENCES {other} DEFERRABLE;",
                    table.name, column.name
                ));
            }
        }
    }
    in_parallel(&config, keys)?;
    blocking(&config, async |client| {
        client.batch_execute(&references.concat()).await?;
        client.batch_execute(VIEWS).await?;
        client.batch_execute(TRIGGER_POSTGRES).await?;
        client
            .batch_execute(
                "CREATE TABLE company_settings (name text PRIMARY KEY, value text NOT NULL)",
            )
            .await?;
        settle(&client, world).await?;
        client.batch_execute("ANALYZE").await?;
        Ok(())
    })?;
    Ok(summary)
}

/// Changes a database that [`create`] made. Returns rows changed and added.
pub fn change(url: &str, change: Change) -> Result<Summary, SampleError> {
    let config = config(url)?;
    let not_a_sample = || SampleError::NotASample(described(&config));
    let (world, updated) = blocking(&config, async |client| {
        let rows = client
            .query("SELECT name, value FROM company_settings", &[])
            .await
            .map_err(|error| {
                if error.as_db_error().is_some() {
                    not_a_sample()
                } else {
                    error.into()
                }
            })?;
        let settings: Vec<_> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let world = change::world_of(&settings).ok_or_else(not_a_sample)?;
        let mut updated = 0;
        for statement in change::updates(change) {
            updated += client.execute(&statement, &[]).await?;
        }
        Ok((world, updated))
    })?;
    let new = change::grown(world, change.insert);
    // One connection and the tables' order keep the foreign keys satisfied; those of the one
    // cycle are checked at the end.
    let mut summary = Summary {
        tables: TABLES.len(),
        rows: updated,
        bytes: 0,
    };
    blocking(&config, async |client| {
        client
            .batch_execute("BEGIN; SET CONSTRAINTS ALL DEFERRED")
            .await?;
        for (at, table) in TABLES.iter().enumerate() {
            let range = table.rows(world.orders_now)..table.rows(new.orders_now);
            summary.rows += range.end - range.start;
            summary.bytes += copy(&client, at, range, new).await?;
        }
        settle(&client, new).await?;
        client.batch_execute("COMMIT").await?;
        Ok(())
    })?;
    Ok(summary)
}

fn config(url: &str) -> Result<Config, SampleError> {
    let mut config: Config =
        url.parse()
            .map_err(|error: tokio_postgres::Error| SampleError::Unreachable {
                database: "the database".to_owned(),
                reason: error.to_string(),
            })?;
    if config.get_password().is_none()
        && let Ok(password) = std::env::var("PGPASSWORD")
    {
        config.password(password);
    }
    config.application_name("sample-erp");
    Ok(config)
}

/// The database without its password.
fn described(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(tokio_postgres::config::Host::Tcp(host)) => host.clone(),
        Some(tokio_postgres::config::Host::Unix(path)) => path.display().to_string(),
        None => "localhost".to_owned(),
    };
    let port = config.get_ports().first().unwrap_or(&5432);
    format!(
        "database {} at {host}:{port}",
        config.get_dbname().unwrap_or("(default)")
    )
}

/// Connects on this thread and runs `work`.
fn blocking<T>(
    config: &Config,
    work: impl AsyncFnOnce(Client) -> Result<T, SampleError>,
) -> Result<T, SampleError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| SampleError::Internal(error.to_string()))?;
    runtime.block_on(async {
        let (client, connection) = config.connect(NoTls).await.map_err(|error| {
            SampleError::Unreachable {
                database: described(config),
                reason: crate::error::full_text(&error),
            }
        })?;
        // Its errors reach the client's calls too.
        let connection = tokio::spawn(connection);
        client
            .batch_execute(
                "SET synchronous_commit = off; SET maintenance_work_mem = '256MB'; SET client_min_messages = warning",
            )
            .await?;
        let done = work(client).await;
        // Ends once the client is gone.
        let _ = connection.await;
        done
    })
}

/// Runs `work` on several connections, each on a thread of its own.
fn on_connections(
    config: &Config,
    work: impl AsyncFn(&Client) -> Result<(), SampleError> + Sync,
) -> Result<(), SampleError> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS)
            .map(|_| scope.spawn(|| blocking(config, async |client| work(&client).await)))
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .map_err(|_| SampleError::Internal("a loading thread panicked".to_owned()))?
        })
    })
}

fn taken<T>(queue: &Mutex<Vec<T>>) -> Option<T> {
    queue
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .pop()
}

fn in_parallel(config: &Config, statements: Vec<String>) -> Result<(), SampleError> {
    let queue = Mutex::new(statements);
    on_connections(config, async |client| {
        while let Some(statement) = taken(&queue) {
            client.batch_execute(&statement).await?;
        }
        Ok(())
    })
}

fn load(
    config: &Config,
    world: World,
    ranges: Vec<std::ops::Range<u64>>,
) -> Result<Summary, SampleError> {
    let mut pieces = Vec::new();
    let mut rows = 0;
    for (table, range) in ranges.into_iter().enumerate() {
        rows += range.end - range.start;
        for from in range.clone().step_by(ROWS_AT_A_TIME as usize) {
            pieces.push((table, from..(from + ROWS_AT_A_TIME).min(range.end)));
        }
    }
    pieces.reverse();
    let (queue, bytes) = (Mutex::new(pieces), AtomicU64::new(0));
    on_connections(config, async |client| {
        while let Some((table, range)) = taken(&queue) {
            bytes.fetch_add(copy(client, table, range, world).await?, Ordering::Relaxed);
        }
        Ok(())
    })?;
    Ok(Summary {
        tables: TABLES.len(),
        rows,
        bytes: bytes.into_inner(),
    })
}

async fn copy(
    client: &Client,
    table: usize,
    range: std::ops::Range<u64>,
    world: World,
) -> Result<u64, SampleError> {
    let (name, columns) = (TABLES[table].name, TABLES[table].column_list());
    let sink = client
        .copy_in(&format!("COPY {name} ({columns}) FROM STDIN"))
        .await?;
    let mut sink = std::pin::pin!(sink);
    let mut rows = Rows::new(world);
    let mut text = CopyText::default();
    let mut bytes = 0;
    for i in range {
        rows.write(table, i, &mut text);
        if text.bytes.len() >= BUFFER_BYTES {
            bytes += text.bytes.len() as u64;
            sink.send(piece(&mut text)).await?;
        }
    }
    bytes += text.bytes.len() as u64;
    sink.send(piece(&mut text)).await?;
    sink.finish().await?;
    Ok(bytes)
}

fn piece(text: &mut CopyText) -> Bytes {
    let next = Vec::with_capacity(BUFFER_BYTES + BUFFER_BYTES / 8);
    Bytes::from(std::mem::replace(&mut text.bytes, next))
}

/// Moves the sequences behind the rows and remembers the world.
async fn settle(client: &Client, world: World) -> Result<(), SampleError> {
    for table in TABLES {
        if table.columns[0].kind == Type::Id {
            let name = table.name;
            client
                .batch_execute(&format!(
                    "SELECT setval(pg_get_serial_sequence('{name}', 'id'), (SELECT max(id) FROM {name}))"
                ))
                .await?;
        }
    }
    for (name, value) in change::settings(world) {
        client
            .execute(
                "INSERT INTO company_settings (name, value) VALUES ($1, $2)
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                &[&name, &value.to_string()],
            )
            .await?;
    }
    Ok(())
}
