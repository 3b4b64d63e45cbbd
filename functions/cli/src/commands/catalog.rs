//! `catalog rebuild`: the catalog from the locations alone.

use std::path::Path;

use chrono::Utc;
use logisedge_domain::id::LocationName;
use logisedge_engine::rebuild::{Rebuilt, rebuild as rebuild_location};
use logisedge_engine::{Progress, configure};
use serde::Serialize;

use crate::bar::during;
use crate::commands::{Context, apply};
use crate::error::CliError;

#[derive(Serialize)]
struct Shown {
    location: LocationName,
    #[serde(flatten)]
    rebuilt: Rebuilt,
}

pub(crate) async fn rebuild(
    context: &Context,
    only: Option<&LocationName>,
    config: Option<&Path>,
) -> Result<(), CliError> {
    if let Some(file) = config {
        configure::apply(&context.catalog, &apply::read(file)?, Utc::now()).await?;
    }
    let config = context.catalog.load_config().await?;
    if config.locations.is_empty() {
        return Err(CliError::not_found(
            "the catalog knows no location: name the configuration file with --config",
        ));
    }
    if let Some(name) = only.filter(|name| !config.locations.contains_key(name)) {
        return Err(CliError::not_found(format!(
            "there is no location {name} in the configuration"
        )));
    }
    let mut shown = Vec::new();
    for (name, location) in &config.locations {
        if only.is_some_and(|only| only != name) {
            continue;
        }
        let (store, password) = context.aws.open_location(location).await?;
        let progress = Progress::new();
        let work = rebuild_location(&context.catalog, name, &store, &password, &progress);
        let rebuilt = during("reading the location", &progress, work).await?;
        shown.push(Shown {
            location: name.clone(),
            rebuilt,
        });
    }
    let unreadable: usize = shown
        .iter()
        .map(|shown| shown.rebuilt.unreadable.len())
        .sum();
    context.output.show(&shown, |shown| {
        shown.iter().map(text).collect::<Vec<_>>().join("\n")
    });
    match unreadable {
        0 => Ok(()),
        n => Err(CliError::findings(format!("{n} chains could not be read"))),
    }
}

fn text(shown: &Shown) -> String {
    let Shown { location, rebuilt } = shown;
    let mut lines = vec![format!(
        "Location {location}: {} snapshots recorded, {} known already",
        rebuilt.recorded.len(),
        rebuilt.known
    )];
    lines.extend(
        rebuilt
            .held
            .iter()
            .map(|id| format!("  {} is held, which the catalog did not know", id.short())),
    );
    lines.extend(
        rebuilt
            .unreadable
            .iter()
            .map(|(chain, why)| format!("  cannot read {chain}: {why}")),
    );
    lines.join("\n")
}
