//! What every [`ObjectStore`] promises, whatever it is made of. Each implementation and each
//! wrapper runs all of it, on a store that is empty at first.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use logisedge_storage::{ObjectStore, Put, StorageErrorKind};
use sha2::{Digest, Sha256};

/// Runs the whole suite.
pub(crate) async fn holds(store: Arc<dyn ObjectStore>) {
    empty_store(&*store).await;
    what_is_written_is_read(&*store).await;
    ranges(&*store).await;
    replacing_and_creating(&*store).await;
    checksums(&*store).await;
    listings(&*store).await;
    many_objects(&*store).await;
    deleting(&*store).await;
    bad_keys(&*store).await;
    one_creator_wins(store).await;
}

async fn put(store: &dyn ObjectStore, key: &str, text: &str) {
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    store.put(key, bytes, Put::default()).await.unwrap();
}

async fn keys(store: &dyn ObjectStore, prefix: &str) -> Vec<String> {
    let found = store.list(prefix).await.unwrap();
    found.into_iter().map(|meta| meta.key).collect()
}

fn kind<T>(result: Result<T, logisedge_storage::StorageError>) -> StorageErrorKind {
    result.err().expect("it has to fail").kind
}

async fn empty_store(store: &dyn ObjectStore) {
    assert!(store.list("").await.unwrap().is_empty());
    assert!(store.list("absent/").await.unwrap().is_empty());
    assert!(store.list_folders("").await.unwrap().is_empty());
    assert!(store.list_folders("absent/").await.unwrap().is_empty());
    assert_eq!(kind(store.get("absent").await), StorageErrorKind::NotFound);
    assert_eq!(kind(store.head("absent").await), StorageErrorKind::NotFound);
    assert_eq!(
        kind(store.get_range("absent", 0..1).await),
        StorageErrorKind::NotFound
    );
    let mut buffer = Vec::new();
    assert_eq!(
        kind(store.get_range_into("absent", 0..1, &mut buffer).await),
        StorageErrorKind::NotFound
    );
    store.delete(&["absent".to_owned()]).await.unwrap();
    store.delete(&[]).await.unwrap();
}

async fn what_is_written_is_read(store: &dyn ObjectStore) {
    let big: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    for (key, content) in [
        ("read/empty", Vec::new()),
        ("read/one", vec![0]),
        ("read/with spaces, ümlaut and +&=?%#", b"odd".to_vec()),
        ("read/big", big),
    ] {
        let bytes = Bytes::from(content);
        store.put(key, bytes.clone(), Put::default()).await.unwrap();
        assert_eq!(store.get(key).await.unwrap(), bytes, "{key}");
        let meta = store.head(key).await.unwrap();
        assert_eq!((meta.key.as_str(), meta.bytes), (key, bytes.len() as u64));
        let age = chrono::Utc::now() - meta.modified_at;
        assert!(age.abs() < chrono::TimeDelta::minutes(5), "{age}");
        let listed = store.list(key).await.unwrap();
        assert_eq!(listed.len(), 1, "{key}");
        assert_eq!((&listed[0].key, listed[0].bytes), (&meta.key, meta.bytes));
        // HTTP tells times in whole seconds.
        let apart = listed[0].modified_at - meta.modified_at;
        assert!(apart.abs() < chrono::TimeDelta::seconds(1), "{apart}");
        assert!(store.locate(key).ends_with(key));
    }
}

