//! Folders and SQL scripts as targets, read by stock psql and sqlite3.

#![allow(clippy::unwrap_used)]

mod carry;

use std::path::Path;

use carry::{Carried, expected, give, stock_sqlite3, tables, take};
use logisedge_domain::scope::Selection;
use logisedge_sources::postgres::{PostgresOptions, PostgresSource};
use logisedge_sources::{
    FolderTarget, ScriptTarget, SourceErrorKind, SqliteSource, SqliteTarget, Target, TargetState,
};
use tempfile::TempDir;

async fn sample(folder: &Path, selection: &Selection) -> Carried {
    let from = folder.join("erp.db");
    logisedge_sample_erp::sqlite::create(&from, 7, 1).unwrap();
    take(&SqliteSource::new(&from), selection).await.unwrap()
}

#[tokio::test]
async fn sqlite3_reads_the_script() {
    let folder = TempDir::new().unwrap();
    let carried = sample(folder.path(), &tables(&["sales_order*", "customer*"])).await;
    let path = folder.path().join("erp.sql");
    let target = ScriptTarget::new(&path);
    give(&carried, &target, false, 50_000).await.unwrap();
    assert_eq!(target.read_back(&carried.manifest).await.unwrap(), None);
    let rebuilt = folder.path().join("rebuilt.db");
    stock_sqlite3(folder.path(), &rebuilt, &path);
    let found = SqliteTarget::new(&rebuilt)
        .read_back(&carried.manifest)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found, expected(&carried.manifest));

    let error = give(&carried, &target, false, 50_000).await.unwrap_err();
    assert_eq!(error.kind, SourceErrorKind::NotEmpty);
    give(&carried, &target, true, 50_000).await.unwrap();
}

#[tokio::test]
async fn a_whole_sqlite_file_is_no_script() {
    let folder = TempDir::new().unwrap();
    let carried = sample(folder.path(), &Selection::Everything).await;
    let path = folder.path().join("erp.sql");
    let error = give(&carried, &ScriptTarget::new(&path), false, 50_000)
        .await
        .unwrap_err();
    insta::assert_snapshot!(
        error.to_string().replace(&folder.path().display().to_string(), "DIR"),
        @"cannot restore to DIR/erp.sql: the snapshot is a whole SQLite file, not SQL; restore it to an SQLite file or a folder"
    );
    assert!(!path.exists());
}

#[tokio::test]
async fn a_folder_holds_the_files_as_they_are() {
    let folder = TempDir::new().unwrap();
    let carried = sample(folder.path(), &tables(&["item*"])).await;
    let path = folder.path().join("files");
    let target = FolderTarget::new(&path);
    assert_eq!(target.state().await.unwrap(), TargetState::Empty);
    give(&carried, &target, false, 50_000).await.unwrap();
    for (file, content) in &carried.data {
        assert_eq!(&std::fs::read(path.join(&file[1..])).unwrap(), content);
    }
    let rebuilt = folder.path().join("rebuilt.db");
    stock_sqlite3(&path, &rebuilt, &path.join("restore.sql"));
    let found = SqliteTarget::new(&rebuilt)
        .read_back(&carried.manifest)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found, expected(&carried.manifest));

    std::fs::write(path.join("my notes.txt"), "keep").unwrap();
    let error = give(&carried, &target, false, 50_000).await.unwrap_err();
    assert_eq!(error.kind, SourceErrorKind::NotEmpty);
    give(&carried, &target, true, 50_000).await.unwrap();
    assert!(path.join("my notes.txt").exists() && path.join("manifest.json").exists());
}

