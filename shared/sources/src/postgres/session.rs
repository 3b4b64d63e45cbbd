//! One connection with settings that make its streams depend on the data alone.

use std::time::Duration;

use logisedge_domain::config::SslMode;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode as Negotiation;
use tokio_postgres::error::SqlState;
use tokio_postgres::{CancelToken, Client};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::failure::{explain, failed, refused};
use super::options::{PostgresOptions, sslmode_name};
use super::tls;
use crate::{SourceError, SourceErrorKind};

/// Oldest server that is supported, as `server_version_num` counts.
const SERVER_VERSION_MIN: u32 = 130_000;

/// Every setting that the text of a row or of a constraint depends on, and every timeout that
/// could end a long read. `row_security = off` turns hidden rows into an error. Compiling a catalog
/// query takes a second where running it takes a hundredth, so nothing is compiled.
const SETTINGS: &str = "\
    SET client_encoding = 'UTF8'; SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'postgres'; \
    SET TimeZone = 'UTC'; SET extra_float_digits = 3; SET bytea_output = 'hex'; \
    SET xmloption = 'content'; SET lc_monetary = 'C'; SET standard_conforming_strings = on; \
    SET search_path = ''; SET row_security = off; SET jit = off; SET synchronize_seqscans = off; \
    SET statement_timeout = 0; SET lock_timeout = 0; \
    SET idle_in_transaction_session_timeout = 0; SET quote_all_identifiers = off";

/// Silence after which the kernel asks whether the server is still there. The session that holds
/// the snapshot says nothing for hours, and a NAT gateway of AWS forgets a connection after 350 s.
/// <https://docs.aws.amazon.com/vpc/latest/userguide/nat-gateway-troubleshooting.html>
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);

/// Time between questions that get no answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Questions without an answer that end the connection.
const KEEPALIVE_RETRIES: u32 = 5;

/// How long sent bytes may go unacknowledged: as long as the questions take.
const UNANSWERED: Duration = Duration::from_secs(110);

/// How long asking the server to stop may take; it is a connection of its own.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection. Dropping it ends it, whatever it is doing.
pub(super) struct Session {
    pub(super) client: Client,
    /// `server_version_num`: 150018.
    pub(super) version: u32,
    tls: MakeRustlsConnect,
    driver: JoinHandle<()>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A stream that nobody reads any more would keep the server sending.
        self.driver.abort();
    }
}

impl Session {
    /// Connects, checks the server's version and applies the settings.
    pub(super) async fn open(options: &PostgresOptions) -> Result<Self, SourceError> {
        let tls = tls::connector(options)?;
        let connected = tokio::time::timeout(options.connect_timeout, connect(options, &tls));
        let Ok(connected) = connected.await else {
            return Err(failed(
                SourceErrorKind::Unreachable,
                "connect to",
                options.place(),
                format!(
                    "no answer within {} s; check host, port, security groups and routes",
                    options.connect_timeout.as_secs()
                ),
            ));
        };
        let (client, driver) = connected.map_err(|error| no_connection(options, error))?;
        let mut session = Self {
            client,
            version: 0,
            tls,
            driver,
        };
        session
            .set_up()
            .await
            .map_err(|error| no_connection(options, error))?;
        if session.version < SERVER_VERSION_MIN {
            return Err(failed(
                SourceErrorKind::Unsupported,
                "use",
                options.place(),
                format!(
                    "its PostgreSQL is version {}; 13 is the oldest supported",
                    session.version / 10_000
                ),
            ));
        }
        Ok(session)
    }

    async fn set_up(&mut self) -> Result<(), tokio_postgres::Error> {
        let row = self
            .client
            .query_one(
                "SELECT pg_catalog.current_setting('server_version_num')::int4",
                &[],
            )
            .await?;
        self.version = row.get::<_, i32>(0).unsigned_abs();
        self.client.batch_execute(SETTINGS).await?;
        if self.version >= 170_000 {
            self.client
                .batch_execute("SET transaction_timeout = 0")
                .await?;
        }
        Ok(())
    }

