//! A private, consistent copy of a database file that others may be writing to.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant as Moment, SystemTime};

use chrono::Utc;
use logisedge_domain::Instant;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use tempfile::TempPath;

use super::connect::{BUSY_WAIT, open_private};
use super::failure;
use crate::{SourceError, SourceErrorKind};

/// How much is copied while the source is locked against commits, in bytes: about 4 ms of work.
const STEP_BYTES: i32 = 4 * 1024 * 1024;
/// The pause in which writers get their turn.
const PAUSE: Duration = Duration::from_millis(1);
/// How often writers may make the copy start again before it is made in one go.
const RESTARTS_MAX: u32 = 3;
const PREFIX: &str = "logisedge-copy-";

/// A copy in the temporary folder; gone when dropped.
#[derive(Debug)]
pub(super) struct Copy {
    path: TempPath,
    /// Locked while the copy is in use, which tells it from one that a killed program left.
    file: File,
    /// The instant whose content it has.
    pub(super) taken_at: Instant,
}

impl Copy {
    /// Copies `source` into `folder`. Never blocks writers for longer than a step while they leave
    /// it a chance; a writer that commits all the time waits once, for one pass over the file.
    pub(super) fn make(
        source: &Connection,
        path: &Path,
        folder: &Path,
    ) -> Result<Self, SourceError> {
        sweep(folder);
        let temporary = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempfile_in(folder)
            .map_err(|error| failure::of_system("copy a database into", folder, error))?;
        let (file, temporary) = temporary.into_parts();
        file.try_lock()
            .map_err(|error| failure::of_system("lock", &temporary, error.into()))?;
        let said = |error: rusqlite::Error| {
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) {
                let bytes = std::fs::metadata(path)
                    .map(|facts| facts.len())
                    .unwrap_or(0);
                return SourceError {
                    message: format!(
                        "its copy of {bytes} bytes does not fit into {}; free some room there or configure another temporary folder",
                        folder.display()
                    ),
                    ..failure::of_sqlite("copy", path.display().to_string(), error)
                };
            }
            failure::of_sqlite("copy", path.display().to_string(), error)
        };
        let taken_at = fill(source, &temporary, path).map_err(|problem| match problem {
            Problem::Sqlite(error) => said(error),
            Problem::Busy => failure::of(
                SourceErrorKind::Busy,
                "copy",
                path.display().to_string(),
                format!("another program has held its lock for {} seconds; try again when that program is done", BUSY_WAIT.as_secs()),
            ),
        })?;
        Ok(Self {
            path: temporary,
            file,
            taken_at,
        })
    }

    /// A connection that reads it.
    pub(super) fn open(&self) -> rusqlite::Result<Connection> {
        open_private(&self.path)
    }

    /// Its bytes, to be read from the start.
    pub(super) fn bytes(&self) -> std::io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Another handle for reading it.
    pub(super) fn reader(&self) -> std::io::Result<File> {
        File::open(&self.path)
    }
}

enum Problem {
    Sqlite(rusqlite::Error),
    Busy,
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn fill(source: &Connection, to: &Path, path: &Path) -> Result<Instant, Problem> {
    let wal = super::catalog::pragma(source, "journal_mode")?.eq_ignore_ascii_case("wal");
    let mut copy = Connection::open_with_flags(to, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // Whoever dies here leaves a file that nobody takes for a backup.
    copy.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")?;
    let mut taken_at = Utc::now();
    if wal {
        // With a write-ahead log a reader keeps its view while writers go on, so one read
        // transaction around the whole copy blocks nobody and never has to start again.
        source.execute_batch("BEGIN")?;
        source.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        taken_at = Utc::now();
    }
    let page_bytes: i32 = source.pragma_query_value(None, "page_size", |row| row.get(0))?;
    let mut pages = STEP_BYTES / page_bytes.max(512);
    let (mut restarts, mut remaining_before) = (0, i32::MAX);
    let mut progressed = Moment::now();
    let backup = Backup::new(source, &mut copy)?;
    loop {
        match backup.step(pages)? {
            StepResult::Done => break,
            StepResult::More => {
                progressed = Moment::now();
                let remaining = backup.progress().remaining;
                if remaining >= remaining_before {
                    // Somebody committed: SQLite began again with the first page.
                    restarts += 1;
                    taken_at = Utc::now();
                    if restarts >= RESTARTS_MAX {
                        tracing::info!(
                            file = %path.display(),
                            "writers keep changing the file: copying it in one go, in which they wait"
                        );
                        pages = -1;
                    }
                }
                remaining_before = remaining;
                if !wal {
                    sleep(PAUSE);
                }
            }
            _ if progressed.elapsed() > BUSY_WAIT => return Err(Problem::Busy),
            _ => sleep(Duration::from_millis(20)),
        }
    }
    drop(backup);
    if wal {
        source.execute_batch("COMMIT")?;
    } else if restarts >= RESTARTS_MAX {
        taken_at = Utc::now();
    }
    copy.close().map_err(|(_, error)| error)?;
    Ok(taken_at)
}

/// Removes copies that killed programs left: they are old and nobody holds their lock.
fn sweep(folder: &Path) {
    const AGE_MIN: Duration = Duration::from_secs(60);
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let path: PathBuf = entry.path();
        let old = entry
            .metadata()
            .and_then(|facts| facts.modified())
            .is_ok_and(|modified| {
                SystemTime::now()
                    .duration_since(modified)
                    .is_ok_and(|age| age > AGE_MIN)
            });
        let unused = || File::open(&path).is_ok_and(|file| file.try_lock().is_ok());
        if old && unused() {
            // What cannot be removed costs room and nothing else.
            let _ = std::fs::remove_file(&path);
        }
    }
}
