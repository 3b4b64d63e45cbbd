//! How tables lie on disk: their pages, and what identifies rows as stored and as written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use logisedge_domain::manifest::{PageRange, TableStorage};
use sha2::{Digest, Sha256};
use tokio_postgres::{Client, Error};

/// Pages of a range: 16 MiB at PostgreSQL's usual 8 KiB a page. Fixed, so that the ranges of a table
/// stay the same as it grows and an unchanged one gives the stream that it gave before. Smaller
/// ranges skip more around scattered changes; each costs a statement and an entry in the manifest.
pub(super) const RANGE_PAGES: u32 = 2048;

/// Oldest server with TID range scans, as `server_version_num` counts. An older one would read the
/// whole table for each range. <https://www.postgresql.org/docs/14/release-14.html>
pub(super) const RANGES_SINCE: u32 = 140_000;

/// How our sessions have rows written as text; another form is another definition of every table.
/// To be changed with anything in `SETTINGS` of `session.rs` that the text of a value depends on.
const TEXT_FORM: &[u8] = b"COPY text, form 1\n";

/// A table's storage as the catalogs tell it under the snapshot.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    /// Pages that hold rows, TOAST left out.
    pub(super) pages: u32,
    /// None: nothing can be proven of its rows later, see [`of_tables`].
    pub(super) storage: Option<TableStorage>,
}

impl Stored {
    /// The ranges of its pages in order, at least one.
    pub(super) fn ranges(&self) -> Vec<PageRange> {
        (0..self.pages.div_ceil(RANGE_PAGES).max(1))
            .map(|number| PageRange {
                first: number * RANGE_PAGES,
                count: RANGE_PAGES,
            })
            .collect()
    }
}

/// The storage of tables that are locked, by oid.
///
/// The definition covers all that a row's text depends on beside the row: the columns in order with
/// their types and the values of columns that were added later without touching any row, and what
/// the types consist of at any depth (labels of enumerations, attributes, elements). Catalog rows of
/// types are named with their `xmin`, because they change without any lock on the table: so a label
/// that was renamed and renamed back counts as changed.
///
/// No storage is told where the text may change in other ways: types whose text is looked up
/// elsewhere (`regclass` and its kind, `aclitem`), types that C code outside the server writes
/// (extensions), and tables that another access method than the heap stores.
pub(super) async fn of_tables(
    client: &Client,
    oids: &[u32],
) -> Result<BTreeMap<u32, Stored>, Error> {
    // Put together here: the planner expects ten tables where 20,000 are asked for.
    let columns = client.query(COLUMNS, &[&oids]).await?;
    let used: BTreeSet<u32> = columns.iter().map(|row| row.get(1)).collect();
    let used: Vec<u32> = used.into_iter().collect();
    let types: HashMap<u32, (String, bool)> = client
        .query(TYPES, &[&used])
        .await?
        .iter()
        .map(|row| (row.get(0), (row.get(1), row.get(2))))
        .collect();
    let mut definitions: HashMap<u32, Definition> = HashMap::new();
    for row in &columns {
        let (table, column_type): (u32, u32) = (row.get(0), row.get(1));
        let known = types
            .get(&column_type)
            .map(|(facts, steady)| (facts.as_str(), *steady));
        definitions.entry(table).or_default().add(row.get(2), known);
    }
    let tables = client.query(TABLES, &[&oids]).await?;
    Ok(tables
        .iter()
        .map(|row| {
            let oid: u32 = row.get(0);
            let definition = definitions.remove(&oid).unwrap_or_default();
            let filenode: Option<u32> = row.get(1);
            let steady = definition.steady && row.get::<_, bool>(3);
            let storage = filenode.filter(|_| steady).map(|filenode| TableStorage {
                oid,
                filenode,
                definition: definition.digest(),
            });
            // A table has at most 2^32 - 2 pages.
            let pages = u32::try_from(row.get::<_, i64>(2)).unwrap_or(u32::MAX);
            (oid, Stored { pages, storage })
        })
        .collect())
}

/// What a row's text depends on beside the row, while it is collected column by column.
struct Definition {
    hash: Sha256,
    steady: bool,
}