    /// Runs statements; `object` says in errors what they are about.
    pub(super) async fn run(
        &self,
        operation: &'static str,
        object: &str,
        sql: &str,
    ) -> Result<(), SourceError> {
        self.client
            .batch_execute(sql)
            .await
            .map_err(|error| refused(operation, object, error))
    }

    /// Asks the server to stop what this connection is doing; best effort.
    pub(super) async fn cancel(&self) {
        let token: CancelToken = self.client.cancel_token();
        let asked = tokio::time::timeout(CANCEL_TIMEOUT, token.cancel_query(self.tls.clone()));
        match asked.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "cancel request was not delivered"),
            Err(_) => tracing::debug!("cancel request was not delivered in time"),
        }
    }
}

/// Connects as the mode wants; `prefer` falls back to no TLS where TLS fails, as libpq's does.
async fn connect(
    options: &PostgresOptions,
    tls: &MakeRustlsConnect,
) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
    let mut config = tokio_postgres::Config::new();
    config
        .host(&options.host)
        .port(options.port)
        .dbname(&options.database)
        .user(&options.user)
        .application_name(&options.application_name)
        .connect_timeout(options.connect_timeout)
        .keepalives(true)
        .keepalives_idle(KEEPALIVE_IDLE)
        .keepalives_interval(KEEPALIVE_INTERVAL)
        .keepalives_retries(KEEPALIVE_RETRIES)
        .tcp_user_timeout(UNANSWERED);
    if let Some(password) = &options.password {
        config.password(password.reveal());
    }
    config.ssl_mode(match options.sslmode {
        // A Unix socket has no TLS; libpq ignores the mode there.
        _ if options.host.starts_with('/') => Negotiation::Disable,
        SslMode::Disable => Negotiation::Disable,
        SslMode::Prefer => Negotiation::Prefer,
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => Negotiation::Require,
    });
    let connected = match config.connect(tls.clone()).await {
        Err(error) if options.sslmode == SslMode::Prefer && tls_failed(&error) => {
            config.ssl_mode(Negotiation::Disable);
            config.connect(tls.clone()).await
        }
        connected => connected,
    };
    let (client, connection) = connected?;
    let driver = tokio::spawn(async move {
        // What went wrong also reaches whoever waits for an answer; here it is for the log only.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection ended");
        }
    });
    Ok((client, driver))
}

fn tls_failed(error: &tokio_postgres::Error) -> bool {
    error
        .to_string()
        .starts_with("error performing TLS handshake")
}

/// Why there is no connection, with what to do about it.
fn no_connection(options: &PostgresOptions, error: tokio_postgres::Error) -> SourceError {
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    let cause = cause.unwrap_or_else(|| error.to_string());
    let code = error.code().cloned();
    let (kind, message) = match code {
        Some(SqlState::INVALID_PASSWORD) => (
            SourceErrorKind::Denied,
            format!(
                "the password of role {} was refused; check the configured secret",
                options.user
            ),
        ),
        Some(SqlState::INVALID_CATALOG_NAME) => (
            SourceErrorKind::NotFound,
            format!("the server has no database {:?}", options.database),
        ),
        Some(SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => (
            SourceErrorKind::Denied,
            format!("{}; check role, pg_hba.conf and sslmode", explain(&error).1),
        ),
        Some(_) => explain(&error),
        None if tls_failed(&error) => (
            SourceErrorKind::Denied,
            format!(
                "TLS with sslmode {} failed: {cause}; check the CA file, the host name in the server's \
                 certificate, and that the server offers TLS",
                sslmode_name(options.sslmode)
            ),
        ),
        None if cause == "password missing" => (
            SourceErrorKind::Denied,
            format!(
                "the server wants a password for role {} and none is configured",
                options.user
            ),
        ),
        None if error
            .to_string()
            .starts_with("error communicating with the server")
            || error.is_closed() =>
        {
            (SourceErrorKind::Unreachable, explain(&error).1)
        }
        None => (
            SourceErrorKind::Unreachable,
            format!("{cause}; check that the server runs there and can be reached from here"),
        ),
    };
    SourceError {
        kind,
        operation: "connect to",
        object: options.place(),
        message,
        source: Some(Box::new(error)),
    }
}
