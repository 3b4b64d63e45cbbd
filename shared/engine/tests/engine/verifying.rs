//! Verifying: sound snapshots, damaged ones, and such whose manifest says something else.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use insta::assert_snapshot;
use logisedge_domain::alert::AlertKind;
use logisedge_domain::finding::{Finding, FindingKind};
use logisedge_domain::manifest::{ContentHash, FileEntry, Manifest};
use logisedge_domain::snapshot::{SnapshotRecord, Trust};
use logisedge_engine::backup::MANIFEST_PATH;
use logisedge_engine::verify::{Verification, verify, verify_recorded};
use logisedge_engine::{EngineError, Progress};
use logisedge_repository::{KnownBlobs, Password, Repository, Snapshot};
use logisedge_sources::FRAGMENT_BYTES_MAX;
use logisedge_storage::Prefixed;

use crate::world::{CUSTOMERS, World, options, password};

async fn verified(world: &World, record: &SnapshotRecord) -> Result<Verification, EngineError> {
    verify(world.store.clone(), &password(), record, &Progress::new()).await
}

async fn recorded(world: &World, record: &SnapshotRecord) -> Verification {
    let (store, progress) = (world.store.clone(), Progress::new());
    verify_recorded(&world.catalog, store, &password(), record, &progress)
        .await
        .unwrap()
}

async fn record_now(world: &World, record: &SnapshotRecord) -> SnapshotRecord {
    let known = world.catalog.snapshots(&record.scope).await.unwrap();
    known.into_iter().find(|r| r.id == record.id).unwrap()
}

/// The files below a folder of the chain, biggest first.
pub(crate) fn files_of(world: &World, record: &SnapshotRecord, folder: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(
        &world.location().join(record.chain.as_str()).join(folder),
        &mut found,
    );
    found.sort_by_key(|path| std::cmp::Reverse(path.metadata().unwrap().len()));
    found
}

/// Changes one byte in the middle of a file.
pub(crate) fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    make_writable(path);
    std::fs::write(path, bytes).unwrap();
}

