//! The verify function: reads a snapshot back whole and records what it finds.

use chrono::Utc;
use logisedge_domain::event::Event;
use logisedge_engine::verify::verify_recorded;
use logisedge_engine::{EngineError, Progress};
use logisedge_runtime::{Failure, Function, Invocation};
use serde_json::{Value, json};
use std::time::Duration;
use tracing::{info, warn};

/// Time kept back for telling that the function's time ended.
const DEADLINE_MARGIN: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    Function::start("verify").await?.serve(handle).await
}

async fn handle(function: Function, invocation: Invocation) -> Result<Value, Failure> {
    let mut just_committed = false;
    let (scope, wanted) = match Event::from_detail(invocation.detail())? {
        Event::SnapshotCommitted {
            scope, snapshot, ..
        } => {
            just_committed = true;
            (scope, Some(snapshot))
        }
        Event::VerifyRequested { scope, snapshot } => (scope, snapshot),
        other => {
            let kind = other.detail_type();
            return Err(Failure::permanent(format!(
                "the verify function does not take {kind}"
            )));
        }
    };
    let catalog = &function.catalog;
    let records = catalog.snapshots(&scope).await?;
    let mut live = records
        .into_iter()
        .filter(|record| record.deleting_since.is_none());
    let Some(record) = live.find(|record| wanted.is_none_or(|id| record.id == id)) else {
        // Pruned since, or the scope has none yet: nothing to read back.
        return Ok(json!({ "nothing": "there is no such snapshot" }));
    };
    let now = Utc::now();
    if wanted.is_none() && !record.is_read_daily(now) {
        return Ok(
            json!({ "nothing": "its rows are dear to read, and were read within the month" }),
        );
    }
    if just_committed && record.verified_at.is_some() {
        return Ok(json!({ "nothing": "a repeated event: the snapshot is verified already" }));
    }
    let location = catalog.location(&record.location).await?.ok_or_else(|| {
        Failure::permanent(format!(
            "location {} is not configured any more",
            record.location
        ))
    })?;
    let (store, password) = function.aws.open_location(&location).await?;

    let holder = &invocation.request_id;
    let until = now + invocation.time_left;
    if !catalog
        .hold_in_use(&scope, &record.id, holder, until)
        .await?
    {
        return Ok(json!({ "nothing": "the snapshot is being deleted" }));
    }
    let usable = invocation.time_left.saturating_sub(DEADLINE_MARGIN);
    let progress = Progress::new();
    let work = verify_recorded(catalog, store, &password, &record, &progress);
    let outcome = match tokio::time::timeout(usable, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(EngineError::deadline(usable)),
    };
    if let Err(error) = catalog.release_use(&scope, &record.id, holder).await {
        warn!(%error, snapshot = %record.id, "stays in use until the function's time is over");
    }
    let verification = outcome?;
    info!(
        snapshot = %record.id,
        findings = verification.findings.len(),
        bytes = verification.bytes_read,
        packs_archived = verification.packs_archived,
        "verified"
    );
    Ok(json!({ "snapshot": record.id, "findings": verification.findings }))
}
