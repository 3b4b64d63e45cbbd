//! Sending the digest that is due.

use logisedge_catalog::{Catalog, DueDigest, Message};
use logisedge_domain::Instant;
use logisedge_domain::alert::{Alert, DigestTime};

use crate::EngineError;

/// Runs that a digest counts: a minute's schedule for a day, or a hundred daily ones for a week, twice.
const RUNS_MAX: usize = 3000;

/// Sends the digest and moves it on to its next time.
pub(crate) async fn send_digest(
    catalog: &Catalog,
    read: &DueDigest,
    time: Option<DigestTime>,
    now: Instant,
) -> Result<(), EngineError> {
    let Some(next) = time.and_then(|time| time.next_after(now)) else {
        // It was turned off by somebody who did not come to its end.
        catalog.schedule_digest(None, now).await?;
        return Ok(());
    };
    let runs = catalog.runs_since(read.since, RUNS_MAX).await?;
    let causes = catalog.all_causes().await?;
    let mut locations = Vec::new();
    for (name, config) in catalog.load_config().await?.locations {
        locations.push((catalog.usage(&name).await?, config.capacity_bytes_max()));
    }
    let uncounted = runs.len() == RUNS_MAX;
    let digest = Alert::digest(read.since, &runs, uncounted, &causes, &locations, now);
    catalog
        .settle_digest(read, next, now, &[Message::Alert(digest)])
        .await?;
    Ok(())
}