async fn ranges(store: &dyn ObjectStore) {
    put(store, "ranges/ten", "0123456789").await;
    put(store, "ranges/none", "").await;
    let mut buffer = b"what another range left".to_vec();
    for (range, expected) in [
        (0..10, "0123456789"),
        (0..1, "0"),
        (9..10, "9"),
        (3..7, "3456"),
        (4..4, ""),
        (10..10, ""),
    ] {
        let part = store.get_range("ranges/ten", range.clone()).await.unwrap();
        assert_eq!(part, expected.as_bytes(), "{range:?}");
        let got = store.get_range_into("ranges/ten", range.clone(), &mut buffer);
        got.await.unwrap();
        assert_eq!(buffer, expected.as_bytes(), "{range:?}");
    }
    assert!(
        store
            .get_range("ranges/none", 0..0)
            .await
            .unwrap()
            .is_empty()
    );
    #[allow(clippy::reversed_empty_ranges)]
    for range in [0..11, 9..11, 10..11, 20..30, 11..11, 5..4] {
        let part = store.get_range("ranges/ten", range.clone()).await;
        assert_eq!(kind(part), StorageErrorKind::Corrupted, "{range:?}");
        let got = store.get_range_into("ranges/ten", range.clone(), &mut buffer);
        assert_eq!(kind(got.await), StorageErrorKind::Corrupted, "{range:?}");
    }
    assert_eq!(
        kind(store.get_range("ranges/none", 0..1).await),
        StorageErrorKind::Corrupted
    );
}

async fn replacing_and_creating(store: &dyn ObjectStore) {
    let create = Put {
        create_only: true,
        ..Put::default()
    };
    store.put("put/a", Bytes::from("1"), create).await.unwrap();
    let again = store.put("put/a", Bytes::from("2"), create).await;
    assert_eq!(kind(again), StorageErrorKind::AlreadyExists);
    assert_eq!(store.get("put/a").await.unwrap(), "1");
    put(store, "put/a", "3").await;
    assert_eq!(store.get("put/a").await.unwrap(), "3");
    store.delete(&["put/a".to_owned()]).await.unwrap();
    store.put("put/a", Bytes::from("4"), create).await.unwrap();
    assert_eq!(store.get("put/a").await.unwrap(), "4");
}

async fn checksums(store: &dyn ObjectStore) {
    let bytes = Bytes::from("checked");
    let right = Some(Sha256::digest(&bytes).into());
    for create_only in [true, false] {
        let put = Put {
            create_only,
            sha256: right,
            ..Put::default()
        };
        store.put("sums/right", bytes.clone(), put).await.unwrap();
        let wrong = Put {
            create_only,
            sha256: Some([7; 32]),
            ..Put::default()
        };
        let refused = store.put("sums/wrong", bytes.clone(), wrong).await;
        assert_eq!(kind(refused), StorageErrorKind::Corrupted);
        assert!(keys(store, "sums/wrong").await.is_empty());
    }
    assert_eq!(store.get("sums/right").await.unwrap(), bytes);
}

async fn listings(store: &dyn ObjectStore) {
    let written = [
        "l/a",
        "l/a-b/x",
        "l/a/deep/er/x",
        "l/ab",
        "l/b/x",
        "l/b/y",
        "l/c",
        "m/z",
    ];
    // On a file system "a" cannot be a file and a folder, so no layout of ours has both.
    let written = written.map(|key| key.replace("l/a/", "l/a!/"));
    for key in &written {
        put(store, key, key).await;
    }
    let below = |prefix: &str| -> Vec<String> {
        let mut keys: Vec<String> = written
            .iter()
            .filter(|k| k.starts_with(prefix))
            .cloned()
            .collect();
        keys.sort();
        keys
    };
    for prefix in [
        "l/",
        "l",
        "l/a",
        "l/b/",
        "l/b/x",
        "l/bb",
        "m/",
        "l/a!/deep/",
    ] {
        assert_eq!(keys(store, prefix).await, below(prefix), "{prefix:?}");
    }
    assert_eq!(
        store.list_folders("l/").await.unwrap(),
        ["l/a!/", "l/a-b/", "l/b/"]
    );
    assert_eq!(store.list_folders("l/a!/").await.unwrap(), ["l/a!/deep/"]);
    assert!(store.list_folders("l/b/").await.unwrap().is_empty());
    assert!(
        store
            .list_folders("")
            .await
            .unwrap()
            .contains(&"m/".to_owned())
    );
    assert_eq!(kind(store.list_folders("l").await), StorageErrorKind::Other);
}

