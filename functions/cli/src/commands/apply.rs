//! `apply`: checks a configuration file whole, shows the difference, and makes it the one in force.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::Utc;
use logisedge_domain::config::{Config, diff};
use logisedge_domain::format;
use logisedge_domain::id::{RunId, ScopeName};
use logisedge_domain::manifest::ForeignKeyEdge;
use logisedge_domain::scope::Selection;
use logisedge_domain::snapshot::SnapshotRecord;
use logisedge_engine::configure;
use logisedge_engine::dispatch::Dispatched;
use logisedge_sources::SourceErrorKind;
use serde::Serialize;

use crate::args::Apply;
use crate::commands::Context;
use crate::error::CliError;

#[derive(Serialize)]
struct Applied {
    changes: Vec<String>,
    outside_references: Vec<(String, ForeignKeyEdge)>,
    unchecked: Vec<String>,
    /// What stays of scopes and locations that are taken out.
    stays: Vec<String>,
    applied: bool,
    /// What was overdue of schedules that changed: runs that were asked for, and missed ones.
    requested: Vec<RunId>,
    missed: Vec<RunId>,
}

pub(crate) async fn apply(context: &Context, args: &Apply) -> Result<(), CliError> {
    let new = read(&args.file)?;
    let old = context.catalog.load_config().await?;
    let changes: Vec<String> = diff(&old, &new).iter().map(ToString::to_string).collect();
    let (outside_references, unchecked) = if args.offline {
        (Vec::new(), Vec::new())
    } else {
        check_scopes(context, &new).await?
    };
    let stays = what_stays(context, &old, &new).await?;
    let overdue = match args.dry_run {
        true => {
            configure::check(&context.catalog, &new).await?;
            Dispatched::default()
        }
        false => configure::apply(&context.catalog, &new, Utc::now()).await?,
    };
    let applied = Applied {
        changes,
        outside_references,
        unchecked,
        stays,
        applied: !args.dry_run,
        requested: overdue.requested,
        missed: overdue.missed,
    };
    context.output.show(&applied, |applied| text(applied, &new));
    Ok(())
}

/// Reads and validates a configuration file; every problem is told at once.
pub(crate) fn read(file: &Path) -> Result<Config, CliError> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|e| CliError::failed(format!("cannot read {name}: {e}")))?;
    Config::parse(&text, &name).map_err(|problems| CliError::failed(problems.to_string()))
}

/// Opens every scope once: a pattern of a scheduled scope that matches nothing is an error, a foreign
/// key that leaves a scope is shown, and what stands in the way of a scope that no schedule uses, or a
/// source that this machine cannot reach, is told as a warning.
async fn check_scopes(
    context: &Context,
    config: &Config,
) -> Result<(Vec<(String, ForeignKeyEdge)>, Vec<String>), CliError> {
    let mut edges = Vec::new();
    let mut unchecked = Vec::new();
    for scope in config.scopes.values() {
        if scope.selection == Selection::Everything {
            continue;
        }
        let Some(source) = config.sources.get(&scope.source) else {
            continue;
        };
        let source = match context.aws.open_source(source).await {
            Ok(source) => source,
            Err(error) => {
                unchecked.push(format!(
                    "not checked from here: scope {}: {error}",
                    scope.name
                ));
                continue;
            }
        };
        match source.open(&scope.selection, None).await {
            Ok(snapshot) => {
                let found = snapshot.facts().outside_references.iter().cloned();
                edges.extend(found.map(|edge| (scope.name.to_string(), edge)));
            }
            Err(error)
                if error.kind == SourceErrorKind::NotFound && is_scheduled(config, &scope.name) =>
            {
                return Err(CliError::not_found(format!(
                    "scope {}: {error}",
                    scope.name
                )));
            }
            Err(error) if error.kind == SourceErrorKind::NotFound => {
                unchecked.push(format!(
                    "scope {}: {error} (no schedule uses it)",
                    scope.name
                ));
            }
            Err(error) => unchecked.push(format!(
                "not checked from here: scope {}: {error}",
                scope.name
            )),
        }
    }
    Ok((edges, unchecked))
}

