//! The backup function: one attempt at the run that a `BackupRequested` names.

use logisedge_domain::event::Event;
use logisedge_domain::run::Run;
use logisedge_engine::attempt::{Attempted, Places, attempt};
use logisedge_engine::{EngineError, Progress};
use logisedge_repository::Options;
use logisedge_runtime::{Failure, Function, Invocation, RuntimeError};
use serde_json::{Value, json};
use tracing::{error, info, warn};

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    Function::start("backup").await?.serve(handle).await
}

async fn handle(function: Function, invocation: Invocation) -> Result<Value, Failure> {
    let Event::BackupRequested { run, .. } = Event::from_detail(invocation.detail())? else {
        return Err(Failure::permanent(
            "the backup function only takes BackupRequested",
        ));
    };
    let attempted = attempt(
        &function.catalog,
        &run,
        &invocation.request_id,
        Some(invocation.time_left),
        &Progress::new(),
        |run| open(function.clone(), run),
    )
    .await?;
    Ok(match attempted {
        Attempted::Succeeded(taken) => {
            info!(%run, snapshot = %taken.record.id, bytes = taken.stats.bytes_read, "succeeded");
            json!({ "snapshot": taken.record.id })
        }
        Attempted::WillRetry(error) => {
            warn!(%run, %error, "failed and will be tried again");
            json!({ "retry": error.message })
        }
        Attempted::Failed(error) => {
            error!(%run, %error, "failed");
            json!({ "failed": error.message })
        }
        Attempted::Skipped => json!({ "skipped": "the scope's previous run is still going" }),
        Attempted::Nothing(why) => {
            info!(%run, why, "nothing to do");
            json!({ "nothing": why })
        }
    })
}

/// What the run works with, as configured now.
async fn open(function: Function, run: Run) -> Result<Places, EngineError> {
    let catalog = &function.catalog;
    let gone = |what: &str, name: &str| {
        EngineError::not_found(format!("{what} {name} is not configured any more"))
    };
    let scope = catalog.scope(&run.scope).await?;
    let scope = scope.ok_or_else(|| gone("scope", run.scope.as_str()))?;
    let source = catalog.source(&scope.source).await?;
    let source = source.ok_or_else(|| gone("source", scope.source.as_str()))?;
    let location = catalog.location(&run.location).await?;
    let location = location.ok_or_else(|| gone("location", run.location.as_str()))?;
    let lock_mode = location.object_lock();
    let (store, password) = function.aws.open_location(&location).await.map_err(place)?;
    let effort = source.effort();
    let source = function.aws.open_source(&source).await.map_err(place)?;
    Ok(Places {
        source,
        scope,
        store,
        password,
        options: Options::default().with_zstd_level(effort.zstd_level),
        memory_bytes_max: effort.memory_bytes_max,
        lock_mode,
    })
}

fn place(error: RuntimeError) -> EngineError {
    EngineError {
        retry: error.retry,
        ..EngineError::new(
            logisedge_engine::EngineErrorKind::Refused,
            error.to_string(),
        )
    }
}
