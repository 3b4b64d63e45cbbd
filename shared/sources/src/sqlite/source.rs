//! An SQLite file as a [`Source`].

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::Utc;
use logisedge_domain::manifest::{Manifest, RowFormat};
use logisedge_domain::scope::Selection;
use rusqlite::Connection;
use tokio::sync::mpsc;

use super::catalog::{self, Kind, SCHEMA, Table};
use super::copy::Copy;
use super::{connect, failure, rows, scripts};
use crate::{
    BUFFER_BYTES, OpenSnapshot, Part, Source, SourceError, SourceErrorKind, SourceSnapshot,
    TableFacts,
};

/// The key of [`OpenSnapshot::details`] under which rows with dangling foreign keys are counted.
pub(super) const VIOLATIONS: &str = "foreign_key_violations";

/// An SQLite database file, which other programs may be using.
///
/// The full database is copied to the temporary folder by SQLite's online backup, checked there,
/// and streamed from there; so that folder needs room for the whole file. So does a selection of
/// tables of a file in rollback-journal mode, where reading directly would block its writers for as
/// long as the upload takes; one in write-ahead mode is read directly.
#[derive(Debug, Clone)]
pub struct SqliteSource {
    path: PathBuf,
    temporary: PathBuf,
}

impl SqliteSource {
    /// The file at `path`, with copies made in the system's temporary folder.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            temporary: std::env::temp_dir(),
        }
    }

    /// The same, with copies made in `folder`.
    #[must_use]
    pub fn with_temporary_folder(self, folder: impl Into<PathBuf>) -> Self {
        Self {
            temporary: folder.into(),
            ..self
        }
    }
}

#[async_trait]
impl Source for SqliteSource {
    /// Nothing of an SQLite file is proven unchanged: it is read whole, which is quick.
    async fn open(
        &self,
        selection: &Selection,
        _base: Option<&Manifest>,
    ) -> Result<Box<dyn SourceSnapshot>, SourceError> {
        let (source, wanted) = (self.clone(), selection.clone());
        let opened = tokio::task::spawn_blocking(move || match wanted {
            Selection::Everything => open_whole(&source),
            Selection::Tables { .. } => open_tables(&source, &wanted),
        })
        .await
        .map_err(|error| failure::of_thread("open", &self.path, error))??;
        Ok(Box::new(opened))
    }
}

/// What an open snapshot reads from.
enum Content {
    /// The copy itself.
    File(Copy),
    /// Tables, one a part, through a connection inside a read transaction. The copy, if there is
    /// one, is what it reads.
    Rows {
        db: Arc<Mutex<Connection>>,
        tables: Vec<Table>,
        _copy: Option<Copy>,
    },
}

struct Snapshot {
    path: PathBuf,
    facts: OpenSnapshot,
    content: Content,
}

fn database_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

fn said(path: &Path) -> impl Fn(rusqlite::Error) -> SourceError {
    move |error| failure::of_sqlite("read", path.display().to_string(), error)
}

/// Facts that both ways of reading share.
fn facts_of(
    path: &Path,
    db: &Connection,
    inside: &BTreeSet<String>,
) -> Result<OpenSnapshot, SourceError> {
    let pragma = |name| catalog::pragma(db, name).map_err(said(path));
    let mut details = BTreeMap::new();
    for name in ["page_size", "user_version", "application_id"] {
        details.insert(name.to_owned(), pragma(name)?);
    }
    let mut notes = Vec::new();
    match catalog::foreign_key_violations(db, inside).map_err(said(path))? {
        Some(0) => {
            details.insert(VIOLATIONS.to_owned(), "0".to_owned());
        }
        Some(count) => {
            details.insert(VIOLATIONS.to_owned(), count.to_string());
            notes.push(format!(
                "{count} rows of the source itself refer to rows that are not there; they are carried as they are"
            ));
        }
        None => notes.push(
            "a foreign key of the source refers to columns that are no key; SQLite cannot check it"
                .to_owned(),
        ),
    }
    Ok(OpenSnapshot {
        engine: "sqlite",
        engine_version: rusqlite::version().to_owned(),
        database: database_name(path),
        encoding: pragma("encoding")?,
        details,
        taken_at: Utc::now(),
        tables: Vec::new(),
        parts: Vec::new(),
        files: Vec::new(),
        outside_references: Vec::new(),
        notes,
        lineage: None,
        all_read_because: Some("nothing of an SQLite database is proven unchanged".to_owned()),
    })
}

