//! Looking after causes of alerts whose interval is over: what was held back is told in a summary.

use logisedge_catalog::{Catalog, KnownCause, Message, Settled};
use logisedge_domain::Instant;
use logisedge_domain::alert::{CauseState, Quiet, WhenDue};

use crate::EngineError;
use crate::dispatch::{Dispatched, Work, side_by_side};

/// Tells what was held back of every cause whose interval is over, and forgets what no function claims
/// any more. What fails for one stops no other. Costs one query where nothing is due.
pub(crate) async fn summarise(
    catalog: &Catalog,
    now: Instant,
    done: &mut Dispatched,
) -> Result<(), EngineError> {
    let mut due = catalog.causes_due(now).await?;
    // Somebody tells of it right now, and will settle it.
    due.retain(|known| !known.is_claimed(now));
    if due.is_empty() {
        return Ok(());
    }
    let quiet = catalog.alert_settings().await?.quiet;
    let look = |known: KnownCause| -> Work<'_> {
        Box::pin(async move {
            let told = look_after(catalog, &known, quiet, now).await?;
            Ok(Dispatched {
                summaries: u64::from(told),
                ..Dispatched::default()
            })
        })
    };
    side_by_side(due, look, done).await;
    Ok(())
}

async fn look_after(
    catalog: &Catalog,
    known: &KnownCause,
    quiet: Quiet,
    now: Instant,
) -> Result<bool, EngineError> {
    let (state, told) = match known.state.as_ref().map(|s| (s, s.at_due(quiet, now))) {
        Some((_, Some(WhenDue::Summary(alert, state)))) => (Some(*state), Some(alert)),
        // Its first alert was claimed and never told: it still waits in the outbox.
        Some((_, Some(WhenDue::Forget))) | None => (None, None),
        // A claim that ran out, or another interval by now.
        Some((state, None)) => (Some(state.clone()), None),
    };
    let settled = Settled {
        state: state.as_ref(),
        due_at: state.as_ref().and_then(|s: &CauseState| s.due_at(quiet)),
        delivered: None,
    };
    let outbox: Vec<Message> = told
        .map(|alert| Message::Alert(*alert))
        .into_iter()
        .collect();
    // Refused: it changed meanwhile, and whoever did that looked after it.
    let done = catalog.settle_cause(known, settled, &outbox, now).await?;
    Ok(done && !outbox.is_empty())
}
