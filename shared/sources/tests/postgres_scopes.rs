//! PostgreSQL: what a narrower scope leaves out never stands in the way of restoring it.

#![allow(clippy::unwrap_used)]

mod carry;
mod server;

use logisedge_domain::scope::Selection;
use logisedge_sources::postgres::{PostgresSource, PostgresTarget};
use logisedge_sources::{Source, SourceErrorKind, Target, TargetState};
use server::{Database, Role};

/// Takes `include` of `database` and restores it, by our own target and by psql alone.
async fn carried_over(database: &Database, include: &[&str]) -> (carry::Carried, Database) {
    let source = PostgresSource::new(database.options());
    let carried = carry::take(&source, &carry::tables(include)).await.unwrap();
    let (copy, by_psql) = (Database::new("copy"), Database::new("psql"));
    let target = PostgresTarget::new(copy.options());
    carry::give(&carried, &target, false, 65_536).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    carry::unpack(&carried, folder.path());
    server::psql_restore(folder.path(), &by_psql.0);
    assert_eq!(copy.dump(), by_psql.dump());
    (carried, copy)
}

fn edges(carried: &carry::Carried) -> Vec<String> {
    let edges = carried.manifest.outside_references.iter();
    edges.map(|e| format!("{} -> {}", e.from, e.to)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_keys_of_tables_that_come_along_are_kept_apart() {
    let database = Database::new("scope");
    // `kept` inherits from `base`, which so comes along without rows.
    database.sql(
        "CREATE TABLE far (id int PRIMARY KEY); INSERT INTO far VALUES (1); \
         CREATE TABLE base (id int PRIMARY KEY, far int REFERENCES far, up int REFERENCES base); \
         CREATE TABLE kept (note text, base int REFERENCES base) INHERITS (base); \
         INSERT INTO base VALUES (1, 1, 1); INSERT INTO kept VALUES (2, 1, 1, 'x', 1)",
    );
    let (carried, copy) = carried_over(&database, &["kept"]).await;
    assert_eq!(
        edges(&carried),
        ["public.base -> public.far", "public.kept -> public.base"]
    );
    assert_eq!(copy.sql("SELECT note FROM kept").trim(), "x");
    // What stays inside of what comes along is there.
    let count = "SELECT count(*) FROM pg_constraint WHERE contype = 'f'";
    assert_eq!(copy.sql(count).trim(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selected_partition_does_not_bring_its_parents_foreign_keys() {
    let database = Database::new("scope");
    // `label` brings `named` along, without rows, so that only the key of rows is in the way.
    database.sql(
        "CREATE TABLE far (id int PRIMARY KEY); INSERT INTO far VALUES (1); \
         CREATE TABLE named (id int PRIMARY KEY, note text); INSERT INTO named VALUES (1, 'x'); \
         CREATE FUNCTION label(n named) RETURNS text LANGUAGE sql AS 'SELECT $1.note'; \
         CREATE TABLE parent (id int, far int REFERENCES far, named int REFERENCES named) \
            PARTITION BY RANGE (id); \
         CREATE TABLE low PARTITION OF parent FOR VALUES FROM (0) TO (10); \
         CREATE TABLE high PARTITION OF parent FOR VALUES FROM (10) TO (20); \
         INSERT INTO parent VALUES (1, 1, 1), (11, 1, 1)",
    );
    let (carried, copy) = carried_over(&database, &["low"]).await;
    assert_eq!(
        edges(&carried),
        [
            "public.parent -> public.far",
            "public.parent -> public.named"
        ]
    );
    assert_eq!(copy.sql("SELECT id FROM parent").trim(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn sequences_stand_where_they_stood() {
    let role = Role::new("reader", "LOGIN");
    let database = Database::new("scope");
    // Numbers come from a sequence of another table's, and from one that nobody owns.
    database.sql(&format!(
        "CREATE TABLE other (id serial, i int GENERATED ALWAYS AS IDENTITY); CREATE SEQUENCE free; \
         CREATE TABLE base (id serial); \
         CREATE TABLE kept (a int DEFAULT nextval('other_id_seq'), b int DEFAULT nextval('free')) INHERITS (base); \
         CREATE TABLE apart (id serial); \
         INSERT INTO other SELECT FROM generate_series(1, 5); INSERT INTO base DEFAULT VALUES; \
         INSERT INTO apart DEFAULT VALUES; INSERT INTO kept DEFAULT VALUES; GRANT SELECT ON kept, base, other TO {}",
        role.0
    ));
    let (_, copy) = carried_over(&database, &["kept"]).await;
    copy.sql("INSERT INTO kept DEFAULT VALUES");
    assert_eq!(
        copy.sql("SELECT * FROM kept ORDER BY 1").trim(),
        "2|6|1\n3|7|2"
    );
    assert_eq!(copy.sql("SELECT last_value FROM apart_id_seq").trim(), "1");

    let mut options = database.options();
    options.user = role.0.clone();
    let source = PostgresSource::new(options);
    let selection = carry::tables(&["kept"]);
    let error = source.open(&selection, None).await.err().unwrap();
    assert_eq!(error.kind, SourceErrorKind::Denied, "{error}");
    let grants = error.message.split_once("run: ").unwrap().1;
    for sequence in ["base_id_seq", "free", "other_id_seq"] {
        assert!(grants.contains(&format!("\"{sequence}\"")), "{error}");
    }
    assert!(!grants.contains("apart"), "{error}");
    database.sql(grants);
    let notes = source
        .open(&selection, None)
        .await
        .unwrap()
        .facts()
        .notes
        .clone();
    let note = "sequences that this role may not read, and no table of the selection uses, start anew: \
                public.apart_id_seq, public.other_i_seq";
    assert!(notes.iter().any(|told| told == note), "{notes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn event_triggers_do_not_fire_during_a_restore() {
    let database = Database::new("scope");
    database.sql(
        "CREATE MATERIALIZED VIEW seen AS SELECT 1 AS one; CREATE TABLE kept (id int); \
         CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS \
            $$ BEGIN RAISE 'no changes; here'; END $$; \
         CREATE EVENT TRIGGER guard ON ddl_command_start EXECUTE FUNCTION refuse(); \
         COMMENT ON EVENT TRIGGER guard IS 'one; two'; ALTER EVENT TRIGGER guard ENABLE ALWAYS",
    );
    let source = PostgresSource::new(database.options());
    let carried = carry::take(&source, &Selection::Everything).await.unwrap();
    let (copy, by_psql) = (Database::new("copy"), Database::new("psql"));
    let target = PostgresTarget::new(copy.options());
    carry::give(&carried, &target, false, 65_536).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    carry::unpack(&carried, folder.path());
    server::psql_restore(folder.path(), &by_psql.0);
    for restored in [&copy, &by_psql] {
        assert_eq!(restored.dump(), database.dump());
        assert_eq!(restored.sql("SELECT one FROM seen").trim(), "1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_inherit_come_with_their_parent() {
    let database = Database::new("scope");
    database.sql(
        "CREATE TABLE readings (id int); CREATE TABLE chunk () INHERITS (readings); \
         CREATE TABLE piece () INHERITS (chunk); CREATE TABLE other (id int); \
         INSERT INTO readings VALUES (1); INSERT INTO chunk VALUES (2); INSERT INTO piece VALUES (3)",
    );
    let (_, copy) = carried_over(&database, &["readings"]).await;
    assert_eq!(copy.sql("SELECT sum(id) FROM readings").trim(), "6");
    assert_eq!(copy.sql("SELECT to_regclass('other') IS NULL").trim(), "t");
}

#[tokio::test(flavor = "multi_thread")]
async fn overwriting_leaves_nothing_of_what_reaches_over_schemas() {
    let role = Role::new("clerk", "");
    let (database, copy) = (Database::new("scope"), Database::new("copy"));
    copy.sql(&format!(
        "CREATE CAST (int4 AS inet) WITH INOUT; CREATE LANGUAGE other HANDLER plpgsql_call_handler; \
         ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {0}; \
         ALTER DEFAULT PRIVILEGES REVOKE ALL ON FUNCTIONS FROM PUBLIC; \
         ALTER DEFAULT PRIVILEGES FOR ROLE {0} GRANT USAGE ON TYPES TO {0} WITH GRANT OPTION",
        role.0
    ));
    let target = PostgresTarget::new(copy.options());
    let TargetState::Occupied(what) = target.state().await.unwrap() else {
        panic!("the database holds things");
    };
    for kind in ["1 cast (", "1 language (other)", "3 default privileges ("] {
        assert!(what.contains(kind), "{what}");
    }
    let source = PostgresSource::new(database.options());
    let carried = carry::take(&source, &Selection::Everything).await.unwrap();
    carry::give(&carried, &target, true, 65_536).await.unwrap();
    assert_eq!(target.state().await.unwrap(), TargetState::Empty);
    assert_eq!(copy.dump(), database.dump());
}
