//! The planner's statistics of a restored database: without them its first queries would crawl.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio_postgres::{Client, Error};

use super::session::Session;
use crate::SourceError;

/// Tables with fewer bytes are gathered together.
const SMALL_BYTES: i64 = 1024 * 1024;

/// Small tables of one statement.
const SMALL_AT_ONCE: usize = 100;

/// What `ANALYZE` without names would go through, the largest first: the system's tables too,
/// partitions with the table at their top, which brings them along.
const RELATIONS: &str = "SELECT format('%I.%I', n.nspname, c.relname), CASE c.relkind \
        WHEN 'p' THEN (SELECT coalesce(sum(pg_relation_size(t.relid)), 0)::int8 FROM pg_partition_tree(c.oid) t) \
        ELSE pg_relation_size(c.oid) END AS bytes \
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind = ANY (string_to_array($1::text, NULL)::\"char\"[]) AND c.relpersistence <> 't' \
        AND NOT c.relispartition ORDER BY bytes DESC, c.oid";

/// Statements that are still to be run, by whoever has nothing else to do.
#[derive(Debug, Default)]
pub(super) struct Statistics(Mutex<VecDeque<String>>);

impl Statistics {
    /// Adds all tables.
    pub(super) async fn add_tables(&self, client: &Client) -> Result<(), Error> {
        self.add(client, "rp").await
    }

    /// Adds all materialised views.
    pub(super) async fn add_views(&self, client: &Client) -> Result<(), Error> {
        self.add(client, "m").await
    }

    async fn add(&self, client: &Client, kinds: &str) -> Result<(), Error> {
        let rows = client.query(RELATIONS, &[&kinds]).await?;
        let relations: Vec<(&str, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let large = relations.partition_point(|(_, bytes)| *bytes >= SMALL_BYTES);
        let (large, small) = relations.split_at(large);
        let groups = large.chunks(1).chain(small.chunks(SMALL_AT_ONCE));
        let statements = groups.map(|group| {
            let names: Vec<&str> = group.iter().map(|(name, _)| *name).collect();
            format!("ANALYZE {}", names.join(", "))
        });
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.extend(statements);
        Ok(())
    }

    fn next(&self) -> Option<String> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.pop_front()
    }

    /// Runs statements until none is left. What the role may not touch the server leaves out.
    pub(super) async fn gather(&self, session: &Session, place: &str) -> Result<(), SourceError> {
        while let Some(statement) = self.next() {
            session
                .run("gather the statistics of", place, &statement)
                .await?;
        }
        Ok(())
    }
}