impl Default for Definition {
    fn default() -> Self {
        Self {
            hash: Sha256::new_with_prefix(TEXT_FORM),
            steady: true,
        }
    }
}

impl Definition {
    fn add(&mut self, column: &str, its_type: Option<(&str, bool)>) {
        let (facts, steady) = its_type.unwrap_or_default();
        for text in [column, facts] {
            self.hash.update((text.len() as u64).to_le_bytes());
            self.hash.update(text);
        }
        self.steady &= steady;
    }

    fn digest(self) -> String {
        hex::encode(self.hash.finalize())
    }
}

const TABLES: &str = "\
    SELECT r.oid, pg_relation_filenode(r.oid), \
        pg_relation_size(r.oid) / current_setting('block_size')::int8, m.amname = 'heap' \
    FROM pg_class r JOIN pg_am m ON m.oid = r.relam WHERE r.oid = ANY($1)";

/// Each column as one text. `attmissingval` is what rows have that are older than the column.
const COLUMNS: &str = "\
    SELECT a.attrelid, a.atttypid, concat_ws(' ', a.attnum, quote_ident(a.attname), a.atttypid, \
        a.atttypmod, a.attgenerated, a.attmissingval::text) \
    FROM pg_attribute a WHERE a.attrelid = ANY($1) AND a.attnum > 0 AND NOT a.attisdropped \
    ORDER BY a.attrelid, a.attnum";

/// For each type everything that it consists of, and whether nothing else decides on its text.
/// Oids below 16384 are the server's own: `FirstNormalObjectId` in `src/include/access/transam.h`.
const TYPES: &str = "\
    WITH RECURSIVE consists(root, type) AS (\
        SELECT u, u FROM unnest($1::oid[]) u \
        UNION SELECT c.root, n.type FROM consists c CROSS JOIN LATERAL (\
            SELECT t.typelem AS type FROM pg_type t WHERE t.oid = c.type \
            UNION ALL SELECT t.typbasetype FROM pg_type t WHERE t.oid = c.type \
            UNION ALL SELECT g.rngsubtype FROM pg_range g WHERE c.type IN (g.rngtypid, g.rngmultitypid) \
            UNION ALL SELECT a.atttypid FROM pg_type t JOIN pg_attribute a ON a.attrelid = t.typrelid \
                WHERE t.oid = c.type AND a.attnum > 0 AND NOT a.attisdropped) n WHERE n.type <> 0) \
    SELECT c.root, \
        string_agg(concat_ws(' ', t.oid, t.typtype, t.typoutput::oid, t.typdelim, \
            CASE WHEN t.oid >= 16384 THEN t.xmin::text END, \
            (SELECT string_agg(concat_ws(' ', e.oid, e.enumlabel, e.xmin), ', ' ORDER BY e.oid) \
                FROM pg_enum e WHERE e.enumtypid = t.oid), \
            (SELECT string_agg(concat_ws(' ', a.attnum, a.atttypid, a.atttypmod, a.xmin), ', ' \
                ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = t.typrelid \
                AND a.attnum > 0)), '; ' ORDER BY t.oid), \
        bool_and(CASE \
            WHEN t.typtype IN ('e', 'c', 'd', 'r', 'm') THEN true \
            WHEN t.typoutput = 'array_out'::regproc THEN true \
            ELSE t.typtype = 'b' AND t.oid < 16384 AND t.typname NOT LIKE 'reg%' \
                AND t.typname <> 'aclitem' END) \
    FROM consists c JOIN pg_type t ON t.oid = c.type GROUP BY c.root";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_stay_the_same_as_a_table_grows() {
        let ranges = |pages| {
            let storage = None;
            Stored { pages, storage }.ranges()
        };
        let firsts = |pages| ranges(pages).iter().map(|r| r.first).collect::<Vec<_>>();
        assert_eq!(firsts(0), [0]);
        assert_eq!(firsts(RANGE_PAGES), [0]);
        assert_eq!(firsts(RANGE_PAGES + 1), [0, RANGE_PAGES]);
        assert_eq!(ranges(RANGE_PAGES)[0], ranges(3 * RANGE_PAGES)[0]);
        assert_eq!(ranges(u32::MAX).len(), 1 << 21);
    }
}
