//! PostgreSQL: what is built after the rows, side by side on several connections, is what the
//! source had; what cannot be built names itself and stops the rest.

#![allow(clippy::unwrap_used)]

mod carry;
mod server;

use bytes::Bytes;
use logisedge_domain::scope::Selection;
use logisedge_sources::postgres::{PostgresSource, PostgresTarget};
use logisedge_sources::{SourceErrorKind, Target};
use server::Database;

const CONNECTIONS: usize = 4;

/// Everything that `pg_dump` puts after the rows, with names that only quoting tells apart.
const SCHEMA: &str = r#"
CREATE SCHEMA a; CREATE SCHEMA "A"; CREATE SCHEMA "a.b, ""c""";
CREATE TABLE a.t (id int NOT NULL, k int NOT NULL, w text, during int4range);
CREATE TABLE "A".t (id int NOT NULL, k int NOT NULL, w text, during int4range);
CREATE TABLE "a.b, ""c"""."T (x), y" (id int NOT NULL, k int NOT NULL, w text, during int4range);
INSERT INTO a.t SELECT i, i % 500 + 1, md5(i::text), int4range(i, i + 1) FROM generate_series(1, 20000) i;
INSERT INTO "A".t SELECT * FROM a.t WHERE id <= 500;
INSERT INTO "a.b, ""c"""."T (x), y" SELECT * FROM a.t;

ALTER TABLE a.t ADD CONSTRAINT t_pkey PRIMARY KEY (id);
ALTER TABLE "A".t ADD CONSTRAINT t_pkey PRIMARY KEY (id);
ALTER TABLE "a.b, ""c"""."T (x), y" ADD CONSTRAINT t_pkey PRIMARY KEY (id) INCLUDE (k);
ALTER TABLE a.t ADD CONSTRAINT "e, f" EXCLUDE USING gist (during WITH &&) WHERE ((id > 0));
ALTER TABLE a.t ADD CONSTRAINT u UNIQUE (k, id) DEFERRABLE INITIALLY DEFERRED;
CREATE INDEX i ON a.t (k); CREATE INDEX i ON "A".t (k); CREATE UNIQUE INDEX "i; j" ON a.t (w, id) WHERE w <> ',';
CREATE INDEX expression ON a.t ((id + k), lower(w)) WITH (fillfactor = 70);
ALTER INDEX a.expression ALTER COLUMN 1 SET STATISTICS 200;
COMMENT ON INDEX a.expression IS 'ä, b; c';
COMMENT ON CONSTRAINT t_pkey ON a.t IS 'the ''first''';
CREATE INDEX hash ON "A".t USING hash (w);
ALTER TABLE a.t CLUSTER ON i;
ALTER TABLE "A".t ALTER COLUMN w SET NOT NULL;
CREATE UNIQUE INDEX identity ON "A".t (id, k);
ALTER TABLE "A".t REPLICA IDENTITY USING INDEX identity;
CREATE STATISTICS a.s (ndistinct, mcv) ON k, w FROM a.t;
COMMENT ON STATISTICS a.s IS 's';

-- A circle, one to itself, several between the same tables, both ways.
ALTER TABLE a.t ADD CONSTRAINT f1 FOREIGN KEY (k) REFERENCES "A".t (id);
ALTER TABLE "A".t ADD CONSTRAINT f2 FOREIGN KEY (id) REFERENCES a.t (id) ON DELETE CASCADE DEFERRABLE;
ALTER TABLE "A".t ADD CONSTRAINT f3 FOREIGN KEY (k) REFERENCES "a.b, ""c"""."T (x), y" (id);
ALTER TABLE "a.b, ""c"""."T (x), y" ADD CONSTRAINT f4 FOREIGN KEY (k) REFERENCES a.t (id);
ALTER TABLE "a.b, ""c"""."T (x), y" ADD CONSTRAINT f5 FOREIGN KEY (id) REFERENCES "a.b, ""c"""."T (x), y" (id);
ALTER TABLE a.t ADD CONSTRAINT f6 FOREIGN KEY (id) REFERENCES a.t (id) NOT VALID;
COMMENT ON CONSTRAINT f6 ON a.t IS 'not checked, yet';

