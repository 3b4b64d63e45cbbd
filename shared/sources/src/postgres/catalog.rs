//! What the system catalogs say about a database's tables, sequences and views.

use std::collections::{BTreeMap, BTreeSet};

use logisedge_domain::manifest::PageRange;
use tokio_postgres::{Client, Error, Row};

use super::quote;

/// A table whose rows can be carried, or a partitioned parent.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) oid: u32,
    pub(super) schema: String,
    pub(super) name: String,
    /// It has no rows to read: a partitioned parent, whose rows are its partitions', or an unlogged
    /// table on a standby, which has none of them.
    pub(super) rowless: bool,
    /// Stored columns in order; generated ones are left out.
    pub(super) columns: Vec<String>,
    /// With its TOAST table, without indexes, as of the last VACUUM or ANALYZE: the true size would
    /// need a lock on every table.
    pub(super) bytes: u64,
    /// Whether this role may read it, schema included.
    pub(super) readable: bool,
    /// Whether row-level security would hide rows from this role.
    pub(super) hidden: bool,
    /// A configuration table of an extension; which of its rows are the user's (`WHERE …`, may
    /// be empty). The extension brings the table itself.
    pub(super) extension_rows: Option<String>,
}

impl Table {
    /// `schema.name` for people and patterns.
    pub(super) fn plain_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// `"schema"."name"` for SQL.
    pub(super) fn sql_name(&self) -> String {
        quote::qualified(&self.schema, &self.name)
    }

    /// The condition under which rows lie on these pages. The last range of a table has no end.
    pub(super) fn on_pages(pages: PageRange, is_last: bool) -> String {
        let PageRange { first, count } = pages;
        match is_last {
            true => format!("ctid >= '({first},0)'"),
            false => format!("ctid >= '({first},0)' AND ctid < '({},0)'", first + count),
        }
    }

    /// Whether its rows may be read range by range: it has columns to name, and its rows are all
    /// the user's.
    pub(super) fn has_ranges(&self) -> bool {
        self.extension_rows.is_none() && !self.columns.is_empty()
    }

    /// The statement that streams the rows under a condition, in the order of their pages.
    pub(super) fn copy_out_where(&self, condition: &str) -> String {
        let list: Vec<String> = self.columns.iter().map(|c| quote::identifier(c)).collect();
        format!(
            "COPY (SELECT {} FROM ONLY {} WHERE {condition}) TO STDOUT",
            list.join(", "),
            self.sql_name()
        )
    }

    /// The statement that streams its rows.
    pub(super) fn copy_out(&self) -> String {
        let (name, columns) = (self.sql_name(), quote::column_list(&self.columns));
        match self.extension_rows.as_deref() {
            None | Some("") => format!("COPY {name}{columns} TO STDOUT"),
            Some(condition) => {
                let list: Vec<String> = self.columns.iter().map(|c| quote::identifier(c)).collect();
                format!(
                    "COPY (SELECT {} FROM {name} {condition}) TO STDOUT",
                    list.join(", ")
                )
            }
        }
    }
}

/// A condition on `pg_class c` and `pg_namespace n`: neither the system's nor temporary.
pub(super) const OF_USERS: &str = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
                                   AND c.relpersistence <> 't'";

/// A condition on `pg_class c`: not brought by an extension.
pub(super) const NO_MEMBER: &str = "NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = \
     'pg_class'::regclass AND x.objid = c.oid AND x.deptype = 'e')";

/// Every table that a backup could hold, by schema and name.
pub(super) async fn tables(client: &Client) -> Result<Vec<Table>, Error> {
    let rows = client.query(&tables_sql("true"), &[]).await?;
    Ok(rows.iter().map(read_table).collect())
}

/// One table by name.
pub(super) async fn table(
    client: &Client,
    schema: &str,
    name: &str,
) -> Result<Option<Table>, Error> {
    let sql = tables_sql("n.nspname = $1::text AND c.relname = $2::text");
    Ok(client
        .query_opt(&sql, &[&schema, &name])
        .await?
        .as_ref()
        .map(read_table))
}

fn tables_sql(condition: &str) -> String {
    format!(
        "SELECT c.oid, n.nspname::text, c.relname::text, \
            c.relkind = 'p' OR c.relpersistence = 'u' AND pg_is_in_recovery(), \
            ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid \
                AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum), \
            (greatest(c.relpages, 0)::int8 + coalesce((SELECT greatest(t.relpages, 0) FROM pg_class t \
                WHERE t.oid = c.reltoastrelid), 0)) * current_setting('block_size')::int8, \
            has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE'), \
            row_security_active(c.oid), e.condition \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN (SELECT u.oid, coalesce(u.condition, '') AS condition FROM pg_extension x, \
            unnest(x.extconfig, x.extcondition) AS u(oid, condition)) e ON e.oid = c.oid \
         WHERE c.relkind IN ('r', 'p') AND {OF_USERS} AND ({NO_MEMBER} OR e.oid IS NOT NULL) \
            AND {condition} ORDER BY n.nspname, c.relname"
    )
}

