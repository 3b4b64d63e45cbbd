//! What an open snapshot knows before any row is read: tables, schema files, notes.

use std::collections::{BTreeMap, BTreeSet};

use logisedge_domain::manifest::{ForeignKeyEdge, PageRange, RowFormat};
use logisedge_domain::scope::Selection;
use tokio_postgres::{Client, Error};

use super::catalog::{self, ForeignKey, Sequence, Table};
use super::failure::refused;
use super::files::{self, Content};
use super::options::PostgresOptions;
use super::session::Session;
use super::source::Taken;
use super::storage::{self, RANGES_SINCE, Stored};
use super::{dump, large_objects, quote, scope};
use crate::{OpenSnapshot, Part, SourceError, TableFacts};

/// The facts, and how each part is read.
pub(super) struct Facts {
    pub(super) open: OpenSnapshot,
    pub(super) readings: Vec<Reading>,
}

/// How a part is read.
pub(super) struct Reading {
    /// The statement that streams its rows.
    pub(super) statement: String,
    /// The table's SQL name and the condition that leaves the part's rows, where it is a range.
    pub(super) range: Option<(String, String)>,
}

/// Asks catalogs and `pg_dump` under the snapshot.
pub(super) async fn gather(
    options: &PostgresOptions,
    coordinator: &Session,
    taken: &Taken,
    selection: &Selection,
    pg_dump: &str,
) -> Result<Facts, SourceError> {
    let place = options.place();
    let client = &coordinator.client;
    let said = |error: Error| refused("read the catalog of", place.clone(), error);
    let everything = *selection == Selection::Everything;
    let oids: Vec<u32> = taken.tables.iter().map(|table| table.oid).collect();
    let selected: BTreeSet<u32> = oids.iter().copied().collect();
    let around = match everything {
        true => None,
        false => Some(scope::surroundings(client, &oids).await.map_err(said)?),
    };
    // A key of a partitioned table is one of each of its partitions.
    let parents = catalog::partitions(client).await.map_err(said)?;
    let hold_rows: BTreeSet<u32> = parents
        .iter()
        .filter(|(_, partition)| selected.contains(partition))
        .map(|&(parent, _)| parent)
        .chain(oids.iter().copied())
        .collect();

    let outside: Vec<ForeignKey> = match everything {
        true => Vec::new(),
        false => catalog::foreign_keys(client)
            .await
            .map_err(said)?
            .into_iter()
            .filter(|key| {
                around.as_ref().is_some_and(|around| {
                    let dumped = selected.contains(&key.from)
                        || around.without_rows_oids.contains(&key.from);
                    // A key of rows needs the rows it points to; one of an empty table needs the table.
                    dumped && around.excluded_oids.contains(&key.to)
                        || hold_rows.contains(&key.from) && !selected.contains(&key.to)
                })
            })
            .collect(),
    };
    let mut sequences = catalog::sequences(client).await.map_err(said)?;
    if let Some(around) = &around {
        // pg_dump leaves out only those that are part of a table that it leaves out.
        let dumped = |oid| selected.contains(&oid) || around.without_rows_oids.contains(&oid);
        sequences.retain(|s| !s.identity || s.owner.is_none_or(dumped));
    }
    let (sequences, unread): (Vec<Sequence>, Vec<Sequence>) =
        sequences.into_iter().partition(|s| s.readable);
    let sequences = catalog::sequence_values(client, &sequences)
        .await
        .map_err(said)?;
    let views = match everything {
        true => catalog::materialised_views(client).await.map_err(said)?,
        false => Vec::new(),
    };
    let has_large_objects = everything && large_objects::count(client).await.map_err(said)?.0 > 0;
    let large_object_facts = match has_large_objects {
        true => Some(large_objects::facts_script(client).await.map_err(said)?),
        false => None,
    };
    let roles = catalog::roles(client).await.map_err(said)?;
    let wanted = dump::Wanted {
        snapshot: &taken.snapshot,
        excluded: around.as_ref().map_or(&[], |around| &around.excluded),
        everything,
    };
    let (pre_data, post_data) = tokio::try_join!(
        dump::section(options, "pre-data", &wanted),
        dump::section(options, "post-data", &wanted)
    )?;

    // By name, parents without rows at the end: files that list them change with them alone, never
    // with a size that autovacuum changed.
    let mut tables = taken.tables.clone();
    tables.sort_by(|a, b| (a.rowless, &a.schema, &a.name).cmp(&(b.rowless, &b.schema, &b.name)));
    let with_rows = tables.iter().filter(|table| !table.rowless).count();
    let stored = match coordinator.version >= RANGES_SINCE {
        true => storage::of_tables(client, &oids).await.map_err(said)?,
        false => BTreeMap::new(),
    };
    let row = client
        .query_one(
            "SELECT split_part(current_setting('server_version'), ' ', 1), \
                current_setting('server_encoding'), current_database()::text, \
                current_setting('server_version_num')::int4",
            &[],
        )
        .await
        .map_err(said)?;
    let files = files::files(Content {
        database: &options.database,
        server_version: row.get::<_, i32>(3).unsigned_abs(),
        pre_data,
        post_data,
        sequences,
        views: &views,
        large_objects: large_object_facts,
        roles: &roles,
        outside: &outside,
        rows: &rows_files(&tables[..with_rows], &stored),
    })?;
    let mut details = details(client).await.map_err(said)?;
    details.insert("pg_dump".to_owned(), pg_dump.to_owned());
    details.insert(
        "roles".to_owned(),
        serde_json::Value::from(roles.clone()).to_string(),
    );
    let mut notes = notes(client, &roles, around.as_ref()).await.map_err(said)?;
    notes.extend(unread_sequences(&unread));
    notes.extend(two_line_names(&tables));
    let large_object_bytes = match has_large_objects {
        true => Some(large_objects::bytes_estimated(client).await.map_err(said)?),
        false => None,
    };
    let (parts, readings) = parts(&tables[..with_rows], &stored, large_object_bytes);
    let open = OpenSnapshot {
        engine: "postgresql",
        engine_version: row.get(0),
        encoding: row.get(1),
        database: row.get(2),
        details,
        taken_at: taken.taken_at,
        tables: table_facts(&tables, &stored, with_rows, has_large_objects),
        parts,
        files,
        outside_references: edges(&outside),
        notes,
        lineage: None,
        all_read_because: None,
    };
    Ok(Facts { open, readings })
}