fn open_whole(source: &SqliteSource) -> Result<Snapshot, SourceError> {
    let path = &source.path;
    let db = connect::open_to_read(path, "back up")?;
    let copy = Copy::make(&db, path, &source.temporary)?;
    drop(db);
    let db = copy.open().map_err(said(path))?;
    let verdict = catalog::pragma(&db, "quick_check").map_err(said(path))?;
    if verdict != "ok" {
        return Err(failure::of(
            SourceErrorKind::Failed,
            "back up",
            path.display().to_string(),
            format!(
                "the database is damaged ({verdict}); restore an earlier snapshot or try `sqlite3 FILE .recover`"
            ),
        ));
    }
    let tables = catalog::tables(&db).map_err(said(path))?;
    let inside = tables
        .iter()
        .map(|table| table.name.to_ascii_lowercase())
        .collect();
    let mut facts = facts_of(path, &db, &inside)?;
    facts.taken_at = copy.taken_at;
    for table in tables.iter().filter(|table| table.kind != Kind::Virtual) {
        facts.tables.push(TableFacts {
            schema: SCHEMA.to_owned(),
            name: table.name.clone(),
            columns: table.columns.clone(),
            format: RowFormat::DatabaseFile,
            counted: Some(rows::count(&db, table)?),
            storage: None,
        });
    }
    let file = format!("/database/{}", scripts::file_name(&facts.database, 0));
    facts.files.push((
        scripts::RESTORE.to_owned(),
        scripts::restore_database(&file).into(),
    ));
    let bytes = copy
        .bytes()
        .map_err(|error| failure::of_system("read", path, error))?;
    facts.parts.push(Part {
        index: 0,
        path: file,
        table: None,
        pages: None,
        bytes_estimated: bytes,
    });
    Ok(Snapshot {
        path: path.clone(),
        facts,
        content: Content::File(copy),
    })
}

fn open_tables(source: &SqliteSource, selection: &Selection) -> Result<Snapshot, SourceError> {
    let path = &source.path;
    let mut db = connect::open_to_read(path, "back up")?;
    let wal = catalog::pragma(&db, "journal_mode").map_err(said(path))? == "wal";
    let copy = if wal {
        None
    } else {
        Some(Copy::make(&db, path, &source.temporary)?)
    };
    if let Some(copy) = &copy {
        db = copy.open().map_err(said(path))?;
    }
    db.execute_batch("BEGIN").map_err(said(path))?;
    let all = catalog::tables(&db).map_err(said(path))?;
    let taken_at = copy.as_ref().map_or_else(Utc::now, |copy| copy.taken_at);

    let names: Vec<_> = all
        .iter()
        .map(|table| (SCHEMA.to_owned(), table.name.clone()))
        .collect();
    let chosen = crate::select(selection, &names).map_err(|patterns| {
        failure::of(
            SourceErrorKind::NotFound,
            "select tables of",
            path.display().to_string(),
            format!("no table matches {}; correct the scope's patterns (SQLite's tables are in the schema `main`)", patterns.join(", ")),
        )
    })?;
    let (carried, left): (Vec<&Table>, Vec<&Table>) = chosen
        .into_iter()
        .map(|index| &all[index])
        .partition(|table| table.kind == Kind::Table);
    if carried.is_empty() {
        return Err(failure::of(
            SourceErrorKind::Unsupported,
            "select tables of",
            path.display().to_string(),
            "the scope holds virtual tables only, whose rows a selection cannot carry; back up the full database instead",
        ));
    }
    if let Some(table) = carried.iter().find(|table| table.name_breaks_lines()) {
        return Err(failure::of(
            SourceErrorKind::Unsupported,
            "select tables of",
            path.display().to_string(),
            format!(
                "the name of table {:?} or of one of its columns holds a line end, which rows as SQL lines cannot carry; exclude it or back up the full database",
                table.name
            ),
        ));
    }
    let inside = carried
        .iter()
        .map(|table| table.name.to_ascii_lowercase())
        .collect();
    let mut facts = facts_of(path, &db, &inside)?;
    facts.taken_at = taken_at;
    if !left.is_empty() {
        let names: Vec<_> = left.iter().map(|table| table.name.clone()).collect();
        facts.notes.push(format!(
            "virtual tables are carried only with the full database: {}",
            scripts::listed(&names)
        ));
    }
    let views = catalog::views(&db).map_err(said(path))?;
    if !views.is_empty() {
        facts.notes.push(format!(
            "views are carried only with the full database: {}",
            scripts::listed(&views)
        ));
    }
    add_parts(&mut facts, &carried);
    let files = || -> rusqlite::Result<_> {
        Ok((
            scripts::pre_data(&db, &carried)?,
            scripts::post_data(&db, &carried)?,
            catalog::outside_references(&db, &carried)?,
        ))
    };
    let (pre, post, edges) = files().map_err(said(path))?;
    let in_order: Vec<_> = facts.parts.iter().map(|part| part.path.clone()).collect();
    facts.files = vec![
        (scripts::PRE_DATA.to_owned(), pre.into()),
        (scripts::POST_DATA.to_owned(), post.into()),
        (
            scripts::RESTORE.to_owned(),
            scripts::restore_tables(&in_order).into(),
        ),
    ];
    facts.outside_references = edges;
    let tables = carried.into_iter().cloned().collect();
    let content = Content::Rows {
        db: Arc::new(Mutex::new(db)),
        tables,
        _copy: copy,
    };
    Ok(Snapshot {
        path: path.clone(),
        facts,
        content,
    })
}

