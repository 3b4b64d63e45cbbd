//! What only a folder does: crashes' leftovers, mounts that vanish, disks that fill up.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bytes::Bytes;
use logisedge_storage::{FolderStore, ObjectStore, Put, StorageErrorKind};

#[tokio::test]
async fn what_a_crash_left_is_not_listed_and_can_be_removed() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::new(folder.path()).unwrap();
    store
        .put("data/a", Bytes::from("a"), Put::default())
        .await
        .unwrap();
    let left = folder.path().join("data/.logisedge-writing-1-0-0");
    std::fs::write(&left, "half").unwrap();
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    let listed = store.list("").await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].key, "data/a");
    assert_eq!(store.list_folders("").await.unwrap(), ["data/"]);
    assert_eq!(
        store
            .remove_abandoned(Duration::from_secs(60))
            .await
            .unwrap(),
        0
    );
    assert!(left.exists(), "it may still be written");
    assert_eq!(store.remove_abandoned(Duration::ZERO).await.unwrap(), 1);
    assert!(!left.exists());
    assert_eq!(store.get("data/a").await.unwrap(), "a");
}

#[tokio::test]
async fn a_folder_that_is_not_mounted_is_no_empty_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mount");
    let error = FolderStore::new(&path).unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::StoreMissing);
    let text = error
        .to_string()
        .replace(&path.display().to_string(), "MOUNT");
    insta::assert_snapshot!(text, @"cannot open MOUNT: there is no such folder: create or mount it, or correct the location's path");

    let store = FolderStore::create(&path).unwrap();
    std::fs::remove_dir(&path).unwrap();
    for error in [
        store
            .put("a", Bytes::new(), Put::default())
            .await
            .unwrap_err(),
        store.get("a").await.unwrap_err(),
        store.get_range("a", 0..1).await.unwrap_err(),
        store.head("a").await.unwrap_err(),
        store.list("").await.unwrap_err(),
        store.list_folders("").await.unwrap_err(),
        store.delete(&["a".to_owned()]).await.unwrap_err(),
    ] {
        assert_eq!(error.kind, StorageErrorKind::StoreMissing, "{error}");
    }
    assert!(!path.exists(), "a write must not make the mount point");
}

#[tokio::test]
async fn a_file_is_no_store_and_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    assert_eq!(
        FolderStore::new(&file).unwrap_err().kind,
        StorageErrorKind::StoreMissing
    );
    let store = FolderStore::new(folder.path()).unwrap();
    let below = store
        .put("file/below", Bytes::new(), Put::default())
        .await
        .unwrap_err();
    assert_eq!(below.kind, StorageErrorKind::Other);
    let missing = store.get("file/below").await.unwrap_err();
    assert_eq!(missing.kind, StorageErrorKind::NotFound);
    assert!(store.list("file/").await.unwrap().is_empty());
    store.delete(&["file/below".to_owned()]).await.unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), b"x");
}
