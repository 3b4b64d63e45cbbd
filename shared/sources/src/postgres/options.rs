//! How a PostgreSQL database is reached: options, connection URLs, and where a password comes from.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use logisedge_domain::config::SslMode;
use zeroize::Zeroizing;

use super::failure::failed;
use crate::{SourceError, SourceErrorKind};

/// A password: wiped from memory when dropped, never shown by `Debug`.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes a password over.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// How a database is reached and read.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// A host name, an address, or (with a slash in front) the folder of a Unix socket.
    pub host: String,
    /// The port, also part of a socket's name.
    pub port: u16,
    /// The database.
    pub database: String,
    /// The role to connect as.
    pub user: String,
    /// None: peer, trust or another way without a password.
    pub password: Option<Password>,
    /// As libpq means it. With a `ca_file`, `Require` checks the issuer like `VerifyCa`.
    pub sslmode: SslMode,
    /// A PEM file of certificate authorities; the system's if none.
    pub ca_file: Option<PathBuf>,
    /// The `pg_dump` to run for the schema; looked up in PATH without a slash.
    pub pg_dump: PathBuf,
    /// Parallel connections for rows, at least 1. One more coordinates them.
    pub connections: usize,
    /// Whether page ranges that are proven unchanged since the base are not read again, and every
    /// snapshot leaves a witness for later ones (32 transactions without content).
    pub skip_unchanged: bool,
    /// How long a connection may take from the first packet to the end of authentication.
    pub connect_timeout: Duration,
    /// What `pg_stat_activity` shows.
    pub application_name: String,
}

impl PostgresOptions {
    /// Options with the usual values for all that is not named here: port 5432, no password,
    /// TLS if offered, `pg_dump` from PATH, two connections, ten seconds to connect.
    pub fn new(host: &str, database: &str, user: &str) -> Self {
        Self {
            host: host.to_owned(),
            port: 5432,
            database: database.to_owned(),
            user: user.to_owned(),
            password: None,
            sslmode: SslMode::Prefer,
            ca_file: None,
            pg_dump: PathBuf::from("pg_dump"),
            connections: 2,
            skip_unchanged: true,
            connect_timeout: Duration::from_secs(10),
            application_name: "logisedge-backup".to_owned(),
        }
    }

    /// Reads `postgres://user:password@host:port/database?sslmode=…`, percent-encoded as libpq
    /// wants it. Parameters: `host`, `port`, `user`, `dbname`, `sslmode` (`allow` counts as
    /// `prefer`), `sslrootcert`, `connect_timeout` (seconds), `application_name`.
    ///
    /// What the URL leaves out comes from `PGHOST`, `PGPORT`, `PGUSER`, `PGDATABASE`,
    /// `PGPASSWORD` and `~/.pgpass` (or `PGPASSFILE`), then from libpq's defaults.
    pub fn from_url(url: &str) -> Result<Self, SourceError> {
        Self::from_url_with(url, &|name| std::env::var(name).ok())
    }

