//! PostgreSQL: what goes wrong ends in an error of the right kind that says what to do.

#![allow(clippy::unwrap_used)]

mod carry;
mod server;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use logisedge_domain::scope::Selection;
use logisedge_sources::postgres::{Password, PostgresOptions, PostgresSource, PostgresTarget};
use logisedge_sources::{Source, SourceError, SourceErrorKind, SourceSnapshot, Target};
use server::{Database, Role};
use tokio::sync::mpsc;

async fn open(options: PostgresOptions) -> Result<Box<dyn SourceSnapshot>, SourceError> {
    PostgresSource::new(options)
        .open(&Selection::Everything, None)
        .await
}

/// The kind of an error and its text, with the names that change from run to run replaced.
fn seen(error: &SourceError, database: &Database, others: &[(&str, &str)]) -> String {
    let mut text = format!(
        "{:?}, {}: {error}",
        error.kind,
        match error.retry().is_transient() {
            true => "transient",
            false => "permanent",
        }
    );
    let options = database.options();
    let address = match options.host.starts_with('/') {
        true => format!("{}/.s.PGSQL.{}", options.host, options.port),
        false => format!("{}:{}", options.host, options.port),
    };
    for (name, shown) in [(database.0.as_str(), "DATABASE"), (&address, "ADDRESS")]
        .iter()
        .chain(others)
    {
        text = text.replace(name, shown);
    }
    text
}

