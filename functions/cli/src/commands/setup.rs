//! `setup`: a commented configuration file to start from.

use std::io::Write;

use logisedge_domain::config::{Config, DefaultConfig, DefaultLocation, DefaultSource, default_config};

use crate::args::Setup;
use crate::error::CliError;
use crate::output::Output;
use crate::places::PASSWORD_VARIABLE;

pub(crate) fn setup(setup: &Setup, output: Output) -> Result<(), CliError> {
    let source = match (&setup.sqlite, &setup.postgres) {
        (Some(path), _) => {
            let path = std::path::absolute(path)
                .map_err(|e| CliError::failed(format!("{}: {e}", path.display())))?;
            DefaultSource::Sqlite { path: path.display().to_string() }
        }
        (None, Some(url)) => postgres(url, setup.database_secret.clone())?,
        (None, None) => return Err(CliError::failed("name a source: --sqlite or --postgres")),
    };
    let location = match &setup.folder {
        Some(path) => {
            let path = std::path::absolute(path)
                .map_err(|e| CliError::failed(format!("{}: {e}", path.display())))?;
            DefaultLocation::Folder {
                path: path.display().to_string(),
                password_variable: PASSWORD_VARIABLE.to_owned(),
            }
        }
        None => DefaultLocation::S3 {
            bucket: setup.bucket.clone().unwrap_or_default(),
            repository_secret: setup.repository_secret.clone().unwrap_or_default(),
        },
    };
    let text =
        default_config(&DefaultConfig { time_zone: setup.time_zone.clone(), source, location });
    let file = setup.out.display().to_string();
    // What we write must be what `apply` takes: a wrong zone or bucket shows here.
    Config::parse(&text, &file).map_err(|problems| CliError::failed(problems.to_string()))?;

    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    if !setup.overwrite {
        options.create_new(true);
    }
    let written = options.open(&setup.out).and_then(|mut f| f.write_all(text.as_bytes()));
    written.map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => CliError::refused(format!(
            "{file} is there already: name another file with --out, or say --overwrite"
        )),
        _ => CliError::failed(format!("cannot write {file}: {e}")),
    })?;
    output.show(&serde_json::json!({ "file": file }), |_| {
        format!(
            "Wrote {file}. Read it, change what you like, then:\n  logisedge-backup apply {file}"
        )
    });
    Ok(())
}

fn postgres(url: &str, secret: Option<String>) -> Result<DefaultSource, CliError> {
    let options = logisedge_sources::postgres::PostgresOptions::from_url(url)?;
    if logisedge_sources::postgres::url_has_password(url) {
        return Err(CliError::refused(
            "the URL holds a password, which would end in the file: leave it out and name a secret \
             of Secrets Manager with --database-secret",
        ));
    }
    Ok(DefaultSource::Postgres {
        host: options.host,
        port: options.port,
        database: options.database,
        user: options.user,
        sslmode: options.sslmode,
        password_secret: secret,
    })
}
