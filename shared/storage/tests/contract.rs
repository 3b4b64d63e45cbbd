//! One contract for every store and every wrapper.

#![allow(clippy::unwrap_used)]

mod emulator;
mod keeping;
mod suite;

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use chrono::{TimeDelta, Utc};
use emulator::{bucket, folder, impatient, lockable, s3};
use logisedge_domain::requests::Requests;
use logisedge_domain::storage::{LockMode, ObjectLock};
use logisedge_storage::{
    Counting, Fault, Faulty, Locking, ObjectStore, Prefixed, Put, RetryPolicy, Retrying, S3Store,
    StorageErrorKind, Undeleted,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_holds_the_contract() {
    let (_folder, store) = folder();
    suite::holds(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefixed_folder_holds_the_contract() {
    let (_folder, store) = folder();
    let inside: Arc<dyn ObjectStore> = Arc::new(Prefixed::new(store.clone(), "/some/where/"));
    suite::holds(inside).await;
    assert_eq!(store.list_folders("").await.unwrap(), ["some/"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counting_store_holds_the_contract() {
    let (_folder, store) = folder();
    suite::holds(Arc::new(Counting::new(store))).await;
}

#[tokio::test]
async fn requests_are_counted_as_they_are_billed() {
    let (_folder, store) = folder();
    let store = Counting::new(store);
    assert!(store.requests().is_none());
    for key in ["a/1", "a/2", "b"] {
        store.put(key, "x".into(), Put::default()).await.unwrap();
    }
    store.get("b").await.unwrap();
    store.get_range("b", 0..1).await.unwrap();
    store.get("absent").await.unwrap_err();
    store.head("b").await.unwrap();
    store.list("a/").await.unwrap();
    store.list("absent/").await.unwrap();
    store.list_folders("").await.unwrap();
    let many: Vec<String> = (0..1001).map(|n| format!("absent/{n}")).collect();
    store.delete(&many).await.unwrap();
    store.delete(&[]).await.unwrap();
    let expected = Requests {
        puts: 3,
        gets: 3,
        heads: 1,
        lists: 3,
        deletes: 2,
    };
    assert_eq!(store.requests(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_hide_failures_that_changed_nothing() {
    let (_folder, store) = folder();
    let faulty = Arc::new(Faulty::new(store, Fault::FirstTries(2)));
    suite::holds(impatient(faulty)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_hide_lost_answers() {
    let (_folder, store) = folder();
    let faulty = Arc::new(Faulty::new(store, Fault::LostAnswers(1)));
    suite::holds(impatient(faulty)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_store_is_sound_until_its_fault() {
    for fault in [
        Fault::DiesAfter(u64::MAX),
        Fault::DiesAmidDeletes(u64::MAX),
        Fault::Full(u64::MAX),
        Fault::NeverAnswers("no such key"),
    ] {
        let (_folder, store) = folder();
        suite::holds(Arc::new(Faulty::new(store, fault))).await;
    }
}

#[tokio::test]
async fn a_death_comes_between_any_two_deletes() {
    let (_folder, store) = folder();
    for key in ["a", "b", "c"] {
        store.put(key, "x".into(), Put::default()).await.unwrap();
    }
    let dying = Faulty::new(store.clone(), Fault::DiesAmidDeletes(2));
    let all = ["a", "b", "c"].map(str::to_owned);
    dying.delete(&all).await.unwrap_err();
    let left = store.list("").await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].key, "c");
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_the_rest_is_taken() {
    let (_folder, store) = folder();
    let full = Faulty::new(store.clone(), Fault::Full(5));
    full.put("a", "xxx".into(), Put::default()).await.unwrap();
    let error = full.put("b", "xxx".into(), Put::default()).await;
    assert_eq!(error.unwrap_err().kind, StorageErrorKind::Full);
    full.put("c", "xx".into(), Put::default()).await.unwrap();
    assert_eq!(store.list("").await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_never_answered_is_there() {
    let (_folder, store) = folder();
    let silent = Faulty::new(store.clone(), Fault::NeverAnswers("a/"));
    silent.put("b", "x".into(), Put::default()).await.unwrap();
    let is_there = async {
        while store.head("a/b").await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        answer = silent.put("a/b", "x".into(), Put::default()) => panic!("answered: {answer:?}"),
        () = is_there => {}
    }
    assert_eq!(store.get("a/b").await.unwrap(), "x");
}

#[tokio::test]
async fn retries_end_by_time_and_after_few_tries_where_bytes_are_damaged() {
    let (_folder, store) = folder();
    let faulty = Arc::new(Faulty::new(store.clone(), Fault::FirstTries(u32::MAX)));
    let policy = RetryPolicy {
        tries_min: 1,
        within: Duration::from_secs(3),
        delay_first: Duration::from_millis(1),
        delay_max: Duration::from_millis(10),
    };
    let began = std::time::Instant::now();
    let patient = Retrying::with_policy(faulty.clone(), policy);
    patient.get("a").await.unwrap_err();
    assert!(faulty.operations() > 10);
    assert!(began.elapsed() < Duration::from_secs(20));

    let counting = Arc::new(Faulty::new(store, Fault::FirstTries(0)));
    let patient = Retrying::with_policy(counting.clone(), policy);
    let wrong = Put {
        sha256: Some([7; 32]),
        ..Put::default()
    };
    let error = patient.put("a", "x".into(), wrong).await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Corrupted);
    assert_eq!(counting.operations(), 3);
    patient.put("a", "x".into(), Put::default()).await.unwrap();
    let error = patient.get_range("a", 0..5).await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Corrupted);
    assert_eq!(counting.operations(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_holds_the_contract() {
    let client = s3().await;
    let bucket = bucket(&client).await;
    suite::holds(Arc::new(S3Store::new(client, bucket, ""))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_below_a_prefix_with_retries_holds_the_contract() {
    let client = s3().await;
    let bucket = bucket(&client).await;
    let whole = S3Store::new(client.clone(), &bucket, "");
    suite::holds(impatient(Arc::new(S3Store::new(client, &bucket, "/a/b/")))).await;
    assert_eq!(whole.list_folders("").await.unwrap(), ["a/"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locking_store_holds_the_contract() {
    let client = s3().await;
    let bucket = lockable(&client).await;
    let lock = ObjectLock {
        mode: LockMode::Governance,
        until: Utc::now() + TimeDelta::days(1),
    };
    let store = Arc::new(S3Store::new(client, bucket, ""));
    suite::holds(Arc::new(Locking::new(store, lock))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_versioned_bucket_gives_back_what_was_deleted() {
    let client = s3().await;
    let bucket = bucket(&client).await;
    let enabled = VersioningConfiguration::builder()
        .status(BucketVersioningStatus::Enabled)
        .build();
    let versioning = client.put_bucket_versioning().bucket(&bucket);
    versioning
        .versioning_configuration(enabled)
        .send()
        .await
        .unwrap();
    let inner = impatient(Arc::new(S3Store::new(client, &bucket, "/a/b/")));
    let store: Arc<dyn ObjectStore> = Arc::new(Prefixed::new(inner, "c d"));
    let put = async |key: &str, text: &'static str| {
        store.put(key, text.into(), Put::default()).await.unwrap();
    };
    for key in ["x/1", "x/2", "x/3", "y/ü+&=?%#"] {
        put(key, "old").await;
        put(key, "content").await;
    }
    assert_eq!(store.list_deleted("").await.unwrap(), []);
    let gone = ["x/1".to_owned(), "x/3".to_owned(), "y/ü+&=?%#".to_owned()];
    store.delete(&gone).await.unwrap();
    // Deleted twice, and deleted and written again.
    store.delete(&gone[..1]).await.unwrap();
    put("x/3", "newer").await;

    let deleted = store.list_deleted("").await.unwrap();
    let keys: Vec<&str> = deleted.iter().map(|object| object.key.as_str()).collect();
    assert_eq!(keys, ["x/1", "y/ü+&=?%#"]);
    assert_eq!(store.list_deleted("x/").await.unwrap(), deleted[..1]);
    assert_eq!(deleted[0].bytes, 7);
    assert!(deleted[0].deleted_at >= deleted[0].written_at);
    let part = store.get_deleted(&deleted[0], Some(3..7)).await.unwrap();
    assert_eq!(part, "tent");
    let beyond = store.get_deleted(&deleted[0], Some(3..8)).await;
    assert_eq!(beyond.unwrap_err().kind, StorageErrorKind::Corrupted);

    // As though nothing had been deleted.
    let view = Undeleted::of(store.clone()).await.unwrap();
    let listed = view.list("x/").await.unwrap();
    let listed: Vec<&str> = listed.iter().map(|meta| meta.key.as_str()).collect();
    assert_eq!(listed, ["x/1", "x/2", "x/3"]);
    assert_eq!(view.list_folders("").await.unwrap(), ["x/", "y/"]);
    for (key, content) in [("x/1", "content"), ("x/2", "content"), ("x/3", "newer")] {
        assert_eq!(view.get(key).await.unwrap(), content);
        assert_eq!(view.head(key).await.unwrap().bytes, content.len() as u64);
    }
    assert_eq!(view.get_range("y/ü+&=?%#", 0..3).await.unwrap(), "con");
    view.put("x/4", "x".into(), Put::default())
        .await
        .unwrap_err();
    view.delete(&gone).await.unwrap_err();

    for object in &deleted {
        store.undelete(object).await.unwrap();
        assert_eq!(store.get(&object.key).await.unwrap(), "content");
    }
    assert_eq!(store.list_deleted("").await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_keeps_no_versions_says_so() {
    let client = s3().await;
    let bucket = bucket(&client).await;
    let store = S3Store::new(client, &bucket, "");
    store.put("x", "1".into(), Put::default()).await.unwrap();
    store.delete(&["x".to_owned()]).await.unwrap();
    assert_eq!(store.list_deleted("").await.unwrap(), []);

    let (_folder, store) = folder();
    let wrapped = impatient(Arc::new(Counting::new(Arc::new(Prefixed::new(store, "a")))));
    let error = wrapped.list_deleted("b/").await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::NoVersions);
    assert!(Undeleted::of(wrapped).await.is_err());
}
