//! Names on their way into SQL, into `pg_dump` patterns, and into file names of a snapshot.

use std::fmt::Write as _;

/// Longest file name that `data_path` makes, in bytes; common file systems allow 255.
const FILE_NAME_BYTES_MAX: usize = 200;

/// An identifier as SQL takes it, always in quotes.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `"schema"."name"`.
pub(super) fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", identifier(schema), identifier(name))
}

/// A text as an SQL literal.
pub(super) fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    match quoted.contains('\\') {
        true => format!(" E'{}'", quoted.replace('\\', "\\\\")),
        false => format!("'{quoted}'"),
    }
}

/// ` ("a", "b")`, or nothing without columns: SQL has no empty column list.
pub(super) fn column_list(columns: &[String]) -> String {
    if columns.is_empty() {
        return String::new();
    }
    let quoted: Vec<String> = columns.iter().map(|name| identifier(name)).collect();
    format!(" ({})", quoted.join(", "))
}

/// Where a table's rows lie inside a snapshot: `/data/<schema>.<table>.copy`.
///
/// In both names every byte outside `[A-Za-z0-9_-]` is written `%XX`, so that a path is portable,
/// needs no quoting, and its one bare dot parts schema from table. A name that would become longer
/// than [`FILE_NAME_BYTES_MAX`] is cut and ends in `~` and a hash of the whole.
pub(super) fn data_path(schema: &str, name: &str) -> String {
    let mut file = format!("{}.{}", percent_encoded(schema), percent_encoded(name));
    if file.len() > FILE_NAME_BYTES_MAX {
        let hash = xxhash_rust::xxh3::xxh3_64(file.as_bytes());
        file.truncate(FILE_NAME_BYTES_MAX - 17);
        // Writing to a String cannot fail.
        let _ = write!(file, "~{hash:016x}");
    }
    format!("/data/{file}.copy")
}

/// Where part `number` of a table's rows lies: `/data/<schema>.<table>.<number>.copy`.
pub(super) fn part_path(schema: &str, name: &str, number: usize) -> String {
    let whole = data_path(schema, name);
    format!("{}.{number:05}.copy", whole.trim_end_matches(".copy"))
}

fn percent_encoded(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => encoded.push(byte.into()),
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        assert_eq!(qualified("Büro", "a\"b.c"), "\"Büro\".\"a\"\"b.c\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\'"), " E'a\\\\'''");
        assert_eq!(column_list(&[]), "");
    }

    #[test]
    fn paths_are_portable_and_tell_names_apart() {
        assert_eq!(data_path("public", "items"), "/data/public.items.copy");
        assert_eq!(data_path("Bü", "a.b c/"), "/data/B%C3%BC.a%2Eb%20c%2F.copy");
        assert_ne!(data_path("a.b", "c"), data_path("a", "b.c"));
        let long = data_path(&"ü".repeat(31), &"ö".repeat(31));
        assert_eq!(long.len(), "/data/.copy".len() + FILE_NAME_BYTES_MAX);
        assert_ne!(
            long,
            data_path(&"ü".repeat(31), &format!("{}o", "ö".repeat(30)))
        );
    }
}