/// Of each scope and location that is taken out while there are snapshots of it: what becomes of them.
async fn what_stays(
    context: &Context,
    old: &Config,
    new: &Config,
) -> Result<Vec<String>, CliError> {
    let scopes = old.scopes.keys();
    let scopes: Vec<_> = scopes
        .filter(|name| !new.scopes.contains_key(*name))
        .collect();
    let locations = old.locations.keys();
    let locations: Vec<_> = locations
        .filter(|name| !new.locations.contains_key(*name))
        .collect();
    if scopes.is_empty() && locations.is_empty() {
        return Ok(Vec::new());
    }
    let records = context.catalog.all_snapshots().await?;
    let those = |is_of: &dyn Fn(&SnapshotRecord) -> bool| {
        let bytes = records.iter().filter(|record| is_of(record));
        let bytes: Vec<u64> = bytes.map(|record| record.bytes_stored).collect();
        let snapshots = format::counted(bytes.len() as u64, "snapshot");
        let stored = format::bytes(bytes.iter().sum());
        (!bytes.is_empty()).then(|| format!("{snapshots} ({stored})"))
    };
    let of_scopes = scopes.into_iter().filter_map(|name| {
        let those = those(&|record| record.scope == *name)?;
        Some(format!(
            "scope {name} is taken out; left of it: {those}, which can be restored, but which no daily round \
             verifies or prunes until the file has the scope again"
        ))
    });
    let of_locations = locations.into_iter().filter_map(|name| {
        let those = those(&|record| record.location == *name)?;
        Some(format!(
            "location {name} is taken out; left there: {those}, which cannot be restored, verified or pruned \
             until the file has the location again"
        ))
    });
    Ok(of_scopes.chain(of_locations).collect())
}

fn is_scheduled(config: &Config, scope: &ScopeName) -> bool {
    config
        .schedules
        .iter()
        .any(|schedule| schedule.scopes.contains(scope))
}

/// A paragraph for each scope with foreign keys that leave it.
fn outside(references: &[(String, ForeignKeyEdge)]) -> Vec<String> {
    let mut by_scope: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (scope, edge) in references {
        let edges = by_scope.entry(scope).or_default();
        edges.push(format!("{} → {}", edge.from, edge.to));
    }
    let told = by_scope.into_iter().map(|(scope, edges)| {
        format!(
            "note: scope {scope} has foreign keys to tables that it does not hold; restored alone, it \
             comes without these constraints:\n      {}",
            edges.join("\n      ")
        )
    });
    told.collect()
}

fn text(applied: &Applied, config: &Config) -> String {
    let mut lines = Vec::new();
    match applied.changes.as_slice() {
        [] => lines.push("No change.".to_owned()),
        changes => lines.extend(changes.iter().map(|change| format!("  {change}"))),
    }
    lines.extend(outside(&applied.outside_references));
    let warnings = applied.unchecked.iter().chain(&applied.stays);
    lines.extend(warnings.map(|reason| format!("warning: {reason}")));
    for (runs, what) in [
        (
            &applied.requested,
            "was due already and runs as it was configured before",
        ),
        (&applied.missed, "was missed before this change"),
    ] {
        lines.extend(runs.iter().map(|run| format!("Run {run} {what}")));
    }
    if applied.applied {
        let slots = configure::next_slots(config, Utc::now());
        for schedule in &config.schedules {
            if let Some(Some(next)) = slots.get(&schedule.name) {
                lines.push(format!(
                    "Schedule {} is next due {} ({})",
                    schedule.name,
                    next.with_timezone(&schedule.zone)
                        .format("%Y-%m-%d %H:%M %Z"),
                    crate::output::utc(*next)
                ));
            }
        }
    } else {
        lines.push("Nothing was changed (--dry-run).".to_owned());
    }
    lines.join("\n")
}
