//! What is refused, and in which words.

use std::path::Path;

use crate::carry::{expected, give, tables, take};
use logisedge_domain::scope::Selection;
use logisedge_sources::{Source, SourceErrorKind, SqliteSource, SqliteTarget, Target};
use rusqlite::Connection;

use crate::nasty::{nasty, place};

#[tokio::test]
async fn a_line_end_in_a_name_is_refused_in_a_selection_and_carried_in_the_whole() {
    let (_folder, from, to) = place();
    Connection::open(&from)
        .unwrap()
        .execute_batch("CREATE TABLE \"a\nb\" (x); INSERT INTO \"a\nb\" VALUES (1), (2)")
        .unwrap();
    let error = take(&SqliteSource::new(&from), &tables(&["*"]))
        .await
        .err()
        .unwrap();
    assert_eq!(error.kind, SourceErrorKind::Unsupported);
    let whole = take(&SqliteSource::new(&from), &Selection::Everything)
        .await
        .unwrap();
    assert_eq!(whole.manifest.tables[0].rows, 2);
    let target = SqliteTarget::new(&to);
    give(&whole, &target, false, 1000).await.unwrap();
    assert_eq!(
        target.read_back(&whole.manifest).await.unwrap().unwrap(),
        expected(&whole.manifest)
    );
}

/// The whole text of an error, without the folder of this test.
async fn said(source: SqliteSource, selection: &Selection, folder: &Path) -> String {
    let error = match source.open(selection, None).await {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    };
    error
        .to_string()
        .replace(&folder.display().to_string(), "DIR")
}

#[tokio::test]
async fn errors_say_what_to_do() {
    let (folder, from, _) = place();
    let all = &Selection::Everything;
    let dir = folder.path();
    let mut texts = Vec::new();
    texts.push(said(SqliteSource::new(dir.join("missing.db")), all, dir).await);
    assert!(!dir.join("missing.db").exists());
    texts.push(said(SqliteSource::new(dir), all, dir).await);
    std::fs::write(
        dir.join("text.db"),
        "this is only a text, though a long one".repeat(100),
    )
    .unwrap();
    texts.push(said(SqliteSource::new(dir.join("text.db")), all, dir).await);
    nasty(&from);
    texts.push(
        said(
            SqliteSource::new(&from),
            &tables(&["plain", "custmer*"]),
            dir,
        )
        .await,
    );
    texts.push(
        said(
            SqliteSource::new(&from).with_temporary_folder(dir.join("gone")),
            all,
            dir,
        )
        .await,
    );
    let mut bytes = std::fs::read(&from).unwrap();
    bytes[4096..8192].fill(0xAA);
    std::fs::write(dir.join("damaged.db"), bytes).unwrap();
    texts.push(said(SqliteSource::new(dir.join("damaged.db")), all, dir).await);

    let carried = take(&SqliteSource::new(&from), all).await.unwrap();
    let refused = |error: logisedge_sources::SourceError| {
        error.to_string().replace(&dir.display().to_string(), "DIR")
    };
    let target = SqliteTarget::new(dir.join("no/such/folder.db"));
    texts.push(refused(target.state().await.unwrap_err()));
    let target = SqliteTarget::new(dir.join("text.db"));
    texts.push(refused(
        give(&carried, &target, false, 9000).await.unwrap_err(),
    ));
    insta::assert_snapshot!(texts.join("\n"), @r"
    cannot back up DIR/missing.db: there is no such file or folder; check the path
    cannot back up DIR: it is a folder; name the database file inside it
    cannot back up DIR/text.db: it is no SQLite database, or it is encrypted; name a plain SQLite 3 file
    cannot select tables of DIR/erp é.db: no table matches custmer*; correct the scope's patterns (SQLite's tables are in the schema `main`)
    cannot copy a database into DIR/gone: there is no such file or folder; check the path
    cannot back up DIR/damaged.db: the database is damaged (*** in database main ***
    Tree 2 page 2: btreeInitPage() returns error code 11); restore an earlier snapshot or try `sqlite3 FILE .recover`
    cannot restore to DIR/no/such/folder.db: the folder DIR/no/such does not exist; make it first
    cannot restore to DIR/text.db: it holds a file of 3800 bytes that is no readable SQLite database; name a new file, or allow overwriting
    ");
}
