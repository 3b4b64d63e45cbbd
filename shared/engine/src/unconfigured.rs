//! Ending causes of alerts of what was taken out of the configuration.

use logisedge_catalog::{Catalog, Message};
use logisedge_domain::Instant;
use logisedge_domain::alert::Resolution;
use logisedge_domain::config::Config;

use crate::EngineError;

/// Says of each cause that goes on whether its scope, schedule or location is gone. It looks at the causes
/// and not at what changed, so that it also ends what a run tells that was still going then. Costs one query
/// where all are configured.
pub(crate) async fn end_unconfigured(
    catalog: &Catalog,
    config: &Config,
    now: Instant,
) -> Result<(), EngineError> {
    let mut ended = Vec::new();
    for state in catalog.all_causes().await? {
        let Some(resolution) = Resolution::unconfigured(&state.cause, config, now) else {
            continue;
        };
        let message = Message::Resolution(resolution);
        match state.cause.location() {
            // Configured again, it is told again. Refused: somebody tells its level right now.
            Some(location) => {
                let usage = catalog.usage(&location).await?;
                catalog.tell_level(&usage, None, now, &[message]).await?;
            }
            None => ended.push(message),
        }
    }
    catalog.enqueue(&ended).await?;
    Ok(())
}