/// One part a table. Sizes are not known without reading, so parts keep the tables' order.
fn add_parts(facts: &mut OpenSnapshot, tables: &[&Table]) {
    for (index, table) in tables.iter().enumerate() {
        facts.tables.push(TableFacts {
            schema: SCHEMA.to_owned(),
            name: table.name.clone(),
            columns: table.columns.clone(),
            format: RowFormat::SqlInsert,
            counted: None,
            storage: None,
        });
        facts.parts.push(Part {
            index,
            path: format!(
                "/data/{SCHEMA}.{}.sql",
                scripts::file_name(&table.name, index)
            ),
            table: Some(index),
            pages: None,
            bytes_estimated: 0,
        });
    }
}

#[async_trait]
impl SourceSnapshot for Snapshot {
    fn facts(&self) -> &OpenSnapshot {
        &self.facts
    }

    fn parallelism(&self) -> usize {
        1
    }

    async fn read(&self, part: &Part, sink: mpsc::Sender<Bytes>) -> Result<u64, SourceError> {
        let path = self.path.clone();
        let send = move |piece: Vec<u8>| {
            // A row is as long as it is, and whoever takes pieces counts on their usual length.
            let mut rest = Bytes::from(piece);
            while !rest.is_empty() {
                let piece = rest.split_to(rest.len().min(BUFFER_BYTES));
                sink.blocking_send(piece).map_err(|_| {
                    failure::of(
                        SourceErrorKind::Aborted,
                        "read",
                        path.display().to_string(),
                        "the reader of its content went away",
                    )
                })?;
            }
            Ok(())
        };
        let reading = match &self.content {
            Content::File(copy) => {
                let path = self.path.clone();
                let mut file = copy
                    .reader()
                    .map_err(|error| failure::of_system("read the copy of", &path, error))?;
                tokio::task::spawn_blocking(move || stream_file(&mut file, &path, send))
            }
            Content::Rows { db, tables, .. } => {
                let Some(table) = tables.get(part.index).cloned() else {
                    return Err(failure::of(
                        SourceErrorKind::NotFound,
                        "read",
                        &part.path,
                        "this snapshot has no such part",
                    ));
                };
                let db = Arc::clone(db);
                tokio::task::spawn_blocking(move || {
                    // A reader that panicked has changed nothing: the transaction only reads.
                    let db = db.lock().unwrap_or_else(PoisonError::into_inner);
                    rows::stream(&db, &table, send)
                })
            }
        };
        reading
            .await
            .map_err(|error| failure::of_thread("read", &self.path, error))?
    }

    async fn close(&self) -> Result<(), SourceError> {
        // The transaction ends with the connection, which goes with the snapshot; it only reads, so
        // there is nothing that could turn out inconsistent now.
        Ok(())
    }
}

fn stream_file(
    file: &mut std::fs::File,
    path: &Path,
    mut send: impl FnMut(Vec<u8>) -> Result<(), SourceError>,
) -> Result<u64, SourceError> {
    use std::io::Read as _;
    let mut bytes = 0;
    loop {
        let mut piece = Vec::with_capacity(BUFFER_BYTES);
        let read = file
            .by_ref()
            .take(BUFFER_BYTES as u64)
            .read_to_end(&mut piece)
            .map_err(|error| failure::of_system("read the copy of", path, error))?;
        if read == 0 {
            return Ok(bytes);
        }
        bytes += read as u64;
        send(piece)?;
    }
}
