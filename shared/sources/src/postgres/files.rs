//! The small files of a snapshot: schema sections and the script that puts everything together.

use bytes::Bytes;

use super::catalog::{ForeignKey, Table};
use super::failure::failed;
use super::large_objects;
use super::quote;
use super::statements::statements;
use crate::{SourceError, SourceErrorKind};

/// Tables, types, functions, sequences; what rows need to be there first.
pub(super) const PRE_DATA: &str = "/schema/pre-data.sql";
/// Indexes, constraints, triggers, policies.
pub(super) const POST_DATA: &str = "/schema/post-data.sql";
/// Where sequences stand.
pub(super) const SEQUENCES: &str = "/schema/sequences.sql";
/// Owners, grants and comments of large objects.
pub(super) const LARGE_OBJECTS: &str = "/schema/large-objects.sql";
/// Refreshes of materialised views in the order of what they read.
pub(super) const VIEWS: &str = "/schema/materialised-views.sql";
/// Event triggers, which would fire at whatever is made after them.
pub(super) const EVENT_TRIGGERS: &str = "/schema/event-triggers.sql";
/// Creates the roles that are missing.
pub(super) const ROLES: &str = "/schema/roles.sql";
/// Foreign keys that leave a narrower scope, for whoever brings the other tables back.
pub(super) const OUTSIDE: &str = "/schema/outside-references.sql";
/// Puts everything together.
pub(super) const RESTORE: &str = "/restore.sql";

/// The session settings under which rows are read in again.
pub(super) const ROW_SETTINGS: &str = "SET client_encoding = 'UTF8';\n\
     SET DateStyle = 'ISO, MDY';\nSET IntervalStyle = 'postgres';\nSET TimeZone = 'UTC';\n\
     SET standard_conforming_strings = on;\nSET xmloption = 'content';\nSET lc_monetary = 'C';\n\
     SET row_security = off;\nSET statement_timeout = 0;\nSET lock_timeout = 0;\n\
     SET idle_in_transaction_session_timeout = 0;\nSET client_min_messages = warning;\n";

/// What the files are made from.
pub(super) struct Content<'a> {
    pub(super) database: &'a str,
    /// `server_version_num` of the source.
    pub(super) server_version: u32,
    pub(super) pre_data: String,
    pub(super) post_data: String,
    pub(super) sequences: String,
    pub(super) views: &'a [String],
    /// Owners and grants, where there are large objects.
    pub(super) large_objects: Option<String>,
    pub(super) roles: &'a [String],
    /// Foreign keys that leave the selection.
    pub(super) outside: &'a [ForeignKey],
    /// The tables with rows of their own and the files that hold them, in the order of loading.
    pub(super) rows: &'a [(&'a Table, Vec<String>)],
}

/// The files with their paths.
pub(super) fn files(mut content: Content<'_>) -> Result<Vec<(String, Bytes)>, SourceError> {
    content.pre_data = for_any_psql(&content.pre_data, content.server_version);
    content.post_data = for_any_psql(&content.post_data, content.server_version);
    let outside = cut_out(&mut content.post_data, content.outside)?;
    let event_triggers = take_event_triggers(&mut content.post_data);
    let views: String = content
        .views
        .iter()
        .map(|view| format!("REFRESH MATERIALIZED VIEW {view};\n"))
        .collect();
    let restore = restore_script(&content, !event_triggers.is_empty());
    let mut files = vec![
        (PRE_DATA, content.pre_data),
        (POST_DATA, content.post_data),
        (SEQUENCES, content.sequences),
        (VIEWS, views),
        (ROLES, roles_script(content.roles)),
        (RESTORE, restore),
    ];
    if let Some(script) = content.large_objects {
        files.push((LARGE_OBJECTS, script));
    }
    if !event_triggers.is_empty() {
        files.push((EVENT_TRIGGERS, event_triggers));
    }
    if !outside.is_empty() {
        files.push((OUTSIDE, outside));
    }
    Ok(files
        .into_iter()
        .map(|(path, text)| (path.to_owned(), Bytes::from(text)))
        .collect())
}

/// Leaves out what only a newer psql or server takes, so that those of the source's own version
/// can run the script:
/// - `\\restrict` and its `\\unrestrict`, which guard psql against the script with a key that is
///   another one in every dump;
/// - the time limit of transactions, which servers before 17 do not have.
///
/// Both stand in front of everything that the database's content decides, or behind it.
fn for_any_psql(script: &str, server_version: u32) -> String {
    let mut text = String::with_capacity(script.len());
    let mut rest = script;
    let mut unrestrict = None;
    while let Some((line, more)) = rest.split_once('\n') {
        if let Some(key) = line.strip_prefix("\\restrict ") {
            unrestrict = Some(format!("\\unrestrict {key}"));
        } else if line == "SET transaction_timeout = 0;" && server_version < 170_000 {
        } else if ["--", "SET ", "SELECT pg_catalog.set_config("]
            .iter()
            .any(|with| line.starts_with(with))
            || line.is_empty()
        {
            text.push_str(line);
            text.push('\n');
        } else {
            break;
        }
        rest = more;
    }
    let end = unrestrict.and_then(|line| rest.trim_end().strip_suffix(line.as_str()));
    text.push_str(end.unwrap_or(rest));
    text
}