/// The page ranges that a table is read in, where they are several or may be proven unchanged.
fn ranges(table: &Table, stored: &BTreeMap<u32, Stored>) -> Vec<PageRange> {
    match stored.get(&table.oid) {
        Some(stored) if table.has_ranges() => stored.ranges(),
        _ => Vec::new(),
    }
}

/// The files that hold a table's rows, in order: one a range, or a single one.
fn paths(table: &Table, ranges: usize) -> Vec<String> {
    let (schema, name) = (&table.schema, &table.name);
    match ranges {
        0 | 1 => vec![quote::data_path(schema, name)],
        _ => (0..ranges)
            .map(|number| quote::part_path(schema, name, number))
            .collect(),
    }
}

fn rows_files<'a>(
    tables: &'a [Table],
    stored: &BTreeMap<u32, Stored>,
) -> Vec<(&'a Table, Vec<String>)> {
    tables
        .iter()
        .map(|table| (table, paths(table, ranges(table, stored).len())))
        .collect()
}

/// The parts, the biggest tables first, and how each is read. Tables with rows keep their index;
/// large objects come after them in the list of tables.
fn parts(
    tables: &[Table],
    stored: &BTreeMap<u32, Stored>,
    large_objects: Option<u64>,
) -> (Vec<Part>, Vec<Reading>) {
    let mut of_tables: Vec<(u64, Vec<(Part, Reading)>)> = tables
        .iter()
        .enumerate()
        .map(|(index, table)| (table.bytes, parts_of(index, table, &ranges(table, stored))))
        .collect();
    if let Some(bytes_estimated) = large_objects {
        let (schema, name) = large_objects::TABLE;
        let part = Part {
            index: 0,
            path: quote::data_path(schema, name),
            table: Some(tables.len()),
            pages: None,
            bytes_estimated,
        };
        let reading = Reading {
            statement: large_objects::copy_out(),
            range: None,
        };
        of_tables.push((bytes_estimated, vec![(part, reading)]));
    }
    // Biggest first, so that the last to be read is small.
    of_tables.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
    let parts = of_tables.into_iter().flat_map(|(_, parts)| parts);
    parts
        .enumerate()
        .map(|(index, (part, reading))| (Part { index, ..part }, reading))
        .unzip()
}

