//! Which tables a selection means, and what has to come along for it to be restorable alone.
//!
//! A narrower scope's schema holds its tables; every schema, type, function, sequence and extension
//! of the database (they are small, and a table's columns, defaults and triggers may need any of
//! them); and, without rows, the tables and views that those definitions name. Foreign keys to
//! tables outside are kept apart, since they could not be checked.

use std::collections::BTreeSet;

use logisedge_domain::scope::Selection;
use tokio_postgres::{Client, Error};

use super::catalog::{self, NO_MEMBER, OF_USERS, Table};
use super::failure::{failed, refused};
use super::quote;
use crate::{SourceError, SourceErrorKind, select};

/// What `selection` names among the tables that the database has now.
pub(super) async fn selected_tables(
    client: &Client,
    selection: &Selection,
    place: &str,
) -> Result<Vec<Table>, SourceError> {
    let said = |error| refused("list the tables of", place, error);
    let mut tables = catalog::tables(client).await.map_err(said)?;
    let Selection::Tables { exclude, .. } = selection else {
        return Ok(tables);
    };
    tables.retain(|table| table.extension_rows.is_none());
    let names: Vec<(String, String)> = tables
        .iter()
        .map(|table| (table.schema.clone(), table.name.clone()))
        .collect();
    let chosen = select(selection, &names).map_err(|patterns| {
        failed(
            SourceErrorKind::NotFound,
            "select from",
            place,
            format!(
                "no table matches {}; patterns are globs over schema.table, and letter case counts",
                patterns.join(", ")
            ),
        )
    })?;
    let mut oids: BTreeSet<u32> = chosen.iter().map(|&index| tables[index].oid).collect();

    // A parent stands for the rows of its partitions and of the tables that inherit from it.
    let everything_else = Selection::Tables {
        include: vec!["*".to_owned()],
        exclude: exclude.clone(),
    };
    let allowed: BTreeSet<u32> = select(&everything_else, &names)
        .unwrap_or_default()
        .into_iter()
        .map(|index| tables[index].oid)
        .collect();
    let descendants = catalog::descendants(client).await.map_err(said)?;
    let more: Vec<u32> = descendants
        .iter()
        .filter(|(root, oid)| oids.contains(root) && allowed.contains(oid))
        .map(|&(_, oid)| oid)
        .collect();
    oids.extend(more);
    tables.retain(|table| oids.contains(&table.oid));
    Ok(tables)
}

/// What surrounds the tables of a narrower scope.
pub(super) struct Surroundings {
    /// `pg_dump` patterns of the tables and views that stay out.
    pub(super) excluded: Vec<String>,
    /// The same relations by oid.
    pub(super) excluded_oids: BTreeSet<u32>,
    /// `schema.name` of relations that come along without rows.
    pub(super) without_rows: Vec<String>,
    /// The same relations by oid.
    pub(super) without_rows_oids: BTreeSet<u32>,
}

/// What has to come along with the tables `selected`, and what stays out.
pub(super) async fn surroundings(client: &Client, selected: &[u32]) -> Result<Surroundings, Error> {
    let selected: Vec<u32> = selected.to_vec();
    let rows = client.query(&needs_sql(), &[&selected]).await?;
    let mut found = Surroundings {
        excluded: Vec::new(),
        excluded_oids: BTreeSet::new(),
        without_rows: Vec::new(),
        without_rows_oids: BTreeSet::new(),
    };
    for row in &rows {
        let (oid, schema, name): (u32, &str, &str) = (row.get(0), row.get(1), row.get(2));
        if row.get::<_, bool>(3) {
            found.without_rows.push(format!("{schema}.{name}"));
            found.without_rows_oids.insert(oid);
        } else {
            // Inside double quotes pg_dump takes every character as it is.
            found.excluded.push(quote::qualified(schema, name));
            found.excluded_oids.insert(oid);
        }
    }
    Ok(found)
}

/// Follows pg_depend from the selected tables ($1) and from everything that is no relation.
///
/// Each dependency counts for the relation that it is part of (a default for its table, a rule for
/// its view); 0 stands for what is always dumped, such as functions. Foreign keys do not count.
fn needs_sql() -> String {
    format!(
        "WITH RECURSIVE edge(dependent, needed) AS (\
            SELECT DISTINCT \
                CASE d.classid \
                    WHEN 'pg_class'::regclass THEN CASE c.relkind WHEN 'c' THEN 0 ELSE c.oid END \
                    WHEN 'pg_attrdef'::regclass THEN (SELECT adrelid FROM pg_attrdef WHERE oid = d.objid) \
                    WHEN 'pg_rewrite'::regclass THEN (SELECT ev_class FROM pg_rewrite WHERE oid = d.objid) \
                    WHEN 'pg_policy'::regclass THEN (SELECT polrelid FROM pg_policy WHERE oid = d.objid) \
                    WHEN 'pg_trigger'::regclass THEN (SELECT tgrelid FROM pg_trigger WHERE oid = d.objid) \
                    WHEN 'pg_constraint'::regclass THEN (SELECT conrelid FROM pg_constraint \
                        WHERE oid = d.objid AND contype <> 'f') \
                    WHEN 'pg_type'::regclass THEN (SELECT CASE WHEN t.typrelid <> 0 THEN t.typrelid \
                        ELSE coalesce((SELECT e.typrelid FROM pg_type e WHERE e.oid = t.typelem), 0) END \
                        FROM pg_type t WHERE t.oid = d.objid) \
                    WHEN 'pg_proc'::regclass THEN 0 WHEN 'pg_cast'::regclass THEN 0 \
                    WHEN 'pg_operator'::regclass THEN 0 WHEN 'pg_opclass'::regclass THEN 0 \
                    WHEN 'pg_opfamily'::regclass THEN 0 WHEN 'pg_amop'::regclass THEN 0 \
                    WHEN 'pg_amproc'::regclass THEN 0 END::oid, \
                CASE d.refclassid \
                    WHEN 'pg_class'::regclass THEN d.refobjid \
                    WHEN 'pg_type'::regclass THEN (SELECT CASE WHEN t.typrelid <> 0 THEN t.typrelid \
                        ELSE (SELECT e.typrelid FROM pg_type e WHERE e.oid = t.typelem) END \
                        FROM pg_type t WHERE t.oid = d.refobjid) END \
            FROM pg_depend d LEFT JOIN pg_class c \
                ON d.classid = 'pg_class'::regclass AND c.oid = d.objid \
            WHERE d.refclassid IN ('pg_class'::regclass, 'pg_type'::regclass)), \
         kept(oid) AS (\
            SELECT needed FROM edge WHERE dependent = 0 AND needed IS NOT NULL \
            UNION SELECT unnest($1::oid[]) \
            UNION SELECT edge.needed FROM kept JOIN edge ON edge.dependent = kept.oid \
                WHERE edge.needed IS NOT NULL) \
         SELECT c.oid, n.nspname::text, c.relname::text, c.oid IN (SELECT oid FROM kept) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {OF_USERS} AND {NO_MEMBER} \
            AND c.oid NOT IN (SELECT unnest($1::oid[])) ORDER BY n.nspname, c.relname"
    )
}
