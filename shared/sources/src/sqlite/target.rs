//! An SQLite file as a [`Target`].
//!
//! Everything is built in a file beside the target, which takes the target's name in one rename at
//! the end of [`Target::finish`]. Until then an existing file is not touched, and a restore that
//! fails leaves nothing behind.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use logisedge_domain::manifest::{ContentHash, Manifest, RowFormat};
use rusqlite::{Connection, OpenFlags};
use tempfile::TempPath;

use super::catalog::{self, Kind};
use super::source::VIOLATIONS;
use super::{connect, failure, rows, scripts};
use crate::files::{folder_of, not_begun, sync_folder, whole};
use crate::{RestoreFile, SourceError, SourceErrorKind, Target, TargetState};

/// A new SQLite database file, or one to be replaced.
#[derive(Debug)]
pub struct SqliteTarget {
    path: PathBuf,
    building: Arc<Mutex<Option<Building>>>,
}

/// What `begin` made and `finish` will name.
#[derive(Debug)]
struct Building {
    file: TempPath,
    rows: Option<Connection>,
    overwrite: bool,
}

impl SqliteTarget {
    /// The file at `path`; its folder must exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            building: Arc::new(Mutex::new(None)),
        }
    }

    /// Runs `work` where blocking is allowed.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path, &mut Option<Building>) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let (path, building) = (self.path.clone(), Arc::clone(&self.building));
        tokio::task::spawn_blocking(move || {
            // After a panic the half-built file is still only a temporary one.
            let mut building = building.lock().unwrap_or_else(PoisonError::into_inner);
            work(&path, &mut building)
        })
        .await
        .map_err(|error| failure::of_thread("restore", &self.path, error))?
    }
}

fn said(path: &Path) -> impl Fn(rusqlite::Error) -> SourceError {
    move |error| failure::of_sqlite("restore", path.display().to_string(), error)
}

fn state_of(path: &Path) -> Result<TargetState, SourceError> {
    let folder = folder_of(path);
    if !folder.is_dir() {
        return Err(failure::of(
            SourceErrorKind::NotFound,
            "restore to",
            path.display().to_string(),
            format!(
                "the folder {} does not exist; make it first",
                folder.display()
            ),
        ));
    }
    let facts = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(without_database(path));
        }
        Err(error) => return Err(failure::of_system("restore to", path, error)),
        Ok(facts) => facts,
    };
    if !facts.is_file() {
        return Err(failure::of(
            SourceErrorKind::Unsupported,
            "restore to",
            path.display().to_string(),
            "it is no plain file; name a database file that can be replaced",
        ));
    }
    if facts.len() == 0 {
        return Ok(without_database(path));
    }
    match connect::open_to_read(path, "restore to").and_then(|db| {
        let tables = catalog::tables(&db).map_err(said(path))?;
        let others: i64 = db
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .map_err(said(path))?;
        Ok((tables, others))
    }) {
        Ok((_, 0)) => Ok(TargetState::Empty),
        Ok((tables, _)) => {
            let names: Vec<_> = tables.into_iter().map(|table| table.name).collect();
            Ok(TargetState::Occupied(format!(
                "{} tables ({})",
                names.len(),
                scripts::listed(&names)
            )))
        }
        Err(error)
            if matches!(
                error.kind,
                SourceErrorKind::Unsupported | SourceErrorKind::Failed
            ) =>
        {
            Ok(TargetState::Occupied(format!(
                "a file of {} bytes that is no readable SQLite database",
                facts.len()
            )))
        }
        Err(error) => Err(error),
    }
}

/// The logs that SQLite keeps beside a database and replays into whatever file has its name:
/// <https://www.sqlite.org/tempfiles.html>.
fn logs_of(path: &Path) -> impl Iterator<Item = PathBuf> {
    ["-journal", "-wal", "-shm"].into_iter().map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    })
}

