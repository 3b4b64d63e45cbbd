//! Running a snapshot's scripts, statement by statement, as psql would.

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::failure::{explain, refused};
use super::session::Session;
use super::statements::statements;
use crate::SourceError;

/// Longest piece of a statement that a message shows, in characters.
const EXCERPT_CHARACTERS: usize = 120;

/// Which statements may fail without the restore failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tolerance {
    Nothing,
    /// Those that only say who owns something or may use it.
    OwnersAndGrants,
}

/// A script of a snapshot.
pub(super) struct Script<'a> {
    pub(super) path: &'a str,
    pub(super) text: &'a str,
    pub(super) tolerance: Tolerance,
}

impl Script<'_> {
    /// Runs the script in one session; returns what was tolerated. Each statement commits on its
    /// own: one transaction over thousands of tables would need more locks than servers usually
    /// have room for.
    pub(super) async fn run(&self, session: &Session) -> Result<Vec<String>, SourceError> {
        let mut tolerated = Vec::new();
        for statement in statements(self.text) {
            if unknown_setting(statement, session.version) {
                continue;
            }
            let done = session.client.batch_execute(statement).await;
            tolerated.extend(self.judged(statement, done)?);
        }
        Ok(tolerated)
    }

    /// What a statement's end means: nothing, something that is tolerated, or a failure.
    pub(super) fn judged(
        &self,
        statement: &str,
        done: Result<(), Error>,
    ) -> Result<Option<String>, SourceError> {
        let Err(error) = done else {
            return Ok(None);
        };
        let tolerant = self.tolerance == Tolerance::OwnersAndGrants;
        if tolerant && only_rights(statement) && may_pass(&error) {
            return Ok(Some(format!(
                "left out: {}: {}",
                excerpt(statement),
                explain(&error).1
            )));
        }
        let mut error = refused(
            "run",
            format!("{} of the snapshot", self.path.trim_start_matches('/')),
            error,
        );
        error.message = format!("{}; the statement: {}", error.message, excerpt(statement));
        Err(error)
    }
}

/// A setting that a newer `pg_dump` writes and an older server refuses. It guards a restore
/// against time limits that the older server does not have.
pub(super) fn unknown_setting(statement: &str, version: u32) -> bool {
    statement == "SET transaction_timeout = 0" && version < 170_000
}

/// Whether a statement only gives rights or ownership.
fn only_rights(statement: &str) -> bool {
    let starts = |with: &str| statement.starts_with(with);
    starts("GRANT ")
        || starts("REVOKE ")
        || starts("ALTER DEFAULT PRIVILEGES ")
        || starts("CREATE POLICY ")
        || starts("COMMENT ON EXTENSION ")
        || starts("DO 'DECLARE id pg_catalog.oid; BEGIN FOREACH id IN ARRAY ")
        || (starts("ALTER ") && statement.contains(" OWNER TO "))
}

/// A role that is not there, or rights that this role lacks.
fn may_pass(error: &Error) -> bool {
    matches!(
        error.code(),
        Some(&SqlState::UNDEFINED_OBJECT | &SqlState::INSUFFICIENT_PRIVILEGE)
    )
}

/// The front of a statement on one line.
fn excerpt(statement: &str) -> String {
    let line = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(EXCERPT_CHARACTERS) {
        Some((end, _)) => format!("{} …", &line[..end]),
        None => line,
    }
}
