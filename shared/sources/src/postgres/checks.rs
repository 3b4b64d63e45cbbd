//! What is checked before anything is read, so that a run fails at its start with the whole list.

use std::collections::BTreeSet;

use logisedge_domain::scope::Selection;
use tokio_postgres::Client;

use super::catalog::{self, Table};
use super::failure::{failed, refused};
use super::{large_objects, quote};
use crate::{SourceError, SourceErrorKind};

/// Fails where this role may not read something of the selection, or would not see all its rows.
pub(super) async fn all_readable(
    client: &Client,
    tables: &[Table],
    selection: &Selection,
    place: &str,
) -> Result<(), SourceError> {
    let said = |error| refused("check the permissions on", place, error);
    let role: String = client
        .query_one("SELECT current_user::text", &[])
        .await
        .map_err(said)?
        .get(0);
    let sequences = catalog::sequences(client).await.map_err(said)?;
    let oids: BTreeSet<u32> = tables.iter().map(|table| table.oid).collect();
    let sequences = sequences.iter().filter(|sequence| match selection {
        Selection::Everything => true,
        Selection::Tables { .. } => sequence.users.iter().any(|user| oids.contains(user)),
    });
    let mut locked = Vec::new();
    for table in tables.iter().filter(|table| !table.readable) {
        locked.push((&table.schema, &table.name));
    }
    for sequence in sequences.filter(|sequence| !sequence.readable) {
        locked.push((&sequence.schema, &sequence.name));
    }
    if !locked.is_empty() {
        return Err(denied(&role, &locked, place));
    }
    let hidden: Vec<&Table> = tables.iter().filter(|table| table.hidden).collect();
    if !hidden.is_empty() {
        let names: Vec<String> = hidden.iter().map(|table| table.plain_name()).collect();
        return Err(failed(
            SourceErrorKind::RowsHidden,
            "read all of",
            place,
            format!(
                "row-level security would hide rows of {} from role {role}; back up as a role that \
                 sees every row: ALTER ROLE {} BYPASSRLS",
                names.join(", "),
                quote::identifier(&role)
            ),
        ));
    }
    if *selection == Selection::Everything {
        let (count, unreadable) = large_objects::count(client).await.map_err(said)?;
        if unreadable > 0 {
            return Err(failed(
                SourceErrorKind::Denied,
                "read all of",
                place,
                format!(
                    "role {role} may not read {unreadable} of {count} large objects; grant it SELECT \
                     on them or membership in their owner's role"
                ),
            ));
        }
    }
    Ok(())
}

fn denied(role: &str, locked: &[(&String, &String)], place: &str) -> SourceError {
    let names: Vec<String> = locked.iter().map(|(s, n)| format!("{s}.{n}")).collect();
    let quoted: Vec<String> = locked.iter().map(|(s, n)| quote::qualified(s, n)).collect();
    let mut schemas: Vec<String> = locked.iter().map(|(s, _)| quote::identifier(s)).collect();
    schemas.sort();
    schemas.dedup();
    let role_sql = quote::identifier(role);
    failed(
        SourceErrorKind::Denied,
        "read all of",
        place,
        format!(
            "role {role} may not read {}; run: GRANT USAGE ON SCHEMA {} TO {role_sql}; GRANT SELECT ON \
             {} TO {role_sql};",
            names.join(", "),
            schemas.join(", "),
            quoted.join(", ")
        ),
    )
}
