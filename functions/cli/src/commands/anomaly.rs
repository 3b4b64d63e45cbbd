//! `anomaly`: what changed more than usual and keeps scopes from being pruned, and confirming it.

use chrono::Utc;
use logisedge_domain::anomaly::{Anomaly, OpenAnomaly};
use logisedge_domain::id::ScopeName;
use logisedge_engine::anomaly::confirm as confirm_anomaly;
use serde::Serialize;

use crate::commands::Context;
use crate::error::CliError;
use crate::output::utc;

#[derive(Serialize)]
struct Shown {
    scope: ScopeName,
    #[serde(flatten)]
    open: OpenAnomaly,
}

/// Every anomaly that nobody confirmed.
pub(crate) async fn list(context: &Context) -> Result<(), CliError> {
    let mut shown = Vec::new();
    for scope in context.catalog.scopes().await? {
        let state = context.catalog.anomaly(&scope.name).await?;
        shown.extend(state.open.map(|open| Shown {
            scope: scope.name,
            open,
        }));
    }
    context.output.show(&shown, |shown| match shown.as_slice() {
        [] => "Nothing changed more than usual that nobody confirmed.".to_owned(),
        shown => shown.iter().map(text).collect::<Vec<_>>().join("\n\n"),
    });
    Ok(())
}

pub(crate) async fn confirm(
    context: &Context,
    scope: &ScopeName,
    undone: bool,
) -> Result<(), CliError> {
    let open = confirm_anomaly(&context.catalog, scope, !undone, Utc::now()).await?;
    let shown = Shown {
        scope: scope.clone(),
        open,
    };
    context.output.show(&shown, |shown| {
        let compared = match undone {
            true => "with what was before",
            false => "with what it left, once there are five snapshots of that",
        };
        format!(
            "{}\n\nConfirmed: the scope is pruned again, and later snapshots are compared {compared}.",
            text(shown)
        )
    });
    Ok(())
}

fn text(shown: &Shown) -> String {
    let Shown { scope, open } = shown;
    let tables = open.anomalies.iter().map(Anomaly::describe);
    let tables: Vec<String> = tables.map(|table| format!("  {table}")).collect();
    format!(
        "Scope {scope}: nothing is pruned since snapshot {} of {}\n{}",
        open.snapshot.short(),
        utc(open.taken_at),
        tables.join("\n")
    )
}
