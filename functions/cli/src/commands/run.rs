//! `run`: asks the dispatcher, through the bus, to start backups now.

use std::collections::BTreeMap;
use std::time::{Duration, Instant as Stopwatch};

use chrono::Utc;
use logisedge_domain::event::DispatchInput;
use logisedge_domain::format;
use logisedge_domain::id::RunId;
use logisedge_domain::run::{Run, RunState};
use logisedge_engine::ProgressView;
use logisedge_engine::dispatch::look_up;

use crate::args;
use crate::bar::Bar;
use crate::commands::Context;
use crate::error::CliError;
use crate::output::utc;

/// How often the catalog is asked while waiting.
const POLL: Duration = Duration::from_millis(300);

/// How long a request may take from the bus to a recorded run.
const DISPATCHED_WITHIN: Duration = Duration::from_secs(60);

/// Runs that are looked through for ours.
const RUNS_LOOKED_AT: usize = 200;

pub(crate) async fn run(context: &Context, args: &args::Run) -> Result<(), CliError> {
    let scopes = check(context, args).await?;
    let token = new_token();
    let input = DispatchInput::Run {
        schedule: args.schedule.clone(),
        scopes: args.scope.clone(),
        kind: args.kind,
        token: Some(token.clone()),
    };
    context.aws.publish_dispatch(&context.bus, &input).await?;
    if !args.wait {
        context.output.show(
            &serde_json::json!({ "token": token, "runs_expected": scopes }),
            |_| {
                "Asked the dispatcher to start. `logisedge-backup status` shows how it goes."
                    .to_owned()
            },
        );
        return Ok(());
    }
    let runs = wait(
        context,
        &token,
        scopes,
        Duration::from_secs(args.wait_seconds_max),
    )
    .await?;
    let failed = runs
        .iter()
        .filter(|run| run.state != RunState::Succeeded)
        .count();
    context.output.show(&runs, |runs| {
        runs.iter().map(told).collect::<Vec<_>>().join("\n")
    });
    match failed {
        0 => Ok(()),
        n => Err(CliError::failed(format!(
            "{n} of {} runs did not succeed",
            runs.len()
        ))),
    }
}

/// Looks everything up before anything is asked for, and returns how many runs there will be.
async fn check(context: &Context, args: &args::Run) -> Result<usize, CliError> {
    let config = context.catalog.load_config().await?;
    let wanted = look_up(&config, args.schedule.as_ref(), &args.scope)?;
    let Some(name) = &args.schedule else {
        return Ok(wanted.len());
    };
    let Some(state) = context.catalog.schedule(name).await? else {
        return Err(CliError::not_found(format!(
            "there is no schedule {name} any more"
        )));
    };
    if let Some(scope) = args
        .scope
        .iter()
        .find(|scope| !state.schedule.scopes.contains(scope))
    {
        return Err(CliError::not_found(format!(
            "schedule {name} does not back up scope {scope}"
        )));
    }
    let due = state.next_slot.is_some_and(|slot| slot <= Utc::now());
    if !args.force && !due {
        let when = state.next_slot.map_or("never".to_owned(), utc);
        return Err(CliError::refused(format!(
            "schedule {name} is next due {when}; to run it now all the same, say --force"
        )));
    }
    Ok(wanted.len())
}

/// Recognises our request: time and process, so that two operators at once differ.
fn new_token() -> String {
    format!(
        "{:x}{:x}",
        Utc::now().timestamp_millis(),
        std::process::id()
    )
}

/// Follows the runs of one request until all have ended.
async fn wait(
    context: &Context,
    token: &str,
    expected: usize,
    patience: Duration,
) -> Result<Vec<Run>, CliError> {
    let begun = Stopwatch::now();
    let prefix = format!("manual-{token}.");
    let mut bar = Bar::new("backing up");
    let mut ours: BTreeMap<RunId, Run> = BTreeMap::new();
    loop {
        if ours.len() < expected {
            let recent = context.catalog.recent_runs(RUNS_LOOKED_AT).await?;
            let found = recent
                .into_iter()
                .filter(|run| run.id.as_str().starts_with(&prefix));
            ours.extend(found.map(|run| (run.id.clone(), run)));
            if ours.is_empty() && begun.elapsed() > DISPATCHED_WITHIN {
                bar.end();
                return Err(CliError::failed(format!(
                    "no run was recorded within {} s: look at the dispatcher's log and the \
                     dead-letter queue",
                    DISPATCHED_WITHIN.as_secs()
                )));
            }
        }
        for run in ours.values_mut().filter(|run| !run.state.is_final()) {
            if let Some(now) = context.catalog.run(&run.id).await? {
                *run = now;
            }
        }
        bar.update(sum(ours.values()));
        if ours.len() == expected && ours.values().all(|run| run.state.is_final()) {
            bar.end();
            return Ok(ours.into_values().collect());
        }
        if begun.elapsed() > patience {
            bar.end();
            return Err(CliError::failed(format!(
                "not done after {} s; the runs go on, `logisedge-backup status` shows how",
                patience.as_secs()
            )));
        }
        tokio::time::sleep(POLL).await;
    }
}

fn sum<'a>(runs: impl Iterator<Item = &'a Run>) -> ProgressView {
    runs.fold(ProgressView::default(), |sum, run| ProgressView {
        bytes: sum.bytes + run.progress.bytes_read,
        bytes_expected: sum.bytes_expected + run.progress.bytes_expected,
        parts: sum.parts + run.progress.parts_done,
        parts_expected: sum.parts_expected + run.progress.parts,
    })
}

/// A run in one line (or two, where it did not succeed).
pub(crate) fn told(run: &Run) -> String {
    let reason = run.reason.as_deref().unwrap_or("no reason is recorded");
    match (run.state, run.snapshot, &run.stats) {
        (RunState::Succeeded, Some(snapshot), Some(stats)) => format!(
            "{}: succeeded in {}: snapshot {} ({}), {} rows, {}{}",
            run.id,
            format::duration(Duration::from_millis(stats.duration_ms)),
            snapshot.short(),
            run.kind_taken.unwrap_or(run.kind).as_str(),
            format::count(stats.rows),
            stats.describe(),
            run.kind_reason
                .as_ref()
                .map_or(String::new(), |why| format!("\n  a full, because {why}")),
        ),
        (state, ..) => format!("{}: {}: {reason}", run.id, state.as_str()),
    }
}
