//! Databases to back up: PostgreSQL on the tests' server, SQLite files, both filled as an ERP fills them.

use std::path::Path;
use std::process::Command;

use super::{program, said, unused};

/// The superuser's URL of the tests' server.
pub fn server() -> String {
    std::env::var("LOGISEDGE_TEST_POSTGRES").unwrap_or_else(|_| {
        panic!(
            "LOGISEDGE_TEST_POSTGRES is not set: start the tests with tests/run, or set it to the URL of \
             a superuser of a PostgreSQL server, postgres://postgres@127.0.0.1:5432/postgres"
        )
    })
}

/// A PostgreSQL database of a test's own, dropped at the end.
pub struct Postgres {
    pub name: String,
}

impl Postgres {
    pub fn create(what: &str) -> Self {
        let name = unused(&format!("le_{what}_"));
        psql(&server(), &format!("CREATE DATABASE {name}"));
        Self { name }
    }

    /// One with about `megabytes` of a sample ERP.
    pub fn with_erp(what: &str, megabytes: u32) -> Self {
        let database = Self::create(what);
        let mut fill = Command::new(program("sample-erp"));
        fill.args(["postgres", &database.url(), "--megabytes"]);
        said(fill.arg(megabytes.to_string()));
        database
    }

    /// As the superuser reaches it; the tests' server speaks no TLS.
    pub fn url(&self) -> String {
        let server = server();
        let (before, _) = server.rsplit_once('/').unwrap();
        format!("{before}/{}?sslmode=disable", self.name)
    }

    /// What a query says, one line a row.
    pub fn sql(&self, sql: &str) -> String {
        psql(&self.url(), sql)
    }

    /// Every table with its rows counted and hashed by the server itself, whatever their order.
    pub fn content(&self) -> String {
        let tables = self.sql(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables \
             WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1",
        );
        let each: Vec<String> = tables
            .lines()
            .map(|table| {
                format!(
                    "SELECT '{table}', count(*), \
                     coalesce(sum(hashtextextended(row::text, 0)::numeric), 0) FROM {table} row"
                )
            })
            .collect();
        assert!(!each.is_empty(), "the database has no table");
        self.sql(&format!("{} ORDER BY 1", each.join(" UNION ALL ")))
    }

    /// Host, port and superuser as a configuration names them.
    pub fn source(&self) -> String {
        let url = self.url();
        let rest = url.split_once("://").unwrap().1;
        let (user, rest) = rest.split_once('@').unwrap();
        self.source_as(
            user.split(':').next().unwrap(),
            rest.split('/').next().unwrap(),
        )
    }

    fn source_as(&self, user: &str, address: &str) -> String {
        let (host, port) = address.split_once(':').unwrap_or((address, "5432"));
        format!(
            "kind = \"postgresql\"\nhost = \"{host}\"\nport = {port}\ndatabase = \"{}\"\n\
             user = \"{user}\"\nsslmode = \"disable\"\n",
            self.name
        )
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let mut command = Command::new("psql");
        let _ = command
            .args(["-XAtq", "-d", &server(), "-c", &sql])
            .output();
    }
}

/// What psql prints for a statement that succeeds.
pub fn psql(url: &str, sql: &str) -> String {
    said(Command::new("psql").args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql]))
}

/// An SQLite file with `tables` of a few columns, each with `rows` rows.
pub fn sqlite(path: &Path, tables: &[&str], rows: u32) {
    let mut file = rusqlite::Connection::open(path).unwrap();
    let work = file.transaction().unwrap();
    for table in tables {
        work.execute_batch(&format!(
            "CREATE TABLE {table} (id INTEGER PRIMARY KEY, name TEXT NOT NULL, amount REAL, noise BLOB);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             INSERT INTO {table} SELECT i, 'row ' || i, i * 0.25, randomblob(40) FROM n;"
        ))
        .unwrap();
    }
    work.commit().unwrap();
}

/// Every row of every table of an SQLite file, as texts.
pub fn sqlite_rows(path: &Path) -> Vec<(String, Vec<String>)> {
    let file = rusqlite::Connection::open(path).unwrap();
    let names = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name";
    let mut statement = file.prepare(names).unwrap();
    let names = statement
        .query_map([], |row| row.get::<_, String>(0))
        .unwrap();
    let names: Vec<String> = names.map(Result::unwrap).collect();
    let rows_of = |table: &String| {
        let mut statement = file
            .prepare(&format!("SELECT * FROM {table} ORDER BY 1"))
            .unwrap();
        let columns = statement.column_count();
        let rows = statement
            .query_map([], |row| {
                let values: Result<Vec<_>, _> = (0..columns)
                    .map(|index| row.get::<_, rusqlite::types::Value>(index))
                    .collect();
                Ok(format!("{:?}", values?))
            })
            .unwrap();
        rows.map(Result::unwrap).collect()
    };
    names
        .iter()
        .map(|name| (name.clone(), rows_of(name)))
        .collect()
}