/// What a place without a database holds: logs there may be all that is left of somebody's commits.
fn without_database(path: &Path) -> TargetState {
    let left: Vec<_> = logs_of(path)
        .filter(|log| std::fs::symlink_metadata(log).is_ok())
        .filter_map(|log| Some(log.file_name()?.to_string_lossy().into_owned()))
        .collect();
    if left.is_empty() {
        TargetState::Empty
    } else {
        TargetState::Occupied(format!("{}, left of another database", left.join(" and ")))
    }
}

/// Removes what another database left beside `path`, durably: SQLite would replay it into the new
/// one at its first use.
fn remove_logs(path: &Path) -> Result<(), SourceError> {
    for log in logs_of(path) {
        match std::fs::remove_file(&log) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failure::of_system("remove", &log, error));
            }
            _ => {}
        }
    }
    sync_folder(folder_of(path)).map_err(|error| failure::of_system("restore", path, error))
}

fn begin(
    path: &Path,
    manifest: &Manifest,
    schema: &BTreeMap<String, Bytes>,
    overwrite: bool,
) -> Result<Building, SourceError> {
    if manifest.source.engine != "sqlite" {
        return Err(failure::of(
            SourceErrorKind::Unsupported,
            "restore to",
            path.display().to_string(),
            format!(
                "the snapshot is of a {} database; restore it to one of that kind, to a folder or to a .sql file",
                manifest.source.engine
            ),
        ));
    }
    if let (TargetState::Occupied(what), false) = (state_of(path)?, overwrite) {
        return Err(failure::of(
            SourceErrorKind::NotEmpty,
            "restore to",
            path.display().to_string(),
            format!("it holds {what}; name a new file, or allow overwriting"),
        ));
    }
    let file = tempfile::Builder::new()
        .prefix(".logisedge-restore-")
        .tempfile_in(folder_of(path))
        .map_err(|error| failure::of_system("restore into", folder_of(path), error))?
        .into_temp_path();
    let rows = match schema.get(scripts::PRE_DATA) {
        None => None,
        Some(script) => {
            let db = Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_WRITE)
                .map_err(said(path))?;
            // The file becomes visible only once it is whole and synced, so it needs no journal.
            db.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
                .map_err(said(path))?;
            run(&db, path, scripts::PRE_DATA, script)?;
            db.execute_batch("BEGIN").map_err(said(path))?;
            Some(db)
        }
    };
    Ok(Building {
        file,
        rows,
        overwrite,
    })
}

/// Runs a script of the snapshot.
fn run(db: &Connection, path: &Path, name: &str, script: &[u8]) -> Result<(), SourceError> {
    let text = std::str::from_utf8(script).map_err(|error| SourceError {
        source: Some(Box::new(error)),
        ..failure::of(
            SourceErrorKind::Failed,
            "restore",
            path.display().to_string(),
            format!("{name} of the snapshot is not UTF-8"),
        )
    })?;
    db.execute_batch(text).map_err(|error| {
        let error = failure::of_sqlite("restore", path.display().to_string(), error);
        SourceError {
            message: format!("{name}: {}", error.message),
            ..error
        }
    })
}

