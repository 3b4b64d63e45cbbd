//! What a database file holds: tables, their columns, and what belongs to them.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::literal::quoted_name;
use crate::Edge;

/// The one schema of a database file.
pub(super) const SCHEMA: &str = "main";

/// How a table keeps its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// In the file, by itself.
    Table,
    /// In the file, on behalf of a virtual table.
    Shadow,
    /// Elsewhere: a module makes them.
    Virtual,
}

/// A table as the schema has it.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// The statement that made it.
    pub(super) sql: String,
    /// Columns that rows carry: not the generated and hidden ones.
    pub(super) columns: Vec<String>,
    /// Whether it has columns that rows do not carry.
    pub(super) partial: bool,
}

impl Table {
    /// Whether a name that rows are written with holds a line end.
    pub(super) fn name_breaks_lines(&self) -> bool {
        let breaks = |name: &String| name.contains(['\n', '\r']);
        breaks(&self.name) || (self.partial && self.columns.iter().any(breaks))
    }

    /// The query for its rows: every carried column, in the order in which the table keeps them.
    /// `NOT INDEXED` keeps a covering index from giving another order.
    pub(super) fn query(&self) -> String {
        let columns: Vec<_> = self.columns.iter().map(|name| quoted_name(name)).collect();
        format!(
            "SELECT {} FROM {SCHEMA}.{} NOT INDEXED",
            columns.join(","),
            quoted_name(&self.name)
        )
    }
}

/// Every table but SQLite's own, in the order in which they were made.
pub(super) fn tables(db: &Connection) -> rusqlite::Result<Vec<Table>> {
    let mut found = db.prepare(
        "SELECT s.name, l.type, s.sql FROM sqlite_schema s
         JOIN pragma_table_list l ON l.schema = 'main' AND l.name = s.name
         WHERE s.type = 'table' AND s.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY s.rowid",
    )?;
    let mut columns =
        db.prepare("SELECT name, hidden FROM pragma_table_xinfo(?, 'main') ORDER BY cid")?;
    let mut tables = Vec::new();
    let mut rows = found.query([])?;
    while let Some(row) = rows.next()? {
        let kind = match row.get_ref(1)?.as_str()? {
            "virtual" => Kind::Virtual,
            "shadow" => Kind::Shadow,
            _ => Kind::Table,
        };
        let name: String = row.get(0)?;
        let mut carried = Vec::new();
        let mut partial = false;
        // A virtual table's columns can be asked for only where its module is there.
        if kind != Kind::Virtual {
            let mut of_table = columns.query([&name])?;
            while let Some(column) = of_table.next()? {
                match column.get::<_, i64>(1)? {
                    0 => carried.push(column.get(0)?),
                    _ => partial = true,
                }
            }
        }
        tables.push(Table {
            name,
            kind,
            sql: row.get(2)?,
            columns: carried,
            partial,
        });
    }
    Ok(tables)
}

/// A foreign key of one table.
#[derive(Debug, Clone)]
pub(super) struct ForeignKey {
    /// The table that it refers to.
    pub(super) parent: String,
    /// Its own columns.
    columns: Vec<String>,
}

/// The foreign keys of a table.
pub(super) fn foreign_keys(db: &Connection, table: &str) -> rusqlite::Result<Vec<ForeignKey>> {
    let mut statement = db.prepare_cached(
        "SELECT id, \"table\", \"from\" FROM pragma_foreign_key_list(?, 'main') ORDER BY id, seq",
    )?;
    let mut keys: Vec<(i64, ForeignKey)> = Vec::new();
    let mut rows = statement.query([table])?;
    while let Some(row) = rows.next()? {
        let (id, column): (i64, String) = (row.get(0)?, row.get(2)?);
        match keys.last_mut() {
            Some((last, key)) if *last == id => key.columns.push(column),
            _ => keys.push((
                id,
                ForeignKey {
                    parent: row.get(1)?,
                    columns: vec![column],
                },
            )),
        }
    }
    Ok(keys.into_iter().map(|(_, key)| key).collect())
}

/// The foreign keys that leave `tables`. SQLite's constraints seldom have names, so an edge is
/// named after its columns.
pub(super) fn outside_references(
    db: &Connection,
    tables: &[&Table],
) -> rusqlite::Result<Vec<Edge>> {
    let inside: BTreeSet<String> = tables.iter().map(|t| t.name.to_ascii_lowercase()).collect();
    let mut edges = BTreeSet::new();
    for table in tables {
        for key in foreign_keys(db, &table.name)? {
            if !inside.contains(&key.parent.to_ascii_lowercase()) {
                edges.insert(Edge {
                    from: format!("{SCHEMA}.{}", table.name),
                    to: format!("{SCHEMA}.{}", key.parent),
                    constraint: format!("foreign key ({})", key.columns.join(", ")),
                });
            }
        }
    }
    Ok(edges.into_iter().collect())
}

/// Rows of `tables` whose foreign keys point at nothing inside `tables`. SQLite enforces foreign
/// keys only where a program asks for it, so files with such rows are common, and a restore must
/// bring back exactly as many. None where the keys themselves are malformed.
pub(super) fn foreign_key_violations(
    db: &Connection,
    tables: &BTreeSet<String>,
) -> rusqlite::Result<Option<u64>> {
    let mut violations = 0;
    for table in tables {
        let mut statement = db.prepare("SELECT parent FROM pragma_foreign_key_check(?)")?;
        let mut rows = statement.query([table])?;
        loop {
            match rows.next() {
                Ok(None) => break,
                Ok(Some(row)) => {
                    let parent: String = row.get(0)?;
                    violations += u64::from(tables.contains(&parent.to_ascii_lowercase()));
                }
                // "foreign key mismatch": the parent lacks the key that is referred to.
                Err(error)
                    if error
                        .sqlite_error_code()
                        .is_none_or(|code| code == rusqlite::ErrorCode::Unknown) =>
                {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(Some(violations))
}

/// The statements of indexes or triggers of the named tables, in the order in which they were made.
pub(super) fn statements(
    db: &Connection,
    kind: &str,
    of: &BTreeSet<String>,
) -> rusqlite::Result<Vec<String>> {
    let mut statement = db.prepare(
        "SELECT tbl_name, sql FROM sqlite_schema WHERE type = ? AND sql IS NOT NULL ORDER BY rowid",
    )?;
    let mut found = Vec::new();
    let mut rows = statement.query([kind])?;
    while let Some(row) = rows.next()? {
        let table: String = row.get(0)?;
        if of.contains(&table.to_ascii_lowercase()) {
            found.push(row.get(1)?);
        }
    }
    Ok(found)
}

/// The names of all views.
pub(super) fn views(db: &Connection) -> rusqlite::Result<Vec<String>> {
    db.prepare("SELECT name FROM sqlite_schema WHERE type = 'view' ORDER BY rowid")?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// One value of a pragma, as text.
pub(super) fn pragma(db: &Connection, name: &str) -> rusqlite::Result<String> {
    db.pragma_query_value(None, name, |row| match row.get_ref(0)? {
        rusqlite::types::ValueRef::Integer(number) => Ok(number.to_string()),
        other => Ok(other.as_str()?.to_owned()),
    })
}
