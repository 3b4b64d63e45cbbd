//! A database with everything that is hard to carry, and how two of them compare.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::types::Value;
use tempfile::TempDir;

/// Everything that a schema can throw at us.
const NASTY: &str = r#"
CREATE TABLE plain (id INTEGER PRIMARY KEY AUTOINCREMENT, a, b TEXT, c REAL, d BLOB, e NUMERIC);
CREATE TABLE "Größe ""x"" .sql/../y" ("wert a" TEXT PRIMARY KEY, "select" INT) WITHOUT ROWID;
CREATE TABLE made (a INT, twice INT GENERATED ALWAYS AS (a * 2) VIRTUAL, b TEXT, len INT AS (length(b)) STORED, "c""d");
CREATE TABLE strictly (i INTEGER, r REAL, t TEXT, b BLOB, x ANY) STRICT;
CREATE TABLE empty (x);
CREATE TABLE parent (id INTEGER PRIMARY KEY, child INTEGER REFERENCES kid(id));
CREATE TABLE kid (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent(id), other INTEGER REFERENCES outside_one(id));
CREATE TABLE outside_one (id INTEGER PRIMARY KEY);
CREATE INDEX plain_b ON plain (b) WHERE b IS NOT NULL;
CREATE INDEX plain_e ON plain (lower(b), "c");
CREATE VIEW totals AS SELECT count(*) FROM plain;
CREATE TRIGGER on_plain AFTER INSERT ON plain BEGIN
  UPDATE plain SET e = 'triggered; really' WHERE id = new.id;
END;
PRAGMA user_version = 42;
PRAGMA application_id = 1234;
"#;

fn values() -> Vec<Value> {
    let texts = [
        "",
        "'",
        "''",
        "a'b",
        "line\nline",
        "\r\n",
        "\\n",
        "\\n\n\\n1;",
        "tab\t",
        "nul\0nul\0",
        "\0",
        "NULL",
        "ü€日本🎉",
        "\u{2028}",
        ".quit",
        "x\n.quit\n",
        "-- c",
        ";",
        "\\0\0\r\\r",
        "\\\n",
        "n\n",
    ];
    let reals = [
        0.0,
        1.5,
        0.1,
        1.0 / 3.0,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        5e-324,
        -5e-324,
        1e308,
        1e-308,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::EPSILON,
        123_456_789.123_456_79,
        1e15,
        1e22,
        9.007199254740992e15,
        2.225_073_858_507_201e-308,
        1e-290,
        9.9e289,
        3e300,
        -7.1e-300,
        19.99,
    ];
    let integers = [0, 1, -1, i64::MAX, i64::MIN, i64::MIN + 1, 1 << 53];
    let mut all = vec![
        Value::Null,
        Value::Blob(vec![]),
        Value::Blob((0..=255).collect()),
    ];
    all.extend(texts.map(|text| Value::Text(text.to_owned())));
    all.extend(reals.map(Value::Real));
    all.extend(integers.map(Value::Integer));
    all
}

pub(crate) fn nasty(path: &Path) -> Connection {
    let db = Connection::open(path).unwrap();
    db.pragma_update(None, "foreign_keys", false).unwrap();
    db.execute_batch(NASTY).unwrap();
    for value in values() {
        db.execute(
            "INSERT INTO plain (a, b, d, e) VALUES (?1, ?1, ?1, ?1)",
            [&value],
        )
        .unwrap();
        db.execute(
            "INSERT INTO made (a, b, \"c\"\"d\") VALUES (?1, ?1, ?1)",
            [&value],
        )
        .unwrap();
        db.execute("INSERT INTO strictly (x) VALUES (?1)", [&value])
            .unwrap();
        if let Value::Text(text) = &value {
            db.execute(
                "INSERT INTO \"Größe \"\"x\"\" .sql/../y\" VALUES (?1, 1)",
                [text],
            )
            .unwrap();
        }
    }
    db.execute_batch(
        "INSERT INTO plain (b) VALUES (CAST(x'ff00fe0a41' AS TEXT));
         INSERT INTO outside_one VALUES (1);
         INSERT INTO parent VALUES (1, 1); INSERT INTO kid VALUES (1, 1, 1), (2, 99, NULL);
         DELETE FROM plain WHERE id > 50; UPDATE sqlite_sequence SET seq = 1000;",
    )
    .unwrap();
    db
}

/// All that a selection can carry, as stock text for comparison.
fn dump(path: &Path, table: &str, columns: &str) -> Vec<String> {
    let db = Connection::open(path).unwrap();
    let list: Vec<String> = columns
        .split(',')
        .map(|c| format!("typeof({c})||':'||coalesce(hex({c}),'')||':'||quote({c})"))
        .collect();
    let mut statement = db
        .prepare(&format!("SELECT {} FROM {table}", list.join("||'|'||")))
        .unwrap();
    statement
        .query_map([], |row| row.get::<_, String>(0))
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

pub(crate) fn check_equal(source: &Path, restored: &Path) {
    for (table, columns) in [
        ("plain", "id,a,b,c,d,e"),
        ("made", "a,twice,b,len,\"c\"\"d\""),
        ("strictly", "i,r,t,b,x"),
        ("\"Größe \"\"x\"\" .sql/../y\"", "\"wert a\",\"select\""),
        ("kid", "id,parent,other"),
    ] {
        assert_eq!(
            dump(source, table, columns),
            dump(restored, table, columns),
            "{table}"
        );
    }
    let bits = |path: &Path| -> Vec<u64> {
        let db = Connection::open(path).unwrap();
        let mut statement = db
            .prepare("SELECT a FROM plain WHERE typeof(a) = 'real'")
            .unwrap();
        statement
            .query_map([], |row| row.get::<_, f64>(0))
            .unwrap()
            .map(|v| v.unwrap().to_bits())
            .collect()
    };
    assert_eq!(bits(source), bits(restored));
    let db = Connection::open(restored).unwrap();
    let one = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(
        one("SELECT seq FROM sqlite_sequence WHERE name = 'plain'"),
        1000
    );
    assert_eq!(one("PRAGMA user_version"), 42);
    assert_eq!(one("PRAGMA application_id"), 1234);
    assert_eq!(
        one("SELECT count(*) FROM sqlite_schema WHERE name IN ('plain_b', 'plain_e', 'on_plain')"),
        3
    );
}

pub(crate) fn place() -> (TempDir, PathBuf, PathBuf) {
    let folder = TempDir::new().unwrap();
    let (from, to) = (
        folder.path().join("erp é.db"),
        folder.path().join("restored.db"),
    );
    (folder, from, to)
}
