//! Looking at watched scopes: whether the newest good snapshot of each is young enough. The digest is due
//! along with them.

use logisedge_catalog::{Catalog, DueWatch, Message};
use logisedge_domain::Instant;
use logisedge_domain::alert::{Alert, Resolution, Severity};
use logisedge_domain::rpo::Tell;

use crate::EngineError;
use crate::digest::send_digest;
use crate::dispatch::{Dispatched, Work, side_by_side};

/// Looks at the scopes whose time has come. What fails for one stops no other. Costs one query where none
/// is due.
pub(crate) async fn look_at_watched(
    catalog: &Catalog,
    now: Instant,
    done: &mut Dispatched,
) -> Result<(), EngineError> {
    let (due, digest) = catalog.watches_due(now).await?;
    if due.is_empty() && digest.is_none() {
        return Ok(());
    }
    let settings = catalog.alert_settings().await?;
    let quiet = settings.quiet.after(Severity::Error);
    let look = |read: DueWatch| -> Work<'_> {
        Box::pin(async move {
            look(catalog, &read, quiet, now).await?;
            Ok(Dispatched::default())
        })
    };
    side_by_side(due, look, done).await;
    match digest {
        Some(read) => send_digest(catalog, &read, settings.digest, now).await,
        None => Ok(()),
    }
}

async fn look(
    catalog: &Catalog,
    read: &DueWatch,
    quiet: chrono::TimeDelta,
    now: Instant,
) -> Result<(), EngineError> {
    let watch = &read.watch;
    let scope = catalog.scope(&watch.scope).await?;
    let Some(rpo_seconds) = scope.and_then(|scope| scope.rpo_seconds) else {
        let told = watch.alerted_at.map(|_| good(read, None, now));
        catalog.unwatch(read, now, &Vec::from_iter(told)).await?;
        return Ok(());
    };
    let records = catalog.snapshots(&watch.scope).await?;
    let look = watch.look(rpo_seconds, &records, quiet, now);
    let told = look.tell.map(|tell| match tell {
        Tell::Overdue(overdue) => Message::Alert(Alert::no_good_snapshot(&overdue, now)),
        Tell::Good(taken_at) => good(read, taken_at, now),
    });
    // Refused: a verification made it due again meanwhile, or another dispatcher was faster.
    catalog
        .settle_watch(read, &look.watch, look.due_at, now, &Vec::from_iter(told))
        .await?;
    Ok(())
}

fn good(read: &DueWatch, taken_at: Option<Instant>, now: Instant) -> Message {
    Message::Resolution(Resolution::good_snapshot(&read.watch.scope, taken_at, now))
}
