//! Tests: damage that only a holder of the key can do, so that every check code, hash and name is
//! right and only the content is wrong. A broken writer would leave such repositories.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use logisedge_domain::finding::FindingKind::{self, *};
use logisedge_storage::{FolderStore, ObjectStore, Put};

use super::check_snapshot;
use crate::id::{BlobId, IndexId, sha256};
use crate::index::{BlobKind, IndexFile, IndexedPack};
use crate::keyfile::{KeyCost, Password};
use crate::layout;
use crate::options::Options;
use crate::pack::PackBuilder;
use crate::repository::Repository;
use crate::snapshot::Snapshot;
use crate::unpacked::{BlobSealer, encode_object};

struct Crafted {
    _folder: tempfile::TempDir,
    store: Arc<dyn ObjectStore>,
    repository: Repository,
}

impl Crafted {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn ObjectStore> = Arc::new(FolderStore::new(folder.path()).unwrap());
        let options = Options {
            key_cost: KeyCost {
                n_log2: 4,
                r: 1,
                p: 1,
            },
            ..Options::default()
        };
        let password = Password::new("x".into());
        let repository = Repository::create(store.clone(), &password, options)
            .await
            .unwrap();
        Self {
            _folder: folder,
            store,
            repository,
        }
    }

    /// Stores a pack of blobs under claimed ids, and an index of it that `change` may falsify.
    async fn pack(
        &self,
        kind: BlobKind,
        blobs: &[(BlobId, &[u8])],
        change: impl FnOnce(&mut Vec<crate::pack::PackedBlob>),
    ) {
        let cipher = &self.repository.cipher().0;
        let mut builder = PackBuilder::new(BytesMut::new(), 1 << 20);
        let mut sealer = BlobSealer::new(1).unwrap();
        for (id, plaintext) in blobs {
            let (sealed, uncompressed) = sealer.seal(plaintext, cipher).unwrap();
            builder.append(kind, *id, uncompressed, sealed);
        }
        let mut pack = builder.seal(cipher).unwrap();
        self.put(&layout::pack(&pack.id), pack.bytes).await;
        change(&mut pack.blobs);
        let file = IndexFile {
            supersedes: Vec::new(),
            packs: vec![IndexedPack {
                id: pack.id,
                blobs: pack.blobs.iter().map(Into::into).collect(),
            }],
        };
        let json = crate::golang::json(&file).unwrap();
        let object = encode_object(&json, true, cipher).unwrap();
        let id = IndexId(sha256(&object));
        self.put(&layout::index(&id), object.into()).await;
    }

    async fn put(&self, key: &str, bytes: Bytes) {
        self.store.put(key, bytes, Put::default()).await.unwrap();
    }

    /// Commits a snapshot whose root is this JSON, and says what a check finds.
    async fn found(&self, tree: &str) -> Vec<(FindingKind, String)> {
        let root = BlobId::of(tree.as_bytes());
        self.pack(BlobKind::Tree, &[(root, tree.as_bytes())], |_| {})
            .await;
        let snapshot = Snapshot::new(root, chrono::DateTime::UNIX_EPOCH, []);
        let id = self.repository.commit(snapshot).await.unwrap();
        let report = check_snapshot(&self.repository, id, Arc::new(|_, _| {}), Arc::new(|_| {}))
            .await
            .unwrap();
        let shown = |object: String| object.split('/').take(2).collect::<Vec<_>>().join("/");
        report
            .findings
            .into_iter()
            .map(|f| (f.kind, shown(f.object)))
            .collect()
    }
}

fn file(size: u64, content: &BlobId) -> String {
    format!(
        r#"{{"nodes":[{{"name":"f","type":"file","size":{size},"content":["{content}"]}}]}}{}"#,
        "\n"
    )
}

fn data(kind: FindingKind, id: Option<&str>) -> Vec<(FindingKind, String)> {
    vec![(kind, id.unwrap_or("/f").to_owned())]
}

#[tokio::test]
async fn a_blob_under_anothers_id_is_found() {
    let crafted = Crafted::new().await;
    let claimed = BlobId::of(b"what it should be");
    crafted
        .pack(BlobKind::Data, &[(claimed, b"what it is, really")], |_| {})
        .await;
    let found = crafted.found(&file(18, &claimed)).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, BlobWrongHash);
    assert!(found[0].1.starts_with("data/"));
}

#[tokio::test]
async fn an_index_that_contradicts_the_pack_is_found() {
    let crafted = Crafted::new().await;
    let (a, b) = (BlobId::of(b"aaaa"), BlobId::of(b"bbbb"));
    let blobs: [(BlobId, &[u8]); 2] = [(a, b"aaaa"), (b, b"bbbb")];
    // The index leaves the second blob out.
    crafted
        .pack(BlobKind::Data, &blobs, |blobs| blobs.truncate(1))
        .await;
    let found = crafted.found(&file(4, &a)).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, IndexDisagrees);
}

#[tokio::test]
async fn a_blob_that_no_index_names_is_found_with_its_file() {
    let crafted = Crafted::new().await;
    let found = crafted.found(&file(4, &BlobId::of(b"nowhere"))).await;
    assert_eq!(found, data(BlobMissing, None));
}

#[tokio::test]
async fn a_file_of_another_length_than_its_blobs_is_found() {
    let crafted = Crafted::new().await;
    let id = BlobId::of(b"four");
    crafted.pack(BlobKind::Data, &[(id, b"four")], |_| {}).await;
    let found = crafted.found(&file(5, &id)).await;
    assert_eq!(found, data(TreeBroken, None));
}

#[tokio::test]
async fn broken_trees_are_found() {
    let nowhere = BlobId::of(b"nowhere");
    let subtree = format!(r#"{{"nodes":[{{"name":"d","type":"dir","subtree":"{nowhere}"}}]}}"#);
    for (tree, kind, object) in [
        ("no JSON", TreeBroken, "/"),
        (
            r#"{"nodes":[{"name":"..","type":"file"}]}"#,
            TreeBroken,
            "/",
        ),
        (r#"{"nodes":[{"name":"d","type":"dir"}]}"#, TreeBroken, "/d"),
        (subtree.as_str(), BlobMissing, "/d"),
    ] {
        let found = Crafted::new().await.found(tree).await;
        assert_eq!(found, data(kind, Some(object)), "{tree}");
    }
}
