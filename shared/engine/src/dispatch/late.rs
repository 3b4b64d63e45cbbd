//! Telling of runs that do not keep to their schedule's time.

use logisedge_catalog::{Catalog, Message};
use logisedge_domain::Instant;
use logisedge_domain::alert::{Alert, Limit};
use logisedge_domain::run::Run;

use super::Dispatched;
use crate::EngineError;

/// A run with a limit that has passed: it is told that the run did not keep it, once, and the run's next
/// limit counts from here. A run that kept it is only moved on.
pub(super) async fn pass_limit(
    catalog: &Catalog,
    run: Run,
    limit: Instant,
    now: Instant,
) -> Result<Dispatched, EngineError> {
    let mut done = Dispatched::default();
    let (which, next) = if run.start_by == Some(limit) {
        (Limit::Start, run.finish_by)
    } else {
        (Limit::Finish, None)
    };
    let in_time = match which {
        // An attempt that begins in time moves the limit on: only a first one that was late gets here.
        Limit::Start => run.attempts > 0 && run.started_at.is_some_and(|at| at <= limit),
        Limit::Finish => run.ended_at.is_some_and(|at| at <= limit),
    };
    let alerts: Vec<Message> = (!in_time)
        .then(|| Message::Alert(Alert::late(&run, which, now)))
        .into_iter()
        .collect();
    let passed = catalog.pass_limit(&run, limit, next, now, &alerts).await?;
    if passed && !in_time {
        done.late.push(run.id);
    }
    Ok(done)
}