/// Runs each line of `file`, which must be an `INSERT`.
fn load_rows(db: &Connection, path: &Path, file: &mut RestoreFile) -> Result<(), SourceError> {
    let refused = |message: String| {
        failure::of(
            SourceErrorKind::Failed,
            "restore",
            path.display().to_string(),
            format!("{}: {message}", file.path),
        )
    };
    let mut open: Vec<u8> = Vec::new();
    let (mut bytes, mut line_number) = (0, 0_u64);
    let mut execute = |line: &[u8]| {
        line_number += 1;
        let text = std::str::from_utf8(line)
            .ok()
            .filter(|text| text.starts_with("INSERT INTO "));
        let Some(text) = text else {
            return Err(refused(format!(
                "line {line_number} is no INSERT statement; verify the snapshot"
            )));
        };
        // Two statements on one line would be refused here.
        let mut statement = db
            .prepare(text)
            .map_err(|error| (error, line_number))
            .map_err(at_line(path))?;
        statement
            .execute([])
            .map_err(|error| (error, line_number))
            .map_err(at_line(path))?;
        Ok(())
    };
    while let Some(piece) = file.content.blocking_recv() {
        bytes += piece.len() as u64;
        let mut rest: &[u8] = &piece;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            if open.is_empty() {
                execute(&rest[..end])?;
            } else {
                open.extend_from_slice(&rest[..end]);
                execute(&open)?;
                open.clear();
            }
            rest = &rest[end + 1..];
        }
        open.extend_from_slice(rest);
    }
    whole(path, &file.path, bytes, file.bytes)?;
    if open.is_empty() {
        Ok(())
    } else {
        Err(refused(
            "its last line does not end; verify the snapshot".to_owned(),
        ))
    }
}

fn at_line(path: &Path) -> impl Fn((rusqlite::Error, u64)) -> SourceError {
    move |(error, line)| {
        let error = failure::of_sqlite("restore", path.display().to_string(), error);
        SourceError {
            message: format!("line {line}: {}", error.message),
            ..error
        }
    }
}

fn load_file(building: &Building, path: &Path, file: &mut RestoreFile) -> Result<(), SourceError> {
    let failed = |error| failure::of_system("restore", path, error);
    let mut to = std::fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(&building.file)
        .map_err(failed)?;
    let mut bytes = 0;
    while let Some(piece) = file.content.blocking_recv() {
        bytes += piece.len() as u64;
        to.write_all(&piece).map_err(failed)?;
    }
    whole(path, &file.path, bytes, file.bytes)
}

fn finish(
    path: &Path,
    mut building: Building,
    schema: &BTreeMap<String, Bytes>,
) -> Result<(), SourceError> {
    if let Some(db) = building.rows.take() {
        if let Some(script) = schema.get(scripts::POST_DATA) {
            run(&db, path, scripts::POST_DATA, script)?;
        }
        db.execute_batch("COMMIT").map_err(said(path))?;
        db.close().map_err(|(_, error)| said(path)(error))?;
    }
    std::fs::File::open(&building.file)
        .and_then(|file| file.sync_all())
        .map_err(|error| failure::of_system("restore", path, error))?;
    let held = hold_existing(path, building.overwrite)?;
    let failed = |error: std::io::Error| failure::of_system("restore", path, error);
    if held.is_none() {
        remove_logs(path)?;
    }
    if held.is_some() || std::fs::symlink_metadata(path).is_ok() {
        building
            .file
            .persist(path)
            .map_err(|error| failed(error.error))?;
    } else {
        building
            .file
            .persist_noclobber(path)
            .map_err(|error| failed(error.error))?;
    }
    sync_folder(folder_of(path)).map_err(failed)
}

/// Locks the database that is about to be replaced and folds its write-ahead log into it, so that
/// no log of the old database is left to be replayed into the new one. The lock is held until the
/// returned connection is dropped.
fn hold_existing(path: &Path, overwrite: bool) -> Result<Option<Connection>, SourceError> {
    if let (TargetState::Occupied(what), false) = (state_of(path)?, overwrite) {
        return Err(failure::of(
            SourceErrorKind::NotEmpty,
            "restore to",
            path.display().to_string(),
            format!(
                "while the restore ran somebody put {what} there; name a new file, or allow overwriting"
            ),
        ));
    }
    if std::fs::symlink_metadata(path).is_err() {
        return Ok(None);
    }
    let hold = || -> rusqlite::Result<Connection> {
        let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        db.busy_timeout(connect::BUSY_WAIT)?;
        db.pragma_update(None, "journal_mode", "DELETE")?;
        db.execute_batch("BEGIN EXCLUSIVE")?;
        Ok(db)
    };
    match hold() {
        Ok(db) => Ok(Some(db)),
        Err(error) => {
            let error = failure::of_sqlite("replace", path.display().to_string(), error);
            match error.kind {
                // No database at all: nobody can be using it as one.
                SourceErrorKind::Unsupported => Ok(None),
                _ => Err(error),
            }
        }
    }
}

