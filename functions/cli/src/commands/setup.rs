//! `setup`: a commented configuration file to start from.

use std::io::Write;
use std::path::Path;

use logisedge_domain::config::{
    Config, Effort, LocationConfig, SecretRef, SetupOptions, SourceConfig, default_config,
};
use logisedge_domain::id::{LocationName, SourceName};
use logisedge_sources::postgres::PostgresOptions;

use crate::args::Setup;
use crate::error::CliError;
use crate::output::Output;
use crate::places::PASSWORD_VARIABLE;

/// The key prefix that the stack's roles may write to, unless it was deployed with another.
const PREFIX: &str = "backups";

/// As the parser of arguments has it.
const WRONG_USAGE: u8 = 2;

pub(crate) fn setup(setup: &Setup, output: Output) -> Result<(), CliError> {
    let text = default_config(&SetupOptions {
        time_zone: setup.time_zone.clone(),
        source_name: SourceName::new("erp").map_err(|e| CliError::failed(e.to_string()))?,
        source: source(setup)?,
        location_name: LocationName::new("main").map_err(|e| CliError::failed(e.to_string()))?,
        location: location(setup)?,
    });
    let file = setup.out.display().to_string();
    // What we write must be what `apply` takes: a wrong zone or bucket shows here.
    Config::parse(&text, &file).map_err(|problems| CliError::failed(problems.to_string()))?;

    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    if !setup.overwrite {
        options.create_new(true);
    }
    let written = options
        .open(&setup.out)
        .and_then(|mut f| f.write_all(text.as_bytes()));
    written.map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => CliError::refused(format!(
            "{file} is there already: name another file with --out, or say --overwrite"
        )),
        _ => CliError::failed(format!("cannot write {file}: {e}")),
    })?;
    output.show(&serde_json::json!({ "file": file }), |_| {
        format!(
            "Wrote {file}. Read it, change what you like, then:\n{}",
            next_steps(setup, &file)
        )
    });
    Ok(())
}

/// A folder is no place for the functions, which `apply` writes to.
fn next_steps(setup: &Setup, file: &str) -> String {
    let file = quoted(file);
    let Some(folder) = &setup.folder else {
        return format!("  logisedge-backup apply {file}");
    };
    let from = match &setup.sqlite {
        Some(path) => path.display().to_string(),
        None => setup.postgres.clone().unwrap_or_default(),
    };
    format!(
        "  logisedge-backup schedule preview --file {file}\n  \
         logisedge-backup direct backup --at {} --from {}",
        quoted(&folder.display().to_string()),
        quoted(&from)
    )
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

fn source(setup: &Setup) -> Result<SourceConfig, CliError> {
    match (&setup.sqlite, &setup.postgres) {
        (Some(path), _) => Ok(SourceConfig::Sqlite {
            path: absolute(path)?,
            effort: Effort::default(),
        }),
        (None, Some(url)) => postgres(url, setup),
        (None, None) => Err(CliError::failed("name a source: --sqlite or --postgres")),
    }
}

fn postgres(url: &str, setup: &Setup) -> Result<SourceConfig, CliError> {
    let options = PostgresOptions::from_url(url)?;
    let user_info = url.rsplit_once('@').map_or("", |(before, _)| before);
    if user_info.matches(':').count() > 1 {
        return Err(CliError::refused(
            "the URL holds a password, which would end in the file: leave it out and name a secret \
             of Secrets Manager with --database-secret",
        ));
    }
    Ok(SourceConfig::Postgresql {
        host: options.host,
        port: options.port,
        database: options.database,
        user: options.user,
        password: setup.database_secret.clone().map(SecretRef::Secret),
        sslmode: options.sslmode,
        ca_file: None,
        pg_dump: "pg_dump".to_owned(),
        connections: 2,
        skip_unchanged: true,
        effort: Effort::default(),
    })
}

fn location(setup: &Setup) -> Result<LocationConfig, CliError> {
    Ok(match &setup.folder {
        Some(path) => LocationConfig::Folder {
            path: absolute(path)?,
            repository_password: SecretRef::Env(PASSWORD_VARIABLE.to_owned()),
            capacity_bytes_max: None,
        },
        None => LocationConfig::S3 {
            bucket: given(setup.bucket.as_deref(), "--bucket", "LOGISEDGE_BUCKET")?,
            prefix: PREFIX.to_owned(),
            region: None,
            repository_password: SecretRef::Secret(given(
                setup.repository_secret.as_deref(),
                "--repository-secret",
                "LOGISEDGE_REPOSITORY_SECRET",
            )?),
            capacity_bytes_max: None,
            object_lock: None,
        },
    })
}

/// What was typed, or else what the environment says.
fn given(typed: Option<&str>, option: &str, variable: &str) -> Result<String, CliError> {
    let from_environment = || std::env::var(variable).ok();
    let value = typed.map(str::to_owned).or_else(from_environment);
    value
        .filter(|value| !value.is_empty())
        .ok_or_else(|| CliError {
            message: format!(
                "{option} is missing: name it, or set {variable}; or store in a folder with --folder"
            ),
            exit: WRONG_USAGE,
        })
}

fn absolute(path: &Path) -> Result<String, CliError> {
    let path = std::path::absolute(path)
        .map_err(|e| CliError::failed(format!("{}: {e}", path.display())))?;
    Ok(path.display().to_string())
}
