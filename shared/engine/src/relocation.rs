//! A location that is to lie elsewhere under its old name.

use logisedge_catalog::Catalog;
use logisedge_domain::config::Config;
use logisedge_domain::format;

use crate::{EngineError, EngineErrorKind};

/// Refuses that while the catalog has snapshots at the old place. They would be looked for at the new one:
/// verify would find them missing, and prune forget them while their bytes lie where they were.
pub(crate) async fn refuse(catalog: &Catalog, config: &Config) -> Result<(), EngineError> {
    let before = catalog.load_config().await?;
    let mut moved = Vec::new();
    for (name, old) in &before.locations {
        if let Some(new) = config.locations.get(name)
            && new.place() != old.place()
        {
            moved.push((name, old, new));
        }
    }
    if moved.is_empty() {
        return Ok(());
    }
    let records = catalog.all_snapshots().await?;
    for (name, old, new) in moved {
        let there = records.iter().filter(|record| record.location == *name);
        let count = there.count() as u64;
        if count > 0 {
            return Err(EngineError::new(
                EngineErrorKind::Refused,
                format!(
                    "location {name} would move from {} to {}, and the catalog has {} at the old one: give the new \
                     place a name of its own and keep this one; what you copied there, \
                     `logisedge-backup catalog rebuild --location NAME` makes known",
                    old.place(),
                    new.place(),
                    format::counted(count, "snapshot"),
                ),
            ));
        }
    }
    Ok(())
}