fn read_table(row: &Row) -> Table {
    Table {
        oid: row.get(0),
        schema: row.get(1),
        name: row.get(2),
        rowless: row.get(3),
        columns: row.get(4),
        bytes: row.get::<_, i64>(5).unsigned_abs(),
        readable: row.get(6),
        hidden: row.get(7),
        extension_rows: row.get(8),
    }
}

/// Partitions of partitioned tables, at every depth: parent and descendant.
pub(super) async fn partitions(client: &Client) -> Result<Vec<(u32, u32)>, Error> {
    inheritance(client, "p.relkind = 'p'").await
}

/// Partitions and tables that inherit, at every depth: parent and descendant.
pub(super) async fn descendants(client: &Client) -> Result<Vec<(u32, u32)>, Error> {
    inheritance(client, "true").await
}

async fn inheritance(client: &Client, of_parents: &str) -> Result<Vec<(u32, u32)>, Error> {
    let sql = format!(
        "WITH RECURSIVE d(root, oid) AS (\
            SELECT i.inhparent, i.inhrelid FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent \
            WHERE {of_parents} \
            UNION SELECT d.root, i.inhrelid FROM d JOIN pg_inherits i ON i.inhparent = d.oid) \
         SELECT root, oid FROM d"
    );
    let rows = client.query(&sql, &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// A foreign key between two tables.
#[derive(Debug, Clone)]
pub(super) struct ForeignKey {
    pub(super) constraint: String,
    pub(super) from: u32,
    /// `schema.table` of the table that has it.
    pub(super) from_name: String,
    pub(super) to: u32,
    /// `schema.table` of the table it points to.
    pub(super) to_name: String,
    /// The statement that adds it, letter for letter as `pg_dump` writes it.
    pub(super) statement: String,
}

/// The foreign keys that were declared (not those that partitions inherit).
pub(super) async fn foreign_keys(client: &Client) -> Result<Vec<ForeignKey>, Error> {
    let sql = "SELECT k.conname::text, k.conrelid, k.confrelid, \
            fn.nspname || '.' || f.relname, \
            format(E'ALTER TABLE %s%I.%I\\n    ADD CONSTRAINT %I %s;', \
                CASE t.relkind WHEN 'p' THEN '' ELSE 'ONLY ' END, \
                tn.nspname, t.relname, k.conname, pg_get_constraintdef(k.oid)), \
            tn.nspname || '.' || t.relname \
         FROM pg_constraint k \
         JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace \
         JOIN pg_class f ON f.oid = k.confrelid JOIN pg_namespace fn ON fn.oid = f.relnamespace \
         WHERE k.contype = 'f' AND k.conparentid = 0 ORDER BY 4, 1";
    let rows = client.query(sql, &[]).await?;
    Ok(rows
        .iter()
        .map(|row| ForeignKey {
            constraint: row.get(0),
            from: row.get(1),
            to: row.get(2),
            to_name: row.get(3),
            statement: row.get(4),
            from_name: row.get(5),
        })
        .collect())
}

/// A sequence with its place.
#[derive(Debug, Clone)]
pub(super) struct Sequence {
    pub(super) schema: String,
    pub(super) name: String,
    /// The table whose column it serves.
    pub(super) owner: Option<u32>,
    /// An identity column's: it is no object of its own.
    pub(super) identity: bool,
    /// Tables with a default that takes its values, the owner with them.
    pub(super) users: Vec<u32>,
    pub(super) readable: bool,
}

impl Sequence {
    /// `schema.name` for people.
    pub(super) fn plain_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

/// Every sequence, by schema and name.
pub(super) async fn sequences(client: &Client) -> Result<Vec<Sequence>, Error> {
    let sql = format!(
        "SELECT n.nspname::text, c.relname::text, \
            (SELECT d.refobjid FROM pg_depend d WHERE d.classid = 'pg_class'::regclass \
                AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass \
                AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i') LIMIT 1), \
            has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE'), \
            EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass \
                AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass \
                AND d.refobjsubid > 0 AND d.deptype = 'i'), \
            ARRAY(SELECT a.adrelid FROM pg_depend d JOIN pg_attrdef a \
                ON d.classid = 'pg_attrdef'::regclass AND d.objid = a.oid \
                WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'S' AND {OF_USERS} \
            AND NOT (c.relpersistence = 'u' AND pg_is_in_recovery()) AND ({NO_MEMBER} OR EXISTS (\
            SELECT FROM pg_extension x WHERE c.oid = ANY(x.extconfig))) \
         ORDER BY n.nspname, c.relname"
    );
    let rows = client.query(&sql, &[]).await?;
    Ok(rows
        .iter()
        .map(|row| {
            let owner: Option<u32> = row.get(2);
            let mut users: Vec<u32> = row.get(5);
            users.extend(owner);
            Sequence {
                schema: row.get(0),
                name: row.get(1),
                owner,
                identity: row.get(4),
                users,
                readable: row.get(3),
            }
        })
        .collect())
}

/// Statements that set sequences to where they are.
pub(super) async fn sequence_values(
    client: &Client,
    sequences: &[Sequence],
) -> Result<String, Error> {
    /// Sequences that one query asks for.
    const AT_ONCE: usize = 200;
    let mut statements = String::new();
    for group in sequences.chunks(AT_ONCE) {
        let names: Vec<String> = group
            .iter()
            .map(|s| quote::qualified(&s.schema, &s.name))
            .collect();
        let asked: Vec<String> = names
            .iter()
            .enumerate()
            .map(|(at, name)| format!("SELECT {at}, last_value, is_called FROM {name}"))
            .collect();
        let sql = format!("{} ORDER BY 1", asked.join(" UNION ALL "));
        for (name, row) in names.iter().zip(client.query(&sql, &[]).await?) {
            statements.push_str(&format!(
                "SELECT pg_catalog.setval({}, {}, {});\n",
                quote::literal(name).trim_start(),
                row.get::<_, i64>(1),
                row.get::<_, bool>(2),
            ));
        }
    }
    Ok(statements)
}

/// Populated materialised views as SQL names, each after those that it reads.
pub(super) async fn materialised_views(client: &Client) -> Result<Vec<String>, Error> {
    let sql = format!(
        "SELECT c.oid, n.nspname::text, c.relname::text, c.relkind = 'm' AND c.relispopulated, \
            ARRAY(SELECT DISTINCT d.refobjid FROM pg_rewrite w JOIN pg_depend d \
                ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid \
                AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> c.oid \
                WHERE w.ev_class = c.oid) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('v', 'm') AND {OF_USERS} AND {NO_MEMBER} ORDER BY n.nspname, c.relname"
    );
    let rows = client.query(&sql, &[]).await?;
    let mut waiting: BTreeMap<usize, (u32, Option<String>, Vec<u32>)> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        let name = quote::qualified(row.get(1), row.get(2));
        waiting.insert(
            at,
            (
                row.get(0),
                row.get::<_, bool>(3).then_some(name),
                row.get(4),
            ),
        );
    }
    let mut unresolved: BTreeSet<u32> = waiting.values().map(|(oid, ..)| *oid).collect();
    let mut ordered = Vec::new();
    while !waiting.is_empty() {
        let ready = waiting
            .iter()
            .find(|(_, (_, _, reads))| !reads.iter().any(|oid| unresolved.contains(oid)))
            // Views cannot read one another in a circle but through rules; then any order does.
            .or_else(|| waiting.iter().next())
            .map(|(&at, _)| at);
        if let Some((oid, name, _)) = ready.and_then(|at| waiting.remove(&at)) {
            unresolved.remove(&oid);
            ordered.extend(name);
        }
    }
    Ok(ordered)
}

/// Names (`schema.name`) of unlogged tables and sequences, which a standby does not have; none on a
/// primary.
pub(super) async fn unlogged_on_standby(client: &Client) -> Result<Vec<String>, Error> {
    let sql = format!(
        "SELECT n.nspname || '.' || c.relname FROM pg_class c \
         JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE pg_is_in_recovery() AND c.relpersistence = 'u' AND c.relkind IN ('r', 'S') \
            AND {OF_USERS} AND {NO_MEMBER} ORDER BY 1"
    );
    Ok(client
        .query(&sql, &[])
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect())
}

/// Names (`schema.name`) of foreign tables.
pub(super) async fn foreign_tables(client: &Client) -> Result<Vec<String>, Error> {
    let sql = format!(
        "SELECT n.nspname || '.' || c.relname FROM pg_class c \
         JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'f' AND {OF_USERS} AND {NO_MEMBER} ORDER BY 1"
    );
    Ok(client
        .query(&sql, &[])
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect())
}

/// Roles that objects of this database belong to or are granted to, by name.
pub(super) async fn roles(client: &Client) -> Result<Vec<String>, Error> {
    // Ownership by the bootstrap role (oid 10) is not recorded in pg_shdepend.
    let sql = "SELECT r.rolname::text FROM pg_roles r WHERE r.rolname !~ '^pg_' AND (r.oid IN (\
            SELECT d.refobjid FROM pg_shdepend d WHERE d.refclassid = 'pg_authid'::regclass \
                AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())) \
         OR r.oid = 10 AND (EXISTS (SELECT FROM pg_class WHERE relowner = 10 AND oid >= 16384) \
            OR EXISTS (SELECT FROM pg_namespace WHERE nspowner = 10 AND oid >= 16384) \
            OR EXISTS (SELECT FROM pg_type WHERE typowner = 10 AND oid >= 16384) \
            OR EXISTS (SELECT FROM pg_proc WHERE proowner = 10 AND oid >= 16384) \
            OR EXISTS (SELECT FROM pg_largeobject_metadata WHERE lomowner = 10))) ORDER BY 1";
    Ok(client
        .query(sql, &[])
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect())
}