/// Takes foreign keys out of the post-data script and returns them as a script of their own.
/// Statements are found letter for letter; one that is not there is an error, never ignored.
fn cut_out(post_data: &mut String, outside: &[ForeignKey]) -> Result<String, SourceError> {
    let mut script = String::new();
    for key in outside {
        if post_data.matches(&key.statement).count() != 1 {
            return Err(failed(
                SourceErrorKind::PgDump,
                "leave out",
                format!("foreign key {}", key.constraint),
                format!(
                    "it leads to {}, outside the selection, and pg_dump wrote it in an unknown way; \
                     add that table to the selection",
                    key.to_name
                ),
            ));
        }
        *post_data = post_data.replace(
            &key.statement,
            &format!("-- Left out, leads outside this selection: see{OUTSIDE}")
                .replace("see/", "see "),
        );
        script.push_str(&key.statement);
        script.push('\n');
    }
    Ok(script)
}

/// Takes everything that makes event triggers out of the post-data script, as a script of its own.
fn take_event_triggers(post_data: &mut String) -> String {
    let is_one = |statement: &&str| {
        ["CREATE", "ALTER", "COMMENT ON"]
            .iter()
            .any(|verb| statement.starts_with(&format!("{verb} EVENT TRIGGER ")))
    };
    let (mut kept, mut taken, mut rest) = (String::new(), String::new(), post_data.as_str());
    for statement in statements(post_data).into_iter().filter(is_one) {
        let whole = format!("{statement};");
        // Statements come in their order, so the first that is still ahead is the one.
        let Some((before, after)) = rest.split_once(&whole) else {
            continue;
        };
        kept.push_str(before);
        taken.push_str(&format!("{whole}\n"));
        rest = after;
    }
    kept.push_str(rest);
    *post_data = kept;
    taken
}

/// Roles are no part of a database; this makes empty ones, so that owners and grants find them.
fn roles_script(roles: &[String]) -> String {
    let mut script = String::from(
        "-- Roles are the server's, not the database's. This makes those that are missing, without\n\
         -- a login, a password or any right but those that the database grants to them.\n",
    );
    for role in roles {
        let body = format!(
            "BEGIN IF pg_catalog.to_regrole({}) IS NULL THEN CREATE ROLE {} NOLOGIN; END IF; END",
            quote::literal(&quote::identifier(role)),
            quote::identifier(role)
        );
        script.push_str(&format!("DO {};\n", quote::literal(&body)));
    }
    script
}

/// The script that rebuilds everything with psql alone.
fn restore_script(content: &Content<'_>, event_triggers: bool) -> String {
    let mut script = format!(
        "-- Rebuilds database {} from this folder with nothing but psql, in an empty database:\n\
         --     cd <this folder>; psql -X --dbname=<the new database> -f restore.sql\n\
         -- Run it in this folder: \\copy takes its paths from where psql was started.\n\
         -- Owners and grants need their roles: run schema/roles.sql before, if they are missing.\n\
         -- -X keeps a .psqlrc of your own out of it.\n\
         \\set AUTOCOMMIT on\n\\set ON_ERROR_STOP on\n{ROW_SETTINGS}\\ir schema/pre-data.sql\n",
        content.database.replace(['\n', '\r'], " ")
    );
    for (table, paths) in content.rows {
        let into = format!("{}{}", table.sql_name(), quote::column_list(&table.columns));
        for path in paths {
            let path = path.trim_start_matches('/');
            script.push_str(&format!("\\copy {into} from '{path}'\n"));
        }
    }
    if content.large_objects.is_some() {
        let (schema, name) = large_objects::TABLE;
        script.push_str(&format!(
            "{};\n\\copy {} from '{}'\n",
            large_objects::STAGE,
            large_objects::STAGE_COLUMNS,
            quote::data_path(schema, name).trim_start_matches('/')
        ));
        for statement in large_objects::UNSTAGE {
            script.push_str(&format!("{statement};\n"));
        }
        script.push_str("\\ir schema/large-objects.sql\n");
    }
    script.push_str(
        "\\ir schema/post-data.sql\n\\ir schema/sequences.sql\n\
         \\ir schema/materialised-views.sql\n",
    );
    if event_triggers {
        script.push_str("\\ir schema/event-triggers.sql\n");
    }
    script.push_str("ANALYZE;\n");
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_run_in_any_psql() {
        let body = "CREATE FUNCTION f() AS '\n\\restrict x\nSET transaction_timeout = 0;\n\\unrestrict x\n';\n";
        let dump = |restrict: &str, unrestrict: &str, limit: &str| {
            format!(
                "--\n-- dump\n--\n\n{restrict}SET lock_timeout = 0;\n{limit}\n-- Name: f\n\n{body}\n-- end\n\n{unrestrict}"
            )
        };
        let limit = "SET transaction_timeout = 0;\n";
        let newest = dump("\\restrict aB1\n", "\\unrestrict aB1\n\n", limit);
        assert_eq!(for_any_psql(&newest, 160_000), dump("", "", ""));
        assert_eq!(for_any_psql(&newest, 170_000), dump("", "", limit));
        let old = dump("", "", "");
        assert_eq!(for_any_psql(&old, 130_000), old);
        assert_eq!(for_any_psql("", 130_000), "");
    }
}
