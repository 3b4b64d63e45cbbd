//! What a database holds before a restore, and removing it.

use tokio_postgres::{Client, Error};

use super::catalog::{NO_MEMBER, OF_USERS};
use super::failure::refused;
use super::quote;
use super::session::Session;
use crate::{SourceError, TargetState};

/// Names that a description shows of each kind.
const NAMES_SHOWN: i64 = 3;

/// Large objects removed in one transaction; each takes a lock.
const UNLINKS_AT_ONCE: i64 = 1000;

/// Writes the statements that drop casts. Those of types or functions that were dropped are gone.
const CASTS_DROPPED: &str = "SELECT format('DROP CAST IF EXISTS (%s AS %s) CASCADE', \
     format_type(castsource, NULL), format_type(casttarget, NULL)) FROM pg_cast WHERE oid >= 16384";

/// Writes the statements that set database-wide default privileges to the server's own, which makes
/// it forget them: all for the owner, and for everyone the use of functions and types.
const PRIVILEGES_RESET: &str = "\
    WITH d AS (SELECT format('ALTER DEFAULT PRIVILEGES FOR ROLE %I', pg_get_userbyid(defaclrole)) AS alter, \
        quote_ident(pg_get_userbyid(defaclrole)) AS owner, defaclacl, CASE defaclobjtype \
            WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' \
            WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' WHEN 'L' THEN 'LARGE OBJECTS' END AS kind \
        FROM pg_default_acl WHERE defaclnamespace = 0) \
    SELECT concat((SELECT string_agg(format('%s REVOKE ALL ON %s FROM %s; ', alter, kind, grantee), '') \
            FROM (SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' \
                ELSE quote_ident(pg_get_userbyid(a.grantee)) END FROM aclexplode(defaclacl) a) g(grantee)), \
        format('%s GRANT ALL ON %s TO %s', alter, kind, owner), \
        CASE WHEN kind IN ('FUNCTIONS', 'TYPES') THEN format('; %s GRANT ALL ON %s TO PUBLIC', alter, kind) END) \
    FROM d";

/// What a user put there, by kind. What came with the server or with an extension does not count.
pub(super) async fn state(client: &Client) -> Result<TargetState, Error> {
    let no_member = |class: &str| {
        format!(
            "NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = '{class}'::regclass \
             AND x.objid = o.oid AND x.deptype IN ('e', 'i'))"
        )
    };
    let in_schema = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";
    let kinds = [
        (
            "tables",
            format!(
                "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n \
                 ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'f') AND {OF_USERS} AND {NO_MEMBER}"
            ),
        ),
        (
            "views",
            format!(
                "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n \
                 ON n.oid = c.relnamespace WHERE c.relkind IN ('v', 'm') AND {OF_USERS} AND {NO_MEMBER}"
            ),
        ),
        (
            "sequences",
            format!(
                "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n \
                 ON n.oid = c.relnamespace WHERE c.relkind = 'S' AND {OF_USERS} AND {NO_MEMBER}"
            ),
        ),
        (
            "functions",
            format!(
                "SELECT n.nspname || '.' || o.proname FROM pg_proc o JOIN pg_namespace n \
                 ON n.oid = o.pronamespace WHERE {in_schema} AND {}",
                no_member("pg_proc")
            ),
        ),
        (
            "types",
            format!(
                "SELECT n.nspname || '.' || o.typname FROM pg_type o JOIN pg_namespace n \
                 ON n.oid = o.typnamespace WHERE {in_schema} AND o.typelem = 0 AND {} \
                 AND (o.typrelid = 0 OR (SELECT relkind FROM pg_class WHERE oid = o.typrelid) = 'c')",
                no_member("pg_type")
            ),
        ),
        (
            "schemas",
            format!(
                "SELECT n.nspname::text FROM pg_namespace n JOIN pg_namespace o ON o.oid = n.oid \
                 WHERE {in_schema} AND n.nspname <> 'public' AND {}",
                no_member("pg_namespace")
            ),
        ),
        (
            "casts",
            format!(
                "SELECT format_type(o.castsource, NULL) || ' AS ' || format_type(o.casttarget, NULL) \
                 FROM pg_cast o WHERE o.oid >= 16384 AND {}",
                no_member("pg_cast")
            ),
        ),
        (
            "languages",
            format!(
                "SELECT o.lanname::text FROM pg_language o WHERE o.oid >= 16384 AND {}",
                no_member("pg_language")
            ),
        ),
        (
            "default privileges",
            "SELECT 'of ' || pg_get_userbyid(defaclrole) FROM pg_default_acl WHERE defaclnamespace = 0"
                .to_owned(),
        ),
        (
            "large objects",
            "SELECT oid::text FROM pg_largeobject_metadata".to_owned(),
        ),
    ];
    let mut found = Vec::new();
    for (kind, sql) in kinds {
        let sql = format!(
            "SELECT count(*), (array_agg(name ORDER BY name))[1:{NAMES_SHOWN}] FROM ({sql}) AS s(name)"
        );
        let row = client.query_one(&sql, &[]).await?;
        let count: i64 = row.get(0);
        if count > 0 {
            let names: Vec<String> = row.get(1);
            let more = if count > NAMES_SHOWN { ", …" } else { "" };
            let kind = if count == 1 {
                kind.trim_end_matches('s')
            } else {
                kind
            };
            found.push(format!("{count} {kind} ({}{more})", names.join(", ")));
        }
    }
    Ok(match found.is_empty() {
        true => TargetState::Empty,
        false => TargetState::Occupied(found.join(", ")),
    })
}

