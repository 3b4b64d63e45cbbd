//! `restore`: a snapshot into a target, and the comparison table by table.

use chrono::TimeDelta;
use logisedge_domain::format;
use logisedge_domain::id::ChainPath;
use logisedge_domain::snapshot::SnapshotRecord;
use logisedge_engine::Progress;
use logisedge_engine::restore::{Opened, Restored, open};
use logisedge_repository::Password;
use logisedge_storage::ObjectStore;
use std::sync::Arc;

use crate::args;
use crate::bar::during;
use crate::commands::{Context, IN_USE_FOR};
use crate::error::CliError;
use crate::output::{Output, table};
use crate::places;

/// How long a snapshot is in use at the most by a restore that waits for a thaw: 48 hours are the longest
/// that S3 names, and a day for the restore.
const IN_USE_FOR_THAWING: TimeDelta = TimeDelta::hours(72);

pub(crate) async fn restore(context: &Context, args: &args::Restore) -> Result<(), CliError> {
    let record = context.pick(&args.snapshot, args.scope.as_ref()).await?;
    let (store, password) = context.location(&record.location).await?;
    let at_most = if args.to.wait {
        IN_USE_FOR_THAWING
    } else {
        IN_USE_FOR
    };
    let in_use = context.hold(&record, at_most).await?;
    let outcome = into_target(context.output, store, &password, &record, &args.to).await;
    in_use.release(context).await?;
    outcome
}

/// Restores and compares; a difference decides the exit code.
pub(crate) async fn into_target(
    output: Output,
    store: Arc<dyn ObjectStore>,
    password: &Password,
    record: &SnapshotRecord,
    to: &args::To,
) -> Result<(), CliError> {
    let target = places::target(to)?;
    let progress = Progress::new();
    let chain: &ChainPath = &record.chain;
    let opened = open(store, password, chain, record.id).await?;
    if to.thaw.is_some() || to.wait {
        thaw(&opened, to).await?;
    }
    let work = opened.restore(target, to.overwrite, &progress);
    let restored = during("restoring", &progress, work).await?;
    output.show(&restored, |restored| text(restored, &to.to));
    if restored.agrees() {
        return Ok(());
    }
    Err(CliError::findings(
        "what was restored differs from what the source held: see the table above",
    ))
}

/// Sees to it that everything can be read, or ends the command until it can.
async fn thaw(opened: &Opened, to: &args::To) -> Result<(), CliError> {
    let frozen = opened.frozen().await?;
    if frozen.is_empty() {
        return Ok(());
    }
    if let Some(speed) = to.thaw
        && !frozen.is_thawing()
    {
        let plan = frozen.plan(speed.into(), to.thaw_days)?;
        opened.thaw(&frozen, &plan).await?;
        eprintln!("Asked S3 for {}", plan.describe());
    }
    if !to.wait {
        return Err(CliError::refused(
            "Nothing was restored yet: run the same command again when that time is over, or with \
             --wait to wait for it here",
        ));
    }
    eprintln!("Waiting for the thaw of {}", frozen.describe());
    Ok(opened.wait_for_thaw().await?)
}

fn text(restored: &Restored, to: &str) -> String {
    let mut lines: Vec<String> = restored
        .warnings
        .iter()
        .map(|warning| format!("warning: {warning}"))
        .collect();
    if let Some(tables) = &restored.tables {
        lines.push(table(
            &["TABLE", "ROWS IN SNAPSHOT", "ROWS RESTORED", "CONTENT"],
            tables.iter().map(|t| {
                vec![
                    t.table.clone(),
                    format::count(t.rows_expected),
                    format::count(t.rows),
                    if t.agrees() { "same" } else { "DIFFERS" }.to_owned(),
                ]
            }),
            &[1, 2],
        ));
    }
    lines.push(format!(
        "Restored {} into {} in {}{}",
        format::bytes(restored.bytes),
        without_password(to),
        format::duration(restored.restoring),
        match &restored.tables {
            Some(tables) => format!(
                "; {} of {} tables agree with the source (compared in {})",
                tables.iter().filter(|t| t.agrees()).count(),
                tables.len(),
                format::duration(restored.comparing)
            ),
            None => String::new(),
        }
    ));
    lines.join("\n")
}

/// The target as written, without a password that a URL may hold.
fn without_password(to: &str) -> String {
    let Some((scheme, rest)) = to.split_once("://") else {
        return to.to_owned();
    };
    match rest.rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}@{host}")
        }
        None => to.to_owned(),
    }
}
