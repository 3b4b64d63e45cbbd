//! Configured sources and locations, opened: where a configuration, its secrets and its
//! implementations come together.

use std::ffi::OsStr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use logisedge_domain::config::{LocationConfig, SourceConfig};
use logisedge_engine::prune::Location;
use logisedge_repository::Password;
use logisedge_repository::prune::Prices;
use logisedge_sources::Source;
use logisedge_sources::SqliteSource;
use logisedge_sources::postgres::{PostgresOptions, PostgresSource};
use logisedge_storage::{FolderStore, ObjectStore};

use crate::{Aws, RuntimeError, RuntimeErrorKind};

/// The variable with the days for which the bucket keeps what was deleted. The template sets it.
const GRACE_DAYS_VARIABLE: &str = "LOGISEDGE_GRACE_DAYS";

/// Those days where the variable is not set: the template's default.
const GRACE_DAYS: u32 = 14;

/// Those that the template's `GraceDays` may have.
const GRACE_DAYS_BOUNDS: RangeInclusive<u32> = 1..=3650;

/// What storing costs at a location. `grace_days` is what the environment says of them.
fn prices_at(config: &LocationConfig, grace_days: Option<&OsStr>) -> Result<Prices, RuntimeError> {
    match config {
        LocationConfig::S3 { .. } => Ok(Prices::s3(read_grace_days(grace_days)?)),
        LocationConfig::Folder { .. } => Ok(Prices::folder()),
    }
}

fn read_grace_days(text: Option<&OsStr>) -> Result<u32, RuntimeError> {
    let Some(text) = text else {
        return Ok(GRACE_DAYS);
    };
    let days = text.to_str().and_then(|text| text.parse().ok());
    days.filter(|days| GRACE_DAYS_BOUNDS.contains(days))
        .ok_or_else(|| {
            RuntimeError::new(
                RuntimeErrorKind::Settings,
                "price",
                "what the bucket keeps",
                format!(
                    "{GRACE_DAYS_VARIABLE} is {text:?}: set it to the stack's GraceDays, a whole number of days \
                     from {} to {}, or leave it out for {GRACE_DAYS}",
                    GRACE_DAYS_BOUNDS.start(),
                    GRACE_DAYS_BOUNDS.end()
                ),
            )
        })
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

    /// Opens a location to prune in it, which also needs to know what storing costs there. Contacts
    /// Secrets Manager only.
    pub async fn open_priced(&self, config: &LocationConfig) -> Result<Location, RuntimeError> {
        let prices = prices_at(config, std::env::var_os(GRACE_DAYS_VARIABLE).as_deref())?;
        let (store, password) = self.open_location(config).await?;
        Ok(Location {
            store,
            password,
            prices,
            lock_mode: config.object_lock(),
        })
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use logisedge_domain::config::SecretRef;

    use super::*;

    #[test]
    fn grace_days_are_the_templates_or_whole_days_within_its_bounds() {
        assert_eq!(read_grace_days(None).unwrap(), 14);
        for (text, days) in [("1", 1), ("30", 30), ("3650", 3650)] {
            assert_eq!(read_grace_days(Some(OsStr::new(text))).unwrap(), days);
        }
    }

    #[test]
    fn grace_days_that_cannot_be_read_are_refused() {
        for text in ["", "0", "3651", "-1", "1.5", "two weeks", "99999999999"] {
            let error = read_grace_days(Some(OsStr::new(text))).unwrap_err();
            assert_eq!(error.kind, RuntimeErrorKind::Settings, "{text}");
        }
        let error = read_grace_days(Some(OsStr::new("14d"))).unwrap_err();
        insta::assert_snapshot!(error, @r#"cannot price what the bucket keeps: LOGISEDGE_GRACE_DAYS is "14d": set it to the stack's GraceDays, a whole number of days from 1 to 3650, or leave it out for 14"#);
    }

    #[test]
    fn a_folder_has_no_grace_days() {
        let folder = LocationConfig::Folder {
            path: "/backups".into(),
            repository_password: SecretRef::Env("PASSWORD".to_owned()),
            capacity_bytes_max: None,
        };
        assert!(prices_at(&folder, Some(OsStr::new("14d"))).is_ok());
    }
}
