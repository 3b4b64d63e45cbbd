//! The small SQL files of a snapshot, made for stock `sqlite3`.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::catalog::{self, Table};
use super::literal::{quoted_name, quoted_text};

/// Where the parts of a snapshot lie, absolute inside it.
pub(crate) const PRE_DATA: &str = "/schema/pre-data.sql";
pub(crate) const POST_DATA: &str = "/schema/post-data.sql";
pub(crate) const RESTORE: &str = "/restore.sql";

/// The longest name of a file below `/data`, in bytes; file systems end at 255.
const FILE_NAME_BYTES_MAX: usize = 200;

/// `name` with every byte that is not plain in file names as `%xx`, cut to a length that file
/// systems take. `unique` tells cut names apart.
pub(super) fn file_name(name: &str, unique: usize) -> String {
    let mut encoded = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => encoded.push(char::from(byte)),
            b'.' if !encoded.is_empty() => encoded.push('.'),
            other => encoded.push_str(&format!("%{other:02x}")),
        }
    }
    if encoded.len() > FILE_NAME_BYTES_MAX {
        encoded.truncate(FILE_NAME_BYTES_MAX);
        encoded.push_str(&format!("~{unique}"));
    }
    encoded
}

/// What comes before the rows: the database's settings and the tables. Settings that only an empty
/// file takes (page size, encoding) come first.
pub(super) fn pre_data(db: &Connection, tables: &[&Table]) -> rusqlite::Result<String> {
    let mut sql = String::from("PRAGMA foreign_keys = OFF;\n");
    for name in ["page_size", "encoding", "auto_vacuum"] {
        let value = catalog::pragma(db, name)?;
        sql.push_str(&format!("PRAGMA {name} = {};\n", quoted_text(&value)));
    }
    for table in tables {
        sql.push_str(&table.sql);
        sql.push_str(";\n");
    }
    Ok(sql)
}

/// What comes after the rows: sequence values, indexes, triggers, and the numbers that a program
/// keeps in the file's header.
pub(super) fn post_data(db: &Connection, tables: &[&Table]) -> rusqlite::Result<String> {
    let names: BTreeSet<String> = tables.iter().map(|t| t.name.to_ascii_lowercase()).collect();
    let mut sql = String::new();
    let sequences: i64 = db.query_row(
        "SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_sequence'",
        [],
        |row| row.get(0),
    )?;
    if sequences > 0 {
        let mut statement = db.prepare("SELECT name, seq FROM sqlite_sequence ORDER BY name")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            if names.contains(&name.to_ascii_lowercase()) {
                let mut value = Vec::new();
                super::literal::append(&mut value, row.get_ref(1)?);
                let (name, value) = (
                    quoted_text(&name),
                    String::from_utf8_lossy(&value).into_owned(),
                );
                sql.push_str(&format!(
                    "DELETE FROM sqlite_sequence WHERE name = {name};\nINSERT INTO sqlite_sequence(name,seq) VALUES({name},{value});\n"
                ));
            }
        }
    }
    for kind in ["index", "trigger"] {
        for statement in catalog::statements(db, kind, &names)? {
            sql.push_str(&statement);
            sql.push_str(";\n");
        }
    }
    for name in ["application_id", "user_version"] {
        sql.push_str(&format!(
            "PRAGMA {name} = {};\n",
            catalog::pragma(db, name)?
        ));
    }
    Ok(sql)
}

/// `restore.sql` of a selection of tables, whose rows lie in `files`.
pub(super) fn restore_tables(files: &[String]) -> String {
    let mut sql = String::from(
        "-- Rebuilds the tables of this snapshot with stock sqlite3. In this folder:\n--   sqlite3 new.db < restore.sql\n.bail on\n.read schema/pre-data.sql\nBEGIN;\n",
    );
    for file in files {
        sql.push_str(&format!(".read '{}'\n", file.trim_start_matches('/')));
    }
    sql.push_str(".read schema/post-data.sql\nCOMMIT;\n");
    sql
}

/// `restore.sql` of a full database.
pub(super) fn restore_database(file: &str) -> String {
    let file = file.trim_start_matches('/');
    format!(
        "-- The file {file} is the whole database: copying it is a restore.\n-- Where an existing program has to fill a new file instead, in this folder:\n--   sqlite3 new.db < restore.sql\n.bail on\n.restore '{file}'\n"
    )
}

/// The names of objects that a note lists, cut to a few.
pub(super) fn listed(names: &[String]) -> String {
    const SHOWN_MAX: usize = 10;
    let mut text: Vec<String> = names
        .iter()
        .take(SHOWN_MAX)
        .map(|n| quoted_name(n))
        .collect();
    if names.len() > SHOWN_MAX {
        text.push(format!("and {} more", names.len() - SHOWN_MAX));
    }
    text.join(", ")
}
