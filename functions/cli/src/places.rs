//! What users write for a source, a location or a target, made into the thing itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use logisedge_domain::id::ScopeName;
use logisedge_domain::presets::preset_selection;
use logisedge_domain::scope::Selection;
use logisedge_domain::snapshot::SnapshotRecord;
use logisedge_repository::Password;
use logisedge_runtime::Aws;

use logisedge_sources::postgres::{PostgresOptions, PostgresSource, PostgresTarget};

use logisedge_sources::{FolderTarget, ScriptTarget, Source, SqliteSource, SqliteTarget, Target};
use logisedge_storage::{FolderStore, ObjectStore};

use crate::args::{At, To};
use crate::error::CliError;

/// The environment variable that holds the repository password for direct work.
pub(crate) const PASSWORD_VARIABLE: &str = "LOGISEDGE_REPOSITORY_PASSWORD";

fn is_postgres(text: &str) -> bool {
    text.starts_with("postgres://") || text.starts_with("postgresql://")
}

/// The source that `--from` names.
pub(crate) fn source(
    from: &str,
    connections: u32,
    pg_dump: &str,
    read_all: bool,
) -> Result<Box<dyn Source>, CliError> {
    if is_postgres(from) {
        let mut options = PostgresOptions::from_url(from)?;
        options.connections = connections as usize;
        options.pg_dump = pg_dump.into();
        options.skip_unchanged = !read_all;
        return Ok(Box::new(PostgresSource::new(options)));
    }
    let path = from.strip_prefix("sqlite:").unwrap_or(from);
    Ok(Box::new(SqliteSource::new(path)))
}

/// The target that `--to` names.
pub(crate) fn target(to: &To) -> Result<Arc<dyn Target>, CliError> {
    let text = to.to.as_str();
    if is_postgres(text) {
        let mut options = PostgresOptions::from_url(text)?;
        options.connections = to.connections as usize;
        let target = PostgresTarget::new(options);
        let target = if to.skip_missing_roles {
            target.skip_missing_roles()
        } else {
            target
        };
        return Ok(Arc::new(target));
    }
    if let Some(path) = text.strip_prefix("sqlite:") {
        return Ok(Arc::new(SqliteTarget::new(path)));
    }
    let path = Path::new(text);
    let extension = path
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or_default();
    match extension {
        _ if text.ends_with('/') || path.is_dir() => Ok(Arc::new(FolderTarget::new(path))),
        "db" | "sqlite" | "sqlite3" => Ok(Arc::new(SqliteTarget::new(path))),
        "sql" => Ok(Arc::new(ScriptTarget::new(path))),
        _ => Err(CliError {
            message: format!(
                "it is not clear what {text:?} should become: write postgres://…, sqlite:PATH, \
                 PATH.sql for a script, or PATH/ for a folder"
            ),
            exit: 2,
        }),
    }
}

/// The selection of a direct backup: the given patterns, or those of the preset that the scope is
/// named after.
pub(crate) fn selection(
    scope: &ScopeName,
    include: &[String],
    exclude: &[String],
) -> Result<Selection, CliError> {
    if !include.is_empty() {
        return Ok(Selection::Tables {
            include: include.to_vec(),
            exclude: exclude.to_vec(),
        });
    }
    preset_selection(scope.as_str()).ok_or_else(|| {
        CliError::not_found(format!(
            "scope {scope} is no preset: say with --include which tables it holds"
        ))
    })
}

/// The location that `--at` names; `create` makes a folder that is not there yet.
pub(crate) async fn location(
    at: &At,
    aws: &Aws,
    create: bool,
) -> Result<(Arc<dyn ObjectStore>, Password), CliError> {
    let password = password(at.password_file.as_deref())?;
    if let Some(rest) = at.at.strip_prefix("s3://") {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        return Ok((aws.bucket(bucket, prefix, None), password));
    }
    let path = PathBuf::from(at.at.strip_prefix("folder:").unwrap_or(&at.at));
    let store = if create {
        FolderStore::create(&path)?
    } else {
        FolderStore::new(&path)?
    };
    Ok((Arc::new(store), password))
}

fn password(file: Option<&Path>) -> Result<Password, CliError> {
    let text = match file {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|e| CliError::failed(format!("cannot read {}: {e}", path.display())))?,
        None => std::env::var(PASSWORD_VARIABLE).map_err(|_| {
            CliError::failed(format!(
                "no repository password: set {PASSWORD_VARIABLE} or name a file with --password-file"
            ))
        })?,
    };
    match text.lines().next().unwrap_or_default() {
        "" => Err(CliError::failed("the repository password is empty")),
        line => Ok(Password::new(line.to_owned())),
    }
}

/// The one snapshot that a text names: `latest`, or an id's beginning.
pub(crate) fn pick(
    wanted: &str,
    scope: Option<&ScopeName>,
    mut records: Vec<SnapshotRecord>,
) -> Result<SnapshotRecord, CliError> {
    records.retain(|record| record.deleting_since.is_none());
    records.retain(|record| scope.is_none_or(|scope| record.scope == *scope));
    let of = scope
        .map(|scope| format!(" of scope {scope}"))
        .unwrap_or_default();
    if wanted == "latest" {
        return records
            .into_iter()
            .max_by_key(|record| record.taken_at)
            .ok_or_else(|| CliError::not_found(format!("there is no snapshot{of} yet")));
    }
    records.retain(|record| {
        record
            .id
            .to_string()
            .starts_with(&wanted.to_ascii_lowercase())
    });
    match records.len() {
        1 => Ok(records.remove(0)),
        0 => Err(CliError::not_found(format!(
            "there is no snapshot {wanted}{of}; the command `snapshots` lists what there is"
        ))),
        n => Err(CliError::not_found(format!(
            "{n} snapshots begin with {wanted}: write more of it"
        ))),
    }
}
