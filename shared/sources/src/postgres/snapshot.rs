//! Streaming the parts of an open snapshot.

use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};

use super::facts::{Facts, Reading};
use super::failure::{failed, refused};
use super::options::PostgresOptions;
use super::session::Session;
use super::source::Connections;
use super::unchanged::Base;
use crate::{OpenSnapshot, Part, SourceError, SourceErrorKind, SourceSnapshot};

/// A consistent snapshot with its connections.
pub(super) struct PostgresSnapshot {
    facts: Facts,
    /// Where history goes through an earlier snapshot: what that one holds.
    base: Option<Base>,
    place: String,
    /// Holds the locks and the exported snapshot until the end.
    coordinator: Session,
    /// Connections that read nothing at the moment. One that failed does not come back: its
    /// transaction, and with it the snapshot, is gone.
    free: Mutex<Vec<Session>>,
    turns: Semaphore,
    connections: usize,
}

impl PostgresSnapshot {
    pub(super) fn new(
        options: &PostgresOptions,
        open: Connections,
        facts: Facts,
        base: Option<Base>,
    ) -> Self {
        let connections = open.workers.len();
        Self {
            facts,
            base,
            place: options.place(),
            coordinator: open.coordinator,
            free: Mutex::new(open.workers),
            turns: Semaphore::new(connections),
            connections,
        }
    }

    fn take(&self) -> Option<Session> {
        self.free
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .pop()
    }

    fn give_back(&self, session: Session) {
        self.free
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push(session);
    }

    /// A connection that has nothing to do, when there is one.
    async fn session(
        &self,
        object: &str,
    ) -> Result<(tokio::sync::SemaphorePermit<'_>, Session), SourceError> {
        let ended = || {
            failed(
                SourceErrorKind::Unreachable,
                "read",
                object,
                "the snapshot has ended, because a connection failed or it was closed",
            )
        };
        let turn = self.turns.acquire().await.map_err(|_| ended())?;
        Ok((turn, self.take().ok_or_else(ended)?))
    }

    fn reading(&self, part: &Part, object: &str) -> Result<&Reading, SourceError> {
        self.facts.readings.get(part.index).ok_or_else(|| {
            failed(
                SourceErrorKind::NotFound,
                "read",
                object,
                "the snapshot has no such part",
            )
        })
    }

    /// `table public.items of database erp at db.example:5432`, for messages.
    fn object(&self, part: &Part) -> String {
        match part
            .table
            .and_then(|index| self.facts.open.tables.get(index))
        {
            Some(table) => format!("table {}.{} of {}", table.schema, table.name, self.place),
            None => format!("{} of {}", part.path, self.place),
        }
    }
}

#[async_trait]
impl SourceSnapshot for PostgresSnapshot {
    fn facts(&self) -> &OpenSnapshot {
        &self.facts.open
    }

    fn parallelism(&self) -> usize {
        self.connections
    }

    async fn unchanged(&self, part: &Part) -> Result<Option<String>, SourceError> {
        let object = self.object(part);
        let reading = self.reading(part, &object)?;
        let known = part.table.zip(part.pages).and_then(|(table, pages)| {
            let storage = self.facts.open.tables.get(table)?.storage.as_ref()?;
            let base = self.base.as_ref()?;
            Some((base, base.range(storage, pages)?))
        });
        let (Some((base, range)), Some((table, condition))) = (known, &reading.range) else {
            return Ok(None);
        };
        let (_turn, session) = self.session(&object).await?;
        let file = base
            .proven(&session, range, table, condition, &object)
            .await?;
        self.give_back(session);
        Ok(file.map(str::to_owned))
    }

    async fn read(&self, part: &Part, sink: mpsc::Sender<Bytes>) -> Result<u64, SourceError> {
        let object = self.object(part);
        let reading = self.reading(part, &object)?;
        let (_turn, session) = self.session(&object).await?;
        let bytes = copy_out(&session, &reading.statement, &sink, &object).await?;
        self.give_back(session);
        Ok(bytes)
    }

    async fn close(&self) -> Result<(), SourceError> {
        self.turns.close();
        let mut sessions = Vec::new();
        while let Some(session) = self.take() {
            sessions.push(session);
        }
        for session in sessions.iter().chain([&self.coordinator]) {
            session
                .run("close the snapshot of", &self.place, "COMMIT")
                .await?;
        }
        Ok(())
    }
}

/// Streams a COPY statement's rows into `sink` in buffers of about [`crate::BUFFER_BYTES`]; returns
/// their bytes. Where the sink is closed, the server is asked to stop.
pub(super) async fn copy_out(
    session: &Session,
    statement: &str,
    sink: &mpsc::Sender<Bytes>,
    object: &str,
) -> Result<u64, SourceError> {
    tokio::select! {
        biased;
        read = session.copy_out(statement, sink) => {
            let bytes = read.map_err(|error| refused("read", object, error))?;
            match sink.is_closed() {
                false => Ok(bytes),
                true => Err(nobody_reads(session, object).await),
            }
        }
        () = sink.closed() => Err(nobody_reads(session, object).await),
    }
}

async fn nobody_reads(session: &Session, object: &str) -> SourceError {
    session.cancel().await;
    failed(
        SourceErrorKind::Aborted,
        "read",
        object,
        "the reader of its rows went away",
    )
}
