//! The sample ERP as an SQLite file.

use std::path::Path;

use rusqlite::types::{Null, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, Statement, ToSql};

use crate::rows::{Rows, World};
use crate::schema::{Dialect, TABLES, TRIGGER_SQLITE, VIEWS};
use crate::sink::{CopyText, RowSink, date_text, stamp_text};
use crate::{SampleError, Summary};

/// Makes the database in a new file. An existing file is refused and left alone.
pub fn create(path: &Path, seed: u64, megabytes: u64) -> Result<Summary, SampleError> {
    let world = crate::change::world_of_size(seed, megabytes)?;
    if path.exists() {
        return Err(SampleError::NotEmpty(path.display().to_string()));
    }
    let mut db = Connection::open(path)?;
    // Nothing is lost with a file that is not finished, so neither journal nor sync is needed.
    db.execute_batch(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF;",
    )?;
    let tx = db.transaction()?;
    for table in TABLES {
        tx.execute_batch(&table.create(Dialect::Sqlite))?;
    }
    let mut summary = Summary {
        tables: TABLES.len(),
        rows: 0,
        bytes: 0,
    };
    for (at, table) in TABLES.iter().enumerate() {
        let rows = table.rows(world.orders);
        summary.bytes += insert(&tx, at, 0..rows, world)?;
        summary.rows += rows;
    }
    for table in TABLES {
        for index in table.create_indexes() {
            tx.execute_batch(&index)?;
        }
    }
    tx.execute_batch(VIEWS)?;
    tx.execute_batch(TRIGGER_SQLITE)?;
    tx.execute_batch("CREATE TABLE company_settings (name text PRIMARY KEY, value text NOT NULL)")?;
    crate::change::remember_sqlite(&tx, world)?;
    tx.commit()?;
    db.execute_batch("PRAGMA journal_mode = WAL;")?;
    db.close().map_err(|(_, error)| error)?;
    Ok(summary)
}

/// Opens a file that [`create`] made.
pub(crate) fn open(path: &Path) -> Result<Connection, SampleError> {
    if !path.exists() {
        return Err(SampleError::NotASample(path.display().to_string()));
    }
    Ok(Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE,
    )?)
}

/// Inserts rows of one table and returns their bytes as COPY text.
pub(crate) fn insert(
    db: &Connection,
    table: usize,
    range: std::ops::Range<u64>,
    world: World,
) -> Result<u64, SampleError> {
    let columns = TABLES[table].columns.len();
    let marks = vec!["?"; columns].join(", ");
    let sql = format!("INSERT INTO {} VALUES ({marks})", TABLES[table].name);
    let mut rows = Rows::new(world);
    let mut measure = CopyText::default();
    let mut bytes = 0;
    let mut sink = Binder {
        statement: db.prepare(&sql)?,
        column: 0,
        failed: None,
    };
    for i in range {
        rows.write(table, i, &mut sink);
        if let Some(error) = sink.failed {
            return Err(error.into());
        }
        measure.bytes.clear();
        rows.write(table, i, &mut measure);
        bytes += measure.bytes.len() as u64;
    }
    Ok(bytes)
}

/// Binds each value to a prepared `INSERT` and runs it at the end of the row.
struct Binder<'db> {
    statement: Statement<'db>,
    column: usize,
    failed: Option<rusqlite::Error>,
}

impl Binder<'_> {
    fn bind(&mut self, value: impl ToSql) {
        self.column += 1;
        if let Err(error) = self.statement.raw_bind_parameter(self.column, value) {
            self.failed.get_or_insert(error);
        }
    }

    fn bind_ascii(&mut self, text: &[u8]) {
        self.bind(ToSqlOutput::Borrowed(ValueRef::Text(text)));
    }
}

impl RowSink for Binder<'_> {
    fn null(&mut self) {
        self.bind(Null);
    }
    fn int(&mut self, value: i64) {
        self.bind(value);
    }
    fn money(&mut self, hundredths: i64) {
        self.bind(hundredths as f64 / 100.0);
    }
    fn text(&mut self, value: &str) {
        self.bind(value);
    }
    fn blob(&mut self, value: &[u8]) {
        self.bind(value);
    }
    fn date(&mut self, day: i64) {
        self.bind_ascii(&date_text(day));
    }
    fn stamp(&mut self, second: i64) {
        self.bind_ascii(&stamp_text(second));
    }
    fn flag(&mut self, value: bool) {
        self.bind(value);
    }
    fn end_row(&mut self) {
        self.column = 0;
        if let Err(error) = self.statement.raw_execute() {
            self.failed.get_or_insert(error);
        }
    }
}
