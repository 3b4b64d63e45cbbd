//! `prune`: shows what retention keeps and why, and deletes the rest.

use chrono::Utc;
use logisedge_domain::format;
use logisedge_domain::id::ScopeName;
use logisedge_engine::prune::{Locations, Pruned, ScopePlan, locations_of, plan, prune as execute};
use serde::Serialize;

use crate::commands::Context;
use crate::error::CliError;
use crate::output::{table, utc};

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    plan: ScopePlan,
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<Pruned>,
}

pub(crate) async fn prune(
    context: &Context,
    scope: Option<&ScopeName>,
    dry_run: bool,
) -> Result<(), CliError> {
    let scopes: Vec<ScopeName> = match scope {
        Some(scope) => vec![scope.clone()],
        None => context
            .catalog
            .scopes()
            .await?
            .into_iter()
            .map(|scope| scope.name)
            .collect(),
    };
    let mut shown = Vec::new();
    for scope in &scopes {
        let locations = open_locations(context, scope).await?;
        if dry_run {
            let plan = plan(&context.catalog, scope, &locations, Utc::now()).await?;
            shown.push(Shown { plan, done: None });
        } else {
            let holder = format!("cli-{}", std::process::id());
            let (plan, done) = execute(&context.catalog, scope, &locations, &holder).await?;
            shown.push(Shown {
                plan,
                done: Some(done),
            });
        }
    }
    context.output.show(&shown, |shown| {
        shown.iter().map(text).collect::<Vec<_>>().join("\n\n")
    });
    Ok(())
}

async fn open_locations(context: &Context, scope: &ScopeName) -> Result<Locations, CliError> {
    let mut locations = Locations::new();
    for name in locations_of(&context.catalog, scope).await? {
        let config = context.location_config(&name).await?;
        let store = context.aws.open_store(&config)?;
        locations.insert(name, store);
    }
    Ok(locations)
}

fn text(shown: &Shown) -> String {
    let plan = &shown.plan.plan;
    let mut lines = vec![format!("Scope {} at {}", plan.scope, utc(plan.now))];
    if plan.decisions.is_empty() {
        lines.push("  no snapshots".to_owned());
    } else {
        lines.push(table(
            &["SNAPSHOT", "DECISION", "WHY"],
            plan.decisions.iter().map(|decision| {
                let verb = if decision.keep { "keep" } else { "delete" };
                vec![
                    decision.snapshot.short(),
                    verb.to_owned(),
                    decision.reason.clone(),
                ]
            }),
            &[],
        ));
    }
    for (location, chain) in &shown.plan.abandoned {
        lines.push(format!(
            "  delete {chain} at {location}: a killed attempt left it"
        ));
    }
    for (location, chain) in &shown.plan.unknown {
        lines.push(format!(
            "  leave {chain} at {location}: the catalog does not know it (`catalog rebuild` does)"
        ));
    }
    lines.push(match &shown.done {
        None => "  Nothing was changed (--dry-run).".to_owned(),
        Some(done) => format!(
            "  Deleted {} snapshots and {} abandoned chains: {} objects, {}",
            done.snapshots.len(),
            done.chains.len(),
            done.objects,
            format::bytes(done.bytes)
        ),
    });
    lines.join("\n")
}
