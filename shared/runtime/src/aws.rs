//! AWS clients, each made when it is first needed: a cold start pays for what it uses.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use logisedge_storage::{ObjectStore, Retrying, S3Store};

/// Time to a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Time for one try at a small request, such as one to DynamoDB; the SDK tries three times.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Time for one try at an object of S3, from the first byte sent to the first one answered: a pack
/// of 16 MiB over a line of half a megabit a second. A stall within it is noticed by the SDK sooner.
const OBJECT_WITHIN: Duration = Duration::from_secs(300);

/// Clients that share one connection pool, one set of credentials and one region.
#[derive(Debug, Clone)]
pub struct Aws(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: SdkConfig,
    dynamodb: OnceLock<aws_sdk_dynamodb::Client>,
    eventbridge: OnceLock<aws_sdk_eventbridge::Client>,
    secrets: OnceLock<aws_sdk_secretsmanager::Client>,
    sns: OnceLock<aws_sdk_sns::Client>,
}

impl Aws {
    /// Credentials, region and endpoint from the standard AWS environment and configuration files.
    /// Contacts nothing.
    pub async fn from_env() -> Self {
        let http = Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let timeouts = aws_config::timeout::TimeoutConfig::builder()
            .connect_timeout(CONNECT_WITHIN)
            .operation_attempt_timeout(ANSWER_WITHIN)
            .build();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .timeout_config(timeouts)
            .load()
            .await;
        Self(Arc::new(Shared {
            config,
            dynamodb: OnceLock::new(),
            eventbridge: OnceLock::new(),
            secrets: OnceLock::new(),
            sns: OnceLock::new(),
        }))
    }

    /// The configuration that all clients share.
    pub fn config(&self) -> &SdkConfig {
        &self.0.config
    }

    /// The client of DynamoDB.
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        let make = || aws_sdk_dynamodb::Client::new(&self.0.config);
        self.0.dynamodb.get_or_init(make).clone()
    }

    pub(crate) fn eventbridge(&self) -> &aws_sdk_eventbridge::Client {
        let make = || aws_sdk_eventbridge::Client::new(&self.0.config);
        self.0.eventbridge.get_or_init(make)
    }

    pub(crate) fn secrets(&self) -> &aws_sdk_secretsmanager::Client {
        let make = || aws_sdk_secretsmanager::Client::new(&self.0.config);
        self.0.secrets.get_or_init(make)
    }

    pub(crate) fn sns(&self) -> &aws_sdk_sns::Client {
        let make = || aws_sdk_sns::Client::new(&self.0.config);
        self.0.sns.get_or_init(make)
    }

    /// A bucket as a store, with retries. Contacts nothing.
    pub fn bucket(&self, bucket: &str, prefix: &str, region: Option<&str>) -> Arc<dyn ObjectStore> {
        let timeouts = aws_config::timeout::TimeoutConfig::builder()
            .connect_timeout(CONNECT_WITHIN)
            .read_timeout(OBJECT_WITHIN)
            .disable_operation_attempt_timeout();
        let mut s3 = aws_sdk_s3::config::Builder::from(&self.0.config)
            // The store's own wrapper retries: it knows that a create whose answer was lost may
            // have happened.
            .retry_config(aws_sdk_s3::config::retry::RetryConfig::disabled())
            .timeout_config(timeouts.build())
            // A configured endpoint is another store of S3's protocol, and those rarely have a host
            // name for each bucket.
            .force_path_style(self.0.config.endpoint_url().is_some());
        if let Some(region) = region {
            s3 = s3.region(Region::new(region.to_owned()));
        }
        let client = aws_sdk_s3::Client::from_conf(s3.build());
        Arc::new(Retrying::new(Arc::new(S3Store::new(
            client, bucket, prefix,
        ))))
    }
}
