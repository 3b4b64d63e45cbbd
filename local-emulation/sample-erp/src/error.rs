//! The one error type of this crate.

/// A database that could not be made or changed. The message says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// The file or database already holds something.
    #[error("{0} is not empty; name a new one, the generator never overwrites")]
    NotEmpty(String),
    /// The database was not made by this program, or is not there.
    #[error(
        "{0} is no sample ERP database; make one with `sample-erp sqlite` or `sample-erp postgres`"
    )]
    NotASample(String),
    /// The connection URL cannot be read, or the server does not answer.
    #[error("cannot connect to {database}: {reason}")]
    Unreachable {
        /// Host, port and name; never a password.
        database: String,
        /// Why.
        reason: String,
    },
    /// SQLite said no.
    #[error("SQLite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// PostgreSQL said no.
    #[error("PostgreSQL: {}", full_text(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// The size is out of range.
    #[error("{0} MB cannot be made; give 1 to 1000000")]
    Size(u64),
    /// A thread of this program stopped.
    #[error("internal: {0}")]
    Internal(String),
}

/// tokio-postgres' own text is only `db error`; the server's words are in its source.
pub(crate) fn full_text(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => db.to_string(),
        None => std::error::Error::source(error)
            .map_or_else(|| error.to_string(), |source| format!("{error}: {source}")),
    }
}