#[tokio::test]
async fn a_folder_of_somebody_else_is_not_replaced() {
    let folder = TempDir::new().unwrap();
    let carried = sample(folder.path(), &tables(&["warehouses"])).await;
    let path = folder.path().join("mine");
    std::fs::create_dir_all(path.join("data")).unwrap();
    std::fs::write(path.join("data/thesis.txt"), "years").unwrap();
    for manifest in [None, Some(r#"{"name":"web app"}"#)] {
        if let Some(text) = manifest {
            std::fs::write(path.join("manifest.json"), text).unwrap();
        }
        let error = give(&carried, &FolderTarget::new(&path), true, 50_000)
            .await
            .unwrap_err();
        assert_eq!(error.kind, SourceErrorKind::NotEmpty);
        assert!(error.to_string().contains("name a new folder"), "{error}");
        assert!(path.join("data/thesis.txt").exists());
    }
}

#[tokio::test]
async fn paths_that_leave_the_folder_are_refused() {
    let folder = TempDir::new().unwrap();
    let mut carried = sample(folder.path(), &tables(&["warehouses"])).await;
    let path = folder.path().join("files");
    for evil in [
        "/../evil",
        "/data/../../evil",
        "//",
        "/manifest.json",
        "/a/./../../b",
        "data\\..\\x",
    ] {
        carried.data = [(evil.to_owned(), b"x".to_vec())].into();
        let error = give(&carried, &FolderTarget::new(&path), true, 10)
            .await
            .unwrap_err();
        assert_eq!(error.kind, SourceErrorKind::Unsupported, "{evil}");
    }
    assert!(!folder.path().join("evil").exists());
    assert_eq!(
        FolderTarget::new(&path).state().await.unwrap(),
        TargetState::Empty
    );
}

#[tokio::test]
async fn content_that_ends_early_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let carried = sample(folder.path(), &tables(&["warehouses"])).await;
    let (script, files) = (folder.path().join("erp.sql"), folder.path().join("files"));
    for target in [
        &ScriptTarget::new(&script) as &dyn Target,
        &FolderTarget::new(&files),
    ] {
        target
            .begin(&carried.manifest, &carried.schema, false)
            .await
            .unwrap();
        let (sink, content) = tokio::sync::mpsc::channel(1);
        drop(sink);
        let path = carried.data.keys().next().unwrap().clone();
        let file = logisedge_sources::RestoreFile {
            path,
            bytes: 5,
            is_whole_table: true,
            content,
        };
        let error = target.load(&carried.manifest, file).await.unwrap_err();
        assert_eq!(error.kind, SourceErrorKind::Aborted);
    }
    assert!(!script.exists());
    assert_eq!(
        FolderTarget::new(&files).state().await.unwrap(),
        TargetState::Empty
    );
}

/// A PostgreSQL database of its own, dropped at the end.
struct Scratch {
    server: String,
    name: String,
}

impl Scratch {
    fn new(purpose: &str) -> Self {
        let server = std::env::var("LOGISEDGE_TEST_POSTGRES").expect(
            "LOGISEDGE_TEST_POSTGRES is not set: run tests/run, or name a superuser's URL such as postgres://postgres@127.0.0.1:5432/postgres",
        );
        let unique = TempDir::new().unwrap();
        let random = unique
            .path()
            .file_name()
            .unwrap()
            .to_string_lossy()
            .replace('.', "")
            .to_lowercase();
        let name = format!("logisedge_{purpose}_{random}");
        psql(&server, &["--command", &format!("CREATE DATABASE {name}")]);
        Self { server, name }
    }

    fn url(&self) -> String {
        let (start, _) = self.server.rsplit_once('/').unwrap();
        format!("{start}/{}", self.name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        psql(
            &self.server,
            &[
                "--command",
                &format!("DROP DATABASE {} WITH (FORCE)", self.name),
            ],
        );
    }
}

fn psql(url: &str, arguments: &[&str]) {
    let output = std::process::Command::new("psql")
        .args([
            "--no-psqlrc",
            "--quiet",
            "--set=ON_ERROR_STOP=1",
            "--dbname",
            url,
        ])
        .args(arguments)
        .output()
        .expect("psql does not start: install it (Debian: apt-get install postgresql-client)");
    assert!(
        output.status.success(),
        "psql: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_reads_the_script() {
    let (from, to) = (Scratch::new("from"), Scratch::new("to"));
    let url = from.url();
    tokio::task::spawn_blocking(move || logisedge_sample_erp::postgres::create(&url, 7, 1))
        .await
        .unwrap()
        .unwrap();
    let source =
        |scratch: &Scratch| PostgresSource::new(PostgresOptions::from_url(&scratch.url()).unwrap());
    let carried = take(&source(&from), &Selection::Everything).await.unwrap();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("erp.sql");
    give(&carried, &ScriptTarget::new(&path), false, 50_000)
        .await
        .unwrap();
    psql(&to.url(), &["--file", path.to_str().unwrap()]);
    let again = take(&source(&to), &Selection::Everything).await.unwrap();
    let by_name = |carried: &Carried| {
        let mut tables: Vec<_> = carried
            .manifest
            .tables
            .iter()
            .map(|t| (t.name.clone(), t.rows, t.content))
            .collect();
        tables.sort_by(|a, b| a.0.cmp(&b.0));
        tables
    };
    assert_eq!(by_name(&carried), by_name(&again));
}
