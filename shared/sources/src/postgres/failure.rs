//! What PostgreSQL and the network say, turned into this crate's error.

use tokio_postgres::error::SqlState;

use crate::{SourceError, SourceErrorKind};

/// An error without a cause of its own.
pub(super) fn failed(
    kind: SourceErrorKind,
    operation: &'static str,
    object: impl Into<String>,
    message: impl Into<String>,
) -> SourceError {
    SourceError {
        kind,
        operation,
        object: object.into(),
        message: message.into(),
        source: None,
    }
}

/// What the database answered while `operation` was done to `object`.
pub(super) fn refused(
    operation: &'static str,
    object: impl Into<String>,
    error: tokio_postgres::Error,
) -> SourceError {
    let (kind, message) = explain(&error);
    SourceError {
        kind,
        operation,
        object: object.into(),
        message,
        source: Some(Box::new(error)),
    }
}

/// The kind of a failure and words for it.
pub(super) fn explain(error: &tokio_postgres::Error) -> (SourceErrorKind, String) {
    let Some(said) = error.as_db_error() else {
        return (SourceErrorKind::Unreachable, broken(error));
    };
    let mut message = said.message().to_owned();
    for (label, more) in [("detail", said.detail()), ("hint", said.hint())] {
        if let Some(more) = more {
            message.push_str(&format!("; {label}: {more}"));
        }
    }
    let kind = kind(said.code());
    if kind == SourceErrorKind::Unreachable && *said.code() == SqlState::ADMIN_SHUTDOWN {
        message = format!("the server ended the connection ({message})");
    }
    (kind, message)
}

/// The kind that an SQLSTATE belongs to.
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn kind(state: &SqlState) -> SourceErrorKind {
    let code = state.code();
    match code {
        // Too many connections, shutdown, crash, starting up, and a standby's conflict with what
        // it replays: another try can succeed.
        "53300" | "57P01" | "57P02" | "57P03" | "57P05" | "40001" => SourceErrorKind::Unreachable,
        "55P03" | "40P01" => SourceErrorKind::Busy,
        "53100" => SourceErrorKind::NoRoom,
        _ if code.starts_with("08") => SourceErrorKind::Unreachable,
        _ if code.starts_with("28") || code == "42501" => SourceErrorKind::Denied,
        "3D000" | "42P01" | "3F000" | "42703" => SourceErrorKind::NotFound,
        _ => SourceErrorKind::Failed,
    }
}

/// Words for a connection that broke.
fn broken(error: &tokio_postgres::Error) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(" ({cause})"));
    format!(
        "the connection broke{}: the server stopped, someone ended the session, or the network failed",
        cause.unwrap_or_default()
    )
}