fn read_back(path: &Path, manifest: &Manifest) -> Result<Vec<(u64, ContentHash)>, SourceError> {
    let db = connect::open_to_read(path, "read back")?;
    db.execute_batch("BEGIN").map_err(said(path))?;
    let wrong = |message: String| {
        failure::of(
            SourceErrorKind::Failed,
            "read back",
            path.display().to_string(),
            message,
        )
    };
    let verdict = catalog::pragma(&db, "integrity_check").map_err(said(path))?;
    if verdict != "ok" {
        return Err(wrong(format!("SQLite's integrity check says: {verdict}")));
    }
    let tables = catalog::tables(&db).map_err(said(path))?;
    let inside: BTreeSet<String> = tables
        .iter()
        .map(|table| table.name.to_ascii_lowercase())
        .collect();
    let violations = catalog::foreign_key_violations(&db, &inside).map_err(said(path))?;
    if let (Some(expected), Some(found)) = (manifest.source.details.get(VIOLATIONS), violations)
        && *expected != found.to_string()
    {
        return Err(wrong(format!(
            "{found} rows refer to rows that are not there, in the source {expected} did"
        )));
    }
    let mut counted = Vec::with_capacity(manifest.tables.len());
    for entry in &manifest.tables {
        let table = tables
            .iter()
            .find(|table| table.name == entry.name && table.kind != Kind::Virtual)
            .ok_or_else(|| wrong(format!("the table {} is missing", entry.name)))?;
        counted.push(rows::count(&db, table)?);
    }
    Ok(counted)
}

#[async_trait]
impl Target for SqliteTarget {
    async fn state(&self) -> Result<TargetState, SourceError> {
        self.blocking(|path, _| state_of(path)).await
    }

    async fn begin(
        &self,
        manifest: &Manifest,
        schema: &BTreeMap<String, Bytes>,
        overwrite: bool,
    ) -> Result<(), SourceError> {
        let (manifest, schema) = (manifest.clone(), schema.clone());
        self.blocking(move |path, building| {
            *building = None;
            *building = Some(begin(path, &manifest, &schema, overwrite)?);
            Ok(())
        })
        .await
    }

    fn parallelism(&self) -> usize {
        1
    }

    async fn load(&self, manifest: &Manifest, mut file: RestoreFile) -> Result<(), SourceError> {
        let rows = manifest
            .tables
            .iter()
            .any(|table| table.format == RowFormat::SqlInsert && table.files.contains(&file.path));
        self.blocking(move |path, building| {
            let building = building.as_mut().ok_or_else(|| not_begun(path))?;
            match (&building.rows, rows) {
                (Some(db), true) => load_rows(db, path, &mut file),
                (None, false) => load_file(building, path, &mut file),
                _ => Err(failure::of(
                    SourceErrorKind::Unsupported,
                    "restore",
                    path.display().to_string(),
                    format!("{} does not belong into an SQLite database", file.path),
                )),
            }
        })
        .await
    }

    async fn finish(
        &self,
        _manifest: &Manifest,
        schema: &BTreeMap<String, Bytes>,
    ) -> Result<(), SourceError> {
        let schema = schema.clone();
        self.blocking(move |path, building| {
            let building = building.take().ok_or_else(|| not_begun(path))?;
            finish(path, building, &schema)
        })
        .await
    }

    async fn read_back(
        &self,
        manifest: &Manifest,
    ) -> Result<Option<Vec<(u64, ContentHash)>>, SourceError> {
        let manifest = manifest.clone();
        self.blocking(move |path, _| read_back(path, &manifest).map(Some))
            .await
    }
}