-- Partitions: indexes that are joined to the parent's at two depths, one that is not, foreign keys
-- from and to partitioned tables.
CREATE TABLE a.p (id int, at int, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE a.p1 PARTITION OF a.p FOR VALUES FROM (0) TO (10) PARTITION BY LIST (at);
CREATE TABLE a.p1a PARTITION OF a.p1 FOR VALUES IN (1, 2);
CREATE TABLE a.p1b PARTITION OF a.p1 DEFAULT;
CREATE TABLE "A".p2 PARTITION OF a.p DEFAULT;
INSERT INTO a.p SELECT i, i % 30 FROM generate_series(1, 5000) i;
CREATE INDEX p_at ON a.p (at);
CREATE INDEX own ON a.p1a (at, id);
CREATE INDEX only_here ON ONLY a.p (id);
ALTER TABLE a.p ADD CONSTRAINT p_t FOREIGN KEY (id) REFERENCES a.t (id);
ALTER TABLE a.p1a ADD CONSTRAINT own_key FOREIGN KEY (at) REFERENCES "A".t (id);
CREATE TABLE a.points (id int, at int, CONSTRAINT to_p FOREIGN KEY (id, at) REFERENCES a.p (id, at));
INSERT INTO a.points SELECT * FROM a.p WHERE id % 7 = 0;
CREATE TABLE a.points_too (LIKE a.points);
ALTER TABLE a.points_too ADD CONSTRAINT to_p1 FOREIGN KEY (id, at) REFERENCES a.p1 (id, at);

-- What needs a key that is made after the rows; what fires; what sees.
CREATE VIEW a.grouped AS SELECT id, w FROM a.t GROUP BY id;
CREATE MATERIALIZED VIEW a.kept AS SELECT id, w FROM a.grouped;
CREATE UNIQUE INDEX kept_id ON a.kept (id);
COMMENT ON INDEX a.kept_id IS 'kept';
CREATE INDEX kept_w ON a.kept (w);
CREATE FUNCTION a.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER tr BEFORE UPDATE ON a.t FOR EACH ROW EXECUTE FUNCTION a.f();
ALTER TABLE a.t DISABLE TRIGGER tr;
CREATE CONSTRAINT TRIGGER ct AFTER UPDATE ON "A".t DEFERRABLE FOR EACH ROW EXECUTE FUNCTION a.f();
CREATE RULE r AS ON DELETE TO "A".t WHERE (old.id = 0) DO INSTEAD (SELECT 1; SELECT 2);
ALTER TABLE a.t ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON a.t USING (id > 0);
CREATE PUBLICATION "pub, lic" FOR TABLE a.t, "A".t;
CREATE FUNCTION a.e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''fired''; END';
CREATE EVENT TRIGGER guard ON ddl_command_start WHEN TAG IN ('CREATE INDEX', 'ALTER TABLE', 'REFRESH MATERIALIZED VIEW')
    EXECUTE FUNCTION a.e();
"#;

async fn taken(schema: &str) -> (Database, carry::Carried) {
    let database = Database::new("post");
    database.sql(schema);
    let source = PostgresSource::new(database.options());
    let carried = carry::take(&source, &Selection::Everything).await.unwrap();
    (database, carried)
}

fn target(copy: &Database) -> PostgresTarget {
    let mut options = copy.options();
    options.connections = CONNECTIONS;
    PostgresTarget::new(options)
}

/// What a dump does not show of indexes and constraints.
fn beside_the_dump(database: &Database) -> String {
    database.sql(
        "SELECT i.indexrelid::regclass, i.indisvalid, i.indisready, i.indisclustered, i.indisreplident, p.inhparent::regclass \
            FROM pg_index i LEFT JOIN pg_inherits p ON p.inhrelid = i.indexrelid \
            WHERE i.indexrelid >= 16384 AND i.indrelid::regclass::text NOT LIKE 'pg_toast%' ORDER BY i.indexrelid::regclass::text; \
         SELECT conrelid::regclass, conname, convalidated, conparentid <> 0 FROM pg_constraint \
            WHERE conrelid >= 16384 ORDER BY conrelid::regclass::text, conname",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_comes_after_the_rows_is_built_side_by_side() {
    let (database, carried) = taken(SCHEMA).await;
    let copy = Database::new("copy");
    for overwrite in [false, true] {
        let target = target(&copy);
        carry::give(&carried, &target, overwrite, 1 << 20)
            .await
            .unwrap();
        let read = target.read_back(&carried.manifest).await.unwrap().unwrap();
        assert_eq!(read, carry::expected(&carried.manifest));
        assert_eq!(target.warnings(), Vec::<String>::new());
        let (expected, found) = (database.dump(), copy.dump());
        assert_eq!(expected.0.lines().count(), found.0.lines().count());
        for (expected, found) in expected.0.lines().zip(found.0.lines()) {
            assert_eq!(expected, found);
        }
        assert_eq!(expected.1, found.1);
        assert_eq!(beside_the_dump(&database), beside_the_dump(&copy));
        let without_statistics = copy.sql(
            "SELECT oid::regclass FROM pg_class WHERE relkind IN ('r', 'p', 'm') AND oid >= 16384 \
             AND NOT EXISTS (SELECT FROM pg_statistic WHERE starelid = pg_class.oid)",
        );
        // It has no rows.
        assert_eq!(without_statistics, "a.points_too\n");
        assert_eq!(
            copy.sql("SELECT count(*) FROM pg_statistic_ext_data")
                .trim(),
            "1"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_built_names_itself_and_stops_the_rest() {
    let tables: String = (1..=8)
        .map(|n| {
            format!(
                "CREATE TABLE t{n} (id int CONSTRAINT key_{n} PRIMARY KEY, w text); \
                 INSERT INTO t{n} SELECT i, repeat(md5(i::text), 3) FROM generate_series(1, 30000) i; \
                 CREATE INDEX w_{n} ON t{n} (w, id);"
            )
        })
        .collect();
    let (_database, mut carried) = taken(&tables).await;
    let file = carried.data.get_mut("/data/public.t3.copy").unwrap();
    file.extend_from_slice(b"7\ttwice\n");
    let copy = Database::new("copy");
    let error = carry::give(&carried, &target(&copy), false, 1 << 20)
        .await
        .unwrap_err();
    assert_eq!(error.kind, SourceErrorKind::Failed);
    let said = error.to_string();
    for part in [
        "schema/post-data.sql of the snapshot",
        "detail: Key (id)=(7) is duplicated",
        "the statement: ALTER TABLE ONLY public.t3 ADD CONSTRAINT key_3 PRIMARY KEY (id)",
    ] {
        assert!(said.contains(part), "{said}");
    }
    let working = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
         AND pid <> pg_backend_pid() AND state = 'active' AND backend_type = 'client backend'";
    for _ in 0..100 {
        if copy.sql(working).trim() == "0" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(copy.sql(working).trim(), "0");
    // The last of the script, behind eight keys and seven indexes of text.
    assert_eq!(copy.sql("SELECT to_regclass('w_8') IS NULL").trim(), "t");
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_that_lock_each_other_out_are_tried_again_alone() {
    // Each constraint's function reads the table that the other constraint locks.
    let table = |own: &str, other: &str| {
        format!(
            "CREATE FUNCTION f_{own}(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN \
                PERFORM pg_sleep(1); PERFORM FROM public.{other}; RETURN i; END $$; \
             ALTER TABLE {own} ADD CONSTRAINT e_{own} EXCLUDE USING btree (public.f_{own}(id) WITH =);"
        )
    };
    let schema = format!(
        "CREATE TABLE a (id int); CREATE TABLE b (id int); INSERT INTO a VALUES (1); INSERT INTO b VALUES (1); {}{}",
        table("a", "b"),
        table("b", "a")
    );
    let (database, carried) = taken(&schema).await;
    let copy = Database::new("copy");
    carry::give(&carried, &target(&copy), false, 1 << 20)
        .await
        .unwrap();
    assert_eq!(database.dump(), copy.dump());
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(copy.sql(deadlocks).trim(), "1", "the test does not test");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_changes_its_session_runs_in_one() {
    let (_database, mut carried) =
        taken("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY)").await;
    let script = carried.schema.get_mut("/schema/post-data.sql").unwrap();
    let user = server::options("postgres").user;
    let mut text = format!("SET SESSION AUTHORIZATION '{user}';\n");
    text.push_str(std::str::from_utf8(script).unwrap());
    text.push_str(
        "CREATE TEMPORARY TABLE mine AS SELECT count(*) FROM pg_index WHERE indrelid >= 16384;\n",
    );
    text.push_str("ALTER TABLE mine RENAME TO ours;\n");
    *script = Bytes::from(text);
    let copy = Database::new("copy");
    carry::give(&carried, &target(&copy), false, 1 << 20)
        .await
        .unwrap();
    assert_eq!(
        copy.sql("SELECT count(*) FROM pg_index WHERE indrelid IN ('t'::regclass, 'u'::regclass)")
            .trim(),
        "2"
    );
}
