//! Stock restic as the independent reader of what we write, and the writer of what we read.
#![allow(clippy::unwrap_used, missing_docs)]

mod world;

use std::path::Path;
use std::process::Command;

use logisedge_repository::{KnownBlobs, Repository, RepositoryErrorKind};
use world::{World, noise, rows};

fn restic(repository: &Path, arguments: &[&str]) -> String {
    let output = Command::new("restic")
        .arg("--no-cache")
        .arg("--repo")
        .arg(repository)
        .args(arguments)
        .env("RESTIC_PASSWORD", world::PASSWORD)
        .output()
        .expect("restic must be installed: apt-get install restic");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {text}{errors}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn restic_checks_and_restores_what_we_write() {
    let world = World::new().await;
    let files = vec![
        ("/manifest.json".to_owned(), b"{}".to_vec()),
        ("/data/public.empty.copy".to_owned(), Vec::new()),
        ("/data/public.rows.copy".to_owned(), rows(9_000_000, 1)),
        ("/data/public.noise.copy".to_owned(), noise(6_000_000, 2)),
        (
            "/data/öffentlich.\"a\\b\"<&>.copy".to_owned(),
            rows(10_000, 3),
        ),
        ("/schema/pre-data.sql".to_owned(), rows(2_000, 4)),
    ];
    world.back_up(KnownBlobs::none(), &files).await.unwrap();
    // The second shares everything but what changed.
    let known = world.repository.load_index().await.unwrap().known();
    let mut changed = files.clone();
    changed[2].1.extend_from_slice(b"one more row\n");
    let (id, stats) = world.back_up(known, &changed).await.unwrap();
    assert!(stats.bytes_shared > stats.bytes_new, "{stats:?}");

    let folder = world.folder.path();
    restic(folder, &["check", "--read-data"]);
    assert!(restic(folder, &["snapshots"]).contains("2 snapshots"));
    let target = tempfile::tempdir().unwrap();
    let into = target.path().to_str().unwrap();
    restic(folder, &["restore", &id.to_string(), "--target", into]);
    for (path, content) in &changed {
        let restored = target.path().join(path.trim_start_matches('/'));
        assert!(std::fs::read(&restored).unwrap() == *content, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn we_read_what_restic_writes() {
    for version in ["1", "2"] {
        let folder = tempfile::tempdir().unwrap();
        let source = tempfile::tempdir().unwrap();
        std::fs::create_dir(source.path().join("in ner")).unwrap();
        let files = [
            ("a.copy", rows(12_000_000, 5)),
            ("in ner/b\"\té.bin", noise(3_000_000, 6)),
            ("empty", Vec::new()),
        ];
        for (name, content) in &files {
            std::fs::write(source.path().join(name), content).unwrap();
        }
        restic(folder.path(), &["init", "--repository-version", version]);
        let from = source.path().to_str().unwrap();
        restic(folder.path(), &["backup", from, "--tag", "run=x"]);

        let world = World::open(folder).await;
        let (id, snapshot) = world.repository.snapshots().await.unwrap().remove(0);
        assert_eq!(snapshot.fact("run"), Some("x"));
        assert_eq!(world.repository.snapshot(id).await.unwrap(), snapshot);
        let index = world.repository.load_index().await.unwrap();
        let reader = world.repository.reader(index);
        let found = reader.files(&snapshot).await.unwrap();
        assert_eq!(found.len(), files.len());
        for (name, content) in &files {
            let path = format!("{from}/{name}");
            let (_, node) = found.iter().find(|(p, _)| *p == path).unwrap();
            let read = reader.read_small_node(node, &path, 1 << 30).await.unwrap();
            assert!(read == *content, "{path}");
        }
        let written = world.back_up(KnownBlobs::none(), &[]).await;
        match version {
            "1" => assert_eq!(written.unwrap_err().kind, RepositoryErrorKind::Unsupported),
            _ => {
                written.unwrap();
                restic(world.folder.path(), &["check", "--read-data"]);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_restic_added_opens_our_repository() {
    let world = World::new().await;
    let new = world.folder.path().join("..").canonicalize().unwrap();
    let file = tempfile::NamedTempFile::new_in(new).unwrap();
    std::fs::write(file.path(), "another").unwrap();
    let path = file.path().to_str().unwrap();
    restic(
        world.folder.path(),
        &["key", "add", "--new-password-file", path],
    );
    let password = logisedge_repository::Password::new("another".into());
    let opened = Repository::open(world.store.clone(), &password, world::options()).await;
    assert_eq!(opened.unwrap().id(), world.repository.id());
}
