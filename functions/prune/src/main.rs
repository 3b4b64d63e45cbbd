//! The prune function: applies a scope's retention.

use std::collections::BTreeSet;

use logisedge_domain::event::Event;
use logisedge_domain::id::{LocationName, ScopeName};
use logisedge_engine::EngineError;
use logisedge_engine::prune::{Locations, locations_of, prune};
use logisedge_runtime::{Failure, Function, Invocation};
use serde_json::{Value, json};
use tracing::info;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    Function::start("prune").await?.serve(handle).await
}

async fn handle(function: Function, invocation: Invocation) -> Result<Value, Failure> {
    let Event::PruneRequested { scope } = Event::from_detail(invocation.detail())? else {
        return Err(Failure::permanent(
            "the prune function only takes PruneRequested",
        ));
    };
    let locations = open(&function, &scope).await?;
    let (plan, done) = prune(
        &function.catalog,
        &scope,
        &locations,
        &invocation.request_id,
    )
    .await
    .map_err(failure)?;
    info!(%scope, snapshots = done.snapshots.len(), bytes = done.bytes, "pruned");
    Ok(json!({ "plan": plan, "done": done }))
}

/// Every location that holds a snapshot of the scope or may get one.
async fn open(function: &Function, scope: &ScopeName) -> Result<Locations, Failure> {
    let catalog = &function.catalog;
    let names: BTreeSet<LocationName> = locations_of(catalog, scope).await.map_err(failure)?;
    let mut locations = Locations::new();
    for name in names {
        let config = catalog.location(&name).await?.ok_or_else(|| {
            Failure::permanent(format!(
                "location {name} holds snapshots of scope {scope} and is not configured any more"
            ))
        })?;
        let store = function.aws.open_store(&config)?;
        locations.insert(name, store);
    }
    Ok(locations)
}

fn failure(error: EngineError) -> Failure {
    Failure {
        message: error.message,
        retry: error.retry,
    }
}
