//! Large objects: as rows of a table that any role which may read them can stream, and back.
//!
//! Their rows appear in a snapshot as table `pg_catalog.pg_largeobject` with columns `loid`,
//! `position` and `data`: pieces of at most [`PIECE_BYTES`], the first at position 0. Neither side
//! ever holds more than a piece.

use tokio_postgres::{Client, Error};

use super::quote::{identifier, literal};

/// Longest piece of a large object, in bytes; a row of the stream is twice as long.
const PIECE_BYTES: u32 = 32 * 1024;

/// The schema and name under which large objects appear among a snapshot's tables.
pub(super) const TABLE: (&str, &str) = ("pg_catalog", "pg_largeobject");

/// The columns of their rows.
pub(super) const COLUMNS: [&str; 3] = ["loid", "position", "data"];

/// Makes the table that takes the rows up, in this session only.
pub(super) const STAGE: &str = "CREATE TEMPORARY TABLE logisedge_large_object \
     (loid pg_catalog.oid, \"position\" pg_catalog.int8, data pg_catalog.bytea)";

/// Where a `COPY … FROM` puts the rows.
pub(super) const STAGE_COLUMNS: &str =
    "pg_temp.logisedge_large_object (\"loid\", \"position\", \"data\")";

/// Makes large objects of the staged rows. The counts keep a million answers from being sent.
pub(super) const UNSTAGE: [&str; 3] = [
    "SELECT pg_catalog.count(pg_catalog.lo_create(loid)) AS large_objects \
     FROM pg_temp.logisedge_large_object WHERE \"position\" OPERATOR(pg_catalog.=) 0",
    "SELECT pg_catalog.count(*) AS pieces FROM pg_temp.logisedge_large_object \
     WHERE pg_catalog.lo_put(loid, \"position\", data) IS NOT NULL",
    "DROP TABLE pg_temp.logisedge_large_object",
];

/// The statement that streams them, in the order of their ids.
pub(super) fn copy_out() -> String {
    format!(
        "COPY (SELECT m.oid, p.position, p.data \
         FROM (SELECT oid FROM pg_largeobject_metadata ORDER BY oid) m CROSS JOIN LATERAL (\
            WITH RECURSIVE p(position, data) AS (\
                SELECT 0::bigint, lo_get(m.oid, 0, {PIECE_BYTES}) \
                UNION ALL SELECT position + {PIECE_BYTES}, \
                    lo_get(m.oid, position + {PIECE_BYTES}, {PIECE_BYTES}) \
                    FROM p WHERE length(data) = {PIECE_BYTES}) \
            SELECT position, data FROM p) p) TO STDOUT"
    )
}

/// How many there are, and how many of them this role may not read.
pub(super) async fn count(client: &Client) -> Result<(u64, u64), Error> {
    // The settings of the owner and the grants are what lo_get looks at.
    let sql = "SELECT count(*), count(*) FILTER (WHERE \
            current_setting('lo_compat_privileges') = 'off' \
            AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) \
            AND NOT pg_has_role(m.lomowner, 'USAGE') \
            AND NOT EXISTS (SELECT FROM aclexplode(m.lomacl) a WHERE a.privilege_type = 'SELECT' \
                AND (a.grantee = 0 OR pg_has_role(a.grantee, 'USAGE')))) \
         FROM pg_largeobject_metadata m";
    let row = client.query_one(sql, &[]).await?;
    Ok((
        row.get::<_, i64>(0).unsigned_abs(),
        row.get::<_, i64>(1).unsigned_abs(),
    ))
}

/// About how many bytes their stream has.
pub(super) async fn bytes_estimated(client: &Client) -> Result<u64, Error> {
    let sql = "SELECT 2 * pg_table_size('pg_largeobject'::regclass)";
    Ok(client
        .query_one(sql, &[])
        .await?
        .get::<_, i64>(0)
        .unsigned_abs())
}

/// Statements for their owners, grants and comments. Objects that share owner and grants share
/// one statement, so that the script stays small: about eight bytes an object.
pub(super) async fn facts_script(client: &Client) -> Result<String, Error> {
    let sql = "SELECT r.rolname::text, \
            ARRAY(SELECT a.privilege_type FROM aclexplode(g.lomacl) a ORDER BY a.grantee, 1), \
            ARRAY(SELECT coalesce((SELECT rolname::text FROM pg_roles WHERE oid = a.grantee), '') \
                FROM aclexplode(g.lomacl) a ORDER BY a.grantee, a.privilege_type), \
            ARRAY(SELECT a.is_grantable FROM aclexplode(g.lomacl) a \
                ORDER BY a.grantee, a.privilege_type), \
            g.oids FROM (\
            SELECT lomowner, lomacl::text::aclitem[] AS lomacl, array_agg(oid ORDER BY oid)::text AS oids \
            FROM pg_largeobject_metadata GROUP BY lomowner, lomacl::text) g \
         JOIN pg_roles r ON r.oid = g.lomowner ORDER BY g.oids";
    let mut script = String::new();
    for row in client.query(sql, &[]).await? {
        let (owner, privileges, grantees): (&str, Vec<&str>, Vec<&str>) =
            (row.get(0), row.get(1), row.get(2));
        let (grantable, oids): (Vec<bool>, &str) = (row.get(3), row.get(4));
        let mut actions = vec![format!(
            "'ALTER LARGE OBJECT %s OWNER TO ' || {}",
            literal(&identifier(owner))
        )];
        for ((privilege, grantee), grantable) in privileges.iter().zip(&grantees).zip(grantable) {
            let grantee = match *grantee {
                "" => "PUBLIC".to_owned(),
                name => identifier(name),
            };
            let option = if grantable { " WITH GRANT OPTION" } else { "" };
            actions.push(format!(
                "'GRANT {privilege} ON LARGE OBJECT %s TO ' || {}",
                literal(&format!("{grantee}{option}"))
            ));
        }
        let actions: String = actions
            .iter()
            .map(|action| format!("EXECUTE pg_catalog.replace({action}, '%s', id::text); "))
            .collect();
        let body = format!(
            "DECLARE id pg_catalog.oid; BEGIN FOREACH id IN ARRAY '{oids}'::pg_catalog.oid[] LOOP \
             {actions}END LOOP; END"
        );
        script.push_str(&format!("DO {};\n", literal(&body)));
    }
    let comments = "SELECT objoid, description FROM pg_description \
                    WHERE classoid = 'pg_largeobject'::regclass ORDER BY objoid";
    for row in client.query(comments, &[]).await? {
        let (oid, text): (u32, &str) = (row.get(0), row.get(1));
        script.push_str(&format!(
            "COMMENT ON LARGE OBJECT {oid} IS {};\n",
            literal(text)
        ));
    }
    Ok(script)
}