/// Drops what a `pg_dump` of the database would hold, and makes `public` anew as the server's
/// version makes it.
pub(super) async fn clear(session: &Session, place: &str) -> Result<(), SourceError> {
    let said = |error| refused("empty", place, error);
    // What reaches over schemas goes first. Objects below 16384 came with the server.
    let dropped = [
        (
            "EVENT TRIGGER",
            "SELECT evtname::text FROM pg_event_trigger WHERE oid >= 16384",
        ),
        ("PUBLICATION", "SELECT pubname::text FROM pg_publication"),
        (
            "EXTENSION",
            "SELECT extname::text FROM pg_extension WHERE oid >= 16384",
        ),
        (
            "FOREIGN DATA WRAPPER",
            "SELECT fdwname::text FROM pg_foreign_data_wrapper",
        ),
        (
            "SCHEMA",
            "SELECT nspname::text FROM pg_namespace WHERE nspname !~ '^pg_' \
             AND nspname <> 'information_schema'",
        ),
        (
            "LANGUAGE",
            "SELECT lanname::text FROM pg_language WHERE oid >= 16384",
        ),
    ];
    for (kind, sql) in dropped {
        for row in session.client.query(sql, &[]).await.map_err(said)? {
            let drop = format!(
                "DROP {kind} IF EXISTS {} CASCADE",
                quote::identifier(row.get(0))
            );
            session.run("empty", place, &drop).await?;
        }
    }
    for written in [CASTS_DROPPED, PRIVILEGES_RESET] {
        for row in session.client.query(written, &[]).await.map_err(said)? {
            session.run("empty", place, row.get(0)).await?;
        }
    }
    let public = match session.version >= 150_000 {
        true => {
            "CREATE SCHEMA public AUTHORIZATION pg_database_owner; \
                 GRANT USAGE ON SCHEMA public TO PUBLIC"
        }
        false => "CREATE SCHEMA public; GRANT ALL ON SCHEMA public TO PUBLIC",
    };
    session.run("empty", place, public).await?;
    session
        .run(
            "empty",
            place,
            "COMMENT ON SCHEMA public IS 'standard public schema'",
        )
        .await?;
    let unlink = format!(
        "SELECT count(lo_unlink(oid)) FROM \
         (SELECT oid FROM pg_largeobject_metadata LIMIT {UNLINKS_AT_ONCE}) o"
    );
    loop {
        let row = session.client.query_one(&unlink, &[]).await.map_err(said)?;
        if row.get::<_, i64>(0) == 0 {
            return Ok(());
        }
    }
}
