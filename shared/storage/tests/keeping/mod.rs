//! Storage classes and locks, on S3's protocol: tags, thawing, Object Lock.

use std::sync::Arc;
use std::time::{Duration, Instant as Stopwatch};

use crate::emulator::{bucket, folder, impatient, lockable, s3};
use aws_sdk_s3::types::{BucketVersioningStatus, StorageClass, VersioningConfiguration};
use chrono::{DateTime, TimeDelta, Utc};
use logisedge_domain::storage::{LockMode, ObjectLock, StorageTier, ThawSpeed};
use logisedge_storage::{
    Counting, Locking, ObjectStore, Prefixed, Put, Readiness, S3Store, StorageErrorKind, Undeleted,
};

/// A store behind every wrapper, which all pass on what is asked here.
fn wrapped(store: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
    Arc::new(Counting::new(impatient(Arc::new(Prefixed::new(
        store, "c d",
    )))))
}

fn in_tier(tier: StorageTier) -> Put {
    Put {
        tier,
        ..Put::default()
    }
}

/// What a lifecycle rule does, at once: the emulator has no midnight.
async fn transition(client: &aws_sdk_s3::Client, bucket: &str, key: &str, class: StorageClass) {
    let copy = client.copy_object().bucket(bucket).key(key);
    let copy = copy.copy_source(format!("{bucket}/{}", key.replace(' ', "%20")));
    copy.storage_class(class).send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_to_be_cold_is_tagged_and_nothing_else() {
    let client = s3().await;
    let bucket = bucket(&client).await;
    let store = wrapped(Arc::new(S3Store::new(client.clone(), &bucket, "a")));
    for (key, tier, tag) in [
        ("standard", StorageTier::Standard, None),
        ("cold", StorageTier::Cold, Some("cold")),
        ("archive", StorageTier::Archive, Some("archive")),
    ] {
        store.put(key, "x".into(), in_tier(tier)).await.unwrap();
        let tags = client.get_object_tagging().bucket(&bucket);
        let tags = tags.key(format!("a/c d/{key}")).send().await.unwrap();
        let tags = tags.tag_set().iter().map(|tag| (tag.key(), tag.value()));
        let expected: Vec<_> = tag
            .map(|tag| ("logisedge-storage", tag))
            .into_iter()
            .collect();
        assert_eq!(tags.collect::<Vec<_>>(), expected);
    }
    let (_folder, store) = folder();
    store
        .put("x", "x".into(), in_tier(StorageTier::Archive))
        .await
        .unwrap();
    assert_eq!(store.readiness("x").await.unwrap(), Readiness::Readable);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_archived_is_read_once_it_was_thawed() {
    let client = s3().await;
    let bucket = bucket(&client).await;
    let store = wrapped(Arc::new(S3Store::new(client.clone(), &bucket, "a")));
    for key in ["hot", "cool", "frozen"] {
        store
            .put(key, "content".into(), Put::default())
            .await
            .unwrap();
    }
    transition(&client, &bucket, "a/c d/cool", StorageClass::GlacierIr).await;
    transition(&client, &bucket, "a/c d/frozen", StorageClass::DeepArchive).await;
    let listed = store.list("").await.unwrap();
    let classes: Vec<_> = listed.iter().map(|meta| meta.class.as_deref()).collect();
    assert_eq!(classes, [Some("GLACIER_IR"), Some("DEEP_ARCHIVE"), None]);
    let class = store.head("frozen").await.unwrap().class;
    assert_eq!(class.as_deref(), Some("DEEP_ARCHIVE"));
    for (key, readiness) in [
        ("hot", Readiness::Readable),
        ("cool", Readiness::Readable),
        ("frozen", Readiness::Archived),
    ] {
        assert_eq!(store.readiness(key).await.unwrap(), readiness);
    }
    let error = store.get("frozen").await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Archived);
    let error = store.get_range("frozen", 0..2).await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Archived);

    // Of what can be read anyway it is no error.
    store.thaw("hot", ThawSpeed::Standard, 2).await.unwrap();
    let asked = Stopwatch::now();
    store.thaw("frozen", ThawSpeed::Bulk, 2).await.unwrap();
    let readiness = store.readiness("frozen").await.unwrap();
    // The emulator takes two seconds for it: a slow machine comes too late.
    let is_late = asked.elapsed() >= Duration::from_secs(2);
    assert!(readiness == Readiness::Thawing || is_late, "{readiness:?}");
    // Nor is it to ask twice.
    store.thaw("frozen", ThawSpeed::Standard, 2).await.unwrap();
    while store.readiness("frozen").await.unwrap() == Readiness::Thawing {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(store.get("frozen").await.unwrap(), "content");
    let absent = store.thaw("absent", ThawSpeed::Standard, 2).await;
    assert_eq!(absent.unwrap_err().kind, StorageErrorKind::NotFound);

    let (_folder, store) = folder();
    store.put("x", "x".into(), Put::default()).await.unwrap();
    let error = store.thaw("x", ThawSpeed::Standard, 1).await.unwrap_err();
    assert!(error.message.contains("no archived classes"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_object_of_an_archived_class_is_known_as_one() {
    let client = s3().await;
    let bucket = bucket(&client).await;
    let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled);
    let versioning = client.put_bucket_versioning().bucket(&bucket);
    let versioning = versioning.versioning_configuration(on.build());
    versioning.send().await.unwrap();
    let store = wrapped(Arc::new(S3Store::new(client.clone(), &bucket, "a")));
    store
        .put("x", "content".into(), Put::default())
        .await
        .unwrap();
    transition(&client, &bucket, "a/c d/x", StorageClass::Glacier).await;
    store.delete(&["x".to_owned()]).await.unwrap();
    let deleted = store.list_deleted("").await.unwrap();
    assert_eq!(deleted[0].class.as_deref(), Some("GLACIER"));
    let view = Undeleted::of(store.clone()).await.unwrap();
    assert_eq!(view.readiness("x").await.unwrap(), Readiness::Archived);
    assert_eq!(
        view.list("").await.unwrap()[0].class.as_deref(),
        Some("GLACIER")
    );
}

async fn lock_of(
    client: &aws_sdk_s3::Client,
    bucket: &str,
    key: &str,
) -> Option<(String, DateTime<Utc>)> {
    let head = client.head_object().bucket(bucket).key(key);
    let head = head.send().await.unwrap();
    let until = head.object_lock_retain_until_date()?;
    let mode = head.object_lock_mode()?.as_str().to_owned();
    Some((mode, DateTime::from_timestamp(until.secs(), 0)?))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_holds_and_is_only_ever_extended() {
    let client = s3().await;
    let bucket = lockable(&client).await;
    let store = wrapped(Arc::new(S3Store::new(client.clone(), &bucket, "a")));
    let today = DateTime::from_timestamp(Utc::now().timestamp(), 0).unwrap();
    let days = |days| today + TimeDelta::days(days);
    let until = |mode, until| ObjectLock { mode, until };
    let locked = Put {
        lock: Some(until(LockMode::Governance, days(3))),
        ..Put::default()
    };
    let of_compliance = Put {
        lock: Some(until(LockMode::Compliance, days(1))),
        ..Put::default()
    };
    store.put("x", "content".into(), locked).await.unwrap();
    store
        .put("y", "content".into(), Put::default())
        .await
        .unwrap();
    let state = async |key: &str| lock_of(&client, &bucket, &format!("a/c d/{key}")).await;
    let is = |mode: &str, at| Some((mode.to_owned(), at));
    assert_eq!(state("x").await, is("GOVERNANCE", days(3)));
    assert_eq!(state("y").await, None);

    let extend = async |key: &str, lock| store.extend_lock(key, lock).await.unwrap();
    assert!(!extend("x", until(LockMode::Governance, days(2))).await);
    assert!(extend("x", until(LockMode::Governance, days(5))).await);
    assert!(extend("y", until(LockMode::Governance, days(1))).await);
    assert_eq!(state("x").await, is("GOVERNANCE", days(5)));
    assert_eq!(state("y").await, is("GOVERNANCE", days(1)));
    // S3 makes compliance of a lock in governance only for who may bypass that: it keeps its mode.
    assert!(!extend("x", until(LockMode::Compliance, days(4))).await);
    assert!(extend("x", until(LockMode::Compliance, days(6))).await);
    assert_eq!(state("x").await, is("GOVERNANCE", days(6)));
    store
        .put("z", "content".into(), of_compliance)
        .await
        .unwrap();
    assert!(extend("z", until(LockMode::Governance, days(4))).await);
    assert_eq!(state("z").await, is("COMPLIANCE", days(4)));

    // Deleted it still is, but not destroyed: by nobody, and it comes back.
    let versions = client.list_object_versions().bucket(&bucket);
    let versions = versions.prefix("a/c d/z").send().await.unwrap();
    let version = versions.versions()[0].version_id().unwrap();
    let destroy = client.delete_object().bucket(&bucket).key("a/c d/z");
    let destroy = destroy
        .version_id(version)
        .bypass_governance_retention(true);
    destroy.send().await.unwrap_err();
    store.delete(&["z".to_owned()]).await.unwrap();
    let deleted = store.list_deleted("").await.unwrap();
    store.undelete(&deleted[0]).await.unwrap();
    assert_eq!(store.get("z").await.unwrap(), "content");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_through_a_locking_store_is_locked() {
    let client = s3().await;
    let bucket = lockable(&client).await;
    let inner = wrapped(Arc::new(S3Store::new(client.clone(), &bucket, "a")));
    let today = DateTime::from_timestamp(Utc::now().timestamp(), 0).unwrap();
    let lock = |mode, days| ObjectLock {
        mode,
        until: today + TimeDelta::days(days),
    };
    let of_all = lock(LockMode::Governance, 3);
    let store: Arc<dyn ObjectStore> = Arc::new(Locking::new(inner.clone(), of_all));
    let own = Put {
        lock: Some(lock(LockMode::Compliance, 1)),
        ..Put::default()
    };
    store.put("x", "1".into(), Put::default()).await.unwrap();
    store.put("y", "1".into(), own).await.unwrap();
    inner.put("z", "1".into(), Put::default()).await.unwrap();
    let locks = [Some(("GOVERNANCE", 3)), Some(("COMPLIANCE", 1)), None];
    for (key, expected) in ["x", "y", "z"].into_iter().zip(locks) {
        let found = lock_of(&client, &bucket, &format!("a/c d/{key}")).await;
        let expected =
            expected.map(|(mode, days)| (mode.to_owned(), today + TimeDelta::days(days)));
        assert_eq!(found, expected, "{key}");
    }

    let (_folder, folder) = folder();
    let store = Locking::new(folder.clone(), of_all);
    let error = store
        .put("x", "1".into(), Put::default())
        .await
        .unwrap_err();
    assert!(error.message.contains("a folder has no locks"), "{error}");
    assert!(folder.list("").await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_lock_says_so_and_writes_nothing() {
    let lock = ObjectLock {
        mode: LockMode::Governance,
        until: Utc::now() + TimeDelta::days(1),
    };
    let put = Put {
        lock: Some(lock),
        ..Put::default()
    };
    let client = s3().await;
    let bucket = bucket(&client).await;
    let store = S3Store::new(client, &bucket, "");
    let error = store.put("x", "1".into(), put).await.unwrap_err();
    assert!(error.message.contains("has no Object Lock"), "{error}");
    assert!(store.list("").await.unwrap().is_empty());
    store.put("x", "1".into(), Put::default()).await.unwrap();
    let error = store.extend_lock("x", lock).await.unwrap_err();
    assert!(error.message.contains("has no Object Lock"), "{error}");

    let (_folder, store) = folder();
    let error = store.put("x", "1".into(), put).await.unwrap_err();
    assert!(error.message.contains("a folder has no locks"), "{error}");
    assert!(store.list("").await.unwrap().is_empty());
    let error = store.extend_lock("x", lock).await.unwrap_err();
    assert!(error.message.contains("it has no locks"), "{error}");
}
