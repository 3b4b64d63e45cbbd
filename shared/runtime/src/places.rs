//! Configured sources and locations, opened: where a configuration, its secrets and its
//! implementations come together.

use std::sync::Arc;

use logisedge_domain::config::{LocationConfig, SourceConfig};
use logisedge_repository::Password;
use logisedge_repository::prune::Prices;
use logisedge_sources::Source;
use logisedge_sources::SqliteSource;
use logisedge_sources::postgres::{PostgresOptions, PostgresSource};
use logisedge_storage::{FolderStore, ObjectStore};

use crate::{Aws, RuntimeError, RuntimeErrorKind};

/// Days for which the bucket keeps what was deleted, unless the environment says otherwise: the
/// template's default.
const GRACE_DAYS: u32 = 14;

/// What storing costs at a location. The days that a bucket keeps deleted bytes are in
/// `LOGISEDGE_GRACE_DAYS`, which the template sets.
pub fn prices_at(config: &LocationConfig) -> Prices {
    match config {
        LocationConfig::S3 { .. } => {
            let days = std::env::var("LOGISEDGE_GRACE_DAYS").ok();
            Prices::s3(
                days.and_then(|days| days.parse().ok())
                    .unwrap_or(GRACE_DAYS),
            )
        }
        LocationConfig::Folder { .. } => Prices::folder(),
    }
}

impl Aws {
    /// Opens a location's store and reads the password of its repositories. Contacts Secrets Manager
    /// only.
    pub async fn open_location(
        &self,
        config: &LocationConfig,
    ) -> Result<(Arc<dyn ObjectStore>, Password), RuntimeError> {
        let (LocationConfig::S3 {
            repository_password,
            ..
        }
        | LocationConfig::Folder {
            repository_password,
            ..
        }) = config;
        let secret = self.secret(repository_password).await?;
        Ok((
            self.open_store(config)?,
            Password::new(secret.expose().to_owned()),
        ))
    }

    /// Opens a location's store alone, which contacts nothing.
    pub fn open_store(
        &self,
        config: &LocationConfig,
    ) -> Result<Arc<dyn ObjectStore>, RuntimeError> {
        match config {
            LocationConfig::S3 {
                bucket,
                prefix,
                region,
                ..
            } => Ok(self.bucket(bucket, prefix, region.as_deref())),
            LocationConfig::Folder { path, .. } => {
                let store = FolderStore::new(path).map_err(|error| RuntimeError {
                    retry: error.retry(),
                    ..RuntimeError::new(
                        RuntimeErrorKind::Place,
                        "open",
                        format!("location {path}"),
                        error.to_string(),
                    )
                })?;
                Ok(Arc::new(store))
            }
        }
    }

    /// Makes a source ready to be opened. Contacts Secrets Manager only.
    pub async fn open_source(
        &self,
        config: &SourceConfig,
    ) -> Result<Box<dyn Source>, RuntimeError> {
        match config {
            SourceConfig::Sqlite { path, .. } => Ok(Box::new(SqliteSource::new(path))),
            SourceConfig::Postgresql {
                host,
                port,
                database,
                user,
                password,
                sslmode,
                ca_file,
                pg_dump,
                connections,
                skip_unchanged,
                effort: _,
            } => {
                let mut options = PostgresOptions::new(host, database, user);
                options.port = *port;
                if let Some(reference) = password {
                    let secret = self.secret(reference).await?;
                    options.password = Some(logisedge_sources::postgres::Password::new(
                        secret.expose().to_owned(),
                    ));
                }
                options.sslmode = *sslmode;
                options.ca_file = ca_file.as_ref().map(Into::into);
                options.pg_dump = pg_dump.into();
                options.connections = *connections as usize;
                options.skip_unchanged = *skip_unchanged;
                Ok(Box::new(PostgresSource::new(options)))
            }
        }
    }
}