async fn refused(options: PostgresOptions) -> SourceError {
    match open(options).await {
        Err(error) => error,
        Ok(_) => panic!("the snapshot should not have opened"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there() {
    let database = Database::new("refused");
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut options = PostgresOptions {
        port,
        ..database.options()
    };
    options.host = "127.0.0.1".to_owned();
    let address = format!("127.0.0.1:{port}");
    let error = refused(options.clone()).await;
    insta::assert_snapshot!(seen(&error, &database, &[(&address, "NOWHERE")]), @"Unreachable, transient: cannot connect to database DATABASE at NOWHERE: Connection refused (os error 111); check that the server runs there and can be reached from here");
    options.host = "no-such-host.invalid".to_owned();
    let error = refused(options.clone()).await;
    assert_eq!(error.kind, SourceErrorKind::Unreachable, "{error}");
    options.host = "/nonexistent".to_owned();
    let error = refused(options).await;
    insta::assert_snapshot!(seen(&error, &database, &[(&port.to_string(), "PORT")]), @"Unreachable, transient: cannot connect to database DATABASE at /nonexistent/.s.PGSQL.PORT: No such file or directory (os error 2); check that the server runs there and can be reached from here");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers() {
    let database = Database::new("refused");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut options = database.options();
    options.host = "127.0.0.1".to_owned();
    options.port = address.port();
    options.connect_timeout = Duration::from_secs(1);
    let error = refused(options).await;
    insta::assert_snapshot!(seen(&error, &database, &[(&address.to_string(), "SILENT")]), @"Unreachable, transient: cannot connect to database DATABASE at SILENT: no answer within 1 s; check host, port, security groups and routes");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_database_and_an_unknown_role() {
    let database = Database::new("refused");
    let mut options = database.options();
    options.database = "no_such_db".to_owned();
    insta::assert_snapshot!(seen(&refused(options).await, &database, &[]), @r#"NotFound, permanent: cannot connect to database no_such_db at ADDRESS: the server has no database "no_such_db""#);
    let mut options = database.options();
    options.user = "no_such_role".to_owned();
    insta::assert_snapshot!(seen(&refused(options).await, &database, &[]), @r#"Denied, permanent: cannot connect to database DATABASE at ADDRESS: role "no_such_role" does not exist; check role, pg_hba.conf and sslmode"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_the_role_may_not_read() {
    let role = Role::new("reader", "LOGIN");
    let database = Database::new("refused");
    database.sql(&format!(
        "CREATE TABLE public.open (id int); CREATE TABLE public.shut (id serial); CREATE SCHEMA hidden; \
         CREATE TABLE hidden.\"a B\" (id int); GRANT SELECT ON public.open, hidden.\"a B\" TO {}",
        role.0
    ));
    let mut options = database.options();
    options.user = role.0.clone();
    let error = refused(options.clone()).await;
    insta::assert_snapshot!(seen(&error, &database, &[(&role.0, "ROLE")]), @r#"Denied, permanent: cannot read all of database DATABASE at ADDRESS: role ROLE may not read hidden.a B, public.shut, public.shut_id_seq; run: GRANT USAGE ON SCHEMA "hidden", "public" TO "ROLE"; GRANT SELECT ON "hidden"."a B", "public"."shut", "public"."shut_id_seq" TO "ROLE";"#);
    // The advice in the message is enough.
    let grants = error.message.split_once("run: ").unwrap().1;
    database.sql(grants);
    open(options.clone()).await.unwrap();
    // A narrower scope needs no more than its own tables.
    database.sql(&format!("REVOKE SELECT ON public.shut FROM {}", role.0));
    PostgresSource::new(options)
        .open(&carry::tables(&["open"]), None)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_policy_would_hide() {
    let role = Role::new("reader", "LOGIN");
    let database = Database::new("refused");
    database.sql(&format!(
        "CREATE TABLE public.secret (id int); ALTER TABLE public.secret ENABLE ROW LEVEL SECURITY; \
         CREATE POLICY part ON public.secret USING (id > 5); GRANT SELECT ON public.secret TO {}",
        role.0
    ));
    let mut options = database.options();
    options.user = role.0.clone();
    let error = refused(options.clone()).await;
    insta::assert_snapshot!(seen(&error, &database, &[(&role.0, "ROLE")]), @r#"RowsHidden, permanent: cannot read all of database DATABASE at ADDRESS: row-level security would hide rows of public.secret from role ROLE; back up as a role that sees every row: ALTER ROLE "ROLE" BYPASSRLS"#);
    let advice = error.message.rsplit_once(": ").unwrap().1;
    database.sql(advice);
    open(options).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn large_objects_that_the_role_may_not_read() {
    let role = Role::new("reader", "LOGIN");
    let database = Database::new("refused");
    database.sql(&format!(
        "SELECT lo_from_bytea(0, 'a'), lo_from_bytea(700001, 'b'); GRANT SELECT ON LARGE OBJECT 700001 TO {}",
        role.0
    ));
    let mut options = database.options();
    options.user = role.0.clone();
    let error = refused(options).await;
    insta::assert_snapshot!(seen(&error, &database, &[(&role.0, "ROLE")]), @"Denied, permanent: cannot read all of database DATABASE at ADDRESS: role ROLE may not read 1 of 2 large objects; grant it SELECT on them or membership in their owner's role");
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_that_match_nothing() {
    let database = Database::new("refused");
    database.sql("CREATE TABLE public.items (id int)");
    let source = PostgresSource::new(database.options());
    let selection = carry::tables(&["public.item?", "public.invoices*", "Items"]);
    let error = source.open(&selection, None).await.err().unwrap();
    insta::assert_snapshot!(seen(&error, &database, &[]), @"NotFound, permanent: cannot select from database DATABASE at ADDRESS: no table matches public.invoices*, Items; patterns are globs over schema.table, and letter case counts");
    database.sql("DROP TABLE public.items");
    let error = source
        .open(&carry::tables(&["items"]), None)
        .await
        .err()
        .unwrap();
    assert_eq!(error.kind, SourceErrorKind::NotFound);
}

fn program(folder: &std::path::Path, script: &str) -> PathBuf {
    let path = folder.join("pg_dump");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pg_dump_that_is_missing_too_old_or_fails() {
    let database = Database::new("refused");
    let major = database.sql("SELECT current_setting('server_version_num')::int / 10000");
    let major = format!("version {}", major.trim());
    let folder = tempfile::tempdir().unwrap();
    let mut options = database.options();
    options.pg_dump = PathBuf::from("/nonexistent/pg_dump");
    let error = refused(options.clone()).await;
    insta::assert_snapshot!(seen(&error, &database, &[(&major, "VERSION")]), @"PgDump, permanent: cannot dump the schema with pg_dump: /nonexistent/pg_dump cannot be run (No such file or directory (os error 2)); install PostgreSQL's client programs, VERSION or later, or configure the path of pg_dump");
    options.pg_dump = program(folder.path(), "echo 'pg_dump (PostgreSQL) 12.20 (Debian)'");
    let shown = options.pg_dump.display().to_string();
    let error = refused(options.clone()).await;
    insta::assert_snapshot!(seen(&error, &database, &[(&major, "VERSION"), (&shown, "PG_DUMP")]), @"PgDump, permanent: cannot dump the schema with pg_dump: PG_DUMP is version 12.20 and the server is VERSION; pg_dump must not be older: install PostgreSQL's client programs, VERSION or later");
    options.pg_dump = program(folder.path(), "echo something else");
    let error = refused(options.clone()).await;
    insta::assert_snapshot!(seen(&error, &database, &[(&shown, "PG_DUMP")]), @"PgDump, permanent: cannot dump the schema with pg_dump: PG_DUMP does not say its version");
    let script = "[ \"$1\" = --version ] && echo 'pg_dump (PostgreSQL) 99.1' && exit; echo 'out of ink' >&2; exit 3";
    options.pg_dump = program(folder.path(), script);
    let error = refused(options).await;
    insta::assert_snapshot!(seen(&error, &database, &[]), @"PgDump, permanent: cannot dump the schema with pg_dump: it ended with exit status: 3: out of ink");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_password_is_on_a_command_line() {
    let database = Database::new("refused");
    let folder = tempfile::tempdir().unwrap();
    let seen = folder.path().join("seen");
    let script = format!(
        "[ \"$1\" = --version ] && echo 'pg_dump (PostgreSQL) 99.1' && exit; echo \"$*\" >> {}; \
         [ \"$PGPASSWORD\" = 'corr:ect horse' ] || echo 'no password' >&2; unset PGPASSFILE; exec pg_dump \"$@\"",
        seen.display()
    );
    let mut options = database.options();
    options.password = Some(Password::new("corr:ect horse".to_owned()));
    options.pg_dump = program(folder.path(), &script);
    open(options).await.unwrap();
    let arguments = std::fs::read_to_string(seen).unwrap();
    assert!(
        arguments.contains("--section=pre-data") && !arguments.contains("horse"),
        "{arguments}"
    );
}

/// A table big enough that its stream is not over before the test has done its damage.
fn with_a_big_table(database: &Database) {
    database.sql(
        "CREATE TABLE public.big AS SELECT i AS id, repeat(md5(i::text), 20) AS wide \
         FROM generate_series(1, 60000) i; CREATE TABLE public.small (id int)",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_killed_in_the_middle() {
    let database = Database::new("refused");
    with_a_big_table(&database);
    let mut options = database.options();
    options.application_name = server::unused("victim");
    options.connections = 1;
    let name = options.application_name.clone();
    let snapshot = open(options).await.unwrap();
    let part = snapshot.facts().parts[0].clone();
    let (sink, mut pieces) = mpsc::channel::<Bytes>(1);
    let kill = async {
        pieces.recv().await.unwrap();
        database.sql(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{name}' \
             AND query LIKE 'COPY%'"
        ));
        while pieces.recv().await.is_some() {}
    };
    let (read, ()) = tokio::join!(snapshot.read(&part, sink), kill);
    let error = read.unwrap_err();
    // The server's last words may be lost with the connection.
    let said = seen(&error, &database, &[]);
    let read =
        "Unreachable, transient: cannot read table public.big of database DATABASE at ADDRESS: ";
    let why = [
        "the server ended the connection (terminating connection due to administrator command)",
        "the connection broke: the server stopped, someone ended the session, or the network failed",
    ];
    let why = why.map(|why| format!("{read}{why}"));
    assert!(why.contains(&said), "{said}");
    // Its transaction is gone; nothing more can be read from this snapshot.
    let (sink, _pieces) = mpsc::channel::<Bytes>(1);
    // The big one is in several parts.
    let mut parts = snapshot.facts().parts.iter();
    let small = parts.find(|part| part.path.contains("small")).unwrap();
    let error = snapshot.read(small, sink).await.unwrap_err();
    insta::assert_snapshot!(seen(&error, &database, &[]), @"Unreachable, transient: cannot read table public.small of database DATABASE at ADDRESS: the snapshot has ended, because a connection failed or it was closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_away() {
    let database = Database::new("refused");
    with_a_big_table(&database);
    let snapshot = open(database.options()).await.unwrap();
    let part = snapshot.facts().parts[0].clone();
    let (sink, mut pieces) = mpsc::channel::<Bytes>(1);
    let leave = async move {
        pieces.recv().await.unwrap();
    };
    let (read, ()) = tokio::join!(snapshot.read(&part, sink), leave);
    assert_eq!(read.unwrap_err().kind, SourceErrorKind::Aborted);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_cannot_be_changed_while_they_are_read() {
    let database = Database::new("refused");
    with_a_big_table(&database);
    let snapshot = open(database.options()).await.unwrap();
    for change in [
        "DROP TABLE public.small",
        "TRUNCATE public.big",
        "ALTER TABLE public.small ADD COLUMN x int",
    ] {
        let output = server::program("psql", &database.0)
            .args(["-X", "-c", "SET lock_timeout = '100ms'", "-c", change])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("lock timeout"), "{change}: {said}");
    }
    snapshot.close().await.unwrap();
    database.sql("DROP TABLE public.small");
}

/// Tables are created, dropped and truncated all the time: each snapshot either opens and reads
/// whole, or says that the database is busy.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_opens_while_tables_come_and_go() {
    let database = Database::new("refused");
    database.sql("CREATE TABLE public.steady AS SELECT generate_series(1, 1000) AS id");
    let name = database.0.clone();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let changer = std::thread::spawn(move || {
        while stopped.try_recv().is_err() {
            server::sql_in(
                &name,
                &[],
                "CREATE TABLE public.passing AS SELECT 1 AS id; SELECT pg_sleep(0.3); \
                 BEGIN; TRUNCATE public.steady; INSERT INTO public.steady SELECT generate_series(1, 1000); COMMIT; \
                 SELECT pg_sleep(0.3); DROP TABLE public.passing; SELECT pg_sleep(0.3)",
            );
        }
    });
    for _ in 0..5 {
        let source = PostgresSource::new(database.options());
        match carry::take(&source, &Selection::Everything).await {
            Ok(carried) => {
                let steady = carried
                    .manifest
                    .tables
                    .iter()
                    .find(|t| t.name == "steady")
                    .unwrap();
                assert_eq!(steady.rows, 1000);
            }
            Err(error) => assert!(error.retry().is_transient(), "{error}"),
        }
    }
    stop.send(()).unwrap();
    changer.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_not_empty_or_of_another_kind() {
    let database = Database::new("refused");
    database.sql(
        "CREATE TABLE public.b (id int); CREATE TABLE public.a (id int); CREATE SCHEMA s; CREATE TABLE s.c (); \
         CREATE TABLE s.d (); CREATE VIEW s.v AS SELECT 1; CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; \
         CREATE TYPE mood AS ENUM ('good'); SELECT lo_create(700001); CREATE EXTENSION hstore",
    );
    let target = PostgresTarget::new(database.options());
    let source = PostgresSource::new(database.options());
    let carried = carry::take(&source, &Selection::Everything).await.unwrap();
    let error = target
        .begin(&carried.manifest, &carried.schema, false)
        .await
        .unwrap_err();
    insta::assert_snapshot!(seen(&error, &database, &[]), @"NotEmpty, permanent: cannot restore to database DATABASE at ADDRESS: it holds 4 tables (public.a, public.b, s.c, …), 1 view (s.v), 1 function (public.f), 1 type (public.mood), 1 schema (s), 1 large object (700001); give an empty database, or say that it may be overwritten");

    let mut foreign = carried.manifest.clone();
    foreign.source.engine = "sqlite".to_owned();
    let error = target
        .begin(&foreign, &carried.schema, true)
        .await
        .unwrap_err();
    insta::assert_snapshot!(seen(&error, &database, &[]), @"Unsupported, permanent: cannot restore to database DATABASE at ADDRESS: the snapshot is of sqlite, not of PostgreSQL");

    let mut broken = carried.schema.clone();
    broken.insert(
        "/schema/pre-data.sql".to_owned(),
        Bytes::from("SELECT 1;\nCREATE TABLE x (y nothing);"),
    );
    let error = target
        .begin(&carried.manifest, &broken, true)
        .await
        .unwrap_err();
    insta::assert_snapshot!(seen(&error, &database, &[]), @"NotFound, permanent: cannot run schema/pre-data.sql of the snapshot: no schema has been selected to create in; the statement: CREATE TABLE x (y nothing)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_an_encoding() {
    let database = Database(server::unused("refused"));
    server::sql_in(
        "postgres",
        &[],
        &format!(
            "CREATE DATABASE {} TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'",
            database.0
        ),
    );
    let error = refused(database.options()).await;
    assert_eq!(error.kind, SourceErrorKind::Unsupported, "{error}");
    assert!(error.message.contains("ENCODING 'UTF8'"), "{error}");
}
