//! `prune`: shows what retention keeps and why, and deletes the rest.

use chrono::Utc;
use logisedge_domain::format;
use logisedge_domain::id::ScopeName;
use logisedge_domain::plan::DroppedSince;
use logisedge_engine::prune::{
    InsideChain, Locations, Pruned, Renewal, ScopePlan, locations_of, plan, prune as execute,
};
use logisedge_repository::prune::PackFate;
use serde::Serialize;

use crate::commands::Context;
use crate::error::CliError;
use crate::output::{table, utc};

/// Packs of a chain that are shown one by one to people.
const PACKS_SHOWN: usize = 20;

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
            let (plan, done) = execute(&context.catalog, scope, &locations, &holder, None).await?;
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

/// The locations that hold snapshots of a scope or may get some.
pub(crate) async fn open_locations(
    context: &Context,
    scope: &ScopeName,
) -> Result<Locations, CliError> {
    let mut locations = Locations::new();
    for name in locations_of(&context.catalog, scope).await? {
        let config = context.location_config(&name).await?;
        locations.insert(name, context.aws.open_priced(&config).await?);
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
            &["SNAPSHOT", "DECISION", "SINCE", "LOCKED UNTIL", "WHY"],
            plan.decisions.iter().map(|decision| {
                let verb = if decision.keep { "keep" } else { "delete" };
                let (since, unknown) = match &decision.since {
                    None => (String::new(), String::new()),
                    Some(DroppedSince::At(at)) => (utc(*at), String::new()),
                    Some(DroppedSince::Unknown(why)) => {
                        ("unknown".to_owned(), format!(" (since when: {why})"))
                    }
                };
                vec![
                    decision.snapshot.short(),
                    verb.to_owned(),
                    since,
                    decision.locked_until.map(utc).unwrap_or_default(),
                    format!("{}{unknown}", decision.reason),
                ]
            }),
            &[],
        ));
    }
    lines.extend(shown.plan.locks.iter().map(renewal));
    for inside in &shown.plan.chains {
        lines.extend(inside_chain(inside));
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
        Some(done) => said(done),
    });
    lines.join("\n")
}

fn said(done: &Pruned) -> String {
    let mut lines = vec![format!(
        "  Deleted {} snapshots and {} abandoned chains: {} objects, {}",
        done.snapshots.len(),
        done.chains.len(),
        done.objects,
        format::bytes(done.bytes)
    )];
    if done.packs > 0 {
        lines.push(format!(
            "  {} packs of chains that stay among them, {} of which were written anew ({})",
            done.packs,
            done.packs_rewritten,
            format::bytes(done.bytes_written)
        ));
    }
    let left = done.left.iter();
    lines.extend(left.map(|why| format!("  Left for the next prune: {why}")));
    let stuck = done.stuck.iter();
    lines.extend(stuck.map(|why| format!("  Could not be pruned: {why}")));
    lines.join("\n")
}

fn renewal(renewal: &Renewal) -> String {
    let Renewal {
        location, chain, ..
    } = renewal;
    let done = match (renewal.extended, &renewal.refused) {
        (_, Some(why)) => format!("not renewed: {why}"),
        (Some(objects), None) => {
            let objects = format::counted(objects, "object");
            format!("renewed until {}, {objects} extended", utc(renewal.until))
        }
        (None, None) => format!(
            "renew until {}: less than half of it is left, or it is not known",
            utc(renewal.until)
        ),
    };
    format!("  lock of {chain} at {location}: {done}")
}

/// What happens inside a chain that keeps snapshots.
fn inside_chain(inside: &InsideChain) -> Vec<String> {
    let (plan, chain) = (&inside.plan, &inside.chain);
    if let Some(why) = &plan.held {
        return vec![format!("  {chain}: no pack goes now, {why}")];
    }
    let count = |fate| plan.packs.iter().filter(|pack| pack.fate == fate).count();
    let mut lines = vec![format!(
        "  {chain}: {} packs go, {} are written anew, {} stay: frees {}",
        count(PackFate::Delete),
        count(PackFate::Rewrite),
        count(PackFate::Keep) as u64 + plan.packs_whole,
        format::bytes(plan.bytes_freed())
    )];
    let rows = plan.packs.iter().take(PACKS_SHOWN).map(|pack| {
        vec![
            pack.pack.short(),
            fate(pack.fate).to_owned(),
            format::bytes(pack.bytes),
            pack.reason.clone(),
        ]
    });
    lines.push(table(&["PACK", "DECISION", "SIZE", "WHY"], rows, &[]));
    let more = plan.packs.len().saturating_sub(PACKS_SHOWN);
    if more > 0 {
        lines.push(format!("  … and {more} packs more; --json shows all"));
    }
    for key in &plan.foreign {
        lines.push(format!("  leave {key}: it is no name of the format"));
    }
    lines
}

fn fate(fate: PackFate) -> &'static str {
    match fate {
        PackFate::Keep => "keep",
        PackFate::Rewrite => "rewrite",
        PackFate::Delete => "delete",
        PackFate::Forget => "forget",
    }
}