fn parts_of(index: usize, table: &Table, ranges: &[PageRange]) -> Vec<(Part, Reading)> {
    let part = |path, pages| Part {
        index: 0,
        path,
        table: Some(index),
        pages,
        bytes_estimated: table.bytes / ranges.len().max(1) as u64,
    };
    let paths = paths(table, ranges.len());
    if ranges.is_empty() {
        let reading = Reading {
            statement: table.copy_out(),
            range: None,
        };
        return paths
            .into_iter()
            .map(|path| part(path, None))
            .zip([reading])
            .collect();
    }
    let last = ranges.len() - 1;
    let of_range = |(number, (&pages, path)): (usize, (&PageRange, String))| {
        let condition = Table::on_pages(pages, number == last);
        let reading = Reading {
            // The whole of a small table needs no condition.
            statement: match last {
                0 => table.copy_out(),
                _ => table.copy_out_where(&condition),
            },
            range: Some((table.sql_name(), condition)),
        };
        (part(path, Some(pages)), reading)
    };
    ranges.iter().zip(paths).enumerate().map(of_range).collect()
}

fn table_facts(
    tables: &[Table],
    stored: &BTreeMap<u32, Stored>,
    with_rows: usize,
    large_objects: bool,
) -> Vec<TableFacts> {
    let fact = |schema: &str, name: &str, columns: Vec<String>| TableFacts {
        schema: schema.to_owned(),
        name: name.to_owned(),
        columns,
        format: RowFormat::PostgresCopyText,
        counted: None,
        storage: None,
    };
    let mut facts: Vec<TableFacts> = tables
        .iter()
        .map(|table| TableFacts {
            storage: stored
                .get(&table.oid)
                .filter(|_| table.has_ranges() && !table.rowless)
                .and_then(|stored| stored.storage.clone()),
            ..fact(&table.schema, &table.name, table.columns.clone())
        })
        .collect();
    if large_objects {
        let (schema, name) = large_objects::TABLE;
        let columns = large_objects::COLUMNS.map(str::to_owned).to_vec();
        facts.insert(with_rows, fact(schema, name, columns));
    }
    facts
}

fn edges(outside: &[ForeignKey]) -> Vec<ForeignKeyEdge> {
    let mut edges: Vec<ForeignKeyEdge> = outside
        .iter()
        .map(|key| ForeignKeyEdge {
            from: key.from_name.clone(),
            to: key.to_name.clone(),
            constraint: key.constraint.clone(),
        })
        .collect();
    edges.sort();
    edges
}

/// Facts that tie a snapshot to its server; what this role may not ask is left out.
async fn details(client: &Client) -> Result<BTreeMap<String, String>, Error> {
    let mut details = BTreeMap::new();
    let row = client
        .query_one(
            "SELECT pg_snapshot_xmin(pg_current_snapshot())::text, pg_is_in_recovery(), \
                has_function_privilege('pg_control_system()', 'EXECUTE') \
                AND has_function_privilege('pg_control_checkpoint()', 'EXECUTE'), \
                (SELECT string_agg(extname || ' ' || extversion, ', ' ORDER BY extname) \
                    FROM pg_extension), version()",
            &[],
        )
        .await?;
    details.insert("snapshot_xmin".to_owned(), row.get(0));
    details.insert("standby".to_owned(), row.get::<_, bool>(1).to_string());
    if let Some(extensions) = row.get(3) {
        details.insert("extensions".to_owned(), extensions);
    }
    details.insert("server".to_owned(), row.get(4));
    if row.get(2) {
        let sql = "SELECT s.system_identifier::text, c.timeline_id::text \
                   FROM pg_control_system() s, pg_control_checkpoint() c";
        let row = client.query_one(sql, &[]).await?;
        details.insert("system_identifier".to_owned(), row.get(0));
        details.insert("timeline".to_owned(), row.get(1));
    }
    Ok(details)
}

