//! One connection with settings that make its streams depend on the data alone.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use logisedge_domain::config::SslMode;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode as Negotiation;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Error};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::diversion::{AboveTls, Diversion, Diverted};
use super::failure::{explain, failed, refused};
use super::options::{PostgresOptions, sslmode_name};
use super::socket::{self, Socket};
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

/// How long asking the server to stop may take; it is a connection of its own.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection. Dropping it ends it, whatever it is doing.
pub(super) struct Session {
    pub(super) client: Client,
    /// `server_version_num`: 150018.
    pub(super) version: u32,
    options: PostgresOptions,
    tls: MakeRustlsConnect,
    rows: Diversion,
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
        let connected = connected.map_err(|error| error.told(options))?;
        let mut session = Self {
            client: connected.client,
            version: 0,
            options: options.clone(),
            tls,
            rows: connected.rows,
            driver: connected.driver,
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

    async fn set_up(&mut self) -> Result<(), Error> {
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

    /// Runs a COPY statement and sends its rows to `sink` in buffers of about
    /// [`crate::BUFFER_BYTES`], wide ones in several; returns their bytes once all are sent. Waits
    /// while the sink is full; goes on without sending where it is closed.
    pub(super) async fn copy_out(
        &self,
        statement: &str,
        sink: &mpsc::Sender<Bytes>,
    ) -> Result<u64, Error> {
        self.rows.to(sink.clone());
        let mut rest = std::pin::pin!(self.client.copy_out(statement).await?);
        let mut passed = 0;
        while let Some(row) = rest.next().await {
            // An error that an abandoned question left behind would have ended the diversion.
            let row = row?;
            passed += row.len() as u64;
            // Nobody reads any more; the caller sees that too.
            let _ = sink.send(row).await;
        }
        Ok(self.rows.bytes() + passed)
    }

    /// Asks the server to stop what this connection is doing; best effort.
    pub(super) async fn cancel(&self) {
        let asked = async {
            let socket = socket::open(&self.options).await?;
            let tls = connector(&self.options, &self.tls)?;
            let token = self.client.cancel_token();
            let asked = token.cancel_query_raw(socket, tls).await;
            asked.map_err(io::Error::other)
        };
        match tokio::time::timeout(CANCEL_TIMEOUT, asked).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "cancel request was not delivered"),
            Err(_) => tracing::debug!("cancel request was not delivered in time"),
        }
    }
}

/// A connection before anything was asked of it.
struct Connected {
    client: Client,
    rows: Diversion,
    driver: JoinHandle<()>,
}

/// Why there is none.
enum NoConnection {
    /// The server could not be reached.
    Socket(io::Error),
    /// It did not let us in.
    Postgres(Error),
}

impl From<io::Error> for NoConnection {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}

/// Connects as the mode wants; `prefer` falls back to no TLS where TLS fails, as libpq's does.
async fn connect(
    options: &PostgresOptions,
    tls: &MakeRustlsConnect,
) -> Result<Connected, NoConnection> {
    let negotiation = match options.sslmode {
        // A Unix socket has no TLS; libpq ignores the mode there.
        _ if options.host.starts_with('/') => Negotiation::Disable,
        SslMode::Disable => Negotiation::Disable,
        SslMode::Prefer => Negotiation::Prefer,
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => Negotiation::Require,
    };
    match connect_with(options, tls, negotiation).await {
        Err(NoConnection::Postgres(error))
            if negotiation == Negotiation::Prefer && tls_failed(&error) =>
        {
            connect_with(options, tls, Negotiation::Disable).await
        }
        connected => connected,
    }
}

async fn connect_with(
    options: &PostgresOptions,
    tls: &MakeRustlsConnect,
    negotiation: Negotiation,
) -> Result<Connected, NoConnection> {
    let mut config = tokio_postgres::Config::new();
    config
        .dbname(&options.database)
        .user(&options.user)
        .application_name(&options.application_name)
        .ssl_mode(negotiation);
    if let Some(password) = &options.password {
        config.password(password.reveal());
    }
    let rows = Diversion::default();
    // A request for TLS is answered by one byte before any message.
    let unframed = match negotiation {
        Negotiation::Disable => 0,
        _ => 1,
    };
    let socket = Diverted::new(socket::open(options).await?, rows.clone(), unframed);
    let tls = AboveTls(connector(options, tls)?);
    let connected = config.connect_raw(socket, tls).await;
    let (client, connection) = connected.map_err(NoConnection::Postgres)?;
    let driver = tokio::spawn(async move {
        // What went wrong also reaches whoever waits for an answer; here it is for the log only.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection ended");
        }
    });
    Ok(Connected {
        client,
        rows,
        driver,
    })
}

/// The TLS of one socket; the host's name is what the server's certificate is checked for.
fn connector(
    options: &PostgresOptions,
    tls: &MakeRustlsConnect,
) -> io::Result<<MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect> {
    let mut tls = tls.clone();
    MakeTlsConnect::<Socket>::make_tls_connect(&mut tls, &options.host).map_err(io::Error::other)
}

fn tls_failed(error: &Error) -> bool {
    error
        .to_string()
        .starts_with("error performing TLS handshake")
}

impl NoConnection {
    fn told(self, options: &PostgresOptions) -> SourceError {
        match self {
            Self::Postgres(error) => no_connection(options, error),
            Self::Socket(error) => SourceError {
                kind: SourceErrorKind::Unreachable,
                operation: "connect to",
                object: options.place(),
                message: unreachable(&error.to_string()),
                source: Some(Box::new(error)),
            },
        }
    }
}

fn unreachable(cause: &str) -> String {
    format!("{cause}; check that the server runs there and can be reached from here")
}

/// Why the server did not let us in, with what to do about it.
fn no_connection(options: &PostgresOptions, error: Error) -> SourceError {
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
        None => (SourceErrorKind::Unreachable, unreachable(&cause)),
    };
    SourceError {
        kind,
        operation: "connect to",
        object: options.place(),
        message,
        source: Some(Box::new(error)),
    }
}
