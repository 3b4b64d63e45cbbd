//! The prune function: applies a scope's retention, and frees what no snapshot needs any more.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use logisedge_domain::event::Event;
use logisedge_domain::id::{LocationName, ScopeName};
use logisedge_engine::EngineErrorKind;
use logisedge_engine::prune::{Locations, ScopePlan, locations_of, prune};
use logisedge_runtime::{Failure, Function, Invocation};
use serde_json::{Value, json};
use tracing::{info, warn};

/// How long to wait for a scope that is being backed up before asking again.
const BUSY_FOR: Duration = Duration::from_secs(15);

/// Packs of a chain that the answer tells of: an answer of a function has at most 6 MB
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>).
const PACKS_SHOWN: usize = 50;

/// Time that pruning itself should have left.
const PRUNE_TIME_MIN: Duration = Duration::from_secs(300);

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
    let begun = Instant::now();
    let (plan, done) = loop {
        let outcome = prune(
            &function.catalog,
            &scope,
            &locations,
            &invocation.request_id,
        )
        .await;
        match outcome {
            // A backup has the scope. It ends sooner or later, and tomorrow is another prune.
            Err(error) if error.kind == EngineErrorKind::Refused => {
                if begun.elapsed() + BUSY_FOR + PRUNE_TIME_MIN > invocation.time_left {
                    info!(%scope, "not pruned: the scope was busy all the time");
                    return Ok(json!({ "nothing": error.message }));
                }
                tokio::time::sleep(BUSY_FOR).await;
            }
            outcome => break outcome?,
        }
    };
    info!(
        %scope,
        snapshots = done.snapshots.len(),
        packs = done.packs,
        bytes_freed = done.bytes_freed(),
        locks_renewed = plan.locks.len(),
        "pruned"
    );
    for left in &done.left {
        warn!(%scope, "left for the next prune: {left}");
    }
    Ok(json!({ "plan": short(plan), "done": done }))
}

/// A plan that fits into an answer: of each chain's packs the first ones.
fn short(mut plan: ScopePlan) -> ScopePlan {
    for inside in &mut plan.chains {
        inside.plan.packs.truncate(PACKS_SHOWN);
    }
    plan
}

/// Every location that holds a snapshot of the scope or may get one.
async fn open(function: &Function, scope: &ScopeName) -> Result<Locations, Failure> {
    let catalog = &function.catalog;
    let names: BTreeSet<LocationName> = locations_of(catalog, scope).await?;
    let mut locations = Locations::new();
    for name in names {
        let Some(config) = catalog.location(&name).await? else {
            warn!(%scope, location = %name, "holds snapshots and is not configured any more: left alone");
            continue;
        };
        locations.insert(name, function.aws.open_priced(&config).await?);
    }
    Ok(locations)
}