/// More than one page of a listing, and more than one request's deletions.
async fn many_objects(store: &dyn ObjectStore) {
    let mut written: Vec<String> = (0..1100).map(|n| format!("many/{n:04}/x")).collect();
    for chunk in written.chunks(50) {
        let puts = chunk.iter().map(|key| put(store, key, ""));
        futures_util::future::join_all(puts).await;
    }
    assert_eq!(keys(store, "many/").await, written);
    assert_eq!(store.list_folders("many/").await.unwrap().len(), 1100);
    let kept = written.remove(7);
    store.delete(&written).await.unwrap();
    assert_eq!(keys(store, "many/").await, [kept]);
}

async fn deleting(store: &dyn ObjectStore) {
    for key in ["d/a/x", "d/a/y", "d/b/x"] {
        put(store, key, "").await;
    }
    let gone = ["d/a/x", "d/absent", "d/b/x"].map(str::to_owned);
    store.delete(&gone).await.unwrap();
    store.delete(&gone).await.unwrap();
    assert_eq!(keys(store, "d/").await, ["d/a/y"]);
    // A folder without objects is no folder.
    assert_eq!(store.list_folders("d/").await.unwrap(), ["d/a/"]);
    store.delete(&["d/a/y".to_owned()]).await.unwrap();
    assert!(store.list_folders("d/").await.unwrap().is_empty());
    put(store, "d/a/x", "again").await;
    assert_eq!(keys(store, "d/").await, ["d/a/x"]);
}

async fn bad_keys(store: &dyn ObjectStore) {
    let bytes = || Bytes::from("x");
    for key in [
        "",
        "/etc/hostname",
        "../out",
        "bad/../../out",
        "bad//x",
        "bad/",
        "bad/.",
        "bad/\0",
    ] {
        let put = store.put(key, bytes(), Put::default()).await;
        assert_eq!(kind(put), StorageErrorKind::Other, "{key:?}");
        assert_eq!(kind(store.get(key).await), StorageErrorKind::Other);
        assert_eq!(kind(store.head(key).await), StorageErrorKind::Other);
        assert_eq!(
            kind(store.get_range(key, 0..1).await),
            StorageErrorKind::Other
        );
        let deleted = store.delete(&["bad/x".to_owned(), key.to_owned()]).await;
        assert_eq!(kind(deleted), StorageErrorKind::Other);
    }
    for prefix in ["/", "../", "bad/../../"] {
        assert_eq!(kind(store.list(prefix).await), StorageErrorKind::Other);
        assert_eq!(
            kind(store.list_folders(prefix).await),
            StorageErrorKind::Other
        );
    }
    assert!(keys(store, "bad").await.is_empty());
}

/// Of many creators at once exactly one succeeds, and its bytes are what is read, whole, by readers
/// that look all the time.
async fn one_creator_wins(store: Arc<dyn ObjectStore>) {
    const CREATORS: u8 = 20;
    let length = 200_000;
    let reader = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for _ in 0..50 {
                if let Ok(bytes) = store.get("race/x").await {
                    assert_eq!(bytes.len(), length, "a half-written object was visible");
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
    };
    let mut creators = Vec::new();
    for n in 0..CREATORS {
        let store = Arc::clone(&store);
        creators.push(tokio::spawn(async move {
            let put = Put {
                create_only: true,
                ..Put::default()
            };
            (
                n,
                store.put("race/x", Bytes::from(vec![n; length]), put).await,
            )
        }));
    }
    let mut winners = Vec::new();
    for creator in creators {
        match creator.await.unwrap() {
            (n, Ok(())) => winners.push(n),
            (_, Err(e)) => assert_eq!(e.kind, StorageErrorKind::AlreadyExists, "{e}"),
        }
    }
    reader.await.unwrap();
    assert_eq!(winners.len(), 1, "{winners:?}");
    assert_eq!(store.get("race/x").await.unwrap(), vec![winners[0]; length]);
    assert_eq!(keys(&*store, "race/").await, ["race/x"]);
}