fn make_writable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_snapshot_is_good_and_recorded_as_verified() {
    let world = World::new().await;
    let record = world.back_up("customers").await;
    let found = recorded(&world, &record).await;
    assert_eq!(found.findings, []);
    assert_eq!((found.tables, found.rows), (1, CUSTOMERS));
    assert!(
        found.bytes_read > 0 && found.packs >= 2 && found.blobs > 2,
        "{found:?}"
    );
    let now = record_now(&world, &record).await;
    assert_eq!((now.trust, now.findings), (Trust::Verified, 0));
    assert!(now.verified_at.is_some());
    assert!(world.alerts_of(AlertKind::Finding).await.is_empty());

    // A database stored whole.
    let whole = world.back_up("everything").await;
    let found = verified(&world, &whole).await.unwrap();
    assert_eq!(found.findings, []);
    assert_eq!((found.tables, found.rows), (6, whole.rows));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_byte_is_found_recorded_and_told() {
    let world = World::new().await;
    let record = world.back_up("customers").await;
    flip(&files_of(&world, &record, "data")[0]);
    let found = recorded(&world, &record).await;
    assert!(!found.is_good());
    let now = record_now(&world, &record).await;
    assert_eq!(now.trust, Trust::Damaged);
    assert_eq!(now.findings, found.findings.len() as u64);
    let kept = world.catalog.findings(&record.id).await.unwrap();
    assert_eq!(kept, found.findings);
    let alerts = world.alerts_of(AlertKind::Finding).await;
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0].snapshot, Some(record.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_object_is_missing_or_altered_is_a_finding() {
    let world = World::new().await;
    let record = world.back_up("items").await;
    let chain = world.location().join(record.chain.as_str());
    for folder in ["data", "index", "snapshots", "keys", "config", ""] {
        let paths = match folder {
            "config" => vec![chain.join("config")],
            _ => files_of(&world, &record, folder),
        };
        let kept: Vec<_> = paths
            .iter()
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect();
        if !folder.is_empty() {
            for (path, bytes) in &kept {
                flip(path);
                let found = verified(&world, &record).await;
                let good = found.as_ref().is_ok_and(Verification::is_good);
                assert!(!good, "{folder} altered: {found:?}");
                std::fs::write(path, bytes).unwrap();
            }
        }
        for (path, _) in &kept {
            std::fs::remove_file(path).unwrap();
        }
        let found = verified(&world, &record).await;
        let good = found.as_ref().map(Verification::is_good);
        assert!(matches!(good, Ok(false)), "{folder:?} missing: {found:?}");
        for (path, bytes) in &kept {
            std::fs::write(path, bytes).unwrap();
        }
    }
    assert!(verified(&world, &record).await.unwrap().is_good());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_an_error_and_no_finding() {
    let world = World::new().await;
    let record = world.back_up("items").await;
    let wrong = Password::new("another".to_owned());
    let (store, progress) = (world.store.clone(), Progress::new());
    let done = verify_recorded(&world.catalog, store, &wrong, &record, &progress).await;
    assert!(done.is_err());
    assert_eq!(record_now(&world, &record).await.trust, Trust::Unverified);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_beside_the_snapshot_does_no_harm() {
    let world = World::new().await;
    let record = world.back_up("items").await;
    let chain = world.location().join(record.chain.as_str());
    std::fs::write(chain.join("notes.txt"), "x").unwrap();
    let found = recorded(&world, &record).await;
    assert!(found.is_good());
    assert_eq!(record_now(&world, &record).await.trust, Trust::Verified);
}

/// Writes another snapshot into the chain: the same files, and a manifest that `change` altered.
async fn with_manifest(
    world: &World,
    record: &SnapshotRecord,
    change: impl FnOnce(&mut Manifest),
) -> SnapshotRecord {
    let chain = Arc::new(Prefixed::new(world.store.clone(), record.chain.as_str()));
    let repository = Repository::open(chain, &password(), options())
        .await
        .unwrap();
    let snapshot = repository.snapshot(record.id).await.unwrap();
    let reader = repository.reader(repository.load_index().await.unwrap());
    let writer = repository.writer(KnownBlobs::none());
    let mut files = Vec::new();
    let mut change = Some(change);
    for (path, node) in reader.files(&snapshot).await.unwrap() {
        let content = reader.read_small_node(&node, &path, 1 << 30).await.unwrap();
        let content = match path.as_str() {
            MANIFEST_PATH => {
                let mut manifest: Manifest = serde_json::from_slice(&content).unwrap();
                change.take().unwrap()(&mut manifest);
                Bytes::from(serde_json::to_vec(&manifest).unwrap())
            }
            _ => content,
        };
        files.push((path, writer.store_bytes(content).await.unwrap()));
    }
    let tree = writer.tree(files, record.taken_at).await.unwrap();
    writer.finish().await.unwrap();
    let altered = Snapshot::new(tree, record.taken_at, []);
    let id = repository.commit(altered).await.unwrap();
    SnapshotRecord {
        id,
        ..record.clone()
    }
}

async fn disagreement(
    world: &World,
    record: &SnapshotRecord,
    change: impl FnOnce(&mut Manifest),
) -> String {
    let altered = with_manifest(world, record, change).await;
    let found = verified(world, &altered).await.unwrap();
    assert!(!found.is_good());
    let damage = |finding: &&Finding| finding.kind.is_damage();
    let damage: Vec<_> = found.findings.iter().filter(damage).collect();
    assert_eq!(damage.len(), 1, "{damage:?}");
    assert_eq!(damage[0].kind, FindingKind::ManifestDisagrees);
    damage[0].to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_says_something_else_is_found() {
    let world = World::new().await;
    let record = world.back_up("customers").await;
    let altered = with_manifest(&world, &record, |_| {}).await;
    assert!(verified(&world, &altered).await.unwrap().is_good());

    let rows = disagreement(&world, &record, |m| m.tables[0].rows += 1).await;
    assert_snapshot!(rows, @"manifest_disagrees: main.customers: 300 rows, 18245 bytes, content 7bb4257b8dcbf146d18f1c0702e9518c are stored; the manifest says 301 rows, 18245 bytes, content 7bb4257b8dcbf146d18f1c0702e9518c");
    let content = disagreement(&world, &record, |m| m.tables[0].content = ContentHash(7)).await;
    assert!(
        content.contains("00000000000000000000000000000007"),
        "{content}"
    );
    let bytes = disagreement(&world, &record, |m| m.tables[0].bytes -= 1).await;
    assert!(
        bytes.starts_with("manifest_disagrees: main.customers"),
        "{bytes}"
    );
    let file = disagreement(&world, &record, |m| m.files[0].bytes += 1).await;
    assert_snapshot!(file, @"manifest_disagrees: /data/main.customers.sql: 18245 bytes are stored, the manifest says 18246");
    let more = FileEntry {
        path: "/data/none".to_owned(),
        bytes: 1,
    };
    let missing = disagreement(&world, &record, |m| m.files.push(more)).await;
    assert_snapshot!(missing, @"manifest_disagrees: /data/none: the snapshot lacks this file");
    let newer = disagreement(&world, &record, |m| m.version = 99).await;
    assert_snapshot!(newer, @"manifest_disagrees: /manifest.json: its manifest is of version 99, this program reads up to 1: use a newer program");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_any_length_are_counted() {
    let world = World::new().await;
    let db = rusqlite::Connection::open(world.database()).unwrap();
    for bytes in [
        FRAGMENT_BYTES_MAX - 1,
        FRAGMENT_BYTES_MAX,
        3 * FRAGMENT_BYTES_MAX,
        1 << 20,
    ] {
        db.execute(
            "INSERT INTO customers (name, note) SELECT 'long', hex(randomblob(?1))",
            [bytes as i64],
        )
        .unwrap();
        db.execute("INSERT INTO customers (name) VALUES ('short')", [])
            .unwrap();
    }
    drop(db);
    let record = world.back_up("customers").await;
    let found = verified(&world, &record).await.unwrap();
    assert_eq!(found.findings, []);
    assert_eq!(found.rows, CUSTOMERS + 8);
    let wrong = disagreement(&world, &record, |m| m.tables[0].rows -= 1).await;
    assert!(wrong.contains("308 rows"), "{wrong}");
}
