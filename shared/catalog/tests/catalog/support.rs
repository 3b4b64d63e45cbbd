//! Tables, instants and values for the tests.

use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use chrono::{TimeDelta, TimeZone, Utc};
use logisedge_catalog::{Begin, Catalog};
use logisedge_domain::Instant;
use logisedge_domain::id::{
    ChainPath, Fence, LocationName, RunId, ScheduleName, ScopeName, SnapshotId,
};
use logisedge_domain::run::{Cause, Run, RunProgress, RunState};
use logisedge_domain::snapshot::{Kind, SnapshotRecord, Trust};
use logisedge_domain::storage::StorageTier;

pub(crate) const LEASE: Duration = Duration::from_secs(60);

pub(crate) async fn client() -> aws_sdk_dynamodb::Client {
    assert!(
        std::env::var_os("AWS_ENDPOINT_URL").is_some(),
        "AWS_ENDPOINT_URL is not set: run tests/run, which starts an emulator of DynamoDB"
    );
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let config = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .load()
        .await;
    aws_sdk_dynamodb::Client::new(&config)
}

pub(crate) async fn catalog() -> Catalog {
    let name = format!("catalog-{:016x}", getrandom::u64().unwrap());
    Catalog::create_table(client().await, name).await.unwrap()
}

/// So many seconds after an instant that has nothing to do with the clock.
pub(crate) fn at(seconds: i64) -> Instant {
    Utc.with_ymd_and_hms(2026, 11, 24, 2, 0, 0).unwrap() + TimeDelta::seconds(seconds)
}

pub(crate) fn scope(name: &str) -> ScopeName {
    ScopeName::new(name).unwrap()
}

/// The run of the scope `customers` in the slot of that second.
pub(crate) fn run(slot: i64) -> Run {
    run_of("customers", slot)
}

pub(crate) fn run_of(scope_name: &str, slot: i64) -> Run {
    let schedule = ScheduleName::new("daily").unwrap();
    let scope = scope(scope_name);
    Run {
        id: RunId::scheduled(&schedule, at(slot), &scope),
        cause: Cause::Schedule {
            schedule,
            slot: at(slot),
        },
        scope,
        location: LocationName::new("main").unwrap(),
        kind: Kind::Full,
        kind_taken: None,
        state: RunState::Requested,
        attempts: 0,
        retry_at: None,
        fence: None,
        requested_at: at(slot),
        start_by: None,
        finish_by: None,
        started_at: None,
        ended_at: None,
        reason: None,
        kind_reason: None,
        chain: None,
        snapshot: None,
        progress: RunProgress::default(),
        stats: None,
    }
}

pub(crate) fn snapshot(run: &Run, number: u8, taken_at: Instant) -> SnapshotRecord {
    SnapshotRecord {
        id: SnapshotId::from_bytes([number; 32]),
        scope: run.scope.clone(),
        location: run.location.clone(),
        chain: ChainPath::new(&run.scope, taken_at),
        kind: Kind::Full,
        kind_reason: None,
        base: None,
        run: run.id.clone(),
        schedule: run.cause.schedule().cloned(),
        tier: StorageTier::Standard,
        taken_at,
        tables: 3,
        rows: u64::MAX,
        bytes: 1 << 50,
        bytes_stored: 7,
        trust: Trust::Unverified,
        verified_at: None,
        findings: 0,
        deleting_since: None,
        hold: None,
        locked_until: None,
    }
}

pub(crate) async fn begin(catalog: &Catalog, run: &Run, now: Instant) -> Begin {
    let chain = ChainPath::new(&run.scope, now);
    catalog
        .begin_attempt(&run.id, &run.scope, "test", now, LEASE, &chain)
        .await
        .unwrap()
}

/// Records a run and begins its first attempt.
pub(crate) async fn started(catalog: &Catalog, run: &Run, now: Instant) -> Fence {
    assert!(catalog.record_run(run, Some(now), &[]).await.unwrap());
    match begin(catalog, run, now).await {
        Begin::Started { fence, .. } => fence,
        other => panic!("{other:?}"),
    }
}