/// What the snapshot does not carry.
async fn notes(
    client: &Client,
    roles: &[String],
    around: Option<&scope::Surroundings>,
) -> Result<Vec<String>, Error> {
    let mut notes = vec![format!(
        "roles belong to the server and are not carried; this database names {}",
        if roles.is_empty() {
            "none".to_owned()
        } else {
            roles.join(", ")
        }
    )];
    let foreign = catalog::foreign_tables(client).await?;
    if !foreign.is_empty() {
        notes.push(format!(
            "rows of foreign tables are not carried: {}",
            foreign.join(", ")
        ));
    }
    let unlogged = catalog::unlogged_on_standby(client).await?;
    if !unlogged.is_empty() {
        notes.push(format!(
            "the server is a standby, which has no rows of unlogged tables and no values of unlogged \
             sequences: {}",
            unlogged.join(", ")
        ));
    }
    let row = client
        .query_one(
            "SELECT (SELECT count(*) FROM pg_db_role_setting s WHERE s.setdatabase = d.oid), \
                (SELECT count(*) FROM pg_subscription s WHERE s.subdbid = d.oid), \
                EXISTS (SELECT FROM pg_class WHERE reltablespace <> 0 AND oid >= 16384), \
                (SELECT count(*) FROM pg_largeobject_metadata) \
             FROM pg_database d WHERE d.datname = current_database()",
            &[],
        )
        .await?;
    if row.get::<_, i64>(0) > 0 {
        notes.push(
            "settings made by ALTER DATABASE and ALTER ROLE … IN DATABASE are not carried"
                .to_owned(),
        );
    }
    if row.get::<_, i64>(1) > 0 {
        notes.push("subscriptions are not carried".to_owned());
    }
    if row.get(2) {
        notes.push(
            "tablespaces are not carried; everything is restored into the default one".to_owned(),
        );
    }
    if let Some(around) = around {
        notes.push(
            "views are carried only where a table, type or function of the selection needs them"
                .to_owned(),
        );
        if !around.without_rows.is_empty() {
            notes.push(format!(
                "come along without rows, because the selection's definitions name them: {}",
                around.without_rows.join(", ")
            ));
        }
        if row.get::<_, i64>(3) > 0 {
            notes
                .push("large objects are carried by a scope of the whole database only".to_owned());
        }
    }
    Ok(notes)
}

/// Of the selection's own sequences every one can be read: see `checks`.
fn unread_sequences(sequences: &[Sequence]) -> Option<String> {
    let names: Vec<String> = sequences.iter().map(Sequence::plain_name).collect();
    (!names.is_empty()).then(|| {
        format!(
            "sequences that this role may not read, and no table of the selection uses, start anew: {}",
            names.join(", ")
        )
    })
}

/// psql's `\copy` takes one line, and a name can hold a line feed.
fn two_line_names(tables: &[Table]) -> Option<String> {
    let broken = |name: &str| name.contains(['\n', '\r']);
    let names: Vec<String> = tables
        .iter()
        .filter(|t| broken(&t.schema) || broken(&t.name) || t.columns.iter().any(|c| broken(c)))
        .map(|table| format!("{:?}", table.plain_name()))
        .collect();
    (!names.is_empty()).then(|| {
        format!(
            "restore.sql cannot load tables with line feeds in their or their columns' names, other ways \
             to restore can: {}",
            names.join(", ")
        )
    })
}