    /// [`Self::from_url`] with the environment as an argument.
    pub(super) fn from_url_with(
        url: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, SourceError> {
        // The URL itself is never repeated: it may hold a password.
        let refuse = |message: String| {
            failed(
                SourceErrorKind::Failed,
                "understand",
                "the PostgreSQL URL",
                message,
            )
        };
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        if !base.starts_with("postgres://") && !base.starts_with("postgresql://") {
            return Err(refuse("it has to start with postgres://".to_owned()));
        }
        let parsed: tokio_postgres::Config = base.parse().map_err(|_| {
            refuse(
                "it is not of the form postgres://user@host:port/database?sslmode=…; special \
                 characters in a part have to be percent-encoded"
                    .to_owned(),
            )
        })?;
        let (mut host, mut port) = (None, parsed.get_ports().first().copied());
        match parsed.get_hosts() {
            [] => {}
            [tokio_postgres::config::Host::Tcp(name)] => host = Some(name.clone()),
            [tokio_postgres::config::Host::Unix(folder)] => {
                host = Some(folder.to_string_lossy().into_owned());
            }
            _ => return Err(refuse("it names several hosts; give one".to_owned())),
        }
        let mut user = parsed.get_user().map(str::to_owned);
        let mut database = parsed.get_dbname().map(str::to_owned);
        let mut options = Self::new("", "", "");
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decoded(value).ok_or_else(|| {
                refuse(format!("the value of {key} is not percent-encoded UTF-8"))
            })?;
            match key {
                "host" => host = Some(value),
                "port" => port = Some(value.parse().map_err(|_| refuse(format!("{value:?} is no port")))?),
                "user" => user = Some(value),
                "dbname" => database = Some(value),
                "sslmode" => options.sslmode = sslmode(&value).ok_or_else(|| {
                    refuse(format!(
                        "{value:?} is no sslmode; choose disable, prefer, require, verify-ca or verify-full"
                    ))
                })?,
                "sslrootcert" => options.ca_file = Some(PathBuf::from(value)),
                "application_name" => options.application_name = value,
                "connect_timeout" => {
                    let seconds = value
                        .parse()
                        .map_err(|_| refuse(format!("{value:?} is no number of seconds")))?;
                    options.connect_timeout = Duration::from_secs(seconds);
                }
                _ => return Err(refuse(format!("the parameter {key} is not supported"))),
            }
        }
        options.host = host
            .or_else(|| environment("PGHOST"))
            .unwrap_or_else(|| "/var/run/postgresql".to_owned());
        options.port = match port {
            Some(port) => port,
            None => match environment("PGPORT") {
                Some(text) => text
                    .parse()
                    .map_err(|_| refuse(format!("PGPORT is {text:?}, no port")))?,
                None => 5432,
            },
        };
        options.user = user
            .or_else(|| environment("PGUSER"))
            .or_else(|| environment("USER"))
            .ok_or_else(|| refuse("it names no user, and PGUSER is not set".to_owned()))?;
        options.database = database
            .or_else(|| environment("PGDATABASE"))
            .unwrap_or_else(|| options.user.clone());
        options.password = match parsed.get_password() {
            Some(bytes) => Some(Password::new(String::from_utf8_lossy(bytes).into_owned())),
            None => environment("PGPASSWORD")
                .map(Password::new)
                .or_else(|| password_file(&options, environment)),
        };
        Ok(options)
    }

    /// `database erp at db.example:5432`, for messages.
    pub(super) fn place(&self) -> String {
        format!("database {} at {}", self.database, self.address())
    }

