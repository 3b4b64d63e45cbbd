//! Proving that the rows of a page range are those of an earlier snapshot, without reading them.
//!
//! # What is asked
//!
//! Let B be an earlier snapshot whose content is stored (the base) and N the one that is being
//! taken. Under N, a range of pages is asked for two numbers, which costs a fraction of reading
//! it: how many rows are visible, and how old the youngest row version is. B's rows of the range may
//! be used again when
//!
//! 1. history goes through B ([`super::lineage`]): same system identifier, timeline, server version
//!    and database, and the server remembers the transactions that bore witness to B;
//! 2. the table is the same one (oid), in the same file (filenode), with the same definition
//!    ([`super::storage`]), and it is stored in the heap;
//! 3. every visible row's `xmin` is older than B's `xmin`, the oldest transaction that was running
//!    when B was taken; and
//! 4. as many rows are visible as B had there.
//!
//! # Why that suffices
//!
//! Take a row version that N sees in the range. By (3) the transaction that wrote it had ended when
//! B was taken. It committed, since N sees its row; and it had committed by then, since whoever has
//! ended does not commit later. So B saw the insertion. Whoever deleted the row before B would have
//! deleted it for N too, so B saw the row itself. It lay in the same range: a row version stays on
//! its page until something rewrites the table into a new file, which (2) excludes. So N's row
//! versions in the range are some of B's, and by (4) all of them. A row version never changes, nor
//! do the TOAST values that it points to; and its text is decided by it and by the definition, which
//! (2) compares, under settings that every session here makes. Hence equal rows give equal text.
//!
//! # What could break it, and what stops that
//!
//! - *A crash loses commits that B saw* (`synchronous_commit = off`), and their numbers are used
//!   again for rows that B never had: the witnesses, made after B, are lost with them. *The same by
//!   failover to a standby that lagged behind, point-in-time recovery, or a disk put back*: likewise,
//!   and the timeline changes with the first two. A standby itself is never a base.
//! - *Transactions prepared for two-phase commit* count as running until they end, across restarts
//!   too, so B's `xmin` is not younger than theirs: what they insert is too young for (3), what they
//!   delete is missing for (4).
//! - *Subtransactions* have numbers of their own, above their parent's, and B's `xmin` is not above
//!   the parent's while that runs: too young for (3) likewise.
//! - *`COPY … FREEZE`* writes rows that every snapshot sees, but only into a file that the same
//!   transaction made: another filenode. *Freezing* in general keeps `xmin` readable (since 9.4).
//! - *Wrap-around*: `xmin` has 32 bits and is compared by age, which is right for everything that is
//!   less than 2^31 transactions old; a base lies back at most half of that. Rows that are older
//!   may look younger than they are, and then are read again, never the other way round.
//! - *`TRUNCATE`, `VACUUM FULL`, `CLUSTER`, rewriting `ALTER TABLE`*: another filenode.
//! - *A new column with a default*, which changes rows that nobody touches; *renamed labels of an
//!   enumeration*, which change their text: the definition.
//! - *Unlogged tables* are emptied by a crash and keep their file: what is inserted afterwards is too
//!   young for (3), and an emptied table has another count than a table with rows.
//! - *A row moved within the range* (updated and vacuumed) is a new row version: too young.
//! - *Row locks* change `xmax`, which nothing here looks at.
//!
//! Where a condition does not hold the range is read; a wrong "no" costs time and nothing else.
//! Tools that alter pages behind the server's back (`pg_surgery`, `pg_resetwal`) are beyond any
//! proof: take a full afterwards, which never skips.

use std::collections::HashMap;

use logisedge_domain::manifest::{Manifest, PageRange, TableStorage};

use super::failure::refused;
use super::session::Session;
use crate::SourceError;

/// The ranges of a base that history goes through.
#[derive(Debug, Default)]
pub(super) struct Base {
    /// The low 32 bits of the base's `xmin`, as `xid` takes them.
    xmin: u32,
    ranges: HashMap<(TableStorage, PageRange), BaseRange>,
}

/// A range as the base holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BaseRange {
    rows: u64,
    file: String,
}

impl Base {
    /// What a manifest records of its ranges; none of it where it has no lineage.
    pub(super) fn of(manifest: &Manifest) -> Self {
        let Some(lineage) = &manifest.source.lineage else {
            return Self::default();
        };
        let mut ranges = HashMap::new();
        for table in &manifest.tables {
            let Some(storage) = &table.storage else {
                continue;
            };
            for range in &table.ranges {
                let known = BaseRange {
                    rows: range.rows,
                    file: range.file.clone(),
                };
                ranges.insert((storage.clone(), range.pages), known);
            }
        }
        Self {
            // The high bits are what `DISTANCE_MAX` in `lineage` took care of.
            xmin: (lineage.xmin & u64::from(u32::MAX)) as u32,
            ranges,
        }
    }

    /// The base's range of the same storage and pages.
    pub(super) fn range(&self, storage: &TableStorage, pages: PageRange) -> Option<&BaseRange> {
        self.ranges.get(&(storage.clone(), pages))
    }

    /// The base's file with the rows of `range`, where they are the rows that `session`'s snapshot
    /// sees under `condition` in the table with this SQL name.
    pub(super) async fn proven<'a>(
        &self,
        session: &Session,
        range: &'a BaseRange,
        table: &str,
        condition: &str,
        object: &str,
    ) -> Result<Option<&'a str>, SourceError> {
        // Both ages are counted from the same transaction, whichever that is.
        let sql = format!(
            "SELECT count(*), min(age(xmin)), age('{}'::xid) FROM ONLY {table} WHERE {condition}",
            self.xmin
        );
        let row = session.client.query_one(&sql, &[]).await;
        let row = row.map_err(|error| refused("look for changes in", object, error))?;
        let rows = row.get::<_, i64>(0).unsigned_abs();
        let (youngest, base): (Option<i32>, i32) = (row.get(1), row.get(2));
        // Without rows there is no youngest.
        let same = rows == range.rows && youngest.is_none_or(|age| age > base);
        Ok(same.then_some(range.file.as_str()))
    }
}
