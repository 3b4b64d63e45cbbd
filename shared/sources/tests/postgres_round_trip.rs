//! PostgreSQL: what a database holds comes through a backup and a restore, by our own target and by
//! psql alone.

#![allow(clippy::unwrap_used)]

mod carry;
mod server;

use std::collections::BTreeMap;

use bytes::Bytes;
use logisedge_domain::manifest::ContentHash;
use logisedge_domain::scope::Selection;
use logisedge_sources::postgres::{PostgresSource, PostgresTarget};
use logisedge_sources::{RowHasher, Source, SourceErrorKind, Target, TargetState};
use server::{Database, Role};
use tokio::sync::mpsc;

const KITCHEN_SINK: &str = include_str!("server/kitchen_sink.sql");

fn kitchen_sink(role: &Role) -> Database {
    let database = Database::new("sink");
    server::sql_in(&database.0, &[("clerk", &role.0)], KITCHEN_SINK);
    database
}

async fn assert_read_back(target: &PostgresTarget, carried: &carry::Carried) {
    let read = target.read_back(&carried.manifest).await.unwrap().unwrap();
    for (table, (rows, content)) in carried.manifest.tables.iter().zip(read) {
        let name = format!("{}.{}", table.schema, table.name);
        assert_eq!((&name, table.rows, table.content), (&name, rows, content));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_through_a_restore() {
    let role = Role::new("clerk", "");
    let (database, copy) = (kitchen_sink(&role), Database::new("copy"));
    let source = PostgresSource::new(database.options());
    let carried = carry::take(&source, &Selection::Everything).await.unwrap();

    let rows: BTreeMap<String, u64> = carried
        .manifest
        .tables
        .iter()
        .map(|table| (format!("{}.{}", table.schema, table.name), table.rows))
        .collect();
    assert_eq!(rows["public.no_columns"], 7);
    assert_eq!(rows["public.only_generated"], 3);
    assert_eq!(rows["public.person"], 2);
    assert_eq!(rows["sales.orders"], 0);
    assert_eq!(
        rows["sales.orders_rest"] + rows["sales.orders_2023"],
        365 + 769
    );
    assert_eq!(rows["public.empty_table"], 0);
    assert!(
        carried.data.contains_key(
            "/data/B%C3%BCro%20%26%20S%C3%B6hne.Tab%2Eelle%20%22x%22%20%2F%C3%BC.copy"
        )
    );

    let target = PostgresTarget::new(copy.options());
    assert_eq!(target.state().await.unwrap(), TargetState::Empty);
    carry::give(&carried, &target, false, 10_000).await.unwrap();
    assert_read_back(&target, &carried).await;
    assert_eq!(target.warnings(), Vec::<String>::new());
    let (expected, found) = (database.dump(), copy.dump());
    similar(&expected.0, &found.0);
    assert_eq!(expected.1, found.1);
    assert_eq!(beside_the_dump(&database), beside_the_dump(&copy));

    // The same again, over what is there now.
    assert!(matches!(
        target.state().await.unwrap(),
        TargetState::Occupied(_)
    ));
    let refused = target
        .begin(&carried.manifest, &carried.schema, false)
        .await
        .unwrap_err();
    assert_eq!(refused.kind, SourceErrorKind::NotEmpty);
    carry::give(&carried, &target, true, 1_000_000)
        .await
        .unwrap();
    assert_read_back(&target, &carried).await;
    similar(&expected.0, &copy.dump().0);
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_alone_rebuilds_everything() {
    let role = Role::new("clerk", "");
    let (database, copy) = (kitchen_sink(&role), Database::new("copy"));
    let source = PostgresSource::new(database.options());
    let carried = carry::take(&source, &Selection::Everything).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    carry::unpack(&carried, folder.path());
    server::psql_restore(folder.path(), &copy.0);
    let (expected, found) = (database.dump(), copy.dump());
    similar(&expected.0, &found.0);
    assert_eq!(expected.1, found.1);
    assert_eq!(beside_the_dump(&database), beside_the_dump(&copy));
    assert_read_back(&PostgresTarget::new(copy.options()), &carried).await;
}

/// What a dump of schema and rows does not show.
fn beside_the_dump(database: &Database) -> String {
    database.sql(
        "SELECT * FROM public.a_depends_on_z; SELECT * FROM public.z_first ORDER BY 1; \
         SELECT relname, relispopulated FROM pg_class WHERE relkind = 'm' ORDER BY 1; \
         SELECT m.oid, pg_get_userbyid(lomowner), lomacl, md5(lo_get(m.oid)), length(lo_get(m.oid)), \
            description FROM pg_largeobject_metadata m LEFT JOIN pg_description d ON d.objoid = m.oid \
            AND d.classoid = 'pg_largeobject'::regclass ORDER BY 1",
    )
}

/// Compares long texts line by line, so that a difference can be read.
fn similar(expected: &str, found: &str) {
    for (at, (expected, found)) in expected.lines().zip(found.lines()).enumerate() {
        assert_eq!((at, expected), (at, found));
    }
    assert_eq!(expected.lines().count(), found.lines().count());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_database_gives_the_same_streams() {
    let role = Role::new("clerk", "");
    let database = kitchen_sink(&role);
    let source = PostgresSource::new(database.options());
    let first = carry::take(&source, &Selection::Everything).await.unwrap();
    // As autovacuum does at any time: sizes on disk and in statistics change, the content does not.
    database.sql("VACUUM ANALYZE");
    let second = carry::take(&source, &Selection::Everything).await.unwrap();
    assert_eq!(first.data, second.data);
    assert_eq!(first.schema, second.schema);
    assert_eq!(first.manifest.tables, second.manifest.tables);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_sees_one_instant_while_money_moves() {
    let database = Database::new("money");
    database.sql(
        "CREATE TABLE a (id int PRIMARY KEY, cents bigint); CREATE TABLE b (id int PRIMARY KEY, cents bigint); \
         INSERT INTO a SELECT i, 1000 FROM generate_series(1, 20000) i; INSERT INTO b SELECT * FROM a",
    );
    let (client, connection) = {
        let config: tokio_postgres::Config =
            server::url().split('?').next().unwrap().parse().unwrap();
        let mut config = config;
        config
            .dbname(&database.0)
            .connect(tokio_postgres::NoTls)
            .await
            .unwrap()
    };
    let driver = tokio::spawn(connection);
    let writer = tokio::spawn(async move {
        for step in 0_i64.. {
            let (from, to) = if step % 2 == 0 {
                ("a", "b")
            } else {
                ("b", "a")
            };
            let sql = format!(
                "BEGIN; UPDATE {from} SET cents = cents - {step} WHERE id = {}; \
                 UPDATE {to} SET cents = cents + {step} WHERE id = {}; COMMIT",
                step % 20_000 + 1,
                step * 7 % 20_000 + 1
            );
            client.batch_execute(&sql).await.unwrap();
        }
    });
    let mut options = database.options();
    options.connections = 2;
    for _ in 0..5 {
        let snapshot = PostgresSource::new(options.clone())
            .open(&Selection::Everything, None)
            .await
            .unwrap();
        let parts = snapshot.facts().parts.clone();
        let read = |index: usize| {
            let (snapshot, part) = (&snapshot, &parts[index]);
            async move {
                let (sink, mut pieces) = mpsc::channel::<Bytes>(1);
                let sum = async {
                    let mut text = Vec::new();
                    while let Some(piece) = pieces.recv().await {
                        text.extend_from_slice(&piece);
                        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                    }
                    let text = String::from_utf8(text).unwrap();
                    text.lines()
                        .map(|line| line.split('\t').nth(1).unwrap().parse::<i64>().unwrap())
                        .sum::<i64>()
                };
                let (bytes, sum) = tokio::join!(snapshot.read(part, sink), sum);
                bytes.unwrap();
                sum
            }
        };
        let (a, b) = tokio::join!(read(0), read(1));
        assert_eq!(a + b, 2 * 20_000 * 1000);
        snapshot.close().await.unwrap();
    }
    assert!(
        !writer.is_finished(),
        "the writer has to write all the time"
    );
    writer.abort();
    driver.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_file_is_never_committed() {
    let role = Role::new("clerk", "");
    let (database, copy) = (kitchen_sink(&role), Database::new("copy"));
    let source = PostgresSource::new(database.options());
    let mut carried = carry::take(&source, &Selection::Everything).await.unwrap();
    let target = PostgresTarget::new(copy.options());
    target
        .begin(&carried.manifest, &carried.schema, false)
        .await
        .unwrap();
    for path in [
        "/data/public.unlogged.copy",
        "/data/pg_catalog.pg_largeobject.copy",
    ] {
        let whole = carried.data.get_mut(path).unwrap();
        // Ends with a whole row, so that COPY itself would not notice.
        let cut = whole[..whole.len() / 2]
            .iter()
            .rposition(|&byte| byte == b'\n')
            .unwrap()
            + 1;
        let (sink, content) = mpsc::channel(1);
        let file = logisedge_sources::RestoreFile {
            path: path.to_owned(),
            bytes: whole.len() as u64,
            is_whole_table: true,
            content,
        };
        sink.send(Bytes::copy_from_slice(&whole[..cut]))
            .await
            .unwrap();
        drop(sink);
        let error = target.load(&carried.manifest, file).await.unwrap_err();
        assert_eq!(error.kind, SourceErrorKind::Aborted);
        assert!(
            error.to_string().contains("nothing of this file was kept"),
            "{error}"
        );
    }
    assert_eq!(copy.sql("SELECT count(*) FROM public.unlogged").trim(), "0");
    assert_eq!(
        copy.sql("SELECT count(*) FROM pg_largeobject_metadata")
            .trim(),
        "0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrower_scope_restores_alone() {
    let role = Role::new("clerk", "");
    let (database, copy, by_psql) = (
        kitchen_sink(&role),
        Database::new("copy"),
        Database::new("psql"),
    );
    // A function on the row type of a table that is not selected, used by one that is.
    database.sql(
        "CREATE FUNCTION public.label(e public.empty_table) RETURNS text LANGUAGE sql AS 'SELECT $1.note'; \
         CREATE TABLE sales.lines (id int PRIMARY KEY, hen int REFERENCES public.hen, state sales.state DEFAULT 'new', \
            at date, no int DEFAULT nextval('public.never_called')); \
         CREATE TABLE sales.details (id int REFERENCES sales.lines, name text); \
         INSERT INTO sales.lines VALUES (1, 1, 'paid', 'today', 5); INSERT INTO sales.details VALUES (1, 'x'); \
         CREATE VIEW sales.seen AS SELECT * FROM sales.lines",
    );
    let source = PostgresSource::new(database.options());
    // `orders` stands for its partitions; `person` is not selected, its child is.
    let selection = carry::tables(&["sales.{lines,details,orders}", "employee"]);
    let carried = carry::take(&source, &selection).await.unwrap();
    let mut names: Vec<String> = carried
        .manifest
        .tables
        .iter()
        .map(|t| t.name.clone())
        .collect();
    names.sort();
    insta::assert_snapshot!(names.join(" "), @"details employee lines orders orders_2023 orders_2024 orders_2024_eu orders_2024_rest orders_rest");
    insta::assert_snapshot!(
        carried.manifest.outside_references.iter().map(|e| format!("{} -> {} {}", e.from, e.to, e.constraint)).collect::<Vec<_>>().join("\n"), @"sales.lines -> public.hen lines_hen_fkey");
    insta::assert_snapshot!(carried.manifest.notes.join("\n").replace(&role.0, "CLERK").replace(&database.options().user, "SUPERUSER"), @"
roles belong to the server and are not carried; this database names CLERK, SUPERUSER
views are carried only where a table, type or function of the selection needs them
come along without rows, because the selection's definitions name them: public.empty_table, public.person
large objects are carried by a scope of the whole database only
");
    insta::assert_snapshot!(String::from_utf8_lossy(&carried.schema["/schema/outside-references.sql"]), @"
ALTER TABLE ONLY sales.lines
    ADD CONSTRAINT lines_hen_fkey FOREIGN KEY (hen) REFERENCES public.hen(id);
");

    let target = PostgresTarget::new(copy.options());
    carry::give(&carried, &target, false, 65_536).await.unwrap();
    assert_read_back(&target, &carried).await;
    let folder = tempfile::tempdir().unwrap();
    carry::unpack(&carried, folder.path());
    server::psql_restore(folder.path(), &by_psql.0);
    assert_eq!(copy.dump(), by_psql.dump());
    assert_eq!(copy.sql("SELECT count(*) FROM public.person").trim(), "1");
    assert_eq!(
        copy.sql("SELECT last_value FROM public.never_called")
            .trim(),
        "1000"
    );
    assert_eq!(
        copy.sql("SELECT to_regclass('sales.seen') IS NULL, to_regclass('public.hen') IS NULL")
            .trim(),
        "t|t"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_extension_tables_come_along() {
    let (database, copy) = (Database::new("ext"), Database::new("copy"));
    // pgTAP and PostGIS have such tables; this makes one of an extension that is there anyway.
    let setup = "CREATE EXTENSION hstore; CREATE TABLE public.settings (k text, v text, builtin bool); \
         INSERT INTO public.settings VALUES ('a', repeat('1', 2000000), false), ('b', '2', true)";
    let adopt = "ALTER EXTENSION hstore ADD TABLE public.settings; \
         UPDATE pg_extension SET extconfig = ARRAY['public.settings'::regclass::oid], \
            extcondition = ARRAY['WHERE NOT builtin'] WHERE extname = 'hstore'";
    database.sql(&format!("{setup}; {adopt}"));
    let source = PostgresSource::new(database.options());
    let carried = carry::take(&source, &Selection::Everything).await.unwrap();
    let row = format!("a\t{}\tf\n", "1".repeat(2_000_000));
    assert!(carried.data["/data/public.settings.copy"] == row.as_bytes());
    // What CREATE EXTENSION would do on the other side.
    copy.sql(setup);
    copy.sql("DELETE FROM public.settings WHERE NOT builtin");
    copy.sql(adopt);
    let target = PostgresTarget::new(copy.options());
    assert_eq!(target.state().await.unwrap(), TargetState::Empty);
    let (path, rows) = carried.data.first_key_value().unwrap();
    let (sink, content) = mpsc::channel(1);
    sink.send(Bytes::from(rows.clone())).await.unwrap();
    drop(sink);
    let file = logisedge_sources::RestoreFile {
        path: path.clone(),
        bytes: rows.len() as u64,
        is_whole_table: true,
        content,
    };
    target.load(&carried.manifest, file).await.unwrap();
    // The extension's own row is still there.
    assert_eq!(copy.sql("SELECT count(*) FROM public.settings").trim(), "2");
    assert_read_back(&target, &carried).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_roles_are_named_and_can_be_skipped() {
    let carried = {
        let role = Role::new("clerk", "");
        let database = kitchen_sink(&role);
        let source = PostgresSource::new(database.options());
        let carried = carry::take(&source, &Selection::Everything).await.unwrap();
        drop(database);
        drop(role);
        carried
    };
    let copy = Database::new("copy");
    let target = PostgresTarget::new(copy.options());
    let error = target
        .begin(&carried.manifest, &carried.schema, false)
        .await
        .unwrap_err();
    assert_eq!(error.kind, SourceErrorKind::NotFound);
    assert!(error.to_string().contains("schema/roles.sql"), "{error}");
    assert_eq!(target.state().await.unwrap(), TargetState::Empty);

    let target = target.skip_missing_roles();
    carry::give(&carried, &target, false, 65_536).await.unwrap();
    assert_read_back(&target, &carried).await;
    let warnings = target.warnings().join("\n");
    assert!(
        warnings.contains("ALTER TABLE public.audit OWNER TO"),
        "{warnings}"
    );
    assert!(warnings.contains("CREATE POLICY own"), "{warnings}");
}

#[test]
fn the_hash_of_no_rows_is_zero() {
    assert_eq!(RowHasher::default().result(), (0, ContentHash(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn wide_rows_travel_in_bounded_pieces() {
    let database = Database::new("wide");
    database.sql("CREATE TABLE wide AS SELECT repeat('x', 3000000) AS text");
    let source = PostgresSource::new(database.options());
    let snapshot = source.open(&Selection::Everything, None).await.unwrap();
    let (sink, mut pieces) = mpsc::channel::<Bytes>(1);
    let longest = async {
        let mut longest = 0;
        while let Some(piece) = pieces.recv().await {
            longest = longest.max(piece.len());
        }
        longest
    };
    let (bytes, longest) = tokio::join!(snapshot.read(&snapshot.facts().parts[0], sink), longest);
    assert_eq!(
        (bytes.unwrap(), longest),
        (3_000_001, logisedge_sources::BUFFER_BYTES)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn other_encodings_are_converted() {
    let (database, copy) = (Database(server::unused("latin")), Database::new("copy"));
    server::sql_in(
        "postgres",
        &[],
        &format!(
            "CREATE DATABASE {} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'",
            database.0
        ),
    );
    database.sql("SET client_encoding = 'UTF8'; CREATE TABLE \"grün\" (t text); INSERT INTO \"grün\" VALUES (chr(233) || 'té')");
    let source = PostgresSource::new(database.options());
    let carried = carry::take(&source, &Selection::Everything).await.unwrap();
    let target = PostgresTarget::new(copy.options());
    carry::give(&carried, &target, false, 65_536).await.unwrap();
    assert_read_back(&target, &carried).await;
    assert_eq!(
        copy.sql("SELECT left(t, 1) = chr(233) FROM \"grün\"")
            .trim(),
        "t"
    );
}
