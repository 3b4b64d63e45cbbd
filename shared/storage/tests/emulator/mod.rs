//! Stores for tests: folders, and buckets of the emulator that `tests/run` starts.

use std::sync::Arc;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::types::{ObjectLockConfiguration, ObjectLockEnabled};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use logisedge_storage::{FolderStore, ObjectStore, RetryPolicy, Retrying};

pub(crate) fn folder() -> (tempfile::TempDir, Arc<dyn ObjectStore>) {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::new(folder.path()).unwrap();
    (folder, Arc::new(store))
}

pub(crate) fn impatient(store: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
    let policy = RetryPolicy {
        tries_min: 4,
        within: Duration::ZERO,
        delay_first: Duration::from_millis(1),
        delay_max: Duration::from_millis(2),
    };
    Arc::new(Retrying::with_policy(store, policy))
}

pub(crate) async fn s3() -> aws_sdk_s3::Client {
    assert!(
        std::env::var_os("AWS_ENDPOINT_URL").is_some(),
        "AWS_ENDPOINT_URL is not set: run tests/run, which starts an emulator of S3"
    );
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let config = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .load()
        .await;
    let config = aws_sdk_s3::config::Builder::from(&config)
        .force_path_style(true)
        .retry_config(RetryConfig::disabled());
    aws_sdk_s3::Client::from_conf(config.build())
}

/// A bucket of its own for each test.
pub(crate) async fn bucket(client: &aws_sdk_s3::Client) -> String {
    let name = format!("contract-{:016x}", getrandom::u64().unwrap());
    client.create_bucket().bucket(&name).send().await.unwrap();
    name
}

/// One whose objects can be locked.
pub(crate) async fn lockable(client: &aws_sdk_s3::Client) -> String {
    let name = format!("locked-{:016x}", getrandom::u64().unwrap());
    let create = client.create_bucket().bucket(&name);
    let create = create.object_lock_enabled_for_bucket(true);
    create.send().await.unwrap();
    let enabled = ObjectLockConfiguration::builder();
    let enabled = enabled.object_lock_enabled(ObjectLockEnabled::Enabled);
    let configure = client.put_object_lock_configuration().bucket(&name);
    let configure = configure.object_lock_configuration(enabled.build());
    configure.send().await.unwrap();
    name
}
