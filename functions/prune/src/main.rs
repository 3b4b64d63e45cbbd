//! The prune function: applies a scope's retention, and frees what no snapshot needs any more.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use logisedge_domain::event::Event;
use logisedge_domain::id::{LocationName, ScopeName};
use logisedge_engine::prune::{Locations, ScopePlan, locations_of, prune};
use logisedge_engine::{EngineError, EngineErrorKind};
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
        let time_left = invocation.time_left.saturating_sub(begun.elapsed());
        let outcome = prune(
            &function.catalog,
            &scope,
            &locations,
            &invocation.request_id,
            Some(time_left),
        )
        .await;
        match outcome {
            // A backup has the scope, and ends sooner or later.
            Err(error) if is_busy(&error) => {
                if time_left < BUSY_FOR + PRUNE_TIME_MIN {
                    return Err(still_busy(error, begun.elapsed()));
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
    for left in done.left.iter().chain(&done.stuck) {
        warn!(%scope, "left for the next prune: {left}");
    }
    Ok(json!({ "plan": short(plan), "done": done }))
}

/// Somebody else has the scope's lease; what else is refused stays so.
fn is_busy(error: &EngineError) -> bool {
    error.kind == EngineErrorKind::Refused && error.retry.is_transient()
}

/// Lambda tries again, twice; who then still has not pruned leaves a dead letter, and somebody is told. A day
/// without a prune is also one whose locks were not renewed.
fn still_busy(error: EngineError, waited: Duration) -> Failure {
    Failure {
        message: format!(
            "not pruned, after {} s: {}; where this comes again, let the stack prune at another time \
             (PruneAllSchedule)",
            waited.as_secs(),
            error.message
        ),
        retry: error.retry,
    }
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