    /// `db.example:5432` or the socket's folder, for messages.
    pub(super) fn address(&self) -> String {
        match self.host.starts_with('/') {
            true => format!("{}/.s.PGSQL.{}", self.host.trim_end_matches('/'), self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

fn sslmode(text: &str) -> Option<SslMode> {
    Some(match text {
        "disable" => SslMode::Disable,
        "allow" | "prefer" => SslMode::Prefer,
        "require" => SslMode::Require,
        "verify-ca" => SslMode::VerifyCa,
        "verify-full" => SslMode::VerifyFull,
        _ => return None,
    })
}

/// libpq's name for a mode.
pub(super) fn sslmode_name(mode: SslMode) -> &'static str {
    match mode {
        SslMode::Disable => "disable",
        SslMode::Prefer => "prefer",
        SslMode::Require => "require",
        SslMode::VerifyCa => "verify-ca",
        SslMode::VerifyFull => "verify-full",
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The password that libpq's password file holds for these options, if it may be read by nobody
/// else (libpq's own condition).
/// <https://www.postgresql.org/docs/current/libpq-pgpass.html>
fn password_file(
    options: &PostgresOptions,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Option<Password> {
    let path = match environment("PGPASSFILE") {
        Some(path) => PathBuf::from(path),
        None => Path::new(&environment("HOME")?).join(".pgpass"),
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&path).ok()?.permissions().mode();
        if mode & 0o077 != 0 {
            tracing::warn!(path = %path.display(), "password file is open to others (mode {:o}), not used; chmod 600 it", mode & 0o777);
            return None;
        }
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).ok()?);
    let host = match options.host.starts_with('/') {
        true => "localhost",
        false => options.host.as_str(),
    };
    let port = options.port.to_string();
    let wanted = [host, &port, &options.database, &options.user];
    text.lines().find_map(|line| {
        let fields = pgpass_fields(line)?;
        let fits = fields[..4]
            .iter()
            .zip(wanted)
            .all(|(field, wanted)| field.as_str() == "*" || field.as_str() == wanted);
        fits.then(|| Password::new(fields[4].to_string()))
    })
}

/// Host, port, database, user, password of a line; a backslash keeps the next character as it is.
fn pgpass_fields(line: &str) -> Option<[Zeroizing<String>; 5]> {
    if line.starts_with('#') {
        return None;
    }
    let mut fields: [Zeroizing<String>; 5] = Default::default();
    let mut field = 0;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => fields[field].push(characters.next()?),
            ':' if field == 4 => break,
            ':' => field += 1,
            other => fields[field].push(other),
        }
    }
    (field == 4).then_some(fields)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn a_url_says_it_all() {
        let options = PostgresOptions::from_url_with(
            "postgres://b%40ker:s%3Acret@db.example:5433/my%20erp?sslmode=verify-full&sslrootcert=/ca.pem&connect_timeout=3",
            &nothing,
        )
        .unwrap();
        assert_eq!(options.place(), "database my erp at db.example:5433");
        assert_eq!(options.user, "b@ker");
        assert_eq!(options.password.as_ref().unwrap().reveal(), "s:cret");
        assert_eq!(options.sslmode, SslMode::VerifyFull);
        assert_eq!(options.ca_file.as_deref(), Some(Path::new("/ca.pem")));
        assert_eq!(options.connect_timeout, Duration::from_secs(3));
        assert!(!format!("{options:?}").contains("s:cret"));
    }

    #[test]
    fn sockets_and_the_environment_fill_the_gaps() {
        let environment = |name: &str| match name {
            "PGUSER" => Some("app".to_owned()),
            "PGPASSWORD" => Some("pw".to_owned()),
            "PGPORT" => Some("6000".to_owned()),
            _ => None,
        };
        let options =
            PostgresOptions::from_url_with("postgresql:///?host=/run/pg", &environment).unwrap();
        assert_eq!(options.place(), "database app at /run/pg/.s.PGSQL.6000");
        assert_eq!(options.password.unwrap().reveal(), "pw");
        let options = PostgresOptions::from_url_with("postgres:///erp", &environment).unwrap();
        assert_eq!(options.host, "/var/run/postgresql");
    }

    #[test]
    fn bad_urls_are_refused_without_repeating_them() {
        let mut texts = Vec::new();
        for url in [
            "mysql://a:secret@h/d",
            "postgres://a:secret@h:port/d",
            "postgres://a:secret@h,i/d",
            "postgres://a:secret@h/d?sslmode=always",
            "postgres://a:secret@h/d?target_session_attrs=any",
            "postgres://secret@h/d?dbname=%zz",
        ] {
            let text = PostgresOptions::from_url_with(url, &nothing)
                .unwrap_err()
                .to_string();
            assert!(!text.contains("secret"), "{text}");
            texts.push(text);
        }
        insta::assert_snapshot!(texts.join("\n"), @r#"
cannot understand the PostgreSQL URL: it has to start with postgres://
cannot understand the PostgreSQL URL: it is not of the form postgres://user@host:port/database?sslmode=…; special characters in a part have to be percent-encoded
cannot understand the PostgreSQL URL: it names several hosts; give one
cannot understand the PostgreSQL URL: "always" is no sslmode; choose disable, prefer, require, verify-ca or verify-full
cannot understand the PostgreSQL URL: the parameter target_session_attrs is not supported
cannot understand the PostgreSQL URL: the value of dbname is not percent-encoded UTF-8
"#);
    }

    #[test]
    fn a_password_file_is_read_as_libpq_reads_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pgpass");
        std::fs::write(
            &path,
            "# a comment\nother:*:*:*:no\nh:*:d\\:b:a:p\\:w\\\\:ignored\n*:*:*:*:any\n",
        )
        .unwrap();
        let environment = {
            let path = path.to_str().unwrap().to_owned();
            move |name: &str| (name == "PGPASSFILE").then(|| path.clone())
        };
        let password = |url: &str| {
            PostgresOptions::from_url_with(url, &environment)
                .unwrap()
                .password
        };
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(password("postgres://a@h/d%3Ab").is_none());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(password("postgres://a@h/d%3Ab").unwrap().reveal(), "p:w\\");
        assert_eq!(password("postgres://a@i/d").unwrap().reveal(), "any");
    }
}
