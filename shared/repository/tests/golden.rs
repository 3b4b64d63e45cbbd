//! Repositories as earlier versions of this crate wrote them, which must stay readable for ever. A
//! new version of the format gets a folder of its own beside the old ones.
//!
//! `golden/version-2` holds a full snapshot and an incremental one, in blobs of about 4 KiB.
#![allow(clippy::unwrap_used, missing_docs)]

mod world;

use std::path::Path;
use std::sync::Arc;

use logisedge_repository::check::check_snapshot;
use logisedge_repository::{BlobId, KnownBlobs, Repository};

#[tokio::test(flavor = "multi_thread")]
async fn version_2_stays_readable() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/version-2");
    let store = Arc::new(world::folder_store(&path));
    let repository = Repository::open(store, &world::password(), world::options())
        .await
        .unwrap();
    let mut described = format!("repository {}\n", repository.id());
    let reader = repository.reader(repository.load_index().await.unwrap());
    for (id, snapshot) in repository.snapshots().await.unwrap() {
        described += &format!("snapshot {id} run={:?}\n", snapshot.fact("run"));
        for (path, node) in reader.files(&snapshot).await.unwrap() {
            let content = reader.read_small_node(&node, &path, 1 << 20).await.unwrap();
            described += &format!(
                "  {path:?} {} bytes in {} blobs, sha-256 {}\n",
                node.bytes,
                node.content.len(),
                BlobId::of(&content)
            );
        }
        let report = check_snapshot(&repository, id, Arc::new(|_, _| {}), Arc::new(|_| {}))
            .await
            .unwrap();
        assert_eq!(report.findings, []);
    }
    insta::assert_snapshot!(described);
}

/// Unchanged content must be cut as it ever was: else the first incremental after an update of this
/// program would store everything again.
#[tokio::test(flavor = "multi_thread")]
async fn content_is_cut_as_it_ever_was() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/version-2");
    let golden = Repository::open(
        Arc::new(world::folder_store(&path)),
        &world::password(),
        world::options(),
    )
    .await
    .unwrap();
    let reader = golden.reader(golden.load_index().await.unwrap());
    let snapshots = golden.snapshots().await.unwrap();
    let (_, node) = reader
        .files(&snapshots[0].1)
        .await
        .unwrap()
        .into_iter()
        .find(|(path, _)| path == "/data/public.documents.1.copy")
        .unwrap();

    let folder = tempfile::tempdir().unwrap();
    let options = logisedge_repository::Options {
        chunk_bytes_average: 4096,
        ..world::options()
    };
    let store = Arc::new(world::folder_store(folder.path()));
    let repository = Repository::create(store, &world::password(), options)
        .await
        .unwrap();
    let writer = repository.writer(KnownBlobs::none());
    let again = writer
        .store_bytes(world::noise(9_000, 2).into())
        .await
        .unwrap();
    assert!(again.content.len() > 1);
    assert_eq!(again.content, node.content);
}
