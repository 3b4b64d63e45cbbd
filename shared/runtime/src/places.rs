//! Configured sources and locations, opened: where a configuration, its secrets and its
//! implementations come together.

use std::sync::Arc;

use logisedge_domain::config::{LocationConfig, SourceConfig};
use logisedge_repository::Password;
use logisedge_sources::Source;
use logisedge_sources::postgres::{PostgresOptions, PostgresSource};
use logisedge_sources::sqlite::SqliteSource;
use logisedge_storage::{FolderStore, ObjectStore};

use crate::{Aws, RuntimeError, RuntimeErrorKind};

impl Aws {
    /// Opens a location's store and reads the password of its repositories. Contacts Secrets Manager
    /// only.
    pub async fn open_location(
        &self,
        config: &LocationConfig,
    ) -> Result<(Arc<dyn ObjectStore>, Password), RuntimeError> {
        let (store, password): (Arc<dyn ObjectStore>, _) = match config {
            LocationConfig::S3 { bucket, prefix, region, repository_password } => {
                (self.bucket(bucket, prefix, region.as_deref()), repository_password)
            }
            LocationConfig::Folder { path, repository_password } => {
                let store = FolderStore::create(path).map_err(|error| RuntimeError {
                    retry: error.retry(),
                    ..RuntimeError::new(
                        RuntimeErrorKind::Place,
                        "open",
                        format!("location {path}"),
                        error.to_string(),
                    )
                })?;
                (Arc::new(store), repository_password)
            }
        };
        let secret = self.secret(password).await?;
        Ok((store, Password::new(secret.expose().to_owned())))
    }

    /// Makes a source ready to be opened. Contacts Secrets Manager only.
    pub async fn open_source(&self, config: &SourceConfig) -> Result<Box<dyn Source>, RuntimeError> {
        match config {
            SourceConfig::Sqlite { path } => Ok(Box::new(SqliteSource::new(path))),
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
            } => {
                let mut options = PostgresOptions::new(host, *port, database, user);
                if let Some(reference) = password {
                    options = options.password(self.secret(reference).await?.expose());
                }
                options.sslmode = *sslmode;
                options.ca_file = ca_file.as_ref().map(Into::into);
                options.pg_dump = pg_dump.clone();
                options.connections = *connections as usize;
                Ok(Box::new(PostgresSource::new(options)))
            }
        }
    }
}
